//! The one task that owns a session: its inbox, its link, its timers, its writes.
//!
//! Invariant: one change is under way at a time. It is computed on a copy, committed, and only then adopted and acted
//! upon; what arrives meanwhile waits and joins the next change. What comes from the link is kept in hand until it is
//! committed, so that a full disk delays it and loses nothing.

mod act;
mod beside;

use super::{
    event::{Caller, Command, Effect, Event, Notice, Reply, Tag},
    leavings::{Forget, Leavings},
    persist::Saved,
    state::State,
    step::LADDER_MS,
};
use crate::{
    agent::{
        launch::{Launch, LaunchError, Yard},
        link::{Link, LinkEvent, LinkOrder},
    },
    blobs::Blobs,
    board::Board,
    budgets::Budgets,
    caught,
    clock::{self, Awake},
    journal::{Farewell, Feed, Place, Reader, SessionNo, StoreError, Tails, Writer},
    points::{self, Point},
    prices::Prices,
    rules::Judge,
};
use std::{
    collections::{BTreeMap, HashMap},
    pin::pin,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::{
    sync::{
        mpsc::{self, error::TrySendError},
        oneshot,
    },
    task::JoinHandle,
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use vibes_protocol::model::{CodedError, ErrorCode, Link as LinkState, SessionId, SessionInfo};
use vibes_runner::wire::{Order, Refusal};

/// How many commands may wait. More than a person and their scripts send in the time of a commit; a flood hears BUSY.
const INBOX: usize = 256;
/// How many of these places are kept for what stops an agent: a flood must not keep a person from it.
const FOR_STOPS: usize = 16;
/// The shortest time between two `session_updated` of one session: four a second.
const NOTICE_EVERY: Duration = Duration::from_millis(250);
/// How long commands wait for a runner that is being adopted.
const ADOPTION: Duration = Duration::from_secs(5);
/// How long a change that the store refused waits before it is tried again.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// How often spool segments are given up: often enough for the budget, seldom enough to cost nothing.
const COLLECT_EVERY: Duration = Duration::from_secs(1);
/// How long a session that rests keeps its task after something was last asked of it: whoever asks one thing often asks
/// another, and reading it back costs some tenths of a millisecond.
const RETIRE: Duration = Duration::from_secs(2);
/// How long frames wait after the runner said that too much waits already.
const BUSY_RETRY: Duration = Duration::from_millis(200);

/// Gives the whole environment of an agent, from its name and what the client sent, if one did.
pub type Environment =
    Arc<dyn Fn(&str, Option<&BTreeMap<String, String>>) -> BTreeMap<String, String> + Send + Sync>;

/// Gives how much of a conversation is told again to an agent of this name that does not know it, in bytes.
pub type Replay = Arc<dyn Fn(&str) -> usize + Send + Sync>;

/// Takes a session that rests out of the registry, unless somebody holds it: called with its id, whether lists count it
/// and what tells whether nobody does, which is asked where nobody can begin to.
pub type Retire = Arc<dyn Fn(&SessionId, bool, &dyn Fn() -> bool) -> bool + Send + Sync>;

/// What every session's task works with.
#[derive(Clone)]
pub struct Surroundings {
    /// Writes the store.
    pub writer: Writer,
    /// Reads it.
    pub reader: Reader,
    /// What every client hears.
    pub board: Arc<Board>,
    /// What the feeds may hold.
    pub tails: Arc<Tails>,
    /// Where runners live.
    pub yard: Arc<Yard>,
    /// This daemon's number.
    pub fence: u64,
    /// How long daemons of this store were awake.
    pub awake: Awake,
    /// The whole environment of an agent, from its name and what the client sent, if one did.
    pub environment: Environment,
    /// How much of a conversation is told again.
    pub replay: Replay,
    /// What answers without a person.
    pub judge: Arc<Judge>,
    /// What tokens cost where agents tell only those.
    pub prices: Arc<Prices>,
    /// What may be spent.
    pub budgets: Arc<Budgets>,
    /// Tells the tasks to let go.
    pub stop: CancellationToken,
    /// Hears of a session whose task panicked.
    pub falling: mpsc::UnboundedSender<SessionNo>,
    /// Lets a session go that nothing happens in.
    pub retire: Retire,
    /// Removes what an embedded agent keeps of a conversation.
    pub forget: Forget,
    /// What is attached to prompts.
    pub blobs: Arc<Blobs>,
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
    /// Boxed: a channel keeps room for 32 at once, and most sessions are asked nothing for most of their life.
    inbox: mpsc::Sender<Box<Request>>,
    summary: Arc<RwLock<Arc<SessionInfo>>>,
    /// Its task fell too often: nobody serves it until the daemon is started again.
    given_up: bool,
}

impl SessionHandle {
    /// The same session without anybody who serves it. Lists show its agent as lost.
    pub(crate) fn given_up(mut self) -> Self {
        self.given_up = true;
        let info = SessionInfo { link: LinkState::Lost, ..(*self.info()).clone() };
        *self.summary.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(info);
        self
    }

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
        let request = Box::new(Request { caller: caller.clone(), command, env, reply });
        let full = !request.command.is_stop() && self.inbox.capacity() <= FOR_STOPS;
        let sent = if full { Err(TrySendError::Full(request)) } else { self.inbox.try_send(request) };
        let (given_up, feed) = (self.given_up, self.feed.clone());
        async move {
            match sent {
                _ if given_up => Err(CodedError::new(ErrorCode::Internal, GIVEN_UP)),
                Ok(()) => answer.await.unwrap_or_else(|_| Err(fallen(&feed))),
                Err(TrySendError::Full(_)) => Err(CodedError::new(
                    ErrorCode::Busy,
                    "the session has more requests than it can take; try again",
                )),
                Err(TrySendError::Closed(_)) if feed.is_purged() => Err(purged()),
                Err(TrySendError::Closed(_)) if feed.is_closed() => Err(CodedError::new(
                    ErrorCode::Adopting,
                    "the session begins again from what is stored; try again in a moment",
                )),
                Err(TrySendError::Closed(_)) => Err(stopping()),
            }
        }
    }

    /// Tells a command without waiting for what comes of it, such as a leave. Waits for room, never drops.
    pub async fn tell(&self, caller: Caller, command: Command) {
        let (reply, _) = oneshot::channel();
        let _ = self.inbox.send(Box::new(Request { caller, command, env: None, reply })).await;
    }
}

/// What is known of a session that stands still.
const GIVEN_UP: &str = "a defect of the daemon ended this session's task three times within a minute; its agent was \
    ended, and what it wrote is kept. The daemon's log says what happened; a newly started daemon tries again";

/// Why a session's task gave no answer.
fn fallen(feed: &Feed) -> CodedError {
    if feed.is_purged() {
        return purged();
    }
    if !feed.is_closed() {
        return stopping();
    }
    let message = "a defect of the daemon ended the session's task, and it begins again from what is stored; whether \
        this was done is not known: look at the session, or repeat it under the same idempotency key";
    CodedError::new(ErrorCode::Internal, message)
}

fn purged() -> CodedError {
    CodedError::new(ErrorCode::SessionNotFound, "the session was purged: nothing of it is kept")
}

fn stopping() -> CodedError {
    CodedError::new(ErrorCode::ShuttingDown, "the daemon is stopping; try again in a moment")
}

/// Work in hand from the link, kept until it is committed.
enum Held {
    /// Only what is owed.
    Nothing,
    /// The session's first moment in this daemon.
    Begun,
    Event(LinkEvent),
    Started(Result<(), LaunchError>),
}

struct Task {
    at: Surroundings,
    /// Its own inbox, for what it hears from the rules. Weak: the door is what keeps a session served.
    door: mpsc::WeakSender<Box<Request>>,
    no: SessionNo,
    state: State,
    saved: Saved,
    /// Whether the session was made by this daemon.
    fresh: bool,
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
    /// How much was recorded since the records were last to be packed, in bytes.
    unpacked: usize,
    /// When it may be let go, if it rests then.
    retire_at: Instant,
    /// Who asked for nothing to be kept of it, and by when it must have been deleted.
    purging: Vec<(Tag, Option<i64>)>,
}

/// Starts the task of a session, new or restored: one that was stored has its place there.
pub fn spawn(
    at: Surroundings,
    no: SessionNo,
    mut state: State,
    stored: Option<Place>,
    env: Option<BTreeMap<String, String>>,
    tracker: &tokio_util::task::TaskTracker,
) -> SessionHandle {
    let (inbox, requests) = mpsc::channel(INBOX);
    state.policy = at.judge.policy(&state.body.agent);
    state.prices = at.prices.clone();
    state.budgets = at.budgets.clone();
    if stored.is_none() {
        state.active_ms = clock::now().steady_ms;
    }
    let feed = Feed::new(state.head, &at.tails);
    let summary = Arc::new(RwLock::new(Arc::new(state.info())));
    let handle = SessionHandle {
        id: state.body.id,
        no,
        feed: feed.clone(),
        inbox,
        summary: summary.clone(),
        given_up: false,
    };
    let (falling, closed) = (at.falling.clone(), feed.clone());
    let fresh = stored.is_none();
    let saved = stored.map_or_else(|| Saved::of(&state), |place| Saved::read(&state, place));
    let task = Task {
        door: handle.inbox.downgrade(),
        at,
        no,
        saved,
        state,
        fresh: false,
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
        unpacked: 0,
        retire_at: Instant::now() + RETIRE,
        purging: Vec::new(),
    };
    tracker.spawn(async move {
        let mut run = pin!(task.run(requests, fresh));
        if caught(run.as_mut()).await.is_none() {
            // Closed before the task is dropped and its callers hear that there is no answer: they are told why.
            closed.close();
            let _ = falling.send(no);
        }
    });
    handle
}

enum Wake {
    Requests(Box<Request>),
    Link(Option<LinkEvent>),
    Started(Result<(), LaunchError>),
    Time,
    Stop,
}

impl Task {
    async fn run(mut self, mut requests: mpsc::Receiver<Box<Request>>, fresh: bool) {
        if !fresh && self.state.body.running {
            self.adopting = Some(Instant::now() + ADOPTION);
            self.open_link(self.state.spool.offset);
        }
        self.fresh = fresh;
        self.take(Held::Begun).await;
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
                    let mut batch = vec![*first];
                    while batch.len() < INBOX
                        && let Ok(next) = requests.try_recv()
                    {
                        batch.push(*next);
                    }
                    self.requests(batch).await;
                }
                Wake::Link(Some(event)) => self.take(Held::Event(event)).await,
                Wake::Link(None) => panic!("a link ends with its last word"),
                Wake::Started(result) => {
                    self.starting = None;
                    self.take(Held::Started(result)).await;
                }
                Wake::Time => self.time().await,
            }
            for (tag, by) in std::mem::take(&mut self.purging) {
                if self.purge(tag, by).await {
                    return;
                }
            }
            if self.may_retire() && self.retire_at <= Instant::now() {
                let nobody = || requests.sender_strong_count() == 1 && requests.is_empty();
                if (self.at.retire)(&self.state.body.id, self.saved.place().is_listed(), &nobody) {
                    // Whoever stands here keeps nobody else from being served.
                    tokio::task::block_in_place(|| points::hit(Point::Retired));
                    return;
                }
                // Somebody holds it, for the length of a request or of a connection.
                self.retire_at = Instant::now() + RETIRE;
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

    /// Ends the session for good. `false` when it stays: somebody took the deletion back, or the store refused.
    async fn purge(&mut self, tag: Tag, by: Option<i64>) -> bool {
        if let Err(why) = self.state.may_be_purged(by) {
            self.answer(tag, Err(CodedError::new(ErrorCode::InvalidState, why)));
            return false;
        }
        let leavings = Leavings::of(&self.state);
        let farewell = Farewell {
            session: self.no,
            expect: (self.state.head, self.state.spool),
            leavings: leavings.encode(),
        };
        if let Err(error) = self.at.writer.part(farewell).await {
            let full = matches!(error, StoreError::Full);
            let code = if full { ErrorCode::StoreFull } else { ErrorCode::StoreFailed };
            self.answer(tag, Err(CodedError::new(code, error.to_string())));
            return false;
        }
        points::hit(Point::Purged);
        self.feed.purge();
        (self.at.retire)(&self.state.body.id, false, &|| true);
        self.answer(tag, Ok(Reply::Ok));
        let (at, no) = (self.at.clone(), self.no);
        tokio::spawn(async move { leavings.clear(&at.yard, &at.forget, &at.blobs, &at.writer, no).await });
        true
    }

    fn deadline(&self) -> Option<Instant> {
        let wall = self.state.next_deadline_ms().map(|at| {
            let wait = u64::try_from(at - clock::now().steady_ms).unwrap_or(0);
            // A store that refuses is not asked in a tight loop.
            (Instant::now() + Duration::from_millis(wait)).max(self.refused_until)
        });
        let notice = self.notice_owed.then_some(self.noticed + NOTICE_EVERY);
        let parked = (!self.parked.is_empty()).then_some(self.adopting).flatten();
        let held = self.held.as_ref().map(|(_, again)| *again);
        let collect = self.collect.map(|_| self.collect_at);
        let retire = self.may_retire().then_some(self.retire_at);
        [wall, notice, parked, held, collect, self.sending_paused, retire].into_iter().flatten().min()
    }

    /// Whether the store has all there is of it, and nothing is under way.
    fn may_retire(&self) -> bool {
        self.saved.rests()
            && self.saved.place_change(&self.state).is_none()
            && self.state.ownership.seats.is_empty()
            && self.link.is_none()
            && self.starting.is_none()
            && self.held.is_none()
            && self.owed.is_empty()
            && self.replies.is_empty()
            && self.parked.is_empty()
            && !self.notice_owed
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
        if self.refused_until <= now
            && self.state.next_deadline_ms().is_some_and(|at| at <= clock::now().steady_ms)
        {
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
        points::hit(Point::CmdReceived);
        self.retire_at = Instant::now() + RETIRE;
        let mut events = Vec::new();
        let mut lasting = false;
        for Request { caller, command, env, reply } in batch {
            self.last_tag += 1;
            let tag = self.last_tag;
            self.replies.insert(tag, reply);
            if env.is_some() {
                self.env = env;
            }
            // What the store has no room for may keep a runner from being adopted for hours: a stop goes out all the same.
            let stops = self.held.is_some() && self.acts_first(&command);
            if self.adopting.is_some() && command.needs_agent() && !stops {
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
        let (done, over, caught_up) = match &held {
            Held::Nothing => (self.change(Vec::new(), true).await, false, false),
            Held::Begun => {
                let event = if self.fresh { Event::Begin } else { Event::Restored };
                (self.change(vec![event], self.fresh).await, false, false)
            }
            Held::Event(LinkEvent::StoppedEarly) => return self.tell_stopped(),
            Held::Event(LinkEvent::Lines(chunk)) => {
                (self.change(vec![Event::Lines(chunk)], false).await, false, false)
            }
            Held::Event(LinkEvent::Up(standing)) => {
                if self.adopting.is_some() {
                    points::hit(Point::AdoptUp);
                }
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
            Held::Event(LinkEvent::Hindered(what, why)) => {
                (self.change(vec![Event::Hindered(*what, why.as_deref())], false).await, false, false)
            }
            Held::Event(LinkEvent::Gone(gone)) => {
                points::hit(Point::CloseGone);
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
        if caught_up {
            // What was read until now could not be given up before, and an agent that waits for room writes nothing more.
            self.collect(self.at.writer.last());
        }
        if caught_up && self.adopting.take().is_some() {
            points::hit(Point::AdoptDone);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{event::Answer, tests::case::plan};
    use vibes_protocol::model::{ClientId, Decision};

    #[tokio::test]
    async fn a_flood_leaves_places_for_what_stops_an_agent() {
        // Nobody takes anything out: the session's task has its hands full.
        let (inbox, mut requests) = mpsc::channel(INBOX);
        let state = State::new(SessionId::random(), plan(), 1, 0);
        let summary = Arc::new(RwLock::new(Arc::new(state.info())));
        let feed = Feed::new(0, &Arc::default());
        let handle =
            SessionHandle { id: state.body.id, no: 1, feed, inbox, summary, given_up: Default::default() };
        let caller =
            Caller { client: ClientId::random(), identity: None, pid: None, token_hash: None, surface: None };
        for _ in 0..2 * INBOX {
            drop(handle.ask(&caller, Command::Look, None));
        }
        let refused = handle.ask(&caller, Command::WaitReady, None).await;
        assert_eq!(refused.map_err(|error| error.code).err(), Some(ErrorCode::Busy));
        let answer = |decision| {
            let (permission_id, hash) = ("p".to_owned(), "00".to_owned());
            let answer = Answer {
                permission_id,
                hash,
                option_id: None,
                decision: Some(decision),
                message: None,
                updated_input: None,
                answers: None,
            };
            Command::Answer(Box::new(answer))
        };
        assert!(handle.ask(&caller, answer(Decision::AllowOnce), None).await.is_err(), "an allowance waits");
        let stops =
            [Command::Kill, Command::Interrupt { turn: None }, Command::Finish, answer(Decision::RejectOnce)];
        let stops = stops.into_iter().chain([Command::Suspend { now: true }]);
        let count = stops.map(|stop| drop(handle.ask(&caller, stop, None))).count();
        let mut waiting = 0;
        while requests.try_recv().is_ok() {
            waiting += 1;
        }
        assert_eq!(waiting, INBOX - FOR_STOPS + count, "all of these got in");
    }
}
