//! The index as the indexer writes it: documents, how far each session is read, and what is to be forgotten.
//!
//! Invariant: documents and the place where their session is read on are written in one transaction, so that a crash
//! anywhere leaves an index that goes on where it is, with nothing twice. What is deleted is overwritten; what the
//! index of words keeps of it goes when its parts are merged, and what the log has, when that is cut off.

use super::{
    document::{Column, Document, pack, unpack},
    fold::{Fold, Shelf},
    schema::{columns, forget_set_aside, open, packed},
};
use crate::{
    journal::{Head, Run, SessionNo, StoreError, group},
    points::{self, Point},
};
use rusqlite::{Connection, OptionalExtension, Row, params, types::Value};
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};
use vibes_protocol::model::{Epoch, Seq};

/// How many bits of a document's number tell apart those of one millisecond.
pub(super) const WITHIN: u32 = 20;
/// The last millisecond that a number can begin with.
const LAST_MS: i64 = i64::MAX >> WITHIN;
/// How many documents are forgotten in one transaction.
const FORGOTTEN: usize = 128;
/// How many pages one step of a merge writes.
const MERGED: i64 = 500;
/// How many free pages are given back at once.
const GIVEN: i64 = 2_000;
/// What the index keeps of itself: the epoch that every session was compared under, and whether something that was
/// forgotten may still lie in it.
const EPOCH: &str = "epoch";
const SCRUB: &str = "scrub";

/// Where a session is read on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cursor {
    /// The session's id.
    pub(super) id: String,
    /// The last record that was read.
    pub(super) seq: Seq,
    /// Its epoch.
    pub(super) epoch: Epoch,
    /// Whether its documents are to go.
    pub(super) leaving: bool,
}

/// A document on its way: its number when it is in the index already.
struct Held {
    id: Option<i64>,
    document: Document,
}

/// A session's next documents, made and not written.
pub(super) struct Work {
    no: SessionNo,
    id: String,
    fold: Fold,
    seq: Seq,
    epoch: Epoch,
    documents: BTreeMap<Seq, Held>,
}

/// What is read of a session's documents while its records are folded.
struct Loading<'a> {
    index: &'a Index,
    no: SessionNo,
    documents: BTreeMap<Seq, Held>,
    failed: Option<StoreError>,
}

impl Shelf for Loading<'_> {
    fn document(&mut self, first: Seq, at_ms: i64) -> &mut Document {
        let held = self.documents.entry(first).or_insert_with(|| {
            let (id, document) = match self.index.document(self.no, first) {
                Ok(Some((id, document))) => (Some(id), document),
                Ok(None) => (None, Document::at(at_ms)),
                Err(error) => {
                    self.failed = Some(error);
                    (None, Document::at(at_ms))
                }
            };
            Held { id, document }
        });
        &mut held.document
    }
}

fn cursor(row: &Row<'_>) -> rusqlite::Result<(SessionNo, Cursor)> {
    let (seq, epoch) = (row.get::<_, i64>(2)? as u64, row.get::<_, i64>(3)? as u64);
    Ok((row.get(0)?, Cursor { id: row.get(1)?, seq, epoch, leaving: row.get(4)? }))
}

/// The index, as its one writer has it.
pub(super) struct Index {
    connection: Connection,
    path: PathBuf,
}

impl Index {
    /// Opens it, makes it where there is none; a sentence when it had to be made anew.
    pub(super) fn open(path: &Path) -> Result<(Self, Option<String>), StoreError> {
        let (connection, told) = open(path)?;
        Ok((Self { connection, path: path.to_owned() }, told))
    }

    fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        let mut select = self.connection.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
        Ok(select.query_row([key], |row| row.get(0)).optional()?)
    }

    fn set_meta(&self, key: &str, value: &str) -> Result<(), StoreError> {
        let mut set =
            self.connection.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?;
        set.execute([key, value])?;
        Ok(())
    }

    /// The epoch that all of it was compared under.
    pub(super) fn epoch(&self) -> Result<Option<Epoch>, StoreError> {
        Ok(self.meta(EPOCH)?.and_then(|epoch| epoch.parse().ok()))
    }

    /// Notes that all of it was.
    pub(super) fn set_epoch(&self, epoch: Epoch) -> Result<(), StoreError> {
        self.set_meta(EPOCH, &epoch.to_string())
    }

    /// Where each session is read on.
    pub(super) fn cursors(&self) -> Result<HashMap<SessionNo, Cursor>, StoreError> {
        let mut select = self.connection.prepare_cached("SELECT no, id, seq, epoch, leaving FROM session")?;
        let found = select.query_map([], cursor)?.collect::<Result<_, _>>()?;
        Ok(found)
    }

    /// The same of these.
    pub(super) fn cursors_of(
        &self,
        sessions: impl Iterator<Item = SessionNo>,
    ) -> Result<HashMap<SessionNo, Cursor>, StoreError> {
        let mut select = self
            .connection
            .prepare_cached("SELECT no, id, seq, epoch, leaving FROM session WHERE no = ?1")?;
        let mut found = HashMap::new();
        for no in sessions {
            found.extend(select.query_row([no], cursor).optional()?);
        }
        Ok(found)
    }

    /// Whether anything is known of one of these.
    pub(super) fn has_any(&self, mut sessions: impl Iterator<Item = SessionNo>) -> Result<bool, StoreError> {
        let mut select = self.connection.prepare_cached("SELECT 1 FROM session WHERE no = ?1")?;
        sessions.try_fold(false, |found, no| Ok(found || select.exists([no])?))
    }

    fn document(&self, no: SessionNo, first: Seq) -> Result<Option<(i64, Document)>, StoreError> {
        let mut select = self.connection.prepare_cached(&format!(
            "SELECT plain.id, parts, {} FROM doc JOIN plain USING (id) WHERE doc.session = ?1 AND doc.seq = ?2",
            Column::ALL.map(|column| format!("plain.{}", column.name())).join(", ")
        ))?;
        let mut rows = select.query(params![no, first as i64])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let id: i64 = row.get(0)?;
        let mut texts: [String; 7] = Default::default();
        for (at, text) in texts.iter_mut().enumerate() {
            *text = row.get::<_, Option<String>>(at + 2)?.unwrap_or_default();
        }
        let parts = row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?;
        let columns = unpack(parts, texts)
            .ok_or_else(|| StoreError::Damaged(format!("the parts of document {id} do not fit")))?;
        Ok(Some((id, Document { at_ms: id >> WITHIN, columns })))
    }

    /// Makes the documents of a session's next records.
    pub(super) fn read(&self, head: &Head, after: Seq, runs: &[Run]) -> Result<Work, StoreError> {
        let mut select = self.connection.prepare_cached("SELECT body FROM fold WHERE session = ?1")?;
        let fold: Option<String> = select.query_row([head.no], |row| row.get(0)).optional()?;
        let mut fold: Fold = match fold {
            Some(body) => serde_json::from_str(&body)
                .map_err(|error| StoreError::Damaged(format!("a fold cannot be read: {error}")))?,
            None => Fold::default(),
        };
        let mut shelf = Loading { index: self, no: head.no, documents: BTreeMap::new(), failed: None };
        let (mut last, mut epoch) = (after, 0);
        for run in runs {
            for (seq, (at_ms, fact)) in (run.first..).zip(group::records(&run.body)) {
                if seq > last {
                    fold.take(&mut shelf, (seq, at_ms), fact);
                }
            }
            (last, epoch) = (last.max(run.last), run.epoch);
        }
        let Loading { documents, failed, .. } = shelf;
        match failed {
            Some(error) => Err(error),
            None => Ok(Work { no: head.no, id: head.id.clone(), fold, seq: last, epoch, documents }),
        }
    }

    /// Writes what was made of several sessions.
    pub(super) fn write(&mut self, works: &[Work]) -> Result<(), StoreError> {
        self.transaction(|index| {
            points::hit(Point::IndexBegin);
            let mut given = HashMap::new();
            let mut all = Vec::new();
            for work in works {
                for (first, held) in &work.documents {
                    if held.id.is_some() || !held.document.is_empty() {
                        let id = match held.id {
                            Some(id) => id,
                            None => index.number(held.document.at_ms, &mut given)?,
                        };
                        all.push((id, held.id.is_some(), work.no, *first, &held.document));
                    }
                }
            }
            // In their order: one that comes before the last one would end what the index gathers in memory.
            all.sort_unstable_by_key(|(id, ..)| *id);
            for (id, is_known, no, first, document) in all {
                if is_known {
                    index.unword(id)?;
                }
                index.put(id, no, first, document)?;
            }
            for work in works {
                index.advance(work)?;
            }
            points::hit(Point::IndexWritten);
            Ok(())
        })?;
        points::hit(Point::IndexCommitted);
        Ok(())
    }

    fn transaction(&mut self, work: impl FnOnce(&Self) -> Result<(), StoreError>) -> Result<(), StoreError> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let done = work(self).and_then(|()| Ok(self.connection.execute_batch("COMMIT")?));
        if done.is_err() && !self.connection.is_autocommit() {
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        done
    }

    /// A number for a document of this moment: nobody else's.
    fn number(&self, at_ms: i64, given: &mut HashMap<i64, i64>) -> Result<i64, StoreError> {
        let base = at_ms.clamp(0, LAST_MS) << WITHIN;
        let next = match given.get(&base) {
            Some(last) => last + 1,
            None => {
                let mut select =
                    self.connection.prepare_cached("SELECT max(id) FROM doc WHERE id BETWEEN ?1 AND ?2")?;
                let last: Option<i64> =
                    select.query_row([base, base | ((1 << WITHIN) - 1)], |row| row.get(0))?;
                last.map_or(base, |last| last + 1)
            }
        };
        given.insert(base, next);
        Ok(next)
    }

    /// Takes a document's words out of the index, as they are in it.
    fn unword(&self, id: i64) -> Result<(), StoreError> {
        let columns = columns();
        let mut delete = self.connection.prepare_cached(&format!(
            "INSERT INTO words (words, rowid, {columns}, session) SELECT 'delete', id, {columns}, session
             FROM plain WHERE id = ?1"
        ))?;
        delete.execute([id])?;
        Ok(())
    }

    fn put(&self, id: i64, no: SessionNo, first: Seq, document: &Document) -> Result<(), StoreError> {
        let columns = columns();
        let mut put = self.connection.prepare_cached(&format!(
            "INSERT OR REPLACE INTO doc (id, session, seq, parts, {columns})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
        ))?;
        put.raw_bind_parameter(1, id)?;
        put.raw_bind_parameter(2, no)?;
        put.raw_bind_parameter(3, first as i64)?;
        put.raw_bind_parameter(4, pack(document))?;
        for (at, column) in (5..).zip(&document.columns) {
            put.raw_bind_parameter(at, packed(&column.text)?)?;
        }
        put.raw_execute()?;
        let mut words = self.connection.prepare_cached(&format!(
            "INSERT INTO words (rowid, {columns}, session) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
        ))?;
        words.raw_bind_parameter(1, id)?;
        for (at, column) in (2..).zip(&document.columns) {
            let text = (!column.text.is_empty()).then_some(&*column.text);
            words.raw_bind_parameter(at, text)?;
        }
        words.raw_bind_parameter(9, format!("s{no}"))?;
        words.raw_execute()?;
        Ok(())
    }

    fn advance(&self, work: &Work) -> Result<(), StoreError> {
        let mut set = self.connection.prepare_cached(
            "INSERT INTO session (no, id, seq, epoch, leaving, agent, cwd) VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6)
             ON CONFLICT (no) DO UPDATE SET seq = excluded.seq, epoch = excluded.epoch, agent = excluded.agent,
                 cwd = excluded.cwd",
        )?;
        let (seq, epoch) = (work.seq as i64, work.epoch as i64);
        set.execute(params![work.no, work.id, seq, epoch, work.fold.agent, work.fold.cwd])?;
        let fold = serde_json::to_string(&work.fold)
            .map_err(|error| StoreError::Failed(format!("a fold cannot be written: {error}")))?;
        let mut set =
            self.connection.prepare_cached("INSERT OR REPLACE INTO fold (session, body) VALUES (?1, ?2)")?;
        set.execute(params![work.no, fold])?;
        Ok(())
    }

    /// Decides that a session's documents go. `scrub`: nothing of them may be left; otherwise they are made again.
    pub(super) fn part(&mut self, no: SessionNo, scrub: bool) -> Result<(), StoreError> {
        self.transaction(|index| {
            index.connection.execute("UPDATE session SET leaving = 1 WHERE no = ?1", [no])?;
            if scrub { index.set_meta(SCRUB, "due") } else { Ok(()) }
        })
    }

    /// Forgets some of the documents of a session that was parted with, and the session after the last one. `true` when
    /// there are more.
    pub(super) fn forget(&mut self, no: SessionNo) -> Result<bool, StoreError> {
        let mut more = true;
        self.transaction(|index| {
            let mut select = index
                .connection
                .prepare_cached("SELECT id FROM doc WHERE session = ?1 ORDER BY id LIMIT ?2")?;
            let ids: Vec<i64> = select
                .query_map(params![no, FORGOTTEN as i64], |row| row.get(0))?
                .collect::<Result<_, _>>()?;
            for id in &ids {
                index.unword(*id)?;
                index.connection.prepare_cached("DELETE FROM doc WHERE id = ?1")?.execute([id])?;
            }
            more = ids.len() == FORGOTTEN;
            if !more {
                index.connection.execute("DELETE FROM fold WHERE session = ?1", [no])?;
                index.connection.execute("DELETE FROM session WHERE no = ?1", [no])?;
            }
            points::hit(Point::IndexForgets);
            Ok(())
        })?;
        Ok(more)
    }

    /// Whether something that was forgotten may still lie in the file.
    pub(super) fn is_to_scrub(&self) -> Result<bool, StoreError> {
        Ok(self.meta(SCRUB)?.is_some())
    }

    /// Removes some of what is left of what was forgotten. `true` when there may be more.
    pub(super) fn scrub(&mut self) -> Result<bool, StoreError> {
        let changes = |index: &Self| -> Result<i64, StoreError> {
            Ok(index.connection.query_row("SELECT total_changes()", [], |row| row.get(0))?)
        };
        let before = changes(self)?;
        self.connection
            .prepare_cached("INSERT INTO words (words, rank) VALUES ('merge', ?1)")?
            .execute([Value::Integer(-MERGED)])?;
        points::hit(Point::IndexScrubs);
        // As SQLite tells that nothing was left to merge.
        if changes(self)? - before >= 2 {
            return Ok(true);
        }
        let mut vacuum = self.connection.prepare(&format!("PRAGMA incremental_vacuum({GIVEN})"))?;
        let mut rows = vacuum.query([])?;
        while rows.next()?.is_some() {}
        drop(rows);
        drop(vacuum);
        if self.connection.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0))? > 0 {
            return Ok(true);
        }
        let cut: i64 = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        // Somebody reads an old state: another time.
        if cut == 0 {
            forget_set_aside(&self.path)?;
            self.connection.execute("DELETE FROM meta WHERE key = ?1", [SCRUB])?;
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests;
