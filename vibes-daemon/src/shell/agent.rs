//! The methods of the agent: one line in, at most one answer out, and a thread for each turn.
//!
//! Invariant: handling a line never waits for a turn, for an answer of the client or for our stdout, so a cancel that
//! follows a prompt always finds its turn. A session has one turn at a time.

use super::{
    rpc::{Incoming, Out, Refusal, code, note},
    sessions::{Mode, Session, Store},
    turn::{Answer, Turn},
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How long the end waits for turns: longer than a command's grace, shorter than anybody's patience.
const CLOSE: Duration = Duration::from_millis(1500);

/// A session that this process serves.
struct Open {
    session: Session,
    turn: Option<Arc<Turn>>,
}

/// The agent. Shared between the thread that reads stdin and the turns.
pub(super) struct Agent {
    pub(super) out: Out,
    pub(super) store: Store,
    open: Mutex<HashMap<String, Open>>,
    turn_ended: Condvar,
    /// The numbers of our own requests.
    asked: AtomicU64,
}

impl Agent {
    pub(super) fn new(out: Out, store: Store) -> Self {
        Self { out, store, open: Mutex::default(), turn_ended: Condvar::new(), asked: AtomicU64::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Handles one line.
    pub(super) fn handle(self: &Arc<Self>, line: &[u8]) {
        if line.is_empty() {
            return;
        }
        match Incoming::parse(line) {
            Ok(Incoming::Request { id, method, params }) => {
                let answer = match method.as_str() {
                    "initialize" => Ok(initialize()),
                    "session/new" => self.new_session(&params),
                    "session/load" => self.reopen(&params, true),
                    "session/resume" => self.reopen(&params, false),
                    "session/set_mode" => self.set_mode(&params),
                    "session/prompt" => match self.prompt(&id, &params) {
                        Ok(()) => return,
                        Err(refusal) => Err(refusal),
                    },
                    other => Err(Refusal::new(code::METHOD_NOT_FOUND, format!("Method not found: {other}"))),
                };
                self.out.answer(&id, answer);
            }
            Ok(Incoming::Notification { method, params }) if method == "session/cancel" => {
                let id = params["sessionId"].as_str().unwrap_or_default();
                if let Some(turn) = self.lock().get(id).and_then(|open| open.turn.clone()) {
                    turn.cancel();
                }
            }
            Ok(Incoming::Notification { .. }) => {}
            Ok(Incoming::Response { id, result }) => {
                let turns: Vec<_> = self.lock().values().filter_map(|open| open.turn.clone()).collect();
                let answer = Answer::read(result.as_ref());
                // An answer to nothing we ask any more came too late.
                let _ = id.as_u64().is_some_and(|id| turns.iter().any(|turn| turn.answer(id, answer)));
            }
            Err(why) => note(&format!("a line that is no message is ignored: {why}")),
        }
    }

    /// Stops everything, because the client is gone.
    pub(super) fn close(&self) {
        let until = Instant::now() + CLOSE;
        let mut open = self.lock();
        for turn in open.values().filter_map(|open| open.turn.as_ref()) {
            turn.cancel();
        }
        while open.values().any(|open| open.turn.is_some()) {
            let Some(left) = until.checked_duration_since(Instant::now()) else { break };
            open = self.turn_ended.wait_timeout(open, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(open);
        self.out.drain(Duration::from_secs(1));
    }

    /// A number for a request of ours.
    pub(super) fn next_request(&self) -> u64 {
        self.asked.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Changes a session and writes it down. The turn's own session cannot vanish: sessions are never closed.
    pub(super) fn change(&self, id: &str, change: impl FnOnce(&mut Session)) {
        let session = match self.lock().get_mut(id) {
            Some(open) => {
                change(&mut open.session);
                open.session.clone()
            }
            None => return,
        };
        self.save(&session);
    }

    /// A copy of a session as it is now.
    pub(super) fn session(&self, id: &str) -> Option<Session> {
        self.lock().get(id).map(|open| open.session.clone())
    }

    /// Frees the session for the next prompt. Called before the answer, which is what clients wait for.
    pub(super) fn turn_over(&self, id: &str) {
        if let Some(open) = self.lock().get_mut(id) {
            open.turn = None;
        }
        self.turn_ended.notify_all();
    }

    fn save(&self, session: &Session) {
        if let Err(error) = self.store.save(session) {
            // The session works without; only a resume after this process would not find it as it is.
            note(&format!("the state of session {} cannot be written: {error}", session.id));
        }
    }

    fn new_session(&self, params: &Value) -> Result<Value, Refusal> {
        let session = Session::new(absolute_cwd(params)?);
        let answer = json!({"sessionId": session.id, "modes": modes(session.mode)});
        self.save(&session);
        self.lock().insert(session.id.to_string(), Open { session, turn: None });
        Ok(answer)
    }

    fn reopen(&self, params: &Value, replay: bool) -> Result<Value, Refusal> {
        let id = session_id(params)?;
        let known = self.session(id);
        let session = match known {
            Some(session) => session,
            None => {
                let loaded = self.store.load(id).map_err(|error| {
                    Refusal::new(code::INTERNAL, format!("the state of session {id} cannot be read: {error}"))
                })?;
                loaded.ok_or_else(|| unknown(id))?
            }
        };
        if replay {
            for prompt in &session.prompts {
                let content = json!({"type": "text", "text": prompt});
                let update = json!({"sessionUpdate": "user_message_chunk", "content": content});
                self.out.replay(id, &update);
            }
        }
        let answer = json!({"modes": modes(session.mode)});
        self.lock().entry(id.to_owned()).or_insert(Open { session, turn: None });
        Ok(answer)
    }

    fn set_mode(&self, params: &Value) -> Result<Value, Refusal> {
        let id = session_id(params)?;
        let wanted = params["modeId"].as_str().unwrap_or_default();
        let mode = Mode::parse(wanted).ok_or_else(|| {
            Refusal::new(code::INVALID_PARAMS, format!("modeId: no mode {wanted:?}; there are ask and auto"))
        })?;
        self.session(id).ok_or_else(|| unknown(id))?;
        self.change(id, |session| session.mode = mode);
        Ok(json!({}))
    }

    fn prompt(self: &Arc<Self>, request: &Value, params: &Value) -> Result<(), Refusal> {
        let id = session_id(params)?.to_owned();
        let blocks = params["prompt"]
            .as_array()
            .ok_or_else(|| Refusal::new(code::INVALID_PARAMS, "prompt: expected a list of content blocks"))?;
        // What goes before a prompt is for agents that think; here it would be run.
        let is_context = |block: &&Value| block["_meta"]["vibes"]["context"].is_string();
        let texts: Vec<&str> = blocks
            .iter()
            .filter(|block| !is_context(block))
            .filter_map(|block| block["text"].as_str())
            .collect();
        if let Some(kind) =
            blocks.iter().filter_map(|block| block["type"].as_str()).find(|kind| *kind != "text")
        {
            let why = format!("a shell takes commands and nothing besides, not a {kind}");
            return Err(Refusal::new(code::INVALID_PARAMS, why));
        }
        let command = texts.join("\n");
        let turn = Arc::new(Turn::new(id.clone(), request.clone(), command));
        {
            let mut all = self.lock();
            let open = all.get_mut(&id).ok_or_else(|| unknown(&id))?;
            if open.turn.is_some() {
                return Err(Refusal::new(code::INVALID_REQUEST, "a turn is running"));
            }
            open.turn = Some(turn.clone());
        }
        let agent = self.clone();
        let spawned = thread::Builder::new().name("turn".to_owned()).spawn(move || turn.run(&agent));
        spawned.map(drop).map_err(|error| {
            self.turn_over(&id);
            Refusal::new(code::INTERNAL, format!("no thread for the turn: {error}"))
        })
    }
}

fn initialize() -> Value {
    json!({
        "protocolVersion": 1,
        "agentCapabilities": {
            "loadSession": true,
            "promptCapabilities": {"image": false, "audio": false, "embeddedContext": false},
            "sessionCapabilities": {"resume": {}},
        },
        "agentInfo": {"name": "vibes-shell", "title": "Shell", "version": env!("CARGO_PKG_VERSION")},
        "authMethods": [],
    })
}

fn modes(current: Mode) -> Value {
    json!({
        "currentModeId": current.as_str(),
        "availableModes": [
            {"id": "ask", "name": "Ask", "description": "Every command waits for an answer"},
            {"id": "auto", "name": "Auto", "description": "Commands run without asking"},
        ],
    })
}

fn session_id(params: &Value) -> Result<&str, Refusal> {
    params["sessionId"]
        .as_str()
        .ok_or_else(|| Refusal::new(code::INVALID_PARAMS, "sessionId: expected a string"))
}

/// Whether the directory exists is seen when a command is to run in it, as for one that is removed later.
fn absolute_cwd(params: &Value) -> Result<PathBuf, Refusal> {
    let cwd = params["cwd"].as_str().map(PathBuf::from).filter(|cwd| cwd.is_absolute());
    cwd.ok_or_else(|| Refusal::new(code::INVALID_PARAMS, "cwd: expected an absolute path"))
}

fn unknown(id: &str) -> Refusal {
    Refusal::new(code::NOT_FOUND, format!("Resource not found: session {id}"))
}
