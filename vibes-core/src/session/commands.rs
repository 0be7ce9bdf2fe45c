//! What is asked of a session: one arm per command.
//!
//! Invariant: a refused command changes nothing and says why; an accepted one is in the journal before its reply.

use super::{
    approvals::Resolution,
    event::{Answer, Caller, Command, Effect, MetadataUpdate, Notice, Reply, Tag},
    queue::check_content,
    state::{Goal, KEY_LIFE_MS, MAX_CONTEXT, MAX_QUEUED},
    step::Step,
};
use crate::{
    agent::Verdict,
    budgets,
    ownership::{Denied, Joiner, Seat},
};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use vibes_protocol::model::{
    ClientId, CodedError, ErrorCode, How, Outcome, QueuedPrompt, RemovedReason, Role, SessionState,
    SuspendReason, fact,
};

impl Step<'_> {
    /// Takes a command.
    pub fn command(&mut self, caller: Caller, command: Command, tag: Tag) {
        let result = self.try_command(&caller, command, tag);
        match result {
            Ok(Some(reply)) => self.reply(tag, Ok(reply)),
            // The reply comes later, from an event.
            Ok(None) => {}
            Err(error) => self.reply(tag, Err(error)),
        }
    }

    fn try_command(
        &mut self,
        caller: &Caller,
        command: Command,
        tag: Tag,
    ) -> Result<Option<Reply>, CodedError> {
        if self.s.ownership.role(caller.client) == Some(Role::Viewer)
            && !matches!(
                command,
                Command::Join(_)
                    | Command::Leave
                    | Command::Drop { .. }
                    | Command::Look
                    | Command::MarkRead { .. }
                    | Command::NoteRefused { .. }
            )
        {
            let message = format!("this client joined {} to read only; attach again to write", self.name());
            return Err(CodedError::new(ErrorCode::ReadOnly, message));
        }
        let by = Self::actor(caller);
        match command {
            Command::Join(joiner) => {
                let passed = self.s.ownership.join(joiner, self.wall);
                self.passed(passed);
                Ok(Some(Reply::Joined(Box::new(self.s.look(caller.client)))))
            }
            Command::Leave => {
                if !self.s.ownership.seats.contains_key(&caller.client) {
                    let message = format!("this client is not subscribed to {}", self.name());
                    return Err(CodedError::new(ErrorCode::NotSubscribed, message));
                }
                self.leave(caller.client);
                Ok(Some(Reply::Ok))
            }
            Command::Drop { grace_ms } => {
                if grace_ms > 0 {
                    self.was_read_by(caller.client);
                    self.s.ownership.away(caller.client, self.now + grace_ms);
                } else {
                    self.leave(caller.client);
                }
                Ok(Some(Reply::Ok))
            }
            Command::Look => Ok(Some(Reply::Looked(Box::new(self.s.look(caller.client))))),
            Command::NoteRefused { request } => {
                // Nobody of the session did anything: its place in the list and its time to live stay.
                let (last_ms, active_ms) = (self.s.last_ms, self.s.active_ms);
                self.record(fact::Refused { request: request.to_owned(), pid: caller.pid });
                (self.s.last_ms, self.s.active_ms) = (last_ms, active_ms);
                self.s.body.noted_ms = self.wall;
                Ok(Some(Reply::Ok))
            }
            Command::Input { content, key, now } => self.input(caller, content, key, now),
            Command::Queued(seq, change) => self.change_queue(by, seq, change),
            Command::Answer(answer) => self.answer(caller, *answer),
            Command::AllowForSession(answer, widen) => self.allow_for_session(caller, *answer, widen),
            Command::Judged { permission_id, judgement } => {
                self.judged(&permission_id, *judgement);
                Ok(Some(Reply::Ok))
            }
            Command::Recalled(digest) => {
                self.s.recalling = false;
                if self.s.body.recall {
                    self.s.recalled = Some(Arc::new(*digest));
                    self.pump();
                }
                Ok(Some(Reply::Ok))
            }
            Command::Fetched(fetched) => {
                self.fetched(fetched);
                Ok(Some(Reply::Ok))
            }
            Command::ForgetRule(name) => self.forget_rule(by, &name),
            Command::Interrupt { turn } => {
                let begun = self.s.body.turns;
                match (turn, &self.s.body.turn) {
                    (Some(turn), _) if turn > begun => {
                        return Err(self.wrong_state("that turn has not begun"));
                    }
                    (Some(turn), running) if running.is_none() || turn < begun => {}
                    (_, Some(_)) => self.cancel_turn(Some(&by)),
                    (_, None) => return Err(self.wrong_state("no turn is running in it")),
                }
                Ok(Some(Reply::Ok))
            }
            Command::Kill => {
                self.must_live()?;
                self.s.stop_waiters.push(tag);
                self.begin_stop(Goal::Kill, None, Some(by));
                Ok(None)
            }
            Command::Finish => {
                self.must_live()?;
                self.s.stop_waiters.push(tag);
                self.begin_stop(Goal::Finish, None, Some(by));
                Ok(None)
            }
            Command::Suspend { now } => {
                self.must_live()?;
                if self.s.body.state == SessionState::Suspended {
                    return Err(self.wrong_state("it is suspended already"));
                }
                if self.s.body.turn.is_some() && !now {
                    return Err(
                        self.wrong_state("a turn is running: interrupt it first, or suspend with --now")
                    );
                }
                self.s.stop_waiters.push(tag);
                self.begin_stop(Goal::Suspend(SuspendReason::User), None, Some(by));
                Ok(None)
            }
            Command::Resume { context } => {
                self.must_be_ours()?;
                if self.s.body.stopping.is_some() {
                    return Err(self.wrong_state("it is being stopped; try again when it has"));
                }
                if !self.s.body.state.is_ended() && self.s.body.state != SessionState::Suspended {
                    return Err(self.wrong_state("it is not suspended and has not ended"));
                }
                if self.s.body.deleted_ms.is_some() {
                    return Err(self.wrong_state("it is deleted: undelete it first"));
                }
                if context.as_ref().is_some_and(|context| context.len() > MAX_CONTEXT) {
                    let message = format!("additional_context: more than {MAX_CONTEXT} bytes");
                    return Err(CodedError::new(ErrorCode::BadRequest, message));
                }
                self.s.body.context = context.or_else(|| self.s.body.context.take());
                self.s.body.launch.once = false;
                self.resume_spending();
                // Resumed on purpose by somebody beside it: the next join arms the orphan policy again.
                self.s.ownership.armed &= !self.s.ownership.seats.is_empty();
                self.start_agent(Some(by));
                Ok(Some(Reply::Ok))
            }
            Command::Worktree(done) => {
                if done.action == fact::WorktreeAction::Dropped {
                    self.s.body.worktree = None;
                }
                self.record(fact::WorktreeFact { by: Some(by), ..*done });
                Ok(Some(Reply::Ok))
            }
            Command::WaitReady => match self.s.body.state {
                SessionState::Starting => {
                    self.s.ready_waiters.push(tag);
                    Ok(None)
                }
                SessionState::Failed => {
                    let why = self.s.body.reason.clone().unwrap_or_else(|| "the agent failed".to_owned());
                    Err(CodedError::new(ErrorCode::AgentStartFailed, why))
                }
                _ => Ok(Some(Reply::Ok)),
            },
            Command::Delete => {
                if !self.s.body.state.is_ended() && self.s.body.state != SessionState::Suspended {
                    return Err(self.wrong_state("kill or finish it before deleting it"));
                }
                if self.s.body.deleted_ms.is_some() {
                    return Err(self.wrong_state("it is deleted already"));
                }
                self.delete();
                Ok(Some(Reply::Ok))
            }
            Command::Undelete => {
                if self.s.body.deleted_ms.take().is_none() {
                    return Err(self.wrong_state("it is not deleted"));
                }
                // Somebody wants to have it.
                self.s.body.launch.ephemeral = false;
                self.change_metadata("deleted", json!(false));
                if !self.s.body.state.is_ended() {
                    let info = Box::new(self.s.info());
                    self.effect(Effect::Notice(Notice::Created(info)));
                }
                Ok(Some(Reply::Ok))
            }
            Command::Purge(by) => {
                self.s.may_be_purged(by).map_err(|why| self.wrong_state(why))?;
                self.effect(Effect::Purge(tag, by));
                Ok(None)
            }
            Command::LeaveForGood { last_ms, keeps } => self.leave_for_good(tag, last_ms, keeps),
            Command::MarkRead { person, seq } => self.mark_read(&person, seq),
            Command::Counted(spent) => {
                self.counted(*spent);
                Ok(Some(Reply::Ok))
            }
            Command::Unfocus => {
                let body = &self.s.body;
                // Nothing that is asked, and no turn, is lost for it.
                if body.turn.is_some() || !self.s.pending.is_empty() {
                    self.s.body.unfocus = true;
                } else if !body.state.is_ended() && body.state != SessionState::Suspended {
                    self.begin_stop(Goal::Suspend(SuspendReason::Focus), None, Some(by));
                }
                Ok(Some(Reply::Ok))
            }
            Command::Expire { ttl_ms } => Ok(Some(self.run_out(ttl_ms))),
            Command::Update(update) => self.update(*update),
            Command::Transfer(to) => {
                let by = self.seat_of(caller);
                let passed = self.s.ownership.transfer(by, to, self.wall).map_err(|why| self.denied(why))?;
                self.passed(passed);
                Ok(Some(Reply::Ok))
            }
            Command::Take => {
                let taker = self.seat_of(caller);
                if self.s.ownership.role(taker).is_none() {
                    // Taking is not subscribing: it does not arm the orphan policy.
                    let armed = self.s.ownership.armed;
                    let passed = self.s.ownership.join(
                        Joiner {
                            client: caller.client,
                            role: Role::Writer,
                            identity: caller.identity.clone(),
                            token_hash: caller.token_hash.clone(),
                            pid: caller.pid,
                            reads: false,
                            person: None,
                        },
                        self.wall,
                    );
                    self.s.ownership.armed = armed;
                    self.passed(passed);
                }
                let passed = self.s.ownership.take(taker, self.wall).map_err(|why| self.denied(why))?;
                self.passed(passed);
                Ok(Some(Reply::Ok))
            }
            Command::SetOption { option_id, value } => {
                if !(value.is_string() || value.is_boolean() || value.is_number()) {
                    let message = "value: an option is set to a string, a number or a boolean";
                    return Err(CodedError::new(ErrorCode::BadRequest, message));
                }
                if !self.s.body.codec.is_ready() || !self.s.body.running {
                    return Err(self.wrong_state("its agent is not running"));
                }
                let frame = self
                    .send(|codec, out| codec.set_option(&option_id, &value, out))
                    .map_err(|why| CodedError::new(ErrorCode::BadRequest, why))?;
                self.s.option_waiters.insert(frame, tag);
                Ok(None)
            }
        }
    }

    fn input(
        &mut self,
        caller: &Caller,
        content: Vec<Value>,
        key: Option<String>,
        now: bool,
    ) -> Result<Option<Reply>, CodedError> {
        if let Some((seq, _)) = key.as_ref().and_then(|key| self.s.keys.get(key)) {
            return Ok(Some(Reply::Accepted(*seq)));
        }
        check_content(&content)?;
        if key.as_ref().is_some_and(|key| key.is_empty() || key.len() > 128) {
            return Err(CodedError::new(
                ErrorCode::BadRequest,
                "idempotency_key: 1 to 128 bytes, such as a UUID",
            ));
        }
        if self.s.body.deleted_ms.is_some() {
            return Err(self.wrong_state("it is deleted: undelete it first"));
        }
        self.must_be_ours()?;
        let body = &self.s.body;
        let suspended = body.state == SessionState::Suspended;
        if body.state.is_ended() {
            return Err(self
                .wrong_state(&format!("it has ended: resume it first (`vibes resume {}`)", self.called())));
        }
        if suspended && !body.suspended.is_none_or(SuspendReason::input_resumes) {
            let how = match body.suspended {
                Some(SuspendReason::Budget) => self.how_to_spend(),
                why => {
                    let why = why.map_or("", SuspendReason::as_str);
                    format!("it is suspended ({why}): `vibes resume {}` goes on with it", self.called())
                }
            };
            return Err(self.wrong_state(&how));
        }
        if body.stopping.as_ref().is_some_and(|stopping| stopping.goal.state().is_ended()) {
            return Err(self.wrong_state("it is being ended"));
        }
        if body.queue.len() >= MAX_QUEUED {
            let message = format!("{MAX_QUEUED} prompts wait in {} already; try again later", self.name());
            return Err(CodedError::new(ErrorCode::Busy, message));
        }
        let queued = body.turn.is_some() || !body.queue.is_empty();
        let by = Self::actor(caller);
        self.s.remember_prompt(&Self::text_of(&content));
        let seq = self.record(fact::Input { content: content.clone(), by: by.clone(), queued });
        let prompt = QueuedPrompt { input_seq: seq, content };
        if now && self.s.body.turn.is_some() {
            self.s.body.queue.push_front(prompt);
            self.cancel_turn(Some(&by));
        } else {
            self.s.body.queue.push_back(prompt);
        }
        if let Some(key) = key {
            let oldest = self.now - KEY_LIFE_MS;
            self.s.keys.retain(|_, (_, at_ms)| *at_ms > oldest);
            self.s.keys.insert(key, (seq, self.now));
        }
        if suspended && self.s.body.stopping.is_none() {
            self.start_agent(Some(by));
        } else {
            self.pump();
        }
        Ok(Some(Reply::Accepted(seq)))
    }

    /// One that was taken in from an archive has nothing that could be started.
    fn must_be_ours(&self) -> Result<(), CodedError> {
        match &self.s.body.imported {
            Some(_) => Err(self.wrong_state(
                "it was imported, and is there to be read: `vibes fork ID --cwd DIR` goes on from it in a session of its own",
            )),
            None => Ok(()),
        }
    }

    pub(super) fn answer(&mut self, caller: &Caller, answer: Answer) -> Result<Option<Reply>, CodedError> {
        let Some(pending) = self.s.pending.get(&answer.permission_id) else {
            let first = self.s.body.decided.iter().rev().find(|(id, _)| *id == answer.permission_id);
            return Err(match first {
                Some((_, by)) => CodedError::new(ErrorCode::AlreadyDecided, format!("{by} answered before")),
                None => CodedError::new(
                    ErrorCode::PermissionNotPending,
                    format!("no request {} waits in {}", answer.permission_id, self.name()),
                ),
            });
        };
        if pending.permission.hash != answer.hash {
            return Err(CodedError::new(
                ErrorCode::BadRequest,
                "hash: it is not the hash of the request that waits; look at the request again",
            ));
        }
        let options = &pending.permission.options;
        let offered = || {
            let list: Vec<String> =
                options.iter().map(|option| format!("{} ({})", option.option_id, option.kind)).collect();
            list.join(", ")
        };
        if let (Some(_), Some(decision), Some(option)) =
            (&answer.option_id, answer.decision, answer.chosen(options))
            && option.kind != decision.as_kind()
        {
            let message = format!(
                "option_id and decision contradict each other: {} is {}, not {}",
                option.option_id,
                option.kind,
                decision.as_kind()
            );
            return Err(CodedError::new(ErrorCode::BadRequest, message));
        }
        let Some(option) = answer.chosen(options) else {
            let why = match (&answer.option_id, answer.decision) {
                (Some(wanted), _) => format!("option_id: no {wanted:?}"),
                (None, Some(decision)) => format!("decision: no {}", decision.as_kind()),
                (None, None) => "option_id or decision: one of them is needed".to_owned(),
            };
            return Err(CodedError::new(
                ErrorCode::BadRequest,
                format!("{why}; the agent offers {}", offered()),
            ));
        };
        let verdict = Verdict {
            permission: &pending.permission,
            memo: &pending.memo,
            option,
            message: answer.message.as_deref(),
            updated_input: answer.updated_input.as_ref(),
            answers: answer.answers.as_ref(),
        };
        let bad = |why| CodedError::new(ErrorCode::BadRequest, why);
        self.s.body.codec.may_answer(&verdict).map_err(bad)?;
        let (option_id, allows) = (option.option_id.clone(), option.allows());
        let outcome = if allows { Outcome::Allowed } else { Outcome::Denied };
        let by = Self::actor(caller);
        let who = by.label.clone().unwrap_or_else(|| "another client".to_owned());
        let resolution = Resolution {
            how: Some(How::Person),
            by: Some(by),
            message: answer.message,
            updated_input: answer.updated_input,
            answers: answer.answers,
            surface: caller.surface.as_deref().cloned(),
            ..Resolution::default()
        };
        self.answered(&answer.permission_id, Some(option_id), outcome, &who, resolution);
        Ok(Some(Reply::Ok))
    }

    fn update(&mut self, update: MetadataUpdate) -> Result<Option<Reply>, CodedError> {
        if update.budget.flatten().is_some_and(|budget| !budgets::is_sound(budget)) {
            return Err(CodedError::new(ErrorCode::BadRequest, "budget: an amount from 0 to 1000000"));
        }
        let current = self.s.body.version;
        if update.version.is_some_and(|version| version != current) {
            let message =
                format!("{} is at version {current}; read it again and repeat the change", self.name());
            let version = Some(current);
            return Err(CodedError { version, ..CodedError::new(ErrorCode::VersionConflict, message) });
        }
        let body = &mut self.s.body;
        let mut changes = Map::new();
        let renamed = update.name.is_some();
        if let Some(name) = update.name {
            changes.insert("name".into(), json!(name));
            body.name = name;
        }
        if let Some(description) = update.description {
            changes.insert("description".into(), json!(description));
            body.description = description;
        }
        if let Some(metadata) = update.metadata {
            changes.insert("metadata".into(), json!(metadata));
            body.metadata = metadata;
        }
        if let Some(ttl_s) = update.ttl_s {
            changes.insert("ttl_s".into(), json!(ttl_s));
            body.ttl_s = ttl_s;
        }
        if let Some(policy) = update.orphan_policy {
            changes.insert("orphan_policy".into(), json!(policy));
            body.orphan_policy = policy;
        }
        if let Some(pinned) = update.pinned {
            changes.insert("pinned".into(), json!(pinned));
            body.pinned = pinned;
        }
        if let Some(budget) = update.budget {
            changes.insert("budget".into(), json!(budget));
            body.budget = budget;
        }
        if let Some(deadline_s) = update.approval_deadline_s {
            changes.insert("approval_deadline_s".into(), json!(deadline_s));
            body.approvals.deadline_s = deadline_s;
        }
        if let Some(detached) = update.detached {
            changes.insert("detached".into(), json!(detached));
            body.approvals.detached = detached;
        }
        if changes.is_empty() {
            return Err(CodedError::new(ErrorCode::BadRequest, "nothing to change was named"));
        }
        body.version += 1;
        let (version, name) = (body.version, body.name.clone());
        if renamed {
            self.record(fact::Renamed { name });
        }
        self.record(fact::MetadataChanged { version, changes });
        self.deny_detached();
        // A budget that was lowered may be spent already.
        self.pump();
        Ok(Some(Reply::Ok))
    }

    /// It is in no list from now on.
    pub(super) fn delete(&mut self) {
        self.s.body.deleted_ms = Some(self.wall);
        self.change_metadata("deleted", json!(true));
        self.effect(Effect::Notice(Notice::Removed(self.s.body.id, RemovedReason::Deleted)));
    }

    pub(super) fn change_metadata(&mut self, field: &str, value: Value) {
        self.s.body.version += 1;
        let changes = Map::from_iter([(field.to_owned(), value)]);
        self.record(fact::MetadataChanged { version: self.s.body.version, changes });
    }

    /// The seat a caller acts for: its own or, for one that did not join, that of the same person at the same
    /// terminal (`vibes take` beside an attached window).
    fn seat_of(&self, caller: &Caller) -> ClientId {
        let same = |seat: &Seat| {
            seat.role == Role::Writer && seat.identity.is_some() && seat.identity == caller.identity
        };
        let ownership = &self.s.ownership;
        if ownership.role(caller.client).is_some() {
            return caller.client;
        }
        let owner = ownership.owner.filter(|owner| ownership.seats.get(owner).is_some_and(same));
        let beside =
            || ownership.in_order().into_iter().find(|(_, seat)| same(seat)).map(|(client, _)| client);
        owner.or_else(beside).unwrap_or(caller.client)
    }

    fn must_live(&self) -> Result<(), CodedError> {
        if self.s.body.state.is_ended() { Err(self.wrong_state("it has ended already")) } else { Ok(()) }
    }

    pub(super) fn wrong_state(&self, why: &str) -> CodedError {
        let message = format!("{} is {}: {why}", self.name(), self.s.body.state.as_str());
        CodedError::new(ErrorCode::InvalidState, message)
    }

    fn denied(&self, why: Denied) -> CodedError {
        let owner = self.s.ownership.owner.and_then(|owner| self.s.ownership.seats.get(&owner));
        let owner = owner.and_then(|seat| seat.identity.as_deref()).unwrap_or("another client");
        match why {
            Denied::NotOwner => CodedError::new(
                ErrorCode::NotOwner,
                format!("{} is owned by {owner}; take it first", self.name()),
            ),
            Denied::NotSubscribed => CodedError::new(
                ErrorCode::NotSubscribed,
                format!("that client is not subscribed to {}", self.name()),
            ),
            Denied::Viewer => {
                CodedError::new(ErrorCode::ReadOnly, "a viewer cannot own a session".to_owned())
            }
        }
    }

    pub(super) fn name(&self) -> String {
        format!("session {}", self.called())
    }

    /// What a person may type for it.
    pub(super) fn called(&self) -> String {
        self.s.body.name.clone().unwrap_or_else(|| self.s.body.id.to_string()[..8].to_owned())
    }
}
