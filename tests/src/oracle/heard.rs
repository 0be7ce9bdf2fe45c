//! A session's journal against what its fake agents heard and what they say they sent.
//!
//! Invariant: the agents' log is the witness: it is written outside of vibes, before anything it tells can be known
//! to a client.

use super::{kind, prompts, records::count_chunks};
use crate::fake::Entry;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// INV4: a prompt reached the agent at most once, and exactly once if its turn ended well; every request of an agent
/// was answered at most once, with what the journal says was decided.
#[track_caller]
pub fn check_heard(session: &str, records: &[Value], heard: &[Entry]) {
    let mut reached: BTreeMap<String, usize> = BTreeMap::new();
    let mut answers = BTreeSet::new();
    let mut chosen: BTreeMap<&str, usize> = BTreeMap::new();
    let lines: Vec<(&Entry, Value)> = heard
        .iter()
        .inspect(|entry| assert_ne!(entry.kind, "note", "{session}: the fake agent noted: {}", entry.line))
        .filter_map(|entry| Some((entry, serde_json::from_str::<Value>(&entry.line).ok()?)))
        .collect();
    for (entry, message) in &lines {
        if message["method"] == "session/prompt" {
            // What goes before a prompt has records of its own.
            let is_context = |block: &&Value| block["_meta"]["vibes"]["context"].is_string();
            let blocks = message["params"]["prompt"].as_array().into_iter().flatten();
            let blocks = blocks.filter(|block| !is_context(block));
            let text = blocks.filter_map(|block| block["text"].as_str()).collect();
            *reached.entry(text).or_default() += 1;
        } else if message["method"].is_null() && entry.kind == "in" {
            let id = (entry.marker.as_deref(), message["id"].to_string());
            assert!(answers.insert(id), "{session}: a request was answered twice: {}", entry.line);
            if let Some(option) = message["result"]["outcome"]["optionId"].as_str() {
                *chosen.entry(option).or_default() += 1;
            }
        }
    }
    let (mut times, mut well): (BTreeMap<&str, usize>, BTreeMap<&str, usize>) = Default::default();
    let prompts = prompts(records);
    for given in prompts.values() {
        *times.entry(&given.text).or_default() += 1;
        if given.ended("finished") {
            *well.entry(&given.text).or_default() += 1;
        }
    }
    for (text, times) in times {
        let reached = reached.get(text).copied().unwrap_or_default();
        assert!(reached <= times, "{session}: the agent heard {text:?} {reached} times, given {times} times");
        let well = well.get(text).copied().unwrap_or_default();
        assert!(
            reached >= well,
            "{session}: {well} turns of {text:?} ended well, the agent heard it {reached} times"
        );
    }
    let mut decided: BTreeMap<&str, usize> = BTreeMap::new();
    for record in records.iter().filter(|record| kind(record) == "permission_resolved") {
        if let Some(option) = record["fact"]["option_id"].as_str() {
            *decided.entry(option).or_default() += 1;
        }
    }
    for (option, heard) in chosen {
        let decided = decided.get(option).copied().unwrap_or_default();
        assert!(heard <= decided, "{session}: agents heard {option} {heard} times, decided {decided} times");
    }
}

/// The generations that were not lost with their runners: those whose end was seen, and the one that runs.
fn whole_generations(records: &[Value]) -> BTreeSet<u64> {
    let (mut whole, mut last, mut runs) = (BTreeSet::new(), None, false);
    for record in records {
        let fact = &record["fact"];
        match kind(record) {
            "agent_started" => (last, runs) = (fact["generation"].as_u64(), true),
            "agent_exited" => whole.extend(fact["generation"].as_u64()),
            "state_changed" => {
                let down = ["suspended", "finished", "failed", "killed"];
                runs &= !fact["to"].as_str().is_some_and(|to| down.contains(&to));
            }
            _ => {}
        }
    }
    whole.extend(last.filter(|_| runs));
    whole
}

/// INV1, from the agent's side: all chunks that the fake agent says it sent are in the journal, unless it was lost
/// with its runner; a turn that ended well has all that its prompt asked for.
#[track_caller]
pub fn check_sent(session: &str, records: &[Value], heard: &[Entry]) {
    let sent: BTreeMap<&str, u64> = heard
        .iter()
        .filter(|entry| entry.kind == "sent")
        .filter_map(|entry| entry.line.split_once(' '))
        .filter_map(|(tag, count)| Some((tag, count.parse().ok()?)))
        .collect();
    let prompts = prompts(records);
    let whole = whole_generations(records);
    let counts = count_chunks(session, records);
    for given in prompts.values() {
        for line in given.text.lines() {
            let Some(fields) = line.strip_prefix("chunks ") else { continue };
            let fields: Vec<&str> = fields.split(' ').collect();
            let [wanted, _, _, tag] = fields[..] else { continue };
            let came = counts.get(tag).copied().unwrap_or_default();
            let finished = given.ended("finished");
            if finished {
                assert_eq!(came.to_string(), wanted, "{session}: {tag} ended well");
            }
            match sent.get(tag) {
                Some(sent) if given.turns.iter().all(|turn| whole.contains(&turn.generation)) => {
                    assert_eq!(came, *sent, "{session}: the agent sent {sent} chunks of {tag}")
                }
                Some(sent) => {
                    assert!(came <= *sent, "{session}: the agent sent {sent} chunks of {tag}: {came} came")
                }
                None => assert!(!finished, "{session}: {tag} ended well, and the agent never got so far"),
            }
        }
    }
}
