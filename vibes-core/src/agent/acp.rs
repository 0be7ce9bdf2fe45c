//! The Agent Client Protocol, version 1: our own JSON-RPC peer over lines.
//!
//! Invariant: ids of our requests are frame numbers, persisted with the session, so that a response finds its request
//! whoever read it. An agent's ids are kept as the JSON they came as. Nothing an agent sends makes this fail: what is
//! not understood becomes [`AgentEvent::Unparsed`]; what is not served is to be refused with −32601. What of it enters
//! the state is bounded, because the state is stored and shown at every change.

mod answers;
mod asking;
mod ends;
mod glance;
mod options;
#[cfg(test)]
mod tests;
mod updates;

use super::{
    AgentEvent, Opening, Outgoing, TurnResult,
    rpc::{self, Answer, Message, Refusal, RpcId},
};
use agent_client_protocol_schema::{
    ProtocolVersion,
    v1::{CancelNotification, Implementation, InitializeRequest},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The longest question that is put to a person, in bytes: a written file or two with their old text. It is stored and
/// shown with the session for as long as it waits.
pub const MAX_QUESTION: usize = 2 * 1024 * 1024;
/// The longest description of options that is kept, in bytes. Every listing of the session shows them.
const MAX_OPTIONS: usize = 256 * 1024;
/// The longest id of a conversation, in bytes. Every prompt repeats it.
const MAX_CONVERSATION: usize = 4 * 1024;
/// How long an agent may take for `initialize`, in milliseconds: some need ten
/// seconds on an idle machine, and machines with many agents are not idle.
const INITIALIZE_MS: i64 = 60_000;
/// How long it may take to open a conversation or to set a first option, in milliseconds.
const OPEN_MS: i64 = 60_000;

/// The state of one conversation over ACP.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Acp {
    /// Our requests that have no answer yet, by frame number.
    calls: BTreeMap<u64, Call>,
    /// The agent's own id of the conversation; it outlives the process.
    pub conversation: Option<String>,
    /// Whether that is another session's, and a copy of it is to be made first.
    #[serde(default)]
    copy: bool,
    /// Options the agent offers.
    pub options: Map<String, Value>,
    /// Whether the agent takes prompts.
    pub ready: bool,
    /// True after `session/load` until our first prompt: what comes now is history, already in the journal.
    replaying: bool,
    /// True when `session/load` was answered and the rest of the history may still come.
    #[serde(default)]
    telling: bool,
    /// Content blocks that the agent takes besides text and links; nothing before it has said so.
    #[serde(default)]
    pub accepts: Option<Vec<String>>,
    /// How the agent gets credentials, for whoever has to bring them.
    #[serde(default)]
    ways_in: Option<String>,
    /// Options still to be set before the agent counts as ready; the last one comes first.
    wanted: Vec<(String, Value)>,
    /// Whether the session had an agent before.
    #[serde(default)]
    again: bool,
    how: Option<How>,
    cwd: String,
    can_load: bool,
    can_resume: bool,
    /// Whether the prompt is a command, which agents answer without their model.
    #[serde(default)]
    local: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum How {
    New,
    Load,
    Resume,
    Fork,
}

impl How {
    fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Load => "load",
            Self::Resume => "resume",
            Self::Fork => "fork",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Call {
    Initialize,
    Open(How),
    Prompt,
    Option {
        option_id: String,
        value: Value,
    },
    /// Nobody waits for this one any more.
    GivenUp {
        method: String,
    },
}

impl Call {
    /// The method of a request without whose answer the agent cannot be used, and how long that may take.
    fn opening(&self) -> Option<(&'static str, i64)> {
        match self {
            Self::Initialize => Some(("initialize", INITIALIZE_MS)),
            Self::Open(How::New) => Some(("session/new", OPEN_MS)),
            Self::Open(How::Load) => Some((LOAD, OPEN_MS)),
            Self::Open(How::Resume) => Some(("session/resume", OPEN_MS)),
            Self::Open(How::Fork) => Some(("session/fork", OPEN_MS)),
            Self::Option { .. } => Some(("a first option", OPEN_MS)),
            Self::Prompt | Self::GivenUp { .. } => None,
        }
    }
}

/// The one opening request during whose work the agent talks: it tells the history.
pub const LOAD: &str = "session/load";
/// What some agents owe after their answer to it: the rest of the history. There is no sign of its end but silence, and
/// what comes after our next prompt is news.
pub const HISTORY: &str = "the history";
/// How long that silence is, in milliseconds. Agents that are late with the history tell it in one go.
pub const HUSH_MS: i64 = 300;

fn request(id: u64, method: &str, params: impl Serialize) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

impl Acp {
    /// A conversation that has not begun, or one that began without us, itself or a copy of it.
    pub fn taking_up(conversation: Option<String>, copy: bool) -> Self {
        Self { conversation, copy, ..Self::default() }
    }

    /// The id of the conversation, unless it is the one to be copied.
    pub fn own_conversation(&self) -> Option<&str> {
        self.conversation.as_deref().filter(|_| !self.copy)
    }

    /// Opens the conversation with a fresh process. An earlier conversation is taken up again.
    pub fn start(&mut self, opening: Opening, out: &mut Outgoing) {
        let (conversation, copy, accepts) = (self.conversation.take(), self.copy, self.accepts.take());
        let mut wanted: Vec<_> = opening.options.into_iter().collect();
        // What the others can be set to depends on the model.
        wanted.sort_by_key(|(id, _)| id == "model");
        *self = Self {
            conversation,
            copy,
            accepts,
            cwd: opening.cwd,
            wanted,
            again: opening.again,
            ..Self::default()
        };
        let hello = InitializeRequest::new(ProtocolVersion::V1)
            .client_info(Implementation::new("vibes", opening.version));
        let call = out.push(|id| request(id, "initialize", &hello));
        self.calls.insert(call, Call::Initialize);
    }

    /// Gives the agent a prompt; only when it is ready and no prompt runs.
    pub fn prompt(&mut self, blocks: &[Value], out: &mut Outgoing) {
        self.replaying = false;
        let first = blocks.first().and_then(|block| block["text"].as_str());
        self.local = first.is_some_and(|text| text.starts_with('/'));
        let params = json!({"sessionId": self.conversation, "prompt": blocks});
        let call = out.push(|id| request(id, "session/prompt", params));
        self.calls.insert(call, Call::Prompt);
    }

    /// Asks the agent to end the turn.
    pub fn cancel(&self, out: &mut Outgoing) {
        if let Some(conversation) = &self.conversation {
            let params = CancelNotification::new(conversation.clone());
            out.push(|_| json!({"jsonrpc": "2.0", "method": "session/cancel", "params": params}));
        }
    }

    /// Answers the agent's question with one of its options, or with `cancelled`.
    pub fn answer(&self, rpc_id: &RpcId, option_id: Option<&str>, out: &mut Outgoing) {
        let outcome = match option_id {
            Some(option_id) => json!({"outcome": "selected", "optionId": option_id}),
            None => json!({"outcome": "cancelled"}),
        };
        out.push(|_| Answer::result(rpc_id, json!({"outcome": outcome})));
    }

    /// Refuses a request of the agent.
    pub fn refuse(&self, refusal: &Refusal, out: &mut Outgoing) {
        out.push(|_| Answer::error(refusal));
    }

    /// What the agent has to answer before it can be used: the frame, the method, and how long that may take in
    /// milliseconds.
    pub fn opening(&self) -> Option<(u64, &'static str, i64)> {
        if self.ready {
            return None;
        }
        if self.telling {
            return Some((0, HISTORY, HUSH_MS));
        }
        let mut calls = self.calls.iter();
        calls.find_map(|(frame, call)| call.opening().map(|(method, limit_ms)| (*frame, method, limit_ms)))
    }

    /// Waits no longer for a response; one that comes after all is told as late.
    pub fn give_up(&mut self, frame: u64, method: &str) {
        self.calls.insert(frame, Call::GivenUp { method: method.to_owned() });
    }

    /// Whether a prompt has no answer yet.
    pub fn prompting(&self) -> bool {
        self.calls.values().any(|call| *call == Call::Prompt)
    }

    /// Takes in one line of the agent.
    pub fn decode<'a>(&mut self, line: &'a [u8], events: &mut Vec<AgentEvent<'a>>, out: &mut Outgoing) {
        let line = line.trim_ascii();
        if line.is_empty() {
            return;
        }
        let before = events.len();
        let understood = match rpc::read(line) {
            Ok(Message::Notification { method, params }) => self.notification(&method, params, events),
            Ok(Message::Request { id, method, params }) => {
                events.push(self.request(id, &method, params));
                Ok(())
            }
            Ok(Message::Response { id, outcome }) => match serde_json::from_str::<u64>(id) {
                Ok(id) if self.calls.contains_key(&id) => self.response(id, outcome, events, out),
                _ => Err(format!("a response to a request that does not wait: {}", clip(id, 80))),
            },
            Err(broken) => {
                events.push(AgentEvent::Unparsed { why: broken.why, refusal: broken.refusal });
                Ok(())
            }
        };
        if let Err(why) = understood {
            events.truncate(before);
            events.push(AgentEvent::Unparsed { why, refusal: None });
        }
    }
}

/// The first `most` characters.
fn clip(text: &str, most: usize) -> &str {
    let end = text.char_indices().nth(most).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}
