//! `vibes rules`: standing rules, put in force, shown, tried.
//!
//! Invariant: a file is read here and judged by the daemon; nothing is in force before the daemon has said so.

use crate::args::RulesVerb;
use crate::client::{Daemon, Start};
use crate::error::{Failure, Outcome};
use crate::render::approvals;
use crate::{commands, sanitize, ui};
use std::path::Path;
use vibes_protocol::wire::Message;
use vibes_protocol::wire::message::AppliedRules;
use vibes_protocol::wire::request::{ApplyRules, GetRules, RemoveRule, TestRules};

/// The longest file, in bytes; the daemon has the same limit.
const LONGEST: u64 = 256 * 1024;

pub(crate) fn run(verb: &RulesVerb) -> Outcome {
    match verb {
        RulesVerb::Apply { file } => apply(file),
        RulesVerb::Check { file } => check(file),
        RulesVerb::Show { session, json } => show(session.as_deref(), *json),
        RulesVerb::Test { file, session, limit, json } => test(file, session, *limit, *json),
        RulesVerb::Forget { id, name } => forget(id, name),
    }
}

/// A file, or standard input.
pub(crate) fn read(file: &Path) -> Outcome<String> {
    if file.as_os_str() == "-" {
        return ui::read_stdin(LONGEST);
    }
    let size = std::fs::metadata(file).map_or(0, |file| file.len());
    if size > LONGEST {
        return Err(Failure::usage(format!("{} has {size} bytes; {LONGEST} are the most", file.display())));
    }
    std::fs::read_to_string(file)
        .map_err(|error| Failure::io(format!("cannot read {}", file.display()), &error))
}

/// Sends a file; gives what the daemon read.
fn send(file: &Path, dry_run: bool) -> Outcome<AppliedRules> {
    let text = read(file)?;
    let mut daemon = Daemon::introduced(Start::Auto)?;
    match daemon.ask(ApplyRules { text, dry_run })? {
        Message::Rules { applied, .. } => {
            applied.into_iter().next().ok_or_else(|| Failure::unexpected("apply_rules"))
        }
        _ => Err(Failure::unexpected("apply_rules")),
    }
}

fn apply(file: &Path) -> Outcome {
    let applied = send(file, false)?;
    let rules = crate::render::count(applied.rules as usize, "rule", "rules");
    ui::say(&format!("in force for {}: {rules}, sha256 {}", approvals::whose(&applied), applied.hash));
    Ok(())
}

fn check(file: &Path) -> Outcome {
    let read = send(file, true)?;
    let rules = crate::render::count(read.rules as usize, "rule", "rules");
    ui::say(&format!("right: {rules}, for {}, sha256 {}", approvals::whose(&read), read.hash));
    Ok(())
}

fn show(session: Option<&str>, json: bool) -> Outcome {
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let session_id = session.map(|id| daemon.named(id)).transpose()?;
    let of_session = session_id.is_some();
    let Message::Rules { applied, session_rules, .. } = daemon.ask(GetRules { session_id })? else {
        return Err(Failure::unexpected("get_rules"));
    };
    if of_session {
        if json {
            return ui::json(&session_rules);
        }
        let lines = approvals::session_rules(&session_rules, commands::now(), ui::Paint::stdout());
        return ui::data(&lines.join("\n"));
    }
    if json {
        return ui::json(&applied);
    }
    if applied.is_empty() {
        ui::say(
            "No rules are in force: every question is for a person. `vibes rules apply FILE` changes that.",
        );
        return Ok(());
    }
    for one in &applied {
        ui::data(&format!(
            "# {} for {} · applied {} ago · sha256 {}",
            crate::render::count(one.rules as usize, "rule", "rules"),
            approvals::whose(one),
            crate::render::age(commands::now() - one.applied_at),
            one.hash
        ))?;
        let text =
            if ui::stdout_is_terminal() { sanitize::text(&one.text).into_owned() } else { one.text.clone() };
        ui::data(text.trim_end())?;
    }
    Ok(())
}

fn test(file: &Path, sessions: &[String], limit: Option<u32>, json: bool) -> Outcome {
    let text = read(file)?;
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let named = sessions.iter().map(|id| daemon.named(id)).collect::<Outcome<Vec<_>>>()?;
    let session_ids = (!named.is_empty()).then_some(named);
    let answer = daemon.ask(TestRules { text, session_ids, limit })?;
    let Message::RulesTested { hash, replayed, allowed, denied, changes, .. } = answer else {
        return Err(Failure::unexpected("test_rules"));
    };
    if json {
        return ui::json(&serde_json::json!({
            "hash": hash, "replayed": replayed, "allowed": allowed, "denied": denied, "changes": changes,
        }));
    }
    let lines = approvals::tested(replayed, allowed, denied, &changes, ui::width(), ui::Paint::stdout());
    ui::data(&lines.join("\n"))
}

fn forget(id: &str, name: &str) -> Outcome {
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let session_id = daemon.named(id)?;
    daemon.ask(RemoveRule { session_id, name: name.to_owned() })?;
    ui::say(&format!("rule {} of {} is gone", sanitize::line(name), sanitize::line(id)));
    Ok(())
}
