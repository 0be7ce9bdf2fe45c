//! Refusals: a closed set of codes for programs, a sentence for people.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal),* $(,)?) => {
        /// What went wrong, for programs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum ErrorCode {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
            /// Anything a newer daemon may say.
            #[serde(rename = "OTHER", other)]
            Other,
        }

        impl ErrorCode {
            /// Every code of the closed set.
            pub const ALL: &[ErrorCode] = &[$(ErrorCode::$name,)* ErrorCode::Other];

            /// The wire name.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* Self::Other => "OTHER" }
            }
        }
    };
}

codes! {
    /// Bad JSON, a wrong shape or an impossible value.
    BadRequest = "BAD_REQUEST",
    /// No message has this type.
    UnknownType = "UNKNOWN_TYPE",
    /// The line is longer than the limit; the connection closes.
    FrameTooLarge = "FRAME_TOO_LARGE",
    /// The client asked for a protocol this daemon does not speak.
    UnsupportedProtocol = "UNSUPPORTED_PROTOCOL",
    /// No session has this id, name or prefix.
    SessionNotFound = "SESSION_NOT_FOUND",
    /// There is nothing of this name or number.
    NotFound = "NOT_FOUND",
    /// The prefix fits several sessions.
    AmbiguousId = "AMBIGUOUS_ID",
    /// The client is not subscribed to the session.
    NotSubscribed = "NOT_SUBSCRIBED",
    /// The client is a viewer of the session.
    ReadOnly = "READ_ONLY",
    /// Only the owner may do this.
    NotOwner = "NOT_OWNER",
    /// The client runs inside a session's agent, or its token does not reach this far.
    Forbidden = "FORBIDDEN",
    /// The web does not know the client: no token, or one that is not good any more.
    Unauthorized = "UNAUTHORIZED",
    /// The metadata changed since the version this change was based on.
    VersionConflict = "VERSION_CONFLICT",
    /// Somebody answered before.
    AlreadyDecided = "ALREADY_DECIDED",
    /// No such request waits in this session.
    PermissionNotPending = "PERMISSION_NOT_PENDING",
    /// Too much is queued; try again.
    Busy = "BUSY",
    /// The session's state does not allow it.
    InvalidState = "INVALID_STATE",
    /// No agent has this name, or its program is not installed.
    AgentNotFound = "AGENT_NOT_FOUND",
    /// The agent could not be started.
    AgentStartFailed = "AGENT_START_FAILED",
    /// The agent answered with an error.
    AgentFailed = "AGENT_FAILED",
    /// A limit of the daemon is reached.
    LimitExceeded = "LIMIT_EXCEEDED",
    /// Too many requests.
    RateLimited = "RATE_LIMITED",
    /// The disk is full.
    StoreFull = "STORE_FULL",
    /// The store failed.
    StoreFailed = "STORE_FAILED",
    /// The daemon is stopping.
    ShuttingDown = "SHUTTING_DOWN",
    /// Processes of the agent are still alive.
    KillFailed = "KILL_FAILED",
    /// The daemon has not found the session's runner again yet.
    Adopting = "ADOPTING",
    /// Only one session is active at a time, and another one is.
    InFocus = "IN_FOCUS",
    /// A defect of the daemon.
    Internal = "INTERNAL",
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal or failure, as journal and wire name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CodedError {
    /// For programs.
    pub code: ErrorCode,
    /// For people: what is known and what to do.
    pub message: String,
    /// The present version of the metadata that was to be changed, with `VERSION_CONFLICT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
}

impl CodedError {
    /// An error from its parts.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), version: None }
    }
}

impl fmt::Display for CodedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl std::error::Error for CodedError {}
