//! A session whose task panicked begins again from the store, as after a restart of the daemon, and nobody else
//! notices.
//!
//! Invariant: what was not committed is gone and was told to nobody; who read the session or waited for it is told to
//! come back. One that falls again and again is left as it is, so that a defect which one session's data can trigger
//! costs that session only: its agent is ended, because nobody could watch or stop it any more.

use super::Sessions;
use crate::{agent::link, journal::SessionNo, session::persist};
use std::{
    collections::HashMap,
    sync::PoisonError,
    time::{Duration, Instant},
};

/// How often a session may fall, and in which time, before it is left.
const FALLS: (usize, Duration) = (3, Duration::from_secs(60));

impl Sessions {
    /// Looks after sessions for as long as it is polled. There is one keeper; a second one returns at once.
    pub async fn keep(&self) {
        let fallen = self.fallen.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut fallen) = fallen else { return };
        let mut falls: HashMap<SessionNo, Vec<Instant>> = HashMap::new();
        while let Some(no) = fallen.recv().await {
            let recent = falls.entry(no).or_default();
            recent.retain(|at| at.elapsed() < FALLS.1);
            recent.push(Instant::now());
            tracing::error!(session = no, falls = recent.len(), "a session's task panicked");
            if recent.len() >= FALLS.0 || !self.revive(no).await {
                self.give_up(no).await;
            }
        }
    }

    /// `false` when it cannot be read back.
    async fn revive(&self, no: SessionNo) -> bool {
        let reader = self.parts.reader.clone();
        let stored = tokio::task::spawn_blocking(move || reader.session(no)).await;
        let state = match stored {
            Ok(Ok(Some(stored))) => match persist::restore(&stored, self.parts.epoch) {
                Ok(state) => Ok((state, stored.place)),
                Err(error) => Err(error.to_string()),
            },
            Ok(Ok(None)) => Err("it is not in the store".to_owned()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match state {
            Ok((mut state, place)) => {
                state.taken = self.parts.yard.newest_of(&state.body.id).unwrap_or(0);
                self.registry.insert(self.serve(no, state, place));
                true
            }
            Err(error) => {
                tracing::error!(session = no, error, "a session cannot be read back");
                false
            }
        }
    }

    async fn give_up(&self, no: SessionNo) {
        let Some(handle) = self.handles().into_iter().find(|handle| handle.no == no) else { return };
        let (yard, id, generation) = (self.parts.yard.clone(), handle.id, handle.info().generation);
        let left = tokio::task::spawn_blocking(move || link::end_runner(&yard, &id, generation)).await;
        tracing::error!(session = %id, ?left, "the session stands still until the daemon is started again");
        self.registry.insert(handle.given_up());
    }
}
