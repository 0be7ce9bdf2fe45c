//! A connection that one thread reads while another writes, and that is found again after a loss.
//!
//! Invariant: over reconnects the client stays the same one, where the daemon knows it; the reader is never more than a
//! bounded number of messages ahead of whoever takes them; and what an earlier connection still says is told apart.

use super::connection::{AskError, Connection, Incoming, Outgoing};
use super::launch::{connect_or_start, unreachable};
use crate::error::{Failure, Kind, Outcome};
use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;
use std::time::{Duration, Instant};
use vibes_protocol::model::{ClientId, Epoch, Seq};
use vibes_protocol::paths::StateDir;
use vibes_protocol::wire::request::Hello;
use vibes_protocol::wire::{ErrorCode, Message, Request};

/// How far the reader may be ahead. Enough to keep a socket busy, little enough that what a person does is not behind much.
const AHEAD: usize = 256;
/// Attempts to find the daemon again; with the pauses between them about half a minute.
const ATTEMPTS: u32 = 12;
/// How long a client that lost its connection may stay a member before it counts as left.
pub(crate) const GRACE_MS: u64 = 5_000;

/// The last record seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    pub(crate) seq: Seq,
    pub(crate) epoch: Option<Epoch>,
}

/// What the reader tells, on the connection of which generation.
#[derive(Debug)]
pub(crate) enum Event {
    /// The daemon said something.
    Message(u64, Box<Message>),
    /// The connection is gone.
    Lost(u64, io::Error),
}

/// The connection, or the lack of one.
pub(crate) struct Stream {
    dir: StateDir,
    hello: Hello,
    outgoing: Option<Outgoing>,
    /// One ticket per message under way from the reader; taking one lets it read on.
    tickets: Option<Receiver<()>>,
    /// Which connection this is.
    generation: u64,
}

impl Stream {
    /// Not connected yet.
    pub(crate) fn new(dir: StateDir, hello: Hello) -> Self {
        Self { dir, hello, outgoing: None, tickets: None, generation: 0 }
    }

    /// Whose daemon it is.
    pub(crate) fn dir(&self) -> &StateDir {
        &self.dir
    }

    /// Who the daemon says we are.
    pub(crate) fn me(&self) -> Option<ClientId> {
        self.hello.client_id
    }

    /// From the next connection on, the person's seat is this place on the same machine.
    pub(crate) fn sit_at(&mut self, place: &str) {
        let identity = self.hello.identity.take().unwrap_or_default();
        let machine = identity.split(':').next().unwrap_or_default();
        self.hello.identity = Some(format!("{machine}:{place}"));
    }

    /// Whether a connection is held that was not seen to be lost.
    pub(crate) fn is_open(&self) -> bool {
        self.outgoing.is_some()
    }

    /// Connects, starting the daemon where that is needed, and says who we are.
    pub(crate) fn connect(&mut self) -> Outcome<Connection> {
        self.outgoing = None;
        let mut connection = connect_or_start(&self.dir)?;
        let welcome = match connection.ask(self.hello.clone().into()) {
            // A daemon that does not know us any more, or whose store is another one: be somebody new.
            Err(AskError::Refused(error))
                if self.hello.client_id.is_some() && error.code != ErrorCode::UnsupportedProtocol =>
            {
                self.hello.client_id = None;
                self.hello.resume_token = None;
                self.ask(&mut connection, self.hello.clone())?
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
        Ok(connection)
    }

    /// Asks on a connection that nobody reads yet, and waits.
    pub(crate) fn ask(&self, connection: &mut Connection, request: impl Into<Request>) -> Outcome<Message> {
        connection.ask(request.into()).map_err(|error| match error {
            AskError::Refused(error) => error.into(),
            AskError::Lost(error) => unreachable(&self.dir, &error),
        })
    }

    /// From now on a thread reads the connection.
    pub(crate) fn listen<E: From<Event> + Send + 'static>(
        &mut self,
        connection: Connection,
        events: &Sender<E>,
    ) {
        let (incoming, outgoing, waiting) = connection.split();
        self.generation += 1;
        let (ticket, tickets) = mpsc::sync_channel(AHEAD);
        let (generation, events) = (self.generation, events.clone());
        thread::spawn(move || read(incoming, waiting, generation, &ticket, &events));
        self.outgoing = Some(outgoing);
        self.tickets = Some(tickets);
    }

    /// Whether an event is of the present connection.
    pub(crate) fn is_current(&self, generation: u64) -> bool {
        generation == self.generation
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

    /// The connection was lost.
    pub(crate) fn lost(&mut self) {
        self.outgoing = None;
    }
}

/// The next attempt to find the daemon again.
pub(crate) struct Retry {
    /// When.
    pub(crate) at: Instant,
    attempts: u32,
}

impl Retry {
    /// At once.
    pub(crate) fn now() -> Self {
        Self { at: Instant::now(), attempts: 0 }
    }

    /// Whether its time has come.
    pub(crate) fn is_due(&self) -> bool {
        self.at <= Instant::now()
    }

    /// The attempt after one that failed, unless another one is not worth it.
    pub(crate) fn after(&self, failure: &Failure) -> Option<Self> {
        let worth_it = match failure.code {
            None => failure.kind == Kind::Unreachable,
            Some(code) => matches!(code, ErrorCode::ShuttingDown | ErrorCode::Adopting | ErrorCode::Busy),
        };
        let attempts = self.attempts + 1;
        let pause = Duration::from_millis(100 * 2u64.pow(attempts.min(6))).min(Duration::from_secs(4));
        (worth_it && attempts < ATTEMPTS).then(|| Self { at: Instant::now() + pause, attempts })
    }
}

fn read<E: From<Event>>(
    mut incoming: Incoming,
    waiting: VecDeque<Message>,
    generation: u64,
    ticket: &SyncSender<()>,
    events: &Sender<E>,
) {
    let deliver = |message: Message| {
        ticket.send(()).is_ok() && events.send(Event::Message(generation, Box::new(message)).into()).is_ok()
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
    let _ = events.send(Event::Lost(generation, error).into());
}
