//! Verbs that are one request and one line: interrupt, suspend, resume, finish, transfer, take, rm, undelete, set.
//!
//! Invariant: a verb that changed something says so on standard error; standard output stays empty for scripts.

use crate::args::ResumeArgs;
use crate::client::{Daemon, Start, pick_member};
use crate::commands::kill::each;
use crate::commands::{life, run};
use crate::error::{Failure, Outcome};
use crate::{place, sanitize, ui};
use serde_json::Value;
use vibes_protocol::model::SessionState;
use vibes_protocol::wire::request::{
    DeleteSession, FinishSession, Interrupt, ResumeSession, SetOption, SuspendSession, TakeOwnership,
    TransferOwnership, UndeleteSession, Who,
};
use vibes_protocol::wire::{ErrorCode, Message, Request};

/// One request for one session, answered by `ok`.
pub(crate) fn act(id: &str, done: &str, request: impl FnOnce(String) -> Request) -> Outcome {
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let named = daemon.named(id)?;
    daemon.ask(request(named))?;
    ui::say(&format!("{done} {}", sanitize::line(id)));
    Ok(())
}

pub(crate) fn interrupt(id: &str) -> Outcome {
    act(id, "interrupted", |session_id| Interrupt { session_id, turn: None }.into())
}

pub(crate) fn finish(id: &str) -> Outcome {
    act(id, "finished", |session_id| FinishSession { session_id }.into())
}

pub(crate) fn undelete(id: &str) -> Outcome {
    act(id, "undeleted", |session_id| UndeleteSession { session_id }.into())
}

pub(crate) fn take(id: &str) -> Outcome {
    act(id, "took ownership of", |session_id| TakeOwnership { session_id }.into())
}

pub(crate) fn remove(ids: &[String], purge: bool) -> Outcome {
    if purge {
        return each(ids, self::purge);
    }
    each(ids, |id| act(id, "deleted", |session_id| DeleteSession { session_id, purge }.into()))?;
    ui::say("`vibes undelete ID` takes it back");
    Ok(())
}

fn purge(id: &str) -> Outcome {
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let named = daemon.named(id)?;
    let (session, ..) = daemon.session(&named)?;
    daemon.ask(DeleteSession { session_id: session.id.to_string(), purge: true })?;
    place::forget_session(daemon.dir(), session.id);
    ui::say(&format!("purged {}", sanitize::line(id)));
    Ok(())
}

pub(crate) fn set(id: &str, option: &str, value: &str) -> Outcome {
    act(id, &format!("{} = {} for", sanitize::line(option), sanitize::line(value)), |session_id| {
        SetOption { session_id, option_id: option.to_owned(), value: option_value(value) }.into()
    })
}

/// `true` and `false` are switches; all else, numbers too, is a name among the agent's values.
fn option_value(value: &str) -> Value {
    match value {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        name => Value::from(name),
    }
}

pub(crate) fn suspend(id: &str, now: bool) -> Outcome {
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let id = daemon.named(id)?;
    let (session, _, _) = daemon.session(&id)?;
    let busy = matches!(session.state, SessionState::Processing | SessionState::WaitingPermission);
    if busy && !now {
        if !ui::can_ask() {
            return Err(Failure::usage("a turn is running, and there is no terminal to ask on")
                .hint("--now interrupts the turn and suspends the session"));
        }
        if !ui::confirm("A turn is running. Interrupt it and suspend the session?")? {
            ui::say("Nothing was changed.");
            return Ok(());
        }
    }
    daemon.ask(SuspendSession { session_id: session.id.to_string(), now: now || busy })?;
    ui::say(&format!("suspended {id}; `vibes resume {id}` or a prompt starts its agent again"));
    Ok(())
}

pub(crate) fn resume(args: ResumeArgs) -> Outcome {
    let ResumeArgs { id, context, budget, env, yes } = args;
    let mut env = place::agent_environment(&env)?;
    let context = context.map(from_file).transpose()?;
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let named = daemon.named(&id)?;
    let (session, _, _) = daemon.session(&named)?;
    place::pass_on(daemon.variables_of(&session.agent)?, &mut env);
    let session_id = session.id.to_string();
    let budget = match budget.map(|budget| life::amount(&session, budget)) {
        Some(None) => return Err(Failure::usage("--budget default: `vibes budget ID default` sets that")),
        budget => budget.flatten(),
    };
    let request = ResumeSession { session_id, additional_context: context, budget, pause_others: yes, env };
    run::in_focus(&mut daemon, request, |request| request.pause_others = true)?;
    ui::say(&format!("resumed {}", sanitize::line(&id)));
    Ok(())
}

/// Words, or with `@` before it the file that holds them.
fn from_file(words: String) -> Outcome<String> {
    let Some(path) = words.strip_prefix('@') else { return Ok(words) };
    std::fs::read_to_string(path).map_err(|error| Failure::io(format!("--context @{path}"), &error))
}

pub(crate) fn transfer(id: &str, to: &str) -> Outcome {
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let id = daemon.named(id)?;
    let Message::Members { members, session_id, .. } = daemon.ask(Who { session_id: id.clone() })? else {
        return Err(Failure::unexpected("who"));
    };
    let new_owner_id = pick_member(&members, to)?;
    daemon.ask(TransferOwnership { session_id: session_id.to_string(), new_owner_id }).map_err(
        |failure| {
            match failure.code {
                // Only the connection that owns a session may give it away, and this one has just begun.
                Some(ErrorCode::NotOwner) => {
                    failure.hint("in the owner's own `vibes attach`, /transfer SEAT hands it over")
                }
                _ => failure,
            }
        },
    )?;
    ui::say(&format!("transferred {id} to {}", sanitize::line(to)));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_names_unless_they_are_switches() {
        assert_eq!(option_value("true"), Value::Bool(true));
        assert_eq!(option_value("auto"), Value::from("auto"));
        assert_eq!(option_value("4"), Value::from("4"));
    }
}
