//! The daemon's store, read from outside.
//!
//! Follows `vibes-core/src/journal` (schema and group format); a difference shows as a figure that cannot be taken.

use rusqlite::{Connection, OpenFlags, params};
use std::{error::Error, path::Path, time::Duration};

/// What the daemon reads at once.
const PAGE: usize = 256 * 1024;

/// A store, opened as the daemon's readers open it.
pub struct Store(Connection);

type Outcome<T> = Result<T, Box<dyn Error>>;

impl Store {
    /// Opens the store in a file.
    pub fn open(path: &Path) -> Outcome<Self> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.pragma_update(None, "mmap_size", 1_i64 << 30)?;
        Ok(Self(connection))
    }

    /// A session's number and head.
    pub fn session(&self, id: &str) -> Outcome<(i64, i64)> {
        let sql = "SELECT no, head FROM session WHERE id = ?1";
        Ok(self.0.query_row(sql, [id], |row| Ok((row.get(0)?, row.get(1)?)))?)
    }

    /// How many groups of a session are not packed. What came after a turn's end, a record or two, stays loose until
    /// the next one ends, and does not count.
    pub fn loose(&self, no: i64, head: i64) -> Outcome<i64> {
        let sql = "SELECT count(*) FROM records WHERE session = ?1 AND packed = 0 AND last < ?2 - 8";
        Ok(self.0.query_row(sql, params![no, head], |row| row.get(0))?)
    }

    /// Reads a session in pages, unpacked, each fact copied out; `each` sees the time of each record.
    pub fn read(&self, no: i64, head: i64, mut each: impl FnMut(i64)) -> Outcome<()> {
        let (mut at, mut page) = (0, Vec::new());
        while at < head {
            page.clear();
            let mut select = self.0.prepare_cached(
                "SELECT last, packed, body FROM records WHERE session = ?1 AND first > ?2 ORDER BY first",
            )?;
            let mut rows = select.query(params![no, at])?;
            let before = at;
            while page.len() < PAGE
                && let Some(row) = rows.next()?
            {
                let body = row.get_ref(2)?.as_blob()?;
                match row.get::<_, i64>(1)? {
                    0 => copy(body, &mut page, &mut each),
                    _ => copy(&zstd::decode_all(body)?, &mut page, &mut each),
                }
                at = row.get(0)?;
            }
            assert!(at > before, "the store has a hole after {at}");
        }
        Ok(())
    }
}

/// Copies the facts of a group: `[u32 length][i64 at_ms][fact]` each.
fn copy(mut body: &[u8], page: &mut Vec<u8>, each: &mut impl FnMut(i64)) {
    while let Some((length, rest)) = body.split_first_chunk::<4>()
        && let Some((at_ms, rest)) = rest.split_first_chunk::<8>()
    {
        let (fact, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        each(i64::from_le_bytes(*at_ms));
        page.extend_from_slice(fact);
        body = rest;
    }
}
