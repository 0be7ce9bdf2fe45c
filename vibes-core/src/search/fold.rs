//! Records become documents: a prompt is one, the answer of a turn is one, its thoughts are one, each tool call is one
//! with its commands, files and output.
//!
//! Invariant: pure: a fold of records in their order. What lasts between two records is in [`Fold`], which names documents
//! by the record that they begin at; their texts are on a [`Shelf`]. Whatever a record holds, nothing fails: what cannot
//! be read is not found, and the next record is read.

use super::{
    call,
    document::{Column, Document, SPLIT, clean},
};
use crate::glimpse::{Glimpse, Update};
use serde::{Deserialize, Serialize};
use serde_json::{Value, value::RawValue};
use std::borrow::Cow;
use vibes_protocol::model::{Seq, content};

/// How many tool calls of a turn are open at once at most: what is told later of an older one is a document of its own.
const CALLS: usize = 64;
/// The agent whose words are the output of its commands.
const SHELL: &str = "shell";

/// Documents of one session.
pub trait Shelf {
    /// The document that begins at this record, which is there or is made with this time.
    fn document(&mut self, first: Seq, at_ms: i64) -> &mut Document;
}

/// What is remembered between two records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fold {
    /// The session's agent.
    pub agent: String,
    /// Its directory.
    pub cwd: String,
    /// The prompt of the turn that runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    turn: Option<Seq>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    response: Option<Seq>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    thought: Option<Seq>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    plan: Option<Seq>,
    /// A prompt of a conversation that was taken up from elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<Seq>,
    /// Who spoke last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    speaks: Option<Speaker>,
    /// Tool calls by their ids, the last one last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    calls: Vec<(String, Seq)>,
    /// Where the output of the last command goes on, for a shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output: Option<Seq>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Speaker {
    Response,
    Thought,
    User,
}

/// A content block as it comes most often.
#[derive(Deserialize)]
struct Words<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    text: Cow<'a, str>,
}

impl Fold {
    /// Takes the next record.
    pub fn take(&mut self, shelf: &mut impl Shelf, (seq, at_ms): (Seq, i64), fact: &[u8]) {
        let Ok(head) = serde_json::from_slice::<Glimpse<'_>>(fact) else { return };
        let at = (seq, at_ms);
        match &*head.kind {
            "created" => {
                self.agent = head.agent.unwrap_or_default().into_owned();
                self.cwd = head.cwd.unwrap_or_default().into_owned();
            }
            "input" => {
                shelf.document(seq, at_ms).column(Column::Prompt).set(seq, &prompt(head.content));
            }
            "input_edited" => {
                let document = shelf.document(head.input_seq, at_ms);
                document.column(Column::Prompt).set(seq, &prompt(head.content));
            }
            "turn_started" => {
                self.over();
                self.calls.clear();
                self.turn = Some(head.input_seq);
            }
            "turn_ended" => {
                self.over();
                if let Some(error) = head.error {
                    shelf.document(seq, at_ms).column(Column::Output).set(seq, &clean(&error));
                }
            }
            "agent_stderr" => {
                let text = head.text.unwrap_or_default();
                shelf.document(seq, at_ms).column(Column::Output).set(seq, &clean(&text));
            }
            // What was told again is indexed where it was said first.
            "context_added" if head.source.as_deref() == Some("person") => {
                let text = head.text.unwrap_or_default();
                shelf.document(seq, at_ms).column(Column::Prompt).set(seq, &clean(&text));
            }
            "permission_requested" => {
                let Some(permission) = value(head.permission) else { return };
                let id = permission["tool_call_id"].as_str().unwrap_or_default().to_owned();
                call::asked(self.call(shelf, at, &id), seq, &permission);
            }
            "update" => {
                if let Some(update) = head.update {
                    self.update(shelf, at, update);
                }
            }
            _ => {}
        }
    }

    /// A turn is over, or another one begins: what is said next is said anew.
    fn over(&mut self) {
        (self.turn, self.response, self.thought, self.plan) = (None, None, None, None);
        (self.user, self.speaks, self.output) = (None, None, None);
    }

    fn update(&mut self, shelf: &mut impl Shelf, at: (Seq, i64), raw: &RawValue) {
        let Ok(update) = serde_json::from_str::<Update<'_>>(raw.get()) else { return };
        match &*update.kind {
            "agent_message_chunk" if self.agent == SHELL && self.output.is_some() => {
                let mut output = self.output;
                append(shelf, at, &mut output, Column::Output, "", &words(update.content));
                self.output = output;
            }
            "agent_message_chunk" => {
                let mut response = self.response;
                let between = self.speaks(Speaker::Response);
                append(shelf, at, &mut response, Column::Response, between, &words(update.content));
                self.response = response;
            }
            "agent_thought_chunk" => {
                let mut thought = self.thought;
                let between = self.speaks(Speaker::Thought);
                append(shelf, at, &mut thought, Column::Thought, between, &words(update.content));
                self.thought = thought;
            }
            // In a turn it is an echo of the prompt, which is a record of its own.
            "user_message_chunk" if self.turn.is_none() => {
                if self.speaks != Some(Speaker::User) {
                    self.over();
                    self.speaks = Some(Speaker::User);
                }
                let mut user = self.user;
                append(shelf, at, &mut user, Column::Prompt, "", &words(update.content));
                self.user = user;
            }
            "plan" => {
                let Some(plan) = value(Some(raw)) else { return };
                let entries = plan["entries"].as_array().into_iter().flatten();
                let lines: Vec<&str> = entries.filter_map(|entry| entry["content"].as_str()).collect();
                let first = *self.plan.get_or_insert(at.0);
                shelf.document(first, at.1).column(Column::Thought).set(at.0, &clean(&lines.join("\n")));
            }
            "tool_call" | "tool_call_update" => {
                let Some(call) = value(Some(raw)) else { return };
                self.tool_call(shelf, at, &call);
            }
            _ => {}
        }
    }

    fn tool_call(&mut self, shelf: &mut impl Shelf, at: (Seq, i64), call: &Value) {
        let id = call["toolCallId"].as_str().unwrap_or_default();
        self.speaks = self.speaks.filter(|speaker| *speaker == Speaker::User);
        let is_new = !self.calls.iter().any(|(known, _)| known == id);
        // What a person typed into a shell is the command: one document for both and for what it gave.
        if let (true, true, Some(prompt)) = (self.agent == SHELL, is_new, self.turn) {
            let document = shelf.document(prompt, at.1);
            let asked = document.columns[Column::Prompt as usize].text.trim();
            if call::command(call).is_some_and(|command| command.trim() == asked) {
                self.remember(id, prompt);
            }
        }
        let (is_shell, document) = (self.agent == SHELL, self.call(shelf, at, id));
        let streamed = is_shell && !is_new && !document.column(Column::Output).text.is_empty();
        if streamed && call.get("content").is_some() {
            // The end of an output that came in pieces is no other output.
            let mut rest = call.clone();
            rest["content"] = Value::Null;
            call::read(document, at.0, &rest);
        } else {
            call::read(document, at.0, call);
        }
        if is_shell && is_new {
            self.output = self.calls.last().map(|(_, first)| *first);
        }
    }

    /// The document of a tool call.
    fn call<'a>(&mut self, shelf: &'a mut impl Shelf, at: (Seq, i64), id: &str) -> &'a mut Document {
        let known = self.calls.iter().find(|(known, _)| known == id && !id.is_empty());
        let first = match known {
            Some((_, first)) => *first,
            None => {
                self.remember(id, at.0);
                at.0
            }
        };
        shelf.document(first, at.1)
    }

    fn remember(&mut self, id: &str, first: Seq) {
        if self.calls.len() >= CALLS {
            self.calls.remove(0);
        }
        self.calls.push((id.to_owned(), first));
    }

    /// Somebody speaks; gives what stands between that and what was said before by the same one, if anything.
    fn speaks(&mut self, speaker: Speaker) -> &'static str {
        let before = self.speaks.replace(speaker);
        if before == Some(Speaker::User) {
            // The next answer of a conversation that was taken up.
            (self.response, self.thought, self.plan) = (None, None, None);
        }
        if before == Some(speaker) { "" } else { "\n\n" }
    }
}

/// Adds words to a document that is under way, or begins another one when there is none or too much in it.
fn append(
    shelf: &mut impl Shelf,
    (seq, at_ms): (Seq, i64),
    first: &mut Option<Seq>,
    column: Column,
    between: &str,
    words: &str,
) {
    if words.is_empty() {
        return;
    }
    if let Some(known) = *first {
        let text = &mut shelf.document(known, at_ms).columns[column as usize];
        if text.text.is_empty() || text.text.len() + words.len() <= SPLIT {
            text.push(seq, between, words);
            return;
        }
    }
    *first = Some(seq);
    shelf.document(seq, at_ms).column(column).push(seq, "", words);
}

fn value(raw: Option<&RawValue>) -> Option<Value> {
    serde_json::from_str(raw?.get()).ok()
}

/// The words of one content block.
fn words(raw: Option<&RawValue>) -> String {
    let Some(raw) = raw else { return String::new() };
    match serde_json::from_str::<Words<'_>>(raw.get()) {
        Ok(block) if block.kind == "text" => clean(&block.text).into_owned(),
        _ => value(Some(raw)).map(|block| clean(&content::words(&block)).into_owned()).unwrap_or_default(),
    }
}

/// The words of a prompt.
fn prompt(raw: Option<&RawValue>) -> String {
    let blocks: Vec<Value> = raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default();
    let words: Vec<_> = blocks.iter().map(content::words).collect();
    clean(&words.join("\n")).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::BTreeMap;

    impl Shelf for BTreeMap<Seq, Document> {
        fn document(&mut self, first: Seq, at_ms: i64) -> &mut Document {
            self.entry(first).or_insert_with(|| Document::at(at_ms))
        }
    }

    /// The documents of these facts, with the words of their columns.
    fn fold(facts: &[Value]) -> Vec<(Seq, Vec<(&'static str, String)>)> {
        let (mut fold, mut shelf) = (Fold::default(), BTreeMap::new());
        for (seq, fact) in (1..).zip(facts) {
            // Whatever happens in between: what lasts is what is written.
            let kept = serde_json::to_string(&fold).unwrap();
            fold = serde_json::from_str(&kept).unwrap();
            fold.take(&mut shelf, (seq, 1000 + seq as i64), fact.to_string().as_bytes());
        }
        let words = |document: Document| {
            let columns = Column::ALL.into_iter().zip(document.columns);
            columns.filter(|(_, text)| !text.text.is_empty()).map(|(c, text)| (c.name(), text.text)).collect()
        };
        shelf.into_iter().map(|(seq, document)| (seq, words(document))).collect()
    }

    fn update(kind: &str, text: &str) -> Value {
        json!({"kind": "update", "update": {"sessionUpdate": kind, "content": {"type": "text", "text": text}}})
    }

    fn call(kind: &str, fields: Value) -> Value {
        let mut update = json!({"sessionUpdate": kind, "toolCallId": "t1"});
        update.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"kind": "update", "update": update})
    }

    fn input(text: &str) -> Value {
        json!({"kind": "input", "content": [{"type": "text", "text": text}], "by": {"client_id": "x"}})
    }

    fn began(agent: &str) -> Value {
        json!({"kind": "created", "agent": agent, "cwd": "/w"})
    }

    #[test]
    fn a_turn_is_a_prompt_an_answer_thoughts_and_calls() {
        let started = |turn: u64, seq: Seq| json!({"kind": "turn_started", "turn": turn, "input_seq": seq});
        let documents = fold(&[
            began("fake"),
            input("fix it"),
            started(1, 2),
            update("agent_thought_chunk", "let me "),
            update("agent_thought_chunk", "see"),
            update("agent_message_chunk", "I lo"),
            update("agent_message_chunk", "ok."),
            call(
                "tool_call",
                json!({"title": "make", "kind": "execute", "rawInput": {"command": "make -j"}}),
            ),
            input("and more"),
            call(
                "tool_call_update",
                json!({"content": [{"type": "content", "content": {"type": "text", "text": "no rule"}}]}),
            ),
            update("agent_message_chunk", "Done."),
            json!({"kind": "update", "update": {"sessionUpdate": "plan", "entries": [{"content": "one"}]}}),
            json!({"kind": "update", "update": {"sessionUpdate": "plan", "entries": [{"content": "two"}]}}),
            json!({"kind": "turn_ended", "turn": 1, "outcome": "failed", "stop_reason": "x", "error": "overloaded"}),
            json!({"kind": "input_edited", "input_seq": 9, "content": [{"type": "text", "text": "and less"}]}),
            started(2, 9),
            update("agent_message_chunk", "Yes."),
        ]);
        let expected: Vec<(Seq, Vec<(&str, &str)>)> = vec![
            (2, vec![("prompt", "fix it")]),
            (4, vec![("thought", "let me see")]),
            (6, vec![("response", "I look.\n\nDone.")]),
            (8, vec![("command", "make -j"), ("tool", "make"), ("output", "no rule")]),
            (9, vec![("prompt", "and less")]),
            (12, vec![("thought", "two")]),
            (14, vec![("output", "overloaded")]),
            (17, vec![("response", "Yes.")]),
        ];
        let told: Vec<(Seq, Vec<(&str, &str)>)> = documents
            .iter()
            .map(|(seq, words)| (*seq, words.iter().map(|(name, text)| (*name, &text[..])).collect()))
            .collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn a_command_of_a_shell_and_its_output_are_one_document() {
        let documents = fold(&[
            began("shell"),
            input("cargo test"),
            json!({"kind": "turn_started", "turn": 1, "input_seq": 2}),
            call(
                "tool_call",
                json!({"title": "cargo test", "rawInput": {"command": "cargo test", "cwd": "/w"}}),
            ),
            update("agent_message_chunk", "running\n"),
            update("agent_message_chunk", "FAILED\n"),
            call(
                "tool_call_update",
                json!({"status": "failed", "content": [
                {"type": "content", "content": {"type": "text", "text": "FAILED"}}]}),
            ),
            json!({"kind": "turn_ended", "turn": 1, "outcome": "finished", "stop_reason": "end_turn"}),
        ]);
        let words = [("prompt", "cargo test"), ("command", "cargo test"), ("tool", "cargo test")];
        let mut expected: Vec<_> = words.map(|(name, text)| (name, text.to_owned())).to_vec();
        expected.push(("output", "running\nFAILED\n".to_owned()));
        assert_eq!(documents, [(2, expected)]);
    }

    #[test]
    fn what_is_long_goes_on_in_another_document() {
        let chunk = "x".repeat(SPLIT / 2);
        let mut facts = vec![began("fake")];
        facts.extend((0..5).map(|_| update("agent_message_chunk", &chunk)));
        let sizes: Vec<_> = fold(&facts).iter().map(|(seq, words)| (*seq, words[0].1.len())).collect();
        assert_eq!(sizes, [(2, SPLIT), (4, SPLIT), (6, SPLIT / 2)]);
    }

    #[test]
    fn a_conversation_taken_up_from_elsewhere_is_prompts_and_answers() {
        let documents = fold(&[
            began("claude"),
            update("user_message_chunk", "first "),
            update("user_message_chunk", "question"),
            update("agent_message_chunk", "first answer"),
            update("user_message_chunk", "second question"),
            update("agent_message_chunk", "second answer"),
        ]);
        let told: Vec<_> = documents.iter().map(|(seq, words)| (*seq, words[0].0, &words[0].1[..])).collect();
        assert_eq!(
            told,
            [
                (2, "prompt", "first question"),
                (4, "response", "first answer"),
                (5, "prompt", "second question"),
                (6, "response", "second answer"),
            ]
        );
    }

    #[test]
    fn nothing_that_a_record_holds_ends_it() {
        let documents = fold(&[
            json!(null),
            json!({"kind": 7}),
            json!({"kind": "update", "update": 3}),
            json!({"kind": "update", "update": {"sessionUpdate": "agent_message_chunk", "content": [1]}}),
            json!({"kind": "input", "content": "x"}),
            json!({"kind": "from_the_future", "text": {"a": 1}}),
            json!({"kind": "permission_requested", "permission": []}),
            update("agent_message_chunk", "here"),
        ]);
        assert!(documents.iter().any(|(seq, words)| *seq == 8 && words[0].1 == "here"), "{documents:?}");
    }
}
