//! What `vibes ask` takes.
//!
//! Invariant: as in `args`, no behaviour.

use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    /// Agent, as `vibes agents` lists it
    pub(crate) agent: String,
    /// Prompt, in one word or several; `-` stands for standard input
    #[arg(required_unless_present = "attach")]
    pub(crate) prompt: Vec<String>,
    /// Arguments for the agent's program
    #[arg(last = true, value_name = "AGENT ARGS")]
    pub(crate) agent_args: Vec<String>,
    /// Print one JSON object: answer, how the turn ended, usage, cost, session
    #[arg(long, conflicts_with = "ndjson")]
    pub(crate) json: bool,
    /// Print each record as it comes, one JSON object per line, and that of --json as the last one
    #[arg(long)]
    pub(crate) ndjson: bool,
    /// Keep the session: it finishes after its turn and can be read, resumed and forked
    #[arg(long)]
    pub(crate) keep: bool,
    /// Give up after this many seconds, with exit code 124
    #[arg(long, value_name = "SECONDS", value_parser = super::wait::parse_seconds)]
    pub(crate) timeout: Option<Duration>,
    /// A file, image, directory or https:// link that goes with the prompt; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) attach: Vec<String>,
    /// Mode of the agent
    #[arg(long)]
    pub(crate) mode: Option<String>,
    /// Model of the agent
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Working directory (default: this one)
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<PathBuf>,
    /// With --keep: on a branch of its own, in a git worktree beside the repository
    #[arg(
        long,
        value_name = "NAME",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        requires = "keep"
    )]
    pub(crate) worktree: Option<String>,
    /// With --keep: name of the session
    #[arg(long, requires = "keep")]
    pub(crate) name: Option<String>,
    /// Pass a variable of this environment to the agent
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
}
