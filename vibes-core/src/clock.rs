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
