//! The daemon dies around an answer that nobody gave: it is recorded once and sent once, or a person is asked.

use super::rules::RULES;
use serde_json::{Value, json};
use vibes_runner::points::Point;
use vibes_tests::{TestEnv, eventually, oracle, points::Hook};

/// How often the agent was answered, and how.
fn answers(env: &TestEnv) -> Vec<Value> {
    let heard = env.heard();
    let lines = heard.iter().filter(|entry| entry.kind == "in");
    lines
        .filter_map(|entry| serde_json::from_str::<Value>(&entry.line).ok())
        .filter(|line| line["result"]["outcome"].is_object())
        .map(|line| line["result"]["outcome"]["optionId"].clone())
        .collect()
}

/// A daemon that dies at a point in the middle of answering by a rule; gives the session, with the next daemon there.
fn dies_at(env: &TestEnv, point: Point) -> String {
    let hook = Hook::first(env, point, 1, "kill", |_| {});
    env.spawn_vibes(&["daemon", "start"], "", &hook.variables()).wait().ok();
    let mut ada = env.client("ada@box:pts/1");
    ada.ok("apply_rules", json!({"text": RULES}));
    let session = ada.create(env, json!({}));
    ada.try_request("input", json!({"session_id": session, "content": "ask t make test\nsay done"}));
    eventually("the daemon dies at its point", || hook.came_by());
    env.daemon();
    session
}

/// The records of a session's questions.
fn resolved(env: &TestEnv, session: &str) -> Vec<Value> {
    let logs = env.vibes(&["logs", session, "--json"]).ok().stdout;
    let records = logs.lines().map(|line| serde_json::from_str::<Value>(line).expect("a record is JSON"));
    records
        .map(|mut record| record["fact"].take())
        .filter(|fact| fact["kind"] == "permission_resolved")
        .collect()
}

#[test]
#[cfg_attr(not(feature = "points"), ignore = "needs programs with points: --features points")]
fn an_answer_that_was_recorded_is_sent_once_by_the_next_daemon() {
    let env = TestEnv::new();
    let session = dies_at(&env, Point::PermCommitted);
    env.vibes(&["wait", &session, "--until", "idle"]).ok();
    let resolved = resolved(&env, &session);
    assert_eq!(resolved.len(), 1, "{resolved:?}");
    assert_eq!((&resolved[0]["rule"], &resolved[0]["outcome"]), (&json!("make"), &json!("allowed")));
    assert_eq!(answers(&env), ["allow"]);
    oracle::check(&env);
}

#[test]
#[cfg_attr(not(feature = "points"), ignore = "needs programs with points: --features points")]
fn a_question_that_was_left_waiting_is_for_people() {
    let env = TestEnv::new();
    let session = dies_at(&env, Point::PermIngested);
    env.vibes(&["wait", &session, "--until", "needs-approval"]).ok();
    assert_eq!(answers(&env), [] as [Value; 0], "no rule answers what an earlier daemon left");
    env.vibes(&["deny", &session]).ok();
    env.vibes(&["wait", &session, "--until", "idle"]).ok();
    let resolved = resolved(&env, &session);
    assert_eq!((resolved.len(), &resolved[0]["how"]), (1, &json!("person")));
    assert_eq!(answers(&env), ["reject"]);
    // The next one is the rules' again.
    env.vibes(&["send", &session, "ask u make test", "--wait"]).ok();
    assert_eq!(answers(&env), ["reject", "allow"]);
    oracle::check(&env);
}
