//! The way to the daemon's socket: the one place that names `interprocess`.
//!
//! Invariant: a path of any length works. A socket address holds about a hundred bytes; a longer path is reached
//! through the directory's descriptor, which has a short name under `/proc`.

use interprocess::local_socket::{GenericFilePath, Stream, prelude::*};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The shortest limit among the systems we know is macOS's 103 bytes.
const LONGEST_ADDRESS: usize = 100;
/// A daemon whose queue of waiting connections stays full that long is not serving.
const PATIENCE: Duration = Duration::from_secs(10);

/// A connection to the daemon. Reading and writing go through `&Socket`, so that one thread may read while another
/// writes.
#[derive(Debug)]
pub(crate) struct Socket(Stream);

impl Socket {
    /// Connects. Blocking on purpose: the kernel then waits for room in a full queue by itself.
    pub(crate) fn connect(path: &Path) -> io::Result<Self> {
        // Kept open until the connection stands: its number is part of the address.
        let (address, _directory) = short_address(path)?;
        let started = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            let name = address.as_path().to_fs_name::<GenericFilePath>()?;
            match Stream::connect(name) {
                Ok(stream) => return Self::of_this_user(stream),
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
                        && started.elapsed() < PATIENCE =>
                {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(100));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whoever listens at our place and is not us hears nothing: it would be told prompts and keys.
    fn of_this_user(stream: Stream) -> io::Result<Self> {
        let (me, listener) = (rustix::process::geteuid().as_raw(), stream.peer_creds()?.euid());
        if listener == Some(me) {
            return Ok(Self(stream));
        }
        let who = listener.map_or("nobody knows who".to_owned(), |uid| format!("user {uid}"));
        let why = format!("{who} listens there, and this is user {me}");
        Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
    }

    /// Limits how long one read may block; `None` is for ever.
    pub(crate) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.0.set_recv_timeout(timeout)
    }
}

impl io::Read for &Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.0).read(buffer)
    }
}

impl io::Write for &Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&self.0).flush()
    }
}

#[cfg(target_os = "linux")]
fn short_address(path: &Path) -> io::Result<(PathBuf, Option<rustix::fd::OwnedFd>)> {
    use rustix::fd::AsRawFd as _;
    use rustix::fs::{Mode, OFlags};
    if path.as_os_str().len() <= LONGEST_ADDRESS {
        return Ok((path.to_owned(), None));
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok((path.to_owned(), None));
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::open(parent, flags, Mode::empty())?;
    let short = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
    Ok((short, Some(directory)))
}

#[cfg(not(target_os = "linux"))]
fn short_address(path: &Path) -> io::Result<(PathBuf, Option<rustix::fd::OwnedFd>)> {
    if path.as_os_str().len() <= LONGEST_ADDRESS {
        return Ok((path.to_owned(), None));
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        "the state directory's path is too long for a socket here",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};

    #[test]
    #[cfg(target_os = "linux")]
    fn a_path_of_any_length_is_reached() {
        let root = std::env::temp_dir().join(format!("vibes-socket-{}", uuid::Uuid::new_v4()));
        let deep = root.join("d".repeat(120)).join("e".repeat(120));
        std::fs::create_dir_all(&deep).unwrap();
        let path = deep.join("vibesd.sock");
        let (bind_at, directory) = short_address(&path).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(bind_at).unwrap();
        drop(directory);
        let client = Socket::connect(&path).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        (&client).write_all(b"hi").unwrap();
        let mut heard = [0; 2];
        server.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, b"hi");
        std::fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn nobody_there_is_an_error_at_once() {
        let path = std::env::temp_dir().join(format!("vibes-none-{}", uuid::Uuid::new_v4()));
        assert_eq!(Socket::connect(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
