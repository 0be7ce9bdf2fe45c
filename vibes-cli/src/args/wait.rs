//! Arguments that say what is waited for.
//!
//! Invariant: as in `args`, no behaviour.

use clap::{Args, Subcommand};
use std::time::Duration;
use vibes_protocol::model::Condition;

#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// Sessions; `@-` stands for those that standard input names
    #[arg(required = true)]
    pub(crate) ids: Vec<String>,
    /// What to wait for: idle, needs-approval, finished, cost>N or file:GLOB
    #[arg(long, value_name = "CONDITION", default_value = "idle", value_parser = str::parse::<Condition>)]
    pub(crate) until: Condition,
    /// Until it is so of one of them; its id is printed
    #[arg(long, conflicts_with = "all")]
    pub(crate) any: bool,
    /// Until it is so of each of them, which is what is done anyway
    #[arg(long)]
    pub(crate) all: bool,
    /// Give up after this many seconds, with exit code 124
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub(crate) timeout: Option<Duration>,
}

pub(super) fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds, such as 30 or 0.5".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[derive(Debug, Args)]
pub(crate) struct WhenArgs {
    #[command(subcommand)]
    pub(crate) verb: Option<WhenVerb>,
    /// Session
    pub(crate) id: Option<String>,
    /// What to wait for: idle, needs-approval, finished, cost>N or file:GLOB
    #[arg(value_parser = str::parse::<Condition>)]
    pub(crate) condition: Option<Condition>,
    /// Program and arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
    /// Call this one of the addresses that the configuration names
    #[arg(long, value_name = "NAME", conflicts_with = "command")]
    pub(crate) webhook: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum WhenVerb {
    /// List what waits, is under way, or was last over
    #[command(visible_alias = "ls")]
    List {
        /// Only those of this session
        session: Option<String>,
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Take triggers away
    Rm {
        /// Their numbers
        #[arg(required = true)]
        triggers: Vec<u64>,
    },
}
