//! What every client hears: sessions created, changed, gone, handed over.
//!
//! Invariant: posting costs the same however slow the readers are. A reader is a cursor into a bounded ring; one that
//! fell off it is told so and reads the list again, which holds the same truth.

use crate::session::Notice;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use tokio::sync::Notify;

/// How many notices are kept: at four a second and session, a reader of a hundred busy sessions has ten seconds,
/// which is its write deadline.
const KEPT: usize = 4096;

#[derive(Default)]
struct Ring {
    notices: VecDeque<Arc<Notice>>,
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
        let mut ring = self.ring();
        if ring.notices.len() == KEPT {
            ring.notices.pop_front();
        }
        ring.notices.push_back(Arc::new(notice));
        ring.posted += 1;
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
        let fresh = ring.notices.iter().skip((cursor - first) as usize).cloned().collect();
        Posted::Notices(fresh, ring.posted)
    }
}
