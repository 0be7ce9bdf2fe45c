//! What a tool call tells: its title, commands, files and output, whichever agent called it.
//!
//! Invariant: pure, and lenient: agents differ in where they put things, and what cannot be read costs a word, never the
//! rest. What only numbers things (ids, times) is no words.

use super::document::{Column, Document, HARD, clean};
use serde_json::Value;
use std::{borrow::Cow, collections::HashSet};
use vibes_protocol::model::{Seq, content};

/// How deep inputs are looked into.
const DEEP: usize = 4;
/// The longest word of an input that counts as one, in bytes.
const WORD: usize = 4 * 1024;

/// Puts what an update of a tool call tells into its document.
pub fn read(document: &mut Document, seq: Seq, update: &Value) {
    let mut put = Put { document, seq, body: String::new() };
    for name in ["title", "name"] {
        if let Some(word) = update[name].as_str() {
            put.line(Column::Tool, word);
        }
    }
    if let Some(tool) = update["_meta"]["claudeCode"]["toolName"].as_str() {
        put.line(Column::Tool, tool);
    }
    put.input(&update["rawInput"], 0);
    for place in update["locations"].as_array().into_iter().flatten() {
        put.file(&place["path"]);
    }
    let mut output = String::new();
    for part in update["content"].as_array().into_iter().flatten() {
        match part["type"].as_str() {
            Some("content") => add(&mut output, &content::words(&part["content"])),
            Some("diff") => {
                put.file(&part["path"]);
                add(&mut output, &change(&part["oldText"], &part["newText"]));
            }
            _ => {}
        }
    }
    if output.is_empty() {
        output = raw_output(&update["rawOutput"]);
    }
    if output.is_empty() {
        let response = &update["_meta"]["claudeCode"]["toolResponse"];
        output = raw_output(response);
        if let Some(text) = response["file"]["content"].as_str() {
            add(&mut output, text);
        }
    }
    let Put { document, body, .. } = put;
    let known = document.column(Column::Output);
    if !output.is_empty() {
        let output = clean(&output);
        if known.text != output {
            known.set(seq, &output);
        }
    } else if let Some(data) = update["_meta"]["terminal_output"]["data"].as_str() {
        let room = HARD.saturating_sub(known.text.len());
        known.push(seq, "", &clean(&data[..data.floor_char_boundary(room)]));
    } else if known.text.is_empty() && !body.is_empty() {
        known.set(seq, &clean(&body));
    }
}

/// The same of a request for permission.
pub fn asked(document: &mut Document, seq: Seq, permission: &Value) {
    let mut put = Put { document, seq, body: String::new() };
    if let Some(title) = permission["claim_title"].as_str() {
        put.line(Column::Tool, title);
    }
    put.input(&permission["raw_input"], 0);
    for path in permission["paths"].as_array().into_iter().flatten() {
        put.file(path);
    }
    let more = permission["more_diffs"].as_array().into_iter().flatten();
    for diff in std::iter::once(&permission["diff"]).chain(more) {
        put.file(&diff["path"]);
        let change = change(&diff["old_text"], &diff["new_text"]);
        add(&mut put.body, &change);
    }
    let Put { document, body, .. } = put;
    let known = document.column(Column::Output);
    if known.text.is_empty() && !body.is_empty() {
        known.set(seq, &clean(&body));
    }
}

/// The command that a tool call runs, if it runs one.
pub fn command(update: &Value) -> Option<Cow<'_, str>> {
    let input = &update["rawInput"];
    command_of(&input["command"]).or_else(|| command_of(&input["cmd"]))
}

fn command_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(command) => Some(command.into()),
        Value::Array(words) => {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            match &words[..] {
                [] => None,
                [_, flag, command] if flag.starts_with('-') && flag.ends_with('c') => Some((*command).into()),
                words => Some(words.join(" ").into()),
            }
        }
        _ => None,
    }
}

struct Put<'a> {
    document: &'a mut Document,
    seq: Seq,
    /// What is to be written somewhere, where nothing shows it as a change.
    body: String,
}

impl Put<'_> {
    fn line(&mut self, column: Column, word: &str) {
        let word = &word[..word.floor_char_boundary(WORD)];
        self.document.column(column).line(self.seq, &clean(word));
    }

    fn file(&mut self, path: &Value) {
        if let Some(path) = path.as_str() {
            self.line(Column::File, path);
        }
    }

    fn input(&mut self, value: &Value, depth: usize) {
        match value {
            Value::Object(fields) if depth < DEEP => {
                for (name, value) in fields {
                    self.field(name, value, depth);
                }
            }
            Value::Array(values) if depth < DEEP => {
                values.iter().for_each(|value| self.input(value, depth + 1));
            }
            Value::String(word) if word.len() <= WORD => self.line(Column::Tool, word),
            _ => {}
        }
    }

    fn field(&mut self, name: &str, value: &Value, depth: usize) {
        let lower = name.to_ascii_lowercase();
        match &*lower {
            "command" | "cmd" | "script" => {
                if let Some(command) = command_of(value) {
                    self.line(Column::Command, &command);
                }
            }
            "content" | "new_string" | "newtext" | "new_str" | "new_text" | "file_text" | "old_string"
            | "oldtext" | "old_str" | "old_text"
                if value.is_string() =>
            {
                add(&mut self.body, value.as_str().unwrap_or_default());
            }
            // Codex names changes by their files.
            "changes" => {
                for (path, change) in value.as_object().into_iter().flatten() {
                    self.line(Column::File, path);
                    self.input(change, depth + 1);
                }
            }
            "paths" | "files" => {
                value.as_array().into_iter().flatten().for_each(|path| self.file(path));
            }
            "file" | "filename" => self.file(value),
            "cwd" | "title" => {}
            name if name.ends_with("path") => self.file(value),
            name if name.ends_with("id") || name.ends_with("_ms") || name.ends_with("atms") => {}
            _ => self.input(value, depth + 1),
        }
    }
}

/// Text behind what is there, on lines of its own.
fn add(to: &mut String, text: &str) {
    if to.len() < HARD && !text.is_empty() {
        if !to.is_empty() {
            to.push('\n');
        }
        to.push_str(text);
    }
}

/// What a change of a file says: the new text, and the lines that are in it no more.
fn change(old: &Value, new: &Value) -> String {
    let (old, new) = (old.as_str().unwrap_or_default(), new.as_str().unwrap_or_default());
    let kept: HashSet<&str> = new.lines().collect();
    let mut said = new.to_owned();
    old.lines().filter(|line| !kept.contains(line)).for_each(|line| add(&mut said, line));
    said
}

/// What a tool gave, in the words of its program.
fn raw_output(value: &Value) -> String {
    if let Some(text) = value.as_str() {
        return text.to_owned();
    }
    let text = |name: &str| value[name].as_str().filter(|text| !text.is_empty());
    let whole =
        ["aggregated_output", "formatted_output", "output", "text"].iter().find_map(|name| text(name));
    if let Some(whole) = whole {
        return whole.to_owned();
    }
    let mut both = String::new();
    ["stdout", "stderr"].iter().filter_map(|name| text(name)).for_each(|text| add(&mut both, text));
    both
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn of(updates: &[Value]) -> [String; 4] {
        let mut document = Document::at(0);
        for (seq, update) in (1..).zip(updates) {
            read(&mut document, seq, update);
        }
        [Column::Tool, Column::Command, Column::File, Column::Output]
            .map(|column| document.columns[column as usize].text.clone())
    }

    #[test]
    fn agents_put_the_same_things_in_different_places() {
        // Claude Code, by its adapter.
        let claude = [
            json!({"_meta": {"claudeCode": {"toolName": "Bash"}}, "title": "Terminal", "rawInput": {}, "content": []}),
            json!({"rawInput": {"command": "ls -la", "description": "List it"}, "title": "ls -la"}),
            json!({"_meta": {"claudeCode": {"toolName": "Bash", "toolResponse": {"stdout": "total 0", "stderr": ""}}}}),
            json!({"status": "completed", "rawOutput": "total 0", "content": [
                {"type": "content", "content": {"type": "text", "text": "total 0"}}]}),
        ];
        assert_eq!(of(&claude), ["Terminal\nBash\nls -la\nList it", "ls -la", "", "total 0"]);
        // Codex, by two of them.
        let codex = [
            json!({"title": "touch r1", "rawInput": {"call_id": "c1", "started_at_ms": 5,
                   "command": ["/bin/bash", "-lc", "touch r1"], "cwd": "/w"}}),
            json!({"rawOutput": {"command": ["x"], "stdout": "a", "aggregated_output": "a\nb"}}),
        ];
        assert_eq!(of(&codex), ["touch r1", "touch r1", "", "a\nb"]);
        let edit = [json!({"title": "Edit", "locations": [{"path": "/w/a.rs"}], "rawInput": {"changes": {
            "/w/a.rs": {"type": "add", "content": "fn main"}}},
            "content": [{"type": "diff", "path": "/w/a.rs", "oldText": "one\ntwo", "newText": "one\nthree"}]})];
        assert_eq!(of(&edit), ["Edit\nadd", "", "/w/a.rs", "one\nthree\ntwo"]);
        // What is shown nowhere else.
        let write = [json!({"title": "Write", "rawInput": {"file_path": "/w/b", "content": "words"}})];
        assert_eq!(of(&write), ["Write", "", "/w/b", "words"]);
        let streamed = [
            json!({"_meta": {"terminal_output": {"data": "one "}}}),
            json!({"_meta": {"terminal_output": {"data": "two"}}}),
        ];
        assert_eq!(of(&streamed)[3], "one two");
    }

    #[test]
    fn nonsense_is_no_words() {
        let deep = json!({"rawInput": {"a": {"b": {"c": {"d": {"e": "too deep"}}}}}, "content": 7, "locations": "x"});
        assert_eq!(of(&[deep, json!(null), json!([1])]), ["", "", "", ""]);
    }

    #[test]
    fn a_question_tells_what_it_is_about() {
        let mut document = Document::at(0);
        let permission = json!({"claim_title": "Write it", "raw_input": {"command": "make"}, "paths": ["/w/c"],
                                "diff": {"path": "/w/a", "old_text": null, "new_text": "new"}});
        asked(&mut document, 9, &permission);
        let texts = document.columns.map(|column| column.text);
        assert_eq!(texts, ["", "", "", "make", "/w/c\n/w/a", "Write it", "new"]);
    }
}
