//! The bytes of one connection on their way out.
//!
//! Invariant: messages go out whole and in order. Of what a stuck client does not take, only the rest of the one under
//! way is kept; everything behind it is let go, and whoever wrote it is told how many those were. The last word
//! finds room in the socket although the client takes nothing, and waits there until it does.

use crate::{
    budget,
    connection::Connection,
    wire::{Unit, Wire},
};
use bytes::Bytes;
use std::{
    io::{self, IoSlice},
    time::Duration,
};
use tokio::time::Instant;

/// Why something was not written.
pub(crate) enum Failed {
    /// The client is gone.
    Gone,
    /// It takes nothing, or the connection is to end.
    Stuck(Rest),
}

/// What a stuck client has not taken.
pub(crate) struct Rest {
    /// The rest of the message under way, or the next one, as it stands on the socket.
    pub(crate) line: Vec<u8>,
    /// How many messages came after it.
    pub(crate) lines: u64,
}

/// What is left of some pieces.
struct Left {
    pieces: Vec<Bytes>,
    first: usize,
    unit: Unit,
}

/// How many pieces the system takes at once.
const AT_ONCE: usize = 1024;

impl Left {
    fn slices(&self) -> Vec<IoSlice<'_>> {
        self.pieces[self.first..].iter().take(AT_ONCE).map(|piece| IoSlice::new(piece)).collect()
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(piece) = self.pieces.get_mut(self.first) {
            if written < piece.len() {
                *piece = piece.slice(written..);
                return;
            }
            written -= piece.len();
            // Let go at once: what a client has is nobody's any more.
            *piece = Bytes::new();
            self.first += 1;
        }
    }

    fn rest(self) -> Rest {
        let mut rest = Rest { line: Vec::new(), lines: 0 };
        let left = &self.pieces[self.first..];
        if self.unit != Unit::Line {
            // A head that is on its way takes its body along; a body is alone.
            let whole = if self.unit == Unit::Rest { left.len() } else { 2 - self.first % 2 };
            let (under_way, behind) = left.split_at(whole.min(left.len()));
            rest.line = under_way.concat();
            rest.lines = behind.len() as u64 / 2;
            return rest;
        }
        for piece in left {
            let mut piece = &piece[..];
            if rest.line.last() != Some(&b'\n') {
                let end = piece.iter().position(|byte| *byte == b'\n').map_or(piece.len(), |at| at + 1);
                rest.line.extend_from_slice(&piece[..end]);
                piece = &piece[end..];
            }
            rest.lines += piece.iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        rest
    }
}

/// Writes pieces that are whole lines together. Gives up after `patience` without any progress; sooner when the
/// connection is to end, or when all clients together hold too much.
pub(crate) async fn offer(
    connection: &Connection,
    wire: &Wire,
    mut pieces: Vec<Bytes>,
    patience: Duration,
) -> Result<(), Failed> {
    pieces.retain(|piece| !piece.is_empty());
    let (pieces, unit) = wire.framed(pieces);
    push(connection, wire, Left { pieces, first: 0, unit }, patience).await
}

/// Writes what stands as it is to stand on the socket: the rest of a message, or what is said between two.
pub(crate) async fn offer_rest(
    connection: &Connection,
    wire: &Wire,
    rest: Bytes,
    patience: Duration,
) -> Result<(), Failed> {
    push(connection, wire, Left { pieces: vec![rest], first: 0, unit: Unit::Rest }, patience).await
}

async fn push(
    connection: &Connection,
    wire: &Wire,
    mut left: Left,
    patience: Duration,
) -> Result<(), Failed> {
    let mut since = Instant::now();
    while left.first < left.pieces.len() {
        let mut written = wire.try_write_vectored(&left.slices());
        if matches!(&written, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            // A connection that is to end, and a daemon that holds too much, wait for nobody.
            let ending = connection.is_ending();
            let hurry = ending || connection.server.memory.is_over();
            let patience = if hurry { patience.min(budget::PATIENCE) } else { patience };
            let waited = since.elapsed();
            if waited >= patience {
                return Err(Failed::Stuck(left.rest()));
            }
            tokio::select! {
                _ = wire.writable() => {}
                () = connection.ended(), if !ending => {}
                () = tokio::time::sleep(budget::LOOK.min(patience - waited)) => {}
            }
            // Tried whatever the socket says: it counts as writable only when three quarters of it are free.
            written = rustix::io::writev(wire, &left.slices()).map_err(io::Error::from);
        }
        match written {
            Ok(0) => return Err(Failed::Gone),
            Ok(written) => {
                since = Instant::now();
                left.advance(written);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => return Err(Failed::Gone),
        }
    }
    Ok(())
}

/// The last word to a client that may take nothing: the rest of the message under way, and the farewell, both as they
/// are to stand on the socket. A rest that does not fit ends the connection in the middle of its message, which then
/// is none.
pub(crate) fn part(wire: &Wire, line: Vec<u8>, farewell: Bytes) {
    // Where it cannot be widened the word may still fit.
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(wire, budget::LAST_WORD);
    let mut left = Left { pieces: vec![line.into(), farewell], first: 0, unit: Unit::Rest };
    left.pieces.retain(|piece| !piece.is_empty());
    while left.first < left.pieces.len() {
        match rustix::io::writev(wire, &left.slices()) {
            Ok(written) if written > 0 => left.advance(written),
            Err(rustix::io::Errno::INTR) => {}
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_line_is_found_at_every_byte() {
        let lines = b"one\ntwo\nthree\n";
        for cut in 1..lines.len() {
            for written in 0..lines.len() {
                let pieces =
                    vec![Bytes::copy_from_slice(&lines[..cut]), Bytes::copy_from_slice(&lines[cut..])];
                let mut left = Left { pieces, first: 0, unit: Unit::Line };
                left.advance(written);
                let rest = left.rest();
                let behind = &lines[written..];
                let end = behind.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                assert_eq!(rest.line, behind[..end], "cut at {cut}, written {written}");
                assert_eq!(rest.lines as usize, behind[end..].iter().filter(|byte| **byte == b'\n').count());
            }
        }
    }
    #[test]
    fn the_rest_of_a_frame_is_found_at_every_byte() {
        let frames: [&[u8]; 6] = [b"H1", b"one", b"H2", b"two", b"H3", b"three"];
        let all = frames.concat();
        let ends = [5, 10, 17];
        for written in 0..all.len() {
            let pieces = frames.iter().map(|piece| Bytes::from_static(piece)).collect();
            let mut left = Left { pieces, first: 0, unit: Unit::Pair };
            left.advance(written);
            let rest = left.rest();
            let end = ends.into_iter().find(|end| *end > written).unwrap();
            assert_eq!(rest.line, all[written..end], "written {written}");
            assert_eq!(rest.lines as usize, ends.iter().filter(|other| **other > end).count());
        }
    }
}
