//! What the fake agent heard, for the oracle.
//!
//! Invariant: one entry is one write to a file opened for appending, so entries of several agents never mix.

use serde::{Deserialize, Serialize};
use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

/// One line of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Which agent process.
    pub pid: u32,
    /// The marker that the daemon left in the agent's environment: `<state id>:<session id>.<generation>`.
    pub marker: Option<String>,
    /// `start`, `in`, `note`, or `sent`: a tag and how many of its chunks were written.
    pub kind: String,
    /// The line that was read, broken UTF-8 replaced.
    pub line: String,
}

/// What a log says; nothing when there is none.
pub fn heard(log: &Path) -> Vec<Entry> {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    // A last line without its newline is of an agent that was killed while it wrote.
    let whole = log.rfind('\n').map_or("", |end| &log[..end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).expect("the log of the fake agent is whole"))
        .collect()
}

/// The log, or nothing when none is wanted.
#[derive(Debug)]
pub(super) struct Log(Option<File>);

impl Log {
    /// Opens the log for appending.
    pub(super) fn open(path: Option<&Path>) -> io::Result<Self> {
        let open = |path| OpenOptions::new().append(true).create(true).open(path);
        Ok(Self(path.map(open).transpose()?))
    }

    /// Adds one entry.
    pub(super) fn add(&self, kind: &str, line: &[u8]) {
        let Some(mut file) = self.0.as_ref() else { return };
        let at_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let entry = Entry {
            at_ms,
            pid: std::process::id(),
            marker: std::env::var(vibes_protocol::paths::SESSION_MARKER_VAR).ok(),
            kind: kind.to_owned(),
            line: String::from_utf8_lossy(line).into_owned(),
        };
        let mut bytes = serde_json::to_vec(&entry).expect("an entry has string keys only");
        bytes.push(b'\n');
        file.write_all(&bytes).expect("the log of the fake agent can be written");
    }
}
