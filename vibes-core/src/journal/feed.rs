//! Head and recent tail of one session, for subscribers that pull.
//!
//! Invariant: the head moves only after the commit, and publishing costs the same however slow the readers are: a
//! subscriber is a cursor, never a queue. What is no longer in the tail is read from the store.

use super::tails::Tails;
use bytes::Bytes;
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::sync::Notify;
use vibes_protocol::model::{Epoch, Seq};

/// How much of the tail is kept while somebody listens, in bytes: a flood commits about 300 KiB at a time, and a hundred
/// readers on two cores are up to ten commits apart; one that is further behind goes to the store.
const TAIL: usize = 4 * 1024 * 1024;

/// The frames of one commit, encoded once and shared by all subscribers.
#[derive(Debug, Clone)]
pub struct Slab {
    /// The first record.
    pub first: Seq,
    /// The last record.
    pub last: Seq,
    /// Their epoch.
    pub epoch: Epoch,
    /// The frames.
    pub bytes: Bytes,
    /// Where each frame ends.
    pub ends: Arc<[u32]>,
}

impl Slab {
    /// The frames after `after`.
    fn after(&self, after: Seq) -> Bytes {
        if after < self.first {
            return self.bytes.clone();
        }
        let skipped = (after - self.first) as usize;
        self.ends.get(skipped).map_or_else(Bytes::new, |end| self.bytes.slice(*end as usize..))
    }
}

/// What a pull gives.
#[derive(Debug)]
pub enum Pull {
    /// Nothing new.
    Idle,
    /// Frames, the last record in them, and its epoch.
    Frames(Vec<Bytes>, Seq, Epoch),
    /// The cursor is older than the tail: read the store.
    Store,
}

#[derive(Default)]
struct Tail {
    slabs: VecDeque<Slab>,
    bytes: usize,
    listeners: Vec<Weak<Notify>>,
}

/// One session's head and tail.
pub struct Feed {
    head: AtomicU64,
    tail: Mutex<Tail>,
    /// What all tails take together.
    tails: Arc<Tails>,
    /// When its own changed last, by their clock.
    published: AtomicU64,
    closed: AtomicBool,
    purged: AtomicBool,
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.forget();
    }
}

impl Feed {
    /// A feed that stands at `head` with nothing in memory.
    pub fn new(head: Seq, tails: &Arc<Tails>) -> Arc<Self> {
        let (head, published) = (AtomicU64::new(head), AtomicU64::new(0));
        let feed = Arc::new(Self {
            head,
            tail: Mutex::default(),
            tails: tails.clone(),
            published,
            closed: AtomicBool::new(false),
            purged: AtomicBool::new(false),
        });
        tails.register(&feed);
        feed
    }

    /// When it was published to last, by the clock of all tails.
    pub(super) fn published(&self) -> u64 {
        self.published.load(Ordering::Acquire)
    }

    /// Lets the tail go; the store has it all.
    pub(super) fn forget(&self) {
        self.clear(&mut self.tail());
    }

    fn clear(&self, tail: &mut Tail) {
        tail.slabs = VecDeque::new();
        self.tails.changed(std::mem::take(&mut tail.bytes), 0);
    }

    /// The last record published.
    pub fn head(&self) -> Seq {
        self.head.load(Ordering::Acquire)
    }

    fn tail(&self) -> std::sync::MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes a committed slab and wakes whoever listens.
    pub fn publish(&self, slab: Slab) {
        let mut tail = self.tail();
        tail.listeners.retain(|listener| listener.strong_count() > 0);
        let (last, before) = (slab.last, tail.bytes);
        // Without listeners the tail would only cost memory: whoever comes reads the store first anyway.
        if tail.listeners.is_empty() {
            self.clear(&mut tail);
        } else {
            tail.bytes += slab.bytes.len();
            tail.slabs.push_back(slab);
            while tail.bytes > TAIL && tail.slabs.len() > 1 {
                if let Some(old) = tail.slabs.pop_front() {
                    tail.bytes -= old.bytes.len();
                }
            }
            self.published.store(self.tails.changed(before, tail.bytes), Ordering::Release);
        }
        self.head.store(last, Ordering::Release);
        for listener in &tail.listeners {
            if let Some(listener) = listener.upgrade() {
                listener.notify_one();
            }
        }
        drop(tail);
        self.tails.shed();
    }

    /// Nothing is published here any more: who reads it finds its successor by asking for the session again.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let tail = self.tail();
        tail.listeners.iter().filter_map(Weak::upgrade).for_each(|listener| listener.notify_one());
    }

    /// There is no such session any more.
    pub fn purge(&self) {
        self.purged.store(true, Ordering::Release);
        self.forget();
    }

    /// Whether there is none.
    pub fn is_purged(&self) -> bool {
        self.purged.load(Ordering::Acquire)
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Wakes `listener` at every publication from now on, until it is dropped or removed.
    pub fn listen(&self, listener: &Arc<Notify>) {
        let mut tail = self.tail();
        tail.listeners.retain(|listener| listener.strong_count() > 0);
        let weak = Arc::downgrade(listener);
        if !tail.listeners.iter().any(|known| known.ptr_eq(&weak)) {
            tail.listeners.push(weak);
        }
    }

    /// Stops waking `listener`.
    pub fn unlisten(&self, listener: &Arc<Notify>) {
        let weak = Arc::downgrade(listener);
        let mut tail = self.tail();
        tail.listeners.retain(|known| !known.ptr_eq(&weak) && known.strong_count() > 0);
        if tail.listeners.is_empty() {
            self.clear(&mut tail);
        }
    }

    /// What comes after `after`, up to about `max_bytes`.
    pub fn pull(&self, after: Seq, max_bytes: usize) -> Pull {
        if after >= self.head() {
            return Pull::Idle;
        }
        let tail = self.tail();
        match tail.slabs.front() {
            Some(oldest) if oldest.first <= after + 1 => {}
            _ => return Pull::Store,
        }
        // The slabs are in order and dense: the first one wanted is found by bisection.
        let begin = tail.slabs.partition_point(|slab| slab.last <= after);
        let (mut frames, mut bytes, mut last, mut epoch) = (Vec::new(), 0, after, 0);
        for slab in tail.slabs.range(begin..) {
            if slab.last > self.head() || (!frames.is_empty() && bytes + slab.bytes.len() > max_bytes) {
                break;
            }
            let piece = slab.after(after);
            bytes += piece.len();
            frames.push(piece);
            last = slab.last;
            epoch = slab.epoch;
        }
        if frames.is_empty() { Pull::Idle } else { Pull::Frames(frames, last, epoch) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::group::Frames;
    use vibes_protocol::model::SessionId;

    fn slab(first: Seq, last: Seq) -> Slab {
        let id = SessionId::random();
        let mut frames = Frames::of(&id);
        for seq in first..=last {
            frames.push(1, seq, 0, b"{}");
        }
        let (bytes, ends) = frames.freeze();
        Slab { first, last, epoch: 1, bytes, ends: ends.into() }
    }

    fn seqs(pull: Pull) -> Vec<u64> {
        let Pull::Frames(frames, ..) = pull else { return Vec::new() };
        let text: Vec<u8> = frames.iter().flat_map(|bytes| bytes.to_vec()).collect();
        String::from_utf8(text)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"].as_u64().unwrap())
            .collect()
    }

    #[test]
    fn a_cursor_anywhere_gets_exactly_what_follows() {
        let feed = Feed::new(10, &Arc::default());
        let listener = Arc::new(Notify::new());
        feed.listen(&listener);
        feed.publish(slab(11, 13));
        feed.publish(slab(14, 14));
        assert!(matches!(feed.pull(14, 1000), Pull::Idle));
        for after in 10..14 {
            assert_eq!(seqs(feed.pull(after, 10_000)), (after + 1..=14).collect::<Vec<_>>());
        }
        assert!(matches!(feed.pull(9, 1000), Pull::Store));
        assert!(matches!(feed.pull(99, 1000), Pull::Idle));
    }

    #[test]
    fn a_small_budget_still_gives_a_whole_slab() {
        let feed = Feed::new(0, &Arc::default());
        let listener = Arc::new(Notify::new());
        feed.listen(&listener);
        feed.publish(slab(1, 5));
        feed.publish(slab(6, 7));
        assert_eq!(seqs(feed.pull(0, 1)), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn without_listeners_nothing_is_kept() {
        let feed = Feed::new(0, &Arc::default());
        feed.publish(slab(1, 5));
        assert_eq!(feed.head(), 5);
        assert!(matches!(feed.pull(0, 1000), Pull::Store));
    }
}
