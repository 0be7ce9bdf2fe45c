//! Sessions in which nothing happens expire; deleted ones are kept for a while, and then purged.
//!
//! Invariant: what is purged was deleted for long enough by the wall clock and by the steady one, and the daemon has run for
//! a while: neither a clock that is set nor one that is wrong at the start costs anybody a session. What expires was quiet
//! for so much time in which a daemon was awake, and a machine that wakes gives people a while first.

use super::{Retention, Sessions};
use crate::{
    clock,
    session::{Caller, Command, Reply, leavings::Leavings},
};
use std::{collections::HashMap, time::Duration};
use vibes_protocol::model::{ErrorCode, SessionId, SessionState};

/// How many are purged in one sweep: each is a synced commit.
const AT_ONCE: usize = 256;
/// How many expire in one sweep: each stops an agent.
const EXPIRING: usize = 64;
/// How much further the wall clock went than the steady one when the machine slept, or somebody set it.
const SLEPT_MS: i64 = 30_000;
/// How often it is written down how long the daemon was awake, and looked for what leaves, in sweeps.
const NOTED: u32 = 10;
/// The name under which that is kept.
pub const AWAKE: &str = "awake_ms";

/// How long sessions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// How long what was deleted can be had back.
    pub deleted: Duration,
    /// How long a session lives in which nothing happens; `None` is for ever.
    pub ttl: Option<Duration>,
    /// How long ended ones stay.
    pub retention: Retention,
    /// How often it is looked.
    pub every: Duration,
    /// How long after the start, and after a machine woke, it is looked first.
    pub first: Duration,
}

/// Until when sessions live at least, with the version of their metadata for which that is so.
type Lives = HashMap<SessionId, (u64, Option<i64>)>;

impl Sessions {
    /// Goes on with what an earlier daemon had begun to purge, purges what was deleted for long enough and ends what was
    /// quiet for long enough, for as long as it is polled.
    pub async fn sweep(&self, keeping: Keeping) {
        // The steady clock begins when it is first looked at: before anybody can set the other one.
        clock::now();
        self.go_on_erasing().await;
        let (mut pause, mut sweeps, mut lives) = (keeping.first, 0_u32, Lives::new());
        loop {
            let before = clock::now();
            tokio::time::sleep(pause).await;
            let now = clock::now();
            if (now.wall_ms - before.wall_ms) - (now.steady_ms - before.steady_ms) > SLEPT_MS {
                pause = keeping.first;
                continue;
            }
            pause = keeping.every;
            self.purge_old(keeping.deleted).await;
            self.sweep_blobs().await;
            self.expire_quiet(keeping.ttl, &mut lives).await;
            if sweeps.is_multiple_of(NOTED) {
                self.retain(keeping.retention).await;
            }
            sweeps += 1;
            if sweeps.is_multiple_of(NOTED) {
                self.keep_awake().await;
            }
        }
    }

    /// Writes down how long the daemon was awake.
    pub(super) async fn keep_awake(&self) {
        let total = self.parts.awake.at(clock::now().steady_ms);
        if let Err(error) = self.parts.writer.keep(AWAKE, total.to_string()).await {
            tracing::warn!(%error, "how long the daemon was awake could not be written down");
        }
    }

    /// Ends the sessions whose time has run out. Each is asked when that may be so, and not before.
    async fn expire_quiet(&self, ttl: Option<Duration>, lives: &mut Lives) {
        let now = clock::now().steady_ms;
        let ttl_ms = ttl.map(|ttl| i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX));
        let mut known = Lives::new();
        let mut expired = 0;
        for handle in self.handles() {
            let info = handle.info();
            let quiet = matches!(info.state, SessionState::Idle | SessionState::Suspended)
                && !info.pinned
                && info.subscriber_count == 0;
            if !quiet || expired >= EXPIRING {
                continue;
            }
            let told = lives.get(&info.id).filter(|(version, _)| *version == info.version);
            if let Some(told) = told.filter(|(_, until)| until.is_none_or(|until| until > now)) {
                known.insert(info.id, *told);
                continue;
            }
            match handle.ask(&Caller::nobody(), Command::Expire { ttl_ms }, None).await {
                Ok(Reply::Lives(until)) => {
                    known.insert(info.id, (info.version, until));
                }
                Ok(_) => {
                    expired += 1;
                    tracing::info!(session = %info.id, "expired: nothing happened in it for its time to live");
                }
                Err(error) => {
                    tracing::warn!(session = %info.id, %error, "it could not be asked whether it expires")
                }
            }
        }
        *lives = known;
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
                    let parts = &self.parts;
                    leavings.clear(&parts.yard, &parts.forget, &parts.blobs, &parts.writer, no).await;
                }
                Err(error) => {
                    tracing::warn!(session = no, %error, "what a purged session left cannot be read");
                    self.parts.writer.erase(no).await;
                }
            }
        }
    }

    async fn sweep_blobs(&self) {
        let blobs = self.parts.blobs.clone();
        match tokio::task::spawn_blocking(move || blobs.sweep()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "attachments that nobody uses are still there"),
            Err(error) => tracing::error!(%error, "attachments were not looked through"),
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
