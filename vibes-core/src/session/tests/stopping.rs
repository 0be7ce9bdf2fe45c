//! Kill, finish, suspend, resume: from every state, with every deadline.

use super::case::*;
use crate::session::{
    event::{Command, Event, Plan},
    state::Goal,
    step::CANCEL_MS,
};
use serde_json::json;
use vibes_protocol::model::{ErrorCode, OrphanPolicy, Role, SessionState::*, SuspendReason};

fn answered(case: &Case, tag: u64) -> Option<Result<(), ErrorCode>> {
    case.reply(tag).map(|reply| reply.as_ref().map(|_| ()).map_err(|error| error.code))
}

#[test]
fn a_kill_before_the_runner_is_up_stops_it_when_it_comes() {
    let mut case = Case::starting();
    let ready = case.ask(ANN, Command::WaitReady);
    case.ok(ANN, input("never"));
    case.effects();
    let kill = case.ask(BEN, Command::Kill);
    assert_eq!(case.effects(), ["Stop"]);
    assert_eq!(answered(&case, kill), None, "not before it is known to be dead");
    case.feed(Event::Up(&standing(false, 0)));
    assert_eq!(case.effects(), ["Stop"], "and never Go");
    case.exit(0);
    case.stands(Killed);
    assert_eq!(case.effects(), ["Forget", "Updated", "Removed"]);
    assert_eq!(answered(&case, kill), Some(Ok(())));
    assert_eq!(answered(&case, ready), Some(Err(ErrorCode::InvalidState)));
    assert_eq!(case.count("input_dropped"), 1);
}

#[test]
fn a_kill_whose_runner_never_came_to_be_is_done_too() {
    let mut case = Case::starting();
    let kill = case.ask(BEN, Command::Kill);
    case.feed(Event::StartFailed { why: "nope".into(), not_found: true });
    case.stands(Killed);
    assert_eq!(answered(&case, kill), Some(Ok(())));
}

#[test]
fn a_kill_while_idle_needs_no_grace() {
    let mut case = Case::idle();
    let kill = case.ask(BEN, Command::Kill);
    assert_eq!(case.effects(), ["Stop"]);
    assert!(case.last("session/cancel").is_none());
    case.stands(Idle);
    case.exit(0);
    case.stands(Killed);
    assert_eq!(case.fact("state_changed")["by"]["label"], "seat2");
    assert_eq!(answered(&case, kill), Some(Ok(())));
}

#[test]
fn a_kill_in_a_turn_cancels_first_and_stops_at_the_deadline() {
    let mut case = Case::processing();
    case.ok(ANN, input("waits"));
    let kill = case.ask(BEN, Command::Kill);
    assert_eq!(case.effects(), [""; 0]);
    assert!(case.last("session/cancel").is_some());
    assert_eq!(case.state.next_deadline_ms(), Some(T0 + CANCEL_MS));
    case.tick(T0 + CANCEL_MS - 1);
    assert_eq!(case.effects(), [""; 0]);
    case.tick(T0 + CANCEL_MS);
    assert_eq!(case.effects(), ["Stop"]);
    assert_eq!(case.state.next_deadline_ms(), None);
    case.exit(-1);
    assert_eq!(case.kinds(), ["agent_exited", "turn_ended", "input_dropped", "state_changed"]);
    assert_eq!(case.fact("turn_ended")["outcome"], "interrupted");
    case.stands(Killed);
    assert_eq!(answered(&case, kill), Some(Ok(())));
}

#[test]
fn a_turn_that_ends_in_its_grace_is_followed_by_the_stop() {
    let mut case = Case::processing();
    case.ok(ANN, input("waits"));
    case.ask(BEN, Command::Kill);
    case.end_turn("cancelled");
    assert_eq!(case.effects(), ["Pack", "Stop"]);
    assert_eq!(case.count("turn_started"), 1, "what waits is not begun");
    case.exit(0);
    assert_eq!(case.count("turn_ended"), 1);
    case.stands(Killed);
}

#[test]
fn a_kill_while_a_question_waits_cancels_it() {
    let (mut case, permission) = Case::asking();
    case.ask(BEN, Command::Kill);
    assert_eq!(case.fact("permission_resolved")["outcome"], "cancelled");
    assert_eq!(case.refused(ANN, choose(&permission, "yes")), ErrorCode::AlreadyDecided);
    case.request(json!("late"));
    assert_eq!(case.answers_to(&json!("late"))[0]["result"]["outcome"]["outcome"], "cancelled");
    case.exit(0);
    case.stands(Killed);
}

#[test]
fn a_kill_of_a_suspended_session_ends_it_at_once() {
    let mut case = Case::idle();
    case.exit(0);
    case.effects();
    case.ok(BEN, Command::Kill);
    case.stands(Killed);
    assert_eq!(case.effects(), ["Updated", "Removed"]);
}

#[test]
fn a_higher_goal_takes_a_stop_over_and_a_lower_one_does_not() {
    type Ask = (fn() -> Command, Goal);
    let kill: Ask = (|| Command::Kill, Goal::Kill);
    let finish: Ask = (|| Command::Finish, Goal::Finish);
    let suspend: Ask = (|| Command::Suspend { now: true }, Goal::Suspend(SuspendReason::User));
    for (first, second, state) in [
        (suspend, finish, Finished),
        (suspend, kill, Killed),
        (finish, kill, Killed),
        (finish, suspend, Finished),
        (kill, finish, Killed),
        (kill, suspend, Killed),
        (kill, kill, Killed),
    ] {
        let mut case = Case::processing();
        let one = case.ask(ANN, first.0());
        let two = case.ask(BEN, second.0());
        case.exit(0);
        case.stands(state);
        let winner = if second.1.rank() > first.1.rank() { "seat2" } else { "seat1" };
        assert_eq!(case.fact("state_changed")["by"]["label"], winner);
        assert_eq!((answered(&case, one), answered(&case, two)), (Some(Ok(())), Some(Ok(()))));
    }
}

#[test]
fn processes_that_are_left_are_named_to_whoever_asked() {
    let mut case = Case::idle();
    let kill = case.ask(ANN, Command::Kill);
    let mut gone = exited(0, 9);
    gone.left = vec![41, 42];
    case.gone(gone);
    case.stands(Killed);
    let error = case.reply(kill).unwrap().as_ref().unwrap_err();
    assert_eq!(error.code, ErrorCode::KillFailed);
    assert!(error.message.contains("41, 42"), "{}", error.message);
    assert!(case.fact("tail_lost")["why"].as_str().unwrap().contains("[41, 42]"));
}

#[test]
fn finish_ends_well_and_drops_what_waits() {
    let mut case = Case::processing();
    case.ok(ANN, input("waits"));
    let finish = case.ask(ANN, Command::Finish);
    case.end_turn("cancelled");
    case.exit(0);
    case.stands(Finished);
    assert_eq!(case.count("input_dropped"), 1);
    assert_eq!(answered(&case, finish), Some(Ok(())));
    assert!(case.state.body.queue.is_empty());
}

#[test]
fn suspend_is_refused_in_a_turn_unless_now() {
    let mut case = Case::processing();
    assert_eq!(case.refused(ANN, Command::Suspend { now: false }), ErrorCode::InvalidState);
    let suspend = case.ask(ANN, Command::Suspend { now: true });
    case.end_turn("cancelled");
    case.exit(0);
    case.stands(Suspended);
    assert_eq!(case.state.info().reason.as_deref(), Some("user"));
    assert_eq!(answered(&case, suspend), Some(Ok(())));
    assert_eq!(case.refused(ANN, Command::Suspend { now: true }), ErrorCode::InvalidState);
}

#[test]
fn a_suspended_session_keeps_what_waits() {
    let mut case = Case::processing();
    case.ok(ANN, input("waits"));
    case.ask(ANN, Command::Suspend { now: true });
    case.end_turn("cancelled");
    case.exit(0);
    case.stands(Suspended);
    assert_eq!((case.count("input_dropped"), case.state.body.queue.len()), (0, 1));
    case.ok(ANN, Command::Resume { context: None });
    case.live();
    case.open();
    case.stands(Processing);
}

#[test]
fn resume_starts_a_new_generation_and_tells_its_context_once() {
    let mut case = Case::idle();
    case.ask(ANN, Command::Suspend { now: false });
    case.exit(0);
    case.ok(BEN, Command::Resume { context: Some("you were away".into()) });
    assert_eq!(case.kinds(), ["agent_started", "state_changed"]);
    assert_eq!(case.state.body.generation, 2);
    case.live();
    case.open();
    for context in [true, false] {
        case.ok(ANN, input("hello"));
        let call = case.last("session/prompt").unwrap();
        let sent = case.sent.iter().rev().find(|sent| sent.number == call && sent.generation == 2).unwrap();
        assert_eq!(sent.line["params"]["prompt"].as_array().unwrap().len(), if context { 2 } else { 1 });
        assert_eq!(sent.line["params"]["prompt"][0]["text"] == "you were away", context);
        case.end_turn("end_turn");
    }
}

#[test]
fn only_what_does_not_run_is_resumed() {
    for mut case in [Case::starting(), Case::idle(), Case::processing(), Case::asking().0] {
        assert_eq!(case.refused(ANN, Command::Resume { context: None }), ErrorCode::InvalidState);
        case.ask(ANN, Command::Kill);
        assert_eq!(
            case.refused(ANN, Command::Resume { context: None }),
            ErrorCode::InvalidState,
            "being stopped"
        );
        case.exit(0);
        case.effects();
        case.ok(ANN, Command::Resume { context: None });
        case.stands(Starting);
        assert_eq!(case.effects(), ["Created", "Start"], "it is back in the list");
    }
}

#[test]
fn input_resumes_for_four_reasons_of_six() {
    for (why, resumes) in [
        (SuspendReason::User, true),
        (SuspendReason::Orphan, true),
        (SuspendReason::Idle, true),
        (SuspendReason::Restart, true),
        (SuspendReason::Budget, false),
        (SuspendReason::Focus, false),
    ] {
        let mut case = Case::idle();
        case.exit(0);
        case.state.body.suspended = Some(why);
        if resumes {
            case.ok(BEN, input("go on"));
            case.stands(Starting);
            case.live();
            case.open();
            case.stands(Processing);
        } else {
            assert_eq!(case.refused(BEN, input("go on")), ErrorCode::InvalidState, "{why:?}");
            case.ok(BEN, Command::Resume { context: None });
        }
    }
}

#[test]
fn an_ended_session_refuses_input_and_every_way_to_end_it_again() {
    let ends: [fn() -> Command; 2] = [|| Command::Kill, || Command::Finish];
    for end in ends {
        let mut case = Case::idle();
        case.ask(ANN, end());
        assert_eq!(case.refused(ANN, input("late")), ErrorCode::InvalidState, "being ended");
        case.exit(0);
        for command in [
            input("late"),
            input_now("late"),
            Command::Kill,
            Command::Finish,
            Command::Suspend { now: true },
            Command::Interrupt { turn: None },
            Command::SetOption { option_id: "mode".into(), value: json!("auto") },
        ] {
            assert_eq!(case.refused(ANN, command), ErrorCode::InvalidState);
        }
    }
}

#[test]
fn input_during_an_orphans_suspension_wakes_it_again() {
    let mut case = Case::idle_with(Plan { orphan_policy: OrphanPolicy::Suspend, ..plan() });
    case.ok(ANN, Command::Leave);
    case.ok(BEN, input("wait"));
    case.exit(0);
    case.stands(Starting);
    case.live();
    case.open();
    case.stands(Processing);
}

#[test]
fn orphans_are_kept_suspended_or_removed() {
    for policy in [OrphanPolicy::Keep, OrphanPolicy::Suspend, OrphanPolicy::Remove] {
        for turn in [false, true] {
            let mut case = Case::idle_with(Plan { orphan_policy: policy, ..plan() });
            case.ok(BEN, Command::Join(joiner(BEN, Role::Viewer)));
            if turn {
                case.ok(ANN, input("x"));
            }
            case.ok(ANN, Command::Leave);
            assert!(case.state.body.stopping.is_none(), "a viewer is left");
            case.ok(BEN, Command::Leave);
            match (policy, turn) {
                (OrphanPolicy::Keep, _) => {
                    assert!(case.state.body.stopping.is_none());
                    continue;
                }
                (OrphanPolicy::Suspend, true) => {
                    assert!(case.state.body.stopping.is_none(), "it waits for the turn");
                    case.ok(BEN, input("and for what waits"));
                    case.end_turn("end_turn");
                    case.stands(Processing);
                    case.end_turn("end_turn");
                }
                (OrphanPolicy::Remove, true) => case.end_turn("cancelled"),
                _ => {}
            }
            assert!(case.state.body.stopping.is_some());
            case.exit(0);
            if policy == OrphanPolicy::Suspend {
                case.stands(Suspended);
                assert_eq!(case.state.body.suspended, Some(SuspendReason::Orphan));
            } else {
                case.stands(Killed);
                assert_eq!(case.fact("state_changed")["reason"], "the last subscriber left");
                assert_eq!(format!("{:?}", case.state.removed), "Some(OwnerDisconnected)");
            }
        }
    }
}

#[test]
fn a_session_nobody_ever_joined_is_no_orphan() {
    for policy in [OrphanPolicy::Suspend, OrphanPolicy::Remove] {
        let mut case = Case::planned(Plan { orphan_policy: policy, ..plan() });
        case.live();
        case.open();
        case.ok(ANN, input("x"));
        case.end_turn("end_turn");
        assert_eq!(case.refused(ANN, Command::Leave), ErrorCode::NotSubscribed);
        case.ok(ANN, Command::Drop { grace_ms: 0 });
        assert!(case.state.body.stopping.is_none());
        case.stands(Idle);
    }
}

#[test]
fn a_stop_goes_on_after_a_restart_of_the_daemon() {
    for going in [true, false] {
        let mut case = Case::processing();
        case.ask(ANN, Command::Kill);
        case.effects();
        case.feed(Event::Restored);
        case.feed(Event::Up(&standing(going, 3)));
        // A grace under way is waited for; what does not run yet need not wait.
        assert_eq!(case.effects(), if going { vec![] } else { vec!["Stop"] });
        case.tick(T0 + CANCEL_MS);
        case.exit(0);
        case.stands(Killed);
    }
}
