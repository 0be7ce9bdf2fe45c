//! Prompts on their way to a session.
//!
//! Invariant: what a client asks in order is in the session's inbox in order, attachments or not.

use super::{
    attachments,
    session::{later, refused, said},
};
use crate::{connection::Connection, dispatch::Answer, focus};
use serde_json::Value;
use std::sync::Arc;
use vibes_core::session::{Command, event::QueueChange};
use vibes_protocol::{
    model::SessionId,
    wire::{
        CodedError,
        request::{Content, EditInput, Input},
    },
};

/// Gives the agent a prompt.
pub fn input(connection: &Arc<Connection>, request_id: Option<String>, body: Input) -> Answer {
    let Input { session_id, content, idempotency_key: key, now } = body;
    if let Some((id, why)) = focus::keeps_from(&connection.server, &session_id) {
        return refused(request_id, Some(id), why);
    }
    prompt(connection, request_id, &session_id, content, |content| Command::Input { content, key, now })
}

/// Changes the words of a prompt that waits.
pub fn edit(connection: &Arc<Connection>, request_id: Option<String>, body: EditInput) -> Answer {
    let EditInput { session_id, input_seq, content } = body;
    prompt(connection, request_id, &session_id, content, |content| {
        Command::Queued(input_seq, QueueChange::Edit(content))
    })
}

fn prompt(
    connection: &Arc<Connection>,
    request_id: Option<String>,
    session_id: &str,
    content: Content,
    command: impl FnOnce(Vec<Value>) -> Command,
) -> Answer {
    let handle = match connection.server.sessions.resolve(session_id) {
        Ok(handle) => handle,
        Err(why) => return refused(request_id, None, why),
    };
    let content = match attachments::taken(connection, &handle.id, content) {
        Ok(content) => content,
        Err(why) => return refused(request_id, Some(handle.id), why),
    };
    let reply = handle.ask(&connection.caller(), command(content), None);
    later(async move { said(request_id, handle.id, reply.await).into() })
}

/// The first prompt of a session, with its attachments kept.
pub fn first(
    connection: &Connection,
    session: &SessionId,
    prompt: Option<Content>,
) -> Result<Option<Vec<Value>>, CodedError> {
    prompt.map(|prompt| attachments::taken(connection, session, prompt)).transpose()
}
