//! A store that was put back from an older copy: nobody takes new records for those that had their numbers before.

use super::store::problems;
use rustix::process::Signal;
use serde_json::json;
use std::fs;
use vibes_tests::{TestEnv, eventually, oracle, processes};

/// The store's files and its seal, to be put back later.
pub(super) fn copied(env: &TestEnv) -> [Option<Vec<u8>>; 3] {
    ["", "-wal", "-seal"].map(|suffix| fs::read(format!("{}{suffix}", env.state().store().display())).ok())
}

pub(super) fn put_back(env: &TestEnv, copy: [Option<Vec<u8>>; 3]) {
    for (suffix, bytes) in ["-shm", "", "-wal", "-seal"].into_iter().zip([None].into_iter().chain(copy)) {
        let path = format!("{}{suffix}", env.state().store().display());
        let _ = fs::remove_file(&path);
        if let Some(bytes) = bytes {
            fs::write(path, bytes).expect("it is written");
        }
    }
}

#[test]
fn fault_35_a_store_put_back_from_a_copy_rewinds_cursors_and_reads_the_spool_again() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "say before");
    ada.fact(&session, "turn_ended");
    ada.state(&session, "idle");
    env.daemon().terminate();
    let copy = copied(&env);
    env.daemon();
    let mut ada = env.client("ada");
    let kept = ada.subscribe(&session, 0, "writer")["session"]["head"].as_u64().expect("a head");
    ada.prompt(&session, "say after");
    ada.said(&session, "after");
    // In the spool, and nowhere else once the store is put back.
    ada.fact(&session, "turn_ended");
    let beyond = ada.stream(&session).last().and_then(|record| record["seq"].as_u64()).expect("a number");
    assert!(beyond > kept);
    env.daemon().kill9();
    put_back(&env, copy);
    env.daemon();
    assert!(problems(&env).contains("older copy"), "{}", problems(&env));
    let mut again = env.client("ada");
    assert_eq!(again.ok("daemon_status", json!({}))["epoch"], 2);
    again.ok("subscribe", json!({"session_ids": [session], "after": beyond, "epoch": 1, "role": "writer"}));
    let rewind = again.wait_for("the rewind", |message| message["type"] == "rewind");
    assert_eq!(rewind["to"], json!({"epoch": 1, "seq": kept}));
    again.said(&session, "after");
    // Frames go on from the runner's numbers: a number that is taken would be refused, and never reach the agent.
    again.state(&session, "idle");
    again.prompt(&session, "say anew");
    again.said(&session, "anew");
    assert_eq!(again.fact(&session, "turn_ended")["fact"]["outcome"], "finished");
    let refused = again.stream(&session).iter().find(|record| record["fact"]["kind"] == "tail_lost");
    assert_eq!(refused, None);
    assert!(
        again.stream(&session).iter().all(|record| record["epoch"] == 2),
        "all of it is of the new epoch"
    );
    assert_eq!(env.heard().iter().filter(|entry| entry.kind == "start").count(), 1, "the same agent");
    oracle::check(&env);
}

#[test]
fn fault_35_a_store_put_back_after_its_agent_ended_rewinds_and_goes_on() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "say before");
    ada.state(&session, "idle");
    env.daemon().terminate();
    let copy = copied(&env);
    env.daemon();
    let mut ada = env.client("ada");
    let kept = ada.subscribe(&session, 0, "writer")["session"]["head"].as_u64().expect("a head");
    let runner = processes::of(&mut ada, &session, "pid");
    ada.prompt(&session, "say after");
    ada.said(&session, "after");
    env.daemon().kill9();
    processes::signal(runner, Signal::KILL);
    eventually("the runner is gone", || (!processes::alive(runner)).then_some(()));
    put_back(&env, copy);
    env.daemon();
    let mut again = env.client("ada");
    again.ok("subscribe", json!({"session_ids": [session], "after": kept + 1, "epoch": 1, "role": "writer"}));
    let rewind = again.wait_for("the rewind", |message| message["type"] == "rewind");
    assert_eq!(rewind["to"], json!({"epoch": 1, "seq": kept}));
    again.said(&session, "after");
    again.state(&session, "suspended");
    again.prompt(&session, "say anew");
    again.said(&session, "anew");
    oracle::check(&env);
}

#[test]
fn fault_35_an_agent_that_a_restored_store_does_not_know_keeps_its_number_and_its_output() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "say before");
    ada.fact(&session, "turn_ended");
    ada.ok("suspend_session", json!({"session_id": session}));
    ada.state(&session, "suspended");
    env.daemon().terminate();
    let copy = copied(&env);
    env.daemon();
    let mut ada = env.client("ada");
    ada.subscribe(&session, 0, "writer");
    ada.prompt(&session, &format!("say unknown to the copy\nsleep_until {}", env.path("never")));
    ada.said(&session, "unknown to the copy");
    let agent = processes::of(&mut ada, &session, "agent_pid");
    let spool = env.state().runners().join(format!("{session}.2"));
    let spoken = || fs::read(spool.join("out.0000000000000000")).unwrap_or_default();
    let said = spoken();
    env.daemon().kill9();
    put_back(&env, copy);
    // However often a daemon is started, and however far the store has counted by then.
    for start in ["third", "fourth"] {
        env.daemon();
        eventually("the agent is told of", || problems(&env).contains(&agent.to_string()).then_some(()));
        let mut again = env.client("ada");
        again.subscribe(&session, 0, "writer");
        again.prompt(&session, &format!("say {start}"));
        again.said(&session, start);
        again.state(&session, "idle");
        assert_eq!(again.ok("get_session", json!({"session_id": session}))["session"]["generation"], 3);
        assert!(processes::alive(agent), "nobody ended what the store does not know");
        assert_eq!(spoken(), said);
        env.daemon().terminate();
    }
    env.daemon();
    let doctor = env.vibes(&["doctor"]).exits(1).stdout;
    assert!(doctor.contains(&format!("{}.2 ", &session[..8])), "{doctor}");
    env.vibes(&["doctor", "--reap"]);
    eventually("the agent is gone", || (!processes::alive(agent) && !spool.exists()).then_some(()));
    let mut again = env.client("ada");
    again.subscribe(&session, 0, "writer");
    again.prompt(&session, "say after all");
    again.said(&session, "after all");
}
