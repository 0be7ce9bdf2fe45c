//! What an editor asks: one table of methods, and what each needs of the daemon.
//!
//! Invariant: every request gets one answer, now or when the daemon has answered; what cannot be done is refused with
//! words that say what can.

use super::session::{How, Opening, Session};
use super::{Bridge, HELD, Then, options, questions};
use crate::acp::rpc::{self, ACP_VERSION, Incoming, Refusal, code};
use crate::client::connection::too_long;
use crate::commands::idempotency_key;
use crate::error::Failure;
use crate::place;
use crate::render::short;
use serde_json::{Map, Value, json};
use std::path::Path;
use vibes_protocol::model::SessionId;
use vibes_protocol::wire::message::AgentInfo;
use vibes_protocol::wire::request::{Content, CreateSession, Input, ListAgents, ListSessions, SetOption};
use vibes_protocol::wire::{CodedError, Request};

/// Whose sessions are begun when the command line names no agent: the first of these that is installed.
const PREFERRED: &[&str] = &["claude", "codex", "gemini", "opencode", "shell"];

/// What a handler gives: nothing when the answer was given or will be.
pub(super) type Served = Result<(), Refusal>;

impl Bridge {
    /// Takes a line of the editor.
    pub(super) fn line(&mut self, line: &[u8]) {
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        match rpc::read(line) {
            Ok(message) if self.editor.is_some() && !self.introduced && self.held.len() < HELD => {
                self.held.push_back(message);
            }
            Ok(message) => self.incoming(message),
            Err((id, refusal)) => self.tell(rpc::answer(&id, Err(refusal))),
        }
    }

    fn incoming(&mut self, message: Incoming) {
        match message {
            Incoming::Request { id, method, params } => {
                if let Err(refusal) = self.request(&id, &method, &params) {
                    self.tell(rpc::answer(&id, Err(refusal)));
                }
            }
            Incoming::Notification { method, params } => self.notification(&method, &params),
            Incoming::Response { id, outcome } => self.response(&id, outcome),
        }
    }

    /// Answers who we are, or why that cannot be said; then what was asked meanwhile is served.
    pub(super) fn introduce(&mut self, rpc: &Value, outcome: Served) {
        self.introduced = outcome.is_ok();
        if outcome.is_err() {
            self.editor = None;
        }
        self.tell(rpc::answer(rpc, outcome.map(|()| self.introduction())));
        for message in std::mem::take(&mut self.held) {
            self.incoming(message);
        }
    }

    /// A line was too long to be read.
    pub(super) fn too_long(&mut self) {
        let refusal =
            Refusal::new(code::INVALID_REQUEST, "a line is longer than 16 MiB; nothing after it is read");
        self.tell(rpc::answer(&Value::Null, Err(refusal)));
    }

    fn request(&mut self, rpc: &Value, method: &str, params: &Value) -> Served {
        if !self.introduced && method != "initialize" {
            return Err(Refusal::new(code::INVALID_REQUEST, "the first request is initialize"));
        }
        match method {
            "initialize" => self.initialize(rpc, params),
            "authenticate" => Err(Refusal::params(
                "vibes has no way of its own to sign in; sign in with the agent's own program, then try again",
            )),
            "session/new" => self.new_session(rpc, params),
            "session/load" => self.open_session(rpc, params, How::Load),
            "session/resume" => self.open_session(rpc, params, How::Resume),
            "session/list" => self.list(rpc, params),
            "session/prompt" => self.prompt(rpc, params),
            "session/set_mode" => self.set(rpc, params, options::MODE, &params["modeId"], false),
            "session/set_model" => self.set(rpc, params, options::MODEL, &params["modelId"], false),
            "session/set_config_option" => {
                let option = text(params, "configId")?;
                self.set(rpc, params, option, &params["value"], true)
            }
            other => Err(Refusal::new(code::METHOD_NOT_FOUND, format!("Method not found: {other}"))),
        }
    }

    fn notification(&mut self, method: &str, params: &Value) {
        match method {
            "session/cancel" => {
                if let Ok(id) = session_id(params) {
                    self.with(id, |session, cx| session.cancel(cx));
                }
            }
            "$/cancel_request" => {
                let prompting = |session: &&Session| session.prompts.has(&params["requestId"]);
                if let Some(id) = self.sessions.values().find(prompting).map(|session| session.id) {
                    self.with(id, |session, cx| session.cancel(cx));
                }
            }
            // Nothing that a client has to hear of.
            _ => {}
        }
    }

    fn initialize(&mut self, rpc: &Value, params: &Value) -> Served {
        let name = ["name", "title"].iter().find_map(|field| params["clientInfo"][field].as_str());
        self.editor = Some(name.unwrap_or_default().to_owned());
        // What is installed is judged by the editor's own search path.
        let env = place::agent_environment(&[]).map_err(Refusal::from)?;
        self.ask(ListAgents { env }, Then::Agents(rpc.clone()));
        Ok(())
    }

    /// The agent of new sessions, from those that there are.
    pub(super) fn choose(&mut self, agents: Vec<AgentInfo>) -> Served {
        self.agents = agents;
        let agents = &self.agents;
        let wanted = match &self.wanted.0 {
            Some(named) => vec![named.as_str()],
            None => PREFERRED.to_vec(),
        };
        let installed = |name: &&&str| agents.iter().any(|agent| agent.id == **name && agent.installed);
        let chosen = wanted.iter().find(installed).or(wanted.last()).copied().unwrap_or_default();
        self.agent = agents.iter().find(|agent| agent.id == chosen).cloned();
        if self.agent.is_none() && self.wanted.1.is_none() {
            let known: Vec<&str> = agents.iter().map(|agent| agent.id.as_str()).collect();
            let words = format!("no agent is called {chosen:?}; there are: {}", known.join(", "));
            return Err(Refusal::params(words));
        }
        Ok(())
    }

    /// Who we are and what can be done here.
    fn introduction(&self) -> Value {
        let title = match (&self.fixed, &self.agent) {
            (Some(session), _) => {
                format!("vibes: {}", session.name.clone().unwrap_or_else(|| short(session.id)))
            }
            (None, Some(agent)) => format!("vibes: {}", agent.name),
            (None, None) => "vibes".to_owned(),
        };
        let served = match &self.fixed {
            Some(session) => self.agents.iter().find(|agent| agent.id == session.agent),
            None => self.agent.as_ref(),
        };
        let accepts = |kind: &str| served.is_some_and(|agent| agent.accepts.iter().any(|one| one == kind));
        json!({
            "protocolVersion": ACP_VERSION,
            "agentInfo": {"name": "vibes", "title": title, "version": env!("CARGO_PKG_VERSION")},
            "agentCapabilities": {
                "loadSession": true,
                "promptCapabilities": {
                    "image": accepts("image"), "audio": accepts("audio"), "embeddedContext": accepts("resource"),
                },
                "mcpCapabilities": {"http": false, "sse": false},
                "sessionCapabilities": {"list": {}, "resume": {}},
            },
            "authMethods": [],
        })
    }

    fn new_session(&mut self, rpc: &Value, params: &Value) -> Served {
        let cwd = text(params, "cwd")?.to_owned();
        self.note_what_is_not_passed_on(params);
        if let Some(fixed) = &self.fixed {
            let id = fixed.id;
            return self.open(id, rpc, How::New);
        }
        if !Path::new(&cwd).is_absolute() {
            return Err(Refusal::params(format!("cwd: {cwd:?} is not an absolute path")));
        }
        let Some(agent) = &self.agent else { return Err(Refusal::params("no agent is known here")) };
        let mut env = place::agent_environment(&[]).map_err(Refusal::from)?;
        place::pass_on(agent.env.clone(), &mut env);
        let create = CreateSession {
            agent: agent.id.clone(),
            cwd,
            template: None,
            values: Default::default(),
            name: None,
            prompt: None,
            conversation: None,
            description: None,
            metadata: Map::new(),
            args: Vec::new(),
            options: Map::new(),
            mode: None,
            orphan_policy: None,
            ttl_s: None,
            budget: None,
            env,
            umask: place::umask(),
            worktree: None,
            approval_deadline_s: None,
            detached: None,
            once: false,
            ephemeral: false,
            // Joined in a moment, from the first record on, as after every loss of the connection.
            subscribe: false,
            // Only an agent that is ready has said what it can be set to.
            wait_ready: true,
            pause_others: false,
            idempotency_key: idempotency_key(),
        };
        self.ask(create, Then::Created(rpc.clone()));
        Ok(())
    }

    fn note_what_is_not_passed_on(&mut self, params: &Value) {
        for (field, what) in [("mcpServers", "MCP servers"), ("additionalDirectories", "more directories")] {
            if params[field].as_array().is_some_and(|list| !list.is_empty()) {
                self.note(format!("the editor's {what} are not passed on; configure them with the agent"));
            }
        }
    }

    fn open_session(&mut self, rpc: &Value, params: &Value, how: How) -> Served {
        let id = session_id(params)?;
        if self.fixed.as_ref().is_some_and(|fixed| fixed.id != id) {
            return Err(Refusal::new(code::NOT_FOUND, "this `vibes acp` was started for another session"));
        }
        self.note_what_is_not_passed_on(params);
        self.open(id, rpc, how)
    }

    pub(super) fn open(&mut self, id: SessionId, rpc: &Value, how: How) -> Served {
        let opening = Opening { rpc: rpc.clone(), how };
        self.sessions.entry(id).or_insert_with(|| Session::new(id));
        self.with(id, |session, cx| session.open(opening, cx));
        Ok(())
    }

    fn list(&mut self, rpc: &Value, params: &Value) -> Served {
        let (cwd, cursor) = (params["cwd"].as_str(), params["cursor"].as_str());
        let list = ListSessions {
            states: None,
            // The sessions of the agent that was asked for; of all when none was.
            agent: self.wanted.0.clone(),
            include_ended: false,
            search: None,
            limit: None,
            cursor: cursor.map(str::to_owned),
        };
        self.ask(list, Then::Listed { rpc: rpc.clone(), cwd: cwd.map(str::to_owned) });
        Ok(())
    }

    /// A session that the editor has opened.
    fn opened(&self, params: &Value) -> Result<SessionId, Refusal> {
        let id = session_id(params)?;
        if self.sessions.contains_key(&id) {
            return Ok(id);
        }
        Err(Refusal::new(code::NOT_FOUND, format!("session {id} is not open here; session/load opens it")))
    }

    fn prompt(&mut self, rpc: &Value, params: &Value) -> Served {
        let id = self.opened(params)?;
        let Some(blocks) = params["prompt"].as_array() else {
            return Err(Refusal::params("prompt: a list of content blocks is expected"));
        };
        let input: Request = Input {
            session_id: id.to_string(),
            content: Content::Blocks(blocks.clone()),
            idempotency_key: idempotency_key(),
            now: false,
        }
        .into();
        if let Some(error) = too_long(&input) {
            let CodedError { code, message, .. } = error;
            let message = format!("{message}; attach large files as links");
            return Err(Failure::from(CodedError::new(code, message)).into());
        }
        let prompt = self.with(id, |session, _| session.prompts.add(rpc.clone())).unwrap_or_default();
        self.ask(input, Then::Accepted(id, prompt));
        Ok(())
    }

    fn set(&mut self, rpc: &Value, params: &Value, option: &str, value: &Value, whole: bool) -> Served {
        let session = self.opened(params)?;
        if value.is_null() {
            return Err(Refusal::params(format!("{option}: a value is expected")));
        }
        let set =
            SetOption { session_id: session.to_string(), option_id: option.to_owned(), value: value.clone() };
        self.ask(set, Then::Set { rpc: rpc.clone(), session, whole });
        Ok(())
    }

    /// The editor answers a question of the agent.
    fn response(&mut self, rpc: &Value, outcome: Result<Value, Value>) {
        let mut sessions = self.sessions.values_mut();
        let asked = sessions.find_map(|session| Some((session.id, session.questions.answered(rpc)?)));
        // An answer to what was taken back comes too late.
        let Some((session, permission)) = asked else { return };
        match outcome {
            Ok(result) => {
                // Without a choice the editor has cancelled: the question waits for the interrupt, or for others.
                let Some(option) = result["outcome"]["optionId"].as_str() else { return };
                let then = Then::Decided(session, permission.permission_id.clone());
                let response = questions::response(session, permission, option);
                self.ask(response, then);
            }
            Err(error) => {
                let (why, id) = (error["message"].as_str().unwrap_or("no reason").to_owned(), short(session));
                let how = format!("`vibes approve {id}` or `vibes deny {id}` answers");
                self.note(format!("the editor could not ask for permission ({why}); {how}"));
            }
        }
    }
}

fn text<'a>(params: &'a Value, field: &str) -> Result<&'a str, Refusal> {
    params[field].as_str().ok_or_else(|| Refusal::params(format!("{field}: a string is expected")))
}

/// The ids of our sessions are those of vibes.
fn session_id(params: &Value) -> Result<SessionId, Refusal> {
    let id = text(params, "sessionId")?;
    id.parse().map_err(|_| {
        Refusal::new(
            code::NOT_FOUND,
            format!("no session is called {id:?}; session/list and `vibes ls` list them"),
        )
    })
}
