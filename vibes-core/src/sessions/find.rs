//! Finding and listing sessions, those that rest as well.
//!
//! Invariant: what is asked of the store comes before the last look at those that have a task. A session that is woken in
//! between is in both and counts once; none is in neither.

use super::{Sessions, store_error};
use crate::{
    journal::{SessionNo, StoreError},
    session::SessionHandle,
};
use std::{collections::HashSet, sync::Arc};
use vibes_protocol::model::{CodedError, ErrorCode, SessionId, SessionInfo};

/// How many resting sessions are read at once.
const PAGE: usize = 256;
/// A list ends near this size, in bytes: half of what a line of the daemon may have.
const LONGEST: usize = 8 * 1024 * 1024;

/// Which sessions are wanted.
pub struct Wanted<'a> {
    /// Ended ones too.
    pub ended: bool,
    /// Those behind this moment and id, in the order of lists.
    pub after: Option<(i64, String)>,
    /// At most so many.
    pub limit: usize,
    /// Only these.
    pub fits: &'a dyn Fn(&SessionInfo) -> bool,
}

/// A page of a list.
#[derive(Debug)]
pub struct Listing {
    /// The most recently active first.
    pub sessions: Vec<Arc<SessionInfo>>,
    /// How many ended ones there are that were not wanted.
    pub ended: u64,
    /// Whether more would follow.
    pub more: bool,
}

/// The order of lists: by activity, and by id where that is the same.
fn before(a: &SessionInfo, b: &SessionInfo) -> std::cmp::Ordering {
    b.last_activity_ms.cmp(&a.last_activity_ms).then_with(|| a.id.cmp(&b.id))
}

/// Whether it comes behind this place in a list.
fn is_behind(info: &SessionInfo, ms: i64, id: &str) -> bool {
    info.last_activity_ms < ms || (info.last_activity_ms == ms && *info.id.to_string() > *id)
}

impl Sessions {
    /// All sessions that have a task, in no order.
    pub fn handles(&self) -> Vec<SessionHandle> {
        self.registry.handles()
    }

    /// The sessions that have a task as lists show them, the most recently active first: all that have not ended, and
    /// deleted ones among them.
    pub fn awake(&self) -> Vec<Arc<SessionInfo>> {
        let (mut all, _) = self.registry.look(SessionHandle::info);
        all.sort_by(|a, b| before(a, b));
        all
    }

    /// A page of the list; deleted sessions are in none. Blocking when ended ones are wanted.
    pub fn list(&self, wanted: &Wanted<'_>) -> Result<Listing, StoreError> {
        let after = wanted.after.as_ref();
        let fits =
            |info: &SessionInfo| after.is_none_or(|(ms, id)| is_behind(info, *ms, id)) && (wanted.fits)(info);
        let listed = |info: &Arc<SessionInfo>| info.deleted_at.is_none();
        let (first, _) = self.registry.look(SessionHandle::info);
        let mut resting = Vec::new();
        // One more tells that there are more; those that were woken meanwhile are left out again.
        let enough = wanted.limit.saturating_add(1).saturating_add(first.len());
        let mut more = wanted.ended;
        let (mut after, mut size) = (wanted.after.clone(), 0);
        while more && resting.len() < enough && size < LONGEST {
            let from = after.as_ref().map(|(ms, id)| (*ms, id.as_str()));
            let page = self.parts.reader.ended(from, PAGE)?;
            more = page.len() == PAGE;
            after = page.last().map(|last| (last.last_ms, last.id.to_string())).or(after);
            for stored in &page {
                let info = self.read_back(stored).0.info();
                if fits(&info) {
                    size += stored.body.len();
                    resting.push(Arc::new(info));
                }
            }
        }
        let (awake, uncounted) = self.registry.look(SessionHandle::info);
        let ended = awake.iter().filter(|info| listed(info) && info.state.is_ended()).count() as u64;
        let mut sessions = awake;
        let mut known: HashSet<SessionId> = sessions.iter().map(|info| info.id).collect();
        resting.retain(|info| known.insert(info.id));
        sessions.extend(resting);
        // It began to rest while the store was read.
        sessions.extend(first.into_iter().filter(|info| wanted.ended && known.insert(info.id)));
        sessions.retain(|info| listed(info) && (wanted.ended || !info.state.is_ended()) && fits(info));
        sessions.sort_by(|a, b| before(a, b));
        // What is behind the last one that was read may be behind one that was not.
        if more && let Some((ms, id)) = after {
            sessions.retain(|info| !is_behind(info, ms, &id));
        }
        let more = more || sessions.len() > wanted.limit;
        sessions.truncate(wanted.limit);
        Ok(Listing { sessions, ended: if wanted.ended { 0 } else { ended + uncounted }, more })
    }

    /// Finds a session by full id, unique name or unique prefix of its id; one that rests is read back. Blocking for
    /// that moment.
    pub fn resolve(&self, text: &str) -> Result<SessionHandle, CodedError> {
        let id = self.named(text)?;
        self.get(&id)?.ok_or_else(|| not_found(text))
    }

    /// The id of such a session, which is left to rest if it does. Blocking for that moment.
    pub fn locate(&self, text: &str) -> Result<SessionId, CodedError> {
        let id = self.named(text)?;
        if self.registry.get(&id).is_some() {
            return Ok(id);
        }
        let stored = tokio::task::block_in_place(|| self.parts.reader.number(&id));
        stored.map_err(|error| store_error(&error))?.map(|_| id).ok_or_else(|| not_found(text))
    }

    /// A session as lists show it, and its number; one that rests is left to. Blocking for that moment.
    pub fn glance(&self, id: &SessionId) -> Result<Option<(SessionNo, Arc<SessionInfo>)>, CodedError> {
        let awake = || self.registry.get(id).map(|handle| (handle.no, handle.info()));
        if let Some(found) = awake() {
            return Ok(Some(found));
        }
        let stored = tokio::task::block_in_place(|| self.parts.reader.resting(id));
        match stored.map_err(|error| store_error(&error))? {
            Some(stored) => Ok(Some((stored.no, Arc::new(self.read_back(&stored).0.info())))),
            // It may have been woken just now.
            None => Ok(awake()),
        }
    }

    /// Which session is meant. A full id is not looked for.
    fn named(&self, text: &str) -> Result<SessionId, CodedError> {
        if let Ok(id) = text.parse::<SessionId>() {
            return Ok(id);
        }
        // A living session wins a name over those that have ended; among these, the most recent one.
        let named = |all: &[SessionHandle]| {
            let mut named: Vec<_> = all
                .iter()
                .map(|handle| (handle.id, handle.info()))
                .filter(|(_, info)| info.name.as_deref() == Some(text))
                .map(|(id, info)| (id, !info.state.is_ended(), info.last_activity_ms))
                .collect();
            named.sort_by_key(|(_, lives, ms)| (!lives, -ms));
            named
        };
        if let Some((id, true, _)) = named(&self.handles()).first() {
            return Ok(*id);
        }
        let hexadecimal =
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        let prefix = text.to_ascii_lowercase();
        let stored = tokio::task::block_in_place(|| {
            let reader = &self.parts.reader;
            let prefixed = if hexadecimal { reader.prefixed(&prefix)? } else { Vec::new() };
            Ok((reader.named(text)?, prefixed))
        });
        let (resting, mut fitting) = stored.map_err(|error: StoreError| store_error(&error))?;
        let awake = self.handles();
        let mut all = named(&awake);
        all.extend(resting.into_iter().filter(|(id, ..)| awake.iter().all(|handle| handle.id != *id)));
        if let Some((id, ..)) = all.into_iter().min_by_key(|(_, lives, ms)| (!lives, -ms)) {
            return Ok(id);
        }
        if !hexadecimal {
            return Err(not_found(text));
        }
        fitting.extend(awake.iter().map(|handle| handle.id).filter(|id| id.to_string().starts_with(&prefix)));
        fitting.sort();
        fitting.dedup();
        match &fitting[..] {
            [] => Err(not_found(text)),
            [id] => Ok(*id),
            _ => {
                let some: Vec<String> = fitting.iter().take(5).map(SessionId::to_string).collect();
                Err(CodedError::new(
                    ErrorCode::AmbiguousId,
                    format!(
                        "{text} fits {} sessions: {}; type more of the id",
                        fitting.len(),
                        some.join(", ")
                    ),
                ))
            }
        }
    }
}

fn not_found(text: &str) -> CodedError {
    CodedError::new(ErrorCode::SessionNotFound, format!("no session has the id, name or prefix {text:?}"))
}
