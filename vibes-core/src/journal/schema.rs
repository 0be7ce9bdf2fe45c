//! Opening the store: header, version, migrations, settings; a damaged file is set aside and what is lost is told.
//!
//! Invariant: a store is never silently emptied. A file that is not a sound store is moved, with its companions, to
//! `corrupt-<time>/` beside it, what can still be read is carried over, and the caller is told in words.

use super::StoreError;
use rusqlite::{Connection, OpenFlags, params};
use rusqlite_migration::{M, Migrations};
use std::{
    fs,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

const INITIAL: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE session (
    no INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    create_key TEXT UNIQUE,
    head INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    spool INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE TABLE records (
    session INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    packed INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (session, first)
) WITHOUT ROWID;
CREATE TABLE item (
    session INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (session, kind, key)
) WITHOUT ROWID;
";

fn migrations() -> Migrations<'static> {
    Migrations::new(vec![M::up(INITIAL)])
}

const SCHEMA: i64 = 1;

/// What opening found.
#[derive(Debug)]
pub struct Opened {
    /// The writer's connection.
    pub connection: Connection,
    /// The epoch records are written under from now on.
    pub epoch: u64,
    /// This start's number.
    pub fence: u64,
    /// The store's file.
    pub path: PathBuf,
    /// What was lost or mended, in sentences for a person.
    pub told: Vec<String>,
}

/// Opens or creates the store. `boot_id` names this boot of the machine: an unclean end in another boot may have
/// lost what was not synced, and raises the epoch.
pub fn open(path: &Path, boot_id: &str, now_ms: i64) -> Result<Opened, StoreError> {
    if rusqlite::version_number() < 3_051_003 {
        return Err(StoreError::OldSqlite(rusqlite::version().to_owned()));
    }
    let mut told = Vec::new();
    let mut salvaged = None;
    let log = path.with_file_name(format!("{}-wal", file_name(path).display()));
    let (size, logged) = (fs::metadata(path).map_or(0, |file| file.len()), log.exists());
    let cut = (size == 0 && logged) || (1..=512).contains(&size);
    let first =
        if cut { Err(StoreError::Failed("it is cut within its header".to_owned())) } else { connect(path) };
    let connection = match first {
        Ok(connection) => connection,
        Err(StoreError::Failed(why)) if path.exists() => {
            let aside = set_aside(path, now_ms)?;
            let fresh = connect(path)?;
            let kept = salvage(&aside.join(file_name(path)), &fresh);
            told.push(format!(
                "the store was damaged ({why}) and was moved to {}; {} session(s) and {} record group(s) could be \
                 carried over. Run `vibes doctor` for details.",
                aside.display(),
                kept.0,
                kept.1
            ));
            salvaged = Some(kept);
            fresh
        }
        Err(error) => return Err(error),
    };
    let meta = |key: &str| -> Option<String> {
        connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).ok()
    };
    let number = |key: &str| meta(key).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let (mut epoch, fence) = (number("epoch"), number("fence") + 1);
    if salvaged.is_some() {
        let known: i64 =
            connection.query_row("SELECT coalesce(max(epoch), 0) FROM records", [], |row| row.get(0))?;
        epoch = epoch.max(known as u64);
    }
    let unlogged = meta("clean").as_deref() == Some("0") && !logged;
    let lost_power = meta("clean").as_deref() == Some("0") && meta("boot_id").is_some_and(|id| id != boot_id);
    if epoch == 0 || lost_power || unlogged || salvaged.is_some() {
        epoch += 1;
    }
    if unlogged && !lost_power {
        told.push("the store's log (-wal) is gone: what was written last may be missing".to_owned());
    }
    if lost_power {
        told.push(
            "the machine went down without the daemon being stopped; what was acknowledged is here, the last \
             unacknowledged output may be missing"
                .to_owned(),
        );
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    let tx = connection.unchecked_transaction()?;
    for (key, value) in [
        ("epoch", epoch.to_string()),
        ("fence", fence.to_string()),
        ("boot_id", boot_id.into()),
        ("clean", "0".into()),
    ] {
        set_meta(&tx, key, &value)?;
    }
    tx.commit()?;
    Ok(Opened { connection, epoch, fence, path: path.to_owned(), told })
}

/// Sets a value of the store's own.
pub(super) fn set_meta(connection: &Connection, key: &str, value: &str) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )?
        .execute(params![key, value])?;
    Ok(())
}

fn file_name(path: &Path) -> PathBuf {
    path.file_name().map(PathBuf::from).unwrap_or_default()
}

/// Connects the writer: file mode, settings, migrations, and a first look at whether this is a sound store.
fn connect(path: &Path) -> Result<Connection, StoreError> {
    if !path.exists() {
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    connection.pragma_update(None, "wal_autocheckpoint", 4000)?;
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.pragma_update(None, "secure_delete", true)?;
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > SCHEMA {
        return Err(StoreError::Newer { path: path.display().to_string(), found, known: SCHEMA });
    }
    migrations().to_latest(&mut connection).map_err(|error| StoreError::Failed(error.to_string()))?;
    // Touches every table: a file that opens but cannot be read is found here, not in the middle of a turn.
    for table in ["meta", "session", "records", "item"] {
        let _: i64 = connection.query_row(
            &format!("SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT 1)"),
            [],
            |row| row.get(0),
        )?;
    }
    connection.query_row("SELECT count(*), sum(length(body)) FROM session", [], |_| Ok(()))?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// Moves a damaged store and its companions into a directory of their own.
fn set_aside(path: &Path, now_ms: i64) -> Result<PathBuf, StoreError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    let aside = parent.join(format!("corrupt-{now_ms}"));
    fs::create_dir(&aside)?;
    fs::set_permissions(&aside, fs::Permissions::from_mode(0o700))?;
    for suffix in ["", "-wal", "-shm"] {
        let mut name = file_name(path).into_os_string();
        name.push(suffix);
        let from = parent.join(&name);
        if from.exists() {
            fs::rename(&from, aside.join(&name))?;
        }
    }
    Ok(aside)
}

/// Carries over whatever can still be read, row by row: (sessions, record groups).
fn salvage(from: &Path, into: &Connection) -> (u64, u64) {
    let (mut sessions, mut groups) = (0, 0);
    let Ok(old) = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY) else { return (0, 0) };
    let copy = |table: &str, columns: usize, count: &mut u64| {
        let Ok(mut select) = old.prepare(&format!("SELECT * FROM {table}")) else { return };
        if select.column_count() != columns {
            return;
        }
        let Ok(mut rows) = select.query([]) else { return };
        let marks = vec!["?"; columns].join(",");
        let Ok(mut insert) = into.prepare(&format!("INSERT OR IGNORE INTO {table} VALUES ({marks})")) else {
            return;
        };
        while let Ok(Some(row)) = rows.next() {
            let values: Result<Vec<rusqlite::types::Value>, _> = (0..columns).map(|at| row.get(at)).collect();
            if let Ok(values) = values
                && insert.execute(rusqlite::params_from_iter(values)).is_ok()
            {
                *count += 1;
            }
        }
    };
    let mut others = 0;
    copy("meta", 2, &mut others);
    copy("session", 8, &mut sessions);
    copy("records", 6, &mut groups);
    copy("item", 4, &mut others);
    // A session's head is what can be replayed without a hole, no more.
    let _ = into.execute_batch(
        "DELETE FROM records WHERE first > (
             SELECT min(r.first) FROM records r WHERE r.session = records.session AND r.first > 1
             AND NOT EXISTS (SELECT 1 FROM records p WHERE p.session = r.session AND p.last = r.first - 1)) - 1;
         UPDATE session SET head = coalesce((SELECT max(last) FROM records WHERE records.session = session.no), 0);",
    );
    (sessions, groups)
}

/// A full check of a store that no daemon has open for writing; the sentences say what is wrong.
pub fn check(path: &Path) -> Result<Vec<String>, StoreError> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    let mut wrong = Vec::new();
    let mut statement = connection.prepare("PRAGMA integrity_check(20)")?;
    for line in statement.query_map([], |row| row.get::<_, String>(0))? {
        let line = line?;
        if line != "ok" {
            wrong.push(line);
        }
    }
    let mut statement = connection.prepare(
        "SELECT s.id, s.head, coalesce(min(r.first), 0), coalesce(max(r.last), 0), coalesce(sum(r.last - r.first + 1), 0)
         FROM session s LEFT JOIN records r ON r.session = s.no GROUP BY s.no",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, head, last, count): (String, i64, i64, i64) =
            (row.get(0)?, row.get(1)?, row.get(3)?, row.get(4)?);
        if head != last || count != head {
            wrong.push(format!(
                "session {id}: head is {head}, records reach {last} and there are {count} of them"
            ));
        }
    }
    Ok(wrong)
}
