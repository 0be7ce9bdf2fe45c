//! What is attached to a prompt is read beside the session's task, when the prompt's turn has come.
//!
//! Invariant: state and journal hold references only; the bytes pass through one change, into the frame for the agent. A
//! prompt whose attachment is lost is not given to the agent without it: it is dropped, and says why.

use super::{event::Effect, step::Step};
use crate::blobs::{Blobs, blocks};
use serde_json::Value;
use std::sync::Arc;
use vibes_protocol::model::{SessionId, fact};

/// A prompt that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Fetched {
    /// With references, as it waits in the queue.
    of: Vec<Value>,
    /// With bytes, or why not.
    whole: Result<Vec<Value>, String>,
}

impl Fetched {
    /// Reads what a prompt names. Blocking.
    pub fn read(blobs: &Blobs, session: &SessionId, of: Vec<Value>) -> Self {
        let whole = blocks::bring_back(blobs, session, &of);
        Self { of, whole }
    }

    /// That could not be read.
    pub fn failed(of: Vec<Value>, why: String) -> Self {
        Self { of, whole: Err(why) }
    }
}

impl Step<'_> {
    /// What was read of a prompt: it may have been edited, moved or removed meanwhile.
    pub(super) fn fetched(&mut self, fetched: Arc<Fetched>) {
        self.s.fetching = None;
        self.s.fetched = Some(fetched);
        self.pump();
        self.s.fetched = None;
    }

    /// The bytes of the next prompt: `Some(None)` when it has none that lie elsewhere, `None` when it has to wait for them,
    /// or is not given to the agent at all.
    pub(super) fn attached(&mut self) -> Option<Option<Vec<Value>>> {
        loop {
            let Some(prompt) = self.s.body.queue.front() else { return Some(None) };
            if !blocks::has_references(&prompt.content) {
                return Some(None);
            }
            let (input_seq, of) = (prompt.input_seq, &prompt.content);
            let Some(fetched) = self.s.fetched.clone().filter(|fetched| fetched.of == *of) else {
                if self.s.fetching.as_ref() != Some(of) {
                    let of = of.clone();
                    self.s.fetching = Some(of.clone());
                    self.effect(Effect::Fetch(of));
                }
                return None;
            };
            match &fetched.whole {
                Ok(whole) => return Some(Some(whole.clone())),
                Err(why) => {
                    self.s.body.queue.pop_front();
                    self.record(fact::InputDropped { input_seq, by: None, reason: Some(why.clone()) });
                    self.suspend_orphan();
                }
            }
        }
    }
}
