//! `vibes import`: archives, and the files in which agents keep their own conversations, become sessions to be read.
//!
//! Invariant: files are read piece by piece, whatever their size; one that cannot be taken in is told and does not keep the
//! others from it. What a file holds is judged by the daemon.

mod own;
mod places;

use crate::args::ImportArgs;
use crate::client::{Daemon, Start};
use crate::error::{Failure, Kind, Outcome};
use crate::render::{count, short};
use crate::{sanitize, ui};
use places::{Found, From};
use serde_json::{Map, json};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use vibes_protocol::model::{ArchiveHead, ImportOutcome, SessionId};
use vibes_protocol::wire::Message;
use vibes_protocol::wire::request::{ImportSession, ImportStep};

/// How much is sent at once, in bytes: as JSON it must fit into a line.
const PIECE: usize = 96 * 1024;

/// What became of a session.
#[derive(Debug)]
struct Done {
    outcome: ImportOutcome,
    session: Option<SessionId>,
    records: u64,
    turns: u64,
    why: Option<String>,
}

pub(crate) fn run(args: &ImportArgs) -> Outcome {
    let found = places::find(args)?;
    if args.list {
        return list(&found, args.json);
    }
    if found.is_empty() {
        let wishes = [(&args.claude, From::Claude), (&args.codex, From::Codex), (&args.gemini, From::Gemini)];
        let named = wishes.into_iter().filter(|(wish, _)| wish.is_some());
        let files: Vec<_> = named.map(|(_, from)| from.files()).collect();
        ui::say(&format!("there is nothing to import there: no {}", files.join(", no ")));
        return Ok(());
    }
    let mut daemon = Daemon::here(Start::Auto)?;
    let (mut new, mut more, mut known, mut failed) = (0, 0, 0, 0);
    for one in &found {
        let told = format!("{}", one.path.display());
        let mut each = |done: Done| {
            match done.outcome {
                ImportOutcome::Imported => new += 1,
                ImportOutcome::Extended => more += 1,
                ImportOutcome::Known => known += 1,
            }
            tell(&told, &done, args)
        };
        match one_file(&mut daemon, one, &mut each) {
            Ok(()) => {}
            // Without a daemon, or without a reader, there is no next one either.
            Err(failure)
                if matches!(failure.kind, Kind::Unreachable | Kind::NotRunning | Kind::BrokenPipe) =>
            {
                return Err(failure);
            }
            Err(failure) => {
                failed += 1;
                let hint = failure.hint.map_or_else(String::new, |hint| format!("\n  {hint}"));
                ui::say(&sanitize::text(&format!("{told}: {}{hint}", failure.message)));
            }
        }
    }
    let counts = [(new, "imported"), (more, "extended"), (known, "known already"), (failed, "failed")];
    let words: Vec<String> =
        counts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    ui::say(&words.join(", "));
    if failed > 0 {
        return Err(Failure::new(
            Kind::Failed,
            format!("{} could not be imported", count(failed, "file", "files")),
        ));
    }
    Ok(())
}

fn tell(path: &str, done: &Done, args: &ImportArgs) -> Outcome {
    let outcome = serde_json::to_value(done.outcome).ok();
    let outcome = outcome.as_ref().and_then(|word| word.as_str()).unwrap_or_default();
    if args.json {
        return ui::json_line(&json!({"file": path, "outcome": outcome, "session_id": done.session,
            "records": done.records, "turns": done.turns, "why": done.why}));
    }
    let id = done.session.map(short).unwrap_or_default();
    match &done.why {
        // Hundreds of them would bury what is new.
        Some(why) if args.verbose || args.files.len() == 1 => {
            ui::say(&sanitize::line(&format!("{path}: {why}")))
        }
        Some(_) => {}
        None => {
            let turns = count(usize::try_from(done.turns).unwrap_or(usize::MAX), "turn", "turns");
            return ui::data(&sanitize::line(&format!(
                "{id}  {outcome}, {turns}, {} records  {path}",
                done.records
            )));
        }
    }
    Ok(())
}

fn list(found: &[Found], json: bool) -> Outcome {
    if json {
        let rows: Vec<_> = found
            .iter()
            .map(|one| json!({"file": one.path, "from": one.from.map(From::name), "bytes": one.bytes, "cwd": one.cwd}))
            .collect();
        return ui::json(&rows);
    }
    for one in found {
        let from = one.from.map_or("archive", From::name);
        let size = vibes_protocol::model::content::bytes(one.bytes);
        ui::data(&sanitize::line(&format!("{from:<8} {size:>10}  {}", one.path.display())))?;
    }
    Ok(())
}

fn open(path: &Path) -> Outcome<Box<dyn Read + Send>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin()));
    }
    let failed = |error: &io::Error| Failure::io(format_args!("cannot read {}", path.display()), error);
    let file = File::open(path).map_err(|error| failed(&error))?;
    if file.metadata().is_ok_and(|about| !about.is_file()) {
        return Err(Failure::new(Kind::Failed, "it is no file"));
    }
    Ok(Box::new(file))
}

fn one_file(daemon: &mut Daemon, found: &Found, each: &mut dyn FnMut(Done) -> Outcome) -> Outcome {
    let source = places::fingerprint(found);
    let mut input = open(&found.path)?;
    let Some(from) = found.from else { return own::import(daemon, input, source, each) };
    let mut session = Map::new();
    if let Some(cwd) = &found.cwd {
        session.insert("cwd".to_owned(), cwd.as_str().into());
    }
    let head = ArchiveHead {
        kind: String::new(),
        format: 0,
        lineage: String::new(),
        exported_at: 0,
        version: String::new(),
        redacted: false,
        first: 0,
        last: 0,
        session,
    };
    let Begun::Wanted(mut import) = begin(daemon, head, Some(from.name()), source)? else {
        return Err(Failure::unexpected("import_session"));
    };
    let mut bytes = vec![0; PIECE];
    let mut held: Vec<u8> = Vec::new();
    loop {
        let count = match input.read(&mut bytes) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                import.abort(daemon);
                return Err(Failure::io("cannot read it", &error));
            }
        };
        held.extend_from_slice(&bytes[..count]);
        if count == 0 {
            import.add(daemon, &String::from_utf8_lossy(&held))?;
            break;
        }
        // What is cut in the middle of a character waits for the rest of it.
        let whole = match std::str::from_utf8(&held) {
            Ok(_) => held.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => held.len(),
        };
        let rest = held.split_off(whole);
        if let Some(done) = import.add(daemon, &String::from_utf8_lossy(&held))? {
            return each(done);
        }
        held = rest;
    }
    let done = import.commit(daemon)?;
    each(done)
}

/// What the daemon says to a head.
enum Begun {
    Known(Done),
    Wanted(Import),
}

fn begin(
    daemon: &mut Daemon,
    head: ArchiveHead,
    from: Option<&str>,
    source: Option<String>,
) -> Outcome<Begun> {
    let head = Some(Box::new(head));
    let from = from.map(str::to_owned);
    let wish =
        ImportSession { action: ImportStep::Begin, import_id: None, head, from, source, records: None };
    match step(daemon, wish)? {
        (Some(id), _) => Ok(Begun::Wanted(Import { id, text: String::new() })),
        (None, Some(done)) => Ok(Begun::Known(done)),
        (None, None) => Err(Failure::unexpected("import_session")),
    }
}

/// An import under way.
struct Import {
    id: String,
    text: String,
}

impl Import {
    /// Adds text, and sends it when there is enough. Something is said when nothing more is wanted.
    fn add(&mut self, daemon: &mut Daemon, text: &str) -> Outcome<Option<Done>> {
        self.text.push_str(text);
        while self.text.len() >= PIECE {
            if let Some(done) = self.send(daemon)? {
                return Ok(Some(done));
            }
        }
        Ok(None)
    }

    /// Sends as much as fits into a line.
    fn send(&mut self, daemon: &mut Daemon) -> Outcome<Option<Done>> {
        let end = vibes_protocol::codec::piece(&self.text, PIECE);
        let rest = self.text.split_off(end);
        let piece = std::mem::replace(&mut self.text, rest);
        Ok(step(daemon, self.wish(ImportStep::Append, Some(piece)))?.1)
    }

    fn wish(&self, action: ImportStep, records: Option<String>) -> ImportSession {
        let import_id = Some(self.id.clone());
        ImportSession { action, import_id, head: None, from: None, source: None, records }
    }

    fn commit(mut self, daemon: &mut Daemon) -> Outcome<Done> {
        while !self.text.is_empty() {
            if let Some(done) = self.send(daemon)? {
                return Ok(done);
            }
        }
        let done = step(daemon, self.wish(ImportStep::Commit, None))?.1;
        done.ok_or_else(|| Failure::unexpected("import_session"))
    }

    /// What was sent is not to be kept. The daemon finds out by itself when it does not hear of it.
    fn abort(&self, daemon: &mut Daemon) {
        let _ = step(daemon, self.wish(ImportStep::Abort, None));
    }
}

type Step = (Option<String>, Option<Done>);

fn step(daemon: &mut Daemon, wish: ImportSession) -> Outcome<Step> {
    match daemon.ask(wish)? {
        Message::Import { import_id, outcome, session_id, records, turns, why, .. } => {
            let done = outcome.map(|outcome| Done { outcome, session: session_id, records, turns, why });
            Ok((import_id, done))
        }
        _ => Err(Failure::unexpected("import_session")),
    }
}
