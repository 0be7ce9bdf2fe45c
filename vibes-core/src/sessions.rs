//! All sessions: create, find, list, recover after a crash.
//!
//! Invariant: the map is locked for a look-up only, never across an await. A full id wins over a name, a name over a
//! prefix; names are unique among sessions that have not ended.

mod keep;

use crate::{
    agent::{launch::Yard, link},
    board::Board,
    clock,
    journal::{NewSession, Reader, SessionNo, StoreError, Tails, Writer},
    points::{self, Point},
    session::{
        Caller, Command, Plan, Reply, SessionHandle, Surroundings, persist, state::State, task,
        task::Environment,
    },
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};
use tokio::sync::{Notify, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use vibes_protocol::model::{ClientId, CodedError, ErrorCode, SessionId, SessionInfo, SessionState};

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
    /// The whole environment of an agent, from its name and what the client sent, if one did.
    pub environment: Environment,
    /// Tells all tasks to let go.
    pub stop: CancellationToken,
}

/// The registry.
pub struct Sessions {
    parts: Parts,
    map: RwLock<HashMap<SessionId, SessionHandle>>,
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
            map: RwLock::default(),
            tails: Arc::default(),
            names: Mutex::default(),
            tracker: TaskTracker::new(),
            falling,
            made: Notify::new(),
            fallen: Mutex::new(Some(fallen)),
        }
    }

    /// The board that every client reads.
    pub fn board(&self) -> &Arc<Board> {
        &self.parts.board
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
            board: self.parts.board.clone(),
            tails: self.tails.clone(),
            yard: self.parts.yard.clone(),
            fence: self.parts.fence,
            environment: self.parts.environment.clone(),
            stop: self.parts.stop.clone(),
            falling: self.falling.clone(),
        }
    }

    fn insert(&self, handle: SessionHandle) {
        self.map.write().unwrap_or_else(PoisonError::into_inner).insert(handle.id, handle);
    }

    /// Reads every session back and begins to find its runner. Blocking on the store, for the daemon's start.
    pub fn recover(&self) -> Result<Recovered, StoreError> {
        let (mut told, mut clients) = (Vec::new(), Vec::new());
        let newest = self.parts.yard.newest();
        for stored in self.parts.reader.sessions()? {
            match persist::restore(&stored, self.parts.epoch) {
                Ok(mut state) => {
                    state.taken = newest.get(&stored.id).copied().unwrap_or(0);
                    for generation in state.body.generation + 1..=state.taken {
                        self.parts.yard.note_unknown(&stored.id, generation);
                    }
                    let seats = &state.ownership.seats;
                    clients.extend(
                        seats.iter().filter_map(|(client, seat)| Some((*client, seat.token_hash.clone()?))),
                    );
                    let handle =
                        task::spawn(self.surroundings(), stored.no, state, false, None, &self.tracker);
                    self.insert(handle);
                }
                // One session that cannot be read must not keep the others from being served.
                Err(error) => {
                    tracing::error!(session = %stored.id, %error, "a session cannot be read back");
                    told.push(format!(
                        "session {} cannot go on: its state in the store cannot be read ({error}); `vibes logs` shows \
                         its records",
                        stored.id
                    ));
                    let state = persist::quarantine(&stored, self.parts.epoch, &error.to_string());
                    let handle =
                        task::spawn(self.surroundings(), stored.no, state, false, None, &self.tracker);
                    self.insert(handle);
                }
            }
        }
        Ok(Recovered { told, clients })
    }

    /// Ends runners that nobody speaks with any more: those of an earlier generation, and of a session that has no
    /// agent because the daemon died between the commit that says so and the clearing away. Runners of a session that
    /// the store does not know, or knows no more than the id of, are left alone and told: their output may be all that
    /// is left of it. Blocking.
    pub fn reap_strangers(&self) -> Vec<String> {
        /// How many are told one by one.
        const TOLD: usize = 5;
        let (mut told, mut more) = (Vec::new(), 0);
        for (session, generation) in self.parts.yard.present().unwrap_or_default() {
            let dir = self.parts.yard.dir_of(&session, generation);
            match self.get(&session).map(|handle| handle.info()) {
                Some(known) if known.generation == generation && has_agent(known.state) => {}
                Some(known) if known.generation >= generation && !link::is_unknown(&dir) => {
                    let left = link::end_runner(&self.parts.yard, &session, generation);
                    tracing::warn!(%session, generation, ?left, "an orphaned runner was ended");
                    let _ = std::fs::remove_dir_all(dir);
                }
                _ if told.len() == TOLD => more += 1,
                _ => {
                    let agent = link::agent_pid(&dir).filter(|_| link::runner_process(&dir).is_some());
                    let lives = agent.map_or("has ended".to_owned(), |pid| format!("runs as process {pid}"));
                    tracing::warn!(%session, generation, "a runner of a session that the store does not know");
                    told.push(format!(
                        "an agent of session {session} {lives}, but the store does not know it (start {generation}); \
                         what it said is kept in {}. `vibes doctor --reap` ends and removes it",
                        dir.display()
                    ));
                }
            }
        }
        if more > 0 {
            told.push(format!(
                "{more} more agents of sessions that the store does not know: `vibes doctor` lists them"
            ));
        }
        told
    }

    /// Reserves a name while a session is given it. The error says who has it.
    pub fn reserve(&self, name: Option<&str>, except: Option<SessionId>) -> Result<Reserved<'_>, CodedError> {
        let Some(name) = name else { return Ok(Reserved { sessions: self, name: None }) };
        let good = !name.is_empty()
            && name.len() <= 64
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        // What could be taken for an option, a directory or an id is no name.
        let misleading = name.starts_with(['-', '.']) || name.parse::<SessionId>().is_ok();
        if !good || misleading {
            return Err(CodedError::new(
                ErrorCode::BadRequest,
                format!(
                    "name: {name:?} is not one: 1 to 64 of A-Z a-z 0-9 . _ -, beginning with none of . and -"
                ),
            ));
        }
        let taken = |by: &str| {
            CodedError::new(ErrorCode::BadRequest, format!("name: {name} is the name of {by} already"))
        };
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let holder = self.handles().into_iter().find(|handle| {
            let info = handle.info();
            Some(handle.id) != except && !info.state.is_ended() && info.name.as_deref() == Some(name)
        });
        if let Some(holder) = holder {
            return Err(taken(&format!("session {}", &holder.id.to_string()[..8])));
        }
        if !names.insert(name.to_owned()) {
            return Err(taken("a session that is being made"));
        }
        Ok(Reserved { sessions: self, name: Some(name.to_owned()) })
    }

    /// Creates a session and starts its agent. With a create key that was used before, gives the session of then.
    pub async fn create(
        &self,
        plan: Plan,
        create_key: Option<String>,
        env: Option<BTreeMap<String, String>>,
    ) -> Result<(SessionHandle, bool), CodedError> {
        let now = clock::wall_ms();
        let state = State::new(SessionId::random(), plan, self.parts.epoch, now);
        let new = NewSession { id: state.body.id, create_key, at_ms: now, body: persist::encode(&state) };
        let (no, id, fresh) = self.parts.writer.create(new).await.map_err(|error| store_error(&error))?;
        points::hit(Point::NewRow);
        if !fresh {
            return Ok((self.made(&id).await?, false));
        }
        let handle = task::spawn(self.surroundings(), no, state, true, env, &self.tracker);
        self.insert(handle.clone());
        self.made.notify_waiters();
        Ok((handle, true))
    }

    /// The session of a key that was used before. Whoever used it may be in the middle of making it.
    async fn made(&self, id: &SessionId) -> Result<SessionHandle, CodedError> {
        let found = async {
            loop {
                let next = self.made.notified();
                match self.get(id) {
                    Some(handle) => return handle,
                    None => next.await,
                }
            }
        };
        tokio::time::timeout(MAKING, found)
            .await
            .map_err(|_| CodedError::new(ErrorCode::SessionNotFound, "the session of this key is gone"))
    }

    /// The session that was created with this key.
    pub async fn created_with(&self, key: &str) -> Result<Option<SessionHandle>, CodedError> {
        let (reader, key) = (self.parts.reader.clone(), key.to_owned());
        let found = tokio::task::spawn_blocking(move || reader.created_with(&key)).await;
        match found {
            Ok(Ok(id)) => Ok(id.and_then(|id| self.get(&id))),
            Ok(Err(error)) => Err(store_error(&error)),
            Err(_) => Err(store_error(&StoreError::Closed)),
        }
    }

    /// The session with this id.
    pub fn get(&self, id: &SessionId) -> Option<SessionHandle> {
        self.map.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }

    /// All sessions, in no order.
    pub fn handles(&self) -> Vec<SessionHandle> {
        self.map.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// All sessions as lists show them, the most recently active first.
    pub fn list(&self) -> Vec<Arc<SessionInfo>> {
        let mut all: Vec<_> = self.handles().iter().map(SessionHandle::info).collect();
        all.sort_by(|a, b| b.last_activity_ms.cmp(&a.last_activity_ms).then_with(|| a.id.cmp(&b.id)));
        all
    }

    /// Finds a session by full id, unique name or unique prefix of its id.
    pub fn resolve(&self, text: &str) -> Result<SessionHandle, CodedError> {
        if let Ok(id) = text.parse::<SessionId>() {
            return self.get(&id).ok_or_else(|| not_found(text));
        }
        let all = self.handles();
        let named: Vec<_> = all.iter().filter(|handle| handle.info().name.as_deref() == Some(text)).collect();
        // A living session wins a name over those that have ended; among these, the most recent one.
        let living = named.iter().find(|handle| !handle.info().state.is_ended());
        if let Some(handle) =
            living.or_else(|| named.iter().max_by_key(|handle| handle.info().last_activity_ms))
        {
            return Ok((**handle).clone());
        }
        let hexadecimal =
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if !hexadecimal {
            return Err(not_found(text));
        }
        let prefix = text.to_ascii_lowercase();
        let mut fitting: Vec<_> =
            all.iter().filter(|handle| handle.id.to_string().starts_with(&prefix)).collect();
        match fitting.len() {
            0 => Err(not_found(text)),
            1 => Ok(fitting.remove(0).clone()),
            count => {
                let some: Vec<String> = fitting.iter().take(5).map(|handle| handle.id.to_string()).collect();
                Err(CodedError::new(
                    ErrorCode::AmbiguousId,
                    format!("{text} fits {count} sessions: {}; type more of the id", some.join(", ")),
                ))
            }
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
        };
        let stops: Vec<_> = self
            .running()
            .into_iter()
            .map(|(handle, _)| handle.ask(&caller, Command::Suspend { now: true }, None))
            .collect();
        for stop in stops {
            match stop.await {
                Ok(Reply::Ok | Reply::Accepted(_) | Reply::Joined(_) | Reply::Looked(_)) => {}
                Err(error) => tracing::warn!(%error, "an agent was not stopped in order"),
            }
        }
    }

    /// Lets go of every session and waits for their tasks. Agents go on under their runners.
    pub async fn let_go(&self) {
        self.parts.stop.cancel();
        self.tracker.close();
        self.tracker.wait().await;
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

/// Whether a session in this state has an agent, or is looking for one.
fn has_agent(state: SessionState) -> bool {
    !state.is_ended() && state != SessionState::Suspended
}

fn not_found(text: &str) -> CodedError {
    CodedError::new(ErrorCode::SessionNotFound, format!("no session has the id, name or prefix {text:?}"))
}

/// A store error as clients hear it.
pub fn store_error(error: &StoreError) -> CodedError {
    let code = if matches!(error, StoreError::Full) { ErrorCode::StoreFull } else { ErrorCode::StoreFailed };
    CodedError::new(code, error.to_string())
}
