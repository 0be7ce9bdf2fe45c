//! What the daemon gives the agent: the log of numbered frames and the bytes that wait for the agent to read.
//!
//! Invariant: a frame is in the log before its first byte is queued, and queued exactly once; an agent that does not
//! read costs memory up to [`MAX_PENDING_INPUT`] and never a blocked call.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::process::ChildStdin;

use vibes_runner::points::{self, Point};
use vibes_runner::spool::{IN_ENTRY, in_entry};
use vibes_runner::wire::{MAX_PENDING_INPUT, Refusal};

/// The way in.
#[derive(Debug)]
pub(crate) struct Input {
    log: File,
    /// The last frame logged. Frames are numbered from 1 without gaps, so entry `n` lies at `(n - 1) * IN_ENTRY`.
    pub(crate) last: u64,
    pipe: Option<ChildStdin>,
    queue: VecDeque<Vec<u8>>,
    /// How much of the first frame is written.
    written: usize,
    /// Bytes that wait.
    pub(crate) pending: usize,
}

impl Input {
    /// Begins a log; there must not be one.
    pub(crate) fn create(log: &Path) -> io::Result<Self> {
        let log = File::options().read(true).write(true).create_new(true).mode(0o600).open(log)?;
        Ok(Self { log, last: 0, pipe: None, queue: VecDeque::new(), written: 0, pending: 0 })
    }

    pub(crate) fn connect(&mut self, pipe: ChildStdin) {
        self.pipe = Some(pipe);
    }

    /// Takes a frame. `Ok` means it is logged and queued, or was before.
    pub(crate) fn offer(&mut self, in_seq: u64, hash: &[u8; 32], bytes: Vec<u8>) -> Result<(), Refusal> {
        if in_seq == 0 || in_seq > self.last + 1 {
            return Err(Refusal::Mismatch);
        }
        let place = (in_seq - 1) * IN_ENTRY as u64;
        if in_seq <= self.last {
            let mut known = [0; 32];
            self.log.read_exact_at(&mut known, place + 8).map_err(|_| Refusal::DiskFull)?;
            return if known == *hash { Ok(()) } else { Err(Refusal::Mismatch) };
        }
        if self.pipe.is_none() {
            return Err(Refusal::NotRunning);
        }
        if self.pending + bytes.len() > MAX_PENDING_INPUT {
            return Err(Refusal::Busy);
        }
        if self.log.write_all_at(&in_entry(in_seq, hash, bytes.len() as u32), place).is_err() {
            // A torn entry left here would be overwritten by the next one, which has the same place.
            let _ = self.log.set_len(place);
            return Err(Refusal::DiskFull);
        }
        points::hit(Point::RunnerInLogged);
        self.last = in_seq;
        self.pending += bytes.len();
        if !bytes.is_empty() {
            self.queue.push_back(bytes);
        }
        self.pump();
        Ok(())
    }

    /// Writes what the agent takes.
    pub(crate) fn pump(&mut self) {
        while let (Some(pipe), Some(frame)) = (&mut self.pipe, self.queue.front()) {
            let rest = &frame[self.written..];
            match pipe.write(&rest[..points::part(Point::RunnerInPartial, rest.len())]) {
                Ok(count) => {
                    self.written += count;
                    self.pending -= count;
                    if self.written == frame.len() {
                        self.queue.pop_front();
                        self.written = 0;
                        points::hit(Point::RunnerInDone);
                    } else {
                        points::hit(Point::RunnerInPartial);
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // The agent closed its end; its exit will tell the rest.
                Err(_) => self.drop_pipe(),
            }
        }
    }

    /// End of input, after what can be written at once.
    pub(crate) fn close(&mut self) {
        self.pump();
        self.drop_pipe();
    }

    fn drop_pipe(&mut self) {
        self.pipe = None;
        self.queue = VecDeque::new();
        (self.written, self.pending) = (0, 0);
    }

    /// What to poll for room, while something waits.
    pub(crate) fn waiting(&self) -> Option<&ChildStdin> {
        self.pipe.as_ref().filter(|_| self.pending > 0)
    }
}
