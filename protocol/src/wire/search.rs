//! Search on the wire: what is asked and what was found.
//!
//! Invariant: a snippet is text and ranges, never a terminal's sequences or a page's markup: whoever shows it marks it.

use super::request::requests_elsewhere;
use crate::model::{Seq, SessionId, SessionState};
use serde::{Deserialize, Serialize};

/// In which order hits come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SearchOrder {
    /// The newest first.
    #[default]
    Newest,
    /// Those that fit best first.
    Rank,
}

requests_elsewhere! {
    /// Looks for words in everything that was said and done.
    Search {
        /// Words, "phrases", prefix*, -not, scopes such as `command:make`, filters such as `agent:claude`.
        query: String,
        /// Only of these agents.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        agents: Vec<String>,
        /// Only of sessions in these modes.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        modes: Vec<String>,
        /// Only of sessions in these states.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        states: Vec<SessionState>,
        /// Only of these sessions.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        session_ids: Vec<String>,
        /// Only of sessions in this directory or below it; a name without a slash at its start is looked for in paths.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cwd: Option<String>,
        /// From this day on (`2026-11-01`), or so many hours, days or weeks ago (`12h`, `7d`, `4w`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<String>,
        /// Until the end of this day, or so long ago.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<String>,
        /// In which order.
        #[serde(default)]
        order: SearchOrder,
        /// At most so many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
        /// `next_cursor` of an earlier answer to the same question.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cursor: Option<String>,
        /// Waits until everything is in the index that was recorded before, at most so long, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        wait_ms: Option<u64>,
    }
    /// Makes the search index anew.
    RebuildSearch {}
}

/// A part of a text that shows why it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Snippet {
    /// The part, on one line.
    pub text: String,
    /// Where the matches are in it, counted in characters: the first one inside and the first one behind.
    pub highlights: Vec<(u32, u32)>,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SearchHit {
    /// In which session.
    pub session_id: SessionId,
    /// The record of the first match that is shown.
    pub seq: Seq,
    /// When that prompt, answer or call began, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Where the words are: `prompt`, `response`, `thought`, `command`, `file`, `tool`, `output`.
    pub kind: String,
    /// The part that shows them.
    pub snippet: Snippet,
    /// How many matches there are in the whole of it.
    pub matches: u32,
    /// The session's name.
    pub session_name: Option<String>,
    /// Its agent.
    pub agent: String,
    /// Its directory.
    pub cwd: String,
    /// Where it stands.
    pub state: SessionState,
}
