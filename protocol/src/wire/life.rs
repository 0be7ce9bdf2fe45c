//! How people live with many sessions: what they have read, what happened since, and what is done when something is so.
//!
//! Invariant: what a person has read is theirs, on all of their devices; a condition says itself what it waits for.

use super::request::requests_elsewhere;
use crate::model::{Condition, Seq};
use serde::{Deserialize, Serialize};

requests_elsewhere! {
    /// What is new in a session is not new to this person any more, on any of their devices.
    MarkRead {
        /// Which session.
        session_id: String,
        /// Up to this record; all there is otherwise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seq: Option<Seq>,
    }
    /// Tells what happened in a session since this person last read it.
    GetDigest {
        /// Which session; one that rests is not woken for it.
        session_id: String,
        /// Since this record instead.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Seq>,
        /// Since this day (`2026-11-01`), or so many hours, days or weeks ago (`12h`, `7d`, `4w`), instead.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<String>,
    }
    /// Has something done as soon as something is so of a session, now or after any number of restarts; at least once.
    AddTrigger {
        /// Which session.
        session_id: String,
        /// What is waited for: `idle`, `needs-approval`, `finished`, `cost>N` or `file:GLOB`.
        when: Condition,
        /// A program and its arguments, which is told as JSON on its standard input; or:
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        command: Vec<String>,
        /// The program's directory, absolute.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cwd: Option<String>,
        /// an address that is told the same, by its name in the configuration.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        webhook: Option<String>,
    }
    /// Tells the triggers that wait, are under way, or were last over.
    ListTriggers {
        /// Only those of this session.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session_id: Option<String>,
    }
    /// Tells what the state directory takes on the disk, each session in it, and what leaves by retention.
    GetDiskUsage {
        /// At most so many sessions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
    }
    /// Takes a trigger away.
    RemoveTrigger {
        /// Which one.
        trigger_id: u64,
    }
}
