//! `vibes doctor` finds what is wrong and mends what loses nothing.

use std::{fs, os::unix::fs::PermissionsExt};
use vibes_tests::TestEnv;

#[test]
fn what_can_be_mended_without_a_loss_is_and_all_else_is_told() {
    let env = TestEnv::started();
    env.vibes(&["memory", "add", "x"]).ok();
    env.vibes_reading(&["template", "save", "good", "-"], "agent = \"shell\"\n").ok();
    env.vibes(&["daemon", "stop"]).ok();
    env.vibes(&["doctor"]).ok();
    let state = env.state();
    fs::set_permissions(state.memory(), fs::Permissions::from_mode(0o644)).expect("it is ours");
    drop(std::os::unix::net::UnixListener::bind(state.socket()).expect("a socket can be made"));
    let left = state.root().join("last-session.4194303");
    fs::write(&left, "").expect("a file can be written");
    fs::set_permissions(&left, fs::Permissions::from_mode(0o600)).expect("it is ours");
    let ran = env.vibes(&["doctor"]).exits(1);
    for told in ["has mode 644", "of a daemon that is gone", "left by a process that is gone", "--fix"] {
        assert!(ran.stdout.contains(told), "{told}: {}", ran.stdout);
    }
    assert!(left.exists() && state.socket().exists(), "looking changes nothing");
    let ran = env.vibes(&["doctor", "--fix"]).ok();
    assert_eq!(ran.stdout.matches(": mended").count(), 3, "{}", ran.stdout);
    env.vibes(&["doctor"]).ok();
    assert!(!left.exists() && !state.socket().exists());
    // What may hold somebody's words is told.
    fs::write(env.path("cfg/vibes/templates/bad.toml"), "agnet = 1\n").expect("a file can be written");
    fs::write(env.path("cfg/vibes/config.toml"), "[limit]\n").expect("a file can be written");
    fs::write(state.memory(), "not a database, and long enough to be told from one".repeat(50))
        .expect("ours");
    let ran = env.vibes(&["doctor", "--fix"]).exits(1);
    for told in ["did you mean agent?", "did you mean limits?", "are damaged"] {
        assert!(ran.stdout.contains(told), "{told}: {}", ran.stdout);
    }
    fs::remove_file(env.path("cfg/vibes/config.toml")).expect("it is there");
}
