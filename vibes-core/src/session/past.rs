//! Turns of before the ledger, as the records tell them.
//!
//! Invariant: what is told here of a turn is what the ledger would have told, as far as records say it: pure, record by
//! record, with one turn and the prompts that wait in memory.

use super::{
    ledger,
    state::{MAX_CALL_ID, MAX_OPEN_CALLS, MAX_QUEUED},
};
use crate::{agent, prices};
use serde_json::Value;
use std::collections::BTreeMap;
use vibes_protocol::model::{ModelUse, Seq, TurnInfo, TurnOutcome, fact};

/// A journal that is being read from its start.
#[derive(Debug, Default)]
pub struct Past {
    /// The session's agent.
    pub agent: String,
    /// Its directory.
    pub cwd: String,
    prompts: BTreeMap<Seq, String>,
    /// What the agent last said to have cost, in billionths, and whether it had a prompt then.
    metered: u64,
    prompted: bool,
    touching: BTreeMap<String, Vec<String>>,
    /// The last turn: what follows may still tell of it.
    last: Option<TurnInfo>,
    done: Vec<TurnInfo>,
}

impl Past {
    /// Takes the next record.
    pub fn take(&mut self, seq: Seq, at_ms: i64, told: &Value) {
        let number = |name: &str| told[name].as_u64().unwrap_or_default();
        match told["kind"].as_str().unwrap_or_default() {
            "created" => {
                let word = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
                (self.agent, self.cwd) = (word("agent"), word("cwd"));
            }
            "input" => self.prompt(seq, &told["content"]),
            "input_edited" => self.prompt(number("input_seq"), &told["content"]),
            "agent_started" => self.prompted = false,
            "turn_started" => {
                self.done.extend(self.last.take());
                self.touching.clear();
                self.prompted = true;
                let input_seq = number("input_seq");
                self.last = Some(TurnInfo {
                    turn: number("turn"),
                    input_seq,
                    prompt: self.prompts.remove(&input_seq).unwrap_or_default(),
                    started_ms: at_ms,
                    first_seq: seq,
                    ..TurnInfo::default()
                });
            }
            "not_delivered" => {
                if let Some(info) = &self.last {
                    self.prompts.insert(info.input_seq, info.prompt.clone());
                }
            }
            "update" => self.update(&told["update"]),
            "turn_ended" => {
                if let Ok(ended) = serde_json::from_value(told.clone()) {
                    self.ended((seq, at_ms), &ended);
                }
            }
            _ => {}
        }
    }

    /// Turns that nothing more is told of; at the end of the journal the last one too, if it has ended.
    pub fn turns(&mut self, at_end: bool) -> Vec<TurnInfo> {
        if at_end {
            self.done.extend(self.last.take().filter(|info| info.outcome.is_some()));
        }
        std::mem::take(&mut self.done)
    }

    fn prompt(&mut self, seq: Seq, content: &Value) {
        if let Some(content) = content.as_array() {
            self.prompts.insert(seq, ledger::prompt_of(content));
            // More than a queue holds were dropped, or are of a journal that nobody made.
            if self.prompts.len() > 2 * MAX_QUEUED {
                self.prompts.pop_first();
            }
        }
    }

    fn update(&mut self, update: &Value) {
        match update["sessionUpdate"].as_str().unwrap_or_default() {
            "usage_update" => {
                let cost = &update["cost"];
                let (Some(amount), Some(currency)) = (cost["amount"].as_f64(), cost["currency"].as_str())
                else {
                    return;
                };
                let told = prices::billionths(amount);
                let since = ledger::since(std::mem::replace(&mut self.metered, told), told);
                if let (true, Some(info)) = (self.prompted && since > 0, &mut self.last) {
                    prices::add(&mut info.cost, &prices::told(since, currency));
                }
            }
            "tool_call" | "tool_call_update" => {
                let Some(call) = update["toolCallId"].as_str() else { return };
                let files = agent::files_touched(update);
                match update["status"].as_str() {
                    Some("failed") => drop(self.touching.remove(call)),
                    Some("completed") => {
                        let before = self.touching.remove(call).unwrap_or_default();
                        if let Some(info) = &mut self.last {
                            ledger::add_files(info, before.into_iter().chain(files));
                        }
                    }
                    _ if files.is_empty() => {}
                    _ if call.len() > MAX_CALL_ID || self.touching.len() > MAX_OPEN_CALLS => {}
                    _ => self.touching.entry(call.to_owned()).or_default().extend(files),
                }
            }
            _ => {}
        }
    }

    fn ended(&mut self, at: (Seq, i64), ended: &fact::TurnEnded) {
        let Some(info) = self.last.as_mut().filter(|info| info.turn == ended.turn) else { return };
        if ended.outcome != TurnOutcome::Interrupted {
            ledger::add_files(info, std::mem::take(&mut self.touching).into_values().flatten());
        }
        let models = ended.models.iter().filter_map(|(name, with)| {
            Some((name.clone(), serde_json::from_value::<ModelUse>(with.clone()).ok()?))
        });
        ledger::count(info, ended.usage.as_ref(), models.collect());
        if info.cost.is_none() {
            info.cost.clone_from(&ended.cost);
        }
        ledger::end(info, at, ended.outcome, &ended.stop_reason, ended.error.as_deref());
        info.exit_code = ended.exit_code;
    }
}
