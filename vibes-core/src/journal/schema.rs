//! Opening the store: header, version, migrations, settings; a damaged file is set aside and what is lost is told.
//!
//! Invariant: a store is never silently emptied. A file that is not a sound store is moved, with its companions, to
//! `corrupt-<time>/` beside it, what can still be read is carried over, and the caller is told in words.

use super::{StoreError, ballast::Ballast, salvage, seal::Seal};
use crate::points::{self, Point};
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

/// Sessions that rest are found by these, and the start of the daemon reads none of them. Those of an older store count
/// as awake until a daemon has read them once.
const RESTING: &str = "
ALTER TABLE session ADD COLUMN rest INTEGER NOT NULL DEFAULT 0;
ALTER TABLE session ADD COLUMN name TEXT;
ALTER TABLE session ADD COLUMN deleted_ms INTEGER;
CREATE INDEX session_awake ON session (no) WHERE rest = 0;
CREATE INDEX session_ended ON session (last_ms DESC, id) WHERE rest = 1 AND deleted_ms IS NULL;
CREATE INDEX session_named ON session (name) WHERE name IS NOT NULL;
CREATE INDEX session_deleted ON session (deleted_ms) WHERE deleted_ms IS NOT NULL;
";

/// What turns took, one row for each of their models, and whose sessions they were. A sum over all of them is asked
/// for more often by when than by what. What a store of before has had of turns is owed to the ledger.
const SPENT: &str = "
CREATE TABLE payer (session INTEGER PRIMARY KEY, agent TEXT NOT NULL, cwd TEXT NOT NULL);
CREATE TABLE spend (
    session INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    model TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    input INTEGER NOT NULL,
    output INTEGER NOT NULL,
    cache_read INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    amount INTEGER NOT NULL,
    currency TEXT NOT NULL,
    estimated INTEGER NOT NULL,
    lead INTEGER NOT NULL,
    PRIMARY KEY (session, turn, model)
) WITHOUT ROWID;
CREATE INDEX spend_at ON spend (at_ms);
INSERT INTO meta SELECT 'ledger', 'owed' WHERE EXISTS (SELECT 1 FROM session);
";

/// When something last happened in a session, in time that daemons were awake. In an older store nobody knows.
const ACTIVE: &str = "ALTER TABLE session ADD COLUMN active_ms INTEGER NOT NULL DEFAULT 0;";

/// What several large records of a session have in common: see `pieces`.
const PIECES: &str = "
CREATE TABLE piece (
    session INTEGER NOT NULL,
    hash BLOB NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (session, hash)
) WITHOUT ROWID;
";

fn migrations() -> Migrations<'static> {
    let made = |_: &rusqlite::Transaction<'_>| {
        points::hit(Point::Migrate);
        Ok(())
    };
    Migrations::new(vec![
        M::up_with_hook(INITIAL, made),
        M::up_with_hook(RESTING, made),
        M::up_with_hook(SPENT, made),
        M::up_with_hook(ACTIVE, made),
        M::up_with_hook(PIECES, made),
    ])
}

const SCHEMA: i64 = 5;
/// How long the writer waits for another program that has locked the store.
pub(super) const LOCKED: Duration = Duration::from_secs(5);

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
    /// Whether the last daemon did not close it: then a look through all of it is due.
    pub unclean: bool,
    /// Room that is given up when there is none left.
    pub(super) ballast: Ballast,
    /// What is told beside the store of how far it has come.
    pub(super) seal: Seal,
    /// What this start has to write first, because the disk had no room for it.
    pub(super) owed: Vec<(&'static str, String)>,
}

/// Opens or creates the store. `boot_id` names this boot of the machine: an unclean end in another boot may have
/// lost what was not synced, and raises the epoch. A full disk does not keep a store from being opened: what this
/// start has to write is owed then.
pub fn open(path: &Path, boot_id: &str, now_ms: i64) -> Result<Opened, StoreError> {
    if rusqlite::version_number() < 3_051_003 {
        return Err(StoreError::OldSqlite(rusqlite::version().to_owned()));
    }
    let mut told = Vec::new();
    let mut ballast = Ballast::beside(path);
    let logged = salvage::beside(path, "-wal").exists();
    let connection = match sound_or_salvaged(path, now_ms, &mut told) {
        Err(StoreError::Full) if ballast.give_up() => sound_or_salvaged(path, now_ms, &mut told)?,
        other => other?,
    };
    let salvaged = !told.is_empty();
    let meta = |key: &str| -> Option<String> {
        connection.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).ok()
    };
    let number = |key: &str| meta(key).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let (mut epoch, last) = (number("epoch"), number("fence"));
    let unclean = meta("clean").as_deref() == Some("0");
    let sealed = Seal::of(path);
    let set_back = !salvaged && sealed.is_ahead_of(last, !unclean);
    if salvaged || set_back {
        epoch = epoch.max(sealed.epoch).max(salvage::last_epoch(&connection)?);
    }
    let fence = last.max(sealed.fence) + 1;
    let unlogged = unclean && !logged && !salvaged;
    let lost_power = unclean && meta("boot_id").is_some_and(|id| id != boot_id);
    if epoch == 0 || lost_power || unlogged || salvaged || set_back {
        epoch += 1;
    }
    if set_back {
        told.push(match last {
            0 => "the store that was here is gone, and a new one was begun".to_owned(),
            _ => "the store is an older copy of the one that was here: what was recorded since is missing, as far as \
                  the agents' output does not hold it"
                .to_owned(),
        });
    }
    if unlogged && !lost_power && !set_back {
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
    let mut owed = vec![
        ("epoch", epoch.to_string()),
        ("fence", fence.to_string()),
        ("boot_id", boot_id.to_owned()),
        ("clean", "0".to_owned()),
    ];
    let written = match write_meta(&connection, &owed) {
        Err(StoreError::Full) if ballast.give_up() => write_meta(&connection, &owed),
        other => other,
    };
    match written {
        Ok(()) => owed.clear(),
        Err(StoreError::Full) => {
            told.push("the disk was full when the daemon started; it serves what it can".to_owned());
        }
        Err(error) => return Err(error),
    }
    let seal = Seal { fence, epoch, clean: false };
    if owed.is_empty() {
        seal.put(path);
        ballast.restore();
    }
    Ok(Opened { connection, epoch, fence, path: path.to_owned(), told, unclean, ballast, seal, owed })
}

fn write_meta(connection: &Connection, values: &[(&'static str, String)]) -> Result<(), StoreError> {
    let tx = connection.unchecked_transaction()?;
    for (key, value) in values {
        set_meta(&tx, key, value)?;
    }
    Ok(tx.commit()?)
}

/// Connects to the store that is there, to a new one where there is none, and to what can be saved of a damaged one.
fn sound_or_salvaged(path: &Path, now_ms: i64, told: &mut Vec<String>) -> Result<Connection, StoreError> {
    match look(path).and_then(|()| connect(path)) {
        Err(StoreError::Damaged(why)) => {
            told.push(salvage::salvage(path, &why, now_ms)?);
            connect(path)
        }
        other => other,
    }
}

/// What can be told about a store without opening it.
fn look(path: &Path) -> Result<(), StoreError> {
    let damaged = |why: &str| Err(StoreError::Damaged(why.to_owned()));
    if salvage::unfinished(path).is_some() {
        return damaged("an earlier daemon found that and was stopped while it saved what can be read");
    }
    if let Ok(why) = fs::read_to_string(salvage::beside(path, "-damaged")) {
        return damaged(&why);
    }
    let Ok(found) = fs::metadata(path) else { return Ok(()) };
    let logged = fs::metadata(salvage::beside(path, "-wal")).is_ok_and(|log| log.len() > 0);
    match found.len() {
        _ if !found.is_file() => damaged("it is no file"),
        0 if logged => damaged("it is empty, and its log is not"),
        1..=512 => damaged("it is cut within its header"),
        _ => Ok(()),
    }
}

/// Notes that the store is damaged, for the next start to see to: found while it is in use, it cannot be set aside.
pub fn note_damage(path: &Path, why: &str) {
    let note = salvage::beside(path, "-damaged");
    if let Err(error) = fs::write(&note, why) {
        tracing::error!(%error, note = %note.display(), "the damage could not be noted");
    }
    tracing::error!(why, "the store is damaged: the next start sets it aside and saves what can be read");
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

/// Connects the writer: file mode, settings, migrations, and a first look at whether this is a sound store.
pub(super) fn connect(path: &Path) -> Result<Connection, StoreError> {
    if !path.exists() {
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    let mut connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(LOCKED)?;
    connection.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    // Checkpoints are the writer's: one that SQLite does by itself would hide that the disk failed.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.pragma_update(None, "secure_delete", true)?;
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > SCHEMA {
        return Err(StoreError::Newer { path: path.display().to_string(), found, known: SCHEMA });
    }
    migrations().to_latest(&mut connection).map_err(|error| match error {
        rusqlite_migration::Error::RusqliteError { err, .. } => StoreError::from(err),
        other => StoreError::Damaged(other.to_string()),
    })?;
    let tables: i64 = connection.query_row(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table'
         AND name IN ('meta', 'session', 'records', 'item', 'payer', 'spend', 'piece')",
        [],
        |row| row.get(0),
    )?;
    if tables != 7 {
        return Err(StoreError::Damaged("a table is missing".to_owned()));
    }
    // Touches every table: a file that opens but cannot be read is found here, not in the middle of a turn.
    for table in ["meta", "session", "records", "item", "payer", "spend", "piece"] {
        let touch = format!("SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT 1)");
        connection.query_row(&touch, [], |_| Ok(()))?;
    }
    // Those that rest are read when somebody wants them: a start takes no longer for them.
    connection.query_row(
        "SELECT count(*), sum(length(body)) FROM session INDEXED BY session_awake WHERE rest = 0",
        [],
        |_| Ok(()),
    )?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
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
         FROM session s LEFT JOIN records r ON r.session = s.no WHERE s.rest <= 2 GROUP BY s.no",
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
