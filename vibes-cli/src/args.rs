//! The command line as types: no behaviour here.
//!
//! Invariant: a session verb is declared once and has both spellings, `vibes X` and `vibes sessions X`.

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use std::path::PathBuf;
use vibes_protocol::model::{OrphanPolicy, SessionState};

const EXIT_CODES: &str = "\
Session ids: a full id, the first characters of one, a name, or `-` for the session used last.
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
  git diff | vibes run claude --once -    the prompt from standard input")]
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
    /// List sessions, or act on one
    #[command(args_conflicts_with_subcommands = true, visible_alias = "session")]
    Sessions(SessionsArgs),
    #[command(flatten)]
    Verb(Box<Verb>),
    /// List the agents that can be started
    Agents(JsonArgs),
    /// Start, stop and inspect the daemon
    #[command(subcommand)]
    Daemon(DaemonVerb),
    /// Check the store, the socket and the runners
    Doctor {
        /// End runners that no session needs any more
        #[arg(long)]
        reap: bool,
    },
    /// Print a completion script
    Completion {
        /// For which shell
        shell: Shell,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SessionsArgs {
    #[command(subcommand)]
    pub(crate) verb: Option<Box<Verb>>,
    #[command(flatten)]
    pub(crate) list: ListArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List sessions
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// Show a session and type into it
    #[command(after_help = "Examples:
  vibes attach 3fa9              by the first characters of its id
  vibes attach - --read-only     watch the session used last
  vibes attach api > log.txt     without a terminal: plain text until the session ends")]
    Attach(AttachArgs),
    /// End sessions and everything they started
    Kill(KillArgs),
    /// List who is attached
    Who(OneJsonArgs),
    /// Send a prompt
    Send(SendArgs),
    /// Wait for a session
    #[command(after_help = "Examples:
  vibes wait 3fa9 --until idle --timeout 60
  vibes wait - --until needs-approval && vibes approve -
  vibes wait api --until finished; echo $?     7: the agent failed, 6: it needs approval")]
    Wait(WaitArgs),
    /// Approve what the agent asks
    Approve(AnswerArgs),
    /// Deny what the agent asks
    Deny(AnswerArgs),
    /// Cancel the running turn
    Interrupt(OneArgs),
    /// Stop the agent and keep the session
    Suspend {
        /// Session
        id: String,
        /// Interrupt a running turn without asking
        #[arg(long)]
        now: bool,
    },
    /// Start the agent of a session again
    Resume {
        /// Session
        id: String,
        /// Told to the agent with the next prompt
        #[arg(long, value_name = "TEXT")]
        context: Option<String>,
        /// Pass a variable of this environment to the agent
        #[arg(long, value_name = "NAME[=VALUE]")]
        env: Vec<String>,
    },
    /// End a session well
    Finish(OneArgs),
    /// Give a session another name
    Rename {
        /// Session
        id: String,
        /// New name; an empty one takes the name away
        name: String,
    },
    /// Hand ownership to another subscriber
    Transfer {
        /// Session
        id: String,
        /// Subscriber: its client id, the start of it, or its seat
        to: String,
    },
    /// Take ownership
    Take(OneArgs),
    /// Show all that is known of a session
    Show(OneJsonArgs),
    /// Print the transcript
    Logs(LogsArgs),
    /// Delete a session; `undelete` takes it back
    Rm {
        /// Sessions
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Take a deletion back
    Undelete(OneArgs),
    /// Set an option of the agent, such as mode or model
    Set {
        /// Session
        id: String,
        /// Option
        option: String,
        /// Value
        value: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct OneArgs {
    /// Session
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct JsonArgs {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct OneJsonArgs {
    /// Session
    pub(crate) id: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Agent, as `vibes agents` lists it
    pub(crate) agent: String,
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

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ListArgs {
    /// Print a JSON array
    #[arg(long, conflicts_with = "ndjson")]
    pub(crate) json: bool,
    /// Print one JSON object per line
    #[arg(long)]
    pub(crate) ndjson: bool,
    /// Ended sessions too
    #[arg(short, long)]
    pub(crate) all: bool,
    /// Only sessions in this state; may be given several times
    #[arg(long, value_parser = parse_state)]
    pub(crate) state: Vec<SessionState>,
    /// Only sessions of this agent
    #[arg(long)]
    pub(crate) agent: Option<String>,
    /// Only sessions whose id, name, directory, description or last words have this text
    #[arg(long, value_name = "TEXT")]
    pub(crate) search: Option<String>,
    /// At most this many
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<u32>,
}

fn parse_state(text: &str) -> Result<SessionState, String> {
    let name = match text {
        "needs-approval" | "waiting-permission" => "waiting_permission",
        name => name,
    };
    serde_json::from_value(serde_json::Value::from(name)).map_err(|_| {
        "one of starting, idle, processing, needs-approval, suspended, finished, failed, killed, expired"
            .to_owned()
    })
}

#[derive(Debug, Args)]
pub(crate) struct AttachArgs {
    /// Session
    pub(crate) id: String,
    /// Watch without typing; never own
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Begin after this record instead of at the start
    #[arg(long, value_name = "N")]
    pub(crate) after: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct KillArgs {
    /// Sessions
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub(crate) ids: Vec<String>,
    /// Every session that has not ended; asks first
    #[arg(long)]
    pub(crate) all: bool,
    /// Answer the question of --all with yes
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// Session
    pub(crate) id: String,
    /// Prompt; `-`, or none, reads standard input
    pub(crate) prompt: Option<String>,
    /// Wait for the turn and print the agent's answer
    #[arg(long)]
    pub(crate) wait: bool,
    /// Interrupt a running turn first
    #[arg(long)]
    pub(crate) now: bool,
}

#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Session
    pub(crate) id: String,
    /// What to wait for
    #[arg(long, value_enum, default_value_t = Until::Idle)]
    pub(crate) until: Until,
    /// Give up after this many seconds, with exit code 124
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub(crate) timeout: Option<std::time::Duration>,
}

fn parse_seconds(text: &str) -> Result<std::time::Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds, such as 30 or 0.5".to_owned())?;
    std::time::Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Until {
    /// The agent waits for a prompt, or the session is suspended or ended
    Idle,
    /// The agent asks for permission
    NeedsApproval,
    /// The session has ended
    Finished,
}

#[derive(Debug, Args)]
pub(crate) struct AnswerArgs {
    /// Session
    pub(crate) id: String,
    /// One of the agent's options, by its id
    #[arg(long, value_name = "OPTION")]
    pub(crate) option: Option<String>,
    /// Which request, when several wait
    #[arg(long, value_name = "PERMISSION_ID")]
    pub(crate) permission: Option<String>,
    /// Words for the agent, where it takes them
    #[arg(long, short, value_name = "TEXT")]
    pub(crate) message: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Session
    pub(crate) id: String,
    /// Go on with what comes, until the session ends
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Begin after this record
    #[arg(long, value_name = "SEQ", default_value_t = 0)]
    pub(crate) after: u64,
    /// One record per line, as on the wire
    #[arg(long)]
    pub(crate) json: bool,
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once("vibes").chain(line.split_whitespace()))
    }

    fn verb(line: &str) -> Verb {
        match parse(line).unwrap().command.unwrap() {
            Command::Verb(verb) => *verb,
            Command::Sessions(SessionsArgs { verb: Some(verb), .. }) => *verb,
            other => panic!("{line} is {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_session_verb_has_both_spellings() {
        for line in [
            "list --all --state idle --state needs-approval --json",
            "ls --ndjson --agent shell --search x --limit 3",
            "attach - --read-only --after 4",
            "kill a b",
            "kill --all --yes",
            "who a --json",
            "send a hello --wait --now",
            "wait a --until needs-approval --timeout 0.5",
            "approve a --option x --permission p",
            "deny a --message no",
            "interrupt a",
            "suspend a --now",
            "resume a --context more --env X=1",
            "finish a",
            "rename a b",
            "transfer a bob@box:pts/1",
            "take a",
            "show a --json",
            "logs a -f --after 3 --json",
            "rm a b",
            "undelete a",
            "set a mode auto",
        ] {
            assert_eq!(
                format!("{:?}", verb(line)),
                format!("{:?}", verb(&format!("sessions {line}"))),
                "{line}"
            );
        }
    }

    #[test]
    fn sessions_alone_is_the_list() {
        let Command::Sessions(args) = parse("sessions --json --all").unwrap().command.unwrap() else {
            panic!()
        };
        assert!(args.verb.is_none() && args.list.json && args.list.all);
    }

    #[test]
    fn agents_start_with_their_own_verbs() {
        let line =
            "run shell --mode auto --orphan remove --once --cwd /tmp --name n --env A=b make -- --flag x";
        let Command::Run(args) = parse(line).unwrap().command.unwrap() else { panic!() };
        assert_eq!((args.agent.as_str(), args.start.prompt.as_deref()), ("shell", Some("make")));
        assert_eq!(args.start.agent_args, ["--flag", "x"]);
        for agent in ["shell", "claude", "codex", "gemini", "opencode"] {
            assert!(parse(&format!("{agent} -d hello")).is_ok(), "{agent}");
        }
        assert!(parse("shell").is_ok(), "a prompt is not needed");
    }

    #[test]
    fn slips_are_usage_errors() {
        for line in [
            "kill",
            "kill a --all",
            "wait a --timeout -1",
            "wait a --until never",
            "ls --json --ndjson",
            "ls --state asleep",
            "run",
            "run shell --json",
            "rm",
            "nonsense",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
