//! The journal: what happened, numbered, in one SQLite file.
//!
//! Promise: a write is one transaction: the records, the spool offset they came from, the session's state and its
//! rows. A crash at any instant leaves all of it or none of it, and the compare-and-swap on head and offset makes a
//! second ingestion of the same bytes impossible. A write marked `sync` is on disk before its reply; one without is
//! safe against the death of any process, and is on disk with the next sync or checkpoint. This module knows no
//! agents and no sessions: ids, numbers and opaque bodies.

pub mod feed;
pub mod group;
mod reader;
mod schema;
mod writer;

pub use feed::{Feed, Pull, Slab};
pub use reader::{Page, Reader, StoredSession};
pub use schema::{Opened, check, open};
pub use writer::{Committed, Writer};

use vibes_protocol::model::{Epoch, Seq, SessionId};

/// The store's own small number of a session: the clustering key of its records.
pub type SessionNo = i64;

/// Kinds of the small rows that belong to a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum RowKind {
    /// Frames for the agent that the runner has not acknowledged.
    Outbox = 1,
    /// Requests of the agent that wait for an answer.
    Pending = 2,
    /// Subscribers.
    Member = 3,
    /// Idempotency keys of accepted inputs.
    Idempotency = 4,
}

/// One small row: set, or removed when the value is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowChange {
    /// Of which kind.
    pub kind: RowKind,
    /// Unique in its session and kind.
    pub key: Vec<u8>,
    /// The new value.
    pub value: Option<Vec<u8>>,
}

/// How far an agent's output has been taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SpoolOffset {
    /// Which start of the agent.
    pub generation: u64,
    /// Bytes since that start.
    pub offset: u64,
}

/// Records to append, already encoded (see [`group`]).
#[derive(Debug, Clone)]
pub struct Append {
    /// The number of the first.
    pub first: Seq,
    /// The number of the last.
    pub last: Seq,
    /// The epoch they are written under.
    pub epoch: Epoch,
    /// The group's body.
    pub body: Vec<u8>,
}

/// Everything one transaction changes in one session.
#[derive(Debug, Clone)]
pub struct Change {
    /// Whose.
    pub session: SessionNo,
    /// Head and offset as the session's task knows them; anything else in the store refuses the change.
    pub expect: (Seq, SpoolOffset),
    /// The new head.
    pub head: Seq,
    /// The new offset.
    pub spool: SpoolOffset,
    /// When something last happened, in milliseconds.
    pub last_ms: i64,
    /// The records.
    pub append: Option<Append>,
    /// The session's state, when it changed.
    pub body: Option<String>,
    /// Small rows.
    pub rows: Vec<RowChange>,
    /// Whether the reply waits for the disk.
    pub sync: bool,
}

/// A new session.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Its id.
    pub id: SessionId,
    /// Makes a retry the same session.
    pub create_key: Option<String>,
    /// When, in milliseconds.
    pub at_ms: i64,
    /// Its state.
    pub body: String,
}

/// Why the store refused or failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The disk, or a quota, is full. Nothing was written; trying again later is right.
    #[error("the disk is full: free some space below the state directory; nothing was written")]
    Full,
    /// Head or offset are not what the writer thought: a defect, or a second writer.
    #[error("session {session}: the store stands elsewhere than its task believes")]
    Conflict {
        /// Whose.
        session: SessionNo,
    },
    /// The store was written by a newer version.
    #[error("the store {path} has schema {found}, this version knows {known}: use the newer vibes")]
    Newer {
        /// The file.
        path: String,
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The linked SQLite has a known defect.
    #[error("SQLite {0} can corrupt a WAL store; 3.51.3 or newer is needed")]
    OldSqlite(String),
    /// SQLite or the file system failed.
    #[error("the store failed: {0}")]
    Failed(String),
    /// The writer has stopped.
    #[error("the store is closed")]
    Closed,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Failed(error.to_string()),
        }
    }
}
