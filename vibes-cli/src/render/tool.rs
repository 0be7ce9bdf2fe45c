//! Tool calls, diffs and plans, as ACP describes them.
//!
//! Invariant: every shape is read leniently (agents differ) and a missing field costs a word, never the line.

use super::{count, keep_start};
use crate::sanitize;
use crate::ui::Paint;
use serde_json::Value;

/// How many lines of a tool's output stand in a transcript; all of it is in the record.
const OUTPUT_LINES: usize = 8;

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
pub(crate) fn ended(title: &str, update: &Value, width: usize, paint: Paint) -> Option<String> {
    let title = sanitize::line(title);
    let exit = exit_code(update);
    let (mark, words) = match update["status"].as_str()? {
        "completed" => (paint.green("✓"), exit.filter(|code| *code != 0).map(|code| format!("exit {code}"))),
        "failed" => {
            (paint.red("✗"), Some(exit.map_or_else(|| "failed".to_owned(), |code| format!("exit {code}"))))
        }
        _ => return None,
    };
    let tail = words.map_or_else(String::new, |words| format!(" · {words}"));
    let room = width.saturating_sub(2 + tail.chars().count());
    Some(format!("{mark} {}{tail}", keep_start(&title, room)))
}

/// The exit code of a command, wherever the agent put it.
fn exit_code(update: &Value) -> Option<i64> {
    let places = [
        &update["rawOutput"],
        &update["_meta"],
        &update["_meta"]["vibes"],
        &update["_meta"]["terminal_exit"],
    ];
    places.iter().find_map(|place| place["exit_code"].as_i64().or_else(|| place["exitCode"].as_i64()))
}

/// What a finished tool gave: its changes whole, the first lines of its text.
pub(crate) fn content(update: &Value, width: usize, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    for part in update["content"].as_array().into_iter().flatten() {
        match part["type"].as_str() {
            Some("diff") => lines.extend(diff(part, sanitize::text, paint)),
            Some("content") => {
                let text = part["content"]["text"].as_str().unwrap_or_default();
                let text = sanitize::text(text);
                let all: Vec<&str> = text.trim_end().lines().collect();
                let shown = all.iter().take(OUTPUT_LINES);
                lines.extend(shown.map(|line| paint.dim(&keep_start(&format!("  {line}"), width))));
                if let Some(more) = all.len().checked_sub(OUTPUT_LINES).filter(|more| *more > 0) {
                    lines.push(paint.dim(&format!("  … {}", count(more, "more line", "more lines"))));
                }
            }
            _ => {}
        }
    }
    lines
}

/// A change of a file: what goes, what comes, and two lines around it. Accepts ACP's spelling and ours.
pub(crate) fn diff(
    change: &Value,
    clean: fn(&str) -> std::borrow::Cow<'_, str>,
    paint: Paint,
) -> Vec<String> {
    const CONTEXT: usize = 2;
    let field = |ours: &str, acp: &str| change[ours].as_str().or_else(|| change[acp].as_str());
    let path = change["path"].as_str().unwrap_or("(no path)");
    let new_file = field("old_text", "oldText").is_none();
    let old = clean(field("old_text", "oldText").unwrap_or_default()).into_owned();
    let new = clean(field("new_text", "newText").unwrap_or_default()).into_owned();
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    // Common start and end stay as they are; what lies between is shown as replaced. A cleverer diff would be
    // shorter, not more true.
    let start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let end = old[start..].iter().rev().zip(new[start..].iter().rev()).take_while(|(a, b)| a == b).count();
    let mut lines =
        vec![paint.bold(&format!("  {}{}", sanitize::line(path), if new_file { " (new file)" } else { "" }))];
    let context = |lines: &mut Vec<String>, range: &[&str]| {
        lines.extend(range.iter().map(|line| paint.dim(&format!("    {line}"))));
    };
    context(&mut lines, &old[start.saturating_sub(CONTEXT)..start]);
    lines.extend(old[start..old.len() - end].iter().map(|line| paint.red(&format!("  - {line}"))));
    lines.extend(new[start..new.len() - end].iter().map(|line| paint.green(&format!("  + {line}"))));
    context(&mut lines, &old[old.len() - end..(old.len() - end + CONTEXT).min(old.len())]);
    if start + end == old.len() && old.len() == new.len() {
        lines.push(paint.dim("    (no line changes)"));
    }
    lines
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
        assert_eq!(ended("ls", &done, 80, Paint::PLAIN).as_deref(), Some("✓ ls"));
        let failed = json!({"status": "failed", "rawOutput": {"exit_code": 2}});
        assert_eq!(ended("ls", &failed, 80, Paint::PLAIN).as_deref(), Some("✗ ls · exit 2"));
        assert_eq!(
            ended("ls", &json!({"status": "failed"}), 80, Paint::PLAIN).as_deref(),
            Some("✗ ls · failed")
        );
        assert_eq!(ended("ls", &json!({"status": "in_progress"}), 80, Paint::PLAIN), None);
        assert!(started(&"x".repeat(300), None, 40, Paint::PLAIN).chars().count() <= 40);
    }

    #[test]
    fn long_output_says_how_much_is_not_shown() {
        let text = (0..20).map(|n| n.to_string()).collect::<Vec<_>>().join("\n");
        let update = json!({"content": [{"type": "content", "content": {"type": "text", "text": text}}]});
        let lines = content(&update, 80, Paint::PLAIN);
        assert_eq!(lines.len(), 9);
        assert_eq!(lines[8], "  … 12 more lines");
    }

    #[test]
    fn a_diff_shows_every_changed_line_in_either_spelling() {
        let change = json!({"path": "a.rs", "old_text": "one\ntwo\nthree\n", "new_text": "one\n2\nthree\n"});
        let expected = ["  a.rs", "    one", "  - two", "  + 2", "    three"];
        assert_eq!(diff(&change, sanitize::strict, Paint::PLAIN), expected);
        let acp = json!({"path": "b", "oldText": null, "newText": "x\u{202e}"});
        assert_eq!(diff(&acp, sanitize::strict, Paint::PLAIN), ["  b (new file)", "  + x\\u{202e}"]);
        let grown = json!({"path": "c", "old_text": "a\na\n", "new_text": "a\na\na\n"});
        assert_eq!(diff(&grown, sanitize::strict, Paint::PLAIN)[3], "  + a");
        let same = json!({"path": "c", "old_text": "a", "new_text": "a"});
        assert!(diff(&same, sanitize::strict, Paint::PLAIN).last().unwrap().contains("no line changes"));
    }

    #[test]
    fn a_plan_is_a_checklist() {
        let update = json!({"entries": [{"content": "a", "status": "completed"},
            {"content": "b", "status": "in_progress"}, {"content": "c", "status": "pending"}]});
        assert_eq!(plan(&update, 80, Paint::PLAIN), ["Plan", "  [x] a", "  [>] b", "  [ ] c"]);
    }
}
