//! What lies in a store and beside it, read as files and rows.
//!
//! Invariant: only reads, but for what makes a store an old one.

use crate::{PATIENCE, TestEnv};
use rusqlite::{Connection, OpenFlags};
use std::{fs, os::unix::fs::MetadataExt, path::Path};

impl TestEnv {
    /// How many rows of a table fit a condition.
    #[track_caller]
    pub fn rows(&self, table: &str, condition: &str) -> i64 {
        let store = Connection::open_with_flags(self.state().store(), OpenFlags::SQLITE_OPEN_READ_ONLY)
            .expect("the store opens");
        store.busy_timeout(PATIENCE).expect("a timeout can be set");
        let count = format!("SELECT count(*) FROM {table} WHERE {condition}");
        store.query_row(&count, [], |row| row.get(0)).expect("the store is read")
    }

    /// How many documents, and places of sessions, the search index of a daemon that has ended holds.
    pub fn indexed(&self) -> i64 {
        let index = Connection::open_with_flags(self.state().search(), OpenFlags::SQLITE_OPEN_READ_ONLY)
            .expect("the index opens");
        let count = "SELECT (SELECT count(*) FROM doc) + (SELECT count(*) FROM session)";
        index.query_row(count, [], |row| row.get(0)).expect("the index is read")
    }

    /// Makes the store of an environment without a daemon one of an earlier schema.
    #[track_caller]
    pub fn as_of_schema(&self, schema: u32) {
        let indexes =
            ["awake", "ended", "named", "deleted"].map(|name| format!("DROP INDEX session_{name};"));
        let columns =
            ["rest", "name", "deleted_ms"].map(|name| format!("ALTER TABLE session DROP COLUMN {name};"));
        // What each schema added, the last one first.
        let undo = [
            (5, "DROP TABLE piece;".to_owned()),
            (4, "ALTER TABLE session DROP COLUMN active_ms;".to_owned()),
            (3, "DROP TABLE payer; DROP TABLE spend; DELETE FROM item WHERE kind = 5;".to_owned()),
            (2, indexes.concat() + &columns.concat()),
        ];
        let store = Connection::open(self.state().store()).expect("the store opens");
        let was: u32 =
            store.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("the store is read");
        assert_eq!(was, undo[0].0, "this knows how to undo every schema");
        for (_, sql) in undo.iter().filter(|(added, _)| *added > schema) {
            store.execute_batch(sql).expect("it is undone");
        }
        store.pragma_update(None, "user_version", schema).expect("it is set");
    }

    /// The files of the state directory, the log aside, that hold one of these words, in their names or as they are.
    pub fn files_with(&self, words: &[&str]) -> Vec<String> {
        fn look(dir: &Path, words: &[&str], found: &mut Vec<String>) {
            for entry in fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok) {
                let path = entry.path();
                let name = path.display().to_string();
                if path.is_dir() && !path.ends_with("log") {
                    look(&path, words, found);
                }
                let bytes = if path.is_file() { fs::read(&path).unwrap_or_default() } else { Vec::new() };
                for word in words {
                    if name.contains(word) || bytes.windows(word.len()).any(|some| some == word.as_bytes()) {
                        found.push(format!("{name}: {word}"));
                    }
                }
            }
        }
        let mut found = Vec::new();
        look(self.state().root(), words, &mut found);
        found
    }

    /// How much room the store's file takes, in bytes: holes take none.
    pub fn room_of_store(&self) -> u64 {
        fs::metadata(self.state().store()).map_or(0, |file| file.blocks() * 512)
    }
}
