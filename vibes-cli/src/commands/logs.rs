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
use vibes_protocol::model::{Seq, SessionId, TurnInfo};
use vibes_protocol::wire::Message;
use vibes_protocol::wire::message::Record;
use vibes_protocol::wire::request::{ListTurns, ReadRecords};

/// How many turns are asked for at once.
const TURNS: u32 = 200;
/// A turn that began so many records before the one that is meant is not shown from its start.
const FAR: Seq = 1000;
/// How many records before the first turn are shown.
const NEAR: Seq = 20;

pub(crate) fn run(args: &LogsArgs) -> Outcome {
    let mut daemon = Daemon::here(Start::Auto)?;
    let id = daemon.named(&args.id.id)?;
    let (session, _, _) = daemon.session(&id)?;
    let mut after = match (args.id.record_in(&session)?, args.after) {
        (Some(_), Some(_)) => return Err(Failure::usage("ID@RECORD and --after both say where to begin")),
        (Some(seq), None) if args.json => seq - 1,
        (Some(seq), None) => around(&mut daemon, session.id, seq)?,
        (None, after) => after.unwrap_or(0),
    };
    place::remember_session(daemon.dir(), session.id);
    let place = if args.follow { Place::Stream } else { Place::Page };
    let mut conversation = Conversation::new(style(&session.agent, None, place, args.thoughts));
    let mut screen = Plain::default();
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

/// Where to begin so that a record is seen in its place: before the prompt of its turn, or right before it where that is
/// far away.
fn around(daemon: &mut Daemon, id: SessionId, seq: Seq) -> Outcome<Seq> {
    let mut before = None;
    loop {
        let ask = ListTurns { session_id: id.to_string(), before, limit: Some(TURNS) };
        let Message::Turns { turns, next_before, .. } = daemon.ask(ask)? else {
            return Err(Failure::unexpected("list_turns"));
        };
        // The newest come first: the first that begins by then is the one. A prompt may have waited behind another turn.
        let begins = |turn: &TurnInfo| turn.input_seq.min(turn.first_seq);
        if let Some(turn) = turns.iter().find(|turn| begins(turn) <= seq) {
            let begins = begins(turn);
            return Ok(if seq - begins > FAR { seq } else { begins } - 1);
        }
        before = next_before;
        if before.is_none() {
            return Ok(seq.saturating_sub(NEAR));
        }
    }
}

/// One page of records after a number, and the session's last record.
pub(crate) fn page(daemon: &mut Daemon, id: SessionId, after: Seq) -> Outcome<(Vec<Record>, Seq)> {
    match daemon.ask(ReadRecords { session_id: id.to_string(), after, limit: None })? {
        Message::Records { records, head, .. } => Ok((records, head)),
        _ => Err(Failure::unexpected("read_records")),
    }
}
