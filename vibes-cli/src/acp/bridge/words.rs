//! Nouns of vibes in the words of the Agent Client Protocol: questions, ends of turns, entries of a list.
//!
//! Invariant: pure, and nothing is claimed that the daemon did not say.

use crate::acp::rpc::{Refusal, code};
use crate::acp::words as acp;
use serde_json::{Value, json};
use vibes_protocol::model::fact::TurnEnded;
use vibes_protocol::model::{Permission, SessionInfo, TurnOutcome};

/// Kinds of tools that editors have symbols for.
const TOOL_KINDS: &[&str] =
    &["read", "edit", "delete", "move", "search", "execute", "think", "fetch", "switch_mode", "other"];
/// Kinds of options that editors know.
const OPTION_KINDS: &[&str] = &["allow_once", "allow_always", "reject_once", "reject_always"];
/// Ends of a turn that editors know.
const STOP_REASONS: &[&str] = &["end_turn", "max_tokens", "max_turn_requests", "refusal", "cancelled"];

/// The parameters of `session/request_permission`, so that every editor can read them.
pub(super) fn question(session: &str, permission: &Permission) -> Value {
    let mut question = acp::question(session, permission);
    let call = &mut question["toolCall"];
    // Editors show what is asked as a tool call; one without an id is known by the question's.
    let id = permission.tool_call_id.as_ref().unwrap_or(&permission.permission_id);
    call["toolCallId"] = id.as_str().into();
    call["title"] = permission.claim_title.as_ref().unwrap_or(&permission.tool).as_str().into();
    if let Some(call) =
        call.as_object_mut().filter(|call| !call.get("kind").is_some_and(|kind| known(TOOL_KINDS, kind)))
    {
        call.remove("kind");
    }
    for (option, told) in
        permission.options.iter().zip(question["options"].as_array_mut().into_iter().flatten())
    {
        if !known(OPTION_KINDS, &told["kind"]) {
            told["kind"] = if option.allows() { "allow_once" } else { "reject_once" }.into();
        }
    }
    question
}

fn known(words: &[&str], word: &Value) -> bool {
    word.as_str().is_some_and(|word| words.contains(&word))
}

/// The answer to the prompt of a turn.
pub(super) fn turn(ended: &TurnEnded) -> Result<Value, Refusal> {
    let failed = |words: String| Err(Refusal::new(code::INTERNAL, words));
    let reason = match ended.outcome {
        TurnOutcome::Finished if STOP_REASONS.contains(&ended.stop_reason.as_str()) => &ended.stop_reason,
        TurnOutcome::Finished => "end_turn",
        TurnOutcome::Interrupted => "cancelled",
        TurnOutcome::Failed => {
            let why = ended.error.as_deref().unwrap_or(&ended.stop_reason);
            return failed(format!("the turn failed: {why}"));
        }
        TurnOutcome::Unknown => {
            return failed("the agent was lost during the turn; what it did is not known".to_owned());
        }
    };
    Ok(acp::ended(ended, reason))
}

/// An entry of `session/list`.
pub(super) fn entry(session: &SessionInfo) -> Value {
    let title = session.name.as_ref().or(session.description.as_ref()).or(session.preview.as_ref());
    json!({
        "sessionId": session.id, "cwd": session.cwd, "title": title,
        "updatedAt": iso(session.last_activity_at),
        "_meta": {"vibes": {"agent": session.agent, "state": session.state, "name": session.name}},
    })
}

/// A moment as ISO 8601, in UTC.
fn iso(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since 1 March of the year 0, in the calendar that repeats every 400 years.
    let shifted = days + 719_468;
    let (era, day) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// A part of a seat's name: what an editor calls itself, made safe for one line.
pub(super) fn seat(editor: &str) -> String {
    let safe =
        |letter: char| if letter.is_ascii_alphanumeric() || "._-".contains(letter) { letter } else { '-' };
    let name: String = editor.chars().take(32).map(safe).collect();
    if name.is_empty() { "editor".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(fields: Value) -> TurnEnded {
        let mut value = json!({"turn": 1, "outcome": "finished", "stop_reason": "end_turn"});
        value.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_end_of_a_turn_is_a_stop_reason_or_an_error() {
        for (fields, reason) in [
            (json!({}), "end_turn"),
            (json!({"stop_reason": "max_tokens"}), "max_tokens"),
            (json!({"stop_reason": "whatever"}), "end_turn"),
            (json!({"outcome": "interrupted", "stop_reason": "error"}), "cancelled"),
        ] {
            assert_eq!(turn(&ended(fields)).unwrap()["stopReason"], reason);
        }
        for (fields, words) in [
            (json!({"outcome": "failed", "error": "no credit"}), "no credit"),
            (json!({"outcome": "unknown"}), "not known"),
        ] {
            let refusal = turn(&ended(fields)).unwrap_err();
            assert_eq!(refusal.code, code::INTERNAL);
            assert!(refusal.message.contains(words), "{}", refusal.message);
        }
        let told =
            turn(&ended(json!({"exit_code": 3, "usage": {"input_tokens": 2, "output_tokens": 5}}))).unwrap();
        assert_eq!(told["_meta"]["vibes"]["exit_code"], 3);
        assert_eq!(told["usage"]["totalTokens"], 7);
    }

    #[test]
    fn a_question_keeps_the_agents_options_and_shows_the_change() {
        let permission: Permission = serde_json::from_value(json!({
            "permission_id": "p-1", "hash": "h", "tool": "edit", "raw_input": {"x": 1}, "cwd": "/w",
            "diff": {"path": "/w/a", "old_text": null, "new_text": "b"},
            "options": [{"option_id": "y", "kind": "allow_always", "name": "Yes"},
                        {"option_id": "n", "kind": "something", "name": "No"}],
        }))
        .unwrap();
        let question = question("s", &permission);
        assert_eq!(question["toolCall"]["toolCallId"], "p-1");
        assert_eq!(question["toolCall"]["kind"], "edit");
        assert_eq!(question["toolCall"]["content"][0]["newText"], "b");
        let kinds: Vec<&Value> =
            question["options"].as_array().unwrap().iter().map(|one| &one["kind"]).collect();
        assert_eq!(kinds, ["allow_always", "reject_once"]);
    }

    #[test]
    fn moments_are_dates() {
        for (seconds, date) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_220_618, "2026-11-21T00:23:38Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(iso(seconds), date);
        }
    }

    #[test]
    fn an_editors_name_is_one_word() {
        assert_eq!(seat("Zed Preview\n"), "Zed-Preview-");
        assert_eq!(seat(""), "editor");
    }
}
