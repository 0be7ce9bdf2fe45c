//! `vibes run` and its short forms: creates a session and, unless detached, attaches to it.
//!
//! Invariant: the session is created once, whatever happens to the connection; with `-d` standard output has the id
//! and nothing else.

use crate::args::{Budget, ForkArgs, RunArgs, StartArgs};
use crate::attach;
use crate::client::{Daemon, Start};
use crate::commands::{idempotency_key, send, template};
use crate::error::{Failure, Kind, Outcome};
use crate::render::count;
use crate::{attachment, place, ui};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;
use vibes_protocol::codec::MAX_CLIENT_LINE;
use vibes_protocol::model::TurnOutcome;
use vibes_protocol::model::fact::TurnEnded;
use vibes_protocol::wire::request::{CreateSession, ForkSession};
use vibes_protocol::wire::{ErrorCode, Message, Request};

/// `vibes run`: with a template, one word is the prompt and two are agent and prompt.
pub(crate) fn run_any(args: RunArgs) -> Outcome {
    let RunArgs { agent, mut start } = args;
    match agent {
        Some(prompt) if start.template.is_some() && start.prompt.is_none() => {
            start.prompt = Some(prompt);
            run(None, &start)
        }
        agent => run(agent.as_deref(), &start),
    }
}

/// The values of `--set NAME=VALUE`.
fn values(given: &[String]) -> Outcome<BTreeMap<String, String>> {
    let pair = |text: &String| {
        let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
            Failure::usage(format!("--set {text}: a name and a value are wanted")).hint("--set NAME=VALUE")
        })?;
        Ok((name.to_owned(), value.to_owned()))
    };
    given.iter().map(pair).collect()
}

pub(crate) fn run(agent: Option<&str>, args: &StartArgs) -> Outcome {
    let prompt = match args.prompt.as_deref() {
        Some("-") => {
            let text = ui::read_stdin(MAX_CLIENT_LINE as u64)?;
            Some(text.strip_suffix('\n').map_or(text.clone(), str::to_owned))
        }
        other => other.map(str::to_owned),
    };
    let empty = prompt.as_deref().is_none_or(|prompt| prompt.trim().is_empty());
    if args.once && empty && args.attach.is_empty() && args.template.is_none() {
        return Err(Failure::usage("--once needs a prompt: the session finishes after its turn"));
    }
    let mut options = Map::new();
    if let Some(model) = &args.model {
        options.insert("model".to_owned(), Value::from(model.as_str()));
    }
    let here = directory(args.cwd.as_deref())?;
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let template = match &args.template {
        Some(name) => {
            let info = template::get(&mut daemon, name)?.0;
            let broken = |why| Failure::new(Kind::Failed, format!("{}: {why}", info.path));
            Some(info.template.ok_or_else(|| broken(info.error.unwrap_or_default()))?)
        }
        None => None,
    };
    let its_own = template.as_ref().is_some_and(|template| template.cwd.is_some()) && args.cwd.is_none();
    let mut wanted = args.env.clone();
    // What is not set here it does without, as with what agents are passed anyway.
    let passed = template.as_ref().map(|template| template.env.clone()).unwrap_or_default();
    wanted.extend(passed.into_iter().filter(|name| place::is_set(name)));
    let of = agent.map(str::to_owned).or_else(|| template.map(|template| template.agent)).unwrap_or_default();
    let mut request = CreateSession {
        agent: agent.unwrap_or_default().to_owned(),
        cwd: if its_own { String::new() } else { here },
        template: args.template.clone(),
        values: values(&args.set)?,
        name: args.name.clone(),
        prompt: None,
        conversation: match args.continue_last {
            true => Some("last".into()),
            false => args.resume.as_deref().map(Into::into),
        },
        description: args.description.clone(),
        metadata: Map::new(),
        args: args.agent_args.clone(),
        options,
        mode: args.mode.clone(),
        orphan_policy: args.orphan.map(Into::into),
        ttl_s: args.ttl.and_then(|ttl| ttl.0),
        budget: args.budget.and_then(|budget| match budget {
            Budget::To(amount) | Budget::More(amount) => Some(amount),
            Budget::None => Some(0.0),
            Budget::Default => None,
        }),
        env: place::agent_environment(&wanted)?,
        umask: place::umask(),
        worktree: args.worktree.clone(),
        approval_deadline_s: args.approval_deadline,
        detached: args.detached.map(Into::into),
        once: args.once,
        ephemeral: false,
        // Attaching joins in a moment, from the first record on. Joining here would leave a member behind if this
        // connection were lost before the next one begins.
        subscribe: false,
        wait_ready: args.wait_ready,
        pause_others: args.yes,
        idempotency_key: idempotency_key(),
    };
    if prompt.is_some() || !args.attach.is_empty() {
        let to = attachment::To::Agent(&of);
        request.prompt =
            Some(attachment::content(&mut daemon, &to, prompt.unwrap_or_default(), &args.attach)?);
    }
    place::pass_on(daemon.variables_of(&of)?, &mut request.env);
    let Message::SessionCreated { session, .. } =
        in_focus(&mut daemon, request, |request| request.pause_others = true)?
    else {
        return Err(Failure::unexpected("create_session"));
    };
    place::remember_session(daemon.dir(), session.id);
    if let Some(worktree) = session.worktree.as_ref().filter(|worktree| worktree.left_behind > 0) {
        let files = count(worktree.left_behind as usize, "changed file", "changed files");
        ui::say(&format!(
            "{files} in {} are not in the worktree: it begins at the last commit",
            worktree.repo
        ));
    }
    if !args.detach {
        return attach::attach_new(daemon, &session, args.once);
    }
    if args.json { ui::json(&session) } else { ui::data(&session.id.to_string()) }
}

/// Asks for what may only be when another session pauses; a person is asked first, and nobody is asked for them.
pub(crate) fn in_focus<T: Clone + Into<Request>>(
    daemon: &mut Daemon,
    request: T,
    agree: impl FnOnce(&mut T),
) -> Outcome<Message> {
    match daemon.ask(request.clone()) {
        Err(failure) if failure.code == Some(ErrorCode::InFocus) => {
            if !ui::can_ask() {
                return Err(failure.hint("--yes lets it pause"));
            }
            if !ui::confirm(&format!("{}. Go on?", failure.message))? {
                return Err(Failure::new(Kind::Refused, "nothing was changed"));
            }
            let mut request = request;
            agree(&mut request);
            daemon.ask(request)
        }
        other => other,
    }
}

/// `vibes fork`: another session that goes on from one.
pub(crate) fn fork(args: &ForkArgs) -> Outcome {
    let prompt = match args.prompt.as_deref() {
        Some("-") => Some(send::prompt(None)?),
        other => other.map(str::to_owned),
    };
    let mut env = place::agent_environment(&args.env)?;
    let mut daemon = Daemon::introduced(Start::Auto)?;
    let named = daemon.named(&args.id)?;
    let (source, _, _) = daemon.session(&named)?;
    let agent = args.agent.as_ref().unwrap_or(&source.agent);
    place::pass_on(daemon.variables_of(agent)?, &mut env);
    // The same agent takes what this one has said that it takes.
    let to =
        if args.agent.is_some() { attachment::To::Agent(agent) } else { attachment::To::Session(&named) };
    let prompt = match prompt {
        None if args.attach.is_empty() => None,
        prompt => Some(attachment::content(&mut daemon, &to, prompt.unwrap_or_default(), &args.attach)?),
    };
    let request = ForkSession {
        session_id: source.id.to_string(),
        at: args.at,
        agent: args.agent.clone(),
        cwd: args.cwd.as_deref().map(|cwd| directory(Some(cwd))).transpose()?,
        name: args.name.clone(),
        prompt,
        worktree: args.worktree.clone(),
        env,
        umask: place::umask(),
        subscribe: false,
        wait_ready: args.wait_ready,
        pause_others: args.yes,
        idempotency_key: idempotency_key(),
    };
    let Message::SessionCreated { session, .. } =
        in_focus(&mut daemon, request, |request| request.pause_others = true)?
    else {
        return Err(Failure::unexpected("fork_session"));
    };
    place::remember_session(daemon.dir(), session.id);
    if !args.detach {
        return attach::attach_new(daemon, &session, false);
    }
    if args.json { ui::json(&session) } else { ui::data(&session.id.to_string()) }
}

/// The session's directory: absolute, there, and a directory, because the daemon runs elsewhere.
pub(crate) fn directory(wanted: Option<&Path>) -> Outcome<String> {
    let here = || {
        std::env::current_dir().map_err(|error| {
            Failure::io("cannot tell the current directory", &error).hint("name one with --cwd DIR")
        })
    };
    let path = match wanted {
        // As it was typed, made absolute; links in it stay what the person meant.
        Some(path) if path.is_absolute() => path.to_owned(),
        Some(path) => here()?.join(path).components().collect(),
        None => here()?,
    };
    match std::fs::metadata(&path) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => return Err(Failure::usage(format!("--cwd {}: not a directory", path.display()))),
        Err(error) => return Err(Failure::usage(format!("--cwd {}: {error}", path.display()))),
    }
    path.into_os_string()
        .into_string()
        .map_err(|path| Failure::usage(format!("the directory {} is not UTF-8", path.display())))
}

/// What a turn's end means for the exit code. A command's own exit code is passed on only where the command is what
/// was asked for (`run --once`).
pub(crate) fn turn_exit(ended: &TurnEnded, pass_exit_code: bool) -> Outcome {
    let why = ended.error.as_deref().unwrap_or(&ended.stop_reason);
    match (ended.outcome, ended.exit_code.filter(|_| pass_exit_code)) {
        (TurnOutcome::Finished, None | Some(0)) => Ok(()),
        // Codes past 255 do not exist on Unix; a negative one would be a signal reported raw.
        (TurnOutcome::Finished, Some(code)) => {
            Err(Failure::silent(Kind::Command(u8::try_from(code).unwrap_or(1))))
        }
        (TurnOutcome::Interrupted, _) => Err(Failure::new(Kind::Interrupted, "the turn was interrupted")),
        (TurnOutcome::Failed, Some(code)) if code != 0 => {
            Err(Failure::silent(Kind::Command(u8::try_from(code).unwrap_or(1))))
        }
        (TurnOutcome::Failed, _) => Err(Failure::new(Kind::AgentFailed, format!("the turn failed: {why}"))),
        (TurnOutcome::Unknown, _) => {
            let message = "the agent was lost during the turn; what it did is not known";
            Err(Failure::new(Kind::AgentFailed, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn exit(outcome: &str, exit_code: Option<i32>, pass: bool) -> u8 {
        let ended = serde_json::from_value(
            json!({"turn": 1, "outcome": outcome, "stop_reason": "x", "exit_code": exit_code}),
        );
        turn_exit(&ended.unwrap(), pass).map_or_else(|failure| failure.kind.exit_code(), |()| 0)
    }

    #[test]
    fn a_turn_gives_its_exit_code() {
        assert_eq!(exit("finished", None, true), 0);
        assert_eq!(exit("finished", Some(0), true), 0);
        assert_eq!(exit("finished", Some(42), true), 42);
        assert_eq!(exit("finished", Some(42), false), 0);
        assert_eq!(exit("interrupted", None, true), 130);
        assert_eq!(exit("failed", None, true), 7);
        assert_eq!(exit("failed", Some(3), true), 3);
        assert_eq!(exit("failed", Some(3), false), 7);
        assert_eq!(exit("unknown", None, true), 7);
    }

    #[test]
    fn the_directory_must_be_there() {
        assert_eq!(directory(Some(Path::new("/"))).unwrap(), "/");
        assert!(directory(None).unwrap().starts_with('/'));
        for bad in ["/no/such/directory", "/proc/self/status"] {
            assert_eq!(directory(Some(Path::new(bad))).unwrap_err().kind, Kind::Usage);
        }
    }
}
