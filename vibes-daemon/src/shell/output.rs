//! From a command's bytes to the texts of updates. Pure: time comes in as an argument.
//!
//! Invariant: the texts joined are the bytes decoded, in order, each character whole however the reads cut it;
//! memory is bounded by one text and the tail.

use std::time::{Duration, Instant};

/// How long a lone line may wait for company. Fifty updates a second are as many as a person can tell apart.
pub(super) const PACE: Duration = Duration::from_millis(20);
/// A text that has grown to this is sent without waiting: pace limits the number of small updates, never throughput.
pub(super) const CHUNK: usize = 32 * 1024;
/// How much of the end of the output is kept for the tool call.
const TAIL: usize = 64 * 1024;

/// Collects output and cuts it into texts.
#[derive(Debug)]
pub(super) struct Output {
    /// What is not sent yet. May end inside a character.
    pending: Vec<u8>,
    /// Before this nothing small is sent.
    not_before: Instant,
    tail: String,
}

impl Output {
    pub(super) fn new(now: Instant) -> Self {
        Self { pending: Vec::new(), not_before: now, tail: String::new() }
    }

    /// Adds what was read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    /// When there will be a text, if nothing more comes. The past means now.
    pub(super) fn due(&self, now: Instant) -> Option<Instant> {
        match self.whole() {
            0 => None,
            CHUNK.. => Some(now),
            _ => Some(self.not_before),
        }
    }

    /// The next text, when it is due.
    pub(super) fn take(&mut self, now: Instant) -> Option<String> {
        if self.due(now)? > now {
            return None;
        }
        self.not_before = now + PACE;
        Some(self.cut(self.whole()))
    }

    /// Everything left, a cut character included.
    pub(super) fn finish(&mut self) -> Option<String> {
        (!self.pending.is_empty()).then(|| self.cut(self.pending.len()))
    }

    /// How many pending bytes do not end in the middle of a character.
    fn whole(&self) -> usize {
        // A character has at most four bytes, so an unfinished one begins in the last three.
        let window = self.pending.len().saturating_sub(3);
        for start in (window..self.pending.len()).rev() {
            if let Err(error) = std::str::from_utf8(&self.pending[start..])
                && error.error_len().is_none()
                && error.valid_up_to() == 0
            {
                return start;
            }
        }
        self.pending.len()
    }

    fn cut(&mut self, length: usize) -> String {
        let text = String::from_utf8_lossy(&self.pending[..length]).into_owned();
        self.pending.drain(..length);
        self.tail.push_str(&text);
        // Cut with slack, so that a flood of small texts does not move 64 KiB for each of them.
        if self.tail.len() > 2 * TAIL {
            self.trim_tail();
        }
        text
    }

    fn trim_tail(&mut self) {
        let from = self.tail.ceil_char_boundary(self.tail.len().saturating_sub(TAIL));
        self.tail.drain(..from);
    }

    /// Ends the collecting: the tail at its exact size.
    pub(super) fn close(mut self) -> String {
        self.trim_tail();
        self.tail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `bytes` in pieces and returns the texts.
    fn texts(bytes: &[u8], piece: usize) -> Vec<String> {
        let start = Instant::now();
        let mut output = Output::new(start);
        let mut texts = Vec::new();
        for (n, part) in bytes.chunks(piece).enumerate() {
            output.push(part);
            texts.extend(output.take(start + PACE * n as u32));
        }
        texts.extend(output.finish());
        texts
    }

    #[test]
    fn characters_stay_whole_at_every_cut() {
        let text = "aé漢🙂\u{0}z".repeat(3);
        for piece in 1..text.len() {
            let texts = texts(text.as_bytes(), piece);
            assert_eq!(texts.concat(), text, "pieces of {piece}");
        }
    }

    #[test]
    fn broken_bytes_are_replaced_and_do_not_hold_anything_back() {
        assert_eq!(texts(b"a\xffb", 1).concat(), "a\u{fffd}b");
        assert_eq!(texts(b"\xf0\x9f", 1).concat(), "\u{fffd}", "cut off at the end");
        assert_eq!(texts(b"\x80\x80\x80x", 4).concat(), "\u{fffd}\u{fffd}\u{fffd}x");
    }

    #[test]
    fn a_lone_line_goes_at_once_and_the_next_waits_for_company() {
        let now = Instant::now();
        let mut output = Output::new(now);
        output.push(b"one\n");
        assert_eq!(output.take(now).as_deref(), Some("one\n"));
        output.push(b"two\n");
        assert_eq!(output.take(now), None);
        assert_eq!(output.due(now), Some(now + PACE));
        output.push(b"three\n");
        assert_eq!(output.take(now + PACE).as_deref(), Some("two\nthree\n"));
        assert_eq!(output.due(now), None);
    }

    #[test]
    fn a_full_text_does_not_wait() {
        let now = Instant::now();
        let mut output = Output::new(now + PACE);
        output.push(&vec![b'x'; CHUNK]);
        assert_eq!(output.take(now).map(|text| text.len()), Some(CHUNK));
    }

    #[test]
    fn the_tail_is_the_end_of_the_output() {
        let mut output = Output::new(Instant::now());
        let text = "0123456789é".repeat(40_000);
        for part in text.as_bytes().chunks(1000) {
            output.push(part);
            output.finish();
        }
        let tail = output.close();
        assert!(tail.len() <= TAIL && tail.len() > TAIL - 4, "{}", tail.len());
        assert!(tail.ends_with("0123456789é"));
    }
}
