//! The daemon dies while it purges a session: it is deleted and can be had back, or it is gone.

use super::{each, hits};
use serde_json::json;
use vibes_runner::points::Point;
use vibes_tests::{TestEnv, Wire, eventually, oracle, points::Hook};

/// What must not be found of it.
const SECRET: &str = "outputsecret";

/// A deleted session of some megabytes beside one that stays, and a daemon that will die at the point.
fn deleted(env: &TestEnv, hook: &Hook) -> (String, String) {
    env.daemon();
    let mut ada = env.client("ada");
    let stays = ada.create(env, json!({"subscribe": true}));
    ada.prompt(&stays, "say these stay");
    ada.said(&stays, "these stay");
    let more = json!({"agent": "shell", "mode": "auto", "subscribe": true, "name": "goes"});
    let goes = ada.create(env, more);
    ada.prompt(&goes, "echo out''putsecret; head -c 6000000 /dev/urandom | base64 -w 200");
    ada.fact(&goes, "turn_ended");
    for verb in ["finish_session", "delete_session"] {
        ada.ok(verb, json!({"session_id": goes}));
    }
    ada.ok("unsubscribe", json!({"session_ids": [goes]}));
    drop(ada);
    env.daemon().terminate();
    env.spawn_vibes(&["daemon", "start"], "", &hook.variables()).wait().ok();
    (stays, goes)
}

/// Nothing is left of it, and the other one goes on.
#[track_caller]
fn gone(env: &TestEnv, wire: &mut Wire, stays: &str, goes: &str) {
    assert_eq!(wire.refused("undelete_session", json!({"session_id": goes})), "SESSION_NOT_FOUND");
    eventually("it is erased", || {
        (env.rows("session", "rest = 3") == 0 && env.files_with(&[SECRET, goes]).is_empty()).then_some(())
    });
    assert_eq!(env.rows("records", "session NOT IN (SELECT no FROM session)"), 0);
    wire.subscribe(stays, 0, "writer");
    wire.prompt(stays, "say onward");
    wire.said(stays, "onward");
    assert_eq!(oracle::check(env).len(), 1);
}

/// It dies at a point after the purge was decided.
#[track_caller]
fn dies(point: Point) {
    each(point, hits(), |hit| {
        let env = TestEnv::new();
        let hook = Hook::killing(&env, point, hit, |_| {});
        let (stays, goes) = deleted(&env, &hook);
        let mut ada = env.connect();
        // Whether it is answered depends on where it dies.
        let answer = ada.try_request("delete_session", json!({"session_id": goes, "purge": true}));
        assert!(answer.is_none_or(|answer| answer["type"] == "ok"));
        if hit == 1 {
            hook.held();
            ada.wait_closed();
        } else {
            eventually("it dies, or has nothing left to do", || {
                (hook.came_by().is_some() || env.rows("session", "rest = 3") == 0).then_some(())
            });
        }
        let came_by = hook.came_by().is_some();
        env.daemon();
        gone(&env, &mut env.client("bob"), &stays, &goes);
        hit == 1 || came_by
    });
}

cases! {
    fn fault_01_killed_when_a_session_is_purged() {
        dies(Point::Purged);
    }
    fn fault_01_killed_when_the_files_of_a_purged_session_are_removed() {
        dies(Point::PurgeFiles);
    }
    fn fault_01_killed_while_records_of_a_purged_session_are_erased() {
        dies(Point::PurgeSlice);
    }
    fn fault_01_killed_when_the_log_of_a_purged_session_is_cut_off() {
        dies(Point::PurgeLog);
    }
    fn fault_01_killed_before_a_purge_is_committed_the_session_can_be_had_back() {
        let env = TestEnv::new();
        // What this daemon commits first is the purge: the session was at rest.
        let hook = Hook::killing(&env, Point::CommitApplied, 1, |_| {});
        let (stays, goes) = deleted(&env, &hook);
        let mut ada = env.connect();
        assert_eq!(ada.try_request("delete_session", json!({"session_id": goes, "purge": true})), None);
        hook.held();
        env.daemon();
        let mut bob = env.client("bob");
        bob.ok("undelete_session", json!({"session_id": goes}));
        assert_eq!(oracle::check(&env).len(), 2);
        assert!(json!(oracle::journal(&mut bob, &goes)).to_string().contains(SECRET));
        bob.ok("delete_session", json!({"session_id": goes, "purge": true}));
        gone(&env, &mut bob, &stays, &goes);
    }
}
