//! The pure state function: an event in; records, effects and the changed state out.
//!
//! Invariant: everything a client will ever see of the change is in `Out`; nothing here reads a clock or a file.

use super::{
    approvals::Resolution,
    event::{Effect, Event, Notice, Reply, Tag},
    state::{Awaited, Goal, KEY_KEPT_MS, KEY_LIFE_MS, MAX_OUTBOX, SLEPT_MS, State, Stopping, Turn},
};
use crate::{
    agent::{Codec, Outgoing, TurnResult, acp},
    clock::Moment,
    journal::group::Group,
    lifecycle,
    ownership::{Ownership, Passed},
};
use serde_json::{Value, json};
use vibes_protocol::model::{
    CodedError, ErrorCode, Fact, Link, OrphanPolicy, Outcome, RemovedReason, Seq, SessionState,
    SuspendReason, TurnOutcome,
    fact::{self, Actor, ContextSource, WorktreeAction},
};

/// What a step leads to.
#[derive(Debug, Default)]
pub struct Out {
    /// The facts, to be numbered after the head in this order.
    pub facts: Group,
    /// What is to be done once they are committed.
    pub effects: Vec<Effect>,
}

/// Times of the stop ladder, in milliseconds.
pub const CANCEL_MS: i64 = 2_000;
/// After closing stdin and after TERM.
pub const LADDER_MS: (u32, u32) = (2_000, 3_000);

/// One step under way.
pub struct Step<'a> {
    /// The session.
    pub s: &'a mut State,
    /// The steady time, in milliseconds, which deadlines are counted by.
    pub now: i64,
    /// The time that people are shown, in milliseconds. It never goes back within a session.
    pub wall: i64,
    /// What it leads to.
    pub out: &'a mut Out,
    /// What the agent said in it, for the preview.
    pub words: String,
}

/// Takes one event into the state.
pub fn step(state: &mut State, at: Moment, event: Event<'_>, out: &mut Out) {
    let wall = at.wall_ms.max(state.last_ms).max(state.body.noted_ms);
    let mut step = Step { s: state, now: at.steady_ms, wall, out, words: String::new() };
    match event {
        Event::Begin => step.begin(),
        Event::Restored => step.restored(),
        Event::Command(caller, command, tag) => step.command(caller, command, tag),
        Event::Lines(chunk) => step.lines(chunk),
        Event::Up(standing) => step.up(standing),
        Event::CaughtUp => step.caught_up(),
        Event::Acked(frame) => {
            while step.s.outbox.first_key_value().is_some_and(|(first, _)| *first <= frame) {
                step.s.outbox.pop_first();
            }
        }
        Event::FrameRefused(frame, why) => step.frame_refused(frame, why),
        Event::Hindered(what, Some(why)) => {
            step.s.hindrances.insert(what, why.to_owned());
        }
        Event::Hindered(what, None) => {
            step.s.hindrances.remove(&what);
        }
        Event::Gone(gone) => step.gone(gone),
        Event::StartFailed { why, not_found } => step.start_failed(why, not_found),
        Event::Tick => step.tick(),
    }
    step.settle();
}

impl Step<'_> {
    /// Records a fact and gives its number.
    pub fn record(&mut self, fact: impl Into<Fact>) -> Seq {
        let fact: Fact = fact.into();
        // A fact is built from strings, numbers and JSON: encoding it cannot fail.
        self.record_raw(&[&serde_json::to_vec(&fact).unwrap_or_default()])
    }

    /// Records a fact that is JSON already, in pieces.
    pub fn record_raw(&mut self, fact: &[&[u8]]) -> Seq {
        self.s.head += 1;
        self.s.last_ms = self.wall;
        self.s.active_ms = self.now;
        self.out.facts.push(self.wall, fact);
        self.s.head
    }

    /// Adds an effect.
    pub fn effect(&mut self, effect: Effect) {
        self.out.effects.push(effect);
    }

    /// Answers a command.
    pub fn reply(&mut self, tag: Tag, result: Result<Reply, CodedError>) {
        self.effect(Effect::Reply(tag, result));
    }

    /// Answers a command with an error.
    pub fn refuse(&mut self, tag: Tag, code: ErrorCode, message: impl Into<String>) {
        self.reply(tag, Err(CodedError::new(code, message)));
    }

    /// Lets the codec write frames for the agent.
    pub fn send<T>(&mut self, write: impl FnOnce(&mut Codec, &mut Outgoing) -> T) -> T {
        let mut outgoing = Outgoing::after(self.s.body.last_frame);
        let result = write(&mut self.s.body.codec, &mut outgoing);
        self.s.body.last_frame = outgoing.next - 1;
        self.s.outbox.extend(outgoing.frames);
        result
    }

    /// Changes the state, with a record, and tells the list when the session leaves it or comes back.
    pub fn set_state(&mut self, to: SessionState, reason: Option<String>, by: Option<Actor>) {
        let from = self.s.body.state;
        if from == to {
            return;
        }
        debug_assert!(lifecycle::may_change(from, to), "{from:?} -> {to:?}");
        self.s.body.state = to;
        self.s.body.reason.clone_from(&reason);
        if to != SessionState::Suspended {
            self.s.body.suspended = None;
        }
        let seq = self.record(fact::StateChanged { from, to, reason, by });
        if matches!(to, SessionState::WaitingPermission | SessionState::Failed) {
            self.news(seq);
        }
        if to.is_ended() && !from.is_ended() {
            let reason = match (to, self.s.body.stopping.as_ref().map(|stopping| stopping.goal)) {
                (_, Some(Goal::Remove)) => RemovedReason::OwnerDisconnected,
                (SessionState::Killed, _) => RemovedReason::Killed,
                (SessionState::Expired, _) => RemovedReason::Expired,
                _ => RemovedReason::SessionFinished,
            };
            self.s.removed = Some(reason);
            if self.s.body.launch.ephemeral && self.s.body.deleted_ms.is_none() {
                self.s.body.deleted_ms = Some(self.wall);
                self.change_metadata("deleted", json!(true));
            }
            // First what it became, then that it left: whoever shows ended sessions needs both.
            let info = Box::new(self.s.info());
            self.effect(Effect::Notice(Notice::Updated(info)));
            self.effect(Effect::Notice(Notice::Removed(self.s.body.id, reason)));
        } else if from.is_ended() && !to.is_ended() {
            self.s.removed = None;
            let info = Box::new(self.s.info());
            self.effect(Effect::Notice(Notice::Created(info)));
        }
    }

    /// Records that ownership passed on, and tells everybody.
    pub fn passed(&mut self, passed: Option<Passed>) {
        let Some(Passed { owner, cause }) = passed else { return };
        let owner_label =
            owner.and_then(|owner| self.s.ownership.seats.get(&owner)).and_then(|seat| seat.identity.clone());
        self.record(fact::OwnershipChanged { owner_id: owner, owner_label, cause: cause.to_owned() });
        self.effect(Effect::Notice(Notice::Ownership(self.s.body.id, owner)));
    }

    /// Copies what the body keeps of ownership, and remembers what was said. Called when a step is over.
    pub fn settle(&mut self) {
        let Ownership { joins, owner, owned_since_ms, armed, .. } = *self.s.ownership;
        let body = &self.s.body;
        if (body.joins, body.owner, body.owned_since_ms, body.armed) != (joins, owner, owned_since_ms, armed)
        {
            let body = &mut *self.s.body;
            (body.joins, body.owner, body.owned_since_ms, body.armed) = (joins, owner, owned_since_ms, armed);
        }
        self.s.awaited = match (self.s.owed(), self.s.awaited) {
            (Some(owed), Some(awaited)) if (owed.frame, owed.method) == (awaited.frame, awaited.method) => {
                Some(awaited)
            }
            (owed, _) => owed.map(|owed| Awaited { until_ms: Some(self.now + owed.limit_ms), ..owed }),
        };
        if self.s.outbox.len() > MAX_OUTBOX && self.s.body.stopping.is_none() {
            let why =
                format!("the agent does not read its input: {} frames wait for it", self.s.outbox.len());
            self.begin_stop(Goal::Fail, Some(why), None);
        }
        self.read_by_those_who_look();
        self.s.remember_words(&self.words);
    }

    /// The agent has not answered in time. Without an answer to what opens the conversation it is of no use; a turn
    /// that does not end is for a person to judge.
    fn overdue(&mut self) {
        let Some(awaited) = &mut self.s.awaited else { return };
        let Some(until) = awaited.until_ms.filter(|until| *until <= self.now) else { return };
        if self.now - until > SLEPT_MS {
            awaited.until_ms = Some(self.now + awaited.limit_ms);
            return;
        }
        awaited.until_ms = None;
        let Awaited { frame, method, limit_ms, .. } = *awaited;
        if method == acp::HISTORY {
            let ready = self.s.body.codec.opened();
            return self.agent_event(ready, b"");
        }
        let after_s = limit_ms.unsigned_abs() / 1000;
        self.record(fact::AgentSilent { request: method.to_owned(), after_s });
        if !self.s.body.codec.is_ready() {
            self.s.body.codec.give_up(frame, method);
            let why = format!("the agent has not answered {method} within {after_s} s");
            self.fail_waiters(ErrorCode::AgentStartFailed, &why);
            self.begin_stop(Goal::Fail, Some(why), None);
        }
    }

    fn begin(&mut self) {
        let body = &self.s.body;
        let created = fact::Created {
            agent: body.agent.clone(),
            cwd: body.cwd.clone(),
            name: body.name.clone(),
            parent_id: body.parent,
            forked_at: body.forked_at,
        };
        self.record(created);
        if let Some(worktree) = self.s.body.worktree.clone() {
            let action = WorktreeAction::Made;
            self.record(fact::WorktreeFact { action, worktree, commit: None, saved: None, by: None });
        }
        self.start_agent(None);
        let info = Box::new(self.s.info());
        self.effect(Effect::Notice(Notice::Created(info)));
    }

    /// A new daemon takes the session up. Whoever was seated has a while to come back; an agent is looked for.
    fn restored(&mut self) {
        const COME_BACK_MS: i64 = 60_000;
        for seat in self.s.ownership.seats.values_mut() {
            seat.away_until_ms = Some(self.now + COME_BACK_MS);
        }
        self.rebase();
        self.s.rewind_readers();
        self.restore_questions();
        if self.s.body.running {
            self.s.link = Link::Adopting;
        } else if self.s.head == 0 && self.s.body.generation == 0 {
            self.begin();
        }
    }

    /// Moments in the store are of another daemon's clock. What time has gone by since nobody knows: the wall clock may
    /// have been set, and the machine may have been off.
    fn rebase(&mut self) {
        let now = self.now;
        if self.s.body.crashes.iter().any(|at| *at > now) {
            self.s.body.crashes.iter_mut().for_each(|at| *at = now.min(*at));
        }
        if self.s.body.stopping.as_ref().is_some_and(|stopping| stopping.cancel_until_ms.is_some())
            && let Some(stopping) = &mut self.s.body.stopping
        {
            stopping.cancel_until_ms = Some(now + CANCEL_MS);
        }
        let kept = now - KEY_LIFE_MS + KEY_KEPT_MS..=now;
        if self.s.keys.values().any(|(_, at)| !kept.contains(at)) {
            self.s.keys.values_mut().for_each(|(_, at)| *at = (*at).clamp(*kept.start(), *kept.end()));
        }
    }

    /// Begins a new generation: the runner is started once this is committed.
    pub fn start_agent(&mut self, by: Option<Actor>) {
        let taken = self.s.taken;
        let body = &mut self.s.body;
        body.generation = body.generation.max(taken) + 1;
        body.running = true;
        body.last_frame = 0;
        body.prompted = false;
        body.stopping = None;
        body.unfocus = false;
        self.s.outbox.clear();
        self.s.spool = crate::journal::SpoolOffset { generation: body.generation, offset: 0 };
        self.s.link = Link::None;
        self.s.hindrances.clear();
        self.s.awaited = None;
        let opening = crate::agent::Opening {
            session: body.id.0.to_string(),
            generation: body.generation,
            cwd: body.cwd.clone(),
            options: body.launch.options.clone(),
            again: body.generation > 1,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let generation = body.generation;
        self.send(|codec, out| codec.start(opening, out));
        self.record(fact::AgentStarted { generation });
        self.set_state(SessionState::Starting, None, by);
        self.effect(Effect::Start);
    }

    /// Gives the agent the next prompt, if it waits for one.
    pub fn pump(&mut self) {
        let body = &mut self.s.body;
        if body.turn.is_some() || body.stopping.is_some() || !body.running || !body.codec.is_ready() {
            return;
        }
        if self.s.body.unfocus {
            return self.begin_stop(Goal::Suspend(SuspendReason::Focus), None, None);
        }
        if !self.may_spend() {
            return;
        }
        let body = &mut self.s.body;
        if !body.queue.is_empty() && body.recall && self.s.recalled.is_none() {
            return self.look_back();
        }
        let Some(bytes) = self.attached() else { return };
        let body = &mut self.s.body;
        let Some(prompt) = body.queue.pop_front() else { return };
        let (context, recalled) = (body.context.take(), std::mem::take(&mut body.recall));
        body.turns += 1;
        body.waived = false;
        let turn = body.turns;
        let first = self.record(fact::TurnStarted { turn, input_seq: prompt.input_seq });
        self.open_turn(turn, &prompt, first);
        let mut content = self.before_prompt(turn, context.as_deref());
        content.extend(bytes.unwrap_or_else(|| prompt.content.clone()));
        self.send(|codec, out| codec.prompt(&content, out));
        let frame = self.s.body.last_frame;
        self.s.body.prompted = true;
        self.s.body.turn = Some(Turn { number: turn, prompt, frame, cancelled: false, context, recalled });
        let resting = self.resting_state();
        self.set_state(resting, None, None);
    }

    /// Has the conversation read, unless that is under way.
    pub fn look_back(&mut self) {
        if !std::mem::replace(&mut self.s.recalling, true) {
            self.effect(Effect::Recall);
        }
    }

    /// What goes before a prompt, each piece with a record of its own: the conversation so far, for an agent that does not
    /// know it, and what a person wants to be known.
    fn before_prompt(&mut self, turn: u64, context: Option<&str>) -> Vec<Value> {
        let mut told = Vec::new();
        if let Some(digest) = self.s.recalled.take()
            && (!digest.text.is_empty() || digest.error.is_some())
        {
            told.push(fact::ContextAdded {
                turn,
                source: ContextSource::Transcript,
                text: digest.text.clone(),
                turns: digest.turns,
                left_out: digest.left_out,
                error: digest.error.clone(),
            });
        }
        told.extend(context.map(|text| fact::ContextAdded {
            turn,
            source: ContextSource::Person,
            text: text.to_owned(),
            turns: 0,
            left_out: 0,
            error: None,
        }));
        let mut blocks = Vec::new();
        for told in told {
            if !told.text.is_empty() {
                let meta = json!({"vibes": {"context": told.source}});
                blocks.push(json!({"type": "text", "text": told.text, "_meta": meta}));
            }
            self.record(told);
        }
        blocks
    }

    /// Where the session stands between questions.
    pub fn resting_state(&self) -> SessionState {
        if !self.s.body.codec.is_ready() {
            self.s.body.state
        } else if self.waits_for_people() {
            SessionState::WaitingPermission
        } else if self.s.body.turn.is_some() {
            SessionState::Processing
        } else {
            SessionState::Idle
        }
    }

    /// Ends every waiting question the same way.
    pub fn resolve_all(&mut self, outcome: Outcome, by: Option<&Actor>) {
        for (permission_id, pending) in std::mem::take(&mut *self.s.pending) {
            if outcome != Outcome::Withdrawn {
                self.send(|codec, out| codec.answer(&pending.rpc_id, None, out));
            }
            let who = by.map_or("the session", |by| by.label.as_deref().unwrap_or("another client"));
            self.resolved(
                permission_id,
                &pending,
                outcome,
                who,
                Resolution { by: by.cloned(), ..Resolution::default() },
            );
        }
    }

    /// Remembers who answered, for whoever answers too late.
    pub fn decided(&mut self, permission_id: &str, by: &str) {
        let decided = &mut self.s.body.decided;
        if decided.len() >= 64 {
            decided.pop_front();
        }
        decided.push_back((permission_id.to_owned(), by.to_owned()));
    }

    /// Asks the agent to end the running turn.
    pub fn cancel_turn(&mut self, by: Option<&Actor>) {
        self.resolve_all(Outcome::Cancelled, by);
        self.send(|codec, out| codec.cancel(out));
        if let Some(turn) = &mut self.s.body.turn {
            turn.cancelled = true;
        }
        let resting = self.resting_state();
        self.set_state(resting, None, by.cloned());
    }

    /// Ends the running turn without a word of the agent.
    pub fn end_turn(&mut self, outcome: TurnOutcome, stop_reason: &str, error: Option<String>) {
        if let Some(turn) = self.s.body.turn.take() {
            let result = TurnResult { stop_reason: stop_reason.to_owned(), error, ..TurnResult::default() };
            self.close_turn(&turn, outcome, result);
        }
    }

    /// Begins to stop the agent, or ends the session at once when none runs.
    pub fn begin_stop(&mut self, goal: Goal, reason: Option<String>, by: Option<Actor>) {
        if let Some(stopping) = &mut self.s.body.stopping {
            if goal.rank() > stopping.goal.rank() {
                (stopping.goal, stopping.by, stopping.reason) = (goal, by, reason);
            }
            return;
        }
        let turn = self.s.body.turn.is_some();
        // A turn gets a moment to end in order, unless there is nobody who could end it.
        let grace =
            (turn && self.s.body.running && self.s.link == Link::Live).then_some(self.now + CANCEL_MS);
        if grace.is_some() {
            self.cancel_turn(by.as_ref());
        } else {
            // Nobody may allow any more what is being stopped.
            self.resolve_all(Outcome::Cancelled, by.as_ref());
            if self.s.body.running {
                let resting = self.resting_state();
                self.set_state(resting, None, None);
            }
        }
        self.s.body.stopping = Some(Stopping { goal, by, reason, cancel_until_ms: grace });
        if grace.is_none() {
            self.stop_now();
        }
    }

    /// The next rung: the runner takes the agent down.
    pub fn stop_now(&mut self) {
        if let Some(stopping) = &mut self.s.body.stopping {
            stopping.cancel_until_ms = None;
        }
        if self.s.body.running {
            let (eof_ms, term_ms) = LADDER_MS;
            self.effect(Effect::Stop { eof_ms, term_ms });
        } else {
            self.stopped(&[]);
        }
    }

    /// The agent is down: the session goes where the stop was to lead.
    pub fn stopped(&mut self, left: &[i32]) {
        let Some(stopping) = self.s.body.stopping.clone() else { return };
        self.resolve_all(Outcome::Cancelled, stopping.by.as_ref());
        let ended = if stopping.goal == Goal::Fail { TurnOutcome::Failed } else { TurnOutcome::Interrupted };
        self.end_turn(ended, "cancelled", None);
        self.s.outbox.clear();
        let to = stopping.goal.state();
        if let Goal::Suspend(why) = stopping.goal {
            self.s.body.suspended = Some(why);
        }
        // A person or the agent ended the others; here somebody may still want what waits.
        if to.is_ended() && !matches!(to, SessionState::Failed | SessionState::Expired) {
            self.drop_queue();
        }
        if to.is_ended() && !left.is_empty() {
            // Said where the session is looked at later, besides the answer to whoever asked.
            self.record(fact::TailLost {
                offset: self.s.spool.offset,
                why: format!("processes are left: {left:?}"),
            });
        }
        let reason = stopping.reason.clone().or_else(|| match stopping.goal {
            Goal::Suspend(why) => Some(why.as_str().to_owned()),
            Goal::Remove => Some("the last subscriber left".to_owned()),
            Goal::Finish | Goal::Kill | Goal::Fail | Goal::Expire => None,
        });
        self.set_state(to, reason, stopping.by);
        if let Goal::Suspend(why) = stopping.goal {
            self.s.body.suspended = Some(why);
        }
        self.s.body.stopping = None;
        for tag in std::mem::take(&mut self.s.stop_waiters) {
            if left.is_empty() {
                self.reply(tag, Ok(Reply::Ok));
            } else {
                let pids: Vec<String> = left.iter().map(i32::to_string).collect();
                self.refuse(
                    tag,
                    ErrorCode::KillFailed,
                    format!(
                        "the session has ended, but these processes are still alive: {}",
                        pids.join(", ")
                    ),
                );
            }
        }
        self.fail_waiters(ErrorCode::InvalidState, &format!("the session is {}", to.as_str()));
        // Input may have come while a suspension was under way: it resumes, as it would have a moment later.
        if to == SessionState::Suspended
            && !self.s.body.queue.is_empty()
            && self.s.body.suspended.is_some_and(|why| why.input_resumes() && why != SuspendReason::User)
        {
            self.start_agent(None);
        }
    }

    fn drop_queue(&mut self) {
        for prompt in std::mem::take(&mut self.s.body.queue) {
            self.record(fact::InputDropped { input_seq: prompt.input_seq, by: None, reason: None });
        }
    }

    /// Tells whoever waits for the agent that it will not come.
    pub fn fail_waiters(&mut self, code: ErrorCode, message: &str) {
        let options = std::mem::take(&mut self.s.option_waiters).into_values();
        for tag in std::mem::take(&mut self.s.ready_waiters).into_iter().chain(options) {
            self.refuse(tag, code, message);
        }
    }

    fn tick(&mut self) {
        for client in self.s.ownership.overdue(self.now) {
            self.leave(client);
        }
        let due = self.s.body.stopping.as_ref().and_then(|stopping| stopping.cancel_until_ms);
        if due.is_some_and(|until| until <= self.now) {
            self.stop_now();
        }
        self.overdue();
        self.expire();
    }

    /// A client's seat is given up; the last one to leave sets off the orphan policy.
    pub fn leave(&mut self, client: vibes_protocol::model::ClientId) {
        let had = self.s.ownership.seats.contains_key(&client);
        // Somebody was there until now.
        self.s.active_ms = self.now;
        self.was_read_by(client);
        let passed = self.s.ownership.leave(client, self.wall);
        self.passed(passed);
        self.deny_detached();
        let armed = self.s.ownership.armed;
        if had && armed && self.s.ownership.seats.is_empty() && !self.s.body.state.is_ended() {
            match self.s.body.orphan_policy {
                OrphanPolicy::Keep => {}
                OrphanPolicy::Remove => self.begin_stop(Goal::Remove, None, None),
                OrphanPolicy::Suspend => self.suspend_orphan(),
            }
        }
    }

    /// The orphan policy `suspend` waits for the running turn.
    pub fn suspend_orphan(&mut self) {
        let orphaned = self.s.ownership.armed && self.s.ownership.seats.is_empty();
        if orphaned
            && self.s.body.orphan_policy == OrphanPolicy::Suspend
            && self.s.body.state == SessionState::Idle
            && self.s.body.queue.is_empty()
        {
            self.begin_stop(Goal::Suspend(SuspendReason::Orphan), None, None);
        }
    }

    /// Records an update: the agent's bytes, spliced, never encoded again.
    pub fn record_update(&mut self, raw: &str) {
        self.record_raw(&[br#"{"kind":"update","update":"#, raw.as_bytes(), b"}"]);
    }

    /// The client behind a command, as records name it.
    pub fn actor(caller: &super::event::Caller) -> Actor {
        Actor { client_id: caller.client, label: caller.identity.clone() }
    }

    /// What is left of a JSON text block, for the preview.
    pub fn text_of(content: &[Value]) -> String {
        content.iter().filter_map(|block| block["text"].as_str()).collect::<Vec<_>>().join(" ")
    }
}
