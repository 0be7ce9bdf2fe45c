//! Memories: what people want to have remembered, in a small store of its own.
//!
//! Invariant: what was answered is on disk. The file is none of the journal's, so that neither a damaged journal nor its
//! size has to do with it; a damaged one is told of and never emptied. Everything here blocks.

use crate::journal::StoreError;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter, types::Value};
use rusqlite_migration::{M, Migrations};
use std::{
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use vibes_protocol::{model::Memory, remember::is_label};

const INITIAL: &str = "
CREATE TABLE memory (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    text TEXT NOT NULL,
    category TEXT NOT NULL,
    tags TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    session TEXT,
    by TEXT
);
CREATE VIRTUAL TABLE words USING fts5(
    text, category, tags, content='memory', content_rowid='id', tokenize='unicode61 remove_diacritics 2'
);
CREATE TRIGGER memory_added AFTER INSERT ON memory BEGIN
    INSERT INTO words (rowid, text, category, tags) VALUES (new.id, new.text, new.category, new.tags);
END;
CREATE TRIGGER memory_removed AFTER DELETE ON memory BEGIN
    INSERT INTO words (words, rowid, text, category, tags)
    VALUES ('delete', old.id, old.text, old.category, old.tags);
END;
CREATE TRIGGER memory_changed AFTER UPDATE ON memory BEGIN
    INSERT INTO words (words, rowid, text, category, tags)
    VALUES ('delete', old.id, old.text, old.category, old.tags);
    INSERT INTO words (rowid, text, category, tags) VALUES (new.id, new.text, new.category, new.tags);
END;
";
const SCHEMA: i64 = 1;

/// The longest text, in bytes. A page of them has to fit into a line of the daemon.
pub const LONGEST: usize = 64 * 1024;
/// The most memories that are kept. More would be a heap, not a memory.
pub const MOST: u64 = 100_000;
/// The most tags of one.
const MOST_TAGS: usize = 32;
/// The most that are told at once; 200 times the longest text is less than a line of the daemon may have.
pub const PAGE: u32 = 200;
/// What one belongs to unless it is said.
const CATEGORY: &str = "note";

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// What was asked makes no sense.
    #[error("{0}")]
    Bad(String),
    /// There is none with this number.
    #[error("there is no memory {0}; `vibes memory list` lists them")]
    NotFound(u64),
    /// What lies in the file is not what was written there.
    #[error(
        "the memories in {path} are damaged ({why}): nothing was changed; keep a copy of the file, move it away and new ones go on in another"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What SQLite says.
        why: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for MemoryError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(StoreError::from(error))
    }
}

/// What is to be remembered.
#[derive(Debug, Clone, Default)]
pub struct New {
    /// The words.
    pub text: String,
    /// What it belongs to.
    pub category: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// The session that it was said in.
    pub session: Option<String>,
    /// Who said it.
    pub by: Option<String>,
}

/// What is to be changed; what is not named stays.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// Other words.
    pub text: Option<String>,
    /// Another category.
    pub category: Option<String>,
    /// Other tags.
    pub tags: Option<Vec<String>>,
}

/// Which ones are wanted.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Words in them, the best fit first; all of them otherwise, the newest first.
    pub query: Option<String>,
    /// Rather some of the words than none.
    pub loosely: bool,
    /// Only of this category.
    pub category: Option<String>,
    /// Only with all of these tags.
    pub tags: Vec<String>,
    /// At most so many.
    pub limit: Option<u32>,
    /// After so many.
    pub offset: u32,
}

/// The memories of a state directory.
#[derive(Debug)]
pub struct Memories {
    path: PathBuf,
    /// Opened at the first use, so that nobody pays for what they do not use.
    open: Mutex<Option<Connection>>,
}

fn migrations() -> Migrations<'static> {
    Migrations::new(vec![M::up(INITIAL)])
}

fn opened(path: &Path) -> Result<Connection, MemoryError> {
    // Made for this user alone before SQLite would make it for everybody.
    std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(StoreError::from)?;
    let mut connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > SCHEMA {
        let path = path.display().to_string();
        return Err(StoreError::Newer { path, found, known: SCHEMA }.into());
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "secure_delete", "ON")?;
    migrations().to_latest(&mut connection).map_err(|error| StoreError::Failed(error.to_string()))?;
    Ok(connection)
}

fn checked_text(text: &str) -> Result<String, MemoryError> {
    let text = text.trim();
    if text.is_empty() {
        return Err(MemoryError::Bad("text: there is nothing to remember".into()));
    }
    if text.len() > LONGEST {
        return Err(MemoryError::Bad(format!("text: {} bytes, and {LONGEST} are the most", text.len())));
    }
    Ok(text.to_owned())
}

fn label(kind: &str, text: &str) -> Result<String, MemoryError> {
    let lower = text.trim().to_lowercase();
    if is_label(&lower) {
        return Ok(lower);
    }
    Err(MemoryError::Bad(format!("{kind}: {text:?} is none: 1 to 64 letters, digits and . - _ /")))
}

/// Tags as they are stored: between spaces, in order, once each.
fn joined(tags: &[String]) -> Result<String, MemoryError> {
    let mut tags = tags.iter().map(|tag| label("tag", tag)).collect::<Result<Vec<_>, _>>()?;
    tags.sort();
    tags.dedup();
    if tags.len() > MOST_TAGS {
        return Err(MemoryError::Bad(format!("tags: {}, and {MOST_TAGS} are the most", tags.len())));
    }
    Ok(if tags.is_empty() { String::new() } else { format!(" {} ", tags.join(" ")) })
}

const COLUMNS: &str =
    "memory.id, memory.text, memory.category, memory.tags, created_ms, updated_ms, session, by";

/// The first column: SQLite knows signed numbers only, and has none below zero here.
fn unsigned(row: &Row<'_>) -> rusqlite::Result<u64> {
    row.get(0).map(|number: i64| u64::try_from(number).unwrap_or_default())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Memory> {
    let tags: String = row.get(3)?;
    let session: Option<String> = row.get(6)?;
    Ok(Memory {
        id: unsigned(row)?,
        text: row.get(1)?,
        category: row.get(2)?,
        tags: tags.split_whitespace().map(str::to_owned).collect(),
        created_ms: row.get(4)?,
        updated_ms: row.get(5)?,
        session_id: session.and_then(|id| id.parse().ok()),
        by: row.get(7)?,
    })
}

/// A person's words as a question to the index: each one a beginning, nothing of them an operator.
fn question(words: &str, joint: &str) -> Option<String> {
    let words: Vec<String> = words
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(32)
        .map(|word| format!("\"{word}\"*"))
        .collect();
    (!words.is_empty()).then(|| words.join(joint))
}

impl Memories {
    /// Those in this file, which is made when something is to be remembered.
    pub fn at(path: PathBuf) -> Self {
        Self { path, open: Mutex::new(None) }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Connection) -> Result<T, MemoryError>) -> Result<T, MemoryError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // One whose file was moved or removed would keep what nobody finds again.
        if open.is_some() && !self.path.exists() {
            *open = None;
        }
        let done = match &mut *open {
            Some(connection) => act(connection),
            None => opened(&self.path).and_then(|connection| act(open.insert(connection))),
        };
        done.map_err(|error| match error {
            MemoryError::Store(StoreError::Damaged(why)) => {
                MemoryError::Damaged { path: self.path.display().to_string(), why }
            }
            other => other,
        })
    }

    /// Looks through the file for damage. One that is locked by a daemon is as good as it says.
    pub fn check(&self) -> Result<(), MemoryError> {
        self.with(|connection| {
            let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
            if found == "ok" { Ok(()) } else { Err(StoreError::Damaged(found).into()) }
        })
    }

    /// Remembers something.
    pub fn add(&self, new: &New, now_ms: i64) -> Result<Memory, MemoryError> {
        let text = checked_text(&new.text)?;
        let category = label("category", new.category.as_deref().unwrap_or(CATEGORY))?;
        let tags = joined(&new.tags)?;
        self.with(|connection| {
            let change = connection.transaction()?;
            let count = change.query_row("SELECT count(*) FROM memory", [], unsigned)?;
            if count >= MOST {
                return Err(MemoryError::Bad(format!("{MOST} memories are the most; remove some")));
            }
            change.execute(
                "INSERT INTO memory (text, category, tags, created_ms, updated_ms, session, by)
                 VALUES (?1, ?2, ?3, ?4, ?4, ?5, ?6)",
                params![text, category, tags, now_ms, new.session, new.by],
            )?;
            let id = u64::try_from(change.last_insert_rowid()).unwrap_or_default();
            let memory = one(&change, id)?;
            change.commit()?;
            Ok(memory)
        })
    }

    /// One of them.
    pub fn get(&self, id: u64) -> Result<Memory, MemoryError> {
        self.with(|connection| one(connection, id))
    }

    /// Changes one.
    pub fn edit(&self, id: u64, change: &Change, now_ms: i64) -> Result<Memory, MemoryError> {
        let text = change.text.as_deref().map(checked_text).transpose()?;
        let category = change.category.as_deref().map(|text| label("category", text)).transpose()?;
        let tags = change.tags.as_deref().map(joined).transpose()?;
        self.with(|connection| {
            let changed = connection.execute(
                "UPDATE memory SET text = coalesce(?2, text), category = coalesce(?3, category),
                 tags = coalesce(?4, tags), updated_ms = ?5 WHERE id = ?1",
                params![number(id)?, text, category, tags, now_ms],
            )?;
            if changed == 0 { Err(MemoryError::NotFound(id)) } else { one(connection, id) }
        })
    }

    /// Forgets some: all of them or, with an error, none.
    pub fn remove(&self, ids: &[u64]) -> Result<(), MemoryError> {
        self.with(|connection| {
            let change = connection.transaction()?;
            for id in ids {
                if change.execute("DELETE FROM memory WHERE id = ?1", [number(*id)?])? == 0 {
                    return Err(MemoryError::NotFound(*id));
                }
            }
            Ok(change.commit()?)
        })
    }

    /// Those that are wanted, and how many there are.
    pub fn find(&self, wanted: &Wanted) -> Result<(Vec<Memory>, u64), MemoryError> {
        if !self.path.exists() {
            return Ok((Vec::new(), 0));
        }
        let found = self.fitting(wanted, " ")?;
        if found.1 == 0 && wanted.loosely { self.fitting(wanted, " OR ") } else { Ok(found) }
    }

    fn fitting(&self, wanted: &Wanted, joint: &str) -> Result<(Vec<Memory>, u64), MemoryError> {
        let mut conditions = Vec::new();
        let mut values: Vec<Value> = Vec::new();
        let mut source = "memory";
        let mut order = "memory.id DESC";
        if let Some(query) = &wanted.query {
            let Some(question) = question(query, joint) else { return Ok((Vec::new(), 0)) };
            source = "words JOIN memory ON memory.id = words.rowid";
            order = "bm25(words), memory.id DESC";
            conditions.push("words MATCH ?".to_owned());
            values.push(question.into());
        }
        if let Some(category) = &wanted.category {
            conditions.push("memory.category = ?".to_owned());
            values.push(category.to_lowercase().into());
        }
        for tag in &wanted.tags {
            conditions.push("instr(memory.tags, ?) > 0".to_owned());
            values.push(format!(" {} ", tag.to_lowercase()).into());
        }
        let filter =
            if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
        let limit = wanted.limit.unwrap_or(PAGE).min(PAGE);
        self.with(|connection| {
            let count = format!("SELECT count(*) FROM {source} {filter}");
            let total = connection.query_row(&count, params_from_iter(values.iter()), unsigned)?;
            let page = format!(
                "SELECT {COLUMNS} FROM {source} {filter} ORDER BY {order} LIMIT {limit} OFFSET {}",
                wanted.offset
            );
            let mut statement = connection.prepare(&page)?;
            let rows = statement.query_map(params_from_iter(values.iter()), read)?;
            Ok((rows.collect::<rusqlite::Result<Vec<_>>>()?, total))
        })
    }
}

/// A number as the store has them: one that is too large is nobody's.
fn number(id: u64) -> Result<i64, MemoryError> {
    i64::try_from(id).map_err(|_| MemoryError::NotFound(id))
}

fn one(connection: &Connection, id: u64) -> Result<Memory, MemoryError> {
    let query = format!("SELECT {COLUMNS} FROM memory WHERE id = ?1");
    connection.query_row(&query, [number(id)?], read).optional()?.ok_or(MemoryError::NotFound(id))
}

#[cfg(test)]
mod tests;
