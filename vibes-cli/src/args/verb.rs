//! The verbs that act on sessions, and what each takes.
//!
//! Invariant: as in `args`, no behaviour; values are parsed here and judged elsewhere.

use super::life::{Budget, DigestArgs, ResumeArgs, Ttl, UpdateArgs, parse_budget, parse_ttl};
use super::wait::{WaitArgs, WhenArgs};
use crate::target::Target;
use clap::{Args, Subcommand, ValueEnum};
use vibes_protocol::model::SessionState;

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
    /// Prompts that wait for their turn
    #[command(subcommand)]
    Queue(QueueVerb),
    /// Branches and directories that sessions have to themselves
    #[command(
        subcommand,
        after_help = "Examples:
  vibes claude --worktree=fix 'fix the build'    on the branch vibes/fix, beside the repository
  vibes worktree diff fix                        what it changed, committed or not
  vibes worktree merge fix                       into the branch it came from
  vibes kill fix && vibes worktree drop fix"
    )]
    Worktree(WorktreeVerb),
    /// Wait for sessions
    #[command(after_help = "Examples:
  vibes wait 3fa9 --until idle --timeout 60
  vibes wait api web --until idle                  all of them
  vibes wait api web --until finished --any        the first one: its id is printed
  vibes wait api --until 'cost>2.50'
  vibes wait api --until 'file:dist/*.tar.gz'      in the session's directory
  vibes wait - --until needs-approval && vibes approve -
  vibes wait api --until finished; echo $?     7: the agent failed, 6: it needs approval")]
    Wait(WaitArgs),
    /// Run a command, or call a webhook, when something is so of a session, also after a restart
    #[command(
        args_conflicts_with_subcommands = true,
        after_help = "Examples:
  vibes when api finished -- notify-send 'api has ended'
  vibes when api 'cost>5' --webhook chat        [webhooks] in the configuration says where that is
  vibes when api 'file:dist/*.tar.gz' -- ./deploy
  vibes when list
  vibes when rm 4
The command is told as JSON on its standard input; nothing of a session becomes a part of it. It is run at least once: a
command that fails is tried again, 8 times in all, with pauses that grow; one that a restart cut short is run again."
    )]
    When(Box<WhenArgs>),
    /// Approve what the agent asks
    Approve(ApproveArgs),
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
    Resume(ResumeArgs),
    /// Go on from a session in another one, which knows what was said
    #[command(after_help = "Examples:
  vibes fork api 'try it without the cache'      the same agent, which goes on from a copy
  vibes fork api --agent codex 'and you?'        another agent is told what was said
  vibes fork api --worktree 'and on a branch'    on a branch and in a directory of its own
  vibes fork api --at 120 -d                     from record 120, in the background")]
    Fork(ForkArgs),
    /// End a session well
    Finish(OneArgs),
    /// Give a session another name
    Rename {
        /// Session
        id: String,
        /// New name; an empty one takes the name away
        name: String,
    },
    /// Change what is known of a session
    #[command(after_help = "Examples:
  vibes update api --description 'the new backend' --ttl 7d
  vibes update api --metadata ticket=42 --metadata owner=   the second one is taken away
  vibes update api --version 3 --name server                only if nobody changed it since")]
    Update(UpdateArgs),
    /// Tell or set how long a session lives in which nothing happens
    Ttl {
        /// Session
        id: String,
        /// Such as 90m, 24h or 7d; `never`; `default` is what the configuration says
        #[arg(value_parser = parse_ttl)]
        ttl: Option<Ttl>,
    },
    /// Tell or set what a session may cost
    Budget {
        /// Session
        id: String,
        /// Such as 5.00, or +5 for so much more than it has cost or may cost; `none`; `default` is what the configuration says
        #[arg(value_parser = parse_budget, allow_hyphen_values = true)]
        amount: Option<Budget>,
    },
    /// Tell what happened since you last looked: turns, files, commands, cost, decisions, open questions
    #[command(after_help = "Examples:
  vibes digest                    all sessions in which something is new
  vibes digest api --since 12h    one session, whatever was read
  vibes digest --mark-read        and nothing of it is new any more
  vibes digest --json | jq -r '.[].questions[].action'")]
    Digest(DigestArgs),
    /// Note that you have read what is new
    Read {
        /// Sessions; `@-` stands for those that standard input names
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Keep sessions from expiring
    Pin {
        /// Sessions; `@-` stands for those that standard input names
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Let sessions expire again
    Unpin {
        /// Sessions; `@-` stands for those that standard input names
        #[arg(required = true)]
        ids: Vec<String>,
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
    /// Show all that is known of a session, or one of its records
    #[command(after_help = "Examples:
  vibes show api                 state, owner, directory, what was started, …
  vibes show api@120             record 120
  vibes show api@120 --json | jq .fact")]
    Show(ShowArgs),
    /// Print the transcript
    Logs(LogsArgs),
    /// List the turns: prompt, outcome, tokens, cost, files
    #[command(after_help = "Examples:
  vibes runs api                 the last 20 turns
  vibes runs api --limit 500     and more of them
  vibes runs api --json | jq -r '.[] | select(.outcome == \"failed\") | .error'")]
    Runs(RunsArgs),
    /// Write sessions as text: to keep, to read, to move elsewhere
    #[command(after_help = "Examples:
  vibes export api -o api.ndjson              a session, to be imported elsewhere
  vibes export api --format markdown > api.md to read
  vibes export api@120..@180                  some of its records
  vibes export --all | zstd > vibes.zst       everything
  vibes ls --all --ndjson | jq -r .id | vibes export -o all.ndjson")]
    Export(ExportArgs),
    /// Delete a session; `undelete` takes it back
    Rm {
        /// Sessions; `@-` stands for those that standard input names
        #[arg(required = true)]
        ids: Vec<String>,
        /// Keep nothing of it: there is no way back. Deleted sessions, too
        #[arg(long)]
        purge: bool,
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
pub(crate) struct OneJsonArgs {
    /// Session
    pub(crate) id: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Session, or `ID@RECORD` for one of its records
    pub(crate) id: Target,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
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
    /// Go on with what changes, one JSON object per line, until interrupted
    #[arg(short, long, visible_alias = "follow", conflicts_with_all = ["json", "limit", "search"])]
    pub(crate) watch: bool,
}

pub(super) fn parse_state(text: &str) -> Result<SessionState, String> {
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
    /// Session; `ID@RECORD` begins at that record
    pub(crate) id: Target,
    /// Watch without typing; never own
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Begin after this record instead of at the start
    #[arg(long, value_name = "N")]
    pub(crate) after: Option<u64>,
    /// Show thoughts whole instead of one line for each
    #[arg(long)]
    pub(crate) thoughts: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KillArgs {
    /// Sessions; `@-` stands for those that standard input names
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
    /// A file, image, directory or https:// link that goes with the prompt; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) attach: Vec<String>,
    /// Wait for the turn and print the agent's answer
    #[arg(long)]
    pub(crate) wait: bool,
    /// Interrupt a running turn first
    #[arg(long)]
    pub(crate) now: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorktreeVerb {
    /// List the sessions that have one, ended ones too
    #[command(visible_alias = "ls")]
    List {
        /// Print a JSON array of sessions
        #[arg(long)]
        json: bool,
    },
    /// Show what a session has changed in it, committed or not
    Diff {
        /// Session
        id: String,
    },
    /// Merge its branch into the one that it came from
    Merge {
        /// Session
        id: String,
    },
    /// Remove it and its branch
    Drop {
        /// Sessions; `@-` stands for those that standard input names
        #[arg(required = true)]
        ids: Vec<String>,
        /// What is not committed or not merged, too; a ref keeps it
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ForkArgs {
    /// Session
    pub(crate) id: String,
    /// First prompt; `-` reads standard input
    pub(crate) prompt: Option<String>,
    /// The last record that it knows (default: all of them)
    #[arg(long, value_name = "SEQ")]
    pub(crate) at: Option<u64>,
    /// Another agent
    #[arg(long)]
    pub(crate) agent: Option<String>,
    /// Where it works (default: where the other one does; one that was imported has no such place)
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<std::path::PathBuf>,
    /// Name of the new session
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A file, image, directory or https:// link that goes with the first prompt; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) attach: Vec<String>,
    /// Work on a branch of its own, in a git worktree beside the repository
    #[arg(long, value_name = "NAME", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(crate) worktree: Option<String>,
    /// Pass a variable of this environment to the agent
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Pause the session that is active, where only one may be, without asking
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Return only when the agent is ready, or could not be started
    #[arg(long)]
    pub(crate) wait_ready: bool,
    /// Start in the background and print the new session's id
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// With -d: print the session as JSON
    #[arg(long, requires = "detach")]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum QueueVerb {
    /// List the prompts that wait, the next one first
    #[command(visible_alias = "ls")]
    List(OneJsonArgs),
    /// Say something else instead
    Edit {
        /// Session
        id: String,
        /// Record of the prompt, as the list shows it
        seq: u64,
        /// New prompt; `-`, or none, reads standard input
        prompt: Option<String>,
    },
    /// Move a prompt to another place
    Move {
        /// Session
        id: String,
        /// Record of the prompt
        seq: u64,
        /// New place: 1 is the next to run
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        place: u32,
    },
    /// Take prompts out
    Rm {
        /// Session
        id: String,
        /// Records of the prompts
        #[arg(required = true)]
        seqs: Vec<u64>,
    },
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
    /// Answer to a question of the agent; once for each, in their order
    #[arg(long, value_name = "TEXT")]
    pub(crate) answer: Vec<String>,
    /// What the tool is to be called with instead, as JSON
    #[arg(long, value_name = "JSON")]
    pub(crate) input: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ApproveArgs {
    #[command(flatten)]
    pub(crate) answer: AnswerArgs,
    /// Allow the same again for the rest of the session, without asking
    #[arg(long, conflicts_with = "option")]
    pub(crate) for_session: bool,
    /// With --for-session: every plain command of this pattern, such as 'cargo test -...'
    #[arg(long, value_name = "PATTERN", requires = "for_session")]
    pub(crate) pattern: Option<String>,
    /// With --for-session: every file in this directory
    #[arg(long, value_name = "PATH", requires = "for_session", conflicts_with = "pattern")]
    pub(crate) path: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct RunsArgs {
    /// Session
    pub(crate) id: String,
    /// The newest so many
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: u32,
    /// Only turns before this one
    #[arg(long, value_name = "TURN")]
    pub(crate) before: Option<u64>,
    /// Print a JSON array, the oldest first
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Sessions, or some of their records: ID, ID@SEQ, ID@FIRST..@LAST; standard input names them when there are none
    #[arg(value_name = "ID[@SEQ]", conflicts_with = "all")]
    pub(crate) ids: Vec<String>,
    /// Every session, ended ones too
    #[arg(long)]
    pub(crate) all: bool,
    /// As what
    #[arg(long, value_enum, default_value_t = ExportFormat::Ndjson)]
    pub(crate) format: ExportFormat,
    /// Write to this file, which is there when all of it is
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<std::path::PathBuf>,
    /// With what looks like a secret, which is taken out otherwise
    #[arg(long)]
    pub(crate) raw: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportFormat {
    /// A head line and a line for each record, as on the wire
    Ndjson,
    /// One object for each session
    Json,
    /// A document for people
    #[value(alias = "md")]
    Markdown,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Session; `ID@RECORD` begins with the turn of that record, and with --json at the record itself
    pub(crate) id: Target,
    /// Go on with what comes, until the session ends
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Begin after this record
    #[arg(long, value_name = "SEQ")]
    pub(crate) after: Option<u64>,
    /// Show thoughts whole, also on a terminal
    #[arg(long)]
    pub(crate) thoughts: bool,
    /// One record per line, as on the wire
    #[arg(long)]
    pub(crate) json: bool,
}
