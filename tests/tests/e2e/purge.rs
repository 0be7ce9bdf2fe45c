//! Sessions that are deleted can be had back until they are purged; of those that are purged nothing is left.
//!
//! Invariant: what is looked for afterwards was found before.

use serde_json::json;
use std::fs;
use vibes_runner::points::CLOCK;
use vibes_tests::{TestEnv, Wire, eventually, oracle};

/// An hour, in milliseconds.
pub(crate) const HOUR: i64 = 60 * 60 * 1000;

/// A session of the shell agent that ran a command and has ended.
pub(crate) fn ended(env: &TestEnv, wire: &mut Wire, name: &str, command: &str) -> String {
    let more = json!({"agent": "shell", "mode": "auto", "subscribe": true, "name": name});
    let session = wire.create(env, more);
    wire.prompt(&session, command);
    wire.fact(&session, "turn_ended");
    wire.ok("finish_session", json!({"session_id": session}));
    wire.ok("unsubscribe", json!({"session_ids": [session]}));
    session
}

/// Waits until the store knows nothing of any purged session.
pub(crate) fn all_erased(env: &TestEnv) {
    eventually("what was purged is erased", || (env.rows("session", "rest = 3") == 0).then_some(()));
}

#[test]
fn nothing_of_a_purged_session_can_be_read_and_its_room_is_given_back() {
    const MIB: u64 = 1024 * 1024;
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let other = ended(&env, &mut ada, "other", "echo other words");
    let secret = ended(&env, &mut ada, "namedsecret", "echo out''putsecret");
    // It is packed, and does not become much smaller.
    let large = ended(&env, &mut ada, "large", "head -c 6000000 /dev/urandom | base64 -w 200");
    let words = ["namedsecret", "outputsecret", "out''putsecret", &secret, &large];
    let found = env.files_with(&words).join("\n");
    assert!(words.iter().all(|word| found.contains(word)), "{found}");
    assert!(found.contains("/agents/"), "the agent keeps its own: {found}");
    // `-` stands for it.
    env.vibes(&["logs", &secret]).ok();
    eventually("all of it is in the store's file", || (env.room_of_store() > 5 * MIB).then_some(()));
    let before = env.room_of_store();
    for session in ["-", &large] {
        env.vibes(&["sessions", "rm", "--purge", session]).ok();
    }
    assert_eq!(ada.refused("get_session", json!({"session_id": secret})), "SESSION_NOT_FOUND");
    assert_eq!(ada.refused("undelete_session", json!({"session_id": large})), "SESSION_NOT_FOUND");
    all_erased(&env);
    // What made it so is in the log, and its pages in the file are as they were until the next checkpoint.
    eventually("nothing can be read of it", || env.files_with(&words).is_empty().then_some(()));
    let after = env.room_of_store();
    assert!(after + 5 * MIB < before, "{before} bytes before, {after} after");
    assert_eq!(env.rows("records", "session NOT IN (SELECT no FROM session)"), 0);
    // The other one is whole, and a new one has a number of its own, from the next daemon as well.
    let given = env.rows("meta", "key = 'last_no' AND value = 3");
    assert_eq!((given, env.rows("session", "no = 1")), (1, 1));
    env.daemon().terminate();
    env.daemon();
    let mut ada = env.client("ada");
    ada.ok("resume_session", json!({"session_id": other}));
    let next = ended(&env, &mut ada, "namedsecret", "echo new words");
    assert_eq!(env.rows("session", "no = 4"), 1);
    let journals = oracle::check(&env);
    assert_eq!(journals.keys().collect::<std::collections::BTreeSet<_>>(), [&other, &next].into());
    assert!(env.vibes(&["logs", &other]).ok().stdout.contains("other words"));
}

#[test]
fn a_daemon_that_stops_at_once_leaves_no_purged_word_in_the_search_index() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let secret = ended(&env, &mut ada, "hidden", "echo out''putsecret");
    eventually("it is found", || {
        let found = env.vibes(&["search", "outputsecret", "--json"]);
        found.stdout.contains(&secret).then_some(())
    });
    env.vibes(&["daemon", "stop"]).ok();
    assert!(env.indexed() > 1);
    env.daemon();
    env.vibes(&["search", "outputsecret"]).ok();
    env.vibes(&["rm", "--purge", &secret]).ok();
    env.vibes(&["daemon", "stop"]).ok();
    assert_eq!(env.indexed(), 0);
    let left: Vec<String> =
        env.files_with(&["outputsecret"]).into_iter().filter(|file| file.contains("search.db")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_a_purged_session_took_stays_in_the_sums_and_is_nobodys() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let spends = |wire: &mut Wire, dir: &str, cost: &str| {
        let cwd = env.path(&format!("work/{dir}"));
        fs::create_dir_all(&cwd).expect("a directory can be made");
        let session = wire.create(&env, json!({"subscribe": true, "cwd": cwd}));
        wire.prompt(&session, &format!("usage 1200 34\ncost {cost}"));
        wire.fact(&session, "turn_ended");
        wire.rests(&session);
        session
    };
    let costs = |wire: &mut Wire, by: &str| wire.ok("get_costs", json!({"by": by}))["costs"].take();
    let gone = spends(&mut ada, "secretplace", "0.25");
    let sums = ["day", "week", "agent", "model"];
    let before = sums.map(|by| costs(&mut ada, by));
    let mut by_place = costs(&mut ada, "directory");
    assert_eq!(by_place[0]["key"], env.path("work/secretplace"));
    assert_eq!(costs(&mut ada, "session")[0]["key"], *gone);
    ada.ok("kill_session", json!({"session_id": gone}));
    ada.ok("delete_session", json!({"session_id": gone, "purge": true}));
    assert_eq!(costs(&mut ada, "session"), json!([]), "it is not one of them from then on");
    all_erased(&env);
    eventually("nothing can be read of it", || {
        env.files_with(&["secretplace", &gone]).is_empty().then_some(())
    });
    assert_eq!(sums.map(|by| costs(&mut ada, by)), before, "what was spent was spent");
    by_place[0]["key"] = "purged".into();
    assert_eq!(costs(&mut ada, "directory"), by_place);
    // The next session gets none of it, from the next daemon as well.
    env.daemon().terminate();
    env.daemon();
    let mut ada = env.client("ada");
    let next = spends(&mut ada, "otherplace", "0.5");
    let of_next = costs(&mut ada, "session");
    assert_eq!((&of_next[0]["key"], of_next.as_array().map(Vec::len)), (&json!(next), Some(1)));
    assert_eq!((&of_next[0]["cost"]["amount"], &of_next[0]["turns"]), (&json!(0.5), &json!(1)));
    assert_eq!(costs(&mut ada, "agent")[0]["cost"]["amount"], 0.75);
    oracle::check_order(&next, &oracle::journal(&mut ada, &next));
}

#[test]
fn what_cannot_be_deleted_is_not_purged_and_what_is_deleted_already_is() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let lives = ada.create(&env, json!({"subscribe": true}));
    let refused = ada.request("delete_session", json!({"session_id": lives, "purge": true}));
    assert_eq!(refused["code"], "INVALID_STATE");
    assert!(refused["message"].as_str().unwrap_or("").contains("kill or finish it"), "{refused}");
    ada.prompt(&lives, "say still here");
    ada.said(&lives, "still here");
    let gone = ended(&env, &mut ada, "gone", "echo gone");
    let mut eve = env.client("eve");
    eve.subscribe(&gone, 0, "viewer");
    ada.ok("delete_session", json!({"session_id": gone}));
    assert_eq!(eve.refused("delete_session", json!({"session_id": gone, "purge": true})), "READ_ONLY");
    ada.ok("delete_session", json!({"session_id": gone, "purge": true}));
    all_erased(&env);
    // Whoever was subscribed goes on with the rest of its sessions.
    eve.subscribe(&lives, 0, "viewer");
    ada.prompt(&lives, "say once more");
    eve.said(&lives, "once more");
    assert_eq!(eve.refused("get_session", json!({"session_id": gone})), "SESSION_NOT_FOUND");
}

#[test]
#[cfg_attr(not(feature = "points"), ignore = "needs programs with points: --features points")]
fn what_was_deleted_for_long_enough_is_purged_by_itself_and_nothing_else() {
    let env = TestEnv::new();
    fs::create_dir_all(env.path("cfg/vibes")).expect("a directory can be made");
    fs::write(
        env.path("cfg/vibes/config.toml"),
        "[limits]\ndeleted_days = 2\nsweep_s = 1\n[sessions]\nfirst_sweep_s = 5\n",
    )
    .expect("it is written");
    let clock = env.path("clock");
    let start = |hours: i64| {
        fs::write(&clock, (hours * HOUR).to_string()).expect("it is written");
        env.spawn_vibes(&["daemon", "start"], "", &[(CLOCK, &clock)]).wait().ok();
        env.client("ada")
    };
    let mut ada = start(0);
    let [old, back] = ["old", "back"].map(|name| ended(&env, &mut ada, name, "echo words"));
    for session in [&old, &back] {
        ada.ok("delete_session", json!({"session_id": session}));
    }
    ada.ok("undelete_session", json!({"session_id": back}));
    env.vibes(&["daemon", "stop"]).ok();
    let mut ada = start(47);
    let young = ended(&env, &mut ada, "young", "echo words");
    ada.ok("delete_session", json!({"session_id": young}));
    env.vibes(&["daemon", "stop"]).ok();
    let mut ada = start(49);
    // It is set, while the daemon runs: that is no time that went by.
    fs::write(&clock, (1000 * HOUR).to_string()).expect("it is written");
    eventually("the old one is purged", || {
        (ada.request("get_session", json!({"session_id": old}))["code"] == "SESSION_NOT_FOUND").then_some(())
    });
    ada.ok("undelete_session", json!({"session_id": young}));
    ada.ok("get_session", json!({"session_id": back}));
    all_erased(&env);
    oracle::check(&env);
}
