//! The shape of records in the store and on the wire.
//!
//! Invariant: a fact's bytes are never encoded again. A group's body is `[u32 length][i64 at_ms][fact]` for each
//! record, little-endian; the numbers are dense, so only the first is kept, in the row. A frame on the wire is a
//! small head spliced before the same bytes.

use super::StoreError;
use bytes::Bytes;
use std::io;
use vibes_protocol::model::{Epoch, Seq, SessionId};

/// The bytes of a group before it is compressed, at most (unless one record alone is longer).
pub const PACKED_GROUP: usize = 256 * 1024;

/// More than any group holds: one record is at most a line of 16 MiB, and its encoding. In bytes.
const MAX_GROUP: u64 = 64 * 1024 * 1024;

/// Unpacks group after group into the same memory: a context and a buffer for each of them would be mapped, cleared
/// and unmapped again, which costs as much as the unpacking.
#[derive(Default)]
pub struct Unpacker {
    context: Option<zstd::bulk::Decompressor<'static>>,
    body: Vec<u8>,
    rebuilt: Vec<u8>,
}

/// What is kept of a buffer for the next group, in bytes: room for one of the usual size and its last record.
const KEPT: usize = 2 * PACKED_GROUP;

impl Unpacker {
    /// The same, when something else is to be made of it.
    pub fn rebuild(
        &mut self,
        packed: &[u8],
        make: impl FnOnce(&[u8], &mut Vec<u8>) -> Result<(), StoreError>,
    ) -> Result<&[u8], StoreError> {
        self.unpack(packed).map_err(|error| StoreError::Damaged(error.to_string()))?;
        self.rebuilt.clear();
        self.rebuilt.shrink_to(KEPT);
        make(&self.body, &mut self.rebuilt)?;
        Ok(&self.rebuilt)
    }

    /// A packed group's body, until the next one. Its size stands in the frame; without one it is read as a stream.
    pub fn unpack(&mut self, packed: &[u8]) -> io::Result<&[u8]> {
        self.body.clear();
        self.body.shrink_to(KEPT);
        match zstd::zstd_safe::get_frame_content_size(packed) {
            Ok(Some(size)) if size <= MAX_GROUP => {
                self.body.reserve(size as usize);
                let context = match &mut self.context {
                    Some(context) => context,
                    none => none.insert(zstd::bulk::Decompressor::new()?),
                };
                context.decompress_to_buffer(packed, &mut self.body)?;
            }
            _ => self.body = zstd::decode_all(packed)?,
        }
        Ok(&self.body)
    }
}

/// Adds one record to a group's body.
pub fn push_record(body: &mut Vec<u8>, at_ms: i64, fact: &[u8]) {
    push_pieces(body, at_ms, &[fact]);
}

fn push_pieces(body: &mut Vec<u8>, at_ms: i64, fact: &[&[u8]]) {
    let length: usize = fact.iter().map(|piece| piece.len()).sum();
    body.extend_from_slice(&(length as u32).to_le_bytes());
    body.extend_from_slice(&at_ms.to_le_bytes());
    fact.iter().for_each(|piece| body.extend_from_slice(piece));
}

/// A group under way: the facts of one change, written once, where they are stored.
#[derive(Debug, Default)]
pub struct Group {
    /// The body.
    pub body: Vec<u8>,
    /// How many records are in it.
    pub count: u64,
}

impl Group {
    /// Adds a record; its fact may come in pieces.
    pub fn push(&mut self, at_ms: i64, fact: &[&[u8]]) {
        push_pieces(&mut self.body, at_ms, fact);
        self.count += 1;
    }

    /// Whether there is no record in it.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The records as (at_ms, fact).
    pub fn records(&self) -> impl Iterator<Item = (i64, &[u8])> {
        records(&self.body)
    }
}

/// The records of a body as (at_ms, fact). Stops at a torn end, which only a damaged store has.
pub fn records(mut body: &[u8]) -> impl Iterator<Item = (i64, &[u8])> {
    std::iter::from_fn(move || {
        let (length, rest) = body.split_first_chunk::<4>()?;
        let (at_ms, rest) = rest.split_first_chunk::<8>()?;
        let (fact, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        body = rest;
        Some((i64::from_le_bytes(*at_ms), fact))
    })
}

/// Frames of consecutive records of one session, and where each ends.
#[derive(Debug)]
pub struct Frames {
    /// The bytes, newlines included.
    pub bytes: Vec<u8>,
    /// The end of each record's frame in `bytes`.
    pub ends: Vec<u32>,
    session: SessionId,
    /// What comes before the number, under this epoch.
    head: (Epoch, String),
    /// What comes between the number and the fact, at this time. Both change seldom and are written once.
    middle: (i64, String),
}

impl Frames {
    /// No frames yet, of this session.
    pub fn of(session: &SessionId) -> Self {
        let (head, middle) = ((0, String::new()), (0, String::new()));
        Self { bytes: Vec::new(), ends: Vec::new(), session: *session, head, middle }
    }

    /// Makes room for the frames of at most so many records of this body: growing piece by piece copies what is there.
    pub fn reserve(&mut self, most: u64, body: &[u8]) {
        /// What a record has beside its fact.
        const HEAD: usize = size_of::<u32>() + size_of::<i64>();
        /// About what a frame has beside its fact.
        const AROUND: usize = 128;
        let count = usize::try_from(most).unwrap_or(usize::MAX).min(body.len() / HEAD);
        self.bytes.reserve(body.len() + count * AROUND);
        self.ends.reserve(count);
    }

    /// The same, in memory that was used before.
    pub fn within(session: &SessionId, memory: Vec<u8>) -> Self {
        Self { bytes: memory, ..Self::of(session) }
    }

    /// Adds the frame of one record.
    pub fn push(&mut self, epoch: Epoch, seq: Seq, at_ms: i64, fact: &[u8]) {
        if self.head.0 != epoch || self.head.1.is_empty() {
            let session = &self.session;
            self.head =
                (epoch, format!(r#"{{"type":"record","session_id":"{session}","epoch":{epoch},"seq":"#));
        }
        if self.middle.0 != at_ms || self.middle.1.is_empty() {
            self.middle = (at_ms, format!(r#","at_ms":{at_ms},"fact":"#));
        }
        self.bytes.extend_from_slice(self.head.1.as_bytes());
        self.bytes.extend_from_slice(itoa::Buffer::new().format(seq).as_bytes());
        self.bytes.extend_from_slice(self.middle.1.as_bytes());
        self.bytes.extend_from_slice(fact);
        self.bytes.extend_from_slice(b"}\n");
        self.ends.push(self.bytes.len() as u32);
    }

    /// Adds the frames of a group whose first record has this number.
    pub fn extend(&mut self, epoch: Epoch, first: Seq, group: &Group) {
        self.reserve(group.count, &group.body);
        for (seq, (at_ms, fact)) in (first..).zip(group.records()) {
            self.push(epoch, seq, at_ms, fact);
        }
    }

    /// As shared bytes.
    pub fn freeze(self) -> (Bytes, Vec<u32>) {
        (Bytes::from(self.bytes), self.ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_gives_back_its_records_and_stops_at_a_torn_end() {
        let mut body = Vec::new();
        push_record(&mut body, 1, b"{\"kind\":\"a\"}");
        push_record(&mut body, 2, b"{}");
        let whole: Vec<_> = records(&body).map(|(at, fact)| (at, fact.to_vec())).collect();
        assert_eq!(whole, [(1, b"{\"kind\":\"a\"}".to_vec()), (2, b"{}".to_vec())]);
        for cut in 0..body.len() {
            assert!(records(&body[..cut]).count() <= 1, "cut at {cut}");
        }
    }

    #[test]
    fn a_frame_is_a_record_message() {
        let id = SessionId::random();
        let expected = [(3, 9, 77), (3, 10, 77), (3, 11, 0), (0, 12, 0), (4, 13, -5)];
        let mut frames = Frames::of(&id);
        for (epoch, seq, at_ms) in expected {
            frames.push(epoch, seq, at_ms, br#"{"kind":"renamed","name":null}"#);
        }
        let mut begin = 0;
        for ((epoch, seq, at_ms), end) in expected.into_iter().zip(&frames.ends) {
            let text = std::str::from_utf8(&frames.bytes[begin..*end as usize]).unwrap();
            let message: vibes_protocol::wire::Message = serde_json::from_str(text).unwrap();
            let vibes_protocol::wire::Message::Record(record) = message else { panic!("{text}") };
            assert_eq!((record.session_id, record.epoch, record.seq, record.at_ms), (id, epoch, seq, at_ms));
            assert!(text.ends_with("}\n"));
            begin = *end as usize;
        }
    }
}
