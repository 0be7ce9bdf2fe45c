//! The writer's moments for purged sessions.
//!
//! Invariant: a commit waits for one step of it at most, and a step is some milliseconds. The log is cut off, and holes are
//! made, only when no record of a purged session is left.

use super::{CHECKPOINT, Desk, Job, LOOK_FOR_ROOM, TOUCHED};
use crate::{
    journal::{SessionNo, StoreError, erase, schema::LOCKED},
    points::{self, Point},
};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long a checkpoint that cuts the log off waits for readers.
const A_MOMENT: Duration = Duration::from_millis(20);
/// How often a piece is erased where others write all the time: a tenth of the writer's time at most.
const BETWEEN: Duration = Duration::from_millis(100);

impl Desk {
    /// Erases what is to go, as long as nobody waits.
    pub(super) fn erase_while_idle(&mut self, inbox: &mpsc::Receiver<Job>) {
        while inbox.is_empty() && self.next_piece <= Instant::now() && self.erase_next() {}
    }

    /// The next step of it, where there is never an idle moment.
    pub(super) fn erase_between(&mut self, inbox: &mpsc::Receiver<Job>) {
        if inbox.is_empty() && self.next_piece <= Instant::now() && self.erase_next() {
            self.next_piece = Instant::now() + BETWEEN;
        }
    }

    /// Erases one more piece or, when there is none, gives the room back. `false` when there is nothing to do just now.
    fn erase_next(&mut self) -> bool {
        let done = match self.erasing.last().copied() {
            Some(session) => self.erase_piece(session).map(|more| {
                if !more {
                    self.erasing.pop();
                    self.erased.push(session);
                }
                true
            }),
            None if self.erased.is_empty() => Ok(false),
            None => self.finish_erasing(),
        };
        done.unwrap_or_else(|error| {
            // Tried again later, and by the next start.
            tracing::warn!(%error, "something of purged sessions is still there");
            self.next_piece = Instant::now() + LOOK_FOR_ROOM;
            false
        })
    }

    /// `false` when there is nothing left of it.
    fn erase_piece(&mut self, session: SessionNo) -> Result<bool, StoreError> {
        let Some((slice, bytes)) = erase::slice(&self.connection, session)? else { return Ok(false) };
        self.transaction(false, |connection| {
            erase::erase(connection, session, &slice)?;
            points::hit(Point::PurgeSlice);
            Ok(())
        })?;
        self.logged += TOUCHED + bytes;
        if self.logged >= CHECKPOINT {
            self.checkpoint();
        }
        Ok(true)
    }

    /// What the log still has of them is cut off, and their pages become holes. Somebody who reads just now is not
    /// waited for: then it is tried again.
    fn finish_erasing(&mut self) -> Result<bool, StoreError> {
        self.connection.busy_timeout(A_MOMENT)?;
        let cut =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        self.connection.busy_timeout(LOCKED)?;
        match cut.map_err(StoreError::from) {
            Ok(0) => {}
            Ok(_) | Err(StoreError::Busy) => return Ok(false),
            Err(error) => {
                if matches!(error, StoreError::Unsynced(_)) {
                    self.broken.cancel();
                }
                return Err(error);
            }
        }
        (self.dirty, self.logged) = (false, 0);
        self.synced.send_replace(self.txn);
        let file = match self.file {
            Some(file) => Ok(file),
            None => erase::open(&self.path),
        };
        let given = file.and_then(|file| {
            self.file = Some(file);
            erase::give_back(file)
        });
        match given {
            Ok(bytes) => tracing::info!(sessions = self.erased.len(), bytes, "purged"),
            // Its pages are used again all the same.
            Err(error) => {
                tracing::info!(%error, "the file system takes no room back from the middle of a file")
            }
        }
        points::hit(Point::PurgeLog);
        let erased = self.erased.clone();
        self.transaction(true, |connection| erase::forget(connection, &erased))?;
        self.erased.clear();
        Ok(true)
    }
}
