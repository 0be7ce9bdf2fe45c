//! A person at a terminal who is asked what the agent asks.
//!
//! Invariant: everything goes to standard error, and an answer is taken only for the question that has been on the
//! screen for a moment; what was typed before is not one.

use super::{Event, now};
use crate::attach::{SURPRISE, answers};
use crate::commands::permission_response;
use crate::error::Failure;
use crate::render::permission::{self, Kind};
use crate::{sanitize, ui};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::sync::mpsc::Sender;
use std::time::Instant;
use vibes_protocol::model::{Permission, SessionInfo};
use vibes_protocol::wire::request::PermissionResponse;

/// A person, or nobody.
#[derive(Debug)]
pub(super) struct Talk {
    /// Where typed lines go, while nobody reads them yet.
    events: Option<Sender<Event>>,
    possible: bool,
    asked: Option<(Permission, Instant)>,
}

impl Talk {
    /// Whoever is at the terminal.
    pub(super) fn here(events: &Sender<Event>) -> Self {
        let possible = ui::stderr_is_terminal() && (ui::stdin_is_terminal() || terminal().is_some());
        Self { events: possible.then(|| events.clone()), possible, asked: None }
    }

    pub(super) fn is_possible(&self) -> bool {
        self.possible
    }

    /// The agent begins to do something.
    pub(super) fn progress(&self, title: &str) {
        if ui::stderr_is_terminal() {
            ui::say(&ui::Paint::stderr().dim(&format!("· {}", sanitize::line(title))));
        }
    }

    /// Asks about a question that waits, once; or about none any more.
    pub(super) fn about(&mut self, question: Option<&Permission>, session: &SessionInfo, holds_state: bool) {
        let same = |one: &Permission| {
            self.asked.as_ref().is_some_and(|(asked, _)| asked.permission_id == one.permission_id)
        };
        match question {
            Some(one) if self.possible && !same(one) => {
                let (paint, now_ms) = (ui::Paint::stderr(), now() * 1000);
                permission::frame(
                    session,
                    one,
                    permission::Room::of_window(ui::width()),
                    now_ms,
                    holds_state,
                    paint,
                )
                .iter()
                .for_each(|line| ui::say(line));
                self.asked = Some((one.clone(), Instant::now()));
                self.listen();
                self.again();
            }
            None if self.asked.take().is_some() => ui::say("(it was answered)"),
            _ => {}
        }
    }

    /// Says what is wanted.
    pub(super) fn again(&self) {
        let Some((permission, _)) = &self.asked else { return };
        ui::ask(match permission::kind(permission) {
            Kind::Words => "Answer in words, or /deny: ",
            Kind::Choice => "The number of an option, or /deny: ",
            Kind::Leave | Kind::Plan => "Allow it? y, n, n and why not, or the number of an option: ",
        });
    }

    /// Reads lines on a thread of their own, from the first question on.
    fn listen(&mut self) {
        let Some(events) = self.events.take() else { return };
        std::thread::spawn(move || {
            let mut lines: Box<dyn BufRead> = match terminal().filter(|_| !ui::stdin_is_terminal()) {
                Some(file) => Box::new(BufReader::new(file)),
                None => Box::new(std::io::stdin().lock()),
            };
            loop {
                let mut line = String::new();
                let line = match lines.read_line(&mut line) {
                    Ok(1..) => Some(line),
                    Ok(0) | Err(_) => None,
                };
                let last = line.is_none();
                if events.send(Event::Line(line)).is_err() || last {
                    return;
                }
            }
        });
    }

    /// A typed line: an answer, if it is one.
    pub(super) fn line(&mut self, line: Option<String>, session: &SessionInfo) -> Option<PermissionResponse> {
        let (permission, since) = self.asked.as_ref()?;
        if since.elapsed() < SURPRISE && line.is_some() {
            ui::say("this came up just now: look at it, then answer");
            self.again();
            return None;
        }
        match answer(session, permission, line.as_deref().map(str::trim)) {
            Ok(answer) => Some(answer),
            Err(why) => {
                if !why.message.is_empty() {
                    ui::say(&sanitize::text(&why.message));
                }
                self.again();
                None
            }
        }
    }
}

fn terminal() -> Option<File> {
    File::open("/dev/tty").ok()
}

/// What a line means for a question. No line at all denies it.
fn answer(
    session: &SessionInfo,
    permission: &Permission,
    line: Option<&str>,
) -> Result<PermissionResponse, Failure> {
    let kind = permission::kind(permission);
    let plain = |allow: bool| permission_response(session, permission, allow, None);
    let Some(line) = line else { return plain(false) };
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let reason = |rest: &str| Some(rest.trim().to_owned()).filter(|rest| !rest.is_empty());
    let deny = |rest: &str| Ok(PermissionResponse { message: reason(rest), ..plain(false)? });
    let option = line.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
    match (kind, word) {
        (_, "") => Err(Failure::usage("")),
        (_, "/deny") => deny(rest),
        (Kind::Words, _) => {
            let Some(option) = permission.options.iter().find(|option| option.kind == "answer") else {
                return plain(true);
            };
            let answers = answers(&permission.raw_input, line).map_err(Failure::usage)?;
            let response = permission_response(session, permission, true, Some(&option.option_id))?;
            Ok(PermissionResponse { answers: Some(answers), ..response })
        }
        _ if option.is_some() => {
            let Some(option) = option.and_then(|at| permission.options.get(at)) else {
                return Err(Failure::usage(format!("there is no option {line}")));
            };
            permission_response(session, permission, option.allows(), Some(&option.option_id))
        }
        (Kind::Leave | Kind::Plan, "y" | "Y" | "yes" | "Yes" | "/approve") if rest.is_empty() => plain(true),
        (Kind::Leave | Kind::Plan, "n" | "N" | "no" | "No") => deny(rest),
        _ => Err(Failure::usage(format!("{line} is no answer here"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::list::tests::session;
    use serde_json::json;

    fn asked(options: serde_json::Value, input: serde_json::Value) -> (SessionInfo, Permission) {
        let session = session(json!({"pending_permissions": [{"permission_id": "p", "hash": "h",
            "tool": "execute", "raw_input": input, "cwd": "/", "options": options}]}));
        let permission = session.pending_permissions[0].clone();
        (session, permission)
    }

    #[test]
    fn a_line_is_an_answer_or_none() {
        let options = json!([{"option_id": "yes", "kind": "allow_once", "name": "Yes"},
            {"option_id": "no", "kind": "reject_once", "name": "No"}]);
        let (session, permission) = asked(options, json!({}));
        let said = |line| answer(&session, &permission, line);
        assert_eq!(said(Some("y")).unwrap().option_id.as_deref(), Some("yes"));
        assert_eq!(said(Some("2")).unwrap().option_id.as_deref(), Some("no"));
        let no = said(Some("n use git")).unwrap();
        assert_eq!((no.option_id.as_deref(), no.message.as_deref()), (Some("no"), Some("use git")));
        assert_eq!(said(None).unwrap().option_id.as_deref(), Some("no"), "nobody is there any more");
        for slip in ["", "maybe", "3", "0", "yes please"] {
            assert!(said(Some(slip)).is_err(), "{slip:?}");
        }
    }

    #[test]
    fn a_question_is_answered_in_words() {
        let options = json!([{"option_id": "allow", "kind": "answer", "name": "Answer"},
            {"option_id": "deny", "kind": "reject_once", "name": "No"}]);
        let input =
            json!({"questions": [{"question": "Which?", "options": [{"label": "Red"}, {"label": "Blue"}]}]});
        let (session, permission) = asked(options, input);
        let words = answer(&session, &permission, Some("2")).unwrap();
        assert_eq!(words.answers, Some(json!({"Which?": "Blue"})));
        let no = answer(&session, &permission, Some("/deny")).unwrap();
        assert_eq!(no.option_id.as_deref(), Some("deny"));
    }
}
