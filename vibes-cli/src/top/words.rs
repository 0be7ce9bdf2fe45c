//! Questions answered in words: one after the other, in the last row.
//!
//! Invariant: pure. What goes out answers every question of the request that stood on the screen when the first was
//! begun; a request that goes away meanwhile takes what was typed with it.

use super::press::MOST_TYPED;
use super::state::{Effect, Mode, Top, Typed, pending};
use crate::attach::asking::{answer, questions, together};
use crate::attach::keys::Press;
use crate::commands::permission_response;
use crate::sanitize;
use vibes_protocol::model::Permission;
use vibes_protocol::wire::request::PermissionResponse;

impl Top {
    /// Begins to answer what the pane asks.
    pub(super) fn begin_words(&mut self) {
        let Some(shown) = &self.shown else { return };
        let ready = match self.asks() {
            _ if shown.answered => Err("an answer is on its way"),
            None => Err("this is no question; a, s and d answer it"),
            Some(_) if shown.asked.is_none_or(|asked| asked.is_fresh()) => {
                Err("this request came up just now: look at it, then answer")
            }
            Some(_) if !shown.whole => Err("read all of it first: Space goes on"),
            Some(_) => Ok(shown.permission.clone()),
        };
        match ready {
            Ok(permission) => {
                self.typed = Typed { permission, ..Typed::default() };
                self.mode = Mode::Words;
            }
            Err(why) => self.note = Some(why.to_owned()),
        }
    }

    /// The request in the pane, when it asks questions.
    fn asks(&self) -> Option<&Permission> {
        let shown = self.shown.as_ref()?;
        let session = self.sessions.get(&shown.session).filter(|one| Some(one.id) == self.selected)?;
        let permission = pending(session).filter(|one| one.permission_id == shown.permission)?;
        let has_answer = permission.options.iter().any(|option| option.kind == "answer");
        (has_answer && !questions(&permission.raw_input).is_empty()).then_some(permission)
    }

    /// What the last row says: which question, and what was typed.
    pub(super) fn words_row(&self) -> (String, String) {
        let asked = self.asks().map(|one| questions(&one.raw_input)).unwrap_or_default();
        let question = asked.get(self.typed.given.len());
        let name = |key: &str| question.and_then(|question| question[key].as_str());
        let name = sanitize::line(name("header").or_else(|| name("question")).unwrap_or("answer"));
        let count = match asked.len() {
            0 | 1 => String::new(),
            several => format!(" ({} of {several})", self.typed.given.len() + 1),
        };
        (format!("{name}{count}"), sanitize::line(&self.typed.text).into_owned())
    }

    pub(super) fn words_key(&mut self, press: &Press) -> Option<Effect> {
        let typed = &mut self.typed.text;
        match press {
            Press::Char(c) if typed.len() < MOST_TYPED => typed.push(*c),
            Press::Paste(text) => {
                let room = MOST_TYPED.saturating_sub(typed.len());
                typed.extend(text.chars().map(|c| if c == '\n' { ' ' } else { c }).take(room / 4));
            }
            Press::Backspace => drop(typed.pop()),
            Press::WordBackspace | Press::Ctrl('u') => typed.clear(),
            Press::Escape => {
                self.mode = Mode::List;
                self.note = Some("nothing was answered".to_owned());
            }
            Press::Up => self.scroll(false),
            Press::Down => self.scroll(true),
            Press::Enter | Press::Newline => return self.give_words(),
            _ => {}
        }
        None
    }

    /// A question is answered; when it was the last, all of them are.
    fn give_words(&mut self) -> Option<Effect> {
        let session = self.current()?;
        let permission = self.asks()?;
        let asked = questions(&permission.raw_input);
        let at = self.typed.given.len();
        let text = self.typed.text.trim().to_owned();
        if let Err(why) = asked.get(at).map_or(Ok(String::new()), |question| answer(question, &text)) {
            self.note = Some(sanitize::line(&why).into_owned());
            return None;
        }
        let parts: Vec<&str> = self.typed.given.iter().map(String::as_str).chain([text.as_str()]).collect();
        if parts.len() < asked.len() {
            self.typed.given.push(text);
            self.typed.text.clear();
            return None;
        }
        let option = permission.options.iter().find(|option| option.kind == "answer")?;
        let response = together(asked, &parts).and_then(|answers| {
            let response = permission_response(session, permission, true, Some(&option.option_id))
                .map_err(|failure| failure.message)?;
            Ok(PermissionResponse { answers: Some(answers), ..response })
        });
        self.mode = Mode::List;
        match response {
            Ok(response) => {
                if let Some(shown) = &mut self.shown {
                    shown.answered = true;
                }
                self.note = Some("answered".to_owned());
                Some(Effect::Send(Box::new(response.into())))
            }
            Err(why) => {
                self.note = Some(sanitize::line(&why).into_owned());
                None
            }
        }
    }
}
