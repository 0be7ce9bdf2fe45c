//! What people want to have remembered, across sessions and agents.

use super::SessionId;
use serde::{Deserialize, Serialize};

/// Something to remember.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Memory {
    /// Its number; it never names another one.
    pub id: u64,
    /// The words.
    pub text: String,
    /// What it belongs to, such as `note` or `decision`.
    pub category: String,
    /// Words to find it by.
    #[serde(default)]
    pub tags: Vec<String>,
    /// When it was added, in milliseconds since the Unix epoch.
    pub created_ms: i64,
    /// When it was last changed.
    pub updated_ms: i64,
    /// The session that it was added in, if it was in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// Who added it: a seat, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// What became of a line that may be a command about memories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MemoryAction {
    /// It is none: it is meant for the agent.
    NotACommand,
    /// Something is remembered now.
    Remembered,
    /// It was looked for something.
    Found,
    /// Something is forgotten.
    Forgotten,
    /// Several fit what was to be forgotten: nothing was.
    Unsure,
    /// All of them are listed.
    Listed,
}
