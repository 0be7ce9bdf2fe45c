//! The one task that owns a session: its inbox, its link, its timers, its writes.
//!
//! Invariant: one change is under way at a time. It is computed on a copy, committed, and only then adopted and acted
//! upon; what arrives meanwhile waits and joins the next change. What comes from the link is kept in hand until it is
//! committed, so that a full disk delays it and loses nothing.

mod act;

use super::{
    event::{Caller, Command, Effect, Event, Notice, Reply, Tag},
    persist::Saved,
    state::State,
    step::LADDER_MS,
};
use crate::{
    agent::{
        launch::{Launch, LaunchError, Yard},
        link::{Link, LinkEvent, LinkOrder},
    },
    board::Board,
    clock::now_ms,
    journal::{Feed, SessionNo, StoreError, Writer},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use vibes_protocol::model::{CodedError, ErrorCode, Link as LinkState, SessionId, SessionInfo};
use vibes_runner::wire::{Order, Refusal};

/// How many commands may wait. More than a person and their scripts send in the time of a commit; a flood hears BUSY.
const INBOX: usize = 256;
/// The shortest time between two `session_updated` of one session: four a second.
const NOTICE_EVERY: Duration = Duration::from_millis(250);
/// How long commands wait for a runner that is being adopted.
const ADOPTION: Duration = Duration::from_secs(5);
/// How long a change that the store refused waits before it is tried again.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// How often spool segments are given up: often enough for the budget, seldom enough to cost nothing.
const COLLECT_EVERY: Duration = Duration::from_secs(1);
/// How long frames wait after the runner said that too much waits already.
const BUSY_RETRY: Duration = Duration::from_millis(200);

/// Gives the whole environment of an agent, from its name and what the client sent, if one did.
pub type Environment =
    Arc<dyn Fn(&str, Option<&BTreeMap<String, String>>) -> BTreeMap<String, String> + Send + Sync>;

/// What every session's task works with.
#[derive(Clone)]
pub struct Surroundings {
    /// Writes the store.
    pub writer: Writer,
    /// What every client hears.
    pub board: Arc<Board>,
    /// Where runners live.
    pub yard: Arc<Yard>,
    /// This daemon's number.
    pub fence: u64,
    /// The whole environment of an agent, from its name and what the client sent, if one did.
    pub environment: Environment,
    /// Tells the tasks to let go.
    pub stop: CancellationToken,
}

type ReplySender = oneshot::Sender<Result<Reply, CodedError>>;

struct Request {
    caller: Caller,
    command: Command,
    env: Option<BTreeMap<String, String>>,
    reply: ReplySender,
}

/// The only door into a session.
#[derive(Clone)]
pub struct SessionHandle {
    /// The session's id.
    pub id: SessionId,
    /// Its number in the store.
    pub no: SessionNo,
    /// Its head and tail.
    pub feed: Arc<Feed>,
    inbox: mpsc::Sender<Request>,
    summary: Arc<RwLock<Arc<SessionInfo>>>,
}

impl SessionHandle {
    /// The session as lists show it.
    pub fn info(&self) -> Arc<SessionInfo> {
        self.summary.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks for something. The command is in the inbox when this returns; the future is only the wait for its reply.
    pub fn ask(
        &self,
        caller: &Caller,
        command: Command,
        env: Option<BTreeMap<String, String>>,
    ) -> impl Future<Output = Result<Reply, CodedError>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        let sent = self.inbox.try_send(Request { caller: caller.clone(), command, env, reply });
        async move {
            match sent {
                Ok(()) => answer.await.unwrap_or_else(|_| Err(stopping())),
                Err(mpsc::error::TrySendError::Full(_)) => Err(CodedError::new(
                    ErrorCode::Busy,
                    "the session has more requests than it can take; try again",
                )),
                Err(mpsc::error::TrySendError::Closed(_)) => Err(stopping()),
            }
        }
    }

    /// Tells a command without waiting for what comes of it, such as a leave. Waits for room, never drops.
    pub async fn tell(&self, caller: Caller, command: Command) {
        let (reply, _) = oneshot::channel();
        let _ = self.inbox.send(Request { caller, command, env: None, reply }).await;
    }
}

fn stopping() -> CodedError {
    CodedError::new(ErrorCode::ShuttingDown, "the daemon is stopping; try again in a moment")
}

/// Work in hand from the link, kept until it is committed.
enum Held {
    /// Only what is owed.
    Nothing,
    Event(LinkEvent),
    Started(Result<(), LaunchError>),
}

struct Task {
    at: Surroundings,
    no: SessionNo,
    state: State,
    saved: Saved,
    feed: Arc<Feed>,
    summary: Arc<RwLock<Arc<SessionInfo>>>,
    replies: HashMap<Tag, ReplySender>,
    last_tag: Tag,
    /// Commands that wait for a runner to be adopted.
    parked: Vec<(Caller, Command, Tag)>,
    /// Until when, while one is being adopted.
    adopting: Option<Instant>,
    link: Option<Link>,
    /// Whether the runner has answered on this link.
    up: bool,
    starting: Option<JoinHandle<Result<(), LaunchError>>>,
    env: Option<BTreeMap<String, String>>,
    /// The last frame given to the link.
    sent: u64,
    /// Until when no frame is given, after the runner said busy.
    sending_paused: Option<Instant>,
    held: Option<(Held, Instant)>,
    /// Stops that were carried out and could not be recorded; they are recorded before anything else is.
    owed: Vec<(Caller, Command)>,
    /// Until when no deadline is looked at, after the store refused to record what came of one.
    refused_until: Instant,
    /// When the last `session_updated` was posted, and whether another is owed.
    noticed: Instant,
    notice_owed: bool,
    /// A spool offset that may be given up once this transaction is on disk.
    collect: Option<(u64, u64)>,
    /// When that is looked at again.
    collect_at: Instant,
}

/// Starts the task of a session, new or restored.
pub fn spawn(
    at: Surroundings,
    no: SessionNo,
    state: State,
    fresh: bool,
    env: Option<BTreeMap<String, String>>,
    tracker: &tokio_util::task::TaskTracker,
) -> SessionHandle {
    let (inbox, requests) = mpsc::channel(INBOX);
    let feed = Arc::new(Feed::new(state.head));
    let summary = Arc::new(RwLock::new(Arc::new(state.info())));
    let handle = SessionHandle { id: state.body.id, no, feed: feed.clone(), inbox, summary: summary.clone() };
    let task = Task {
        at,
        no,
        saved: Saved::of(&state),
        state,
        feed,
        summary,
        replies: HashMap::new(),
        last_tag: 0,
        parked: Vec::new(),
        adopting: None,
        link: None,
        up: false,
        starting: None,
        env,
        sent: 0,
        sending_paused: None,
        held: None,
        owed: Vec::new(),
        refused_until: Instant::now(),
        noticed: Instant::now(),
        notice_owed: false,
        collect: None,
        collect_at: Instant::now(),
    };
    tracker.spawn(task.run(requests, fresh));
    handle
}

enum Wake {
    Requests(Request),
    Link(Option<LinkEvent>),
    Started(Result<(), LaunchError>),
    Time,
    Stop,
}

impl Task {
    async fn run(mut self, mut requests: mpsc::Receiver<Request>, fresh: bool) {
        if fresh {
            self.change(vec![Event::Begin], true).await;
        } else {
            if self.state.body.running {
                self.adopting = Some(Instant::now() + ADOPTION);
                self.open_link(self.state.spool.offset);
            }
            self.change(vec![Event::Restored], false).await;
        }
        loop {
            let deadline = self.deadline();
            let wake = tokio::select! {
                biased;
                () = self.at.stop.cancelled() => Wake::Stop,
                request = requests.recv() => match request {
                    Some(request) => Wake::Requests(request),
                    None => Wake::Stop,
                },
                event = next_event(&mut self.link), if self.held.is_none() => Wake::Link(event),
                result = join(&mut self.starting), if self.held.is_none() => Wake::Started(result),
                () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => Wake::Time,
            };
            match wake {
                Wake::Stop => break,
                Wake::Requests(first) => {
                    let mut batch = vec![first];
                    while batch.len() < INBOX
                        && let Ok(next) = requests.try_recv()
                    {
                        batch.push(next);
                    }
                    self.requests(batch).await;
                }
                Wake::Link(Some(event)) => self.take(Held::Event(event)).await,
                // The link ended without its last word: only when it was dropped by us.
                Wake::Link(None) => self.link = None,
                Wake::Started(result) => {
                    self.starting = None;
                    self.take(Held::Started(result)).await;
                }
                Wake::Time => self.time().await,
            }
        }
        // Whoever still waits hears that the daemon stops. The runner and its agent go on.
        requests.close();
        while let Ok(request) = requests.try_recv() {
            let _ = request.reply.send(Err(stopping()));
        }
        for (_, reply) in self.replies.drain() {
            let _ = reply.send(Err(stopping()));
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let wall = self.state.next_deadline_ms().map(|at| {
            let wait = u64::try_from(at - now_ms()).unwrap_or(0);
            // A store that refuses is not asked in a tight loop.
            (Instant::now() + Duration::from_millis(wait)).max(self.refused_until)
        });
        let notice = self.notice_owed.then_some(self.noticed + NOTICE_EVERY);
        let parked = (!self.parked.is_empty()).then_some(self.adopting).flatten();
        let held = self.held.as_ref().map(|(_, again)| *again);
        let collect = self.collect.map(|_| self.collect_at);
        [wall, notice, parked, held, collect, self.sending_paused].into_iter().flatten().min()
    }

    async fn time(&mut self) {
        let now = Instant::now();
        if self.notice_owed && self.noticed + NOTICE_EVERY <= now {
            self.post_update();
        }
        if self.collect.is_some() && self.collect_at <= now {
            self.collect_spool();
        }
        if self.sending_paused.is_some_and(|until| until <= now) {
            self.sending_paused = None;
            self.send_frames();
        }
        if self.adopting.is_some_and(|until| until <= now) {
            for (_, _, tag) in std::mem::take(&mut self.parked) {
                let message = "the session's runner has not answered since the daemon started; try again";
                self.answer(tag, Err(CodedError::new(ErrorCode::Adopting, message)));
            }
        }
        if self.refused_until <= now && self.state.next_deadline_ms().is_some_and(|at| at <= now_ms()) {
            let done = self.change(vec![Event::Tick], false).await;
            if !done {
                // Its own pause, so that other refusals, which are tried again as often, cannot put it off for ever.
                self.refused_until = now + STORE_RETRY;
            }
            if !done && self.state.body.stopping.is_some() {
                // The rung that is due is taken even when it cannot be recorded.
                let (eof_ms, term_ms) = LADDER_MS;
                self.order(Order::Stop { eof_ms, term_ms });
            }
        }
        if let Some((held, _)) = self.held.take_if(|(_, again)| *again <= now) {
            self.take(held).await;
        }
    }

    async fn requests(&mut self, batch: Vec<Request>) {
        let mut events = Vec::new();
        let mut lasting = false;
        for Request { caller, command, env, reply } in batch {
            self.last_tag += 1;
            let tag = self.last_tag;
            self.replies.insert(tag, reply);
            if env.is_some() {
                self.env = env;
            }
            if self.adopting.is_some() && command.needs_agent() {
                self.parked.push((caller, command, tag));
                continue;
            }
            lasting |= command.is_lasting();
            events.push(Event::Command(caller, command, tag));
        }
        if !events.is_empty() {
            self.change(events, lasting).await;
        }
    }

    /// Takes in what came from the link, or keeps it in hand when the store refuses.
    async fn take(&mut self, held: Held) {
        let now = Instant::now();
        while let Some((caller, command)) = self.owed.first().cloned() {
            self.last_tag += 1;
            if !self.commit(vec![Event::Command(caller, command, self.last_tag)], true).await {
                self.held = Some((held, now + STORE_RETRY));
                return;
            }
            self.owed.remove(0);
        }
        let (done, over, caught_up) = match &held {
            Held::Nothing => return,
            Held::Event(LinkEvent::StoppedEarly) => return self.tell_stopped(),
            Held::Event(LinkEvent::Lines(chunk)) => {
                let last = chunk.lines.len().saturating_sub(1);
                let events = chunk.lines.iter().enumerate().map(|(at, line)| {
                    // Only the last line's end is known and needed: a chunk is committed whole.
                    Event::Line(line, if at == last { chunk.to } else { self.state.spool.offset })
                });
                let events: Vec<_> = events.collect();
                (self.change(events, false).await, false, false)
            }
            Held::Event(LinkEvent::Up(standing)) => {
                self.up = true;
                self.sent = standing.last_in_seq;
                (self.change(vec![Event::Up(standing)], false).await, false, false)
            }
            Held::Event(LinkEvent::CaughtUp) => {
                (self.change(vec![Event::CaughtUp], false).await, false, true)
            }
            Held::Event(LinkEvent::Acked(frame)) => {
                (self.change(vec![Event::Acked(*frame)], false).await, false, false)
            }
            Held::Event(LinkEvent::Refused(frame, why)) => {
                // What follows a refused frame is refused too, for the gap it leaves: only the first one counts.
                let first = *frame <= self.sent && self.state.outbox.contains_key(frame);
                if first && matches!(why, Refusal::Busy | Refusal::DiskFull) {
                    self.sent = frame - 1;
                    self.sending_paused = Some(now + BUSY_RETRY);
                    return;
                }
                if !first || self.sending_paused.is_some() {
                    return;
                }
                (self.change(vec![Event::FrameRefused(*frame, *why)], false).await, false, false)
            }
            Held::Event(LinkEvent::Blocked(blocked)) => {
                (self.change(vec![Event::Blocked(*blocked)], false).await, false, false)
            }
            Held::Event(LinkEvent::Gone(gone)) => {
                (self.change(vec![Event::Gone(gone)], true).await, true, true)
            }
            Held::Started(Ok(())) => {
                self.open_link(0);
                (true, false, false)
            }
            Held::Started(Err(error)) => {
                let not_found = matches!(error, LaunchError::NotFound { .. });
                let event = Event::StartFailed { why: error.to_string(), not_found };
                (self.change(vec![event], true).await, false, true)
            }
        };
        if !done {
            self.tell_stopped();
            self.held = Some((held, now + STORE_RETRY));
            return;
        }
        if over && self.starting.is_none() {
            self.link = None;
            self.up = false;
        }
        if caught_up && self.adopting.take().is_some() {
            let parked = std::mem::take(&mut self.parked);
            let events: Vec<_> = parked
                .into_iter()
                .map(|(caller, command, tag)| Event::Command(caller, command, tag))
                .collect();
            if !events.is_empty() {
                self.change(events, true).await;
            }
        }
    }

    /// Whoever wanted the agent stopped need not wait for room on the disk to hear that it is.
    fn tell_stopped(&mut self) {
        if self.link.as_ref().is_some_and(|link| link.stopped.get().is_some()) {
            let message = "the agent is stopped; the disk is full, and it is recorded when there is room";
            for tag in std::mem::take(&mut self.state.stop_waiters) {
                self.answer(tag, Err(CodedError::new(ErrorCode::StoreFull, message)));
            }
        }
    }

    fn open_link(&mut self, offset: u64) {
        let (session, generation) = (self.state.body.id, self.state.body.generation);
        self.link = Some(Link::open(&self.at.yard, &session, generation, offset, self.at.fence));
        self.up = false;
        self.sent = 0;
    }
}

async fn next_event(link: &mut Option<Link>) -> Option<LinkEvent> {
    match link {
        Some(link) => link.events.recv().await,
        None => std::future::pending().await,
    }
}

async fn join(starting: &mut Option<JoinHandle<Result<(), LaunchError>>>) -> Result<(), LaunchError> {
    match starting {
        Some(handle) => handle.await.unwrap_or_else(|error| {
            Err(LaunchError::Runner { runner: "vibes-runner".to_owned(), why: error.to_string() })
        }),
        None => std::future::pending().await,
    }
}
