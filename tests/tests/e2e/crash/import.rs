//! The daemon dies while it takes a session in: nothing of it is there, and doing it again completes it.

use super::{each, hits};
use serde_json::json;
use vibes_runner::points::Point;
use vibes_tests::{TestEnv, eventually, oracle, points::Hook};

/// An archive of some pieces.
fn archive(env: &TestEnv) -> String {
    let lineage = "3fa9c1d2-0000-4000-8000-000000000000";
    let head = json!({"type": "vibes_export", "format": 1, "lineage": lineage, "first": 1, "last": 4000,
        "session": {"id": lineage, "agent": "x", "cwd": "/"}});
    let mut text = format!("{head}\n");
    for seq in 1..=4000 {
        let fact = json!({"kind": "note", "text": format!("{seq} importedsecret {}", "words ".repeat(60))});
        text.push_str(&format!("{}\n", json!({"seq": seq, "at_ms": seq, "fact": fact})));
    }
    let path = env.path("archive");
    std::fs::write(&path, text).expect("it is written");
    path
}

/// It dies at a point, and at none too late for anybody to see half a session.
#[track_caller]
fn dies(point: Point) {
    each(point, hits(), |hit| {
        let env = TestEnv::new();
        let hook = Hook::killing(&env, point, hit, |_| {});
        env.spawn_vibes(&["daemon", "start"], "", &hook.variables()).wait().ok();
        let path = archive(&env);
        let first = env.vibes(&["import", &path]);
        let came_by = hook.came_by().is_some();
        let (heads, records) =
            (env.rows("session", "rest <= 2"), env.rows("session", "rest <= 2 AND head = 4000"));
        assert_eq!(heads, records, "whole or not at all");
        env.daemon();
        let again = env.vibes(&["import", &path]).ok();
        assert!(
            again.stdout.contains("4000 records") || again.stderr.contains("known already"),
            "{first:?} {again:?}"
        );
        let mut ada = env.client("ada");
        let list = ada.ok("list_sessions", json!({"include_ended": true}));
        let sessions = list["sessions"].as_array().expect("a list");
        assert_eq!(sessions.len(), 1, "{sessions:?}");
        let journal = oracle::journal(&mut ada, sessions[0]["id"].as_str().expect("an id"));
        assert_eq!(journal.len(), 4000);
        eventually("what was left of it is erased", || {
            (env.rows("session", "1") == 1
                && env.rows("records", "session NOT IN (SELECT no FROM session)") == 0)
                .then_some(())
        });
        hit == 1 || came_by
    });
}

cases! {
    fn fault_01_killed_while_a_session_is_taken_in() {
        dies(Point::Staged);
    }
    fn fault_01_killed_when_a_session_was_taken_in() {
        dies(Point::Settled);
    }
}
