//! `vibes wait`: returns when a session is where a script wants it.
//!
//! Invariant: it never joins the session, and it misses nothing: the state is read after notices have begun to flow,
//! and read again on every new connection.

use crate::args::{Until, WaitArgs};
use crate::client::{Daemon, Heard, Start};
use crate::error::{Failure, Kind, Outcome};
use crate::place;
use crate::render::permission::action;
use crate::render::short;
use std::time::Instant;
use vibes_protocol::model::{RemovedReason, SessionId, SessionInfo, SessionState};
use vibes_protocol::wire::Message;

pub(crate) fn run(args: &WaitArgs) -> Outcome {
    let deadline = args.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let named = daemon.named(&args.id)?;
    let (mut session, _, _) = daemon.session(&named)?;
    place::remember_session(daemon.dir(), session.id);
    loop {
        if let Some(outcome) = judge(&session, args.until) {
            return outcome;
        }
        match news(&mut daemon, session.id, deadline)? {
            Some(News::Session(next)) => session = *next,
            // The notice gives a reason only; how it ended is in the session, which can still be read.
            Some(News::Removed(RemovedReason::Deleted))
                if daemon.session(&session.id.to_string()).is_err() =>
            {
                return Err(Failure::new(Kind::Failed, format!("session {} was deleted", short(session.id))));
            }
            Some(News::Removed(_) | News::Unsure) => {
                (session, _, _) = daemon.session(&session.id.to_string())?
            }
            None => {
                let state = session.state.as_str();
                let message = format!("timed out; session {} is {state}", short(session.id));
                return Err(Failure::new(Kind::TimedOut, message));
            }
        }
    }
}

/// What concerns one session.
pub(crate) enum News {
    /// It changed.
    Session(Box<SessionInfo>),
    /// It left the list.
    Removed(RemovedReason),
    /// The daemon was found again; ask anew.
    Unsure,
}

/// Listens for one session; `None` when the deadline passed.
pub(crate) fn news(daemon: &mut Daemon, id: SessionId, deadline: Option<Instant>) -> Outcome<Option<News>> {
    loop {
        match daemon.hear(deadline)? {
            Heard::Nothing => return Ok(None),
            Heard::Again => return Ok(Some(News::Unsure)),
            Heard::Message(message) => match *message {
                Message::SessionUpdated { session } | Message::SessionNotification { session }
                    if session.id == id =>
                {
                    return Ok(Some(News::Session(Box::new(session))));
                }
                Message::SessionRemoved { session_id, reason } if session_id == id => {
                    return Ok(Some(News::Removed(reason)));
                }
                _ => {}
            },
        }
    }
}

/// Whether the waiting is over, and how.
fn judge(session: &SessionInfo, until: Until) -> Option<Outcome> {
    let id = short(session.id);
    if session.state == SessionState::Failed {
        let reason = session.reason.as_deref().unwrap_or("no reason was given");
        return Some(Err(Failure::new(Kind::AgentFailed, format!("session {id} failed: {reason}"))
            .hint(format!("`vibes logs {id}` shows what happened"))));
    }
    match (until, session.state) {
        (Until::NeedsApproval, SessionState::WaitingPermission) => Some(Ok(())),
        (Until::NeedsApproval, state) if state.is_ended() => {
            let message = format!("session {id} ended ({}) without asking for approval", state.as_str());
            Some(Err(Failure::new(Kind::Failed, message)))
        }
        (Until::NeedsApproval, _) => None,
        (_, SessionState::WaitingPermission) => Some(Err(needs_approval(session))),
        (_, state) if state.is_ended() => Some(Ok(())),
        // Prompts in the queue will be worked on in a moment: that is not rest.
        (Until::Idle, SessionState::Idle) if session.queued == 0 => Some(Ok(())),
        (Until::Idle, SessionState::Suspended) => Some(Ok(())),
        _ => None,
    }
}

/// The end of a wait that only a person can carry on.
pub(crate) fn needs_approval(session: &SessionInfo) -> Failure {
    let id = short(session.id);
    let what =
        session.pending_permissions.first().map_or_else(String::new, |one| format!(": {}", action(one)));
    Failure::new(Kind::NeedsApproval, format!("session {id} needs approval{what}"))
        .hint(format!("`vibes approve {id}` or `vibes deny {id}` answers; `vibes attach {id}` shows it"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::list::tests::session;
    use serde_json::json;

    fn exit(state: &str, until: Until) -> Option<u8> {
        let outcome = judge(&session(json!({"state": state})), until);
        outcome.map(|outcome| outcome.map_or_else(|failure| failure.kind.exit_code(), |()| 0))
    }

    #[test]
    fn every_state_has_its_answer_for_every_wish() {
        let table = [
            ("starting", None, None, None),
            ("idle", Some(0), None, None),
            ("processing", None, None, None),
            ("waiting_permission", Some(6), Some(0), Some(6)),
            ("suspended", Some(0), None, None),
            ("finished", Some(0), Some(1), Some(0)),
            ("failed", Some(7), Some(7), Some(7)),
            ("killed", Some(0), Some(1), Some(0)),
            ("expired", Some(0), Some(1), Some(0)),
        ];
        for (state, idle, approval, finished) in table {
            assert_eq!(exit(state, Until::Idle), idle, "{state} idle");
            assert_eq!(exit(state, Until::NeedsApproval), approval, "{state} needs-approval");
            assert_eq!(exit(state, Until::Finished), finished, "{state} finished");
        }
    }

    #[test]
    fn a_queue_is_not_rest() {
        assert!(judge(&session(json!({"state": "idle", "queued": 1})), Until::Idle).is_none());
    }
}
