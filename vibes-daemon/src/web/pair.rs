//! Asks the daemon on behalf of somebody of the web: over a pair of sockets, as any client does.
//!
//! Invariant: there is no second way to a session. What the local socket promises of order, room and slow readers holds
//! for a request of HTTP and for a stream of events.

use super::{problem::Problem, tokens::Guest};
use crate::{
    connection,
    listen::{Peer, Visitor},
    server::Server,
    wire::Wire,
};
use serde_json::Value;
use std::{io, sync::Arc};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::UnixStream,
};
use vibes_protocol::wire::{CodedError, ErrorCode, Message};

/// One end of a connection to this daemon.
pub struct Pair {
    stream: BufReader<UnixStream>,
}

impl Pair {
    /// Connects.
    pub fn open(server: &Arc<Server>, guest: &Arc<Guest>) -> io::Result<Self> {
        let (near, far) = UnixStream::pair()?;
        let wire = Arc::new(Wire::Lines(far));
        let source = wire.source();
        let visitor = Visitor { wire, source, peer: Peer::Web(guest.clone()) };
        tokio::spawn(connection::serve(server.clone(), visitor));
        Ok(Self { stream: BufReader::new(near) })
    }

    /// Sends a request.
    pub async fn send(&mut self, request: &Value) -> io::Result<()> {
        let mut line = request.to_string().into_bytes();
        line.push(b'\n');
        self.stream.get_mut().write_all(&line).await
    }

    /// The next line, without its newline.
    pub async fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).await?;
        Ok(line.strip_suffix(b"\n").map(<[u8]>::to_vec))
    }
}

/// What a line says, if it is an error.
pub fn error(line: &[u8]) -> Option<CodedError> {
    // The tag is always written first.
    if !line.starts_with(br#"{"type":"error""#) {
        return None;
    }
    match serde_json::from_slice(line) {
        Ok(Message::Error { code, message, version, .. }) => Some(CodedError { code, message, version }),
        _ => None,
    }
}

/// Asks one thing and gives back the line of its answer.
pub async fn ask(server: &Arc<Server>, guest: &Arc<Guest>, request: &Value) -> Result<Vec<u8>, Problem> {
    let lost = |_| Problem::new(ErrorCode::ShuttingDown, "the daemon stops");
    let mut pair = Pair::open(server, guest).map_err(|error| {
        Problem::new(ErrorCode::LimitExceeded, format!("the daemon has no room for this request: {error}"))
    })?;
    pair.send(request).await.map_err(lost)?;
    // Nothing else is said before the answer.
    let Some(line) = pair.line().await.map_err(lost)? else {
        return Err(Problem::new(ErrorCode::ShuttingDown, "the daemon stops; nothing was answered"));
    };
    match error(&line) {
        Some(error) => Err(error.into()),
        None => Ok(line),
    }
}
