//! The ledger of a store that had none: turns of before are told by the records, once, while the daemon serves.
//!
//! Invariant: a row that is there is never touched, so it may be stopped anywhere and begun again; it is done when the
//! store says that nothing is owed.

use super::Sessions;
use crate::{
    journal::{SessionNo, Spent, StoreError},
    points::{self, Point},
    session::{past::Past, persist},
};
use serde_json::Value;
use std::time::Duration;
use vibes_protocol::model::SessionId;

/// What the store keeps about it.
const LEDGER: &str = "ledger";
/// How much is read at once, in bytes.
const PAGE: usize = 1024 * 1024;
/// The pause between two pages: nobody waits for this, and others do for the disk.
const PAUSE: Duration = Duration::from_millis(5);

impl Sessions {
    /// Tells the ledger what it is owed, if anything.
    pub async fn tell_the_past(&self) {
        let done = tokio::select! {
            () = self.parts.stop.cancelled() => return,
            done = self.past_of_all() => done,
        };
        if let Err(error) = done {
            tracing::warn!(%error, "turns of before are not in the ledger yet; the next start goes on");
        }
    }

    async fn past_of_all(&self) -> Result<(), StoreError> {
        let reader = self.parts.reader.clone();
        let owed = blocking(move || reader.kept(LEDGER)).await?;
        if owed.as_deref() != Some("owed") {
            return Ok(());
        }
        let reader = self.parts.reader.clone();
        for (no, id) in blocking(move || reader.numbers()).await? {
            self.past_of(no, id).await?;
        }
        self.parts.writer.keep(LEDGER, "whole".to_owned()).await
    }

    async fn past_of(&self, no: SessionNo, id: SessionId) -> Result<(), StoreError> {
        let (mut past, mut after) = (Past::default(), 0);
        loop {
            let reader = self.parts.reader.clone();
            let (read, last) = blocking(move || {
                let page = reader.page(no, &id, after, PAGE, usize::MAX)?;
                let lines = page.frames.bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                for record in lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok()) {
                    let seq = record["seq"].as_u64().unwrap_or_default();
                    past.take(seq, record["at_ms"].as_i64().unwrap_or_default(), &record["fact"]);
                }
                Ok((past, page.last))
            })
            .await?;
            (past, after) = (read, last);
            let turns = past.turns(last == 0);
            if !turns.is_empty() {
                let spent = Spent {
                    agent: past.agent.clone(),
                    cwd: past.cwd.clone(),
                    turns: turns.iter().filter_map(persist::turn_parts).collect(),
                };
                self.parts.writer.past(no, turns.iter().map(persist::turn_row).collect(), spent).await?;
                points::hit(Point::LedgerTold);
            }
            if last == 0 {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(StoreError::Closed))
}
