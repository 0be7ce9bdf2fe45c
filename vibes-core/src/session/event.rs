//! Everything that can happen to a session, and everything that follows from it.
//!
//! A **command** is asked from outside and gets a reply; an **event** happened; an **effect** is to be done once the
//! change is committed. One closed set each: what can happen here is answered by reading one type.

use super::{approvals::ApprovalPolicy, fetch::Fetched, recall::Digest};
use crate::{
    agent::{
        Dialect,
        link::{Gone, Hindrance},
        spool::Chunk,
    },
    ownership::Joiner,
    rules::Judgement,
};
use serde_json::{Map, Value};
use std::sync::Arc;
use vibes_protocol::model::{
    ClientId, CodedError, Decision, Detached, Member, OrphanPolicy, Permission, PermissionOption,
    QueuedPrompt, RemovedReason, Seq, SessionId, SessionInfo, SessionRule, Surface, Worktree, fact,
};
use vibes_runner::wire::{Refusal, Standing};

/// Finds the one who waits for a reply.
pub type Tag = u64;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The client.
    pub client: ClientId,
    /// Its seat, for people.
    pub identity: Option<String>,
    /// Its process.
    pub pid: Option<i32>,
    /// SHA-256 of its resume token.
    pub token_hash: Option<String>,
    /// Where it acts from, for records.
    pub surface: Option<Arc<Surface>>,
}

impl Caller {
    /// The daemon itself.
    pub fn nobody() -> Self {
        let client = ClientId(uuid::Uuid::nil());
        Self { client, identity: None, pid: None, token_hash: None, surface: None }
    }
}

/// What can be asked of a session.
#[derive(Debug, Clone)]
pub enum Command {
    /// Joins.
    Join(Joiner),
    /// Leaves for good.
    Leave,
    /// The connection was lost; the client may come back within so many milliseconds.
    Drop {
        /// How long.
        grace_ms: i64,
    },
    /// A prompt.
    Input {
        /// ACP content blocks.
        content: Vec<Value>,
        /// Makes a retry the same input.
        key: Option<String>,
        /// Interrupts a running turn first.
        now: bool,
    },
    /// Something about a prompt that waits.
    Queued(Seq, QueueChange),
    /// An answer to the agent's question.
    Answer(Box<Answer>),
    /// The same, and its like is allowed from now on.
    AllowForSession(Box<Answer>, Widen),
    /// What the rules say to a question.
    Judged {
        /// Which question.
        permission_id: String,
        /// What they say.
        judgement: Box<Judgement>,
    },
    /// What is to be told again of the conversation.
    Recalled(Box<Digest>),
    /// What is attached to a prompt.
    Fetched(Arc<Fetched>),
    /// Takes a rule of the session away.
    ForgetRule(String),
    /// Ends the running turn.
    Interrupt {
        /// Which one is meant; nothing is done when it has ended already.
        turn: Option<u64>,
    },
    /// Ends the session.
    Kill,
    /// Stops the agent.
    Suspend {
        /// Interrupts a running turn instead of refusing.
        now: bool,
    },
    /// Starts the agent again.
    Resume {
        /// Told to the agent with the next prompt.
        context: Option<String>,
    },
    /// Ends the session well.
    Finish,
    /// Deletes it, with a way back.
    Delete,
    /// The way back.
    Undelete,
    /// Keeps nothing of a session that is deleted; with a moment, in milliseconds, of one that was deleted by then.
    Purge(Option<i64>),
    /// Keeps nothing of a session that has ended and that nothing keeps, in which nothing happened since this moment, in
    /// milliseconds. Only the daemon asks for that.
    LeaveForGood {
        /// When.
        last_ms: i64,
        /// What keeps it beside what is in it.
        keeps: super::Keeps,
    },
    /// A person has read it, up to a record if one is named.
    MarkRead {
        /// Who.
        person: String,
        /// Up to which.
        seq: Option<Seq>,
    },
    /// What was spent by all sessions is known: a budget that is spent, if one is.
    Counted(Box<Option<fact::BudgetSpent>>),
    /// Pauses it for another one, once it has nothing to do.
    Unfocus,
    /// Ends it if nothing happened in it for its time to live, or for this one, in milliseconds, where it has none of its
    /// own. Only the daemon asks for that.
    Expire {
        /// How long it lives otherwise; `None` is for ever.
        ttl_ms: Option<i64>,
    },
    /// Changes editable metadata.
    Update(Box<MetadataUpdate>),
    /// Hands ownership over.
    Transfer(ClientId),
    /// Takes ownership.
    Take,
    /// Sets an option of the agent.
    SetOption {
        /// Which.
        option_id: String,
        /// To what.
        value: Value,
    },
    /// Waits until the agent is ready or has failed.
    WaitReady,
    /// Tells the session and who is attached.
    Look,
    /// Something was done with its worktree.
    Worktree(Box<fact::WorktreeFact>),
    /// A request from inside an agent was refused; it is recorded.
    NoteRefused {
        /// The message's type.
        request: &'static str,
    },
}

/// What can be done with a prompt that waits.
#[derive(Debug, Clone, PartialEq)]
pub enum QueueChange {
    /// Says something else instead: ACP content blocks.
    Edit(Vec<Value>),
    /// Moves it: 1 is the next to run.
    Move(u32),
    /// Takes it out.
    Remove,
}

/// An answer to the agent's question.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Which question.
    pub permission_id: String,
    /// The hash that was shown with it.
    pub hash: String,
    /// One of the agent's options, or:
    pub option_id: Option<String>,
    /// a decision by kind.
    pub decision: Option<Decision>,
    /// What the person added.
    pub message: Option<String>,
    /// What the tool is to be called with instead.
    pub updated_input: Option<Value>,
    /// Answers to what the agent wants to know.
    pub answers: Option<Value>,
}

impl Answer {
    /// The option that it picks of those offered.
    pub fn chosen<'a>(&self, options: &'a [PermissionOption]) -> Option<&'a PermissionOption> {
        options.iter().find(|option| match (&self.option_id, self.decision) {
            (Some(wanted), _) => option.option_id == *wanted,
            (None, Some(decision)) => option.kind == decision.as_kind(),
            (None, None) => false,
        })
    }
}

/// How much more than the request itself a rule made from it is to allow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Widen {
    /// Commands of this pattern.
    pub pattern: Option<Vec<String>>,
    /// Files at this place.
    pub path: Option<String>,
}

/// A change of editable metadata. `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetadataUpdate {
    /// The version it is based on.
    pub version: Option<u64>,
    /// The new name.
    pub name: Option<Option<String>>,
    /// The new description.
    pub description: Option<Option<String>>,
    /// The new free data, whole.
    pub metadata: Option<Map<String, Value>>,
    /// The new time to live.
    pub ttl_s: Option<Option<u64>>,
    /// The new orphan policy.
    pub orphan_policy: Option<OrphanPolicy>,
    /// Whether it is kept from expiring.
    pub pinned: Option<bool>,
    /// What it may cost.
    pub budget: Option<Option<f64>>,
    /// How long questions wait, in seconds; 0 is for ever.
    pub approval_deadline_s: Option<Option<u64>>,
    /// What becomes of them when nobody is there.
    pub detached: Option<Option<Detached>>,
}

impl Command {
    /// Whether it has to wait until a runner that is being adopted has answered.
    pub fn needs_agent(&self) -> bool {
        matches!(
            self,
            Self::Input { .. }
                | Self::Answer(_)
                | Self::AllowForSession(..)
                | Self::SetOption { .. }
                | Self::WaitReady
                | Self::Resume { .. }
        )
    }

    /// Whether it keeps an agent from going on: what a person must always be able to ask.
    pub fn is_stop(&self) -> bool {
        match self {
            Self::Kill | Self::Interrupt { .. } | Self::Finish | Self::Suspend { .. } => true,
            Self::Answer(answer) => {
                matches!(answer.decision, Some(Decision::RejectOnce | Decision::RejectAlways))
            }
            _ => false,
        }
    }

    /// Whether its reply means that the disk has it.
    pub fn is_lasting(&self) -> bool {
        !matches!(self, Self::Look | Self::WaitReady | Self::MarkRead { .. } | Self::NoteRefused { .. })
    }
}

/// What happened. What comes from the link is lent, so that it can be taken in again when the store refuses it.
#[derive(Debug)]
pub enum Event<'a> {
    /// The session begins.
    Begin,
    /// It was read back from the store by a new daemon.
    Restored,
    /// Somebody asks.
    Command(Caller, Command, Tag),
    /// The agent wrote lines. They are taken in whole or not at all.
    Lines(&'a Chunk),
    /// The runner answers.
    Up(&'a Standing),
    /// Its spool was read up to where it stood then.
    CaughtUp,
    /// The runner has logged frames up to here.
    Acked(u64),
    /// The runner refused a frame.
    FrameRefused(u64, Refusal),
    /// Something stands between the daemon and the agent, or does no more.
    Hindered(Hindrance, Option<&'a str>),
    /// The generation is over.
    Gone(&'a Gone),
    /// The runner could not be started.
    StartFailed {
        /// Why.
        why: String,
        /// Whether the agent's program is missing.
        not_found: bool,
    },
    /// Time passed.
    Tick,
}

/// A command's good answer.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Done.
    Ok,
    /// The prompt's record.
    Accepted(Seq),
    /// Joined.
    Joined(Box<Looked>),
    /// Looked.
    Looked(Box<Looked>),
    /// It lives until this moment of the steady clock, in milliseconds, if nothing happens; for ever when there is none.
    Lives(Option<i64>),
}

/// A session as one look shows it.
#[derive(Debug, Clone)]
pub struct Looked {
    /// The session.
    pub info: SessionInfo,
    /// What waits for an answer.
    pub pending: Vec<Permission>,
    /// Who is attached.
    pub members: Vec<Member>,
    /// What was started.
    pub launch: Value,
    /// The prompts that wait, the next one first.
    pub queue: Vec<QueuedPrompt>,
    /// What it allows without asking.
    pub rules: Vec<SessionRule>,
    /// The language its agent speaks, and the agent's own id of the conversation.
    pub conversation: (Dialect, Option<String>),
}

/// What the other clients should hear at once.
#[derive(Debug, Clone, PartialEq)]
pub enum Notice {
    /// A session was created, or came back into the list.
    Created(Box<SessionInfo>),
    /// Something in its summary changed.
    Updated(Box<SessionInfo>),
    /// It left the list.
    Removed(vibes_protocol::model::SessionId, RemovedReason),
    /// Ownership passed on.
    Ownership(vibes_protocol::model::SessionId, Option<ClientId>),
}

/// What is to be done once the change is committed.
#[derive(Debug)]
pub enum Effect {
    /// Answers a command.
    Reply(Tag, Result<Reply, CodedError>),
    /// Starts a runner for the present generation.
    Start,
    /// Lets the agent run.
    Go,
    /// Ends the agent.
    Stop {
        /// How long after closing its stdin, in milliseconds.
        eof_ms: u32,
        /// How long after TERM, in milliseconds.
        term_ms: u32,
    },
    /// Tells the other clients.
    Notice(Notice),
    /// Asks the rules about a question.
    Judge(Box<Permission>),
    /// Reads what is to be told again of the conversation.
    Recall,
    /// Reads what is attached to a prompt.
    Fetch(Vec<Value>),
    /// Counts what all sessions have spent.
    Count,
    /// The generation's directory is of no more use.
    Forget(u64),
    /// A turn is over: its records can be packed.
    Pack,
    /// Nothing of the session is to be kept, if that is still so; whoever asked waits for it.
    Purge(Tag, Option<i64>),
}

/// What a new session is made of.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The agent's name.
    pub agent: String,
    /// The language it speaks.
    pub dialect: Dialect,
    /// A conversation that began without vibes: its id, or the last one of the directory, where the dialect has that.
    pub conversation: Option<String>,
    /// The session that it goes on from, and the last record of that one that it knows.
    pub parent: Option<(SessionId, Seq)>,
    /// Whether the agent itself goes on from a copy of the conversation; it is told what was said otherwise.
    pub fork: bool,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// The working directory.
    pub cwd: String,
    /// Its name.
    pub name: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Free data.
    pub metadata: Map<String, Value>,
    /// Options of the agent.
    pub options: Map<String, Value>,
    /// What happens when the last subscriber leaves.
    pub orphan_policy: OrphanPolicy,
    /// Time to live.
    pub ttl_s: Option<u64>,
    /// What it may cost.
    pub budget: Option<f64>,
    /// Names of the environment it was given.
    pub env_names: Vec<String>,
    /// The client's umask.
    pub umask: Option<u32>,
    /// Finishes after its first turn.
    pub once: bool,
    /// Is deleted when it ends.
    pub ephemeral: bool,
    /// The identity of the client that makes it.
    pub created_by: Option<String>,
    /// What becomes of its questions.
    pub approvals: ApprovalPolicy,
    /// Its own branch and directory.
    pub worktree: Option<Worktree>,
}
