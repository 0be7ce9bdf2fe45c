//! `vibes acp`: an agent for an editor, whose sessions are sessions of the daemon.
//!
//! Module map: `editor` (what the editor asks) and `daemon` (what the daemon says) → `session` (one open session) →
//! `prompts`, `questions`, `options`, `words`.
//!
//! Invariant: one loop on one thread owns all state. The state decides and this file acts: it reads events, sends what
//! was decided, and finds the daemon again. A request that was sent and not answered is sent again on the next connection
//! where that is the same as once; where it is not, what the daemon says on that connection decides.

mod daemon;
mod editor;
mod options;
mod prompts;
mod questions;
mod session;
#[cfg(test)]
mod tests;
mod words;

use super::rpc::{Incoming, Refusal, code};
use super::stdio::{Input, Lines, Out};
use crate::args::AcpArgs;
use crate::client::stream::{self, GRACE_MS, Retry, Stream};
use crate::client::{Daemon, Start, hello};
use crate::error::{Failure, Outcome};
use crate::{attachment, place, sanitize, ui};
use serde_json::{Value, json};
use session::{Cx, Session};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};
use vibes_protocol::model::{ClientId, SessionId, SessionInfo, content};
use vibes_protocol::wire::Request;
use vibes_protocol::wire::message::AgentInfo;
use vibes_protocol::wire::request::{ClientKind, ClientProgram, Unsubscribe};

/// How many messages of an editor may wait until it was answered who we are.
const HELD: usize = 64;
/// How many requests may wait for a connection. More than a person's editor asks in the half minute that one is looked for.
const UNSENT: usize = 64;
/// How long what an editor asked before it left is still answered.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// How often a request is sent whose answer was that the daemon is still finding the agent; each takes five seconds.
const TRIES: u32 = 12;

/// What is to be done.
#[derive(Debug)]
enum Effect {
    /// A message for the editor.
    Tell(Value),
    /// An update with a block whose bytes the daemon keeps, for the editor.
    TellWhole(Value),
    /// A request for the daemon, and what its answer is for.
    Ask(Box<Request>, Then),
    /// Words for whoever reads standard error.
    Note(String),
}

/// What the answer to a request is for. A JSON value is the id of the editor's own request.
#[derive(Debug, Clone)]
enum Then {
    /// Introducing ourselves: which agents there are.
    Agents(Value),
    /// The same: the session that was named on the command line.
    Fixed(Value),
    /// A session is created; it is opened next.
    Created(Value),
    /// The records of a session follow.
    Joined(SessionId),
    /// A prompt is taken.
    Accepted(SessionId, u64),
    /// A turn is to end, or a prompt to leave the queue.
    Stopped(SessionId),
    /// The agent's question is answered.
    Decided(SessionId, String),
    /// An option is set; the session is read next, for all of them.
    Set { rpc: Value, session: SessionId, whole: bool },
    /// The options are read.
    Read { rpc: Value, session: SessionId, whole: bool },
    /// A list for the editor.
    Listed { rpc: Value, cwd: Option<String> },
}

impl Then {
    /// Whether the editor waits for what comes of it.
    fn is_owed(&self) -> bool {
        !matches!(self, Self::Accepted(..) | Self::Stopped(_))
    }
}

/// A request on its way to the daemon.
#[derive(Debug)]
struct Ask {
    request: Box<Request>,
    then: Then,
    tries: u32,
}

/// All that is known. `editor` and `daemon` change it and leave behind what is to be done.
#[derive(Debug)]
struct Bridge {
    /// The agent of new sessions, and the one session that is served, as named on the command line.
    wanted: (Option<String>, Option<String>),
    agent: Option<AgentInfo>,
    /// All that there are.
    agents: Vec<AgentInfo>,
    fixed: Option<SessionInfo>,
    /// What the editor calls itself, once it has said.
    editor: Option<String>,
    /// It was answered who we are; what comes before that waits.
    introduced: bool,
    held: VecDeque<Incoming>,
    sessions: BTreeMap<SessionId, Session>,
    me: BTreeSet<ClientId>,
    last_request: u64,
    /// Sent, by the id of the request, and not answered.
    asked: Vec<(String, Ask)>,
    /// Not sent: there is no connection.
    unsent: VecDeque<Ask>,
    /// To be sent once more.
    again: Vec<Ask>,
    effects: Vec<Effect>,
}

impl Bridge {
    fn new(agent: Option<String>, session: Option<String>) -> Self {
        Self {
            wanted: (agent, session),
            agent: None,
            agents: Vec::new(),
            fixed: None,
            editor: None,
            introduced: false,
            held: VecDeque::new(),
            sessions: BTreeMap::new(),
            me: BTreeSet::new(),
            last_request: 0,
            asked: Vec::new(),
            unsent: VecDeque::new(),
            again: Vec::new(),
            effects: Vec::new(),
        }
    }

    fn tell(&mut self, message: Value) {
        self.effects.push(Effect::Tell(message));
    }

    fn ask(&mut self, request: impl Into<Request>, then: Then) {
        self.effects.push(Effect::Ask(Box::new(request.into()), then));
    }

    fn note(&mut self, words: impl Into<String>) {
        self.effects.push(Effect::Note(words.into()));
    }

    /// Lets an open session change, if there is one with this id.
    fn with<T>(&mut self, id: SessionId, change: impl FnOnce(&mut Session, &mut Cx<'_>) -> T) -> Option<T> {
        let Self { sessions, effects, me, last_request, .. } = self;
        sessions.get_mut(&id).map(|session| change(session, &mut Cx { effects, me, last_request }))
    }

    /// Whether the editor waits for an answer that does not take a turn.
    fn owes(&self) -> bool {
        let mut asks = self.asked.iter().map(|(_, ask)| ask).chain(&self.unsent).chain(&self.again);
        asks.any(|ask| ask.then.is_owed()) || self.sessions.values().any(Session::is_opening)
    }

    /// The connection is gone: what waits for an answer waits for the next one.
    fn lost(&mut self) {
        let asked = std::mem::take(&mut self.asked);
        asked.into_iter().rev().for_each(|(_, ask)| self.unsent.push_front(ask));
    }

    /// There is a connection again: the sessions go on where they were, then what was not answered is asked again.
    fn connected(&mut self, me: Option<ClientId>) {
        self.me.extend(me);
        for id in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.with(id, |session, cx| session.join(cx));
        }
        for ask in std::mem::take(&mut self.unsent) {
            // Joining is done above; whether a stop is still wanted is seen when the records are there.
            if !matches!(ask.then, Then::Joined(_) | Then::Stopped(_)) {
                self.ask(*ask.request, ask.then);
            }
        }
    }

    /// The daemon is not to be reached: nobody waits for it any longer. The next request tries again.
    fn give_up(&mut self, failure: Failure) {
        let refusal = Refusal::from(failure);
        for ask in std::mem::take(&mut self.unsent) {
            self.failed(ask.then, refusal.clone());
        }
        for id in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.with(id, |session, cx| session.refused(&refusal, cx));
        }
    }
}

/// Everything that can wake the loop.
#[derive(Debug)]
enum Event {
    Editor(Input),
    Daemon(stream::Event),
}

impl From<Input> for Event {
    fn from(input: Input) -> Self {
        Self::Editor(input)
    }
}

impl From<stream::Event> for Event {
    fn from(event: stream::Event) -> Self {
        Self::Daemon(event)
    }
}

struct Loop {
    bridge: Bridge,
    stream: Stream,
    lines: Lines,
    out: Out,
    events: Sender<Event>,
    heard: Receiver<Event>,
    retry: Option<Retry>,
    /// The editor has left; until then what it asked before is answered.
    leaving: Option<Instant>,
}

/// Serves an editor until it closes our standard input.
pub(crate) fn run(args: &AcpArgs) -> Outcome {
    let dir = place::state_dir()?;
    let session = match args.session.as_deref() {
        Some("-") => Some(place::last_session(&dir)?),
        named => named.map(str::to_owned),
    };
    let (events, heard) = mpsc::channel();
    let lines = Lines::read(events.clone());
    let mut hello = hello(Some(GRACE_MS));
    hello.client = ClientProgram { name: "vibes acp".to_owned(), kind: ClientKind::Bridge, ..hello.client };
    let bridge = Bridge::new(args.agent.clone(), session);
    let stream = Stream::new(dir, hello);
    Loop { bridge, stream, lines, out: Out::default(), events, heard, retry: None, leaving: None }.run()
}

impl Loop {
    fn run(mut self) -> Outcome {
        loop {
            let event = match self.heard.try_recv() {
                Ok(event) => Some(event),
                // Nothing waits: what was gathered is told before we sleep.
                Err(_) => {
                    self.out.flush()?;
                    self.sleep()
                }
            };
            match event {
                Some(Event::Editor(Input::Line(line))) => {
                    self.lines.taken();
                    self.bridge.line(&line);
                }
                Some(Event::Editor(Input::TooLong)) => {
                    self.bridge.too_long();
                    return self.leave();
                }
                Some(Event::Editor(Input::End)) => self.leaving = Some(Instant::now() + LAST_ANSWERS),
                Some(Event::Daemon(stream::Event::Message(generation, message)))
                    if self.stream.is_current(generation) =>
                {
                    self.stream.taken();
                    self.bridge.message(*message);
                }
                Some(Event::Daemon(stream::Event::Lost(generation, error)))
                    if self.stream.is_current(generation) =>
                {
                    say(&format!("the connection to the daemon was lost: {error}"));
                    self.stream.lost();
                    self.bridge.lost();
                }
                Some(Event::Daemon(_)) | None => {}
            }
            self.act()?;
            self.reconnect()?;
            if self.leaving.is_some_and(|until| until <= Instant::now() || !self.bridge.owes()) {
                return self.leave();
            }
        }
    }

    /// Waits for the next event, or for what the clock brings.
    fn sleep(&self) -> Option<Event> {
        let retry = self.retry.as_ref().map(|retry| retry.at);
        let Some(until) = retry.into_iter().chain(self.leaving).min() else {
            // The loop holds a sender itself, so the channel cannot close.
            return self.heard.recv().ok();
        };
        self.heard.recv_timeout(until.saturating_duration_since(Instant::now())).ok()
    }

    /// Does what was decided, and what is decided over that.
    fn act(&mut self) -> Outcome {
        while !self.bridge.effects.is_empty() {
            for effect in std::mem::take(&mut self.bridge.effects) {
                match effect {
                    Effect::Tell(message) => self.out.line(&message)?,
                    Effect::TellWhole(message) => {
                        let message = whole(message);
                        self.out.line(&message)?;
                    }
                    Effect::Note(words) => say(&words),
                    Effect::Ask(request, then) => self.send(Ask { request, then, tries: 0 }),
                }
            }
        }
        std::mem::take(&mut self.bridge.again).into_iter().for_each(|ask| self.send(ask));
        Ok(())
    }

    fn send(&mut self, ask: Ask) {
        // The loss of a connection is an event of its own, and sends what waits here.
        match self.stream.send((*ask.request).clone()) {
            Some(id) => self.bridge.asked.push((id, ask)),
            None if self.bridge.unsent.len() < UNSENT => self.bridge.unsent.push_back(ask),
            None => {
                let words = "the daemon is not reached, and too many requests wait for it; try again later";
                self.bridge.failed(ask.then, Refusal::new(code::INTERNAL, words));
            }
        }
    }

    /// Connects when something is to be asked, or to be heard, and there is no connection.
    fn reconnect(&mut self) -> Outcome {
        let bridge = &self.bridge;
        let needed = !bridge.unsent.is_empty() || bridge.sessions.values().any(Session::waits);
        if self.stream.is_open() || !needed {
            return Ok(());
        }
        let retry = self.retry.take().unwrap_or_else(Retry::now);
        if !retry.is_due() {
            self.retry = Some(retry);
            return Ok(());
        }
        self.out.flush()?;
        if let Some(editor) = &bridge.editor {
            self.stream.sit_at(&words::seat(editor));
        }
        match self.stream.connect() {
            Ok(connection) => {
                self.stream.listen(connection, &self.events);
                self.bridge.connected(self.stream.me());
            }
            Err(failure) => match retry.after(&failure) {
                Some(later) => self.retry = Some(later),
                None => {
                    say(&format!("the daemon is not to be reached: {}", failure.message));
                    self.bridge.give_up(failure);
                }
            },
        }
        self.act()
    }

    /// The editor is gone: its sessions go on without it.
    fn leave(mut self) -> Outcome {
        self.act()?;
        let session_ids: Vec<String> = self.bridge.sessions.keys().map(ToString::to_string).collect();
        if !session_ids.is_empty() {
            // Said, so that nobody waits for us to come back. When it cannot be said, the daemon sees that we are gone.
            let _ = self.stream.send(Unsubscribe { session_ids });
        }
        self.out.flush()
    }
}

/// An update with what the daemon keeps of it, read on a connection of its own: there is one such in a prompt, if any, and
/// what comes after it waits. What cannot be had is told in words.
fn whole(mut update: Value) -> Value {
    let params = &mut update["params"];
    let block = params["update"]["content"].take();
    let session = params["sessionId"].as_str().unwrap_or_default().to_owned();
    let bytes = |block: Value| {
        let mut daemon = Daemon::here(Start::Never)?;
        attachment::whole(&mut daemon, &session, block)
    };
    params["update"]["content"] = if block["blob"].is_null() {
        block
    } else {
        let words = content::words(&block).into_owned();
        bytes(block).unwrap_or_else(|_| json!({"type": "text", "text": words}))
    };
    update
}

fn say(words: &str) {
    ui::say(&format!("vibes acp: {}", sanitize::line(words)));
}
