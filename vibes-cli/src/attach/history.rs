//! What was typed before in a session's directory, over all its sessions.
//!
//! Invariant: a file of one directory, readable by this person alone; a line that begins with a space is not kept, nor
//! is one that repeats the last. A history that cannot be read or written costs nothing but itself.

use rustyline::config::{Builder, Config};
use rustyline::history::{FileHistory, History as _};
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use vibes_protocol::paths::StateDir;

/// Entries of a directory.
const ENTRIES: usize = 1_000;
/// Longer ones are texts, not lines; they are not kept.
const LONGEST: usize = 16 * 1024;

pub(crate) struct History {
    entries: FileHistory,
    file: Option<PathBuf>,
}

fn config() -> Config {
    let builder: Builder = Config::builder();
    builder
        .max_history_size(ENTRIES)
        .and_then(|builder| builder.history_ignore_dups(true))
        .map_or_else(|_| Config::default(), |builder| builder.history_ignore_space(true).build())
}

impl History {
    /// One that is kept nowhere.
    pub(crate) fn none() -> Self {
        Self { entries: FileHistory::with_config(&config()), file: None }
    }

    /// The one of a directory.
    pub(crate) fn of(dir: &StateDir, cwd: &str) -> Self {
        let mut history = Self::none();
        // FNV-1a: a name for the directory that is the same in every version of this program.
        let hash = cwd.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let folder = dir.root().join("history");
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        let file = folder.join(format!("{hash:016x}"));
        let _ = history.entries.load(&file);
        history.file = made.is_ok().then_some(file);
        history
    }

    /// Keeps a line.
    pub(crate) fn add(&mut self, line: &str) {
        if line.trim().is_empty() || line.len() > LONGEST || !self.entries.add(line).unwrap_or(false) {
            return;
        }
        if let Some(file) = &self.file {
            let _ = self.entries.append(file);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn get(&self, at: usize) -> &str {
        self.entries.iter().nth(at).map_or("", String::as_str)
    }

    /// The last entry before one that holds these words.
    pub(crate) fn search(&self, words: &str, before: usize) -> Option<usize> {
        let entries: Vec<&String> = self.entries.iter().collect();
        (0..before.min(entries.len())).rev().find(|at| !words.is_empty() && entries[*at].contains(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_directory_has_its_own_and_it_lasts() {
        let root = std::env::temp_dir().join(format!("vibes-history-{}", uuid::Uuid::new_v4()));
        let dir = StateDir::new(&root);
        let mut history = History::of(&dir, "/srv/a");
        for line in ["one", "one", " secret", "two\nlines", "   "] {
            history.add(line);
        }
        let again = History::of(&dir, "/srv/a");
        assert_eq!((0..again.len()).map(|at| again.get(at)).collect::<Vec<_>>(), ["one", "two\nlines"]);
        assert_eq!(History::of(&dir, "/srv/b").len(), 0);
        assert_eq!(
            (again.search("o", 2), again.search("o", 1), again.search("zz", 2)),
            (Some(1), Some(0), None)
        );
        let file = fs::read_dir(root.join("history")).unwrap().next().unwrap().unwrap().path();
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o077, 0);
        fs::remove_dir_all(root).unwrap();
    }
}
