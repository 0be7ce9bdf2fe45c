//! Attachments: bytes kept once, by their hash, in files beside the store.
//!
//! Invariant: a session that uses a blob has a link to it of its own, made and synced before the prompt is taken; so what a
//! record names is there for as long as the session is. What no session has a link to goes: with the session that was the
//! last to have one, or an hour after it was put when no prompt came for it.

pub mod blocks;

use rustix::fs::Timestamps;
use sha2::{Digest, Sha256};
use std::{
    fmt,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};
use vibes_protocol::model::SessionId;

/// How long what was put waits for a prompt that names it.
const WAITS: Duration = Duration::from_secs(60 * 60);
/// What the name of a file begins with that is being written.
const UNFINISHED: &str = ".new-";

/// The SHA-256 of a blob: its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hash([u8; 32]);

impl Hash {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Hash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a SHA-256 has 64 of 0-9 a-f".to_owned();
        let digits = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let mut hash = [0; 32];
        for (at, byte) in hash.iter_mut().enumerate() {
            let pair = text.get(2 * at..2 * at + 2).filter(|_| digits).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self(hash))
    }
}

/// All blobs of a state directory. Every call is blocking.
#[derive(Debug)]
pub struct Blobs {
    root: PathBuf,
    /// Whoever looks whether a blob is used acts on it before anybody else looks.
    turn: Mutex<()>,
}

impl Blobs {
    /// Those below this directory, which is made when there is something to keep.
    pub fn at(root: PathBuf) -> Self {
        Self { root, turn: Mutex::default() }
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pool(&self) -> PathBuf {
        self.root.join("all")
    }

    fn place(&self, hash: &Hash) -> PathBuf {
        self.pool().join(hash.to_string())
    }

    fn of(&self, session: &SessionId) -> PathBuf {
        self.root.join("of").join(session.to_string())
    }

    /// Keeps bytes, for an hour unless a session begins to use them. They are on the disk when this returns.
    pub fn put(&self, bytes: &[u8]) -> io::Result<Hash> {
        let (hash, pool) = (Hash::of(bytes), self.pool());
        let place = self.place(&hash);
        let _turn = self.turn();
        if fs::read(&place).is_ok_and(|there| there == bytes) {
            set_time(&place, SystemTime::now())?;
            return Ok(hash);
        }
        make_dir(&pool)?;
        write_whole(&pool, &place, bytes)?;
        Ok(hash)
    }

    /// From now on the session uses it; says how long it is. `NotFound` when nobody has put it.
    pub fn keep(&self, session: &SessionId, hash: &Hash) -> io::Result<u64> {
        let (from, dir) = (self.place(hash), self.of(session));
        let to = dir.join(hash.to_string());
        let _turn = self.turn();
        // Nobody waits for it any more.
        let no_longer_awaited = || gone(set_time(&from, SystemTime::UNIX_EPOCH));
        if let Ok(there) = fs::metadata(&to) {
            no_longer_awaited()?;
            return Ok(there.len());
        }
        let size = fs::metadata(&from)?.len();
        make_dir(&dir)?;
        match fs::hard_link(&from, &to) {
            Ok(()) => no_longer_awaited()?,
            // A file has so many links, and some file systems have none.
            Err(_) => write_whole(&dir, &to, &fs::read(&from)?)?,
        }
        File::open(&dir)?.sync_all()?;
        Ok(size)
    }

    /// What a session uses. What is not what it was is an error.
    pub fn get(&self, session: &SessionId, hash: &Hash) -> io::Result<Vec<u8>> {
        let bytes = fs::read(self.of(session).join(hash.to_string()))?;
        if Hash::of(&bytes) != *hash {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not what was attached any more"));
        }
        Ok(bytes)
    }

    /// The sessions that use something, and where that lies.
    pub fn users(&self) -> Vec<(SessionId, PathBuf)> {
        let all = entries(&self.root.join("of")).unwrap_or_default();
        let user = |entry: fs::DirEntry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path()));
        all.into_iter().filter_map(user).collect()
    }

    /// The session is gone, and with it what no other one uses.
    pub fn forget(&self, session: &SessionId) -> io::Result<()> {
        let dir = self.of(session);
        let _turn = self.turn();
        for entry in entries(&dir)? {
            fs::remove_file(entry.path())?;
            self.drop_unused(&self.pool().join(entry.file_name()))?;
        }
        gone(fs::remove_dir(&dir))
    }

    /// Drops what was put and never used.
    pub fn sweep(&self) -> io::Result<()> {
        let entries = entries(&self.pool())?;
        // One at a time: whoever attaches something waits for no more than that.
        entries.iter().try_for_each(|entry| {
            let _turn = self.turn();
            self.drop_unused(&entry.path())
        })
    }

    /// Drops a blob that nobody uses or waits for.
    fn drop_unused(&self, place: &Path) -> io::Result<()> {
        let Ok(there) = fs::symlink_metadata(place) else { return Ok(()) };
        let since = SystemTime::now().duration_since(there.modified()?);
        if there.nlink() > 1 || since.is_ok_and(|since| since < WAITS) {
            return Ok(());
        }
        gone(fs::remove_file(place))
    }
}

/// What a directory holds; one that is not there holds nothing.
fn entries(dir: &Path) -> io::Result<Vec<fs::DirEntry>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes a directory that only we can read, and syncs what it is in.
fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    // It and the one above it may both be new.
    for above in dir.ancestors().skip(1).take(2) {
        File::open(above)?.sync_all()?;
    }
    Ok(())
}

/// Writes a file so that it is there whole, or not at all.
fn write_whole(dir: &Path, place: &Path, bytes: &[u8]) -> io::Result<()> {
    let fresh = dir.join(format!("{UNFINISHED}{}", uuid::Uuid::new_v4()));
    let written = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&fresh, place)?;
        File::open(dir)?.sync_all()
    };
    written().inspect_err(|_| drop(fs::remove_file(&fresh)))
}

fn set_time(path: &Path, time: SystemTime) -> io::Result<()> {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let time = rustix::fs::Timespec {
        tv_sec: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: since.subsec_nanos().into(),
    };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Case(Blobs);

    impl Case {
        fn new() -> Self {
            Self(Blobs::at(std::env::temp_dir().join(format!("vibes-blobs-{}", uuid::Uuid::new_v4()))))
        }

        fn all(&self) -> usize {
            entries(&self.0.pool()).expect("it can be read").len()
        }

        /// As if an hour had passed.
        fn age(&self, hash: &Hash) {
            set_time(&self.0.place(hash), SystemTime::UNIX_EPOCH).expect("it is there");
        }
    }

    impl Drop for Case {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0.root);
        }
    }

    #[test]
    fn the_same_bytes_are_kept_once_and_for_as_long_as_a_session_uses_them() {
        let case = Case::new();
        let blobs = &case.0;
        let (ada, bob) = (SessionId::random(), SessionId::random());
        let hash = blobs.put(b"heron").expect("there is room");
        assert_eq!(blobs.put(b"heron").expect("it is there"), hash);
        assert_eq!(blobs.get(&ada, &hash).expect_err("it is not ada's").kind(), io::ErrorKind::NotFound);
        for session in [&ada, &bob, &ada] {
            blobs.put(b"heron").expect("it is there");
            assert_eq!(blobs.keep(session, &hash).expect("it is there"), 5);
        }
        assert_eq!(case.all(), 1);
        assert_eq!(fs::metadata(case.0.place(&hash)).expect("it is there").nlink(), 3, "not copied");
        blobs.forget(&ada).expect("it can go");
        blobs.sweep().expect("it can be swept");
        assert_eq!(blobs.get(&bob, &hash).expect("bob has it"), b"heron");
        blobs.forget(&bob).expect("it can go");
        assert_eq!(case.all(), 0, "nobody uses it");
        blobs.forget(&bob).expect("there is nothing to do");
        assert!(blobs.keep(&bob, &hash).is_err());
    }

    #[test]
    fn what_no_prompt_names_goes_after_a_while() {
        let case = Case::new();
        let hash = case.0.put(b"heron").expect("there is room");
        let used = case.0.put(b"crane").expect("there is room");
        case.0.keep(&SessionId::random(), &used).expect("it is there");
        case.0.sweep().expect("it can be swept");
        assert_eq!(case.all(), 2, "its prompt may be on the way");
        // Put again, it is waited for again, whoever used it meanwhile.
        let other = SessionId::random();
        case.0.keep(&other, &hash).expect("it is there");
        case.0.put(b"heron").expect("it is there");
        case.0.forget(&other).expect("it can go");
        assert_eq!(case.all(), 2);
        case.age(&hash);
        case.0.sweep().expect("it can be swept");
        assert_eq!(case.all(), 1, "only what is used stays");
    }

    #[test]
    fn what_was_changed_is_not_given_out_and_putting_it_again_mends_the_pool() {
        let case = Case::new();
        let session = SessionId::random();
        let hash = case.0.put(b"heron").expect("there is room");
        case.0.keep(&session, &hash).expect("it is there");
        fs::write(case.0.place(&hash), b"h3ron").expect("it can be written");
        let error = case.0.get(&session, &hash).expect_err("it was changed");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        case.0.put(b"heron").expect("there is room");
        assert_eq!(fs::read(case.0.place(&hash)).expect("it is there"), b"heron");
    }

    #[test]
    fn a_hash_is_read_as_it_is_written() {
        let hash = Hash::of(b"heron");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        for bad in [
            "",
            "../../etc/passwd",
            &hash.to_string()[1..],
            &hash.to_string().to_uppercase(),
            &"ä".repeat(32),
        ] {
            assert!(bad.parse::<Hash>().is_err(), "{bad}");
        }
    }
}
