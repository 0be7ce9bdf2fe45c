//! Server-sent events: the wire's messages for `curl` and for programs without WebSockets.
//!
//! Invariant: an event is a message of the wire, whole. The id of a record's event is its cursor, so that a client that
//! sends the last one back misses nothing and hears nothing twice; a slow one is read for slowly, like any other.

use super::{
    pair::{self, Pair},
    problem::Problem,
    routes::Ask,
};
use axum::{
    body::Body,
    http::{HeaderValue, Response, header},
};
use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{pin::Pin, time::Duration};
use vibes_protocol::wire::ErrorCode;

/// How often a stream that has nothing to say gives a sign of life.
const ALIVE: Duration = Duration::from_secs(15);

type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// What is looked at of a message; the rest passes as it is.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(default)]
    session_id: Option<&'a str>,
    #[serde(default)]
    session: Option<Session<'a>>,
    #[serde(default)]
    epoch: Option<u64>,
    #[serde(default)]
    seq: Option<u64>,
}

#[derive(Deserialize)]
struct Session<'a> {
    id: &'a str,
}

/// What happens to all sessions.
pub fn all(ask: Ask) -> Answer {
    Box::pin(async move {
        let request = json!({"type": "list_sessions"});
        begin(ask, &request, None).await.unwrap_or_else(Problem::response)
    })
}

/// The records of one session.
pub fn one(ask: Ask) -> Answer {
    Box::pin(async move {
        match subscription(&ask) {
            Ok(request) => begin(ask, &request, Some(())).await.unwrap_or_else(Problem::response),
            Err(problem) => problem.response(),
        }
    })
}

fn subscription(ask: &Ask) -> Result<Value, Problem> {
    let bad = || {
        Problem::new(
            ErrorCode::BadRequest,
            "Last-Event-ID is EPOCH:SEQ, as events have it; after is a record's number",
        )
    };
    let last =
        ask.parts.headers.get("last-event-id").map(|last| last.to_str().map_err(|_| bad())).transpose()?;
    let mut request =
        json!({"type": "subscribe", "session_ids": [ask.session()], "role": "viewer", "after": "end"});
    if let Some((_, after)) = ask.query.iter().find(|(name, _)| name == "after") {
        request["after"] = after.parse::<u64>().map_err(|_| bad())?.into();
    }
    if let Some(last) = last.filter(|last| !last.is_empty()) {
        let (epoch, seq) = last.split_once(':').ok_or_else(bad)?;
        request["epoch"] = epoch.parse::<u64>().map_err(|_| bad())?.into();
        request["after"] = seq.parse::<u64>().map_err(|_| bad())?.into();
    }
    Ok(request)
}

async fn begin(ask: Ask, request: &Value, one: Option<()>) -> Result<Response<Body>, Problem> {
    let lost = |_| Problem::new(ErrorCode::ShuttingDown, "the daemon stops");
    let mut pair = Pair::open(&ask.door.server, &ask.guest()?).map_err(lost)?;
    pair.send(request).await.map_err(lost)?;
    let Some(first) = pair.line().await.map_err(lost)? else {
        return Err(Problem::new(ErrorCode::ShuttingDown, "the daemon stops"));
    };
    if let Some(error) = pair::error(&first) {
        return Err(error.into());
    }
    // The one session, by its id: the path may have named it otherwise.
    let only = one.and_then(|()| {
        let answer: Value = serde_json::from_slice(&first).ok()?;
        Some(answer["sessions"][0]["session"]["id"].as_str()?.to_owned())
    });
    let (sender, channel) = Channel::<Bytes, std::convert::Infallible>::new(1);
    let closed = ask.door.closed.clone();
    ask.door.tasks.spawn(async move {
        tokio::select! {
            () = closed.cancelled() => {}
            () = pass_on(pair, first, only, sender) => {}
        }
    });
    let mut response = Response::new(Body::new(channel));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// Passes lines on until either side has enough.
async fn pass_on(
    mut pair: Pair,
    first: Vec<u8>,
    only: Option<String>,
    mut sender: Sender<Bytes, std::convert::Infallible>,
) {
    let mut line = Some(first);
    loop {
        if let Some(event) = line.take().and_then(|line| event(&line, only.as_deref()))
            && sender.send_data(event).await.is_err()
        {
            return;
        }
        let mut next = std::pin::pin!(pair.line());
        // A line is read to its end, however many signs of life that takes.
        line = loop {
            match tokio::time::timeout(ALIVE, &mut next).await {
                Ok(Ok(Some(line))) => break Some(line),
                Ok(_) => return,
                Err(_) if sender.send_data(Bytes::from_static(b": alive\n\n")).await.is_err() => return,
                Err(_) => {}
            }
        };
    }
}

/// A message as an event, unless it is about another session.
fn event(line: &[u8], only: Option<&str>) -> Option<Bytes> {
    let head: Head<'_> = serde_json::from_slice(line).ok()?;
    let about = head.session_id.or(head.session.map(|session| session.id));
    if let (Some(only), Some(about)) = (only, about)
        && only != about
    {
        return None;
    }
    let mut event = Vec::with_capacity(line.len() + 64);
    if let (Some(epoch), Some(seq)) = (head.epoch, head.seq) {
        event.extend_from_slice(format!("id: {epoch}:{seq}\n").as_bytes());
    }
    event.extend_from_slice(format!("event: {}\ndata: ", head.kind).as_bytes());
    // A line of JSON has no newline in it.
    event.extend_from_slice(line);
    event.extend_from_slice(b"\n\n");
    Some(event.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_s_event_has_its_cursor() {
        let line =
            br#"{"type":"record","session_id":"a","epoch":2,"seq":7,"at_ms":1,"fact":{"kind":"renamed"}}"#;
        let event = event(line, Some("a")).unwrap();
        let text = std::str::from_utf8(&event).unwrap();
        assert!(
            text.starts_with("id: 2:7\nevent: record\ndata: {\"type\"") && text.ends_with("}}\n\n"),
            "{text}"
        );
        assert!(super::event(line, Some("b")).is_none());
        let updated = br#"{"type":"session_updated","session":{"id":"a","name":"x"}}"#;
        assert!(super::event(updated, Some("a")).unwrap().starts_with(b"event: session_updated\n"));
        assert!(super::event(updated, Some("b")).is_none());
    }
}
