//! An agent that does not answer, asks twice with one id, asks without end: told, bounded, never answered wrongly.

use super::case::{ANN, Case, T0};
use crate::session::{
    event::{Command, Event},
    state::{CANCEL_PATIENCE_MS, MAX_OUTBOX, MAX_PENDING, MAX_PENDING_BYTES, SLEPT_MS},
};
use serde_json::{Value, json};
use vibes_protocol::model::{ErrorCode, Outcome, SessionState};

/// A question with this id and a command of so many bytes.
fn ask(case: &mut Case, rpc_id: &Value, bytes: usize) {
    case.say(json!({"jsonrpc": "2.0", "id": rpc_id, "method": "session/request_permission", "params": {
        "sessionId": "s", "toolCall": {"toolCallId": "t", "rawInput": {"command": "x".repeat(bytes)}},
        "options": [{"optionId": "yes", "kind": "allow_once", "name": "Yes"}]}}));
}

#[test]
fn fault_51_52_an_agent_that_opens_no_conversation_in_time_has_failed_and_its_late_answer_is_recorded() {
    for (answered, silent, limit) in [(false, "initialize", 60_000), (true, "session/new", 60_000)] {
        let mut case = Case::starting();
        case.now = T0 + 1_000;
        case.live();
        let mut begun = T0 + 1_000;
        if answered {
            begun += 5_000;
            case.now = begun;
            case.result("initialize", json!({"protocolVersion": 1}));
        }
        let waiting = case.ask(ANN, Command::WaitReady);
        assert_eq!(case.state.next_deadline_ms(), Some(begun + limit), "{silent}");
        case.tick(begun + limit - 1);
        assert_eq!(case.count("agent_silent"), 0);
        case.tick(begun + limit);
        assert_eq!(case.fact("agent_silent")["request"], silent);
        assert!(matches!(case.reply(waiting), Some(Err(error)) if error.code == ErrorCode::AgentStartFailed));
        case.result(silent, json!({"protocolVersion": 1, "sessionId": "s"}));
        assert!(case.fact("unparsed")["why"].to_string().contains("after it was given up"));
        assert!(!case.state.body.codec.is_ready());
        case.exit(0);
        case.stands(SessionState::Failed);
        let why = format!("the agent has not answered {silent} within {} s", limit / 1000);
        assert_eq!(case.fact("state_changed")["reason"], why);
        assert_eq!(case.state.next_deadline_ms(), None);
    }
}

#[test]
fn fault_51_time_that_the_machine_slept_through_is_not_the_agents() {
    let mut case = Case::starting();
    case.live();
    let woken = T0 + 60_000 + SLEPT_MS + 1;
    case.tick(woken);
    case.stands(SessionState::Starting);
    assert_eq!(case.state.next_deadline_ms(), Some(woken + 60_000));
    case.tick(woken + 60_000);
    assert_eq!(case.count("agent_silent"), 1);
}

#[test]
fn fault_51_58_a_history_may_take_as_long_as_it_is_told() {
    let mut case = Case::idle();
    case.exit(0);
    case.ok(ANN, Command::Resume { context: None });
    case.live();
    case.result("initialize", json!({"protocolVersion": 1, "agentCapabilities": {"loadSession": true}}));
    for minute in 1..10 {
        case.tick(T0 + minute * 50_000);
        case.say(
            json!({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update": {
            "sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": "history"}}}}),
        );
    }
    assert_eq!((case.count("agent_silent"), case.count("update")), (0, 0));
    case.tick(T0 + 9 * 50_000 + 60_000);
    assert_eq!(case.fact("agent_silent")["request"], "session/load");
}

#[test]
fn fault_51_a_turn_may_take_for_ever_but_an_interrupt_that_changes_nothing_is_told() {
    let mut case = Case::processing();
    assert_eq!(case.state.next_deadline_ms(), None, "no limit on a turn");
    case.ok(ANN, Command::Interrupt { turn: None });
    let due = case.now + CANCEL_PATIENCE_MS;
    assert_eq!(case.state.next_deadline_ms(), Some(due));
    case.tick(due);
    assert_eq!(case.kinds(), ["agent_silent"]);
    assert_eq!(
        *case.fact("agent_silent"),
        json!({"kind": "agent_silent", "request": "session/cancel", "after_s": 10})
    );
    case.stands(SessionState::Processing);
    assert_eq!(case.state.next_deadline_ms(), None, "told once");
    // The late answer ends the turn all the same.
    case.end_turn("cancelled");
    assert_eq!(case.fact("turn_ended")["outcome"], "interrupted");
    case.stands(SessionState::Idle);
}

#[test]
fn fault_51_a_new_daemon_waits_anew_once_it_has_heard_everything() {
    let mut case = Case::starting();
    case.live();
    case.state.awaited = None;
    case.now += 3_600_000;
    case.feed(Event::Restored);
    assert_eq!(case.state.awaited, None, "the answer may lie in the spool");
    case.feed(Event::CaughtUp);
    assert_eq!(case.state.next_deadline_ms(), Some(case.now + 60_000));
}

#[test]
fn fault_49_a_second_request_with_an_id_that_waits_is_never_answered_in_its_place() {
    let (mut case, permission) = Case::asking();
    case.request(json!("q1"));
    assert_eq!((case.kinds(), case.state.pending.len()), (vec!["unparsed"], 1));
    // Requests that would be refused at once share the rule, however the id is spelled.
    case.raw(br#"{"jsonrpc":"2.0","id":"\u00711","method":"fs/read_text_file","params":{}}"#);
    assert_eq!(case.kinds(), ["unparsed"]);
    assert_eq!(case.answers_to(&json!("q1")), Vec::<&Value>::new(), "the first one still waits");
    case.ok(ANN, super::case::choose(&permission, "yes"));
    let answers = case.answers_to(&json!("q1"));
    assert_eq!((answers.len(), &answers[0]["result"]["outcome"]["optionId"]), (1, &json!("yes")));
    // After its answer an id is free again.
    case.question(json!("q1"));
}

#[test]
fn fault_59_questions_are_bounded_in_number_and_in_bytes() {
    let mut case = Case::processing();
    for n in 0..300 {
        ask(&mut case, &json!(n), 10);
    }
    assert_eq!(case.state.pending.len(), MAX_PENDING);
    assert_eq!(case.answers_to(&json!(299))[0]["error"]["code"], -32000);
    let mut case = Case::processing();
    for n in 0..10 {
        ask(&mut case, &json!(n), MAX_PENDING_BYTES / 4);
    }
    assert_eq!(case.state.pending.len(), 3, "the fourth is over by what stands around it");
    assert_eq!(case.answers_to(&json!(3))[0]["error"]["code"], -32000);
    case.end_turn("end_turn");
    assert_eq!(case.state.pending.len(), 0);
    assert_eq!(case.fact("permission_resolved")["outcome"], json!(Outcome::Withdrawn));
}

#[test]
fn fault_54_an_agent_that_asks_for_ever_and_never_reads_is_stopped() {
    let mut case = Case::processing();
    // Refusals that the runner does not take, because the agent does not read.
    let frames = (1..=MAX_OUTBOX as u64).map(|n| (case.state.body.last_frame + n, b"{}\n".to_vec()));
    let frames: Vec<_> = frames.collect();
    case.state.body.last_frame += frames.len() as u64 - 1;
    case.state.outbox =
        frames.into_iter().take(MAX_OUTBOX - 1).collect::<std::collections::BTreeMap<_, _>>().into();
    for n in 0..2 {
        assert!(case.state.body.stopping.is_none(), "{n}");
        case.raw(format!(r#"{{"jsonrpc":"2.0","id":{n},"method":"x"}}"#).as_bytes());
    }
    let stopping = case.state.body.stopping.as_ref().expect("it is stopped");
    assert!(stopping.reason.as_deref().is_some_and(|why| why.contains("does not read its input")));
    assert!(case.state.outbox.len() <= MAX_OUTBOX + 2);
}

#[test]
fn fault_07_an_agent_that_ends_with_0_where_it_is_needed_leaves_its_last_words() {
    for mut case in [Case::starting(), Case::processing()] {
        let mut gone = super::case::exited(0, case.state.body.last_frame);
        gone.stderr = "no licence".into();
        case.gone(gone);
        assert_eq!(case.fact("agent_stderr")["text"], "no licence");
        assert_eq!(case.fact("agent_exited")["code"], 0);
    }
}
