//! `vibes logs`: the records of a session, as a transcript or as on the wire.
//!
//! Invariant: with `--json` every record is printed once, in order, and with every field the daemon gave it.

use crate::args::LogsArgs;
use crate::client::{Daemon, Start};
use crate::commands::wait::news;
use crate::error::{Failure, Outcome};
use crate::render::conversation::{Conversation, Place};
use crate::screen::{Plain, style};
use crate::{place, ui};
use vibes_protocol::model::{Seq, SessionId};
use vibes_protocol::wire::Message;
use vibes_protocol::wire::message::Record;
use vibes_protocol::wire::request::ReadRecords;

pub(crate) fn run(args: &LogsArgs) -> Outcome {
    let mut daemon = Daemon::here(Start::Auto)?;
    let id = daemon.named(&args.id)?;
    let (session, _, _) = daemon.session(&id)?;
    place::remember_session(daemon.dir(), session.id);
    let place = if args.follow { Place::Stream } else { Place::Page };
    let mut conversation = Conversation::new(style(&session.agent, None, place, args.thoughts));
    let mut screen = Plain::default();
    let mut after = args.after;
    loop {
        let (records, head) = page(&mut daemon, session.id, after)?;
        for record in &records {
            after = record.seq;
            if args.json {
                ui::json_line(&Message::Record(record.clone()))?;
            } else {
                screen.show(conversation.read(record.at_ms, &record.fact))?;
            }
        }
        if !records.is_empty() && after < head {
            continue;
        }
        // Following is not joining: notices tell when there is more, and records are read like any others.
        let now = daemon.session(&session.id.to_string())?.0;
        if args.follow && now.head > after {
            continue;
        }
        if !args.follow || now.state.is_ended() {
            screen.show(conversation.flush())?;
            return screen.end();
        }
        news(&mut daemon, session.id, None)?;
    }
}

/// One page of records after a number, and the session's last record.
pub(crate) fn page(daemon: &mut Daemon, id: SessionId, after: Seq) -> Outcome<(Vec<Record>, Seq)> {
    match daemon.ask(ReadRecords { session_id: id.to_string(), after, limit: None })? {
        Message::Records { records, head, .. } => Ok((records, head)),
        _ => Err(Failure::unexpected("read_records")),
    }
}
