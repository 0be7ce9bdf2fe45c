//! One session as an editor has it open: its records become updates, its turns answer prompts.
//!
//! Invariant: every record is taken once and in order, over reconnects and restarts of the daemon, and a prompt is
//! answered after the last update of its own turn. Nothing here touches a socket or a stream: what is to be done comes
//! out as [`Effect`]s.

use super::prompts::{End, Prompts};
use super::questions::Questions;
use super::{Effect, Then, options};
use crate::acp::rpc::{self, Refusal};
use crate::client::stream::Seen;
use crate::render::conversation::told;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use vibes_protocol::model::fact::TurnStarted;
use vibes_protocol::model::{ClientId, Fact, Permission, Role, Seq, SessionId, SessionInfo};
use vibes_protocol::wire::Request;
use vibes_protocol::wire::message::{Cursor, Record, SubscribedSession};
use vibes_protocol::wire::request::{After, Interrupt, RemoveInput, Subscribe};

/// How an editor opened a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// A new one: the answer first, then what there is.
    New,
    /// The history is told, then comes the answer.
    Load,
    /// The editor knows the history: it is read for what holds now, and not told.
    Resume,
}

/// A request of the editor that opens a session.
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) rpc: Value,
    pub(super) how: How,
}

/// A prompt that no turn has begun with.
#[derive(Debug)]
struct Waiting {
    content: Vec<Value>,
    own: bool,
}

/// What a change may use.
pub(super) struct Cx<'a> {
    pub(super) effects: &'a mut Vec<Effect>,
    /// Everybody we have been to the daemon: prompts of these are ours.
    pub(super) me: &'a BTreeSet<ClientId>,
    /// The number of our last request to the editor.
    pub(super) last_request: &'a mut u64,
}

impl Cx<'_> {
    pub(super) fn tell(&mut self, message: Value) {
        self.effects.push(Effect::Tell(message));
    }

    pub(super) fn note(&mut self, words: String) {
        self.effects.push(Effect::Note(words));
    }
}

/// A session that an editor has open.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    /// As the daemon showed it last.
    info: Option<SessionInfo>,
    seen: Seen,
    /// The request that opens it, until the daemon has let us in.
    asked_to_open: Option<Opening>,
    /// The same, until it is answered.
    opening: Option<Opening>,
    /// The history is being told to who opened it.
    telling: bool,
    /// The last record when we joined; before it, what is decided already is not asked.
    head: Seq,
    caught_up: bool,
    /// What waited for an answer when we joined.
    pending: Vec<Permission>,
    waiting: BTreeMap<Seq, Waiting>,
    /// The running turn.
    turn: Option<TurnStarted>,
    pub(super) prompts: Prompts,
    pub(super) questions: Questions,
    /// The commands the agent offers, for an editor that does not hear the history.
    commands: Option<Value>,
    /// The options and the name that the editor was told last.
    told: (Vec<Value>, Option<String>),
}

impl Session {
    pub(super) fn new(id: SessionId) -> Self {
        Self {
            id,
            info: None,
            seen: Seen::default(),
            asked_to_open: None,
            opening: None,
            telling: false,
            head: 0,
            caught_up: false,
            pending: Vec::new(),
            waiting: BTreeMap::new(),
            turn: None,
            prompts: Prompts::default(),
            questions: Questions::new(id),
            commands: None,
            told: (Vec::new(), None),
        }
    }

    /// The editor opens it, perhaps once more.
    pub(super) fn open(&mut self, opening: Opening, cx: &mut Cx<'_>) {
        let again = self.asked_to_open.replace(opening);
        if let Some(earlier) = again {
            self.answer_opening(earlier, cx);
        }
        self.join(cx);
    }

    /// Asks for the records after the last one seen; all of them for who opens it.
    pub(super) fn join(&mut self, cx: &mut Cx<'_>) {
        let seen = if self.asked_to_open.is_some() { Seen::default() } else { self.seen };
        let subscribe = Subscribe {
            session_ids: vec![self.id.to_string()],
            after: After::Seq(seen.seq),
            epoch: seen.epoch,
            role: Role::Writer,
            reads: false,
        };
        cx.effects.push(Effect::Ask(Box::new(subscribe.into()), Then::Joined(self.id)));
    }

    /// The daemon has let us in: the records follow.
    pub(super) fn joined(&mut self, joined: SubscribedSession, cx: &mut Cx<'_>) {
        self.info = Some(joined.session);
        self.head = joined.head;
        self.pending = joined.pending_permissions;
        self.caught_up = false;
        self.prompts.rejoined();
        if let Some(opening) = self.asked_to_open.take() {
            // From the start: what was told before is told again, to an editor that begins anew.
            self.seen = Seen::default();
            self.telling = true;
            self.turn = None;
            self.waiting.clear();
            self.questions.take_all_back(cx);
            if let Some(earlier) = self.opening.take() {
                self.answer_opening(earlier, cx);
            }
            match opening.how {
                How::New => self.answer_opening(opening, cx),
                How::Load | How::Resume => self.opening = Some(opening),
            }
        }
        self.catch_up_if_there(cx);
    }

    /// The session cannot be joined (any more).
    pub(super) fn refused(&mut self, refusal: &Refusal, cx: &mut Cx<'_>) {
        for opening in self.asked_to_open.take().into_iter().chain(self.opening.take()) {
            cx.tell(rpc::answer(&opening.rpc, Err(refusal.clone())));
        }
        self.prompts.refuse_all(refusal, cx);
        self.questions.take_all_back(cx);
    }

    fn answer_opening(&mut self, opening: Opening, cx: &mut Cx<'_>) {
        let mut answer = json!({});
        if opening.how == How::New {
            answer["sessionId"] = self.id.to_string().into();
        }
        if let Some(info) = &self.info {
            options::add_to(&mut answer, info);
            self.told.0 = options::config(info);
        }
        cx.tell(rpc::answer(&opening.rpc, Ok(answer)));
    }

    /// Whether the editor hears what is read now.
    fn is_silent(&self) -> bool {
        self.opening.as_ref().is_some_and(|opening| opening.how == How::Resume)
    }

    fn update(&self, update: Value, cx: &mut Cx<'_>) {
        cx.tell(rpc::update(&self.id.to_string(), update));
    }

    /// Takes a record.
    pub(super) fn record(&mut self, record: Record, cx: &mut Cx<'_>) {
        // What an earlier subscription still sends is known, or comes again.
        if record.seq <= self.seen.seq {
            return;
        }
        self.seen = Seen { seq: record.seq, epoch: Some(record.epoch) };
        self.fact(record.seq, record.fact, cx);
        self.catch_up_if_there(cx);
    }

    fn fact(&mut self, seq: Seq, fact: Fact, cx: &mut Cx<'_>) {
        match fact {
            Fact::Input(input) => {
                let own = cx.me.contains(&input.by.client_id);
                self.waiting.insert(seq, Waiting { content: input.content, own });
            }
            // Other words than the editor shows: they are told when their turn begins.
            Fact::InputEdited(edited) => {
                self.waiting.insert(edited.input_seq, Waiting { content: edited.content, own: false });
            }
            Fact::TurnStarted(started) => self.turn_started(started, cx),
            Fact::TurnEnded(ended) => {
                if let Some(turn) = self.turn.take_if(|turn| turn.turn == ended.turn) {
                    self.prompts.ended(turn.input_seq, End::Turn(Box::new(ended)), cx);
                }
            }
            // It is in the queue again; what is said of that turn's end is not the prompt's.
            Fact::NotDelivered(undelivered) => {
                self.turn.take_if(|turn| turn.input_seq == undelivered.input_seq);
            }
            Fact::InputDropped(dropped) => {
                self.waiting.remove(&dropped.input_seq);
                let end = End::Dropped { removed: dropped.by.is_some(), why: dropped.reason };
                self.prompts.ended(dropped.input_seq, end, cx);
            }
            Fact::Update(update) => self.said(update.update, cx),
            Fact::PermissionRequested(requested) if self.caught_up => {
                self.questions.arrived(requested.permission, cx);
            }
            Fact::PermissionResolved(resolved) => self.questions.resolved(&resolved.permission_id, cx),
            Fact::StateChanged(changed) => {
                self.questions.state(changed.to, cx);
                if changed.to.is_ended() {
                    self.prompts.session_ended(seq, changed.to, changed.reason.as_deref(), self.id, cx);
                }
            }
            Fact::AgentWaits(waits) => self.note(told::waits(&waits), cx),
            Fact::OptionDropped(dropped) => self.note(told::option_dropped(&dropped), cx),
            Fact::AgentReady(ready) if ready.context_lost && self.caught_up => {
                let id = self.id;
                cx.note(format!(
                    "session {id}: the agent could not take up the conversation; it begins anew"
                ));
            }
            _ => {}
        }
    }

    fn turn_started(&mut self, started: TurnStarted, cx: &mut Cx<'_>) {
        let waiting = self.waiting.remove(&started.input_seq);
        self.prompts.begun(started.input_seq);
        self.turn = Some(started);
        // The editor shows its own prompts by itself, unless it hears the history.
        let tells = |waiting: &Waiting| !waiting.own || self.telling;
        if let Some(waiting) = waiting.filter(|waiting| tells(waiting) && !self.is_silent()) {
            for block in waiting.content {
                let update = json!({"sessionUpdate": "user_message_chunk", "content": block});
                cx.effects.push(Effect::TellWhole(rpc::update(&self.id.to_string(), update)));
            }
        }
        self.stop_cancelled(cx);
    }

    /// What is no word of the agent's and concerns who waits for it, as a thought of its own. Not a part of the history.
    fn note(&self, words: String, cx: &mut Cx<'_>) {
        if self.caught_up {
            let update = json!({
                "sessionUpdate": "agent_thought_chunk",
                "content": {"type": "text", "text": format!("[vibes] {words}\n")},
                "_meta": {"vibes": {"note": true}},
            });
            self.update(update, cx);
        }
    }

    fn said(&mut self, update: Value, cx: &mut Cx<'_>) {
        match update["sessionUpdate"].as_str() {
            // An echo: the prompt is a record of its own.
            Some("user_message_chunk") => return,
            Some("available_commands_update") => self.commands = Some(update.clone()),
            _ => {}
        }
        if !self.is_silent() {
            self.update(update, cx);
        }
    }

    fn catch_up_if_there(&mut self, cx: &mut Cx<'_>) {
        if self.caught_up || self.seen.seq < self.head {
            return;
        }
        (self.caught_up, self.telling) = (true, false);
        if let Some(opening) = self.opening.take() {
            let silent = opening.how == How::Resume;
            self.answer_opening(opening, cx);
            if let Some(commands) = self.commands.clone().filter(|_| silent) {
                self.update(commands, cx);
            }
        }
        self.questions.renew(std::mem::take(&mut self.pending), cx);
        self.stop_cancelled(cx);
        self.tell_settings(cx);
    }

    /// Whether the editor hears of it without asking once more.
    pub(super) fn waits(&self) -> bool {
        self.caught_up || !self.prompts.is_empty() || self.is_opening()
    }

    /// Whether a request that opens it has no answer yet.
    pub(super) fn is_opening(&self) -> bool {
        self.asked_to_open.is_some() || self.opening.is_some()
    }

    /// The editor wants no more of what it asked for.
    pub(super) fn cancel(&mut self, cx: &mut Cx<'_>) {
        // A turn that this editor did not begin: somebody looks at it here and stops it.
        if let Some(turn) = self.turn.as_ref().filter(|_| self.prompts.is_empty()) {
            let turn = Some(turn.turn);
            return self.stop(Interrupt { session_id: self.id.to_string(), turn }, cx);
        }
        self.prompts.cancel();
        self.stop_cancelled(cx);
    }

    /// Cancelled prompts: the one whose turn runs is interrupted, the others leave the queue. One that just begins cannot
    /// leave it; its turn's start comes by here as well.
    fn stop_cancelled(&mut self, cx: &mut Cx<'_>) {
        if !self.caught_up {
            return;
        }
        for input_seq in self.prompts.take_stops() {
            let session_id = self.id.to_string();
            match self.turn.as_ref().filter(|turn| turn.input_seq == input_seq) {
                Some(turn) => self.stop(Interrupt { session_id, turn: Some(turn.turn) }, cx),
                None => self.stop(RemoveInput { session_id, input_seq }, cx),
            }
        }
    }

    fn stop(&self, request: impl Into<Request>, cx: &mut Cx<'_>) {
        cx.effects.push(Effect::Ask(Box::new(request.into()), Then::Stopped(self.id)));
    }

    /// The daemon took a prompt.
    pub(super) fn accepted(&mut self, prompt: u64, seq: Seq, cx: &mut Cx<'_>) {
        self.prompts.accepted(prompt, seq, cx);
        self.stop_cancelled(cx);
    }

    /// The session changed, as every client hears.
    pub(super) fn changed(&mut self, info: SessionInfo, cx: &mut Cx<'_>) {
        self.info = Some(info);
        if self.caught_up {
            self.tell_settings(cx);
        }
    }

    /// Tells options and name when they are not what the editor was told last.
    fn tell_settings(&mut self, cx: &mut Cx<'_>) {
        let Some(info) = &self.info else { return };
        let (config, mode) = (options::config(info), options::present(info, options::MODE));
        let (mode, name) = (mode.map(str::to_owned), info.name.clone());
        if config != self.told.0 {
            if let Some(mode) = mode {
                self.update(json!({"sessionUpdate": "current_mode_update", "currentModeId": mode}), cx);
            }
            self.update(json!({"sessionUpdate": "config_option_update", "configOptions": config}), cx);
            self.told.0 = config;
        }
        if name != self.told.1 {
            self.update(json!({"sessionUpdate": "session_info_update", "title": name}), cx);
            self.told.1 = name;
        }
    }

    /// Its options as they are now.
    pub(super) fn config(&self) -> Vec<Value> {
        self.info.as_ref().map(options::config).unwrap_or_default()
    }

    /// What came after a record was lost by the daemon.
    pub(super) fn rewind(&mut self, to: Cursor, cx: &mut Cx<'_>) {
        self.seen = Seen { seq: to.seq, epoch: Some(to.epoch) };
        self.waiting.retain(|seq, _| *seq <= to.seq);
        self.turn.take_if(|turn| turn.input_seq > to.seq);
        self.prompts.rewind(to.seq, cx);
        cx.note(format!("session {}: what came after record {} was lost by the daemon", self.id, to.seq));
    }
}
