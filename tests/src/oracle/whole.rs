//! The machine around the journal: the store's file, the spools, the processes of one environment.
//!
//! Invariant: looks from outside, at files and at `/proc`, so that a daemon that is wrong about itself is found out.

use super::kind;
use crate::{PATIENCE, TestEnv, processes};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// How much memory the daemon may hold after a torture, in KiB (INV9).
const RSS_KIB: u64 = 96 * 1024;
/// How many descriptors it may have besides two per client and session.
const DESCRIPTORS: usize = 48;

/// INV7, INV8, INV9, when all is at rest: exactly one daemon, a runner for each of the sessions that run and nothing
/// else, few descriptors, a sound store, little memory.
#[track_caller]
pub fn check_whole(env: &TestEnv, running: &BTreeSet<String>, clients: usize) {
    // Directories are cleared away after it is told that a session has ended.
    let until = Instant::now() + PATIENCE;
    let daemon = loop {
        match at_rest(env, running) {
            Ok(daemon) => break daemon,
            Err(why) => assert!(Instant::now() < until, "{why}\n{}", told_of(env, running)),
        }
        thread::sleep(Duration::from_millis(5));
    };
    let open = processes::open_files(daemon).len();
    let allowed = DESCRIPTORS + 2 * clients + 2 * running.len();
    assert!(open <= allowed, "the daemon has {open} descriptors, {allowed} are enough");
    let rss = processes::memory_kib(daemon, "VmRSS:");
    assert!(rss <= RSS_KIB, "the daemon holds {rss} KiB");
    check_store(&env.state().store());
}

/// What the daemon says of these sessions and what happened to them last, for a message.
fn told_of(env: &TestEnv, sessions: &BTreeSet<String>) -> String {
    let mut wire = env.connect();
    let told = sessions.iter().map(|session| {
        let info = wire.request("get_session", json!({"session_id": session}));
        let records = super::journal(&mut wire, session);
        let last: Vec<String> = records.iter().rev().take(12).map(Value::to_string).collect();
        format!("{session}: {}\n  {}", info["session"], last.join("\n  "))
    });
    told.collect::<Vec<_>>().join("\n")
}

/// The daemon, when it is the only one and has the right runners.
fn at_rest(env: &TestEnv, running: &BTreeSet<String>) -> Result<i32, String> {
    let all = env.processes();
    let of = |program: &str, word: &str| -> Vec<i32> {
        let is_it = |process: &&processes::Process| {
            let mut words = process.command.split(' ');
            words.next().is_some_and(|path| path.ends_with(program)) && words.next() == Some(word)
        };
        all.iter().filter(is_it).map(|process| process.pid).collect()
    };
    let (daemons, runners) = (of("vibesd", "run"), of("vibes-runner", "--dir"));
    let dirs = fs::read_dir(env.state().runners()).map_err(|error| error.to_string())?;
    let dirs: BTreeSet<String> = dirs
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.split_once('.').map(|(session, _)| session.to_owned()))
        .collect();
    match daemons[..] {
        [daemon] if runners.len() == running.len() && dirs == *running => Ok(daemon),
        _ => Err(format!("one daemon, and runners of {running:?} alone; there are {dirs:?} and {all:#?}")),
    }
}

/// INV8: SQLite's own check, and heads that are the ends of dense records.
#[track_caller]
fn check_store(path: &Path) {
    let store = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the store opens");
    store.busy_timeout(crate::PATIENCE).expect("a timeout can be set");
    // One transaction: the daemon may write between two statements.
    let store = store.unchecked_transaction().expect("a transaction begins");
    let word: String =
        store.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("it is checked");
    assert_eq!(word, "ok", "the store is damaged");
    let mut select = store
        .prepare(
            "SELECT s.id, s.head, coalesce(max(r.last), 0), coalesce(sum(r.last - r.first + 1), 0)
             FROM session s LEFT JOIN records r ON r.session = s.no WHERE s.rest <= 2 GROUP BY s.no",
        )
        .expect("the query is sound");
    let mut rows = select.query([]).expect("the store is read");
    while let Some(row) = rows.next().expect("the store is read") {
        let number = |at| row.get::<_, i64>(at).expect("a number");
        let id: String = row.get(0).expect("an id");
        assert_eq!(
            (number(2), number(3)),
            (number(1), number(1)),
            "head, last record and count of {id} differ"
        );
    }
}

/// INV1, from the file's side: the chunks in the spool of the generation that runs are those of the journal, in order.
/// For a session at rest. The error says what differs: a runner that was killed meanwhile takes its spool along.
pub fn check_spool(env: &TestEnv, session: &str, records: &[Value]) -> Result<(), String> {
    let begun =
        records.iter().rposition(|record| kind(record) == "agent_started").expect("an agent was started");
    let generation = &records[begun]["fact"]["generation"];
    let dir = env.state().runners().join(format!("{session}.{generation}"));
    let unread = |error| format!("{session}: no spool in {}: {error}", dir.display());
    let mut segments: Vec<_> = fs::read_dir(&dir)
        .map_err(unread)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("out.")))
        .collect();
    segments.sort();
    // What is durable in the journal is given up segment by segment.
    if segments.first().is_some_and(|path| !path.ends_with("out.0000000000000000")) {
        return Ok(());
    }
    let spool: Vec<Vec<u8>> = segments.iter().map(fs::read).collect::<Result<_, _>>().map_err(unread)?;
    let spool = spool.concat();
    let spooled = spool.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut line: Value = serde_json::from_slice(line).ok()?;
        (line["method"] == "session/update").then(|| line["params"]["update"].take())
    });
    let journaled = records[begun..].iter().filter(|record| kind(record) == "update");
    let spooled: Vec<Value> = spooled.collect();
    let journaled: Vec<&Value> = journaled.map(|record| &record["fact"]["update"]).collect();
    let differs = spooled.iter().zip(&journaled).position(|(spooled, journaled)| spooled != *journaled);
    match differs.or((spooled.len() != journaled.len()).then_some(spooled.len().min(journaled.len()))) {
        None => Ok(()),
        Some(at) => Err(format!(
            "{session}: update {at} of generation {generation} is {:?} in the spool and {:?} in the journal",
            spooled.get(at),
            journaled.get(at)
        )),
    }
}
