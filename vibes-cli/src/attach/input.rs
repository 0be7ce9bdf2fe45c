//! What a person does in an attached session: keys, commands that begin with a slash, prompts.
//!
//! Invariant: an answer to a request carries the hash of the request that is on the screen; nothing is answered that
//! was not shown.

use super::asking::answers;
use super::link::Link;
use super::output::Output;
use super::slash::{self, Typed, parse};
use super::view::View;
use super::window::{Key, SURPRISE};
use crate::client::pick_member;
use crate::commands::{for_session, idempotency_key, permission_response};
use crate::error::Outcome;
use crate::render::permission;
use crate::sanitize;
use crate::ui::Paint;
use std::time::{Duration, Instant};
use vibes_protocol::wire::message::Member;
use vibes_protocol::wire::request::{
    Content, GetSession, Input, Interrupt, PermissionResponse, RemoveInput, SetOption, TakeOwnership,
    TransferOwnership, Who,
};

/// A second Ctrl-C counts when it follows the first within this time.
const TWICE: Duration = Duration::from_secs(2);

impl View {
    /// A key; true when it means leaving.
    pub(crate) fn key(&mut self, key: Key, link: &mut Link, output: &mut Output) -> Outcome<bool> {
        match key {
            Key::Approve => self.answer(true, None, None, link, output)?,
            Key::ForSession => self.allow_for_session(None, link, output)?,
            Key::Deny => self.answer(false, None, None, link, output)?,
            Key::Option(number) => self.choose(number, link, output)?,
            Key::Interrupt => return self.interrupt_key(link, output),
            Key::Detach => return Ok(true),
            Key::Unfold => self.unfold(output)?,
        }
        Ok(false)
    }

    /// A typed line; true when it means leaving.
    pub(crate) fn line(&mut self, line: &str, link: &mut Link, output: &mut Output) -> Outcome<bool> {
        let typed = parse(line);
        let writes = !matches!(
            typed,
            Typed::Nothing
                | Typed::Show
                | Typed::Who
                | Typed::Queue
                | Typed::Recall(_)
                | Typed::Thoughts
                | Typed::Unfold
                | Typed::Detach
                | Typed::Help
        );
        if writes && self.mode.read_only {
            self.note("read-only: nothing was sent (attach without --read-only to type)", output)?;
            return Ok(false);
        }
        match typed {
            Typed::Nothing => {}
            Typed::Approve => self.answer(true, None, None, link, output)?,
            Typed::ForSession(pattern) => self.allow_for_session(pattern, link, output)?,
            Typed::Deny(words) => self.answer(false, None, words, link, output)?,
            Typed::Option(Some(number)) => self.choose(number, link, output)?,
            Typed::Show => match self.pending.front().cloned() {
                Some(permission) => self.frame(&permission, usize::MAX, output)?,
                None => self.note("nothing waits for an answer", output)?,
            },
            Typed::Interrupt => self.interrupt(link, output)?,
            Typed::Who => self.send_or_say(Who { session_id: self.session.id.to_string() }, link, output)?,
            Typed::Take => {
                self.send_or_say(TakeOwnership { session_id: self.session.id.to_string() }, link, output)?
            }
            Typed::Transfer("") => {
                self.note("/transfer wants a client id or a seat; /who lists them", output)?
            }
            Typed::Transfer(to) => {
                self.transfer_to = Some(to.to_owned());
                self.send_or_say(Who { session_id: self.session.id.to_string() }, link, output)?;
            }
            Typed::Detach => return Ok(true),
            #[cfg(feature = "points")]
            Typed::Prompt("/panic") => panic!("as asked, by /panic"),
            Typed::Help => output.lines(slash::help(crate::ui::width()))?,
            Typed::Answer(words) => self.answer_questions(words, link, output)?,
            Typed::Option(None) => self.note("/option wants the number of an option", output)?,
            Typed::Set(id, value) => self.set(id, value, link, output)?,
            Typed::Queue => {
                self.queue_asked = true;
                let session_id = self.session.id.to_string();
                self.send_or_say(GetSession { session_id, ports: false }, link, output)?;
            }
            Typed::Drop(Some(input_seq)) => {
                let session_id = self.session.id.to_string();
                self.send_or_say(RemoveInput { session_id, input_seq }, link, output)?;
            }
            Typed::Drop(None) => {
                self.note("/drop wants the record of a prompt; /queue lists them", output)?
            }
            Typed::Remember(words) => self.remember(words, link, output)?,
            Typed::Recall(words) => self.recall(words, link, output)?,
            Typed::Thoughts => {
                self.mode.thoughts = !self.mode.thoughts;
                let pieces = self.conversation.show_thoughts(self.mode.thoughts);
                output.pieces(pieces)?;
                let how = if self.mode.thoughts { "whole" } else { "in one line each" };
                self.note(&format!("thoughts are shown {how} from now on"), output)?;
            }
            Typed::Unfold => self.unfold(output)?,
            Typed::Prompt(text) => self.prompt(text, link, output)?,
        }
        Ok(false)
    }

    fn prompt(&mut self, text: &str, link: &mut Link, output: &mut Output) -> Outcome {
        let input = Input {
            session_id: self.session.id.to_string(),
            content: Content::Text(text.to_owned()),
            idempotency_key: idempotency_key(),
            now: false,
        };
        if !self.mode.window {
            self.typed.push_back(text.to_owned());
        }
        let asked = link.send(input.clone());
        if asked.is_none() {
            self.note("not connected; the prompt goes out when the daemon is back", output)?;
        }
        self.unanswered.push((asked, input));
        Ok(())
    }

    fn unfold(&mut self, output: &mut Output) -> Outcome {
        match self.conversation.unfold() {
            Some(lines) => output.lines(lines),
            None => self.note("nothing more was folded", output),
        }
    }

    /// An option of the agent, or what it can be.
    fn set(&mut self, id: &str, value: &str, link: &mut Link, output: &mut Output) -> Outcome {
        if value.is_empty() {
            return output.lines(slash::offers(&self.session, id, crate::ui::width()));
        }
        let session_id = self.session.id.to_string();
        let (option_id, value) = (id.to_owned(), value.into());
        self.send_or_say(SetOption { session_id, option_id, value }, link, output)
    }

    /// The agent's questions, answered in words.
    fn answer_questions(&mut self, words: &str, link: &mut Link, output: &mut Output) -> Outcome {
        let Some(permission) = self.pending.front() else {
            return self.note("nothing waits for an answer", output);
        };
        let Some(option) = permission.options.iter().find(|option| option.kind == "answer") else {
            return self.note("the agent asks for leave and has no question: /approve or /deny", output);
        };
        let option = option.option_id.clone();
        match answers(&permission.raw_input, words) {
            Ok(answers) => {
                self.respond(true, Some(&option), link, output, |response| response.answers = Some(answers))
            }
            Err(why) => self.note(&why, output),
        }
    }

    /// The agent's option of this number, from 1.
    fn choose(&mut self, number: usize, link: &mut Link, output: &mut Output) -> Outcome {
        let option = self.pending.front().and_then(|one| one.options.get(number.checked_sub(1)?)).cloned();
        match option {
            Some(option) => self.answer(option.allows(), Some(&option.option_id), None, link, output),
            None => self.note(&format!("there is no option {number}"), output),
        }
    }

    fn answer(
        &mut self,
        allow: bool,
        option: Option<&str>,
        words: Option<&str>,
        link: &mut Link,
        output: &mut Output,
    ) -> Outcome {
        let words = words.map(str::to_owned);
        self.respond(allow, option, link, output, |response| response.message = words)
    }

    /// Yes, and by a rule of ours to its like; the agent hears "once".
    fn allow_for_session(&mut self, pattern: Option<&str>, link: &mut Link, output: &mut Output) -> Outcome {
        if self.pending.front().is_some_and(|one| permission::kind(one) != permission::Kind::Leave) {
            return self.note("a question cannot be allowed for the session", output);
        }
        let wide = for_session(pattern, None);
        self.respond(true, None, link, output, |response| response.for_session = Some(wide))
    }

    fn respond(
        &mut self,
        allow: bool,
        option: Option<&str>,
        link: &mut Link,
        output: &mut Output,
        more: impl FnOnce(&mut PermissionResponse),
    ) -> Outcome {
        let Some(permission) = self.pending.front().cloned() else {
            return self.note("nothing waits for an answer", output);
        };
        if self.answered {
            return self.note("an answer is on its way", output);
        }
        // A key or a line that was on its way when another request took the place of the one it meant.
        if self.shown_at.is_none_or(|at| at.elapsed() < SURPRISE) {
            return self.note("this request came up just now: look at it, then answer", output);
        }
        let mut response = match permission_response(&self.session, &permission, allow, option) {
            Ok(response) => response,
            Err(failure) => return self.note(&failure.message, output),
        };
        more(&mut response);
        if link.send(response).is_none() {
            return self.note("not connected; nothing was answered", output);
        }
        self.answered = true;
        if let Some(window) = &mut output.window {
            window.settle();
        }
        Ok(())
    }

    fn interrupt_key(&mut self, link: &mut Link, output: &mut Output) -> Outcome<bool> {
        let again = self.interrupt_pressed.take().is_some_and(|first| first.elapsed() < TWICE);
        let can_interrupt = self.running.is_some() && !self.mode.read_only;
        match (again, can_interrupt) {
            (true, true) => self.interrupt(link, output)?,
            (true, false) => return Ok(true),
            (false, true) => self.note("Ctrl-C again to interrupt the turn, Ctrl-D detaches", output)?,
            (false, false) => {
                self.note("Ctrl-C again detaches, so does Ctrl-D; the session goes on", output)?
            }
        }
        if !again {
            self.interrupt_pressed = Some(Instant::now());
        }
        Ok(false)
    }

    fn interrupt(&mut self, link: &mut Link, output: &mut Output) -> Outcome {
        // The one that is seen: the next may have begun meanwhile.
        let interrupt = Interrupt { session_id: self.session.id.to_string(), turn: self.running };
        self.send_or_say(interrupt, link, output)?;
        self.note("interrupting", output)
    }

    pub(super) fn send_or_say(
        &mut self,
        request: impl Into<vibes_protocol::wire::Request>,
        link: &mut Link,
        output: &mut Output,
    ) -> Outcome {
        match link.send(request) {
            Some(_) => Ok(()),
            None => self.note("not connected; nothing was sent", output),
        }
    }

    /// `/transfer` asked who is there; now it is known.
    pub(super) fn transfer_if_asked(
        &mut self,
        members: &[Member],
        link: &mut Link,
        output: &mut Output,
    ) -> Outcome {
        let Some(to) = self.transfer_to.take() else { return Ok(()) };
        match pick_member(members, &to) {
            Ok(new_owner_id) => {
                let request = TransferOwnership { session_id: self.session.id.to_string(), new_owner_id };
                self.send_or_say(request, link, output)
            }
            Err(failure) => self.note(&failure.message, output),
        }
    }

    /// The daemon said no to something.
    pub(super) fn refused(
        &mut self,
        request_id: Option<String>,
        words: &str,
        output: &mut Output,
    ) -> Outcome {
        let refused = self.unanswered.iter().position(|(asked, _)| asked.is_some() && *asked == request_id);
        if let Some(at) = refused {
            let (_, input) = self.unanswered.remove(at);
            self.typed.retain(|typed| Content::Text(typed.clone()) != input.content);
        }
        let paint = Paint::stdout();
        output.say(format!("{} {}", paint.red("✗"), sanitize::line(words)))?;
        // The request may still wait: it can be answered again, seen again.
        if std::mem::take(&mut self.answered) {
            self.shown = None;
            return self.ask(output);
        }
        Ok(())
    }
}
