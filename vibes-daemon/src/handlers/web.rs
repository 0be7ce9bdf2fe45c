//! Requests about the web and its tokens.
//!
//! Invariant: files are read and written aside; a secret is in one answer and nowhere else.

use crate::{
    connection::Connection,
    dispatch::{Answer, Said, error},
    web::{auth::NAME, tokens::CODE_LIVES},
};
use std::sync::Arc;
use vibes_core::clock;
use vibes_protocol::{
    model::Access,
    seat::is_person,
    wire::{
        CodedError, ErrorCode, Message,
        request::{CreateToken, ListAudit, RevokeToken, Web, WebAction},
    },
};

/// How many entries are told unless a client says otherwise, and at most.
const USUAL: u32 = 50;
const MOST: u32 = 1_000;
/// The longest a token may be for, in seconds: ten years.
const LONGEST: u64 = 10 * 366 * 24 * 60 * 60;

fn now() -> i64 {
    clock::wall_ms() / 1000
}

fn later(
    request_id: Option<String>,
    work: impl Future<Output = Result<Message, CodedError>> + Send + 'static,
) -> Answer {
    Answer::Later(Box::pin(async move {
        Said::from(work.await.unwrap_or_else(|why| error(request_id, None, why)))
    }))
}

fn failed(error: anyhow::Error) -> CodedError {
    CodedError::new(ErrorCode::StoreFailed, format!("{error:#}"))
}

/// Serves the web, or tells about it.
pub fn web(connection: &Arc<Connection>, request_id: Option<String>, body: Web) -> Answer {
    let (server, person) = (connection.server.clone(), whose(connection));
    later(request_id.clone(), async move {
        let web = &server.web;
        let refused = |error: anyhow::Error| CodedError::new(ErrorCode::InvalidState, format!("{error:#}"));
        let code = match body.action {
            WebAction::Start => {
                web.start(&server, body.port).await.map_err(refused)?;
                Some(web.tokens.code(person))
            }
            WebAction::Stop => {
                web.stop().await.map_err(refused)?;
                None
            }
            WebAction::Status => None,
        };
        let port = web.port();
        Ok(Message::Web {
            request_id,
            running: port.is_some(),
            url: port.map(|port| format!("http://127.0.0.1:{port}")),
            code_expires_at: code.as_ref().map(|_| now() + CODE_LIVES.as_secs() as i64),
            code,
            hosts: web.hosts.clone(),
        })
    })
}

/// Who asks, as whom a token that they make reads.
fn whose(connection: &Connection) -> Option<String> {
    connection.eyes().person().filter(|person| is_person(person))
}

/// Makes a token.
pub fn create(connection: &Arc<Connection>, request_id: Option<String>, body: CreateToken) -> Answer {
    let (server, asks) = (connection.server.clone(), whose(connection));
    later(request_id.clone(), async move {
        let bad = |why: &str| CodedError::new(ErrorCode::BadRequest, why);
        if body.name.trim().is_empty()
            || body.name.chars().count() > NAME
            || body.name.chars().any(char::is_control)
        {
            return Err(bad("name: 1 to 100 characters are expected"));
        }
        if body.expires_s.is_some_and(|seconds| seconds == 0 || seconds > LONGEST) {
            return Err(bad("expires_s: one second to ten years are expected"));
        }
        let handed_on = body.role == Access::View || body.session_id.is_some();
        if let Some(person) = &body.person {
            if !is_person(person) {
                return Err(bad("person: a name as in an identity before @ is expected, at most 128 bytes"));
            }
            if handed_on {
                return Err(bad(
                    "person: a token that only looks, or is for one session, is nobody's in particular",
                ));
            }
        }
        let person = body.person.or(asks.filter(|_| !handed_on));
        let scope = body.session_id.as_deref().map(|id| server.sessions.locate(id)).transpose()?;
        let expires = body.expires_s.map(|seconds| seconds as i64);
        let tokens = &server.web.tokens;
        let made = tokio::task::block_in_place(|| {
            tokens.create(body.name, body.role, scope, person, expires, now())
        });
        let (token, secret) = made.map_err(failed)?;
        Ok(Message::TokenCreated { request_id, secret, token })
    })
}

/// Lists the tokens.
pub fn list(connection: &Arc<Connection>, request_id: Option<String>) -> Answer {
    let server = connection.server.clone();
    later(request_id.clone(), async move {
        let tokens = tokio::task::block_in_place(|| server.web.tokens.list(now())).map_err(failed)?;
        Ok(Message::Tokens { request_id, tokens })
    })
}

/// Takes a token back.
pub fn revoke(connection: &Arc<Connection>, request_id: Option<String>, body: RevokeToken) -> Answer {
    let server = connection.server.clone();
    later(request_id.clone(), async move {
        let found =
            tokio::task::block_in_place(|| server.web.tokens.revoke(&body.id, now())).map_err(failed)?;
        match found {
            1 => Ok(Message::Ok { request_id }),
            0 => Err(CodedError::new(ErrorCode::NotFound, format!("id: no token is {:?}", body.id))),
            _ => {
                Err(CodedError::new(ErrorCode::AmbiguousId, format!("id: {:?} fits several tokens", body.id)))
            }
        }
    })
}

/// Tells who did what.
pub fn audit(connection: &Arc<Connection>, request_id: Option<String>, body: ListAudit) -> Answer {
    let server = connection.server.clone();
    later(request_id.clone(), async move {
        let limit = body.limit.unwrap_or(USUAL).clamp(1, MOST) as usize;
        let read = tokio::task::block_in_place(|| server.web.audit.last(limit));
        let entries = read.map_err(|error| failed(error.into()))?;
        Ok(Message::Audit { request_id, entries })
    })
}
