//! Arguments that say how long sessions live.
//!
//! Invariant: as in `args`, no behaviour.

use super::Orphan;
use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// Session
    pub(crate) id: String,
    /// New name; an empty one takes the name away
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// New free text; an empty one takes it away
    #[arg(long, value_name = "TEXT")]
    pub(crate) description: Option<String>,
    /// How long it lives in which nothing happens: 90m, 24h, 7d; `never`; `default`
    #[arg(long, value_name = "TIME", value_parser = parse_ttl)]
    pub(crate) ttl: Option<Ttl>,
    /// What happens when the last subscriber leaves
    #[arg(long, value_enum)]
    pub(crate) orphan: Option<Orphan>,
    /// Keep it from expiring
    #[arg(long, conflicts_with = "unpin")]
    pub(crate) pin: bool,
    /// Let it expire again
    #[arg(long)]
    pub(crate) unpin: bool,
    /// Free data, as JSON or words; an empty value takes it away; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) metadata: Vec<String>,
    /// Change nothing unless this is its present version, as `vibes show --json` tells it
    #[arg(long, value_name = "N")]
    pub(crate) version: Option<u64>,
}

/// How long a session lives in which nothing happens, in seconds: 0 is for ever, none is the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ttl(pub(crate) Option<u64>);

/// A span, `never` or `default`.
pub(crate) fn parse_ttl(text: &str) -> Result<Ttl, String> {
    match text {
        "default" => Ok(Ttl(None)),
        "never" | "0" => Ok(Ttl(Some(0))),
        span => parse_span(span).map(|span| Ttl(Some(span))),
    }
}

/// A span of time, in seconds.
pub(crate) fn parse_span(text: &str) -> Result<u64, String> {
    let wrong = || "a time such as 90s, 90m, 24h or 7d".to_owned();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).filter(|span| *span > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_with_a_unit() {
        assert_eq!(parse_ttl("default"), Ok(Ttl(None)));
        assert_eq!(parse_ttl("never"), Ok(Ttl(Some(0))));
        assert_eq!(
            ["90", "90s", "2m", "24h", "7d", "1w"].map(|text| parse_span(text).ok()),
            [90, 90, 120, 86_400, 604_800, 604_800].map(Some)
        );
        for wrong in ["", "h", "1x", "-1h", "1.5h", "0h", "99999999999999999999d", "9999999999999999999d"] {
            assert!(parse_span(wrong).is_err(), "{wrong}");
        }
    }
}
