//! `[sessions]` of the configuration.
//!
//! Invariant: as in `limits`: a figure that makes no sense is an error that names its key.

use serde::Deserialize;
use std::time::Duration;

/// How sessions live.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionsConfig {
    /// How long a session lives in which nothing happens, in seconds; 0 is for ever.
    pub ttl_s: u64,
    /// How long after the daemon's start, or the machine's waking, it is looked first for what expires, in seconds; ten
    /// times `limits.sweep_s` otherwise.
    pub first_sweep_s: Option<u64>,
    /// Whether only one session is active at a time.
    pub single_active: bool,
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self { ttl_s: 24 * 60 * 60, first_sweep_s: None, single_active: false }
    }
}

impl SessionsConfig {
    /// A hundred years are for ever; more would be no number of milliseconds.
    pub(super) const MOST_S: u64 = 100 * 365 * 24 * 60 * 60;

    pub(super) fn check(&self) -> anyhow::Result<()> {
        let keys = [("ttl_s", Some(self.ttl_s)), ("first_sweep_s", self.first_sweep_s)];
        for (key, value) in keys {
            if value.is_some_and(|value| value > Self::MOST_S) {
                anyhow::bail!("sessions.{key}: more than a hundred years; 0 is for ever");
            }
        }
        Ok(())
    }

    /// How long a session lives in which nothing happens.
    pub fn ttl(&self) -> Option<Duration> {
        (self.ttl_s > 0).then(|| Duration::from_secs(self.ttl_s))
    }
}
