//! The writer's work while nobody waits: small groups of records become compressed ones.
//!
//! Invariant: a step is one transaction of some milliseconds, and what others wait for goes between two of them. A group
//! that is packed holds the same records under the same numbers; what large ones have in common is stored once.

use super::{Desk, Job};
use crate::{
    journal::{
        SessionNo, StoreError, group,
        pieces::{self, Hash, Reduced},
    },
    points::{self, Point},
};
use rusqlite::params;
use std::collections::HashSet;
use tokio::sync::mpsc;
use vibes_protocol::model::Seq;

/// How much one packing transaction takes in, in bytes: about 5 ms of work, which is what a commit may have to wait.
const PACK_STEP: usize = 1024 * 1024;

impl Desk {
    /// Packs one more step of each session that asks for it, as long as nobody waits.
    pub(super) fn pack_while_idle(&mut self, packs: &mut Vec<(SessionNo, Seq)>, inbox: &mpsc::Receiver<Job>) {
        while inbox.is_empty()
            && let Some((session, through)) = packs.last().copied()
        {
            match self.pack(session, through) {
                Ok(true) => {}
                Ok(false) => {
                    packs.pop();
                }
                Err(error) => {
                    tracing::warn!(session, %error, "records stay unpacked");
                    packs.pop();
                }
            }
        }
    }

    /// Replaces small groups by compressed ones of up to [`group::PACKED_GROUP`] bytes, one transaction of a few of
    /// them at a time. `true` when there is more to do.
    fn pack(&mut self, session: SessionNo, through: Seq) -> Result<bool, StoreError> {
        let mut groups: Vec<(i64, i64, i64, Reduced)> = Vec::new();
        let (mut bytes, mut more) = (0, false);
        {
            let met = self.met.of(session);
            let connection = &self.connection;
            let mut select = connection.prepare_cached(
                "SELECT first, last, epoch, body FROM records
                 WHERE session = ?1 AND last <= ?2 AND packed = 0 ORDER BY first",
            )?;
            let mut rows = select.query(params![session, through as i64])?;
            while let Some(row) = rows.next()? {
                let (first, last, epoch) =
                    (row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?);
                let body = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
                if bytes > 0 && bytes + body.len() > PACK_STEP {
                    more = true;
                    break;
                }
                bytes += body.len();
                // What this step stores is not in the store yet.
                let stored: HashSet<Hash> =
                    groups.iter().flat_map(|(.., group)| &group.pieces).map(|(hash, _)| *hash).collect();
                let mut group = Reduced::default();
                for (at_ms, fact) in group::records(body) {
                    group.push(at_ms, fact, met, &mut |hash| {
                        Ok(stored.contains(hash) || pieces::is_stored(connection, session, hash)?)
                    })?;
                }
                match groups.last_mut() {
                    Some((_, end, its_epoch, whole))
                        if *its_epoch == epoch && *end + 1 == first && whole.takes_all(&group) =>
                    {
                        *end = last;
                        whole.extend(group);
                    }
                    _ => groups.push((first, last, epoch, group)),
                }
            }
        }
        if groups.is_empty() {
            return Ok(false);
        }
        self.transaction(false, |connection| {
            for (first, last, epoch, group) in &groups {
                let body = zstd::bulk::compress(&group.body, 3)?;
                connection
                    .prepare_cached("DELETE FROM records WHERE session = ?1 AND first BETWEEN ?2 AND ?3")?
                    .execute(params![session, first, last])?;
                pieces::store(connection, session, &group.pieces)?;
                connection
                    .prepare_cached(
                        "INSERT INTO records (session, first, last, epoch, packed, body)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                    )?
                    .execute(params![session, first, last, epoch, group.packed(), body])?;
            }
            points::hit(Point::Pack);
            Ok(())
        })?;
        Ok(more)
    }
}
