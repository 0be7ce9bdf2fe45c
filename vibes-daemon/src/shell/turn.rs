//! One prompt: ask, run, tell, answer.
//!
//! Invariant: the prompt is answered exactly once, and last. A cancel ends whatever the turn waits for: the client's
//! answer, or the command.

use super::{
    agent::Agent,
    command::{Ended, Handle, Running},
    rpc::{Refusal, code, note},
    sessions::Mode,
};
use serde_json::{Value, json};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use uuid::Uuid;

/// What the client said to a request of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Allow,
    AllowSession,
    Reject,
    Cancelled,
}

impl Answer {
    /// Reads the result of `session/request_permission`. Whatever is not a clear yes is a no.
    pub(super) fn read(result: Option<&Value>) -> Self {
        let Some(outcome) = result.map(|result| &result["outcome"]) else { return Self::Reject };
        match (outcome["outcome"].as_str(), outcome["optionId"].as_str()) {
            (Some("selected"), Some("allow")) => Self::Allow,
            (Some("selected"), Some("allow-session")) => Self::AllowSession,
            (Some("cancelled"), _) => Self::Cancelled,
            _ => Self::Reject,
        }
    }
}

/// What a turn waits for.
enum Phase {
    Begun,
    Asking { request: u64, answer: mpsc::SyncSender<Answer> },
    Running(Handle),
}

struct State {
    phase: Phase,
    cancelled: bool,
}

/// A turn under way.
pub(super) struct Turn {
    session: String,
    /// The id of the prompt, for the answer.
    request: Value,
    command: String,
    /// Names the tool call and marks the command's processes.
    id: String,
    state: Mutex<State>,
}

/// How a turn ended.
enum End {
    Ran(i32),
    NotRun,
    Cancelled,
}

impl Turn {
    pub(super) fn new(session: String, request: Value, command: String) -> Self {
        let state = Mutex::new(State { phase: Phase::Begun, cancelled: false });
        Self { session, request, command, id: Uuid::new_v4().to_string(), state }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends what the turn waits for. Never waits itself.
    pub(super) fn cancel(&self) {
        let mut state = self.lock();
        state.cancelled = true;
        match &state.phase {
            Phase::Begun => {}
            // There is room for one answer; if it is taken, the turn will see `cancelled` after reading it.
            Phase::Asking { answer, .. } => drop(answer.try_send(Answer::Cancelled)),
            Phase::Running(command) => command.stop(),
        }
    }

    /// Takes the answer to the request with this number, if it is this turn's.
    pub(super) fn answer(&self, number: u64, given: Answer) -> bool {
        match &self.lock().phase {
            Phase::Asking { request, answer } if *request == number => answer.try_send(given).is_ok(),
            _ => false,
        }
    }

    /// Serves the prompt to its answer.
    pub(super) fn run(&self, agent: &Agent) {
        let answer = self.serve(agent).map(|end| match end {
            End::Ran(code) => json!({"stopReason": "end_turn", "_meta": {"vibes": {"exit_code": code}}}),
            End::NotRun => json!({"stopReason": "end_turn"}),
            End::Cancelled => json!({"stopReason": "cancelled"}),
        });
        agent.turn_over(&self.session);
        agent.out.answer(&self.request, answer);
    }

    fn update(&self, agent: &Agent, update: &Value) {
        agent.out.update(&self.session, update);
    }

    fn say(&self, agent: &Agent, text: &str) {
        let content = json!({"type": "text", "text": text});
        self.update(agent, &json!({"sessionUpdate": "agent_message_chunk", "content": content}));
    }

    fn tool_status(&self, agent: &Agent, status: &str) {
        let update = json!({"sessionUpdate": "tool_call_update", "toolCallId": self.id, "status": status});
        self.update(agent, &update);
    }

    fn serve(&self, agent: &Agent) -> Result<End, Refusal> {
        if self.command.trim().is_empty() {
            return Ok(End::Ran(0));
        }
        agent.change(&self.session, |session| session.remember(&self.command));
        let mut session = agent
            .session(&self.session)
            .ok_or_else(|| Refusal::new(code::INTERNAL, "the session of a running turn is gone"))?;
        let fallback = session.usable_cwd().err();
        if let Some(fallback) = fallback {
            let lost = session.cwd.display();
            self.say(agent, &format!("{lost} does not exist any more; going on in {}\n", fallback.display()));
            session.cwd = fallback.clone();
            agent.change(&self.session, |session| session.cwd = fallback);
        }
        let input = json!({"command": self.command, "cwd": session.cwd.to_string_lossy()});
        let status = if session.mode == Mode::Ask { "pending" } else { "in_progress" };
        self.update(
            agent,
            &json!({
                "sessionUpdate": "tool_call", "toolCallId": self.id, "title": self.command, "kind": "execute",
                "status": status, "rawInput": input,
            }),
        );
        if session.mode == Mode::Ask {
            match self.ask(agent, &input) {
                Answer::Allow => self.tool_status(agent, "in_progress"),
                Answer::AllowSession => {
                    agent.change(&self.session, |session| session.mode = Mode::Auto);
                    let mode = json!({"sessionUpdate": "current_mode_update", "currentModeId": "auto"});
                    self.update(agent, &mode);
                    self.tool_status(agent, "in_progress");
                }
                Answer::Reject => {
                    self.tool_status(agent, "failed");
                    self.say(agent, "rejected: the command was not run\n");
                    return Ok(End::NotRun);
                }
                Answer::Cancelled => {
                    self.tool_status(agent, "failed");
                    return Ok(End::Cancelled);
                }
            }
        }
        Ok(self.execute(agent, &session.cwd, session.id))
    }

    fn ask(&self, agent: &Agent, input: &Value) -> Answer {
        let request = agent.next_request();
        let (sender, receiver) = mpsc::sync_channel(1);
        {
            let mut state = self.lock();
            if state.cancelled {
                return Answer::Cancelled;
            }
            state.phase = Phase::Asking { request, answer: sender };
        }
        agent.out.request(request, "session/request_permission", &json!({
            "sessionId": self.session,
            "toolCall": {
                "toolCallId": self.id, "title": self.command, "kind": "execute", "rawInput": input,
            },
            "options": [
                {"optionId": "allow", "name": "Allow", "kind": "allow_once"},
                {"optionId": "allow-session", "name": "Allow everything in this session", "kind": "allow_always"},
                {"optionId": "reject", "name": "Reject", "kind": "reject_once"},
            ],
        }));
        // The sender lives in our own state, so there is an answer or a wait.
        let answer = receiver.recv().unwrap_or(Answer::Cancelled);
        let mut state = self.lock();
        state.phase = Phase::Begun;
        if state.cancelled { Answer::Cancelled } else { answer }
    }

    fn execute(&self, agent: &Agent, cwd: &std::path::Path, session: Uuid) -> End {
        let started = Running::start(&self.command, cwd, &self.id, agent.store.report(session));
        let running = match started {
            Ok(running) => running,
            Err(error) => {
                self.say(agent, &format!("the command could not be started: {error}\n"));
                self.tool_status(agent, "failed");
                // What shells say of a command that could not be executed.
                return End::Ran(126);
            }
        };
        {
            let mut state = self.lock();
            let handle = running.handle();
            if state.cancelled {
                handle.stop();
            }
            state.phase = Phase::Running(handle);
        }
        let pumped = running.pump(|text| self.say(agent, &text));
        let cancelled = {
            let mut state = self.lock();
            state.phase = Phase::Begun;
            state.cancelled
        };
        let (Ended { code, signal }, tail, cwd) = match pumped {
            Ok(end) => end,
            Err(error) => {
                note(&format!("the output of a command cannot be read: {error}"));
                (Ended { code: 126, signal: None }, String::new(), None)
            }
        };
        if let Some(cwd) = cwd {
            agent.change(&self.session, |session| session.cwd = cwd);
        }
        let mut output = json!({"exit_code": code});
        if let Some(signal) = signal {
            output["signal"] = signal.into();
        }
        let status = if code == 0 && !cancelled { "completed" } else { "failed" };
        let content = json!([{"type": "content", "content": {"type": "text", "text": tail}}]);
        self.update(agent, &json!({
            "sessionUpdate": "tool_call_update", "toolCallId": self.id, "status": status, "rawOutput": output,
            "content": content,
        }));
        if cancelled { End::Cancelled } else { End::Ran(code) }
    }
}
