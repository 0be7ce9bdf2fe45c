//! What `vibes top` knows, and what a message makes of it; what a key does is in `press`.
//!
//! Invariant: pure: messages and keys come in, [`Effect`]s go out. What is selected is a session, not a row, so that a row
//! which moves meanwhile changes nothing.

use super::preview::Preview;
use crate::attach::window::Asked;
use crate::render::short;
use crate::sanitize;
use std::collections::HashMap;
use vibes_protocol::model::{Permission, RemovedReason, SessionId, SessionInfo, SessionState};
use vibes_protocol::wire::request::Pong;
use vibes_protocol::wire::{Message, Request};

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(crate) enum Effect {
    /// Ask the daemon.
    Send(Box<Request>),
    /// Attach to a session.
    Attach(SessionId),
    /// Draw all of the screen anew.
    Redraw,
    /// Stop as Ctrl-Z does.
    Suspend,
    /// Go.
    Leave,
}

/// What is asked about before it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Interrupt,
    Kill,
}

/// What keys mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    List,
    /// A filter is being typed.
    Filter,
    /// It was asked whether that is meant.
    Sure(Deed, SessionId),
    /// The questions of the request in the pane are being answered in words.
    Words,
    /// The keys are being read.
    Help,
}

/// What was typed for the questions of a request.
#[derive(Debug, Default)]
pub(crate) struct Typed {
    pub(crate) permission: String,
    /// The answers that are complete.
    pub(crate) given: Vec<String>,
    /// The one under way.
    pub(crate) text: String,
}

/// The request in the pane.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) session: SessionId,
    pub(crate) permission: String,
    /// Since it was drawn; nothing before that.
    pub(crate) asked: Option<Asked>,
    /// The first line that is seen.
    pub(crate) scroll: usize,
    /// Its last line was seen.
    pub(crate) whole: bool,
    /// How many lines a page has.
    pub(crate) page: usize,
    /// An answer is on its way.
    pub(crate) answered: bool,
}

pub(crate) struct Top {
    pub(crate) sessions: HashMap<SessionId, SessionInfo>,
    /// Those that fit the filter, in the order of the list.
    pub(crate) order: Vec<SessionId>,
    pub(crate) selected: Option<SessionId>,
    /// Where it stood: when it goes, what is there then is selected.
    pub(super) at: usize,
    pub(crate) filter: String,
    pub(crate) mode: Mode,
    pub(crate) typed: Typed,
    pub(crate) preview: Option<Preview>,
    pub(crate) shown: Option<Shown>,
    pub(crate) note: Option<String>,
    pub(crate) connected: bool,
}

/// What waits for a person comes first, then what is at work, then what nobody works at.
fn rank(session: &SessionInfo) -> u8 {
    match session.state {
        SessionState::WaitingPermission => 0,
        SessionState::Idle => 1,
        SessionState::Processing | SessionState::Starting => 2,
        _ => 3,
    }
}

/// The request of a session that a person is to answer.
pub(crate) fn pending(session: &SessionInfo) -> Option<&Permission> {
    // Before that the rules are being asked about it.
    let waits = session.state == SessionState::WaitingPermission;
    session.pending_permissions.first().filter(|_| waits)
}

/// What a session is called.
pub(crate) fn name(session: &SessionInfo) -> String {
    session.name.as_deref().map_or_else(|| short(session.id), |name| sanitize::line(name).into_owned())
}

impl Top {
    pub(crate) fn new() -> Self {
        Self {
            sessions: HashMap::new(),
            order: Vec::new(),
            selected: None,
            at: 0,
            filter: String::new(),
            mode: Mode::List,
            typed: Typed::default(),
            preview: None,
            shown: None,
            note: None,
            connected: true,
        }
    }

    /// Connected, perhaps again: what there is replaces what was believed.
    pub(crate) fn connected(&mut self, sessions: Vec<SessionInfo>) {
        self.connected = true;
        self.sessions = sessions.into_iter().map(|session| (session.id, session)).collect();
        // The store may be another one, and an answer under way is lost or done.
        self.preview = None;
        self.shown = None;
    }

    /// The connection is gone.
    pub(crate) fn lost(&mut self, why: &str) {
        self.connected = false;
        self.shown = None;
        self.note = Some(format!("connection lost ({}); reconnecting", sanitize::line(why)));
    }

    pub(crate) fn message(&mut self, message: Message) -> Option<Effect> {
        match message {
            Message::SessionNotification { session } | Message::SessionUpdated { session } => {
                if session.state.is_ended() {
                    let reason = session.reason.as_deref().map(sanitize::line).unwrap_or_default();
                    let gap = if reason.is_empty() { "" } else { ": " };
                    let words = format!("{} {}{gap}{reason}", name(&session), session.state.as_str());
                    self.removed(session.id, words);
                } else {
                    self.sessions.insert(session.id, session);
                }
            }
            Message::SessionRemoved { session_id, reason } => {
                let how = match reason {
                    RemovedReason::Killed => "was killed",
                    RemovedReason::Deleted => "was deleted",
                    RemovedReason::Expired => "expired",
                    RemovedReason::OwnerDisconnected | RemovedReason::SessionFinished => "is over",
                };
                let words = self.sessions.get(&session_id).map(|session| format!("{} {how}", name(session)));
                self.removed(session_id, words.unwrap_or_default());
            }
            Message::Records { session_id, records, head, .. } => {
                if let Some(preview) = self.preview.as_mut().filter(|preview| preview.session == session_id) {
                    preview.read(&records, head);
                }
            }
            Message::Error { request_id, code, message, .. } => {
                if let Some(preview) = &mut self.preview {
                    preview.refused(request_id.as_deref());
                }
                if let Some(shown) = &mut self.shown {
                    shown.answered = false;
                }
                self.note = Some(format!("{} ({code})", sanitize::line(&message)));
            }
            Message::Closing { reason, .. } => {
                self.note = Some(format!(
                    "the daemon closes the connection: {}",
                    sanitize::line(&reason.to_string())
                ));
            }
            Message::Ping {} => return Some(Effect::Send(Box::new(Pong {}.into()))),
            _ => {}
        }
        None
    }

    fn removed(&mut self, id: SessionId, words: String) {
        if self.sessions.remove(&id).is_some() {
            self.note = Some(words);
        }
        if matches!(self.mode, Mode::Sure(_, of) if of == id) {
            self.mode = Mode::List;
        }
    }

    /// Brings list, selection and pane up to date; gives what is to be asked for them.
    pub(crate) fn tend(&mut self, width: usize) -> Option<Request> {
        self.arrange();
        let session = self.selected.and_then(|id| self.sessions.get(&id));
        let waits = session.and_then(|session| Some((session.id, pending(session)?)));
        let same = self.shown.as_ref().zip(waits).is_some_and(|(shown, (id, permission))| {
            shown.session == id && shown.permission == permission.permission_id
        });
        if !same {
            self.shown = waits.map(|(session, permission)| Shown {
                session,
                permission: permission.permission_id.clone(),
                asked: None,
                scroll: 0,
                whole: false,
                page: 1,
                answered: false,
            });
        }
        let open = self.shown.as_ref().is_some_and(|shown| shown.permission == self.typed.permission);
        if self.mode == Mode::Words && !open {
            self.mode = Mode::List;
            self.note = Some("the question is gone: it was answered elsewhere, or nobody waits".to_owned());
        }
        let Some(session) = session else {
            self.preview = None;
            return None;
        };
        if self.preview.as_ref().is_none_or(|preview| !preview.fits(session, width)) {
            self.preview = Some(Preview::new(session, width));
        }
        self.preview.as_mut().filter(|_| self.connected).and_then(|preview| preview.wants(session.head))
    }

    fn arrange(&mut self) {
        let words: Vec<String> = self.filter.split_whitespace().map(str::to_lowercase).collect();
        let mut fitting: Vec<&SessionInfo> =
            self.sessions.values().filter(|session| fits(session, &words)).collect();
        fitting.sort_by_cached_key(|session| {
            // What waits longest comes first, else what happened last; those at work keep their place.
            let within = match rank(session) {
                0 => session.last_activity_ms,
                2 => -session.created_at,
                _ => -session.last_activity_ms,
            };
            (rank(session), within, session.id)
        });
        self.order = fitting.iter().map(|session| session.id).collect();
        match self.selected.and_then(|id| self.order.iter().position(|one| *one == id)) {
            Some(at) => self.at = at,
            None => {
                self.at = self.at.min(self.order.len().saturating_sub(1));
                self.selected = self.order.get(self.at).copied();
            }
        }
    }

    pub(super) fn select(&mut self, at: usize) {
        self.at = at.min(self.order.len().saturating_sub(1));
        self.selected = self.order.get(self.at).copied();
    }

    pub(super) fn current(&self) -> Option<&SessionInfo> {
        self.selected.and_then(|id| self.sessions.get(&id))
    }

    /// The next one, after the selected, that waits for an answer.
    pub(super) fn next_waiting(&mut self) {
        let waits = |at: &usize| {
            self.order.get(*at).and_then(|id| self.sessions.get(id)).is_some_and(|one| pending(one).is_some())
        };
        let next = (self.at + 1..self.order.len()).chain(0..=self.at).find(waits);
        match next {
            Some(at) => self.select(at),
            None => self.note = Some("nobody waits for an answer".to_owned()),
        }
    }
}

/// Whether each word of a filter is somewhere in what is known of a session.
fn fits(session: &SessionInfo, words: &[String]) -> bool {
    let id = session.id.to_string();
    words.iter().all(|word| {
        let has = |text: &str| text.to_lowercase().contains(word);
        session.name.as_deref().is_some_and(has)
            || id.starts_with(word)
            || has(&session.agent)
            || has(&session.cwd)
            || has(&crate::render::list::state_words(session))
            || session.description.as_deref().is_some_and(has)
    })
}
