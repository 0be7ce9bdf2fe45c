//! How much memory the recent tails of all sessions may take together.
//!
//! Invariant: when they take too much, those that were published to longest ago are let go first. Nothing is lost by
//! it: whoever still needs what was in one reads it from the store.

use super::feed::Feed;
use std::sync::{
    Arc, Mutex, PoisonError, Weak,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

/// What all tails may take, in bytes: thirty-two sessions that flood their subscribers at once have a whole one each,
/// and a hundred have more than a megabyte.
const MOST: usize = 128 * 1024 * 1024;

/// The tails of all sessions.
pub struct Tails {
    most: usize,
    held: AtomicUsize,
    /// Counts publications, to know which tail has been quiet for longest.
    clock: AtomicU64,
    feeds: Mutex<Vec<Weak<Feed>>>,
}

impl Default for Tails {
    fn default() -> Self {
        Self::new(MOST)
    }
}

impl Tails {
    /// At most this many bytes.
    pub fn new(most: usize) -> Self {
        Self { most, held: AtomicUsize::new(0), clock: AtomicU64::new(0), feeds: Mutex::default() }
    }

    fn feeds(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Feed>>> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a feed's tail from now on.
    pub(super) fn register(&self, feed: &Arc<Feed>) {
        let mut feeds = self.feeds();
        feeds.retain(|feed| feed.strong_count() > 0);
        feeds.push(Arc::downgrade(feed));
    }

    /// A tail has changed from one size to another; tells the time of it.
    pub(super) fn changed(&self, from: usize, to: usize) -> u64 {
        self.held.fetch_add(to, Ordering::AcqRel);
        self.held.fetch_sub(from, Ordering::AcqRel);
        self.clock.fetch_add(1, Ordering::AcqRel)
    }

    /// What they take, in bytes.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }

    /// Lets tails go until there is some room again. Called without any feed's lock.
    pub(super) fn shed(&self) {
        if self.held() <= self.most {
            return;
        }
        let mut feeds: Vec<_> = self.feeds().iter().filter_map(Weak::upgrade).collect();
        feeds.sort_by_cached_key(|feed| feed.published());
        // A quarter more than needed, so that a flood does not come here with every commit.
        for feed in feeds {
            if self.held() <= self.most / 4 * 3 {
                return;
            }
            feed.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Pull, Slab};
    use tokio::sync::Notify;

    fn slab(seq: u64, size: usize) -> Slab {
        let ends: Arc<[u32]> = [size as u32].into();
        Slab { first: seq, last: seq, epoch: 1, bytes: vec![b'x'; size].into(), ends }
    }

    #[test]
    fn the_quietest_tails_are_let_go_first_and_read_from_the_store() {
        let tails = Arc::new(Tails::new(1000));
        let listener = Arc::new(Notify::new());
        let feeds: Vec<_> = (0..4).map(|_| Feed::new(0, &tails)).collect();
        for feed in &feeds {
            feed.listen(&listener);
            feed.publish(slab(1, 250));
        }
        assert_eq!(tails.held(), 1000, "as much as may be");
        // The first one speaks again: now the second one is the quietest.
        feeds[0].publish(slab(2, 250));
        assert!(tails.held() <= 750, "{}", tails.held());
        let kept = |feed: &Feed| matches!(feed.pull(0, 10_000), Pull::Frames(..));
        assert_eq!(feeds.iter().map(|feed| kept(feed)).collect::<Vec<_>>(), [true, false, false, true]);
        assert!(matches!(feeds[1].pull(0, 10_000), Pull::Store), "its records are in the store");
        assert!(matches!(feeds[1].pull(1, 10_000), Pull::Idle), "its head stands");
    }

    #[test]
    fn a_tail_that_nobody_reads_any_more_and_one_that_is_gone_take_nothing() {
        let tails = Arc::new(Tails::new(1000));
        let (one, two) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let feeds: Vec<_> = (0..2).map(|_| Feed::new(0, &tails)).collect();
        for feed in &feeds {
            feed.listen(&one);
            feed.listen(&two);
            feed.publish(slab(1, 100));
        }
        feeds[0].unlisten(&one);
        assert_eq!(tails.held(), 200, "somebody still listens");
        feeds[0].unlisten(&two);
        assert_eq!(tails.held(), 100);
        drop(feeds);
        assert_eq!(tails.held(), 0);
    }
}
