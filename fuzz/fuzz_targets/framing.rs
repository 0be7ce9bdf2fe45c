//! Newline framing: however the bytes are cut on their way, the same lines come out.
//!
//! Input: a limit, a piece length, then the stream.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vibes_protocol::codec::{Line, LineBuffer};

/// The lines up to the first that is too long, and whether there was one.
fn lines<'a>(limit: usize, pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, bool) {
    let mut buffer = LineBuffer::new(limit);
    let mut lines = Vec::new();
    for piece in pieces {
        buffer.push(piece);
        while let Some(line) = buffer.next_line() {
            match line {
                Line::Whole(line) => lines.push(line.to_vec()),
                Line::TooLong => return (lines, true),
            }
        }
    }
    (lines, false)
}

/// What framing means, said as simply as possible.
fn expected(limit: usize, stream: &[u8]) -> (Vec<Vec<u8>>, bool) {
    let mut lines = Vec::new();
    let mut parts = stream.split(|byte| *byte == b'\n').peekable();
    while let Some(part) = parts.next() {
        if part.len() > limit {
            return (lines, true);
        }
        // What stands after the last newline is no line yet.
        if parts.peek().is_some() {
            lines.push(part.strip_suffix(b"\r").unwrap_or(part).to_vec());
        }
    }
    (lines, false)
}

fuzz_target!(|data: &[u8]| {
    let [limit, piece, stream @ ..] = data else { return };
    let limit = usize::from(*limit);
    let expected = expected(limit, stream);
    assert_eq!(lines(limit, std::iter::once(stream)), expected, "in one piece");
    let piece = usize::from(*piece).max(1);
    assert_eq!(lines(limit, stream.chunks(piece)), expected, "in pieces of {piece}");
});
