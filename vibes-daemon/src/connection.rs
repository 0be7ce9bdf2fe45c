//! One client: a task that reads and answers, a task that writes.
//!
//! Invariant: nothing unasked is sent before the first answer; records come after the answer that began them; a subscription
//! is a cursor that the writer pulls, so that a slow client holds the rest of one line and nobody up. What a client may
//! take is in `budget`. However a connection ends, its seats are given up or
//! kept for the grace it asked for.

use crate::{
    budget::{self, Gauge, Held, OUTSTANDING},
    clients::{self, Clients},
    dispatch,
    handlers::reading::Eyes,
    listen::{Peer, Visitor},
    server::Server,
    web::tokens::Guest,
    wire::{Heard, Source, Wire},
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    io::ErrorKind,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, OnceCell, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use vibes_core::{
    caught, host,
    session::{Caller, Command, SessionHandle},
};
use vibes_protocol::{
    codec::MAX_CLIENT_LINE,
    model::{ClientId, Epoch, Seq, SessionId, Surface},
    seat::person_of,
    wire::{CodedError, ErrorCode, Message, read_request, request::ClientProgram},
};

/// How often a client that closed its writing side is looked at: one that is altogether gone is a leave.
const PROBE: Duration = Duration::from_millis(100);

/// Who the client is; changes once, at `hello`.
#[derive(Clone)]
pub struct Who {
    /// As the sessions know it.
    pub caller: Caller,
    /// How long it may be away, in milliseconds.
    pub grace_ms: i64,
    /// How often it wants a ping.
    pub heartbeat: Option<Duration>,
}

/// A subscription: where its writer stands.
#[derive(Clone)]
pub struct Subscription {
    /// Of which session.
    pub handle: SessionHandle,
    /// The last record sent.
    pub after: Seq,
    /// Its epoch, for `closing`.
    pub epoch: Epoch,
    /// Says once, before the first record, that the cursor was set back.
    pub rewound: bool,
}

/// An answer on its way out; the request counts as outstanding until it is written.
pub struct Answer {
    /// The line.
    pub bytes: Bytes,
    /// Held until then.
    pub permit: Option<OwnedSemaphorePermit>,
    /// Its bytes, of this connection's and of all clients' share.
    pub held: [Held; 2],
    /// Subscriptions that begin behind it.
    pub begin: Vec<Subscription>,
}

/// One client's connection, shared by its tasks.
pub struct Connection {
    /// The daemon.
    pub server: Arc<Server>,
    who: Mutex<Who>,
    /// Who it is to the web's wall; nobody for a process of this user that came by the local socket.
    pub guest: Option<Arc<Guest>>,
    /// Said between two messages as soon as there is room: a WebSocket's own answers.
    between: Mutex<Option<Bytes>>,
    /// Whether it runs inside an agent; read at accept.
    in_tree: OnceCell<bool>,
    in_tree_known: Notify,
    /// Answers to write.
    pub(crate) answers: Mutex<VecDeque<Answer>>,
    /// Subscriptions, by session.
    pub(crate) subscriptions: Mutex<HashMap<SessionId, Subscription>>,
    /// Wakes the writer.
    pub(crate) wake: Arc<Notify>,
    /// Where the writer stands on the board.
    pub(crate) board: AtomicU64,
    /// Whether the client asked anything yet.
    pub(crate) answered: AtomicBool,
    /// Another connection is this client now.
    pub(crate) replaced: CancellationToken,
    /// It is over.
    pub(crate) over: CancellationToken,
    permits: Arc<Semaphore>,
    /// Answers that are not written yet, in bytes.
    waiting: Arc<Gauge>,
    /// Some of them were.
    pub(crate) room: Notify,
    /// Held while a page of records is read for it.
    pub(crate) page: tokio::sync::Mutex<()>,
    /// When the client was last heard.
    pub(crate) heard: Mutex<Instant>,
    /// The client closed its writing side; what it asked is still answered.
    pub(crate) half_closed: AtomicBool,
    /// The client sent what cannot be followed: the connection ends when it has heard so.
    faulty: AtomicBool,
    introduced: AtomicBool,
    resumed: AtomicBool,
    /// Sessions in which this client was given a seat; what it must give up when it goes.
    seats: Mutex<HashMap<SessionId, SessionHandle>>,
}

/// A lock that a panic elsewhere does not poison: what it guards is valid after every statement.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves one client until it is gone.
pub async fn serve(server: Arc<Server>, visitor: Visitor) {
    let Visitor { wire, source, peer } = visitor;
    let (pid, guest) = match peer {
        Peer::Process(pid) => (pid, None),
        Peer::Web(guest) => (guest.pid, Some(guest)),
    };
    // A token's name is who acts, until the client says something better.
    let identity = guest.as_ref().map(|guest| guest.token.name.clone());
    let kind = guest.as_ref().map(|_| "web".to_owned());
    let surface = Some(Arc::new(Surface { pid, kind, program: identity.clone(), ..Surface::default() }));
    let caller = Caller { client: ClientId::random(), identity, pid, token_hash: None, surface };
    let connection = Arc::new(Connection {
        board: AtomicU64::new(server.sessions.board().end()),
        server,
        who: Mutex::new(Who { caller, grace_ms: 0, heartbeat: None }),
        guest,
        between: Mutex::default(),
        in_tree: OnceCell::new(),
        in_tree_known: Notify::new(),
        answers: Mutex::default(),
        subscriptions: Mutex::default(),
        wake: Arc::new(Notify::new()),
        answered: AtomicBool::new(false),
        replaced: CancellationToken::new(),
        over: CancellationToken::new(),
        permits: Arc::new(Semaphore::new(OUTSTANDING)),
        waiting: Gauge::new(budget::ANSWERS),
        room: Notify::new(),
        page: tokio::sync::Mutex::default(),
        heard: Mutex::new(Instant::now()),
        half_closed: AtomicBool::new(false),
        faulty: AtomicBool::new(false),
        introduced: AtomicBool::new(false),
        resumed: AtomicBool::new(false),
        seats: Mutex::default(),
    });
    connection.server.sessions.board().listen(&connection.wake);
    connection.look_at_peer(pid);
    let mut reading =
        tokio::spawn(connection.clone().until_it_falls(connection.clone().read(wire.clone(), source)));
    // However the writing ends, the seats are given up.
    caught(pin!(crate::writer::write(&connection, &wire))).await;
    connection.over.cancel();
    if connection.faulty.load(Ordering::Acquire) {
        // It may still be writing, and read only then: what it writes is dropped for a while.
        let _ = rustix::net::shutdown(&*wire, rustix::net::Shutdown::Write);
        let _ = tokio::time::timeout(budget::DRAIN, &mut reading).await;
    }
    reading.abort();
    connection.leave_all().await;
}

impl Connection {
    /// Does work of this connection. A panic in it ends the connection: the client comes back, instead of waiting for
    /// what never comes.
    pub(crate) async fn until_it_falls(self: Arc<Self>, work: impl Future<Output = ()>) {
        if caught(pin!(work)).await.is_none() {
            self.over.cancel();
        }
    }

    /// Who the client is.
    pub fn who(&self) -> Who {
        lock(&self.who).clone()
    }

    /// The client as sessions know it.
    pub fn caller(&self) -> Caller {
        lock(&self.who).caller.clone()
    }

    /// Whose eyes it is. A client of the web does not say that itself: its token does.
    pub fn eyes(&self) -> Eyes {
        match &self.guest {
            Some(guest) => guest.eyes(&self.server.user),
            None => match lock(&self.who).caller.identity.as_deref() {
                Some(identity) => Eyes::Of(person_of(identity).to_owned()),
                None => Eyes::Unnamed,
            },
        }
    }

    /// Reads now, while the peer is certainly there, whether it runs inside one of our agents. Reading `/proc` takes
    /// a moment, so a list need not wait for it; whatever changes something does.
    fn look_at_peer(self: &Arc<Self>, pid: Option<i32>) {
        let connection = self.clone();
        tokio::task::spawn_blocking(move || {
            let state_id = &connection.server.state_id;
            // What cannot be read counts as inside.
            if let Some(surface) = &mut lock(&connection.who).caller.surface {
                Arc::make_mut(surface).exe = pid.and_then(host::program);
            }
            let inside = match &connection.guest {
                // Looked at when it came to the wall; most have no process that could be seen.
                Some(guest) => guest.inside,
                None => pid.is_none_or(|pid| host::in_tree(pid, state_id).unwrap_or(true)),
            };
            let _ = connection.in_tree.set(inside);
            connection.in_tree_known.notify_waiters();
        });
    }

    /// Whether its token reaches this session; that of a process of this user reaches all.
    pub fn reaches(&self, session: &SessionId) -> bool {
        self.guest.as_ref().is_none_or(|guest| guest.reaches(session))
    }

    /// Whether the peer runs inside one of our agents.
    pub async fn is_in_tree(&self) -> bool {
        loop {
            let known = self.in_tree_known.notified();
            if let Some(inside) = self.in_tree.get() {
                return *inside;
            }
            known.await;
        }
    }

    /// The session whose agent the peer runs inside of, as far as that can be told.
    pub async fn session_of_peer(&self) -> Option<String> {
        let (pid, state_id) = (self.caller().pid?, self.server.state_id.clone());
        tokio::task::spawn_blocking(move || host::session_of(pid, &state_id)).await.ok().flatten()
    }

    /// The client introduced itself: it is a client of before, or a new one with a token of its own.
    pub fn introduce(
        &self,
        resume: Option<(ClientId, String)>,
        program: &ClientProgram,
        identity: Option<String>,
        grace_ms: i64,
        heartbeat: Option<Duration>,
    ) -> Result<(ClientId, String), &'static str> {
        if self.introduced.swap(true, Ordering::AcqRel) {
            return Err("hello was said already on this connection");
        }
        let clients: &Clients = &self.server.clients;
        let mut who = lock(&self.who);
        let token = match resume {
            Some((client, token)) if clients.resume(client, &token, &self.replaced) => {
                self.resumed.store(true, Ordering::Release);
                who.caller.client = client;
                token
            }
            _ => {
                let token = clients::new_token();
                clients.introduce(who.caller.client, clients::hash(&token), &self.replaced);
                token
            }
        };
        if let Some(surface) = &mut who.caller.surface {
            let surface = Arc::make_mut(surface);
            surface.kind =
                serde_json::to_value(program.kind).ok().and_then(|kind| Some(kind.as_str()?.to_owned()));
            let name = format!("{} {}", program.name, program.version);
            surface.program = Some(name.trim_end().chars().take(100).collect());
        }
        who.caller.identity = identity.or_else(|| who.caller.identity.take());
        who.caller.token_hash = Some(clients::hash(&token));
        who.grace_ms = grace_ms;
        who.heartbeat = heartbeat;
        Ok((who.caller.client, token))
    }

    /// Puts an answer on its way out.
    pub fn answer(&self, message: &Message, permit: Option<OwnedSemaphorePermit>, begin: Vec<Subscription>) {
        let bytes = encode(message);
        let held = [self.waiting.hold(bytes.len()), self.server.memory.hold(bytes.len())];
        lock(&self.answers).push_back(Answer { bytes, permit, held, begin });
        self.wake.notify_one();
    }

    /// Waits until the client has taken enough of its answers to be given more.
    pub async fn has_room(&self) {
        loop {
            let room = self.room.notified();
            if !self.waiting.is_over() {
                return;
            }
            room.await;
        }
    }

    async fn read(self: Arc<Self>, wire: Arc<Wire>, source: Source) {
        match self.requests(&wire, source).await {
            Ok(()) => {
                self.end_reading();
                // It may only have closed its writing side. One that is gone altogether is a leave, at once.
                while !wire.hung_up() {
                    tokio::time::sleep(PROBE).await;
                }
                self.over.cancel();
            }
            Err(fault) => {
                self.answer(&dispatch::error(None, None, fault), None, Vec::new());
                self.faulty.store(true, Ordering::Release);
                self.end_reading();
                let mut bytes = vec![0; 16 * 1024];
                loop {
                    match wire.read(&mut bytes).await {
                        Ok(count) if count > 0 => {}
                        Err(error) if error.kind() == ErrorKind::Interrupted => {}
                        _ => break,
                    }
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Reads and dispatches until the client asks no more. The error is what it did that cannot be followed.
    async fn requests(self: &Arc<Self>, recv: &Wire, mut buffer: Source) -> Result<(), CodedError> {
        let memory = &self.server.memory;
        let mut bytes = vec![0; 16 * 1024];
        let (mut silent, mut held) = (Some(self.server.silent.hold(1)), memory.hold(0));
        loop {
            while let Some(heard) = buffer.next() {
                *lock(&self.heard) = Instant::now();
                match heard {
                    Heard::Message(line) if line.trim_ascii().is_empty() => silent = None,
                    Heard::Message(line) => {
                        silent = None;
                        let asked = read_request(line);
                        // Asking more than is answered stops the reading: the client's own socket is the queue.
                        self.has_room().await;
                        let Ok(permit) = self.permits.clone().acquire_owned().await else { return Ok(()) };
                        match asked {
                            Ok(asked) => dispatch::dispatch(self, asked, permit).await,
                            Err(refusal) => {
                                let message = dispatch::error(refusal.request_id, None, refusal.error);
                                self.answer(&message, Some(permit), Vec::new());
                            }
                        }
                    }
                    Heard::Life(answer) => self.say_between(answer),
                    Heard::Goodbye(answer) => {
                        self.say_between(answer);
                        self.over.cancel();
                        return Ok(());
                    }
                    Heard::Broken(why) => return Err(CodedError::new(ErrorCode::BadRequest, why)),
                    Heard::TooLong => {
                        let why =
                            format!("a line is longer than {MAX_CLIENT_LINE} bytes; the connection closes");
                        return Err(CodedError::new(ErrorCode::FrameTooLarge, why));
                    }
                }
                // One request, and then everybody else's: a flood costs the others one request each.
                tokio::task::yield_now().await;
            }
            let partial = buffer.has_partial();
            held.set(buffer.held());
            if partial && memory.is_over() {
                let why =
                    "clients make the daemon hold too much already; the connection closes, try again later";
                return Err(CodedError::new(ErrorCode::LimitExceeded, why));
            }
            let patience = match () {
                () if partial => Some(budget::HALF_LINE),
                () if silent.is_some() => Some(budget::FIRST_WORD),
                () => None,
            };
            let read = recv.read(&mut bytes);
            let read = match patience {
                Some(patience) => tokio::time::timeout(patience, read).await,
                None => Ok(read.await),
            };
            match read {
                Ok(Ok(count)) if count > 0 => buffer.push(&bytes[..count]),
                Ok(Ok(_)) => {
                    if recv.is_web() {
                        // A WebSocket that is closed for writing is gone: nobody closes one half of it.
                        self.over.cancel();
                    }
                    return Ok(());
                }
                Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                Ok(Err(_)) => {
                    self.over.cancel();
                    return Ok(());
                }
                Err(_) if partial => {
                    let why = "a line was begun and not ended within 5 s; the connection closes";
                    return Err(CodedError::new(ErrorCode::BadRequest, why));
                }
                Err(_) if self.server.silent.is_over() => {
                    let why = "too many connections have asked nothing yet; this one closes, connect when there is \
                               something to ask";
                    return Err(CodedError::new(ErrorCode::LimitExceeded, why));
                }
                Err(_) => {}
            }
        }
    }

    /// Says something between two messages; what was to be said there before and was not is worthless by now.
    fn say_between(&self, bytes: Bytes) {
        if !bytes.is_empty() {
            *lock(&self.between) = Some(bytes);
            self.wake.notify_one();
        }
    }

    /// Takes what is to be said between two messages.
    pub(crate) fn between(&self) -> Option<Bytes> {
        lock(&self.between).take()
    }

    /// Whether the client sent what cannot be followed.
    pub(crate) fn is_faulty(&self) -> bool {
        self.faulty.load(Ordering::Acquire)
    }

    /// No more requests come: the writer ends when everything is answered and nothing is subscribed.
    fn end_reading(&self) {
        self.half_closed.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Whether everything that was asked is answered.
    pub(crate) fn is_answered(&self) -> bool {
        self.permits.available_permits() == OUTSTANDING && lock(&self.answers).is_empty()
    }

    /// Whether every request was answered and nothing more is to come.
    pub(crate) fn is_done(&self) -> bool {
        self.half_closed.load(Ordering::Acquire)
            && self.is_answered()
            && (self.faulty.load(Ordering::Acquire) || lock(&self.subscriptions).is_empty())
    }

    /// What the client is to be told when the connection ends by the daemon's doing.
    pub(crate) fn ending(&self) -> Option<&'static str> {
        match () {
            () if self.replaced.is_cancelled() => Some("replaced"),
            () if self.server.stop.is_cancelled() => Some("shutdown"),
            () if self.guest.as_ref().is_some_and(|guest| guest.revoked.is_cancelled()) => Some("revoked"),
            () if self.guest.as_ref().is_some_and(|guest| guest.closed.is_cancelled()) => Some("shutdown"),
            () => None,
        }
    }

    /// Whether the connection is to end, for whatever reason.
    pub(crate) fn is_ending(&self) -> bool {
        self.over.is_cancelled() || self.ending().is_some()
    }

    /// Waits for that.
    pub(crate) async fn ended(&self) {
        tokio::select! {
            () = self.over.cancelled() => {}
            () = self.replaced.cancelled() => {}
            () = self.server.stop.cancelled() => {}
            () = async {
                match &self.guest {
                    Some(guest) => guest.over().await,
                    None => std::future::pending().await,
                }
            } => {}
        }
    }

    /// The cursors to go on from.
    pub(crate) fn cursors(&self) -> BTreeMap<SessionId, vibes_protocol::wire::message::Cursor> {
        lock(&self.subscriptions)
            .iter()
            .map(|(id, sub)| {
                (*id, vibes_protocol::wire::message::Cursor { epoch: sub.epoch, seq: sub.after })
            })
            .collect()
    }

    /// Notes that a seat was asked for. Called before the session is asked, so that a connection that ends meanwhile
    /// still gives it up: the session hears of the joining first.
    pub fn seat(&self, handle: &SessionHandle) {
        lock(&self.seats).insert(handle.id, handle.clone());
    }

    /// Takes a seat and its subscription away; the session's task is told by whoever calls.
    pub fn unseat(&self, id: &SessionId) {
        lock(&self.seats).remove(id);
        if let Some(removed) = lock(&self.subscriptions).remove(id) {
            removed.handle.feed.unlisten(&self.wake);
        }
    }

    async fn leave_all(&self) {
        let seats: Vec<_> = lock(&self.seats).drain().map(|(_, handle)| handle).collect();
        let who = self.who();
        // Another connection is this client now, and its seats are taken over as they are.
        let replaced = self.replaced.is_cancelled();
        // A daemon that stops is not a leave: the seats wait for the next one.
        let stopping = self.server.stop.is_cancelled();
        for handle in &seats {
            handle.feed.unlisten(&self.wake);
            if !replaced && !stopping {
                handle.tell(who.caller.clone(), Command::Drop { grace_ms: who.grace_ms }).await;
            }
        }
        if !replaced {
            // One that came back under its id may hold seats that this connection has not asked for again yet.
            let resumed = self.resumed.load(Ordering::Acquire);
            let seated = who.grace_ms > 0 && !seats.is_empty();
            self.server.clients.gone(who.caller.client, seated || resumed || stopping);
        }
    }
}

/// A message as a line.
pub(crate) fn encode(message: &Message) -> Bytes {
    // Our own types of strings, numbers and JSON: encoding them cannot fail.
    let mut bytes = serde_json::to_vec(message).unwrap_or_default();
    bytes.push(b'\n');
    bytes.into()
}
