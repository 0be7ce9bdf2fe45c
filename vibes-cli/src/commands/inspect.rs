//! `show`, `who`, `agents`: reading without joining.
//!
//! Invariant: `--json` prints what the daemon said, nothing renamed.

use crate::args::OneJsonArgs;
use crate::client::{Daemon, Start};
use crate::error::{Failure, Kind, Outcome};
use crate::render::sheet;
use crate::{commands, place, ui};
use std::collections::BTreeMap;
use vibes_protocol::wire::Message;
use vibes_protocol::wire::request::{ListAgents, Who};

pub(crate) fn show(args: &OneJsonArgs) -> Outcome {
    let mut daemon = Daemon::here(Start::Auto)?;
    let id = daemon.named(&args.id)?;
    let (session, members, launch) = daemon.session(&id)?;
    if args.json {
        let mut whole = serde_json::to_value(&session)
            .map_err(|error| Failure::new(Kind::Failed, format!("cannot write JSON: {error}")))?;
        whole["members"] = serde_json::json!(members);
        whole["launch"] = launch;
        return ui::json(&whole);
    }
    let (home, paint) = (place::home(), ui::Paint::stdout());
    ui::data(&sheet::session(&session, &members, &launch, commands::now(), home.as_deref(), paint).join("\n"))
}

pub(crate) fn who(args: &OneJsonArgs) -> Outcome {
    let mut daemon = Daemon::here(Start::Auto)?;
    let id = daemon.named(&args.id)?;
    let Message::Members { members, .. } = daemon.ask(Who { session_id: id })? else {
        return Err(Failure::unexpected("who"));
    };
    if args.json {
        return ui::json(&members);
    }
    ui::data(&sheet::who(&members, commands::now(), ui::Paint::stdout()).join("\n"))
}

pub(crate) fn agents(json: bool) -> Outcome {
    let mut daemon = Daemon::here(Start::Auto)?;
    let mut ask = |env| match daemon.ask(ListAgents { env })? {
        Message::Agents { agents, .. } => Ok(agents),
        _ => Err(Failure::unexpected("list_agents")),
    };
    // What is installed and who is signed in depends on this terminal: first the names of what matters, then the values.
    let mut env = place::agent_environment(&[])?;
    place::pass_on(ask(BTreeMap::new())?.into_iter().flat_map(|agent| agent.env).collect(), &mut env);
    let agents = ask(env)?;
    if json {
        return ui::json(&agents);
    }
    ui::data(&sheet::agents(&agents, ui::Paint::stdout()).join("\n"))
}
