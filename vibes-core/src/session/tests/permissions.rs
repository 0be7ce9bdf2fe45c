//! Questions of the agent: who answers, what the agent hears, what comes too late.

use super::case::*;
use crate::session::{
    event::{Answer, Command},
    state::MAX_PENDING,
};
use serde_json::json;
use sha2::{Digest, Sha256};
use vibes_protocol::model::{Decision, ErrorCode, SessionState::*};

#[test]
fn a_question_is_recorded_with_the_hash_of_its_bytes_and_waits() {
    let mut case = Case::processing();
    let params = r#"{"toolCall":{"title":"T","kind":"execute","rawInput":{"b":1,"a":2}}, "options":[{"optionId":"y","kind":"allow_once","name":"Y"}]}"#;
    case.raw(format!(r#"{{"id":"q","method":"session/request_permission","params":{params}}}"#).as_bytes());
    assert_eq!(case.kinds(), ["permission_requested", "state_changed"]);
    let fact = &case.fact("permission_requested")["permission"];
    let hash: String = Sha256::digest(params).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(fact["hash"], hash, "the raw request, spaces and order included");
    assert_eq!((fact["tool"].as_str(), fact["claim_title"].as_str()), (Some("execute"), Some("T")));
    case.stands(WaitingPermission);
}

#[test]
fn the_first_answer_wins_and_the_agent_hears_it_once() {
    for (option, outcome) in [("yes", "allowed"), ("no", "denied")] {
        let (mut case, permission) = Case::asking();
        case.ok(BEN, choose(&permission, option));
        assert_eq!(case.kinds(), ["permission_resolved", "state_changed"]);
        let fact = case.fact("permission_resolved");
        assert_eq!((fact["outcome"].as_str(), fact["by"]["label"].as_str()), (Some(outcome), Some("seat2")));
        case.stands(Processing);
        assert_eq!(case.refused(ANN, choose(&permission, "yes")), ErrorCode::AlreadyDecided);
        let answers = case.answers_to(&json!("q1"));
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0]["result"]["outcome"], json!({"outcome": "selected", "optionId": option}));
    }
}

#[test]
fn a_late_answer_hears_who_was_first() {
    let (mut case, permission) = Case::asking();
    case.ok(BEN, choose(&permission, "no"));
    let tag = case.ask(ANN, choose(&permission, "yes"));
    assert!(case.reply(tag).unwrap().as_ref().unwrap_err().message.contains("seat2"));
}

#[test]
fn an_answer_that_does_not_fit_the_question_is_refused_and_it_goes_on_waiting() {
    let (mut case, permission) = Case::asking();
    let answer = |id: &str, hash: &str, option: Option<&str>, decision| {
        Command::Answer(Box::new(Answer {
            permission_id: id.into(),
            hash: hash.into(),
            option_id: option.map(str::to_owned),
            decision,
            message: None,
            updated_input: None,
            answers: None,
        }))
    };
    let (id, hash) = (permission.permission_id.clone(), permission.hash.clone());
    for (command, code) in [
        (answer(&id, "00", Some("yes"), None), ErrorCode::BadRequest),
        (answer(&id, "", Some("yes"), None), ErrorCode::BadRequest),
        (answer(&id, &hash, Some("perhaps"), None), ErrorCode::BadRequest),
        (answer(&id, &hash, Some("perhaps"), Some(Decision::AllowOnce)), ErrorCode::BadRequest),
        (answer(&id, &hash, None, Some(Decision::AllowAlways)), ErrorCode::BadRequest),
        (answer(&id, &hash, None, Some(Decision::RejectAlways)), ErrorCode::BadRequest),
        (answer(&id, &hash, None, None), ErrorCode::BadRequest),
        (answer("another", &hash, Some("yes"), None), ErrorCode::PermissionNotPending),
    ] {
        assert_eq!(case.refused(ANN, command), code);
    }
    case.stands(WaitingPermission);
    assert!(case.answers_to(&json!("q1")).is_empty());
}

#[test]
fn a_decision_picks_the_option_of_its_kind() {
    for (decision, option, outcome) in
        [(Decision::AllowOnce, "yes", "allowed"), (Decision::RejectOnce, "no", "denied")]
    {
        let (mut case, permission) = Case::asking();
        case.ok(ANN, decide(&permission, decision));
        let fact = case.fact("permission_resolved");
        assert_eq!((fact["option_id"].as_str(), fact["outcome"].as_str()), (Some(option), Some(outcome)));
        assert_eq!(fact["message"], "because");
    }
}

#[test]
fn a_session_waits_until_the_last_question_is_answered() {
    let (mut case, first) = Case::asking();
    let second = case.question(json!(2));
    assert_ne!(first.permission_id, second.permission_id);
    case.ok(ANN, choose(&second, "yes"));
    case.stands(WaitingPermission);
    assert!(case.answers_to(&json!("q1")).is_empty(), "only the one that was answered");
    case.ok(ANN, choose(&first, "no"));
    case.stands(Processing);
}

#[test]
fn an_agents_id_comes_back_as_it_came() {
    let mut case = Case::processing();
    for rpc_id in [json!(0), json!("1"), json!(-5), json!(9_007_199_254_740_993_u64)] {
        let permission = case.question(rpc_id.clone());
        case.ok(ANN, choose(&permission, "yes"));
        assert_eq!(case.answers_to(&rpc_id).len(), 1, "{rpc_id}");
    }
    // What is no id is refused and never becomes a question.
    case.request(json!(1.5));
    assert_eq!(case.kinds(), ["unparsed"]);
    case.stands(Processing);
}

#[test]
fn a_question_the_agent_takes_back_is_withdrawn_and_gets_no_answer() {
    let (mut case, permission) = Case::asking();
    case.say(json!({"jsonrpc": "2.0", "method": "$/cancel_request", "params": {"requestId": "unknown"}}));
    assert_eq!(case.kinds(), [""; 0]);
    case.say(json!({"jsonrpc": "2.0", "method": "$/cancel_request", "params": {"requestId": "q1"}}));
    assert_eq!(case.fact("permission_resolved")["outcome"], "withdrawn");
    case.stands(Processing);
    assert!(case.answers_to(&json!("q1")).is_empty());
    assert_eq!(case.refused(ANN, choose(&permission, "yes")), ErrorCode::AlreadyDecided);
}

#[test]
fn a_turn_that_ends_takes_its_questions_with_it() {
    let (mut case, permission) = Case::asking();
    case.end_turn("end_turn");
    assert_eq!(case.kinds(), ["permission_resolved", "turn_ended", "state_changed"]);
    assert_eq!(case.fact("permission_resolved")["outcome"], "withdrawn");
    case.stands(Idle);
    assert_eq!(case.refused(ANN, choose(&permission, "yes")), ErrorCode::AlreadyDecided);
}

#[test]
fn an_agent_that_dies_takes_its_questions_with_it() {
    for seen in [true, false] {
        let (mut case, permission) = Case::asking();
        let last = case.state.body.last_frame;
        case.gone(if seen { exited(1, last) } else { lost(last) });
        assert_eq!(case.fact("permission_resolved")["outcome"], "withdrawn");
        assert!(case.state.pending.is_empty());
        assert_eq!(case.refused(ANN, choose(&permission, "yes")), ErrorCode::AlreadyDecided);
    }
}

#[test]
fn an_interrupt_cancels_every_question_those_on_the_way_included() {
    let (mut case, first) = Case::asking();
    let second = case.question(json!("q2"));
    case.ok(BEN, Command::Interrupt { turn: None });
    assert_eq!(case.kinds(), ["permission_resolved", "permission_resolved", "state_changed"]);
    assert_eq!(case.fact("permission_resolved")["by"]["label"], "seat2");
    case.stands(Processing);
    for (permission, rpc_id) in [(&first, json!("q1")), (&second, json!("q2"))] {
        assert_eq!(case.answers_to(&rpc_id)[0]["result"]["outcome"], json!({"outcome": "cancelled"}));
        assert_eq!(case.refused(ANN, choose(permission, "yes")), ErrorCode::AlreadyDecided, "a late allow");
        assert_eq!(case.answers_to(&rpc_id).len(), 1);
    }
    // The agent had not heard yet when it asked this one.
    case.request(json!("late"));
    assert_eq!(case.kinds(), [""; 0]);
    assert_eq!(case.answers_to(&json!("late"))[0]["result"]["outcome"]["outcome"], "cancelled");
    case.stands(Processing);
    // The next turn asks as usual.
    case.end_turn("cancelled");
    case.ok(ANN, input("next"));
    case.question(json!("next"));
    case.stands(WaitingPermission);
}

#[test]
fn fault_59_the_question_after_two_hundred_and_fifty_six_is_refused() {
    let mut case = Case::processing();
    for n in 0..MAX_PENDING {
        case.request(json!(n));
    }
    assert_eq!(case.state.pending.len(), MAX_PENDING);
    case.request(json!("over"));
    assert_eq!(case.kinds(), ["agent_request_refused"]);
    assert_eq!(case.answers_to(&json!("over"))[0]["error"]["code"], -32000);
    assert_eq!(case.state.pending.len(), MAX_PENDING);
    // One answer makes room for one question.
    let first = case.state.pending.values().next().unwrap().permission.clone();
    case.ok(ANN, choose(&first, "no"));
    case.request(json!("fits"));
    assert_eq!(case.kinds(), ["permission_requested"]);
}

#[test]
fn questions_survive_a_restart_of_the_daemon_and_are_answered_once() {
    let (mut case, permission) = Case::asking();
    case.feed(crate::session::event::Event::Restored);
    case.feed(crate::session::event::Event::Up(&standing(true, case.state.body.last_frame)));
    case.feed(crate::session::event::Event::CaughtUp);
    case.stands(WaitingPermission);
    case.ok(ANN, choose(&permission, "yes"));
    assert_eq!(case.answers_to(&json!("q1")).len(), 1);
}
