//! What an agent did in a recorded session, turn by turn, from the records of the session.
//!
//! Invariant: pure. What clients and the daemon did is left out; what is left is in the order and at the moments of the
//! recording. A record of a kind that is not known is no part of what the agent did.

use serde_json::Value;
use std::collections::BTreeMap;
use vibes_protocol::model::fact::TurnEnded;
use vibes_protocol::model::{Fact, Outcome, Permission, Seq, SessionId};
use vibes_protocol::wire::message::Record;

/// Something an agent did, and when, in milliseconds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Timed {
    pub(super) at_ms: i64,
    pub(super) step: Step,
}

/// What it did.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// It said this.
    Say(Value),
    /// It asked this.
    Ask(Box<Permission>),
    /// It went on when this question was answered.
    Answered(String),
    /// It took this question back.
    TakeBack(String),
}

/// A turn.
#[derive(Debug, PartialEq)]
pub(super) struct Turn {
    pub(super) prompt: Vec<Value>,
    pub(super) began_ms: i64,
    pub(super) steps: Vec<Timed>,
    /// How it ended, and when; nothing when the recording ends before.
    pub(super) end: Option<(TurnEnded, i64)>,
    /// What it did until the next turn.
    pub(super) after: Vec<Timed>,
}

/// A session.
#[derive(Debug, PartialEq)]
pub(super) struct Recording {
    pub(super) session: SessionId,
    /// What the agent did before the first turn.
    pub(super) before: Vec<Timed>,
    pub(super) turns: Vec<Turn>,
}

/// A page of records, as `read_records` answers, and the records of which it is.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Line {
    Page { records: Vec<Record> },
    One(Box<Record>),
}

impl Recording {
    /// Reads records, one or a page of them a line. The error names the line.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut records: Vec<Record> = Vec::new();
        for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let line = serde_json::from_str(line)
                .map_err(|error| format!("line {} is no record of a session: {error}", n + 1))?;
            match line {
                Line::Page { records: page } => records.extend(page),
                Line::One(record) => records.push(*record),
            }
            if let Some(other) = records.iter().find(|record| record.session_id != records[0].session_id) {
                let (first, other) = (records[0].session_id, other.session_id);
                return Err(format!("line {} is of session {other}, the first is of {first}", n + 1));
            }
        }
        let session = records.first().ok_or("there is no record in it")?.session_id;
        let mut recording = Self { session, before: Vec::new(), turns: Vec::new() };
        let mut prompts = BTreeMap::new();
        records.into_iter().for_each(|record| recording.add(record, &mut prompts));
        Ok(recording)
    }

    fn add(&mut self, record: Record, prompts: &mut BTreeMap<Seq, Vec<Value>>) {
        let at_ms = record.at_ms;
        match record.fact {
            Fact::Input(input) => drop(prompts.insert(record.seq, input.content)),
            Fact::InputEdited(edited) => drop(prompts.insert(edited.input_seq, edited.content)),
            Fact::TurnStarted(started) => self.turns.push(Turn {
                prompt: prompts.get(&started.input_seq).cloned().unwrap_or_default(),
                began_ms: at_ms,
                steps: Vec::new(),
                end: None,
                after: Vec::new(),
            }),
            // The agent never had the prompt; it comes again with another turn.
            Fact::NotDelivered(_) => drop(self.turns.pop()),
            Fact::TurnEnded(ended) if ended.stop_reason == "not_delivered" => {}
            Fact::TurnEnded(ended) => {
                if let Some(turn) = self.turns.last_mut() {
                    turn.end = Some((ended, at_ms));
                }
            }
            Fact::Update(update) => self.step(at_ms, Step::Say(update.update)),
            Fact::PermissionRequested(asked) => self.step(at_ms, Step::Ask(Box::new(asked.permission))),
            Fact::PermissionResolved(resolved) => {
                let id = resolved.permission_id;
                let taken_back = resolved.outcome == Outcome::Withdrawn;
                self.step(at_ms, if taken_back { Step::TakeBack(id) } else { Step::Answered(id) });
            }
            _ => {}
        }
    }

    fn step(&mut self, at_ms: i64, step: Step) {
        let steps = match self.turns.last_mut() {
            None => &mut self.before,
            Some(turn) if turn.end.is_none() => &mut turn.steps,
            Some(turn) => &mut turn.after,
        };
        steps.push(Timed { at_ms, step });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn line(seq: u64, fact: Value) -> String {
        let id = "3fa9c1d2-0000-4000-8000-000000000000";
        format!(
            "{}\n",
            json!({"type": "record", "session_id": id, "epoch": 1, "seq": seq, "at_ms": seq * 10, "fact": fact})
        )
    }

    fn say(text: &str) -> Value {
        json!({"kind": "update", "update": {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}})
    }

    fn text() -> String {
        let by = json!({"client_id": "00000000-0000-4000-8000-000000000001"});
        let facts = [
            json!({"kind": "created", "agent": "x", "cwd": "/"}),
            say("before"),
            json!({"kind": "input", "content": [{"type": "text", "text": "first"}], "by": by}),
            json!({"kind": "turn_started", "turn": 1, "input_seq": 3}),
            json!({"kind": "not_delivered", "input_seq": 3}),
            json!({"kind": "turn_ended", "turn": 1, "outcome": "interrupted", "stop_reason": "not_delivered"}),
            json!({"kind": "turn_started", "turn": 2, "input_seq": 3}),
            say("in"),
            json!({"kind": "turn_ended", "turn": 2, "outcome": "finished", "stop_reason": "end_turn"}),
            say("after"),
            json!({"kind": "from_the_future"}),
        ];
        facts.into_iter().enumerate().map(|(n, fact)| line(n as u64 + 1, fact)).collect()
    }

    #[test]
    fn records_become_what_the_agent_did() {
        let recording = Recording::read(&text()).unwrap();
        let said = |steps: &[Timed]| match steps {
            [Timed { step: Step::Say(update), at_ms }] => (update["content"]["text"].clone(), *at_ms),
            other => panic!("{other:?}"),
        };
        assert_eq!(said(&recording.before), (json!("before"), 20));
        let [turn] = &recording.turns[..] else { panic!("{:?}", recording.turns) };
        assert_eq!((turn.prompt[0]["text"].as_str(), turn.began_ms), (Some("first"), 70));
        assert_eq!(said(&turn.steps), (json!("in"), 80));
        assert_eq!(turn.end.as_ref().unwrap().1, 90);
        assert_eq!(said(&turn.after), (json!("after"), 100));
    }

    #[test]
    fn a_page_of_records_is_the_same() {
        let records: Vec<Value> = text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let page = json!({"type": "records", "session_id": records[0]["session_id"], "records": records, "head": 11});
        assert_eq!(Recording::read(&page.to_string()).unwrap(), Recording::read(&text()).unwrap());
    }

    #[test]
    fn what_is_no_recording_is_refused_by_line() {
        assert!(Recording::read("\n").unwrap_err().contains("no record"));
        assert!(Recording::read(&format!("{}{{}}", text())).unwrap_err().contains("line 12"));
        let other = text().lines().next().unwrap().replace("3fa9", "4fa9");
        assert!(
            Recording::read(&format!("{}{other}", text()))
                .unwrap_err()
                .contains("line 12 is of session 4fa9")
        );
    }
}
