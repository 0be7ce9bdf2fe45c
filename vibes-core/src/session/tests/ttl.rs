//! Sessions in which nothing happens end, and no others.

use super::case::*;
use crate::session::event::{Command, MetadataUpdate, Reply};
use serde_json::json;
use vibes_protocol::model::{ErrorCode, Link, Role, SessionState};

const DAY: i64 = 24 * 60 * 60 * 1000;

/// Asks as the sweeper does.
fn sweep(case: &mut Case) -> Reply {
    case.ok(BEN, Command::Expire { ttl_ms: Some(DAY) })
}

/// A session with a live agent and nobody who looks at it.
fn left() -> Case {
    let mut case = Case::idle();
    case.ok(ANN, Command::Leave);
    case.forget();
    case
}

fn update(change: impl FnOnce(&mut MetadataUpdate)) -> Command {
    let mut update = MetadataUpdate::default();
    change(&mut update);
    Command::Update(Box::new(update))
}

#[test]
fn a_quiet_session_ends_when_its_time_has_run_out_and_not_before() {
    let mut case = left();
    let until = case.now + DAY;
    assert!(matches!(sweep(&mut case), Reply::Lives(Some(at)) if at == until));
    case.now = until - 1;
    assert!(matches!(sweep(&mut case), Reply::Lives(Some(at)) if at == until));
    assert!(case.kinds().is_empty(), "being asked is no activity");
    case.now = until;
    assert!(matches!(sweep(&mut case), Reply::Ok));
    assert_eq!(case.effects(), ["Stop"]);
    case.exit(0);
    assert_eq!(case.state.body.state, SessionState::Expired);
    assert_eq!(case.state.body.reason.as_deref(), Some("no activity for 24 h"));
    let tag = case.ask(ANN, input("x"));
    let Some(Err(refused)) = case.reply(tag) else { panic!("an expired session took a prompt") };
    assert_eq!(refused.code, ErrorCode::InvalidState);
    assert!(refused.message.contains("vibes resume"), "{}", refused.message);
    case.ok(ANN, Command::Resume { context: None });
    assert_eq!(case.state.body.state, SessionState::Starting);
}

#[test]
fn what_works_asks_is_kept_or_is_looked_at_does_not_end() {
    let late = |mut case: Case, why: &str| {
        case.now += 10 * DAY;
        assert!(matches!(sweep(&mut case), Reply::Lives(_)), "{why}");
        assert!(!case.state.body.state.is_ended() && case.state.body.stopping.is_none(), "{why}");
    };
    late(Case::idle(), "somebody is there");
    let mut processing = Case::processing();
    processing.ok(ANN, Command::Leave);
    late(processing, "it works");
    let (mut asking, _) = Case::asking();
    asking.ok(ANN, Command::Leave);
    late(asking, "it waits for an answer");
    let mut pinned = left();
    pinned.ok(BEN, update(|update| update.pinned = Some(true)));
    late(pinned, "it is kept");
    let mut for_ever = left();
    for_ever.ok(BEN, update(|update| update.ttl_s = Some(Some(0))));
    late(for_ever, "it has no time to live");
    let mut adopting = left();
    adopting.state.link = Link::Adopting;
    late(adopting, "what its agent did meanwhile is not known");
    let mut viewer = left();
    viewer.ok(EVE, Command::Join(joiner(EVE, Role::Viewer)));
    late(viewer, "somebody watches");
}

#[test]
fn who_leaves_was_there_until_then_and_any_record_is_activity() {
    let mut case = left();
    case.ok(EVE, Command::Join(joiner(EVE, Role::Viewer)));
    case.now += 3 * DAY;
    case.ok(EVE, Command::Leave);
    let left = case.now;
    assert!(matches!(sweep(&mut case), Reply::Lives(Some(at)) if at == left + DAY));
    case.now += DAY / 2;
    case.ok(BEN, update(|update| update.description = Some(Some("x".into()))));
    let changed = case.now;
    assert!(matches!(sweep(&mut case), Reply::Lives(Some(at)) if at == changed + DAY));
    case.now += DAY / 2;
    case.ok(EVE, Command::NoteRefused { request: "kill_session" });
    assert!(
        matches!(sweep(&mut case), Reply::Lives(Some(at)) if at == changed + DAY),
        "an agent keeps nothing alive"
    );
    case.ok(BEN, update(|update| update.ttl_s = Some(Some(60))));
    case.now += 59_999;
    assert!(matches!(sweep(&mut case), Reply::Lives(_)));
    case.now += 1;
    assert!(matches!(sweep(&mut case), Reply::Ok), "its own time counts, not the daemon's");
    case.exit(0);
    assert_eq!(case.state.body.reason.as_deref(), Some("no activity for 60 s"));
}

#[test]
fn no_clock_that_is_set_ends_a_session() {
    for jump in [400 * DAY, -DAY] {
        let mut case = left();
        case.skew = jump;
        case.ok(BEN, update(|update| update.description = Some(None)));
        case.now += DAY - 1;
        assert!(matches!(sweep(&mut case), Reply::Lives(_)), "{jump}");
        case.skew = 0;
        case.now += 1;
        assert!(matches!(sweep(&mut case), Reply::Ok), "{jump}: it does not live for ever either");
    }
}

#[test]
fn what_waits_in_a_suspended_session_that_ends_is_there_when_it_is_resumed() {
    let mut case = Case::processing();
    case.ok(ANN, input("later"));
    case.ask(ANN, Command::Suspend { now: true });
    case.tick(case.now + 10_000);
    case.exit(0);
    assert_eq!(case.state.body.state, SessionState::Suspended);
    case.ok(ANN, Command::Leave);
    case.now += DAY;
    assert!(matches!(sweep(&mut case), Reply::Ok));
    assert_eq!(case.state.body.state, SessionState::Expired);
    assert_eq!(case.state.body.queue.len(), 1);
    case.ok(ANN, Command::Resume { context: None });
    case.live();
    case.open();
    assert_eq!(case.state.body.turns, 2, "{}", json!(case.facts));
    assert!(case.state.body.queue.is_empty());
}
