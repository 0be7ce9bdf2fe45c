//! What can go wrong, for people and for scripts: a kind, a message, a hint.
//!
//! Invariant: the kind alone decides the exit code, and this file is the only place that says which. A message says
//! what is known; a hint says what to do next; neither claims a cause that was not seen.

use std::{fmt, io};
use vibes_protocol::wire::{CodedError, ErrorCode};

/// Why `vibes` ends with something else than success. The exit codes are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Anything that has no code of its own.
    Failed,
    /// The command line makes no sense, or a question could not be asked.
    Usage,
    /// No such session or agent, or more than one fits.
    NotFound,
    /// The daemon is unreachable or could not start.
    Unreachable,
    /// The daemon does not run, and this command does not start it.
    NotRunning,
    /// The daemon said no.
    Refused,
    /// A wait ended because a person has to approve something.
    NeedsApproval,
    /// The agent or its turn failed.
    AgentFailed,
    /// A deadline passed.
    TimedOut,
    /// A person interrupted.
    Interrupted,
    /// The command that an agent ran ended with this code; nothing is left to say.
    Command(u8),
    /// The reader of standard output went away; nothing is left to say.
    BrokenPipe,
}

impl Kind {
    /// The exit code.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Unreachable | Self::NotRunning => 4,
            Self::Refused => 5,
            Self::NeedsApproval => 6,
            Self::AgentFailed => 7,
            Self::TimedOut => 124,
            Self::Interrupted => 130,
            Self::Command(code) => code,
            // What a shell reports for a program that SIGPIPE ended.
            Self::BrokenPipe => 141,
        }
    }

    /// Which kind an error of the daemon is.
    pub(crate) fn of(code: ErrorCode) -> Self {
        use ErrorCode as E;
        match code {
            E::SessionNotFound | E::AmbiguousId | E::AgentNotFound | E::NotFound => Self::NotFound,
            E::ReadOnly
            | E::NotOwner
            | E::Forbidden
            | E::Unauthorized
            | E::VersionConflict
            | E::AlreadyDecided
            | E::PermissionNotPending
            | E::InvalidState
            | E::InFocus
            | E::Busy => Self::Refused,
            E::AgentStartFailed | E::AgentFailed => Self::AgentFailed,
            E::BadRequest
            | E::UnknownType
            | E::FrameTooLarge
            | E::UnsupportedProtocol
            | E::NotSubscribed
            | E::LimitExceeded
            | E::RateLimited
            | E::StoreFull
            | E::StoreFailed
            | E::ShuttingDown
            | E::KillFailed
            | E::Adopting
            | E::Internal
            | E::Other => Self::Failed,
        }
    }
}

/// A failure on its way to the person.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Decides the exit code.
    pub(crate) kind: Kind,
    /// What is known; empty when everything was said already.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) hint: Option<String>,
    /// The daemon's code, when the daemon refused.
    pub(crate) code: Option<ErrorCode>,
}

/// What a command gives back.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure from its parts.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None, code: None }
    }

    /// Ends with the kind's exit code and no words.
    pub(crate) fn silent(kind: Kind) -> Self {
        Self::new(kind, "")
    }

    /// A mistake on the command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// Adds what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A failed operation on a file or a socket, with what was tried.
    pub(crate) fn io(what: impl fmt::Display, error: &io::Error) -> Self {
        Self::new(Kind::Failed, format!("{what}: {error}"))
    }

    /// An answer that does not fit the question: a daemon of another make.
    pub(crate) fn unexpected(asked: &str) -> Self {
        Self::new(
            Kind::Failed,
            format!("the daemon gave an answer to {asked} that this version does not know"),
        )
        .hint("vibes and vibesd may be of different versions; `vibes daemon restart` starts the present one")
    }
}

impl From<CodedError> for Failure {
    fn from(error: CodedError) -> Self {
        let hint = match error.code {
            ErrorCode::SessionNotFound => Some("`vibes ls --all` lists every session"),
            ErrorCode::AmbiguousId => Some("type more characters of the id, or use the name"),
            ErrorCode::AgentNotFound => Some("`vibes agents` lists what can be started here"),
            ErrorCode::AlreadyDecided => Some("nothing was changed; the first answer stands"),
            ErrorCode::NotOwner => {
                Some("`vibes who ID` shows the owner; in `vibes attach ID`, /take takes ownership")
            }
            ErrorCode::Busy => Some("wait for a turn to end (`vibes wait ID --until idle`), then try again"),
            ErrorCode::Adopting => {
                Some("the daemon is finding the agent again after a restart; try again in a moment")
            }
            _ => None,
        };
        Self {
            kind: Kind::of(error.code),
            message: format!("{} ({})", error.message, error.code),
            hint: hint.map(str::to_owned),
            code: Some(error.code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_documented_exit_code() {
        let table = [
            (Kind::Failed, 1),
            (Kind::Usage, 2),
            (Kind::NotFound, 3),
            (Kind::Unreachable, 4),
            (Kind::NotRunning, 4),
            (Kind::Refused, 5),
            (Kind::NeedsApproval, 6),
            (Kind::AgentFailed, 7),
            (Kind::TimedOut, 124),
            (Kind::Interrupted, 130),
            (Kind::Command(42), 42),
            (Kind::BrokenPipe, 141),
        ];
        for (kind, code) in table {
            assert_eq!(kind.exit_code(), code, "{kind:?}");
        }
    }

    #[test]
    fn every_error_code_of_the_daemon_maps_as_documented() {
        let listed = [
            (3, &["SESSION_NOT_FOUND", "AMBIGUOUS_ID", "AGENT_NOT_FOUND", "NOT_FOUND"][..]),
            (
                5,
                &[
                    "READ_ONLY",
                    "NOT_OWNER",
                    "FORBIDDEN",
                    "VERSION_CONFLICT",
                    "ALREADY_DECIDED",
                    "PERMISSION_NOT_PENDING",
                    "INVALID_STATE",
                    "BUSY",
                    "UNAUTHORIZED",
                    "IN_FOCUS",
                ][..],
            ),
            (7, &["AGENT_START_FAILED", "AGENT_FAILED"][..]),
        ];
        for code in ErrorCode::ALL {
            let expected =
                listed.iter().find(|(_, names)| names.contains(&code.as_str())).map_or(1, |(exit, _)| *exit);
            let failure = Failure::from(CodedError::new(*code, "words"));
            assert_eq!(failure.kind.exit_code(), expected, "{code}");
            assert!(failure.message.contains(code.as_str()), "scripts and people can name the code");
        }
    }
}
