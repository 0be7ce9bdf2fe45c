//! Tool calls, diffs and plans, as ACP describes them.
//!
//! Invariant: every shape is read leniently (agents differ) and a missing field costs a word, never the line.

use super::conversation::words_of_block;
use super::{columns, keep_start};
use crate::sanitize;
use crate::ui::Paint;
use serde_json::Value;
use unicode_width::UnicodeWidthChar as _;

/// More changed lines than this are not compared line by line: what lies between the common start and end is replaced.
const COMPARED: usize = 2_000;
/// Lines around a change.
const CONTEXT: usize = 2;

/// The line that says a tool was called.
pub(crate) fn started(title: &str, kind: Option<&str>, width: usize, paint: Paint) -> String {
    let title = sanitize::line(title);
    let text = match kind {
        Some(kind) if !matches!(kind, "other" | "execute") => format!("{} {title}", sanitize::line(kind)),
        _ => title.into_owned(),
    };
    format!("{} {}", paint.cyan("⚙"), keep_start(&text, width.saturating_sub(2)))
}

/// The line that says how it ended; `None` while it runs.
pub(crate) fn ended(title: &str, update: &Value, took_ms: i64, width: usize, paint: Paint) -> Option<String> {
    let exit = exit_code(update);
    let (mark, words) = match update["status"].as_str()? {
        "completed" => (paint.green("✓"), exit.filter(|code| *code != 0).map(|code| format!("exit {code}"))),
        "failed" => {
            (paint.red("✗"), Some(exit.map_or_else(|| "failed".to_owned(), |code| format!("exit {code}"))))
        }
        _ => return None,
    };
    let tail: String = words.into_iter().chain(took(took_ms)).map(|words| format!(" · {words}")).collect();
    Some(named(&mark, title, &tail, width))
}

/// The line of one that runs.
pub(crate) fn running(title: &str, took_ms: i64, width: usize, paint: Paint) -> String {
    let tail = took(took_ms).map_or_else(String::new, |took| format!(" · {took}"));
    named(&paint.cyan("⚙"), title, &tail, width)
}

/// The line of one that nobody will end.
pub(crate) fn left(title: &str, width: usize, paint: Paint) -> String {
    named(&paint.yellow("■"), title, " · not finished", width)
}

fn named(mark: &str, title: &str, tail: &str, width: usize) -> String {
    let room = width.saturating_sub(2 + tail.chars().count());
    format!("{mark} {}{tail}", keep_start(&sanitize::line(title), room))
}

/// How long something took, when that is worth a word.
pub(crate) fn took(ms: i64) -> Option<String> {
    match ms {
        ..100 => None,
        100..10_000 => Some(format!("{}.{} s", ms / 1000, ms % 1000 / 100)),
        10_000..60_000 => Some(format!("{} s", ms / 1000)),
        _ => Some(format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000)),
    }
}

/// The exit code of a command, wherever the agent put it.
pub(crate) fn exit_code(update: &Value) -> Option<i64> {
    let places = [
        &update["rawOutput"],
        &update["_meta"],
        &update["_meta"]["vibes"],
        &update["_meta"]["terminal_exit"],
    ];
    places.iter().find_map(|place| place["exit_code"].as_i64().or_else(|| place["exitCode"].as_i64()))
}

/// What a finished tool gave: its changes and its text, all of it.
pub(crate) fn content(update: &Value, width: usize, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    for part in update["content"].as_array().into_iter().flatten() {
        match part["type"].as_str() {
            Some("diff") => {
                let cut = |line: String| if columns(&line) > width { clipped(&line, width) } else { line };
                lines.extend(diff(part, sanitize::text, paint).into_iter().map(cut));
            }
            Some("content") => {
                let words = words_of_block(&part["content"]);
                let text = sanitize::text(&words);
                let all = text.trim_end().lines();
                lines.extend(all.map(|line| paint.dim(&keep_start(&format!("  {line}"), width))));
            }
            _ => {}
        }
    }
    lines
}

/// The start of a painted line, with its paint ended.
pub(crate) fn clipped(painted: &str, width: usize) -> String {
    let mut kept = String::with_capacity(painted.len());
    let mut used = 1;
    let mut chars = painted.chars();
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            kept.push(c);
            for c in chars.by_ref() {
                kept.push(c);
                if c.is_ascii_alphabetic() {
                    break;
                }
            }
            continue;
        }
        used += c.width().unwrap_or(0);
        if used > width {
            break;
        }
        kept.push(c);
    }
    let painted = kept.contains('\u{1b}');
    kept.push('…');
    if painted {
        kept.push_str("\u{1b}[0m");
    }
    kept
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Same,
    Gone,
    New,
}

/// A change of a file: its name, how many lines go and come, which, and two lines around them. Accepts ACP's spelling
/// and ours. Every line that changes is there.
pub(crate) fn diff(
    change: &Value,
    clean: fn(&str) -> std::borrow::Cow<'_, str>,
    paint: Paint,
) -> Vec<String> {
    let field = |ours: &str, acp: &str| change[ours].as_str().or_else(|| change[acp].as_str());
    let path = change["path"].as_str().unwrap_or("(no path)");
    let new_file = field("old_text", "oldText").is_none();
    let old = clean(field("old_text", "oldText").unwrap_or_default()).into_owned();
    let new = clean(field("new_text", "newText").unwrap_or_default()).into_owned();
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let script = compared(&old, &new);
    let number = |wanted: Line| script.iter().filter(|(line, _)| *line == wanted).count();
    let (gone, come) = (number(Line::Gone), number(Line::New));
    let counts = match (come, gone) {
        (0, 0) => String::new(),
        (come, 0) => format!("  {}", paint.green(&format!("+{come}"))),
        (0, gone) => format!("  {}", paint.red(&format!("-{gone}"))),
        (come, gone) => format!("  {} {}", paint.green(&format!("+{come}")), paint.red(&format!("-{gone}"))),
    };
    let name = format!("  {}{}", clean(path).replace('\n', "␊"), if new_file { " (new file)" } else { "" });
    let mut lines = vec![format!("{}{counts}", paint.bold(&name))];
    let near = |at: usize| {
        let around = at.saturating_sub(CONTEXT)..(at + CONTEXT + 1).min(script.len());
        script[around].iter().any(|(line, _)| *line != Line::Same)
    };
    let mut left_out = false;
    for (at, (line, text)) in script.iter().enumerate() {
        match line {
            Line::Gone => lines.push(paint.red(&format!("  - {text}"))),
            Line::New => lines.push(paint.green(&format!("  + {text}"))),
            Line::Same if near(at) => {
                if std::mem::take(&mut left_out) && lines.len() > 1 {
                    lines.push(paint.dim("    ⋮"));
                }
                lines.push(paint.dim(&format!("    {text}")));
            }
            Line::Same => left_out = true,
        }
    }
    if gone + come == 0 {
        lines.push(paint.dim("    (no line changes)"));
    }
    lines
}

/// The lines of both texts in order, each with what becomes of it.
fn compared<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(Line, &'a str)> {
    let start = old.iter().zip(new).take_while(|(a, b)| a == b).count();
    let end = old[start..].iter().rev().zip(new[start..].iter().rev()).take_while(|(a, b)| a == b).count();
    let (before, after) = (&old[start..old.len() - end], &new[start..new.len() - end]);
    let mut script: Vec<(Line, &str)> = old[..start].iter().map(|line| (Line::Same, *line)).collect();
    if before.len() + after.len() <= COMPARED {
        let all = |line: Line, lines: &[&'a str], script: &mut Vec<_>| {
            script.extend(lines.iter().map(|text| (line, *text)));
        };
        for op in similar::capture_diff_slices(similar::Algorithm::Myers, before, after) {
            match op.tag() {
                similar::DiffTag::Equal => all(Line::Same, &before[op.old_range()], &mut script),
                _ => {
                    all(Line::Gone, &before[op.old_range()], &mut script);
                    all(Line::New, &after[op.new_range()], &mut script);
                }
            }
        }
    } else {
        script.extend(before.iter().map(|line| (Line::Gone, *line)));
        script.extend(after.iter().map(|line| (Line::New, *line)));
    }
    script.extend(old[old.len() - end..].iter().map(|line| (Line::Same, *line)));
    script
}

/// A plan as a checklist.
pub(crate) fn plan(update: &Value, width: usize, paint: Paint) -> Vec<String> {
    let entries = update["entries"].as_array().into_iter().flatten();
    let items = entries.map(|entry| {
        let text = sanitize::line(entry["content"].as_str().unwrap_or_default()).into_owned();
        let text = keep_start(&text, width.saturating_sub(6));
        match entry["status"].as_str() {
            Some("completed") => format!("  {} {}", paint.green("[x]"), paint.dim(&text)),
            Some("in_progress") => format!("  {} {}", paint.yellow("[>]"), paint.bold(&text)),
            _ => format!("  [ ] {text}"),
        }
    });
    std::iter::once(paint.bold("Plan")).chain(items).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_call_is_one_line_at_its_start_and_one_at_its_end() {
        assert_eq!(started("ls\x1b[2J\n-l", Some("execute"), 80, Paint::PLAIN), "⚙ ls␛[2J␊-l");
        assert_eq!(started("src/x.rs", Some("read"), 80, Paint::PLAIN), "⚙ read src/x.rs");
        let done = json!({"status": "completed", "rawOutput": {"exit_code": 0}});
        assert_eq!(ended("ls", &done, 0, 80, Paint::PLAIN).as_deref(), Some("✓ ls"));
        let failed = json!({"status": "failed", "rawOutput": {"exit_code": 2}});
        assert_eq!(ended("ls", &failed, 3_250, 80, Paint::PLAIN).as_deref(), Some("✗ ls · exit 2 · 3.2 s"));
        assert_eq!(
            ended("ls", &json!({"status": "failed"}), 0, 80, Paint::PLAIN).as_deref(),
            Some("✗ ls · failed")
        );
        assert_eq!(ended("ls", &json!({"status": "in_progress"}), 0, 80, Paint::PLAIN), None);
        assert!(started(&"x".repeat(300), None, 40, Paint::PLAIN).chars().count() <= 40);
    }

    #[test]
    fn a_diff_shows_every_changed_line_in_either_spelling() {
        let change = json!({"path": "a.rs", "old_text": "one\ntwo\nthree\n", "new_text": "one\n2\nthree\n"});
        let expected = ["  a.rs  +1 -1", "    one", "  - two", "  + 2", "    three"];
        assert_eq!(diff(&change, sanitize::strict, Paint::PLAIN), expected);
        let acp = json!({"path": "b", "oldText": null, "newText": "x\u{202e}"});
        assert_eq!(diff(&acp, sanitize::strict, Paint::PLAIN), ["  b (new file)  +1", "  + x\\u{202e}"]);
        let grown = json!({"path": "c", "old_text": "a\na\n", "new_text": "a\na\na\n"});
        assert_eq!(diff(&grown, sanitize::strict, Paint::PLAIN), ["  c  +1", "    a", "    a", "  + a"]);
        let same = json!({"path": "c", "old_text": "a", "new_text": "a"});
        assert!(diff(&same, sanitize::strict, Paint::PLAIN).last().unwrap().contains("no line changes"));
    }

    #[test]
    fn changes_far_apart_are_shown_apart() {
        let old: Vec<String> = (0..30).map(|n| n.to_string()).collect();
        let mut new = old.clone();
        (new[3], new[25]) = ("three".to_owned(), "many".to_owned());
        let change = json!({"path": "a", "old_text": old.join("\n"), "new_text": new.join("\n")});
        let lines = diff(&change, sanitize::strict, Paint::PLAIN);
        let expected = [
            "  a  +2 -2",
            "    1",
            "    2",
            "  - 3",
            "  + three",
            "    4",
            "    5",
            "    ⋮",
            "    23",
            "    24",
            "  - 25",
            "  + many",
            "    26",
            "    27",
        ];
        assert_eq!(lines, expected);
        let (old, new) = ("x\n".repeat(3_000), "y\n".repeat(3_000));
        let huge = json!({"path": "a", "old_text": old, "new_text": new});
        assert_eq!(diff(&huge, sanitize::strict, Paint::PLAIN).len(), 6_001, "all of it");
    }

    #[test]
    fn a_painted_line_is_cut_by_columns_and_ends_its_paint() {
        assert_eq!(clipped("\u{1b}[31mabcdef\u{1b}[0m", 4), "\u{1b}[31mabc…\u{1b}[0m");
        assert_eq!(clipped("日本語", 4), "日…");
    }

    #[test]
    fn a_plan_is_a_checklist() {
        let update = json!({"entries": [{"content": "a", "status": "completed"},
            {"content": "b", "status": "in_progress"}, {"content": "c", "status": "pending"}]});
        assert_eq!(plan(&update, 80, Paint::PLAIN), ["Plan", "  [x] a", "  [>] b", "  [ ] c"]);
    }
}
