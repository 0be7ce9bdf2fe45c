//! Defects that were found and mended: each test tells one story.

use super::{case::*, walk};
use crate::session::event::{Command, Event};
use serde_json::json;
use vibes_protocol::model::{ErrorCode, SessionState::*};

#[test]
fn a_question_before_the_agent_is_ready_is_waited_for_once_it_is() {
    let mut case = Case::starting();
    case.live();
    case.question(json!("early"));
    case.stands(Starting);
    case.open();
    case.stands(WaitingPermission);
}

#[test]
fn an_answer_while_starting_leaves_the_session_starting() {
    for withdrawn in [false, true] {
        let mut case = Case::starting();
        case.live();
        let permission = case.question(json!("early"));
        if withdrawn {
            case.say(
                json!({"jsonrpc": "2.0", "method": "$/cancel_request", "params": {"requestId": "early"}}),
            );
        } else {
            case.ok(ANN, choose(&permission, "yes"));
        }
        case.stands(Starting);
    }
}

#[test]
fn a_runner_lost_before_a_word_takes_its_questions_with_it() {
    let mut case = Case::starting();
    case.live();
    case.question(json!("early"));
    case.gone(lost(0));
    assert!(case.state.pending.is_empty());
}

#[test]
fn a_turn_that_begins_while_a_question_waits_still_waits_for_it() {
    let mut case = Case::idle();
    case.question(json!("unasked"));
    case.stands(WaitingPermission);
    case.ok(ANN, input("work"));
    case.stands(WaitingPermission);
}

#[test]
fn a_kill_cancels_questions_when_there_is_no_grace_either() {
    // While a runner is being adopted.
    let (mut adopting, permission) = Case::asking();
    adopting.feed(Event::Restored);
    adopting.ask(ANN, Command::Kill);
    assert_eq!(adopting.refused(BEN, choose(&permission, "yes")), ErrorCode::AlreadyDecided);
    // Between turns.
    let mut between = Case::idle();
    let permission = between.question(json!("unasked"));
    between.ask(ANN, Command::Kill);
    assert_eq!(between.refused(BEN, choose(&permission, "yes")), ErrorCode::AlreadyDecided);
}

#[test]
fn input_does_not_wake_a_deleted_session() {
    let mut case = Case::idle();
    case.exit(0);
    case.ok(ANN, Command::Delete);
    assert_eq!(case.refused(ANN, input("x")), ErrorCode::InvalidState);
}

#[test]
fn a_session_without_records_that_had_begun_is_not_begun_again() {
    let mut case = Case::idle();
    case.ask(ANN, Command::Kill);
    case.exit(0);
    // What `salvage` leaves when the table of records cannot be read.
    case.state.head = 0;
    let mut case = Case::around(case.state);
    case.feed(Event::Restored);
    case.stands(Killed);
    assert_eq!(case.effects(), [""; 0]);
}

#[test]
fn a_session_resumed_on_purpose_stays_although_nobody_is_attached() {
    let plan =
        crate::session::event::Plan { orphan_policy: vibes_protocol::model::OrphanPolicy::Suspend, ..plan() };
    let mut case = Case::idle_with(plan);
    case.ok(ANN, Command::Leave);
    case.exit(0);
    case.stands(Suspended);
    case.ok(BEN, Command::Resume { context: None });
    case.live();
    case.open();
    assert!(case.state.body.stopping.is_none());
}

#[test]
fn any_interleaving_with_questions_at_any_time_keeps_the_invariants() {
    let mut walk = walk::Walk::new(0xBAD, true);
    for _ in 0..20_000 {
        walk.step();
    }
}
