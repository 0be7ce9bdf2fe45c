//! A fact: the unit of journal and stream.
//!
//! Invariant: a fact's JSON is stored once and sent verbatim. Readers keep kinds they do not know
//! ([`Fact::Unknown`]), and no field of one is ever dropped.

use super::{
    ClientId, Cost, How, Outcome, Permission, Seq, SessionId, SessionRule, SessionState, Surface, Worktree,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TurnOutcome {
    /// The agent said so.
    Finished,
    /// A person interrupted it.
    Interrupted,
    /// The agent or its model failed.
    Failed,
    /// The agent was lost in the middle; what it did is not known.
    Unknown,
}

/// Tokens of a turn, as the agent reported them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Usage {
    /// Tokens read by the model.
    #[serde(default)]
    pub input_tokens: u64,
    /// Tokens written by the model.
    #[serde(default)]
    pub output_tokens: u64,
    /// Tokens read from the cache.
    #[serde(default)]
    pub cache_read_tokens: u64,
    /// Tokens written to the cache.
    #[serde(default)]
    pub cache_write_tokens: u64,
}

/// Who did something: a client, and its seat for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Actor {
    /// The client's id.
    pub client_id: ClientId,
    /// The client's identity (`user@host:tty`), when it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// Which budget is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BudgetScope {
    /// The session's own, or the one that every session has.
    Session,
    /// That of a day.
    Day,
    /// That of a directory.
    Directory,
    /// That of a directory for a day.
    DirectoryDay,
}

/// What was done with a worktree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WorktreeAction {
    /// It was made, for the session that begins.
    Made,
    /// Its branch was merged into the one that it came from.
    Merged,
    /// It is gone, and its branch.
    Dropped,
}

/// Where context that goes before a prompt is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ContextSource {
    /// The conversation so far, told again to an agent that does not know it.
    Transcript,
    /// A person.
    Person,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

macro_rules! facts {
    ($($(#[$doc:meta])* $tag:literal $name:ident { $($(#[$fdoc:meta])* $field:ident : $ty:ty),* $(,)? })*) => {
        /// The kinds this crate knows, tagged `kind` in JSON.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(tag = "kind")]
        enum Known {
            $(#[serde(rename = $tag)] $name($name),)*
        }

        /// What happened. See each payload.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Fact {
            $($(#[$doc])* $name($name),)*
            /// A kind this version does not know, kept as it came.
            Unknown(Value),
        }

        $($(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub struct $name { $($(#[$fdoc])* pub $field: $ty,)* }

        impl From<$name> for Fact {
            fn from(fact: $name) -> Self { Fact::$name(fact) }
        })*

        // Kinds that this version does not know are no part of what it describes.
        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for Fact {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                "Fact".into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                Known::json_schema(generator)
            }
        }

        /// The kinds that this version knows.
        pub const KINDS: &[&str] = &[$($tag),*];

        impl Serialize for Fact {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                // The payload beside its tag, without cloning it into `Known`.
                #[derive(Serialize)]
                struct Tagged<'a, T: Serialize> { kind: &'a str, #[serde(flatten)] body: &'a T }
                match self {
                    $(Fact::$name(body) => Tagged { kind: $tag, body }.serialize(serializer),)*
                    Fact::Unknown(value) => value.serialize(serializer),
                }
            }
        }

        impl<'de> Deserialize<'de> for Fact {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let value = Value::deserialize(deserializer)?;
                let known = value.get("kind").and_then(Value::as_str).is_some_and(|kind| KINDS.contains(&kind));
                if !known {
                    return Ok(Fact::Unknown(value));
                }
                match serde_json::from_value::<Known>(value).map_err(serde::de::Error::custom)? {
                    $(Known::$name(body) => Ok(Fact::$name(body)),)*
                }
            }
        }
    };
}

facts! {
    /// The session was created.
    "created" Created {
        /// The agent's name.
        agent: String,
        /// The working directory.
        cwd: String,
        /// Its name, if it got one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The session that it goes on from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent_id: Option<SessionId>,
        /// The last record of that one that it knows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        forked_at: Option<Seq>,
    }
    /// Something was done with the session's worktree.
    "worktree" WorktreeFact {
        /// What: `made`, `merged`, `dropped`.
        action: WorktreeAction,
        /// Which.
        worktree: Worktree,
        /// The commit that a merge made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        commit: Option<String>,
        /// The ref that holds what was there before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        saved: Option<String>,
        /// Who did it, where somebody did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Actor>,
    }
    /// A prompt was accepted.
    "input" Input {
        /// ACP content blocks.
        content: Vec<Value>,
        /// Who sent it.
        by: Actor,
        /// Whether it had to wait behind a running turn.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        queued: bool,
    }
    /// Something an agent said: an ACP `SessionUpdate`, verbatim.
    "update" Update {
        /// The ACP update.
        update: Value,
    }
    /// A prompt was given to the agent.
    "turn_started" TurnStarted {
        /// The number of the turn in its session, from 1.
        turn: u64,
        /// The record of its prompt.
        input_seq: Seq,
    }
    /// A turn ended.
    "turn_ended" TurnEnded {
        /// The number of the turn.
        turn: u64,
        /// How it ended.
        outcome: TurnOutcome,
        /// The agent's own word (`end_turn`, `cancelled`, …), or ours when it said none.
        stop_reason: String,
        /// Tokens, when the agent said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        usage: Option<Usage>,
        /// What the turn cost, when the agent said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cost: Option<Cost>,
        /// Tokens and cost by model, when the agent said: as `usage`, with a `cost`.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        models: Map<String, Value>,
        /// The failure, for a person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
        /// The exit code of the command, for agents that run one per turn.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
    }
    /// Something was put before a turn's prompt, for the agent alone.
    "context_added" ContextAdded {
        /// The number of the turn.
        turn: u64,
        /// Where it is from.
        source: ContextSource,
        /// What the agent was told, whole.
        text: String,
        /// Of a transcript: how many turns it tells, up to the present one.
        #[serde(default, skip_serializing_if = "is_zero")]
        turns: u64,
        /// How many turns before these it leaves out.
        #[serde(default, skip_serializing_if = "is_zero")]
        left_out: u64,
        /// Why there is none, when it could not be made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    }
    /// A prompt that was accepted did not reach the agent; it stays in the queue.
    "not_delivered" NotDelivered {
        /// The record of the prompt.
        input_seq: Seq,
    }
    /// A queued prompt was dropped: somebody removed it, or the session ended.
    "input_dropped" InputDropped {
        /// The record of the prompt.
        input_seq: Seq,
        /// Who removed it, if somebody did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Actor>,
        /// Why, when it could not be given to the agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    }
    /// The words of a queued prompt were changed.
    "input_edited" InputEdited {
        /// The record of the prompt.
        input_seq: Seq,
        /// What is said instead: ACP content blocks.
        content: Vec<Value>,
        /// Who changed them.
        by: Actor,
    }
    /// A queued prompt was moved.
    "input_moved" InputMoved {
        /// The record of the prompt.
        input_seq: Seq,
        /// Its new place in the queue: 1 is the next to run.
        place: u32,
        /// Who moved it.
        by: Actor,
    }
    /// The agent asks.
    "permission_requested" PermissionRequested {
        /// What it asks.
        permission: Permission,
    }
    /// A request ended.
    "permission_resolved" PermissionResolved {
        /// Which one.
        permission_id: String,
        /// How.
        outcome: Outcome,
        /// Who answered, unless nobody did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Actor>,
        /// The option that went to the agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        option_id: Option<String>,
        /// The standing rule that answered, if one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
        /// What the person added.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// How the answer came about, when there is one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        how: Option<How>,
        /// The SHA-256 of the file that the standing rule stands in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rules: Option<String>,
        /// Where a person answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        surface: Option<Surface>,
        /// How long the request had waited, in milliseconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        waited_ms: Option<u64>,
        /// The hash of the request, which the answer is bound to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hash: Option<String>,
        /// What the tool is called with instead of what was asked.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        updated_input: Option<Value>,
        /// What was answered to the agent's questions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answers: Option<Value>,
    }
    /// A rule of the session was made: its like is allowed from now on.
    "rule_added" RuleAdded {
        /// The rule.
        rule: SessionRule,
    }
    /// A rule of the session was taken away.
    "rule_removed" RuleRemoved {
        /// Its name.
        name: String,
        /// By whom.
        by: Actor,
    }
    /// The session's state changed.
    "state_changed" StateChanged {
        /// Before.
        from: SessionState,
        /// After.
        to: SessionState,
        /// Why, for a person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// Who asked for it, if somebody did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Actor>,
    }
    /// Ownership passed on.
    "ownership_changed" OwnershipChanged {
        /// The new owner; null when the session is vacant.
        owner_id: Option<ClientId>,
        /// The new owner's seat.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner_label: Option<String>,
        /// `joined`, `left`, `transferred`, `taken`.
        cause: String,
    }
    /// An agent process was started.
    "agent_started" AgentStarted {
        /// The number of this start in its session.
        generation: u64,
    }
    /// The agent waits for its first prompt.
    "agent_ready" AgentReady {
        /// The number of this start in its session.
        generation: u64,
        /// How the conversation was opened: `new`, `resume` or `load`.
        how: String,
        /// True when there was a conversation before and the agent could not take it up again.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        context_lost: bool,
    }
    /// The end of what the agent wrote to its standard error, kept because it failed.
    "agent_stderr" AgentStderr {
        /// The text.
        text: String,
    }
    /// The agent has not answered in the time it has for that.
    "agent_silent" AgentSilent {
        /// The method: `initialize`, `session/new`, …, or `session/cancel` for a turn that does not end.
        request: String,
        /// How long was waited, in seconds.
        after_s: u64,
    }
    /// The agent waits for its model, and goes on by itself.
    "agent_waits" AgentWaits {
        /// Why, for a person.
        why: String,
        /// Which try this is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<u64>,
        /// How many it makes at most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<u64>,
        /// When it tries again, in milliseconds from now, as it says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_ms: Option<u64>,
        /// The HTTP status it got.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<u64>,
    }
    /// The agent process ended.
    "agent_exited" AgentExited {
        /// Which start.
        generation: u64,
        /// Exit code, unless a signal ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<i32>,
        /// Signal, if one ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
    }
    /// A line of the agent that could not be understood, kept.
    "unparsed" Unparsed {
        /// The line (its first 64 KiB), with broken UTF-8 replaced.
        text: String,
        /// Its length in bytes.
        bytes: u64,
        /// What was wrong with it.
        why: String,
        /// SHA-256 of the whole line, when it is not all here.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
        /// The bytes that `text` shows in hexadecimal, when they are not UTF-8.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hex: Option<String>,
    }
    /// The agent sent a request that vibes does not serve; it was refused with −32601.
    "agent_request_refused" AgentRequestRefused {
        /// The JSON-RPC method.
        method: String,
    }
    /// The name changed.
    "renamed" Renamed {
        /// The new name.
        name: Option<String>,
    }
    /// Editable metadata changed.
    "metadata_changed" MetadataChanged {
        /// The new version.
        version: u64,
        /// What changed, with the new values.
        changes: Map<String, Value>,
    }
    /// A budget is spent: the session pauses.
    "budget_spent" BudgetSpent {
        /// Which.
        scope: BudgetScope,
        /// How much it is.
        budget: f64,
        /// How much was spent of it.
        spent: Cost,
        /// Of which directory.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        directory: Option<String>,
    }
    /// An option of the agent was set.
    "option_set" OptionSet {
        /// Which.
        option_id: String,
        /// To what.
        value: Value,
    }
    /// An option that the session had could not be set in the agent that goes on with it: it no longer offers it.
    "option_dropped" OptionDropped {
        /// Which.
        option_id: String,
        /// What it was set to.
        value: Value,
        /// Why not, and what there is instead.
        why: String,
    }
    /// A request was refused because it came from inside a session's own agent.
    "refused" Refused {
        /// The message's type.
        request: String,
        /// The peer's process id.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pid: Option<i32>,
    }
    /// This record is lost, with its neighbours: the store was damaged. Each of them is told by one of these.
    "records_lost" RecordsLost {
        /// The first that is lost.
        first: Seq,
        /// The last.
        last: Seq,
    }
    /// Part of what the agent wrote is lost.
    "tail_lost" TailLost {
        /// Where it would have begun, in the agent's output.
        offset: u64,
        /// Why.
        why: String,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn unknown_kinds_and_their_fields_are_kept() {
        let value = json!({"kind": "from_the_future", "a": [1, {"b": null}]});
        let fact: Fact = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(fact, Fact::Unknown(value.clone()));
        assert_eq!(serde_json::to_value(&fact).unwrap(), value);
    }

    #[test]
    fn a_known_kind_round_trips_with_its_tag_first() {
        let fact = Fact::from(TurnStarted { turn: 2, input_seq: 7 });
        let text = serde_json::to_string(&fact).unwrap();
        assert_eq!(text, r#"{"kind":"turn_started","turn":2,"input_seq":7}"#);
        assert_eq!(serde_json::from_str::<Fact>(&text).unwrap(), fact);
    }
}
