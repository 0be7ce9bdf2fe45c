//! Sessions in which nothing happens expire, can be read and resumed on purpose; and what is known of a session is changed by
//! two people without either losing anything.
//!
//! Invariant: that something does not expire is shown by something that does, which was quiet for less long.

use serde_json::{Value, json};
use std::fs;
use vibes_runner::points::CLOCK;
use vibes_tests::{TestEnv, Wire, eventually, oracle};

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// An environment whose daemons look every second.
fn configured(config: &str) -> TestEnv {
    let env = TestEnv::new();
    fs::create_dir_all(env.path("cfg/vibes")).expect("a directory can be made");
    let config = format!("[limits]\nsweep_s = 1\n[sessions]\nfirst_sweep_s = 1\n{config}");
    fs::write(env.path("cfg/vibes/config.toml"), config).expect("it is written");
    env
}

fn expires(wire: &mut Wire, session: &str) {
    let removed = wire.wait_for("it expires", |message| {
        message["type"] == "session_removed" && message["session_id"] == session
    });
    assert_eq!(removed["reason"], "expired");
}

/// A session that expires as soon as it is looked at.
fn witness(env: &TestEnv, wire: &mut Wire) {
    let witness = wire.create(env, json!({"ttl_s": 1}));
    expires(wire, &witness);
}

fn states<'a>(wire: &mut Wire, sessions: impl IntoIterator<Item = &'a String>) -> Vec<Value> {
    let state = |session| wire.ok("get_session", json!({"session_id": session}))["session"]["state"].take();
    sessions.into_iter().map(state).collect()
}

#[test]
fn what_is_quiet_expires_and_nothing_else_does() {
    let env = configured("ttl_s = 1\n");
    env.daemon();
    let mut ada = env.client("ada");
    let kept = ada.create(&env, json!({"ttl_s": 0, "name": "kept"}));
    env.vibes(&["pin", "kept"]).ok();
    let pinned = ada.create(&env, json!({"ttl_s": 0, "name": "pinned"}));
    env.vibes(&["pin", "pinned"]).ok();
    env.vibes(&["ttl", "pinned", "1s"]).ok();
    assert!(env.vibes(&["ls"]).ok().stdout.contains("idle, pinned"));
    let watched = ada.create(&env, json!({"subscribe": true}));
    let works = ada.create(&env, json!({"prompt": format!("sleep_until {}\nsay worked", env.path("go"))}));
    let asks = ada.create(&env, json!({"prompt": "ask t1 rm"}));
    let suspended = ada.create(&env, json!({"subscribe": true, "ttl_s": 0}));
    ada.ok("suspend_session", json!({"session_id": suspended}));
    ada.ok("update_session", json!({"session_id": suspended, "ttl_s": 1}));
    ada.ok("unsubscribe", json!({"session_ids": [suspended]}));
    expires(&mut ada, &suspended);
    let quiet = ada.create(&env, json!({"name": "quiet", "prompt": "say words"}));
    expires(&mut ada, &quiet);
    let live = [&kept, &pinned, &watched, &works, &asks];
    assert_eq!(states(&mut ada, live), ["idle", "idle", "idle", "processing", "waiting_permission"]);
    fs::write(env.path("go"), "").expect("it is written");
    // What expired can be read, found and listed, and goes on on purpose only.
    let shown = env.vibes(&["show", "quiet"]).ok().stdout;
    assert!(shown.contains("expired") && shown.contains("no activity for 1 s"), "{shown}");
    assert!(env.vibes(&["logs", "quiet"]).ok().stdout.contains("words"));
    assert!(!env.vibes(&["ls", "--json"]).ok().stdout.contains(&quiet));
    assert!(env.vibes(&["ls", "--state", "expired", "--json"]).ok().stdout.contains(&quiet));
    let refused = env.vibes(&["send", "quiet", "say more"]).exits(5);
    assert!(refused.stderr.contains("vibes resume quiet"), "{}", refused.stderr);
    env.vibes(&["ttl", "quiet", "never"]).ok();
    env.vibes(&["resume", "quiet"]).ok();
    assert!(env.vibes(&["send", "quiet", "--wait", "say more"]).ok().stdout.contains("more"));
    assert_eq!(env.vibes(&["ttl", "quiet"]).ok().line(), "never");
    // Who leaves was there until then; nobody is there from then on.
    ada.ok("unsubscribe", json!({"session_ids": [watched]}));
    expires(&mut ada, &watched);
    env.vibes(&["unpin", "pinned"]).ok();
    expires(&mut ada, &pinned);
    env.runner_gone(&pinned);
    drop(ada);
    oracle::check(&env);
}

#[test]
#[cfg_attr(not(feature = "points"), ignore = "needs programs with points: --features points")]
fn fault_74_no_clock_that_is_set_lets_a_session_expire() {
    let env = configured("ttl_s = 7200\n");
    let clock = env.path("clock");
    fs::write(&clock, "0").expect("it is written");
    let start = || env.spawn_vibes(&["daemon", "start"], "", &[(CLOCK, &clock)]).wait().ok();
    start();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({}));
    for jump in [400 * DAY_MS, -DAY_MS] {
        fs::write(&clock, jump.to_string()).expect("it is written");
        witness(&env, &mut ada);
        assert_eq!(states(&mut ada, [&session]), ["idle"], "{jump}");
    }
    // Neither does the time in which there was no daemon.
    for jump in [800 * DAY_MS, -2 * DAY_MS] {
        env.daemon().kill9();
        fs::write(&clock, jump.to_string()).expect("it is written");
        start();
        ada = env.client("ada");
        witness(&env, &mut ada);
        assert_eq!(states(&mut ada, [&session]), ["idle"], "{jump}");
    }
    // Time in which another daemon was awake counts.
    env.daemon().terminate();
    let store = rusqlite::Connection::open(env.state().store()).expect("the store can be opened");
    store.execute("UPDATE session SET active_ms = active_ms - 7200000", []).expect("it can be written");
    drop(store);
    start();
    eventually("it expires", || {
        let listed = env.vibes(&["ls", "--all", "--json"]).ok().json();
        let all = listed.as_array()?;
        all.iter().any(|one| one["id"] == *session && one["state"] == "expired").then_some(())
    });
    oracle::check(&env);
}

#[test]
fn of_two_clients_that_change_a_session_one_hears_of_the_other_and_nothing_is_lost() {
    let env = TestEnv::started();
    let (mut ada, mut bob) = (env.client("ada"), env.client("bob"));
    let session = ada.create(&env, json!({"name": "api"}));
    let both = |wire: &mut Wire, words: &str| {
        wire.request("update_session", json!({"session_id": session, "version": 1, "description": words}))
    };
    assert_eq!(both(&mut ada, "hers")["type"], "ok");
    let refused = both(&mut bob, "his");
    assert_eq!((&refused["code"], &refused["version"]), (&json!("VERSION_CONFLICT"), &json!(2)));
    let now = |wire: &mut Wire| wire.ok("get_session", json!({"session_id": session}))["session"].take();
    let info = now(&mut bob);
    assert_eq!((&info["description"], &info["version"]), (&json!("hers"), &json!(2)));
    // A person's own version is not repeated; a wish without one is.
    env.vibes(&["update", "api", "--version", "1", "--description", "stale"]).exits(5);
    let wishes =
        ["x=1", "y=words"].map(|wish| env.spawn_vibes(&["update", "api", "--metadata", wish], "", &[]));
    for wish in wishes {
        wish.wait().ok();
    }
    let info = now(&mut bob);
    assert_eq!((&info["metadata"], &info["version"]), (&json!({"x": 1, "y": "words"}), &json!(4)));
    env.vibes(&["update", "api", "--metadata", "x=", "--name", "server", "--pin", "--orphan", "suspend"])
        .ok();
    let info = now(&mut bob);
    assert_eq!(info["metadata"], json!({"y": "words"}));
    assert_eq!(
        (&info["name"], &info["pinned"], &info["orphan_policy"]),
        (&json!("server"), &json!(true), &json!("suspend"))
    );
    env.vibes(&["update", "server"]).exits(2);
}
