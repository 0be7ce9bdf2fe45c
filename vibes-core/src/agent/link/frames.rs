//! Frames between the daemon and a runner: the greeting, orders as far as they are taken, reports one by one.
//!
//! Invariant: nothing that was read is lost, no order is cut; a frame that cannot be read is skipped, because the files hold
//! everything that matters.

use crate::points::{self, Point};
use std::{collections::VecDeque, io, os::fd::AsRawFd, path::Path};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixStream, unix::OwnedWriteHalf},
};
use vibes_runner::{
    spool,
    wire::{FrameError, MAX_PAYLOAD, Order, RUNNER_PROTOCOL, Refusal, Report, Standing, take_frame},
};

/// Writes what the runner takes of the orders. Ended early, it has written nothing.
pub(super) async fn write_some(to: &mut OwnedWriteHalf, unsent: &mut VecDeque<u8>) -> io::Result<()> {
    let front = unsent.as_slices().0;
    let part = points::part(Point::OutHalfFrame, front.len());
    let cut = part < front.len();
    let written = to.write(&front[..part]).await?;
    unsent.drain(..written);
    if cut {
        points::hit(Point::OutHalfFrame);
    }
    if unsent.is_empty() {
        points::hit(Point::OutSent);
    }
    Ok(())
}

pub(super) async fn hello(dir: &Path, fence: u64) -> io::Result<Result<(UnixStream, Standing), Refusal>> {
    let mut stream = connect(dir).await?;
    stream.write_all(&Order::Hello { protocol: RUNNER_PROTOCOL, fence }.encode()).await?;
    let mut buffer = Vec::new();
    // The answer is the first frame, and nothing is sent after it unasked before it was read whole: what follows in
    // the same read would be lost, so exactly one frame's bytes are taken.
    loop {
        let missing = missing(&buffer).map_err(io::Error::other)?;
        if missing == 0 {
            break;
        }
        if (&mut stream).take(missing as u64).read_buf(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    match next_report(&mut buffer) {
        Some(Report::Hello(standing)) => Ok(Ok((stream, standing))),
        Some(Report::Refused { why, .. }) => Ok(Err(why)),
        other => Err(io::Error::other(format!("the runner answered hello with {other:?}"))),
    }
}

/// How many bytes are missing from the frame that `buffer` begins.
fn missing(buffer: &[u8]) -> Result<usize, FrameError> {
    let Some(length) = buffer.first_chunk::<4>() else { return Ok(8 - buffer.len()) };
    let length = u32::from_le_bytes(*length) as usize;
    if length > MAX_PAYLOAD {
        Err(FrameError::TooLong(length))
    } else {
        Ok((8 + length).saturating_sub(buffer.len()))
    }
}

/// The next whole report. A frame that cannot be read is skipped: the files hold everything that matters.
pub(super) fn next_report(buffer: &mut Vec<u8>) -> Option<Report> {
    loop {
        match take_frame(buffer) {
            Ok(Some(payload)) => match Report::decode(&payload) {
                Ok(report) => return Some(report),
                Err(error) => tracing::warn!(%error, "a report of a runner is skipped"),
            },
            Ok(None) => return None,
            Err(error) => {
                tracing::error!(%error, "a runner's stream is broken");
                buffer.clear();
                return None;
            }
        }
    }
}

/// Connects to the socket in `dir`, however long its path is.
async fn connect(dir: &Path) -> io::Result<UnixStream> {
    let path = dir.join(spool::SOCKET);
    if path.as_os_str().len() <= 100 {
        return UnixStream::connect(path).await;
    }
    let dir = std::fs::File::open(dir)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{}", dir.as_raw_fd(), spool::SOCKET)).await
}
