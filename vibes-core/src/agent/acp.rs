//! The Agent Client Protocol, version 1: our own JSON-RPC peer over lines.
//!
//! Invariant: ids of our requests are frame numbers, persisted with the session, so that a response finds its request
//! whoever read it. An agent's ids are kept as the JSON they came as. Nothing an agent sends makes this fail: what is
//! not understood becomes [`AgentEvent::Unparsed`]; what is not served is refused with −32601.

use super::{AgentEvent, Hint, Opening, Outgoing, Question, TurnResult};
use agent_client_protocol_schema::{
    ProtocolVersion,
    v1::{
        CancelNotification, Implementation, InitializeRequest, InitializeResponse, LoadSessionRequest,
        NewSessionRequest, ResumeSessionRequest, SetSessionModeRequest,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json, value::RawValue};
use std::{borrow::Cow, collections::BTreeMap};
use vibes_protocol::model::{Cost, PermissionOption, Usage};

/// The state of one conversation over ACP.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Acp {
    /// Our requests that have no answer yet, by frame number.
    calls: BTreeMap<u64, Call>,
    /// The agent's own id of the conversation; it outlives the process.
    pub conversation: Option<String>,
    /// Options the agent offers: `{id: {value, values: [{id, name}], via}}`.
    pub options: Map<String, Value>,
    /// Whether the agent takes prompts.
    pub ready: bool,
    /// True after `session/load` until our first prompt: what comes now is history, already in the journal.
    replaying: bool,
    /// Options still to be set before the agent counts as ready.
    wanted: Vec<(String, Value)>,
    how: Option<How>,
    cwd: String,
    can_load: bool,
    can_resume: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum How {
    New,
    Load,
    Resume,
}

impl How {
    fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Load => "load",
            Self::Resume => "resume",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Call {
    Initialize,
    Open(How),
    Prompt,
    Option { option_id: String, value: Value },
}

/// Any line, read just far enough to know what it is.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct UpdateParams<'a> {
    #[serde(borrow)]
    update: &'a RawValue,
}

#[derive(Deserialize)]
struct UpdateHead<'a> {
    #[serde(borrow, rename = "sessionUpdate", default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

/// As much of a content block as the preview needs. Borrowed: every chunk of a flood passes here.
#[derive(Deserialize)]
struct TextBlock<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
}

fn request(id: u64, method: &str, params: impl Serialize) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

impl Acp {
    /// Opens the conversation with a fresh process. An earlier conversation is taken up again.
    pub fn start(&mut self, opening: Opening, out: &mut Outgoing) {
        let conversation = self.conversation.take();
        *self = Self {
            conversation,
            cwd: opening.cwd,
            wanted: opening.options.into_iter().collect(),
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
    pub fn answer(&self, rpc_id: &Value, option_id: Option<&str>, out: &mut Outgoing) {
        let outcome = match option_id {
            Some(option_id) => json!({"outcome": "selected", "optionId": option_id}),
            None => json!({"outcome": "cancelled"}),
        };
        out.push(|_| json!({"jsonrpc": "2.0", "id": rpc_id, "result": {"outcome": outcome}}));
    }

    /// Refuses a question outright, when too many wait.
    pub fn refuse(&self, rpc_id: &Value, message: &str, out: &mut Outgoing) {
        out.push(|_| json!({"jsonrpc": "2.0", "id": rpc_id, "error": {"code": -32000, "message": message}}));
    }

    /// Sets an option the agent offers. The error names the ones it does offer.
    pub fn set_option(&mut self, option_id: &str, value: &Value, out: &mut Outgoing) -> Result<u64, String> {
        let Some(conversation) = self.conversation.clone() else {
            return Err("the agent is not ready yet".to_owned());
        };
        let Some(option) = self.options.get(option_id) else {
            let known: Vec<&str> = self.options.keys().map(String::as_str).collect();
            return Err(format!("the agent has no option {option_id:?}; it has: {}", or_none(&known)));
        };
        let values: Vec<&str> = option["values"]
            .as_array()
            .map(|values| values.iter().filter_map(|value| value["id"].as_str()).collect())
            .unwrap_or_default();
        if let Some(text) = value.as_str()
            && !values.is_empty()
            && !values.contains(&text)
        {
            return Err(format!("{option_id} cannot be {text:?}; it can be: {}", values.join(", ")));
        }
        let frame = match (option["via"].as_str(), value.as_str()) {
            (Some("mode"), Some(mode)) => {
                let params = SetSessionModeRequest::new(conversation, mode.to_owned());
                out.push(|id| request(id, "session/set_mode", params))
            }
            (Some("model"), Some(model)) => {
                let params = json!({"sessionId": conversation, "modelId": model});
                out.push(|id| request(id, "session/set_model", params))
            }
            _ => {
                let mut params = json!({"sessionId": conversation, "configId": option_id, "value": value});
                if value.is_boolean() {
                    params["type"] = "boolean".into();
                }
                out.push(|id| request(id, "session/set_config_option", params))
            }
        };
        self.calls.insert(frame, Call::Option { option_id: option_id.to_owned(), value: value.clone() });
        Ok(frame)
    }

    /// The options with their present values.
    pub fn values(&self) -> Map<String, Value> {
        self.options.iter().map(|(id, option)| (id.clone(), option["value"].clone())).collect()
    }

    /// What each option can be set to: `{id: [{id, name}]}`.
    pub fn offers(&self) -> Map<String, Value> {
        self.options.iter().map(|(id, option)| (id.clone(), option["values"].clone())).collect()
    }

    /// Whether a prompt has no answer yet.
    pub fn prompting(&self) -> bool {
        self.calls.values().any(|call| *call == Call::Prompt)
    }

    /// Takes in one line of the agent.
    pub fn decode(&mut self, line: &[u8], events: &mut Vec<AgentEvent>, out: &mut Outgoing) {
        let line = line.trim_ascii();
        if line.is_empty() {
            return;
        }
        let envelope = match serde_json::from_slice::<Envelope<'_>>(line) {
            Ok(envelope) => envelope,
            Err(error) => {
                events.push(AgentEvent::Unparsed { why: format!("not a JSON-RPC message: {error}") });
                return;
            }
        };
        let before = events.len();
        let understood = match (&envelope.method, envelope.id) {
            (Some(method), None) => self.notification(method, envelope.params, events),
            (Some(method), Some(id)) => {
                let id = serde_json::from_str(id.get()).unwrap_or(Value::Null);
                self.request(method, id, envelope.params, events, out)
            }
            (None, Some(id)) => match serde_json::from_str::<u64>(id.get()) {
                Ok(id) if self.calls.contains_key(&id) => {
                    let outcome = match envelope.error {
                        Some(error) => Err(error_text(error)),
                        None => Ok(envelope.result.map_or("null", RawValue::get)),
                    };
                    self.response(id, outcome, events, out);
                    Ok(())
                }
                _ => Err(format!("a response to a request that does not wait: {}", clip(id.get()))),
            },
            (None, None) => Err("neither a request nor a response".to_owned()),
        };
        if let Err(why) = understood {
            events.truncate(before);
            events.push(AgentEvent::Unparsed { why });
        }
    }

    fn notification(
        &mut self,
        method: &str,
        params: Option<&RawValue>,
        events: &mut Vec<AgentEvent>,
    ) -> Result<(), String> {
        match method {
            "session/update" => {
                let params: UpdateParams<'_> = read(params)?;
                let raw = params.update.get();
                let hint = self.hint(raw)?;
                if !self.replaying || matches!(hint, Hint::Cost(_)) {
                    events.push(AgentEvent::Update { raw: raw.to_owned(), hint });
                }
                Ok(())
            }
            "$/cancel_request" => {
                let params: Value = read(params)?;
                events.push(AgentEvent::Withdrawn { rpc_id: params["requestId"].clone() });
                Ok(())
            }
            other => Err(format!("a notification that is not served: {}", clip(other))),
        }
    }

    fn hint(&mut self, raw: &str) -> Result<Hint, String> {
        let head: UpdateHead<'_> =
            serde_json::from_str(raw).map_err(|error| format!("an update: {error}"))?;
        Ok(match &*head.kind {
            "agent_message_chunk" => {
                let block = head
                    .content
                    .and_then(|content| serde_json::from_str::<TextBlock<'_>>(content.get()).ok());
                block.and_then(|block| block.text).map_or(Hint::None, |text| Hint::Text(text.into_owned()))
            }
            "current_mode_update" => {
                let update: Value = read_str(raw)?;
                if let Some(option) = self.options.get_mut("mode") {
                    option["value"] = update["currentModeId"].clone();
                }
                Hint::Options
            }
            "config_option_update" => {
                let update: Value = read_str(raw)?;
                self.take_config_options(&update["configOptions"]);
                Hint::Options
            }
            "usage_update" => {
                let update: Value = read_str(raw)?;
                let cost = &update["cost"];
                match (cost["amount"].as_f64(), cost["currency"].as_str()) {
                    (Some(amount), Some(currency)) => {
                        Hint::Cost(Cost { amount, currency: currency.to_owned() })
                    }
                    _ => Hint::None,
                }
            }
            _ => Hint::None,
        })
    }

    fn request(
        &mut self,
        method: &str,
        id: Value,
        params: Option<&RawValue>,
        events: &mut Vec<AgentEvent>,
        out: &mut Outgoing,
    ) -> Result<(), String> {
        let refuse = |code: i64, message: String, out: &mut Outgoing| {
            out.push(|_| json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}));
        };
        if !(id.is_string() || id.is_i64() || id.is_u64() || id.is_null()) {
            refuse(-32600, "an id is a string, an integer or null".to_owned(), out);
            return Err("a request whose id is not one".to_owned());
        }
        if method != "session/request_permission" {
            refuse(-32601, format!("method not found: {method}"), out);
            events.push(AgentEvent::Refused { method: method.to_owned() });
            return Ok(());
        }
        match question(id.clone(), params) {
            Ok(question) => {
                events.push(AgentEvent::Permission(Box::new(question)));
                Ok(())
            }
            Err(why) => {
                refuse(-32602, why.clone(), out);
                Err(why)
            }
        }
    }

    fn response(
        &mut self,
        id: u64,
        outcome: Result<&str, String>,
        events: &mut Vec<AgentEvent>,
        out: &mut Outgoing,
    ) {
        match (self.calls.remove(&id), outcome) {
            (None, _) => {}
            (Some(Call::Initialize), Ok(result)) => {
                match serde_json::from_str::<InitializeResponse>(result) {
                    Ok(answer) if answer.protocol_version != ProtocolVersion::V1 => {
                        let theirs = answer.protocol_version;
                        events.push(AgentEvent::StartFailed(format!(
                            "the agent speaks version {theirs} of the Agent Client Protocol, vibes speaks 1"
                        )));
                    }
                    Ok(answer) => {
                        self.can_load = answer.agent_capabilities.load_session;
                        self.can_resume = answer.agent_capabilities.session_capabilities.resume.is_some();
                        let how = match self.conversation {
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
            (Some(Call::Open(how)), Ok(result)) => {
                let result: Value = serde_json::from_str(result).unwrap_or(Value::Null);
                if let Some(id) = result["sessionId"].as_str() {
                    self.conversation = Some(id.to_owned());
                }
                if self.conversation.is_none() {
                    events
                        .push(AgentEvent::StartFailed("the agent opened a session without an id".to_owned()));
                    return;
                }
                self.how = Some(how);
                self.take_options(&result);
                self.settle(events, out);
            }
            (Some(Call::Open(how)), Err(error)) => match how {
                // The agent's own memory of the conversation may be gone; a new one is better than none.
                How::Resume if self.can_load => self.open(How::Load, out),
                How::Resume | How::Load => self.open(How::New, out),
                How::New => {
                    events.push(AgentEvent::StartFailed(format!(
                        "the agent could not open a session: {error}"
                    )));
                }
            },
            (Some(Call::Prompt), outcome) => {
                events.push(AgentEvent::TurnEnded(outcome.map(turn_result)));
            }
            (Some(Call::Option { option_id, value }), outcome) => {
                let error = match outcome {
                    Ok(result) => {
                        if let Some(option) = self.options.get_mut(&option_id) {
                            option["value"] = value.clone();
                        }
                        let result: Value = serde_json::from_str(result).unwrap_or(Value::Null);
                        self.take_config_options(&result["configOptions"]);
                        None
                    }
                    Err(error) => Some(error),
                };
                if self.ready {
                    events.push(AgentEvent::OptionAnswered { call: id, option_id, value, error });
                } else if let Some(error) = error {
                    events.push(AgentEvent::StartFailed(format!(
                        "{option_id} could not be set to {value}: {error}"
                    )));
                } else {
                    self.settle(events, out);
                }
            }
        }
    }

    fn open(&mut self, how: How, out: &mut Outgoing) {
        let conversation = self.conversation.clone().unwrap_or_default();
        let cwd = self.cwd.clone();
        // History that the agent tells again is in the journal already, whichever way it comes.
        self.replaying = how != How::New;
        let call = match how {
            How::New => {
                self.conversation = None;
                out.push(|id| request(id, "session/new", NewSessionRequest::new(cwd)))
            }
            How::Load => {
                out.push(|id| request(id, "session/load", LoadSessionRequest::new(conversation, cwd)))
            }
            How::Resume => {
                out.push(|id| request(id, "session/resume", ResumeSessionRequest::new(conversation, cwd)))
            }
        };
        self.calls.insert(call, Call::Open(how));
    }

    /// Sets the next wanted option, or declares the agent ready.
    fn settle(&mut self, events: &mut Vec<AgentEvent>, out: &mut Outgoing) {
        while let Some((option_id, value)) = self.wanted.pop() {
            if self.options.get(&option_id).is_some_and(|option| option["value"] == value) {
                continue;
            }
            match self.set_option(&option_id, &value, out) {
                Ok(_) => return,
                Err(why) => {
                    events.push(AgentEvent::StartFailed(why));
                    return;
                }
            }
        }
        self.ready = true;
        events.push(AgentEvent::Ready { how: self.how.unwrap_or(How::New).as_str() });
    }

    fn take_options(&mut self, result: &Value) {
        let list = |values: &Value, id: &str| -> Value {
            values
                .as_array()
                .map(|values| {
                    values.iter().map(|value| json!({"id": value[id], "name": value["name"]})).collect()
                })
                .unwrap_or_default()
        };
        let modes = &result["modes"];
        if modes["currentModeId"].is_string() {
            let values = list(&modes["availableModes"], "id");
            let option = json!({"value": modes["currentModeId"], "values": values, "via": "mode"});
            self.options.insert("mode".to_owned(), option);
        }
        let models = &result["models"];
        if models["currentModelId"].is_string() {
            let values = list(&models["availableModels"], "modelId");
            let option = json!({"value": models["currentModelId"], "values": values, "via": "model"});
            self.options.insert("model".to_owned(), option);
        }
        self.take_config_options(&result["configOptions"]);
    }

    fn take_config_options(&mut self, options: &Value) {
        for option in options.as_array().into_iter().flatten() {
            let Some(id) = option["id"].as_str() else { continue };
            // Options may be grouped; the groups' entries are what can be chosen.
            let mut values = Vec::new();
            for entry in option["options"].as_array().into_iter().flatten() {
                match entry["options"].as_array() {
                    Some(group) => values.extend(group.iter()),
                    None => values.push(entry),
                }
            }
            let values: Vec<Value> =
                values.iter().map(|value| json!({"id": value["value"], "name": value["name"]})).collect();
            let option = json!({"value": option["currentValue"], "values": values, "via": "config",
                                "name": option["name"]});
            self.options.insert(id.to_owned(), option);
        }
    }
}

fn or_none(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn clip(text: &str) -> &str {
    let end = text.char_indices().nth(80).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

fn read<'a, T: Deserialize<'a>>(params: Option<&'a RawValue>) -> Result<T, String> {
    read_str(params.map_or("null", RawValue::get))
}

fn read_str<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn error_text(error: &RawValue) -> String {
    let error: Value = serde_json::from_str(error.get()).unwrap_or(Value::Null);
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
    format!("{message}{detail} (code {})", error["code"])
}

fn question(rpc_id: Value, params: Option<&RawValue>) -> Result<Question, String> {
    let raw = params.map_or("null", RawValue::get);
    let params: Value = read_str(raw)?;
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
    })
}

fn turn_result(result: &str) -> TurnResult {
    let result: Value = serde_json::from_str(result).unwrap_or(Value::Null);
    let usage = &result["usage"];
    let tokens = |name: &str| usage[name].as_u64().unwrap_or(0);
    TurnResult {
        stop_reason: result["stopReason"].as_str().unwrap_or("end_turn").to_owned(),
        usage: usage.is_object().then(|| Usage {
            input_tokens: tokens("inputTokens"),
            output_tokens: tokens("outputTokens"),
            cache_read_tokens: tokens("cachedReadTokens"),
            cache_write_tokens: tokens("cachedWriteTokens"),
        }),
        exit_code: result["_meta"]["vibes"]["exit_code"].as_i64().map(|code| code as i32),
    }
}

#[cfg(test)]
mod tests;
