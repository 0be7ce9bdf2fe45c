//! The attached connection: joined once, read by a thread, found again after a loss.
//!
//! Invariant: a session's records are asked for from the last one seen, under its epoch, so that a reconnect neither
//! repeats nor skips; and the reader is never more than a bounded number of messages ahead of the screen.

use super::Event;
use crate::client::connection::{AskError, Connection, Incoming, Outgoing};
use crate::client::hello;
use crate::client::launch::{connect_or_start, unreachable};
use crate::error::{Failure, Kind, Outcome};
use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;
use vibes_protocol::model::{ClientId, Epoch, Role, Seq, SessionId};
use vibes_protocol::paths::StateDir;
use vibes_protocol::wire::message::SubscribedSession;
use vibes_protocol::wire::request::{After, Hello, Subscribe};
use vibes_protocol::wire::{ErrorCode, Message, Request};

/// How far the reader may be ahead. Enough to keep a socket busy, little enough that Ctrl-C is not behind much.
const AHEAD: usize = 256;

/// How a dropped attach may stay a member before it counts as left.
const GRACE_MS: u64 = 5_000;

/// The last record seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) seq: Seq,
    pub(crate) epoch: Option<Epoch>,
}

/// A connection that joined one session.
pub(crate) struct Link {
    dir: StateDir,
    session_id: SessionId,
    role: Role,
    hello: Hello,
    outgoing: Option<Outgoing>,
    /// One ticket per message under way from the reader; taking one lets it read on.
    tickets: Option<Receiver<()>>,
    /// Which connection this is; what an earlier one still says is old.
    pub(crate) generation: u64,
}

impl Link {
    /// A link that is not connected yet.
    pub(crate) fn new(dir: StateDir, session_id: SessionId, role: Role, once: bool) -> Self {
        // A `run --once` that was killed has nobody to come back.
        let grace = if once { 0 } else { GRACE_MS };
        let hello = hello(Some(grace));
        Self { dir, session_id, role, hello, outgoing: None, tickets: None, generation: 0 }
    }

    /// Who the daemon says we are.
    pub(crate) fn me(&self) -> Option<ClientId> {
        self.hello.client_id
    }

    /// Connects and joins after the last record seen.
    pub(crate) fn join(&mut self, seen: Seen, events: &Sender<Event>) -> Outcome<SubscribedSession> {
        self.outgoing = None;
        let mut connection = connect_or_start(&self.dir)?;
        self.introduce(&mut connection)?;
        let subscribe = Subscribe {
            session_ids: vec![self.session_id.to_string()],
            after: After::Seq(seen.seq),
            epoch: seen.epoch.filter(|_| seen.seq > 0),
            role: self.role,
        };
        let joined = match self.ask(&mut connection, subscribe)? {
            Message::Subscribed { sessions, .. } => sessions.into_iter().next(),
            _ => None,
        };
        let Some(joined) = joined else { return Err(Failure::unexpected("subscribe")) };
        let (incoming, outgoing, waiting) = connection.split();
        self.generation += 1;
        let (ticket, tickets) = mpsc::sync_channel(AHEAD);
        let (generation, events) = (self.generation, events.clone());
        thread::spawn(move || read(incoming, waiting, generation, &ticket, &events));
        self.outgoing = Some(outgoing);
        self.tickets = Some(tickets);
        Ok(joined)
    }

    fn introduce(&mut self, connection: &mut Connection) -> Outcome {
        let welcome = match connection.ask(self.hello.clone().into()) {
            // A daemon that does not know us any more, or whose store is another one: be somebody new.
            Err(AskError::Refused(error))
                if self.hello.client_id.is_some() && error.code != ErrorCode::UnsupportedProtocol =>
            {
                self.hello.client_id = None;
                self.hello.resume_token = None;
                self.ask(connection, self.hello.clone())?
            }
            Err(AskError::Refused(error)) => return Err(error.into()),
            Err(AskError::Lost(error)) => return Err(unreachable(&self.dir, &error)),
            Ok(welcome) => welcome,
        };
        let Message::Welcome { client_id, resume_token, .. } = welcome else {
            return Err(Failure::unexpected("hello"));
        };
        self.hello.client_id = Some(client_id);
        self.hello.resume_token = Some(resume_token);
        Ok(())
    }

    fn ask(&self, connection: &mut Connection, request: impl Into<Request>) -> Outcome<Message> {
        connection.ask(request.into()).map_err(|error| match error {
            AskError::Refused(error) => error.into(),
            AskError::Lost(error) => unreachable(&self.dir, &error),
        })
    }

    /// Sends a request without waiting; the answer comes as an event. `None` when the connection is gone: the loss is
    /// an event of its own.
    pub(crate) fn send(&mut self, request: impl Into<Request>) -> Option<String> {
        self.outgoing.as_mut().and_then(|outgoing| outgoing.send(request.into()).ok())
    }

    /// A message was taken; the reader may read on.
    pub(crate) fn taken(&self) {
        if let Some(tickets) = &self.tickets {
            let _ = tickets.try_recv();
        }
    }

    /// Whether a failed attempt to join is worth another one.
    pub(crate) fn may_try_again(failure: &Failure) -> bool {
        match failure.code {
            None => failure.kind == Kind::Unreachable,
            Some(code) => matches!(code, ErrorCode::ShuttingDown | ErrorCode::Adopting | ErrorCode::Busy),
        }
    }
}

fn read(
    mut incoming: Incoming,
    waiting: VecDeque<Message>,
    generation: u64,
    ticket: &SyncSender<()>,
    events: &Sender<Event>,
) {
    let deliver = |message: Message| {
        ticket.send(()).is_ok() && events.send(Event::Message(generation, Box::new(message))).is_ok()
    };
    if !waiting.into_iter().all(deliver) {
        return;
    }
    let error = loop {
        match incoming.next(None) {
            Ok(Some(message)) => {
                if !deliver(message) {
                    return;
                }
            }
            Ok(None) => break io::Error::from(io::ErrorKind::TimedOut),
            Err(error) => break error,
        }
    };
    let _ = events.send(Event::Lost(generation, error));
}
