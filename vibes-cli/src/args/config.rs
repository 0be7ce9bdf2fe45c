//! What `vibes config` takes.
//!
//! Invariant: as in `args`, no behaviour.

use clap::Subcommand;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Every key, its value, and where that is from
    Show {
        /// Only this key, or those of this table
        key: Option<String>,
        /// Print a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Open the file in your editor; it is checked before it is saved
    Edit,
    /// Say whether the file is right, without restarting the daemon
    Check {
        /// Another file
        file: Option<PathBuf>,
    },
    /// Print where the file is
    Path,
}
