//! What the state directory takes.
//!
//! Invariant: it is looked at by one at a time: who looks reads every session's size.

use crate::{
    connection::Connection,
    dispatch::{Answer, error},
};
use std::{cmp::Reverse, collections::HashMap, sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use vibes_core::{
    journal::{Size, StoreError},
    room,
    session::persist,
    sessions::{retain, store_error},
};
use vibes_protocol::{
    model::{DiskUsage, SessionId, SessionUsage},
    wire::{CodedError, ErrorCode, Message, request::GetDiskUsage},
};

/// How many sessions are told unless a client says otherwise, and at most.
const USUAL: u32 = 1000;
const MOST: u32 = 10_000;
/// One looks at a time.
static LOOKING: Semaphore = Semaphore::const_new(1);

/// Tells it.
pub fn disk_usage(connection: &Arc<Connection>, request_id: Option<String>, body: GetDiskUsage) -> Answer {
    let server = connection.server.clone();
    let limit = body.limit.unwrap_or(USUAL).clamp(1, MOST) as usize;
    Answer::Later(Box::pin(async move {
        let _turn = LOOKING.acquire().await;
        let why = match tokio::task::spawn_blocking(move || look(&server, limit)).await {
            Ok(Ok(usage)) => return Message::DiskUsage { request_id, usage: Box::new(usage) }.into(),
            Ok(Err(why)) => store_error(&why),
            Err(_) => {
                CodedError::new(ErrorCode::StoreFailed, "the state directory could not be looked through")
            }
        };
        error(request_id, None, why).into()
    }))
}

fn look(server: &crate::server::Server, limit: usize) -> Result<DiskUsage, StoreError> {
    let (sessions, reader) = (&server.sessions, server.sessions.reader());
    let mut usage = room::of_directory(&server.dir, reader)?;
    let (spools, attached) = (room::of_spools(sessions.yard()), room::of_attachments(sessions.blobs()));
    let of = |sums: &HashMap<SessionId, u64>, id: &SessionId| sums.get(id).copied().unwrap_or(0);
    let mut sizes = reader.sizes()?;
    let kept = |size: &Size| size.bytes + of(&attached, &size.id);
    usage.kept = sizes.iter().filter(|size| !size.deleted).map(kept).sum();
    usage.leaving = retain::leaving(reader)?;
    let keeps = retain::keeps(reader, &server.retention, vibes_core::clock::wall_ms())?;
    sizes.sort_by_key(|size| (Reverse(kept(size) + of(&spools, &size.id)), size.no));
    usage.more_sessions = sizes.len().saturating_sub(limit) as u64;
    for size in sizes.into_iter().take(limit) {
        // One that was purged just now is not there any more.
        let Some(stored) = reader.session(size.no)? else { continue };
        let state = persist::restore(&stored, 0)
            .unwrap_or_else(|error| persist::quarantine(&stored, 0, &error.to_string()));
        let info = state.info();
        let purged_ms = state.body.deleted_ms.map(|at| at.saturating_add(millis(server.deleted)));
        let told = usage.leaving.iter().find(|leaving| leaving.session_id == size.id);
        usage.sessions.push(SessionUsage {
            session_id: size.id,
            name: info.name,
            agent: info.agent,
            state: info.state,
            deleted_at: info.deleted_at,
            last_activity_ms: info.last_activity_ms,
            head: stored.head,
            store: size.bytes,
            attachments: of(&attached, &size.id),
            spool: of(&spools, &size.id),
            leaves_ms: purged_ms.or(told.map(|told| told.at_ms)),
            stays: if info.state.is_ended() { state.stays(keeps(&size.id)) } else { None },
        });
    }
    Ok(usage)
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
