//! What is new to whom.

use super::case::*;
use crate::session::{event::Command, reading::MAX_NEWS};
use vibes_protocol::model::{Decision, ErrorCode, Role};

fn unread(case: &Case, person: &str) -> u32 {
    let info = case.state.info();
    info.readers.get(person).map_or(info.unread, |(_, unread)| *unread)
}

fn mark(person: &str, seq: Option<u64>) -> Command {
    Command::MarkRead { person: person.into(), seq }
}

#[test]
fn turns_questions_and_failures_are_new_until_they_are_read() {
    let (mut case, permission) = Case::asking();
    assert_eq!(unread(&case, "ann"), 1, "a question");
    case.ok(BEN, decide(&permission, Decision::AllowOnce));
    case.end_turn("end_turn");
    assert_eq!(unread(&case, "ann"), 2, "and the end of the turn");
    let head = case.state.head;
    case.ok(BEN, mark("ann", Some(head)));
    assert_eq!((unread(&case, "ann"), unread(&case, "ben")), (0, 2), "each has a cursor of their own");
    assert!(case.kinds().is_empty(), "reading is no record");
    case.ok(ANN, input("x"));
    case.error("session/prompt", "overloaded");
    assert_eq!((unread(&case, "ann"), unread(&case, "ben")), (1, 3));
    // A cursor does not go back, and not beyond what there is.
    case.ok(BEN, mark("ann", Some(u64::MAX)));
    case.ok(BEN, mark("ann", Some(1)));
    assert_eq!((unread(&case, "ann"), case.state.body.readers["ann"]), (0, case.state.head));
    assert_eq!(case.refused(BEN, mark("", None)), ErrorCode::BadRequest);
}

#[test]
fn who_looks_reads_and_who_is_subscribed_for_another_reason_does_not() {
    let mut case = Case::idle();
    let mut reader = joiner(BEN, Role::Viewer);
    (reader.reads, reader.identity) = (true, Some("ben@box:pts/1".into()));
    case.ok(BEN, Command::Join(reader.clone()));
    case.ok(ANN, input("x"));
    case.end_turn("end_turn");
    assert_eq!((unread(&case, "ben"), unread(&case, "seat1")), (0, 1));
    case.ok(BEN, Command::Drop { grace_ms: 10_000 });
    case.ok(ANN, input("y"));
    case.end_turn("end_turn");
    assert_eq!(unread(&case, "ben"), 1, "nobody was there");
    case.ok(BEN, Command::Join(reader));
    assert_eq!(unread(&case, "ben"), 0);
    case.ok(ANN, input("z"));
    case.ok(BEN, Command::Leave);
    assert_eq!(case.state.body.readers["ben"], case.state.head, "what was seen of the turn was seen");
    case.end_turn("end_turn");
    assert_eq!(unread(&case, "ben"), 1);
}

#[test]
fn whose_seat_it_is_counts_for_more_than_what_it_calls_itself() {
    let mut case = Case::idle();
    let mut page = joiner(BEN, Role::Viewer);
    (page.reads, page.identity, page.person) = (true, Some("cy@page".into()), Some("ben".into()));
    case.ok(BEN, Command::Join(page));
    case.ok(ANN, input("x"));
    case.end_turn("end_turn");
    assert_eq!((unread(&case, "ben"), case.state.body.readers.get("cy")), (0, None));
}

#[test]
fn no_more_is_counted_than_is_remembered_and_people_are_not_many() {
    let mut case = Case::idle();
    for _ in 0..MAX_NEWS + 20 {
        case.ok(ANN, input("x"));
        case.end_turn("end_turn");
    }
    assert_eq!(unread(&case, "ben") as usize, MAX_NEWS);
    for person in 0..200 {
        case.ok(BEN, mark(&format!("person{person}"), Some(100 + person)));
    }
    assert_eq!(case.state.body.readers.len(), 64);
    assert!(case.state.body.readers.contains_key("person199"));
}
