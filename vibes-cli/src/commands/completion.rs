//! What could follow on a command line: `vibes completion SHELL` prints what a shell has to know, and the shell asks
//! `vibes` itself, with [`ASKED`] set, whenever somebody presses Tab.
//!
//! Invariant: a daemon is asked and never started, and not waited for longer than a person does; what is offered has no
//! character that a shell or a terminal could obey.

use crate::args;
use crate::client::{Daemon, Start};
use crate::error::{Failure, Outcome};
use crate::{sanitize, ui};
use clap::builder::StyledStr;
use clap::{Arg, Command};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::Shells;
use clap_complete::{CompleteEnv, Shell};
use std::ffi::{OsStr, OsString};
use std::sync::mpsc;
use std::time::Duration;
use vibes_protocol::model::SessionInfo;
use vibes_protocol::wire::Message;
use vibes_protocol::wire::request::{ListAgents, ListSessions, ListTemplates, SearchMemories};

/// Set to the shell's name when it asks.
const ASKED: &str = "VIBES_COMPLETE";
/// Tab is not worth more.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// The most sessions that are offered.
const MOST: u32 = 300;

/// Prints what a shell has to know.
pub(crate) fn print(shell: Shell) -> Outcome {
    let mut script = Vec::new();
    let shells = Shells::builtins();
    let completer = shells.completer(&shell.to_string());
    let completer = completer.ok_or_else(|| Failure::usage(format!("nothing is known of {shell}")))?;
    completer
        .write_registration(ASKED, "vibes", "vibes", "vibes", &mut script)
        .map_err(|error| Failure::io("cannot write the script", &error))?;
    ui::raw(&String::from_utf8_lossy(&script))
}

/// Answers a shell that asks; true when one did.
pub(crate) fn answered(words: &[OsString]) -> bool {
    let here = std::env::current_dir().ok();
    let env = CompleteEnv::with_factory(|| offering(args::command(), "")).var(ASKED);
    // A shell that this version does not know gets nothing, rather than an error amid a line.
    env.try_complete(words.iter().cloned(), here.as_deref()).unwrap_or(true)
}

/// The command line with what its words can be.
fn offering(command: Command, path: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
    let command = names.into_iter().fold(command, |command, name| {
        let path = format!("{path} {name}");
        command.mut_subcommand(name, |inner| offering(inner, &path))
    });
    let path = path.trim().to_owned();
    command.mut_args(|arg| match completer(&arg, &path) {
        Some(completer) => arg.add(completer),
        None => arg,
    })
}

/// What a word can be, by its name: so that a verb which is added has it, too.
fn completer(arg: &Arg, path: &str) -> Option<ArgValueCompleter> {
    let verb = path.rsplit(' ').next().unwrap_or_default().to_owned();
    let of = |find: fn(&str, &str) -> Vec<(String, String)>| {
        Some(ArgValueCompleter::new(move |typed: &OsStr| offer(typed, &verb, find)))
    };
    let memory = path.starts_with("memory");
    match arg.get_id().as_str() {
        "id" | "ids" if memory => of(memories),
        "name" | "names" | "template" if path.starts_with("template") => of(templates),
        "template" => of(templates),
        "id" | "ids" | "session" | "from" => of(sessions),
        "agent" => of(agents),
        "option" if path.ends_with("set") => of(options),
        "value" if path.ends_with("set") => of(values),
        "mode" | "model" => {
            let name = arg.get_id().to_string();
            Some(ArgValueCompleter::new(move |typed: &OsStr| offer(typed, &name, offers)))
        }
        "permission" => of(permissions),
        "tag" | "untag" if memory => of(tags),
        _ => None,
    }
}

/// Finds what could follow, beside the thread that must not wait for it.
fn offer(
    typed: &OsStr,
    verb: &str,
    find: fn(&str, &str) -> Vec<(String, String)>,
) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str().map(str::to_owned) else { return Vec::new() };
    let (verb, (done, found)) = (verb.to_owned(), mpsc::channel());
    let begin = typed.clone();
    std::thread::spawn(move || done.send(find(&verb, &begin)));
    let found = found.recv_timeout(PATIENCE).unwrap_or_default();
    let plain =
        |word: &str| !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "._-/:@+".contains(c));
    let candidate = |(word, about): (String, String)| {
        let about = sanitize::line(about.trim()).into_owned();
        CompletionCandidate::new(word).help((!about.is_empty()).then(|| StyledStr::from(about)))
    };
    found.into_iter().filter(|(word, _)| word.starts_with(&typed) && plain(word)).map(candidate).collect()
}

fn daemon() -> Option<Daemon> {
    Daemon::here(Start::Never).ok()
}

/// The words of the line so far, from `vibes` on.
fn line() -> Vec<String> {
    let words = std::env::args_os().skip_while(|word| word != "--").skip(1);
    words.map(|word| word.to_string_lossy().into_owned()).collect()
}

fn listed(ended: bool) -> Vec<SessionInfo> {
    let request = ListSessions {
        states: None,
        agent: None,
        include_ended: ended,
        search: None,
        limit: Some(MOST),
        cursor: None,
    };
    match daemon().and_then(|mut daemon| daemon.ask(request).ok()) {
        Some(Message::SessionList { sessions, .. }) => sessions,
        _ => Vec::new(),
    }
}

fn sessions(verb: &str, typed: &str) -> Vec<(String, String)> {
    // What acts on a living one has no use for the others.
    let living = matches!(
        verb,
        "attach"
            | "kill"
            | "send"
            | "interrupt"
            | "suspend"
            | "finish"
            | "approve"
            | "deny"
            | "wait"
            | "who"
            | "take"
            | "transfer"
            | "set"
    );
    let asks = matches!(verb, "approve" | "deny");
    let fits = |session: &SessionInfo| !asks || !session.pending_permissions.is_empty();
    let word = |session: SessionInfo| {
        let id = session.id.to_string();
        let about = format!("{} {} {}", session.state.as_str(), session.agent, session.cwd);
        // A name is easier to know again; whoever typed the start of an id means that.
        match session.name {
            Some(name) if typed.is_empty() || name.starts_with(typed) => (name, about),
            name if typed.len() > 8 => (id, format!("{} {about}", name.unwrap_or_default())),
            name => (id[..8].to_owned(), format!("{} {about}", name.unwrap_or_default())),
        }
    };
    listed(!living).into_iter().filter(fits).map(word).collect()
}

fn agents(_: &str, _: &str) -> Vec<(String, String)> {
    let request = ListAgents { env: Default::default() };
    match daemon().and_then(|mut daemon| daemon.ask(request).ok()) {
        Some(Message::Agents { agents, .. }) => {
            agents.into_iter().map(|agent| (agent.id, agent.name)).collect()
        }
        // Those that need no configuration are known without a daemon.
        _ => ["claude", "codex", "gemini", "opencode", "shell"]
            .map(|name| (name.to_owned(), String::new()))
            .into(),
    }
}

fn templates(_: &str, _: &str) -> Vec<(String, String)> {
    match daemon().and_then(|mut daemon| daemon.ask(ListTemplates {}).ok()) {
        Some(Message::Templates { templates, .. }) => templates
            .into_iter()
            .map(|one| {
                (one.name, one.template.and_then(|one| one.description.or(one.prompt)).unwrap_or_default())
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// The session that the line names before what is being typed.
fn named(behind: &str) -> Option<(SessionInfo, Vec<String>)> {
    let words = line();
    let at = words.iter().position(|word| word == behind)?;
    let mut daemon = daemon()?;
    let id = daemon.named(words.get(at + 1)?).ok()?;
    Some((daemon.session(&id).ok()?.0, words[at + 2..].to_vec()))
}

fn options(_: &str, _: &str) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let Some((session, _)) = named("set") else { return Vec::new() };
    session.options.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

/// What an option can be set to.
fn offered(session: &SessionInfo, option: &str) -> Vec<(String, String)> {
    let offers = session.offers.get(option).and_then(|offers| offers.as_array());
    let word = |offer: &serde_json::Value| {
        let id = offer["id"].as_str().or_else(|| offer["value"].as_str())?;
        Some((id.to_owned(), offer["name"].as_str().unwrap_or_default().to_owned()))
    };
    offers.into_iter().flatten().filter_map(word).collect()
}

fn values(_: &str, _: &str) -> Vec<(String, String)> {
    match named("set") {
        Some((session, rest)) => rest.first().map(|option| offered(&session, option)).unwrap_or_default(),
        None => Vec::new(),
    }
}

/// Modes and models of new sessions: what those of the same agent offer.
fn offers(option: &str, _: &str) -> Vec<(String, String)> {
    let words = line();
    let agent = |session: &SessionInfo| words.contains(&session.agent);
    let mut all: Vec<(String, String)> = listed(true)
        .iter()
        .filter(|session| agent(session))
        .flat_map(|session| offered(session, option))
        .collect();
    all.sort();
    all.dedup();
    all
}

fn permissions(verb: &str, _: &str) -> Vec<(String, String)> {
    let Some((session, _)) = named(verb) else { return Vec::new() };
    let word = |one: &vibes_protocol::model::Permission| {
        (one.permission_id.clone(), crate::render::permission::action(one))
    };
    session.pending_permissions.iter().map(word).collect()
}

fn memories(_: &str, _: &str) -> Vec<(String, String)> {
    remembered().into_iter().map(|one| (one.id.to_string(), one.text)).collect()
}

fn tags(_: &str, _: &str) -> Vec<(String, String)> {
    let mut all: Vec<String> = remembered().into_iter().flat_map(|one| one.tags).collect();
    all.sort();
    all.dedup();
    all.into_iter().map(|tag| (tag, String::new())).collect()
}

fn remembered() -> Vec<vibes_protocol::model::Memory> {
    let request = SearchMemories { query: None, category: None, tags: Vec::new(), limit: None, offset: None };
    match daemon().and_then(|mut daemon| daemon.ask(request).ok()) {
        Some(Message::Memories { memories, .. }) => memories,
        _ => Vec::new(),
    }
}
