//! `[retention]` of the configuration.
//!
//! Invariant: as in `limits`: a figure that makes no sense is an error that names its key. Nothing leaves unless somebody has
//! written here that it shall.

use serde::Deserialize;
use std::time::Duration;
use vibes_core::sessions::Retention;

/// How long ended sessions stay.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionConfig {
    /// How long after something last happened in it, in days; 0 is for ever.
    pub days: u64,
    /// How much all sessions may take before the oldest ended ones leave, in MiB; 0 is without end.
    pub size_mib: u64,
    /// How long before it leaves it is told, in days.
    pub notice_days: u64,
    /// How long after something last happened it stays because it is unread, in days; 0 is for ever.
    pub unread_days: u64,
}

impl Default for RetentionConfig {
    fn default() -> Self {
        Self { days: 0, size_mib: 0, notice_days: 7, unread_days: 90 }
    }
}

impl RetentionConfig {
    /// A hundred years are for ever; more would be no number of milliseconds.
    const MOST_DAYS: u64 = 36_500;
    /// More is no number of bytes.
    const MOST_MIB: u64 = 1 << 40;

    pub(super) fn check(&self) -> anyhow::Result<()> {
        let keys = [
            ("days", self.days, Self::MOST_DAYS),
            ("size_mib", self.size_mib, Self::MOST_MIB),
            ("notice_days", self.notice_days, Self::MOST_DAYS),
            ("unread_days", self.unread_days, Self::MOST_DAYS),
        ];
        for (key, value, most) in keys {
            if value > most {
                anyhow::bail!("retention.{key}: {value} is not from 0 to {most}");
            }
        }
        Ok(())
    }

    /// As the sessions are kept by.
    pub fn retention(&self) -> Retention {
        let days = |days: u64| Duration::from_secs(days * 24 * 60 * 60);
        Retention {
            age: (self.days > 0).then(|| days(self.days)),
            size: (self.size_mib > 0).then_some(self.size_mib << 20),
            notice: days(self.notice_days),
            unread: (self.unread_days > 0).then(|| days(self.unread_days)),
        }
    }
}
