//! `vibes when`: something to be done when something is so of a session, now or after any number of restarts.
//!
//! Invariant: the program is found here, by this terminal's PATH, so that a slip is told at once and the daemon runs what the
//! person meant.

use crate::args::{WhenArgs, WhenVerb};
use crate::client::{Daemon, Start};
use crate::commands::now_ms;
use crate::error::{Failure, Outcome};
use crate::render::table::{self, Cell};
use crate::render::{age, short};
use crate::{place, sanitize, ui};
use std::path::Path;
use vibes_protocol::model::{Trigger, TriggerState};
use vibes_protocol::wire::Message;
use vibes_protocol::wire::request::{AddTrigger, ListTriggers, RemoveTrigger};

pub(crate) fn run(args: WhenArgs) -> Outcome {
    match args.verb {
        Some(WhenVerb::List { session, json }) => list(session, json),
        Some(WhenVerb::Rm { triggers }) => {
            let mut daemon = Daemon::introduced(Start::Auto)?;
            for trigger_id in triggers {
                daemon.ask(RemoveTrigger { trigger_id })?;
                ui::say(&format!("removed trigger {trigger_id}"));
            }
            Ok(())
        }
        None => add(args),
    }
}

fn add(args: WhenArgs) -> Outcome {
    let (Some(id), Some(when)) = (args.id, args.condition) else {
        return Err(
            Failure::usage("a session and a condition are wanted").hint("`vibes when --help` has examples")
        );
    };
    let mut command = args.command;
    if command.is_empty() && args.webhook.is_none() {
        return Err(Failure::usage("what is to be done? `-- COMMAND…`, or --webhook NAME"));
    }
    if let Some(program) = command.first_mut() {
        *program = place::program(program)
            .ok_or_else(|| Failure::usage(format!("{}: no such program", sanitize::line(program))))?;
    }
    let cwd = match command.is_empty() {
        true => None,
        false => std::env::current_dir().ok().and_then(|dir| dir.to_str().map(str::to_owned)),
    };
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let session_id = daemon.named(&id)?;
    let ask = AddTrigger { session_id, when, command, cwd, webhook: args.webhook };
    let Message::Triggers { triggers, .. } = daemon.ask(ask)? else {
        return Err(Failure::unexpected("add_trigger"));
    };
    let Some(trigger) = triggers.first() else { return Err(Failure::unexpected("add_trigger")) };
    ui::data(&trigger.trigger_id.to_string())
}

fn list(session: Option<String>, json: bool) -> Outcome {
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let session_id = session.map(|id| daemon.named(&id)).transpose()?;
    let Message::Triggers { triggers, .. } = daemon.ask(ListTriggers { session_id })? else {
        return Err(Failure::unexpected("list_triggers"));
    };
    if json {
        return ui::json(&triggers);
    }
    if triggers.is_empty() {
        ui::say("No triggers. `vibes when ID finished -- COMMAND…` makes one.");
        return Ok(());
    }
    let rows: Vec<Vec<Cell>> = triggers.iter().map(|trigger| row(trigger, now_ms())).collect();
    let headings = ["TRIGGER", "SESSION", "WHEN", "AGE", "STATE", "DOES"];
    ui::data(&table::render(&headings, &rows, ui::Paint::stdout()).join("\n"))
}

fn row(trigger: &Trigger, now_ms: i64) -> Vec<Cell> {
    let does = match &trigger.webhook {
        Some(name) => format!("webhook {name}"),
        None => {
            let name =
                |word: &str| Path::new(word).file_name().map(|name| name.to_string_lossy().into_owned());
            let program = trigger.command.first().and_then(|word| name(word)).unwrap_or_default();
            std::iter::once(program)
                .chain(trigger.command.iter().skip(1).cloned())
                .collect::<Vec<_>>()
                .join(" ")
        }
    };
    let error = trigger.error.as_deref().map_or_else(String::new, |error| format!(": {error}"));
    let state = match trigger.state {
        TriggerState::Armed => "waits".to_owned(),
        TriggerState::Firing if trigger.attempts > 0 => format!("tried {} times{error}", trigger.attempts),
        TriggerState::Firing => "fires".to_owned(),
        TriggerState::Done => {
            let ago = age((now_ms - trigger.ended_ms.unwrap_or(now_ms)) / 1000);
            format!("done {ago} ago")
        }
        TriggerState::Failed => format!("failed{error}"),
    };
    vec![
        Cell::new(trigger.trigger_id.to_string()),
        Cell::new(short(trigger.session_id)),
        Cell::new(sanitize::line(&trigger.when.to_string())),
        Cell::new(age((now_ms - trigger.created_ms) / 1000)),
        Cell::new(sanitize::line(&state)),
        Cell::new(sanitize::line(&does)),
    ]
}
