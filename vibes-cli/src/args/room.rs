//! Arguments about room on the disk.
//!
//! Invariant: as in `args`, no behaviour.

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct DuArgs {
    /// All sessions, not only the twenty that take most
    #[arg(short, long, conflicts_with = "limit")]
    pub(crate) all: bool,
    /// Those that take most, so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: Option<u32>,
    /// Print JSON, in bytes
    #[arg(long)]
    pub(crate) json: bool,
}
