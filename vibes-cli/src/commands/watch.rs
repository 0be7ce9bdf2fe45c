//! `vibes ls --watch` and `vibes approvals list --watch`: what there is, and then what changes.
//!
//! Invariant: one JSON object per line. The list is read after notices have begun to flow and again on every new
//! connection, so that nothing that lasts is missed; what came and went between two notices is.

use crate::args::ListArgs;
use crate::client::{Daemon, Heard, Start};
use crate::commands::list;
use crate::error::Outcome;
use crate::ui;
use std::collections::{BTreeMap, BTreeSet};
use vibes_protocol::model::{RemovedReason, SessionId, SessionInfo};
use vibes_protocol::printed::{Asked, Settled};
use vibes_protocol::wire::Message;

/// Follows the sessions of a list: `tell` hears of each that is there or changes, and of each that left it.
fn follow(args: &ListArgs, mut tell: impl FnMut(Message) -> Outcome) -> Outcome {
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let fits = |session: &SessionInfo| {
        let state = args.state.is_empty() || args.state.contains(&session.state);
        state && args.agent.as_ref().is_none_or(|agent| *agent == session.agent)
    };
    let mut known: BTreeSet<SessionId> = BTreeSet::new();
    let mut again = true;
    loop {
        if std::mem::take(&mut again) {
            let (sessions, _) = list::fetch(&mut daemon, args)?;
            let here: BTreeSet<SessionId> = sessions.iter().map(|session| session.id).collect();
            for gone in known.difference(&here) {
                tell(Message::SessionRemoved { session_id: *gone, reason: RemovedReason::SessionFinished })?;
            }
            for session in sessions {
                tell(match known.contains(&session.id) {
                    true => Message::SessionUpdated { session },
                    false => Message::SessionNotification { session },
                })?;
            }
            known = here;
        }
        match daemon.hear(None)? {
            Heard::Again => again = true,
            Heard::Nothing => {}
            Heard::Message(message) => match *message {
                Message::SessionNotification { session } | Message::SessionUpdated { session } => {
                    let ended = session.state.is_ended() && !args.all;
                    match (fits(&session) && !ended, known.contains(&session.id)) {
                        (true, true) => tell(Message::SessionUpdated { session })?,
                        (true, false) => {
                            known.insert(session.id);
                            tell(Message::SessionNotification { session })?;
                        }
                        // It has another state than those that are wanted. How it ended comes with its removal.
                        (false, true) if !ended => {
                            known.remove(&session.id);
                            let reason = RemovedReason::SessionFinished;
                            tell(Message::SessionRemoved { session_id: session.id, reason })?;
                        }
                        (false, _) => {}
                    }
                }
                Message::SessionRemoved { session_id, reason }
                    if known.contains(&session_id) && (!args.all || reason == RemovedReason::Deleted) =>
                {
                    known.remove(&session_id);
                    tell(Message::SessionRemoved { session_id, reason })?;
                }
                _ => {}
            },
        }
    }
}

pub(super) fn sessions(args: &ListArgs) -> Outcome {
    follow(args, |message| ui::json_line(&message))
}

/// The questions of a session that wait.
pub(super) fn asked(session: &SessionInfo) -> impl Iterator<Item = Asked> {
    session.pending_permissions.iter().map(|permission| Asked {
        session_id: session.id,
        session_name: session.name.clone(),
        agent: session.agent.clone(),
        permission: permission.clone(),
    })
}

pub(super) fn approvals() -> Outcome {
    let mut waiting: BTreeMap<SessionId, BTreeSet<String>> = BTreeMap::new();
    follow(&ListArgs::default(), |message| {
        let (id, now) = match &message {
            Message::SessionNotification { session } | Message::SessionUpdated { session } => {
                (session.id, asked(session).collect())
            }
            Message::SessionRemoved { session_id, .. } => (*session_id, Vec::new()),
            _ => return Ok(()),
        };
        let before = waiting.remove(&id).unwrap_or_default();
        let names: BTreeSet<String> = now.iter().map(|one| one.permission.permission_id.clone()).collect();
        for gone in before.difference(&names) {
            ui::json_line(&Settled { session_id: id, settled: gone.clone() })?;
        }
        for one in now.iter().filter(|one| !before.contains(&one.permission.permission_id)) {
            ui::json_line(one)?;
        }
        if !names.is_empty() {
            waiting.insert(id, names);
        }
        Ok(())
    })
}
