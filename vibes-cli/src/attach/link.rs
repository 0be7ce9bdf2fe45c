//! The attached connection: joined once, and again after a loss.
//!
//! Invariant: a session's records are asked for from the last one seen, under its epoch, so that a reconnect neither
//! repeats nor skips.

use super::Event;
use crate::client::hello;
use crate::client::stream::{GRACE_MS, Seen, Stream};
use crate::error::{Failure, Outcome};
use std::sync::mpsc::Sender;
use vibes_protocol::model::{ClientId, Role, SessionId};
use vibes_protocol::paths::StateDir;
use vibes_protocol::wire::message::SubscribedSession;
use vibes_protocol::wire::request::{After, Subscribe};
use vibes_protocol::wire::{Message, Request};

/// A connection that joined one session.
pub(crate) struct Link {
    pub(super) stream: Stream,
    session_id: SessionId,
    role: Role,
    /// A person reads what comes.
    reads: bool,
}

impl Link {
    /// A link that is not connected yet.
    pub(crate) fn new(dir: StateDir, session_id: SessionId, role: Role, once: bool, reads: bool) -> Self {
        // A `run --once` that was killed has nobody to come back.
        let grace = if once { 0 } else { GRACE_MS };
        Self { stream: Stream::new(dir, hello(Some(grace))), session_id, role, reads }
    }

    /// Who the daemon says we are.
    pub(crate) fn me(&self) -> Option<ClientId> {
        self.stream.me()
    }

    /// Connects and joins after the last record seen.
    pub(crate) fn join(&mut self, seen: Seen, events: &Sender<Event>) -> Outcome<SubscribedSession> {
        let mut connection = self.stream.connect()?;
        let subscribe = Subscribe {
            reads: self.reads,
            session_ids: vec![self.session_id.to_string()],
            after: After::Seq(seen.seq),
            epoch: seen.epoch.filter(|_| seen.seq > 0),
            role: self.role,
        };
        let joined = match self.stream.ask(&mut connection, subscribe)? {
            Message::Subscribed { sessions, .. } => sessions.into_iter().next(),
            _ => None,
        };
        let Some(joined) = joined else { return Err(Failure::unexpected("subscribe")) };
        self.stream.listen(connection, events);
        Ok(joined)
    }

    /// Sends a request without waiting; see [`Stream::send`].
    pub(crate) fn send(&mut self, request: impl Into<Request>) -> Option<String> {
        self.stream.send(request)
    }
}
