//! The embedded shell agent through the whole of vibes.

use serde_json::{Value, json};
use vibes_tests::{TestEnv, Wire, eventually, processes};

fn shell(wire: &mut Wire, env: &TestEnv, mode: &str) -> String {
    wire.create(env, json!({"agent": "shell", "mode": mode, "subscribe": true}))
}

#[track_caller]
fn run(wire: &mut Wire, session: &str, command: &str) -> (String, Value) {
    let seen = wire.text(session).len();
    wire.prompt(session, command);
    let mut ended = wire.fact(session, "turn_ended");
    (wire.text(session)[seen..].to_owned(), ended["fact"].take())
}

#[test]
fn a_command_runs_and_its_exit_code_is_kept() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = shell(&mut ada, &env, "auto");
    let (text, ended) = run(&mut ada, &session, "echo out; echo err >&2; exit 3");
    assert_eq!(text, "out\nerr\n");
    assert_eq!((&ended["outcome"], &ended["exit_code"]), (&json!("finished"), &json!(3)));
}

#[test]
fn cd_lasts_and_the_session_keeps_its_own_directory() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = shell(&mut ada, &env, "auto");
    assert_eq!(run(&mut ada, &session, "pwd").0.trim(), env.work());
    run(&mut ada, &session, "mkdir -p deep/er && cd deep/er");
    assert_eq!(run(&mut ada, &session, "pwd").0.trim(), format!("{}/deep/er", env.work()));
}

#[test]
fn in_mode_ask_nothing_runs_before_it_is_allowed() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = shell(&mut ada, &env, "ask");
    let file = env.path("made");
    ada.prompt(&session, &format!("touch {file}; echo made"));
    let permission = ada.permission(&session);
    assert_eq!(permission["raw_input"]["command"], format!("touch {file}; echo made"));
    assert!(!std::path::Path::new(&file).exists());
    ada.decide(&session, &permission, "allow_once");
    ada.said(&session, "made");
    assert!(std::path::Path::new(&file).exists());
}

#[test]
fn a_rejected_command_is_not_run() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = shell(&mut ada, &env, "ask");
    let file = env.path("made");
    ada.prompt(&session, &format!("touch {file}"));
    let permission = ada.permission(&session);
    ada.decide(&session, &permission, "reject_once");
    ada.said(&session, "rejected");
    ada.fact(&session, "turn_ended");
    assert!(!std::path::Path::new(&file).exists());
}

#[test]
fn allowing_the_session_asks_no_more() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = shell(&mut ada, &env, "ask");
    ada.prompt(&session, "echo first");
    let permission = ada.permission(&session);
    ada.decide(&session, &permission, "allow_always");
    ada.fact(&session, "turn_ended");
    assert_eq!(run(&mut ada, &session, "echo second").0, "second\n");
    let info = ada.ok("get_session", json!({"session_id": session}));
    assert_eq!(info["session"]["options"]["mode"], "auto");
}

#[test]
fn a_long_command_streams_before_it_ends() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = shell(&mut ada, &env, "auto");
    let go = env.path("go");
    ada.prompt(&session, &format!("echo begun; until [ -e {go} ]; do sleep 0.01; done; echo over"));
    ada.said(&session, "begun\n");
    std::fs::write(go, "").expect("a file can be made");
    ada.said(&session, "over\n");
}

#[test]
fn an_interrupt_ends_the_command_and_all_it_started() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = shell(&mut ada, &env, "auto");
    let tag = format!("{}.5", 700_000 + std::process::id());
    ada.prompt(&session, &format!("setsid sleep {tag} & sleep {tag} & echo begun; wait"));
    ada.said(&session, "begun");
    eventually("both sleep", || (processes::running(&format!("sleep {tag}")).len() >= 2).then_some(()));
    ada.ok("interrupt", json!({"session_id": session}));
    assert_eq!(ada.fact(&session, "turn_ended")["fact"]["outcome"], "interrupted");
    assert!(processes::running(&format!("sleep {tag}")).is_empty());
    assert_eq!(run(&mut ada, &session, "echo alive").0, "alive\n");
}

#[test]
fn a_flood_is_whole_and_in_order() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = shell(&mut ada, &env, "auto");
    let (text, ended) = run(&mut ada, &session, "seq 1 200000");
    let expected: String = (1..=200_000).map(|n| format!("{n}\n")).collect();
    assert!(text == expected, "{} bytes instead of {}", text.len(), expected.len());
    assert_eq!(ended["exit_code"], 0);
}

#[test]
fn binary_output_and_escapes_arrive_as_text() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = shell(&mut ada, &env, "auto");
    let (text, _) = run(&mut ada, &session, r"printf 'a\000b\377c\033[2J\303\251'");
    assert_eq!(text, "a\u{0}b\u{fffd}c\u{1b}[2Jé");
}

#[test]
fn a_suspended_shell_comes_back_where_it_was() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = shell(&mut ada, &env, "auto");
    run(&mut ada, &session, "cd /usr");
    ada.ok("suspend_session", json!({"session_id": session}));
    ada.state(&session, "suspended");
    assert_eq!(run(&mut ada, &session, "pwd").0, "/usr\n");
}

#[test]
fn the_agents_own_environment_names_its_session_and_no_secret_of_the_daemon() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = shell(&mut ada, &env, "auto");
    let (text, _) = run(&mut ada, &session, "env");
    assert!(text.contains(&format!(":{session}.1\n")), "the marker: {text}");
    assert!(!text.contains("VIBES_AGENT_FAKE"), "the client's environment, not the daemon's: {text}");
}
