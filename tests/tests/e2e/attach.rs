//! `vibes attach` in a real terminal.

use rustix::process::Signal;
use serde_json::json;
use vibes_tests::{Pty, TestEnv, processes};

#[test]
fn attach_shows_what_was_said_and_takes_prompts() {
    let env = TestEnv::started();
    let session = env.run_fake("say words from before");
    let pty = Pty::vibes(&env, &["attach", &session]);
    pty.wait_for_text("words from before");
    pty.keys("say words from now\r");
    let mut watch = env.client("watch");
    watch.subscribe(&session, 0, "viewer");
    watch.said(&session, "words from now");
    pty.wait_for_text("words from now");
}

#[test]
fn ctrl_d_detaches_and_the_session_goes_on() {
    let env = TestEnv::started();
    let session = env.run_fake("say ready");
    let mut pty = Pty::vibes(&env, &["attach", &session]);
    pty.wait_for_text("ready");
    pty.keys("\x04");
    assert_eq!(pty.wait_exit(), 0);
    env.client("ada").state(&session, "idle");
}

#[test]
fn ctrl_c_twice_interrupts_the_turn_and_not_the_session() {
    let env = TestEnv::started();
    let session = env.run_fake(&format!("say working\nsleep_until {}", env.path("never")));
    let pty = Pty::vibes(&env, &["attach", &session]);
    pty.wait_for_text("working");
    pty.keys("\x03");
    pty.wait_for_text("again to interrupt");
    let mut watch = env.client("watch");
    watch.state(&session, "processing");
    pty.keys("\x03");
    watch.state(&session, "idle");
}

#[test]
fn the_first_to_attach_owns_and_a_killed_attach_is_a_leave() {
    let env = TestEnv::started();
    let session = env.run_fake("say ready");
    let mut watch = env.client("watch");
    let pty = Pty::vibes(&env, &["attach", &session]);
    watch.wait_for("an owner", |message| {
        message["type"] == "ownership_transferred" && !message["new_owner_id"].is_null()
    });
    processes::signal(pty.pid(), Signal::KILL);
    watch.wait_for("vacancy", |message| {
        message["type"] == "ownership_transferred" && message["new_owner_id"].is_null()
    });
    watch.state(&session, "idle");
}

#[test]
fn read_only_joins_as_a_viewer() {
    let env = TestEnv::started();
    let session = env.run_fake("say ready");
    let pty = Pty::vibes(&env, &["attach", "--read-only", &session]);
    pty.wait_for_text("ready");
    let members = env.connect().ok("who", json!({"session_id": session}))["members"].take();
    assert_eq!(members[0]["role"], "viewer");
}

#[test]
fn an_approval_is_shown_with_what_will_run() {
    let env = TestEnv::started();
    let session = env.run_fake("ask t1 rm -r build");
    let pty = Pty::vibes(&env, &["attach", &session]);
    pty.wait_for_text("rm -r build");
}

#[test]
fn an_attached_terminal_follows_over_a_restart_of_the_daemon() {
    let env = TestEnv::started();
    let session = env.run_fake("say ready");
    let pty = Pty::vibes(&env, &["attach", &session]);
    pty.wait_for_text("ready");
    env.daemon().kill9();
    env.daemon();
    let mut ada = env.client("ada");
    ada.prompt(&session, "say after the crash");
    pty.wait_for_text("after the crash");
}

#[test]
fn what_the_agent_says_cannot_drive_the_terminal() {
    let env = TestEnv::started();
    let evil = r"say a\u001b]52;c;QUFB\u0007\u001b]0;owned\u0007\u001b[2Jz".replace("\\u001b", "\u{1b}");
    let session = env.run_fake(&evil.replace("\\u0007", "\u{7}"));
    let pty = Pty::vibes(&env, &["attach", &session]);
    pty.wait_for_text("z");
    let drawn = pty.drawn_bytes();
    for escape in [&b"\x1b]52"[..], b"\x1b]0;owned"] {
        assert!(!drawn.windows(escape.len()).any(|part| part == escape), "{:?}", pty.drawn());
    }
}

#[test]
fn without_a_terminal_run_follows_the_turn_and_ends() {
    let env = TestEnv::started();
    let ran = env.vibes(&["run", "fake", "--once", "say for a pipe"]).ok();
    assert!(ran.stdout.contains("for a pipe"));
    assert!(!ran.stdout.contains('\u{1b}'), "no colours in a pipe: {:?}", ran.stdout);
}
