//! The wire as a WebSocket.
//!
//! Invariant: nothing of the daemon is told before a good token was shown, within five seconds, in the header or as the
//! first message. From then on it is a connection like any other.

use super::{
    Door, frames,
    problem::Problem,
    routes::{self, Ask},
    seen::Seen,
    tokens::Guest,
};
use crate::{
    budget, connection, dispatch,
    listen::{Peer, Visitor},
    wire::{Heard, Source, Wire},
};
use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, Response, StatusCode, Version, header},
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::{io::IoSlice, sync::Arc};
use tokio::net::TcpStream;
use vibes_protocol::{
    model::CodedError,
    wire::{ErrorCode, Message},
};

/// The first message of who has shown no token yet.
#[derive(Deserialize)]
struct Auth {
    #[serde(rename = "type")]
    kind: String,
    token: String,
    #[serde(default)]
    request_id: Option<String>,
}

/// Becomes a WebSocket.
pub fn upgrade(ask: Ask) -> std::pin::Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
    Box::pin(async move { try_upgrade(ask).unwrap_or_else(Problem::response) })
}

fn try_upgrade(mut ask: Ask) -> Result<Response<Body>, Problem> {
    let accept = accept(&ask.parts.headers, ask.parts.version)?;
    let Some(upgrade) = ask.parts.extensions.remove::<hyper::upgrade::OnUpgrade>() else {
        return Err(wanted());
    };
    let (door, seen, guest) = (ask.door, ask.seen, ask.guest);
    door.tasks.clone().spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else { return };
        let socket = parts.io.into_inner();
        // Left to itself it would grow to megabytes, and have no room for a last word when it is full.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&socket, budget::WEB_BUFFER);
        let wire = Arc::new(Wire::Frames(socket));
        let mut source = wire.source();
        source.push(&parts.read_buf);
        let guest = match guest {
            Some(guest) => guest,
            None => match introduced(&door, &seen, &wire, &mut source).await {
                Ok(guest) => guest,
                Err(error) => return turn_away(&wire, error),
            },
        };
        connection::serve(door.server.clone(), Visitor { wire, source, peer: Peer::Web(guest) }).await;
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok(response)
}

fn wanted() -> Problem {
    let why = "this route is a WebSocket of version 13";
    let mut problem = Problem::new(ErrorCode::BadRequest, why).with(StatusCode::UPGRADE_REQUIRED);
    problem.header = Some(("upgrade", "websocket"));
    problem
}

/// What the handshake is answered with.
fn accept(headers: &HeaderMap, version: Version) -> Result<HeaderValue, Problem> {
    let has = |name: header::HeaderName, word: &str| {
        let mut values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        values.any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(word)))
    };
    let key = headers.get(header::SEC_WEBSOCKET_KEY).filter(|key| key.len() == 24);
    match key {
        Some(key)
            if version == Version::HTTP_11
                && has(header::CONNECTION, "upgrade")
                && has(header::UPGRADE, "websocket")
                && has(header::SEC_WEBSOCKET_VERSION, "13") =>
        {
            let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
            HeaderValue::from_str(&accept).map_err(|_| wanted())
        }
        _ => Err(wanted()),
    }
}

/// Reads the first message of who has shown no token yet.
async fn introduced(
    door: &Arc<Door>,
    seen: &Seen,
    wire: &Arc<Wire>,
    source: &mut Source,
) -> Result<Arc<Guest>, CodedError> {
    let refuse = |code, why: &str| CodedError::new(code, why);
    let Ok(_place) = door.server.web.strangers.clone().try_acquire_owned() else {
        return Err(refuse(ErrorCode::LimitExceeded, "too many connections have shown no token yet"));
    };
    let first = async {
        let mut bytes = vec![0; 4 * 1024];
        loop {
            match source.next() {
                Some(Heard::Message(line)) => return serde_json::from_slice::<Auth>(line).ok(),
                Some(Heard::Life(_)) => continue,
                Some(Heard::TooLong | Heard::Goodbye(_) | Heard::Broken(_)) => return None,
                None => {}
            }
            match wire.read(&mut bytes).await {
                Ok(count) if count > 0 => source.push(&bytes[..count]),
                _ => return None,
            }
        }
    };
    let auth = tokio::select! {
        auth = tokio::time::timeout(budget::FIRST_WORD, first) => auth.ok().flatten(),
        () = door.closed.cancelled() => return Err(refuse(ErrorCode::ShuttingDown, "the web is served no longer")),
    };
    let Some(auth) = auth.filter(|auth| auth.kind == "auth") else {
        let why = "the first message is {\"type\":\"auth\",\"token\":\"…\"}, within 5 s";
        return Err(refuse(ErrorCode::Unauthorized, why));
    };
    let guest = routes::identify(door, seen, &auth.token).await.map_err(|problem| problem.error)?;
    write(wire, &Message::Ok { request_id: auth.request_id });
    Ok(guest)
}

/// A fresh socket has room for this.
fn write(wire: &Wire, message: &Message) {
    let (pieces, _) = wire.framed(vec![connection::encode(message)]);
    let slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let _ = wire.try_write_vectored(&slices);
}

fn turn_away(wire: &Wire, error: CodedError) {
    let reason = error.code.as_str();
    write(wire, &dispatch::error(None, None, error));
    let _ = wire.try_write_vectored(&[IoSlice::new(&frames::close(reason))]);
}
