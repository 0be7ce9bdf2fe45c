//! Purging a session: one transaction makes it nobody's, then its records are erased piece by piece, and the room goes
//! back to the file system.
//!
//! Invariant: a crash finds a session either whole or gone. Gone means that its row holds no more than its number and what
//! is to be cleared away (`rest` is [`GONE`]), until all else is erased; the next start goes on from there. SQLite
//! overwrites what it deletes (`secure_delete`); what the log still has of it is cut off before the row goes. Nobody
//! waits for more than one piece.
//!
//! Free pages stay in the file, as holes: moving the last pages into them instead (`auto_vacuum`) would cost a map that
//! every overflow page is entered in, and a rewrite of what lies behind.

use super::{SessionNo, SpoolOffset, StoreError, schema::set_meta};
use rusqlite::{Connection, params};
use rustix::fs::FallocateFlags;
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
};
use vibes_protocol::model::Seq;

/// `rest` of a session that is being erased.
pub(super) const GONE: u8 = 3;
/// `deleted_ms` of one: its place in the index of deleted ones.
pub(super) const ERASING: i64 = -1;
/// Where the last number is kept that was given to a session.
const LAST_NO: &str = "last_no";
/// How much one transaction erases, in bytes: some milliseconds of work, which is what a commit may have to wait.
const SLICE: i64 = 1024 * 1024;
/// How many rows it takes at most.
const ROWS: i64 = 512;
/// How many pieces it takes at most: they have at most 32 KiB, and compressed about 4.
const PIECES: i64 = 128;
/// How many holes are made at once, the largest first: each takes some tens of microseconds.
const HOLES: usize = 512;

/// A session to purge.
#[derive(Debug, Clone)]
pub struct Farewell {
    /// Its number.
    pub session: SessionNo,
    /// Head and offset as the session's task knows them; anything else in the store refuses it.
    pub expect: (Seq, SpoolOffset),
    /// What is to be cleared away before its row goes, for whoever does that.
    pub leavings: String,
}

/// From here on there is no such session. Inside a transaction.
pub(super) fn part(connection: &Connection, farewell: &Farewell) -> Result<(), StoreError> {
    let (head, SpoolOffset { generation, offset }) = farewell.expect;
    let updated = connection
        .prepare_cached(
            "UPDATE session SET id = 'purged-' || no, create_key = NULL, head = 0, last_ms = 0, body = ?1, name = NULL,
                 rest = ?2, deleted_ms = ?3
             WHERE no = ?4 AND head = ?5 AND generation = ?6 AND spool = ?7 AND rest <> ?2",
        )?
        .execute(params![
            farewell.leavings,
            GONE,
            ERASING,
            farewell.session,
            head as i64,
            generation as i64,
            offset as i64
        ])?;
    if updated != 1 {
        return Err(StoreError::Conflict { session: farewell.session });
    }
    connection.prepare_cached("DELETE FROM item WHERE session = ?1")?.execute([farewell.session])?;
    // What it took stays in the sums; where it worked is nobody's business any more.
    connection.prepare_cached("UPDATE payer SET cwd = '' WHERE session = ?1")?.execute([farewell.session])?;
    Ok(())
}

/// Whether there is such a session: what somebody still has to tell of one that is gone is not written down.
pub(super) fn is_there(connection: &Connection, session: SessionNo) -> Result<bool, StoreError> {
    let mut select = connection.prepare_cached("SELECT 1 FROM session WHERE no = ?1 AND rest <> ?2")?;
    Ok(select.exists(params![session, GONE])?)
}

/// What is erased at once.
pub(super) enum Slice {
    /// Records, as their first and last group.
    Records(i64, i64),
    /// What records had in common: the first so many pieces.
    Pieces(i64),
}

/// The next slice to erase, and about how many bytes that writes; none when there is nothing left.
pub(super) fn slice(
    connection: &Connection,
    session: SessionNo,
) -> Result<Option<(Slice, usize)>, StoreError> {
    if let Some((begin, end, bytes)) = groups(connection, session)? {
        return Ok(Some((Slice::Records(begin, end), bytes)));
    }
    let pieces = "SELECT count(*), coalesce(sum(n), 0) FROM
                  (SELECT octet_length(body) AS n FROM piece WHERE session = ?1 ORDER BY hash LIMIT ?2)";
    let (count, bytes): (i64, i64) = connection
        .prepare_cached(pieces)?
        .query_row([session, PIECES], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((count > 0).then(|| (Slice::Pieces(count), usize::try_from(bytes).unwrap_or(0))))
}

/// The next groups of records, and about how many bytes they are.
fn groups(connection: &Connection, session: SessionNo) -> Result<Option<(i64, i64, usize)>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT first, length(body) FROM records WHERE session = ?1 ORDER BY first LIMIT ?2",
    )?;
    let mut rows = select.query(params![session, ROWS])?;
    let mut found: Option<(i64, i64, i64)> = None;
    while let Some(row) = rows.next()? {
        let (first, bytes): (i64, i64) = (row.get(0)?, row.get(1)?);
        found = match found {
            Some((begin, _, sum)) if sum + bytes <= SLICE => Some((begin, first, sum + bytes)),
            None => Some((first, first, bytes)),
            Some(_) => break,
        };
    }
    Ok(found.map(|(begin, end, bytes)| (begin, end, usize::try_from(bytes).unwrap_or(0))))
}

/// Erases it. Inside a transaction.
pub(super) fn erase(connection: &Connection, session: SessionNo, slice: &Slice) -> Result<(), StoreError> {
    match slice {
        Slice::Records(begin, end) => connection
            .prepare_cached("DELETE FROM records WHERE session = ?1 AND first BETWEEN ?2 AND ?3")?
            .execute(params![session, begin, end])?,
        Slice::Pieces(count) => connection
            .prepare_cached(
                "DELETE FROM piece WHERE session = ?1
                 AND hash IN (SELECT hash FROM piece WHERE session = ?1 ORDER BY hash LIMIT ?2)",
            )?
            .execute(params![session, count])?,
    };
    Ok(())
}

/// The last number that was ever given to a session.
pub(super) fn last_no(connection: &Connection) -> Result<SessionNo, StoreError> {
    let given = "SELECT max(coalesce((SELECT max(no) FROM session), 0),
                            coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = ?1), 0))";
    Ok(connection.query_row(given, [LAST_NO], |row| row.get(0))?)
}

/// Forgets those whose records are erased, and no number of theirs. Inside a transaction.
pub(super) fn forget(connection: &Connection, sessions: &[SessionNo]) -> Result<(), StoreError> {
    set_meta(connection, LAST_NO, &last_no(connection)?.to_string())?;
    let mut delete = connection.prepare_cached("DELETE FROM session WHERE no = ?1 AND rest = ?2")?;
    // Only one that never came in as a whole still has some.
    let mut rows = connection.prepare_cached("DELETE FROM item WHERE session = ?1")?;
    sessions.iter().try_for_each(|session| {
        rows.execute([session])?;
        Ok(delete.execute(params![session, GONE]).map(|_| ())?)
    })
}

/// Opens a store's file for [`give_back`], for as long as this process lives: closing any descriptor of a file gives up all
/// locks of the process on it, those of SQLite as well, and another program could then take the log for nobody's.
pub(super) fn open(store: &Path) -> io::Result<&'static File> {
    let file = OpenOptions::new().read(true).write(true).open(store)?;
    Ok(Box::leak(Box::new(file)))
}

/// Gives the free pages of a store back to the file system, and says how many bytes. Only right after a checkpoint that
/// left nothing in the log, by the thread that makes checkpoints: then the file is what the store is, and no page of it
/// is written until the next one.
pub(super) fn give_back(file: &File) -> io::Result<u64> {
    let mut given = 0;
    for (at, length) in holes(file)? {
        rustix::fs::fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, at, length)?;
        given += length;
    }
    Ok(given)
}

/// Where free pages lie side by side: place and length in bytes, the longest first. The pages that list the others stay.
fn holes(file: &File) -> io::Result<Vec<(u64, u64)>> {
    let number = |bytes: &[u8], at: usize| {
        bytes[at..].first_chunk::<4>().map_or(0, |bytes| u64::from(u32::from_be_bytes(*bytes)))
    };
    let mut header = [0; 100];
    file.read_exact_at(&mut header, 0)?;
    let size = match u64::from(u16::from_be_bytes([header[16], header[17]])) {
        1 => 65_536,
        size @ 512.. => size,
        _ => return Ok(Vec::new()),
    };
    let pages = file.metadata()?.len() / size;
    let mut free = Vec::new();
    let (mut list, count) = (number(&header, 32), number(&header, 36));
    let mut bytes = vec![0; size as usize];
    while (2..=pages).contains(&list) && (free.len() as u64) < count {
        file.read_exact_at(&mut bytes, (list - 1) * size)?;
        let listed = number(&bytes, 4).min(size / 4 - 2) as usize;
        free.extend(
            (0..listed).map(|at| number(&bytes, 8 + 4 * at)).filter(|page| (2..=pages).contains(page)),
        );
        list = number(&bytes, 0);
    }
    free.sort_unstable();
    let mut holes: Vec<(u64, u64)> = Vec::new();
    for page in free {
        let at = (page - 1) * size;
        match holes.last_mut() {
            Some((begin, length)) if *begin + *length == at => *length += size,
            _ => holes.push((at, size)),
        }
    }
    holes.sort_unstable_by_key(|(_, length)| std::cmp::Reverse(*length));
    holes.truncate(HOLES);
    Ok(holes)
}
