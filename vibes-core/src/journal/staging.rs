//! A session that comes into the store in pieces: nobody's until all of it is there.
//!
//! Invariant: until it is settled its row is that of a session which is being erased (see `erase`), so a crash anywhere
//! leaves nothing but what the next start clears away; settling is one synced transaction. Nobody waits for more than one
//! piece.

use super::{
    Farewell, RowChange, SessionNo, Spent, StoreError,
    erase::{ERASING, GONE, part},
    pieces::{self, Hash, Reduced},
    spend,
};
use rusqlite::{Connection, params};
use std::io;
use vibes_protocol::model::{Epoch, Seq, SessionId};

/// Records as they will lie, compressed.
#[derive(Debug)]
pub struct Packed {
    /// The number of the first.
    pub first: Seq,
    /// The number of the last.
    pub last: Seq,
    /// How the body lies: see [`Reduced::packed`].
    pub packed: i64,
    /// The body, compressed.
    pub body: Vec<u8>,
    /// What is stored with it.
    pub pieces: Vec<(Hash, Vec<u8>)>,
}

impl Packed {
    /// A group as it is stored.
    pub fn of(first: Seq, last: Seq, group: Reduced) -> io::Result<Self> {
        let body = zstd::bulk::compress(&group.body, 3)?;
        Ok(Self { first, last, packed: group.packed(), body, pieces: group.pieces })
    }

    /// How much is written with it, in bytes.
    pub fn size(&self) -> usize {
        self.body.len() + self.pieces.iter().map(|(_, body)| body.len()).sum::<usize>()
    }
}

/// A piece of a session that comes in.
#[derive(Debug)]
pub struct Piece {
    /// Under which number; none begins one.
    pub session: Option<SessionNo>,
    /// What is to be cleared away should it never be settled.
    pub leavings: String,
    /// The epoch its records are written under.
    pub epoch: Epoch,
    /// Its records.
    pub records: Vec<Packed>,
    /// Its small rows.
    pub rows: Vec<RowChange>,
}

/// A session of which all is there.
#[derive(Debug)]
pub struct Settled {
    /// Under which number.
    pub session: SessionNo,
    /// Its id.
    pub id: SessionId,
    /// What it is known by, so that it comes in once.
    pub key: String,
    /// Its last record.
    pub head: Seq,
    /// When something last happened in it, in milliseconds.
    pub last_ms: i64,
    /// Its name.
    pub name: Option<String>,
    /// Its state.
    pub body: String,
    /// What its turns took.
    pub spent: Spent,
    /// The one that it takes the place of.
    pub instead: Option<Farewell>,
}

/// Adds a piece. Inside a transaction.
pub(super) fn add(connection: &Connection, no: SessionNo, piece: &Piece) -> Result<(), StoreError> {
    if piece.session.is_none() {
        connection
            .prepare_cached(
                "INSERT INTO session (no, id, head, generation, spool, last_ms, body, rest, deleted_ms)
                 VALUES (?1, 'purged-' || ?1, 0, 0, 0, 0, ?2, ?3, ?4)",
            )?
            .execute(params![no, piece.leavings, GONE, ERASING])?;
    }
    for Packed { first, last, packed, body, pieces } in &piece.records {
        pieces::store(connection, no, pieces)?;
        connection
            .prepare_cached(
                "INSERT INTO records (session, first, last, epoch, packed, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![no, *first as i64, *last as i64, piece.epoch as i64, packed, body])?;
    }
    for row in &piece.rows {
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO item (session, kind, key, value) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![no, row.kind as u8, row.key, row.value])?;
    }
    Ok(())
}

/// Makes it a session like any other. Inside a transaction.
pub(super) fn settle(connection: &Connection, settled: &Settled) -> Result<(), StoreError> {
    if let Some(farewell) = &settled.instead {
        part(connection, farewell)?;
        // What it took is told anew by the other one.
        connection.prepare_cached("DELETE FROM spend WHERE session = ?1")?.execute([farewell.session])?;
    }
    let updated = connection
        .prepare_cached(
            "UPDATE session SET id = ?1, create_key = ?2, head = ?3, last_ms = ?4, body = ?5, name = ?6, rest = 1,
                 deleted_ms = NULL
             WHERE no = ?7 AND rest = ?8",
        )?
        .execute(params![
            settled.id.to_string(),
            settled.key,
            settled.head as i64,
            settled.last_ms,
            settled.body,
            settled.name,
            settled.session,
            GONE
        ])?;
    if updated != 1 {
        return Err(StoreError::Conflict { session: settled.session });
    }
    spend::write(connection, settled.session, &settled.spent)
}
