//! What goes before a prompt: the conversation so far, for an agent that has lost it, and a person's own words.

use super::case::*;
use crate::session::{
    Digest,
    event::{Caller, Command, Event},
};
use serde_json::{Value, json};
use vibes_protocol::model::SessionState::*;

/// The blocks of the last prompt that the agent got.
fn blocks(case: &Case) -> Vec<Value> {
    let call = case.last("session/prompt").expect("it got a prompt");
    let generation = case.state.body.generation;
    let sent = case.sent.iter().rev().find(|sent| sent.number == call && sent.generation == generation);
    sent.expect("it was sent").line["params"]["prompt"].as_array().expect("blocks").clone()
}

/// The agent is started again and can take nothing up.
fn begins_anew(case: &mut Case) {
    case.live();
    case.result("initialize", json!({"protocolVersion": 1}));
    case.result("session/new", json!({"sessionId": "other"}));
}

/// A session whose agent has just lost the conversation.
fn lost_its_memory() -> Case {
    let mut case = Case::processing();
    case.end_turn("end_turn");
    case.ask(ANN, Command::Suspend { now: false });
    case.exit(0);
    case.ok(ANN, Command::Resume { context: Some("be brief".into()) });
    case
}

#[test]
fn what_was_said_goes_before_the_next_prompt_once_and_is_recorded() {
    let mut case = lost_its_memory();
    begins_anew(&mut case);
    case.ok(ANN, input("go on"));
    let texts: Vec<Value> = blocks(&case).iter().map(|block| block["text"].clone()).collect();
    assert_eq!(texts, ["so far", "be brief", "go on"]);
    assert_eq!(blocks(&case)[0]["_meta"]["vibes"]["context"], "transcript");
    let told: Vec<_> = case.facts.iter().filter(|fact| fact["kind"] == "context_added").collect();
    assert_eq!(told.len(), 2);
    assert_eq!(
        (&told[0]["text"], &told[0]["turn"], &told[0]["turns"]),
        (&json!("so far"), &json!(2), &json!(1))
    );
    assert_eq!((&told[1]["text"], &told[1]["source"]), (&json!("be brief"), &json!("person")));
    case.end_turn("end_turn");
    case.ok(ANN, input("and on"));
    assert_eq!(blocks(&case).len(), 1);
}

#[test]
fn a_prompt_waits_for_what_was_said_and_a_new_daemon_reads_it_anew() {
    let mut case = lost_its_memory();
    case.recalls = false;
    case.ok(ANN, input("go on"));
    begins_anew(&mut case);
    assert_eq!(case.last("session/prompt"), None);
    case.stands(Idle);
    assert_eq!(case.state.info().queued, 1, "whoever waits for the session sees that it has work");
    // The daemon dies and another one reads the state: nothing of what was under way is in it.
    (case.state.recalling, case.state.recalled) = (false, None);
    case.feed(Event::Restored);
    case.recalls = true;
    case.live();
    assert_eq!(blocks(&case).len(), 3);
    case.stands(Processing);
}

#[test]
fn what_did_not_reach_the_agent_is_told_with_the_next_try() {
    let mut case = lost_its_memory();
    begins_anew(&mut case);
    case.ok(ANN, input("go on"));
    let before = case.last("session/prompt").unwrap() - 1;
    case.gone(exited(1, before));
    assert_eq!(case.count("not_delivered"), 1);
    begins_anew(&mut case);
    assert_eq!(blocks(&case).len(), 3, "the prompt, and all that belongs to it");
    assert_eq!(case.count("context_added"), 4);
}

#[test]
fn what_was_not_told_yet_is_told_to_the_agent_that_takes_the_empty_conversation_up() {
    let mut case = lost_its_memory();
    begins_anew(&mut case);
    case.ask(ANN, Command::Suspend { now: false });
    case.exit(0);
    case.ok(ANN, Command::Resume { context: None });
    case.live();
    case.result(
        "initialize",
        json!({"protocolVersion": 1, "agentCapabilities": {"sessionCapabilities": {"resume": {}}}}),
    );
    case.result("session/resume", json!({}));
    assert!(case.fact("agent_ready").get("context_lost").is_none());
    case.ok(ANN, input("go on"));
    assert_eq!(blocks(&case).len(), 3);
}

#[test]
fn a_conversation_that_cannot_be_read_keeps_nobody_from_going_on() {
    for (digest, records) in [(Digest::failed("no such disk".to_owned()), 2), (Digest::default(), 1)] {
        let mut case = lost_its_memory();
        case.recalls = false;
        begins_anew(&mut case);
        case.ok(ANN, input("go on"));
        case.feed(Event::Command(Caller::nobody(), Command::Recalled(Box::new(digest)), 99));
        assert_eq!(blocks(&case).len(), 2, "what a person gave and the prompt");
        assert_eq!(case.count("context_added"), records);
    }
}

#[test]
fn an_agent_that_remembers_is_told_nothing() {
    let mut case = Case::processing();
    case.end_turn("end_turn");
    case.ask(ANN, Command::Suspend { now: false });
    case.exit(0);
    case.ok(ANN, input("go on"));
    case.live();
    case.open();
    assert_eq!(blocks(&case).len(), 1);
    // Nor is one that is given too much.
    case.end_turn("end_turn");
    case.ask(ANN, Command::Suspend { now: false });
    case.exit(0);
    case.refused(ANN, Command::Resume { context: Some("x".repeat(64 * 1024 + 1)) });
}
