//! Tool calls as the Agent Client Protocol tells them: title, kind, files, changes, output.
//!
//! Invariant: input and output are passed on as they are; only what a client could not find in them is left out (a
//! file's whole former text beside its change).

use serde_json::{Value, json};

/// The longest former text of a file that is told with its change, in bytes.
const MAX_OLD: usize = 256 * 1024;

/// A call whose input is still being written.
pub fn begun(block: &Value) -> Value {
    json!({"toolCallId": block["id"], "title": block["name"], "kind": kind(&block["name"]), "status": "pending",
           "_meta": {"claudeCode": {"toolName": block["name"]}}})
}

/// A call with its input.
pub fn called(block: &Value) -> Value {
    let (name, input) = (block["name"].as_str().unwrap_or_default(), &block["input"]);
    let mut call = json!({"toolCallId": block["id"], "title": title(name, input), "kind": kind(&block["name"]),
        "status": "in_progress", "rawInput": input, "content": content(name, input),
        "_meta": {"claudeCode": {"toolName": name}}});
    if let Some(path) = path(input) {
        call["locations"] = match input["offset"].as_u64() {
            Some(line) => json!([{"path": path, "line": line}]),
            None => json!([{"path": path}]),
        };
    }
    call
}

/// A call that is over. `result` is what the agent itself keeps of it.
pub fn ended(id: &str, block: &Value, result: &Value) -> Value {
    let failed = block["is_error"] == true;
    let mut update = json!({"toolCallId": id, "status": if failed { "failed" } else { "completed" }});
    let old = result["originalFile"].as_str();
    let is_change = result["filePath"].is_string() && (result["structuredPatch"].is_array() || old.is_some());
    if is_change && !failed {
        // The change was told with the call; a file that was written over is told with what it was.
        if let (Some(old), Some(new)) = (old.filter(|old| old.len() <= MAX_OLD), result["content"].as_str()) {
            let diff = json!({"type": "diff", "path": result["filePath"], "oldText": old, "newText": new});
            update["content"] = json!([diff]);
        }
    } else {
        update["content"] = output(&block["content"]);
    }
    if result.is_object() {
        let mut result = result.clone();
        if let Some(result) = result.as_object_mut() {
            result.remove("originalFile");
        }
        update["rawOutput"] = result;
    }
    update
}

fn output(content: &Value) -> Value {
    let wrap = |block: Value| json!({"type": "content", "content": block});
    match content {
        Value::String(text) => json!([wrap(json!({"type": "text", "text": text}))]),
        Value::Array(blocks) => blocks
            .iter()
            .filter_map(|block| match block["type"].as_str()? {
                "text" => Some(wrap(json!({"type": "text", "text": block["text"]}))),
                "image" => Some(wrap(json!({"type": "image", "data": block["source"]["data"],
                                            "mimeType": block["source"]["media_type"]}))),
                _ => Some(wrap(json!({"type": "text", "text": block.to_string()}))),
            })
            .collect(),
        _ => json!([]),
    }
}

fn path(input: &Value) -> Option<&str> {
    ["file_path", "notebook_path", "path"].iter().find_map(|key| input[*key].as_str())
}

fn kind(name: &Value) -> &'static str {
    match name.as_str().unwrap_or_default() {
        "Bash" | "BashOutput" | "KillShell" | "Monitor" => "execute",
        "Read" | "NotebookRead" | "LS" => "read",
        "Edit" | "MultiEdit" | "Write" | "NotebookEdit" => "edit",
        "Glob" | "Grep" | "ToolSearch" => "search",
        "WebFetch" | "WebSearch" => "fetch",
        "Task" | "Agent" | "TodoWrite" | "TaskCreate" | "TaskUpdate" => "think",
        "EnterPlanMode" | "ExitPlanMode" => "switch_mode",
        _ => "other",
    }
}

/// What a person would call it.
pub fn title(name: &str, input: &Value) -> String {
    let text = |key: &str| input[key].as_str();
    let what = match name {
        "Bash" => return text("command").unwrap_or(name).to_owned(),
        "Glob" | "Grep" => text("pattern"),
        "WebFetch" => text("url"),
        "WebSearch" => text("query"),
        "Task" | "Agent" => text("description"),
        "AskUserQuestion" => input["questions"][0]["question"].as_str(),
        _ => path(input),
    };
    what.map_or_else(|| name.to_owned(), |what| format!("{name} {what}"))
}

/// The one change of a file that a call asks for, for people who decide. Several are read in the input.
pub fn change(name: &str, input: &Value) -> Option<Value> {
    let (path, old, new) = match name {
        "Edit" => (&input["file_path"], &input["old_string"], &input["new_string"]),
        "Write" => (&input["file_path"], &Value::Null, &input["content"]),
        "NotebookEdit" => (&input["notebook_path"], &Value::Null, &input["new_source"]),
        _ => return None,
    };
    (path.is_string() && new.is_string()).then(|| json!({"path": path, "old_text": old, "new_text": new}))
}

fn content(name: &str, input: &Value) -> Value {
    let diff = |path: &Value, old: &Value, new: &Value| json!({"type": "diff", "path": path, "oldText": old, "newText": new});
    if let (Some(edits), "MultiEdit") = (input["edits"].as_array(), name) {
        let one = |edit: &Value| diff(&input["file_path"], &edit["old_string"], &edit["new_string"]);
        return edits.iter().map(one).collect();
    }
    if let Some(change) = change(name, input) {
        return json!([diff(&change["path"], &change["old_text"], &change["new_text"])]);
    }
    match (name, input["plan"].as_str()) {
        ("ExitPlanMode", Some(plan)) => output(&json!(plan)),
        _ => json!([]),
    }
}

/// The plan in a call of the tool that keeps one.
pub fn plan(block: &Value) -> Option<Value> {
    let todos = block["input"]["todos"].as_array().filter(|_| block["name"] == "TodoWrite")?;
    let entry = |todo: &Value| {
        let status = todo["status"].as_str().unwrap_or("pending");
        json!({"content": todo["content"], "priority": todo["priority"].as_str().unwrap_or("medium"), "status": status})
    };
    Some(json!({"entries": todos.iter().map(entry).collect::<Vec<_>>()}))
}
