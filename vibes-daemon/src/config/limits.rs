//! `[limits]` of the configuration.
//!
//! Invariant: every figure has bounds, and one that is out of them is an error that names its key.

use serde::Deserialize;
use std::time::Duration;
use vibes_core::agent::launch::SPOOLS;

/// What agents may take together, and how long is kept what was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How much of what agents wrote may wait to be recorded, in MiB.
    pub spool_mib: u64,
    /// How much of a conversation an agent is told again that does not know it, in KiB; 0 is nothing.
    pub replay_kib: u64,
    /// How long a deleted session can be undeleted, in days.
    pub deleted_days: u64,
    /// How often it is looked for what is to be purged or expires, in seconds.
    pub sweep_s: u64,
    /// How many clients may be connected at once.
    pub connections: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { spool_mib: SPOOLS >> 20, replay_kib: 32, deleted_days: 30, sweep_s: 60, connections: 10_240 }
    }
}

impl Limits {
    /// Less than this would be a handful of lines for some agents; more than this is no number of bytes.
    const SPOOL_MIB: std::ops::RangeInclusive<u64> = 16..=1 << 24;

    /// More than this is more than models read.
    pub(super) const MOST_REPLAY_KIB: u64 = 4096;
    /// A hundred years are for ever; more would be no number of milliseconds.
    const DELETED_DAYS: std::ops::RangeInclusive<u64> = 0..=36_500;
    /// Without a pause it would do nothing else.
    /// Fewer would lock people out of their own daemon; more is more than anybody has tried.
    const CONNECTIONS: std::ops::RangeInclusive<u64> = 8..=10_240;
    const SWEEP_S: std::ops::RangeInclusive<u64> = 1..=86_400;

    /// How long a deleted session can be undeleted.
    pub fn deleted(&self) -> Duration {
        let day = Duration::from_secs(24 * 60 * 60);
        day.saturating_mul(u32::try_from(self.deleted_days).unwrap_or(u32::MAX))
    }

    /// How often it is looked for what is to be purged or expires.
    pub fn every(&self) -> Duration {
        Duration::from_secs(self.sweep_s)
    }

    pub(super) fn check(&self) -> anyhow::Result<()> {
        let keys = [
            ("spool_mib", self.spool_mib, Self::SPOOL_MIB),
            ("deleted_days", self.deleted_days, Self::DELETED_DAYS),
            ("sweep_s", self.sweep_s, Self::SWEEP_S),
            ("connections", self.connections, Self::CONNECTIONS),
        ];
        for (key, value, good) in keys {
            if !good.contains(&value) {
                let (least, most) = good.into_inner();
                anyhow::bail!("limits.{key}: {value} is not from {least} to {most}");
            }
        }
        Ok(())
    }

    /// What all spools may hold together, in bytes.
    pub fn spools(&self) -> u64 {
        self.spool_mib << 20
    }
}
