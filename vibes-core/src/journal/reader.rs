//! Reading the store while the writer writes: a few read-only connections, short transactions.
//!
//! Invariant: a page is one statement, dropped before the page is handed out, so that no reader ever pins the log.

mod behind;
mod sizes;

pub use behind::{Head, Run};
pub use sizes::{Pages, Size};

use super::{
    Place, Rest, RowKind, SessionNo, Spending, SpoolOffset, StoreError, erase::ERASING, group, pieces,
    schema::note_damage, spend,
};
use bytes::Bytes;
use rusqlite::{Connection, OpenFlags, params};
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use vibes_protocol::model::{CostsBy, Epoch, Seq, SessionId};

/// A session as it lies in the store.
#[derive(Debug)]
pub struct StoredSession {
    /// Its number.
    pub no: SessionNo,
    /// Its id.
    pub id: SessionId,
    /// Its last record.
    pub head: Seq,
    /// How far its agent's output was taken in.
    pub spool: SpoolOffset,
    /// When something last happened, in milliseconds.
    pub last_ms: i64,
    /// The same, in time that daemons were awake; 0 when that is not known.
    pub active_ms: i64,
    /// Where it is found.
    pub place: Place,
    /// Its state.
    pub body: String,
    /// Its small rows.
    pub rows: Vec<(RowKind, Vec<u8>, Vec<u8>)>,
}

/// Frames read back.
#[derive(Debug)]
pub struct Page {
    /// The frames, ready to send.
    pub frames: group::Frames,
    /// The number of the last record in them; 0 when there are none.
    pub last: Seq,
    /// The number of the first.
    pub first: Seq,
}

/// How many readers are kept open, and how many buffers of pages: four readers saturate two cores; more would only hold
/// memory.
const SPARE: usize = 4;

/// The longest page whose memory is kept for another, in bytes: one of the usual size.
const USUAL_PAGE: usize = 512 * 1024;

/// The groups of a session from the one on that holds the record `?2`: it begins at or before it.
const GROUPS: &str = "SELECT first, last, epoch, packed, body FROM records WHERE session = ?1 AND first >=
       coalesce((SELECT max(first) FROM records WHERE session = ?1 AND first <= ?2), ?2)
     ORDER BY first";

/// The record after this one, as the store numbers it.
fn next(after: Seq) -> i64 {
    i64::try_from(after).unwrap_or(i64::MAX).saturating_add(1)
}

/// A read-only connection, and what groups are unpacked with.
struct Open {
    connection: Connection,
    unpacker: group::Unpacker,
}

/// The door to the read-only connections. Clones share them.
#[derive(Clone)]
pub struct Reader {
    path: PathBuf,
    spare: Arc<Mutex<Vec<Open>>>,
    /// The memory of pages that were sent.
    pages: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Reader {
    /// For the store at `path`.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), spare: Arc::default(), pages: Arc::default() }
    }

    fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        self.open(|open| work(&open.connection))
    }

    fn open<T>(&self, work: impl FnOnce(&mut Open) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut open = match spare {
            Some(open) => open,
            None => {
                let connection = Connection::open_with_flags(
                    &self.path,
                    OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
                )?;
                connection.busy_timeout(Duration::from_secs(5))?;
                connection.pragma_update(None, "mmap_size", 1_i64 << 30)?;
                // What is mapped needs no cache; what is still in the log beside the store is read once or twice.
                connection.pragma_update(None, "cache_size", -256)?;
                Open { connection, unpacker: group::Unpacker::default() }
            }
        };
        let result = work(&mut open);
        if let Err(StoreError::Damaged(why)) = &result {
            note_damage(&self.path, why);
        }
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE {
            spare.push(open);
        }
        result
    }

    /// Takes back the memory of a page that nobody needs any more, for the next one.
    pub fn recycle(&self, page: Bytes) {
        let Ok(memory) = page.try_into_mut() else { return };
        let mut memory = Vec::from(memory);
        memory.clear();
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if pages.len() < SPARE && memory.capacity() <= USUAL_PAGE {
            pages.push(memory);
        }
    }

    /// Every session. Blocking.
    pub fn sessions(&self) -> Result<Vec<StoredSession>, StoreError> {
        self.stored("SELECT {} FROM session ORDER BY no", [], true)
    }

    /// Those that are awake, for the start of the daemon. Blocking.
    pub fn awake(&self) -> Result<Vec<StoredSession>, StoreError> {
        self.stored("SELECT {} FROM session INDEXED BY session_awake WHERE rest = 0 ORDER BY no", [], true)
    }

    /// One session. Blocking.
    pub fn session(&self, no: SessionNo) -> Result<Option<StoredSession>, StoreError> {
        Ok(self.stored("SELECT {} FROM session WHERE no = ?1", [no], true)?.pop())
    }

    /// One that rests. Blocking.
    pub fn resting(&self, id: &SessionId) -> Result<Option<StoredSession>, StoreError> {
        let select = "SELECT {} FROM session WHERE id = ?1 AND rest IN (1, 2)";
        Ok(self.stored(select, [id.to_string()], true)?.pop())
    }

    /// Those of the ended ones that rest and are not deleted which come after this moment and id, the last active
    /// first, without their small rows. Blocking.
    pub fn ended(&self, after: Option<(i64, &str)>, limit: usize) -> Result<Vec<StoredSession>, StoreError> {
        let (ms, id) = after.unwrap_or((i64::MAX, ""));
        // The first condition is implied by the second, and is the one that the index can begin with.
        let select = "SELECT {} FROM session INDEXED BY session_ended
                      WHERE rest = 1 AND deleted_ms IS NULL AND last_ms <= ?1 AND (last_ms < ?1 OR id > ?2)
                      ORDER BY last_ms DESC, id LIMIT ?3";
        self.stored(select, params![ms, id, i64::try_from(limit).unwrap_or(i64::MAX)], false)
    }

    /// Sessions in whose state this word stands in quotes, without their small rows. Blocking: it looks at all of them.
    pub fn mentioning(&self, word: &str) -> Result<Vec<StoredSession>, StoreError> {
        let select = "SELECT {} FROM session WHERE rest <= 2 AND instr(body, ?1) LIMIT 64";
        self.stored(select, [format!("\"{word}\"")], false)
    }

    /// How many these are. Blocking.
    pub fn count_ended(&self) -> Result<u64, StoreError> {
        self.with(|connection| {
            let mut count = connection.prepare_cached(
                "SELECT count(*) FROM session INDEXED BY session_ended WHERE rest = 1 AND deleted_ms IS NULL",
            )?;
            Ok(count.query_row([], |row| row.get::<_, i64>(0))? as u64)
        })
    }

    /// Those of this name that rest, with whether they keep it for themselves and when something last happened, the
    /// most likely meant first. Blocking.
    pub fn named(&self, name: &str) -> Result<Vec<(SessionId, bool, i64)>, StoreError> {
        self.with(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT id, rest = 2, last_ms FROM session WHERE name = ?1 AND rest IN (1, 2)
                 ORDER BY rest DESC, last_ms DESC",
            )?;
            let rows =
                select.query_map([name], |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?)))?;
            let found: Vec<_> = rows.collect::<Result<_, _>>()?;
            let parsed = found.into_iter().filter_map(|(id, keeps, ms)| Some((id.parse().ok()?, keeps, ms)));
            Ok(parsed.collect())
        })
    }

    /// Those that rest and whose id begins with this. Blocking.
    pub fn prefixed(&self, prefix: &str) -> Result<Vec<SessionId>, StoreError> {
        self.with(|connection| {
            // Behind every character of an id.
            let end = format!("{prefix}g");
            let mut select = connection
                .prepare_cached("SELECT id FROM session WHERE id >= ?1 AND id < ?2 AND rest IN (1, 2)")?;
            let found: Vec<String> =
                select.query_map([prefix, &end], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(found.iter().filter_map(|id| id.parse().ok()).collect())
        })
    }

    /// Sessions that are gone and not erased yet, with what is to be cleared away of each. Blocking.
    pub fn erasing(&self) -> Result<Vec<(SessionNo, String)>, StoreError> {
        self.with(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT no, body FROM session INDEXED BY session_deleted WHERE deleted_ms = ?1",
            )?;
            let rows = select.query_map([ERASING], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// Those that were deleted by this moment, in milliseconds, the first one first. Blocking.
    pub fn deleted_by(&self, at_ms: i64, limit: usize) -> Result<Vec<SessionId>, StoreError> {
        self.with(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT id FROM session INDEXED BY session_deleted WHERE deleted_ms BETWEEN 0 AND ?1
                 ORDER BY deleted_ms LIMIT ?2",
            )?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let found: Vec<String> =
                select.query_map([at_ms, limit], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok(found.iter().filter_map(|id| id.parse().ok()).collect())
        })
    }

    /// Sessions as they are stored; `{}` in the statement is what is read of them.
    fn stored(
        &self,
        select: &str,
        with: impl rusqlite::Params,
        rows_too: bool,
    ) -> Result<Vec<StoredSession>, StoreError> {
        const READ: &str =
            "no, id, head, generation, spool, last_ms, rest, name, deleted_ms, body, active_ms";
        self.with(|connection| {
            let mut select = connection.prepare_cached(&select.replace("{}", READ))?;
            let mut small = connection.prepare_cached(
                "SELECT kind, key, value FROM item WHERE session = ?1 AND kind < 5
                 UNION ALL SELECT * FROM (SELECT kind, key, value FROM item WHERE session = ?1 AND kind = 5
                                          ORDER BY key DESC LIMIT 1)",
            )?;
            let mut found = Vec::new();
            let mut sessions = select.query(with)?;
            while let Some(row) = sessions.next()? {
                let Ok(id) = row.get::<_, String>(1)?.parse() else { continue };
                let mut stored = StoredSession {
                    no: row.get(0)?,
                    id,
                    head: row.get::<_, i64>(2)? as u64,
                    spool: SpoolOffset {
                        generation: row.get::<_, i64>(3)? as u64,
                        offset: row.get::<_, i64>(4)? as u64,
                    },
                    last_ms: row.get(5)?,
                    place: Place {
                        rest: match row.get::<_, u8>(6)? {
                            1 => Rest::Ended,
                            2 => Rest::Hidden,
                            _ => Rest::Awake,
                        },
                        name: row.get(7)?,
                        deleted_ms: row.get(8)?,
                    },
                    body: row.get(9)?,
                    active_ms: row.get(10)?,
                    rows: Vec::new(),
                };
                let mut rows = small.query([if rows_too { stored.no } else { 0 }])?;
                while let Some(row) = rows.next()? {
                    let kind = match row.get::<_, u8>(0)? {
                        1 => RowKind::Outbox,
                        2 => RowKind::Pending,
                        3 => RowKind::Member,
                        4 => RowKind::Idempotency,
                        5 => RowKind::Turn,
                        _ => continue,
                    };
                    stored.rows.push((kind, row.get(1)?, row.get(2)?));
                }
                found.push(stored);
            }
            Ok(found)
        })
    }

    /// The values of turn rows before this key, the newest first. Blocking.
    pub fn turns(
        &self,
        session: SessionNo,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        self.with(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT value FROM item WHERE session = ?1 AND kind = 5 AND key < ?2 ORDER BY key DESC LIMIT ?3",
            )?;
            // Longer than any key: behind all of them.
            let before = before.map_or_else(|| vec![0xff; 9], |turn| turn.to_be_bytes().to_vec());
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = select.query_map(params![session, before, limit], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
    }

    /// What was spent today or ever, in a directory and below it if one is named, in billionths by currency. Blocking.
    pub fn spent_in(&self, today: bool, directory: Option<&str>) -> Result<Vec<(String, u64)>, StoreError> {
        self.with(|connection| spend::total(connection, today, directory))
    }

    /// What was spent between two moments, in words as in [`spend::moment`]; `None` when one of these names none. Blocking.
    pub fn spent(
        &self,
        by: CostsBy,
        since: Option<&str>,
        until: Option<&str>,
        limit: u32,
    ) -> Result<Option<Vec<Spending>>, StoreError> {
        self.with(|connection| {
            let since = since.map_or(Ok(Some(i64::MIN)), |word| spend::moment(connection, word, false))?;
            let until = until.map_or(Ok(Some(i64::MAX)), |word| spend::moment(connection, word, true))?;
            let (Some(since), Some(until)) = (since, until) else { return Ok(None) };
            spend::sums(connection, by, (since, until), limit).map(Some)
        })
    }

    /// The moment that a word names, in milliseconds: see [`spend::moment`]. Blocking.
    pub fn moment(&self, word: &str, after: bool) -> Result<Option<i64>, StoreError> {
        self.with(|connection| spend::moment(connection, word, after))
    }

    /// Number and id of every session. Blocking.
    pub fn numbers(&self) -> Result<Vec<(SessionNo, SessionId)>, StoreError> {
        self.with(|connection| {
            let mut select = connection.prepare_cached("SELECT no, id FROM session ORDER BY no")?;
            let rows = select.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?)))?;
            let all: Vec<_> = rows.collect::<Result<_, _>>()?;
            Ok(all.into_iter().filter_map(|(no, id)| Some((no, id.parse().ok()?))).collect())
        })
    }

    /// The number of a session, whether it rests or not. Blocking.
    pub fn number(&self, id: &SessionId) -> Result<Option<SessionNo>, StoreError> {
        self.with(|connection| {
            let mut select = connection.prepare_cached("SELECT no FROM session WHERE id = ?1")?;
            let mut rows = select.query([id.to_string()])?;
            Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
        })
    }

    /// What is kept under a name. Blocking.
    pub fn kept(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.with(|connection| {
            let mut select = connection.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
            let mut rows = select.query([name])?;
            Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
        })
    }

    /// The session that was created with this key. Blocking.
    pub fn created_with(&self, key: &str) -> Result<Option<SessionId>, StoreError> {
        self.with(|connection| {
            let mut select = connection.prepare_cached("SELECT id FROM session WHERE create_key = ?1")?;
            let mut rows = select.query([key])?;
            Ok(rows.next()?.map(|row| row.get::<_, String>(0)).transpose()?.and_then(|id| id.parse().ok()))
        })
    }

    /// The records after `after` as frames, up to about `max_bytes` or `max_records`. Blocking.
    pub fn page(
        &self,
        session: SessionNo,
        id: &SessionId,
        after: Seq,
        max_bytes: usize,
        max_records: usize,
    ) -> Result<Page, StoreError> {
        let memory = self.pages.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        self.open(|Open { connection, unpacker }| {
            let mut page = Page { frames: group::Frames::within(id, memory), last: 0, first: 0 };
            let mut select = connection.prepare_cached(GROUPS)?;
            let mut rows = select.query(params![session, next(after)])?;
            let mut count = 0;
            'rows: while let Some(row) = rows.next()? {
                let (first, last, epoch) = (
                    row.get::<_, i64>(0)? as u64,
                    row.get::<_, i64>(1)? as u64,
                    row.get::<_, i64>(2)? as u64,
                );
                if last <= after {
                    continue;
                }
                let body = row.get_ref(4)?.as_blob().map_err(rusqlite::Error::from)?;
                let body = pieces::body(connection, session, row.get(3)?, body, unpacker)?;
                let mut there = first;
                page.frames
                    .reserve(last.saturating_sub(first).saturating_add(1).min(max_records as u64), body);
                for (seq, (at_ms, fact)) in (first..).zip(group::records(body)) {
                    there = seq + 1;
                    if seq <= after {
                        continue;
                    }
                    page.frames.push(epoch, seq, at_ms, fact);
                    page.last = seq;
                    if page.first == 0 {
                        page.first = seq;
                    }
                    count += 1;
                    if count >= max_records {
                        break 'rows;
                    }
                }
                if there != last + 1 {
                    return Err(StoreError::Damaged(format!("records {there} to {last} cannot be read")));
                }
                // A group is told whole: cut in the middle it would be decompressed again for the next page.
                if page.frames.bytes.len() >= max_bytes {
                    break;
                }
            }
            Ok(page)
        })
    }

    /// The last record whose epoch is not above `epoch`, and its epoch: where a cursor of that epoch still stands.
    /// Blocking.
    pub fn last_of_epoch(&self, session: SessionNo, epoch: Epoch) -> Result<(Epoch, Seq), StoreError> {
        self.with(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT epoch, last FROM records WHERE session = ?1 AND epoch <= ?2 ORDER BY first DESC LIMIT 1",
            )?;
            let mut rows = select.query(params![session, epoch as i64])?;
            match rows.next()? {
                Some(row) => Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64)),
                None => Ok((epoch, 0)),
            }
        })
    }

    /// The epoch a record was written under. Blocking.
    pub fn epoch_of(&self, session: SessionNo, seq: Seq) -> Result<Option<Epoch>, StoreError> {
        self.with(|connection| {
            let mut select = connection.prepare_cached(
                "SELECT epoch, last FROM records WHERE session = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1",
            )?;
            let mut rows = select.query(params![session, seq as i64])?;
            match rows.next()? {
                Some(row) if row.get::<_, i64>(1)? as u64 >= seq => Ok(Some(row.get::<_, i64>(0)? as u64)),
                _ => Ok(None),
            }
        })
    }
}
