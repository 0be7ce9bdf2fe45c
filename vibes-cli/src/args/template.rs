//! What `vibes template` takes.
//!
//! Invariant: as in `args`, no behaviour.

use super::JsonArgs;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum TemplateVerb {
    /// Save a session's configuration, or a file
    Save(SaveTemplateArgs),
    /// List them
    #[command(visible_alias = "ls")]
    List(JsonArgs),
    /// Print one, as its file has it
    Show {
        /// Name
        name: String,
        #[command(flatten)]
        json: JsonArgs,
    },
    /// Change one in your editor, or begin one
    Edit {
        /// Name
        name: String,
    },
    /// Remove some; sessions made from them stay
    Rm {
        /// Names
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        json: JsonArgs,
    },
}

#[derive(Debug, Args)]
pub(crate) struct SaveTemplateArgs {
    /// Name
    pub(crate) name: String,
    /// A file; `-` reads standard input
    #[arg(required_unless_present = "from", conflicts_with = "from")]
    pub(crate) file: Option<PathBuf>,
    /// The session whose agent, directory, mode, model, options and arguments it has
    #[arg(long, value_name = "ID")]
    pub(crate) from: Option<String>,
    /// First prompt of the sessions made from it; `{prompt}` is what is given to `run`, `{name}` a value of --set
    #[arg(long, value_name = "TEXT", requires = "from")]
    pub(crate) prompt: Option<String>,
    /// In place of one that is there
    #[arg(long)]
    pub(crate) replace: bool,
    #[command(flatten)]
    pub(crate) json: JsonArgs,
}
