//! The prompts of an editor that have no answer yet, from their acceptance to the end of their own turn.
//!
//! Invariant: a prompt is answered once, by the end of the turn that began with it, whoever else's turns come between
//! and however often the daemon is lost meanwhile; a cancelled one always hears `cancelled`.

use super::session::Cx;
use super::words;
use crate::acp::rpc::{self, Refusal, code};
use crate::render::short;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use vibes_protocol::model::fact::TurnEnded;
use vibes_protocol::model::{Seq, SessionId, SessionState};

/// How a prompt ended.
#[derive(Debug)]
pub(super) enum End {
    /// With its turn.
    Turn(Box<TurnEnded>),
    /// Without one: somebody removed it, or the session ended.
    Dropped { removed: bool, why: Option<String> },
}

#[derive(Debug)]
struct Prompt {
    /// The editor's request.
    rpc: Value,
    /// Its record, once the daemon has taken it.
    seq: Option<Seq>,
    cancelled: bool,
    /// Its turn was interrupted, or it was taken out of the queue; asked for on the present connection.
    stopped: bool,
}

impl Prompt {
    fn outcome(&self, end: End) -> Result<Value, Refusal> {
        match end {
            _ if self.cancelled => Ok(json!({"stopReason": "cancelled"})),
            End::Turn(ended) => words::turn(&ended),
            End::Dropped { removed: true, .. } => Ok(json!({"stopReason": "cancelled"})),
            End::Dropped { why: Some(why), .. } => {
                Err(Refusal::new(code::INTERNAL, format!("the prompt was not given to the agent: {why}")))
            }
            End::Dropped { .. } => Err(Refusal::new(
                code::INTERNAL,
                "the session ended before the agent got the prompt; it was dropped",
            )),
        }
    }
}

/// All of one session.
#[derive(Debug, Default)]
pub(super) struct Prompts {
    /// By a number of ours.
    open: BTreeMap<u64, Prompt>,
    last: u64,
    /// Ends that came before the daemon said which record a prompt is.
    early: BTreeMap<Seq, End>,
}

impl Prompts {
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// A prompt is on its way to the daemon; returns its number.
    pub(super) fn add(&mut self, rpc: Value) -> u64 {
        self.last += 1;
        self.open.insert(self.last, Prompt { rpc, seq: None, cancelled: false, stopped: false });
        self.last
    }

    /// Whether one of them is this request of the editor.
    pub(super) fn has(&self, rpc: &Value) -> bool {
        self.open.values().any(|prompt| prompt.rpc == *rpc)
    }

    /// The daemon did not take it.
    pub(super) fn refused(&mut self, number: u64, refusal: Refusal, cx: &mut Cx<'_>) {
        if let Some(prompt) = self.open.remove(&number) {
            let outcome =
                if prompt.cancelled { Ok(json!({"stopReason": "cancelled"})) } else { Err(refusal) };
            cx.tell(rpc::answer(&prompt.rpc, outcome));
        }
        self.forget_early();
    }

    /// The daemon took it, as this record.
    pub(super) fn accepted(&mut self, number: u64, seq: Seq, cx: &mut Cx<'_>) {
        let Some(prompt) = self.open.get_mut(&number) else { return };
        prompt.seq = Some(seq);
        if let Some(end) = self.early.remove(&seq) {
            self.ended(seq, end, cx);
        }
        self.forget_early();
    }

    /// The prompt with this record has ended.
    pub(super) fn ended(&mut self, seq: Seq, end: End, cx: &mut Cx<'_>) {
        let number =
            self.open.iter().find_map(|(number, prompt)| (prompt.seq == Some(seq)).then_some(*number));
        match number.and_then(|number| self.open.remove(&number)) {
            Some(prompt) => cx.tell(rpc::answer(&prompt.rpc, prompt.outcome(end))),
            None if self.open.values().any(|prompt| prompt.seq.is_none()) => {
                self.early.insert(seq, end);
            }
            None => {}
        }
    }

    /// Early ends are kept only while a prompt could be theirs.
    fn forget_early(&mut self) {
        if self.open.values().all(|prompt| prompt.seq.is_some()) {
            self.early.clear();
        }
    }

    /// The editor cancels all of them.
    pub(super) fn cancel(&mut self) {
        self.open.values_mut().for_each(|prompt| prompt.cancelled = true);
    }

    /// The records of cancelled prompts that are to be stopped now; each is told once on a connection.
    pub(super) fn take_stops(&mut self) -> Vec<Seq> {
        let fresh = |prompt: &&mut Prompt| prompt.cancelled && !prompt.stopped && prompt.seq.is_some();
        let fresh = self.open.values_mut().filter(fresh);
        fresh.filter_map(|prompt| prompt.seq.inspect(|_| prompt.stopped = true)).collect()
    }

    /// A turn has begun with this record: what was asked about it in the queue came too late.
    pub(super) fn begun(&mut self, seq: Seq) {
        let prompt = self.open.values_mut().find(|prompt| prompt.seq == Some(seq));
        prompt.into_iter().for_each(|prompt| prompt.stopped = false);
    }

    /// On a new connection nobody knows what was heard on the last one.
    pub(super) fn rejoined(&mut self) {
        self.open.values_mut().for_each(|prompt| prompt.stopped = false);
    }

    /// The session ended at this record; what was taken before it will get no turn.
    pub(super) fn session_ended(
        &mut self,
        at: Seq,
        state: SessionState,
        reason: Option<&str>,
        id: SessionId,
        cx: &mut Cx<'_>,
    ) {
        let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
        let (state, id) = (state.as_str(), short(id));
        let words = format!("the session has {state}{reason}; `vibes resume {id}` starts its agent again");
        self.refuse_where(&Refusal::new(code::INTERNAL, words), |seq| seq.is_some_and(|seq| seq < at), cx);
    }

    /// What the daemon took after this record is lost.
    pub(super) fn rewind(&mut self, to: Seq, cx: &mut Cx<'_>) {
        let words =
            "the daemon lost the prompt with what came last before a crash of the machine; send it again";
        self.refuse_where(&Refusal::new(code::INTERNAL, words), |seq| seq.is_some_and(|seq| seq > to), cx);
        self.early.retain(|seq, _| *seq <= to);
    }

    /// None of them will be answered otherwise.
    pub(super) fn refuse_all(&mut self, refusal: &Refusal, cx: &mut Cx<'_>) {
        self.refuse_where(refusal, |_| true, cx);
    }

    fn refuse_where(&mut self, refusal: &Refusal, which: impl Fn(Option<Seq>) -> bool, cx: &mut Cx<'_>) {
        let numbers: Vec<u64> =
            self.open.iter().filter(|(_, prompt)| which(prompt.seq)).map(|(number, _)| *number).collect();
        for number in numbers {
            self.refused(number, refusal.clone(), cx);
        }
    }
}
