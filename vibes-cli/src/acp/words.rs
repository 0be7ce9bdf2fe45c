//! Nouns of vibes in the words of the protocol, as faithfully as it has words for them.
//!
//! Invariant: pure; reading back what is written here gives the noun it was written from.

use serde_json::{Value, json};
use vibes_protocol::model::Permission;
use vibes_protocol::model::fact::TurnEnded;

/// The parameters of `session/request_permission`, as the agent asked.
pub(super) fn question(session: &str, permission: &Permission) -> Value {
    let mut call = json!({"rawInput": permission.raw_input});
    if let Some(id) = &permission.tool_call_id {
        call["toolCallId"] = id.as_str().into();
    }
    if let Some(title) = &permission.claim_title {
        call["title"] = title.as_str().into();
    }
    // A tool without a kind is known by its title.
    if permission.claim_title.as_ref() != Some(&permission.tool) {
        call["kind"] = permission.tool.as_str().into();
    }
    let diffs: Vec<Value> = permission.diff.iter().chain(&permission.more_diffs).map(diff).collect();
    if !diffs.is_empty() {
        call["content"] = diffs.into();
    }
    if !permission.paths.is_empty() {
        call["locations"] = permission.paths.iter().map(|path| json!({"path": path})).collect();
    }
    let options: Vec<Value> = permission
        .options
        .iter()
        .map(|option| json!({"optionId": option.option_id, "name": option.name, "kind": option.kind}))
        .collect();
    json!({"sessionId": session, "toolCall": call, "options": options})
}

fn diff(diff: &Value) -> Value {
    json!({"type": "diff", "path": diff["path"], "oldText": diff["old_text"], "newText": diff["new_text"]})
}

/// The answer to the prompt of a turn that ended so.
pub(super) fn ended(turn: &TurnEnded, stop_reason: &str) -> Value {
    let mut answer = json!({"stopReason": stop_reason});
    if let Some(usage) = &turn.usage {
        let (input, output) = (usage.input_tokens, usage.output_tokens);
        let (read, written) = (usage.cache_read_tokens, usage.cache_write_tokens);
        answer["usage"] = json!({
            "inputTokens": input, "outputTokens": output, "cachedReadTokens": read, "cachedWriteTokens": written,
            "totalTokens": input + output + read + written,
        });
    }
    if let Some(exit_code) = turn.exit_code {
        answer["_meta"] = json!({"vibes": {"exit_code": exit_code}});
    }
    answer
}
