//! Agents that end when they should not, do not end when they should, or stand still.

use super::store::problems;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use vibes_tests::{TestEnv, Wire, eventually, oracle, processes};

fn with_opts(opts: &str) -> Value {
    json!({"args": ["--opts", opts], "subscribe": true, "wait_ready": false})
}

#[test]
fn fault_06_what_waited_for_an_agent_that_died_in_mid_line_is_ended() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(
        &session,
        &format!("ask_nowait t1 ls\nsleep_until {}\npartial {{\"half\":\nexit 3", env.path("go")),
    );
    let permission = ada.permission(&session);
    let queued = ada.prompt(&session, "say after all");
    fs::write(env.path("go"), "").expect("a file can be made");
    assert_eq!(ada.fact(&session, "unparsed")["fact"]["text"], "{\"half\":");
    assert_eq!(ada.fact(&session, "agent_exited")["fact"]["code"], 3);
    assert_eq!(ada.fact(&session, "permission_resolved")["fact"]["outcome"], "withdrawn");
    assert_eq!(ada.fact(&session, "turn_ended")["fact"]["outcome"], "failed");
    assert_eq!(ada.decide(&session, &permission, "allow_once")["type"], "error");
    ada.said(&session, "after all");
    let mut started = ada.stream(&session).iter().filter(|record| record["fact"]["kind"] == "turn_started");
    assert_eq!(started.next_back().map(|record| record["fact"]["input_seq"].clone()), Some(json!(queued)));
    oracle::check(&env);
}

#[test]
fn fault_07_an_agent_that_leaves_its_turn_with_0_has_failed_and_its_last_words_are_kept() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "stderr 100000 out of credit\nexit 0");
    let words = ada.fact(&session, "agent_stderr")["fact"]["text"].as_str().map(str::to_owned).expect("text");
    assert!(words.ends_with("out of credit") && words.len() <= 8 * 1024, "{} bytes", words.len());
    let ended = ada.fact(&session, "turn_ended")["fact"].take();
    assert_eq!(ended["outcome"], "failed");
    assert!(ended["error"].to_string().contains("out of credit"), "{ended}");
    assert_eq!(ada.state(&session, "idle")["generation"], 2);
}

#[test]
fn fault_07_an_agent_that_quits_before_it_begins_has_failed_with_its_last_words() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, with_opts("quit-on-init"));
    assert_eq!(ada.fact(&session, "agent_stderr")["fact"]["text"], "fake agent: nothing to do");
    let reason = ada.state(&session, "failed")["reason"].to_string();
    assert!(reason.contains("code 0") && reason.contains("nothing to do"), "{reason}");
    env.runner_gone(&session);
}

#[test]
fn fault_07_the_fourth_crash_in_a_minute_is_the_last() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    for _ in 0..3 {
        ada.prompt(&session, "exit 9");
        ada.fact(&session, "turn_ended");
        ada.state(&session, "idle");
    }
    ada.prompt(&session, "exit 9");
    let failed = ada.state(&session, "failed");
    assert_eq!(
        (&failed["generation"], &failed["reason"]),
        (&json!(4), &json!("the agent exited with code 9"))
    );
    assert_eq!(ada.refused("input", json!({"session_id": session, "content": "say x"})), "INVALID_STATE");
    ada.ok("resume_session", json!({"session_id": session}));
    ada.state(&session, "idle");
    oracle::check(&env);
}

#[test]
fn fault_09_a_child_that_holds_stdout_open_does_not_outlive_its_agent() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let (inside, escaped) = (env.path("held-inside"), env.path("held-outside"));
    ada.prompt(&session, &format!("grandchild {inside}\ndaemonise {escaped}\nsay both\nexit 5"));
    ada.said(&session, "both");
    assert_eq!(ada.fact(&session, "agent_exited")["fact"]["code"], 5);
    eventually("what the agent left is gone", || {
        (processes::running(&inside).is_empty() && processes::running(&escaped).is_empty()).then_some(())
    });
    ada.state(&session, "idle");
}

#[test]
fn fault_11_an_agent_that_is_stopped_delays_nobody_and_loses_nothing() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let (stopped, other) =
        (ada.create(&env, json!({"subscribe": true})), ada.create(&env, json!({"subscribe": true})));
    let agent = processes::of(&mut ada, &stopped, "agent_pid");
    ada.prompt(&stopped, "chunks 2000 64 200 f");
    ada.said(&stopped, "f#50 ");
    processes::signal(agent, Signal::STOP);
    ada.prompt(&other, "say not held up");
    ada.said(&other, "not held up");
    let queued = ada.prompt(&stopped, "say thawed");
    env.daemon().kill9();
    env.daemon();
    let mut again = env.client("ada");
    again.subscribe(&stopped, 0, "writer");
    assert_eq!(again.state(&stopped, "processing")["link"], "live");
    processes::signal(agent, Signal::CONT);
    again.said(&stopped, "thawed");
    let journals = oracle::check(&env);
    assert_eq!(oracle::check_chunks(&stopped, &journals[&stopped], "f"), 2000);
    oracle::check_accepted(&stopped, &journals[&stopped], &[(queued, "say thawed".to_owned())]);
}

#[test]
fn fault_11_a_runner_that_is_stopped_under_a_living_daemon_loses_nothing() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let stopped = ada.create(&env, json!({"subscribe": true}));
    let other = ada.create(&env, json!({"subscribe": true}));
    let runner = processes::of(&mut ada, &stopped, "pid");
    processes::signal(runner, Signal::STOP);
    // More than a socket holds, and something after it: neither may be cut, however long this lasts.
    let long = format!("say {}", "x".repeat(600_000));
    let accepted = [&long, "say thawed"].map(|prompt| (ada.prompt(&stopped, prompt), prompt.to_owned()));
    ada.ok("interrupt", json!({"session_id": stopped}));
    ada.prompt(&other, "say not held up");
    ada.said(&other, "not held up");
    eventually("the link is lost", || (info(&mut ada, &stopped)["link"] == "lost").then_some(()));
    processes::signal(runner, Signal::CONT);
    ada.said(&stopped, "thawed");
    assert_eq!(ada.state(&stopped, "idle")["link"], "live");
    let journals = oracle::check(&env);
    oracle::check_accepted(&stopped, &journals[&stopped], &accepted);
}

/// A session as it is shown.
fn info(wire: &mut Wire, session: &str) -> Value {
    wire.ok("get_session", json!({"session_id": session}))["session"].take()
}

#[test]
fn fault_11_a_runner_that_is_stopped_is_told_and_can_be_killed() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    assert!(env.vibes(&["doctor"]).exits(0).stdout.contains("ok   runner of"));
    let runner = processes::of(&mut ada, &session, "pid");
    // Nobody asks anything of it, and still it is noticed.
    processes::signal(runner, Signal::STOP);
    eventually("the link is lost", || (info(&mut ada, &session)["link"] == "lost").then_some(()));
    let told = info(&mut ada, &session)["reason"].to_string();
    assert!(told.contains("does not answer"), "{told}");
    assert!(problems(&env).contains(&format!("session {}: its runner does not answer", &session[..8])));
    let doctor = env.vibes(&["doctor"]).exits(1).stdout;
    assert!(doctor.contains(&format!("pid {runner} does not answer")), "{doctor}");
    processes::signal(runner, Signal::CONT);
    eventually("the link lives", || (info(&mut ada, &session)["link"] == "live").then_some(()));
    assert_eq!((&info(&mut ada, &session)["reason"], problems(&env)), (&Value::Null, "[]".to_owned()));
    ada.prompt(&session, "say thawed");
    ada.said(&session, "thawed");
    let agent = processes::of(&mut ada, &session, "agent_pid");
    processes::signal(runner, Signal::STOP);
    ada.ok("kill_session", json!({"session_id": session}));
    assert!(!processes::alive(agent) && !processes::alive(runner));
    oracle::check(&env);
}

#[test]
fn fault_51_an_agent_that_never_begins_can_be_killed_at_any_time() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    for method in ["initialize", "session/new"] {
        let session = ada.create(&env, with_opts(&format!("silent={method}")));
        let begun = || env.heard().iter().any(|entry| entry.line.contains(method));
        eventually("the agent heard it", || begun().then_some(()));
        let info = ada.ok("get_session", json!({"session_id": session}));
        assert_eq!(info["session"]["state"], "starting");
        ada.ok("kill_session", json!({"session_id": session}));
        env.runner_gone(&session);
    }
}

#[test]
fn fault_51_an_interrupt_that_changes_nothing_is_told_after_10_s_and_a_kill_helps() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"args": ["--opts", "ignore-cancel"], "subscribe": true}));
    ada.prompt(&session, &format!("say working\nsleep_until {}", env.path("never")));
    ada.said(&session, "working");
    ada.ok("interrupt", json!({"session_id": session}));
    let silent = ada.fact(&session, "agent_silent")["fact"].take();
    assert_eq!((&silent["request"], &silent["after_s"]), (&json!("session/cancel"), &json!(10)));
    assert_eq!(ada.ok("get_session", json!({"session_id": session}))["session"]["state"], "processing");
    let shown = env.vibes(&["logs", &session]).ok();
    assert!(shown.stdout.contains("vibes kill"), "{}", shown.stdout);
    ada.ok("kill_session", json!({"session_id": session}));
    assert_eq!(ada.fact(&session, "turn_ended")["fact"]["outcome"], "interrupted");
}

#[test]
fn fault_53_what_an_agent_asks_while_its_turn_is_being_ended_is_answered() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"args": ["--opts", "ignore-cancel"], "subscribe": true}));
    let go = env.path("go");
    ada.prompt(
        &session,
        &format!("say working\nsleep_until {go}\nask t1 rm\nunknown_request fs/write_text_file"),
    );
    ada.said(&session, "working");
    ada.ok("interrupt", json!({"session_id": session}));
    fs::write(go, "").expect("a file can be made");
    ada.said(&session, "answer t1 cancelled");
    ada.said(&session, "refused fs/write_text_file -32601");
    assert_eq!(ada.fact(&session, "turn_ended")["fact"]["outcome"], "interrupted");
    assert!(!ada.stream(&session).iter().any(|record| record["fact"]["kind"] == "permission_requested"));
    oracle::check(&env);
}
