//! What a session can be made from, under a name.

use super::{Detached, OrphanPolicy};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A session's configuration. What a client says when it makes a session wins over it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Template {
    /// The agent's name.
    pub agent: String,
    /// Words about it; the session's, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The working directory; the client's otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Mode of the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Model of the agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// More arguments for the agent's program.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// A branch and a worktree of its own, of this name; empty when it is to be chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worktree: Option<String>,
    /// What happens when the last subscriber leaves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orphan_policy: Option<OrphanPolicy>,
    /// Time to live without activity, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u64>,
    /// How long its agent's questions wait before they are denied, in seconds; 0 is for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_deadline_s: Option<u64>,
    /// What becomes of them when nobody is there who could answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detached: Option<Detached>,
    /// Names of variables that the client passes to the agent besides the usual ones; never their values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The first prompt. `{prompt}` is what the client says, `{NAME}` a value that it gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Other options of the agent.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub options: Map<String, Value>,
}

impl Template {
    /// The names of its fields.
    pub const FIELDS: &[&str] = &[
        "agent",
        "description",
        "cwd",
        "mode",
        "model",
        "args",
        "worktree",
        "orphan_policy",
        "ttl_s",
        "approval_deadline_s",
        "detached",
        "env",
        "prompt",
        "options",
    ];
}

/// A template in a list. One that cannot be read says why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TemplateInfo {
    /// Its name.
    pub name: String,
    /// Its file.
    pub path: String,
    /// What it says.
    #[serde(default)]
    pub template: Option<Template>,
    /// Why it cannot be used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
