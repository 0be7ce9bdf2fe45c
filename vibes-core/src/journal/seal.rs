//! How far the store had come, in a file beside it: a store that was put back from a copy is found out by it.
//!
//! Invariant: the seal is never ahead of the store it was written for. It is written whole, after what it tells is on
//! disk: when a daemon has begun, and when one has closed the store in order. A store that knows less than its seal is
//! an older one, and numbers given after it was copied may be given again: that takes another epoch. Whoever puts a copy
//! back may put its seal back too: the same is written among the runners, which no copy of a store holds.

use super::salvage::beside;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use vibes_protocol::paths::StateDir;

/// The seal that stays where it is when the store and all beside it are replaced.
fn among_runners(store: &Path) -> PathBuf {
    StateDir::new(store.parent().unwrap_or(Path::new("."))).runners().join("seal")
}

/// What a store had come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// The number of the last start.
    pub fence: u64,
    /// The epoch it wrote under.
    pub epoch: u64,
    /// Whether that daemon closed the store.
    pub clean: bool,
}

impl Seal {
    /// The one that tells most of this store. One that is not there or cannot be read tells nothing.
    pub fn of(store: &Path) -> Self {
        let both = [beside(store, "-seal"), among_runners(store)].map(|path| Self::read(&path));
        both.into_iter().max_by_key(|seal| (seal.fence, seal.clean)).unwrap_or_default()
    }

    fn read(path: &Path) -> Self {
        let Ok(bytes) = fs::read(path) else { return Self::default() };
        serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "the store's seal cannot be read");
            Self::default()
        })
    }

    /// Whether a store that tells this of itself is older than the one that was sealed.
    pub fn is_ahead_of(&self, fence: u64, clean: bool) -> bool {
        self.fence > fence || (self.fence == fence && self.clean && !clean)
    }

    /// Writes it. Without it the store is as good as ever, so a disk that does not take it keeps nobody from working.
    pub fn put(&self, store: &Path) {
        let path = among_runners(store);
        let runners = path.parent().is_some_and(Path::is_dir).then_some(path);
        for path in [beside(store, "-seal")].into_iter().chain(runners) {
            if let Err(error) = self.write(&path) {
                tracing::warn!(path = %path.display(), %error, "the store could not be sealed");
            }
        }
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let new = beside(path, ".new");
        let written = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)
            .and_then(|mut file| {
                file.write_all(&serde_json::to_vec(self)?)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&new, path));
        if let Err(error) = written {
            // It may hold the very block that is missing.
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        fs::File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
    }
}
