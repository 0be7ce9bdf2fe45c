//! What comes from the agent and its runner: lines, sign of life, the end.
//!
//! Invariant: each line is taken in once, in order, and leaves a record of whatever a person could want to know of it.

use super::{
    approvals::Resolution,
    event::{Effect, Reply},
    state::{Awaited, Goal, MAX_CALL_ID, MAX_OPEN_CALLS, MAX_PENDING, MAX_PENDING_BYTES, Pending},
    step::Step,
};
use crate::agent::{
    AgentEvent, Hint, Outgoing, Question, TurnResult, acp,
    link::Gone,
    rpc::{BUSY, Refusal as Refused, RpcId},
    spool::{Chunk, HEAD, Line, MAX_LINE, hex},
};
use crate::rules;
use serde_json::json;
use sha2::{Digest, Sha256};
use vibes_protocol::model::{
    ErrorCode, Link, Outcome, Permission, SessionState, SuspendReason, TurnOutcome, fact,
};
use vibes_runner::wire::{Refusal, Standing};

impl Step<'_> {
    /// Takes in lines of the agent.
    pub fn lines(&mut self, chunk: &Chunk) {
        self.s.spool.offset = chunk.to;
        for line in &chunk.lines {
            self.line(line);
        }
    }

    fn line(&mut self, line: &Line) {
        match line {
            Line::Whole(bytes) => {
                // Most lines say something and change nothing in the conversation: no copy of it is made for them.
                if let Some(event) = self.s.body.codec.glance(bytes) {
                    return self.agent_event(event, bytes);
                }
                let mut events = Vec::new();
                let mut outgoing = Outgoing::after(self.s.body.last_frame);
                self.s.body.codec.decode(bytes, &mut events, &mut outgoing);
                self.s.body.last_frame = outgoing.next - 1;
                self.s.outbox.extend(outgoing.frames);
                let telling = |awaited: &&mut Awaited| [acp::LOAD, acp::HISTORY].contains(&awaited.method);
                if let Some(awaited) = self.s.awaited.as_mut().filter(telling)
                    && events.is_empty()
                {
                    // It tells the history, however long that is: only silence counts.
                    awaited.until_ms = awaited.until_ms.map(|_| self.now + awaited.limit_ms);
                }
                for event in events {
                    self.agent_event(event, bytes);
                }
            }
            Line::Oversize { head, bytes, sha256 } => {
                self.record(fact::Unparsed {
                    text: String::from_utf8_lossy(head).into_owned(),
                    bytes: *bytes,
                    why: format!("a line over {MAX_LINE} bytes; its beginning is kept"),
                    sha256: Some(sha256.clone()),
                    hex: None,
                });
            }
            Line::Lost { from, why } => {
                self.record(fact::TailLost { offset: *from, why: why.clone() });
            }
            Line::Torn(bytes) => self.unparsed(bytes, "the agent ended in the middle of a line".to_owned()),
        }
    }

    fn unparsed(&mut self, line: &[u8], why: String) {
        let head = &line[..line.len().min(HEAD)];
        self.record(fact::Unparsed {
            text: String::from_utf8_lossy(head).into_owned(),
            bytes: line.len() as u64,
            why,
            sha256: (line.len() > HEAD).then(|| hex(&Sha256::digest(line))),
            hex: std::str::from_utf8(line).is_err().then(|| hex(head)),
        });
    }

    /// Refuses a request of the agent. One with the id of a question that still waits gets no answer at all: it would
    /// be taken for the answer to that one.
    fn refuse_request(&mut self, refusal: &Refused, line: &[u8]) -> bool {
        if self.waits(&refusal.id) {
            self.unparsed(
                line,
                "a request with the id of one that still waits; it is not answered".to_owned(),
            );
            return false;
        }
        self.send(|codec, out| codec.refuse(refusal, out));
        true
    }

    fn waits(&self, rpc_id: &RpcId) -> bool {
        self.s.pending.values().any(|pending| pending.rpc_id == *rpc_id)
    }

    pub(super) fn agent_event(&mut self, event: AgentEvent<'_>, line: &[u8]) {
        match event {
            AgentEvent::Update { raw, hint } => {
                match hint {
                    Hint::Text(text) => self.words.push_str(&text),
                    Hint::Total(cost) => self.stands_at(&cost),
                    Hint::Spent(cost) => self.spent(&cost),
                    Hint::Options => self.keep_options(),
                    Hint::ToolCall { id, over, failed, files } => {
                        self.tool_call(&id, over);
                        self.touches(&id, over, failed, files);
                    }
                    Hint::None => {}
                }
                self.record_update(&raw);
            }
            AgentEvent::Ready { how } => {
                // A fork has a conversation before its first turn.
                let had = self.s.body.turns > 0 || self.s.body.parent.is_some() && !self.s.body.recall;
                let context_lost = how == "new" && had;
                let generation = self.s.body.generation;
                self.record(fact::AgentReady { generation, how: how.to_owned(), context_lost });
                if context_lost {
                    (self.s.body.recall, self.s.recalled) = (true, None);
                }
                if self.s.body.recall {
                    self.look_back();
                }
                if self.s.body.state == SessionState::Starting {
                    let resting = self.resting_state();
                    self.set_state(resting, None, None);
                }
                for tag in std::mem::take(&mut self.s.ready_waiters) {
                    self.reply(tag, Ok(Reply::Ok));
                }
                self.pump();
                self.suspend_orphan();
            }
            AgentEvent::StartFailed(why) => {
                self.fail_waiters(ErrorCode::AgentStartFailed, &why);
                self.begin_stop(Goal::Fail, Some(why), None);
            }
            AgentEvent::Permission(question) => self.question(*question, line),
            AgentEvent::Withdrawn { rpc_id } => self.withdrawn(&rpc_id),
            AgentEvent::TurnEnded(result) => self.turn_ended(*result),
            AgentEvent::Aside(result) => self.aside(*result),
            AgentEvent::Waits(waits) => {
                self.record(waits);
            }
            AgentEvent::OptionAnswered { call, option_id, value, error } => {
                let waiter = self.s.option_waiters.remove(&call);
                match error {
                    None => {
                        self.record(fact::OptionSet { option_id, value });
                        self.keep_options();
                        if let Some(tag) = waiter {
                            self.reply(tag, Ok(Reply::Ok));
                        }
                    }
                    Some(error) => {
                        if let Some(tag) = waiter {
                            self.refuse(tag, ErrorCode::AgentFailed, format!("the agent refused: {error}"));
                        }
                    }
                }
            }
            AgentEvent::OptionDropped { option_id, value, why } => {
                self.s.body.launch.options.remove(&option_id);
                self.record(fact::OptionDropped { option_id, value, why });
            }
            AgentEvent::Refused { method, refusal } => {
                if self.refuse_request(&refusal, line) {
                    self.record(fact::AgentRequestRefused { method });
                }
            }
            AgentEvent::Unparsed { why, refusal } => {
                if refusal.is_none_or(|refusal| self.refuse_request(&refusal, line)) {
                    self.unparsed(line, why);
                }
            }
        }
    }

    /// Remembers which tool calls of the turn are not over.
    fn tool_call(&mut self, id: &str, over: bool) {
        let body = &self.s.body;
        let known = body.open_calls.contains(id);
        if over && known {
            self.s.body.open_calls.remove(id);
        } else if !over
            && !known
            && body.turn.is_some()
            && body.open_calls.len() < MAX_OPEN_CALLS
            && id.len() <= MAX_CALL_ID
        {
            self.s.body.open_calls.insert(id.to_owned());
        }
    }

    /// Some agents say nothing more of a tool call once its turn was ended for them: it is closed in their place. What goes on
    /// after a turn that ended well is their affair.
    pub(super) fn close_calls(&mut self, outcome: TurnOutcome) {
        if self.s.body.open_calls.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.s.body.open_calls) {
            if outcome != TurnOutcome::Finished {
                let update = json!({
                    "sessionUpdate": "tool_call_update", "toolCallId": id, "status": "failed",
                    "_meta": {"vibes": {"closed": outcome}},
                });
                self.record_update(&update.to_string());
            }
        }
    }

    /// What the agent runs with now is what it is started with again.
    fn keep_options(&mut self) {
        let options = self.s.body.codec.values();
        for (id, value) in options {
            self.s.body.launch.options.insert(id, value);
        }
    }

    fn question(&mut self, question: Question, line: &[u8]) {
        if self.waits(&question.rpc_id) {
            self.unparsed(
                line,
                "a request with the id of one that still waits; it is not answered".to_owned(),
            );
            return;
        }
        let cancelled =
            self.s.body.turn.as_ref().is_some_and(|turn| turn.cancelled) || self.s.body.stopping.is_some();
        if cancelled {
            // The turn is being ended: the agent may not have heard yet.
            self.send(|codec, out| codec.answer(&question.rpc_id, None, out));
            return;
        }
        let waiting: usize = self.s.pending.values().map(|pending| pending.bytes).sum();
        if self.s.pending.len() >= MAX_PENDING || waiting + question.raw.len() > MAX_PENDING_BYTES {
            let message = "too many permission requests wait already".to_owned();
            let refusal = Refused { id: question.rpc_id, code: BUSY, message };
            self.send(|codec, out| codec.refuse(&refusal, out));
            self.record(fact::AgentRequestRefused { method: "session/request_permission".to_owned() });
            return;
        }
        let id = self.s.body.id.to_string();
        // The record's number makes it unique in the session, the session's id over all.
        let permission_id = format!("{}-{}", &id[..8], self.s.head + 1);
        let limit_ms = self.limit_ms();
        let permission = Permission {
            permission_id,
            hash: hex(&Sha256::digest(question.raw.as_bytes())),
            tool: question.tool,
            raw_input: question.raw_input,
            cwd: self.s.body.cwd.clone(),
            diff: question.diff,
            more_diffs: rules::more_diffs(&question.raw),
            paths: rules::in_request(&question.raw),
            options: question.options,
            claim_title: question.title,
            deadline_ms: limit_ms.map(|limit| self.wall + limit),
            tool_call_id: question.tool_call_id,
        };
        let (rpc_id, bytes, memo) = (question.rpc_id, question.raw.len(), question.memo);
        self.asked(Pending { permission, rpc_id, bytes, memo, asked_ms: self.wall, limit_ms });
    }

    fn withdrawn(&mut self, rpc_id: &RpcId) {
        let found =
            self.s.pending.iter().find(|(_, pending)| pending.rpc_id == *rpc_id).map(|(id, _)| id.clone());
        let Some((permission_id, pending)) = found.and_then(|id| self.s.pending.remove_entry(&id)) else {
            return;
        };
        let who = "the agent (it took the request back)";
        self.resolved(permission_id, &pending, Outcome::Withdrawn, who, Resolution::default());
        let resting = self.resting_state();
        self.set_state(resting, None, None);
    }

    fn turn_ended(&mut self, result: TurnResult) {
        let Some(turn) = self.s.body.turn.take() else { return };
        self.resolve_all(Outcome::Withdrawn, None);
        let interrupted = turn.cancelled || result.stop_reason == "cancelled";
        let outcome = match result.error {
            _ if interrupted => TurnOutcome::Interrupted,
            Some(_) => TurnOutcome::Failed,
            None => TurnOutcome::Finished,
        };
        self.close_turn(&turn, outcome, result);
        self.effect(Effect::Pack);
        self.set_state(SessionState::Idle, None, None);
        if self.s.body.stopping.is_some() {
            self.stop_now();
            return;
        }
        if self.s.body.launch.once && self.s.body.queue.is_empty() {
            self.begin_stop(Goal::Finish, None, None);
            return;
        }
        self.pump();
        self.suspend_orphan();
    }

    /// The runner answers: what it has logged need not be sent again.
    pub fn up(&mut self, standing: &Standing) {
        self.s.outbox.retain(|number, _| *number > standing.last_in_seq);
        self.s.body.last_frame = self.s.body.last_frame.max(standing.last_in_seq);
        // A runner that answers; what else is in the way it tells next.
        self.s.hindrances.clear();
        match &self.s.body.stopping {
            // An agent that does not run yet need not be started to be stopped.
            Some(stopping) if stopping.cancel_until_ms.is_none() || !standing.going => self.stop_now(),
            _ if !standing.going => self.effect(Effect::Go),
            _ => {}
        }
    }

    /// The spool was read to where it stood: from now on what the agent says is now.
    pub fn caught_up(&mut self) {
        if self.s.body.running {
            self.s.link = Link::Live;
            self.deny_detached();
            // A prompt may wait for what an earlier daemon was about to read.
            self.pump();
        }
    }

    /// A frame was refused by the runner.
    pub fn frame_refused(&mut self, frame: u64, why: Refusal) {
        // `Busy` and `DiskFull` are tried again by the task; the end of the agent is told by `Gone`.
        if why == Refusal::Mismatch {
            self.s.outbox.remove(&frame);
            self.record(fact::TailLost {
                offset: self.s.spool.offset,
                why: format!("frame {frame} for the agent was refused: its number is taken"),
            });
        }
    }

    /// The generation is over.
    pub fn gone(&mut self, gone: &Gone) {
        let generation = self.s.body.generation;
        let was_lost = gone.exit.is_none();
        self.s.body.running = false;
        self.s.hindrances.clear();
        self.s.link = if was_lost { Link::Lost } else { Link::None };
        // A frame is undelivered only when both say so: the runner never acknowledged it, and its log has not got it.
        let unheard = self.s.outbox.contains_key(&1) && gone.last_in_seq == Some(0);
        let undelivered = self.s.body.turn.as_ref().is_some_and(|turn| {
            self.s.outbox.contains_key(&turn.frame) && gone.last_in_seq.is_some_and(|last| last < turn.frame)
        });
        self.s.outbox.clear();
        self.effect(Effect::Forget(generation));
        if let Some(exit) = &gone.exit {
            self.record(fact::AgentExited {
                generation,
                code: (exit.signal == 0).then_some(exit.code),
                signal: (exit.signal != 0).then_some(exit.signal),
            });
        }
        if self.s.body.stopping.is_some() {
            self.keep_undelivered(undelivered);
            self.stopped(&gone.left);
            return;
        }
        // A runner that was lost before the agent heard a word has done nothing: it is simply started again.
        if was_lost
            && unheard
            && !self.s.body.codec.is_ready()
            && self.s.body.state == SessionState::Starting
            && self.may_start_again()
        {
            self.s.body.crashes.push(self.now);
            self.resolve_all(Outcome::Withdrawn, None);
            self.start_agent(None);
            return;
        }
        if self.s.body.codec.begins_anew() && self.may_start_again() {
            self.s.body.crashes.push(self.now);
            self.start_agent(None);
            return;
        }
        let clean = gone.exit.is_some_and(|exit| exit.code == 0 && exit.signal == 0);
        let why = match &gone.exit {
            None => "the agent was lost with its runner".to_owned(),
            Some(exit) if exit.start_errno != 0 => {
                let error = std::io::Error::from_raw_os_error(exit.start_errno);
                format!("the agent's program could not be started: {error}")
            }
            Some(exit) if exit.signal != 0 => format!("the agent was ended by signal {}", exit.signal),
            Some(exit) => format!("the agent exited with code {}", exit.code),
        };
        let starting = !self.s.body.codec.is_ready();
        // An exit code of 0 is no good end for an agent that is needed.
        let clean = clean && !starting && self.s.body.turn.is_none();
        if !clean && !gone.stderr.is_empty() {
            self.record(fact::AgentStderr { text: gone.stderr.clone() });
        }
        let last_words = last_words(&gone.stderr);
        let reason =
            if last_words.is_empty() || clean { why.clone() } else { format!("{why}: {last_words}") };
        self.keep_undelivered(undelivered);
        self.resolve_all(Outcome::Withdrawn, None);
        let outcome = if was_lost { TurnOutcome::Unknown } else { TurnOutcome::Failed };
        self.end_turn(outcome, "agent_ended", Some(reason.clone()));
        self.fail_waiters(ErrorCode::AgentStartFailed, &reason);
        if was_lost {
            self.s.body.suspended = Some(SuspendReason::Restart);
            self.set_state(SessionState::Suspended, Some(reason), None);
            self.s.body.suspended = Some(SuspendReason::Restart);
        } else if clean {
            self.set_state(SessionState::Suspended, Some(reason), None);
            self.s.body.suspended = Some(SuspendReason::Idle);
        } else if !starting && !self.s.body.launch.once && self.may_start_again() {
            // It was working, so it is worth another start; the prompt is never sent again by itself.
            self.s.body.crashes.push(self.now);
            self.start_agent(None);
        } else {
            self.set_state(SessionState::Failed, Some(reason), None);
        }
    }

    /// A crashing agent is started again three times a minute at most.
    fn may_start_again(&mut self) -> bool {
        const MINUTE_MS: i64 = 60_000;
        let since = self.now - MINUTE_MS;
        self.s.body.crashes.retain(|at_ms| *at_ms > since);
        self.s.body.crashes.len() < 3
    }

    /// A prompt whose frame the runner never logged was not delivered: it goes back to the queue and says so.
    fn keep_undelivered(&mut self, undelivered: bool) {
        if let Some(turn) = self.s.body.turn.take_if(|_| undelivered) {
            self.record(fact::NotDelivered { input_seq: turn.prompt.input_seq });
            let result = TurnResult { stop_reason: "not_delivered".to_owned(), ..TurnResult::default() };
            self.close_turn(&turn, TurnOutcome::Interrupted, result);
            // What went before it did not reach the agent either.
            self.s.body.context = turn.context.or(self.s.body.context.take());
            self.s.body.recall |= turn.recalled;
            self.s.body.queue.push_front(turn.prompt);
        }
    }

    /// The runner could not be started.
    pub fn start_failed(&mut self, why: String, not_found: bool) {
        self.s.body.running = false;
        self.s.link = Link::None;
        self.s.outbox.clear();
        let generation = self.s.body.generation;
        self.effect(Effect::Forget(generation));
        if self.s.body.stopping.is_some() {
            self.stopped(&[]);
            return;
        }
        let code = if not_found { ErrorCode::AgentNotFound } else { ErrorCode::AgentStartFailed };
        self.fail_waiters(code, &why);
        self.set_state(SessionState::Failed, Some(why), None);
    }
}

/// The line of an agent's last words that says most: programs print how they are used after what was wrong.
fn last_words(stderr: &str) -> &str {
    let telling =
        |line: &&str| ["error", "unknown arg"].iter().any(|word| line.to_lowercase().contains(word));
    let mut lines = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).rev();
    let last = lines.clone().next().unwrap_or_default();
    lines.find(telling).unwrap_or(last)
}
