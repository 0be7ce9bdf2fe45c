//! Codex's rollouts: events as a person saw them, and what went to and from the model.
//!
//! Invariant: words are told by the events, tools by what the model called, so nothing is told twice. A rollout of before
//! there were events has only the latter.

use super::{
    story::{Story, moment},
    text_of,
};
use serde_json::{Value, json};
use vibes_protocol::model::Usage;

/// The reader.
#[derive(Debug, Default)]
pub(super) struct Codex {
    model: String,
    /// There are no events in it.
    old: bool,
}

impl Codex {
    pub(super) fn line(&mut self, line: &Value, story: &mut Story) {
        let (at, payload) = (moment(&line["timestamp"]), &line["payload"]);
        match line["type"].as_str() {
            Some("session_meta") => {
                story.conversation(payload["id"].as_str().unwrap_or_default());
                story.directory(payload["cwd"].as_str().unwrap_or_default());
            }
            Some("turn_context") => self.model = payload["model"].as_str().unwrap_or_default().to_owned(),
            Some("event_msg") => self.event(at, payload, story),
            Some("response_item") => self.item(at, payload, story),
            None if line["id"].is_string() && line["timestamp"].is_string() => {
                self.old = true;
                story.conversation(line["id"].as_str().unwrap_or_default());
            }
            Some(_) if self.old && payload.is_null() => self.item(None, line, story),
            _ => {}
        }
    }

    fn event(&mut self, at: Option<i64>, event: &Value, story: &mut Story) {
        let text = |name: &str| event[name].as_str().unwrap_or_default();
        match text("type") {
            "user_message" => {
                let mut blocks = vec![json!({"type": "text", "text": text("message")})];
                for image in event["images"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                    if let Some((mime, data)) =
                        image.strip_prefix("data:").and_then(|url| url.split_once(";base64,"))
                    {
                        blocks.push(json!({"type": "image", "mimeType": mime, "data": data}));
                    }
                }
                story.prompt(at, blocks);
            }
            "agent_message" => story.say(at, false, text("message")),
            "agent_reasoning" => story.say(at, true, text("text")),
            "token_count" => {
                let last = &event["info"]["last_token_usage"];
                let number = |name: &str| last[name].as_u64().unwrap_or_default();
                let cached = number("cached_input_tokens");
                let usage = Usage {
                    input_tokens: number("input_tokens").saturating_sub(cached),
                    output_tokens: number("output_tokens"),
                    cache_read_tokens: cached,
                    cache_write_tokens: 0,
                };
                if last.is_object() {
                    story.tokens(&self.model, &usage);
                }
            }
            "task_complete" => story.ends("finished", "end_turn", None),
            "turn_aborted" => story.ends("interrupted", "cancelled", None),
            "error" => story.ends("failed", "error", Some(text("message").to_owned())),
            _ => {}
        }
    }

    fn item(&mut self, at: Option<i64>, item: &Value, story: &mut Story) {
        let text = |name: &str| item[name].as_str().unwrap_or_default();
        let id = if text("call_id").is_empty() { text("id") } else { text("call_id") };
        match text("type") {
            "function_call" => {
                let input = serde_json::from_str::<Value>(text("arguments"))
                    .unwrap_or_else(|_| item["arguments"].clone());
                story.call(at, call(id, text("name"), input));
            }
            "custom_tool_call" => story.call(at, call(id, text("name"), item["input"].clone())),
            "local_shell_call" => story.call(at, call(id, "shell", item["action"].clone())),
            "function_call_output" | "custom_tool_call_output" => {
                let output = &item["output"];
                // Some of it is JSON in a string: what was printed, and how it ended.
                let inner = output.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
                let inner = inner.filter(Value::is_object);
                let said = match (&inner, output) {
                    (Some(inner), _) => {
                        inner["output"].as_str().map_or_else(|| inner.to_string(), str::to_owned)
                    }
                    (None, Value::String(text)) => text.clone(),
                    (None, other) => {
                        let words = text_of(&other["content"]);
                        if words.is_empty() { text_of(other) } else { words }
                    }
                };
                let exit =
                    inner.as_ref().and_then(|inner| inner["metadata"]["exit_code"].as_i64()).or_else(|| {
                        let (_, code) = said.split_once("Process exited with code ")?;
                        code.split_whitespace().next()?.parse().ok()
                    });
                let failed = output["success"] == false || exit.is_some_and(|code| code != 0);
                let mut done = json!({"toolCallId": id, "status": if failed { "failed" } else { "completed" },
                    "content": [{"type": "content", "content": {"type": "text", "text": said}}]});
                if let Some(exit) = exit {
                    done["rawOutput"] = json!({"exit_code": exit});
                }
                story.called(at, done);
            }
            "message" if self.old => {
                let words = text_of(&item["content"]);
                match text("role") {
                    "assistant" => story.say(at, false, &words),
                    "user" if !words.trim_start().starts_with('<') => {
                        story.prompt(at, vec![json!({"type": "text", "text": words})]);
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

fn call(id: &str, name: &str, input: Value) -> Value {
    let command = ["cmd", "command"].iter().find_map(|key| match &input[*key] {
        Value::String(command) => Some(command.clone()),
        Value::Array(words) => Some(words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")),
        _ => None,
    });
    let patch = if name == "apply_patch" { input.as_str().or_else(|| input["input"].as_str()) } else { None };
    let files: Vec<&str> = patch.unwrap_or_default().lines().filter_map(changed).collect();
    let (kind, title) = match (&command, patch) {
        (Some(command), _) => ("execute", command.clone()),
        (None, Some(_)) => ("edit", format!("apply_patch {}", files.join(" "))),
        (None, None) => (if name == "web_search" { "fetch" } else { "other" }, name.to_owned()),
    };
    let mut call = json!({"toolCallId": id, "title": title, "kind": kind, "status": "in_progress"});
    if !files.is_empty() {
        call["locations"] = files.iter().map(|path| json!({"path": path})).collect();
    }
    if let Some(patch) = patch {
        call["content"] = json!([{"type": "content", "content": {"type": "text", "text": patch}}]);
    }
    call["rawInput"] = match command {
        Some(command) => json!({"command": command, "tool": name, "arguments": input}),
        None => input,
    };
    call
}

/// The file that a line of a patch begins to change.
fn changed(line: &str) -> Option<&str> {
    ["*** Update File: ", "*** Add File: ", "*** Delete File: "]
        .iter()
        .find_map(|begin| line.strip_prefix(begin))
}
