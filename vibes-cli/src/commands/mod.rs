//! One file per verb or family of verbs; this one sends each to its place.
//!
//! Invariant: a verb is a function from its arguments to an outcome; only `main` turns outcomes into exit codes.

mod answer;
mod approvals;
mod ask;
pub(crate) mod completion;
mod config;
mod costs;
mod daemon;
mod digest;
mod du;
mod export;
mod import;
mod inspect;
mod kill;
mod life;
mod list;
mod logs;
mod man;
mod memory;
mod queue;
mod rules;
mod run;
mod runs;
mod search;
mod send;
mod simple;
mod template;
mod turn;
mod wait;
mod watch;
mod web;
mod when;
mod worktree;

pub(crate) use answer::{for_session, response as permission_response};
pub(crate) use kill::each;
pub(crate) use run::turn_exit;

use crate::acp;
use crate::args::{self, AgentVerb, Cli, Command, Verb};
use crate::attach;
use crate::error::Outcome;
use crate::render::permission::action;
use crate::render::short;
use crate::{sanitize, top, ui};
use std::time::{SystemTime, UNIX_EPOCH};
use vibes_protocol::model::{Permission, SessionInfo};

/// Runs what was asked.
pub(crate) fn run(cli: Cli) -> Outcome {
    let Some(command) = cli.command else {
        let help = args::command().render_long_help();
        return ui::raw(&if ui::stdout_is_terminal() { help.ansi().to_string() } else { help.to_string() });
    };
    match command {
        Command::Run(args) => run::run_any(args),
        Command::Shell(args) => run::run(Some("shell"), &args),
        Command::Claude(args) => run::run(Some("claude"), &args),
        Command::Codex(args) => run::run(Some("codex"), &args),
        Command::Gemini(args) => run::run(Some("gemini"), &args),
        Command::Opencode(args) => run::run(Some("opencode"), &args),
        Command::Ask(args) => ask::run(&args),
        Command::Sessions(args) => match args.verb {
            Some(verb) => session_verb(*verb),
            None => list::run(&args.list),
        },
        Command::Verb(verb) => session_verb(*verb),
        Command::Rules(verb) => rules::run(&verb),
        Command::Approvals(verb) => approvals::run(&verb),
        Command::Costs(args) => costs::run(&args),
        Command::Du(args) => du::run(&args),
        Command::Template(verb) => template::run(verb),
        Command::Memory(verb) => memory::run(verb),
        Command::Web(args) => web::web(&args),
        Command::Token(verb) => web::token(&verb),
        Command::Share(args) => web::share(&args),
        Command::Audit(args) => web::audit(&args),
        Command::Search(args) => search::run(&args),
        Command::Import(args) => import::run(&args),
        Command::Agents(args) => inspect::agents(args.json),
        Command::Acp(args) => acp::serve_editor(&args),
        Command::Agent(AgentVerb::Replay(args)) => acp::replay(&args),
        Command::Daemon(verb) => daemon::run(&verb),
        Command::Doctor { reap, fix } => daemon::doctor(reap, fix),
        Command::Config(verb) => config::run(&verb),
        Command::Completion { shell } => completion::print(shell),
        Command::Top => top::run(),
        Command::Man { dir } => man::run(dir.as_deref()),
    }
}

fn session_verb(verb: Verb) -> Outcome {
    match verb {
        Verb::List(args) => list::run(&args),
        Verb::Attach(args) => attach::attach(&args),
        Verb::Kill(args) => kill::run(&args),
        Verb::Who(args) => inspect::who(&args),
        Verb::Send(args) => send::run(&args),
        Verb::Queue(verb) => queue::run(&verb),
        Verb::Worktree(verb) => worktree::run(&verb),
        Verb::Wait(args) => wait::run(&args),
        Verb::When(args) => when::run(*args),
        Verb::Approve(args) => {
            let wide =
                args.for_session.then(|| answer::for_session(args.pattern.as_deref(), args.path.as_deref()));
            answer::run(&args.answer, true, wide)
        }
        Verb::Deny(args) => answer::run(&args, false, None),
        Verb::Interrupt(args) => simple::interrupt(&args.id),
        Verb::Suspend { id, now } => simple::suspend(&id, now),
        Verb::Resume(args) => simple::resume(args),
        Verb::Budget { id, amount } => life::budget(&id, amount),
        Verb::Digest(args) => digest::run(&args),
        Verb::Read { ids } => life::read(&ids),
        Verb::Fork(args) => run::fork(&args),
        Verb::Finish(args) => simple::finish(&args.id),
        Verb::Rename { id, name } => life::rename(&id, &name),
        Verb::Update(args) => life::update(&args),
        Verb::Ttl { id, ttl } => life::ttl(&id, ttl),
        Verb::Pin { ids } => life::pin(&ids, true),
        Verb::Unpin { ids } => life::pin(&ids, false),
        Verb::Transfer { id, to } => simple::transfer(&id, &to),
        Verb::Take(args) => simple::take(&args.id),
        Verb::Show(args) => inspect::show(&args),
        Verb::Logs(args) => logs::run(&args),
        Verb::Runs(args) => runs::run(&args),
        Verb::Export(args) => export::run(&args),
        Verb::Rm { ids, purge } => simple::remove(&ids, purge),
        Verb::Undelete(args) => simple::undelete(&args.id),
        Verb::Set { id, option, value } => simple::set(&id, &option, &value),
    }
}

/// Now, in seconds since the Unix epoch.
pub(crate) fn now() -> i64 {
    now_ms() / 1000
}

/// Now, in milliseconds since the Unix epoch.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A key that makes a retry the same request.
pub(crate) fn idempotency_key() -> Option<String> {
    Some(uuid::Uuid::new_v4().to_string())
}

/// A request for approval where nobody can be asked: what it is, and the command that answers it.
pub(crate) fn words_of_request(session: &SessionInfo, permission: &Permission) -> String {
    let (id, number) = (short(session.id), &permission.permission_id);
    format!(
        "session {id} needs approval: {} (in {})\n  vibes approve {id} --permission {number}\n  vibes deny {id} --permission {number}",
        action(permission),
        sanitize::strict(&permission.cwd),
        number = sanitize::strict(number),
    )
}
