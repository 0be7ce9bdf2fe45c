//! Where things lie under the state directory: the one list of names that daemon and command line share.
//!
//! Invariant: pure arithmetic on paths. Nothing is created, read or checked here, and no environment is consulted.

use std::path::{Path, PathBuf};

/// The environment variable that names the state directory and wins over every default.
pub const STATE_DIR_VAR: &str = "VIBES_STATE_DIR";

/// The variable left in an agent's environment: `<state id>:<session id>.<generation>`.
pub const SESSION_MARKER_VAR: &str = "VIBES_SESSION";

/// The layout of one state directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// Wraps the directory itself.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.0.join("vibesd.sock")
    }

    /// Held (flock) by the living daemon; the held lock, not the file, is the proof of life.
    pub fn daemon_lock(&self) -> PathBuf {
        self.0.join("vibesd.lock")
    }

    /// Held by a client while it starts a daemon.
    pub fn start_lock(&self) -> PathBuf {
        self.0.join("start.lock")
    }

    /// The store.
    pub fn store(&self) -> PathBuf {
        self.0.join("vibes.db")
    }

    /// The search index; made from the store, and made again where it is not.
    pub fn search(&self) -> PathBuf {
        self.0.join("search.db")
    }

    /// What people want to have remembered.
    pub fn memory(&self) -> PathBuf {
        self.0.join("memory.db")
    }

    /// A UUID that tells this state directory from every other one.
    pub fn state_id(&self) -> PathBuf {
        self.0.join("state-id")
    }

    /// One directory per live runner: `<session id>.<generation>`.
    pub fn runners(&self) -> PathBuf {
        self.0.join("run")
    }

    /// What is attached to prompts.
    pub fn blobs(&self) -> PathBuf {
        self.0.join("blobs")
    }

    /// The daemon's rotated logs.
    pub fn logs(&self) -> PathBuf {
        self.0.join("log")
    }

    /// The id of the session the command line used last.
    pub fn last_session(&self) -> PathBuf {
        self.0.join("last-session")
    }
}
