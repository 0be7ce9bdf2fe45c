//! A store that was put back from an older copy: nobody takes new records for those that had their numbers before.

use super::store::problems;
use rustix::process::Signal;
use serde_json::json;
use std::fs;
use vibes_tests::{TestEnv, eventually, oracle, processes};

/// The store's files, to be put back later.
fn copied(env: &TestEnv) -> [Option<Vec<u8>>; 2] {
    ["", "-wal"].map(|suffix| fs::read(format!("{}{suffix}", env.state().store().display())).ok())
}

fn put_back(env: &TestEnv, copy: [Option<Vec<u8>>; 2]) {
    for (suffix, bytes) in ["-shm", "", "-wal"].into_iter().zip([None].into_iter().chain(copy)) {
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
