//! The journal: what happened, numbered, in one SQLite file.
//!
//! Promise: a write is one transaction: the records, the spool offset they came from, the session's state and its
//! rows. A crash at any instant leaves all of it or none of it, and the compare-and-swap on head and offset makes a
//! second ingestion of the same bytes impossible. A write marked `sync` is on disk before its reply; one without is
//! safe against the death of any process, and is on disk with the next sync or checkpoint. This module knows no
//! agents and no sessions: ids, numbers and opaque bodies.

mod ballast;
mod erase;
mod error;
pub mod feed;
pub mod group;
mod pieces;
mod reader;
mod salvage;
mod schema;
mod seal;
mod spend;
mod staging;
mod tails;
mod writer;

pub use erase::Farewell;
pub use error::StoreError;
pub use feed::{Feed, Pull, Slab};
pub use pieces::{Hash, Reduced};
pub use reader::{Head, Page, Pages, Reader, Run, Size, StoredSession};
pub use schema::{Opened, check, note_damage, open};
pub use spend::{Span, Spend, Spending, Spent};
pub use staging::{Packed, Piece, Settled};
pub use tails::Tails;
pub use writer::{Committed, WRITER, Writer};

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
    /// The ledger, by the turn's number. Only the last of them is read back with its session.
    Turn = 5,
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

/// Whether anything but a look-up needs a session: the daemon's start reads those that are awake and no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Rest {
    /// It has an agent or subscribers, or may have them at any moment.
    #[default]
    Awake = 0,
    /// It has ended and nobody is subscribed.
    Ended = 1,
    /// It is deleted, has not ended and keeps its name.
    Hidden = 2,
}

/// What a session is found by while it rests.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// Whether it does.
    pub rest: Rest,
    /// Its name.
    pub name: Option<String>,
    /// When it was deleted, in milliseconds.
    pub deleted_ms: Option<i64>,
}

impl Place {
    /// Whether it is one of the ended sessions that lists count.
    pub fn is_listed(&self) -> bool {
        self.rest == Rest::Ended && self.deleted_ms.is_none()
    }
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
    /// The same, in time that daemons were awake; 0 when that is not known.
    pub active_ms: i64,
    /// The records.
    pub append: Option<Append>,
    /// The session's state, when it changed.
    pub body: Option<String>,
    /// Where it is found, when that changed.
    pub place: Option<Place>,
    /// Small rows.
    pub rows: Vec<RowChange>,
    /// What turns took, in place of what was known of them.
    pub spent: Option<Spent>,
    /// Whether the reply waits for the disk.
    pub sync: bool,
}

impl Change {
    /// How much it writes, in bytes, its pages aside.
    fn size(&self) -> usize {
        let rows = self.rows.iter().filter_map(|row| row.value.as_ref()).map(Vec::len).sum::<usize>();
        let records = self.append.as_ref().map_or(0, |append| append.body.len());
        rows + records + self.body.as_ref().map_or(0, String::len)
    }
}

/// A new session.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// Its id.
    pub id: SessionId,
    /// Makes a retry the same session.
    pub create_key: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// When, in milliseconds.
    pub at_ms: i64,
    /// Its state.
    pub body: String,
}
