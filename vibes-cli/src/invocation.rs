//! From the words of a command line to an exit code: ids that standard input names, and `--json` for verbs that
//! would only talk.
//!
//! Invariant: every verb that ends by itself has `--json`. One without a shape of its own prints one [`Done`], whether it
//! did what was asked or not, and nothing else on standard output.

use crate::args::{self, Cli};
use crate::client::{Daemon, Start};
use crate::commands;
use crate::error::{Failure, Kind, Outcome};
use crate::ui;
use clap::{ArgMatches, FromArgMatches as _};
use serde_json::Value;
use std::ffi::OsString;
use vibes_protocol::model::{SessionId, SessionInfo};
use vibes_protocol::printed::{Done, Fault};

/// What stands for ids on standard input: `-` is the session used last.
const FROM_STDIN: &str = "@-";
/// The most of standard input that is read for ids, in bytes.
const MOST: u64 = 64 * 1024 * 1024;

/// Runs a command line; gives its exit code.
pub(crate) fn run(words: Vec<OsString>) -> u8 {
    if commands::completion::answered(&words) {
        return 0;
    }
    let outcome = matched(&words).and_then(|matches| match wants_stdin(&matches) {
        false => one(&matches),
        true => for_each(&words),
    });
    match outcome {
        Ok(()) => 0,
        Err(failure) => {
            ui::failure(&failure);
            failure.kind.exit_code()
        }
    }
}

/// What clap makes of it. Help, a version and slips in the words end the program here, as they always do.
fn matched(words: &[OsString]) -> Outcome<ArgMatches> {
    Ok(args::command().try_get_matches_from(words).unwrap_or_else(|error| error.exit()))
}

/// The verb's own words, and its name.
fn verb(matches: &ArgMatches) -> (String, &ArgMatches) {
    let (mut path, mut matches) = (Vec::new(), matches);
    while let Some((name, inner)) = matches.subcommand() {
        path.push(name);
        matches = inner;
    }
    (path.join(" "), matches)
}

/// The sessions that a verb was given, as they were typed.
fn ids(matches: &ArgMatches) -> Vec<String> {
    // As they were typed: some verbs take a record with the session.
    let of = |name: &str| match matches.try_get_raw(name) {
        Ok(Some(ids)) => ids.map(|id| id.to_string_lossy().into_owned()).collect(),
        _ => Vec::new(),
    };
    let mut ids: Vec<String> = of("id");
    ids.extend(of("ids"));
    ids
}

fn wants_stdin(matches: &ArgMatches) -> bool {
    ids(verb(matches).1).iter().any(|id| id == FROM_STDIN)
}

/// The verb once for each id that standard input names; the worst exit code wins.
fn for_each(words: &[OsString]) -> Outcome {
    let text = ui::read_stdin(MOST)?;
    let named = named(&text)?;
    commands::each(&named, |id| {
        let mut words = words.to_vec();
        if let Some(place) = words.iter_mut().find(|word| *word == FROM_STDIN) {
            *place = id.into();
        }
        one(&matched(&words)?)
    })
}

/// Ids, one a line; or JSON as `vibes ls` prints it, an array or an object a line, with `id` or `session_id`.
fn named(text: &str) -> Outcome<Vec<String>> {
    let bad = |what: &str| {
        Failure::usage(format!("standard input: {what} names no session"))
            .hint("one id or name a line, or what `vibes ls --json` prints")
    };
    let of = |value: &Value| {
        let id = value.as_str().or_else(|| value["id"].as_str()).or_else(|| value["session_id"].as_str());
        id.map(str::to_owned).ok_or_else(|| bad(&value.to_string()))
    };
    if text.trim_start().starts_with('[') {
        let all: Vec<Value> = serde_json::from_str(text).map_err(|error| bad(&error.to_string()))?;
        return all.iter().map(of).collect();
    }
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let one = |line: &str| match line.starts_with('{') {
        true => of(&serde_json::from_str(line).map_err(|error| bad(&error.to_string()))?),
        false => Ok(line.to_owned()),
    };
    lines.map(one).collect()
}

/// One verb.
fn one(matches: &ArgMatches) -> Outcome {
    let cli = Cli::from_arg_matches(matches).unwrap_or_else(|error| error.exit());
    let (name, own) = verb(matches);
    if !own.try_get_one::<bool>(args::JSON_OF_DONE).is_ok_and(|wanted| wanted.copied().unwrap_or_default()) {
        return commands::run(cli);
    }
    let typed = ids(own);
    // By their full ids: a name may be another session's afterwards.
    let before: Vec<Option<SessionId>> =
        looked_up(&typed, Start::Never).map(|session| Some(session?.id)).collect();
    ui::gather();
    let outcome = commands::run(cli);
    let gathered = ui::gathered();
    let resolved: Vec<String> =
        typed.iter().zip(&before).map(|(typed, id)| id.map_or(typed.clone(), |id| id.to_string())).collect();
    let sessions = looked_up(&resolved, Start::Never).flatten().collect();
    let mut faults = gathered.faults;
    if let Err(failure) = &outcome
        && failure.kind == Kind::BrokenPipe
    {
        return outcome;
    }
    faults.extend(outcome.as_ref().err().filter(|failure| !failure.message.is_empty()).map(fault));
    let done = Done {
        verb: name.strip_prefix("sessions ").unwrap_or(&name).to_owned(),
        ok: outcome.is_ok(),
        exit_code: outcome.as_ref().err().map_or(0, |failure| failure.kind.exit_code()),
        sessions,
        output: gathered.output,
        said: gathered.said,
        faults,
    };
    ui::json(&done)?;
    outcome
}

/// A failure as it is printed.
pub(crate) fn fault(failure: &Failure) -> Fault {
    Fault {
        code: failure.code,
        message: failure.message.clone(),
        hint: failure.hint.clone(),
        exit_code: failure.kind.exit_code(),
    }
}

fn looked_up(typed: &[String], start: Start) -> impl Iterator<Item = Option<SessionInfo>> {
    let mut daemon = Daemon::here(start).ok();
    typed.iter().map(move |id| {
        let daemon = daemon.as_mut()?;
        let named = daemon.named(id).ok()?;
        daemon.session(&named).ok().map(|(session, _, _)| session)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_in_lines_or_in_json() {
        assert_eq!(named(" a \n\nb\n").unwrap(), ["a", "b"]);
        assert_eq!(named(r#"[{"id":"a"},{"session_id":"b"},"c"]"#).unwrap(), ["a", "b", "c"]);
        assert_eq!(named("{\"id\":\"a\"}\nb\n").unwrap(), ["a", "b"]);
        assert_eq!(named("").unwrap(), [] as [String; 0]);
        for bad in ["[{}]", "{\"name\":\"x\"}", "[", "{"] {
            assert_eq!(named(bad).unwrap_err().kind, Kind::Usage, "{bad}");
        }
    }

    #[test]
    fn the_verb_and_its_ids_are_found_in_either_spelling() {
        for line in ["vibes sessions kill a @- b", "vibes kill a @- b"] {
            let matches = matched(&line.split(' ').map(OsString::from).collect::<Vec<_>>()).unwrap();
            assert!(verb(&matches).0.ends_with("kill"));
            assert_eq!(ids(verb(&matches).1), ["a", "@-", "b"]);
            assert!(wants_stdin(&matches));
        }
    }
}
