//! One daemon per state directory.
//!
//! Invariant: proof of life is the held lock, never a file. The lock is taken before anything else and given up last;
//! a socket is unlinked only by whoever holds it. A daemon that is killed while it starts a program leaves the lock with
//! the half-made child until that becomes the program: such a lock is waited for, a living daemon's is not.

use anyhow::Context;
use std::time::{Duration, Instant};
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
};
use vibes_core::host;
use vibes_protocol::paths::StateDir;

/// How long a lock may be held by what a dead daemon left. A fork needs microseconds to become another program; a busy
/// machine may keep it waiting.
const LEFT_BEHIND: Duration = Duration::from_secs(5);
/// How often such a lock is tried again.
const AGAIN: Duration = Duration::from_millis(2);

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
        let until = Instant::now() + LEFT_BEHIND;
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {
                    let mut pid = String::new();
                    lock.seek(SeekFrom::Start(0))?;
                    let _ = lock.read_to_string(&mut pid);
                    let pid = pid.trim();
                    let holder = pid.parse().ok().and_then(host::process);
                    if holder.is_some() || Instant::now() > until {
                        let dir = dir.root().display().to_string();
                        return Err(Running { dir, pid: pid.to_owned() }.into());
                    }
                    // Dead, or about to write its number.
                    std::thread::sleep(AGAIN);
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("cannot lock {}", path.display()));
                }
            }
        }
        lock.set_len(0)?;
        lock.seek(SeekFrom::Start(0))?;
        writeln!(lock, "{}", std::process::id())?;
        Ok(Self { _lock: lock })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// The lock as a daemon with this number holds it.
    fn held(dir: &StateDir, pid: u32) -> File {
        std::fs::create_dir_all(dir.root()).unwrap();
        let mut lock = File::create(dir.daemon_lock()).unwrap();
        lock.try_lock().unwrap();
        writeln!(lock, "{pid}").unwrap();
        lock
    }

    fn temp() -> StateDir {
        StateDir::new(std::env::temp_dir().join(format!("vibes-lock-{}", uuid::Uuid::new_v4())))
    }

    #[test]
    fn a_living_daemon_is_not_waited_for() {
        let dir = temp();
        let lock = held(&dir, std::process::id());
        let began = Instant::now();
        let error = Instance::take(&dir).err().expect("it is held").to_string();
        assert!(error.contains(&format!("pid {}", std::process::id())), "{error}");
        assert!(began.elapsed() < LEFT_BEHIND, "it says so at once");
        drop(lock);
        std::fs::remove_dir_all(dir.root()).unwrap();
    }

    /// Found by the kill loop: a daemon killed between fork and exec left its lock with the child for a moment, and the
    /// next one refused to start.
    #[test]
    fn what_a_dead_daemon_left_is_waited_for() {
        let dir = temp();
        let mut dead = Command::new("true").spawn().unwrap();
        dead.wait().unwrap();
        let lock = held(&dir, dead.id());
        let child = std::thread::spawn(move || {
            // The time a fork keeps the lock is what this is about.
            std::thread::sleep(Duration::from_millis(50));
            drop(lock);
        });
        Instance::take(&dir).expect("the lock comes free");
        child.join().unwrap();
        std::fs::remove_dir_all(dir.root()).unwrap();
    }
}
