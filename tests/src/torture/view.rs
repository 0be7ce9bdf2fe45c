//! What a client makes of the records of one session.
//!
//! Invariant: a fold: the same records, the same view, however many connections they came over.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The session as its records tell it.
#[derive(Debug, Default)]
pub(super) struct View {
    /// Prompts without an end: waiting or running, by the numbers of their records.
    pub(super) open: BTreeSet<u64>,
    /// Turns by their prompts.
    turns: BTreeMap<u64, u64>,
    /// The word for its state.
    pub(super) state: String,
}

impl View {
    pub(super) fn take(&mut self, seq: u64, fact: &Value) {
        let number = |name: &str| fact[name].as_u64().unwrap_or_default();
        match fact["kind"].as_str() {
            Some("input") => drop(self.open.insert(seq)),
            Some("input_dropped") => drop(self.open.remove(&number("input_seq"))),
            Some("turn_started") => drop(self.turns.insert(number("turn"), number("input_seq"))),
            Some("turn_ended") => {
                let input = self.turns.remove(&number("turn"));
                // One that did not reach the agent is back in the queue.
                if let Some(input) = input.filter(|_| fact["stop_reason"] != "not_delivered") {
                    self.open.remove(&input);
                }
            }
            Some("state_changed") => self.state = fact["to"].as_str().unwrap_or_default().to_owned(),
            _ => {}
        }
    }

    /// Whether it has ended.
    pub(super) fn ended(&self) -> bool {
        ["finished", "failed", "killed", "expired"].contains(&self.state.as_str())
    }

    /// Whether a turn runs.
    pub(super) fn busy(&self) -> bool {
        !self.turns.is_empty()
    }
}
