//! Values to lines.
//!
//! Invariant: pure. No file here reads a clock, an environment or a terminal; width, time and colours are given, so
//! every picture is a test's plain string.

pub(crate) mod approvals;
pub(crate) mod conversation;
pub(crate) mod costs;
pub(crate) mod digest;
pub(crate) mod document;
pub(crate) mod list;
pub(crate) mod markdown;
pub(crate) mod memories;
pub(crate) mod permission;
pub(crate) mod room;
pub(crate) mod runs;
pub(crate) mod search;
pub(crate) mod sheet;
pub(crate) mod spans;
pub(crate) mod table;
pub(crate) mod tool;

use std::borrow::Cow;
use std::ops::Range;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};
use vibes_protocol::model::SessionId;

/// The start of an id: enough to type, for people.
pub(crate) fn short(id: SessionId) -> String {
    id.to_string().chars().take(8).collect()
}

/// How long ago, in the largest unit that says something.
pub(crate) fn age(seconds: i64) -> String {
    match seconds.max(0) {
        s @ 0..60 => format!("{s}s"),
        s @ 60..3_600 => format!("{}m", s / 60),
        s @ 3_600..86_400 => format!("{}h", s / 3_600),
        s => format!("{}d", s / 86_400),
    }
}

/// How long a session lives in which nothing happens, in words that `vibes ttl` takes.
pub(crate) fn ttl_words(ttl_s: Option<u64>) -> String {
    match ttl_s {
        None => "default".to_owned(),
        Some(0) => "never".to_owned(),
        Some(s) => {
            let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
            let (size, unit) = units.into_iter().find(|(size, _)| s % size == 0).unwrap_or((1, "s"));
            format!("{}{unit}", s / size)
        }
    }
}

/// A path with the home directory as `~`.
pub(crate) fn tilde(path: &str, home: Option<&str>) -> String {
    let rest = home.and_then(|home| path.strip_prefix(home.trim_end_matches('/')));
    match rest {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("~{rest}"),
        _ => path.to_owned(),
    }
}

/// Keeps the end of a text, which tells directories apart, within a width.
pub(crate) fn keep_end(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept: Vec<char> = Vec::new();
    let mut used = 1;
    for c in text.chars().rev() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        kept.push(c);
    }
    std::iter::once('…').chain(kept.into_iter().rev()).collect()
}

/// Keeps the start of a text within a width.
pub(crate) fn keep_start(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        kept.push(c);
    }
    kept.push('…');
    kept
}

/// Cuts one line into lines of at most `width` columns, at spaces where there are any. Nothing is lost but the space
/// at a break; indentation of the line is kept on its first part only.
pub(crate) fn wrap(line: &str, width: usize) -> Vec<String> {
    breaks(line, width).into_iter().map(|range| line[range].to_owned()).collect()
}

/// The same as ranges of bytes.
pub(crate) fn breaks(line: &str, width: usize) -> Vec<Range<usize>> {
    let mut lines = Vec::new();
    let mut from = 0;
    while let Some(at) = overflow(&line[from..], width) {
        let rest = &line[from..];
        // A break at a space reads better, unless it would leave less than a third of the line.
        let space = rest[..at].rfind(' ').filter(|space| rest[..*space].trim_start().width() * 3 > width);
        let (end, next) = match space {
            Some(space) => (space, space + 1),
            None if rest[at..].starts_with(' ') => (at, at + 1),
            None => (at, at),
        };
        lines.push(from..from + end);
        from += next;
    }
    lines.push(from..line.len());
    lines
}

/// Where a line becomes too wide, as a byte index; `None` when it fits.
pub(crate) fn overflow(line: &str, width: usize) -> Option<usize> {
    // No character but a tab has more columns than bytes.
    if line.len() <= width && !line.contains('\t') {
        return None;
    }
    let mut used = 0;
    for (at, c) in line.char_indices() {
        // A tab is at most eight columns; where exactly it stands is not known here.
        used += if c == '\t' { 8 } else { c.width().unwrap_or(0) };
        if used > width.max(1) && at > 0 {
            return Some(at);
        }
    }
    None
}

/// The columns of a line that may hold escape sequences of ours (`ESC [ … letter`).
pub(crate) fn columns(painted: &str) -> usize {
    let mut chars = painted.chars();
    let mut used = 0;
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => while chars.next().is_some_and(|c| !c.is_ascii_alphabetic()) {},
            c => used += c.width().unwrap_or(0),
        }
    }
    used
}

/// The frame of approvals is drawn with double lines; in an agent's words they become something else.
pub(crate) fn unframed(text: &str) -> Cow<'_, str> {
    // All of them share their first two bytes with little else.
    if !text.contains(|c| matches!(c, '\u{2550}'..='\u{256c}')) {
        return Cow::Borrowed(text);
    }
    let instead = |c| match c {
        '═' => '=',
        '║' => '|',
        '\u{2552}'..='\u{256c}' => '+',
        c => c,
    };
    Cow::Owned(text.chars().map(instead).collect())
}

/// A number with its noun.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_use_the_largest_unit() {
        let pairs =
            [(-5, "0s"), (0, "0s"), (59, "59s"), (60, "1m"), (3_599, "59m"), (3_600, "1h"), (86_400, "1d")];
        for (seconds, text) in pairs {
            assert_eq!(age(seconds), text);
        }
    }

    #[test]
    fn home_is_shortened_only_as_a_whole_component() {
        assert_eq!(tilde("/home/a/x", Some("/home/a")), "~/x");
        assert_eq!(tilde("/home/a", Some("/home/a/")), "~");
        assert_eq!(tilde("/home/ab", Some("/home/a")), "/home/ab");
        assert_eq!(tilde("/x", None), "/x");
    }

    #[test]
    fn long_texts_are_cut_by_columns_and_marked() {
        assert_eq!(keep_end("/a/very/long/path", 9), "…ong/path");
        assert_eq!(keep_start("日本語日本語", 5), "日本…");
        assert_eq!(keep_end("日本語日本語", 6), "…本語");
        assert_eq!(keep_start("short", 5), "short");
    }

    #[test]
    fn wrapping_loses_nothing() {
        assert_eq!(wrap("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(wrap("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("", 4), [""]);
        assert_eq!(wrap("日本語", 4), ["日本", "語"]);
        let long = "x".repeat(50) + " " + &"y".repeat(3);
        assert_eq!(wrap(&long, 10).concat(), long.replace(' ', ""));
        assert!(wrap("語", 1).len() == 1, "a column too narrow for one character ends too");
    }
}
