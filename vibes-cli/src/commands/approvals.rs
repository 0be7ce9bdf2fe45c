//! `vibes approvals`: what waits for an answer in every session, and what became of what was asked.
//!
//! Invariant: only reads, policy aside; `--json` prints what the daemon said.

use crate::args::{ApprovalsVerb, ListArgs};
use crate::client::{Daemon, Start};
use crate::commands::{list, now, now_ms, watch};
use crate::error::{Failure, Outcome};
use crate::render::approvals;
use crate::{sanitize, ui};
use vibes_protocol::model::Detached;
use vibes_protocol::wire::Message;
use vibes_protocol::wire::request::{ListApprovals, UpdateSession};

pub(crate) fn run(verb: &ApprovalsVerb) -> Outcome {
    match verb {
        ApprovalsVerb::List { watch: true, .. } => watch::approvals(),
        ApprovalsVerb::List { json, .. } => waiting(*json),
        ApprovalsVerb::Log { session, limit, json } => log(session, *limit, *json),
        ApprovalsVerb::Policy { id, deadline, detached } => {
            policy(id, deadline.as_deref(), detached.as_deref())
        }
    }
}

fn waiting(json: bool) -> Outcome {
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let (sessions, _) = list::fetch(&mut daemon, &ListArgs::default())?;
    if json {
        let waiting: Vec<_> = sessions.iter().flat_map(watch::asked).collect();
        return ui::json(&waiting);
    }
    let lines = approvals::waiting(&sessions, ui::width(), now_ms(), ui::Paint::stdout());
    if lines.is_empty() {
        ui::say("Nothing waits for an answer.");
        return Ok(());
    }
    ui::data(&lines.join("\n"))
}

fn log(sessions: &[String], limit: Option<u32>, json: bool) -> Outcome {
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let named = sessions.iter().map(|id| daemon.named(id)).collect::<Outcome<Vec<_>>>()?;
    let session_ids = (!named.is_empty()).then_some(named);
    let Message::Approvals { approvals, .. } = daemon.ask(ListApprovals { session_ids, limit })? else {
        return Err(Failure::unexpected("list_approvals"));
    };
    if json {
        return ui::json(&approvals);
    }
    if approvals.is_empty() {
        ui::say("Nothing was asked so far.");
        return Ok(());
    }
    ui::data(&approvals::log(&approvals, now(), ui::Paint::stdout()).join("\n"))
}

fn policy(id: &str, deadline: Option<&str>, detached: Option<&str>) -> Outcome {
    let seconds = |text: &str| match text {
        "default" => Ok(None),
        text => text
            .parse()
            .map(Some)
            .map_err(|_| Failure::usage("--deadline is a number of seconds, or default")),
    };
    let when = |text: &str| match text {
        "default" => Ok(None),
        "stall" => Ok(Some(Detached::Stall)),
        "deny" => Ok(Some(Detached::Deny)),
        _ => Err(Failure::usage("--detached is stall, deny or default")),
    };
    let (deadline, detached) = (deadline.map(seconds).transpose()?, detached.map(when).transpose()?);
    if deadline.is_none() && detached.is_none() {
        return Err(Failure::usage("nothing to change: give --deadline or --detached"));
    }
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let session_id = daemon.named(id)?;
    daemon.ask(UpdateSession {
        approval_deadline_s: deadline,
        detached,
        ..UpdateSession::of(session_id, None)
    })?;
    ui::say(&format!("changed for {}; what waits already keeps its time", sanitize::line(id)));
    Ok(())
}
