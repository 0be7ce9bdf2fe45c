//! A turn as the ledger has it: what was asked, what came of it, what it took.
//!
//! Invariant: one row per turn, bounded in size, written with the records it tells of; its outcome is that of the
//! record that ended the turn.

use super::{Cost, Seq, TurnOutcome, Usage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One turn of a session.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct TurnInfo {
    /// Its number in the session.
    pub turn: u64,
    /// The record of its prompt.
    pub input_seq: Seq,
    /// The text of the prompt, cut when it is long.
    pub prompt: String,
    /// When it began, in milliseconds.
    pub started_ms: i64,
    /// When it ended, in milliseconds; null while it runs.
    pub ended_ms: Option<i64>,
    /// How it ended; null while it runs.
    pub outcome: Option<TurnOutcome>,
    /// The agent's own word for the end, or ours when it said none.
    pub stop_reason: Option<String>,
    /// Tokens, when the agent said.
    pub usage: Option<Usage>,
    /// What it cost, when the agent said or a price is known.
    pub cost: Option<Cost>,
    /// Tokens and cost by model.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub models: BTreeMap<String, ModelUse>,
    /// Files that its tool calls changed, made, moved or deleted, as the agent named them.
    pub files: Vec<String>,
    /// How often others were besides; one of them may count more than once.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_files: u32,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The exit code of its command, for agents that run one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The record that it begins with.
    pub first_seq: Seq,
    /// The record that it ends with; null while it runs.
    pub last_seq: Option<Seq>,
}

/// What one model had to do with a turn.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ModelUse {
    /// Tokens.
    #[serde(flatten)]
    pub usage: Usage,
    /// What that cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
}

/// What costs are told by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CostsBy {
    /// Days, in the daemon's time zone.
    #[default]
    Day,
    /// Weeks by ISO 8601.
    Week,
    /// Agents.
    Agent,
    /// Models.
    Model,
    /// Sessions.
    Session,
    /// Directories.
    Directory,
}

/// What turns took together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CostSum {
    /// Which: a day, a week, an agent, a model, a session's id, a directory.
    pub key: String,
    /// The session's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many turns.
    pub turns: u64,
    /// Their tokens.
    #[serde(flatten)]
    pub usage: Usage,
    /// What they cost; null when nobody said and no price is known. Another currency is another sum.
    #[serde(default)]
    pub cost: Option<Cost>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}
