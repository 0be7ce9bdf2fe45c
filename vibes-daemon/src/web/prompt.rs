//! A prompt that is waited for, and what waits for a person.
//!
//! Invariant: the answer is that of the prompt's own turn. Nobody takes a seat for waiting: who asks and goes has not
//! been there.

use super::{
    pair,
    problem::Problem,
    routes::{self, Ask},
};
use crate::server::Server;
use axum::{
    body::Body,
    http::{Response, StatusCode},
};
use serde_json::{Map, Value, json};
use std::{pin::Pin, sync::Arc, time::Duration};
use tokio::{sync::Notify, time::Instant};
use vibes_core::{journal::Pull, session::SessionHandle};
use vibes_protocol::{
    model::{Fact, Permission},
    wire::{ErrorCode, message::Record},
};

/// How long is waited unless a number is named, and at most.
const USUAL: Duration = Duration::from_secs(600);
const LONGEST: u64 = 24 * 60 * 60;
/// How much is read at once, in bytes.
const PAGE: usize = 256 * 1024;
/// How much of an agent's words is told, in bytes; the records have all.
const WORDS: usize = 1024 * 1024;

type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// Tells what waits for an answer.
pub fn pending(ask: Ask) -> Answer {
    Box::pin(async move { try_pending(ask).await.unwrap_or_else(Problem::response) })
}

async fn try_pending(ask: Ask) -> Result<Response<Body>, Problem> {
    let request = json!({"type": "get_session", "session_id": ask.session()});
    let line = pair::ask(&ask.door.server, &ask.guest()?, &request).await?;
    let answer: Value = serde_json::from_slice(&line).unwrap_or_default();
    let body = json!({
        "session_id": answer["session"]["id"],
        "permissions": answer["session"]["pending_permissions"],
    });
    Ok(routes::tagged(&ask.parts.headers, body.to_string().into_bytes()))
}

/// Prompts.
pub fn prompt(ask: Ask) -> Answer {
    Box::pin(async move { try_prompt(ask).await.unwrap_or_else(Problem::response) })
}

async fn try_prompt(mut ask: Ask) -> Result<Response<Body>, Problem> {
    let bad = |why: &str| Problem::new(ErrorCode::BadRequest, why);
    let wait = match ask.query.iter().find(|(name, _)| name == "wait").map(|(_, value)| value.as_str()) {
        None | Some("false" | "0") => None,
        Some("" | "true") => Some(USUAL),
        Some(seconds) => {
            let seconds = seconds.parse::<u64>().map_err(|_| bad("wait: seconds are expected, or true"))?;
            Some(Duration::from_secs(seconds.min(LONGEST)))
        }
    };
    let mut request = ask.json().await?;
    request.insert("type".to_owned(), "input".into());
    request.insert("session_id".to_owned(), ask.session().into());
    request.shift_remove("request_id");
    if let Some(key) = ask.parts.headers.get("idempotency-key").and_then(|key| key.to_str().ok()) {
        request.insert("idempotency_key".to_owned(), key.into());
    }
    let (server, closed) = (ask.door.server.clone(), ask.door.closed.clone());
    let line = pair::ask(&server, &ask.guest()?, &Value::Object(request)).await?;
    let accepted: Value = serde_json::from_slice(&line).unwrap_or_default();
    let seq = accepted["seq"].as_u64().unwrap_or_default();
    let mut result = json!({"session_id": accepted["session_id"], "input_seq": seq, "outcome": "accepted"});
    let Some(wait) = wait else {
        return Ok(with(StatusCode::ACCEPTED, &result));
    };
    let id = accepted["session_id"].as_str().unwrap_or_default();
    let handle = server.sessions.resolve(id)?;
    let mut turn = Turn { seq, ..Turn::default() };
    let until = Instant::now() + wait;
    let over = tokio::select! {
        over = follow(&server, &handle, &mut turn, until) => over?,
        () = closed.cancelled() => return Err(Problem::new(ErrorCode::ShuttingDown, "the daemon stops; the prompt was accepted")),
    };
    if let Some(result) = result.as_object_mut() {
        turn.tell(result, over);
    }
    let done = matches!(over, Over::Ended);
    Ok(with(if done { StatusCode::OK } else { StatusCode::ACCEPTED }, &result))
}

fn with(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = routes::json(body.to_string());
    *response.status_mut() = status;
    response
}

/// Why nothing more is waited for.
#[derive(Debug, Clone, Copy)]
enum Over {
    Ended,
    Asked,
    Late,
}

/// What was heard of a prompt's turn.
#[derive(Default)]
struct Turn {
    seq: u64,
    after: u64,
    turn: Option<u64>,
    text: String,
    asked: Vec<Permission>,
    end: Option<Fact>,
}

impl Turn {
    /// Takes a record. True when nothing more is to come.
    fn hear(&mut self, record: Record) -> bool {
        self.after = record.seq;
        match record.fact {
            Fact::TurnStarted(started) if started.input_seq == self.seq => self.turn = Some(started.turn),
            Fact::Update(update) if self.turn.is_some() => {
                let update = &update.update;
                if update["sessionUpdate"] == "agent_message_chunk"
                    && let Some(text) = update["content"]["text"].as_str()
                    && self.text.len() < WORDS
                {
                    self.text.push_str(text);
                }
            }
            Fact::PermissionRequested(asked) if self.turn.is_some() => self.asked.push(asked.permission),
            Fact::PermissionResolved(resolved) => {
                self.asked.retain(|asked| asked.permission_id != resolved.permission_id);
            }
            Fact::TurnEnded(ended) if self.turn == Some(ended.turn) => {
                self.end = Some(Fact::TurnEnded(ended));
                return true;
            }
            Fact::InputDropped(dropped) if dropped.input_seq == self.seq => {
                self.end = Some(Fact::InputDropped(dropped));
                return true;
            }
            _ => {}
        }
        false
    }

    fn tell(self, into: &mut Map<String, Value>, over: Over) {
        let mut put = |name: &str, value: Value| into.insert(name.to_owned(), value);
        put("text", self.text.into());
        if let Some(turn) = self.turn {
            put("turn", turn.into());
        }
        match (over, self.end) {
            (Over::Ended, Some(Fact::TurnEnded(ended))) => {
                let Ok(Value::Object(ended)) = serde_json::to_value(ended) else { return };
                into.extend(ended);
            }
            (Over::Ended, _) => drop(put("outcome", "dropped".into())),
            (Over::Asked, _) => {
                put("outcome", "needs_approval".into());
                put("permissions", serde_json::to_value(self.asked).unwrap_or_default());
            }
            (Over::Late, _) => drop(put("outcome", "running".into())),
        }
    }
}

async fn follow(
    server: &Server,
    handle: &SessionHandle,
    turn: &mut Turn,
    until: Instant,
) -> Result<Over, Problem> {
    let lost = || Problem::new(ErrorCode::StoreFailed, "the records cannot be read; the prompt was accepted");
    let wake = Arc::new(Notify::new());
    turn.after = turn.seq;
    handle.feed.listen(&wake);
    loop {
        let frames = match handle.feed.pull(turn.after, PAGE) {
            Pull::Frames(frames, ..) => frames.concat(),
            Pull::Store => {
                let (reader, no, id, after) =
                    (server.sessions.reader().clone(), handle.no, handle.id, turn.after);
                let _place = server.pages.acquire().await;
                let page = tokio::task::spawn_blocking(move || reader.page(no, &id, after, PAGE, usize::MAX));
                page.await.map_err(|_| lost())?.map_err(|_| lost())?.frames.bytes.to_vec()
            }
            Pull::Idle => {
                if handle.feed.is_closed() {
                    return Err(Problem::new(
                        ErrorCode::Internal,
                        "the session fell; whether it goes on is told by it",
                    ));
                }
                if !turn.asked.is_empty() {
                    return Ok(Over::Asked);
                }
                tokio::select! {
                    () = wake.notified() => {}
                    () = tokio::time::sleep_until(until) => return Ok(Over::Late),
                }
                continue;
            }
        };
        for line in frames.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Ok(record) = serde_json::from_slice::<Record>(line) else { continue };
            if turn.hear(record) {
                return Ok(Over::Ended);
            }
        }
        if frames.is_empty() {
            return Err(lost());
        }
    }
}
