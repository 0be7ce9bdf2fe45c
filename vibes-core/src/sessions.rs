//! All sessions: create, find, list, recover after a crash.
//!
//! Invariant: the map is locked for a look-up only, never across an await. A full id wins over a name, a name over a
//! prefix; names are unique among sessions that have not ended.

use crate::{
    agent::{launch::Yard, link},
    board::Board,
    clock::now_ms,
    host,
    journal::{NewSession, Reader, StoreError, Writer},
    session::{
        Caller, Command, Plan, Reply, SessionHandle, Surroundings, persist, state::State, task,
        task::Environment,
    },
};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError, RwLock},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use vibes_protocol::model::{ClientId, CodedError, ErrorCode, SessionId, SessionInfo, SessionState};

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
    /// Names taken by creations and renamings that are under way.
    names: Mutex<HashSet<String>>,
    tracker: TaskTracker,
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
        Self { parts, map: RwLock::default(), names: Mutex::default(), tracker: TaskTracker::new() }
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
            yard: self.parts.yard.clone(),
            fence: self.parts.fence,
            environment: self.parts.environment.clone(),
            stop: self.parts.stop.clone(),
        }
    }

    fn insert(&self, handle: SessionHandle) {
        self.map.write().unwrap_or_else(PoisonError::into_inner).insert(handle.id, handle);
    }

    /// Reads every session back and begins to find its runner. Blocking on the store, for the daemon's start.
    pub fn recover(&self) -> Result<Recovered, StoreError> {
        let (mut told, mut clients) = (Vec::new(), Vec::new());
        for stored in self.parts.reader.sessions()? {
            match persist::restore(&stored, self.parts.epoch) {
                Ok(state) => {
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
                        "session {} cannot be read back ({error}); its records are kept in the store",
                        stored.id
                    ));
                }
            }
        }
        Ok(Recovered { told, clients })
    }

    /// Ends what nobody knows of any more: runner directories whose session is gone, or of an earlier generation.
    pub fn reap_strangers(&self) {
        let Ok(present) = self.parts.yard.present() else { return };
        for (session, generation) in present {
            let wanted = self.get(&session).is_some_and(|handle| handle.info().generation == generation);
            if wanted {
                continue;
            }
            let marker = self.parts.yard.marker_of(&session, generation);
            let dir = self.parts.yard.dir_of(&session, generation);
            if let Some(runner) = link::runner_process(&dir)
                && let Some(pid) = rustix::process::Pid::from_raw(runner.pid)
            {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
            let left = host::sweep(&marker, 50);
            tracing::warn!(%session, generation, ?left, "an orphaned runner was ended");
            let _ = std::fs::remove_dir_all(dir);
        }
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
        let now = now_ms();
        let state = State::new(SessionId::random(), plan, self.parts.epoch, now);
        let new = NewSession { id: state.body.id, create_key, at_ms: now, body: persist::encode(&state) };
        let (no, id, fresh) = self.parts.writer.create(new).await.map_err(|error| store_error(&error))?;
        if !fresh {
            return self.get(&id).map(|handle| (handle, false)).ok_or_else(|| {
                CodedError::new(ErrorCode::SessionNotFound, "the session of this key is gone")
            });
        }
        let handle = task::spawn(self.surroundings(), no, state, true, env, &self.tracker);
        self.insert(handle.clone());
        Ok((handle, true))
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
        let live = |state: SessionState| !state.is_ended() && state != SessionState::Suspended;
        self.handles()
            .into_iter()
            .map(|handle| (handle.clone(), handle.info()))
            .filter(|(_, info)| live(info.state))
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

    /// Where runners live.
    pub fn yard(&self) -> &Yard {
        &self.parts.yard
    }
}

fn not_found(text: &str) -> CodedError {
    CodedError::new(ErrorCode::SessionNotFound, format!("no session has the id, name or prefix {text:?}"))
}

/// A store error as clients hear it.
pub fn store_error(error: &StoreError) -> CodedError {
    let code = if matches!(error, StoreError::Full) { ErrorCode::StoreFull } else { ErrorCode::StoreFailed };
    CodedError::new(code, error.to_string())
}
