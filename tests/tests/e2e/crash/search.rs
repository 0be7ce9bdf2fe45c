//! The daemon dies while it builds the search index, or takes something out of it: everything is found once, and what
//! is gone is gone.

use super::{each, hits};
use serde_json::{Value, json};
use std::fs;
use vibes_runner::points::Point;
use vibes_tests::{TestEnv, Wire, eventually, oracle, points::Hook};

/// What must not be found of a purged session.
const SECRET: &str = "indexedsecret";

/// The records that are found, with everything in the index.
#[track_caller]
fn found(wire: &mut Wire, query: &str) -> Vec<(String, u64)> {
    let answer = wire.ok("search", json!({"query": query, "wait_ms": 20_000, "limit": 200}));
    assert_eq!(answer["behind"], 0, "{answer}");
    let place = |hit: &Value| {
        let session = hit["session_id"].as_str().expect("an id").to_owned();
        (session, hit["seq"].as_u64().expect("a number"))
    };
    answer["hits"].as_array().expect("a list").iter().map(place).collect()
}

fn remove_index(env: &TestEnv) {
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", env.state().search().display()));
    }
}

fn armed(env: &TestEnv, hook: &Hook) {
    env.spawn_vibes(&["daemon", "start"], "", &hook.variables()).wait().ok();
}

/// It dies at a point of the building.
#[track_caller]
fn dies(point: Point) {
    each(point, hits(), |hit| {
        let env = TestEnv::started();
        let mut ada = env.client("ada");
        let session = ada.create(&env, json!({"subscribe": true}));
        for n in 0..3 {
            ada.prompt(&session, &format!("say early{n}"));
            ada.rests(&session);
        }
        drop(ada);
        env.daemon().terminate();
        remove_index(&env);
        let hook = Hook::killing(&env, point, hit, |_| {});
        armed(&env, &hook);
        // Words are added and looked for until it dies.
        let mut wire = env.connect();
        for n in 0..10 {
            let input = json!({"session_id": session, "content": format!("say late{n}")});
            let search = json!({"query": "late*", "wait_ms": 5_000});
            if wire.try_request("input", input).is_none() || wire.try_request("search", search).is_none() {
                break;
            }
        }
        let came_by = hook.came_by().is_some();
        drop(wire);
        env.daemon();
        let mut bob = env.client("bob");
        bob.subscribe(&session, 0, "writer");
        bob.rests(&session);
        // Whatever was recorded is found, at its record and nowhere else.
        for record in oracle::journal(&mut bob, &session) {
            if let Some(word) = record["fact"]["update"]["content"]["text"].as_str() {
                let seq = record["seq"].as_u64().expect("a number");
                assert_eq!(found(&mut bob, &format!("response:{word}")), [(session.clone(), seq)], "{word}");
            }
        }
        assert_eq!(found(&mut bob, "prompt:say early2").len(), 1);
        oracle::check(&env);
        came_by
    });
}

/// It dies at a point of the forgetting.
#[track_caller]
fn forgets(point: Point) {
    each(point, hits(), |hit| {
        let env = TestEnv::started();
        let mut ada = env.client("ada");
        let stays = ada.create(&env, json!({"subscribe": true}));
        let goes = ada.create(&env, json!({"agent": "shell", "mode": "auto", "subscribe": true}));
        ada.prompt(&stays, "say these stay");
        ada.rests(&stays);
        for n in 0..20 {
            ada.prompt(&goes, &format!("echo {SECRET}{n}"));
            ada.rests(&goes);
        }
        ada.ok("finish_session", json!({"session_id": goes}));
        assert_eq!(found(&mut ada, &format!("output:{SECRET}*")).len(), 20);
        drop(ada);
        env.daemon().terminate();
        let hook = Hook::killing(&env, point, hit, |_| {});
        armed(&env, &hook);
        let purged = env.connect().try_request("delete_session", json!({"session_id": goes, "purge": true}));
        assert!(purged.is_none_or(|answer| answer["type"] == "ok"));
        if hit == 1 {
            hook.held();
        } else {
            eventually("it dies, or has nothing left to do", || {
                (hook.came_by().is_some() || env.files_with(&[SECRET]).is_empty()).then_some(())
            });
        }
        if hit > 1 && hook.came_by().is_none() {
            // Secret words are gone, but other work may be left: one that is stopped comes by no more.
            drop(env.vibes(&["daemon", "stop"]));
        }
        let came_by = hit == 1 || hook.came_by().is_some();
        env.daemon();
        let mut bob = env.client("bob");
        assert_eq!(found(&mut bob, &format!("{SECRET}*")), []);
        assert_eq!(found(&mut bob, "response:stay").len(), 1);
        eventually("nothing can be read of it", || env.files_with(&[SECRET, &goes]).is_empty().then_some(()));
        assert_eq!(found(&mut bob, "response:stay").len(), 1);
        oracle::check(&env);
        came_by
    });
}

cases! {
    fn fault_01_killed_before_documents_of_the_index_are_written() {
        dies(Point::IndexBegin);
    }
    fn fault_01_killed_before_documents_of_the_index_are_committed() {
        dies(Point::IndexWritten);
    }
    fn fault_01_killed_when_documents_of_the_index_are_committed() {
        dies(Point::IndexCommitted);
    }
    fn fault_01_killed_while_the_index_forgets_a_purged_session() {
        forgets(Point::IndexForgets);
    }
    fn fault_01_killed_while_the_index_is_rid_of_a_purged_session() {
        forgets(Point::IndexScrubs);
    }
}
