//! What the agent writes: standard output into the spool, standard error into its ring.
//!
//! Invariant: `end` is how many bytes of standard output are in segments, in order, each once; a byte that was read
//! and is not there yet is in `held`, and nothing more is read until it is written. Segments are written at known
//! places, so that trying again after a failed write can neither leave a hole nor double anything.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::mem::MaybeUninit;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::process::{ChildStderr, ChildStdout};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::io::{Errno, read};
use vibes_runner::points::{self, Point};
use vibes_runner::spool::{self, ERR_HALF, ERR_NEW, ERR_OLD, LEAST, SEGMENT, segment_name, segments};

/// How much is read at once.
const CHUNK: usize = 64 * 1024;
/// How long to wait before trying a failed write again.
const RETRY: Duration = Duration::from_secs(1);
/// How far a spool grows at most before it is looked again what the others left, in bytes.
const STRIDE: u64 = 8 * 1024 * 1024;

/// Standard output and the spool.
#[derive(Debug)]
pub(crate) struct Output {
    pipe: Option<ChildStdout>,
    segment: Option<File>,
    /// Where the segment begins.
    start: u64,
    /// The logical end of the spool.
    pub(crate) end: u64,
    /// How long the line under way is so far.
    line: u64,
    /// Where the oldest segment began when last looked.
    oldest: u64,
    budget: u64,
    /// What this spool and all beside it may hold, and up to which end that was looked at.
    shared: Option<(u64, u64)>,
    limit: u64,
    chunk: Vec<u8>,
    /// What of `chunk` is read but not written.
    held: std::ops::Range<usize>,
    /// When to try again; `Some` while the spool cannot be written.
    pub(crate) retry: Option<Instant>,
}

impl Output {
    /// `budget` bounds what may lie un-ingested. A small one makes small segments, or the first could never go.
    /// `shared` bounds what may lie in all spools beside this one together.
    pub(crate) fn new(budget: u64, shared: Option<u64>) -> Self {
        let limit = SEGMENT.min(budget / 4).max(1);
        let (pipe, segment, chunk, held, retry) = (None, None, Vec::new(), 0..0, None);
        let shared = shared.map(|total| (total, 0));
        Self {
            pipe,
            segment,
            start: 0,
            end: 0,
            line: 0,
            oldest: 0,
            budget,
            shared,
            limit,
            chunk,
            held,
            retry,
        }
    }

    pub(crate) fn connect(&mut self, pipe: ChildStdout) {
        self.pipe = Some(pipe);
        // Reserved and not zeroed: of an agent that says little, little is ever touched.
        self.chunk.reserve_exact(CHUNK);
    }

    /// What to poll, unless the spool is blocked.
    pub(crate) fn readable(&self) -> Option<&ChildStdout> {
        self.pipe.as_ref().filter(|_| self.retry.is_none())
    }

    pub(crate) fn is_open(&self) -> bool {
        self.pipe.is_some()
    }

    /// Spools at most about `most` bytes of what is there; the rest keeps until the others had their turn.
    pub(crate) fn pump(&mut self, most: u64, now: Instant) {
        if self.retry.is_some_and(|at| now < at) {
            return;
        }
        let until = self.end.saturating_add(most);
        loop {
            if self.write().is_err() {
                self.retry = Some(now + RETRY);
                return;
            }
            self.retry = None;
            let Some(pipe) = &mut self.pipe else { return };
            if self.end >= until {
                return;
            }
            self.chunk.clear();
            match read(pipe, spare_capacity(&mut self.chunk)) {
                Ok(0) => self.pipe = None,
                Ok(count) => {
                    self.held = 0..count;
                    points::hit(Point::RunnerRead);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.pipe = None,
            }
        }
    }

    /// Takes what is left once all writers are dead, and says whether everything is in the spool. Twice a pipe's
    /// content is enough for that and bounds what somebody who got away could add.
    pub(crate) fn finish(&mut self, now: Instant) -> bool {
        self.pump(2 << 20, now);
        if self.retry.is_none() {
            self.pipe = None;
        }
        self.retry.is_none()
    }

    fn write(&mut self) -> io::Result<()> {
        while !self.held.is_empty() {
            let most = self.keep_budget()?;
            // One that somebody removed is read by nobody: what comes now goes where it can be found.
            let there = |segment: &File| segment.metadata().is_ok_and(|found| found.nlink() > 0);
            let (segment, start) = match self.segment.take().filter(there) {
                Some(segment) => (segment, self.start),
                None => (open(&segment_name(self.end))?, self.end),
            };
            self.start = start;
            let length = self.end - start;
            let held = &self.chunk[self.held.start..][..most];
            let (take, last) = cut(held, length, self.limit);
            let now = points::part(Point::RunnerSpoolPartial, take);
            match segment.write_at(&self.chunk[self.held.start..self.held.start + now], length) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    let ended = held[..count].iter().rposition(|&byte| byte == b'\n');
                    self.line = ended.map_or(self.line + count as u64, |last| (count - last - 1) as u64);
                    self.held.start += count;
                    self.end += count as u64;
                    // Kept open unless it is complete.
                    self.segment = Some(segment).filter(|_| !(last && count == take));
                    let whole = self.held.is_empty();
                    points::hit(if whole { Point::RunnerSpoolDone } else { Point::RunnerSpoolPartial });
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => self.segment = Some(segment),
                // A limit on the size of files makes shorter segments; only one of zero blocks.
                Err(error) if error.kind() == ErrorKind::FileTooLarge && length > 0 => {}
                Err(error) => {
                    self.segment = Some(segment);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// How much of what is held may be written.
    fn keep_budget(&mut self) -> io::Result<usize> {
        if self.end - self.oldest >= self.budget {
            self.oldest = segments(Path::new("."))?.first().map_or(self.end, |(offset, _)| *offset);
            if self.end.saturating_sub(self.oldest) >= self.budget {
                return Err(ErrorKind::QuotaExceeded.into());
            }
        }
        match self.shared {
            Some((total, looked)) if self.end >= looked => self.keep_share(total),
            _ => Ok(self.held.len()),
        }
    }

    /// A spool grows while it is shorter than what all of them leave free. So nobody needs to know how many they are:
    /// one alone comes to half of the total, two to a third each, and whoever comes later finds room.
    fn keep_share(&mut self, total: u64) -> io::Result<usize> {
        let own = spool::length(Path::new("."));
        let free = total.saturating_sub(spool::total(Path::new("..")));
        // Slower the nearer it comes, because the others grow meanwhile.
        let stride = (free.saturating_sub(own) / 8).min(STRIDE).max(LEAST.saturating_sub(own));
        if stride == 0 {
            // The daemon keeps the last segment, and the one that a line begins in which has no end. So that it can
            // give up everything, the line is finished and the segment is complete.
            if (1..SEGMENT).contains(&self.line) {
                let held = &self.chunk[self.held.clone()];
                return Ok(held
                    .iter()
                    .position(|&byte| byte == b'\n')
                    .map_or(held.len(), |newline| newline + 1));
            }
            if self.end > self.start {
                self.segment = Some(open(&segment_name(self.end))?);
                self.start = self.end;
            }
            return Err(ErrorKind::QuotaExceeded.into());
        }
        self.shared = Some((total, self.end + stride));
        Ok(self.held.len())
    }
}

/// How much of `bytes` belongs into a segment that has `length` already, and whether it is complete then: at the
/// first newline in its second half, so that no line shorter than half a segment is ever cut, or when it is full.
fn cut(bytes: &[u8], length: u64, limit: u64) -> (usize, bool) {
    let room = limit.saturating_sub(length).max(1).min(bytes.len() as u64) as usize;
    let skip = (limit / 2).saturating_sub(length).min(room as u64) as usize;
    match bytes[skip..room].iter().position(|&byte| byte == b'\n') {
        Some(newline) => (skip + newline + 1, true),
        None => (room, length + room as u64 >= limit),
    }
}

fn open(name: &str) -> io::Result<File> {
    File::options().write(true).create(true).truncate(true).mode(0o600).open(name)
}

/// Standard error: always drained, the last [`ERR_HALF`] to twice that kept, and losing it stops nothing.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    pipe: Option<ChildStderr>,
    file: Option<File>,
    length: u64,
}

impl Ring {
    pub(crate) fn connect(&mut self, pipe: ChildStderr) {
        self.pipe = Some(pipe);
    }

    pub(crate) fn readable(&self) -> Option<&ChildStderr> {
        self.pipe.as_ref()
    }

    /// Takes what is there, a MiB at most so that the others have their turn.
    pub(crate) fn pump(&mut self) {
        // Neither kept nor zeroed: an agent that says nothing here costs no memory for it.
        let mut chunk = [MaybeUninit::<u8>::uninit(); CHUNK / 4];
        for _ in 0..64 {
            let Some(pipe) = &mut self.pipe else { return };
            match read(pipe, &mut chunk[..]) {
                Ok(([], _)) => self.pipe = None,
                Ok((bytes, _)) => self.keep(bytes),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.pipe = None,
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.length + bytes.len() as u64 > ERR_HALF {
            // If this fails, the new half begins again by truncation: bounded comes before kept.
            let _ = fs::rename(ERR_NEW, ERR_OLD);
            (self.file, self.length) = (None, 0);
        }
        if self.file.is_none() {
            self.file = open(ERR_NEW).ok();
        }
        // Counted even when it fails: part of it may have been written.
        self.length += bytes.len() as u64;
        if let Some(file) = &mut self.file {
            let _ = file.write_all(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_segment_ends_at_a_newline_of_its_second_half_or_when_full() {
        assert_eq!(cut(b"a\nb\nc\n", 0, 100), (6, false));
        assert_eq!(cut(b"a\nb\nc\n", 47, 100), (4, true), "the newline at 49 is still in the first half");
        assert_eq!(cut(b"abcdef", 97, 100), (3, true));
        assert_eq!(cut(b"abc\n", 96, 100), (4, true));
        assert_eq!(cut(b"\n", 0, 1), (1, true));
    }
}
