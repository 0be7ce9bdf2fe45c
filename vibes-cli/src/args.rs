//! The command line as types: no behaviour here.
//!
//! Invariant: a session verb is declared once and has both spellings, `vibes X` and `vibes sessions X`.

mod ask;
mod complete;
mod config;
mod life;
mod memory;
mod room;
mod search;
mod template;
mod verb;
mod wait;
mod web;

pub(crate) use ask::*;
pub(crate) use complete::{JSON_OF_DONE, command};
pub(crate) use config::ConfigVerb;
pub(crate) use life::{Budget, DigestArgs, ResumeArgs, Ttl, UpdateArgs};
pub(crate) use memory::*;
pub(crate) use room::DuArgs;
pub(crate) use search::*;
pub(crate) use template::*;
pub(crate) use verb::*;
pub(crate) use wait::{WaitArgs, WhenArgs, WhenVerb};
pub(crate) use web::*;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;
use vibes_protocol::model::{CostsBy, Detached, OrphanPolicy};

const EXIT_CODES: &str = "\
Session ids: a full id, the first characters of one, a name, or `-` for the session used last;
             `@-` runs a verb for each id, or each line of `vibes ls --ndjson`, on standard input.
Exit codes: 0 done · 1 failed · 2 usage · 3 not found · 4 no daemon · 5 refused
            6 approval needed · 7 agent failed · 124 timed out · 130 interrupted";

/// tmux for coding agents: sessions that outlive terminals, seen from everywhere.
#[derive(Debug, Parser)]
#[command(name = "vibes", version, after_help = EXIT_CODES)]
#[command(disable_help_subcommand = true, infer_long_args = false)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start an agent and attach to it
    #[command(after_help = "Examples:
  vibes run shell 'cargo test'            start, show, stay attached
  vibes run claude -d 'fix the build'     start in the background, print the id
  vibes run shell --once 'make' && ship   finish after the turn, with its exit code
  git diff | vibes run claude --once -    the prompt from standard input
  vibes run --template review 'this too'  as a template says, see `vibes template`")]
    Run(RunArgs),
    /// Start a shell session and attach to it
    Shell(StartArgs),
    /// Start Claude Code and attach to it
    Claude(StartArgs),
    /// Start Codex and attach to it
    Codex(StartArgs),
    /// Start Gemini CLI and attach to it
    Gemini(StartArgs),
    /// Start OpenCode and attach to it
    Opencode(StartArgs),
    /// Ask an agent one thing and print its answer; no session is left
    #[command(after_help = "Examples:
  vibes ask claude 'what does this project do?'
  git diff | vibes ask claude 'review this change:' -      words, and what standard input has
  vibes ask codex --json 'name a colour' | jq -r .answer
  vibes ask gemini --keep 'plan the move' && vibes resume - && vibes attach -
What the agent asks is asked here on a terminal; elsewhere it is denied, unless a rule or --mode allows it.")]
    Ask(AskArgs),
    /// List sessions, or act on one
    #[command(args_conflicts_with_subcommands = true, visible_alias = "session")]
    Sessions(SessionsArgs),
    #[command(flatten)]
    Verb(Box<Verb>),
    /// Answer what agents ask without being asked: standing rules
    #[command(
        subcommand,
        after_help = "Examples:
  vibes rules test rules.toml       what a file would have answered to what was asked so far
  vibes rules apply rules.toml      from now on it answers
  vibes rules show                  what is in force
  vibes rules show --session api    what a session allows by itself"
    )]
    Rules(RulesVerb),
    /// What agents asked, and what became of it
    #[command(subcommand)]
    Approvals(ApprovalsVerb),
    /// What was spent, over all sessions
    #[command(after_help = "Examples:
  vibes costs                              by day, with a chart
  vibes costs --by model --since 30d       the dearest model first
  vibes costs --by directory --since 2026-11-01 --until 2026-11-30 --csv > november.csv")]
    Costs(CostsArgs),
    /// What sessions take on the disk, and what leaves by itself
    #[command(after_help = "Examples:
  vibes du                                                  those that take most first
  vibes du --json | jq -r '.leaving[].session_id'           what retention takes away next")]
    Du(DuArgs),
    /// Serve the web on this machine's loopback, and let a browser in
    #[command(after_help = "Examples:
  vibes web --open               serve it and open a browser
  vibes web                      another link, for another browser
  vibes web --stop               serve it no longer
  ssh -L 7432:localhost:7432 box vibes web      from another machine; docs/api.md has more")]
    Web(WebArgs),
    /// Tokens for the web: for scripts, phones and other people
    #[command(
        subcommand,
        after_help = "Examples:
  vibes token create ci --role edit --expires 30d
  curl -H \"Authorization: Bearer $TOKEN\" http://127.0.0.1:7432/v1/sessions
  vibes token revoke 9f1c"
    )]
    Token(TokenVerb),
    /// A link that shows one session, read-only
    Share(ShareArgs),
    /// Who did what over the web
    Audit(AuditArgs),
    /// Find words in everything that was said and done
    #[command(after_help = SEARCH_HELP)]
    Search(SearchArgs),
    /// What sessions can be made from, under a name
    #[command(
        subcommand,
        after_help = "Examples:
  vibes template save review --from api --prompt 'review {file}: {prompt}'
  vibes run --template review --set file=src/main.rs 'is it safe?'
  vibes template edit review"
    )]
    Template(TemplateVerb),
    /// What is to be remembered, across sessions and agents
    #[command(
        subcommand,
        after_help = "Examples:
  vibes memory add 'the staging host is box7' --tag ops
  vibes memory search staging
  vibes memory export --format markdown > memories.md
In an attached session: /remember WORDS and /recall WORDS."
    )]
    Memory(MemoryVerb),
    /// Take sessions in from archives, and from what agents keep by themselves: to be read, searched, gone on from
    #[command(after_help = "Examples:
  vibes import api.ndjson                   what `vibes export` wrote; twice is once
  zstd -dc vibes.ndjson.zst | vibes import -
  vibes import --claude --codex --gemini    all that these keep in your home
  vibes import --claude DIR --list          what there would be
  vibes fork ID --cwd DIR 'go on'           a new session that knows what was said")]
    Import(ImportArgs),
    /// List the agents that can be started
    Agents(JsonArgs),
    /// Serve an editor: an agent of the Agent Client Protocol on standard input and output
    #[command(
        after_help = "Editors start this command themselves; docs/editors.md shows how to configure them.
  vibes acp --agent claude        new sessions of this agent; the editor lists and loads the living ones
  vibes acp --session api         one session that exists already"
    )]
    Acp(AcpArgs),
    /// Agents that come with vibes
    #[command(subcommand)]
    Agent(AgentVerb),
    /// Start, stop and inspect the daemon
    #[command(subcommand)]
    Daemon(DaemonVerb),
    /// Check the store, the socket and the runners
    Doctor {
        /// End runners that no session needs any more
        #[arg(long)]
        reap: bool,
        /// Mend what loses nothing: modes, sockets and files that are left, runners that no session needs
        #[arg(long)]
        fix: bool,
    },
    /// All sessions on one screen: what needs you first, a live preview, questions answered with one key
    #[command(
        after_help = "Keys: arrows select, n the next that needs you, Enter attaches (Ctrl-D comes back), a s d and numbers answer,
i interrupts, x kills, / filters, ? lists all keys, q quits."
    )]
    Top,
    /// What is configured
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Print a completion script; it asks for live sessions, agents and templates as you press Tab
    #[command(after_help = "Examples:
  source <(vibes completion bash)                                    in ~/.bashrc
  source <(vibes completion zsh)                                     in ~/.zshrc, after compinit
  vibes completion fish > ~/.config/fish/completions/vibes.fish")]
    Completion {
        /// For which shell
        shell: Shell,
    },
    /// Print the manual page, or write one for each verb
    #[command(after_help = "Examples:
  vibes man | man -l -
  vibes man ~/.local/share/man/man1          then `man vibes-send`")]
    Man {
        /// Write a page for each verb into this directory
        dir: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SessionsArgs {
    #[command(subcommand)]
    pub(crate) verb: Option<Box<Verb>>,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

#[derive(Debug, Args)]
pub(crate) struct JsonArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AgentVerb {
    /// Serve a recorded session as an agent that does the same again
    #[command(after_help = "Record, and play as an agent of its own:
  vibes logs api --json > demo.ndjson
  [agents.demo]                                          in ~/.config/vibes/config.toml
  command = [\"vibes\", \"agent\", \"replay\", \"/home/ann/demo.ndjson\", \"--speed\", \"1\"]")]
    Replay(ReplayArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Records, as `vibes logs ID --json` prints them
    pub(crate) file: PathBuf,
    /// With the pauses of the recording: 1 as they were, 2 in half the time (default: no pauses)
    #[arg(long, value_name = "N", value_parser = parse_speed)]
    pub(crate) speed: Option<f64>,
}

fn parse_speed(text: &str) -> Result<f64, String> {
    let speed: f64 = text.parse().map_err(|_| "a number is expected".to_owned())?;
    if speed.is_finite() && speed > 0.0 { Ok(speed) } else { Err("a number above 0 is expected".to_owned()) }
}

#[derive(Debug, Args)]
pub(crate) struct AcpArgs {
    /// Agent of new sessions (default: the first that is installed of claude, codex, gemini, opencode, shell)
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,
    /// Serve this session only
    #[arg(long, value_name = "ID", conflicts_with = "agent")]
    pub(crate) session: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Agent, as `vibes agents` lists it; the template's otherwise
    #[arg(required_unless_present = "template")]
    pub(crate) agent: Option<String>,
    #[command(flatten)]
    pub(crate) start: StartArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// First prompt; `-` reads standard input
    pub(crate) prompt: Option<String>,
    /// Arguments for the agent's program
    #[arg(last = true, value_name = "AGENT ARGS")]
    pub(crate) agent_args: Vec<String>,
    /// As this template says, where nothing is said here
    #[arg(long, value_name = "NAME")]
    pub(crate) template: Option<String>,
    /// What stands for `{NAME}` in the template's prompt; may be given several times
    #[arg(long, value_name = "NAME=VALUE", requires = "template")]
    pub(crate) set: Vec<String>,
    /// Take up the conversation that was last had in this directory without vibes
    #[arg(short, long = "continue", conflicts_with = "resume")]
    pub(crate) continue_last: bool,
    /// Take up a conversation that was had without vibes, by the agent's own id of it
    #[arg(long, value_name = "ID")]
    pub(crate) resume: Option<String>,
    /// A file, image, directory or https:// link that goes with the first prompt; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) attach: Vec<String>,
    /// Work on a branch of its own, in a git worktree beside the repository
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) worktree: Option<String>,
    /// Start in the background and print the session's id
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Finish after the first turn, with its exit code
    #[arg(long)]
    pub(crate) once: bool,
    /// Return only when the agent is ready, or could not be started
    #[arg(long)]
    pub(crate) wait_ready: bool,
    /// Name of the session
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Working directory (default: this one)
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<PathBuf>,
    /// Mode of the agent
    #[arg(long)]
    pub(crate) mode: Option<String>,
    /// Model of the agent
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// What happens when the last subscriber leaves
    #[arg(long, value_enum)]
    pub(crate) orphan: Option<Orphan>,
    /// How long it lives in which nothing happens: 90m, 24h, 7d; `never`
    #[arg(long, value_name = "TIME", value_parser = life::parse_ttl)]
    pub(crate) ttl: Option<Ttl>,
    /// Pause when it has cost this much, such as 5.00
    #[arg(long, value_name = "AMOUNT", value_parser = life::parse_budget)]
    pub(crate) budget: Option<Budget>,
    /// Pause the session that is active, where only one may be, without asking
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Deny what the agent asks when nobody has answered after so many seconds; 0 waits for ever
    #[arg(long, value_name = "SECONDS")]
    pub(crate) approval_deadline: Option<u64>,
    /// What happens to a question when nobody is attached who could answer it
    #[arg(long, value_enum)]
    pub(crate) detached: Option<WhenDetached>,
    /// Free text about the session
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// Pass a variable of this environment to the agent
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// With -d: print the session as JSON
    #[arg(long, requires = "detach")]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Orphan {
    /// The session goes on
    Keep,
    /// The agent is stopped once idle
    Suspend,
    /// The session ends
    Remove,
}

impl From<Orphan> for OrphanPolicy {
    fn from(orphan: Orphan) -> Self {
        match orphan {
            Orphan::Keep => Self::Keep,
            Orphan::Suspend => Self::Suspend,
            Orphan::Remove => Self::Remove,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum WhenDetached {
    /// It waits
    Stall,
    /// It is denied
    Deny,
}

impl From<WhenDetached> for Detached {
    fn from(detached: WhenDetached) -> Self {
        match detached {
            WhenDetached::Stall => Self::Stall,
            WhenDetached::Deny => Self::Deny,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum RulesVerb {
    /// Put a file of rules in force, in place of your last one
    Apply {
        /// File; `-` reads standard input
        file: PathBuf,
    },
    /// Print what is in force
    Show {
        /// The rules of this session instead: what it was allowed for its own time
        #[arg(long, value_name = "ID")]
        session: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say whether a file of rules is right, without putting it in force
    Check {
        /// File; `-` reads standard input
        file: PathBuf,
    },
    /// Say what a file of rules would have answered to what was asked so far
    Test {
        /// File; `-` reads standard input
        file: PathBuf,
        /// Only what this session asked; may be given several times
        #[arg(long, value_name = "ID")]
        session: Vec<String>,
        /// At most this many of the newest questions
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take a rule of a session away
    Forget {
        /// Session
        id: String,
        /// Rule, as `vibes rules show --session` names it
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Archives, or files of agents; `-` reads an archive from standard input
    pub(crate) files: Vec<PathBuf>,
    /// What Claude Code keeps (default: ~/.claude/projects)
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "", value_parser = any_path())]
    pub(crate) claude: Option<PathBuf>,
    /// What Codex keeps (default: ~/.codex/sessions)
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "", value_parser = any_path())]
    pub(crate) codex: Option<PathBuf>,
    /// What Gemini CLI keeps (default: ~/.gemini/tmp)
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "", value_parser = any_path())]
    pub(crate) gemini: Option<PathBuf>,
    /// Only list what would be imported
    #[arg(long, visible_alias = "dry-run")]
    pub(crate) list: bool,
    /// Say also what was known already
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Print a line of JSON for each session
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CostsArgs {
    /// By what
    #[arg(long, default_value = "day", value_parser = costs_by())]
    pub(crate) by: CostsBy,
    /// From this day on (2026-11-01), or so long ago (12h, 7d, 4w)
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
    /// Until the end of this day, or so long ago
    #[arg(long, value_name = "WHEN")]
    pub(crate) until: Option<String>,
    /// Print a JSON array
    #[arg(long, conflicts_with = "csv")]
    pub(crate) json: bool,
    /// Print comma-separated values with a heading
    #[arg(long)]
    pub(crate) csv: bool,
}

/// The words of the protocol, with what they mean.
fn costs_by() -> impl TypedValueParser<Value = CostsBy> {
    let words = [
        ("day", "Days"),
        ("week", "Weeks"),
        ("agent", "Agents"),
        ("model", "Models"),
        ("session", "Sessions"),
        ("directory", "Directories"),
    ];
    PossibleValuesParser::new(words.map(|(word, what)| PossibleValue::new(word).help(what)))
        .try_map(|word| serde_json::from_value::<CostsBy>(word.into()))
}

#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalsVerb {
    /// What waits for an answer, in every session
    List {
        /// Print a JSON array
        #[arg(long, conflicts_with = "watch")]
        json: bool,
        /// Go on with what is asked and answered, one JSON object per line, until interrupted
        #[arg(short, long, visible_alias = "follow")]
        watch: bool,
    },
    /// What was asked, who answered, how and from where
    Log {
        /// Only this session; may be given several times
        #[arg(long, value_name = "ID")]
        session: Vec<String>,
        /// At most this many of the newest
        #[arg(long, value_name = "N")]
        limit: Option<u32>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// How long a session's questions wait, and what happens when nobody is there
    Policy {
        /// Session
        id: String,
        /// Seconds; 0 waits for ever, `default` is what the configuration says
        #[arg(long, value_name = "SECONDS|default")]
        deadline: Option<String>,
        /// `stall`, `deny` or `default`
        #[arg(long)]
        detached: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum DaemonVerb {
    /// Start the daemon when it is not running
    Start,
    /// Stop the daemon; agents go on unless --agents
    Stop {
        /// Stop the agents too
        #[arg(long)]
        agents: bool,
    },
    /// Stop the daemon and start it again; agents go on
    Restart,
    /// Tell whether and how the daemon runs
    Status(JsonArgs),
    /// Print the daemon's log
    Logs {
        /// Go on with what comes
        #[arg(short, long)]
        follow: bool,
        /// How many lines from the end
        #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
        lines: usize,
    },
    /// Run the daemon in the foreground
    Run,
    /// Print the path of the socket; starts the daemon when it is not running
    Socket,
}

/// Reads a path, which may be empty: what an option without its value has.
fn any_path() -> impl clap::builder::TypedValueParser<Value = PathBuf> {
    use clap::builder::{OsStringValueParser, TypedValueParser as _};
    OsStringValueParser::new().map(PathBuf::from)
}

#[cfg(test)]
mod tests;
