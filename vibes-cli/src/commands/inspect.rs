//! `show`, of a session or of one of its records, `who`, `agents`: reading without joining.
//!
//! Invariant: `--json` prints what the daemon said, nothing renamed.

use crate::args::{OneJsonArgs, ShowArgs};
use crate::client::{Daemon, Start};
use crate::error::{Failure, Kind, Outcome};
use crate::render::conversation::{Conversation, Place};
use crate::render::{age, sheet, short};
use crate::screen::{Plain, style};
use crate::{commands, place, sanitize, ui};
use std::collections::BTreeMap;
use vibes_protocol::model::{Seq, SessionInfo};
use vibes_protocol::wire::Message;
use vibes_protocol::wire::request::{GetSession, ListAgents, ReadRecords, Who};

pub(crate) fn show(args: &ShowArgs) -> Outcome {
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let id = daemon.named(&args.id.id)?;
    let Message::Session { session, members, launch, ports, .. } =
        daemon.ask(GetSession { session_id: id, ports: true })?
    else {
        return Err(Failure::unexpected("get_session"));
    };
    if let Some(seq) = args.id.record_in(&session)? {
        return record(&mut daemon, &session, seq, args.json);
    }
    if args.json {
        let mut whole = serde_json::to_value(&session)
            .map_err(|error| Failure::new(Kind::Failed, format!("cannot write JSON: {error}")))?;
        whole["members"] = serde_json::json!(members);
        whole["launch"] = launch;
        whole["ports"] = serde_json::json!(ports);
        return ui::json(&whole);
    }
    let (home, paint) = (place::home(), ui::Paint::stdout());
    let now = commands::now();
    let mut lines = sheet::session(&session, &members, &launch, now, home.as_deref(), paint);
    // Behind what is told of the session itself, before who is attached.
    let at = lines.iter().position(String::is_empty).unwrap_or(lines.len());
    lines.splice(at..at, sheet::ports(&ports, paint));
    ui::data(&lines.join("\n"))
}

/// One record: as on the wire, or as the transcript has it below a line of its own.
fn record(daemon: &mut Daemon, session: &SessionInfo, seq: Seq, json: bool) -> Outcome {
    let ask = ReadRecords { session_id: session.id.to_string(), after: seq - 1, limit: Some(1) };
    let Message::Records { mut records, .. } = daemon.ask(ask)? else {
        return Err(Failure::unexpected("read_records"));
    };
    let Some(record) = records.pop().filter(|record| record.seq == seq) else {
        return Err(Failure::new(Kind::NotFound, format!("record {seq} cannot be read")));
    };
    if json {
        return ui::json(&Message::Record(record));
    }
    let whole = serde_json::to_value(&record.fact)
        .map_err(|error| Failure::new(Kind::Failed, format!("cannot write JSON: {error}")))?;
    let mut conversation = Conversation::new(style(&session.agent, None, Place::Page, true));
    let mut pieces = conversation.read(record.at_ms, &record.fact);
    pieces.extend(conversation.flush());
    let kind = whole["update"]["sessionUpdate"].as_str().or(whole["kind"].as_str()).unwrap_or_default();
    let ago = age((commands::now_ms() - record.at_ms) / 1000);
    let line = format!("{}@{seq} · {} · {ago} ago", short(session.id), sanitize::line(kind));
    ui::data(&ui::Paint::stdout().dim(&line))?;
    if pieces.is_empty() {
        return ui::json(&whole);
    }
    let mut screen = Plain::default();
    screen.show(pieces)?;
    screen.end()
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
