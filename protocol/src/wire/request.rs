//! What a client may ask.
//!
//! Invariant: the table below is the only list of requests; the enum, the wire names and the reader come from it.
//! `session_id` may be a full id, a unique name or a unique prefix everywhere.

use crate::model::{ClientId, CostsBy, Detached, OrphanPolicy, Role, Seq, SessionState};

pub use super::access::{CreateToken, ListAudit, ListTokens, RevokeToken, Web, WebAction};
pub use super::archive::{ExportSession, ImportSession};
pub use super::life::{AddTrigger, GetDigest, GetDiskUsage, ListTriggers, MarkRead, RemoveTrigger};
pub use super::memory::{AddMemory, EditMemory, GetMemory, MemoryCommand, RemoveMemories, SearchMemories};
pub use super::parts::{After, ClientKind, ClientProgram, Content, ForSession, ImportStep, WorktreeWish};
pub use super::search::{RebuildSearch, Search, SearchOrder};
pub use super::template::{GetTemplate, ListTemplates, RemoveTemplate, SaveTemplate};
pub use crate::model::Decision;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The bodies of requests: what one may have.
macro_rules! requests_elsewhere {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fmeta:meta])* $field:ident : $ty:ty),* $(,)? })*) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub struct $name { $($(#[$fmeta])* pub $field: $ty,)* }

        impl From<$name> for crate::wire::Request {
            fn from(body: $name) -> Self { Self::$name(body) }
        })*
    };
}

pub(crate) use requests_elsewhere;

macro_rules! requests {
    (
        $($(#[$doc:meta])* $tag:literal $name:ident { $($fields:tt)* })*
        elsewhere { $($(#[$other_doc:meta])* $other_tag:literal $other:ident,)* }
    ) => {
        /// A request. The wire tag `type` is the snake_case of the variant.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(tag = "type")]
        pub enum Request {
            $($(#[$doc])* #[serde(rename = $tag)] $name($name),)*
            $($(#[$other_doc])* #[serde(rename = $other_tag)] $other($other),)*
        }

        requests_elsewhere! { $($(#[$doc])* $name { $($fields)* })* }

        impl Request {
            /// The wire names of all requests.
            pub const TYPES: &[&str] = &[$($tag,)* $($other_tag,)*];

            /// The wire name of this request.
            pub fn type_name(&self) -> &'static str {
                match self { $(Self::$name(_) => $tag,)* $(Self::$other(_) => $other_tag,)* }
            }

            /// Reads the body of a request of the given type: `None` when the type is unknown, an error that names
            /// the offending field when the shape is wrong.
            pub fn read(kind: &str, line: &[u8]) -> Option<Result<Self, String>> {
                match kind {
                    $($tag => Some(body(line).map(Self::$name)),)*
                    $($other_tag => Some(body(line).map(Self::$other)),)*
                    _ => None,
                }
            }
        }
    };
}

/// Reads a body; the error names the field.
fn body<T: serde::de::DeserializeOwned>(line: &[u8]) -> Result<T, String> {
    let mut json = serde_json::Deserializer::from_slice(line);
    serde_path_to_error::deserialize(&mut json).map_err(|error| match error.path().to_string().as_str() {
        "." => error.inner().to_string(),
        path => format!("{path}: {}", error.inner()),
    })
}

requests! {
    /// Introduces the client. Optional.
    "hello" Hello {
        /// The protocol the client speaks.
        protocol: u32,
        /// The program.
        client: ClientProgram,
        /// The person's seat, for people: `user@host:tty`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        identity: Option<String>,
        /// To be the same client again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_id: Option<ClientId>,
        /// Proves it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        resume_token: Option<String>,
        /// Delays the leave after a lost connection, in milliseconds; at most 60,000.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grace_ms: Option<u64>,
        /// Asks for pings at this interval, in milliseconds; silence of three intervals is a leave.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        heartbeat_ms: Option<u64>,
    }
    /// Lists sessions, the most recently active first.
    "list_sessions" ListSessions {
        /// Only these states.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        states: Option<Vec<SessionState>>,
        /// Only this agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<String>,
        /// Ended ones too.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        include_ended: bool,
        /// Only those whose id, name, directory, description or preview has this text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        search: Option<String>,
        /// At most this many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
        /// Goes on after an earlier page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cursor: Option<String>,
    }
    /// Creates a session and starts its agent.
    "create_session" CreateSession {
        /// The agent's name; the template's otherwise.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        agent: String,
        /// The working directory, absolute; the template's otherwise.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        cwd: String,
        /// What is not said here is as this template says.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        template: Option<String>,
        /// What stands in the places of the template's prompt, by their names.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        values: BTreeMap<String, String>,
        /// Its name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The first prompt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prompt: Option<Content>,
        /// A conversation that the agent began without vibes, to be taken up: its id there, or `last`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conversation: Option<Box<str>>,
        /// Free text.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<String>,
        /// Free data.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        metadata: Map<String, Value>,
        /// More arguments for the agent's program.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        args: Vec<String>,
        /// Options of the agent, such as `mode` and `model`.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        options: Map<String, Value>,
        /// Short for the option `mode`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mode: Option<String>,
        /// What happens when the last subscriber leaves.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        orphan_policy: Option<OrphanPolicy>,
        /// Time to live without activity, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ttl_s: Option<u64>,
        /// What it may cost; 0 is without end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        budget: Option<f64>,
        /// Environment of the client; values are never stored.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        env: BTreeMap<String, String>,
        /// The client's umask, for the agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        umask: Option<u32>,
        /// A branch and a worktree of its own, of this name; empty when it is to be chosen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        worktree: Option<String>,
        /// How long its agent's questions wait before they are denied, in seconds; 0 is for ever.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        approval_deadline_s: Option<u64>,
        /// What becomes of them when nobody is there who could answer.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        detached: Option<Detached>,
        /// Finish the session after its first turn.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        once: bool,
        /// Delete the session when it ends.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ephemeral: bool,
        /// Join it from the start.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        subscribe: bool,
        /// Answer only when the agent is ready for its first prompt, or could not be started.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        wait_ready: bool,
        /// Pauses the session that is active, where only one may be.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        pause_others: bool,
        /// Makes a retry the same session.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        idempotency_key: Option<String>,
    }
    /// Compares a session's worktree with what it began at, merges its branch, or drops both.
    "worktree" WorktreeRequest {
        /// Of which session.
        session_id: String,
        /// What is to be done.
        action: WorktreeWish,
        /// Drops what is not committed or not merged, too; a ref keeps it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        force: bool,
    }
    /// Makes a session that goes on from where another one is, or was.
    "fork_session" ForkSession {
        /// From which session.
        session_id: String,
        /// The last of its records that the new one knows; all of them otherwise.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Seq>,
        /// Another agent, which is told what was said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        agent: Option<String>,
        /// Where it works, when not where the other one did; one that was imported has no such place.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cwd: Option<String>,
        /// Its name.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// Its first prompt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prompt: Option<Content>,
        /// A branch and a worktree of its own, of this name; empty when it is to be chosen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        worktree: Option<String>,
        /// Environment of the client; values are never stored.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        env: BTreeMap<String, String>,
        /// The client's umask, for the agent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        umask: Option<u32>,
        /// Join it from the start.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        subscribe: bool,
        /// Answer only when the agent is ready for its first prompt, or could not be started.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        wait_ready: bool,
        /// Pauses the session that is active, where only one may be.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        pause_others: bool,
        /// Makes a retry the same session.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        idempotency_key: Option<String>,
    }
    /// Joins sessions and receives their records.
    "subscribe" Subscribe {
        /// Which.
        session_ids: Vec<String>,
        /// The last record seen.
        #[serde(default)]
        after: After,
        /// The epoch of that record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        epoch: Option<u64>,
        /// As what.
        #[serde(default)]
        role: Role,
        /// Whether a person reads what comes: then it is not new to them any more.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        reads: bool,
    }
    /// Leaves sessions.
    "unsubscribe" Unsubscribe {
        /// Which.
        session_ids: Vec<String>,
    }
    /// Keeps a file of this machine for a prompt that is to name it by its hash.
    "attach" Attach {
        /// The file, absolute.
        path: String,
    }
    /// Reads what is attached to a prompt of a session.
    "get_blob" GetBlob {
        /// Of which session.
        session_id: String,
        /// The hash, as the block's `blob` has it.
        sha256: String,
    }
    /// Gives the agent a prompt.
    "input" Input {
        /// To which session.
        session_id: String,
        /// The prompt.
        content: Content,
        /// Makes a retry the same input.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        idempotency_key: Option<String>,
        /// Interrupts a running turn first.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        now: bool,
    }
    /// Changes the words of a prompt that waits.
    "edit_input" EditInput {
        /// In which session.
        session_id: String,
        /// The record of the prompt.
        input_seq: Seq,
        /// The new words.
        content: Content,
    }
    /// Moves a prompt that waits to another place in the queue.
    "move_input" MoveInput {
        /// In which session.
        session_id: String,
        /// The record of the prompt.
        input_seq: Seq,
        /// Its new place: 1 is the next to run; a place behind the last is the last.
        place: u32,
    }
    /// Removes a prompt that waits.
    "remove_input" RemoveInput {
        /// In which session.
        session_id: String,
        /// The record of the prompt.
        input_seq: Seq,
    }
    /// Answers an agent's request.
    "permission_response" PermissionResponse {
        /// In which session.
        session_id: String,
        /// Which request.
        permission_id: String,
        /// The hash that was shown with it.
        hash: String,
        /// One of the agent's options, or:
        #[serde(default, skip_serializing_if = "Option::is_none")]
        option_id: Option<String>,
        /// a decision by kind.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        decision: Option<Decision>,
        /// Words for the agent, where it takes them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// Another input for the tool, where the agent takes it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        updated_input: Option<Value>,
        /// Answers to the agent's questions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answers: Option<Value>,
        /// Allow this once, and its like for the rest of the session: by a rule of vibes, whatever the agent's own
        /// options mean.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        for_session: Option<ForSession>,
    }
    /// Cancels the running turn and keeps the session.
    "interrupt" Interrupt {
        /// Which session.
        session_id: String,
        /// Which turn is meant: when it has ended already there is nothing to do, so repeating the request is safe. The
        /// running one when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        turn: Option<u64>,
    }
    /// Ends a session and verifies that its processes are gone.
    "kill_session" KillSession {
        /// Which session.
        session_id: String,
    }
    /// Stops the agent and keeps everything.
    "suspend_session" SuspendSession {
        /// Which session.
        session_id: String,
        /// Interrupts a running turn instead of refusing.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        now: bool,
    }
    /// Starts the agent of a session again.
    "resume_session" ResumeSession {
        /// Which session.
        session_id: String,
        /// Told to the agent with the next prompt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        additional_context: Option<String>,
        /// What it may cost from now on, all in all; 0 is without end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        budget: Option<f64>,
        /// Pauses the session that is active, where only one may be.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        pause_others: bool,
        /// Environment of the client; values are never stored.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        env: BTreeMap<String, String>,
    }
    /// Ends a session well.
    "finish_session" FinishSession {
        /// Which session.
        session_id: String,
    }
    /// Deletes a session; it can be undeleted.
    "delete_session" DeleteSession {
        /// Which session.
        session_id: String,
        /// For good: nothing of it is kept. A session that is deleted already may be purged as well.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        purge: bool,
    }
    /// Takes a deletion back.
    "undelete_session" UndeleteSession {
        /// Which session.
        session_id: String,
    }
    /// Changes editable metadata. An absent field stays as it is; null clears it.
    "update_session" UpdateSession {
        /// Which session.
        session_id: String,
        /// The version this change is based on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
        /// The new name.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "present")]
        #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
        name: Option<Option<String>>,
        /// The new description.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "present")]
        #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
        description: Option<Option<String>>,
        /// The new free data, whole.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        metadata: Option<Map<String, Value>>,
        /// The new time to live.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "present")]
        #[cfg_attr(feature = "schema", schemars(with = "Option<u64>"))]
        ttl_s: Option<Option<u64>>,
        /// The new orphan policy.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        orphan_policy: Option<OrphanPolicy>,
        /// Whether it is kept from expiring.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pinned: Option<bool>,
        /// What it may cost, all in all; 0 is without end, null what the configuration says.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "present")]
        #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
        budget: Option<Option<f64>>,
        /// How long its agent's questions wait, in seconds.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "present")]
        #[cfg_attr(feature = "schema", schemars(with = "Option<u64>"))]
        approval_deadline_s: Option<Option<u64>>,
        /// What becomes of them when nobody is there who could answer.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "present")]
        #[cfg_attr(feature = "schema", schemars(with = "Option<Detached>"))]
        detached: Option<Option<Detached>>,
    }
    /// Hands ownership over.
    "transfer_ownership" TransferOwnership {
        /// Which session.
        session_id: String,
        /// To which subscriber.
        new_owner_id: ClientId,
    }
    /// Takes ownership.
    "take_ownership" TakeOwnership {
        /// Which session.
        session_id: String,
    }
    /// Sets an option that the agent offers.
    "set_option" SetOption {
        /// Which session.
        session_id: String,
        /// Which option.
        option_id: String,
        /// To what.
        value: Value,
    }
    /// Tells who is attached.
    "who" Who {
        /// To which session.
        session_id: String,
    }
    /// Reads one session without joining it.
    "get_session" GetSession {
        /// Which session.
        session_id: String,
        /// Tell also at which ports its agent, and what that started, listens.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ports: bool,
    }
    /// Reads records without joining.
    "read_records" ReadRecords {
        /// Of which session.
        session_id: String,
        /// The last record seen; 0 is the start.
        #[serde(default)]
        after: Seq,
        /// At most this many; an answer also ends near 1 MiB.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
    }
    /// Puts a file of standing rules in force, in place of the one this person applied before.
    "apply_rules" ApplyRules {
        /// The file's text.
        text: String,
        /// Only say whether it is right.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        dry_run: bool,
    }
    /// Tells the rules in force, or those of a session.
    "get_rules" GetRules {
        /// Which session's; none for the standing ones.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session_id: Option<String>,
    }
    /// Replays recorded questions against a file of rules that is not in force.
    "test_rules" TestRules {
        /// The file's text.
        text: String,
        /// Only of these sessions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session_ids: Option<Vec<String>>,
        /// At most this many of the newest questions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
    }
    /// Takes a rule of a session away.
    "remove_rule" RemoveRule {
        /// Which session.
        session_id: String,
        /// Which rule.
        name: String,
    }
    /// Tells what became of questions, over all sessions, the newest first.
    "list_approvals" ListApprovals {
        /// Only of these sessions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session_ids: Option<Vec<String>>,
        /// At most this many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
    }
    /// Tells the turns of a session, the newest first.
    "list_turns" ListTurns {
        /// Of which session; one that rests is not woken for it.
        session_id: String,
        /// Only those before this turn.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<u64>,
        /// At most this many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
    }
    /// Tells what was spent, over all sessions, deleted ones too.
    "get_costs" GetCosts {
        /// By what.
        #[serde(default)]
        by: CostsBy,
        /// From this day on (`2026-11-01`), or so many hours, days or weeks ago (`12h`, `7d`, `4w`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<String>,
        /// Until the end of this day, or so long ago.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<String>,
        /// At most so many sums.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
    }
    /// Lists the agents the daemon can start.
    "list_agents" ListAgents {
        /// Environment of the client, to look for programs and credentials in; values are never stored.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        env: BTreeMap<String, String>,
    }
    /// Tells about the daemon.
    "daemon_status" GetDaemonStatus {}
    /// Stops the daemon.
    "stop_daemon" StopDaemon {
        /// The agents too, instead of leaving them under their runners.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        agents: bool,
    }
    /// Asks for a sign of life.
    "ping" Ping {}
    /// Answers the daemon's ping.
    "pong" Pong {}
    elsewhere {
        /// Serves the web, or tells about it.
        "web" Web,
        /// Makes a token for the web.
        "create_token" CreateToken,
        /// Lists the tokens.
        "list_tokens" ListTokens,
        /// Takes a token back.
        "revoke_token" RevokeToken,
        /// Tells who did what over the web.
        "list_audit" ListAudit,
        /// Reads a session as an archive has it, a page at a time.
        "export_session" ExportSession,
        /// Takes a session in from an archive, in steps; each waits for the answer of the one before.
        "import_session" ImportSession,
        /// Looks for words in everything that was said and done.
        "search" Search,
        /// Makes the search index anew.
        "rebuild_search" RebuildSearch,
        /// Lists what sessions can be made from.
        "list_templates" ListTemplates,
        /// Reads one template.
        "get_template" GetTemplate,
        /// Writes a template: from a session, or as it is given.
        "save_template" SaveTemplate,
        /// Removes a template; sessions made from it stay.
        "remove_template" RemoveTemplate,
        /// Remembers something, across sessions.
        "add_memory" AddMemory,
        /// Finds memories by their words, or lists them.
        "search_memories" SearchMemories,
        /// Reads one memory.
        "get_memory" GetMemory,
        /// Changes a memory; what is not named stays.
        "edit_memory" EditMemory,
        /// Forgets memories: all of them or, with an error, none.
        "remove_memories" RemoveMemories,
        /// Does what a line says about memories, if it says something about them.
        "memory_command" MemoryCommand,
        /// What is new in a session is not new to this person any more, on any of their devices.
        "mark_read" MarkRead,
        /// Tells what happened in a session since this person last read it.
        "get_digest" GetDigest,
        /// Has something done as soon as something is so of a session, now or after any number of restarts; at least once.
        "add_trigger" AddTrigger,
        /// Tells the triggers that wait, are under way, or were last over.
        "list_triggers" ListTriggers,
        /// Takes a trigger away.
        "remove_trigger" RemoveTrigger,
        /// Tells what the state directory takes on the disk, each session in it, and what leaves by retention.
        "get_disk_usage" GetDiskUsage,
    }
}

impl UpdateSession {
    /// A change that changes nothing yet.
    pub fn of(session_id: String, version: Option<u64>) -> Self {
        Self {
            session_id,
            version,
            name: None,
            description: None,
            metadata: None,
            ttl_s: None,
            orphan_policy: None,
            pinned: None,
            budget: None,
            approval_deadline_s: None,
            detached: None,
        }
    }
}

/// Tells an absent field from null.
mod present {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        value: &Option<Option<T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().and_then(Option::as_ref).serialize(serializer)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        Option::deserialize(deserializer).map(Some)
    }
}
