//! The ledger of turns: one row for each, written in the change that begins it, goes on with it and ends it.
//!
//! Invariant: a turn that has a record of its end has a row that says the same. In memory are the last turn and those
//! of the change under way, however long the session is. The costs of a session's turns add up to what it has cost:
//! what is told after a turn belongs to that turn.

use super::{
    state::{MAX_CALL_ID, MAX_OPEN_CALLS, Turn},
    step::Step,
};
use crate::{agent::TurnResult, journal::Spend, prices};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use vibes_protocol::model::{Cost, Link, ModelUse, QueuedPrompt, Seq, TurnInfo, TurnOutcome, Usage, fact};

/// The longest text of a prompt that a row has, in characters; the record has all of it.
const MAX_PROMPT: usize = 500;
/// The longest error, in characters; likewise.
const MAX_ERROR: usize = 2_000;
/// The most files that a row names.
const MAX_FILES: usize = 100;
/// The longest path of one, in bytes. What is longer is counted.
const MAX_PATH: usize = 1024;
/// The most models.
const MAX_MODELS: usize = 32;

/// The last turn, and those of the change under way.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ledger {
    turns: BTreeMap<u64, TurnInfo>,
}

impl Ledger {
    /// Those that differ from what was written before.
    pub fn changed<'a>(&'a self, written: &'a Self) -> impl Iterator<Item = &'a TurnInfo> {
        self.turns.values().filter(|turn| written.turns.get(&turn.turn) != Some(*turn))
    }

    /// Whether there are any that a change need not carry on.
    pub fn has_old(&self) -> bool {
        self.turns.len() > 1
    }

    /// Keeps the last one: the others are written.
    pub fn forget_old(&mut self) {
        while self.has_old() {
            self.turns.pop_first();
        }
    }

    /// Takes one that was read back.
    pub fn restore(&mut self, turn: TurnInfo) {
        self.turns.insert(turn.turn, turn);
        self.forget_old();
    }

    fn last(&self) -> Option<&TurnInfo> {
        self.turns.last_key_value().map(|(_, turn)| turn)
    }

    fn last_mut(&mut self) -> Option<&mut TurnInfo> {
        self.turns.last_entry().map(|entry| entry.into_mut())
    }
}

/// What was spent between two readings of a total that may begin anew.
pub(super) fn since(before: u64, told: u64) -> u64 {
    if told >= before { told - before } else { told }
}

/// A turn that begins.
fn begun(number: u64, prompt: &QueuedPrompt, at_ms: i64, first_seq: Seq) -> TurnInfo {
    TurnInfo {
        turn: number,
        input_seq: prompt.input_seq,
        prompt: prompt_of(&prompt.content),
        started_ms: at_ms,
        first_seq,
        ..TurnInfo::default()
    }
}

/// What a row has of a prompt.
pub(super) fn prompt_of(content: &[Value]) -> String {
    clip(&Step::text_of(content), MAX_PROMPT)
}

/// Adds files to a row.
pub(super) fn add_files(info: &mut TurnInfo, files: impl Iterator<Item = String>) {
    for file in files {
        if info.files.contains(&file) {
            continue;
        }
        if info.files.len() < MAX_FILES && file.len() <= MAX_PATH {
            info.files.push(file);
        } else {
            info.more_files = info.more_files.saturating_add(1);
        }
    }
}

fn clip(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Notes how a turn ended, and with which record and when.
pub(super) fn end(
    info: &mut TurnInfo,
    (seq, at_ms): (Seq, i64),
    outcome: TurnOutcome,
    stop_reason: &str,
    error: Option<&str>,
) {
    info.ended_ms = Some(at_ms);
    info.last_seq = Some(seq);
    info.outcome = Some(outcome);
    info.stop_reason = Some(clip(stop_reason, MAX_PROMPT));
    info.error = error.map(|error| clip(error, MAX_ERROR));
}

/// Adds tokens and models to a turn.
pub(super) fn count(info: &mut TurnInfo, usage: Option<&Usage>, models: BTreeMap<String, ModelUse>) {
    let sum = |into: &mut Usage, more: &Usage| {
        into.input_tokens = into.input_tokens.saturating_add(more.input_tokens);
        into.output_tokens = into.output_tokens.saturating_add(more.output_tokens);
        into.cache_read_tokens = into.cache_read_tokens.saturating_add(more.cache_read_tokens);
        into.cache_write_tokens = into.cache_write_tokens.saturating_add(more.cache_write_tokens);
    };
    if let Some(usage) = usage {
        sum(info.usage.get_or_insert_default(), usage);
    }
    for (model, with) in models {
        if info.models.len() < MAX_MODELS || info.models.contains_key(&model) {
            let into = info.models.entry(model).or_default();
            sum(&mut into.usage, &with.usage);
            if let Some(cost) = &with.cost {
                prices::add(&mut into.cost, cost);
            }
        }
    }
}

/// A turn by its models, for sums over all sessions. What it cost is told by model where the agent told it so; the rest
/// is shared out by tokens, so that the parts add up to the turn.
pub fn parts(turn: &TurnInfo) -> Vec<Spend> {
    if turn.usage.is_none() && turn.cost.is_none() {
        return Vec::new();
    }
    let usage = turn.usage.clone().unwrap_or_default();
    let mut models: Vec<(String, ModelUse)> =
        turn.models.iter().map(|(name, with)| (name.clone(), with.clone())).collect();
    if models.is_empty() {
        models.push((String::new(), ModelUse { usage, cost: None }));
    }
    let cost = turn.cost.as_ref();
    let (total, currency) = cost.map_or((0, ""), |cost| (prices::billionths(cost.amount), &*cost.currency));
    let told = |with: &ModelUse| {
        let told = with.cost.as_ref().filter(|told| told.currency == currency);
        told.map_or(0, |told| prices::billionths(told.amount))
    };
    let mut rest = total.saturating_sub(models.iter().map(|(_, with)| told(with)).sum());
    let weight = |with: &ModelUse| {
        let Usage { input_tokens, output_tokens, cache_read_tokens, cache_write_tokens } = with.usage;
        input_tokens
            .saturating_add(output_tokens)
            .saturating_add(cache_read_tokens)
            .saturating_add(cache_write_tokens)
    };
    let mut weights = models.iter().fold(0_u64, |sum, (_, with)| sum.saturating_add(weight(with)));
    let last = models.len() - 1;
    let part = |(at, (model, with)): (usize, (String, ModelUse))| {
        let share = match at == last || weights == 0 {
            true => rest,
            false => (u128::from(rest) * u128::from(weight(&with)) / u128::from(weights)) as u64,
        };
        (rest, weights) = (rest - share, weights.saturating_sub(weight(&with)));
        Spend {
            amount: told(&with) + share,
            currency: currency.to_owned(),
            estimated: cost.is_some_and(|cost| cost.estimated),
            usage: with.usage,
            model,
        }
    };
    models.into_iter().enumerate().map(part).collect()
}

impl Step<'_> {
    /// Writes down that a turn began.
    pub fn open_turn(&mut self, number: u64, prompt: &QueuedPrompt, first_seq: Seq) {
        let info = begun(number, prompt, self.wall, first_seq);
        self.s.ledger.turns.insert(number, info);
    }

    /// Ends a turn: what is open of it, its record, its row.
    pub fn close_turn(&mut self, turn: &Turn, outcome: TurnOutcome, result: TurnResult) {
        self.close_calls(outcome);
        let open = match self.s.body.touching.is_empty() {
            true => BTreeMap::new(),
            false => std::mem::take(&mut self.s.body.touching),
        };
        // A call that the agent never closed has happened as far as anybody knows, unless it was cut short.
        if outcome != TurnOutcome::Interrupted {
            self.touched(open.into_values().flatten());
        }
        let mut models = result.models;
        if let (true, Some(usage), Some(model)) = (models.is_empty(), &result.usage, self.model()) {
            models.insert(model, ModelUse { usage: usage.clone(), cost: None });
        }
        let (now, wall) = (self.s.head, self.wall);
        let row = self.s.ledger.turns.entry(turn.number);
        // One that an earlier version began has no row yet.
        let info = row.or_insert_with(|| begun(turn.number, &turn.prompt, wall, now));
        count(info, result.usage.as_ref(), models);
        // An agent that tells a cost of nothing for tokens knows no price.
        let unpriced = info.cost.as_ref().is_none_or(|cost| cost.amount == 0.0);
        let estimate = if unpriced { self.s.prices.estimate(&mut info.models) } else { None };
        if let Some(cost) = &estimate {
            info.cost = Some(cost.clone());
        }
        let (cost, used) = (info.cost.clone(), info.models.clone());
        if let Some(cost) = estimate {
            prices::add(&mut self.s.body.cost, &cost);
        }
        let models: Map<_, _> = used
            .into_iter()
            .map(|(model, with)| (model, serde_json::to_value(with).unwrap_or_default()))
            .collect();
        let last_seq = self.record(fact::TurnEnded {
            turn: turn.number,
            outcome,
            stop_reason: result.stop_reason.clone(),
            usage: result.usage,
            cost,
            models,
            error: result.error.clone(),
            exit_code: result.exit_code,
        });
        self.news(last_seq);
        if let Some(info) = self.s.ledger.turns.get_mut(&turn.number) {
            end(info, (last_seq, wall), outcome, &result.stop_reason, result.error.as_deref());
            info.exit_code = result.exit_code;
        }
    }

    /// The model that the agent is set to.
    fn model(&self) -> Option<String> {
        let options = self.s.body.codec.values();
        let model = options.get("model").and_then(|value| value.as_str())?;
        (model.len() <= MAX_CALL_ID).then(|| model.to_owned())
    }

    /// The agent told what its conversation has cost so far, by a count that some begin anew with each process and some
    /// do not. What it tells before its first prompt is where it stands.
    pub fn stands_at(&mut self, total: &Cost) {
        let told = prices::billionths(total.amount);
        let before = self.s.body.metered;
        if told == before && self.s.body.cost.is_some() {
            return;
        }
        self.s.body.metered = told;
        if self.s.body.prompted {
            self.spent(&prices::told(since(before, told), &total.currency));
        }
    }

    /// The session spent this.
    pub fn spent(&mut self, cost: &Cost) {
        prices::add(&mut self.s.body.cost, cost);
        if let Some(info) = self.s.ledger.last_mut() {
            prices::add(&mut info.cost, cost);
        }
        // What is told after a turn may be what spends the budget.
        if self.s.body.turn.is_none() && self.s.body.queue.is_empty() && self.s.link == Link::Live {
            self.pump();
        }
    }

    /// The agent did something of its own accord: its tokens belong to the turn that runs or was last.
    pub fn aside(&mut self, result: TurnResult) {
        if let Some(info) = self.s.ledger.last_mut() {
            count(info, result.usage.as_ref(), result.models);
        }
    }

    /// What a tool call tells of files: they count when it has gone well.
    pub fn touches(&mut self, call: &str, over: bool, failed: bool, files: Vec<String>) {
        let noted = self.s.body.touching.contains_key(call);
        if over {
            let before = if noted { self.s.body.touching.remove(call) } else { None };
            if !failed {
                self.touched(before.into_iter().flatten().chain(files));
            }
        } else if !files.is_empty()
            && call.len() <= MAX_CALL_ID
            && (noted || self.s.body.touching.len() < MAX_OPEN_CALLS)
        {
            let known = self.s.body.touching.entry(call.to_owned()).or_default();
            for file in files {
                if known.len() < MAX_FILES && !known.contains(&file) {
                    known.push(file);
                }
            }
        }
    }

    fn touched(&mut self, files: impl Iterator<Item = String>) {
        let last = self.s.ledger.last();
        let fresh: Vec<_> =
            files.filter(|file| last.is_some_and(|info| !info.files.contains(file))).collect();
        if let (false, Some(info)) = (fresh.is_empty(), self.s.ledger.last_mut()) {
            add_files(info, fresh.into_iter());
        }
    }
}
