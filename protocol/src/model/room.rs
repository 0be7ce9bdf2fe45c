//! What the state directory takes on the disk, and what leaves it by itself.
//!
//! Invariant: all sizes are in bytes. Those of the directory are what the disk holds of it; those of a session are what the
//! store and the attachments have of it.

use super::{Seq, SessionId, SessionState};
use serde::{Deserialize, Serialize};

/// The state directory, as far as room goes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DiskUsage {
    /// All of it.
    pub total: u64,
    /// The store, with its log.
    pub store: u64,
    /// How much of the store's file is free: it is used again before the file grows. Where the file system takes room back
    /// from the middle of a file, this takes none on the disk.
    pub free: u64,
    /// The search index.
    pub search: u64,
    /// What is attached to prompts, each once.
    pub attachments: u64,
    /// What agents wrote and the store has not taken in yet, and their runners' small files.
    pub spools: u64,
    /// Worktrees of sessions.
    pub worktrees: u64,
    /// The daemon's logs.
    pub logs: u64,
    /// Damaged stores that were set aside.
    pub aside: u64,
    /// All else: what the shell agent and the memory keep, tokens, locks.
    pub other: u64,
    /// How much more the store uses each day, over the last week; less than 0 when it becomes smaller.
    #[serde(default)]
    pub growth_per_day: Option<i64>,
    /// What sessions take that are not deleted: what `retention.size_mib` is about.
    pub kept: u64,
    /// Sessions, those that take most first.
    pub sessions: Vec<SessionUsage>,
    /// How many more there are.
    #[serde(default)]
    pub more_sessions: u64,
    /// What retention takes away next, the first to go first.
    #[serde(default)]
    pub leaving: Vec<Leaving>,
}

/// What one session takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionUsage {
    /// Which one.
    pub session_id: SessionId,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// Its agent.
    pub agent: String,
    /// Where it stands.
    pub state: SessionState,
    /// When it was deleted, in seconds, if it was.
    #[serde(default)]
    pub deleted_at: Option<i64>,
    /// When something last happened in it, in milliseconds.
    pub last_activity_ms: i64,
    /// Its last record.
    pub head: Seq,
    /// What the store has of it.
    pub store: u64,
    /// What is attached to its prompts; what others use as well counts for each.
    pub attachments: u64,
    /// What its agents' spools hold.
    pub spool: u64,
    /// When it leaves by itself at the earliest, in milliseconds, if that is so.
    #[serde(default)]
    pub leaves_ms: Option<i64>,
    /// Why retention leaves it alone, although it has ended.
    #[serde(default)]
    pub stays: Option<Stays>,
}

/// Something that leaves by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Leaving {
    /// Which session.
    pub session_id: SessionId,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
    /// When, at the earliest, in milliseconds.
    pub at_ms: i64,
    /// Why.
    pub why: LeavesFor,
}

/// Why a session leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LeavesFor {
    /// Nothing happened in it for `retention.days`.
    Age,
    /// Sessions take more than `retention.size_mib`, and it is among the oldest.
    Size,
}

/// Why an ended session does not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stays {
    /// It is pinned.
    Pinned,
    /// Somebody has not read all that is new in it.
    Unread,
    /// A question or a prompt waits in it.
    Waiting,
    /// Somebody looks at it.
    Attached,
    /// It has a worktree.
    Worktree,
    /// A trigger waits for something in it.
    Trigger,
    /// Its agent has not ended yet.
    Running,
    /// Its state cannot be read.
    Unreadable,
}

impl Stays {
    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pinned => "pinned",
            Self::Unread => "unread",
            Self::Waiting => "waiting",
            Self::Attached => "attached",
            Self::Worktree => "worktree",
            Self::Trigger => "trigger",
            Self::Running => "running",
            Self::Unreadable => "unreadable",
        }
    }
}
