//! What `vibes top` knows, and what a key or a message makes of it.
//!
//! Invariant: pure: messages, keys and moments come in, [`Effect`]s go out. What acts on a session names it by its id, so
//! that a row which moves meanwhile changes nothing; and a yes goes out only for a request that stood on the screen
//! to its last line, long enough to be read.

use super::preview::Preview;
use crate::attach::keys::Press;
use crate::attach::window::{Asked, Key};
use crate::commands::{for_session, permission_response};
use crate::render::{permission, short};
use crate::sanitize;
use std::collections::HashMap;
use vibes_protocol::model::{Permission, RemovedReason, SessionId, SessionInfo, SessionState};
use vibes_protocol::wire::request::{Interrupt, KillSession, Pong};
use vibes_protocol::wire::{Message, Request};

/// What a filter may have: more is no filter.
const MOST_TYPED: usize = 200;

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
    /// The keys are being read.
    Help,
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
    at: usize,
    pub(crate) filter: String,
    pub(crate) mode: Mode,
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
            (rank(session), within, session.id.to_string())
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

    fn select(&mut self, at: usize) {
        self.at = at.min(self.order.len().saturating_sub(1));
        self.selected = self.order.get(self.at).copied();
    }

    fn current(&self) -> Option<&SessionInfo> {
        self.selected.and_then(|id| self.sessions.get(&id))
    }

    /// The next one, after the selected, that waits for an answer.
    fn next_waiting(&mut self) {
        let waits = |at: &usize| {
            self.order.get(*at).and_then(|id| self.sessions.get(id)).is_some_and(|one| pending(one).is_some())
        };
        let next = (self.at + 1..self.order.len()).chain(0..=self.at).find(waits);
        match next {
            Some(at) => self.select(at),
            None => self.note = Some("nobody waits for an answer".to_owned()),
        }
    }

    pub(crate) fn press(&mut self, press: &Press) -> Option<Effect> {
        self.note = None;
        match press {
            Press::Ctrl('c' | 'd' | '\\') => return Some(Effect::Leave),
            Press::Ctrl('z') => return Some(Effect::Suspend),
            Press::Ctrl('l') => return Some(Effect::Redraw),
            _ => {}
        }
        match self.mode {
            Mode::List => self.list_key(press),
            Mode::Filter => {
                self.filter_key(press);
                None
            }
            Mode::Sure(deed, id) => {
                self.mode = Mode::List;
                match press {
                    Press::Char('y' | 'Y') => self.deed(deed, id),
                    _ => {
                        self.note = Some("nothing was done".to_owned());
                        None
                    }
                }
            }
            Mode::Help => {
                self.mode = Mode::List;
                None
            }
        }
    }

    fn filter_key(&mut self, press: &Press) {
        match press {
            Press::Char(c) if self.filter.len() < MOST_TYPED => self.filter.push(*c),
            Press::Paste(text) => {
                let room = MOST_TYPED.saturating_sub(self.filter.len());
                self.filter.extend(text.chars().filter(|c| !c.is_control()).take(room / 4));
            }
            Press::Backspace => drop(self.filter.pop()),
            Press::WordBackspace | Press::Ctrl('u') => self.filter.clear(),
            Press::Escape => {
                self.filter.clear();
                self.mode = Mode::List;
            }
            // What was typed before the terminal was ours has another end of line.
            Press::Enter | Press::Newline | Press::Tab => self.mode = Mode::List,
            Press::Up => self.select(self.at.saturating_sub(1)),
            Press::Down => self.select(self.at + 1),
            _ => {}
        }
    }

    fn list_key(&mut self, press: &Press) -> Option<Effect> {
        match press {
            Press::Up | Press::Char('k') => self.select(self.at.saturating_sub(1)),
            Press::Down | Press::Char('j') => self.select(self.at + 1),
            Press::Home | Press::Char('g') => self.select(0),
            Press::End | Press::Char('G') => self.select(usize::MAX),
            Press::Tab | Press::Char('n') => self.next_waiting(),
            Press::Char('/') => self.mode = Mode::Filter,
            Press::Escape => self.filter.clear(),
            Press::Char('?') => self.mode = Mode::Help,
            Press::Char('q') => return Some(Effect::Leave),
            Press::Enter | Press::Right => return self.selected.map(Effect::Attach),
            #[cfg(feature = "points")]
            Press::Char('!') => panic!("as asked, by !"),
            Press::Char(' ') => self.scroll(true),
            Press::Char('b') => self.scroll(false),
            Press::Char('i') => {
                let busy = |one: &SessionInfo| {
                    matches!(one.state, SessionState::Processing | SessionState::WaitingPermission)
                };
                match self.current().map(|one| (one.id, busy(one))) {
                    Some((id, true)) => self.mode = Mode::Sure(Deed::Interrupt, id),
                    Some((_, false)) => self.note = Some("no turn runs".to_owned()),
                    None => {}
                }
            }
            Press::Char('x') => {
                if let Some(id) = self.current().map(|one| one.id) {
                    self.mode = Mode::Sure(Deed::Kill, id);
                }
            }
            Press::Char(c) => return self.answer(*c),
            _ => {}
        }
        None
    }

    /// What was wanted has gone to the daemon, or not: then nothing is under way.
    pub(crate) fn sent(&mut self, went: bool) {
        if !went {
            self.note = Some("not connected; nothing was done".to_owned());
            self.shown = None;
        }
    }

    fn scroll(&mut self, on: bool) {
        if let Some(shown) = &mut self.shown {
            // One line stays, so that the eye finds its place.
            let page = shown.page.saturating_sub(1).max(1);
            shown.scroll = if on { shown.scroll + page } else { shown.scroll.saturating_sub(page) };
        }
    }

    fn deed(&mut self, deed: Deed, id: SessionId) -> Option<Effect> {
        let session = self.sessions.get(&id)?;
        let session_id = id.to_string();
        let (words, request) = match deed {
            // The turn that was seen: the next may have begun meanwhile.
            Deed::Interrupt => ("interrupting", Interrupt { session_id, turn: Some(session.turns) }.into()),
            Deed::Kill => ("killing", KillSession { session_id }.into()),
        };
        self.note = Some(format!("{words} {}", name(session)));
        Some(Effect::Send(Box::new(request)))
    }

    /// A key that answers the request in the pane.
    fn answer(&mut self, c: char) -> Option<Effect> {
        let shown = self.shown.as_mut()?;
        let session = self.sessions.get(&shown.session).filter(|one| Some(one.id) == self.selected)?;
        let permission = pending(session).filter(|one| one.permission_id == shown.permission)?;
        if !matches!(c, 'a' | 'A' | 's' | 'S' | 'd' | 'D' | '1'..='9') {
            return None;
        }
        let say = |words: &str| Some(words.to_owned());
        if shown.answered {
            self.note = say("an answer is on its way");
            return None;
        }
        let Some(key) = shown.asked.and_then(|asked| asked.meaning(c)) else {
            self.note = say(match permission::kind(permission) {
                _ if shown.asked.is_none_or(Asked::is_fresh) => {
                    "this request came up just now: look at it, then answer"
                }
                permission::Kind::Words => "this is answered in words: Enter attaches",
                _ => "this key does not answer that",
            });
            return None;
        };
        let (allow, option, wide) = match key {
            Key::Approve => (true, None, None),
            Key::ForSession => (true, None, Some(for_session(None, None))),
            Key::Deny => (false, None, None),
            Key::Option(number) => {
                let option = permission.options.get(number.checked_sub(1)?)?;
                (option.allows(), Some(option.option_id.as_str()), None)
            }
            _ => return None,
        };
        // A choice among the agent's options is an answer as well; only a plain no may be said to what was not read.
        if key != Key::Deny && !shown.whole {
            self.note = say("read all of it first: Space goes on");
            return None;
        }
        match permission_response(session, permission, allow, option) {
            Ok(mut response) => {
                response.for_session = wide;
                shown.answered = true;
                let verb = if key == Key::Deny || !allow { "denied" } else { "approved" };
                self.note = Some(format!("{verb} {}", permission::action(permission)));
                Some(Effect::Send(Box::new(response.into())))
            }
            Err(failure) => {
                self.note = Some(sanitize::line(&failure.message).into_owned());
                None
            }
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
