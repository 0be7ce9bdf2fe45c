//! Which language an agent speaks: the one place that knows there are several.
//!
//! Invariant: the dialect is chosen when the session is made and stored with the conversation, so a later daemon reads
//! what an earlier one has begun. All dialects tell the same events and ACP updates; nobody behind this asks which it is.

use super::{
    AgentEvent, Opening, Outgoing, Verdict,
    acp::Acp,
    claude::Claude,
    options,
    rpc::{Refusal, RpcId},
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// A dialect's name, as the configuration has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// The Agent Client Protocol.
    #[default]
    Acp,
    /// Claude Code's own `stream-json`.
    Claude,
}

/// The state of a conversation, in its dialect.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "dialect", rename_all = "snake_case")]
pub enum Codec {
    /// The Agent Client Protocol.
    Acp(Box<Acp>),
    /// Claude Code's own.
    Claude(Box<Claude>),
}

impl<'de> Deserialize<'de> for Codec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        // What was stored before there were two had no name.
        match value["dialect"].as_str() {
            None | Some("acp") => serde_json::from_value(value).map(Self::Acp),
            Some("claude") => serde_json::from_value(value).map(Self::Claude),
            Some(other) => Err(serde::de::Error::custom(format!("the dialect {other:?} is not known"))),
        }
        .map_err(serde::de::Error::custom)
    }
}

/// The same call, whichever it is.
macro_rules! each {
    ($codec:expr, $inner:ident => $call:expr) => {
        match $codec {
            Codec::Acp($inner) => $call,
            Codec::Claude($inner) => $call,
        }
    };
}

impl Codec {
    /// A conversation that has not begun, or that is to be taken up again, itself or a copy of it: by its id, or the last
    /// one of the directory.
    pub fn new(dialect: Dialect, conversation: Option<String>, copy: bool) -> Self {
        match dialect {
            Dialect::Acp => Self::Acp(Box::new(Acp::taking_up(conversation, copy))),
            Dialect::Claude => Self::Claude(Box::new(Claude::taking_up(conversation, copy))),
        }
    }

    /// Which dialect it is.
    pub fn dialect(&self) -> Dialect {
        match self {
            Self::Acp(_) => Dialect::Acp,
            Self::Claude(_) => Dialect::Claude,
        }
    }

    /// The agent's own id of the conversation, once it has one of its own.
    pub fn conversation(&self) -> Option<&str> {
        each!(self, codec => codec.own_conversation())
    }

    /// The command line of the next process.
    pub fn argv(&self, argv: &[String]) -> Vec<String> {
        match self {
            Self::Acp(_) => argv.to_vec(),
            Self::Claude(claude) => claude.argv(argv),
        }
    }

    /// Opens the conversation with a fresh process. An earlier conversation is taken up again.
    pub fn start(&mut self, opening: Opening, out: &mut Outgoing) {
        each!(self, codec => codec.start(opening, out));
    }

    /// Gives the agent a prompt; only when it is ready and no prompt runs.
    pub fn prompt(&mut self, blocks: &[Value], out: &mut Outgoing) {
        each!(self, codec => codec.prompt(blocks, out));
    }

    /// Asks the agent to end the turn.
    pub fn cancel(&mut self, out: &mut Outgoing) {
        each!(self, codec => codec.cancel(out));
    }

    /// Whether an answer can be put into the dialect; if not, why.
    pub fn may_answer(&self, verdict: &Verdict<'_>) -> Result<(), String> {
        match self {
            Self::Acp(_) if verdict.updated_input.is_some() || verdict.answers.is_some() => {
                Err("updated_input, answers: this agent's dialect takes neither; choose one of its options"
                    .to_owned())
            }
            Self::Acp(_) => Ok(()),
            Self::Claude(_) => Claude::may_answer(verdict),
        }
    }

    /// Answers the agent's question, or tells it that nobody will.
    pub fn answer(&self, rpc_id: &RpcId, verdict: Option<&Verdict<'_>>, out: &mut Outgoing) {
        match self {
            Self::Acp(acp) => {
                acp.answer(rpc_id, verdict.map(|verdict| verdict.option.option_id.as_str()), out);
            }
            Self::Claude(_) => Claude::answer(rpc_id, verdict, out),
        }
    }

    /// Refuses a request of the agent.
    pub fn refuse(&self, refusal: &Refusal, out: &mut Outgoing) {
        match self {
            Self::Acp(acp) => acp.refuse(refusal, out),
            Self::Claude(_) => Claude::refuse(refusal, out),
        }
    }

    /// What the agent has to answer before it can be used: the frame, the method, and how long that may take in
    /// milliseconds.
    pub fn opening(&self) -> Option<(u64, &'static str, i64)> {
        each!(self, codec => codec.opening())
    }

    /// Waits no longer for a response; one that comes after all is told as late.
    pub fn give_up(&mut self, frame: u64, method: &str) {
        each!(self, codec => codec.give_up(frame, method));
    }

    /// From now on the agent takes prompts: its silence said so.
    pub fn opened(&mut self) -> AgentEvent<'static> {
        each!(self, codec => codec.opened())
    }

    /// Whether the agent takes prompts.
    pub fn is_ready(&self) -> bool {
        each!(self, codec => codec.ready)
    }

    /// Whether the conversation to be taken up is gone, so that the process that ends now is to be followed by one that
    /// begins another.
    pub fn begins_anew(&self) -> bool {
        match self {
            Self::Acp(_) => false,
            Self::Claude(claude) => claude.begins_anew(),
        }
    }

    /// Most lines say something and change nothing: such a line at a glance. `None` is anything else, for
    /// [`Codec::decode`].
    pub fn glance<'a>(&self, line: &'a [u8]) -> Option<AgentEvent<'a>> {
        match self {
            Self::Acp(acp) => acp.glance(line),
            Self::Claude(_) => Claude::glance(line),
        }
    }

    /// Takes in one line of the agent.
    pub fn decode<'a>(&mut self, line: &'a [u8], events: &mut Vec<AgentEvent<'a>>, out: &mut Outgoing) {
        each!(self, codec => codec.decode(line, events, out));
    }

    /// Sets an option the agent offers. The error names the ones it does offer.
    pub fn set_option(&mut self, option_id: &str, value: &Value, out: &mut Outgoing) -> Result<u64, String> {
        each!(self, codec => codec.set_option(option_id, value, out))
    }

    /// Content blocks that the agent takes besides text and links, once it has said so.
    pub fn accepts(&self) -> Option<Vec<String>> {
        match self {
            Self::Acp(acp) => acp.accepts.clone(),
            Self::Claude(claude) => claude.accepts(),
        }
    }

    fn options(&self) -> &Map<String, Value> {
        each!(self, codec => &codec.options)
    }

    /// The options with their present values.
    pub fn values(&self) -> Map<String, Value> {
        options::values(self.options())
    }

    /// What each option can be set to: `{id: [{id, name}]}`.
    pub fn offers(&self) -> Map<String, Value> {
        options::offers(self.options())
    }
}
