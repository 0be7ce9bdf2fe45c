//! A file that only takes room, so that a full disk still leaves the store some.
//!
//! Invariant: given up whole when a write finds no room, made again only when there is ample room, and never needed:
//! a store without it works.

use std::{
    fs,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Room for the last words of a hundred sessions and for what people then decide, in bytes.
const SIZE: u64 = 16 * 1024 * 1024;

/// The file, there or given up.
#[derive(Debug)]
pub struct Ballast {
    path: PathBuf,
    spent: bool,
}

impl Ballast {
    /// The one beside this store.
    pub fn beside(store: &Path) -> Self {
        let path = store.with_file_name("ballast");
        let spent = fs::metadata(&path).map_or(0, |file| file.len()) < SIZE;
        Self { path, spent }
    }

    /// Whether it is to be made again.
    pub fn is_spent(&self) -> bool {
        self.spent
    }

    /// Gives up the room. Says whether there was any.
    pub fn give_up(&mut self) -> bool {
        !std::mem::replace(&mut self.spent, true) && fs::remove_file(&self.path).is_ok()
    }

    /// Makes the file, if it would leave twice its size free. Says whether it is there now.
    pub fn restore(&mut self) -> bool {
        if self.spent && self.room() >= 3 * SIZE {
            self.spent = self.make().is_err();
            if self.spent {
                // Half of it would only take room.
                let _ = fs::remove_file(&self.path);
            }
        }
        !self.spent
    }

    fn room(&self) -> u64 {
        let parent = self.path.parent().unwrap_or(Path::new("."));
        rustix::fs::statvfs(parent).map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize))
    }

    /// Allocated and not only long: a hole would give nothing back.
    fn make(&self) -> std::io::Result<()> {
        let file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, SIZE)?;
        Ok(())
    }
}
