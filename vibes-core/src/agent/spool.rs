//! Lines out of a runner's spool, from an offset.
//!
//! Invariant: only whole lines are given out, in order, each with the offset behind it; what has no newline yet stays
//! until one comes or the agent has ended. A line over the limit is a fact with its size and hash, never memory.

use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
};
use vibes_runner::spool::segments;

/// The longest line that is parsed, in bytes.
pub const MAX_LINE: usize = 16 * 1024 * 1024;
/// How much one chunk reads at most, in bytes: small enough that a hundred sessions share a core fairly, large enough
/// that a flood commits in big groups.
pub const CHUNK: usize = 256 * 1024;
/// How much of an over-long or torn line is kept to show, in bytes.
pub const HEAD: usize = 64 * 1024;

/// One line of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A whole line without its newline.
    Whole(Vec<u8>),
    /// A line over [`MAX_LINE`]: its beginning, its length and its hash.
    Oversize {
        /// The first [`HEAD`] bytes.
        head: Vec<u8>,
        /// All bytes.
        bytes: u64,
        /// SHA-256 of them, in hexadecimal.
        sha256: String,
    },
    /// What the agent left without a newline when it ended.
    Torn(Vec<u8>),
}

/// Lines and how far they reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// The lines.
    pub lines: Vec<Line>,
    /// The offset behind the last of them.
    pub to: u64,
}

/// A reader of one generation's spool.
pub struct SpoolReader {
    dir: PathBuf,
    /// Where the next byte is read.
    at: u64,
    /// The open segment: its first offset and the file.
    open: Option<(u64, File)>,
    partial: Vec<u8>,
    /// An over-long line under way.
    skipping: Option<Skipped>,
    buffer: Vec<u8>,
}

struct Skipped {
    head: Vec<u8>,
    bytes: u64,
    hash: Sha256,
}

impl Skipped {
    fn begin(mut line: Vec<u8>) -> Self {
        let mut hash = Sha256::new();
        hash.update(&line);
        let bytes = line.len() as u64;
        line.truncate(HEAD);
        line.shrink_to_fit();
        Self { head: line, bytes, hash }
    }

    fn finish(self) -> Line {
        let sha256 = hex(&self.hash.finalize());
        Line::Oversize { head: self.head, bytes: self.bytes, sha256 }
    }
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl SpoolReader {
    /// A reader that begins at `offset`, which is the beginning of a line.
    pub fn new(dir: PathBuf, offset: u64) -> Self {
        Self { dir, at: offset, open: None, partial: Vec::new(), skipping: None, buffer: Vec::new() }
    }

    /// How far bytes were read, whole lines or not.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// Reads up to [`CHUNK`] bytes further: `None` when the files hold no more just now.
    pub fn read(&mut self) -> io::Result<Option<Chunk>> {
        let count = self.fill()?;
        if count == 0 {
            return Ok(None);
        }
        let from = self.at;
        self.at += count as u64;
        let mut lines = Vec::new();
        let mut to = from - self.held();
        let buffer = std::mem::take(&mut self.buffer);
        let mut rest = &buffer[..count];
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, after) = rest.split_at(end);
            rest = &after[1..];
            lines.push(self.complete(line));
            to = self.at - rest.len() as u64;
        }
        self.keep(rest);
        // Only a flood reads full chunks, and keeps its buffer; a session that has caught up holds none.
        if count == CHUNK {
            self.buffer = buffer;
        }
        Ok(Some(Chunk { lines, to }))
    }

    /// What is left without a newline, for when the agent has ended.
    pub fn finish(&mut self) -> Option<Chunk> {
        let line = match self.skipping.take() {
            Some(skipped) => skipped.finish(),
            None if self.partial.is_empty() => return None,
            None => Line::Torn(std::mem::take(&mut self.partial)),
        };
        Some(Chunk { lines: vec![line], to: self.at })
    }

    fn held(&self) -> u64 {
        self.skipping.as_ref().map_or(self.partial.len() as u64, |skipped| skipped.bytes)
    }

    fn complete(&mut self, end: &[u8]) -> Line {
        match self.skipping.take() {
            Some(mut skipped) => {
                skipped.bytes += end.len() as u64;
                skipped.hash.update(end);
                skipped.finish()
            }
            None if self.partial.is_empty() => Line::Whole(end.to_vec()),
            None => {
                let mut line = std::mem::take(&mut self.partial);
                line.extend_from_slice(end);
                if line.len() > MAX_LINE { Skipped::begin(line).finish() } else { Line::Whole(line) }
            }
        }
    }

    fn keep(&mut self, rest: &[u8]) {
        match &mut self.skipping {
            Some(skipped) => {
                skipped.bytes += rest.len() as u64;
                skipped.hash.update(rest);
            }
            None => {
                self.partial.extend_from_slice(rest);
                if self.partial.len() > MAX_LINE {
                    self.skipping = Some(Skipped::begin(std::mem::take(&mut self.partial)));
                }
            }
        }
    }

    /// Reads bytes at `self.at` into the buffer; 0 at the present end.
    fn fill(&mut self) -> io::Result<usize> {
        loop {
            if let Some((first, file)) = &mut self.open {
                let there = file.metadata()?.len().saturating_sub(self.at - *first);
                self.buffer.resize(CHUNK.min(usize::try_from(there).unwrap_or(CHUNK)), 0);
                file.seek(SeekFrom::Start(self.at - *first))?;
                let count = file.read(&mut self.buffer)?;
                if count > 0 {
                    return Ok(count);
                }
            }
            // The end of this segment: the next one, if there is one, begins exactly here.
            let next = segments(&self.dir)?.into_iter().rfind(|(first, _)| *first <= self.at);
            match next {
                Some((first, path)) if self.open.as_ref().is_none_or(|(open, _)| *open != first) => {
                    self.open = Some((first, File::open(path)?));
                }
                _ => return Ok(0),
            }
        }
    }

    /// Removes the segments that end at or before `offset`. The last segment stays: the runner writes there.
    pub fn discard_before(&mut self, offset: u64) -> io::Result<()> {
        let all = segments(&self.dir)?;
        for pair in all.windows(2) {
            if let [(_, path), (next, _)] = pair
                && *next <= offset
            {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use vibes_runner::spool::segment_name;

    fn temp() -> PathBuf {
        let dir = std::env::temp_dir().join(format!("vibes-spool-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&dir).unwrap();
        dir
    }

    fn all(reader: &mut SpoolReader) -> (Vec<Line>, u64) {
        let (mut lines, mut to) = (Vec::new(), 0);
        while let Some(chunk) = reader.read().unwrap() {
            lines.extend(chunk.lines);
            to = chunk.to;
        }
        (lines, to)
    }

    #[test]
    fn lines_across_segments_and_from_any_line_start() {
        let dir = temp();
        std::fs::write(dir.join(segment_name(0)), b"one\ntw").unwrap();
        std::fs::write(dir.join(segment_name(6)), b"o\nthree\nfo").unwrap();
        let whole = |text: &str| Line::Whole(text.as_bytes().to_vec());
        for (offset, expected) in
            [(0, vec![whole("one"), whole("two"), whole("three")]), (8, vec![whole("three")]), (14, vec![])]
        {
            let mut reader = SpoolReader::new(dir.clone(), offset);
            let (lines, to) = all(&mut reader);
            assert_eq!(lines, expected, "from {offset}");
            assert_eq!(to, 14, "the tail without a newline is not taken");
            assert_eq!(reader.finish(), Some(Chunk { lines: vec![Line::Torn(b"fo".to_vec())], to: 16 }));
        }
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_growing_file_gives_each_line_once() {
        let dir = temp();
        let mut file = File::create(dir.join(segment_name(0))).unwrap();
        let mut reader = SpoolReader::new(dir.clone(), 0);
        let mut got = Vec::new();
        for piece in [&b"a"[..], b"b\nc", b"\n", b"", b"dd\n"] {
            file.write_all(piece).unwrap();
            got.extend(all(&mut reader).0);
        }
        let whole: Vec<Line> =
            ["ab", "c", "dd"].iter().map(|text| Line::Whole(text.as_bytes().to_vec())).collect();
        assert_eq!(got, whole);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn an_overlong_line_is_a_fact_and_the_next_line_is_fine() {
        let dir = temp();
        let long = vec![b'x'; MAX_LINE + 100_000];
        let mut file = File::create(dir.join(segment_name(0))).unwrap();
        file.write_all(&long).unwrap();
        file.write_all(b"\nnext\n").unwrap();
        let mut reader = SpoolReader::new(dir.clone(), 0);
        let (lines, _) = all(&mut reader);
        let Line::Oversize { head, bytes, sha256 } = &lines[0] else { panic!("{:?}", lines.len()) };
        assert_eq!((head.len(), *bytes), (HEAD, long.len() as u64));
        assert_eq!(*sha256, hex(&Sha256::digest(&long)));
        assert_eq!(lines[1], Line::Whole(b"next".to_vec()));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn only_finished_segments_are_discarded() {
        let dir = temp();
        for first in [0, 4, 8] {
            std::fs::write(dir.join(segment_name(first)), b"abc\n").unwrap();
        }
        let mut reader = SpoolReader::new(dir.clone(), 0);
        reader.discard_before(7).unwrap();
        assert_eq!(segments(&dir).unwrap().iter().map(|(first, _)| *first).collect::<Vec<_>>(), [4, 8]);
        reader.discard_before(12).unwrap();
        assert_eq!(segments(&dir).unwrap().len(), 1, "the last one stays");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
