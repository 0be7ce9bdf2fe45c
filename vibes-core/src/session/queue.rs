//! The prompts that wait for their turn, and what can be done with them.
//!
//! Invariant: a prompt is its record's number. It leaves the queue once: to the agent, by a person's hand, or with its
//! session; whichever it is, a record says so.

use super::{
    event::{QueueChange, Reply},
    step::Step,
};
use serde_json::Value;
use vibes_protocol::model::{CodedError, ErrorCode, Seq, fact};

/// Whether a prompt can be given to an agent.
pub(super) fn check_content(content: &[Value]) -> Result<(), CodedError> {
    let blank = |block: &Value| block["type"] == "text" && block["text"].as_str().is_none_or(str::is_empty);
    let bad = |why| Err(CodedError::new(ErrorCode::BadRequest, why));
    match () {
        () if content.iter().any(|block| !block["type"].is_string()) => {
            bad("content: a block is an object with a `type`")
        }
        () if content.iter().all(blank) => bad("content: a prompt is not empty"),
        () => Ok(()),
    }
}

impl Step<'_> {
    /// Edits, moves or removes a prompt that waits.
    pub(super) fn change_queue(
        &mut self,
        by: fact::Actor,
        input_seq: Seq,
        change: QueueChange,
    ) -> Result<Option<Reply>, CodedError> {
        if let QueueChange::Edit(content) = &change {
            check_content(content)?;
        }
        let queue = &mut self.s.body.queue;
        let Some(at) = queue.iter().position(|prompt| prompt.input_seq == input_seq) else {
            return Err(self.not_waiting(input_seq));
        };
        match change {
            QueueChange::Edit(content) => {
                queue[at].content.clone_from(&content);
                self.record(fact::InputEdited { input_seq, content, by });
            }
            QueueChange::Move(place) => {
                let to = (place.max(1) as usize).min(queue.len()) - 1;
                if to != at
                    && let Some(prompt) = queue.remove(at)
                {
                    queue.insert(to, prompt);
                    self.record(fact::InputMoved { input_seq, place: to as u32 + 1, by });
                }
            }
            QueueChange::Remove => {
                queue.remove(at);
                self.record(fact::InputDropped { input_seq, by: Some(by), reason: None });
                // A session that only waited for this prompt may rest now.
                self.suspend_orphan();
            }
        }
        Ok(Some(Reply::Ok))
    }

    fn not_waiting(&self, input_seq: Seq) -> CodedError {
        let runs = self.s.body.turn.as_ref().is_some_and(|turn| turn.prompt.input_seq == input_seq);
        if runs {
            return self.wrong_state("the agent works on this prompt already: interrupt it instead");
        }
        let waiting: Vec<String> =
            self.s.body.queue.iter().map(|prompt| prompt.input_seq.to_string()).collect();
        let waiting = if waiting.is_empty() { "none".to_owned() } else { waiting.join(", ") };
        let message =
            format!("input_seq: no prompt {input_seq} waits in {}; those that do: {waiting}", self.name());
        CodedError::new(ErrorCode::InvalidState, message)
    }
}
