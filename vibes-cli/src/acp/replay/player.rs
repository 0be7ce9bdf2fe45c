//! One conversation with a recording: where it stands, and what comes next when.
//!
//! Invariant: a step is played once and in order; a turn whose question waits waits with it; a cancel ends the turn with
//! the rest of its steps unplayed.

use super::recording::{Recording, Step, Timed, Turn};
use crate::acp::rpc::{self, Refusal, code};
use crate::acp::words;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use vibes_protocol::model::TurnOutcome;
use vibes_protocol::model::fact::TurnEnded;

/// What playing may use.
pub(super) struct Cx<'a> {
    pub(super) recording: &'a Recording,
    pub(super) speed: Option<f64>,
    pub(super) last_request: &'a mut u64,
    pub(super) out: &'a mut Vec<Value>,
}

/// A conversation.
#[derive(Debug)]
pub(super) struct Player {
    /// What the client calls it.
    id: String,
    /// How many turns have begun.
    turns: usize,
    /// The prompt that waits for its answer.
    prompt: Option<Value>,
    /// How many steps were played of what is played now: of the turn, or of what came after it.
    at: usize,
    /// The moment of the recording up to which it was played, and when that was.
    clock: Option<(i64, Instant)>,
    /// Our requests, by the questions' ids in the recording.
    asked: BTreeMap<String, u64>,
    /// Those that have an answer.
    answered: BTreeSet<u64>,
}

/// What comes next.
enum Next<'a> {
    Step(&'a Timed),
    End(Option<&'a (TurnEnded, i64)>),
}

impl Player {
    pub(super) fn new(id: String) -> Self {
        Self {
            id,
            turns: 0,
            prompt: None,
            at: 0,
            clock: None,
            asked: BTreeMap::new(),
            answered: BTreeSet::new(),
        }
    }

    /// A prompt begins the next turn.
    pub(super) fn begin<'a>(&mut self, rpc: Value, recording: &'a Recording) -> Result<&'a Turn, Refusal> {
        if self.prompt.is_some() {
            return Err(Refusal::new(code::INVALID_REQUEST, "a turn is running"));
        }
        let count = recording.turns.len();
        let turn = recording.turns.get(self.turns).ok_or_else(|| {
            Refusal::new(code::INVALID_REQUEST, format!("the recording is over: it has {count} turns"))
        })?;
        self.turns += 1;
        (self.prompt, self.at) = (Some(rpc), 0);
        self.clock = None;
        Ok(turn)
    }

    /// A request of ours has an answer. Which one changes nothing: what follows is recorded.
    pub(super) fn answered(&mut self, id: &Value) {
        self.answered.extend(id.as_u64());
    }

    /// Whether this is a request of the running turn.
    pub(super) fn asked(&self, id: &Value) -> bool {
        self.prompt.is_some() && self.asked.values().any(|asked| Some(*asked) == id.as_u64())
    }

    /// The client wants no more of the turn.
    pub(super) fn cancel(&mut self) -> Option<Value> {
        let rpc = self.prompt.take()?;
        // What came after the turn in the recording was said about a turn that had ended otherwise.
        self.at = usize::MAX;
        Some(rpc::answer(&rpc, Ok(json!({"stopReason": "cancelled"}))))
    }

    /// Plays what is due; returns when there is more, unless that waits for somebody.
    pub(super) fn play(&mut self, now: Instant, cx: &mut Cx<'_>) -> Option<Instant> {
        loop {
            let next = self.next(cx.recording)?;
            let at_ms = match &next {
                Next::Step(timed) => timed.at_ms,
                Next::End(Some((_, at_ms))) => *at_ms,
                Next::End(None) => i64::MIN,
            };
            // A question is answered when somebody answers it, not when somebody did.
            if let Next::Step(Timed { step: Step::Answered(id), .. }) = next {
                if self.asked.get(id).is_some_and(|rpc| !self.answered.contains(rpc)) {
                    return None;
                }
                self.clock = Some((at_ms, now));
                self.at += 1;
                continue;
            }
            let due = self.due(at_ms, now, cx);
            if due > now {
                return Some(due);
            }
            if at_ms != i64::MIN {
                self.clock = Some((at_ms, due));
            }
            match next {
                Next::Step(timed) => {
                    self.at += 1;
                    self.step(&timed.step, cx);
                }
                Next::End(end) => {
                    let outcome = end.map_or_else(
                        || Err(Refusal::new(code::INTERNAL, "the recording ends before the turn does")),
                        |(ended, _)| outcome(ended),
                    );
                    cx.out.extend(self.prompt.take().map(|rpc| rpc::answer(&rpc, outcome)));
                    self.at = 0;
                }
            }
        }
    }

    fn next<'a>(&self, recording: &'a Recording) -> Option<Next<'a>> {
        let turn = self.turns.checked_sub(1).and_then(|turn| recording.turns.get(turn));
        let steps = match turn {
            None => &recording.before,
            Some(turn) if self.prompt.is_some() => &turn.steps,
            Some(turn) => &turn.after,
        };
        match steps.get(self.at) {
            Some(timed) => Some(Next::Step(timed)),
            None => turn.filter(|_| self.prompt.is_some()).map(|turn| Next::End(turn.end.as_ref())),
        }
    }

    /// When a moment of the recording comes.
    fn due(&mut self, at_ms: i64, now: Instant, cx: &Cx<'_>) -> Instant {
        let Some(speed) = cx.speed else { return now };
        let began = self.turns.checked_sub(1).and_then(|turn| cx.recording.turns.get(turn));
        let (from_ms, from) = *self.clock.get_or_insert_with(|| {
            // A turn begins with its prompt; what comes before the first one comes at once.
            (began.filter(|_| self.prompt.is_some()).map_or(at_ms, |turn| turn.began_ms), now)
        });
        let pause = u64::try_from(at_ms.saturating_sub(from_ms)).unwrap_or(0);
        // A century is as good as for ever, and an `Instant` can hold it.
        let seconds = (pause as f64 / 1000.0 / speed).min(3e9);
        from + Duration::from_secs_f64(seconds)
    }

    fn step(&mut self, step: &Step, cx: &mut Cx<'_>) {
        match step {
            Step::Say(update) => cx.out.push(rpc::update(&self.id, update.clone())),
            Step::Ask(permission) => {
                *cx.last_request += 1;
                let rpc = *cx.last_request;
                self.asked.insert(permission.permission_id.clone(), rpc);
                let params = words::question(&self.id, permission);
                cx.out.push(rpc::request(rpc, "session/request_permission", params));
            }
            Step::TakeBack(id) => {
                let open = self.asked.remove(id).filter(|rpc| !self.answered.contains(rpc));
                cx.out.extend(open.map(rpc::withdraw));
            }
            Step::Answered(_) => {}
        }
    }
}

/// The answer to the prompt of a recorded turn, such that whoever records it records the same.
fn outcome(ended: &TurnEnded) -> Result<Value, Refusal> {
    match (ended.outcome, &ended.error) {
        (_, Some(error)) => {
            // An agent's error was recorded with its code behind it.
            let coded = error.strip_suffix(')').and_then(|error| error.rsplit_once(" (code "));
            let coded = coded.and_then(|(words, code)| Some((words, code.parse().ok()?)));
            let (words, code) = coded.unwrap_or((error, code::INTERNAL));
            Err(Refusal::new(code, words))
        }
        (TurnOutcome::Unknown, None) => {
            Err(Refusal::new(code::INTERNAL, "in the recording the agent was lost during this turn"))
        }
        (TurnOutcome::Failed, None) => Err(Refusal::new(code::INTERNAL, ended.stop_reason.as_str())),
        (TurnOutcome::Finished | TurnOutcome::Interrupted, None) => {
            Ok(words::ended(ended, &ended.stop_reason))
        }
    }
}

#[cfg(test)]
mod tests;
