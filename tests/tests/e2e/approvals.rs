//! What becomes of questions that nobody answers in time or at all, and the list and the log of them.

use serde_json::{Value, json};
use std::fs;
use vibes_tests::{TestEnv, oracle};

#[test]
fn a_question_is_denied_when_its_time_is_up() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true, "approval_deadline_s": 1}));
    ada.prompt(&session, "ask t ls\nsay onward");
    let permission = ada.permission(&session);
    assert!(permission["deadline_ms"].is_i64(), "{permission}");
    let fact = ada.fact(&session, "permission_resolved")["fact"].take();
    assert_eq!((&fact["outcome"], &fact["how"]), (&json!("expired"), &json!("expiry")), "{fact}");
    assert!(fact["waited_ms"].as_u64() >= Some(900), "{fact}");
    ada.said(&session, "answer t rejectonward");
    assert_eq!(ada.decide(&session, &permission, "allow_once")["code"], "ALREADY_DECIDED");
    oracle::check(&env);
}

#[test]
fn the_configuration_and_the_session_say_how_long() {
    let env = TestEnv::new();
    fs::create_dir_all(env.path("cfg/vibes")).expect("a directory can be made");
    let config = "[approvals]\ndeadline_s = 3600\n[approvals.agents.fake]\ndeadline_s = 1\n";
    fs::write(env.path("cfg/vibes/config.toml"), config).expect("a file can be made");
    env.daemon();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "ask t ls");
    assert_eq!(ada.fact(&session, "permission_resolved")["fact"]["outcome"], "expired");
    // A session's own word wins; 0 is for ever.
    env.vibes(&["approvals", "policy", &session, "--deadline", "0"]).ok();
    ada.fact(&session, "turn_ended");
    ada.permission(&session);
    ada.prompt(&session, "ask t ls");
    assert_eq!(ada.permission(&session)["deadline_ms"], Value::Null);
}

#[test]
fn a_deadline_survives_the_daemon() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true, "approval_deadline_s": 4}));
    ada.prompt(&session, "ask t ls");
    ada.permission(&session);
    env.daemon().kill9();
    env.daemon();
    let mut ada = env.client("ada");
    let joined = ada.subscribe(&session, 0, "writer");
    assert_eq!(joined["pending_permissions"].as_array().map(Vec::len), Some(1));
    assert_eq!(ada.fact(&session, "permission_resolved")["fact"]["outcome"], "expired");
    ada.said(&session, "answer t reject");
    oracle::check(&env);
}

#[test]
fn nobody_there_is_a_denial_where_that_is_wanted() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"detached": "deny"}));
    // One who only watches could not answer.
    let mut eve = env.client("eve");
    eve.subscribe(&session, 0, "viewer");
    ada.ok("input", json!({"session_id": session, "content": "ask t ls\nsay onward"}));
    let fact = eve.fact(&session, "permission_resolved")["fact"].take();
    assert_eq!((&fact["outcome"], &fact["how"]), (&json!("denied"), &json!("detached")), "{fact}");
    eve.said(&session, "answer t rejectonward");
    // With somebody there it waits, until they leave.
    ada.subscribe(&session, 0, "writer");
    ada.ok("input", json!({"session_id": session, "content": "ask u ls"}));
    ada.state(&session, "waiting_permission");
    ada.ok("unsubscribe", json!({"session_ids": [session]}));
    let fact = eve.fact(&session, "permission_resolved")["fact"].take();
    assert_eq!(fact["how"], "detached", "{fact}");
    // Otherwise it waits for whoever comes.
    let patient = ada.create(&env, json!({}));
    ada.ok("input", json!({"session_id": patient, "content": "ask t ls"}));
    ada.state(&patient, "waiting_permission");
    oracle::check(&env);
}

#[test]
fn the_list_and_the_log_tell_who_where_and_how() {
    let env = TestEnv::started();
    let id = env.run_fake("ask t make test");
    env.vibes(&["wait", &id, "--until", "needs-approval"]).ok();
    let listed = env.vibes(&["approvals", "list", "--json"]).ok().json();
    assert_eq!(listed[0]["permission"]["raw_input"], json!({"command": "make test"}));
    let words = env.vibes(&["approvals", "list"]).ok().stdout;
    assert!(words.contains("execute make test") && words.contains(&id[..8]), "{words}");
    env.vibes(&["approve", &id]).ok();
    env.vibes(&["wait", &id, "--until", "idle"]).ok();
    assert_eq!(env.vibes(&["approvals", "list", "--json"]).ok().json(), json!([]));
    let log = env.vibes(&["approvals", "log", "--json"]).ok().json();
    let resolved = &log[0]["resolved"];
    assert_eq!((&resolved["outcome"], &resolved["how"]), (&json!("allowed"), &json!("person")));
    assert_eq!(resolved["hash"], log[0]["permission"]["hash"]);
    let surface = &resolved["surface"];
    assert_eq!(surface["kind"], "cli");
    assert!(surface["exe"].as_str().is_some_and(|exe| exe.ends_with("/vibes")), "{surface}");
    assert!(surface["pid"].is_i64() && resolved["waited_ms"].is_u64(), "{resolved}");
    let words = env.vibes(&["approvals", "log"]).ok().stdout;
    assert!(words.contains("allowed") && words.contains("tester@"), "{words}");
}
