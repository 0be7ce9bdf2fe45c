//! What an agent does beside speaking: thoughts, tool calls, its plan, what a turn used; and what is folded of it.
//!
//! Invariant: what is under way is one line each in the live part of a window and nothing in its scrollback; what
//! ended is there once. What was folded can be shown whole as long as it is among the last ones.

use super::{Conversation, Piece, Place, words_of};
use crate::render::{columns, count, keep_end, keep_start, tool, unframed};
use crate::sanitize;
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use vibes_protocol::model::fact::TurnEnded;

/// How many lines of a tool's output stand in a transcript; all of it is in the record.
const OUTPUT_LINES: usize = 8;
/// The same where it changed files.
const CHANGE_LINES: usize = 40;
/// How many folded things can be shown again.
const FOLDED: usize = 20;
/// How many lines of one.
const FOLDED_LINES: usize = 5_000;
/// More tool calls than this are not under way at once, or nobody ends them.
const TOOLS: usize = 256;
/// A thought is kept up to this length; the rest is counted.
const THOUGHT: usize = 256 * 1024;
/// Rows of the live part: of tool calls, of a plan.
const TOOL_ROWS: usize = 4;
const PLAN_ROWS: usize = 8;

#[derive(Debug)]
struct Tool {
    id: String,
    title: String,
    begun_ms: i64,
}

/// Something that is shown in part.
#[derive(Debug)]
struct Folded {
    title: String,
    lines: Vec<String>,
}

#[derive(Debug, Default)]
struct Thought {
    text: String,
    words: usize,
    begun_ms: i64,
    /// The last character was part of a word.
    in_word: bool,
}

#[derive(Debug, Default)]
pub(super) struct Work {
    tools: Vec<Tool>,
    thought: Option<Thought>,
    plan: Option<Value>,
    options: BTreeMap<String, String>,
    /// Tokens in the agent's context, and how many there may be.
    context: Option<(u64, u64)>,
    folded: VecDeque<Folded>,
    /// How many of them were shown since the last one was folded.
    unfolded: usize,
}

impl Work {
    pub(super) fn option(&mut self, id: &str, value: &Value) {
        if matches!(id, "mode" | "model") && !value.is_null() {
            self.options.insert(id.to_owned(), words_of(value));
        }
    }

    pub(super) fn context(&mut self, update: &Value) {
        if let (Some(used), Some(size @ 1..)) = (update["used"].as_u64(), update["size"].as_u64()) {
            self.context = Some((used, size));
        }
    }

    pub(super) fn think(&mut self, words: &str, at_ms: i64) {
        let fresh = || Thought { begun_ms: at_ms, ..Thought::default() };
        let thought = self.thought.get_or_insert_with(fresh);
        for c in words.chars() {
            let in_word = !c.is_whitespace();
            thought.words += usize::from(in_word && !thought.in_word);
            thought.in_word = in_word;
        }
        if thought.text.len() < THOUGHT {
            thought.text.push_str(words);
        }
    }

    /// What a turn used, in one line; empty when nobody said.
    pub(super) fn usage(&self, ended: &TurnEnded) -> String {
        let mut parts = Vec::new();
        if let Some(usage) = &ended.usage {
            let named = [
                (usage.input_tokens, "in"),
                (usage.output_tokens, "out"),
                (usage.cache_read_tokens, "cached"),
                (usage.cache_write_tokens, "to the cache"),
            ];
            let named = named.into_iter().filter(|(tokens, _)| *tokens > 0);
            parts.extend(named.map(|(tokens, name)| format!("{} {name}", short_number(tokens))));
        }
        parts.extend(ended.cost.as_ref().map(|cost| match cost.currency.as_str() {
            "USD" => format!("${:.4}", cost.amount),
            currency => format!("{:.4} {currency}", cost.amount),
        }));
        if parts.is_empty() {
            return String::new();
        }
        let models: Vec<&str> = ended.models.keys().map(String::as_str).collect();
        match self.options.get("model").filter(|_| models.is_empty()) {
            Some(model) => parts.push(model.clone()),
            None if models.is_empty() => {}
            None => parts.push(models.join(", ")),
        }
        parts.extend(self.options.get("mode").map(|mode| format!("mode {mode}")));
        parts.extend(
            self.context.map(|(used, size)| format!("context {} %", used.saturating_mul(100) / size)),
        );
        parts.join(" · ")
    }

    fn fold(&mut self, title: String, mut lines: Vec<String>) {
        if lines.len() > FOLDED_LINES {
            let more = lines.len() - FOLDED_LINES;
            lines.truncate(FOLDED_LINES);
            lines.push(format!("  … {}; all of it is in the record", count(more, "more line", "more lines")));
        }
        self.folded.push_back(Folded { title, lines });
        if self.folded.len() > FOLDED {
            self.folded.pop_front();
        }
        self.unfolded = 0;
    }
}

/// A number of tokens.
fn short_number(number: u64) -> String {
    match number {
        0..10_000 => number.to_string(),
        10_000..1_000_000 => format!("{}k", number / 1_000),
        _ => format!("{}.{}M", number / 1_000_000, number % 1_000_000 / 100_000),
    }
}

impl Conversation {
    pub(super) fn tool_begins(&mut self, update: &Value) {
        let (width, paint) = (self.style.width, self.style.paint);
        let id = update["toolCallId"].as_str().unwrap_or_default();
        let title = update["title"].as_str().unwrap_or("a tool");
        // The prompt of a shell is the command: saying it twice in a row helps nobody.
        if self.style.place == Place::Stream && !self.is_shell() {
            self.whole(tool::started(title, update["kind"].as_str(), width, paint));
        }
        let kind = update["kind"].as_str().filter(|kind| !matches!(*kind, "other" | "execute"));
        let title = match kind.filter(|_| self.style.place != Place::Stream) {
            Some(kind) => format!("{kind} {title}"),
            None => title.to_owned(),
        };
        self.work.tools.retain(|tool| tool.id != id);
        if self.work.tools.len() >= TOOLS {
            self.work.tools.remove(0);
        }
        self.work.tools.push(Tool { id: id.to_owned(), title, begun_ms: self.at_ms });
        self.tool_goes_on(update);
    }

    pub(super) fn tool_goes_on(&mut self, update: &Value) {
        let (width, paint) = (self.style.width, self.style.paint);
        let id = update["toolCallId"].as_str().unwrap_or_default();
        let at = self.work.tools.iter().position(|tool| tool.id == id);
        if let (Some(at), Some(title), Some("tool_call_update")) =
            (at, update["title"].as_str(), update["sessionUpdate"].as_str())
        {
            title.clone_into(&mut self.work.tools[at].title);
        }
        let (title, begun_ms) = match at {
            Some(at) => (self.work.tools[at].title.clone(), self.work.tools[at].begun_ms),
            None => (update["title"].as_str().unwrap_or("a tool").to_owned(), self.at_ms),
        };
        let Some(line) = tool::ended(&title, update, self.at_ms - begun_ms, width, paint) else { return };
        if let Some(at) = at {
            self.work.tools.remove(at);
        }
        self.whole(line);
        // A shell's output was streamed while it ran; its end repeats the last part.
        if !self.is_shell() {
            let changes =
                update["content"].as_array().is_some_and(|all| all.iter().any(|it| it["type"] == "diff"));
            let lines = tool::content(update, width, paint);
            self.folding(title, lines, if changes { CHANGE_LINES } else { OUTPUT_LINES });
        }
    }

    /// Shows the first lines of something, and keeps all of it.
    fn folding(&mut self, title: String, lines: Vec<String>, limit: usize) {
        if !self.style.terminal || lines.len() <= limit + 1 {
            let shown = if self.style.terminal { lines.len() } else { limit };
            let more = lines.len().saturating_sub(shown);
            lines.into_iter().take(shown).for_each(|line| self.whole(line));
            if more > 0 {
                self.whole(format!("  … {}", count(more, "more line", "more lines")));
            }
            return;
        }
        let more = count(lines.len() - limit, "more line", "more lines");
        lines.iter().take(limit).for_each(|line| self.whole(line.clone()));
        let key = if self.style.place == Place::Window { " · Ctrl-O shows all" } else { "" };
        let line = self.style.paint.dim(&format!("  … {more}{key}"));
        self.whole(line);
        self.work.fold(title, lines);
    }

    pub(super) fn plan(&mut self, update: &Value) {
        if self.style.place != Place::Stream {
            self.work.plan = Some(update.clone());
            return;
        }
        let (width, paint) = (self.style.width, self.style.paint);
        tool::plan(update, width, paint).into_iter().for_each(|line| self.whole(line));
    }

    /// A turn is over: what it left under way is told, and its plan stays as it is now.
    pub(super) fn work_ends(&mut self) {
        let (width, paint) = (self.style.width, self.style.paint);
        for tool in std::mem::take(&mut self.work.tools) {
            if !self.is_shell() {
                self.whole(tool::left(&tool.title, width, paint));
            }
        }
        if let Some(plan) = self.work.plan.take() {
            tool::plan(&plan, width, paint).into_iter().for_each(|line| self.whole(line));
        }
    }

    /// A thought is over: one line for it.
    pub(super) fn thought_ends(&mut self) {
        let Some(thought) = self.work.thought.take() else { return };
        let (paint, width) = (self.style.paint, self.text_width());
        let text = sanitize::text(&thought.text);
        let text = unframed(text.trim());
        let lines: Vec<String> = text
            .lines()
            .flat_map(|line| crate::render::wrap(line, width))
            .map(|line| format!("~ {line}"))
            .collect();
        if lines.len() <= 1 {
            self.indented(lines.iter().map(|line| paint.dim(line)).collect());
            return;
        }
        let took =
            tool::took(self.at_ms - thought.begun_ms).map_or_else(String::new, |took| format!(" · {took}"));
        let tail = format!(" · {}{took}", count(thought.words, "word", "words"));
        let first = sanitize::line(text.lines().next().unwrap_or_default()).into_owned();
        let first = keep_start(&format!("{first} …"), width.saturating_sub(2 + columns(&tail)));
        self.indented(vec![paint.dim(&format!("~ {first}{tail}"))]);
        let lines = lines.iter().map(|line| format!("  {}", paint.dim(line))).collect();
        self.work.fold("a thought".to_owned(), lines);
    }

    /// Shows what was folded last; asked again, what was folded before it.
    pub(crate) fn unfold(&mut self) -> Option<Vec<String>> {
        let work = &mut self.work;
        let at = work.folded.len().checked_sub(work.unfolded + 1)?;
        work.unfolded += 1;
        let folded = &work.folded[at];
        let width = self.style.width.saturating_sub(8);
        let title = keep_start(&sanitize::line(&folded.title), width);
        let head = self.style.paint.bold(&format!("── {title} ──"));
        Some(std::iter::once(head).chain(folded.lines.iter().cloned()).collect())
    }

    /// From now on thoughts are shown whole, or not.
    pub(crate) fn show_thoughts(&mut self, all: bool) -> Vec<Piece> {
        let pieces = self.flush();
        self.style.thoughts = all;
        pieces
    }

    /// What is under way, in at most so many rows: words that are not final, a thought, tool calls, the plan.
    pub(crate) fn live(&self, now_ms: i64, rows: usize) -> Vec<String> {
        // A row below is never as wide as the screen.
        let (paint, width) = (self.style.paint, self.style.width.saturating_sub(1));
        let mut below: Vec<String> = Vec::new();
        if let Some(thought) = &self.work.thought {
            let tail = format!(" · {}", count(thought.words, "word", "words"));
            let end = thought.text.trim_end();
            let from = end.len().saturating_sub(width * 4);
            let from = (from..=end.len()).find(|at| end.is_char_boundary(*at)).unwrap_or(0);
            let end = sanitize::line(&end[from..]).replace('␊', " ");
            let end = keep_end(&unframed(&end), width.saturating_sub(5 + tail.len()));
            below.push(paint.dim(&format!("  ~ {end}{tail}")));
        }
        let tools = &self.work.tools;
        let first = tools.len().saturating_sub(TOOL_ROWS);
        if first > 0 {
            below.push(paint.dim(&format!("  … {} more", first)));
        }
        for one in tools.iter().skip(first) {
            below.push(tool::running(&one.title, now_ms - one.begun_ms, width, paint));
        }
        if let Some(plan) = &self.work.plan {
            below.extend(around_work(tool::plan(plan, width, paint), plan, PLAN_ROWS.min(rows / 2)));
        }
        let keep = below.len().saturating_sub(rows);
        below.drain(..keep);
        let mut lines = self.words_under_way();
        let cut = lines.len().saturating_sub(rows - below.len());
        lines.drain(..cut);
        lines.append(&mut below);
        lines
    }

    fn words_under_way(&self) -> Vec<String> {
        let (paint, width) = (self.style.paint, self.text_width());
        let last = sanitize::text(self.partial.trim_end_matches('\r'));
        let last = unframed(&last);
        let lines = match self.speaker {
            super::Speaker::Agent if !self.is_shell() => self.markdown.under_way(&last, width, paint),
            _ if last.is_empty() => Vec::new(),
            _ => crate::render::wrap(&last, width),
        };
        lines.into_iter().map(|line| format!("  {line}")).collect()
    }
}

/// The rows of a plan around the entry that is worked on.
fn around_work(mut lines: Vec<String>, plan: &Value, rows: usize) -> Vec<String> {
    if lines.len() <= rows || rows < 3 {
        lines.truncate(rows);
        return lines;
    }
    let entries = plan["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    let open = |entry: &Value| entry["status"] != "completed";
    let done = entries.iter().filter(|entry| !open(entry)).count();
    let work = entries.iter().position(|entry| entry["status"] == "in_progress");
    let work = work.or_else(|| entries.iter().position(open)).unwrap_or(0);
    let from = work.saturating_sub(1).min(lines.len() - rows);
    let head = format!("{} {done}/{}", lines[0], entries.len());
    std::iter::once(head).chain(lines.drain(1 + from..from + rows)).collect()
}
