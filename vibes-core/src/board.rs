//! What every client hears: sessions created, changed, gone, handed over.
//!
//! Invariant: posting costs the same however slow the readers are. A reader is a cursor into a ring that is bounded in
//! notices and in bytes; one that fell off it is told so and reads the list again, which holds the same truth.

use crate::session::Notice;
use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use tokio::sync::Notify;

/// How many notices are kept: at four a second and session, a reader of a hundred busy sessions has ten seconds,
/// which is its write deadline.
const KEPT: usize = 4096;
/// How much is kept, in bytes of JSON: a session that waits for an answer shows the whole request with every notice, so
/// that a few hundred could be hundreds of megabytes.
const KEPT_BYTES: usize = 4 * 1024 * 1024;

#[derive(Default)]
struct Ring {
    notices: VecDeque<(Arc<Notice>, usize)>,
    /// How large those are together.
    bytes: usize,
    /// How many were ever posted.
    posted: u64,
    listeners: Vec<Weak<Notify>>,
}

/// The board.
#[derive(Default)]
pub struct Board(Mutex<Ring>);

/// What a reader finds.
pub enum Posted {
    /// These, and the cursor behind them.
    Notices(Vec<Arc<Notice>>, u64),
    /// Some are gone; the cursor to go on from after reading the list.
    Missed(u64),
}

impl Board {
    fn ring(&self) -> std::sync::MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Posts a notice.
    pub fn post(&self, notice: Notice) {
        let bytes = size(&notice);
        let mut ring = self.ring();
        ring.notices.push_back((Arc::new(notice), bytes));
        ring.bytes += bytes;
        ring.posted += 1;
        while ring.notices.len() > KEPT || (ring.bytes > KEPT_BYTES && ring.notices.len() > 1) {
            let Some((_, bytes)) = ring.notices.pop_front() else { break };
            ring.bytes -= bytes;
        }
        ring.listeners.retain(|listener| listener.strong_count() > 0);
        for listener in &ring.listeners {
            if let Some(listener) = listener.upgrade() {
                listener.notify_one();
            }
        }
    }

    /// The cursor behind everything posted so far.
    pub fn end(&self) -> u64 {
        self.ring().posted
    }

    /// Wakes `listener` at every notice.
    pub fn listen(&self, listener: &Arc<Notify>) {
        let mut ring = self.ring();
        // A quiet board still sees clients come and go.
        ring.listeners.retain(|listener| listener.strong_count() > 0);
        ring.listeners.push(Arc::downgrade(listener));
    }

    /// What was posted after `cursor`.
    pub fn after(&self, cursor: u64) -> Posted {
        let ring = self.ring();
        let first = ring.posted - ring.notices.len() as u64;
        if cursor < first {
            return Posted::Missed(ring.posted);
        }
        let fresh =
            ring.notices.iter().skip((cursor - first) as usize).map(|(notice, _)| notice.clone()).collect();
        Posted::Notices(fresh, ring.posted)
    }
}

/// How large a notice is on the wire, about, in bytes.
fn size(notice: &Notice) -> usize {
    /// Counts what is written to it.
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    const SMALL: usize = 128;
    let mut count = Count(SMALL);
    if let Notice::Created(info) | Notice::Updated(info) = notice {
        // A count takes everything: this cannot fail.
        let _ = serde_json::to_writer(&mut count, info);
    }
    count.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Plan, state::State};
    use vibes_protocol::model::{RemovedReason, SessionId};

    fn large() -> Notice {
        let plan = Plan { description: Some("x".repeat(KEPT_BYTES / 4)), ..Plan::default() };
        Notice::Updated(Box::new(State::new(SessionId::random(), plan, 1, 0).info()))
    }

    fn found(board: &Board, cursor: u64) -> Option<usize> {
        match board.after(cursor) {
            Posted::Notices(notices, _) => Some(notices.len()),
            Posted::Missed(_) => None,
        }
    }

    #[test]
    fn a_ring_is_bounded_in_notices_and_in_bytes() {
        let board = Board::default();
        for _ in 0..KEPT + 10 {
            board.post(Notice::Removed(SessionId::random(), RemovedReason::Killed));
        }
        assert_eq!((found(&board, 9), found(&board, 10)), (None, Some(KEPT)));
        let before = board.end();
        for _ in 0..5 {
            board.post(large());
        }
        // Each is a little more than a quarter of what is kept.
        assert_eq!((found(&board, before + 1), found(&board, before + 2)), (None, Some(3)));
        assert!(board.ring().bytes <= KEPT_BYTES);
    }

    #[test]
    fn what_is_too_large_by_itself_is_heard_all_the_same() {
        let board = Board::default();
        let plan = Plan { description: Some("x".repeat(2 * KEPT_BYTES)), ..Plan::default() };
        board.post(Notice::Updated(Box::new(State::new(SessionId::random(), plan, 1, 0).info())));
        assert_eq!(found(&board, 0), Some(1));
    }
}
