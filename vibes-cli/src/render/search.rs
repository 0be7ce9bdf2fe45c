//! What a search found, with the words that were looked for marked.
//!
//! Invariant: pure; what agents and people said is sanitised here. Each hit names its record as other commands take it.

use super::{age, breaks, short, tilde};
use crate::sanitize;
use crate::ui::Paint;
use vibes_protocol::model::SessionId;
use vibes_protocol::wire::search::{SearchHit, Snippet};

/// How to draw.
pub(crate) struct Frame<'a> {
    /// Columns.
    pub(crate) width: usize,
    /// Now, in milliseconds.
    pub(crate) now_ms: i64,
    /// The home directory.
    pub(crate) home: Option<&'a str>,
    /// Session by session, for eyes; else a line for each hit, for pipes.
    pub(crate) grouped: bool,
    /// Colours.
    pub(crate) paint: Paint,
}

/// The hits; sessions in the order of their first one.
pub(crate) fn lines(hits: &[SearchHit], frame: &Frame<'_>) -> Vec<String> {
    if !frame.grouped {
        return hits.iter().map(|hit| line(hit, frame)).collect();
    }
    let mut order: Vec<SessionId> = Vec::new();
    for hit in hits {
        if !order.contains(&hit.session_id) {
            order.push(hit.session_id);
        }
    }
    let mut lines = Vec::new();
    for session in order {
        let mut of_session = hits.iter().filter(|hit| hit.session_id == session).peekable();
        if !lines.is_empty() {
            lines.push(String::new());
        }
        lines.extend(of_session.peek().map(|hit| heading(hit, frame)));
        of_session.for_each(|hit| lines.extend(block(hit, frame)));
    }
    lines
}

fn place(hit: &SearchHit) -> String {
    format!("{}@{}", short(hit.session_id), hit.seq)
}

fn ago(hit: &SearchHit, frame: &Frame<'_>) -> String {
    age((frame.now_ms - hit.at_ms) / 1000)
}

/// A hit on one line.
fn line(hit: &SearchHit, frame: &Frame<'_>) -> String {
    let words = painted(&marked(&hit.snippet), frame.paint);
    format!("{}  {}  {}  {words}", place(hit), ago(hit, frame), sanitize::line(&hit.kind))
}

/// Whose hits follow.
fn heading(hit: &SearchHit, frame: &Frame<'_>) -> String {
    let name = hit.session_name.clone().unwrap_or_else(|| short(hit.session_id));
    let about = format!(" · {} · {} · {}", hit.agent, tilde(&hit.cwd, frame.home), hit.state.as_str());
    format!("{}{}", frame.paint.bold(&sanitize::line(&name)), frame.paint.dim(&sanitize::line(&about)))
}

/// A hit below its heading.
fn block(hit: &SearchHit, frame: &Frame<'_>) -> Vec<String> {
    let paint = frame.paint;
    let more = match hit.matches {
        0 | 1 => String::new(),
        matches => format!(" · {matches} matches"),
    };
    let about = format!(" · {} · {} ago{more}", sanitize::line(&hit.kind), ago(hit, frame));
    let mut lines = vec![format!("  {}{}", paint.cyan(&place(hit)), paint.dim(&about))];
    let chars = marked(&hit.snippet);
    let plain: String = chars.iter().map(|(c, _)| *c).collect();
    let mut at = 0;
    for range in breaks(&plain, frame.width.saturating_sub(4).max(20)) {
        // Breaks count bytes.
        let skipped = plain[at..range.start].chars().count();
        let from = plain[..at].chars().count() + skipped;
        let count = plain[range.clone()].chars().count();
        lines.push(format!("    {}", painted(&chars[from..from + count], paint)));
        at = range.end;
    }
    lines
}

/// The characters of a snippet as a terminal may have them, and which are in a match.
fn marked(snippet: &Snippet) -> Vec<(char, bool)> {
    let mut chars = Vec::new();
    let is_in = |at: u32| snippet.highlights.iter().any(|(from, to)| (*from..*to).contains(&at));
    for (at, c) in (0..).zip(snippet.text.chars()) {
        let clean = sanitize::line(c.encode_utf8(&mut [0; 4])).into_owned();
        chars.extend(clean.chars().map(|c| (c, is_in(at))));
    }
    chars
}

fn painted(chars: &[(char, bool)], paint: Paint) -> String {
    chars
        .chunk_by(|(_, a), (_, b)| a == b)
        .map(|chunk| {
            let text: String = chunk.iter().map(|(c, _)| *c).collect();
            if chunk[0].1 { paint.bold(&paint.red(&text)) } else { text }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn hit(id: &str, seq: u64, kind: &str, text: &str, highlights: &[(u32, u32)]) -> SearchHit {
        let hit = json!({
            "session_id": format!("{id}-ca77-4aef-a795-96896c482e99"), "seq": seq, "at_ms": 60_000, "kind": kind,
            "snippet": {"text": text, "highlights": highlights}, "matches": highlights.len(),
            "session_name": (id == "3ce46d0d").then_some("api"), "agent": "claude", "cwd": "/home/ann/api",
            "state": "finished",
        });
        serde_json::from_value(hit).expect("this is a hit")
    }

    fn hits() -> Vec<SearchHit> {
        vec![
            hit("3ce46d0d", 40, "command", "make -j4 make", &[(0, 4), (9, 13)]),
            hit("11111111", 7, "output", "no rule to make\u{202e} it", &[(11, 15)]),
            hit("3ce46d0d", 12, "prompt", "please make", &[(7, 11)]),
        ]
    }

    fn frame(grouped: bool, width: usize, paint: Paint) -> Frame<'static> {
        Frame { width, now_ms: 180_000, home: Some("/home/ann"), grouped, paint }
    }

    #[test]
    fn a_pipe_gets_a_line_for_each() {
        let lines = lines(&hits(), &frame(false, 80, Paint::PLAIN));
        assert_eq!(lines[0], "3ce46d0d@40  2m  command  make -j4 make");
        assert!(
            lines[1].starts_with("11111111@7  2m  output  no rule to make") && !lines[1].contains('\u{202e}')
        );
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn a_terminal_gets_them_by_session_with_what_was_looked_for_marked() {
        let shown = lines(&hits(), &frame(true, 80, Paint::PLAIN));
        let expected = [
            "api · claude · ~/api · finished",
            "  3ce46d0d@40 · command · 2m ago · 2 matches",
            "    make -j4 make",
            "  3ce46d0d@12 · prompt · 2m ago",
            "    please make",
            "",
            "11111111 · claude · ~/api · finished",
        ];
        assert_eq!(shown[..7], expected);
        let painted = lines(&hits()[2..], &frame(true, 80, Paint::forced()));
        assert!(painted[2].contains("please \u{1b}[") && painted[2].contains("make"), "{painted:?}");
    }

    #[test]
    fn a_long_snippet_is_wrapped_and_loses_nothing() {
        let text = "wörds and words ".repeat(10);
        let shown =
            lines(&[hit("11111111", 7, "output", text.trim(), &[(0, 5)])], &frame(true, 44, Paint::PLAIN));
        assert!(shown.iter().all(|line| line.chars().count() <= 44), "{shown:?}");
        let words: Vec<&str> = shown[2..].iter().map(|line| line.trim()).collect();
        assert_eq!(words.join(" "), text.trim());
    }
}
