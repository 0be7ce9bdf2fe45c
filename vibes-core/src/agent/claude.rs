//! Claude Code's own protocol: `stream-json` in both directions, spoken without an adapter.
//!
//! Invariant: as for [`super::acp`]: ids of our control requests are frame numbers, nothing the agent prints makes this
//! fail, and what the next daemon needs is in the stored state. All that is said becomes ACP updates, once; a kind of
//! line that is not known becomes [`AgentEvent::Unparsed`].

mod asking;
mod ends;
mod glance;
mod said;
mod settings;
pub(crate) mod tools;

use super::{
    AgentEvent, Hint, Opening, Outgoing, options,
    rpc::{self, RpcId},
    touched,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use vibes_protocol::model::fact;

/// What makes the program speak this protocol. The last two words make it ask instead of denying by itself; its help
/// does not name them.
const FLAGS: &[&str] = &[
    "-p",
    "--input-format",
    "stream-json",
    "--output-format",
    "stream-json",
    "--verbose",
    "--include-partial-messages",
    "--permission-prompt-tool",
    "stdio",
];
/// The conversation that was last in the directory, instead of an id.
pub const LAST: &str = "last";
/// How long the agent may take for `initialize`, in milliseconds: it reads a whole conversation first.
const INITIALIZE_MS: i64 = 60_000;
/// How long it may take to set a first option, in milliseconds.
const OPTION_MS: i64 = 30_000;
/// How many messages are remembered as told while they came: one, and one for each subagent that talks beside it.
const STREAMS: usize = 16;
/// The longest text of the agent that becomes part of the state, in bytes.
const MAX_KEPT: usize = 64 * 1024;

/// The state of one conversation with Claude Code.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Claude {
    /// Our control requests that have no answer yet, by frame number.
    calls: BTreeMap<u64, Call>,
    /// The agent's own id of the conversation, or [`LAST`]; it outlives the process.
    conversation: Option<String>,
    /// Whether that was named by a person and not by the agent: then another one would not do.
    named: bool,
    /// Whether it is another session's, and the next process makes a copy of it.
    #[serde(default)]
    copy: bool,
    /// Options the agent offers.
    pub options: Map<String, Value>,
    /// Whether the agent takes prompts.
    pub ready: bool,
    /// Whether the session had an agent before this one: then an option that cannot be set any more is dropped.
    #[serde(default)]
    again: bool,
    /// Options still to be set before the agent counts as ready.
    wanted: Vec<(String, Value)>,
    /// The names of its slash commands, as last told.
    commands: BTreeSet<String>,
    /// What the ids of prompts begin with. They must differ over all processes of the conversation.
    mark: String,
    /// The id of the prompt that has no result yet.
    prompt: Option<String>,
    /// Whether that prompt waits behind a turn of the agent's own.
    queued: bool,
    /// Messages that were told piece by piece: what comes whole afterwards is no news.
    streamed: VecDeque<String>,
    /// Tool calls that were told and have no result: what comes of them now is an update.
    open: BTreeSet<String>,
    /// The plan it last wrote, which its question about it leaves out.
    plan: Option<String>,
    /// Tokens in the context, as of the last call of the model.
    context: u64,
    /// What this process said it has cost, in billionths of a dollar: sums of them are exact, wherever they are stored.
    total: u64,
    /// What the session has cost.
    spent: u64,
    /// The conversation to take up is gone.
    lost: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Call {
    Initialize,
    Interrupt,
    Option { option_id: String, value: Value },
    GivenUp { method: String },
}

fn control(id: u64, request: Value) -> Value {
    json!({"type": "control_request", "request_id": id.to_string(), "request": request})
}

impl Claude {
    /// A conversation that has not begun, or one that began without us.
    pub fn taking_up(conversation: Option<String>, copy: bool) -> Self {
        Self { named: conversation.is_some() && !copy, conversation, copy, ..Self::default() }
    }

    /// The id of the conversation, unless it is the one to be copied.
    pub fn own_conversation(&self) -> Option<&str> {
        self.conversation.as_deref().filter(|id| !self.copy && *id != LAST)
    }

    /// The command line of the next process.
    pub fn argv(&self, argv: &[String]) -> Vec<String> {
        let conversation = match self.conversation.as_deref() {
            Some(LAST) => vec!["--continue"],
            Some(id) if self.copy => vec!["--resume", id, "--fork-session"],
            Some(id) => vec!["--resume", id],
            None => Vec::new(),
        };
        let (program, args) = argv.split_at(argv.len().min(1));
        let ours = FLAGS.iter().copied().map(str::to_owned);
        let conversation = conversation.into_iter().map(str::to_owned);
        program.iter().cloned().chain(ours).chain(args.iter().cloned()).chain(conversation).collect()
    }

    /// Introduces us to a fresh process. It prints nothing before it is asked something.
    pub fn start(&mut self, opening: Opening, out: &mut Outgoing) {
        let before = std::mem::take(self);
        let session = opening.session.get(..18).unwrap_or("00000000-0000-4000");
        *self = Self {
            conversation: before.conversation,
            named: before.named,
            copy: before.copy,
            options: before.options,
            commands: before.commands,
            spent: before.spent,
            wanted: opening.options.into_iter().collect(),
            again: opening.again,
            mark: format!("{session}-{:04x}", 0x8000 | (opening.generation & 0x3fff)),
            ..Self::default()
        };
        let call = out.push(|id| control(id, json!({"subtype": "initialize"})));
        self.calls.insert(call, Call::Initialize);
    }

    /// Gives the agent a prompt; only when it is ready and no prompt runs.
    pub fn prompt(&mut self, blocks: &[Value], out: &mut Outgoing) {
        let (mark, mut uuid) = (&self.mark, String::new());
        out.push(|id| {
            uuid = format!("{mark}-{id:012x}");
            let message = json!({"role": "user", "content": said::content(blocks)});
            json!({"type": "user", "message": message, "parent_tool_use_id": null, "uuid": uuid})
        });
        (self.prompt, self.queued) = (Some(uuid), false);
    }

    /// Asks the agent to end the turn.
    pub fn cancel(&mut self, out: &mut Outgoing) {
        let call = out.push(|id| control(id, json!({"subtype": "interrupt"})));
        self.calls.insert(call, Call::Interrupt);
    }

    /// Content blocks that it takes besides text and links, once it runs: files become words.
    pub fn accepts(&self) -> Option<Vec<String>> {
        self.ready.then(|| ["image", "resource"].map(str::to_owned).to_vec())
    }

    /// What the agent has to answer before it can be used.
    pub fn opening(&self) -> Option<(u64, &'static str, i64)> {
        if self.ready {
            return None;
        }
        self.calls.iter().find_map(|(frame, call)| match call {
            Call::Initialize => Some((*frame, "initialize", INITIALIZE_MS)),
            Call::Option { .. } => Some((*frame, "a first option", OPTION_MS)),
            Call::Interrupt | Call::GivenUp { .. } => None,
        })
    }

    /// Waits no longer for a response; one that comes after all is told as late.
    pub fn give_up(&mut self, frame: u64, method: &str) {
        self.calls.insert(frame, Call::GivenUp { method: method.to_owned() });
    }

    /// From now on the agent takes prompts.
    pub fn opened(&mut self) -> AgentEvent<'static> {
        self.ready = true;
        let how = match self.conversation {
            Some(_) if self.copy => "fork",
            Some(_) => "resume",
            None => "new",
        };
        AgentEvent::Ready { how }
    }

    /// Whether the conversation to be taken up is gone, and another is to be begun.
    pub fn begins_anew(&self) -> bool {
        self.lost
    }

    /// Takes in one line of the agent.
    pub fn decode<'a>(&mut self, line: &'a [u8], events: &mut Vec<AgentEvent<'a>>, out: &mut Outgoing) {
        let line = line.trim_ascii();
        if line.is_empty() {
            return;
        }
        if let Some(event) = Self::glance(line) {
            return events.push(event);
        }
        if let Err(why) = self.understand(line, events, out) {
            events.push(AgentEvent::Unparsed { why, refusal: None });
        }
    }

    fn understand<'a>(
        &mut self,
        line: &[u8],
        events: &mut Vec<AgentEvent<'a>>,
        out: &mut Outgoing,
    ) -> Result<(), String> {
        let text = std::str::from_utf8(line).map_err(|error| error.to_string())?;
        rpc::sound(text)?;
        let line: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match line["type"].as_str().unwrap_or_default() {
            "system" => self.system(&line, events)?,
            "stream_event" => self.streams(&line, events)?,
            "assistant" => self.assistant(&line, events),
            "user" => self.user(&line, events),
            "result" => self.result(&line, events),
            "control_request" => events.push(self.asks(&line)),
            "control_cancel_request" => {
                let rpc_id = RpcId::text(line["request_id"].as_str().unwrap_or_default());
                events.push(AgentEvent::Withdrawn { rpc_id });
            }
            "control_response" => self.response(&line["response"], events, out)?,
            "command_lifecycle" => {
                if self.prompt.as_deref() == line["command_uuid"].as_str() {
                    self.queued = line["state"] == "queued";
                }
            }
            "rate_limit_event" => {
                let info = &line["rate_limit_info"];
                if info["status"] != "allowed" {
                    let why =
                        format!("rate limit {}: {}", word(&info["rateLimitType"]), word(&info["status"]));
                    events.push(AgentEvent::Waits(waits(why)));
                }
            }
            // Signs of life and matters of its own screen.
            "keep_alive" | "tool_progress" | "tool_use_summary" | "prompt_suggestion" | "auth_status" => {}
            other => return Err(format!("a kind of line that is not known: {:?}", clip(other, 80))),
        }
        Ok(())
    }

    fn response<'a>(
        &mut self,
        response: &Value,
        events: &mut Vec<AgentEvent<'a>>,
        out: &mut Outgoing,
    ) -> Result<(), String> {
        let id = response["request_id"].as_str().unwrap_or_default();
        let call = id.parse().ok().and_then(|frame| Some((frame, self.calls.remove(&frame)?)));
        let Some((frame, call)) = call else {
            return Err(format!("a response to a request that does not wait: {}", clip(id, 80)));
        };
        let error = (response["subtype"] == "error")
            .then(|| clip(response["error"].as_str().unwrap_or("no message"), 2_000).to_owned());
        match (call, error) {
            (Call::Initialize, None) => {
                self.introduced(&response["response"], events);
                self.settle(events, out);
            }
            (Call::Initialize, Some(error)) => {
                events.push(AgentEvent::StartFailed(format!("the agent refused to initialize: {error}")));
            }
            (Call::Interrupt, _) => {}
            (Call::Option { option_id, value }, error) => {
                if error.is_none()
                    && let Some(option) = self.options.get_mut(&option_id)
                {
                    option["value"] = value.clone();
                }
                match error {
                    error if self.ready => {
                        events.push(AgentEvent::OptionAnswered { call: frame, option_id, value, error });
                    }
                    Some(why) if self.again => {
                        events.push(AgentEvent::OptionDropped { option_id, value, why });
                        self.settle(events, out);
                    }
                    Some(error) => events.push(AgentEvent::StartFailed(format!(
                        "{option_id} could not be set to {value}: {error}"
                    ))),
                    None => self.settle(events, out),
                }
            }
            (Call::GivenUp { method }, _) => {
                return Err(format!("the answer to {method} came after it was given up"));
            }
        }
        Ok(())
    }

    /// Sets the next wanted option, or declares the agent ready.
    fn settle<'a>(&mut self, events: &mut Vec<AgentEvent<'a>>, out: &mut Outgoing) {
        while let Some((option_id, value)) = self.wanted.pop() {
            if self.options.get(&option_id).is_some_and(|option| option["value"] == value) {
                continue;
            }
            match self.set_option(&option_id, &value, out) {
                Err(why) if self.again => {
                    events.push(AgentEvent::OptionDropped { option_id, value, why });
                    continue;
                }
                Err(why) => events.push(AgentEvent::StartFailed(why)),
                Ok(_) => {}
            }
            return;
        }
        events.push(self.opened());
    }

    /// Sets an option the agent offers. The error names the ones it does offer.
    pub fn set_option(&mut self, option_id: &str, value: &Value, out: &mut Outgoing) -> Result<u64, String> {
        options::check(&self.options, option_id, value)?;
        let request = match option_id {
            settings::MODE => json!({"subtype": "set_permission_mode", "mode": value}),
            _ => json!({"subtype": "set_model", "model": value}),
        };
        let frame = out.push(|id| control(id, request));
        self.calls.insert(frame, Call::Option { option_id: option_id.to_owned(), value: value.clone() });
        Ok(frame)
    }
}

/// An ACP update of ours.
fn update<'a>(kind: &str, fields: Value, parent: Option<&str>) -> AgentEvent<'a> {
    let hint = match (fields["toolCallId"].as_str(), fields["status"].as_str()) {
        (Some(id), Some(status)) => {
            touched::hint(id.to_owned().into(), Some(status), touched::files(&fields))
        }
        _ => Hint::None,
    };
    AgentEvent::Update { raw: written(kind, fields, parent).into(), hint }
}

/// A piece of the answer or of a thought. A subagent's words are not the last words of the session.
fn chunk<'a>(kind: &str, text: &str, parent: Option<&str>) -> AgentEvent<'a> {
    let raw = written(kind, json!({"content": {"type": "text", "text": text}}), parent).into();
    let is_answer = kind == "agent_message_chunk" && parent.is_none();
    AgentEvent::Update { raw, hint: if is_answer { Hint::Text(text.to_owned().into()) } else { Hint::None } }
}

/// An ACP update as JSON. What a subagent does names the call that started it.
fn written(kind: &str, mut fields: Value, parent: Option<&str>) -> String {
    fields["sessionUpdate"] = kind.into();
    if let Some(parent) = parent {
        fields["_meta"]["claudeCode"]["parentToolUseId"] = parent.into();
    }
    fields.to_string()
}

/// It waits, and says no more than why.
fn waits(why: String) -> fact::AgentWaits {
    fact::AgentWaits { why, attempt: None, of: None, retry_ms: None, status: None }
}

/// The first `most` characters.
fn clip(text: &str, most: usize) -> &str {
    let end = text.char_indices().nth(most).map_or(text.len(), |(at, _)| at);
    &text[..end]
}

#[cfg(test)]
mod tests;
