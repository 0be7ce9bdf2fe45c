//! Memories on the wire: what is asked about them.
//!
//! Invariant: a memory is named by its number, which is never given again.

use super::request::requests_elsewhere;
use serde::{Deserialize, Serialize};

requests_elsewhere! {
    /// Remembers something, across sessions.
    AddMemory {
        /// The words.
        text: String,
        /// What it belongs to; `note` otherwise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        category: Option<String>,
        /// Words to find it by.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tags: Vec<String>,
        /// The session that it is said in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session_id: Option<String>,
    }
    /// Finds memories by their words, or lists them.
    SearchMemories {
        /// Words in them: the best fit comes first. Without it all of them, the newest first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        query: Option<String>,
        /// Only of this category.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        category: Option<String>,
        /// Only with all of these tags.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tags: Vec<String>,
        /// At most this many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
        /// After so many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        offset: Option<u32>,
    }
    /// Reads one memory.
    GetMemory {
        /// Its number.
        id: u64,
    }
    /// Changes a memory; what is not named stays.
    EditMemory {
        /// Its number.
        id: u64,
        /// Other words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// Another category.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        category: Option<String>,
        /// Other tags.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tags: Option<Vec<String>>,
    }
    /// Forgets memories: all of them or, with an error, none.
    RemoveMemories {
        /// Their numbers.
        ids: Vec<u64>,
    }
    /// Does what a line says about memories, if it says something about them.
    MemoryCommand {
        /// The line.
        text: String,
        /// The session that it is said in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session_id: Option<String>,
    }
}
