//! One daemon per state directory: started when needed, never twice, stopped cleanly.

use serde_json::json;
use std::{fs, os::unix::fs::PermissionsExt};
use vibes_tests::TestEnv;

/// The daemons of an environment; the embedded agent is the same program.
fn daemons(env: &TestEnv) -> usize {
    let is_daemon = |command: &str| command.contains("vibesd") && !command.contains("agent shell");
    env.processes().iter().filter(|process| is_daemon(&process.command)).count()
}

/// How often a hundred clients race; `VIBES_STARTS` asks for more.
fn starts() -> usize {
    std::env::var("VIBES_STARTS").map_or(2, |starts| starts.parse().expect("VIBES_STARTS is a number"))
}

#[test]
fn fault_21_a_hundred_racing_clients_have_one_daemon() {
    let env = TestEnv::new();
    for round in 0..starts() {
        let clients: Vec<_> = (0..100).map(|_| env.spawn_vibes(&["ls"], "", &[])).collect();
        for client in clients {
            client.wait().ok();
        }
        assert_eq!(daemons(&env), 1, "round {round}");
        // Every other round finds the socket of a daemon that was killed.
        let daemon = env.daemon();
        if round % 2 == 0 { daemon.kill9() } else { daemon.terminate() }
    }
}

#[test]
fn fault_23_a_stale_socket_is_replaced() {
    let env = TestEnv::started();
    env.daemon().kill9();
    assert!(env.state().socket().exists(), "a killed daemon leaves its socket");
    let clients: Vec<_> = (0..20).map(|_| env.spawn_vibes(&["ls"], "", &[])).collect();
    for client in clients {
        client.wait().ok();
    }
    assert_eq!(daemons(&env), 1);
}

#[test]
fn fault_22_a_second_daemon_exits_one_and_says_who_runs() {
    let env = TestEnv::started();
    let first = env.daemon();
    let second = env.vibes(&["daemon", "run"]).exits(1);
    assert!(second.stderr.contains(&first.pid.to_string()), "{}", second.stderr);
    assert_eq!(env.running_daemon().map(|daemon| daemon.pid), Some(first.pid));
}

#[test]
fn asking_for_the_status_starts_nothing() {
    let env = TestEnv::new();
    env.vibes(&["daemon", "status"]).exits(4);
    env.vibes(&["daemon", "status", "--json"]).exits(4);
    assert!(!env.is_served());
    assert_eq!(daemons(&env), 0);
}

#[test]
fn the_socket_path_is_printed_and_served() {
    let env = TestEnv::new();
    let ran = env.vibes(&["daemon", "socket"]).ok();
    assert_eq!(ran.line(), env.state().socket().display().to_string());
    assert!(env.is_served());
}

#[test]
fn stop_leaves_agents_and_stop_agents_does_not() {
    let env = TestEnv::started();
    let session = env.run_fake("say hi");
    let daemon = env.daemon();
    let said = env.vibes(&["daemon", "stop"]).ok();
    daemon.gone();
    assert!(said.stderr.contains("--agents"), "{}", said.stderr);
    assert!(env.processes().iter().any(|process| process.command.contains("fake-agent")));
    env.daemon();
    env.client("ada").state(&session, "idle");
    let daemon = env.daemon();
    env.vibes(&["daemon", "stop", "--agents"]).ok();
    daemon.gone();
    assert!(env.processes().is_empty(), "{:#?}", env.processes());
}

#[test]
fn stopping_what_does_not_run_is_done_at_once() {
    let env = TestEnv::new();
    env.vibes(&["daemon", "stop"]).ok();
    assert_eq!(daemons(&env), 0);
}

#[test]
fn restart_brings_another_daemon_with_the_same_sessions() {
    let env = TestEnv::started();
    let session = env.run_fake("say hi");
    let before = env.daemon();
    env.vibes(&["daemon", "restart"]).ok();
    let after = env.running_daemon().expect("a daemon runs");
    assert_ne!(before.pid, after.pid);
    let list = env.connect().ok("list_sessions", json!({}));
    assert_eq!(list["sessions"][0]["id"], *session);
}

#[test]
fn nobody_else_can_read_the_state() {
    let env = TestEnv::started();
    env.run_fake("say secret");
    for path in [env.state().root().to_owned(), env.state().runners(), env.state().logs()] {
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
    }
    for path in [env.state().socket(), env.state().store()] {
        let mode = fs::metadata(&path).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
    }
}

#[test]
fn fault_23_a_file_in_the_place_of_the_socket_is_not_removed() {
    let env = TestEnv::new();
    fs::write(env.state().socket(), "precious").expect("a file can be made");
    env.vibes(&["ls"]).exits(4);
    assert_eq!(fs::read_to_string(env.state().socket()).ok().as_deref(), Some("precious"));
    fs::remove_file(env.state().socket()).expect("it is still there");
}

#[test]
fn two_state_directories_never_meet() {
    let (one, two) = (TestEnv::started(), TestEnv::started());
    one.run_fake("say hi");
    assert_eq!(two.connect().ok("list_sessions", json!({}))["sessions"], json!([]));
    assert_ne!(one.daemon().pid, two.daemon().pid);
}

#[test]
fn a_socket_that_somebody_removed_is_made_again() {
    let env = TestEnv::started();
    let pid = env.running_daemon().expect("a daemon runs").pid;
    std::fs::remove_file(env.state().socket()).expect("it was there");
    env.vibes(&["ls"]).ok();
    assert_eq!(env.running_daemon().expect("a daemon runs").pid, pid, "the same one");
    env.vibes(&["daemon", "stop"]).ok();
    assert!(env.running_daemon().is_none());
}
