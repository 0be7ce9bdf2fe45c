//! Newline framing without IO: bytes are pushed in, whole lines come out.
//!
//! Invariant: no byte is scanned twice (a line that arrives in many pieces costs one pass), and memory never
//! exceeds the limit by more than one push. A line over the limit is an explicit answer, not a truncation.

/// The longest line a client may send, in bytes, without its newline.
pub const MAX_CLIENT_LINE: usize = 1024 * 1024;
/// The longest line the daemon may send, in bytes, without its newline.
pub const MAX_DAEMON_LINE: usize = 16 * 1024 * 1024;

/// How much room an empty buffer keeps, in bytes.
const KEPT: usize = 64 * 1024;

/// How many bytes of a text fit into a client's line as a JSON string beside everything else, up to `most` and never
/// through the middle of a character.
pub fn piece(text: &str, most: usize) -> usize {
    /// A line without what is around the text.
    const ROOM: usize = MAX_CLIENT_LINE - 512;
    let mut end = text.floor_char_boundary(most.min(text.len()));
    // As JSON a character may be six.
    while size_in_json(&text[..end]) > ROOM {
        end = text.floor_char_boundary(end / 2);
    }
    end
}

fn size_in_json(text: &str) -> usize {
    text.bytes()
        .map(|byte| match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' => 2,
            0..0x20 => 6,
            _ => 1,
        })
        .sum()
}

/// What [`LineBuffer::next_line`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// One whole line, without its newline and without a carriage return before it.
    Whole(&'a [u8]),
    /// The line under way is longer than the limit; the stream cannot be followed further.
    TooLong,
}

/// A buffer that bytes are pushed into and lines are popped from.
#[derive(Debug)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    /// Start of the line under way.
    start: usize,
    /// Everything before this has been searched for a newline.
    scanned: usize,
    limit: usize,
}

impl LineBuffer {
    /// An empty buffer for lines of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), start: 0, scanned: 0, limit }
    }

    /// Adds bytes as they came from the peer.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
            if self.bytes.is_empty() && self.bytes.capacity() > KEPT {
                // One long line must not cost its memory for the life of the connection.
                self.bytes = Vec::new();
            }
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole line, or `None` when more bytes are needed.
    pub fn next_line(&mut self) -> Option<Line<'_>> {
        match memchr::memchr(b'\n', &self.bytes[self.scanned..]) {
            Some(at) => {
                let (start, end) = (self.start, self.scanned + at);
                self.start = end + 1;
                self.scanned = self.start;
                if end - start > self.limit {
                    return Some(Line::TooLong);
                }
                let line = &self.bytes[start..end];
                Some(Line::Whole(line.strip_suffix(b"\r").unwrap_or(line)))
            }
            None => {
                self.scanned = self.bytes.len();
                (self.bytes.len() - self.start > self.limit).then_some(Line::TooLong)
            }
        }
    }

    /// How many bytes of memory it takes.
    pub fn held(&self) -> usize {
        self.bytes.capacity()
    }

    /// True when bytes of an unfinished line are held.
    pub fn has_partial(&self) -> bool {
        self.bytes.len() > self.start
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(buffer: &mut LineBuffer) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        while let Some(Line::Whole(line)) = buffer.next_line() {
            lines.push(line.to_vec());
        }
        lines
    }

    #[test]
    fn splits_at_every_byte_boundary() {
        let text = b"one\ntwo\r\n\nfour\n";
        for cut in 0..=text.len() {
            let mut buffer = LineBuffer::new(100);
            buffer.push(&text[..cut]);
            let mut lines = drain(&mut buffer);
            buffer.push(&text[cut..]);
            lines.extend(drain(&mut buffer));
            assert_eq!(lines, [&b"one"[..], b"two", b"", b"four"], "cut at {cut}");
            assert!(!buffer.has_partial());
        }
    }

    #[test]
    fn a_line_at_the_limit_passes_and_one_over_it_does_not() {
        let mut buffer = LineBuffer::new(4);
        buffer.push(b"1234\n");
        assert_eq!(buffer.next_line(), Some(Line::Whole(b"1234")));
        buffer.push(b"12345\n");
        assert_eq!(buffer.next_line(), Some(Line::TooLong));
        let mut buffer = LineBuffer::new(4);
        buffer.push(b"12345");
        assert_eq!(buffer.next_line(), Some(Line::TooLong), "known before the newline comes");
    }

    #[test]
    fn a_long_line_costs_its_memory_only_while_it_is_there() {
        let mut buffer = LineBuffer::new(1 << 24);
        buffer.push(&[b'x'; 1 << 20]);
        buffer.push(b"\n");
        assert!(matches!(buffer.next_line(), Some(Line::Whole(_))));
        buffer.push(b"short");
        assert!(buffer.held() <= KEPT, "{}", buffer.held());
    }

    #[test]
    fn a_long_line_in_small_pieces_is_scanned_once() {
        let mut buffer = LineBuffer::new(1 << 24);
        for _ in 0..1 << 12 {
            buffer.push(&[b'x'; 1 << 11]);
            assert_eq!(buffer.next_line(), None);
            assert_eq!(buffer.scanned, buffer.bytes.len());
        }
    }
}
