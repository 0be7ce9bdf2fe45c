//! The state directory and the configuration's: where they are, that they are ours, that nobody else reads them.
//!
//! Invariant: a directory is opened once, checked by its descriptor (owner, mode, no symlink), and refused with a
//! reason when it is not private. Modes are set by the calls that create, never by umask.

use anyhow::{Context, bail};
use rustix::fs::{Mode, OFlags};
use std::{
    fs,
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};
use vibes_protocol::paths::{STATE_DIR_VAR, StateDir};

/// Where this user's state lies: `VIBES_STATE_DIR`, or the platform's place for state.
pub fn state_dir() -> anyhow::Result<StateDir> {
    if let Some(named) = std::env::var_os(STATE_DIR_VAR).filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        if !named.is_absolute() {
            bail!("{STATE_DIR_VAR} must be an absolute path, not {}", named.display());
        }
        return Ok(StateDir::new(named));
    }
    let dirs = directories::ProjectDirs::from("", "", "vibes")
        .context("no home directory is known: set HOME, or VIBES_STATE_DIR to an absolute path")?;
    Ok(StateDir::new(dirs.state_dir().unwrap_or_else(|| dirs.data_local_dir())))
}

/// Where this user's configuration lies.
pub fn config_file() -> Option<PathBuf> {
    directories::ProjectDirs::from("", "", "vibes").map(|dirs| dirs.config_dir().join("config.toml"))
}

/// A directory as it was when it was checked.
pub struct Place {
    path: PathBuf,
    dir: OwnedFd,
}

impl Place {
    /// Refuses a path that leads elsewhere by now: what was opened by it since may be somebody else's.
    pub fn is_unchanged(&self) -> anyhow::Result<()> {
        let (then, now) = (rustix::fs::fstat(&self.dir)?, rustix::fs::lstat(&self.path));
        if now.is_ok_and(|now| (now.st_dev, now.st_ino) == (then.st_dev, then.st_ino)) {
            return Ok(());
        }
        bail!("{} was replaced while the daemon started: look who may do that", self.path.display())
    }
}

/// Makes the directory if it is not there, and checks that it is private to this user.
pub fn private_dir(path: &Path) -> anyhow::Result<Place> {
    if fs::symlink_metadata(path).is_err() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("cannot create the directory {}", path.display()))?;
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = rustix::fs::open(path, flags, Mode::empty()).with_context(|| {
        format!("{} is not a directory of its own (a symlink is refused)", path.display())
    })?;
    let stat = rustix::fs::fstat(&dir)?;
    let me = rustix::process::geteuid().as_raw();
    if stat.st_uid != me {
        bail!("{} belongs to user {}, not to user {me}: refusing to use it", path.display(), stat.st_uid);
    }
    if stat.st_mode & 0o022 != 0 {
        bail!(
            "{} can be written by other users (mode {:o}), who may have put things there: look at it, then run \
             `chmod 700 {}`",
            path.display(),
            stat.st_mode & 0o7777,
            path.display()
        );
    }
    if stat.st_mode & 0o055 != 0 {
        // Only readable so far: closing it is enough.
        rustix::fs::fchmod(&dir, Mode::RWXU)
            .with_context(|| format!("cannot make {} private", path.display()))?;
    }
    Ok(Place { path: path.to_owned(), dir })
}

/// What is wrong with the file system that the state directory lies on, if that is known to be unfit.
pub fn unfit(dir: &StateDir) -> Option<String> {
    let kind = network(dir.root())?;
    Some(format!(
        "{} is on a network file system ({kind}), where locks and the store's log are not safe: name a directory of a \
         local disk in {STATE_DIR_VAR}",
        dir.root().display()
    ))
}

/// The network file system that a path lies on, by the number that Linux gives each kind.
#[cfg(target_os = "linux")]
fn network(path: &Path) -> Option<&'static str> {
    const KINDS: [(u32, &str); 7] = [
        (0x6969, "NFS"),
        (0xFF53_4D42, "CIFS"),
        (0xFE53_4D42, "SMB"),
        (0x517B, "SMB"),
        (0x0102_1997, "9P"),
        (0x5346_414F, "AFS"),
        (0x00C3_6400, "Ceph"),
    ];
    // The upper half means nothing: some kinds are numbered as if they were negative.
    let found = rustix::fs::statfs(path).ok()?.f_type as u32;
    KINDS.iter().find(|(number, _)| *number == found).map(|(_, name)| *name)
}

/// Not told elsewhere.
#[cfg(not(target_os = "linux"))]
fn network(_: &Path) -> Option<&'static str> {
    None
}

/// The id of a state directory, made at its first use.
pub fn state_id(dir: &StateDir) -> anyhow::Result<String> {
    let path = dir.state_id();
    match fs::read_to_string(&path) {
        Ok(id) if !id.trim().is_empty() => return Ok(id.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    let id = uuid::Uuid::new_v4().to_string();
    // Written whole by rename: a half-written id would belong to nobody.
    let fresh = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
    std::io::Write::write_all(&mut file, id.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, &path)?;
    Ok(id)
}

/// Whoever runs this daemon, as their terminals call them. Blocking.
pub fn user() -> String {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    vibes_protocol::seat::user(|name| std::env::var(name).ok(), rustix::process::getuid().as_raw(), &passwd)
}
