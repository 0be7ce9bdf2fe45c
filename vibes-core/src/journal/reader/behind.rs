//! What an index reads that is built behind the journal: how far each session has come, and groups of records as they lie.
//!
//! Invariant: as in `reader`: one statement a page. No session is woken, and the writer is asked for nothing.

use super::{GROUPS, Open, Reader, StoreError, next};
use crate::journal::{SessionNo, pieces};
use rusqlite::{Connection, Row, params};
use vibes_protocol::model::{Epoch, Seq};

/// How far a session has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its number.
    pub no: SessionNo,
    /// Its id.
    pub id: String,
    /// Its last record.
    pub seq: Seq,
    /// When something last happened, in milliseconds.
    pub last_ms: i64,
    /// Whether something may happen in it before anybody asks for it.
    pub is_awake: bool,
}

/// Records side by side, unpacked. See [`crate::journal::group::records`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The number of the first.
    pub first: Seq,
    /// The number of the last.
    pub last: Seq,
    /// Their epoch.
    pub epoch: Epoch,
    /// Their bodies.
    pub body: Vec<u8>,
}

const HEAD: &str = "SELECT no, id, head, last_ms, rest = 0 FROM session";

fn head(row: &Row<'_>) -> rusqlite::Result<Head> {
    let seq = row.get::<_, i64>(2)? as u64;
    Ok(Head { no: row.get(0)?, id: row.get(1)?, seq, last_ms: row.get(3)?, is_awake: row.get(4)? })
}

impl Reader {
    /// Every session that is not purged. Blocking.
    pub fn heads(&self) -> Result<Vec<Head>, StoreError> {
        self.with(|connection| {
            let mut select = connection.prepare_cached(&format!("{HEAD} WHERE rest <= 2"))?;
            let heads = select.query_map([], head)?.collect::<Result<_, _>>()?;
            Ok(heads)
        })
    }

    /// Those that are awake, those made after this one, and these. Blocking.
    pub fn heads_of(&self, after: SessionNo, more: &[SessionNo]) -> Result<Vec<Head>, StoreError> {
        let one = |connection: &Connection, select: &str, no: SessionNo| -> Result<Vec<Head>, StoreError> {
            let mut select = connection.prepare_cached(&format!("{HEAD} {select}"))?;
            Ok(select.query_map([no], head)?.collect::<Result<_, _>>()?)
        };
        self.with(|connection| {
            let mut heads = one(connection, "INDEXED BY session_awake WHERE rest = 0 AND no <= ?1", after)?;
            heads.extend(one(connection, "WHERE no > ?1 AND rest <= 2", after)?);
            for no in more {
                if heads.iter().any(|head| head.no == *no) {
                    continue;
                }
                heads.extend(one(connection, "WHERE no = ?1 AND rest <= 2", *no)?);
            }
            Ok(heads)
        })
    }

    /// The records after `after`, in runs of up to about `max_bytes` together. Blocking.
    pub fn runs(&self, no: SessionNo, after: Seq, max_bytes: usize) -> Result<Vec<Run>, StoreError> {
        self.open(|Open { connection, unpacker }| {
            let mut select = connection.prepare_cached(GROUPS)?;
            let mut rows = select.query(params![no, next(after)])?;
            let (mut runs, mut bytes) = (Vec::new(), 0);
            while bytes < max_bytes
                && let Some(row) = rows.next()?
            {
                let number = |at: usize| row.get::<_, i64>(at).map(|number| number as u64);
                let (first, last, epoch) = (number(0)?, number(1)?, number(2)?);
                if last > after {
                    let body = row.get_ref(4)?.as_blob().map_err(rusqlite::Error::from)?;
                    let body = pieces::body(connection, no, row.get(3)?, body, unpacker)?.to_vec();
                    bytes += body.len();
                    runs.push(Run { first, last, epoch, body });
                }
            }
            Ok(runs)
        })
    }
}
