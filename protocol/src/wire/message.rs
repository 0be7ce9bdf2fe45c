//! What the daemon says: answers, which carry the request's id, and what it sends unasked.

use crate::model::{
    ArchiveHead, ClientId, CostSum, DiskUsage, Epoch, ErrorCode, Fact, ImportOutcome, Memory, MemoryAction,
    RemovedReason, Seq, SessionDigest, SessionId, SessionInfo, SessionRule, TemplateInfo, TokenInfo, Trigger,
    TurnInfo, Worktree,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub use super::told::{
    AgentInfo, AppliedRules, Approval, Limits, Listener, Replayed, RunnerInfo, SubscribedSession,
};
pub use crate::model::{AuditEntry, Member, QueuedPrompt, RawRecords};

/// A record on the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Record {
    /// Whose.
    pub session_id: SessionId,
    /// Under which epoch it was written.
    pub epoch: Epoch,
    /// Its number.
    pub seq: Seq,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// What happened.
    pub fact: Fact,
}

/// A cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Cursor {
    /// The epoch of the record.
    pub epoch: Epoch,
    /// The record's number.
    pub seq: Seq,
}

/// A line from the daemon. Answers carry `request_id`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Message {
    /// Answers `hello`.
    Welcome {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The protocol spoken.
        protocol: u32,
        /// The daemon's version.
        daemon_version: String,
        /// Who the client is.
        client_id: ClientId,
        /// Proves it on the next connection.
        resume_token: String,
        /// The store's continuity number.
        epoch: Epoch,
        /// Limits.
        limits: Limits,
    },
    /// Answers `list_sessions`.
    SessionList {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The sessions, most recently active first.
        sessions: Vec<SessionInfo>,
        /// What is wrong with the daemon or its store, in sentences for a person.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
        /// How many sessions outside the answer have ended.
        #[serde(default)]
        ended: u32,
        /// Asks for the next page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next_cursor: Option<String>,
    },
    /// Answers `create_session`.
    SessionCreated {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The session.
        session: SessionInfo,
        /// The record of its first prompt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        input_seq: Option<Seq>,
    },
    /// Answers `get_session`.
    Session {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The session.
        session: SessionInfo,
        /// Its subscribers.
        members: Vec<Member>,
        /// What was started, without the values of its environment.
        launch: serde_json::Value,
        /// The prompts that wait, the next one first.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        queue: Vec<QueuedPrompt>,
        /// Where its agent, and what that started, listens, if that was asked.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        ports: Vec<Listener>,
    },
    /// Answers `subscribe`, once; then come the records.
    Subscribed {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The sessions joined.
        sessions: Vec<SubscribedSession>,
    },
    /// Answers `input`: it is committed and synced.
    Accepted {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The session.
        session_id: SessionId,
        /// The record of the prompt.
        seq: Seq,
    },
    /// Answers `who`.
    Members {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The session.
        session_id: SessionId,
        /// Its subscribers, in join order.
        members: Vec<Member>,
    },
    /// Answers `read_records`.
    Records {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The session.
        session_id: SessionId,
        /// The records, in order.
        records: Vec<Record>,
        /// The session's last record.
        head: Seq,
    },
    /// Answers `export_session`.
    Exported {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The session.
        session_id: SessionId,
        /// What an archive begins with.
        head: Box<ArchiveHead>,
        /// The records, in order, as on the wire.
        #[cfg_attr(feature = "schema", schemars(with = "Vec<Record>"))]
        records: RawRecords,
        /// The last of them; that of the archive when there are none left.
        last: Seq,
        /// Whether more follow.
        more: bool,
    },
    /// Answers `import_session`.
    Import {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// Which import goes on; null when there is nothing more to do.
        import_id: Option<String>,
        /// What became of it, when it is over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outcome: Option<ImportOutcome>,
        /// The session.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session_id: Option<SessionId>,
        /// How many records were taken.
        #[serde(default)]
        records: u64,
        /// How many turns they tell of.
        #[serde(default)]
        turns: u64,
        /// Why nothing was done, for a person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
    /// Answers `apply_rules` and `get_rules`.
    Rules {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The files in force or, for a dry run, the one that was read.
        applied: Vec<AppliedRules>,
        /// The rules of the session that was asked about.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        session_rules: Vec<SessionRule>,
    },
    /// Answers `test_rules`.
    RulesTested {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The SHA-256 of the file.
        hash: String,
        /// How many questions were replayed.
        replayed: u32,
        /// How many of them it would allow.
        allowed: u32,
        /// How many it would deny.
        denied: u32,
        /// Those for which something would change, the newest first.
        changes: Vec<Replayed>,
    },
    /// Answers `list_approvals`.
    Approvals {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The questions, the newest first.
        approvals: Vec<Approval>,
    },
    /// Answers `list_turns`.
    Turns {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The session.
        session_id: SessionId,
        /// The turns, the newest first.
        turns: Vec<TurnInfo>,
        /// For `before`, when there are more.
        #[serde(default)]
        next_before: Option<u64>,
    },
    /// Answers `list_triggers`, and `add_trigger` with the one that was added.
    Triggers {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The triggers, the first one first.
        triggers: Vec<Trigger>,
    },
    /// Answers `get_digest`.
    Digest {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// What happened.
        digest: Box<SessionDigest>,
    },
    /// Answers `get_disk_usage`.
    DiskUsage {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// What it takes.
        usage: Box<DiskUsage>,
    },
    /// Answers `get_costs`.
    Costs {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The sums: days and weeks in their order, all else the dearest first.
        costs: Vec<CostSum>,
    },
    /// Answers `search`.
    SearchResults {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// What was found.
        hits: Vec<super::search::SearchHit>,
        /// Asks for the next page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next_cursor: Option<String>,
        /// How many records are in the index.
        indexed: u64,
        /// How many are known that are not in it yet.
        behind: u64,
    },
    /// Answers `list_templates`.
    Templates {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The templates, by name.
        templates: Vec<TemplateInfo>,
    },
    /// Answers `get_template` and `save_template`.
    Template {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The template.
        template: TemplateInfo,
        /// Its file, as people wrote it.
        text: String,
    },
    /// Answers `add_memory`, `get_memory` and `edit_memory`.
    Memory {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The memory.
        memory: Memory,
    },
    /// Answers `search_memories`.
    Memories {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// A page of those that fit.
        memories: Vec<Memory>,
        /// How many fit in all.
        total: u64,
    },
    /// Answers `memory_command`.
    MemoryDone {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// What became of the line.
        action: MemoryAction,
        /// The memories that it is about.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        memories: Vec<Memory>,
        /// The same in words, for a person.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        message: String,
    },
    /// Answers `worktree`.
    Worktree {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The session.
        session_id: SessionId,
        /// Its worktree.
        worktree: Worktree,
        /// What it changes, as git shows it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        diff: Option<String>,
        /// Whether there is more of it than is told.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        truncated: bool,
        /// The commit that a merge made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        commit: Option<String>,
        /// The ref that holds what was there before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        saved: Option<String>,
    },
    /// Answers `web`.
    Web {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// Whether it is served.
        running: bool,
        /// Its address: `http://127.0.0.1:7432`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<String>,
        /// Lets one browser in, once.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// Until when, in seconds since the Unix epoch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code_expires_at: Option<i64>,
        /// Other names that it answers to.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        hosts: Vec<String>,
    },
    /// Answers `create_token`.
    TokenCreated {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// What proves it; told here and never again.
        secret: String,
        /// The token.
        token: TokenInfo,
    },
    /// Answers `list_tokens`.
    Tokens {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The tokens, the newest first.
        tokens: Vec<TokenInfo>,
    },
    /// Answers `list_audit`.
    Audit {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// What was done, the newest first.
        entries: Vec<AuditEntry>,
    },
    /// Answers `attach`: a prompt names the file by this.
    Attached {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The SHA-256 of its bytes.
        sha256: String,
        /// How many there are.
        size: u64,
    },
    /// Answers `get_blob`.
    Blob {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The session.
        session_id: SessionId,
        /// The SHA-256 of the bytes.
        sha256: String,
        /// How many there are.
        size: u64,
        /// The bytes, in base64.
        data: String,
    },
    /// Answers `list_agents`.
    Agents {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The agents.
        agents: Vec<AgentInfo>,
    },
    /// Answers `daemon_status`.
    DaemonStatus {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The daemon's process.
        pid: u32,
        /// Its version.
        version: String,
        /// The protocol it speaks.
        protocol: u32,
        /// Its socket.
        socket: String,
        /// The store's continuity number.
        epoch: Epoch,
        /// Sessions that have not ended.
        sessions: u64,
        /// Live runners.
        runners: Vec<RunnerInfo>,
        /// When it started, in seconds since the Unix epoch.
        started_at: i64,
        /// What is wrong, in sentences; empty when nothing is.
        #[serde(default)]
        problems: Vec<String>,
    },
    /// Answers a request that has nothing more to say.
    Ok {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
    },
    /// Answers a request that failed, or reports a fault of the connection.
    Error {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
        /// The session concerned.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session_id: Option<SessionId>,
        /// For programs.
        code: ErrorCode,
        /// For people.
        message: String,
        /// The present version, with `VERSION_CONFLICT`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
    },
    /// Answers `ping`.
    Pong {
        /// The request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request_id: Option<String>,
    },
    /// Asks the client for a sign of life.
    Ping {},
    /// A session was created; to every client.
    SessionNotification {
        /// The session.
        session: SessionInfo,
    },
    /// Something about a session changed; to every client, at most four times a second.
    SessionUpdated {
        /// The session.
        session: SessionInfo,
    },
    /// A session left the default list; to every client.
    SessionRemoved {
        /// Which.
        session_id: SessionId,
        /// Why.
        reason: RemovedReason,
    },
    /// Ownership passed on; to every client.
    OwnershipTransferred {
        /// Of which session.
        session_id: SessionId,
        /// To whom; null when the session is vacant.
        new_owner_id: Option<ClientId>,
        /// Whether that is the client that reads this.
        you_are_owner: bool,
    },
    /// A record of a subscribed session.
    Record(Record),
    /// The cursor's future was lost; cut back to here and go on.
    Rewind {
        /// Of which session.
        session_id: SessionId,
        /// The last record that still stands.
        to: Cursor,
    },
    /// Records that can no longer be replayed.
    Gap {
        /// Of which session.
        session_id: SessionId,
        /// The first one missing.
        from: Seq,
        /// The last one missing.
        to: Seq,
        /// Why.
        reason: String,
    },
    /// The daemon closes the connection.
    Closing {
        /// `slow`, `shutdown`, `replaced`, `silent`, `revoked`.
        reason: String,
        /// The last record sent, per session.
        resume_from: BTreeMap<SessionId, Cursor>,
    },
    /// A message this version does not know.
    #[serde(other)]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Unknown,
}

impl Message {
    /// The request this answers.
    pub fn request_id(&self) -> Option<&str> {
        match self {
            Self::Welcome { request_id, .. }
            | Self::SessionList { request_id, .. }
            | Self::SessionCreated { request_id, .. }
            | Self::Session { request_id, .. }
            | Self::Subscribed { request_id, .. }
            | Self::Accepted { request_id, .. }
            | Self::Members { request_id, .. }
            | Self::Records { request_id, .. }
            | Self::Exported { request_id, .. }
            | Self::Import { request_id, .. }
            | Self::Rules { request_id, .. }
            | Self::RulesTested { request_id, .. }
            | Self::Approvals { request_id, .. }
            | Self::Turns { request_id, .. }
            | Self::Costs { request_id, .. }
            | Self::SearchResults { request_id, .. }
            | Self::Templates { request_id, .. }
            | Self::Template { request_id, .. }
            | Self::Memory { request_id, .. }
            | Self::Memories { request_id, .. }
            | Self::MemoryDone { request_id, .. }
            | Self::Digest { request_id, .. }
            | Self::DiskUsage { request_id, .. }
            | Self::Triggers { request_id, .. }
            | Self::Worktree { request_id, .. }
            | Self::Attached { request_id, .. }
            | Self::Blob { request_id, .. }
            | Self::Agents { request_id, .. }
            | Self::Web { request_id, .. }
            | Self::TokenCreated { request_id, .. }
            | Self::Tokens { request_id, .. }
            | Self::Audit { request_id, .. }
            | Self::DaemonStatus { request_id, .. }
            | Self::Ok { request_id }
            | Self::Error { request_id, .. }
            | Self::Pong { request_id } => request_id.as_deref(),
            Self::Ping {}
            | Self::SessionNotification { .. }
            | Self::SessionUpdated { .. }
            | Self::SessionRemoved { .. }
            | Self::OwnershipTransferred { .. }
            | Self::Record(_)
            | Self::Rewind { .. }
            | Self::Gap { .. }
            | Self::Closing { .. }
            | Self::Unknown => None,
        }
    }
}
