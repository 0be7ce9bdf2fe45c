//! Memories: through the command line, on the wire, in a window; over restarts and kills, and not from inside an agent.

use rustix::process::Signal;
use serde_json::{Value, json};
use vibes_tests::{Pty, TestEnv, eventually, processes};

fn ids(list: &Value) -> Vec<u64> {
    list.as_array().expect("a list").iter().filter_map(|one| one["id"].as_u64()).collect()
}

#[test]
fn what_is_remembered_is_found_changed_exported_and_forgotten() {
    let env = TestEnv::new();
    let ran = env.vibes(&["memory", "add", "the API listens at", "8080", "#api", "--tag", "Net"]).ok();
    assert_eq!(ran.stdout, "1\n");
    env.vibes_reading(&["memory", "add", "--category", "people"], "Ann owns billing\nsince May\n").ok();
    let list = env.vibes(&["memory", "list", "--json"]).ok().json();
    assert_eq!(ids(&list), [2, 1], "the newest first");
    assert_eq!(list[1]["tags"], json!(["api", "net"]));
    let found = env.vibes(&["memory", "search", "bill", "--json"]).ok().json();
    assert_eq!(ids(&found), [2]);
    assert_eq!(ids(&env.vibes(&["memory", "search", "api", "--tag", "net", "--json"]).ok().json()), [1]);
    assert!(env.vibes(&["memory", "list"]).ok().stdout.contains("#api #net"));
    assert!(env.vibes(&["memory", "show", "2"]).ok().stdout.contains("Ann owns billing\nsince May"));
    env.vibes(&["memory", "edit", "1", "the API listens at 9090", "--untag", "net"]).ok();
    let one = env.vibes(&["memory", "show", "1", "--json"]).ok().json();
    assert_eq!((&one["text"], &one["tags"]), (&json!("the API listens at 9090"), &json!(["api"])));
    let text = env.vibes(&["memory", "export", "--format", "markdown"]).ok().stdout;
    assert!(text.contains("## people\n\n- Ann owns billing\n  since May\n"), "{text}");
    let lines = env.vibes(&["memory", "export"]).ok().stdout;
    assert_eq!(lines.lines().count(), 2);
    // All of them or none.
    env.vibes(&["memory", "rm", "1", "99"]).exits(3);
    assert_eq!(ids(&env.vibes(&["memory", "list", "--json"]).ok().json()).len(), 2);
    env.vibes(&["memory", "rm", "1", "2"]).ok();
    assert_eq!(env.vibes(&["memory", "list", "--json"]).ok().json(), json!([]));
    env.vibes(&["memory", "show", "1"]).exits(3);
    env.vibes(&["memory", "add", " "]).exits(1);
    env.vibes(&["memory", "add", "x", "--tag", "two words"]).exits(1);
}

#[test]
fn what_was_answered_survives_a_kill_and_a_store_that_is_lost() {
    let env = TestEnv::started();
    env.vibes(&["memory", "add", "it is kept"]).ok();
    let status = env.vibes(&["daemon", "status", "--json"]).ok().json();
    let pid = status["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a pid");
    processes::signal(pid, Signal::KILL);
    eventually("the daemon is gone", || env.state().daemon_lock().exists().then_some(()));
    assert_eq!(ids(&env.vibes(&["memory", "search", "kept", "--json"]).ok().json()), [1]);
    env.vibes(&["daemon", "stop"]).ok();
    std::fs::remove_file(env.state().store()).expect("the store is a file");
    assert_eq!(ids(&env.vibes(&["memory", "list", "--json"]).ok().json()), [1]);
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(env.state().memory()).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_line_that_is_a_command_is_done_and_others_are_the_agents() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    let mut line = |text: &str| wire.ok("memory_command", json!({"text": text}));
    let done = line("Remember this: the port is 8080 #api");
    assert_eq!((&done["action"], &done["memories"][0]["id"]), (&json!("remembered"), &json!(1)));
    assert_eq!(done["memories"][0]["by"], "ada");
    line("remember that the other port is 9090");
    let done = line("what do you remember about the api port?");
    assert_eq!((&done["action"], done["memories"].as_array().map(Vec::len)), (&json!("found"), Some(1)));
    assert_eq!(line("search memories for port")["memories"].as_array().map(Vec::len), Some(2));
    assert_eq!(line("list memories")["action"], "listed");
    let done = line("forget the port");
    assert_eq!((&done["action"], done["memories"].as_array().map(Vec::len)), (&json!("unsure"), Some(2)));
    assert_eq!(line("forget about 9090")["action"], "forgotten");
    assert_eq!(line("forget #1")["action"], "forgotten");
    assert_eq!(line("forget about the tests")["action"], "not_a_command", "nothing fits: it is the agent's");
    for text in ["say hi", "remember to run the tests", "list the files"] {
        assert_eq!(line(text)["action"], "not_a_command", "{text}");
    }
}

#[test]
fn a_window_remembers_and_takes_into_the_line_what_it_recalls() {
    let env = TestEnv::started();
    let session = env.run_fake("say hi");
    let mut pty = Pty::vibes(&env, &["attach", &session]);
    pty.wait_for_row("hi");
    pty.keys("/remember say the staging host is box7 #ops\r");
    pty.wait_for_text("remembered as 1");
    pty.keys("/recall staging\r");
    pty.wait_for_text("/recall N takes one");
    pty.keys("/recall 1\r");
    pty.wait_for_row("say the staging host is box7 #ops");
    let before = env.heard().len();
    assert!(before > 0);
    pty.keys("\r");
    eventually("the agent has it", || {
        let said = env.vibes(&["logs", &session]).ok().stdout;
        said.contains("the staging host is box7 #ops").then_some(())
    });
    pty.keys("\x04");
    assert_eq!(pty.wait_exit(), 0);
    let one = env.vibes(&["memory", "show", "1", "--json"]).ok().json();
    assert_eq!(one["session_id"], session.as_str());
}

#[test]
fn from_inside_an_agent_memories_are_read_and_not_changed() {
    let env = TestEnv::started();
    env.vibes(&["memory", "add", "known"]).ok();
    assert!(env.inside("memory search known").contains("ran 0"));
    for args in ["memory add x", "memory edit 1 y", "memory rm 1"] {
        assert!(env.inside(args).contains("ran 5"), "{args}");
    }
    assert_eq!(ids(&env.vibes(&["memory", "list", "--json"]).ok().json()), [1]);
}
