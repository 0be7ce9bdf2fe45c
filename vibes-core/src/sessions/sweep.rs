//! Deleted sessions are kept for a while, and then purged.
//!
//! Invariant: what goes was deleted for long enough by the wall clock and by the steady one, and the daemon has run for a
//! while: neither a clock that is set nor one that is wrong at the start costs anybody a session.

use super::Sessions;
use crate::{
    clock,
    session::{Caller, Command, leavings::Leavings},
};
use std::time::Duration;
use vibes_protocol::model::ErrorCode;

/// How many are purged in one sweep: each is a synced commit.
const AT_ONCE: usize = 256;
/// The first sweep comes after so many times the usual pause: a machine that has just started may not know the time.
const FIRST: u32 = 10;

/// How deleted sessions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// For how long.
    pub deleted: Duration,
    /// How often it is looked.
    pub every: Duration,
}

impl Sessions {
    /// Goes on with what an earlier daemon had begun to purge, and purges what was deleted for long enough, for as long as
    /// it is polled.
    pub async fn sweep(&self, keeping: Keeping) {
        // The steady clock begins when it is first looked at: before anybody can set the other one.
        clock::now();
        self.go_on_erasing().await;
        tokio::time::sleep(keeping.every * FIRST).await;
        loop {
            self.purge_old(keeping.deleted).await;
            tokio::time::sleep(keeping.every).await;
        }
    }

    async fn go_on_erasing(&self) {
        let reader = self.parts.reader.clone();
        let found = match tokio::task::spawn_blocking(move || reader.erasing()).await {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => return tracing::warn!(%error, "what is to be purged cannot be read"),
            Err(error) => return tracing::error!(%error, "what is to be purged was not read"),
        };
        for (no, leavings) in found {
            match Leavings::read(&leavings) {
                Ok(leavings) => {
                    leavings.clear(&self.parts.yard, &self.parts.forget, &self.parts.writer, no).await;
                }
                Err(error) => {
                    tracing::warn!(session = no, %error, "what a purged session left cannot be read");
                    self.parts.writer.erase(no).await;
                }
            }
        }
    }

    async fn purge_old(&self, kept: Duration) {
        let now = clock::now();
        let kept = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
        let by = now.wall_ms.min(now.steady_ms).saturating_sub(kept);
        let reader = self.parts.reader.clone();
        let old = match tokio::task::spawn_blocking(move || reader.deleted_by(by, AT_ONCE)).await {
            Ok(Ok(old)) => old,
            Ok(Err(error)) => return tracing::warn!(%error, "deleted sessions cannot be read"),
            Err(error) => return tracing::error!(%error, "deleted sessions were not read"),
        };
        for id in old {
            let purged = match self.get(&id) {
                Ok(Some(handle)) => handle.ask(&Caller::nobody(), Command::Purge(Some(by)), None).await,
                Ok(None) => continue,
                Err(error) => Err(error),
            };
            match purged {
                Ok(_) => tracing::info!(session = %id, "purged: it was deleted for long enough"),
                // Somebody took it back just now.
                Err(error) if error.code == ErrorCode::InvalidState => {}
                Err(error) => tracing::warn!(session = %id, %error, "a deleted session was not purged"),
            }
        }
    }
}
