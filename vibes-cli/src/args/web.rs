//! The verbs about the web, and what each takes.
//!
//! Invariant: as in `args`, no behaviour; values are parsed here and judged elsewhere.

use clap::{Args, Subcommand, ValueEnum};
use vibes_protocol::model::Access;

#[derive(Debug, Args)]
pub(crate) struct WebArgs {
    /// Open it in the browser
    #[arg(long)]
    pub(crate) open: bool,
    /// Port (default: the one used last, 7432 the first time); 0 takes any
    #[arg(long, value_name = "N")]
    pub(crate) port: Option<u16>,
    /// Serve it no longer
    #[arg(long, conflicts_with_all = ["open", "port"])]
    pub(crate) stop: bool,
    /// Only tell whether and where it is served
    #[arg(long, conflicts_with_all = ["open", "port", "stop"])]
    pub(crate) status: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenVerb {
    /// Make a token and print it; it is told once
    Create {
        /// What it is called
        name: String,
        /// What it lets its holder do
        #[arg(long, value_enum, default_value_t = RoleOf::View)]
        role: RoleOf,
        /// The only session it is for
        #[arg(long, value_name = "ID")]
        session: Option<String>,
        /// Whose it is, when that is not you: what they read on one device is read on all
        #[arg(long = "for", value_name = "NAME")]
        person: Option<String>,
        /// How long it is good: 30m, 12h, 7d, 4w (default: until it is revoked)
        #[arg(long, value_name = "TIME", value_parser = parse_time)]
        expires: Option<u64>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List the tokens
    #[command(visible_alias = "ls")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Take tokens back; who uses them is cut off
    #[command(visible_alias = "rm")]
    Revoke {
        /// Tokens, by their ids or the start of them
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct ShareArgs {
    /// Session
    pub(crate) id: String,
    /// How long the link is good: 30m, 12h, 7d, 4w
    #[arg(long, value_name = "TIME", value_parser = parse_time, default_value = "1d")]
    pub(crate) expires: u64,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// At most this many of the newest
    #[arg(short = 'n', long, value_name = "N", default_value_t = 50)]
    pub(crate) limit: u32,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleOf {
    /// Look
    View,
    /// Drive sessions
    Edit,
    /// Everything
    Admin,
}

impl From<RoleOf> for Access {
    fn from(role: RoleOf) -> Self {
        match role {
            RoleOf::View => Self::View,
            RoleOf::Edit => Self::Edit,
            RoleOf::Admin => Self::Admin,
        }
    }
}

/// A time in seconds.
fn parse_time(text: &str) -> Result<u64, String> {
    let wrong = || "a number with s, m, h, d or w is expected, such as 12h or 7d".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 60 * 60,
        'd' => 24 * 60 * 60,
        'w' => 7 * 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    count.checked_mul(seconds).filter(|time| *time > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(parse_time("90s"), Ok(90));
        assert_eq!(parse_time("2d"), Ok(172_800));
        for wrong in ["", "d", "1", "0h", "-1d", "1é", "99999999999999999999w"] {
            assert!(parse_time(wrong).is_err(), "{wrong}");
        }
    }
}
