//! F10: start, list, latency and memory with ever more ended sessions in the store.
//!
//! One session is lived through the real programs, then written again and again under other ids by the benchmark
//! itself: ten thousand lives would take an hour.

use super::{
    Plan, commands, latency,
    memory::kib,
    report::{Goal, Report, quantile},
    stage,
};
use rusqlite::{Connection, params};
use serde_json::json;
use std::time::Instant;
use vibes_tests::TestEnv;

/// Ended sessions in the store.
const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];
/// How often the list is asked for at each size.
const RUNS: usize = 30;
/// No figure may grow more than this from the smallest store to the largest.
const GROWTH: f64 = 1.5;

/// Takes the figure.
pub fn measure(plan: &Plan, report: &mut Report) {
    // A thousandth of what F3 and F8 store for each session: a hundred, and a million records in all.
    let each = (plan.records / 1000).max(1);
    let env = stage::empty();
    env.daemon();
    let mut control = env.client("bench");
    let session = stage::filled(&env, &mut control, each);
    control.ok("finish_session", json!({"session_id": session}));
    drop(control);
    env.vibes(&["daemon", "stop"]).ok();
    const NAMES: [(&str, &str); 4] =
        [("start", "ms"), ("list.p50", "ms"), ("latency.p50", "ms"), ("daemon", "MiB")];
    let mut smallest: Option<Vec<f64>> = None;
    for size in SIZES {
        multiply(&env, &session, size);
        let began = Instant::now();
        env.vibes(&["sessions", "list"]).ok();
        let start = began.elapsed().as_secs_f64() * 1e3;
        let daemon = env.running_daemon().expect("it was started").pid;
        let memory = kib(daemon, "Rss:") / 1024.0;
        let list: Vec<f64> = (0..RUNS)
            .map(|_| commands::time(commands::command(&env, env.binary("vibes"), &["sessions", "list"])))
            .collect();
        let delays = latency::through(&env);
        let ended = env.client("bench").ok("list_sessions", json!({}))["ended"].as_u64();
        assert_eq!(ended, Some(size as u64), "every ended session is counted");
        let figures = vec![start, quantile(&list, 0.5), quantile(&delays, 0.5), memory];
        let base = smallest.get_or_insert_with(|| figures.clone());
        for (((name, unit), value), base) in NAMES.into_iter().zip(&figures).zip(base.iter()) {
            let goal = if size == SIZES[0] { Goal::None } else { Goal::RatioAtMost(GROWTH) };
            let against = Some(("10 sessions", std::slice::from_ref(base)));
            report.figure(&format!("F10.s{size}.{name}"), unit, &[*value], against, goal);
        }
        // What measured the latency ended too, and is one of the next size.
        env.vibes(&["daemon", "stop"]).ok();
    }
}

/// Makes copies of an ended session, until the store holds so many.
fn multiply(env: &TestEnv, session: &str, size: usize) {
    let mut store = Connection::open(env.state().store()).expect("the store can be opened");
    let tx = store.transaction().expect("nobody else writes");
    let (no, body) = stage::stored(&tx, session);
    // What measured the latency meanwhile lies there too, with another number of records.
    let like_it = "SELECT count(*) FROM session WHERE head = (SELECT head FROM session WHERE no = ?1)";
    let count: i64 = tx.query_row(like_it, [no], |row| row.get(0)).expect("it can be counted");
    for _ in count..size as i64 {
        let id = uuid::Uuid::new_v4().to_string();
        tx.execute(
            "INSERT INTO session (id, head, generation, spool, last_ms, body, rest)
             SELECT ?1, head, generation, spool, last_ms, ?2, rest FROM session WHERE no = ?3",
            params![id, body.replace(session, &id), no],
        )
        .expect("a copy can be written");
        let copy = tx.last_insert_rowid();
        for sql in [
            "INSERT INTO records SELECT ?1, first, last, epoch, packed, body FROM records WHERE session = ?2",
            "INSERT INTO item SELECT ?1, kind, key, value FROM item WHERE session = ?2",
        ] {
            tx.execute(sql, params![copy, no]).expect("a copy can be written");
        }
    }
    tx.commit().expect("the copies can be written");
}
