//! The shape of records in the store and on the wire.
//!
//! Invariant: a fact's bytes are never encoded again. A group's body is `[u32 length][i64 at_ms][fact]` for each
//! record, little-endian; the numbers are dense, so only the first is kept, in the row. A frame on the wire is a
//! small head spliced before the same bytes.

use bytes::Bytes;
use std::io::Write;
use vibes_protocol::model::{Epoch, Seq, SessionId};

/// The bytes of a group before it is compressed, at most (unless one record alone is longer).
pub const PACKED_GROUP: usize = 256 * 1024;

/// Adds one record to a group's body.
pub fn push_record(body: &mut Vec<u8>, at_ms: i64, fact: &[u8]) {
    body.extend_from_slice(&(fact.len() as u32).to_le_bytes());
    body.extend_from_slice(&at_ms.to_le_bytes());
    body.extend_from_slice(fact);
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

/// Frames of consecutive records, and where each ends.
#[derive(Debug, Default)]
pub struct Frames {
    /// The bytes, newlines included.
    pub bytes: Vec<u8>,
    /// The end of each record's frame in `bytes`.
    pub ends: Vec<u32>,
}

impl Frames {
    /// Adds the frame of one record.
    pub fn push(&mut self, session: &SessionId, epoch: Epoch, seq: Seq, at_ms: i64, fact: &[u8]) {
        // Writing to a Vec cannot fail.
        let _ = write!(
            self.bytes,
            r#"{{"type":"record","session_id":"{session}","epoch":{epoch},"seq":{seq},"at_ms":{at_ms},"fact":"#
        );
        self.bytes.extend_from_slice(fact);
        self.bytes.extend_from_slice(b"}\n");
        self.ends.push(self.bytes.len() as u32);
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
        let mut frames = Frames::default();
        frames.push(&id, 3, 9, 77, br#"{"kind":"renamed","name":null}"#);
        let text = std::str::from_utf8(&frames.bytes).unwrap();
        let message: vibes_protocol::wire::Message = serde_json::from_str(text).unwrap();
        let vibes_protocol::wire::Message::Record(record) = message else { panic!("{text}") };
        assert_eq!((record.session_id, record.epoch, record.seq, record.at_ms), (id, 3, 9, 77));
    }
}
