//! The local socket: the only module that knows `interprocess`.
//!
//! Invariant: only processes of this user get past `accept`. The name is taken only under the daemon's lock, by
//! unlinking a dead socket of ours and nothing else; the crate's own reclaiming is off, because it would take the
//! name from a living listener.

use crate::{
    web::tokens::Guest,
    wire::{Source, Wire},
};
use anyhow::{Context, bail};
use interprocess::local_socket::{
    GenericFilePath, ListenerOptions, ToFsName,
    tokio::{Listener, Stream, prelude::*},
};
use interprocess::os::unix::local_socket::ListenerOptionsExt;
use rustix::{
    fs::{AtFlags, FileType, Mode, OFlags, statat, unlinkat},
    io::Errno,
};
use std::{
    ffi::OsStr,
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

use vibes_protocol::wire::{CodedError, ErrorCode};

/// A bound socket.
pub struct Door {
    listener: Listener,
    /// Its directory, opened once: whatever becomes of the path, the socket is looked for and made here.
    dir: OwnedFd,
    path: PathBuf,
    /// The file's number, to tell it from another one of the same name.
    inode: u64,
}

/// A connected client.
pub struct Visitor {
    /// Both directions.
    pub wire: Arc<Wire>,
    /// What reads it.
    pub source: Source,
    /// Who is at the other end.
    pub peer: Peer,
}

/// Who is at the other end.
pub enum Peer {
    /// A process of this user, if the platform tells which.
    Process(Option<i32>),
    /// Somebody whom the web's wall has let in.
    Web(Arc<Guest>),
}

impl Visitor {
    /// Tells why there is no place, and closes. What fits into a fresh socket is heard whenever the client reads.
    pub fn turn_away(self, why: &str) {
        let error = CodedError::new(ErrorCode::LimitExceeded, why);
        let bytes = crate::connection::encode(&crate::dispatch::error(None, None, error));
        // Tried whatever the runtime says: of a socket this fresh it knows nothing yet.
        let _ = rustix::io::write(&*self.wire, &bytes);
        tracing::warn!("a client was turned away: {why}");
    }
}

impl Door {
    /// Binds the socket. The caller holds the daemon's lock.
    pub fn bind(path: &Path) -> anyhow::Result<Self> {
        let parent = path.parent().context("the socket's path has no directory")?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let dir = rustix::fs::open(parent, flags, Mode::empty())
            .with_context(|| format!("cannot open {}", parent.display()))?;
        Self::bind_in(dir, path.to_owned())
    }

    /// Makes the socket anew where it was, which somebody has removed.
    pub fn bind_again(&mut self) -> anyhow::Result<()> {
        *self = Self::bind_in(self.dir.try_clone()?, self.path.clone())?;
        Ok(())
    }

    fn bind_in(dir: OwnedFd, path: PathBuf) -> anyhow::Result<Self> {
        let name = path.file_name().context("the socket's path has no name")?;
        match statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if FileType::from_raw_mode(found.st_mode).is_socket() => {
                unlinkat(&dir, name, AtFlags::empty())
                    .with_context(|| format!("cannot remove the dead socket {}", path.display()))?;
            }
            Ok(_) => bail!("{} is in the way and is not a socket: move it away", path.display()),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot look at {}", path.display())),
        }
        // Through the directory's descriptor, which no link can lead elsewhere; its name is short, too.
        let through = if cfg!(target_os = "linux") {
            PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name)
        } else {
            path.clone()
        };
        let listener = ListenerOptions::new()
            .name(through.to_fs_name::<GenericFilePath>()?)
            .reclaim_name(false)
            .mode(0o600)
            .create_tokio()
            .with_context(|| format!("cannot listen on {}", path.display()))?;
        let inode = statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)?.st_ino;
        Ok(Self { listener, dir, path, inode })
    }

    /// The next client of this user. Others are turned away.
    pub async fn accept(&self) -> io::Result<Visitor> {
        loop {
            let stream = match self.listener.accept().await {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                accepted => accepted?,
            };
            // One that cannot be told from a stranger is one.
            let Ok(creds) = stream.peer_creds() else { continue };
            let me = rustix::process::geteuid().as_raw();
            if creds.euid() != Some(me) {
                tracing::warn!(uid = ?creds.euid(), "a process of another user was turned away");
                continue;
            }
            let pid = creds.pid();
            let Stream::UdSocket(stream) = stream;
            let socket = std::os::unix::net::UnixStream::from(OwnedFd::try_from(stream)?);
            let wire = Wire::Lines(tokio::net::UnixStream::from_std(socket)?);
            let source = wire.source();
            return Ok(Visitor { wire: Arc::new(wire), source, peer: Peer::Process(pid) });
        }
    }

    fn name(&self) -> &OsStr {
        self.path.file_name().unwrap_or_default()
    }

    /// Whether this socket still lies under its name in its directory.
    pub fn is_in_place(&self) -> bool {
        statat(&self.dir, self.name(), AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|found| found.st_ino == self.inode)
    }

    /// Gives up the name. The caller still holds the daemon's lock.
    pub fn close(self) {
        let removed =
            if self.is_in_place() { unlinkat(&self.dir, self.name(), AtFlags::empty()) } else { Ok(()) };
        if let Err(error) = removed {
            tracing::warn!(%error, "the socket stays behind");
        }
    }
}
