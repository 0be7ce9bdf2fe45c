//! Why the store refused or failed, and what that means for whoever asked.
//!
//! Invariant: only what proves damage is called damage. A lock, a full disk, a missing right or a read that failed says
//! nothing about the file, and never leads to its being set aside.

use super::SessionNo;
use rusqlite::{ErrorCode, ffi};

/// Why the store refused or failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The disk, or a quota, is full. Nothing was written; trying again later is right.
    #[error("the disk is full: free some space below the state directory; nothing was written")]
    Full,
    /// Another program holds the store's lock.
    #[error(
        "another program has locked the store: close it (sqlite3, perhaps) and try again; nothing was written"
    )]
    Busy,
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
    /// What lies in the store is not what was written there.
    #[error("the store is damaged ({0}): `vibes daemon restart` sets it aside and saves what can be read")]
    Damaged(String),
    /// The disk did not take what it was told to keep. Asking it again would be answered with a false yes, so nothing
    /// more is written: the next daemon reads what is really there.
    #[error(
        "the disk failed to keep what was written ({0}): look at the disk; the daemon ends, any vibes command starts it again"
    )]
    Unsynced(String),
    /// SQLite or the file system failed.
    #[error("the store failed: {0}")]
    Failed(String),
    /// The writer has stopped.
    #[error("the store is closed")]
    Closed,
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let Some(found) = error.sqlite_error() else { return Self::Failed(error.to_string()) };
        match (found.code, found.extended_code) {
            // The index beside the log is a file as well, and its growing fails under a name of its own.
            (ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE) => Self::Full,
            (ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _) => Self::Busy,
            (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _) => Self::Damaged(error.to_string()),
            (_, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC) => Self::Unsynced(error.to_string()),
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
