//! Kill: acts first, is verified, and leaves nothing.

use serde_json::json;
use vibes_tests::{TestEnv, eventually, oracle, processes};

/// A word that no other process on the machine carries.
fn tag() -> String {
    format!("hold-{}", uuid::Uuid::new_v4().simple())
}

#[test]
fn fault_10_a_killed_session_has_no_process_when_the_answer_comes() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let (inside, escaped) = (tag(), tag());
    ada.prompt(&session, &format!("grandchild {inside}\ndaemonise {escaped}"));
    ada.fact(&session, "turn_ended");
    eventually("both children run", || {
        (processes::running(&inside).len() + processes::running(&escaped).len() >= 2).then_some(())
    });
    ada.ok("kill_session", json!({"session_id": session}));
    assert!(processes::running(&inside).is_empty(), "the agent's child lives");
    assert!(processes::running(&escaped).is_empty(), "the child with a session of its own lives");
    let removed = ada.inbox().into_iter().find(|message| message["type"] == "session_removed");
    assert_eq!(
        removed.map(|removed| removed["reason"].clone()),
        Some(json!("killed")),
        "told before the answer"
    );
    let all = ada.ok("list_sessions", json!({"include_ended": true}));
    assert_eq!(all["sessions"][0]["state"], "killed");
}

#[test]
fn a_kill_ends_a_running_turn_and_says_what_it_dropped() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, &format!("ignore_term\nsleep_until {}", env.path("never")));
    ada.fact(&session, "turn_started");
    let queued = ada.prompt(&session, "say never heard");
    ada.ok("kill_session", json!({"session_id": session}));
    let records = oracle::journal(&mut ada, &session);
    let dropped = records.iter().find(|record| record["fact"]["kind"] == "input_dropped");
    assert_eq!(dropped.map(|record| record["fact"]["input_seq"].clone()), Some(json!(queued)));
    oracle::check(&env);
}

#[test]
fn fault_08_an_agent_that_ignores_sigterm_and_its_stdin_is_killed_anyway() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let stubborn =
        json!({"args": ["--opts", "ignore-term,ignore-cancel,exit-on-eof=never"], "subscribe": true});
    let session = ada.create(&env, stubborn);
    ada.ok("kill_session", json!({"session_id": session}));
    env.runner_gone(&session);
}

#[test]
fn killing_twice_and_killing_what_is_gone_is_said() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({}));
    ada.ok("kill_session", json!({"session_id": session}));
    assert_eq!(ada.refused("kill_session", json!({"session_id": session})), "INVALID_STATE");
    assert_eq!(ada.refused("input", json!({"session_id": session, "content": "say x"})), "INVALID_STATE");
}

#[test]
fn one_session_is_killed_and_the_other_does_not_notice() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let doomed = ada.create(&env, json!({}));
    let other = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&other, "chunks 200 32 1000 n");
    ada.fact(&other, "turn_started");
    ada.ok("kill_session", json!({"session_id": doomed}));
    assert_eq!(ada.fact(&other, "turn_ended")["fact"]["outcome"], "finished");
    assert_eq!(oracle::check_chunks(&other, ada.stream(&other), "n"), 200);
}
