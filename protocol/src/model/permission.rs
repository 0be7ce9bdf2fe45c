//! A question from the agent and its possible answers.
//!
//! Invariant: the hash covers the raw request as the agent sent it, so an answer is bound to exactly those bytes.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A request that waits for a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Permission {
    /// Unique over all sessions.
    pub permission_id: String,
    /// SHA-256 of the raw request, in hexadecimal.
    pub hash: String,
    /// The kind or name of the tool, as the agent sent it.
    pub tool: String,
    /// The tool's input, verbatim.
    pub raw_input: Value,
    /// The session's working directory.
    pub cwd: String,
    /// A change of a file, when the request carries one: `{path, old_text, new_text}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<Value>,
    /// The other changes, when the request carries more than one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_diffs: Vec<Value>,
    /// The files that the request names beside its input.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// The answers that the agent offers.
    pub options: Vec<PermissionOption>,
    /// The agent's own words for what it wants: a claim, not a fact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim_title: Option<String>,
    /// When it is denied by itself, in milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<i64>,
    /// The tool call it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

/// One answer that the agent offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PermissionOption {
    /// What goes back to the agent.
    pub option_id: String,
    /// `allow_once`, `allow_always`, `reject_once`, `reject_always`, `answer` (to a question of the agent), or a kind we
    /// do not know.
    pub kind: String,
    /// The agent's label.
    pub name: String,
}

impl PermissionOption {
    /// Whether choosing it lets the agent go on with the call.
    pub fn allows(&self) -> bool {
        self.kind.starts_with("allow") || self.kind == "answer"
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A person or a rule allowed it.
    Allowed,
    /// A person or a rule denied it.
    Denied,
    /// Its deadline passed.
    Expired,
    /// The turn was interrupted or the session ended.
    Cancelled,
    /// The agent took it back or died.
    Withdrawn,
}

/// A decision by kind, for clients that do not name one of the agent's options.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// Allow this once.
    AllowOnce,
    /// Allow this and its like, as the agent understands it.
    AllowAlways,
    /// Deny this once.
    RejectOnce,
    /// Deny this and its like, as the agent understands it.
    RejectAlways,
}

impl Decision {
    /// The ACP kind of option that this decision picks.
    pub fn as_kind(self) -> &'static str {
        match self {
            Self::AllowOnce => "allow_once",
            Self::AllowAlways => "allow_always",
            Self::RejectOnce => "reject_once",
            Self::RejectAlways => "reject_always",
        }
    }
}
