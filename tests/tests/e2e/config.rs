//! The configuration as a person meets it: shown with its sources, checked with its lines, overruled by variables.

use serde_json::json;
use std::fs;
use vibes_tests::{Pty, TestEnv};

fn file(env: &TestEnv, text: &str) -> String {
    let path = env.path("cfg/vibes/config.toml");
    fs::create_dir_all(env.path("cfg/vibes")).expect("a directory can be made");
    fs::write(&path, text).expect("a file can be written");
    path
}

#[test]
fn every_value_tells_where_it_is_from() {
    let env = TestEnv::new();
    let path =
        file(&env, "[limits]\nsweep_s = 7\n[agents.mine]\ncommand = [\"x\"]\nenv = {KEY = \"secret\"}\n");
    assert_eq!(env.vibes(&["config", "path"]).ok().line(), path);
    let more = [("VIBES_SESSIONS_TTL_S", "3600"), ("VIBES_LIMITS_CONNECTIONS", "100")];
    let rows = env.spawn_vibes(&["config", "show", "--json"], "", &more).wait().ok().json();
    let row = |key: &str| {
        let row = rows.as_array().expect("rows").iter().find(|row| row["key"] == key).cloned();
        row.unwrap_or_else(|| panic!("{key} is not shown"))
    };
    assert_eq!((&row("limits.sweep_s")["value"], &row("limits.sweep_s")["line"]), (&json!(7), &json!(2)));
    assert_eq!(row("sessions.ttl_s")["from"], "VIBES_SESSIONS_TTL_S");
    assert_eq!((&row("sessions.ttl_s")["value"], &row("log")["from"]), (&json!(3600), &json!("default")));
    assert_eq!(row("agents.mine.env")["value"], json!(["KEY"]), "no values");
    let told = env.vibes(&["config", "show", "limits"]).ok().stdout;
    assert!(
        told.contains("limits.sweep_s") && told.contains("line 2") && !told.contains("sessions"),
        "{told}"
    );
    let ran = env.vibes(&["config", "show", "limits.swep_s"]).exits(1);
    assert!(ran.stderr.contains("did you mean limits.sweep_s?"), "{}", ran.stderr);
    // None of this started a daemon.
    env.vibes(&["daemon", "status"]).exits(4);
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_keeps_the_daemon_from_starting() {
    let env = TestEnv::new();
    for (text, told) in [
        ("[limits]\nswep_s = 7\n", ":2: swep_s is no key here; did you mean sweep_s?"),
        ("\n\n[limits]\nsweep_s = 0\n", ":4: limits.sweep_s: 0 is not from 1 to 86400"),
        ("log = \"loud=\"\n", ":1: log: "),
        ("log = \"inof\"\n", ":1: log: \"inof\" is no level"),
        ("[agents.x]\ncommand = []\n", "agents.x.command: the program is missing"),
    ] {
        let path = file(&env, text);
        let ran = env.vibes(&["config", "check"]).exits(1);
        assert!(ran.stderr.contains(&path) && ran.stderr.contains(told), "{}", ran.stderr);
        let ran = env.vibes(&["ls"]).exits(4);
        assert!(ran.stderr.contains(told), "{}", ran.stderr);
    }
    file(&env, "");
    env.vibes(&["config", "check"]).ok();
    let other = env.path("other.toml");
    fs::write(&other, "[limit]\n").expect("a file can be written");
    assert!(env.vibes(&["config", "check", &other]).exits(1).stderr.contains("did you mean limits?"));
    let more = [("VIBES_LIMITS_SWEEP_S", "often")];
    let ran = env.spawn_vibes(&["config", "check"], "", &more).wait().exits(1);
    assert!(ran.stderr.contains("VIBES_LIMITS_SWEEP_S=often"), "{}", ran.stderr);
}

#[test]
fn an_editor_changes_it_and_what_is_wrong_is_not_saved() {
    let mut env = TestEnv::new();
    let path = file(&env, "[limits]\nsweep_s = 7\n");
    env.set("EDITOR", "sed -i s/7/9/");
    let mut pty = Pty::vibes(&env, &["config", "edit"]);
    assert_eq!(pty.wait_exit(), 0, "{}", pty.drawn());
    assert_eq!(fs::read_to_string(&path).expect("a file"), "[limits]\nsweep_s = 9\n");
    env.set("EDITOR", "sed -i s/sweep/swep/");
    let mut pty = Pty::vibes(&env, &["config", "edit"]);
    pty.wait_for_text("Edit it again?");
    assert!(pty.drawn().contains("did you mean sweep_s?"));
    pty.keys("n\r");
    assert_eq!(pty.wait_exit(), 1);
    assert_eq!(fs::read_to_string(&path).expect("a file"), "[limits]\nsweep_s = 9\n");
    assert_eq!(
        fs::read_dir(env.path("cfg/vibes")).expect("a directory").count(),
        1,
        "nothing is left beside it"
    );
    env.vibes(&["config", "edit"]).exits(2);
}

#[test]
fn variables_reach_the_daemon() {
    let mut env = TestEnv::new();
    env.set("VIBES_LIMITS_CONNECTIONS", "8");
    env.set("VIBES_LOG", "debug");
    env.daemon();
    let mut held: Vec<_> = (0..12).map(|_| env.connect()).collect();
    let answered = |wire: &mut vibes_tests::Wire| {
        wire.try_request("ping", json!({})).is_some_and(|answer| answer["type"] == "pong")
    };
    let served = held.iter_mut().map(answered).filter(|served| *served).count();
    assert!((6..=8).contains(&served), "eight are the most: {served}");
}
