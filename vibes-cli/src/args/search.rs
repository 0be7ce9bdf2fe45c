//! `vibes search`: what can be asked.
//!
//! Invariant: as in `args`, no behaviour.

use super::verb::parse_state;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use vibes_protocol::model::SessionState;

pub(crate) const SEARCH_HELP: &str = "\
Query: words, all of which are to be found; \"a phrase\"; the start of a word*; -not; one OR another.
  prompt:WORD response:WORD thought:WORD command:WORD file:WORD tool:WORD output:WORD   only there
  agent:NAME mode:NAME state:STATE session:ID dir:PATH since:WHEN until:WHEN            as the options
Examples:
  vibes search connection refused                    both words, in one prompt, answer or command
  vibes search '\"no space left\" -docker' --since 7d
  vibes search command:\"cargo test\" output:panicked --agent shell
  vibes search file:main.rs --cwd .                   where was that file touched, from here?
  vibes logs 3fa9c2d1@1234                            what was around a hit; attach and show take it, too";

#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// What to look for, see below; quote what has spaces, quotes or a `-` in front
    #[arg(required_unless_present = "rebuild")]
    pub(crate) query: Vec<String>,
    /// Only sessions of this agent; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Vec<String>,
    /// Only sessions in this mode; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) mode: Vec<String>,
    /// Only sessions in this state; may be given several times
    #[arg(long, value_parser = parse_state)]
    pub(crate) state: Vec<SessionState>,
    /// Only this session; may be given several times
    #[arg(long, value_name = "ID")]
    pub(crate) session: Vec<String>,
    /// Only sessions in this directory or below it
    #[arg(long, value_name = "DIR")]
    pub(crate) cwd: Option<PathBuf>,
    /// From this day on (2026-11-01), or so long ago (12h, 7d, 4w)
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
    /// Until the end of this day, or so long ago
    #[arg(long, value_name = "WHEN")]
    pub(crate) until: Option<String>,
    /// What comes first
    #[arg(long, value_enum, default_value_t = SearchSort::Newest)]
    pub(crate) sort: SearchSort,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: u32,
    /// Wait until everything that was recorded before can be found
    #[arg(long)]
    pub(crate) wait: bool,
    /// Print a JSON array
    #[arg(long, conflicts_with = "ndjson")]
    pub(crate) json: bool,
    /// Print one JSON object per line
    #[arg(long)]
    pub(crate) ndjson: bool,
    /// Make the index anew, in the background
    #[arg(long, exclusive = true)]
    pub(crate) rebuild: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SearchSort {
    /// The newest
    Newest,
    /// What fits best
    Rank,
}
