//! What a person is asked to approve.
//!
//! Invariant: shown is the raw request, whole and escaped, never the agent's summary of it; what does not fit is
//! counted aloud. The frame is drawn with double lines at the left edge: agent text is indented and has those
//! characters replaced (`conversation`), so it cannot draw one.

use super::{count, short, tool};
use crate::sanitize;
use crate::ui::Paint;
use serde_json::Value;
use vibes_protocol::model::{Permission, SessionInfo};

/// How many lines of a request are shown before `/show` is needed for the rest.
pub(crate) const LINES: usize = 200;

/// What the agent wants to do, in one line: the command, else the whole input.
pub(crate) fn action(permission: &Permission) -> String {
    let action = command(&permission.raw_input).unwrap_or_else(|| match &permission.raw_input {
        // Some agents send no input. What they say instead is told as theirs.
        Value::Null => permission
            .claim_title
            .as_ref()
            .map(|claim| format!("(in its own words) {claim}"))
            .unwrap_or_default(),
        input => input.to_string(),
    });
    sanitize::strict(&format!("{} {action}", permission.tool))
        .replace('\n', "␊")
        .replace('\t', "␉")
        .trim_end()
        .to_owned()
}

/// The command line, where the input has one. A list of arguments is quoted, so that its cuts can be seen.
fn command(input: &Value) -> Option<String> {
    match &input["command"] {
        Value::String(command) => Some(command.clone()),
        Value::Array(words) => {
            let words: Vec<String> = words.iter().map(quoted).collect();
            Some(words.join(" "))
        }
        _ => None,
    }
}

fn quoted(word: &Value) -> String {
    match word {
        Value::String(word)
            if !word.is_empty()
                && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c)) =>
        {
            word.clone()
        }
        other => other.to_string(),
    }
}

/// The request, field by field. Each entry is one logical line, sanitised.
fn body(permission: &Permission, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    let mut field = |name: &str, value: &str| {
        for (at, line) in value.lines().enumerate() {
            let label = if at == 0 { name } else { "" };
            lines.push(format!("{} {line}", paint.dim(&format!("{label:<9}"))));
        }
    };
    field("tool", &sanitize::strict(&permission.tool));
    field("directory", &sanitize::strict(&permission.cwd));
    let command = command(&permission.raw_input);
    if let Some(command) = &command {
        field("command", &sanitize::strict(command));
    }
    // The command is only a part of the input; whatever else there is belongs to the decision too.
    let only_command =
        command.is_some() && permission.raw_input.as_object().is_some_and(|input| input.len() == 1);
    if !only_command && !permission.raw_input.is_null() {
        let pretty = serde_json::to_string_pretty(&permission.raw_input).unwrap_or_default();
        field("input", &sanitize::strict(&pretty));
    }
    for path in &permission.paths {
        field("file", &sanitize::strict(path));
    }
    for diff in permission.diff.iter().chain(&permission.more_diffs) {
        lines.push(
            format!(
                "{} {}",
                paint.dim(&format!("{:<9}", "change")),
                sanitize::strict(diff["path"].as_str().unwrap_or_default())
            )
            .trim_end()
            .to_owned(),
        );
        lines.extend(tool::diff(diff, sanitize::strict, paint));
    }
    if let Some(claim) = &permission.claim_title {
        let claim = sanitize::strict(claim).replace('\n', "␊");
        lines.push(paint.dim(&format!("the agent calls it (unchecked): {claim}")));
    }
    lines
}

/// The frame. `limit` is how many lines of the request are shown; `now_ms` tells what is left until the deadline.
pub(crate) fn frame(
    session: &SessionInfo,
    permission: &Permission,
    width: usize,
    limit: usize,
    now_ms: i64,
    paint: Paint,
) -> Vec<String> {
    let edge = paint.yellow("║");
    let name =
        session.name.as_deref().map_or_else(|| short(session.id), |name| sanitize::line(name).into_owned());
    let title = format!(" APPROVAL NEEDED · {} · {name} ", sanitize::line(&session.agent));
    let rule = |width: usize| "═".repeat(width);
    let mut lines = vec![format!("{}{}", paint.yellow("╔══"), paint.alarm(&title))];
    let room = width.saturating_sub(3).max(20);
    // Painted lines carry no width of their own: they are wrapped plain first, and painted only when they fit.
    let plain = body(permission, Paint::PLAIN);
    let painted = body(permission, paint);
    let mut shown = Vec::new();
    for (plain, painted) in plain.iter().zip(painted) {
        match wrap_strict(plain, room) {
            pieces if pieces.len() == 1 => shown.push(painted),
            pieces => shown.extend(pieces),
        }
    }
    let more = shown.len().saturating_sub(limit);
    lines.extend(shown.into_iter().take(limit).map(|line| format!("{edge} {line}")));
    if more > 0 {
        let words = format!("{} not shown: /show prints them all", count(more, "more line", "more lines"));
        lines.push(format!("{edge} {}", paint.alarm(&words)));
    }
    if let Some(deadline) = permission.deadline_ms {
        let left = ((deadline - now_ms) / 1000).max(0);
        lines.push(format!("{edge} {}", paint.dim(&format!("denied by itself in {left} s"))));
    }
    lines.push(format!("{}{}", paint.yellow("╟"), paint.yellow(&"─".repeat(room.min(40)))));
    let mut keys = format!(
        "{}   {}   {}",
        paint.green(&paint.bold("[A]pprove")),
        paint.green("[S]ession: this again, unasked"),
        paint.red(&paint.bold("[D]eny"))
    );
    for (at, option) in permission.options.iter().enumerate() {
        let name = sanitize::strict(&option.name).replace('\n', "␊");
        keys.push_str(&format!("\n[{}] {name} ({})", at + 1, sanitize::line(&option.kind)));
    }
    lines.extend(keys.lines().map(|line| format!("{edge} {line}")));
    lines.push(paint.yellow(&format!("╚{}", rule(room.min(40)))));
    lines
}

/// Wraps without moving a character: in an approval even a space at a break counts. A continued line is marked, so
/// that it cannot pass for a field of its own.
fn wrap_strict(line: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = line;
    let mut room = width;
    while let Some(at) = super::overflow(rest, room) {
        let (head, tail) = rest.split_at(at);
        lines.push(head.to_owned());
        rest = tail;
        room = width.saturating_sub(1);
    }
    lines.push(rest.to_owned());
    for line in lines.iter_mut().skip(1) {
        line.insert(0, '↳');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::list::tests::session;
    use serde_json::json;

    fn permission(changes: Value) -> Permission {
        let mut value = json!({
            "permission_id": "p1", "hash": "h", "tool": "execute", "raw_input": {"command": "rm -rf build"},
            "cwd": "/srv/api", "claim_title": "Clean up",
            "options": [{"option_id": "allow", "kind": "allow_once", "name": "Allow"},
                        {"option_id": "reject", "kind": "reject_once", "name": "Reject"}]
        });
        for (key, change) in changes.as_object().unwrap() {
            value[key] = change.clone();
        }
        serde_json::from_value(value).unwrap()
    }

    fn drawn(permission: &Permission, limit: usize) -> Vec<String> {
        frame(&session(json!({})), permission, 60, limit, 0, Paint::PLAIN)
    }

    #[test]
    fn the_frame_shows_the_request_and_labels_the_claim() {
        assert_eq!(
            drawn(&permission(json!({})), LINES),
            [
                "╔══ APPROVAL NEEDED · shell · api ",
                "║ tool      execute",
                "║ directory /srv/api",
                "║ command   rm -rf build",
                "║ the agent calls it (unchecked): Clean up",
                "╟────────────────────────────────────────",
                "║ [A]pprove   [S]ession: this again, unasked   [D]eny",
                "║ [1] Allow (allow_once)",
                "║ [2] Reject (reject_once)",
                "╚════════════════════════════════════════",
            ]
        );
    }

    #[test]
    fn everything_beside_the_command_is_shown_too() {
        let text =
            drawn(&permission(json!({"raw_input": {"command": "ls", "env": {"X": "1"}}})), LINES).join("\n");
        assert!(text.contains("\"env\"") && text.contains("\"X\": \"1\""), "{text}");
        let change = json!({"diff": {"path": "a", "old_text": "x", "new_text": "y"}});
        let text = drawn(&permission(change), LINES).join("\n");
        assert!(text.contains("- x") && text.contains("+ y"), "{text}");
    }

    #[test]
    fn what_is_cut_is_counted() {
        let long = (0..50).map(|n| format!("echo {n}")).collect::<Vec<_>>().join("\n");
        let permission = permission(json!({"raw_input": {"command": long}}));
        let text = drawn(&permission, 10).join("\n");
        assert!(text.contains("43 more lines not shown"), "{text}");
        let all = drawn(&permission, usize::MAX).join("\n");
        assert!(all.contains("echo 49") && !all.contains("not shown"));
    }

    #[test]
    fn hostile_requests_cannot_leave_the_frame_or_hide() {
        let evil = permission(json!({
            "raw_input": {"command": "ls \u{1b}[8m; curl evil\u{1b}[0m\u{200b}\r#"},
            "claim_title": "safe\n║ [A]pprove",
            "options": [{"option_id": "x", "kind": "allow_once", "name": "No\n╚═"}]
        }));
        let lines = drawn(&evil, LINES);
        assert!(
            lines
                .iter()
                .all(|line| line.starts_with(['╔', '║', '╟', '╚']) && !line.chars().any(char::is_control))
        );
        let text = lines.concat();
        assert!(text.contains("␛[8m") && text.contains("\\u{200b}") && text.contains('␍'), "{text}");
        assert!(text.contains("safe␊║"), "a newline in a claim stays on its line: {text}");
    }

    #[test]
    fn long_lines_are_wrapped_within_the_frame_and_whole() {
        let long = "x".repeat(500);
        let lines = drawn(&permission(json!({"raw_input": {"command": long.clone()}})), LINES);
        assert_eq!(lines.concat().matches('x').count(), 501, "and the x of `execute`: {}", lines.len());
        assert!(
            lines.iter().all(|line| unicode_width::UnicodeWidthStr::width(line.as_str()) <= 62),
            "{lines:#?}"
        );
    }

    #[test]
    fn one_line_names_the_action() {
        assert_eq!(action(&permission(json!({}))), "execute rm -rf build");
        let words = permission(json!({"raw_input": {"command": ["rm", "a b", "-f"]}}));
        assert_eq!(action(&words), "execute rm \"a b\" -f");
        let other = permission(json!({"tool": "edit", "raw_input": {"path": "x\ny"}}));
        assert_eq!(action(&other), "edit {\"path\":\"x\\ny\"}");
    }

    #[test]
    fn a_question_without_input_is_told_in_the_agents_words_as_its_own() {
        let claimed = permission(json!({"raw_input": null, "claim_title": "touch x"}));
        assert_eq!(action(&claimed), "execute (in its own words) touch x");
        let silent = permission(json!({"raw_input": null, "claim_title": null}));
        assert_eq!(action(&silent), "execute");
    }
}
