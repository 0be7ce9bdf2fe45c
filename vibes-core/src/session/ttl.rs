//! How long a session lives in which nothing happens.
//!
//! Invariant: what works, waits for a person, is kept or is looked at never ends by itself, and no clock that is set ends
//! anything: what is counted is time that a daemon was awake.

use super::{
    event::Reply,
    state::{Goal, State},
    step::Step,
};
use vibes_protocol::model::{Link, SessionState};

impl State {
    /// How long it lives, in milliseconds; `None` is for ever.
    fn ttl_ms(&self, otherwise_ms: Option<i64>) -> Option<i64> {
        match self.body.ttl_s {
            Some(0) => None,
            Some(own) => Some(i64::try_from(own.saturating_mul(1000)).unwrap_or(i64::MAX)),
            None => otherwise_ms,
        }
    }

    /// Whether nobody and nothing keeps it from ending.
    fn is_quiet(&self) -> bool {
        let body = &self.body;
        matches!(body.state, SessionState::Idle | SessionState::Suspended)
            && !body.pinned
            && body.deleted_ms.is_none()
            && body.stopping.is_none()
            && body.turn.is_none()
            && self.pending.is_empty()
            && self.ownership.seats.is_empty()
            // What an agent did that is not heard of yet.
            && (!body.running || self.link == Link::Live)
            && !self.unreadable
    }
}

impl Step<'_> {
    /// Ends the session if its time has run out; tells otherwise how long it lives.
    pub(super) fn run_out(&mut self, otherwise_ms: Option<i64>) -> Reply {
        let Some(ttl_ms) = self.s.ttl_ms(otherwise_ms) else { return Reply::Lives(None) };
        if !self.s.is_quiet() {
            return Reply::Lives(Some(self.now));
        }
        let until = self.s.active_ms.saturating_add(ttl_ms);
        if until > self.now {
            return Reply::Lives(Some(until));
        }
        let reason = format!("no activity for {}", words(ttl_ms / 1000));
        self.begin_stop(Goal::Expire, Some(reason), None);
        Reply::Ok
    }
}

/// A number of seconds, for a person.
fn words(seconds: i64) -> String {
    const UNITS: [(i64, &str); 4] = [(86_400, "days"), (3_600, "h"), (60, "min"), (1, "s")];
    // A day is 24 h to people, and 36 h are no day and a half.
    let unit = UNITS.iter().find(|(size, _)| seconds % size == 0 && seconds >= 2 * size).unwrap_or(&UNITS[3]);
    format!("{} {}", seconds / unit.0, unit.1)
}
