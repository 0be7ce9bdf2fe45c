//! One daemon per state directory.
//!
//! Invariant: proof of life is the held lock, never a file. The lock is taken before anything else and given up last;
//! a socket is unlinked only by whoever holds it.

use anyhow::Context;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
};
use vibes_protocol::paths::StateDir;

/// The held lock. Its file carries the holder's pid, for people; it is never removed.
pub struct Instance {
    _lock: File,
}

/// Another daemon holds the lock.
#[derive(Debug, thiserror::Error)]
#[error("a daemon is running already for {dir} (pid {pid})")]
pub struct Running {
    dir: String,
    pid: String,
}

impl Instance {
    /// Becomes the daemon of this directory, or says who is.
    pub fn take(dir: &StateDir) -> anyhow::Result<Self> {
        let path = dir.daemon_lock();
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut pid = String::new();
                let _ = lock.read_to_string(&mut pid);
                return Err(
                    Running { dir: dir.root().display().to_string(), pid: pid.trim().to_owned() }.into()
                );
            }
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        lock.set_len(0)?;
        lock.seek(SeekFrom::Start(0))?;
        writeln!(lock, "{}", std::process::id())?;
        Ok(Self { _lock: lock })
    }
}
