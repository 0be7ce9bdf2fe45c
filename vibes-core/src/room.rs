//! What the state directory takes on the disk.
//!
//! Invariant: it only looks, and follows no link. What goes away while it is looked at counts as nothing.

use crate::{
    agent::launch::Yard,
    blobs::Blobs,
    journal::{Reader, StoreError},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{HashMap, HashSet},
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};
use vibes_protocol::{
    model::{DiskUsage, SessionId},
    paths::StateDir,
};

/// The name under which it is kept how much the store took, day by day.
const SIZES: &str = "sizes";
/// A day, in milliseconds.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// How many days are remembered: growth is told over these.
const DAYS: usize = 8;

/// What the disk holds of a file or a directory. A file with several names counts once, as long as `seen` is the same.
fn taken(place: &Path, seen: &mut HashSet<(u64, u64)>) -> u64 {
    let (mut sum, mut open) = (0, vec![place.to_owned()]);
    while let Some(place) = open.pop() {
        let Ok(there) = fs::symlink_metadata(&place) else { continue };
        if there.nlink() < 2 || there.is_dir() || seen.insert((there.dev(), there.ino())) {
            sum += there.blocks() * 512;
        }
        if there.is_dir() {
            open.extend(fs::read_dir(&place).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
    }
    sum
}

/// What a state directory takes, without anything about sessions. Blocking.
pub fn of_directory(state: &StateDir, reader: &Reader) -> Result<DiskUsage, StoreError> {
    let mut usage = DiskUsage { free: reader.pages()?.free, ..DiskUsage::default() };
    let mut seen = HashSet::new();
    // With what SQLite keeps beside a file.
    let of = |file: &Path, name: &str| {
        file.file_name().and_then(|file| file.to_str()).is_some_and(|file| {
            name.strip_prefix(file).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
    };
    for entry in fs::read_dir(state.root()).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let bytes = taken(&path, &mut seen);
        usage.total += bytes;
        let part = match () {
            () if of(&state.store(), &name) => &mut usage.store,
            () if of(&state.search(), &name) => &mut usage.search,
            () if path == state.blobs() => &mut usage.attachments,
            () if path == state.runners() => &mut usage.spools,
            () if path == state.logs() => &mut usage.logs,
            () if name == "worktrees" => &mut usage.worktrees,
            () if name.starts_with("corrupt-") => &mut usage.aside,
            () => &mut usage.other,
        };
        *part += bytes;
    }
    usage.growth_per_day = growth(reader)?;
    Ok(usage)
}

/// What each session's spools hold. Blocking.
pub fn of_spools(yard: &Yard) -> HashMap<SessionId, u64> {
    let mut sums = HashMap::new();
    for (session, generation) in yard.present().unwrap_or_default() {
        let sum: &mut u64 = sums.entry(session).or_default();
        *sum += taken(&yard.dir_of(&session, generation), &mut HashSet::new());
    }
    sums
}

/// What is attached to each session's prompts. Blocking.
pub fn of_attachments(blobs: &Blobs) -> HashMap<SessionId, u64> {
    let size = |dir: PathBuf| taken(&dir, &mut HashSet::new());
    blobs.users().into_iter().map(|(session, dir)| (session, size(dir))).collect()
}

/// How much of the store was in use at a moment, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Sample(i64, u64);

fn samples(reader: &Reader) -> Result<Vec<Sample>, StoreError> {
    // What somebody else wrote there is as good as nothing.
    Ok(reader.kept(SIZES)?.and_then(|kept| serde_json::from_str(&kept).ok()).unwrap_or_default())
}

/// What is to be kept under [`SIZES`] when it is this moment: nothing new for a day after the last time. Blocking.
pub fn noted(reader: &Reader, now_ms: i64) -> Result<Option<(&'static str, String)>, StoreError> {
    let mut all = samples(reader)?;
    let before = all.len();
    // A clock was wrong.
    all.retain(|sample| sample.0 <= now_ms);
    if all.last().is_some_and(|last| now_ms - last.0 < DAY_MS) && all.len() == before {
        return Ok(None);
    }
    all.push(Sample(now_ms, reader.pages()?.used));
    let spare = all.len().saturating_sub(DAYS);
    all.drain(..spare);
    Ok(serde_json::to_string(&all).ok().map(|text| (SIZES, text)))
}

/// How much more of the store is used each day. Not told before there is a day to tell it of.
fn growth(reader: &Reader) -> Result<Option<i64>, StoreError> {
    let all = samples(reader)?;
    let (Some(first), Some(last)) = (all.first(), all.last()) else { return Ok(None) };
    let took = last.0 - first.0;
    let more = i128::from(last.1) - i128::from(first.1);
    Ok((took >= DAY_MS)
        .then(|| i64::try_from(more * i128::from(DAY_MS) / i128::from(took)).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_file_with_two_names_counts_once_and_no_link_is_followed() {
        let dir = std::env::temp_dir().join(format!("vibes-room-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(dir.join("a/b")).expect("directories");
        let bare = taken(&dir, &mut HashSet::new());
        fs::write(dir.join("a/file"), vec![7; 100_000]).expect("a file");
        let one = taken(&dir, &mut HashSet::new());
        assert!((100_000..200_000).contains(&(one - bare)), "{bare} {one}");
        fs::hard_link(dir.join("a/file"), dir.join("a/b/again")).expect("a link");
        symlink(dir.join("a"), dir.join("a/b/round")).expect("a symbolic link");
        let two = taken(&dir, &mut HashSet::new());
        assert!(two - one < 50_000, "{one} {two}");
        assert_eq!(taken(&dir.join("nothing"), &mut HashSet::new()), 0);
        fs::remove_dir_all(&dir).expect("it goes");
    }
}
