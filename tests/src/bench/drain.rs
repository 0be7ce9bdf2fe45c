//! Many readers in one thread that only count.
//!
//! The same readers drain the daemon and the bare relay, so that what they cost is on both sides of a ratio.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;
use std::{
    fs::File,
    io::{BufRead, BufReader, ErrorKind, Read, Write},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::Path,
    time::{Duration, Instant},
};

/// How much is read at once.
const CHUNK: usize = 256 * 1024;
/// How much of the beginning and the end is kept.
const KEPT: usize = 8 * 1024;
/// The longest that readers may wait altogether.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is counted.
enum Unit {
    /// Newlines.
    Lines,
    /// Frames of a WebSocket: how much of the present one is still to come, and what came of the next one's head.
    Frames(usize, Vec<u8>),
}

impl Unit {
    fn count(&mut self, mut bytes: &[u8]) -> u64 {
        let Self::Frames(left, head) = self else {
            return bytes.iter().map(|byte| u64::from(*byte == b'\n')).sum();
        };
        let mut ended = 0;
        while !bytes.is_empty() {
            if *left == 0 {
                head.push(bytes[0]);
                bytes = &bytes[1..];
                let size = match head.get(1) {
                    Some(126) => 4,
                    Some(127) => 10,
                    _ => 2,
                };
                if head.len() < size {
                    continue;
                }
                let long = head[2..].iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
                *left = if size == 2 { usize::from(head[1]) } else { long };
                head.clear();
            }
            let taken = (*left).min(bytes.len());
            *left -= taken;
            bytes = &bytes[taken..];
            ended += u64::from(*left == 0);
        }
        ended
    }
}

/// A reader.
pub struct Drain {
    stream: File,
    unit: Unit,
    head: Vec<u8>,
    tail: Vec<u8>,
    /// Lines so far.
    pub frames: u64,
    done: Option<Instant>,
}

/// Subscribes as a viewer; gives the connection and what was read of the stream already.
pub fn subscribe(socket: &Path, session: &str, after: serde_json::Value) -> (UnixStream, Vec<u8>) {
    let mut stream = UnixStream::connect(socket).expect("the daemon accepts");
    let client = json!({"name": "bench", "version": "1", "kind": "script"});
    let hello = json!({"type": "hello", "request_id": "h", "protocol": 1, "client": client});
    let subscribe = json!({"type": "subscribe", "request_id": "s", "session_ids": [session], "after": after, "role": "viewer"});
    stream.write_all(format!("{hello}\n{subscribe}\n").as_bytes()).expect("the daemon reads");
    let mut reader = BufReader::new(stream.try_clone().expect("a socket can be cloned"));
    let mut line = String::new();
    while !line.starts_with(r#"{"type":"subscribed""#) {
        assert!(!line.starts_with(r#"{"type":"error""#), "a subscriber was refused: {line}");
        line.clear();
        assert!(
            reader.read_line(&mut line).expect("the daemon answers") > 0,
            "the daemon closed a subscriber"
        );
    }
    (stream, reader.buffer().to_vec())
}

impl Drain {
    /// A reader of a stream, some of which was read already.
    pub fn new(stream: UnixStream, read: &[u8]) -> Self {
        stream.set_nonblocking(true).expect("a socket can be non-blocking");
        let mut drain = Self::of(stream.into(), Unit::Lines);
        drain.take(read);
        drain
    }

    /// A reader of a WebSocket, of which nothing of the stream was read yet.
    pub fn web(stream: std::net::TcpStream) -> Self {
        stream.set_nonblocking(true).expect("a socket can be non-blocking");
        Self::of(stream.into(), Unit::Frames(0, Vec::new()))
    }

    fn of(stream: OwnedFd, unit: Unit) -> Self {
        let (head, tail) = (Vec::new(), Vec::new());
        Self { stream: stream.into(), unit, head, tail, frames: 0, done: None }
    }

    fn take(&mut self, bytes: &[u8]) {
        self.frames += self.unit.count(bytes);
        let room = KEPT.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..room]);
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(KEPT)..]);
        let over = self.tail.len().saturating_sub(KEPT);
        self.tail.drain(..over);
    }

    /// Milliseconds between the first record and the last one read, as the daemon stamped them.
    pub fn stamped_ms(&self) -> Option<f64> {
        const KEY: &[u8] = br#""at_ms":"#;
        let number = |bytes: &[u8]| {
            let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
            std::str::from_utf8(&bytes[..digits]).ok()?.parse::<f64>().ok()
        };
        let first = find(&self.head, KEY)? + KEY.len();
        let last = self.tail.windows(KEY.len()).rposition(|window| window == KEY)? + KEY.len();
        Some(number(&self.tail[last..])? - number(&self.head[first..])?)
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Reads all streams until each has shown `marker` after at least `expected` lines. Gives when the last one had.
pub fn finish(drains: &mut [Drain], expected: u64, marker: &str) -> Instant {
    let until = Instant::now() + PATIENCE;
    let mut buffer = vec![0; CHUNK];
    let timeout = Timespec { tv_sec: 1, tv_nsec: 0 };
    loop {
        for drain in drains.iter_mut().filter(|drain| drain.done.is_none() && drain.frames >= expected) {
            drain.done = find(&drain.tail, marker.as_bytes()).map(|_| Instant::now());
        }
        let mut waiting: Vec<&mut Drain> = drains.iter_mut().filter(|drain| drain.done.is_none()).collect();
        if waiting.is_empty() {
            return drains.iter().filter_map(|drain| drain.done).max().unwrap_or_else(Instant::now);
        }
        let least = waiting.iter().map(|drain| drain.frames).min().unwrap_or(0);
        assert!(Instant::now() < until, "a subscriber has {least} of {expected} lines after {PATIENCE:?}");
        let mut fds: Vec<PollFd<'_>> = waiting
            .iter()
            .map(|drain| PollFd::from_borrowed_fd(std::os::fd::AsFd::as_fd(&drain.stream), PollFlags::IN))
            .collect();
        if poll(&mut fds, Some(&timeout)).is_err() {
            continue;
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        for (drain, _) in waiting.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
            match drain.stream.read(&mut buffer) {
                Ok(0) => panic!("a stream ended after {} of {expected} lines", drain.frames),
                Ok(count) => drain.take(&buffer[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => panic!("a stream broke: {error}"),
            }
        }
    }
}
