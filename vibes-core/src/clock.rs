//! Time, handed in: the pure code takes moments, the tasks ask here.
//!
//! Invariant: the steady clock never jumps. Somebody may set the wall clock by a year, and the machine may sleep for a
//! night: neither lets a deadline pass, because deadlines are counted in time that this process could have used.

use crate::points;
use std::{
    sync::LazyLock,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// A moment, by two clocks, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// What the wall clock says. For people to read; it may jump.
    pub wall_ms: i64,
    /// What deadlines are counted by: the wall clock of this process's beginning and what has gone by since, without
    /// the time that the machine slept. Near the wall clock, so that what the store keeps means something to the next
    /// daemon, which takes none of it for exact.
    pub steady_ms: i64,
}

/// Milliseconds since the Unix epoch by the wall clock. A clock before 1970 counts as 0.
pub fn wall_ms() -> i64 {
    let told = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    told.saturating_add(points::clock_skew_ms()).max(0)
}

/// This moment.
pub fn now() -> Moment {
    static BEGAN: LazyLock<(i64, Instant)> = LazyLock::new(|| (wall_ms(), Instant::now()));
    let (wall, began) = *BEGAN;
    Moment { wall_ms: wall_ms(), steady_ms: wall.saturating_add(began.elapsed().as_millis() as i64) }
}

/// The time for which daemons of a store were awake, all of them together: what a session's time to live is counted in. A
/// daemon that was killed forgets the last minutes of it, which only lets sessions live longer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Awake {
    /// From this process's steady time to that.
    offset_ms: i64,
}

impl Awake {
    /// From now on, after so much of it.
    pub fn after(total_ms: i64) -> Self {
        // 0 stands for a moment that is not known.
        Self { offset_ms: total_ms.max(1).saturating_sub(now().steady_ms) }
    }

    /// How much there was at a moment of the steady clock.
    pub fn at(self, steady_ms: i64) -> i64 {
        steady_ms.saturating_add(self.offset_ms)
    }

    /// The moment of the steady clock at which there was so much; now when that is not known or yet to come.
    pub fn moment(self, awake_ms: i64) -> i64 {
        let now = now().steady_ms;
        if awake_ms == 0 { now } else { awake_ms.saturating_sub(self.offset_ms).min(now) }
    }
}
