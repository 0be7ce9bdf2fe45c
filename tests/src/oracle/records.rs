//! One session's journal by itself: its numbers, its turns, its questions, and what clients were told of it.
//!
//! Invariant: pure. Records in, a panic that names the session and the record out.

use super::{kind, prompts, seq, text};
use crate::{Wire, wire::chunk};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{Hash, Hasher},
};

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
    let mut running = None;
    for record in records {
        let turn = record["fact"]["turn"].as_u64();
        match kind(record) {
            "turn_started" => {
                let input = record["fact"]["input_seq"].as_u64().expect("a turn names its input");
                assert!(inputs.contains(&input) && input < seq(record), "{session}: no input for {record}");
                assert!(used.insert(input), "{session}: an input was given to the agent twice: {record}");
                assert!(begun.insert(turn, seq(record)).is_none(), "{session}: a turn began twice: {record}");
                assert_eq!(running, None, "{session}: a turn began while another ran: {record}");
                running = turn;
            }
            "turn_ended" => {
                assert!(begun.contains_key(&turn), "{session}: a turn ended that never began: {record}");
                assert!(ended.insert(turn), "{session}: a turn ended twice: {record}");
                assert_eq!(running, turn, "{session}: another turn was running: {record}");
                running = None;
            }
            "not_delivered" => {
                let input = record["fact"]["input_seq"].as_u64().expect("it names its input");
                assert!(used.remove(&input), "{session}: an input came back that was not given: {record}");
            }
            "input_dropped" => {
                let input = record["fact"]["input_seq"].as_u64().expect("it names its input");
                assert!(used.insert(input), "{session}: an input was dropped that had its turn: {record}");
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

/// INV6, from the clients' side: `decided` are the answers that were acknowledged, by permission and kind of option.
#[track_caller]
pub fn check_decisions(session: &str, records: &[Value], client: &str, decided: &[(String, &str)]) {
    let mut resolved = BTreeMap::new();
    for record in records.iter().filter(|record| kind(record) == "permission_resolved") {
        resolved.insert(record["fact"]["permission_id"].as_str().unwrap_or_default(), &record["fact"]);
    }
    for (permission, decision) in decided {
        let fact = resolved.get(permission.as_str());
        let fact = fact
            .unwrap_or_else(|| panic!("{session}: {decision} for {permission} was acknowledged and lost"));
        let outcome = if decision.starts_with("allow") { "allowed" } else { "denied" };
        assert_eq!(fact["outcome"], *outcome, "{session}: {decision} was acknowledged: {fact}");
        assert_eq!(
            fact["by"]["client_id"], *client,
            "{session}: {decision} was acknowledged to another: {fact}"
        );
    }
}

/// INV3: every accepted input is in the journal, under the number that was told, with its text, and once.
#[track_caller]
pub fn check_accepted(session: &str, records: &[Value], accepted: &[(u64, String)]) {
    let mut wanted: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, prompt) in accepted {
        let record = records
            .get(*number as usize - 1)
            .unwrap_or_else(|| panic!("{session}: input {number} was accepted and is not in the journal"));
        assert_eq!(kind(record), "input", "{session}: input {number} was accepted, but there is {record}");
        assert_eq!(text(record), *prompt, "{session}: input {number} has another text");
        *wanted.entry(prompt).or_default() += 1;
    }
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for given in prompts(records).into_values() {
        *found.entry(given.text).or_default() += 1;
    }
    for (prompt, times) in wanted {
        let found = found.get(prompt).copied().unwrap_or_default();
        assert_eq!(found, times, "{session}: {prompt:?} was accepted {times} times");
    }
}

/// INV3: what was refused is not in the journal.
#[track_caller]
pub fn check_refused(session: &str, records: &[Value], refused: &[String]) {
    let found: BTreeSet<String> = prompts(records).into_values().map(|given| given.text).collect();
    for prompt in refused {
        assert!(!found.contains(prompt), "{session}: {prompt:?} was refused and is in the journal");
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

/// A record in eight bytes, for those who see too many to keep them.
pub fn fingerprint(record: &Value) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    for field in ["seq", "epoch", "at_ms", "fact"] {
        record[field].to_string().hash(&mut hasher);
    }
    hasher.finish()
}

/// INV5, by fingerprints: a stream from the first record on.
#[track_caller]
pub fn check_fingerprints(session: &str, stream: &[u64], records: &[Value]) {
    assert!(stream.len() <= records.len(), "{session}: a subscriber saw more than the journal has");
    for (seen, record) in stream.iter().zip(records) {
        assert_eq!(*seen, fingerprint(record), "{session}: a subscriber saw something else than {record}");
    }
}

/// INV1, for the numbered chunks of the fake agent: those of each tag are there from 0 on, each once, in order.
/// Returns how many there are of this one.
#[track_caller]
pub fn check_chunks(session: &str, records: &[Value], tag: &str) -> u64 {
    count_chunks(session, records).get(tag).copied().unwrap_or_default()
}

/// As [`check_chunks`], for more records than a test should hold: page by page.
#[track_caller]
pub fn page_chunks(wire: &mut Wire, session: &str, tag: &str) -> u64 {
    let (head, mut next, mut after) = (format!("{tag}#"), 0, 0);
    loop {
        let page = wire.ok("read_records", json!({"session_id": session, "after": after}));
        let records = page["records"].as_array().expect("a page has a list of records");
        if records.is_empty() {
            return next;
        }
        for record in records {
            after += 1;
            assert_eq!(seq(record), after, "the numbers of {session} have a hole or a repeat");
            let number = chunk(record)
                .and_then(|text| text.strip_prefix(&head)?.split(' ').next()?.parse::<u64>().ok());
            if let Some(number) = number {
                assert_eq!(next, number, "{session}: chunks of {tag} are lost, doubled or out of order");
                next += 1;
            }
        }
    }
}

/// As [`check_chunks`], for every tag.
#[track_caller]
pub(super) fn count_chunks<'a>(session: &str, records: &'a [Value]) -> BTreeMap<&'a str, u64> {
    let mut counts = BTreeMap::new();
    for text in records.iter().filter_map(chunk) {
        let Some((tag, rest)) = text.split_once('#') else { continue };
        let Some(Ok(number)) = rest.split(' ').next().map(str::parse::<u64>) else { continue };
        let next = counts.entry(tag).or_default();
        assert_eq!(number, *next, "{session}: chunks of {tag} are lost, doubled or out of order");
        *next += 1;
    }
    counts
}
