//! What must hold after any test, whatever happened in it: read the journal and compare.
//!
//! Invariant: the oracle only reads, through the daemon, as a client would. INV numbers are those of the reliability
//! page of the design.

mod heard;
mod ledger;
mod records;
mod whole;

pub use heard::{check_heard, check_sent};
pub use ledger::{check_ledger, ledger};
pub use records::{
    check_accepted, check_chunks, check_decisions, check_fingerprints, check_order, check_permissions,
    check_refused, check_stream, check_turns, fingerprint, page_chunks,
};
pub use whole::{check_spool, check_whole};

use crate::{TestEnv, Wire, fake::Entry};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The journals of all sessions, by id.
pub type Journals = BTreeMap<String, Vec<Value>>;

/// Reads all records of a session.
#[track_caller]
pub fn journal(wire: &mut Wire, session: &str) -> Vec<Value> {
    let mut records: Vec<Value> = Vec::new();
    loop {
        let after = records.last().map_or(0, seq);
        let mut page = wire.ok("read_records", json!({"session_id": session, "after": after}));
        let head = page["head"].as_u64().expect("a page tells the head");
        let Value::Array(page) = page["records"].take() else { panic!("a page has a list of records") };
        if page.is_empty() {
            assert!(after >= head, "records after {after} are missing: the head of {session} is {head}");
            return records;
        }
        records.extend(page);
    }
}

fn seq(record: &Value) -> u64 {
    record["seq"].as_u64().expect("a record has a number")
}

fn kind(record: &Value) -> &str {
    record["fact"]["kind"].as_str().expect("a fact has a kind")
}

/// The text of an `input` record.
fn text(record: &Value) -> String {
    let blocks = record["fact"]["content"].as_array().into_iter().flatten();
    blocks.filter_map(|block| block["text"].as_str()).collect()
}

/// Checks everything that needs no memory of the test: every session's journal by itself and against what the fake
/// agents heard. Returns the journals.
#[track_caller]
pub fn check(env: &TestEnv) -> Journals {
    let mut wire = env.connect();
    let list = wire.ok("list_sessions", json!({"include_ended": true}));
    let ids = list["sessions"].as_array().into_iter().flatten().filter_map(|session| session["id"].as_str());
    let journals: Journals = ids.map(|id| (id.to_owned(), journal(&mut wire, id))).collect();
    let mut heard: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for entry in env.heard() {
        let session = entry.marker.as_deref().and_then(session_of).unwrap_or_default();
        heard.entry(session.to_owned()).or_default().push(entry);
    }
    for (id, records) in &journals {
        check_ledger(&mut wire, id, records);
        check_session(id, records, &heard.remove(id).unwrap_or_default());
    }
    heard.retain(|session, entries| {
        !session.is_empty() && entries.iter().any(|entry| entry.line.contains("session/prompt"))
    });
    assert!(heard.is_empty(), "agents heard prompts of sessions that are not in the list: {heard:?}");
    journals
}

/// One session by itself: its journal, and what its fake agents heard and sent.
#[track_caller]
pub fn check_session(session: &str, records: &[Value], heard: &[Entry]) {
    check_order(session, records);
    check_turns(session, records);
    check_permissions(session, records);
    // An agent that is not the fake one keeps no log.
    if records.first().is_some_and(|record| record["fact"]["agent"] == "fake") {
        check_heard(session, records, heard);
        check_sent(session, records, heard);
    }
}

/// The session of a marker `<state id>:<session id>.<generation>`.
fn session_of(marker: &str) -> Option<&str> {
    marker.split_once(':')?.1.split_once('.').map(|(session, _)| session)
}

/// What an accepted prompt led to, as its session's journal tells.
struct Given {
    text: String,
    /// Its turns, in order; the last may be running.
    turns: Vec<Turn>,
}

/// A turn of a prompt.
struct Turn {
    /// Which start of the agent it was given to.
    generation: u64,
    /// How it ended, if it has.
    ended: Option<String>,
}

impl Given {
    fn ended(&self, how: &str) -> bool {
        self.turns.iter().any(|turn| turn.ended.as_deref() == Some(how))
    }
}

/// Every prompt of a session by the number of its record.
fn prompts(records: &[Value]) -> BTreeMap<u64, Given> {
    let mut prompts = BTreeMap::new();
    let mut turns: BTreeMap<Option<u64>, u64> = BTreeMap::new();
    let mut generation = 0;
    for record in records {
        let fact = &record["fact"];
        match kind(record) {
            "input" => drop(prompts.insert(seq(record), Given { text: text(record), turns: Vec::new() })),
            "input_edited" => {
                let input = record["fact"]["input_seq"].as_u64().unwrap_or_default();
                prompts.get_mut(&input).expect("what was edited was accepted").text = text(record);
            }
            "agent_started" => generation = fact["generation"].as_u64().unwrap_or_default(),
            "turn_started" => {
                let input = fact["input_seq"].as_u64().unwrap_or_default();
                turns.insert(fact["turn"].as_u64(), input);
                if let Some(given) = prompts.get_mut(&input) {
                    given.turns.push(Turn { generation, ended: None });
                }
            }
            "turn_ended" => {
                let given = turns.get(&fact["turn"].as_u64()).and_then(|input| prompts.get_mut(input));
                let word = if fact["stop_reason"] == "not_delivered" { "stop_reason" } else { "outcome" };
                if let Some(turn) = given.and_then(|given| given.turns.last_mut()) {
                    turn.ended = fact[word].as_str().map(str::to_owned);
                }
            }
            _ => {}
        }
    }
    prompts
}
