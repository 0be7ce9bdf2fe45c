//! Claude Code's own files: one line for each part of a message, and much else.
//!
//! Invariant: what a person typed, what the model answered and what tools gave is told; what Claude Code tells itself
//! (reminders, attachments, requests, the work of helpers) is not.

use super::{
    story::{Story, moment},
    text_of,
};
use crate::agent::claude::tools;
use serde_json::{Value, json};
use vibes_protocol::model::Usage;

/// The reader.
#[derive(Debug, Default)]
pub(super) struct Claude {
    /// The answer of the model that is being read: its id, model and tokens, which every line of it repeats.
    answer: Option<(String, String, Usage)>,
}

impl Claude {
    pub(super) fn line(&mut self, line: &Value, story: &mut Story) {
        let at = moment(&line["timestamp"]);
        if let Some(id) = line["sessionId"].as_str() {
            story.conversation(id);
        }
        if let Some(cwd) = line["cwd"].as_str() {
            story.directory(cwd);
        }
        // Helpers have conversations of their own.
        if line["isSidechain"] == true || line["isMeta"] == true {
            return;
        }
        match line["type"].as_str().unwrap_or_default() {
            "user" => self.user(at, line, story),
            "assistant" => self.assistant(at, line, story),
            "cost-state" => {
                self.end(story);
                story.total(None, line["totalCostUSD"].as_f64().unwrap_or_default());
            }
            _ => {}
        }
    }

    /// Counts the answer that is over.
    pub(super) fn end(&mut self, story: &mut Story) {
        if let Some((_, model, usage)) = self.answer.take() {
            story.tokens(&model, &usage);
        }
    }

    fn user(&mut self, at: Option<i64>, line: &Value, story: &mut Story) {
        let content = &line["message"]["content"];
        for block in content.as_array().into_iter().flatten().filter(|block| block["type"] == "tool_result") {
            if let Some(id) = block["tool_use_id"].as_str() {
                story.called(at, tools::ended(id, block, &line["toolUseResult"]));
            }
        }
        let text = text_of(content);
        if text.starts_with("[Request interrupted by user") {
            return story.ends("interrupted", "cancelled", None);
        }
        // What its own commands are and print.
        let own = ["<command-", "<local-command-", "<bash-", "<system-reminder>", "Caveat: "];
        if own.iter().any(|begin| text.starts_with(begin)) || line["isCompactSummary"] == true {
            return;
        }
        let blocks: Vec<Value> = match content {
            Value::String(text) => vec![json!({"type": "text", "text": text})],
            content => content.as_array().into_iter().flatten().filter_map(block).collect(),
        };
        if !blocks.is_empty() {
            self.end(story);
            story.prompt(at, blocks);
        }
    }

    fn assistant(&mut self, at: Option<i64>, line: &Value, story: &mut Story) {
        let message = &line["message"];
        let (id, model) =
            (message["id"].as_str().unwrap_or_default(), message["model"].as_str().unwrap_or_default());
        if self.answer.as_ref().is_none_or(|(known, ..)| known != id) {
            self.end(story);
        }
        let number = |name: &str| message["usage"][name].as_u64().unwrap_or_default();
        if message["usage"].is_object() && model != "<synthetic>" {
            let usage = Usage {
                input_tokens: number("input_tokens"),
                output_tokens: number("output_tokens"),
                cache_read_tokens: number("cache_read_input_tokens"),
                cache_write_tokens: number("cache_creation_input_tokens"),
            };
            self.answer = Some((id.to_owned(), model.to_owned(), usage));
        }
        story.dollars(line["costUSD"].as_f64().unwrap_or_default());
        for block in message["content"].as_array().into_iter().flatten() {
            match block["type"].as_str().unwrap_or_default() {
                "text" => story.say(at, false, block["text"].as_str().unwrap_or_default()),
                "thinking" => story.say(at, true, block["thinking"].as_str().unwrap_or_default()),
                "tool_use" => match tools::plan(block) {
                    Some(plan) => story.plan(at, plan),
                    None => story.call(at, tools::called(block)),
                },
                _ => {}
            }
        }
        match message["stop_reason"].as_str() {
            Some("tool_use") | None => {}
            Some(reason) if line["isApiErrorMessage"] == true => {
                story.ends("failed", reason, Some(text_of(&message["content"])));
            }
            Some(reason) => story.ends("finished", reason, None),
        }
    }
}

/// A part of a prompt.
fn block(block: &Value) -> Option<Value> {
    match block["type"].as_str()? {
        "text" => Some(json!({"type": "text", "text": block["text"]})),
        "image" => Some(
            json!({"type": "image", "data": block["source"]["data"], "mimeType": block["source"]["media_type"]}),
        ),
        _ => None,
    }
}
