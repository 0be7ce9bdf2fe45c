//! One turn among the records of a session: what its agent says and does, and how it ends.
//!
//! Invariant: only the turn of the one prompt counts, whatever else the session works on.

use crate::render::conversation::words_of_block;
use vibes_protocol::model::fact::TurnEnded;
use vibes_protocol::model::{Fact, Seq};

/// The turn of one prompt among the records.
pub(crate) struct Turn {
    input_seq: Seq,
    turn: Option<u64>,
}

/// What a record is to the turn.
pub(crate) enum Step {
    /// Nothing.
    Nothing,
    /// The agent says something.
    Words(String),
    /// It thinks.
    Thought,
    /// It begins to do something: its own word for that.
    Tool(String),
    /// The turn is over.
    Ended(TurnEnded),
    /// There will be none.
    Dropped(String),
}

impl Turn {
    /// The turn of the prompt in this record.
    pub(crate) fn of(input_seq: Seq) -> Self {
        Self { input_seq, turn: None }
    }

    /// The record of its prompt.
    pub(crate) fn input_seq(&self) -> Seq {
        self.input_seq
    }

    /// Its number, once it has begun.
    pub(crate) fn number(&self) -> Option<u64> {
        self.turn
    }

    /// Reads the next record.
    pub(crate) fn read(&mut self, fact: &Fact) -> Step {
        match fact {
            Fact::TurnStarted(started) if started.input_seq == self.input_seq => {
                self.turn = Some(started.turn)
            }
            Fact::TurnEnded(ended) if self.turn == Some(ended.turn) => return Step::Ended(ended.clone()),
            Fact::InputDropped(dropped) if dropped.input_seq == self.input_seq => {
                return Step::Dropped(match (&dropped.by, &dropped.reason) {
                    (Some(_), _) => "somebody removed this prompt before it had its turn".to_owned(),
                    (None, Some(why)) => format!("this prompt was not given to the agent: {why}"),
                    (None, None) => "the session ended before this prompt had its turn".to_owned(),
                });
            }
            Fact::Update(update) if self.turn.is_some() => {
                let update = &update.update;
                match update["sessionUpdate"].as_str() {
                    Some("agent_message_chunk") => return Step::Words(words_of_block(&update["content"])),
                    Some("agent_thought_chunk") => return Step::Thought,
                    Some("tool_call") => {
                        return Step::Tool(update["title"].as_str().unwrap_or("a tool").to_owned());
                    }
                    _ => {}
                }
            }
            _ => {}
        }
        Step::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fact(value: serde_json::Value) -> Fact {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn only_the_own_turn_counts() {
        let chunk = |text: &str| {
            fact(json!({"kind": "update", "update":
                {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}}))
        };
        let ended = |turn: u64| {
            fact(
                json!({"kind": "turn_ended", "turn": turn, "outcome": "finished", "stop_reason": "end_turn"}),
            )
        };
        let started =
            |turn: u64, seq: u64| fact(json!({"kind": "turn_started", "turn": turn, "input_seq": seq}));
        let mut turn = Turn::of(9);
        for other in [started(1, 5), chunk("not mine"), ended(1)] {
            assert!(matches!(turn.read(&other), Step::Nothing));
        }
        turn.read(&started(2, 9));
        assert!(matches!(turn.read(&chunk("mine")), Step::Words(words) if words == "mine"));
        assert!(matches!(turn.read(&ended(2)), Step::Ended(_)));
        let mut turn = Turn::of(9);
        assert!(matches!(
            turn.read(&fact(json!({"kind": "input_dropped", "input_seq": 9}))),
            Step::Dropped(_)
        ));
    }
}
