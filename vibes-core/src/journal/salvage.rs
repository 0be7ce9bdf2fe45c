//! A damaged store: set aside whole, and everything that can still be read carried into a new one.
//!
//! Invariant: not a byte of the old store is changed, and the new one appears under its name only when all that can be
//! carried over is in it: a salvage that is cut short is done again from the same bytes. Numbers stay what they were;
//! records that are lost have a record in their place that says so.

use super::{StoreError, group, pieces, schema};
use rusqlite::{Connection, OpenFlags, OptionalExtension, params, types::Value};
use std::{
    collections::VecDeque,
    ffi::OsString,
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};
use vibes_protocol::model::fact::{Fact, RecordsLost};

/// What belongs to a store besides its file.
const COMPANIONS: [&str; 4] = ["-wal", "-shm", "-journal", "-damaged"];
/// How often the way around what cannot be read is tried in one table. Each costs some 20 µs.
const TRIES: u32 = 1000;
/// The size of a page of ours.
const PAGE: usize = 4096;
/// The widest hole that is filled with records that say so. A head further off is garbage itself.
const WIDEST: i64 = 1_000_000;
/// How many of these one group holds.
const FILLED: i64 = 10_000;

/// What could be carried over.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Kept {
    sessions: u64,
    groups: u64,
    lost: u64,
}

/// The store's path with something after its name.
pub(super) fn beside(store: &Path, suffix: &str) -> PathBuf {
    let mut name = store.file_name().map(OsString::from).unwrap_or_default();
    name.push(suffix);
    store.with_file_name(name)
}

/// What is made from the store and lies beside it.
const INDEX: &str = "search.db";

/// A salvage that was cut short: where the old store lies.
pub(super) fn unfinished(store: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(store.parent()?).ok()?;
    let mut found =
        entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with("salvaging-"));
    found.next().map(|entry| entry.path())
}

/// Sets the store aside and makes a new one of what can be read; the sentence is for a person.
pub(super) fn salvage(store: &Path, why: &str, now_ms: i64) -> Result<String, StoreError> {
    let parent = store.parent().unwrap_or(Path::new("."));
    let old = match unfinished(store) {
        Some(old) => old,
        None => {
            let old = new_dir(parent, "salvaging", now_ms)?;
            fs::rename(store, old.join(store.file_name().unwrap_or_default()))?;
            old
        }
    };
    let name = store.file_name().unwrap_or_default();
    // A store that stands under its name while a salvage is unfinished is the new one: only the last step is missing.
    let mut kept = None;
    if !store.exists() {
        for suffix in COMPANIONS {
            let from = beside(store, suffix);
            if from.exists() {
                fs::rename(&from, beside(&old.join(name), suffix))?;
            }
        }
        let fresh = beside(store, "-salvaged");
        for suffix in ["", "-wal", "-shm"] {
            gone(&beside(&fresh, suffix))?;
        }
        let into = schema::connect(&fresh)?;
        kept = Some(carry(&old.join(name), &into)?);
        into.pragma_update(None, "journal_mode", "DELETE")?;
        into.close().map_err(|(_, error)| error)?;
        fs::File::open(&fresh)?.sync_all()?;
        fs::rename(&fresh, store)?;
    }
    // It tells of records that may be lost now.
    for suffix in ["", "-wal", "-shm"] {
        gone(&parent.join(format!("{INDEX}{suffix}")))?;
    }
    let aside = new_dir(parent, "corrupt", now_ms)?;
    fs::rename(&old, &aside)?;
    fs::File::open(parent)?.sync_all()?;
    let what = kept.map_or_else(String::new, |kept| {
        format!(
            "; {} session(s) and {} record group(s) could be carried over, {} record(s) are lost",
            kept.sessions, kept.groups, kept.lost
        )
    });
    Ok(format!(
        "the store was damaged ({why}) and was moved to {}{what}. Run `vibes doctor` for details.",
        aside.display()
    ))
}

/// An empty private directory of a new name.
fn new_dir(parent: &Path, kind: &str, now_ms: i64) -> io::Result<PathBuf> {
    let mut number = now_ms;
    loop {
        let dir = parent.join(format!("{kind}-{number}"));
        match fs::DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            made => return made.map(|()| dir),
        }
    }
}

fn gone(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Opens the old store for reading. One whose first page is gone is read through a copy with the first page of an
/// empty store: what lies where is the same in every store of a schema.
fn reopen(from: &Path, into: &Connection) -> Result<Option<Connection>, StoreError> {
    let open = |path: &Path| {
        let old = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        old.prepare("SELECT * FROM session, records, item LIMIT 1").map(|_| ())?;
        Ok::<_, rusqlite::Error>(old)
    };
    if !from.is_file() {
        return Ok(None);
    }
    if let Ok(old) = open(from) {
        return Ok(Some(old));
    }
    if let Ok(old) = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY)
        && old.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).is_ok()
    {
        // Its first page is sound and says that tables are missing: what is there is read.
        return Ok(Some(old));
    }
    let copy = from.with_file_name("first-page-replaced.db");
    fs::copy(from, &copy)?;
    if beside(from, "-wal").exists() {
        fs::copy(beside(from, "-wal"), beside(&copy, "-wal"))?;
    }
    let empty = from.with_file_name("empty.db");
    gone(&empty)?;
    into.execute("VACUUM INTO ?1", [empty.to_string_lossy()])?;
    let mut page = fs::read(&empty)?;
    gone(&empty)?;
    page.truncate(PAGE);
    if page.len() < PAGE {
        return Ok(None);
    }
    let pages = u32::try_from(fs::metadata(&copy)?.len() / PAGE as u64).unwrap_or(u32::MAX);
    if let [.., write, read] = &mut page[..20] {
        // With a log.
        (*write, *read) = (2, 2);
    }
    page[28..32].copy_from_slice(&pages.to_be_bytes());
    {
        use std::os::unix::fs::FileExt;
        fs::OpenOptions::new().write(true).open(&copy)?.write_all_at(&page, 0)?;
    }
    Ok(open(&copy).ok())
}

/// Carries over what can be read.
fn carry(from: &Path, into: &Connection) -> Result<Kept, StoreError> {
    let mut kept = Kept::default();
    let Some(old) = reopen(from, into)? else { return Ok(kept) };
    // One transaction: a new store that is half full is never seen, and it is fast.
    into.execute_batch("BEGIN")?;
    rows(&old, "SELECT key, value FROM meta", "key", &[], &mut |row| {
        put(into, "INSERT OR IGNORE INTO meta VALUES (?1, ?2)", row).map(|_| ())
    })?;
    kept.sessions = sessions(&old, into)?;
    // What was being erased is not carried over.
    into.execute("DELETE FROM session WHERE id LIKE 'purged-%'", [])?;
    let known: Vec<(i64, i64)> = into
        .prepare("SELECT no, head FROM session")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (no, head) in known {
        // Records are judged by what they are joined of.
        let select = "SELECT session, hash, body FROM piece WHERE session = ?1";
        rows(&old, select, "hash", &[no.into()], &mut |row| {
            if let [_, Value::Blob(hash), Value::Blob(body)] = &row[..]
                && pieces::is_sound(hash, body)
            {
                put(into, "INSERT OR IGNORE INTO piece VALUES (?1, ?2, ?3)", row)?;
            }
            Ok(())
        })?;
        kept.groups += records(&old, into, no, head)?;
        kept.lost += fill(into, no, head)?;
        for kind in 1..=5 {
            let select = "SELECT session, kind, key, value FROM item WHERE session = ?1 AND kind = ?2";
            rows(&old, select, "key", &[no.into(), Value::from(kind)], &mut |row| {
                put(into, "INSERT OR IGNORE INTO item VALUES (?1, ?2, ?3, ?4)", row).map(|_| ())
            })?;
        }
    }
    for (table, key, columns) in [("payer", "session", 3), ("spend", "session, turn, model", 12)] {
        let marks = vec!["?"; columns].join(", ");
        rows(&old, &format!("SELECT * FROM {table}"), key, &[], &mut |row| {
            put(into, &format!("INSERT OR IGNORE INTO {table} VALUES ({marks})"), row).map(|_| ())
        })?;
    }
    into.execute_batch("COMMIT")?;
    Ok(kept)
}

fn put(into: &Connection, insert: &str, row: Vec<Value>) -> Result<bool, StoreError> {
    match into.prepare_cached(insert)?.execute(rusqlite::params_from_iter(row)) {
        Ok(count) => Ok(count > 0),
        Err(error) => match StoreError::from(error) {
            // What does not fit is no row of ours.
            StoreError::Failed(_) => Ok(false),
            other => Err(other),
        },
    }
}

/// The rows of a statement, as far as they can be read, from the front and from the back.
fn rows(
    old: &Connection,
    select: &str,
    key: &str,
    with: &[Value],
    take: &mut dyn FnMut(Vec<Value>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for order in ["", " DESC"] {
        let Ok(mut select) = old.prepare(&format!("{select} ORDER BY {key}{order}")) else { return Ok(()) };
        let columns = select.column_count();
        let Ok(mut found) = select.query(rusqlite::params_from_iter(with)) else { continue };
        loop {
            match found.next() {
                Ok(Some(row)) => {
                    if let Ok(row) = (0..columns).map(|at| row.get(at)).collect() {
                        take(row)?;
                    }
                }
                Ok(None) => return Ok(()),
                Err(_) => break,
            }
        }
    }
    Ok(())
}

/// Reads what lies under the keys `lo..=hi`: from both ends, then from the middle of what neither reaches, the widest
/// of these first. `select` takes the bounds as its last two parameters and gives the key as its first column.
fn around(
    old: &Connection,
    select: &str,
    with: &[Value],
    (lo, hi): (i64, i64),
    take: &mut dyn FnMut(Vec<Value>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut read = |lo: i64, hi: i64, order: &str| -> Result<Result<(), Option<i64>>, StoreError> {
        let mut last = None;
        let Ok(mut select) = old.prepare_cached(&format!("{select} {order}")) else { return Ok(Ok(())) };
        let columns = select.column_count();
        let bounds: Vec<Value> = with.iter().cloned().chain([lo.into(), hi.into()]).collect();
        let Ok(mut found) = select.query(rusqlite::params_from_iter(bounds)) else { return Ok(Err(None)) };
        loop {
            match found.next() {
                Ok(Some(row)) => {
                    last = row.get::<_, i64>(0).ok().or(last);
                    if let Ok(row) = (0..columns).map(|at| row.get(at)).collect() {
                        take(row)?;
                    }
                }
                Ok(None) => return Ok(Ok(())),
                Err(_) => return Ok(Err(last)),
            }
        }
    };
    let mut holes = VecDeque::from([(lo, hi)]);
    for _ in 0..TRIES {
        let Some((lo, hi)) = holes.pop_front().filter(|(lo, hi)| lo <= hi) else {
            if holes.is_empty() {
                break;
            }
            continue;
        };
        let Err(up) = read(lo, hi, "ASC")? else { continue };
        let lo = up.map_or(lo, |last| last + 1);
        let Err(down) = read(lo, hi, "DESC")? else { continue };
        let hi = down.map_or(hi, |last| last - 1);
        if lo < hi {
            let middle = lo + (hi - lo) / 2;
            holes.extend([(lo, middle), (middle + 1, hi)]);
        }
    }
    Ok(())
}

/// Sessions, by their table and by its index: one whose row is lost keeps its id and its records.
fn sessions(old: &Connection, into: &Connection) -> Result<u64, StoreError> {
    // Where they stand is not carried over: the next start reads them all, and tells which cannot be read.
    let insert = "INSERT OR IGNORE INTO session (no, id, create_key, head, generation, spool, last_ms, body)
                  VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let select = "SELECT no, id, create_key, head, generation, spool, last_ms, body FROM session
                  WHERE no BETWEEN ?1 AND ?2 ORDER BY no";
    let mut count = 0;
    around(old, select, &[], (1, i64::from(u32::MAX)), &mut |row| {
        count += u64::from(put(into, insert, row)?);
        Ok(())
    })?;
    let select = "SELECT id, no FROM session INDEXED BY sqlite_autoindex_session_1";
    rows(old, select, "id", &[], &mut |row| {
        let [id, no] = &row[..] else { return Ok(()) };
        // Nothing but its id is known: the daemon tells that it cannot go on, and its records can be read.
        let bare = vec![
            no.clone(),
            id.clone(),
            Value::Null,
            0.into(),
            0.into(),
            0.into(),
            0.into(),
            "".to_owned().into(),
        ];
        count += u64::from(put(into, insert, bare)?);
        Ok(())
    })?;
    Ok(count)
}

/// Record groups of one session whose content is what it should be.
fn records(old: &Connection, into: &Connection, no: i64, head: i64) -> Result<u64, StoreError> {
    let select =
        "SELECT first, last, epoch, packed, body FROM records WHERE session = ?1 AND first BETWEEN ?2 AND ?3
                  ORDER BY first";
    let (mut count, mut unpacker) = (0, group::Unpacker::default());
    // Of a session whose row is lost nobody knows where it ends.
    let end = if head > 0 { head } else { i64::from(u32::MAX) };
    around(old, select, &[no.into()], (1, end), &mut |row| {
        let [
            Value::Integer(first),
            Value::Integer(last),
            Value::Integer(epoch),
            Value::Integer(packed),
            Value::Blob(body),
        ] = &row[..]
        else {
            return Ok(());
        };
        if sound(into, no, (*first, *last), *packed, body, &mut unpacker) {
            count += into
                .prepare_cached(
                    "INSERT OR IGNORE INTO records (session, first, last, epoch, packed, body)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![no, first, last, epoch, packed, body])? as u64;
        }
        Ok(())
    })?;
    Ok(count)
}

/// Whether a group holds the records it says, each of them JSON: pages carry no checksum, so what can be read may
/// still be garbage.
fn sound(
    into: &Connection,
    no: i64,
    (first, last): (i64, i64),
    packed: i64,
    body: &[u8],
    unpacker: &mut group::Unpacker,
) -> bool {
    let Ok(body) = pieces::body(into, no, packed, body, unpacker) else { return false };
    let facts: Vec<_> = group::records(body).collect();
    i64::try_from(facts.len()).ok() == last.checked_sub(first).map(|count| count + 1)
        && facts.iter().all(|(_, fact)| serde_json::from_slice::<serde::de::IgnoredAny>(fact).is_ok())
}

/// Puts a record that says so in the place of each that is lost, up to the head. Says how many those are.
fn fill(into: &Connection, no: i64, head: i64) -> Result<u64, StoreError> {
    let mut there =
        into.prepare("SELECT first, last, epoch FROM records WHERE session = ?1 ORDER BY first")?;
    let there: Vec<(i64, i64, i64)> = there
        .query_map([no], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<_, _>>()?;
    let (mut next, mut epoch, mut lost) = (1, there.first().map_or(1, |(.., epoch)| *epoch), 0);
    let end = there.last().map_or(0, |(_, last, _)| *last);
    let end = if head > end && head - end <= WIDEST { head } else { end };
    for (first, last, its) in there.into_iter().chain([(end + 1, end, 0)]) {
        if first < next || first - next > WIDEST {
            // It overlaps the one before it, or lies where no record ever was: garbage.
            into.execute("DELETE FROM records WHERE session = ?1 AND first = ?2", [no, first])?;
            continue;
        }
        lost += hole(into, no, epoch, next, first - 1)?;
        (next, epoch) = (last + 1, its);
    }
    into.execute("UPDATE session SET head = ?2 WHERE no = ?1", [no, next - 1])?;
    Ok(lost)
}

/// Fills the numbers `first..=last`, if there are any, and says how many.
fn hole(into: &Connection, no: i64, epoch: i64, first: i64, last: i64) -> Result<u64, StoreError> {
    if first > last {
        return Ok(0);
    }
    let fact = Fact::from(RecordsLost { first: first as u64, last: last as u64 });
    let fact = serde_json::to_vec(&fact).map_err(|error| StoreError::Failed(error.to_string()))?;
    for from in (first..=last).step_by(FILLED as usize) {
        let to = last.min(from + FILLED - 1);
        let mut body = Vec::new();
        (from..=to).for_each(|_| group::push_record(&mut body, 0, &fact));
        into.execute(
            "INSERT INTO records (session, first, last, epoch, packed, body) VALUES (?1, ?2, ?3, ?4, 1, ?5)",
            params![no, from, to, epoch, zstd::bulk::compress(&body, 3)?],
        )?;
    }
    Ok((last - first + 1) as u64)
}

/// The highest epoch any record was written under, to stay above it.
pub(super) fn last_epoch(connection: &Connection) -> Result<u64, StoreError> {
    let epoch: Option<i64> =
        connection.query_row("SELECT max(epoch) FROM records", [], |row| row.get(0)).optional()?.flatten();
    Ok(epoch.unwrap_or(0) as u64)
}
