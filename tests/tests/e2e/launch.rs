//! What an agent was started with is what it is started with again: arguments, directory, mode, umask, variables.
//!
//! Invariant: it does not matter who starts it again, a daemon that restarted or a person at another terminal; values of
//! variables come from whoever does it.

use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt};
use vibes_tests::TestEnv;

/// The command lines of the agents that were started.
fn starts(env: &TestEnv) -> Vec<String> {
    env.heard().into_iter().filter(|entry| entry.kind == "start").map(|entry| entry.line).collect()
}

#[test]
fn a_session_is_resumed_as_it_was_launched_by_whichever_daemon() {
    let env = TestEnv::started();
    fs::create_dir_all(env.path("work/deep")).expect("a directory can be made");
    let args =
        ["run", "fake", "-d", "--cwd", &env.path("work/deep"), "--mode", "auto", "--env", "TONE=first"];
    let id =
        env.vibes(&[&args[..], &["--wait-ready", "--", "--flag", "a b"]].concat()).ok().line().to_owned();
    let begun = starts(&env);
    assert!(begun[0].ends_with("--flag a b"), "{begun:?}");
    let touched = |n: usize| {
        let file = env.path(&format!("made-{n}"));
        let said = env
            .vibes(&["send", &id, "--wait", &format!("env TONE\nenv PWD\ntouch {file}\nspawn pwd")])
            .ok()
            .stdout;
        let mode = fs::metadata(&file).expect("the agent made it").permissions().mode() & 0o777;
        (said, mode)
    };
    let (said, mode) = touched(0);
    assert!(said.contains("env TONE=first") && said.contains("work/deep"), "{said}");
    let launch = |env: &TestEnv| env.vibes(&["show", &id, "--json"]).ok().json()["launch"].clone();
    let before: Value = launch(&env);
    for (n, tone) in [(1, "second"), (2, "third")] {
        env.vibes(&["suspend", &id]).ok();
        if n == 2 {
            // Another daemon, as after an upgrade; it knows names, and no values.
            env.daemon().terminate();
            env.daemon();
        }
        env.vibes(&["resume", &id, "--env", &format!("TONE={tone}")]).ok();
        let again = touched(n);
        assert!(
            again.0.contains(&format!("env TONE={tone}")) && again.0.contains("work/deep"),
            "{}",
            again.0
        );
        assert_eq!(again.1, mode, "its umask");
        assert_eq!(starts(&env)[n], begun[0]);
        assert_eq!(launch(&env), before);
        let shown = env.vibes(&["show", &id, "--json"]).ok().json();
        assert_eq!(shown["options"]["mode"], "auto");
    }
    let set = env.heard().iter().filter(|entry| entry.line.contains("session/set_mode")).count();
    assert_eq!(set, 3, "each of them was told its mode");
    assert!(!before.to_string().contains("first"), "names, no values: {before}");
}
