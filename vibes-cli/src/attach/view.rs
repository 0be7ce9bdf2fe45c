//! What an attached client knows of its session, and what it shows when that changes.
//!
//! Invariant: records are shown once each, in order, and what is live is told from what is replayed by the head at
//! which we joined.

use super::Mode;
use super::complete::Candidate;
use super::link::Link;
use super::output::Output;
use super::slash;
use crate::client::stream::Seen;
use crate::commands::now_ms;
use crate::error::Outcome;
use crate::render::conversation::{Conversation, Piece, Place};
use crate::render::short;
use crate::screen::style;
use crate::{sanitize, ui};
use serde_json::Value;
use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};
use vibes_protocol::model::fact::TurnEnded;
use vibes_protocol::model::{
    ClientId, Fact, Memory, Permission, RemovedReason, Seq, SessionInfo, SessionState,
};
use vibes_protocol::paths::StateDir;
use vibes_protocol::wire::Message;
use vibes_protocol::wire::message::{Record, SubscribedSession};
use vibes_protocol::wire::request::{Input, Pong};

/// After the news that a session is gone, its last records may still be on their way.
const LAST_RECORDS: Duration = Duration::from_secs(1);

/// How an attach ended.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum End {
    /// The person left; the session goes on.
    Detached,
    /// The session ended well, or was over already.
    Ended,
    /// It was killed.
    Killed { once: bool },
    /// It failed.
    Failed,
    /// `run --once`: its turn ended so.
    Turn(Box<TurnEnded>),
}

pub(crate) struct View {
    pub(super) mode: Mode,
    pub(super) session: SessionInfo,
    pub(super) me: Option<ClientId>,
    pub(super) conversation: Conversation,
    seen: Seen,
    /// The last record when we joined: what comes after it is live.
    pub(super) head: Seq,
    pub(super) pending: VecDeque<Permission>,
    /// The request on the screen, since when, and whether it was answered from here.
    pub(super) shown: Option<String>,
    pub(super) shown_at: Option<Instant>,
    pub(super) answered: bool,
    /// The turn that runs.
    pub(super) running: Option<u64>,
    /// When the turn began that runs, if that was seen.
    pub(super) turn_began: Option<Instant>,
    /// Prompts typed here whose record has not come, where the terminal itself has shown them.
    pub(super) typed: VecDeque<String>,
    /// A connection is held.
    pub(super) connected: bool,
    /// What could follow a slash: our commands and the agent's.
    pub(super) candidates: Vec<Candidate>,
    /// The session's directory holds vibes' own state.
    pub(super) holds_state: bool,
    /// What `/recall` has shown.
    pub(super) recalled: Vec<Memory>,
    /// `/queue` asked what waits.
    pub(super) queue_asked: bool,
    /// Prompts whose answer has not come, with the id of their request.
    pub(super) unanswered: Vec<(Option<String>, Input)>,
    pub(super) interrupt_pressed: Option<Instant>,
    /// Whom `/transfer` named, until it is known who is there.
    pub(super) transfer_to: Option<String>,
    turn: Option<TurnEnded>,
    end: Option<End>,
    end_at: Option<Instant>,
}

/// The turn that runs in a session: the last one that began.
fn running(session: &SessionInfo) -> Option<u64> {
    matches!(session.state, SessionState::Processing | SessionState::WaitingPermission)
        .then_some(session.turns)
}

impl View {
    pub(crate) fn new(
        mode: Mode,
        joined: SubscribedSession,
        after: Seq,
        me: Option<ClientId>,
        dir: &StateDir,
    ) -> Self {
        let session = joined.session;
        let holds_state = crate::place::holds_state(dir, &session.cwd);
        let place = if mode.window { Place::Window } else { Place::Stream };
        Self {
            mode,
            conversation: Conversation::new(style(&session.agent, me, place, mode.thoughts)),
            me,
            seen: Seen { seq: after, epoch: None },
            head: joined.head,
            pending: joined.pending_permissions.into(),
            shown: None,
            shown_at: None,
            answered: false,
            running: running(&session),
            session,
            turn_began: None,
            typed: VecDeque::new(),
            connected: true,
            candidates: slash::candidates(&[]),
            holds_state,
            recalled: Vec::new(),
            queue_asked: false,
            unanswered: Vec::new(),
            interrupt_pressed: None,
            transfer_to: None,
            turn: None,
            end: None,
            end_at: None,
        }
    }

    pub(crate) fn seen(&self) -> Seen {
        self.seen
    }

    pub(crate) fn has_partial(&self) -> bool {
        self.conversation.has_partial()
    }

    pub(crate) fn flush(&mut self) -> Vec<Piece> {
        self.conversation.flush()
    }

    /// How the attach ended, once it has.
    pub(crate) fn end(&self) -> Option<End> {
        self.end.clone().filter(|_| self.end_at.is_none())
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.end_at
    }

    pub(crate) fn tick(&mut self, now: Instant) {
        if self.end_at.is_some_and(|at| at <= now) {
            self.end_at = None;
        }
    }

    pub(super) fn name(&self) -> String {
        let name = self.session.name.as_deref();
        name.map_or_else(|| short(self.session.id), |name| sanitize::line(name).into_owned())
    }

    /// One message from the daemon.
    pub(crate) fn message(&mut self, message: Message, link: &mut Link, output: &mut Output) -> Outcome {
        let id = self.session.id;
        match message {
            Message::Record(record) if record.session_id == id => self.record(&record, output),
            Message::SessionUpdated { session } if session.id == id => {
                self.session = session;
                Ok(())
            }
            Message::SessionRemoved { session_id, reason } if session_id == id => {
                self.removed(reason, output)
            }
            Message::OwnershipTransferred { session_id, new_owner_id, you_are_owner } if session_id == id => {
                let was_owner = std::mem::replace(&mut self.session.is_owner, you_are_owner);
                self.session.owner_id = new_owner_id;
                match (was_owner, you_are_owner) {
                    (false, true) => self.note("you own this session now", output),
                    (true, false) => self.note("this session has another owner now", output),
                    _ => Ok(()),
                }
            }
            Message::Rewind { session_id, to } if session_id == id => {
                self.seen = Seen { seq: to.seq, epoch: Some(to.epoch) };
                self.note(
                    &format!("what came after record {} was lost by the daemon; going on from there", to.seq),
                    output,
                )
            }
            Message::Gap { session_id, from, to, reason } if session_id == id => {
                self.note(&format!("records {from} to {to} cannot be shown: {reason}"), output)
            }
            Message::Closing { reason, .. } => {
                self.note(&format!("the daemon closes the connection: {reason}"), output)
            }
            Message::Accepted { request_id, .. } => {
                self.unanswered.retain(|(asked, _)| *asked != request_id);
                Ok(())
            }
            Message::Error { request_id, code, message, .. } => {
                self.refused(request_id, &format!("{message} ({code})"), output)
            }
            Message::Members { members, .. } => {
                let lines = crate::render::sheet::who(&members, now_ms() / 1000, ui::Paint::stdout());
                output.lines(lines)?;
                self.transfer_if_asked(&members, link, output)
            }
            Message::Session { queue, .. } if std::mem::take(&mut self.queue_asked) => {
                output.lines(slash::queue(&queue, ui::width()))
            }
            Message::Memory { memory, .. } => self.remembered(&memory, output),
            Message::Memories { memories, total, .. } => self.show_recalled(memories, total, output),
            Message::Ping {} => {
                let _ = link.send(Pong {});
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn record(&mut self, record: &Record, output: &mut Output) -> Outcome {
        if record.seq <= self.seen.seq {
            return Ok(());
        }
        self.seen = Seen { seq: record.seq, epoch: Some(record.epoch) };
        if let Fact::PermissionResolved(resolved) = &record.fact {
            self.tell_unseen(&resolved.permission_id, output)?;
        }
        if !self.is_own_echo(&record.fact) && !self.will_be_framed(record) {
            let pieces = self.conversation.read(record.at_ms, &record.fact);
            output.pieces(pieces)?;
        }
        match &record.fact {
            Fact::TurnStarted(started) => self.running = Some(started.turn),
            Fact::TurnEnded(ended) => {
                self.running = None;
                if self.mode.once && self.turn.is_none() {
                    self.turn = Some(ended.clone());
                    // Its end follows at once; a daemon that forgets it shall not hold a script.
                    self.finish_later(End::Turn(Box::new(ended.clone())), Duration::from_secs(10));
                }
            }
            Fact::PermissionRequested(requested) => {
                let known =
                    self.pending.iter().any(|one| one.permission_id == requested.permission.permission_id);
                if !known && record.seq > self.head {
                    self.pending.push_back(requested.permission.clone());
                }
            }
            Fact::PermissionResolved(resolved) => {
                self.pending.retain(|one| one.permission_id != resolved.permission_id);
                if self.shown.as_deref() == Some(&resolved.permission_id) {
                    self.shown = None;
                    self.answered = false;
                }
            }
            Fact::Update(update) => self.learn(&update.update),
            Fact::StateChanged(changed) => {
                self.session.state = changed.to;
                self.session.reason.clone_from(&changed.reason);
                self.ended_if_over(record.seq);
            }
            _ => {}
        }
        self.attend(record);
        if record.seq >= self.head { self.ask(output) } else { Ok(()) }
    }

    /// What the agent can be told.
    fn learn(&mut self, update: &Value) {
        if update["sessionUpdate"] == "available_commands_update" {
            let commands = update["availableCommands"].as_array().map(Vec::as_slice).unwrap_or_default();
            self.candidates = slash::candidates(commands);
        }
    }

    /// A session without records (or whose records were all seen) is caught up from the start.
    pub(crate) fn caught_up_if_empty(&mut self, output: &mut Output) -> Outcome {
        if self.seen.seq < self.head {
            return Ok(());
        }
        self.ended_if_over(self.seen.seq);
        self.ask(output)
    }

    /// Ends the attach when the session is over. An old end in the transcript of a session that was resumed since is
    /// no end: only what holds at the head counts.
    fn ended_if_over(&mut self, seq: Seq) {
        if seq < self.head || !self.session.state.is_ended() {
            return;
        }
        self.end_at = None;
        self.end = Some(match (self.session.state, self.turn.take()) {
            (_, Some(turn)) => End::Turn(Box::new(turn)),
            (SessionState::Failed, None) => End::Failed,
            (SessionState::Killed, None) => End::Killed { once: self.mode.once },
            _ => End::Ended,
        });
    }

    fn removed(&mut self, reason: RemovedReason, output: &mut Output) -> Outcome {
        let end = match reason {
            RemovedReason::Killed => End::Killed { once: self.mode.once },
            RemovedReason::SessionFinished if self.session.state == SessionState::Failed => End::Failed,
            _ => End::Ended,
        };
        // The record of the end, if it is still to come, says more than the notice.
        self.finish_later(end, LAST_RECORDS);
        match reason {
            RemovedReason::OwnerDisconnected => {
                self.note("the session was removed: nobody was left in it", output)
            }
            RemovedReason::Deleted => self.note("the session was deleted", output),
            _ => Ok(()),
        }
    }

    fn finish_later(&mut self, end: End, within: Duration) {
        if self.end.is_none() {
            self.end = Some(end);
            self.end_at = Some(Instant::now() + within);
        }
    }

    /// Whether a fact is the prompt that was typed here a moment ago and still stands on the screen.
    fn is_own_echo(&mut self, fact: &Fact) -> bool {
        let Fact::Input(input) = fact else { return false };
        if Some(input.by.client_id) != self.me {
            return false;
        }
        let text: Vec<String> =
            input.content.iter().map(crate::render::conversation::words_of_block).collect();
        let text = text.join("\n");
        let typed = self.typed.iter().position(|typed| *typed == text);
        // That it waits behind a running turn is news; the line is shown again to say so.
        typed.and_then(|at| self.typed.remove(at)).is_some() && !input.queued
    }

    pub(super) fn note(&mut self, words: &str, output: &mut Output) -> Outcome {
        // In a window what is under way stays so, below.
        if output.window.is_none() {
            let pieces = self.conversation.flush();
            output.pieces(pieces)?;
        }
        let paint = if self.mode.interactive { ui::Paint::stdout() } else { ui::Paint::stderr() };
        let width = if self.mode.interactive { ui::width().saturating_sub(2) } else { usize::MAX / 4 };
        for line in crate::render::wrap(&sanitize::line(words), width) {
            output.say(paint.dim(&format!("· {line}")))?;
        }
        Ok(())
    }

    pub(crate) fn lost(&mut self, error: &io::Error, output: &mut Output) -> Outcome {
        if let Some(window) = &mut output.window {
            window.settle();
        }
        self.connected = false;
        self.note(&format!("connection lost ({error}); reconnecting"), output)
    }

    /// Joined again: the daemon's word replaces what we believed.
    pub(crate) fn rejoined(
        &mut self,
        joined: SubscribedSession,
        link: &mut Link,
        output: &mut Output,
    ) -> Outcome {
        self.me = link.me();
        self.connected = true;
        self.session = joined.session;
        self.head = joined.head;
        self.running = running(&self.session);
        self.pending = joined.pending_permissions.into();
        self.shown = None;
        self.note("connected again", output)?;
        // Whether they were accepted is not known; their keys make a second time the same prompt.
        for (asked, input) in &mut self.unanswered {
            *asked = link.send(input.clone());
        }
        self.caught_up_if_empty(output)
    }
}
