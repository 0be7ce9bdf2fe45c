//! One session at a time, for who wants that: nothing is paused unasked, and nothing is lost.

use serde_json::json;
use std::fs;
use vibes_tests::{Pty, TestEnv, eventually, oracle};

#[test]
fn what_begins_or_goes_on_pauses_the_active_one_after_a_warning_and_loses_nothing() {
    let env = TestEnv::new();
    fs::create_dir_all(env.path("cfg/vibes")).expect("a directory can be made");
    fs::write(env.path("cfg/vibes/config.toml"), "[sessions]\nsingle_active = true\n")
        .expect("it is written");
    let first = env.vibes(&["run", "fake", "-d", "--wait-ready", "--name", "first"]).ok().line().to_owned();
    let refused = env.vibes(&["run", "fake", "-d", "--name", "second"]).exits(5);
    assert!(
        refused.stderr.contains("first pauses now") && refused.stderr.contains("--yes"),
        "{}",
        refused.stderr
    );
    let second =
        env.vibes(&["run", "fake", "-d", "--wait-ready", "--yes", "--name", "second"]).ok().line().to_owned();
    let mut ada = env.client("ada");
    assert_eq!(ada.state(&first, "suspended")["reason"], "focus");
    // One that asks comes to the end of its turn first; what is queued waits.
    ada.subscribe(&second, 0, "writer");
    ada.prompt(&second, "ask t make\nsay answered");
    let permission = ada.permission(&second);
    ada.prompt(&second, "say queued");
    assert_eq!(ada.refused("input", json!({"session_id": first, "content": "x"})), "IN_FOCUS");
    let refused = env.vibes(&["resume", "first"]).exits(5);
    assert!(
        refused.stderr.contains("second needs approval and pauses when its turn is over"),
        "{}",
        refused.stderr
    );
    env.vibes(&["resume", "first", "--yes"]).ok();
    assert_eq!(
        ada.ok("get_session", json!({"session_id": second}))["session"]["state"],
        "waiting_permission"
    );
    assert_eq!(ada.decide(&second, &permission, "allow_once")["type"], "ok");
    ada.said(&second, "answered");
    let info = ada.state(&second, "suspended");
    assert_eq!((&info["reason"], &info["queued"]), (&json!("focus"), &json!(1)));
    ada.state(&first, "idle");
    // On a terminal a person is asked.
    let mut window = Pty::vibes(&env, &["resume", "second"]);
    window.wait_for_text("first pauses now");
    window.keys("y\r");
    assert_eq!(window.wait_exit(), 0);
    ada.said(&second, "queued");
    assert_eq!(ada.state(&first, "suspended")["reason"], "focus");
    eventually("the first one's agent is gone", || {
        (ada.ok("get_session", json!({"session_id": first}))["session"]["link"] == "none").then_some(())
    });
    drop(ada);
    oracle::check(&env);
}
