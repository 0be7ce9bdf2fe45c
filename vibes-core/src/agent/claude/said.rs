//! What is said: prompts on their way to the agent, and its messages on their way back.
//!
//! Invariant: a message that came piece by piece is not told again when it comes whole; one that did not is told then.

use super::{Claude, STREAMS, chunk, tools, update};
use crate::agent::AgentEvent;
use serde_json::{Value, json};
use vibes_protocol::model::fact;

/// What the agent makes of a command that it answered by itself.
const OUTPUT: (&str, &str) = ("<local-command-stdout>", "</local-command-stdout>");

/// ACP content blocks as the agent takes them. What it has no block for becomes words.
pub fn content(blocks: &[Value]) -> Value {
    // Plain text stays a text: so slash commands are seen.
    if let [block] = blocks
        && block["type"] == "text"
    {
        return block["text"].clone();
    }
    blocks.iter().map(block).collect()
}

fn block(block: &Value) -> Value {
    let text = |text: String| json!({"type": "text", "text": text});
    match block["type"].as_str().unwrap_or_default() {
        "text" => json!({"type": "text", "text": block["text"]}),
        "image" if block["data"].is_string() => json!({"type": "image", "source":
            {"type": "base64", "media_type": block["mimeType"], "data": block["data"]}}),
        "resource_link" => {
            let uri = block["uri"].as_str().unwrap_or_default();
            // A file is named as a person would name it to the agent.
            text(uri.strip_prefix("file://").map_or_else(|| uri.to_owned(), |path| format!("@{path}")))
        }
        "resource" => {
            let resource = &block["resource"];
            let uri = resource["uri"].as_str().unwrap_or_default();
            match resource["text"].as_str() {
                Some(words) => text(format!("<context ref=\"{uri}\">\n{words}\n</context>")),
                None => text(format!("({uri} was attached and is not text)")),
            }
        }
        other => text(format!("(an attachment of the kind {other:?} was left out)")),
    }
}

impl Claude {
    /// A raw event of the model's answer.
    pub(super) fn streams<'a>(
        &mut self,
        line: &Value,
        events: &mut Vec<AgentEvent<'a>>,
    ) -> Result<(), String> {
        let (event, parent) = (&line["event"], line["parent_tool_use_id"].as_str());
        match event["type"].as_str().unwrap_or_default() {
            "message_start" => {
                let message = &event["message"];
                if let Some(id) = message["id"].as_str().filter(|id| id.len() <= 256) {
                    self.streamed.retain(|known| known != id);
                    self.streamed.push_back(id.to_owned());
                    if self.streamed.len() > STREAMS {
                        self.streamed.pop_front();
                    }
                }
                if parent.is_none() {
                    let tokens = |name: &str| message["usage"][name].as_u64().unwrap_or(0);
                    self.context = tokens("input_tokens")
                        + tokens("cache_read_input_tokens")
                        + tokens("cache_creation_input_tokens");
                }
            }
            "content_block_start" => {
                let block = &event["content_block"];
                match block["type"].as_str().unwrap_or_default() {
                    "text" => events.extend(piece("agent_message_chunk", &block["text"], parent)),
                    "thinking" => events.extend(piece("agent_thought_chunk", &block["thinking"], parent)),
                    kind if kind.ends_with("tool_use") => {
                        let begun = tools::begun(block);
                        self.begins(&block["id"]);
                        events.push(update("tool_call", begun, parent));
                    }
                    _ => {}
                }
            }
            // What is not text comes whole in a moment.
            "content_block_delta"
            | "content_block_stop"
            | "message_delta"
            | "message_stop"
            | "ping"
            | "error" => {}
            other => return Err(format!("an event of the model that is not known: {other:?}")),
        }
        Ok(())
    }

    fn begins(&mut self, id: &Value) -> bool {
        id.as_str().is_some_and(|id| id.len() <= 256 && self.open.insert(id.to_owned()))
    }

    /// A message of the agent, one for each block that is done.
    pub(super) fn assistant<'a>(&mut self, line: &Value, events: &mut Vec<AgentEvent<'a>>) {
        let (message, parent) = (&line["message"], line["parent_tool_use_id"].as_str());
        // The text of an error is told with the end of the turn.
        let told = line["error"].is_string()
            || message["id"].as_str().is_some_and(|id| self.streamed.iter().any(|known| known == id));
        for block in message["content"].as_array().into_iter().flatten() {
            match block["type"].as_str().unwrap_or_default() {
                "text" if !told => events.extend(piece("agent_message_chunk", &block["text"], parent)),
                "thinking" if !told => {
                    events.extend(piece("agent_thought_chunk", &block["thinking"], parent))
                }
                kind if kind.ends_with("tool_use") => {
                    let kind = if self.begins(&block["id"]) { "tool_call" } else { "tool_call_update" };
                    events.push(update(kind, tools::called(block), parent));
                    events.extend(tools::plan(block).map(|plan| update("plan", plan, parent)));
                    if let Some(plan) = block["input"]["plan"].as_str() {
                        self.plan = (plan.len() <= super::MAX_KEPT).then(|| plan.to_owned());
                    }
                }
                _ => {}
            }
        }
    }

    /// What goes to the model in the role of the user: results of tools, and notes of the agent to itself.
    pub(super) fn user<'a>(&mut self, line: &Value, events: &mut Vec<AgentEvent<'a>>) {
        let (content, parent) = (&line["message"]["content"], line["parent_tool_use_id"].as_str());
        if let Some(text) = content.as_str() {
            let output = text.strip_prefix(OUTPUT.0).and_then(|text| text.strip_suffix(OUTPUT.1));
            if let Some(output) = output.filter(|_| line["isReplay"] != true) {
                events.push(chunk("agent_message_chunk", output, parent));
            }
        }
        for block in content.as_array().into_iter().flatten().filter(|block| block["type"] == "tool_result") {
            if let Some(id) = block["tool_use_id"].as_str() {
                self.open.remove(id);
                events.push(update(
                    "tool_call_update",
                    tools::ended(id, block, &line["tool_use_result"]),
                    parent,
                ));
            }
        }
    }

    /// How things stand with the agent itself.
    pub(super) fn system<'a>(
        &mut self,
        line: &Value,
        events: &mut Vec<AgentEvent<'a>>,
    ) -> Result<(), String> {
        match line["subtype"].as_str().unwrap_or_default() {
            "init" => self.began_turn(line, events),
            "status" => {
                self.takes_mode(&line["permissionMode"], events);
                if line["status"] == "compacting" {
                    let why = "the agent shortens its conversation".to_owned();
                    events.push(AgentEvent::Waits(super::waits(why)));
                }
            }
            "api_retry" => {
                let why = line["error"].as_str().unwrap_or("no answer").replace('_', " ");
                events.push(AgentEvent::Waits(fact::AgentWaits {
                    why: format!("the model does not answer: {}", super::clip(&why, 200)),
                    attempt: line["attempt"].as_u64(),
                    of: line["max_retries"].as_u64(),
                    retry_ms: line["retry_delay_ms"].as_f64().map(|ms| ms.clamp(0.0, 1e12) as u64),
                    status: line["error_status"].as_u64(),
                }));
            }
            "session_title_changed" => {
                events.push(update("session_info_update", json!({"title": line["title"]}), None));
            }
            // A task of a tool: a subagent, or a command that goes on behind.
            "task_started" | "task_progress" | "task_notification" if line["tool_use_id"].is_string() => {
                let mut task = line.clone();
                for key in ["type", "session_id", "uuid", "tool_use_id", "prompt"] {
                    task.as_object_mut().map(|task| task.remove(key));
                }
                let fields =
                    json!({"toolCallId": line["tool_use_id"], "_meta": {"claudeCode": {"task": task}}});
                events.push(update("tool_call_update", fields, line["parent_tool_use_id"].as_str()));
            }
            // Told by what comes with them, or matters of its own screen.
            "task_started"
            | "task_progress"
            | "task_notification"
            | "task_updated"
            | "permission_denied"
            | "thinking_tokens"
            | "ui_invalidate"
            | "compact_boundary"
            | "hook_started"
            | "hook_progress"
            | "hook_response"
            | "local_command_output"
            | "files_persisted"
            | "session_state_changed" => {}
            other => return Err(format!("a system line that is not known: {:?}", super::clip(other, 80))),
        }
        Ok(())
    }
}

fn piece<'a>(kind: &str, text: &Value, parent: Option<&str>) -> Option<AgentEvent<'a>> {
    text.as_str().filter(|text| !text.is_empty()).map(|text| chunk(kind, text, parent))
}
