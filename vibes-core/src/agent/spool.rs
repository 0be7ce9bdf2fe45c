//! Lines out of a runner's spool, from an offset.
//!
//! Invariant: only whole lines are given out, in order, each with the offset behind it; what has no newline yet stays
//! until one comes or the agent has ended. A line over the limit is a fact with its size and hash, never memory.

use crate::points::{self, Point};
use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use vibes_runner::spool::segments;

/// The longest line that is parsed, in bytes. A line of the daemon has 16 MiB at most, and what is verbatim in a record
/// has the record around it.
pub const MAX_LINE: usize = 16 * 1024 * 1024 - 64 * 1024;
/// How much one chunk reads at most, in bytes: large enough that a flood commits in big groups.
pub const CHUNK: usize = 256 * 1024;
/// How much it reads of a session that shares the daemon with many others that flood, and of one that does not flood:
/// small enough that a hundred of them move on together.
pub const LEAST: usize = 64 * 1024;
/// How much of an over-long or torn line is kept to show, in bytes.
pub const HEAD: usize = 64 * 1024;

/// One line of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A whole line without its newline.
    Whole(Bytes),
    /// A line over [`MAX_LINE`]: its beginning, its length and its hash.
    Oversize {
        /// The first [`HEAD`] bytes.
        head: Vec<u8>,
        /// All bytes.
        bytes: u64,
        /// SHA-256 of them, in hexadecimal.
        sha256: String,
    },
    /// What the agent left without a newline when it ended, or before a place that is lost.
    Torn(Vec<u8>),
    /// Output that is not there.
    Lost {
        /// Where it would begin.
        from: u64,
        /// Why, for a person.
        why: String,
    },
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
    floods: Arc<AtomicUsize>,
    /// Counts this one among the floods.
    flooding: Option<Counted>,
}

/// One more of something, until it is dropped.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a look at the files gave.
enum Filled {
    /// These.
    Bytes(Bytes),
    /// Nothing more just now.
    End,
    /// No segment holds this place, and the next one begins there.
    Gap(u64),
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
    /// A reader that begins at `offset`, which is the beginning of a line. `floods` counts those of all readers that
    /// have more waiting than one chunk holds.
    pub fn new(dir: PathBuf, offset: u64, floods: Arc<AtomicUsize>) -> Self {
        Self { dir, at: offset, open: None, partial: Vec::new(), skipping: None, floods, flooding: None }
    }

    /// Another reader of the same spool, which begins at `offset`.
    pub fn at(&self, offset: u64) -> Self {
        Self::new(self.dir.clone(), offset, self.floods.clone())
    }

    /// How far bytes were read, whole lines or not.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// Reads up to [`CHUNK`] bytes further: `None` when the files hold no more just now. One flood alone is committed
    /// in big groups; many take small turns, so that none waits long for its own.
    pub fn read(&mut self) -> io::Result<Option<Chunk>> {
        let share = CHUNK / self.floods.load(Ordering::Relaxed).max(1);
        let most = if self.flooding.is_some() { share.max(LEAST) } else { LEAST };
        let filled = self.fill(most)?;
        let full = matches!(&filled, Filled::Bytes(bytes) if bytes.len() == most);
        if !full {
            self.flooding = None;
        } else if self.flooding.is_none() {
            self.flooding = Some(Counted::new(&self.floods));
        }
        let bytes = match filled {
            Filled::Bytes(bytes) => bytes,
            Filled::End => return Ok(None),
            Filled::Gap(next) => return Ok(Some(self.skip_to(next))),
        };
        let from = self.at;
        self.at += bytes.len() as u64;
        let (mut lines, mut to, mut begin) = (Vec::new(), from - self.held(), 0);
        for end in memchr::memchr_iter(b'\n', &bytes) {
            lines.push(self.complete(bytes.slice(begin..end)));
            begin = end + 1;
            to = from + begin as u64;
        }
        self.keep(&bytes[begin..]);
        Ok(Some(Chunk { lines, to }))
    }

    /// What is left without a newline, for when the agent has ended.
    pub fn finish(&mut self) -> Option<Chunk> {
        let lines = self.cut_short();
        (!lines.is_empty()).then_some(Chunk { lines, to: self.at })
    }

    /// The line under way, as far as it goes. Zeros at its end were never written: a machine that went down leaves
    /// them where the length of a file was kept and its content was not.
    fn cut_short(&mut self) -> Vec<Line> {
        if let Some(skipped) = self.skipping.take() {
            return vec![skipped.finish()];
        }
        let mut partial = std::mem::take(&mut self.partial);
        let written = partial.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let zeros = partial.len() - written;
        partial.truncate(written);
        let torn = (written > 0).then_some(Line::Torn(partial));
        let why = format!("its last {zeros} bytes were never written: the machine went down");
        let lost = (zeros > 0).then(|| Line::Lost { from: self.at - zeros as u64, why });
        torn.into_iter().chain(lost).collect()
    }

    /// Goes on behind a place that no segment holds.
    fn skip_to(&mut self, next: u64) -> Chunk {
        let from = self.at;
        let mut lines = self.cut_short();
        lines.push(Line::Lost { from, why: format!("{} bytes are missing in its spool", next - from) });
        self.at = next;
        Chunk { lines, to: next }
    }

    /// Goes on at `end`, to which a runner has written, when the files hold less than that.
    pub fn give_up_to(&mut self, end: u64) -> Option<Chunk> {
        (self.at < end).then(|| self.skip_to(end))
    }

    /// Goes on behind everything that the files hold, which cannot be read.
    pub fn give_up(&mut self, why: &str) -> Chunk {
        let from = self.at;
        let all = segments(&self.dir).unwrap_or_default();
        let end =
            all.last().map_or(from, |(first, path)| first + path.metadata().map_or(0, |file| file.len()));
        let mut lines = self.cut_short();
        lines.push(Line::Lost { from, why: why.to_owned() });
        self.at = end.max(from);
        Chunk { lines, to: self.at }
    }

    fn held(&self) -> u64 {
        self.skipping.as_ref().map_or(self.partial.len() as u64, |skipped| skipped.bytes)
    }

    fn complete(&mut self, end: Bytes) -> Line {
        match self.skipping.take() {
            Some(mut skipped) => {
                skipped.bytes += end.len() as u64;
                skipped.hash.update(&end);
                skipped.finish()
            }
            None if self.partial.is_empty() => Line::Whole(end),
            None => {
                let mut line = std::mem::take(&mut self.partial);
                line.extend_from_slice(&end);
                if line.len() > MAX_LINE { Skipped::begin(line).finish() } else { Line::Whole(line.into()) }
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

    /// Reads bytes at `self.at`.
    fn fill(&mut self, most: usize) -> io::Result<Filled> {
        // A later segment exists only when the one before it is complete: one more look at that one tells for sure.
        let mut gap = None;
        loop {
            if let Some((first, file)) = &mut self.open {
                let there = file.metadata()?.len().saturating_sub(self.at - *first);
                let mut buffer = BytesMut::zeroed(most.min(usize::try_from(there).unwrap_or(most)));
                file.seek(SeekFrom::Start(self.at - *first))?;
                let count = file.read(&mut buffer)?;
                buffer.truncate(count);
                if !buffer.is_empty() {
                    return Ok(Filled::Bytes(buffer.freeze()));
                }
            }
            if let Some(next) = gap {
                return Ok(Filled::Gap(next));
            }
            // The end of this segment: the next one, if there is one, begins exactly here.
            let all = segments(&self.dir)?;
            let later = all.iter().find(|(first, _)| *first > self.at).map(|(first, _)| *first);
            match all.into_iter().rfind(|(first, _)| *first <= self.at) {
                Some((first, path)) if self.open.as_ref().is_none_or(|(open, _)| *open != first) => {
                    self.open = Some((first, File::open(path)?));
                }
                _ if later.is_some() => gap = later,
                _ => return Ok(Filled::End),
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
                points::hit(Point::GcBeforeUnlink);
                std::fs::remove_file(path)?;
                points::hit(Point::GcAfterUnlink);
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
        let whole = |text: &str| Line::Whole(text.to_owned().into());
        for (offset, expected) in
            [(0, vec![whole("one"), whole("two"), whole("three")]), (8, vec![whole("three")]), (14, vec![])]
        {
            let mut reader = SpoolReader::new(dir.clone(), offset, Arc::default());
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
        let mut reader = SpoolReader::new(dir.clone(), 0, Arc::default());
        let mut got = Vec::new();
        for piece in [&b"a"[..], b"b\nc", b"\n", b"", b"dd\n"] {
            file.write_all(piece).unwrap();
            got.extend(all(&mut reader).0);
        }
        let whole: Vec<Line> =
            ["ab", "c", "dd"].iter().map(|text| Line::Whole(Bytes::from_static(text.as_bytes()))).collect();
        assert_eq!(got, whole);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn fault_56_a_line_that_comes_in_two_pieces_is_one_line_wherever_it_is_cut() {
        let text = "{\"a\":\"\u{e9}\u{8a9e}\u{1f469}\u{200d}\u{1f4bb}\\u0041\"}\r\n\n{}\n".as_bytes();
        let expected: Vec<&[u8]> = text[..text.len() - 1].split(|byte| *byte == b'\n').collect();
        for cut in 0..=text.len() {
            let dir = temp();
            let mut file = File::create(dir.join(segment_name(0))).unwrap();
            let mut reader = SpoolReader::new(dir.clone(), 0, Arc::default());
            let mut got = Vec::new();
            for piece in [&text[..cut], &text[cut..]] {
                file.write_all(piece).unwrap();
                got.extend(all(&mut reader).0);
            }
            let got: Vec<&[u8]> = got
                .iter()
                .map(|line| match line {
                    Line::Whole(line) => &line[..],
                    other => panic!("cut at {cut}: {other:?}"),
                })
                .collect();
            assert_eq!(got, expected, "cut at {cut}");
            std::fs::remove_dir_all(dir).unwrap();
        }
    }

    #[test]
    fn fault_43_an_overlong_line_is_a_fact_and_the_next_line_is_fine() {
        let dir = temp();
        let long = vec![b'x'; MAX_LINE + 100_000];
        let mut file = File::create(dir.join(segment_name(0))).unwrap();
        file.write_all(&long).unwrap();
        file.write_all(b"\nnext\n").unwrap();
        let mut reader = SpoolReader::new(dir.clone(), 0, Arc::default());
        let (lines, _) = all(&mut reader);
        let Line::Oversize { head, bytes, sha256 } = &lines[0] else { panic!("{:?}", lines.len()) };
        assert_eq!((head.len(), *bytes), (HEAD, long.len() as u64));
        assert_eq!(*sha256, hex(&Sha256::digest(&long)));
        assert_eq!(lines[1], Line::Whole(Bytes::from_static(b"next")));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn fault_37_a_segment_that_is_missing_is_told_and_what_follows_is_read() {
        let dir = temp();
        std::fs::write(dir.join(segment_name(0)), b"one\nhalf").unwrap();
        std::fs::write(dir.join(segment_name(20)), b"three\n").unwrap();
        std::fs::write(dir.join(segment_name(30)), b"four\n").unwrap();
        let lost = |from: u64, bytes: u64| Line::Lost {
            from,
            why: format!("{bytes} bytes are missing in its spool"),
        };
        let whole = |text: &str| Line::Whole(text.as_bytes().to_vec().into());
        let (lines, to) = all(&mut SpoolReader::new(dir.clone(), 0, Arc::default()));
        let torn = Line::Torn(b"half".to_vec());
        assert_eq!(lines, [whole("one"), torn, lost(8, 12), whole("three"), lost(26, 4), whole("four")]);
        assert_eq!(to, 35);
        // A cursor before every segment, and one behind them all.
        std::fs::remove_file(dir.join(segment_name(0))).unwrap();
        assert_eq!(all(&mut SpoolReader::new(dir.clone(), 4, Arc::default())).0[0], lost(4, 16));
        assert_eq!(all(&mut SpoolReader::new(dir.clone(), 99, Arc::default())).0, []);
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn many_floods_take_smaller_turns_and_one_alone_a_big_one() {
        let dir = temp();
        std::fs::write(dir.join(segment_name(0)), b"line\n".repeat(CHUNK)).unwrap();
        let floods = Arc::new(AtomicUsize::new(0));
        let mut reader = SpoolReader::new(dir.clone(), 0, floods.clone());
        let mut turn = |others: usize| {
            floods.fetch_add(others, Ordering::Relaxed);
            let before = reader.position();
            reader.read().unwrap().unwrap();
            floods.fetch_sub(others, Ordering::Relaxed);
            (reader.position() - before) as usize
        };
        assert_eq!([turn(0), turn(0), turn(1), turn(99)], [LEAST, CHUNK, CHUNK / 2, LEAST]);
        assert_eq!(floods.load(Ordering::Relaxed), 1);
        while reader.read().unwrap().is_some() {}
        assert_eq!(floods.load(Ordering::Relaxed), 0, "who has caught up is no flood");
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn fault_37_zeros_at_the_end_are_no_words_of_the_agent() {
        for (text, torn) in
            [(&b"one\ntw\0\0\0"[..], vec![Line::Torn(b"tw".to_vec())]), (b"one\n\0\0\0", vec![])]
        {
            let dir = temp();
            std::fs::write(dir.join(segment_name(0)), text).unwrap();
            let mut reader = SpoolReader::new(dir.clone(), 0, Arc::default());
            all(&mut reader);
            let mut rest = reader.finish().unwrap();
            let lost = rest.lines.pop();
            assert!(
                matches!(lost, Some(Line::Lost { from, .. }) if from == text.len() as u64 - 3),
                "{lost:?}"
            );
            assert_eq!((rest.lines, rest.to), (torn, text.len() as u64));
            std::fs::remove_dir_all(dir).unwrap();
        }
    }

    #[test]
    fn only_finished_segments_are_discarded() {
        let dir = temp();
        for first in [0, 4, 8] {
            std::fs::write(dir.join(segment_name(first)), b"abc\n").unwrap();
        }
        let mut reader = SpoolReader::new(dir.clone(), 0, Arc::default());
        reader.discard_before(7).unwrap();
        assert_eq!(segments(&dir).unwrap().iter().map(|(first, _)| *first).collect::<Vec<_>>(), [4, 8]);
        reader.discard_before(12).unwrap();
        assert_eq!(segments(&dir).unwrap().len(), 1, "the last one stays");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
