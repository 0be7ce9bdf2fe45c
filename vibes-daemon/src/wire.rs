//! The two sockets that a client may come through, and how messages stand on each: lines on the local one, text frames
//! of a WebSocket on the web's.
//!
//! Invariant: above this module there is one kind of connection. Both sockets are written without waiting and by whole
//! messages, so that what is promised of slow clients and of last words holds for both.

use crate::web::frames::{self, Decoder};
use bytes::Bytes;
use std::{
    io::{self, IoSlice},
    os::fd::{AsFd, BorrowedFd},
};
use tokio::net::{TcpStream, UnixStream};
use vibes_protocol::codec::{Line, LineBuffer, MAX_CLIENT_LINE};

/// A connected socket, read by one task and written by another.
pub enum Wire {
    /// Of the local door, or a request of the web that is asked on behalf of somebody.
    Lines(UnixStream),
    /// A WebSocket, past its handshake.
    Frames(TcpStream),
}

impl Wire {
    /// Reads what is there, or waits for something; 0 is the end.
    pub async fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match self {
                Self::Lines(socket) => {
                    socket.readable().await?;
                    socket.try_read(bytes)
                }
                Self::Frames(socket) => {
                    socket.readable().await?;
                    socket.try_read(bytes)
                }
            };
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read,
            }
        }
    }

    /// Writes what fits now.
    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Lines(socket) => socket.try_write_vectored(slices),
            Self::Frames(socket) => socket.try_write_vectored(slices),
        }
    }

    /// Waits until something may fit.
    pub async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Lines(socket) => socket.writable().await,
            Self::Frames(socket) => socket.writable().await,
        }
    }

    /// What writes the messages of `pieces`, which are whole lines together.
    pub fn framed(&self, pieces: Vec<Bytes>) -> (Vec<Bytes>, Unit) {
        match self {
            Self::Lines(_) => (pieces, Unit::Line),
            Self::Frames(_) => (frames::framed(&pieces), Unit::Pair),
        }
    }

    /// Reads messages as they stand on this socket.
    pub fn source(&self) -> Source {
        match self {
            Self::Lines(_) => Source::Lines(LineBuffer::new(MAX_CLIENT_LINE)),
            Self::Frames(_) => Source::Frames(Box::default()),
        }
    }

    /// Whether this is a WebSocket.
    pub fn is_web(&self) -> bool {
        matches!(self, Self::Frames(_))
    }

    /// Whether the other end is closed altogether, and not only for writing.
    pub fn hung_up(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let mut fds = [PollFd::new(self, PollFlags::empty())];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut fds, Some(&now)).is_ok()
            && fds.iter().any(|fd| fd.revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL))
    }
}

impl AsFd for Wire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Lines(socket) => socket.as_fd(),
            Self::Frames(socket) => socket.as_fd(),
        }
    }
}

/// How messages lie in pieces on their way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A message ends with its newline.
    Line,
    /// A message is a head and a body, a piece each.
    Pair,
    /// The pieces are the rest of one message.
    Rest,
}

/// Bytes in, messages out.
pub enum Source {
    /// By lines.
    Lines(LineBuffer),
    /// By frames.
    Frames(Box<Decoder>),
}

/// What a source has next.
pub enum Heard<'a> {
    /// A message.
    Message(&'a [u8]),
    /// Only a sign of life; these bytes are to be written between two messages.
    Life(Bytes),
    /// A message is too long to be followed.
    TooLong,
    /// The client says goodbye, and these bytes are the answer.
    Goodbye(Bytes),
    /// What came cannot be followed, and this is why.
    Broken(String),
}

impl Source {
    /// Adds bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        match self {
            Self::Lines(lines) => lines.push(bytes),
            Self::Frames(frames) => frames.push(bytes),
        }
    }

    /// What is next, if it is whole.
    pub fn next(&mut self) -> Option<Heard<'_>> {
        match self {
            Self::Lines(lines) => lines.next_line().map(|line| match line {
                Line::Whole(line) => Heard::Message(line),
                Line::TooLong => Heard::TooLong,
            }),
            Self::Frames(frames) => frames.next(),
        }
    }

    /// Whether a message is under way.
    pub fn has_partial(&self) -> bool {
        match self {
            Self::Lines(lines) => lines.has_partial(),
            Self::Frames(frames) => frames.has_partial(),
        }
    }

    /// How many bytes of memory it takes.
    pub fn held(&self) -> usize {
        match self {
            Self::Lines(lines) => lines.held(),
            Self::Frames(frames) => frames.held(),
        }
    }
}
