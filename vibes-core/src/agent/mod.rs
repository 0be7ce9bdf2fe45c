//! Agents: what they say, translated once, and the link that carries it.
//!
//! Invariant: a codec is pure (bytes in, events and frames out; no clock, no files) and never fails: what it cannot
//! read is an event too. Its state is part of the session's and survives the daemon.

pub mod acp;
pub mod claude;
mod dialect;
pub mod launch;
pub mod link;
mod options;
pub mod place;
pub mod rpc;
pub mod spool;
mod touched;

pub use dialect::{Codec, Dialect};
pub use touched::files as files_touched;

use rpc::{Refusal, RpcId};
use serde::Serialize;
use serde_json::{Map, Value};
use std::{borrow::Cow, collections::BTreeMap};
use vibes_protocol::model::{Cost, ModelUse, Permission, PermissionOption, Usage, fact};

/// Numbered frames for the agent. A JSON-RPC id of ours is the number of the frame that carries it, so a response
/// that arrives while no daemon lives still finds its request.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// The number of the next frame.
    pub next: u64,
    /// The frames: number and bytes, newline included.
    pub frames: Vec<(u64, Vec<u8>)>,
}

impl Outgoing {
    /// Numbers that go on after `last`.
    pub fn after(last: u64) -> Self {
        Self { next: last + 1, frames: Vec::new() }
    }

    /// Adds a frame; `build` gets its number.
    pub fn push<T: Serialize>(&mut self, build: impl FnOnce(u64) -> T) -> u64 {
        let number = self.next;
        // Messages are of strings, numbers and JSON: encoding them cannot fail.
        let mut bytes = serde_json::to_vec(&build(number)).unwrap_or_default();
        bytes.push(b'\n');
        self.frames.push((number, bytes));
        self.next += 1;
        number
    }
}

/// What an agent said.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentEvent<'a> {
    /// It waits for its first prompt.
    Ready {
        /// `new`, `resume` or `load`.
        how: &'static str,
    },
    /// It cannot be used.
    StartFailed(String),
    /// An ACP update, verbatim where the agent speaks that, with what the session itself should know of it.
    Update {
        /// The JSON of the update.
        raw: Cow<'a, str>,
        /// What is in it for us.
        hint: Hint<'a>,
    },
    /// It asks for permission.
    Permission(Box<Question>),
    /// It takes a question back.
    Withdrawn {
        /// The id of its request.
        rpc_id: RpcId,
    },
    /// The turn is over.
    TurnEnded(Box<TurnResult>),
    /// It did something of its own accord, which took this: nobody asked for it in a turn.
    Aside(Box<TurnResult>),
    /// It waits for its model, and says so.
    Waits(fact::AgentWaits),
    /// An option was set, or not.
    OptionAnswered {
        /// The frame that asked.
        call: u64,
        /// Which.
        option_id: String,
        /// To what.
        value: Value,
        /// The agent's refusal.
        error: Option<String>,
    },
    /// An option that the session had cannot be set in the agent that goes on with it.
    OptionDropped {
        /// Which.
        option_id: String,
        /// What it was set to.
        value: Value,
        /// Why not.
        why: String,
    },
    /// It asked for something vibes does not serve.
    Refused {
        /// The method.
        method: String,
        /// What it is to hear.
        refusal: Refusal,
    },
    /// A line that could not be understood.
    Unparsed {
        /// Why not.
        why: String,
        /// What the agent is to hear, when it waits for an answer.
        refusal: Option<Refusal>,
    },
}

/// What an update tells the session itself.
#[derive(Debug, Clone, PartialEq)]
pub enum Hint<'a> {
    /// Nothing.
    None,
    /// Words of the answer.
    Text(Cow<'a, str>),
    /// The options changed.
    Options,
    /// A tool call began, went on, or is over.
    ToolCall {
        /// Which.
        id: Cow<'a, str>,
        /// Whether the agent says that it is over.
        over: bool,
        /// Whether it has failed.
        failed: bool,
        /// Files that it changes, makes, moves or deletes.
        files: Vec<String>,
    },
    /// What the conversation has cost, by the agent's own count.
    Total(Cost),
    /// What was spent since it said so last.
    Spent(Cost),
}

/// A question from the agent, before it has an id of ours.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The id of its request.
    pub rpc_id: RpcId,
    /// The raw request, which the hash covers.
    pub raw: String,
    /// The kind or name of the tool.
    pub tool: String,
    /// The tool's input.
    pub raw_input: Value,
    /// The first diff in its content.
    pub diff: Option<Value>,
    /// The answers it offers.
    pub options: Vec<PermissionOption>,
    /// Its own words.
    pub title: Option<String>,
    /// The tool call.
    pub tool_call_id: Option<String>,
    /// What the codec has to know when it is answered.
    pub memo: Value,
}

/// A person's answer to a question.
#[derive(Debug, Clone, Copy)]
pub struct Verdict<'a> {
    /// The question.
    pub permission: &'a Permission,
    /// What the codec noted with it.
    pub memo: &'a Value,
    /// The option that was chosen.
    pub option: &'a PermissionOption,
    /// Words for the agent.
    pub message: Option<&'a str>,
    /// What the tool is to be called with instead.
    pub updated_input: Option<&'a Value>,
    /// Answers to what the agent wants to know, by question.
    pub answers: Option<&'a Value>,
}

/// How a turn ended, in the agent's words.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TurnResult {
    /// `end_turn`, `cancelled`, …
    pub stop_reason: String,
    /// The failure, if it was one.
    pub error: Option<String>,
    /// Tokens.
    pub usage: Option<Usage>,
    /// Tokens by model, and cost where the agent tells it so.
    pub models: BTreeMap<String, ModelUse>,
    /// The exit code of the turn's command, for agents that run one.
    pub exit_code: Option<i32>,
}

impl TurnResult {
    /// One that failed.
    pub fn failed(error: String) -> Self {
        Self { stop_reason: "error".to_owned(), error: Some(error), ..Self::default() }
    }
}

/// What a codec needs to open a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Opening {
    /// The session's id, in its long form.
    pub session: String,
    /// The number of this start in the session.
    pub generation: u64,
    /// The working directory.
    pub cwd: String,
    /// Options to set before the first prompt.
    pub options: Map<String, Value>,
    /// Whether an agent ran in this session before: what was an option then need not be one now.
    pub again: bool,
    /// Our version, for the agent's log.
    pub version: String,
}
