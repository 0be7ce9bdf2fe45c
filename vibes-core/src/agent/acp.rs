//! The Agent Client Protocol, version 1: our own JSON-RPC peer over lines.
//!
//! Invariant: ids of our requests are frame numbers, persisted with the session, so that a response finds its request
//! whoever read it. An agent's ids are kept as the JSON they came as. Nothing an agent sends makes this fail: what is
//! not understood becomes [`AgentEvent::Unparsed`]; what is not served is to be refused with −32601. What of it enters
//! the state is bounded, because the state is stored and shown at every change.

mod options;

use super::{
    AgentEvent, Hint, Opening, Outgoing, Question, TurnResult,
    rpc::{self, Answer, INVALID_PARAMS, METHOD_NOT_FOUND, Message, Refusal, RpcId},
    touched,
};
use agent_client_protocol_schema::{
    ProtocolVersion,
    v1::{
        CancelNotification, Implementation, InitializeRequest, InitializeResponse, LoadSessionRequest,
        NewSessionRequest, ResumeSessionRequest,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, value::RawValue};
use std::{borrow::Cow, collections::BTreeMap};
use vibes_protocol::model::{Cost, PermissionOption};

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
/// The updates that a history is made of. The others tell how things stand, which is news at any time.
const TOLD_AGAIN: &[&str] = &[
    "user_message_chunk",
    "agent_message_chunk",
    "agent_thought_chunk",
    "tool_call",
    "tool_call_update",
    "plan",
];

#[derive(Deserialize)]
struct UpdateParams<'a> {
    #[serde(borrow, default, rename = "sessionId")]
    conversation: Option<Cow<'a, str>>,
    #[serde(borrow)]
    update: &'a RawValue,
}

#[derive(Deserialize)]
struct CancelParams {
    #[serde(rename = "requestId")]
    request: RpcId,
}

#[derive(Deserialize)]
struct UpdateHead<'a> {
    #[serde(borrow, rename = "sessionUpdate", default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

/// As much of a tool call as tells whether it is over.
#[derive(Deserialize)]
struct ToolHead<'a> {
    #[serde(borrow, rename = "toolCallId")]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    locations: Option<&'a RawValue>,
}

/// What an update about a tool call tells; nothing where it has no id that can be read.
fn tool_call(raw: &str) -> Hint<'_> {
    match read::<ToolHead<'_>>(raw) {
        Ok(ToolHead { id, status, kind, content, locations }) => {
            // Most say nothing of files: they are not read again to learn that.
            let changes = content.is_some_and(|content| content.get().contains("\"diff\""))
                || locations.is_some()
                    && kind.is_some_and(|kind| touched::changes(kind.get().trim_matches('"')));
            let files = if changes {
                touched::files(&mut serde_json::Deserializer::from_str(raw))
            } else {
                Vec::new()
            };
            touched::hint(id, status.as_deref(), files)
        }
        Err(_) => Hint::None,
    }
}

/// As much of a content block as the preview needs.
#[derive(Deserialize)]
struct TextBlock<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
}

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
        let (conversation, copy) = (self.conversation.take(), self.copy);
        let mut wanted: Vec<_> = opening.options.into_iter().collect();
        // What the others can be set to depends on the model.
        wanted.sort_by_key(|(id, _)| id == "model");
        *self =
            Self { conversation, copy, cwd: opening.cwd, wanted, again: opening.again, ..Self::default() };
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

    fn notification<'a>(
        &mut self,
        method: &str,
        params: &'a str,
        events: &mut Vec<AgentEvent<'a>>,
    ) -> Result<(), String> {
        match method {
            "session/update" => {
                let params: UpdateParams<'a> = read(params)?;
                self.is_ours(params.conversation.as_deref())?;
                let raw = params.update.get();
                if let Some(hint) = self.hint(raw)? {
                    events.push(AgentEvent::Update { raw: raw.into(), hint });
                }
                Ok(())
            }
            "$/cancel_request" => {
                let params: CancelParams = read(params)?;
                events.push(AgentEvent::Withdrawn { rpc_id: params.request });
                Ok(())
            }
            // Extensions of an agent: who does not know one passes over it, says the protocol.
            extension if extension.starts_with('_') => Ok(()),
            other => Err(format!("a notification that is not served: {}", clip(other, 80))),
        }
    }

    /// Before the agent is ready its conversation may not have its name yet.
    fn is_ours(&self, conversation: Option<&str>) -> Result<(), String> {
        match conversation {
            Some(theirs) if self.ready && self.conversation.as_deref() != Some(theirs) => {
                Err(format!("it is about another conversation: {}", clip(theirs, 80)))
            }
            _ => Ok(()),
        }
    }

    /// What is in an update for us; `None` when it is history, which is in the journal already.
    fn hint<'a>(&mut self, raw: &'a str) -> Result<Option<Hint<'a>>, String> {
        if !raw.starts_with('{') {
            return Err("an update is an object".to_owned());
        }
        let head: UpdateHead<'a> =
            serde_json::from_str(raw).map_err(|error| format!("an update: {error}"))?;
        if self.replaying && TOLD_AGAIN.contains(&&*head.kind) {
            return Ok(None);
        }
        Ok(Some(match &*head.kind {
            // Recorded like any other, but nothing of that size enters the state.
            "current_mode_update" | "config_option_update" | "usage_update" if raw.len() > MAX_OPTIONS => {
                Hint::None
            }
            "agent_message_chunk" => {
                let block = head.content.and_then(|content| read::<TextBlock<'a>>(content.get()).ok());
                block.and_then(|block| block.text).map_or(Hint::None, Hint::Text)
            }
            "tool_call" | "tool_call_update" => tool_call(raw),
            "current_mode_update" => {
                let update: Value = read(raw)?;
                if let Some(option) = self.options.get_mut("mode") {
                    option["value"] = update["currentModeId"].clone();
                }
                Hint::Options
            }
            "config_option_update" => {
                let update: Value = read(raw)?;
                self.take_config_options(&update["configOptions"]);
                Hint::Options
            }
            "usage_update" => {
                let update: Value = read(raw)?;
                let cost = &update["cost"];
                match (cost["amount"].as_f64(), cost["currency"].as_str()) {
                    (Some(amount), Some(currency)) if currency.len() <= 16 => {
                        Hint::Total(Cost { amount, currency: currency.to_owned(), estimated: false })
                    }
                    _ => Hint::None,
                }
            }
            _ => Hint::None,
        }))
    }

    /// What a request of the agent leads to. It is answered by whoever knows what waits already.
    fn request(&self, id: RpcId, method: &str, params: &str) -> AgentEvent<'static> {
        if method != "session/request_permission" {
            let method = clip(method, 80).to_owned();
            let message = format!("method not found: {method}");
            let refusal = Refusal { id, code: METHOD_NOT_FOUND, message };
            return AgentEvent::Refused { method, refusal };
        }
        match self.question(id.clone(), params) {
            Ok(question) => AgentEvent::Permission(Box::new(question)),
            Err(why) => {
                let refusal = Refusal { id, code: INVALID_PARAMS, message: why.clone() };
                AgentEvent::Unparsed { why, refusal: Some(refusal) }
            }
        }
    }

    fn question(&self, rpc_id: RpcId, raw: &str) -> Result<Question, String> {
        if raw.len() > MAX_QUESTION {
            return Err(format!("a permission request of {} bytes; {MAX_QUESTION} are the most", raw.len()));
        }
        let params: Value = read(raw)?;
        self.is_ours(params["sessionId"].as_str())?;
        question(rpc_id, raw, &params)
    }

    fn response<'a>(
        &mut self,
        id: u64,
        outcome: Result<&str, &str>,
        events: &mut Vec<AgentEvent<'a>>,
        out: &mut Outgoing,
    ) -> Result<(), String> {
        let outcome = outcome.map_err(|error| error_text(error, self.ways_in.as_deref()));
        match (self.calls.remove(&id), outcome) {
            (None, _) => {}
            (Some(Call::GivenUp { method }), _) => {
                return Err(format!("the answer to {method} came after it was given up"));
            }
            (Some(Call::Initialize), Ok(result)) => {
                match serde_json::from_str::<InitializeResponse>(result) {
                    Ok(answer) if answer.protocol_version != ProtocolVersion::V1 => {
                        let theirs = answer.protocol_version;
                        events.push(AgentEvent::StartFailed(format!(
                            "the agent speaks version {theirs} of the Agent Client Protocol, vibes speaks 1"
                        )));
                    }
                    Ok(answer) => {
                        self.ways_in = ways_in(result);
                        self.can_load = answer.agent_capabilities.load_session;
                        self.can_resume = answer.agent_capabilities.session_capabilities.resume.is_some();
                        let how = match self.conversation {
                            Some(_) if self.copy && can_fork(result) => How::Fork,
                            // Another session's conversation is not ours to go on with.
                            Some(_) if self.copy => How::New,
                            Some(_) if self.can_resume => How::Resume,
                            Some(_) if self.can_load => How::Load,
                            _ => How::New,
                        };
                        self.open(how, out);
                    }
                    Err(error) => {
                        events.push(AgentEvent::StartFailed(format!(
                            "the agent's answer to initialize: {error}"
                        )));
                    }
                }
            }
            (Some(Call::Initialize), Err(error)) => {
                events.push(AgentEvent::StartFailed(format!("the agent refused to initialize: {error}")));
            }
            (Some(Call::Open(how)), Ok(text)) => {
                let result: Value = serde_json::from_str(text).unwrap_or(Value::Null);
                if let Some(id) = result["sessionId"].as_str().filter(|id| id.len() <= MAX_CONVERSATION) {
                    self.conversation = Some(id.to_owned());
                }
                // A copy has an id of its own; with the other's it would be no copy.
                let is_own = !self.copy || result["sessionId"].is_string();
                if self.conversation.is_none() || !is_own {
                    let why = "the agent opened a session without an id that can be used";
                    events.push(AgentEvent::StartFailed(why.to_owned()));
                    return Ok(());
                }
                (self.how, self.copy) = (Some(how), false);
                if can_be_kept(text) {
                    self.take_options(&result);
                }
                self.settle(events, out);
            }
            (Some(Call::Open(how)), Err(error)) => match how {
                // The agent's own memory of the conversation may be gone; a new one is better than none.
                How::Resume if self.can_load => self.open(How::Load, out),
                How::Resume | How::Load | How::Fork => self.open(How::New, out),
                How::New => {
                    events.push(AgentEvent::StartFailed(format!(
                        "the agent could not open a session: {error}"
                    )));
                }
            },
            (Some(Call::Prompt), outcome) => {
                let result = outcome.map_or_else(TurnResult::failed, |result| ends::turn(result, self.local));
                events.push(AgentEvent::TurnEnded(Box::new(result)));
            }
            (Some(Call::Option { option_id, value }), outcome) => {
                let error = match outcome {
                    Ok(result) => {
                        if let Some(option) = self.options.get_mut(&option_id) {
                            option["value"] = value.clone();
                        }
                        if can_be_kept(result) {
                            let result: Value = serde_json::from_str(result).unwrap_or(Value::Null);
                            self.take_config_options(&result["configOptions"]);
                        }
                        None
                    }
                    Err(error) => Some(error),
                };
                if self.ready {
                    events.push(AgentEvent::OptionAnswered { call: id, option_id, value, error });
                } else {
                    match error {
                        Some(why) if self.again => {
                            events.push(AgentEvent::OptionDropped { option_id, value, why });
                        }
                        Some(error) => {
                            let why = format!("{option_id} could not be set to {value}: {error}");
                            events.push(AgentEvent::StartFailed(why));
                            return Ok(());
                        }
                        None => {}
                    }
                    self.settle(events, out);
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, how: How, out: &mut Outgoing) {
        let conversation = self.conversation.clone().unwrap_or_default();
        let cwd = self.cwd.clone();
        // History that the agent tells again is in the journal already, whichever way it comes.
        self.replaying = how != How::New;
        let call = match how {
            How::New => {
                (self.conversation, self.copy) = (None, false);
                out.push(|id| request(id, "session/new", NewSessionRequest::new(cwd)))
            }
            How::Load => {
                out.push(|id| request(id, "session/load", LoadSessionRequest::new(conversation, cwd)))
            }
            How::Resume => {
                out.push(|id| request(id, "session/resume", ResumeSessionRequest::new(conversation, cwd)))
            }
            How::Fork => {
                let params = json!({"sessionId": conversation, "cwd": cwd, "mcpServers": []});
                out.push(|id| request(id, "session/fork", params))
            }
        };
        self.calls.insert(call, Call::Open(how));
    }

    /// Sets the next wanted option, or declares the agent ready.
    fn settle<'a>(&mut self, events: &mut Vec<AgentEvent<'a>>, out: &mut Outgoing) {
        while let Some((option_id, value)) = self.wanted.pop() {
            if self.options.get(&option_id).is_some_and(|option| option["value"] == value) {
                continue;
            }
            match self.set_option(&option_id, &value, out) {
                Ok(_) => return,
                // A conversation is worth more than an option: models are withdrawn, modes are renamed.
                Err(why) if self.again => {
                    events.push(AgentEvent::OptionDropped { option_id, value, why });
                }
                Err(why) => {
                    events.push(AgentEvent::StartFailed(why));
                    return;
                }
            }
        }
        if self.how == Some(How::Load) {
            self.telling = true;
        } else {
            events.push(self.opened());
        }
    }

    /// From now on the agent takes prompts.
    pub fn opened(&mut self) -> AgentEvent<'static> {
        (self.ready, self.telling) = (true, false);
        AgentEvent::Ready { how: self.how.unwrap_or(How::New).as_str() }
    }
}

/// The first `most` characters.
fn clip(text: &str, most: usize) -> &str {
    let end = text.char_indices().nth(most).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

/// Whether an answer's options may become part of the state.
fn can_be_kept(result: &str) -> bool {
    result.len() <= MAX_OPTIONS && rpc::sound(result).is_ok()
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// The code of an agent that wants credentials first.
const AUTH_REQUIRED: i64 = -32000;

/// Whether the agent makes copies of conversations, as the answer to `initialize` tells.
fn can_fork(result: &str) -> bool {
    let result: Value = serde_json::from_str(result).unwrap_or(Value::Null);
    result["agentCapabilities"]["sessionCapabilities"]["fork"].is_object()
}

/// The agent's ways to get credentials, in its own words, as the answer to `initialize` tells them.
fn ways_in(result: &str) -> Option<String> {
    let result: Value = serde_json::from_str(result).ok()?;
    let methods = result["authMethods"].as_array()?;
    let names: Vec<&str> = methods.iter().filter_map(|method| method["name"].as_str()).collect();
    (!names.is_empty()).then(|| clip(&names.join("; "), 300).to_owned())
}

/// An error of the agent as a sentence, with what it takes where that is known. It becomes part of the session's state, so it is no longer than one.
fn error_text(error: &str, ways_in: Option<&str>) -> String {
    let error: Value = serde_json::from_str(error).unwrap_or(Value::Null);
    let message = error["message"].as_str().unwrap_or("no message");
    let detail = match &error["data"] {
        Value::Null => String::new(),
        Value::String(text) => format!(": {text}"),
        Value::Object(data) => {
            match data.get("details").or_else(|| data.get("message")).and_then(Value::as_str) {
                Some(text) => format!(": {text}"),
                None => String::new(),
            }
        }
        _ => String::new(),
    };
    let code = error["code"].as_i64().map_or_else(|| "none".to_owned(), |code| code.to_string());
    let ways = ways_in.filter(|_| error["code"] == AUTH_REQUIRED);
    let ways = ways.map(|ways| format!("; it wants credentials: {ways}")).unwrap_or_default();
    format!("{} (code {code}){ways}", clip(&format!("{message}{detail}"), 2_000))
}

fn question(rpc_id: RpcId, raw: &str, params: &Value) -> Result<Question, String> {
    let call = &params["toolCall"];
    let options: Vec<PermissionOption> = params["options"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|option| {
            Some(PermissionOption {
                option_id: option["optionId"].as_str()?.to_owned(),
                kind: option["kind"].as_str().unwrap_or_default().to_owned(),
                name: option["name"].as_str().unwrap_or_default().to_owned(),
            })
        })
        .collect();
    if options.is_empty() {
        return Err("a permission request without options".to_owned());
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let diff = call["content"]
        .as_array()
        .and_then(|content| content.iter().find(|block| block["type"] == "diff"))
        .map(|diff| json!({"path": diff["path"], "old_text": diff["oldText"], "new_text": diff["newText"]}));
    Ok(Question {
        rpc_id,
        raw: raw.to_owned(),
        tool: text(&call["kind"]).or_else(|| text(&call["title"])).unwrap_or_else(|| "tool".to_owned()),
        raw_input: call.get("rawInput").cloned().unwrap_or(Value::Null),
        diff,
        options,
        title: text(&call["title"]),
        tool_call_id: text(&call["toolCallId"]),
        memo: Value::Null,
    })
}

mod ends;
mod glance;
#[cfg(test)]
mod tests;
