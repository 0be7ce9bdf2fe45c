//! `vibes wait`: returns when sessions are where a script wants them.
//!
//! Invariant: it never joins a session, and it misses nothing: the state is read after notices have begun to flow,
//! and read again on every new connection.

use crate::args::WaitArgs;
use crate::client::{Daemon, Heard, Start};
use crate::error::{Failure, Kind, Outcome};
use crate::render::permission::action;
use crate::render::short;
use crate::{place, ui};
use std::time::{Duration, Instant};
use vibes_protocol::model::{Condition, RemovedReason, SessionId, SessionInfo, SessionState};
use vibes_protocol::wire::Message;

/// How often files are looked for: nobody tells of them.
const LOOK: Duration = Duration::from_millis(250);

pub(crate) fn run(args: &WaitArgs) -> Outcome {
    let deadline = args.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let mut left: Vec<SessionInfo> = Vec::new();
    for id in &args.ids {
        let named = daemon.named(id)?;
        let (session, _, _) = daemon.session(&named)?;
        if left.iter().all(|known| known.id != session.id) {
            left.push(session);
        }
    }
    if let [session] = &left[..] {
        place::remember_session(daemon.dir(), session.id);
    }
    loop {
        let (mut still, mut last) = (Vec::new(), None);
        for session in left {
            match judge(&session, &args.until) {
                Some(Ok(())) if args.any => return ui::data(&session.id.to_string()),
                Some(Ok(())) => {}
                // Of several, another one may be it yet.
                Some(Err(failure)) if args.any => last = Some(failure),
                Some(Err(failure)) => return Err(failure),
                None => still.push(session),
            }
        }
        left = still;
        if left.is_empty() {
            return last.map_or(Ok(()), Err);
        }
        let files = matches!(args.until, Condition::File(_)).then(|| Instant::now() + LOOK);
        let until = [deadline, files].into_iter().flatten().min();
        match daemon.hear(until)? {
            Heard::Nothing if deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                let all =
                    left.iter().map(|one| format!("session {} is {}", short(one.id), one.state.as_str()));
                let message = format!("timed out; {}", all.collect::<Vec<_>>().join(", "));
                return Err(Failure::new(Kind::TimedOut, message));
            }
            Heard::Nothing => {}
            Heard::Again => {
                for session in &mut left {
                    (*session, _, _) = daemon.session(&session.id.to_string())?;
                }
            }
            Heard::Message(message) => match *message {
                Message::SessionUpdated { session } | Message::SessionNotification { session } => {
                    if let Some(known) = left.iter_mut().find(|known| known.id == session.id) {
                        *known = session;
                    }
                }
                // The notice gives a reason only; how it ended is in the session, which can still be read.
                Message::SessionRemoved { session_id, reason } => {
                    let known = left.iter_mut().find(|known| known.id == session_id);
                    let Some(known) = known else { continue };
                    match daemon.session(&session_id.to_string()) {
                        Ok((session, _, _)) => *known = session,
                        Err(_) if reason == RemovedReason::Deleted => {
                            let message = format!("session {} was deleted", short(session_id));
                            return Err(Failure::new(Kind::Failed, message));
                        }
                        Err(failure) => return Err(failure),
                    }
                }
                _ => {}
            },
        }
    }
}

/// Listens until there is something about one session, or the daemon was found again; `false` when the deadline passed.
pub(crate) fn news(daemon: &mut Daemon, id: SessionId, deadline: Option<Instant>) -> Outcome<bool> {
    loop {
        match daemon.hear(deadline)? {
            Heard::Nothing => return Ok(false),
            Heard::Again => return Ok(true),
            Heard::Message(message) => match *message {
                Message::SessionUpdated { session } | Message::SessionNotification { session }
                    if session.id == id =>
                {
                    return Ok(true);
                }
                Message::SessionRemoved { session_id, .. } if session_id == id => return Ok(true),
                _ => {}
            },
        }
    }
}

/// Whether the waiting is over, and how.
fn judge(session: &SessionInfo, until: &Condition) -> Option<Outcome> {
    let id = short(session.id);
    let holds = until.holds(session).unwrap_or_else(|| there_is(until, &session.cwd));
    match (until, session.state) {
        // What was waited for is so, whatever became of the session.
        (Condition::Cost(_) | Condition::File(_), _) if holds => Some(Ok(())),
        (_, SessionState::Failed) => {
            let reason = session.reason.as_deref().unwrap_or("no reason was given");
            Some(Err(Failure::new(Kind::AgentFailed, format!("session {id} failed: {reason}"))
                .hint(format!("`vibes logs {id}` shows what happened"))))
        }
        _ if holds => Some(Ok(())),
        (Condition::NeedsApproval, state) if state.is_ended() => {
            let message = format!("session {id} ended ({}) without asking for approval", state.as_str());
            Some(Err(Failure::new(Kind::Failed, message)))
        }
        (Condition::NeedsApproval, _) => None,
        (_, SessionState::WaitingPermission) => Some(Err(needs_approval(session))),
        (Condition::Cost(_) | Condition::File(_), state) if state.is_ended() => {
            let message = format!("session {id} ended ({}) before {until}", state.as_str());
            Some(Err(Failure::new(Kind::Failed, message)))
        }
        _ => None,
    }
}

/// Whether there is a file of a pattern.
fn there_is(until: &Condition, cwd: &str) -> bool {
    let found = until.pattern(cwd).and_then(|pattern| glob::glob(&pattern).ok());
    found.is_some_and(|mut found| found.any(|path| path.is_ok()))
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

    fn exit(state: &str, until: &str) -> Option<u8> {
        let outcome = judge(&session(json!({"state": state})), &until.parse().unwrap());
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
            assert_eq!(exit(state, "idle"), idle, "{state} idle");
            assert_eq!(exit(state, "needs-approval"), approval, "{state} needs-approval");
            assert_eq!(exit(state, "finished"), finished, "{state} finished");
        }
    }

    #[test]
    fn what_a_session_has_cost_counts_however_it_ends() {
        let judged = |state: &str, amount: f64| {
            let session = session(json!({"state": state, "cost": {"amount": amount, "currency": "USD"}}));
            let outcome = judge(&session, &Condition::Cost(1.0));
            outcome.map(|outcome| outcome.map_or_else(|failure| failure.kind.exit_code(), |()| 0))
        };
        for (state, below) in [
            ("idle", None),
            ("processing", None),
            ("waiting_permission", Some(6)),
            ("finished", Some(1)),
            ("failed", Some(7)),
        ] {
            assert_eq!((judged(state, 1.0), judged(state, 1.5)), (below, Some(0)), "{state}");
        }
    }

    #[test]
    fn a_queue_is_not_rest() {
        assert!(judge(&session(json!({"state": "idle", "queued": 1})), &Condition::Idle).is_none());
    }
}
