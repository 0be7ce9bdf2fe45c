//! What the shell's commands left behind: the only witness that a command was carried out.
//!
//! Invariant: a command that was allowed, and whose turn ended well, was carried out once; any other at most once.

use serde_json::Value;
use std::{collections::BTreeMap, fs};

/// The tag of a command `echo TAG >>FILE…`.
fn tag(text: &str) -> Option<&str> {
    text.strip_prefix("echo ")?.split(' ').next()
}

#[track_caller]
pub(super) fn check(session: &str, records: &[Value], traces: &str) {
    let text = fs::read_to_string(traces).unwrap_or_default();
    let mut done: BTreeMap<&str, usize> = BTreeMap::new();
    text.lines().for_each(|tag| *done.entry(tag).or_default() += 1);
    let twice: Vec<_> = done.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{session}: commands were carried out again: {twice:?}");
    let (mut running, mut denied) = (None, false);
    for record in records {
        let fact = &record["fact"];
        match fact["kind"].as_str() {
            Some("turn_started") => {
                let input = fact["input_seq"].as_u64().and_then(|seq| records.get(seq as usize - 1));
                let text = input.and_then(|input| input["fact"]["content"][0]["text"].as_str());
                (running, denied) = (text.and_then(tag), false);
            }
            Some("permission_resolved") => denied |= fact["outcome"] != "allowed",
            Some("turn_ended") => {
                if let Some(tag) = running.take().filter(|_| fact["outcome"] == "finished") {
                    let wanted = usize::from(!denied);
                    let times = done.get(tag).copied().unwrap_or_default();
                    assert_eq!(times, wanted, "{session}: {tag} was carried out {times} times: {fact}");
                }
            }
            _ => {}
        }
    }
}
