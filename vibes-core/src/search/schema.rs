//! The index's file: its tables, how it is opened, and what becomes of one that cannot be used.
//!
//! Invariant: everything in it is made from the journal, so whatever is wrong with it, it is set aside and made anew;
//! nothing else ever waits for that. What is deleted in it is overwritten.

use super::document::{Column, HARD};
use crate::journal::StoreError;
use rusqlite::{
    Connection, OpenFlags,
    functions::{Context, FunctionFlags},
    types::{ToSqlOutput, Value, ValueRef},
};
use std::{
    fs, io,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

/// The shape of the tables, and of what the folds put in them: an index of another shape is made anew.
const VERSION: i64 = 1;
/// From how many bytes on a text is compressed.
const PACKED: usize = 256;
/// How long somebody waits for another program that has locked the file.
const LOCKED: Duration = Duration::from_secs(5);

/// How much a match counts, by column: what people said and what was run before what was thought and what came out.
const WEIGHTS: &str = "bm25(4.0, 3.0, 1.0, 4.0, 4.0, 3.0, 1.0, 0.0)";

/// `doc` has the texts, `plain` shows them unpacked, `words` is the index over that view. A document's number begins with
/// its time, so the newest come last and a span of time is a span of numbers.
const TABLES: &str = r#"
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE session (
    no INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    leaving INTEGER NOT NULL,
    agent TEXT NOT NULL,
    cwd TEXT NOT NULL
);
CREATE TABLE fold (session INTEGER PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE doc (
    id INTEGER PRIMARY KEY,
    session INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    parts BLOB NOT NULL,
    prompt, response, thought, command, file, tool, output
);
CREATE UNIQUE INDEX doc_of ON doc (session, seq);
CREATE VIEW plain AS SELECT id, unpacked(prompt) AS prompt, unpacked(response) AS response,
    unpacked(thought) AS thought, unpacked(command) AS command, unpacked(file) AS file, unpacked(tool) AS tool,
    unpacked(output) AS output, 's' || session AS session FROM doc;
CREATE VIRTUAL TABLE words USING fts5 (prompt, response, thought, command, file, tool, output, session,
    content = 'plain', content_rowid = 'id', tokenize = "unicode61 remove_diacritics 2");
"#;

/// A text as it is kept.
pub(super) fn packed(text: &str) -> Result<Value, StoreError> {
    Ok(match text.len() {
        0 => Value::Null,
        1..PACKED => Value::Text(text.to_owned()),
        _ => Value::Blob(zstd::bulk::compress(text.as_bytes(), 1)?),
    })
}

/// And back.
fn unpacked(context: &Context<'_>) -> rusqlite::Result<ToSqlOutput<'static>> {
    let wrong = |error: io::Error| rusqlite::Error::UserFunctionError(error.into());
    Ok(match context.get_raw(0) {
        ValueRef::Blob(bytes) => {
            let text = zstd::bulk::decompress(bytes, 4 * HARD).map_err(wrong)?;
            let text = String::from_utf8(text).map_err(|error| wrong(io::Error::other(error)))?;
            ToSqlOutput::Owned(Value::Text(text))
        }
        other => ToSqlOutput::Owned(Value::try_from(other)?),
    })
}

fn with_functions(connection: Connection) -> Result<Connection, StoreError> {
    let flags =
        FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS;
    connection.create_scalar_function("unpacked", 1, flags, unpacked)?;
    connection.busy_timeout(LOCKED)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

/// A connection that only reads.
pub(super) fn reading(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = with_functions(Connection::open_with_flags(path, flags)?)?;
    connection.pragma_update(None, "mmap_size", 1_i64 << 30)?;
    connection.pragma_update(None, "cache_size", -1024)?;
    Ok(connection)
}

/// The connection that writes; an index that cannot be used is set aside, which is told in a sentence.
pub(super) fn open(path: &Path) -> Result<(Connection, Option<String>), StoreError> {
    match connect(path) {
        Err(error @ (StoreError::Damaged(_) | StoreError::Newer { .. })) => {
            let why = match error {
                StoreError::Damaged(why) => format!("it was damaged ({why})"),
                StoreError::Newer { found, known, .. } if found > known => {
                    format!("a newer version of vibes wrote it ({found}, this one knows {known})")
                }
                _ => "an older version of vibes wrote it".to_owned(),
            };
            set_aside(path)?;
            Ok((connect(path)?, Some(format!("the search index is made anew: {why}"))))
        }
        other => Ok((other?, None)),
    }
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // What another one left would not fit.
            let _ = fs::remove_file(beside(path, "-wal"));
            let _ = fs::remove_file(beside(path, "-shm"));
            fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        }
        Err(error) => return Err(error.into()),
        Ok(found) if !found.is_file() => return Err(StoreError::Damaged("it is no file".to_owned())),
        Ok(_) => fs::set_permissions(path, fs::Permissions::from_mode(0o600))?,
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = with_functions(Connection::open_with_flags(path, flags)?)?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        // Only before the first table.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // A crash of the machine costs the last documents, which are made again.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "journal_size_limit", 16 * 1024 * 1024)?;
    connection.pragma_update(None, "cache_size", -8192)?;
    connection.pragma_update(None, "secure_delete", true)?;
    if tables == 0 {
        let rank = format!("INSERT INTO words (words, rank) VALUES ('rank', '{WEIGHTS}')");
        connection
            .execute_batch(&format!("BEGIN; {TABLES} {rank}; PRAGMA user_version = {VERSION}; COMMIT"))?;
    }
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found != VERSION {
        return Err(StoreError::Newer { path: path.display().to_string(), found, known: VERSION });
    }
    // Touches every table: one that cannot be read is found here.
    for table in ["meta", "session", "fold", "doc", "words"] {
        let touch = format!("SELECT count(*) FROM (SELECT 1 FROM {table} LIMIT 1)");
        connection
            .query_row(&touch, [], |_| Ok(()))
            .map_err(|error| StoreError::Damaged(error.to_string()))?;
    }
    Ok(connection)
}

/// A file beside the index.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Puts the index out of the way, whole, in place of one that was set aside before.
pub(super) fn set_aside(path: &Path) -> Result<(), StoreError> {
    forget_set_aside(path)?;
    for suffix in ["-wal", ""] {
        match fs::rename(beside(path, suffix), beside(path, &format!("-set-aside{suffix}"))) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    let _ = fs::remove_file(beside(path, "-shm"));
    Ok(())
}

/// Removes one that was set aside: it may hold what is to be found nowhere.
pub(super) fn forget_set_aside(path: &Path) -> Result<(), StoreError> {
    let aside = beside(path, "-set-aside");
    for path in [beside(&aside, "-wal"), aside] {
        let removed = match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(&path),
            _ => fs::remove_file(&path),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// Removes the index.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm"] {
        match fs::remove_file(beside(path, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    forget_set_aside(path)
}

/// What is wrong with an index that nobody may be writing, in a sentence; nothing when it can be used or there is none.
pub fn check(path: &Path) -> Result<Option<String>, StoreError> {
    if !path.exists() {
        return Ok(None);
    }
    let wrong = |connection: &Connection| -> Result<Option<String>, StoreError> {
        let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if found != VERSION {
            return Ok(Some(format!("it has shape {found}, this version makes {VERSION}")));
        }
        let said: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        Ok((said != "ok").then_some(said))
    };
    match reading(path).and_then(|connection| wrong(&connection)) {
        Err(StoreError::Damaged(why)) => Ok(Some(why)),
        other => other,
    }
}

/// The columns of a document, as statements name them.
pub(super) fn columns() -> String {
    Column::ALL.map(Column::name).join(", ")
}
