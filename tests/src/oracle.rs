//! What must hold after any test, whatever happened in it: read the journal and compare.
//!
//! Invariant: the oracle only reads, through the daemon, as a client would. INV numbers are those of the reliability
//! page of the design.

use crate::{TestEnv, Wire, wire::chunk};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

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
    for (id, records) in &journals {
        check_order(id, records);
        check_turns(id, records);
        check_permissions(id, records);
    }
    check_heard(env, &journals);
    journals
}

/// INV2: numbers are dense from 1; the epoch and the times never fall.
#[track_caller]
pub fn check_order(session: &str, records: &[Value]) {
    for (n, record) in records.iter().enumerate() {
        assert_eq!(seq(record), n as u64 + 1, "the numbers of {session} have a hole or a repeat: {record}");
    }
    for pair in records.windows(2) {
        let epochs = (pair[0]["epoch"].as_u64(), pair[1]["epoch"].as_u64());
        assert!(epochs.0 <= epochs.1, "the epoch of {session} falls at {}", pair[1]);
    }
}

/// A turn belongs to one input, an input has one turn, and a turn ends once and after it began.
#[track_caller]
pub fn check_turns(session: &str, records: &[Value]) {
    let inputs: BTreeSet<u64> = records.iter().filter(|record| kind(record) == "input").map(seq).collect();
    let mut begun = BTreeMap::new();
    let mut used = BTreeSet::new();
    let mut ended = BTreeSet::new();
    for record in records {
        let turn = record["fact"]["turn"].as_u64();
        match kind(record) {
            "turn_started" => {
                let input = record["fact"]["input_seq"].as_u64().expect("a turn names its input");
                assert!(inputs.contains(&input) && input < seq(record), "{session}: no input for {record}");
                assert!(used.insert(input), "{session}: an input was given to the agent twice: {record}");
                assert!(begun.insert(turn, seq(record)).is_none(), "{session}: a turn began twice: {record}");
            }
            "turn_ended" => {
                assert!(begun.contains_key(&turn), "{session}: a turn ended that never began: {record}");
                assert!(ended.insert(turn), "{session}: a turn ended twice: {record}");
            }
            _ => {}
        }
    }
}

/// INV6: a request is made once and decided at most once, after it was made.
#[track_caller]
pub fn check_permissions(session: &str, records: &[Value]) {
    let mut requested = BTreeSet::new();
    let mut resolved = BTreeSet::new();
    for record in records {
        match kind(record) {
            "permission_requested" => {
                let id = record["fact"]["permission"]["permission_id"].to_string();
                assert!(requested.insert(id), "{session}: a permission was requested twice: {record}");
            }
            "permission_resolved" => {
                let id = record["fact"]["permission_id"].to_string();
                assert!(requested.contains(&id), "{session}: decided without a request: {record}");
                assert!(resolved.insert(id), "{session}: decided twice: {record}");
            }
            _ => {}
        }
    }
}

/// INV3: every accepted input is in the journal, under the number that was told, with its text.
#[track_caller]
pub fn check_accepted(session: &str, records: &[Value], accepted: &[(u64, String)]) {
    for (number, prompt) in accepted {
        let record = records
            .get(*number as usize - 1)
            .unwrap_or_else(|| panic!("{session}: input {number} was accepted and is not in the journal"));
        assert_eq!(kind(record), "input", "{session}: input {number} was accepted, but there is {record}");
        assert_eq!(text(record), *prompt, "{session}: input {number} has another text");
    }
    let texts: Vec<String> = records.iter().filter(|record| kind(record) == "input").map(text).collect();
    for (_, prompt) in accepted {
        let times = texts.iter().filter(|text| *text == prompt).count();
        let accepted = accepted.iter().filter(|(_, text)| text == prompt).count();
        assert_eq!(times, accepted, "{session}: {prompt:?} was accepted {accepted} times");
    }
}

/// INV5: what a subscriber saw is a slice of the journal, byte for byte as JSON.
#[track_caller]
pub fn check_stream(session: &str, stream: &[Value], records: &[Value]) {
    let Some(first) = stream.first() else { return };
    for (n, seen) in stream.iter().enumerate() {
        let number = seq(first) + n as u64;
        assert_eq!(seq(seen), number, "{session}: the subscriber's stream has a hole or a repeat");
        let mut seen = seen.clone();
        // The journal's records carry no tag of their own on every way; the tag is not the record.
        seen.as_object_mut().expect("a record is an object").remove("type");
        let mut kept = records.get(number as usize - 1).cloned().unwrap_or_default();
        kept.as_object_mut().map(|record| record.remove("type"));
        assert_eq!(seen, kept, "{session}: record {number} differs from the journal");
    }
}

/// INV1, for the numbered chunks of the fake agent: those of a tag are there from 0 on, each once, in order. Returns
/// how many there are.
#[track_caller]
pub fn check_chunks(session: &str, records: &[Value], tag: &str) -> u64 {
    let head = format!("{tag}#");
    let numbers = records.iter().filter_map(chunk).filter_map(|text| {
        let rest = text.strip_prefix(&head)?;
        rest.split(' ').next()?.parse::<u64>().ok()
    });
    let mut next = 0;
    for number in numbers {
        assert_eq!(number, next, "{session}: chunks of {tag} are lost, doubled or out of order");
        next += 1;
    }
    next
}

/// INV4: a prompt reached the agent at most once, and exactly once if its turn ended well; every request of an agent
/// was answered at most once.
#[track_caller]
pub fn check_heard(env: &TestEnv, journals: &Journals) {
    let mut prompts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut answers: BTreeSet<(u32, String)> = BTreeSet::new();
    for entry in env.heard() {
        assert_ne!(entry.kind, "note", "the fake agent noted: {}", entry.line);
        let Ok(message) = serde_json::from_str::<Value>(&entry.line) else { continue };
        if message["method"] == "session/prompt" {
            let blocks = message["params"]["prompt"].as_array().into_iter().flatten();
            let text = blocks.filter_map(|block| block["text"].as_str()).collect();
            let session = entry.marker.as_deref().and_then(session_of).unwrap_or_default();
            prompts.entry(session.to_owned()).or_default().push(text);
        } else if message["method"].is_null() && entry.kind == "in" {
            let id = message["id"].to_string();
            assert!(
                answers.insert((entry.pid, id)),
                "a request of the agent was answered twice: {}",
                entry.line
            );
        }
    }
    for (session, records) in journals {
        let heard = prompts.remove(session).unwrap_or_default();
        let by_seq = |number: u64| records.get(number as usize - 1).map(text).unwrap_or_default();
        let mut well = BTreeMap::new();
        let mut begun = BTreeMap::new();
        for record in records {
            match kind(record) {
                "turn_started" => {
                    let input = record["fact"]["input_seq"].as_u64().expect("a turn names its input");
                    begun.insert(record["fact"]["turn"].as_u64(), by_seq(input));
                }
                "turn_ended" if record["fact"]["outcome"] == "finished" => {
                    let text = begun.get(&record["fact"]["turn"].as_u64()).cloned().unwrap_or_default();
                    *well.entry(text).or_insert(0) += 1;
                }
                _ => {}
            }
        }
        let mut given: BTreeMap<String, usize> = BTreeMap::new();
        for record in records.iter().filter(|record| kind(record) == "input") {
            *given.entry(text(record)).or_default() += 1;
        }
        // An agent that is not the fake one keeps no log.
        if heard.is_empty() && !records.first().is_some_and(|record| record["fact"]["agent"] == "fake") {
            continue;
        }
        for (text, times) in &given {
            let heard = heard.iter().filter(|heard| *heard == text).count();
            assert!(
                heard <= *times,
                "{session}: the agent heard {text:?} {heard} times, given {times} times"
            );
            let well = well.get(text).copied().unwrap_or(0);
            assert!(
                heard >= well,
                "{session}: {well} turns of {text:?} ended well, the agent heard it {heard} times"
            );
        }
    }
    let strangers: Vec<_> = prompts.into_iter().filter(|(session, _)| !session.is_empty()).collect();
    assert!(strangers.is_empty(), "agents heard prompts of sessions that are not in the list: {strangers:?}");
}

/// The session of a marker `<state id>:<session id>.<generation>`.
fn session_of(marker: &str) -> Option<&str> {
    marker.split_once(':')?.1.split_once('.').map(|(session, _)| session)
}
