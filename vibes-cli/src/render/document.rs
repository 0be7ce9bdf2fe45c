//! A session as a document of Markdown.
//!
//! Invariant: a fold of records, bounded by the turn under way. Whatever was said stays in its place: a fence is longer than
//! any within, a quote is quoted line by line, and HTML in what was said is text.

use super::permission::action;
use super::runs::tokens;
use super::{list::money, tool};
use crate::sanitize;
use crate::ui::Paint;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use vibes_protocol::model::fact::{PermissionResolved, TurnEnded};
use vibes_protocol::model::{ArchiveHead, Fact, Outcome, Seq, content};
use vibes_protocol::wire::message::Record;

/// The fold.
#[derive(Debug, Default)]
pub(crate) struct Document {
    prompts: BTreeMap<Seq, String>,
    /// What is being said.
    speech: Option<Speech>,
    calls: BTreeMap<String, Call>,
    asked: BTreeMap<String, String>,
    plan: Option<Value>,
    began_ms: i64,
}

#[derive(Debug)]
struct Speech {
    thought: bool,
    /// The line that has no end yet.
    line: String,
    /// The fence that is open.
    fence: Option<String>,
}

/// A tool call, as far as it was told.
#[derive(Debug, Default)]
struct Call {
    known: serde_json::Map<String, Value>,
    began_ms: i64,
}

impl Document {
    /// The title, and what is known of the session.
    pub(crate) fn begin(&mut self, head: &ArchiveHead, out: &mut String) {
        let session = &head.session;
        let text = |name: &str| session.get(name).and_then(Value::as_str).unwrap_or_default();
        let id = text("id");
        let title = match text("name") {
            "" => id.get(..8).unwrap_or(id),
            name => name,
        };
        let _ = writeln!(out, "# {}\n", escaped(title));
        let mut add = |name: &str, value: &str| {
            if !value.is_empty() {
                let _ = writeln!(out, "- {name}: {}", code(value));
            }
        };
        add("session", id);
        add("agent", text("agent"));
        add("directory", text("cwd"));
        add("description", text("description"));
        add("state", text("state"));
        let seconds = |name: &str| session.get(name).and_then(Value::as_i64).map_or_else(String::new, moment);
        add("created", &seconds("created_at"));
        add("last active", &seconds("last_activity_at"));
        let cost = session.get("cost").and_then(|cost| serde_json::from_value(cost.clone()).ok());
        add("cost", &cost.as_ref().map_or_else(String::new, money));
        add("goes on from", text("parent_id"));
        add("records", &format!("{} to {}", head.first, head.last));
        let secrets =
            if head.redacted { "what looks like a secret was taken out" } else { "with whatever was said" };
        add("exported", &format!("{}, {secrets}", moment(head.exported_at)));
    }

    /// The next record.
    pub(crate) fn read(&mut self, record: &Record, out: &mut String) {
        match &record.fact {
            Fact::Update(update) => self.update(&update.update, record.at_ms, out),
            Fact::Input(input) => drop(self.prompts.insert(record.seq, words(&input.content))),
            Fact::InputEdited(edited) => drop(self.prompts.insert(edited.input_seq, words(&edited.content))),
            Fact::InputDropped(dropped) => drop(self.prompts.remove(&dropped.input_seq)),
            Fact::TurnStarted(started) => {
                self.quiet(out);
                self.began_ms = record.at_ms;
                let _ = writeln!(out, "\n## Turn {} · {}\n", started.turn, moment(record.at_ms / 1000));
                match self.prompts.remove(&started.input_seq) {
                    Some(prompt) => quote(&prompt, out),
                    None => out.push_str("*(the prompt is not in this excerpt)*\n"),
                }
            }
            Fact::TurnEnded(ended) => self.ended(ended, record.at_ms, out),
            Fact::ContextAdded(added) => {
                self.folded(
                    &format!("Context, {}", content::bytes(added.text.len() as u64)),
                    &added.text,
                    out,
                );
            }
            Fact::PermissionRequested(asked) => {
                // One that is never answered in what is read is told at the end of its turn.
                let permission = &asked.permission;
                self.asked.insert(permission.permission_id.clone(), action(permission));
            }
            Fact::PermissionResolved(resolved) => self.resolved(resolved, out),
            Fact::AgentStderr(stderr) => self.fenced("the agent's standard error", "text", &stderr.text, out),
            Fact::Unparsed(line) => self.fenced("a line that could not be read", "text", &line.text, out),
            Fact::AgentWaits(waits) => self.note(&waits.why, out),
            Fact::StateChanged(changed) => {
                if let Some(reason) = changed.reason.as_ref().filter(|_| changed.to.is_ended()) {
                    self.note(&format!("{}: {reason}", changed.to.as_str()), out);
                }
            }
            Fact::RecordsLost(lost) => {
                self.note(&format!("records {} to {} are lost", lost.first, lost.last), out);
            }
            _ => {}
        }
    }

    /// What is under way when there are no more records.
    pub(crate) fn end(&mut self, out: &mut String) {
        self.close(out);
        for prompt in std::mem::take(&mut self.prompts).into_values() {
            out.push_str("\n*Waits for its turn:*\n\n");
            quote(&prompt, out);
        }
    }

    fn update(&mut self, update: &Value, at_ms: i64, out: &mut String) {
        match update["sessionUpdate"].as_str().unwrap_or_default() {
            "agent_message_chunk" => self.say(false, &content::words(&update["content"]), out),
            "agent_thought_chunk" => self.say(true, &content::words(&update["content"]), out),
            "tool_call" | "tool_call_update" => self.call(update, at_ms, out),
            "plan" => self.plan = Some(update["entries"].clone()),
            _ => {}
        }
    }

    fn say(&mut self, thought: bool, text: &str, out: &mut String) {
        if self.speech.as_ref().is_none_or(|speech| speech.thought != thought) {
            self.quiet(out);
            out.push('\n');
            if thought {
                out.push_str("<details><summary>Thought</summary>\n\n");
            }
            self.speech = Some(Speech { thought, line: String::new(), fence: None });
        }
        let Some(speech) = &mut self.speech else { return };
        for piece in text.split_inclusive('\n') {
            speech.line.push_str(piece);
            if piece.ends_with('\n') {
                speech.flush(out);
            }
        }
    }

    /// Ends what is being said.
    fn quiet(&mut self, out: &mut String) {
        if let Some(mut speech) = self.speech.take() {
            if !speech.line.is_empty() {
                speech.line.push('\n');
                speech.flush(out);
            }
            if let Some(fence) = speech.fence.filter(|_| !speech.thought) {
                let _ = writeln!(out, "{fence}");
            }
            if speech.thought {
                out.push_str("\n</details>\n");
            }
        }
    }

    fn call(&mut self, update: &Value, at_ms: i64, out: &mut String) {
        let (Some(id), Some(fields)) = (update["toolCallId"].as_str(), update.as_object()) else { return };
        let call =
            self.calls.entry(id.to_owned()).or_insert_with(|| Call { began_ms: at_ms, ..Call::default() });
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
            call.known.insert(name.clone(), value.clone());
        }
        if matches!(update["status"].as_str(), Some("completed" | "failed"))
            && let Some(call) = self.calls.remove(id)
        {
            self.quiet(out);
            call.tell(at_ms, out);
        }
    }

    fn resolved(&mut self, resolved: &PermissionResolved, out: &mut String) {
        let asked = self.asked.remove(&resolved.permission_id);
        let asked = asked.unwrap_or_else(|| resolved.permission_id.clone());
        let how = match resolved.outcome {
            Outcome::Allowed => "allowed",
            Outcome::Denied => "denied",
            Outcome::Expired => "denied, its time was up",
            Outcome::Cancelled => "cancelled",
            Outcome::Withdrawn => "taken back",
        };
        let by = match (&resolved.rule, &resolved.by) {
            (Some(rule), _) => format!(" by the rule {rule}"),
            (None, Some(by)) => by.label.as_ref().map_or_else(String::new, |label| format!(" by {label}")),
            (None, None) => String::new(),
        };
        let message = resolved.message.as_ref().map_or_else(String::new, |message| format!(": {message}"));
        self.quiet(out);
        let _ =
            writeln!(out, "\n*Approval of* {} — {}", code(&asked), escaped(&format!("{how}{by}{message}")));
    }

    /// What is left open.
    fn close(&mut self, out: &mut String) {
        self.quiet(out);
        let calls = std::mem::take(&mut self.calls);
        calls.into_values().for_each(|call| call.tell(call.began_ms, out));
        for asked in std::mem::take(&mut self.asked).into_values() {
            let _ = writeln!(out, "\n*Approval of* {} — not answered", code(&asked));
        }
        if let Some(plan) = self.plan.take() {
            out.push('\n');
            for entry in plan.as_array().into_iter().flatten() {
                let done = if entry["status"] == "completed" { 'x' } else { ' ' };
                let _ =
                    writeln!(out, "- [{done}] {}", escaped(entry["content"].as_str().unwrap_or_default()));
            }
        }
    }

    fn ended(&mut self, ended: &TurnEnded, at_ms: i64, out: &mut String) {
        self.close(out);
        let outcome = serde_json::to_value(ended.outcome).ok();
        let outcome = outcome.as_ref().and_then(Value::as_str).unwrap_or_default();
        let mut said = vec![outcome.to_owned()];
        said.extend(ended.error.clone());
        said.extend(ended.exit_code.map(|code| format!("exit {code}")));
        said.extend(ended.usage.as_ref().map(|usage| {
            format!("{} tokens in, {} out", tokens(super::runs::read(usage)), tokens(usage.output_tokens))
        }));
        said.extend(ended.cost.as_ref().map(money));
        said.extend(tool::took(at_ms.saturating_sub(self.began_ms)));
        let _ = writeln!(out, "\n*{}*", escaped(&said.join(" · ")));
    }

    fn note(&mut self, text: &str, out: &mut String) {
        self.quiet(out);
        let _ = writeln!(out, "\n*{}*", escaped(text));
    }

    fn folded(&mut self, summary: &str, text: &str, out: &mut String) {
        self.quiet(out);
        let _ = writeln!(out, "\n<details><summary>{}</summary>\n", escaped(summary));
        fence("text", text, out);
        out.push_str("\n</details>\n");
    }

    fn fenced(&mut self, what: &str, info: &str, text: &str, out: &mut String) {
        self.note(what, out);
        out.push('\n');
        fence(info, text, out);
    }
}

impl Speech {
    /// Writes the line.
    fn flush(&mut self, out: &mut String) {
        let line = std::mem::take(&mut self.line);
        let line = sanitize::text(&line);
        if self.thought {
            quote(&line, out);
            return;
        }
        let bare = line.trim_start_matches(' ');
        let marks = bare.len() - bare.trim_start_matches(['`', '~']).len();
        let mark = &bare[..marks];
        let is_fence =
            marks >= 3 && line.len() - bare.len() < 4 && (mark.bytes().all(|b| b == mark.as_bytes()[0]));
        match &self.fence {
            Some(open) => {
                out.push_str(&line);
                if is_fence && mark.starts_with(open.as_str()) && bare[marks..].trim().is_empty() {
                    self.fence = None;
                }
            }
            None if is_fence && !bare[marks..].contains('`') => {
                self.fence = Some(mark.to_owned());
                out.push_str(&line);
            }
            None => out.push_str(&no_html(&line)),
        }
    }
}

impl Call {
    fn tell(&self, at_ms: i64, out: &mut String) {
        let known = Value::Object(self.known.clone());
        let title = known["title"].as_str().unwrap_or("a tool");
        let _ = write!(out, "\n**Tool** {}", code(title));
        let mut said: Vec<String> =
            known["kind"].as_str().filter(|kind| *kind != "other").map(str::to_owned).into_iter().collect();
        let status = known["status"].as_str().unwrap_or("not finished");
        said.push(match status {
            "pending" | "in_progress" => "not finished".to_owned(),
            status => status.to_owned(),
        });
        said.extend(tool::exit_code(&known).map(|code| format!("exit {code}")));
        said.extend(tool::took(at_ms.saturating_sub(self.began_ms)));
        let _ = writeln!(out, " · {}", escaped(&said.join(" · ")));
        let input = &known["rawInput"];
        match &input["command"] {
            Value::String(command) => fence_after("sh", command, out),
            Value::Array(_) => fence_after("json", &input["command"].to_string(), out),
            _ => {}
        }
        for part in known["content"].as_array().into_iter().flatten() {
            match part["type"].as_str() {
                Some("diff") => {
                    let lines = tool::diff(part, sanitize::text, Paint::PLAIN);
                    fence_after("diff", &lines.join("\n"), out);
                }
                Some("content") => fence_after("text", &content::words(&part["content"]), out),
                _ => {}
            }
        }
    }
}

fn words(blocks: &[Value]) -> String {
    blocks.iter().map(content::words).collect::<Vec<_>>().join("\n")
}

/// Lines in a quote, as text: what looks like HTML is none.
fn quote(text: &str, out: &mut String) {
    for line in sanitize::text(text).trim_end_matches('\n').split('\n') {
        let _ = writeln!(out, "> {}", no_html(line));
    }
}

fn fence_after(info: &str, text: &str, out: &mut String) {
    out.push('\n');
    fence(info, text, out);
}

/// Text in a fence that is longer than any within.
fn fence(info: &str, text: &str, out: &mut String) {
    let text = sanitize::text(text);
    let marks = "`".repeat(longest(&text).max(2) + 1);
    let _ = writeln!(out, "{marks}{info}\n{}\n{marks}", text.trim_end_matches('\n'));
}

/// The longest run of backticks.
fn longest(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// One line as code.
fn code(text: &str) -> String {
    let line = sanitize::line(text);
    let marks = "`".repeat(longest(&line) + 1);
    let pad = if line.starts_with('`') || line.ends_with('`') { " " } else { "" };
    format!("{marks}{pad}{line}{pad}{marks}")
}

/// One line of text that means nothing else.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in sanitize::line(text).chars() {
        if matches!(c, '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '#' | '|' | '&') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A line of Markdown whose HTML is text. What stands between backticks is text already; an address between angle brackets
/// stays one.
fn no_html(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut open = 0;
    let mut rest = line;
    while let Some(at) = rest.find(['`', '<']) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with('`') {
            let run = rest.len() - rest.trim_start_matches('`').len();
            // A run that nothing closes in this line opens nothing that this function believes in.
            match open {
                0 if rest[run..].split(|c| c != '`').any(|other| other.len() == run) => open = run,
                _ if open == run => open = 0,
                _ => {}
            }
            out.push_str(&rest[..run]);
            rest = &rest[run..];
        } else {
            let tag =
                rest[1..].starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'));
            let address = ["<http://", "<https://", "<mailto:"].iter().any(|begin| rest.starts_with(begin));
            out.push_str(if open == 0 && tag && !address { "&lt;" } else { "<" });
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}

/// A moment, in UTC.
pub(crate) fn moment(seconds: i64) -> String {
    let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since the first of March of the year 0, in eras of 400 years (the calendar's own rhythm).
    let z = days + 719_468;
    let (era, of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let mp = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * mp + 2) / 5 + 1, if mp < 10 { mp + 3 } else { mp - 9 });
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", rest / 3600, rest % 3600 / 60)
}

#[cfg(test)]
mod tests;
