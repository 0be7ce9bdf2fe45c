//! A conversation that is told in records, as it is read elsewhere.
//!
//! Invariant: what is told makes a journal like any other: times do not fall, a turn has its prompt before it and its end
//! behind it, and a tool call that was begun is ended.

use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, VecDeque};
use vibes_protocol::model::{Seq, Usage};

/// The most tool calls that are open at once, and the most models of a turn.
const MOST: usize = 256;

/// A fact and when it happened, in milliseconds.
pub type Told = (i64, Value);

/// The telling.
#[derive(Debug)]
pub struct Story {
    agent: &'static str,
    cwd: Option<String>,
    lineage: Option<String>,
    out: VecDeque<Told>,
    seq: Seq,
    at_ms: i64,
    turns: u64,
    turn: Option<Turn>,
}

/// The turn that is open.
#[derive(Debug, Default)]
struct Turn {
    usage: Usage,
    any: bool,
    models: BTreeMap<String, Usage>,
    cost: f64,
    calls: Vec<String>,
    outcome: Option<(&'static str, String, Option<String>)>,
}

impl Story {
    pub(super) fn new(agent: &'static str, cwd: Option<String>) -> Self {
        Self { agent, cwd, lineage: None, out: VecDeque::new(), seq: 0, at_ms: 0, turns: 0, turn: None }
    }

    /// Which conversation it is, once that is known.
    pub fn lineage(&self) -> Option<&str> {
        self.lineage.as_deref()
    }

    /// Whose it is.
    pub fn agent(&self) -> &'static str {
        self.agent
    }

    /// Where it was had.
    pub fn cwd(&self) -> Option<&str> {
        self.cwd.as_deref()
    }

    /// How many records wait to be taken.
    pub fn waiting(&self) -> usize {
        self.out.len()
    }

    /// How many turns began.
    pub fn turns(&self) -> u64 {
        self.turns
    }

    /// The next record.
    pub fn take(&mut self) -> Option<Told> {
        self.out.pop_front()
    }

    pub(super) fn conversation(&mut self, id: &str) {
        let plain = !id.is_empty()
            && id.len() <= 128
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if plain && self.lineage.is_none() {
            self.lineage = Some(format!("{}:{id}", self.agent));
        }
    }

    pub(super) fn directory(&mut self, cwd: &str) {
        if self.cwd.is_none() && cwd.starts_with('/') {
            self.cwd = Some(cwd.to_owned());
        }
    }

    fn push(&mut self, at_ms: Option<i64>, fact: Value) -> Seq {
        self.at_ms = at_ms.unwrap_or(0).clamp(self.at_ms, super::super::intake::LAST_MOMENT);
        if self.seq == 0 {
            let cwd = self.cwd.clone().unwrap_or_else(|| "/".to_owned());
            self.seq += 1;
            self.out.push_back((self.at_ms, json!({"kind": "created", "agent": self.agent, "cwd": cwd})));
        }
        self.seq += 1;
        self.out.push_back((self.at_ms, fact));
        self.seq
    }

    fn update(&mut self, at_ms: Option<i64>, kind: &str, mut update: Value) {
        update["sessionUpdate"] = kind.into();
        self.push(at_ms, json!({"kind": "update", "update": update}));
    }

    /// A person asked.
    pub(super) fn prompt(&mut self, at_ms: Option<i64>, content: Vec<Value>) {
        self.close();
        let by = json!({"client_id": uuid::Uuid::nil(), "label": "outside of vibes"});
        let input = self.push(at_ms, json!({"kind": "input", "content": content, "by": by}));
        self.turns += 1;
        self.turn = Some(Turn::default());
        self.push(at_ms, json!({"kind": "turn_started", "turn": self.turns, "input_seq": input}));
    }

    /// The agent said, or thought.
    pub(super) fn say(&mut self, at_ms: Option<i64>, thought: bool, text: &str) {
        if self.turn.is_some() && !text.is_empty() {
            let kind = if thought { "agent_thought_chunk" } else { "agent_message_chunk" };
            self.update(at_ms, kind, json!({"content": {"type": "text", "text": text}}));
        }
    }

    /// It called a tool.
    pub(super) fn call(&mut self, at_ms: Option<i64>, call: Value) {
        let Some(turn) = &mut self.turn else { return };
        let Some(id) = call["toolCallId"].as_str() else { return };
        if turn.calls.len() < MOST && id.len() <= MOST {
            turn.calls.push(id.to_owned());
            self.update(at_ms, "tool_call", call);
        }
    }

    /// The tool is done.
    pub(super) fn called(&mut self, at_ms: Option<i64>, done: Value) {
        let Some(turn) = &mut self.turn else { return };
        let before = turn.calls.len();
        turn.calls.retain(|id| done["toolCallId"] != **id);
        if turn.calls.len() < before {
            self.update(at_ms, "tool_call_update", done);
        }
    }

    /// It keeps a plan.
    pub(super) fn plan(&mut self, at_ms: Option<i64>, plan: Value) {
        if self.turn.is_some() {
            self.update(at_ms, "plan", plan);
        }
    }

    /// It took so many tokens of a model.
    pub(super) fn tokens(&mut self, model: &str, more: &Usage) {
        let Some(turn) = &mut self.turn else { return };
        let add = |sum: &mut Usage| {
            sum.input_tokens = sum.input_tokens.saturating_add(more.input_tokens);
            sum.output_tokens = sum.output_tokens.saturating_add(more.output_tokens);
            sum.cache_read_tokens = sum.cache_read_tokens.saturating_add(more.cache_read_tokens);
            sum.cache_write_tokens = sum.cache_write_tokens.saturating_add(more.cache_write_tokens);
        };
        turn.any = true;
        add(&mut turn.usage);
        if !model.is_empty()
            && model.len() <= MOST
            && (turn.models.len() < 32 || turn.models.contains_key(model))
        {
            add(turn.models.entry(model.to_owned()).or_default());
        }
    }

    /// It cost so many dollars.
    pub(super) fn dollars(&mut self, amount: f64) {
        if let Some(turn) = self.turn.as_mut().filter(|_| amount.is_finite() && amount > 0.0) {
            turn.cost += amount;
        }
    }

    /// All of it has cost so many dollars by now.
    pub(super) fn total(&mut self, at_ms: Option<i64>, dollars: f64) {
        if self.turns > 0 && dollars.is_finite() && dollars > 0.0 {
            self.update(at_ms, "usage_update", json!({"cost": {"amount": dollars, "currency": "USD"}}));
        }
    }

    /// The turn comes to its end this way; what follows until the next prompt still belongs to it.
    pub(super) fn ends(&mut self, outcome: &'static str, stop_reason: &str, error: Option<String>) {
        if let Some(turn) = &mut self.turn {
            turn.outcome = Some((outcome, stop_reason.to_owned(), error));
        }
    }

    /// Ends what is open. How many records that took.
    pub(super) fn close(&mut self) -> usize {
        let Some(turn) = self.turn.take() else { return 0 };
        let (outcome, reason, error) =
            turn.outcome.unwrap_or_else(|| ("unknown", "not_in_the_file".to_owned(), None));
        let before = self.seq;
        // One fact for all of them would be no update; most turns have none.
        for id in turn.calls.iter().take(4) {
            let done = json!({"toolCallId": id, "status": "failed", "_meta": {"vibes": {"closed": outcome}}});
            self.update(None, "tool_call_update", done);
        }
        let mut fact =
            json!({"kind": "turn_ended", "turn": self.turns, "outcome": outcome, "stop_reason": reason});
        if turn.any {
            fact["usage"] = json!(turn.usage);
            let models: Map<String, Value> =
                turn.models.into_iter().map(|(model, usage)| (model, json!(usage))).collect();
            if !models.is_empty() {
                fact["models"] = Value::Object(models);
            }
        }
        if turn.cost > 0.0 {
            fact["cost"] = json!({"amount": turn.cost, "currency": "USD"});
        }
        if let Some(error) = error {
            fact["error"] = error.into();
        }
        self.push(None, fact);
        (self.seq - before) as usize
    }
}

/// A moment as programs write it (`2026-11-28T22:02:19.960Z`), in milliseconds. Another zone than UTC is none that they use.
pub(super) fn moment(value: &Value) -> Option<i64> {
    if let Some(ms) = value.as_i64() {
        return Some(ms);
    }
    let text = value.as_str()?;
    let number =
        |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok().filter(|number| *number >= 0);
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let fraction = text.get(19..)?.strip_prefix('.').unwrap_or_default();
    let digits: String =
        fraction.chars().take_while(char::is_ascii_digit).chain("000".chars()).take(3).collect();
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1970 by years that begin in March.
    let (y, m) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000 + digits.parse::<i64>().ok()?)
}
