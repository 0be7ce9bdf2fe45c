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

#[derive(Debug, Args)]
pub(crate) struct ResumeArgs {
    /// Session
    pub(crate) id: String,
    /// Told to the agent with the next prompt; `@FILE` reads a file
    #[arg(long, value_name = "TEXT|@FILE")]
    pub(crate) context: Option<String>,
    /// What it may cost from now on, such as 10.00, +5 or `none`
    #[arg(long, value_name = "AMOUNT", value_parser = parse_budget, allow_hyphen_values = true)]
    pub(crate) budget: Option<Budget>,
    /// Pass a variable of this environment to the agent
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// Pause the session that is active, where only one may be, without asking
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DigestArgs {
    /// Session; all in which something is new otherwise
    pub(crate) id: Option<String>,
    /// Since this day (2026-11-01), or so many hours, days or weeks ago (12h, 7d, 4w), instead of since you last looked
    #[arg(long, value_name = "WHEN", conflicts_with = "after")]
    pub(crate) since: Option<String>,
    /// Since this record
    #[arg(long, value_name = "SEQ", requires = "id")]
    pub(crate) after: Option<u64>,
    /// Note that you have read it
    #[arg(long)]
    pub(crate) mark_read: bool,
    /// Print a JSON array, one element for each session
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a session may cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Budget {
    /// This much, all in all.
    To(f64),
    /// This much more.
    More(f64),
    /// Without end.
    None,
    /// What the configuration says.
    Default,
}

/// An amount, `+` and an amount, `none` or `default`.
pub(crate) fn parse_budget(text: &str) -> Result<Budget, String> {
    let amount = |text: &str| match text.trim_start_matches('$').parse::<f64>() {
        Ok(amount) if amount > 0.0 && amount <= 1e6 => Ok(amount),
        _ => Err("an amount such as 5.00, +5, `none` or `default`".to_owned()),
    };
    match (text, text.strip_prefix('+')) {
        ("none", _) => Ok(Budget::None),
        ("default", _) => Ok(Budget::Default),
        (_, Some(more)) => amount(more).map(Budget::More),
        (text, None) => amount(text).map(Budget::To),
    }
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
    fn budgets_are_amounts_and_words() {
        assert_eq!(parse_budget("5.00"), Ok(Budget::To(5.0)));
        assert_eq!(parse_budget("+$5"), Ok(Budget::More(5.0)));
        assert_eq!([parse_budget("none"), parse_budget("default")], [Ok(Budget::None), Ok(Budget::Default)]);
        for wrong in ["", "0", "-5", "+", "NaN", "inf", "1e9", "five"] {
            assert!(parse_budget(wrong).is_err(), "{wrong}");
        }
    }

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
