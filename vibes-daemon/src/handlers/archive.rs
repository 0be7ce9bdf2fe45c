//! Requests about archives: sessions that leave the store as text, and come into it.
//!
//! Invariant: a page at a time of each connection, and in turn with everybody else; a session that rests is not woken.

use crate::{
    connection::Connection,
    dispatch::{Answer, Said, error},
};
use serde_json::{Map, Value};
use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};
use vibes_core::{
    archive::{self, Wish},
    redact,
    sessions::store_error,
};
use vibes_protocol::{
    model::{ARCHIVE, ArchiveHead, RawRecords, Seq, SessionInfo},
    wire::{CodedError, ErrorCode, Message, request::ExportSession},
};

/// What of a session belongs to its place and its daemon, and is no part of an archive.
const LOCAL: &[&str] = &[
    "owner_id",
    "owner_label",
    "is_owner",
    "owned_since",
    "subscriber_count",
    "link",
    "pending_permissions",
    "queued",
    "offers",
    "generation",
];

/// Reads a page of a session as an archive has it.
pub fn export(connection: &Arc<Connection>, request_id: Option<String>, body: ExportSession) -> Answer {
    let connection = connection.clone();
    Answer::Later(Box::pin(async move {
        let _mine = connection.page.lock().await;
        connection.has_room().await;
        let sessions = &connection.server.sessions;
        let found = sessions.locate(&body.session_id).and_then(|id| Ok((id, sessions.glance(&id)?)));
        let (id, found) = match found {
            Ok(found) => found,
            Err(why) => return Said::from(error(request_id, None, why)),
        };
        let Some((no, info)) = found else {
            let why = CodedError::new(ErrorCode::SessionNotFound, "the session has just gone");
            return error(request_id, Some(id), why).into();
        };
        let to = body.to.unwrap_or(info.head).min(info.head);
        let wish = Wish { after: body.after, to, raw: body.raw };
        let head = head(&info, wish);
        let _turn = connection.server.pages.acquire().await;
        let reader = sessions.reader().clone();
        let read = tokio::task::spawn_blocking(move || archive::leave(&reader, no, &id, wish)).await;
        let why = match read {
            Ok(Ok((records, last))) => match RawRecords::new(records) {
                Ok(records) => {
                    let (last, more) = if last == 0 { (to, false) } else { (last, last < to) };
                    let head = Box::new(head);
                    return Message::Exported { request_id, session_id: id, head, records, last, more }
                        .into();
                }
                Err(why) => CodedError::new(ErrorCode::StoreFailed, format!("a record is no JSON: {why}")),
            },
            Ok(Err(why)) => store_error(&why),
            Err(_) => CodedError::new(ErrorCode::StoreFailed, "the store could not be read"),
        };
        error(request_id, Some(id), why).into()
    }))
}

/// What the archive begins with.
fn head(info: &SessionInfo, wish: Wish) -> ArchiveHead {
    let mut session = match serde_json::to_value(info) {
        Ok(Value::Object(session)) => session,
        _ => Map::new(),
    };
    LOCAL.iter().for_each(|name| drop(session.shift_remove(*name)));
    if !wish.raw {
        for value in session.values_mut() {
            redact::value(value);
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    ArchiveHead {
        kind: ARCHIVE.to_owned(),
        format: archive::FORMAT,
        lineage: info.imported.as_ref().map_or_else(|| info.id.to_string(), |from| from.lineage.clone()),
        exported_at: i64::try_from(now).unwrap_or(i64::MAX),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        redacted: !wish.raw,
        first: Seq::min(wish.after.saturating_add(1), wish.to),
        last: wish.to,
        session,
    }
}
