//! Gemini CLI's chats: messages, some of which are told again when more of them is known.
//!
//! Invariant: a message is told when another one begins, so with all that was told of it. A chat that is one object (of
//! earlier versions) is a line like any other, with all its messages in it.

use super::{
    story::{Story, moment},
    text_of,
};
use serde_json::{Value, json};
use vibes_protocol::model::Usage;

/// The reader.
#[derive(Debug, Default)]
pub(super) struct Gemini {
    message: Option<Value>,
}

impl Gemini {
    pub(super) fn line(&mut self, line: &Value, story: &mut Story) {
        if let Some(id) = line["sessionId"].as_str() {
            story.conversation(id);
        }
        let set = &line["$set"];
        for messages in [&line["messages"], &set["messages"]] {
            messages.as_array().into_iter().flatten().for_each(|message| self.message(message, story));
        }
        if line["type"].is_string() && line["id"].is_string() {
            self.message(line, story);
        }
    }

    fn message(&mut self, message: &Value, story: &mut Story) {
        if self.message.as_ref().is_some_and(|known| known["id"] != message["id"]) {
            self.end(story);
        }
        self.message = Some(message.clone());
    }

    /// Tells the message that is over.
    pub(super) fn end(&mut self, story: &mut Story) {
        let Some(message) = self.message.take() else { return };
        let at = moment(&message["timestamp"]);
        match message["type"].as_str().unwrap_or_default() {
            "user" => {
                let text = text_of(&message["content"]);
                let own = ["<session_context>", "This is the Gemini CLI. We are setting up the context"];
                if !text.is_empty() && !own.iter().any(|begin| text.starts_with(begin)) {
                    story.prompt(at, vec![json!({"type": "text", "text": text})]);
                }
            }
            "gemini" => said(at, &message, story),
            "error" => story.ends("failed", "error", Some(text_of(&message["content"]))),
            _ => {}
        }
    }
}

fn said(at: Option<i64>, message: &Value, story: &mut Story) {
    for thought in message["thoughts"].as_array().into_iter().flatten() {
        let words = ["subject", "description"].map(|name| thought[name].as_str().unwrap_or_default());
        let words: Vec<&str> = words.into_iter().filter(|words| !words.is_empty()).collect();
        story.say(moment(&thought["timestamp"]).or(at), true, &words.join(": "));
    }
    story.say(at, false, &text_of(&message["content"]));
    let calls = message["toolCalls"].as_array();
    for call in calls.into_iter().flatten() {
        tool(at, call, story);
    }
    let tokens = &message["tokens"];
    let number = |name: &str| tokens[name].as_u64().unwrap_or_default();
    if tokens.is_object() {
        let usage = Usage {
            input_tokens: number("input").saturating_sub(number("cached")),
            output_tokens: number("output").saturating_add(number("thoughts")),
            cache_read_tokens: number("cached"),
            cache_write_tokens: 0,
        };
        story.tokens(message["model"].as_str().unwrap_or_default(), &usage);
    }
    // What calls a tool goes on with what the tool gave.
    if calls.is_none_or(Vec::is_empty) {
        story.ends("finished", "end_turn", None);
    }
}

fn tool(at: Option<i64>, call: &Value, story: &mut Story) {
    let (name, input, id) = (call["name"].as_str().unwrap_or_default(), &call["args"], &call["id"]);
    let text = |key: &str| input[key].as_str();
    let path = text("file_path").or_else(|| text("absolute_path")).or_else(|| text("path"));
    let kind = match name {
        "run_shell_command" => "execute",
        "read_file" | "read_many_files" | "list_directory" => "read",
        "write_file" | "replace" | "edit" => "edit",
        "glob" | "search_file_content" | "grep" => "search",
        "web_fetch" | "google_web_search" => "fetch",
        _ => "other",
    };
    let title = text("command").map_or_else(
        || {
            [name]
                .into_iter()
                .chain(path.or_else(|| text("pattern")).or_else(|| text("query")))
                .collect::<Vec<_>>()
                .join(" ")
        },
        str::to_owned,
    );
    let mut begun =
        json!({"toolCallId": id, "title": title, "kind": kind, "status": "in_progress", "rawInput": input});
    if let Some(path) = path {
        begun["locations"] = json!([{"path": path}]);
        let new = text("new_string").or_else(|| text("content"));
        if let (Some(new), "edit") = (new, kind) {
            begun["content"] =
                json!([{"type": "diff", "path": path, "oldText": text("old_string"), "newText": new}]);
        }
    }
    story.call(at, begun);
    let output = call["result"].as_array().into_iter().flatten().find_map(|part| {
        let response = &part["functionResponse"]["response"];
        response["output"].as_str().or_else(|| response["error"].as_str())
    });
    let output = output.or_else(|| call["resultDisplay"].as_str()).unwrap_or_default();
    let failed = matches!(call["status"].as_str(), Some("error" | "cancelled"));
    let mut done = json!({"toolCallId": id, "status": if failed { "failed" } else { "completed" }});
    // The change was told with the call.
    if kind != "edit" || failed {
        done["content"] = json!([{"type": "content", "content": {"type": "text", "text": output}}]);
    }
    story.called(moment(&call["timestamp"]).or(at), done);
}
