//! All sessions: create, find, list, recover after a crash.
//!
//! Invariant: a session has one task, or rests and has none (see `registry`). A full id wins over a name, a name over a
//! prefix; names are unique among sessions that have not ended.

mod find;
mod intake;
mod keep;
mod past;
mod registry;
pub mod retain;
mod seek;
mod since;
mod strangers;
mod sweep;

pub use find::{Listing, Wanted};
pub use intake::{Arrival, Arrived, Arriving, Begun};
pub use retain::Retention;
pub use seek::{Seek, Sightings};
pub use since::{From, question};
pub use sweep::{AWAKE, Keeping};

use crate::{
    agent::launch::Yard,
    blobs::Blobs,
    board::Board,
    budgets::Budgets,
    clock::{self, Awake},
    journal::{NewSession, Place, Reader, SessionNo, StoreError, StoredSession, Tails, Writer},
    points::{self, Point},
    prices::Prices,
    rules::Judge,
    session::{
        Caller, Command, Forget, Plan, SessionHandle, Surroundings, persist,
        state::State,
        task,
        task::{Environment, Replay},
    },
};
use registry::Registry;
use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use vibes_protocol::model::{
    ClientId, CodedError, ErrorCode, SessionId, SessionInfo, SessionState, Worktree,
};

/// How long a creation may take between its row in the store and its place in the list.
const MAKING: Duration = Duration::from_secs(5);

/// What the registry is made of.
pub struct Parts {
    /// Writes the store.
    pub writer: Writer,
    /// Reads it.
    pub reader: Reader,
    /// What every client hears.
    pub board: Arc<Board>,
    /// Where runners live.
    pub yard: Arc<Yard>,
    /// The store's continuity number.
    pub epoch: u64,
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
    /// Removes what an embedded agent keeps of a conversation.
    pub forget: Forget,
    /// What is attached to prompts.
    pub blobs: Arc<Blobs>,
    /// Tells all tasks to let go.
    pub stop: CancellationToken,
}

/// The registry.
pub struct Sessions {
    parts: Parts,
    registry: Arc<Registry>,
    /// What their feeds may hold.
    tails: Arc<Tails>,
    /// Names taken by creations and renamings that are under way.
    names: Mutex<HashSet<String>>,
    tracker: TaskTracker,
    /// Sessions whose task panicked, for the keeper. At most one word per session and task.
    falling: mpsc::UnboundedSender<SessionNo>,
    /// A session was made.
    made: Notify,
    fallen: Mutex<Option<mpsc::UnboundedReceiver<SessionNo>>>,
}

/// What recovery found besides the sessions.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Sentences about what could not be read.
    pub told: Vec<String>,
    /// Clients that hold seats, with the hashes of their resume tokens.
    pub clients: Vec<(ClientId, String)>,
}

/// A name that is reserved until it is dropped.
pub struct Reserved<'a> {
    sessions: &'a Sessions,
    name: Option<String>,
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            self.sessions.names.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        }
    }
}

impl Sessions {
    /// A registry with nothing in it yet.
    pub fn new(parts: Parts) -> Self {
        let (falling, fallen) = mpsc::unbounded_channel();
        Self {
            parts,
            registry: Arc::default(),
            tails: Arc::default(),
            names: Mutex::default(),
            tracker: TaskTracker::new(),
            falling,
            made: Notify::new(),
            fallen: Mutex::new(Some(fallen)),
        }
    }

    /// What answers without a person.
    pub fn judge(&self) -> &Arc<Judge> {
        &self.parts.judge
    }

    /// The board that every client reads.
    pub fn board(&self) -> &Arc<Board> {
        &self.parts.board
    }

    /// What is attached to prompts.
    pub fn blobs(&self) -> &Arc<Blobs> {
        &self.parts.blobs
    }

    /// Writes the store.
    pub fn writer(&self) -> &Writer {
        &self.parts.writer
    }

    /// Reads the store.
    pub fn reader(&self) -> &Reader {
        &self.parts.reader
    }

    /// The store's continuity number.
    pub fn epoch(&self) -> u64 {
        self.parts.epoch
    }

    fn surroundings(&self) -> Surroundings {
        Surroundings {
            writer: self.parts.writer.clone(),
            reader: self.parts.reader.clone(),
            board: self.parts.board.clone(),
            tails: self.tails.clone(),
            yard: self.parts.yard.clone(),
            fence: self.parts.fence,
            awake: self.parts.awake,
            environment: self.parts.environment.clone(),
            replay: self.parts.replay.clone(),
            judge: self.parts.judge.clone(),
            prices: self.parts.prices.clone(),
            budgets: self.parts.budgets.clone(),
            stop: self.parts.stop.clone(),
            falling: self.falling.clone(),
            retire: self.registry.clone().retire(),
            forget: self.parts.forget.clone(),
            blobs: self.parts.blobs.clone(),
        }
    }

    /// Reads every session back that does not rest and begins to find its runner. Blocking on the store, for the daemon's
    /// start.
    pub fn recover(&self) -> Result<Recovered, StoreError> {
        let (mut told, mut clients) = (Vec::new(), Vec::new());
        self.registry.count_resting(self.parts.reader.count_ended()?);
        let newest = self.parts.yard.newest();
        for stored in self.parts.reader.awake()? {
            let (state, unread) = self.take_up(&stored, newest.get(&stored.id).copied());
            // One session that cannot be read must not keep the others from being served.
            told.extend(unread);
            let seats = &state.ownership.seats;
            clients
                .extend(seats.iter().filter_map(|(client, seat)| Some((*client, seat.token_hash.clone()?))));
            self.registry.insert(self.serve(stored.no, state, stored.place));
        }
        // What an agent of one that rests left behind is looked at as well.
        for session in newest.keys() {
            self.wake(session)?;
        }
        Ok(Recovered { told, clients })
    }

    /// The state of a stored session; of one that cannot be read, what is shown in its place, and a sentence about it.
    fn read_back(&self, stored: &StoredSession) -> (State, Option<String>) {
        match persist::restore(stored, self.parts.epoch) {
            Ok(mut state) => {
                state.budgets = self.parts.budgets.clone();
                (state, None)
            }
            Err(error) => {
                tracing::error!(session = %stored.id, %error, "a session cannot be read back");
                let told = format!(
                    "session {} cannot go on: its state in the store cannot be read ({error}); `vibes logs` shows its \
                     records",
                    stored.id
                );
                (persist::quarantine(stored, self.parts.epoch, &error.to_string()), Some(told))
            }
        }
    }

    /// The same, for a session that gets a task, with the newest start of its agent that has a directory.
    fn take_up(&self, stored: &StoredSession, newest: Option<u64>) -> (State, Option<String>) {
        let (mut state, told) = self.read_back(stored);
        state.active_ms = self.parts.awake.moment(stored.active_ms);
        if !state.unreadable {
            state.taken = newest.unwrap_or(0);
            for generation in state.body.generation + 1..=state.taken {
                self.parts.yard.note_unknown(&stored.id, generation);
            }
        }
        (state, told)
    }

    /// Gives a session that was stored its task.
    fn serve(&self, no: SessionNo, state: State, place: Place) -> SessionHandle {
        task::spawn(self.surroundings(), no, state, Some(place), None, &self.tracker)
    }

    /// Reserves a name while a session is given it. The error says who has it.
    pub fn reserve(&self, name: Option<&str>, except: Option<SessionId>) -> Result<Reserved<'_>, CodedError> {
        let Some(name) = name else { return Ok(Reserved { sessions: self, name: None }) };
        check_name(name)?;
        let taken = |by: &str| {
            CodedError::new(ErrorCode::BadRequest, format!("name: {name} is the name of {by} already"))
        };
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let holder = self.handles().into_iter().find(|handle| {
            let info = handle.info();
            Some(handle.id) != except && !info.state.is_ended() && info.name.as_deref() == Some(name)
        });
        // One that is deleted and has not ended keeps its name, and may rest.
        let resting = || -> Result<Option<SessionId>, StoreError> {
            let named = tokio::task::block_in_place(|| self.parts.reader.named(name))?;
            let other = named.into_iter().find(|(id, keeps, _)| *keeps && Some(*id) != except);
            Ok(other.map(|(id, ..)| id))
        };
        let holder = match holder {
            Some(holder) => Some(holder.id),
            None => resting().map_err(|error| store_error(&error))?,
        };
        if let Some(holder) = holder {
            return Err(taken(&format!("session {}", &holder.to_string()[..8])));
        }
        if !names.insert(name.to_owned()) {
            return Err(taken("a session that is being made"));
        }
        Ok(Reserved { sessions: self, name: Some(name.to_owned()) })
    }

    /// Creates a session and starts its agent. With a create key that was used before, gives the session of then.
    pub async fn create(
        &self,
        id: SessionId,
        plan: Plan,
        create_key: Option<String>,
        env: Option<BTreeMap<String, String>>,
    ) -> Result<(SessionHandle, bool), CodedError> {
        let now = clock::wall_ms();
        let state = State::new(id, plan, self.parts.epoch, now);
        let (id, name, body) = (state.body.id, state.body.name.clone(), persist::encode(&state));
        let new = NewSession { id, create_key, name, at_ms: now, body };
        let (no, id, fresh) = self.parts.writer.create(new).await.map_err(|error| store_error(&error))?;
        points::hit(Point::NewRow);
        if !fresh {
            return Ok((self.made(&id).await?, false));
        }
        let handle = task::spawn(self.surroundings(), no, state, None, env, &self.tracker);
        self.registry.insert(handle.clone());
        self.made.notify_waiters();
        Ok((handle, true))
    }

    /// The session of a key that was used before. Whoever used it may be in the middle of making it.
    async fn made(&self, id: &SessionId) -> Result<SessionHandle, CodedError> {
        let found = async {
            loop {
                let next = self.made.notified();
                match self.get(id)? {
                    Some(handle) => return Ok(handle),
                    None => next.await,
                }
            }
        };
        tokio::time::timeout(MAKING, found).await.unwrap_or_else(|_| {
            Err(CodedError::new(ErrorCode::SessionNotFound, "the session of this key is gone"))
        })
    }

    /// The session that was created with this key.
    pub async fn created_with(&self, key: &str) -> Result<Option<SessionHandle>, CodedError> {
        let (reader, key) = (self.parts.reader.clone(), key.to_owned());
        let found = tokio::task::spawn_blocking(move || reader.created_with(&key)).await;
        match found {
            Ok(Ok(id)) => id.map_or(Ok(None), |id| self.get(&id)),
            Ok(Err(error)) => Err(store_error(&error)),
            Err(_) => Err(store_error(&StoreError::Closed)),
        }
    }

    /// Sessions that have a runner, or are looking for one.
    pub fn running(&self) -> Vec<(SessionHandle, Arc<SessionInfo>)> {
        self.handles()
            .into_iter()
            .map(|handle| (handle.clone(), handle.info()))
            .filter(|(_, info)| has_agent(info.state))
            .collect()
    }

    /// Suspends every agent, for a daemon that takes them down with it.
    pub async fn stop_agents(&self) {
        let caller = Caller {
            client: ClientId::random(),
            identity: Some("daemon stop".into()),
            pid: None,
            token_hash: None,
            surface: None,
        };
        let stops: Vec<_> = self
            .running()
            .into_iter()
            .map(|(handle, _)| handle.ask(&caller, Command::Suspend { now: true }, None))
            .collect();
        for stop in stops {
            match stop.await {
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "an agent was not stopped in order"),
            }
        }
    }

    /// Lets go of every session and waits for their tasks. Agents go on under their runners.
    pub async fn let_go(&self) {
        self.parts.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
        self.keep_awake().await;
    }

    /// The worktree of a session, if the store knows that session. Blocking.
    pub fn worktree_of(&self, session: &SessionId) -> Option<Option<Worktree>> {
        let handle = self.get(session).ok().flatten()?;
        Some(handle.info().worktree.clone())
    }

    /// Why the store cannot be written just now.
    pub fn trouble(&self) -> Option<StoreError> {
        self.parts.writer.trouble()
    }

    /// Where runners live.
    pub fn yard(&self) -> &Yard {
        &self.parts.yard
    }
}

/// Whether a session may be called so.
fn check_name(name: &str) -> Result<(), CodedError> {
    let good = !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    // What could be taken for an option, a directory or an id is no name.
    let misleading = name.starts_with(['-', '.']) || name.parse::<SessionId>().is_ok();
    if good && !misleading {
        return Ok(());
    }
    Err(CodedError::new(
        ErrorCode::BadRequest,
        format!("name: {name:?} is not one: 1 to 64 of A-Z a-z 0-9 . _ -, beginning with none of . and -"),
    ))
}

/// Whether a session in this state has an agent, or is looking for one.
fn has_agent(state: SessionState) -> bool {
    !state.is_ended() && state != SessionState::Suspended
}

/// A store error as clients hear it.
pub fn store_error(error: &StoreError) -> CodedError {
    let code = if matches!(error, StoreError::Full) { ErrorCode::StoreFull } else { ErrorCode::StoreFailed };
    CodedError::new(code, error.to_string())
}
