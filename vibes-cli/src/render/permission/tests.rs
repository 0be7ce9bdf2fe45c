//! The frame, kind by kind, and what a hostile request does to it.

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
    frame(&session(json!({})), permission, Room { limit, ..Room::of_window(60) }, 0, false, Paint::PLAIN)
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
fn a_question_offers_its_answers_and_no_approval() {
    let question = json!({"question": "Which colour?", "header": "Colour", "multiSelect": false,
        "options": [{"label": "Red", "description": "warm"}, {"label": "Blue"}]});
    let asked = |input: Value, options: Value| {
        permission(
            json!({"tool": "AskUserQuestion", "raw_input": input, "options": options, "claim_title": null}),
        )
    };
    let choice = asked(
        json!({"questions": [question]}),
        json!([{"option_id": "answer-0", "kind": "answer", "name": "Red"},
            {"option_id": "answer-1", "kind": "answer", "name": "Blue"},
            {"option_id": "deny", "kind": "reject_once", "name": "Do not answer"}]),
    );
    assert_eq!(kind(&choice), Kind::Choice);
    assert_eq!(
        drawn(&choice, LINES),
        [
            "╔══ THE AGENT ASKS · shell · api ",
            "║ tool      AskUserQuestion",
            "║ directory /srv/api",
            "║ asks      Which colour?",
            "║             1. Red: warm",
            "║             2. Blue",
            "╟────────────────────────────────────────",
            "║ a number answers   /answer WORDS   [D]: no answer",
            "║ [1] Red",
            "║ [2] Blue",
            "║ [3] Do not answer (reject_once)",
            "╚════════════════════════════════════════",
        ]
    );
    let words = asked(
        json!({"questions": [question, question], "more": 1}),
        json!([{"option_id": "allow", "kind": "answer", "name": "Answer"},
            {"option_id": "deny", "kind": "reject_once", "name": "Do not answer"}]),
    );
    let text = drawn(&words, LINES).join("\n");
    assert_eq!(kind(&words), Kind::Words);
    assert!(text.contains("\"more\": 1") && !text.contains("[1]") && !text.contains("[A]"), "{text}");
}

#[test]
fn a_plan_is_read_as_one_and_cannot_be_allowed_for_the_session() {
    let plan = permission(json!({"tool": "ExitPlanMode", "raw_input": {"plan": "# Do it\n1. first"}}));
    let text = drawn(&plan, LINES).join("\n");
    assert!(
        text.contains("A PLAN TO APPROVE") && text.contains("║ plan      # Do it\n║           1. first"),
        "{text}"
    );
    assert!(text.contains("[A]pprove   [D]: keep planning") && !text.contains("[S]"), "{text}");
}

#[test]
fn where_a_rule_may_not_answer_it_is_said_beforehand() {
    let lines =
        frame(&session(json!({})), &permission(json!({})), Room::of_window(60), 0, true, Paint::PLAIN);
    assert!(lines.concat().contains("holds vibes' own state"), "{lines:?}");
}

#[test]
fn a_small_screen_has_it_all_too() {
    let lines =
        frame(&session(json!({})), &permission(json!({})), Room::of_window(40), 0, false, Paint::PLAIN);
    assert!(lines.iter().all(|line| crate::render::columns(line) <= 40), "{lines:#?}");
    assert!(lines.contains(&"║ [D]eny".to_owned()), "{lines:#?}");
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
