//! The writer's part in sessions that come into the store in pieces.
//!
//! Invariant: a piece is one transaction of some milliseconds, and what others wait for goes between two of them.

use super::{CHECKPOINT, Desk, Job, TOUCHED, Writer};
use crate::{
    journal::{Packed, Piece, SessionNo, Settled, StoreError, staging},
    points::{self, Point},
};
use tokio::sync::oneshot;

impl Writer {
    /// Adds a piece of a session that comes in, and tells its number. Not synced: until it is settled it is nobody's.
    pub async fn stage(&self, piece: Piece) -> Result<SessionNo, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Stage(Box::new(piece), reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Makes it a session like any other, synced.
    pub async fn settle(&self, settled: Settled) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Settle(Box::new(settled), reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

impl Desk {
    pub(super) fn stage(&mut self, piece: &Piece) -> Result<SessionNo, StoreError> {
        let no = piece.session.unwrap_or(self.last_no + 1);
        self.transaction(false, |connection| staging::add(connection, no, piece))?;
        self.last_no = self.last_no.max(no);
        points::hit(Point::Staged);
        let bytes: usize = piece.records.iter().map(Packed::size).sum();
        self.logged += TOUCHED + bytes;
        if self.logged >= CHECKPOINT {
            self.checkpoint();
        }
        Ok(no)
    }

    pub(super) fn settle(&mut self, settled: &Settled) -> Result<(), StoreError> {
        self.transaction(true, |connection| staging::settle(connection, settled))?;
        points::hit(Point::Settled);
        Ok(())
    }
}
