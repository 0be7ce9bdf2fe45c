//! Who did what over the web.
//!
//! Invariant: every request that changes something has a line, written when it is answered: whose token, what kind of
//! request, in which session, how it went. Never its words, never a secret. The file is this user's alone and bounded.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};
use vibes_core::clock;
use vibes_protocol::{
    model::AuditEntry,
    wire::{ErrorCode, Message},
};

/// How long the file gets before it is set aside; one is kept.
const LONGEST: u64 = 4 * 1024 * 1024;

/// The log.
pub struct Audit {
    file: PathBuf,
    turn: Mutex<()>,
}

impl Audit {
    /// In this file.
    pub fn new(file: PathBuf) -> Self {
        Self { file, turn: Mutex::default() }
    }

    /// Writes how something went.
    pub fn note(&self, mut entry: AuditEntry, answer: &Message) {
        entry.at_ms = clock::wall_ms();
        entry.outcome = match answer {
            Message::Error { code, .. } => code.as_str().to_owned(),
            _ => "ok".to_owned(),
        };
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.append(&entry) {
            tracing::warn!(%error, "what was done over the web could not be noted");
        }
    }

    fn append(&self, entry: &AuditEntry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        if fs::metadata(&self.file).is_ok_and(|file| file.len() > LONGEST) {
            fs::rename(&self.file, self.file.with_extension("old"))?;
        }
        let mut file = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(&self.file)?;
        file.write_all(&line)
    }

    /// The last entries, the newest first. Blocking.
    pub fn last(&self, limit: usize) -> io::Result<Vec<AuditEntry>> {
        let mut found = Vec::new();
        for file in [self.file.clone(), self.file.with_extension("old")] {
            let text = match fs::read_to_string(&file) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            // A line that was cut off by a full disk is none.
            let entries = text.lines().rev().filter_map(|line| serde_json::from_str(line).ok());
            found.extend(entries.take(limit - found.len()));
        }
        Ok(found)
    }
}

/// A line that is to be written once the outcome is known.
pub fn entry(token: &vibes_protocol::model::TokenInfo, request: &str, session: &str) -> AuditEntry {
    let longest = session.floor_char_boundary(100);
    AuditEntry {
        at_ms: 0,
        token: token.id.clone(),
        name: token.name.clone(),
        request: request.to_owned(),
        session_id: (!session.is_empty()).then(|| session[..longest].to_owned()),
        outcome: ErrorCode::Internal.as_str().to_owned(),
    }
}
