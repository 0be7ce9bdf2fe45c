//! What a key does in `vibes top`.
//!
//! Invariant: pure. What acts on a session names it by its id; and a yes goes out only for a request that stood on the
//! screen to its last line, long enough to be read.

use super::state::{Deed, Effect, Mode, Top, name, pending};
use crate::attach::keys::Press;
use crate::attach::window::{Asked, Key};
use crate::commands::{for_session, permission_response};
use crate::render::permission;
use crate::sanitize;
use vibes_protocol::model::{SessionId, SessionInfo, SessionState};
use vibes_protocol::wire::request::{Interrupt, KillSession};

/// What a filter may have: more is no filter.
const MOST_FILTER: usize = 200;
/// What an answer may have.
pub(super) const MOST_TYPED: usize = 4_000;

impl Top {
    pub(crate) fn press(&mut self, press: &Press) -> Option<Effect> {
        self.note = None;
        match press {
            Press::Ctrl('c') if self.mode == Mode::Words => return self.words_key(&Press::Escape),
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
            Mode::Words => self.words_key(press),
            Mode::Help => {
                self.mode = Mode::List;
                None
            }
        }
    }

    fn filter_key(&mut self, press: &Press) {
        match press {
            Press::Char(c) if self.filter.len() < MOST_FILTER => self.filter.push(*c),
            Press::Paste(text) => {
                let room = MOST_FILTER.saturating_sub(self.filter.len());
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
            Press::Char('w' | 'W') => self.begin_words(),
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

    pub(super) fn scroll(&mut self, on: bool) {
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
                permission::Kind::Words => "this is answered in words: w begins",
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
