//! A session as clients see it.

use super::{ClientId, Imported, Permission, Seq, SessionId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Where a session stands. The legal changes are one table in the core (`lifecycle`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SessionState {
    /// The agent is being started.
    Starting,
    /// The agent waits for a prompt.
    Idle,
    /// A turn runs.
    Processing,
    /// A turn runs and waits for a person's permission.
    WaitingPermission,
    /// No agent runs; the session can go on.
    Suspended,
    /// Ended well.
    Finished,
    /// Ended by a failure; the reason says what to do.
    Failed,
    /// Ended by a person.
    Killed,
    /// Ended by its time to live.
    Expired,
}

impl SessionState {
    /// True for the states that leave the default list.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Finished | Self::Failed | Self::Killed | Self::Expired)
    }

    /// The wire name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Idle => "idle",
            Self::Processing => "processing",
            Self::WaitingPermission => "waiting_permission",
            Self::Suspended => "suspended",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Killed => "killed",
            Self::Expired => "expired",
        }
    }
}

/// Why a session is suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SuspendReason {
    /// A person asked.
    User,
    /// The last subscriber left and the orphan policy is `suspend`.
    Orphan,
    /// The agent ended by itself while idle.
    Idle,
    /// A budget is spent.
    Budget,
    /// Another session came into focus.
    Focus,
    /// The agent was lost with its runner or its machine.
    Restart,
}

impl SuspendReason {
    /// The wire name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Orphan => "orphan",
            Self::Idle => "idle",
            Self::Budget => "budget",
            Self::Focus => "focus",
            Self::Restart => "restart",
        }
    }

    /// Whether input alone resumes the session.
    pub fn input_resumes(self) -> bool {
        matches!(self, Self::User | Self::Orphan | Self::Idle | Self::Restart)
    }
}

/// What happens when the last subscriber leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OrphanPolicy {
    /// The session goes on without an owner.
    #[default]
    Keep,
    /// The agent is stopped once idle; the session can be resumed.
    Suspend,
    /// The session ends and is removed for every client.
    Remove,
}

/// The role of a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May write, may own.
    #[default]
    Writer,
    /// Reads only and never owns.
    Viewer,
}

/// How the daemon stands to the session's agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Link {
    /// The runner answers.
    Live,
    /// The daemon is finding the runner again after a restart.
    Adopting,
    /// The runner died.
    Lost,
    /// No agent runs.
    None,
}

/// Money.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Cost {
    /// How much, in units of the currency.
    pub amount: f64,
    /// ISO 4217 code.
    pub currency: String,
    /// Whether any of it was computed from the price table instead of told by the agent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub estimated: bool,
}

/// Why a session left the default list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RemovedReason {
    /// The last subscriber left and the orphan policy is `remove`.
    OwnerDisconnected,
    /// A person killed it.
    Killed,
    /// It ended by itself.
    SessionFinished,
    /// Its time to live ran out.
    Expired,
    /// A person deleted it.
    Deleted,
}

/// One session in lists and notices. Times are whole seconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionInfo {
    /// The session's id.
    pub id: SessionId,
    /// Its name, unique among sessions that have not ended.
    pub name: Option<String>,
    /// The agent's name, such as `shell`.
    pub agent: String,
    /// The working directory.
    pub cwd: String,
    /// Where it stands.
    pub state: SessionState,
    /// Why it is suspended or failed, for a person.
    #[serde(default)]
    pub reason: Option<String>,
    /// The owner, when there is one.
    pub owner_id: Option<ClientId>,
    /// The owner's seat, for people.
    #[serde(default)]
    pub owner_label: Option<String>,
    /// Whether the connection that reads this owns the session.
    pub is_owner: bool,
    /// When the present owner became it.
    #[serde(default)]
    pub owned_since: Option<i64>,
    /// How many subscribers, the owner included.
    pub subscriber_count: u32,
    /// When it was created.
    pub created_at: i64,
    /// When something last happened in it.
    pub last_activity_at: i64,
    /// The same in milliseconds: the order of lists.
    #[serde(default)]
    pub last_activity_ms: i64,
    /// Counts changes of the editable metadata.
    pub version: u64,
    /// Free text.
    #[serde(default)]
    pub description: Option<String>,
    /// Free data.
    #[serde(default)]
    pub metadata: Map<String, Value>,
    /// How the daemon stands to the agent.
    pub link: Link,
    /// What happens when the last subscriber leaves.
    #[serde(default)]
    pub orphan_policy: OrphanPolicy,
    /// Time to live in seconds without activity, when it differs from the daemon's.
    #[serde(default)]
    pub ttl_s: Option<u64>,
    /// Whether it is kept from expiring.
    #[serde(default)]
    pub pinned: bool,
    /// What it may cost, when there is a budget for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<f64>,
    /// How much of it is new to whoever is told: turns that ended, questions, failures.
    #[serde(default)]
    pub unread: u32,
    /// How far each person has read, and how much is new to them. Not on the wire: `unread` is made of it.
    #[serde(skip)]
    pub readers: BTreeMap<String, (Seq, u32)>,
    /// The last words of the conversation, one line.
    #[serde(default)]
    pub preview: Option<String>,
    /// What the session has cost so far, when the agent says.
    #[serde(default)]
    pub cost: Option<Cost>,
    /// Requests that wait for an answer.
    #[serde(default)]
    pub pending_permissions: Vec<Permission>,
    /// Prompts accepted and not yet given to the agent.
    #[serde(default)]
    pub queued: u32,
    /// How many turns have begun.
    #[serde(default)]
    pub turns: u64,
    /// The number of the last record.
    pub head: Seq,
    /// Options the agent offers (mode, model, …) with their present values.
    #[serde(default)]
    pub options: Map<String, Value>,
    /// What each option can be set to: `{id: [{id, name}]}`.
    #[serde(default)]
    pub offers: Map<String, Value>,
    /// Content blocks that its agent takes besides `text` and `resource_link`, once it has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepts: Option<Vec<String>>,
    /// Set while the session is deleted and can be undeleted.
    #[serde(default)]
    pub deleted_at: Option<i64>,
    /// The session this one was made from.
    #[serde(default)]
    pub parent_id: Option<SessionId>,
    /// The last record of that one that this one goes on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_at: Option<Seq>,
    /// Its own branch and directory, when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worktree: Option<Worktree>,
    /// How often an agent process was started for it.
    #[serde(default)]
    pub generation: u64,
    /// Where it was taken in from: such a session is there to be read and to be gone on from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<Imported>,
}

/// A branch of a session, and the directory where it is checked out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Worktree {
    /// The directory.
    pub path: String,
    /// The branch.
    pub branch: String,
    /// The directory of the repository that it was made from.
    pub repo: String,
    /// The branch that was checked out there.
    pub base: String,
    /// The commit that it began at.
    pub commit: String,
    /// The hash of what the repository's configuration said then of programs that git runs.
    #[serde(default)]
    pub config: String,
    /// How many files had changes there that were not committed, and are not in it.
    #[serde(default)]
    pub left_behind: u64,
}

/// A prompt that waits for its turn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct QueuedPrompt {
    /// The record of the prompt.
    pub input_seq: Seq,
    /// ACP content blocks, as last edited.
    pub content: Vec<Value>,
}

/// A subscriber, in `members`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Member {
    /// Its id.
    pub client_id: ClientId,
    /// Its seat, for people.
    #[serde(default)]
    pub identity: Option<String>,
    /// As what.
    pub role: Role,
    /// Its place in the join order.
    pub join: u64,
    /// Whether it owns the session.
    pub is_owner: bool,
    /// Whether it is the client that asks.
    pub is_you: bool,
    /// False while it may still come back.
    pub connected: bool,
    /// When it joined, in seconds since the Unix epoch.
    pub since: i64,
    /// Its process, while connected.
    #[serde(default)]
    pub pid: Option<i32>,
}
