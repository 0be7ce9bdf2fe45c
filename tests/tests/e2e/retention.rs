//! Ended sessions leave for their age or for the room that all take: told beforehand, the oldest first, and never one that is
//! pinned or unread. What the state directory takes is told.
//!
//! Invariant: what is looked for afterwards was found before.

use crate::purge::{HOUR, all_erased, ended};
use serde_json::{Value, json};
use std::fs;
use vibes_runner::points::CLOCK;
use vibes_tests::{TestEnv, Wire, eventually, oracle};

const DAY: i64 = 24 * HOUR;

fn configure(env: &TestEnv, retention: &str) {
    fs::create_dir_all(env.path("cfg/vibes")).expect("a directory can be made");
    let rest = "[limits]\nsweep_s = 1\n[sessions]\nfirst_sweep_s = 2\n";
    let text = format!("{rest}[retention]\n{retention}\n");
    fs::write(env.path("cfg/vibes/config.toml"), text).expect("it is written");
}

fn usage(env: &TestEnv) -> Value {
    serde_json::from_str(&env.vibes(&["du", "--json"]).ok().stdout).expect("it is JSON")
}

/// What is told of a session.
fn of<'a>(usage: &'a Value, session: &str) -> &'a Value {
    let all = usage["sessions"].as_array().expect("there are some");
    all.iter().find(|one| one["session_id"] == *session).unwrap_or_else(|| panic!("{session}: {usage}"))
}

fn is_gone(wire: &mut Wire, session: &str) -> Option<()> {
    (wire.request("get_session", json!({"session_id": session}))["code"] == "SESSION_NOT_FOUND").then_some(())
}

#[test]
#[cfg_attr(not(feature = "points"), ignore = "needs programs with points: --features points")]
fn what_is_old_is_told_to_leave_then_leaves_and_what_is_pinned_or_unread_stays() {
    let env = TestEnv::new();
    configure(&env, "days = 10\nnotice_days = 3");
    let clock = env.path("clock");
    let start = |at: i64| {
        fs::write(&clock, at.to_string()).expect("it is written");
        env.spawn_vibes(&["daemon", "start"], "", &[(CLOCK, &clock)]).wait().ok();
        env.client("ada")
    };
    let mut ada = start(0);
    let names = ["old", "rescued", "pinned", "unread"];
    let [old, rescued, pinned, unread] = names.map(|name| ended(&env, &mut ada, name, "echo words"));
    env.vibes(&["read", "old", "rescued", "pinned"]).ok();
    env.vibes(&["pin", "pinned"]).ok();
    eventually("the size of the store is noted", || (env.rows("meta", "key = 'sizes'") == 1).then_some(()));
    assert_eq!(usage(&env)["growth_per_day"], Value::Null);
    drop(ada);
    env.vibes(&["daemon", "stop"]).ok();

    let mut ada = start(11 * DAY);
    let young = ended(&env, &mut ada, "young", "echo words");
    env.vibes(&["read", "young"]).ok();
    let told = eventually("it is told what leaves", || {
        let usage = usage(&env);
        (usage["leaving"].as_array().map(Vec::len) == Some(2)).then_some(usage)
    });
    let last = of(&told, &old)["last_activity_ms"].as_i64().expect("a moment");
    for leaving in told["leaving"].as_array().expect("there are some") {
        assert!(leaving["session_id"] == *old || leaving["session_id"] == *rescued, "{leaving}");
        assert_eq!(leaving["why"], "age");
        // Three days from now, by the daemon's clock.
        let at = leaving["at_ms"].as_i64().expect("a moment");
        assert!((14 * DAY..14 * DAY + HOUR).contains(&(at - last)), "{leaving}, {last}");
    }
    let stays = [&pinned, &unread, &young].map(|session| of(&told, session)["stays"].clone());
    assert_eq!(stays, [json!("pinned"), json!("unread"), Value::Null]);
    assert!(told["growth_per_day"].is_i64(), "{told}");
    // People see it as well.
    let shown = env.vibes(&["du"]).ok().stdout;
    let line =
        |name: &str| shown.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{shown}"));
    assert!(line("old").contains("leaves in") && line("pinned").contains("stays: pinned"), "{shown}");
    assert!(line("unread").contains("stays: unread") && !line("young").contains("leaves"), "{shown}");
    let doctor = env.vibes(&["doctor"]).ok().stdout;
    assert!(doctor.contains("(old) leaves in") && doctor.contains(" each day"), "{doctor}");
    // Told is not gone; and there is time to keep it.
    env.vibes(&["pin", "rescued"]).ok();
    assert!(is_gone(&mut ada, &old).is_none());
    drop(ada);
    env.vibes(&["daemon", "stop"]).ok();

    let mut ada = start(15 * DAY);
    eventually("the old one is gone", || is_gone(&mut ada, &old));
    all_erased(&env);
    let left = eventually("nothing else is told to leave", || {
        let usage = usage(&env);
        (usage["leaving"].as_array().map(Vec::len) == Some(0)).then_some(usage)
    });
    for session in [&rescued, &pinned, &unread, &young] {
        of(&left, session);
    }
    oracle::check(&env);
}

#[test]
#[cfg_attr(not(feature = "points"), ignore = "needs programs with points: --features points")]
fn what_nobody_reads_stays_for_its_days_and_what_a_trigger_waits_for_stays() {
    let env = TestEnv::new();
    configure(&env, "days = 10\nnotice_days = 0\nunread_days = 20");
    let clock = env.path("clock");
    let start = |at: i64| {
        fs::write(&clock, at.to_string()).expect("it is written");
        env.spawn_vibes(&["daemon", "start"], "", &[(CLOCK, &clock)]).wait().ok();
        env.client("ada")
    };
    let mut ada = start(0);
    let [unread, awaited, read] =
        ["unread", "awaited", "read"].map(|name| ended(&env, &mut ada, name, "echo words"));
    env.vibes(&["read", "awaited", "read"]).ok();
    env.vibes(&["when", "awaited", "cost>5", "--", "true"]).ok();
    drop(ada);
    env.vibes(&["daemon", "stop"]).ok();

    let mut ada = start(11 * DAY);
    eventually("what was read is gone", || is_gone(&mut ada, &read));
    let told = usage(&env);
    let stays = [&unread, &awaited].map(|session| of(&told, session)["stays"].clone());
    assert_eq!(stays, [json!("unread"), json!("trigger")]);
    drop(ada);
    env.vibes(&["daemon", "stop"]).ok();

    let mut ada = start(21 * DAY);
    eventually("nobody came to read it", || is_gone(&mut ada, &unread));
    assert_eq!(of(&usage(&env), &awaited)["stays"], "trigger");
    env.vibes(&["when", "rm", "1"]).ok();
    // A daemon looks soon after its start, and then every ten seconds: who is told by one look leaves by the next one.
    drop(ada);
    env.vibes(&["daemon", "stop"]).ok();
    let mut ada = start(21 * DAY);
    eventually("nothing waits for it any more", || is_gone(&mut ada, &awaited));
    oracle::check(&env);
}

#[test]
fn what_takes_too_much_room_leaves_the_oldest_first_and_du_tells_what_takes_it() {
    const MIB: u64 = 1024 * 1024;
    let env = TestEnv::new();
    configure(&env, "notice_days = 0");
    env.daemon();
    let mut ada = env.client("ada");
    let noise = "head -c 3000000 /dev/urandom | base64 -w 200";
    let pinned = ended(&env, &mut ada, "pinned", noise);
    env.vibes(&["pin", "pinned"]).ok();
    let [old, new] = ["old", "new"].map(|name| ended(&env, &mut ada, name, noise));
    let small = ended(&env, &mut ada, "small", "echo words");
    env.vibes(&["read", "pinned", "old", "new", "small"]).ok();
    let size = |usage: &Value, session: &str| of(usage, session)["store"].as_u64().expect("a size");
    // Three million bytes, once they are packed.
    let packed = 2 * MIB..3_300_000;
    let before = eventually("all of it is packed", || {
        let loose = env.rows("records", "packed = 0 AND octet_length(body) > 10000");
        let usage = usage(&env);
        let small = [&pinned, &old, &new].iter().all(|session| packed.contains(&size(&usage, session)));
        (loose == 0 && small).then_some(usage)
    });
    let least = before["sessions"].as_array().and_then(|all| all.last()).map(|one| one["session_id"].clone());
    assert_eq!(least, Some(json!(small)), "those that take most come first");
    let kept = before["kept"].as_u64().expect("a size");
    let all: u64 = [&pinned, &old, &new, &small].map(|session| size(&before, session)).iter().sum();
    assert_eq!(kept, all);
    assert!(before["store"].as_u64() >= Some(kept) && before["total"].as_u64() > before["store"].as_u64());
    // One that is deleted counts no more, and it is told when it goes.
    env.vibes(&["rm", "small"]).ok();
    let deleted = usage(&env);
    assert_eq!(deleted["kept"].as_u64(), Some(kept - size(&before, &small)));
    assert!(of(&deleted, &small)["leaves_ms"].is_i64() && of(&deleted, &small)["deleted_at"].is_i64());
    let shown = env.vibes(&["du", "--limit", "1"]).ok();
    assert!(shown.stdout.lines().nth(1).is_some_and(|line| line.contains(" MiB")), "{}", shown.stdout);
    assert!(shown.stdout.lines().any(|line| line.starts_with("store ")), "{}", shown.stdout);
    assert!(shown.stderr.contains("3 more: `vibes du --all`"), "{}", shown.stderr);
    drop(ada);
    env.vibes(&["daemon", "stop"]).ok();

    // Without the old one there is room enough.
    let enough = (kept - size(&before, &old)) / MIB + 1;
    configure(&env, &format!("notice_days = 0\nsize_mib = {enough}"));
    env.daemon();
    let mut ada = env.client("ada");
    eventually("the oldest that may leave is gone", || is_gone(&mut ada, &old));
    all_erased(&env);
    let after = usage(&env);
    assert!(after["kept"].as_u64() <= Some(enough * MIB), "{after}");
    for session in [&pinned, &new, &small] {
        of(&after, session);
    }
    oracle::check(&env);
}

#[test]
fn figures_of_retention_that_make_no_sense_name_their_key() {
    let env = TestEnv::new();
    for key in ["days", "size_mib", "notice_days", "unread_days"] {
        configure(&env, &format!("{key} = 9000000000000000000"));
        let refused = env.vibes(&["daemon", "start"]);
        assert_ne!(refused.code, 0, "{refused:?}");
        assert!(refused.stderr.contains(&format!("retention.{key}")), "{}", refused.stderr);
    }
}
