//! Sessions that leave as archives, and come in from them.
//!
//! Invariant: nothing is taken in before its last step is asked for; an archive is read in pages and told in pieces.

use super::{parts::ImportStep, request::requests_elsewhere};
use crate::model::{ArchiveHead, Seq};
use serde::{Deserialize, Serialize};

requests_elsewhere! {
    /// Reads a session as an archive has it, a page at a time.
    ExportSession {
        /// Which session; one that rests is not woken for it.
        session_id: String,
        /// The last record seen; 0 begins.
        #[serde(default)]
        after: Seq,
        /// The last record wanted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<Seq>,
        /// With what looks like a secret.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        raw: bool,
    }
    /// Takes a session in from an archive, in steps; each waits for the answer of the one before.
    ImportSession {
        /// Which step.
        action: ImportStep,
        /// Which import, as `begin` told it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        import_id: Option<String>,
        /// To begin: the archive's head; of another program's file, its directory (`session.cwd`), if that is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        head: Option<Box<ArchiveHead>>,
        /// To begin: whose file it is: `vibes` (an archive), `claude`, `codex`, `gemini`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// To begin: a hash of where it was read from: the same again is known at once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<String>,
        /// To append: lines of it (of an archive those behind the head), cut anywhere.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        records: Option<String>,
    }
}
