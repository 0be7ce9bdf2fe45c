//! The bytes of one connection on their way out.
//!
//! Invariant: lines go out whole and in order. Of what a stuck client does not take, only the rest of the line under
//! way is kept; everything behind it is let go, and whoever wrote it is told how many lines that were. The last word
//! finds room in the socket although the client takes nothing, and waits there until it does.

use crate::{budget, connection::Connection, listen::Wire};
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
    /// The rest of the line under way, or the next one; ends in a newline.
    pub(crate) line: Vec<u8>,
    /// How many lines came after it.
    pub(crate) lines: u64,
}

/// What is left of some pieces.
struct Left {
    pieces: Vec<Bytes>,
    first: usize,
}

impl Left {
    fn slices(&self) -> Vec<IoSlice<'_>> {
        self.pieces[self.first..].iter().take(64).map(|piece| IoSlice::new(piece)).collect()
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
        for piece in &self.pieces[self.first..] {
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
    let mut left = Left { pieces, first: 0 };
    let mut since = Instant::now();
    while left.first < left.pieces.len() {
        let mut written = wire.inner().try_write_vectored(&left.slices());
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
                _ = wire.inner().writable() => {}
                () = connection.ended(), if !ending => {}
                () = tokio::time::sleep(budget::LOOK.min(patience - waited)) => {}
            }
            // Tried whatever the socket says: it counts as writable only when three quarters of it are free.
            written = rustix::io::writev(wire.inner(), &left.slices()).map_err(io::Error::from);
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

/// The last word to a client that may take nothing: the rest of the line under way, and a line of farewell. A rest
/// that does not fit ends the connection in the middle of its line, which then is none.
pub(crate) fn part(wire: &Wire, line: Vec<u8>, farewell: Bytes) {
    // Where it cannot be widened the word may still fit.
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(wire.inner(), budget::LAST_WORD);
    let mut left = Left { pieces: vec![line.into(), farewell], first: 0 };
    left.pieces.retain(|piece| !piece.is_empty());
    while left.first < left.pieces.len() {
        match rustix::io::writev(wire.inner(), &left.slices()) {
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
                let mut left = Left { pieces, first: 0 };
                left.advance(written);
                let rest = left.rest();
                let behind = &lines[written..];
                let end = behind.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                assert_eq!(rest.line, behind[..end], "cut at {cut}, written {written}");
                assert_eq!(rest.lines as usize, behind[end..].iter().filter(|byte| **byte == b'\n').count());
            }
        }
    }
}
