//! `vibes digest`: what happened since this person last looked.
//!
//! Invariant: looking wakes nobody and marks nothing, unless `--mark-read` says so, and then only what was told.

use crate::args::DigestArgs;
use crate::client::{Daemon, Start};
use crate::commands::{list, now_ms};
use crate::error::{Failure, Outcome};
use crate::render::digest::{Frame, session};
use crate::{place, ui};
use vibes_protocol::model::{SessionDigest, SessionInfo};
use vibes_protocol::wire::Message;
use vibes_protocol::wire::request::{GetDigest, MarkRead};

pub(crate) fn run(args: &DigestArgs) -> Outcome {
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let mut told: Vec<(SessionInfo, SessionDigest)> = Vec::new();
    for info in wanted(&mut daemon, args)? {
        let ask = GetDigest { session_id: info.id.to_string(), after: args.after, since: args.since.clone() };
        let Message::Digest { digest, .. } = daemon.ask(ask)? else {
            return Err(Failure::unexpected("get_digest"));
        };
        let quiet = digest.turns.is_empty() && digest.decisions.is_empty() && digest.commands.is_empty();
        if args.id.is_some() || !quiet || !digest.questions.is_empty() {
            told.push((info, *digest));
        }
    }
    if args.json {
        ui::json(&told.iter().map(|(_, digest)| digest).collect::<Vec<_>>())?;
    } else if told.is_empty() {
        ui::say("Nothing happened since you last looked.");
    } else {
        let home = place::home();
        let frame =
            Frame { width: ui::width(), now_ms: now_ms(), home: home.as_deref(), paint: ui::Paint::stdout() };
        let parts: Vec<String> =
            told.iter().map(|(info, digest)| session(info, digest, &frame).join("\n")).collect();
        ui::data(&parts.join("\n\n"))?;
    }
    if args.mark_read {
        for (info, digest) in &told {
            daemon.ask(MarkRead { session_id: info.id.to_string(), seq: Some(digest.head) })?;
        }
    }
    Ok(())
}

/// The named one, or all in which something is new.
fn wanted(daemon: &mut Daemon, args: &DigestArgs) -> Outcome<Vec<SessionInfo>> {
    let fits =
        |info: &SessionInfo| args.since.is_some() || info.unread > 0 || !info.pending_permissions.is_empty();
    match &args.id {
        Some(id) => {
            let named = daemon.named(id)?;
            Ok(vec![daemon.session(&named)?.0])
        }
        None => {
            let all = crate::args::ListArgs { all: true, ..Default::default() };
            let (mut sessions, _) = list::fetch(daemon, &all)?;
            sessions.retain(fits);
            // The one that something happened in last comes last: it is what a person sees first on a terminal.
            sessions.reverse();
            Ok(sessions)
        }
    }
}
