//! The end of a turn: whether it went well, and what it took.
//!
//! Invariant: success is never taken from the stop reason alone. Tokens are those of the turn: every agent seen counts
//! them so, while costs come by another way, as a total of the conversation.

use super::{TurnResult, clip};
use serde_json::Value;
use std::collections::BTreeMap;
use vibes_protocol::model::{ModelUse, Usage};

/// The longest name of a model that is kept, in characters.
const MAX_MODEL: usize = 200;

/// What the answer to a prompt says. `local`: it was a command, which agents answer without their model.
pub fn turn(result: &str, local: bool) -> TurnResult {
    let result: Value = serde_json::from_str(result).unwrap_or(Value::Null);
    let stop_reason = clip(result["stopReason"].as_str().unwrap_or("end_turn"), 80).to_owned();
    // Where agents tell more than the protocol has room for.
    let quota = &result["_meta"]["quota"];
    let models: BTreeMap<String, ModelUse> = by_model(&quota["model_usage"]);
    let usage = tokens(&result["usage"]).or_else(|| tokens(&quota["token_count"]));
    // One that counts tokens and has none to tell was never answered: its last words are the error's.
    let unanswered = quota["token_count"].is_null()
        && quota["model_usage"].as_array().is_some_and(Vec::is_empty)
        && usage.is_none();
    let error = (unanswered && !local && stop_reason == "end_turn")
        .then(|| "no model answered, says the agent's own count; its last words tell why".to_owned());
    TurnResult {
        stop_reason,
        error,
        usage,
        models,
        exit_code: result["_meta"]["vibes"]["exit_code"].as_i64().map(|code| code as i32),
    }
}

/// Tokens, in whichever way they are written.
fn tokens(told: &Value) -> Option<Usage> {
    let count = |names: &[&str]| names.iter().find_map(|name| told[*name].as_u64());
    let usage = Usage {
        input_tokens: count(&["inputTokens", "input_tokens"]).unwrap_or(0),
        output_tokens: count(&["outputTokens", "output_tokens"]).unwrap_or(0),
        cache_read_tokens: count(&["cachedReadTokens", "cachedInputTokens"]).unwrap_or(0),
        cache_write_tokens: count(&["cachedWriteTokens", "cacheWriteInputTokens"]).unwrap_or(0),
    };
    let cached = usage.cache_read_tokens.saturating_add(usage.cache_write_tokens);
    // Some count what came from the cache as input once more, which their sum gives away.
    let sum = usage.input_tokens.checked_add(usage.output_tokens);
    let twice = sum.is_some() && count(&["totalTokens"]) == sum;
    let again = if twice { cached.min(usage.input_tokens) } else { 0 };
    told.is_object().then(|| Usage { input_tokens: usage.input_tokens - again, ..usage })
}

fn by_model(told: &Value) -> BTreeMap<String, ModelUse> {
    let mut models: BTreeMap<String, ModelUse> = BTreeMap::new();
    for one in told.as_array().into_iter().flatten() {
        // A model is told once for each of its calls by some.
        if let (Some(model), Some(usage)) = (one["model"].as_str(), tokens(&one["token_count"])) {
            let sum = &mut models.entry(clip(model, MAX_MODEL).to_owned()).or_default().usage;
            sum.input_tokens = sum.input_tokens.saturating_add(usage.input_tokens);
            sum.output_tokens = sum.output_tokens.saturating_add(usage.output_tokens);
            sum.cache_read_tokens = sum.cache_read_tokens.saturating_add(usage.cache_read_tokens);
            sum.cache_write_tokens = sum.cache_write_tokens.saturating_add(usage.cache_write_tokens);
        }
    }
    models
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn counted(usage: &Usage) -> [u64; 4] {
        [usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens]
    }

    #[test]
    fn tokens_are_read_in_each_agents_way_and_cached_ones_once() {
        let cases = [
            // The protocol's own way: input is what did not come from the cache.
            (
                json!({"inputTokens": 10, "outputTokens": 2, "cachedReadTokens": 100, "totalTokens": 112}),
                [10, 2, 100, 0],
            ),
            // The cache is part of the input.
            (
                json!({"inputTokens": 110, "outputTokens": 2, "cachedReadTokens": 100, "totalTokens": 112}),
                [10, 2, 100, 0],
            ),
            (json!({"input_tokens": 7, "output_tokens": 3}), [7, 3, 0, 0]),
            (json!({"inputTokens": 7, "outputTokens": 3, "totalTokens": 10}), [7, 3, 0, 0]),
            (json!({"inputTokens": u64::MAX, "outputTokens": 3, "cachedReadTokens": 1}), [u64::MAX, 3, 1, 0]),
        ];
        for (told, expected) in cases {
            assert_eq!(tokens(&told).as_ref().map(counted), Some(expected), "{told}");
        }
        assert_eq!(tokens(&Value::Null), None);
    }

    #[test]
    fn a_turn_that_no_model_answered_has_failed_whatever_its_stop_reason() {
        let end = |result: Value, local| turn(&result.to_string(), local);
        let silent = json!({"stopReason": "end_turn", "usage": null, "_meta": {"quota": {"token_count": null, "model_usage": []}}});
        assert!(end(silent.clone(), false).error.is_some());
        assert!(end(silent, true).error.is_none(), "a command needs no model");
        let cancelled = json!({"stopReason": "cancelled", "usage": null, "_meta": {"quota": {"token_count": null, "model_usage": []}}});
        assert!(end(cancelled, false).error.is_none());
        assert!(end(json!({"stopReason": "end_turn"}), false).error.is_none(), "most agents count nothing");
        let two = json!({"stopReason": "end_turn", "_meta": {"quota": {"token_count": {"input_tokens": 12, "output_tokens": 3},
            "model_usage": [{"model": "a", "token_count": {"input_tokens": 4, "output_tokens": 1}},
                            {"model": "b", "token_count": {"input_tokens": 3, "output_tokens": 1}},
                            {"model": "a", "token_count": {"input_tokens": 5, "output_tokens": 1}}]}}});
        let ended = end(two, false);
        assert_eq!(ended.usage.as_ref().map(counted), Some([12, 3, 0, 0]));
        let models: Vec<_> =
            ended.models.iter().map(|(name, with)| (name.as_str(), counted(&with.usage))).collect();
        assert_eq!(models, [("a", [9, 2, 0, 0]), ("b", [3, 1, 0, 0])]);
    }
}
