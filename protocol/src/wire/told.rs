//! What answers are made of: the parts that several lines of them share or that stand for themselves.
//!
//! Invariant: data and nothing else.

use crate::model::{Link, Permission, Seq, SessionId, SessionInfo, Verdict};
use serde::{Deserialize, Serialize};

/// Limits a client should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Limits {
    /// The longest line the daemon reads, in bytes.
    pub max_line_bytes: u64,
    /// How many requests may wait for their answer on one connection.
    pub max_outstanding: u32,
    /// How many prompts may wait in one session.
    pub max_queued_prompts: u32,
}

/// One session of a `subscribed` answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SubscribedSession {
    /// The session as it is now.
    pub session: SessionInfo,
    /// The number of its last record.
    pub head: Seq,
    /// What waits for an answer.
    pub pending_permissions: Vec<Permission>,
    /// How the daemon stands to its agent.
    pub link: Link,
}

/// A port that something of a session listens at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Listener {
    /// Address and port.
    pub address: String,
    /// Whether only this machine reaches it.
    pub local: bool,
    /// What listens: the name of its program.
    pub program: String,
    /// Its process.
    pub pid: i32,
}

/// A file of standing rules in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AppliedRules {
    /// Who applied it: `user@host`.
    pub person: Option<String>,
    /// The SHA-256 of its text.
    pub hash: String,
    /// `mine` or `all`.
    pub scope: String,
    /// How many rules are in it.
    pub rules: u32,
    /// When it was applied, in seconds since the Unix epoch.
    pub applied_at: i64,
    /// The text.
    pub text: String,
}

/// A question and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Approval {
    /// Whose.
    pub session_id: SessionId,
    /// The session's agent.
    pub agent: String,
    /// Its name.
    pub session_name: Option<String>,
    /// When it was asked, in milliseconds since the Unix epoch.
    pub asked_ms: i64,
    /// What was asked.
    pub permission: Permission,
    /// When it was resolved, in milliseconds since the Unix epoch; null while it waits.
    #[serde(default)]
    pub resolved_ms: Option<i64>,
    /// How.
    #[serde(default)]
    pub resolved: Option<crate::model::fact::PermissionResolved>,
}

/// A recorded question under a file of rules that is not in force.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Replayed {
    /// The question, and what became of it.
    pub approval: Approval,
    /// What the rules in force say now.
    pub now: Verdict,
    /// Which of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now_rule: Option<String>,
    /// What the file says.
    pub then: Verdict,
    /// Which of its rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then_rule: Option<String>,
    /// Why a rule that allows does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guarded: Option<String>,
    /// Files outside of the session's directory that the question names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outside: Vec<String>,
}

/// A session's live runner, in `daemon_status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunnerInfo {
    /// Whose.
    pub session_id: SessionId,
    /// Which start of the agent.
    pub generation: u64,
    /// The runner's process, once known.
    pub pid: Option<i32>,
    /// The agent's process, once known.
    pub agent_pid: Option<i32>,
    /// How the daemon stands to it.
    pub link: Link,
}

/// An agent the daemon can start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AgentInfo {
    /// What `create_session` names.
    pub id: String,
    /// For people.
    pub name: String,
    /// For people.
    pub description: String,
    /// Whether its program was found.
    pub installed: bool,
    /// Names of variables that a client should send besides those that every agent gets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// What it can do, as was seen: `resume`, `permissions`, `images`, `modes`, `models`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub can: Vec<String>,
    /// Whether credentials were seen; absent where nobody knows what to look for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_in: Option<bool>,
    /// How to install it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub install: Option<String>,
    /// How to sign in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sign_in: Option<String>,
    /// Content blocks that prompts may have besides `text` and `resource_link`: `image`, `audio`, `resource`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepts: Vec<String>,
}
