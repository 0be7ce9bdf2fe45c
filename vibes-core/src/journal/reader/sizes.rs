//! What the store and its sessions take.
//!
//! Invariant: sizes come from rows' headers where that is enough: a blob that lies on pages of its own is not read for it.

use super::{Reader, StoredSession};
use crate::journal::{SessionNo, StoreError};
use rusqlite::params;
use vibes_protocol::model::SessionId;

/// What a session takes in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Its number.
    pub no: SessionNo,
    /// Its id.
    pub id: SessionId,
    /// Whether it is deleted.
    pub deleted: bool,
    /// How much, in bytes.
    pub bytes: u64,
}

/// The store's file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pages {
    /// In use.
    pub used: u64,
    /// Free, to be used again.
    pub free: u64,
}

impl Reader {
    /// How much of the store's file is in use. Blocking.
    pub fn pages(&self) -> Result<Pages, StoreError> {
        self.with(|connection| {
            let of = |name: &str| connection.query_row(name, [], |row| row.get::<_, i64>(0));
            let size = of("PRAGMA page_size")? as u64;
            let (all, free) = (of("PRAGMA page_count")? as u64, of("PRAGMA freelist_count")? as u64);
            Ok(Pages { used: size * all.saturating_sub(free), free: size * free })
        })
    }

    /// What each session takes, in no order. Blocking: it looks at all of them.
    pub fn sizes(&self) -> Result<Vec<Size>, StoreError> {
        self.with(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT no, id, deleted_ms IS NOT NULL, octet_length(body)
                   + coalesce((SELECT sum(octet_length(body)) FROM records WHERE session = no), 0)
                   + coalesce((SELECT sum(octet_length(body)) FROM piece WHERE session = no), 0)
                   + coalesce((SELECT sum(octet_length(key) + octet_length(value)) FROM item WHERE session = no), 0)
                 FROM session WHERE rest <= 2",
            )?;
            let rows = select.query_map([], |row| {
                Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get::<_, i64>(3)?))
            })?;
            let all: Vec<_> = rows.collect::<Result<_, _>>()?;
            let size = |(no, id, deleted, bytes): (_, String, _, i64)| {
                Some(Size { no, id: id.parse().ok()?, deleted, bytes: bytes as u64 })
            };
            Ok(all.into_iter().filter_map(size).collect())
        })
    }

    /// As [`Reader::ended`], with their small rows, those first in which nothing happened for longest. Blocking.
    pub fn ended_longest(
        &self,
        after: Option<(i64, &str)>,
        limit: usize,
    ) -> Result<Vec<StoredSession>, StoreError> {
        let (ms, id) = after.unwrap_or((i64::MIN, ""));
        let select = "SELECT {} FROM session INDEXED BY session_ended
                      WHERE rest = 1 AND deleted_ms IS NULL AND last_ms >= ?1 AND (last_ms > ?1 OR id < ?2 OR ?2 = '')
                      ORDER BY last_ms, id DESC LIMIT ?3";
        self.stored(select, params![ms, id, i64::try_from(limit).unwrap_or(i64::MAX)], true)
    }
}
