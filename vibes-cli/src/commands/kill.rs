//! `vibes kill`: ends sessions and says which.
//!
//! Invariant: named sessions are never asked about; every name gets its own line, and the worst result is the exit
//! code.

use crate::args::{KillArgs, ListArgs};
use crate::client::{Daemon, Start};
use crate::commands::list;
use crate::error::{Failure, Outcome};
use crate::render::{count, short};
use crate::{sanitize, ui};
use vibes_protocol::model::SessionState;
use vibes_protocol::wire::Message;
use vibes_protocol::wire::request::KillSession;

pub(crate) fn run(args: &KillArgs) -> Outcome {
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let ids = if args.all { all(&mut daemon, args.yes)? } else { args.ids.clone() };
    each(&ids, |id| {
        let id = daemon.named(id)?;
        kill(&mut daemon, &id)
    })
}

/// Does something for each name and goes on after a failure; the worst exit code wins.
pub(crate) fn each(names: &[String], mut act: impl FnMut(&str) -> Outcome) -> Outcome {
    let mut worst: Option<Failure> = None;
    for name in names {
        let Err(mut failure) = act(name) else { continue };
        if failure.kind == crate::error::Kind::BrokenPipe {
            return Err(failure);
        }
        if names.len() > 1 {
            failure.message = format!("{name}: {}", failure.message);
        }
        ui::failure(&failure);
        if worst.as_ref().is_none_or(|worst| failure.kind.exit_code() > worst.kind.exit_code()) {
            worst = Some(Failure::silent(failure.kind));
        }
    }
    worst.map_or(Ok(()), Err)
}

fn all(daemon: &mut Daemon, yes: bool) -> Outcome<Vec<String>> {
    if !yes && !ui::can_ask() {
        return Err(Failure::usage("kill --all asks first, and there is no terminal to ask on")
            .hint("--yes answers the question"));
    }
    let (sessions, _) = list::fetch(daemon, &ListArgs::default())?;
    if sessions.is_empty() {
        ui::say("No active sessions.");
        return Ok(Vec::new());
    }
    if !yes {
        let question =
            format!("End {} and everything started in them?", count(sessions.len(), "session", "sessions"));
        if !ui::confirm(&question)? {
            ui::say("Nothing was ended.");
            return Ok(Vec::new());
        }
    }
    Ok(sessions.iter().map(|session| session.id.to_string()).collect())
}

fn kill(daemon: &mut Daemon, id: &str) -> Outcome {
    let (session, _, _) = daemon.session(id)?;
    // The id, not what was typed: a name may pass to another session in between.
    match daemon.ask(KillSession { session_id: session.id.to_string() })? {
        Message::Ok { .. } => {}
        _ => return Err(Failure::unexpected("kill_session")),
    }
    let was = match session.state {
        SessionState::WaitingPermission => "waiting for approval",
        state => state.as_str(),
    };
    let name = session.name.map_or_else(String::new, |name| format!(" {}", sanitize::line(&name)));
    ui::data(&format!("killed {}{name} ({}, was {was})", short(session.id), sanitize::line(&session.agent)))
}
