//! What the command line prints as JSON and no message of the wire has.
//!
//! Invariant: as on the wire, a name keeps its meaning and fields are only added.

use crate::model::{Cost, ErrorCode, ModelUse, Permission, SessionId, SessionInfo, TurnOutcome, Usage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `vibes ask --json`: what an agent answered, and what became of the turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Answered {
    /// What the agent said last: after what it did, without its thoughts.
    pub answer: String,
    /// The session.
    pub session_id: SessionId,
    /// Whether there still is one.
    pub kept: bool,
    /// The agent's name.
    pub agent: String,
    /// How the turn ended.
    pub outcome: TurnOutcome,
    /// The agent's own word for the end, or ours when it said none.
    pub stop_reason: String,
    /// Why it failed.
    pub error: Option<String>,
    /// The exit code of its command, for agents that run one.
    pub exit_code: Option<i32>,
    /// Tokens, when the agent said.
    pub usage: Option<Usage>,
    /// What it cost, when the agent said or a price is known.
    pub cost: Option<Cost>,
    /// Tokens and cost by model.
    #[serde(default)]
    pub models: BTreeMap<String, ModelUse>,
    /// Files that were changed, made, moved or deleted.
    #[serde(default)]
    pub files: Vec<String>,
    /// What the agent asked and was not allowed, each in one line.
    #[serde(default)]
    pub denied: Vec<String>,
    /// How long the turn took, in milliseconds.
    pub duration_ms: Option<i64>,
}

/// What a verb with `--json` prints that has no shape of its own, whether it did what was asked or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Done {
    /// The verb, such as `kill` or `queue move`.
    pub verb: String,
    /// Whether all of it was done.
    pub ok: bool,
    /// The exit code.
    pub exit_code: u8,
    /// The sessions that it was about, as they are now; not those that are purged.
    pub sessions: Vec<SessionInfo>,
    /// What it prints on standard output without `--json`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// What it says on standard error, line by line.
    #[serde(default)]
    pub said: Vec<String>,
    /// What was not done, and why.
    #[serde(default)]
    pub faults: Vec<Fault>,
}

/// Why something was not done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Fault {
    /// The daemon's code, when it was the daemon that refused.
    pub code: Option<ErrorCode>,
    /// What is known.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// The exit code for it alone.
    pub exit_code: u8,
}

/// `vibes approvals list --json` and `--watch`: a question that waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Asked {
    /// Whose agent asks.
    pub session_id: SessionId,
    /// The session's name.
    pub session_name: Option<String>,
    /// The agent's name.
    pub agent: String,
    /// The question.
    pub permission: Permission,
}

/// `vibes approvals list --watch`: a question that waits no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Settled {
    /// Whose agent asked.
    pub session_id: SessionId,
    /// The question.
    pub settled: String,
}
