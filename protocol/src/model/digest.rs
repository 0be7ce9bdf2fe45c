//! What happened in a session since somebody last looked.
//!
//! Invariant: it is made of the ledger and of records, without a model, and bounded: what is left out is counted.

use super::{Cost, How, Outcome, Seq, SessionId, SessionState, TurnInfo};
use serde::{Deserialize, Serialize};

/// One session's news.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionDigest {
    /// Which session.
    pub session_id: SessionId,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// Its agent.
    pub agent: String,
    /// Its directory.
    pub cwd: String,
    /// Where it stands.
    pub state: SessionState,
    /// Why, where that is told.
    #[serde(default)]
    pub reason: Option<String>,
    /// What was told before: records up to this one.
    pub after: Seq,
    /// The last record that this tells of.
    pub head: Seq,
    /// The turns that ran since, the oldest first.
    pub turns: Vec<TurnInfo>,
    /// How many more there were before these.
    #[serde(default)]
    pub more_turns: u64,
    /// What these turns cost, when somebody says.
    #[serde(default)]
    pub cost: Option<Cost>,
    /// The files that they changed, each once.
    #[serde(default)]
    pub files: Vec<String>,
    /// The commands that were run since, the oldest first.
    #[serde(default)]
    pub commands: Vec<RanCommand>,
    /// How many more there were after these.
    #[serde(default)]
    pub more_commands: u64,
    /// What was answered since, the oldest first.
    #[serde(default)]
    pub decisions: Vec<Decided>,
    /// How many more there were after these.
    #[serde(default)]
    pub more_decisions: u64,
    /// What waits for an answer.
    #[serde(default)]
    pub questions: Vec<Question>,
    /// How many prompts wait.
    #[serde(default)]
    pub queued: u32,
    /// There was too much to read all of it: commands and decisions are of a part.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// A command that an agent ran.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RanCommand {
    /// The record that told of it.
    pub seq: Seq,
    /// The command, cut when it is long; the tool's own title where it names none.
    pub command: String,
    /// How it went, in the agent's word: `completed`, `failed`, …
    #[serde(default)]
    pub status: Option<String>,
}

/// A question that was answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Decided {
    /// The record of the answer.
    pub seq: Seq,
    /// When, in milliseconds.
    pub at_ms: i64,
    /// The tool.
    pub tool: String,
    /// What it was to do, cut when it is long.
    pub action: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Who answered, unless nobody did.
    #[serde(default)]
    pub by: Option<String>,
    /// The rule that did.
    #[serde(default)]
    pub rule: Option<String>,
    /// How it came about.
    #[serde(default)]
    pub how: Option<How>,
}

/// A question that waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Question {
    /// Which request.
    pub permission_id: String,
    /// The tool.
    pub tool: String,
    /// What it is to do, cut when it is long.
    pub action: String,
}
