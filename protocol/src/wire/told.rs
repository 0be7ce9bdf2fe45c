//! What answers are made of: the parts that several lines of them share or that stand for themselves.
//!
//! Invariant: data and nothing else.

use crate::model::{Link, Permission, Seq, SessionInfo};
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
