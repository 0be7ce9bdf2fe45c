//! The local socket: the only module that knows `interprocess`.
//!
//! Invariant: only processes of this user get past `accept`. The name is taken only under the daemon's lock, by
//! unlinking a dead socket of ours and nothing else; the crate's own reclaiming is off, because it would take the
//! name from a living listener.

use anyhow::{Context, bail};
use interprocess::local_socket::{
    GenericFilePath, ListenerOptions, ToFsName,
    tokio::{Listener, Stream, prelude::*},
};
use interprocess::os::unix::local_socket::ListenerOptionsExt;
use std::{
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, OwnedFd},
        unix::fs::{FileTypeExt, MetadataExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

/// A connected stream; `&Wire` reads and writes.
pub type Wire = interprocess::os::unix::uds_local_socket::tokio::Stream;

/// The longest path that fits a socket address on every platform we know.
const LONGEST: usize = 100;

/// A bound socket.
pub struct Door {
    listener: Listener,
    path: PathBuf,
    /// The file's number, to tell it from another one of the same name.
    inode: u64,
}

/// A connected client.
pub struct Visitor {
    /// Both directions.
    pub wire: Arc<Wire>,
    /// Its process, if the platform tells.
    pub pid: Option<i32>,
    /// To ask whether the other end is closed altogether.
    pub probe: OwnedFd,
}

impl Door {
    /// Binds the socket. The caller holds the daemon's lock.
    pub fn bind(path: &Path) -> anyhow::Result<Self> {
        match fs::symlink_metadata(path) {
            Ok(found) if found.file_type().is_socket() => {
                fs::remove_file(path)
                    .with_context(|| format!("cannot remove the dead socket {}", path.display()))?;
            }
            Ok(_) => bail!("{} is in the way and is not a socket: move it away", path.display()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("cannot look at {}", path.display())),
        }
        let parent = path.parent().context("the socket's path has no directory")?;
        let dir = fs::File::open(parent)?;
        // A path too long for a socket address is bound through the directory's descriptor.
        let name = match path.file_name() {
            Some(name) if path.as_os_str().len() > LONGEST => {
                PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name)
            }
            _ => path.to_owned(),
        };
        let listener = ListenerOptions::new()
            .name(name.to_fs_name::<GenericFilePath>()?)
            .reclaim_name(false)
            .mode(0o600)
            .create_tokio()
            .with_context(|| format!("cannot listen on {}", path.display()))?;
        let inode = fs::symlink_metadata(path)?.ino();
        Ok(Self { listener, path: path.to_owned(), inode })
    }

    /// The next client of this user. Others are turned away.
    pub async fn accept(&self) -> io::Result<Visitor> {
        loop {
            let stream = self.listener.accept().await?;
            let creds = stream.peer_creds()?;
            let me = rustix::process::geteuid().as_raw();
            if creds.euid() != Some(me) {
                tracing::warn!(uid = ?creds.euid(), "a process of another user was turned away");
                continue;
            }
            let pid = creds.pid();
            let Stream::UdSocket(stream) = stream;
            let probe = stream.as_fd().try_clone_to_owned()?;
            return Ok(Visitor { wire: Arc::new(stream), pid, probe });
        }
    }

    /// Whether clients still find this socket under its name.
    pub fn is_in_place(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|found| found.ino() == self.inode)
    }

    /// Gives up the name. The caller still holds the daemon's lock.
    pub fn close(self) {
        let in_place = self.is_in_place();
        drop(self.listener);
        if !in_place {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, "the socket stays behind");
        }
    }
}

/// Whether the other end is closed altogether, and not only for writing.
pub fn hung_up(probe: &OwnedFd) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds = [PollFd::new(probe, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok()
        && fds.iter().any(|fd| fd.revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL))
}
