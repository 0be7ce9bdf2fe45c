//! The end of a turn: whether it went well, and what it cost.
//!
//! Invariant: success is never taken from a word alone: an error of the model's service comes as a `success` that is
//! one. Totals count from whatever the process counted from; what is told is the turn's own share.

use super::{Claude, LAST, clip};
use crate::{
    agent::{AgentEvent, Hint, TurnResult},
    prices,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use vibes_protocol::model::{ModelUse, Usage};

/// An amount as the agent tells it, in billionths of a dollar.
fn billionths(amount: &Value) -> Option<u64> {
    amount.as_f64().map(prices::billionths)
}

impl Claude {
    /// The agent's word that a turn is over.
    pub(super) fn result<'a>(&mut self, line: &Value, events: &mut Vec<AgentEvent<'a>>) {
        let failure = failure(line);
        if !self.ready {
            // It could not take up the conversation, and ends.
            let why = failure.unwrap_or_else(|| "the agent ended a turn that nobody began".to_owned());
            if self.named || !why.contains("No conversation found") {
                events.push(AgentEvent::StartFailed(why));
            } else {
                (self.conversation, self.copy, self.lost) = (None, false, true);
            }
            return;
        }
        let cost = self.cost(line);
        self.spent += cost;
        self.usage_update(line, cost, events);
        let models = models(&line["model_usage_since_last_result"]);
        let usage = Some(usage(&models, &line["usage"]));
        if self.prompt.is_none() || self.queued {
            // A turn of the agent's own, such as when a task in the background is done.
            events.push(AgentEvent::Aside(Box::new(TurnResult { usage, models, ..TurnResult::default() })));
            return;
        }
        self.prompt = None;
        self.open.clear();
        let aborted = line["terminal_reason"].as_str().is_some_and(|reason| reason.starts_with("aborted"));
        let stop_reason = match (aborted, &failure) {
            (true, _) => "cancelled",
            (false, Some(_)) => "error",
            (false, None) => line["stop_reason"].as_str().unwrap_or("end_turn"),
        };
        events.push(AgentEvent::TurnEnded(Box::new(TurnResult {
            stop_reason: clip(stop_reason, 80).to_owned(),
            error: failure.filter(|_| !aborted),
            usage,
            models,
            exit_code: None,
        })));
    }

    /// What was spent since the last result.
    fn cost(&mut self, line: &Value) -> u64 {
        let total = billionths(&line["total_cost_usd"]).unwrap_or(self.total);
        let since = std::mem::replace(&mut self.total, total);
        // Versions that do not say it count from nought in each process.
        match line["model_usage_since_last_result"].as_object() {
            Some(models) => models.values().filter_map(|model| billionths(&model["costUSD"])).sum(),
            None => total.saturating_sub(since),
        }
    }

    fn usage_update<'a>(&self, line: &Value, spent: u64, events: &mut Vec<AgentEvent<'a>>) {
        let models = line["modelUsage"].as_object();
        let size =
            models.into_iter().flatten().filter_map(|(_, model)| model["contextWindow"].as_u64()).max();
        let cost = prices::dollars(self.spent);
        let mut fields = json!({"sessionUpdate": "usage_update", "used": self.context, "size": size.unwrap_or(0),
            "cost": cost});
        if let Some(models) = models {
            fields["_meta"] = json!({"claudeCode": {"modelUsage": models}});
        }
        let hint = if spent > 0 { Hint::Spent(prices::dollars(spent)) } else { Hint::None };
        events.push(AgentEvent::Update { raw: fields.to_string().into(), hint });
    }

    /// Whether the id of the conversation that a turn names is the one to take up next time.
    pub(super) fn names_conversation(&mut self, line: &Value) {
        let id = line["session_id"].as_str().filter(|id| !id.is_empty() && id.len() <= 256 && *id != LAST);
        if let Some(id) = id.filter(|id| self.conversation.as_deref() != Some(id)) {
            (self.conversation, self.named, self.copy) = (Some(id.to_owned()), false, false);
        }
    }
}

/// Why a turn failed, in the agent's words.
fn failure(line: &Value) -> Option<String> {
    let subtype = line["subtype"].as_str().unwrap_or_default();
    if line["is_error"] != true && subtype == "success" {
        return None;
    }
    let errors: Vec<&str> =
        line["errors"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let words = line["result"].as_str().filter(|words| !words.is_empty()).map(str::to_owned);
    let mut why = words
        .or_else(|| (!errors.is_empty()).then(|| errors.join("; ")))
        .unwrap_or_else(|| subtype.replace('_', " "));
    if why.contains("Please run /login") {
        why.push_str(" (run `claude` once and log in, or set ANTHROPIC_API_KEY)");
    }
    Some(clip(&why, 2_000).to_owned())
}

/// Tokens and cost by model.
fn models(since: &Value) -> BTreeMap<String, ModelUse> {
    let one = |model: &Value| {
        let tokens = |name: &str| model[name].as_u64().unwrap_or(0);
        let usage = Usage {
            input_tokens: tokens("inputTokens"),
            output_tokens: tokens("outputTokens"),
            cache_read_tokens: tokens("cacheReadInputTokens"),
            cache_write_tokens: tokens("cacheCreationInputTokens"),
        };
        ModelUse { usage, cost: billionths(&model["costUSD"]).map(prices::dollars) }
    };
    since.as_object().into_iter().flatten().map(|(name, model)| (name.clone(), one(model))).collect()
}

/// The tokens of a turn: of all models where that is known, subagents and all; else of the main loop.
fn usage(models: &BTreeMap<String, ModelUse>, main: &Value) -> Usage {
    let tokens = |of: fn(&Usage) -> u64, in_main: &str| match models.is_empty() {
        true => main[in_main].as_u64().unwrap_or(0),
        false => models.values().map(|model| of(&model.usage)).sum(),
    };
    Usage {
        input_tokens: tokens(|usage| usage.input_tokens, "input_tokens"),
        output_tokens: tokens(|usage| usage.output_tokens, "output_tokens"),
        cache_read_tokens: tokens(|usage| usage.cache_read_tokens, "cache_read_input_tokens"),
        cache_write_tokens: tokens(|usage| usage.cache_write_tokens, "cache_creation_input_tokens"),
    }
}
