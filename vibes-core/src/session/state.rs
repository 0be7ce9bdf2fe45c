//! What is decided about one session at one moment. Pure data: no clock, no files, no tasks.
//!
//! Invariant: [`Body`] and the rows are everything a later daemon needs; what is outside of them (link, preview,
//! waiters) can be found again or belongs to connections that are gone.

use super::{
    approvals::{ApprovalPolicy, Watched},
    event::{Looked, Plan, Tag},
    fetch::Fetched,
    ledger::Ledger,
    recall::Digest,
    shared::Shared,
};
use crate::{
    agent::{Codec, link::Hindrance, rpc::RpcId},
    budgets::Budgets,
    journal::SpoolOffset,
    ownership::{Ownership, Seat},
    prices::Prices,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};
use vibes_protocol::model::{
    ClientId, Cost, Epoch, Imported, Link, Member, OrphanPolicy, Permission, QueuedPrompt, RemovedReason,
    Seq, SessionId, SessionInfo, SessionRule, SessionState, SuspendReason, Worktree,
    fact::{Actor, BudgetSpent},
};

/// The most prompts that may wait in one session.
pub const MAX_QUEUED: usize = 32;
/// The longest context that a person can give at a resume, in bytes: it waits in the state for the next prompt.
pub const MAX_CONTEXT: usize = 64 * 1024;
/// The most questions that may wait in one session; more are refused, so that a mad agent cannot bury a person.
pub const MAX_PENDING: usize = 256;
/// The most bytes of questions that may wait in one session: every listing of the session shows them, and a line of
/// the daemon has 16 MiB.
pub const MAX_PENDING_BYTES: usize = 4 * 1024 * 1024;
/// The most frames that may wait for the runner. It keeps 8 MiB for an agent that does not read and takes what is
/// below at once, so only an agent that asks and asks and never reads the answers comes here.
pub const MAX_OUTBOX: usize = 65_536;
/// The most open tool calls that are remembered, and the longest id of one: an agent chooses both.
pub const MAX_OPEN_CALLS: usize = 256;
/// See [`MAX_OPEN_CALLS`].
pub const MAX_CALL_ID: usize = 256;
/// How long an agent may take to end a turn that it was asked to end, in milliseconds, before a person is told.
pub const CANCEL_PATIENCE_MS: i64 = 10_000;
/// A deadline noticed so much too late, in milliseconds, was slept through by the machine, agent and all.
pub const SLEPT_MS: i64 = 5_000;
/// How long idempotency keys are kept, in milliseconds: 7 days.
pub const KEY_LIFE_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// How much longer a new daemon keeps them at least, however old they look: the clock may have been set, and whoever
/// used one may be about to ask again.
pub const KEY_KEPT_MS: i64 = 60 * 60 * 1000;

/// What was started, so that it can be started again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaunchSpec {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Options of the agent, as last set.
    pub options: Map<String, Value>,
    /// Names of the environment; values are never stored.
    pub env_names: Vec<String>,
    /// The client's umask.
    pub umask: Option<u32>,
    /// Finishes after its first turn.
    pub once: bool,
    /// Is deleted when it ends.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ephemeral: bool,
}

/// The turn that runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    /// Its number.
    pub number: u64,
    /// Its prompt.
    pub prompt: QueuedPrompt,
    /// The frame that carried the prompt to the agent.
    pub frame: u64,
    /// Whether the agent was asked to end it.
    pub cancelled: bool,
    /// What a person put before the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Whether the conversation so far was told before it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recalled: bool,
}

/// What a session is being stopped for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// To go on later.
    Suspend(SuspendReason),
    /// It is done.
    Finish,
    /// A person ended it.
    Kill,
    /// The last subscriber left.
    Remove,
    /// The agent could not be used.
    Fail,
    /// Nothing happened for its time to live.
    Expire,
}

impl Goal {
    /// Where it leads.
    pub fn state(self) -> SessionState {
        match self {
            Self::Suspend(_) => SessionState::Suspended,
            Self::Finish => SessionState::Finished,
            Self::Kill | Self::Remove => SessionState::Killed,
            Self::Fail => SessionState::Failed,
            Self::Expire => SessionState::Expired,
        }
    }

    /// A stop that ends the session wins over one that does not; a person's kill wins over all.
    pub fn rank(self) -> u8 {
        match self {
            Self::Suspend(_) => 0,
            Self::Expire => 1,
            Self::Finish => 2,
            Self::Fail => 3,
            Self::Remove => 4,
            Self::Kill => 5,
        }
    }
}

/// A stop under way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stopping {
    /// What for.
    pub goal: Goal,
    /// Who asked.
    pub by: Option<Actor>,
    /// Why, for a person.
    pub reason: Option<String>,
    /// Until when the running turn may end by itself, in milliseconds.
    pub cancel_until_ms: Option<i64>,
}

/// Everything that lasts, rows aside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Body {
    /// The session's id.
    pub id: SessionId,
    /// The agent's name.
    pub agent: String,
    /// The working directory.
    pub cwd: String,
    /// Its name.
    pub name: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Free data.
    pub metadata: Map<String, Value>,
    /// When it was created, in milliseconds.
    pub created_ms: i64,
    /// What was started.
    pub launch: LaunchSpec,
    /// What happens when the last subscriber leaves.
    pub orphan_policy: OrphanPolicy,
    /// Time to live.
    pub ttl_s: Option<u64>,
    /// Kept from expiring.
    pub pinned: bool,
    /// Counts changes of editable metadata.
    pub version: u64,
    /// When it was deleted, in milliseconds.
    pub deleted_ms: Option<i64>,
    /// The session it was made from.
    pub parent: Option<SessionId>,
    /// The last record of that one that it knows.
    #[serde(default)]
    pub forked_at: Option<Seq>,
    /// Where it stands.
    pub state: SessionState,
    /// Why, for a person.
    pub reason: Option<String>,
    /// Why it is suspended.
    pub suspended: Option<SuspendReason>,
    /// How often an agent was started.
    pub generation: u64,
    /// Whether the present generation's runner is wanted or may live.
    pub running: bool,
    /// The number of the last frame for the present generation.
    pub last_frame: u64,
    /// The conversation.
    pub codec: Codec,
    /// The turn that runs.
    pub turn: Option<Turn>,
    /// Tool calls of the turn that are not over, as far as the agent has told.
    #[serde(default)]
    pub open_calls: BTreeSet<String>,
    /// How many turns have begun.
    pub turns: u64,
    /// Prompts that wait.
    pub queue: VecDeque<QueuedPrompt>,
    /// Told to the agent with the next prompt.
    pub context: Option<String>,
    /// Whether the agent does not know the conversation so far: the next prompt tells it.
    #[serde(default)]
    pub recall: bool,
    /// A stop under way.
    pub stopping: Option<Stopping>,
    /// How many joins there were.
    pub joins: u64,
    /// The owner.
    pub owner: Option<ClientId>,
    /// Since when, in milliseconds.
    pub owned_since_ms: Option<i64>,
    /// Whether somebody ever joined.
    pub armed: bool,
    /// What it has cost.
    pub cost: Option<Cost>,
    /// What the agent last said that its conversation has cost, in billionths.
    #[serde(default)]
    pub metered: u64,
    /// Whether the present agent was given a prompt: what it says to have cost before is no news.
    #[serde(default)]
    pub prompted: bool,
    /// Files of tool calls that are not over, by call.
    #[serde(default)]
    pub touching: BTreeMap<String, Vec<String>>,
    /// Answers of the last while, so that a late one hears who was first: permission id and who.
    pub decided: VecDeque<(String, String)>,
    /// When the agent was last started after a crash, in milliseconds.
    pub crashes: Vec<i64>,
    /// The time of the last record that counts as no activity, in milliseconds: later records are not before it.
    #[serde(default)]
    pub noted_ms: i64,
    /// Whose session it is while nobody owns it: the identity of the client that made it.
    #[serde(default)]
    pub created_by: Option<String>,
    /// What it allows without asking.
    #[serde(default)]
    pub rules: Vec<SessionRule>,
    /// How many such rules were made.
    #[serde(default)]
    pub rules_made: u64,
    /// What becomes of its questions, where it differs from the configuration.
    #[serde(default)]
    pub approvals: ApprovalPolicy,
    /// Its own branch and directory.
    #[serde(default)]
    pub worktree: Option<Worktree>,
    /// Where it was taken in from: no agent is ever started for it.
    #[serde(default)]
    pub imported: Option<Imported>,
    /// What it may cost, where it differs from the configuration; 0 is without end.
    #[serde(default)]
    pub budget: Option<f64>,
    /// The budget that it pauses for.
    #[serde(default)]
    pub over: Option<BudgetSpent>,
    /// Whether it pauses for another one when its turn is over.
    #[serde(default)]
    pub unfocus: bool,
    /// Whether the next turn may begin whatever was spent.
    #[serde(default)]
    pub waived: bool,
    /// The records that are news to people, the last so many.
    #[serde(default)]
    pub news: VecDeque<Seq>,
    /// How far each person has read.
    #[serde(default)]
    pub readers: BTreeMap<String, Seq>,
}

/// A question that waits, with what the agent needs to hear.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pending {
    /// As clients see it.
    pub permission: Permission,
    /// The id of the agent's request.
    pub rpc_id: RpcId,
    /// How long the request is.
    #[serde(default)]
    pub bytes: usize,
    /// When it was asked, in milliseconds by the wall clock.
    #[serde(default)]
    pub asked_ms: i64,
    /// How long it may wait, in milliseconds.
    #[serde(default)]
    pub limit_ms: Option<i64>,
    /// What the codec has to know when it is answered.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub memo: Value,
}

/// A request that the agent should have answered by now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Awaited {
    /// The frame that asked, or that began what is to end.
    pub frame: u64,
    /// The method.
    pub method: &'static str,
    /// How long it may take, in milliseconds.
    pub limit_ms: i64,
    /// Until when, in milliseconds; `None` once it was told.
    pub until_ms: Option<i64>,
}

/// A session.
#[derive(Debug, Clone)]
pub struct State {
    /// What lasts.
    pub body: Shared<Body>,
    /// Seats and owner; the seats are rows, the rest is copied into the body.
    pub ownership: Shared<Ownership>,
    /// Questions that wait, by permission id; rows.
    pub pending: Shared<BTreeMap<String, Pending>>,
    /// What is under way about them. A new daemon begins anew, and lets no rule answer what it finds.
    pub watched: BTreeMap<String, Watched>,
    /// What becomes of questions, as configured.
    pub policy: ApprovalPolicy,
    /// Whether there are standing rules that may answer.
    pub judges: bool,
    /// What tokens cost, as configured.
    pub prices: Arc<Prices>,
    /// What may be spent, as configured.
    pub budgets: Arc<Budgets>,
    /// Whether it is being counted what was spent, and whether that leaves room for the next turn.
    pub counting: bool,
    /// See [`State::counting`].
    pub solvent: bool,
    /// The last turn and what is new in the ledger; rows.
    pub ledger: Shared<Ledger>,
    /// Frames the runner has not logged, by number; rows.
    pub outbox: Shared<BTreeMap<u64, Vec<u8>>>,
    /// Idempotency keys: the record and when, in milliseconds; rows.
    pub keys: Shared<BTreeMap<String, (Seq, i64)>>,
    /// The last record.
    pub head: Seq,
    /// The epoch records are written under.
    pub epoch: Epoch,
    /// How far the agent's output was taken in.
    pub spool: SpoolOffset,
    /// When something last happened, in milliseconds.
    pub last_ms: i64,
    /// The same by the steady clock, which its time to live is counted by.
    pub active_ms: i64,
    /// How the daemon stands to the agent.
    pub link: Link,
    /// The last words.
    pub preview: String,
    /// Whether what comes next begins anew.
    pub preview_ended: bool,
    /// The highest generation that has a directory. One above the present one is of an agent that this store does not
    /// know, because it is an older copy; the next start does not take its number.
    pub taken: u64,
    /// What stands between the daemon and the agent just now, in sentences.
    pub hindrances: BTreeMap<Hindrance, String>,
    /// What the agent should answer soon. A new daemon waits anew.
    pub awaited: Option<Awaited>,
    /// Who waits for the stop under way.
    pub stop_waiters: Vec<Tag>,
    /// Who waits for the agent to be ready.
    pub ready_waiters: Vec<Tag>,
    /// Who waits for an option, by frame.
    pub option_waiters: BTreeMap<u64, Tag>,
    /// What is to be told of the conversation so far, once it is read, and whether it is being read. A new daemon reads it
    /// anew.
    pub recalled: Option<Arc<Digest>>,
    /// See [`State::recalled`].
    pub recalling: bool,
    /// What is attached to the next prompt, when it was just read, and what is being read. A new daemon reads it anew.
    pub fetched: Option<Arc<Fetched>>,
    /// See [`State::fetched`].
    pub fetching: Option<Vec<Value>>,
    /// How the session left the list, for the notice.
    pub removed: Option<RemovedReason>,
    /// What the store holds of it cannot be read; this is what is shown in its place.
    pub unreadable: bool,
}

impl State {
    /// A session that begins.
    pub fn new(id: SessionId, plan: Plan, epoch: Epoch, now_ms: i64) -> Self {
        let body = Body {
            id,
            agent: plan.agent,
            cwd: plan.cwd,
            name: plan.name,
            description: plan.description,
            metadata: plan.metadata,
            created_ms: now_ms,
            launch: LaunchSpec {
                argv: plan.argv,
                options: plan.options,
                env_names: plan.env_names,
                umask: plan.umask,
                once: plan.once,
                ephemeral: plan.ephemeral,
            },
            orphan_policy: plan.orphan_policy,
            ttl_s: plan.ttl_s,
            pinned: false,
            version: 1,
            deleted_ms: None,
            parent: plan.parent.map(|(parent, _)| parent),
            forked_at: plan.parent.map(|(_, at)| at),
            state: SessionState::Starting,
            reason: None,
            suspended: None,
            generation: 0,
            running: false,
            last_frame: 0,
            codec: Codec::new(plan.dialect, plan.conversation, plan.fork),
            turn: None,
            open_calls: BTreeSet::new(),
            turns: 0,
            queue: VecDeque::new(),
            context: None,
            recall: plan.parent.is_some() && !plan.fork,
            stopping: None,
            joins: 0,
            owner: None,
            owned_since_ms: None,
            armed: false,
            cost: None,
            metered: 0,
            prompted: false,
            touching: BTreeMap::new(),
            decided: VecDeque::new(),
            crashes: Vec::new(),
            noted_ms: 0,
            created_by: plan.created_by,
            rules: Vec::new(),
            rules_made: 0,
            approvals: plan.approvals,
            worktree: plan.worktree,
            imported: None,
            budget: plan.budget,
            over: None,
            unfocus: false,
            waived: false,
            news: VecDeque::new(),
            readers: BTreeMap::new(),
        };
        Self::of(body, epoch, now_ms)
    }

    /// A session around a body, with nothing else known yet.
    pub fn of(body: Body, epoch: Epoch, last_ms: i64) -> Self {
        Self {
            ownership: Ownership {
                seats: BTreeMap::new(),
                joins: body.joins,
                owner: body.owner,
                owned_since_ms: body.owned_since_ms,
                armed: body.armed,
            }
            .into(),
            body: body.into(),
            pending: Shared::default(),
            watched: BTreeMap::new(),
            policy: ApprovalPolicy::default(),
            judges: false,
            prices: Arc::default(),
            budgets: Arc::default(),
            counting: false,
            solvent: false,
            ledger: Shared::default(),
            outbox: Shared::default(),
            keys: Shared::default(),
            head: 0,
            epoch,
            spool: SpoolOffset::default(),
            last_ms,
            active_ms: last_ms,
            link: Link::None,
            preview: String::new(),
            preview_ended: true,
            taken: 0,
            hindrances: BTreeMap::new(),
            awaited: None,
            stop_waiters: Vec::new(),
            ready_waiters: Vec::new(),
            option_waiters: BTreeMap::new(),
            recalled: None,
            recalling: false,
            fetched: None,
            fetching: None,
            removed: None,
            unreadable: false,
        }
    }

    /// Whether nothing of it need be kept: it is deleted, by this moment if one is given, and has no agent. The error says why
    /// not.
    pub fn may_be_purged(&self, deleted_by_ms: Option<i64>) -> Result<(), &'static str> {
        match self.body.deleted_ms {
            None => Err("delete it before purging it"),
            Some(at) if deleted_by_ms.is_some_and(|by| at > by) => Err("it was deleted again since"),
            Some(_) if self.body.running || self.body.stopping.is_some() => {
                Err("its agent has not ended yet")
            }
            Some(_) => Ok(()),
        }
    }

    /// Whose it is: the identity of its owner or, while nobody owns it, of whoever made it.
    pub fn person(&self) -> Option<&str> {
        let owner = self.ownership.owner.and_then(|owner| self.ownership.seats.get(&owner));
        match owner {
            Some(seat) => seat.identity.as_deref(),
            None => self.body.created_by.as_deref(),
        }
    }

    /// As lists and notices show it; `is_owner` is for whoever sends it to say.
    pub fn info(&self) -> SessionInfo {
        let body = &self.body;
        let owner = self.ownership.owner.and_then(|owner| self.ownership.seats.get(&owner));
        SessionInfo {
            id: body.id,
            name: body.name.clone(),
            agent: body.agent.clone(),
            cwd: body.cwd.clone(),
            state: body.state,
            reason: match (body.state, body.suspended) {
                (SessionState::Suspended, Some(why)) => Some(why.as_str().to_owned()),
                _ => body.reason.clone().or_else(|| self.hindered()),
            },
            owner_id: self.ownership.owner,
            owner_label: owner.and_then(|seat| seat.identity.clone()),
            is_owner: false,
            owned_since: self.ownership.owned_since_ms.map(|ms| ms / 1000),
            subscriber_count: self.ownership.seats.len() as u32,
            created_at: body.created_ms / 1000,
            last_activity_at: self.last_ms / 1000,
            last_activity_ms: self.last_ms,
            version: body.version,
            description: body.description.clone(),
            metadata: body.metadata.clone(),
            link: self.link_now(),
            orphan_policy: body.orphan_policy,
            ttl_s: body.ttl_s,
            pinned: body.pinned,
            budget: self.budget(),
            unread: self.body.news.len() as u32,
            readers: self.readers(),
            preview: (!self.preview.is_empty()).then(|| self.preview.clone()),
            cost: body.cost.clone(),
            pending_permissions: self.pending.values().map(|pending| pending.permission.clone()).collect(),
            queued: body.queue.len() as u32,
            turns: body.turns,
            head: self.head,
            options: body.codec.values(),
            offers: body.codec.offers(),
            accepts: body.codec.accepts(),
            deleted_at: body.deleted_ms.map(|ms| ms / 1000),
            parent_id: body.parent,
            forked_at: body.forked_at,
            worktree: body.worktree.clone(),
            generation: body.generation,
            imported: body.imported.clone(),
        }
    }

    /// One look at it, for `viewer`.
    pub fn look(&self, viewer: ClientId) -> Looked {
        let member = |(client_id, seat): (ClientId, &Seat)| Member {
            client_id,
            identity: seat.identity.clone(),
            role: seat.role,
            join: seat.join,
            is_owner: self.ownership.owner == Some(client_id),
            is_you: client_id == viewer,
            connected: seat.away_until_ms.is_none(),
            since: seat.since_ms / 1000,
            pid: seat.pid,
        };
        let mut info = self.info();
        info.is_owner = info.owner_id == Some(viewer);
        Looked {
            pending: info.pending_permissions.clone(),
            info,
            members: self.ownership.in_order().into_iter().map(member).collect(),
            launch: serde_json::to_value(&self.body.launch).unwrap_or_default(),
            rules: self.body.rules.clone(),
            queue: self.body.queue.iter().cloned().collect(),
            conversation: (self.body.codec.dialect(), self.body.codec.conversation().map(str::to_owned)),
        }
    }

    /// What is in the agent's way, in words.
    fn hindered(&self) -> Option<String> {
        let all: Vec<&str> = self.hindrances.values().map(String::as_str).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// How the daemon stands to the agent, a runner that does not answer included.
    pub fn link_now(&self) -> Link {
        match self.link {
            Link::Live | Link::Adopting if self.hindrances.contains_key(&Hindrance::Silent) => Link::Lost,
            link => link,
        }
    }

    /// What the agent owes an answer to that is not waited for for ever: a turn may take as long as it takes.
    pub fn owed(&self) -> Option<Awaited> {
        if !self.body.running || self.link_now() != Link::Live || self.body.stopping.is_some() {
            return None;
        }
        let cancelled = self.body.turn.as_ref().filter(|turn| turn.cancelled);
        let cancel = cancelled.map(|turn| (turn.frame, "session/cancel", CANCEL_PATIENCE_MS));
        let (frame, method, limit_ms) = self.body.codec.opening().or(cancel)?;
        Some(Awaited { frame, method, limit_ms, until_ms: None })
    }

    /// When time alone will change something, in milliseconds.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        let stop = self.body.stopping.as_ref().and_then(|stopping| stopping.cancel_until_ms);
        let awaited = self.awaited.and_then(|awaited| awaited.until_ms);
        let question = self.watched.values().filter_map(|watched| watched.until_ms).min();
        [stop, awaited, question, self.ownership.next_deadline_ms()].into_iter().flatten().min()
    }

    /// Keeps the last words of the conversation: one line, short. Chunks of one line are joined; a new line, or the
    /// other side speaking, begins anew.
    pub fn remember_words(&mut self, text: &str) {
        const LONGEST: usize = 120;
        let mut lines = text.rsplit('\n').enumerate();
        let (after, line) = match (lines.find(|(_, line)| !line.trim().is_empty()), text.split_once('\n')) {
            (Some(found), _) => found,
            // White space goes on with a line and begins none.
            (None, _) if self.preview_ended => return,
            (None, Some((line, _))) => (1, line),
            (None, None) => (0, text),
        };
        let anew = self.preview_ended || lines.next().is_some();
        let line = if anew { line.trim_start() } else { line };
        let begin = line.char_indices().rev().nth(LONGEST - 1).map_or(0, |(at, _)| at);
        let room = LONGEST.saturating_sub(line[begin..].chars().count());
        let before = if anew { "" } else { &self.preview };
        let skip = before.chars().count().saturating_sub(room);
        let words = before.chars().skip(skip).chain(line[begin..].chars());
        self.preview = words.filter(|c| !c.is_control()).collect();
        self.preview_ended = after > 0;
    }

    /// A prompt is the last word until the agent says something, which begins anew.
    pub fn remember_prompt(&mut self, text: &str) {
        self.preview_ended = true;
        self.remember_words(text);
        self.preview_ended = true;
    }
}
