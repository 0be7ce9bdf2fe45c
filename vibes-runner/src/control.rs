//! A connection from a daemon.
//!
//! Invariant: reading and writing never wait; what a peer does not read is bounded, and past the bound the peer is
//! dropped, for the files tell the same.

use std::io::{ErrorKind, Write as _};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;

use rustix::event::PollFlags;
use rustix::io::{Errno, read};
use vibes_runner::wire::{FrameError, Order, Report, take_frame};

/// What may wait for a peer that does not read, in bytes.
const MOST_UNREAD: usize = 4 * 1024 * 1024;

/// One peer; the controller once it is greeted.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: UnixStream,
    pub(crate) greeted: bool,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    /// Nothing more is wanted from it: it goes when the outbox is written.
    leaving: bool,
    gone: bool,
}

impl Connection {
    pub(crate) fn new(stream: UnixStream) -> Self {
        let (inbox, outbox) = (Vec::new(), Vec::new());
        Self { stream, greeted: false, inbox, outbox, leaving: false, gone: false }
    }

    /// Reads what is there, one buffer at most so that the agent's output has its turn.
    pub(crate) fn receive(&mut self) {
        let mut chunk = [MaybeUninit::<u8>::uninit(); 16 * 1024];
        match read(&self.stream, &mut chunk[..]) {
            // Whole frames that came before the end still count; a cut one is dropped with the inbox.
            Ok(([], _)) => self.leaving = true,
            Ok((bytes, _)) => self.inbox.extend_from_slice(bytes),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.gone = true,
        }
    }

    /// The next whole order; `Some(None)` is one this runner does not know.
    pub(crate) fn next(&mut self) -> Option<Option<Order>> {
        if self.gone {
            return None;
        }
        match take_frame(&mut self.inbox) {
            Ok(Some(payload)) => Some(Order::decode(&payload).ok()),
            Ok(None) => {
                if self.inbox.is_empty() {
                    // A long frame's room is given back: most of the time there is none.
                    self.inbox = Vec::new();
                }
                None
            }
            Err(FrameError::TooLong(_) | FrameError::Checksum | FrameError::Malformed) => {
                self.gone = true;
                None
            }
        }
    }

    pub(crate) fn send(&mut self, report: &Report) {
        self.outbox.extend_from_slice(&report.encode());
        self.gone |= self.outbox.len() > MOST_UNREAD;
    }

    pub(crate) fn flush(&mut self) {
        let mut sent = 0;
        while sent < self.outbox.len() && !self.gone {
            match self.stream.write(&self.outbox[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => self.gone = true,
            }
        }
        self.outbox.drain(..sent);
    }

    pub(crate) fn has_unsent(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// What to poll for. The end of its input stays readable for ever and is not asked for again.
    pub(crate) fn interest(&self) -> PollFlags {
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::IN, !self.leaving);
        flags.set(PollFlags::OUT, self.has_unsent());
        flags
    }

    /// Closed after what was said to it.
    pub(crate) fn dismiss(&mut self) {
        self.leaving = true;
    }

    /// Closed now: what it still had to say is not heard.
    pub(crate) fn evict(&mut self) {
        self.gone = true;
    }

    /// To be called after the orders were taken: whether the connection is of no more use.
    pub(crate) fn is_over(&self) -> bool {
        self.gone || (self.leaving && self.outbox.is_empty())
    }
}
