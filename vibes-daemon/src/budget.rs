//! What clients may take of the daemon, each figure with its reason.
//!
//! Invariant: everything that a client can make grow is bounded in bytes, by the connection or by all of them
//! together, and what is over a bound is told or waits: it never costs another client or an agent its turn. Only this
//! user's processes get past the door, so there is no budget per user: it would be the whole.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// How many connections are served at once: a thousand windows on each of ten sessions. As many tasks and sockets are
/// a hundred megabytes.
const CONNECTIONS: usize = 10_240;
/// How long somebody waits in the socket's queue for a place before it is told that there is none: a crowd that asks
/// one thing and leaves is through by then.
pub const QUEUE: Duration = Duration::from_secs(1);
/// How long a connection may stand without having asked anything, once half of all places are taken by such. A crowd
/// that connects at once and a person who types into a socket by hand ask later, and nobody waits for their places.
pub const FIRST_WORD: Duration = Duration::from_secs(5);
/// How long a client may pause in the middle of a line: it writes a line in one go, and half a line holds memory.
pub const HALF_LINE: Duration = Duration::from_secs(5);
/// How many requests of one connection may wait for their answer to be written. More would only wait in the daemon
/// instead of in the client's own socket.
pub const OUTSTANDING: usize = 64;
/// How many bytes of answers may wait to be written to one connection before its next request is read, and before the
/// next page of records is read for it: one answer of the largest usual size.
pub const ANSWERS: usize = 1024 * 1024;
/// How much of one session is written before the others get their turn, in bytes. A socket holds about as much.
pub const SHARE: usize = 256 * 1024;
/// How many notices are put into words at once: about a quarter of a megabyte.
pub const NOTICES: usize = 256;
/// How many pages are read from the store at once. Four saturate two cores; whoever is next waits in line, so that a
/// long history is read page by page with everybody else's.
pub const PAGES: usize = 4;
/// How long records are held for a client that takes none: after that they are let go, and read again when it does.
pub const PATIENCE: Duration = Duration::from_millis(250);
/// How often a client that takes nothing is looked at: a socket says that there is room only when it is nearly empty.
pub const LOOK: Duration = Duration::from_secs(1);
/// How long a client may take nothing before it is closed. A terminal that is scrolled back or a laptop that is
/// carried from one room to another is back by then.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// What a WebSocket's own buffer takes, in bytes; the system counts twice as much. Less than [`LAST_WORD`], which it is
/// widened to.
pub const WEB_BUFFER: usize = 96 * 1024;
/// How often a WebSocket is asked for a sign of life; one that gives none for twice as long is closed. Browsers answer by
/// themselves, and what lies between them and the daemon does not cut a connection that is used this often.
pub const PULSE: Duration = Duration::from_secs(30);
/// What a socket's buffer is widened to when the daemon parts from its client, in bytes: room for the rest of a line
/// and for the last word, though the client takes nothing. The system may grant less.
pub const LAST_WORD: usize = 512 * 1024;
/// How long a daemon that stops waits for the answers to what was asked before. What takes longer, as a kill whose
/// agent ignores it, is in the store, and the next daemon goes on with it.
pub const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// How long a client that sent what cannot be read may go on sending before its socket is closed: one that writes
/// first and reads then still hears why.
pub const DRAIN: Duration = Duration::from_secs(2);
/// What all clients together may make the daemon hold, in bytes: lines under way, answers and rests of lines. Beyond
/// it, those that take nothing go first, and no line is begun to be held.
const MEMORY: usize = 256 * 1024 * 1024;

/// Something of which there is so much for all clients together.
#[derive(Debug)]
pub struct Gauge {
    held: AtomicUsize,
    most: usize,
}

/// One client's part of it, given back when it is dropped.
#[derive(Debug)]
pub struct Held {
    gauge: Arc<Gauge>,
    amount: usize,
}

impl Gauge {
    /// Nothing is held, and at most this should be.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { held: AtomicUsize::new(0), most })
    }

    /// For what clients make the daemon hold.
    pub fn memory() -> Arc<Self> {
        Self::new(MEMORY)
    }

    /// Holds some.
    pub fn hold(self: &Arc<Self>, amount: usize) -> Held {
        self.held.fetch_add(amount, Ordering::AcqRel);
        Held { gauge: self.clone(), amount }
    }

    /// Whether more is held than should be.
    pub fn is_over(&self) -> bool {
        self.held.load(Ordering::Acquire) > self.most
    }
}

impl Held {
    /// Changes how much it is.
    pub fn set(&mut self, amount: usize) {
        self.gauge.held.fetch_add(amount, Ordering::AcqRel);
        self.gauge.held.fetch_sub(self.amount, Ordering::AcqRel);
        self.amount = amount;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.gauge.held.fetch_sub(self.amount, Ordering::AcqRel);
    }
}

/// How many files and sockets this process may have open.
#[derive(Debug, Clone, Copy)]
pub struct Descriptors {
    /// As it was started with: what agents get.
    pub given: Option<u64>,
    /// As it is now.
    pub present: Option<u64>,
}

impl Descriptors {
    /// Takes as many as the system allows.
    pub fn raise() -> Self {
        let Rlimit { current: given, maximum } = getrlimit(Resource::Nofile);
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        Self { given, present: getrlimit(Resource::Nofile).current }
    }

    /// How many connections are served with them: half at most, since sessions, their runners and the store need some
    /// too, and a person must get in to stop an agent.
    pub fn connections(self, wanted: u64) -> usize {
        let wanted = usize::try_from(wanted).unwrap_or(CONNECTIONS).min(CONNECTIONS);
        let half = self.present.map_or(u64::MAX, |present| present / 2);
        usize::try_from(half).unwrap_or(usize::MAX).clamp(1, wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_given_back() {
        let gauge = Gauge::new(10);
        let mut one = gauge.hold(4);
        let two = gauge.hold(7);
        assert!(gauge.is_over());
        one.set(3);
        assert!(!gauge.is_over(), "ten is not over ten");
        one.set(4);
        assert!(gauge.is_over());
        drop(two);
        assert!(!gauge.is_over());
        drop(one);
        assert_eq!(gauge.held.load(Ordering::Acquire), 0);
    }

    #[test]
    fn clients_get_half_of_the_descriptors_at_most() {
        let with = |present| Descriptors { given: None, present }.connections(10_240);
        assert_eq!((with(Some(64)), with(Some(1)), with(Some(1 << 20)), with(None)), (32, 1, 10_240, 10_240));
        assert_eq!(Descriptors { given: None, present: Some(64) }.connections(9), 9);
    }
}
