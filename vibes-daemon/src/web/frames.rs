//! Frames of a WebSocket, without IO: bytes in, messages out, and messages as frames.
//!
//! Invariant: a message of the wire is one text frame. What is written shares the bytes that were encoded at commit: only
//! heads of two to ten bytes are made for each client. What is read goes through `tungstenite`, which checks it.

use crate::wire::Heard;
use bytes::Bytes;
use std::io::{self, Read, Write};
use tungstenite::{
    Error,
    protocol::{
        CloseFrame, Message, Role, WebSocketConfig, WebSocketContext,
        frame::{
            Frame, FrameHeader,
            coding::{CloseCode, Data, OpCode},
        },
    },
};
use vibes_protocol::codec::MAX_CLIENT_LINE;

/// How much is read into the library's buffer at once: most requests are shorter.
const CHUNK: usize = 4 * 1024;

/// What came and was not read yet, and what the library answers by itself.
#[derive(Default)]
struct Pipe {
    incoming: Vec<u8>,
    at: usize,
    outgoing: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let rest = &self.incoming[self.at..];
        if rest.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A buffer that bytes are pushed into and messages are popped from.
pub struct Decoder {
    context: WebSocketContext,
    pipe: Pipe,
    /// The message that was given last.
    message: Bytes,
    /// Bytes that came since then.
    pending: usize,
    ended: bool,
}

impl Default for Decoder {
    fn default() -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(CHUNK)
            .write_buffer_size(0)
            .max_write_buffer_size(CHUNK)
            .max_message_size(Some(MAX_CLIENT_LINE))
            .max_frame_size(Some(MAX_CLIENT_LINE));
        Self {
            context: WebSocketContext::new(Role::Server, Some(config)),
            pipe: Pipe::default(),
            message: Bytes::new(),
            pending: 0,
            ended: false,
        }
    }
}

impl Decoder {
    /// Adds bytes as they came from the peer.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pipe.incoming.drain(..self.pipe.at);
        self.pipe.at = 0;
        self.pipe.incoming.extend_from_slice(bytes);
        self.pending += bytes.len();
    }

    /// What is next, if it is whole.
    pub fn next(&mut self) -> Option<Heard<'_>> {
        if self.ended {
            return None;
        }
        match self.context.read(&mut self.pipe) {
            Ok(Message::Text(text)) => {
                self.pending = 0;
                self.message = text.into();
                Some(Heard::Message(&self.message))
            }
            Ok(Message::Binary(_)) => {
                self.ended = true;
                Some(Heard::Broken("messages are text frames, and this one is binary".to_owned()))
            }
            Ok(Message::Close(_)) => {
                self.ended = true;
                let _ = self.context.flush(&mut self.pipe);
                Some(Heard::Goodbye(std::mem::take(&mut self.pipe.outgoing).into()))
            }
            Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {
                self.pending = 0;
                let _ = self.context.flush(&mut self.pipe);
                Some(Heard::Life(std::mem::take(&mut self.pipe.outgoing).into()))
            }
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => {
                self.ended = true;
                Some(match error {
                    Error::Capacity(_) => Heard::TooLong,
                    Error::ConnectionClosed | Error::AlreadyClosed => Heard::Goodbye(Bytes::new()),
                    error => Heard::Broken(format!("not a WebSocket's frames: {error}")),
                })
            }
        }
    }

    /// Whether a message is under way, as far as that can be told.
    pub fn has_partial(&self) -> bool {
        self.pending > 0 && !self.ended
    }

    /// How many bytes of memory it takes.
    pub fn held(&self) -> usize {
        CHUNK + self.pending + self.pipe.incoming.capacity()
    }
}

/// The messages of `pieces`, which are whole lines together, as frames: a head and a body each, by turns.
pub fn framed(pieces: &[Bytes]) -> Vec<Bytes> {
    // All heads lie in one buffer, so that a page of records costs one allocation and not one for each.
    let (mut heads, mut bodies) = (Vec::new(), Vec::new());
    for piece in pieces {
        let mut start = 0;
        while start < piece.len() {
            let end = memchr::memchr(b'\n', &piece[start..]).map_or(piece.len(), |at| start + at);
            if end > start {
                let from = heads.len();
                head(end - start, &mut heads);
                bodies.push((from..heads.len(), piece.slice(start..end)));
            }
            start = end + 1;
        }
    }
    let heads = Bytes::from(heads);
    bodies.into_iter().flat_map(|(head, body)| [heads.slice(head), body]).collect()
}

fn head(length: usize, into: &mut Vec<u8>) {
    let header = FrameHeader { opcode: OpCode::Data(Data::Text), ..FrameHeader::default() };
    // Writing to memory cannot fail.
    let _ = header.format(length as u64, into);
}

/// Asks for a sign of life.
pub fn ping() -> Bytes {
    whole(Frame::ping(Bytes::new()))
}

/// Says goodbye. A client that knows why comes back, or does not.
pub fn close(reason: &str) -> Bytes {
    let code = match reason {
        "" => CloseCode::Normal,
        "shutdown" => CloseCode::Restart,
        "slow" | "silent" => CloseCode::Again,
        _ => CloseCode::Policy,
    };
    whole(Frame::close(Some(CloseFrame { code, reason: reason.to_owned().into() })))
}

fn whole(frame: Frame) -> Bytes {
    let mut bytes = Vec::with_capacity(frame.len());
    // Writing to memory cannot fail.
    let _ = frame.format(&mut bytes);
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as a client sends it.
    fn sent(opcode: u8, body: &[u8]) -> Vec<u8> {
        assert!(body.len() < 126);
        let mask = [1, 2, 3, 4];
        let mut frame = vec![0x80 | opcode, 0x80 | body.len() as u8];
        frame.extend(mask);
        frame.extend(body.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    fn messages(decoder: &mut Decoder) -> Vec<String> {
        let mut found = Vec::new();
        while let Some(heard) = decoder.next() {
            found.push(match heard {
                Heard::Message(text) => String::from_utf8(text.to_vec()).unwrap(),
                Heard::Life(answer) => format!("life {}", answer.len()),
                Heard::Goodbye(answer) => format!("goodbye {}", answer.len()),
                Heard::TooLong => "too long".to_owned(),
                Heard::Broken(_) => "broken".to_owned(),
            });
        }
        found
    }

    #[test]
    fn messages_are_found_at_every_byte() {
        let all = [sent(1, b"{\"a\":1}"), sent(9, b"hi"), sent(1, b"two"), sent(8, b"")].concat();
        for cut in 0..=all.len() {
            let mut decoder = Decoder::default();
            decoder.push(&all[..cut]);
            let mut found = messages(&mut decoder);
            decoder.push(&all[cut..]);
            found.extend(messages(&mut decoder));
            assert_eq!(found, ["{\"a\":1}", "life 4", "two", "goodbye 2"], "cut at {cut}");
        }
    }

    #[test]
    fn what_is_no_frame_of_a_client_is_told() {
        let mut decoder = Decoder::default();
        decoder.push(b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(messages(&mut decoder), ["broken"]);
        let mut decoder = Decoder::default();
        decoder.push(&sent(2, b"binary"));
        assert_eq!(messages(&mut decoder), ["broken"]);
        let mut decoder = Decoder::default();
        // A head that announces two megabytes.
        decoder.push(&[0x81, 0xff, 0, 0, 0, 0, 0, 0x20, 0, 0, 1, 2, 3, 4, 0, 0, 0, 0]);
        assert_eq!(messages(&mut decoder), ["too long"]);
    }

    #[test]
    fn each_line_is_a_frame_that_shares_its_bytes() {
        let pieces = [Bytes::from_static(b"one\ntwo\n"), Bytes::from("x".repeat(70_000) + "\n")];
        let framed = framed(&pieces);
        assert_eq!(framed.len(), 6);
        assert_eq!(framed[0][..], [0x81, 3]);
        assert_eq!(framed[1].as_ptr(), pieces[0].as_ptr(), "nothing is copied");
        assert_eq!((&framed[3][..], framed[4].len(), framed[5].len()), (&b"two"[..], 10, 70_000));
    }
}
