//! What `vibes memory` takes.
//!
//! Invariant: as in `args`, no behaviour.

use super::JsonArgs;
use clap::{Args, Subcommand, ValueEnum};

#[derive(Debug, Subcommand)]
pub(crate) enum MemoryVerb {
    /// Remember something; prints its number
    Add {
        /// Words; `-`, or none, reads standard input
        text: Vec<String>,
        /// What it belongs to (default: note)
        #[arg(long, short)]
        category: Option<String>,
        /// A word to find it by; may be given several times. `#words` in the text count, too
        #[arg(long, short, value_name = "TAG")]
        tag: Vec<String>,
        /// The session that it is about
        #[arg(long, value_name = "ID")]
        session: Option<String>,
        #[command(flatten)]
        json: JsonArgs,
    },
    /// Find what is remembered, the best fit first
    Search {
        /// Words, or beginnings of words: all of them have to be there
        #[arg(required = true)]
        query: Vec<String>,
        #[command(flatten)]
        which: WhichMemories,
    },
    /// List what is remembered, the newest first
    #[command(visible_alias = "ls")]
    List {
        #[command(flatten)]
        which: WhichMemories,
    },
    /// Show one whole
    Show {
        /// Number
        id: u64,
        #[command(flatten)]
        json: JsonArgs,
    },
    /// Change one; without anything to change, its words in your editor
    Edit {
        /// Number
        id: u64,
        /// New words; `-` reads standard input
        text: Vec<String>,
        /// Another category
        #[arg(long, short)]
        category: Option<String>,
        /// One more tag; may be given several times
        #[arg(long, short, value_name = "TAG")]
        tag: Vec<String>,
        /// One tag less; may be given several times
        #[arg(long, value_name = "TAG")]
        untag: Vec<String>,
        #[command(flatten)]
        json: JsonArgs,
    },
    /// Forget some: all of them or, with an error, none
    Rm {
        /// Numbers
        #[arg(required = true)]
        ids: Vec<u64>,
        #[command(flatten)]
        json: JsonArgs,
    },
    /// Print everything, the oldest first
    Export {
        /// As what
        #[arg(long, value_enum, default_value_t = MemoryFormat::Ndjson)]
        format: MemoryFormat,
        /// Only of this category
        #[arg(long, short)]
        category: Option<String>,
        /// Only with this tag; may be given several times
        #[arg(long, short, value_name = "TAG")]
        tag: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct WhichMemories {
    /// Only of this category
    #[arg(long, short)]
    pub(crate) category: Option<String>,
    /// Only with this tag; may be given several times
    #[arg(long, short, value_name = "TAG")]
    pub(crate) tag: Vec<String>,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) limit: u32,
    /// Print a JSON array
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MemoryFormat {
    /// One JSON object per line
    Ndjson,
    /// A JSON array
    Json,
    /// A document to read
    Markdown,
}
