//! Requests about what people have read, and what happened since.
//!
//! Invariant: whoever is told of a session is told of it as they see it; looking wakes nobody.

use super::session::ask;
use crate::{
    connection::Connection,
    dispatch::{Answer, Said, error},
};
use std::sync::Arc;
use vibes_core::{
    session::Command,
    sessions::{From, store_error},
};
use vibes_protocol::{
    model::{ClientId, SessionInfo},
    wire::{
        CodedError, ErrorCode, Message,
        request::{GetDigest, MarkRead},
    },
};

/// Whose eyes a client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Eyes {
    /// Those of this person: what they have read anywhere is not new here.
    Of(String),
    /// Of somebody who has not said who they are: everything is new.
    Unnamed,
    /// Nobody's: a token that only looks, or that was handed on with a link. Nothing is new, and nothing counts as read.
    Nobodys,
}

impl Eyes {
    /// The person, where it is one's.
    pub fn person(self) -> Option<String> {
        match self {
            Self::Of(person) => Some(person),
            Self::Unnamed | Self::Nobodys => None,
        }
    }
}

/// A session as one client sees it.
pub fn seen_by(info: &SessionInfo, me: ClientId, eyes: &Eyes) -> SessionInfo {
    let unread = match eyes {
        Eyes::Of(person) => info.readers.get(person).map_or(info.unread, |(_, unread)| *unread),
        Eyes::Unnamed => info.unread,
        Eyes::Nobodys => 0,
    };
    SessionInfo { is_owner: info.owner_id == Some(me), unread, ..info.clone() }
}

/// What is new in a session is not new any more.
pub fn mark(connection: &Arc<Connection>, request_id: Option<String>, body: MarkRead) -> Answer {
    let person = connection.eyes().person().unwrap_or_default();
    let command = Command::MarkRead { person, seq: body.seq };
    ask(connection, request_id, &body.session_id, command)
}

/// Tells what happened in a session.
pub fn digest(connection: &Arc<Connection>, request_id: Option<String>, body: GetDigest) -> Answer {
    let server = connection.server.clone();
    let person = connection.eyes().person();
    Answer::Later(Box::pin(async move {
        let found = match server.sessions.locate(&body.session_id) {
            Ok(found) => found,
            Err(why) => return Said::from(error(request_id, None, why)),
        };
        let _turn = server.pages.acquire().await;
        let told = server.clone();
        let read = tokio::task::spawn_blocking(move || {
            let Some((no, info)) = told.sessions.peek(&found)? else {
                return Ok(Err(ErrorCode::SessionNotFound));
            };
            let after = match (body.after, &body.since) {
                (Some(seq), _) => From::Seq(seq),
                (None, Some(word)) => match told.sessions.reader().moment(word, false)? {
                    Some(at_ms) => From::Moment(at_ms),
                    None => return Ok(Err(ErrorCode::BadRequest)),
                },
                (None, None) => {
                    let read = person.and_then(|person| info.readers.get(&person).copied());
                    From::Seq(read.map_or(0, |(seq, _)| seq))
                }
            };
            told.sessions.since(no, &info, after).map(Ok)
        });
        let why = match read.await {
            Ok(Ok(Ok(digest))) => return Message::Digest { request_id, digest: Box::new(digest) }.into(),
            Ok(Ok(Err(code))) => CodedError::new(
                code,
                match code {
                    ErrorCode::BadRequest => "since: a day such as 2026-11-01, or 12h, 7d, 4w ago",
                    _ => "the session is gone",
                },
            ),
            Ok(Err(why)) => store_error(&why),
            Err(_) => CodedError::new(ErrorCode::StoreFailed, "the store could not be read"),
        };
        error(request_id, Some(found), why).into()
    }))
}
