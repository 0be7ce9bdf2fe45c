//! Ended sessions leave for their age or for the room that all take, the oldest first, after a notice.
//!
//! Invariant: nothing leaves that was not told on disk for the length of the notice, by the wall clock and by the steady one;
//! and a session that is pinned, unread or in use never does: its own task has the last word. What leaves goes the way of
//! `vibes rm --purge`.

use super::Sessions;
use crate::{
    blobs::Blobs,
    clock,
    journal::{Reader, Size, StoreError},
    room,
    session::{Caller, Command, Keeps, persist},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};
use vibes_protocol::model::{ErrorCode, LeavesFor, Leaving, SessionId, Trigger, TriggerState};

/// The name under which it is kept what leaves, and when.
const LEAVING: &str = "leaving";
/// The name under which triggers are kept.
pub const TRIGGERS: &str = "triggers";
/// How many are told of at once.
const AT_ONCE: usize = 256;
/// How many are read at once.
const PAGE: usize = 64;

/// How long ended sessions stay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// How long after something last happened; `None` is for ever.
    pub age: Option<Duration>,
    /// How much all sessions may take, in bytes, before the oldest ended ones leave.
    pub size: Option<u64>,
    /// How long before it is told.
    pub notice: Duration,
    /// How long after something last happened it stays because it is unread; `None` is for ever.
    pub unread: Option<Duration>,
}

fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// The sessions that stored triggers wait for. Blocking.
fn awaited(reader: &Reader) -> Result<HashSet<SessionId>, StoreError> {
    let kept = reader.kept(TRIGGERS)?.and_then(|kept| serde_json::from_str::<Vec<Trigger>>(&kept).ok());
    let waits = |trigger: &Trigger| matches!(trigger.state, TriggerState::Armed | TriggerState::Firing);
    Ok(kept.unwrap_or_default().into_iter().filter(waits).map(|trigger| trigger.session_id).collect())
}

/// Tells of each session what keeps it beside what is in it, as it is now. Blocking.
pub fn keeps(
    reader: &Reader,
    retention: &Retention,
    now_ms: i64,
) -> Result<impl Fn(&SessionId) -> Keeps, StoreError> {
    let awaited = awaited(reader)?;
    let unread_after_ms = retention.unread.map_or(i64::MIN, |unread| now_ms.saturating_sub(ms(unread)));
    Ok(move |session: &SessionId| Keeps { unread_after_ms, trigger: awaited.contains(session) })
}

/// What was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    session: SessionId,
    name: Option<String>,
    /// When nothing happened in it any more, in milliseconds.
    last_ms: i64,
    told_ms: i64,
    at_ms: i64,
    why: LeavesFor,
}

fn told(reader: &Reader) -> Result<Vec<Told>, StoreError> {
    // What cannot be read was not told: it is told again, and its time begins anew.
    Ok(reader.kept(LEAVING)?.and_then(|kept| serde_json::from_str(&kept).ok()).unwrap_or_default())
}

fn encode(told: &[Told]) -> String {
    // Our own type of strings and numbers: encoding it cannot fail.
    serde_json::to_string(told).unwrap_or_default()
}

/// What was told to leave, the first to go first. Blocking.
pub fn leaving(reader: &Reader) -> Result<Vec<Leaving>, StoreError> {
    let mut all: Vec<_> = told(reader)?
        .into_iter()
        .map(|told| Leaving { session_id: told.session, name: told.name, at_ms: told.at_ms, why: told.why })
        .collect();
    all.sort_by_key(|leaving| leaving.at_ms);
    Ok(all)
}

/// What sessions take that are not deleted, altogether and each, in bytes. Blocking.
pub fn kept(reader: &Reader, blobs: &Blobs) -> Result<(u64, HashMap<SessionId, u64>), StoreError> {
    let attached = room::of_attachments(blobs);
    let sizes = reader.sizes()?;
    let whole = |size: &Size| size.bytes + attached.get(&size.id).copied().unwrap_or(0);
    let sizes: HashMap<_, _> =
        sizes.iter().filter(|size| !size.deleted).map(|size| (size.id, whole(size))).collect();
    Ok((sizes.values().sum(), sizes))
}

/// Who is to leave, with when something last happened there. Blocking.
fn chosen(
    reader: &Reader,
    blobs: &Blobs,
    retention: &Retention,
    now_ms: i64,
) -> Result<Vec<Told>, StoreError> {
    let keeps = keeps(reader, retention, now_ms)?;
    let by = retention.age.map(|age| now_ms.saturating_sub(ms(age)));
    let (mut over, sizes) = match retention.size {
        Some(most) => {
            let (all, sizes) = kept(reader, blobs)?;
            (all.saturating_sub(most), sizes)
        }
        None => (0, HashMap::new()),
    };
    let (mut found, mut after) = (Vec::new(), None::<(i64, String)>);
    loop {
        let page = reader.ended_longest(after.as_ref().map(|(ms, id)| (*ms, id.as_str())), PAGE)?;
        let Some(last) = page.last() else { return Ok(found) };
        after = Some((last.last_ms, last.id.to_string()));
        for stored in page {
            let aged = by.is_some_and(|by| stored.last_ms <= by);
            if found.len() >= AT_ONCE || !aged && over == 0 {
                return Ok(found);
            }
            let goes = |state: &crate::session::state::State| state.stays(keeps(&stored.id)).is_none();
            let Some(state) = persist::restore(&stored, 0).ok().filter(goes) else { continue };
            over = over.saturating_sub(sizes.get(&stored.id).copied().unwrap_or(0));
            found.push(Told {
                session: stored.id,
                name: state.body.name.clone(),
                last_ms: stored.last_ms,
                told_ms: now_ms,
                at_ms: now_ms,
                why: if aged { LeavesFor::Age } else { LeavesFor::Size },
            });
        }
    }
}

/// What is told now, beside what was told before: a session in which something happened since is told anew.
fn now_told(before: Vec<Told>, chosen: Vec<Told>, notice_ms: i64, latest_ms: i64) -> Vec<Told> {
    let before: HashMap<_, _> = before.into_iter().map(|told| (told.session, told)).collect();
    let since = |told: &Told| {
        let earlier = before.get(&told.session).filter(|earlier| earlier.last_ms == told.last_ms);
        // One that was told in the future was told by a clock that was wrong.
        earlier.map_or(latest_ms, |earlier| earlier.told_ms.min(latest_ms))
    };
    let at = |told_ms: i64| told_ms.saturating_add(notice_ms);
    chosen.into_iter().map(|told| Told { told_ms: since(&told), at_ms: at(since(&told)), ..told }).collect()
}

impl Sessions {
    /// Notes how large the store is, tells what leaves, and lets go what was told for long enough.
    pub(super) async fn retain(&self, retention: Retention) {
        let now = clock::now();
        let (early, late) = (now.wall_ms.min(now.steady_ms), now.wall_ms.max(now.steady_ms));
        let (reader, blobs) = (self.parts.reader.clone(), self.parts.blobs.clone());
        let looked = tokio::task::spawn_blocking(move || {
            let noted = room::noted(&reader, early)?;
            let before = told(&reader)?;
            let wanted = retention.age.is_some() || retention.size.is_some();
            let chosen = if wanted { chosen(&reader, &blobs, &retention, early)? } else { Vec::new() };
            Ok::<_, StoreError>((noted, before, chosen))
        });
        let (noted, before, chosen) = match looked.await {
            Ok(Ok(looked)) => looked,
            Ok(Err(error)) => return tracing::warn!(%error, "what leaves cannot be read"),
            Err(error) => return tracing::error!(%error, "what leaves was not looked for"),
        };
        if let Some((name, text)) = noted
            && let Err(error) = self.parts.writer.keep(name, text).await
        {
            tracing::warn!(%error, "the size of the store could not be written down");
        }
        let notice_ms = ms(retention.notice);
        let told = now_told(before.clone(), chosen, notice_ms, late);
        if told != before {
            if let Err(error) = self.parts.writer.keep(LEAVING, encode(&told)).await {
                // What was not told does not leave.
                return tracing::warn!(%error, "what leaves could not be written down");
            }
            let fresh = |told: &&Told| !before.iter().any(|before| before.session == told.session);
            for told in told.iter().filter(fresh) {
                tracing::info!(session = %told.session, why = ?told.why, at_ms = told.at_ms, "it leaves by retention");
            }
        }
        let (due, waiting): (Vec<_>, Vec<_>) = told.into_iter().partition(|told| told.at_ms <= early);
        if due.is_empty() {
            return;
        }
        for told in due {
            self.let_leave(&told, retention, early).await;
        }
        // One that stayed after all is told anew.
        if let Err(error) = self.parts.writer.keep(LEAVING, encode(&waiting)).await {
            tracing::warn!(%error, "what has left is told a while longer");
        }
    }

    async fn let_leave(&self, told: &Told, retention: Retention, now_ms: i64) {
        let (reader, session) = (self.parts.reader.clone(), told.session);
        // A trigger may have been stored since it was looked.
        let looked = tokio::task::spawn_blocking(move || {
            keeps(&reader, &retention, now_ms).map(|keeps| keeps(&session))
        });
        let keeps = match looked.await {
            Ok(Ok(keeps)) => keeps,
            Ok(Err(error)) => return tracing::warn!(%error, "what keeps a session cannot be read"),
            Err(error) => return tracing::error!(%error, "what keeps a session was not looked for"),
        };
        let left = match self.get(&told.session) {
            Ok(Some(handle)) => {
                let leave = Command::LeaveForGood { last_ms: told.last_ms, keeps };
                handle.ask(&Caller::nobody(), leave, None).await
            }
            Ok(None) => return,
            Err(error) => Err(error),
        };
        match left {
            Ok(_) => tracing::info!(session = %told.session, why = ?told.why, "purged by retention"),
            // Somebody wants to have it.
            Err(error) if error.code == ErrorCode::InvalidState => {}
            Err(error) => tracing::warn!(session = %told.session, %error, "it did not leave"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(session: SessionId, last_ms: i64, told_ms: i64) -> Told {
        Told { session, name: None, last_ms, told_ms, at_ms: told_ms, why: LeavesFor::Age }
    }

    #[test]
    fn the_time_of_what_was_told_goes_on_and_begins_anew_where_something_happened() {
        let [a, b, c] = [(); 3].map(|()| SessionId(uuid::Uuid::new_v4()));
        let before = vec![of(a, 1, 100), of(b, 1, 100), of(c, 1, 9_000)];
        let chosen = vec![of(a, 1, 500), of(b, 2, 500), of(c, 1, 500)];
        let told = now_told(before, chosen, 10, 501);
        let times: Vec<_> = told.iter().map(|told| (told.told_ms, told.at_ms)).collect();
        assert_eq!(times, [(100, 110), (501, 511), (501, 511)]);
    }
}
