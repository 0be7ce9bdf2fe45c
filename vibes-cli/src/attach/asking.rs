//! Requests for approval in an attached session: which one is on the screen, and since when.
//!
//! Invariant: a request is shown whole before a key can answer it, and only one at a time.

use super::output::Output;
use super::view::View;
use crate::commands::{now_ms, words_of_request};
use crate::error::Outcome;
use crate::render::{count, permission};
use crate::ui;
use serde_json::Value;
use std::time::Instant;
use vibes_protocol::model::fact::PermissionRequested;
use vibes_protocol::model::{Fact, Permission, SessionState};
use vibes_protocol::wire::message::Record;

impl View {
    /// Whether a record is a request that the person will see whole in a moment.
    pub(super) fn will_be_framed(&self, record: &Record) -> bool {
        let Fact::PermissionRequested(requested) = &record.fact else { return false };
        let id = &requested.permission.permission_id;
        self.mode.interactive
            && (record.seq > self.head || self.pending.iter().any(|one| one.permission_id == *id))
    }

    /// What was answered before anybody saw it, by a rule or by somebody else, is told in one line.
    pub(super) fn tell_unseen(&mut self, permission_id: &str, output: &mut Output) -> Outcome {
        let unseen = self.pending.iter().find(|one| one.permission_id == permission_id);
        let Some(permission) = unseen.filter(|one| self.shown.as_ref() != Some(&one.permission_id)).cloned()
        else {
            return Ok(());
        };
        if !self.mode.interactive {
            return Ok(());
        }
        let pieces = self.conversation.read(now_ms(), &PermissionRequested { permission }.into());
        output.pieces(pieces)
    }

    /// Shows the oldest request that waits, whole, and arms the keys.
    pub(super) fn ask(&mut self, output: &mut Output) -> Outcome {
        let Some(permission) = self.pending.front().cloned() else {
            self.shown = None;
            if let Some(window) = &mut output.window {
                window.settle();
            }
            return Ok(());
        };
        if self.shown.as_ref() == Some(&permission.permission_id) {
            return Ok(());
        }
        // The rules are being asked about it: it is a person's only when they say so.
        if self.session.state != SessionState::WaitingPermission {
            return Ok(());
        }
        self.shown = Some(permission.permission_id.clone());
        self.shown_at = Some(Instant::now());
        self.answered = false;
        if !self.mode.interactive {
            return output.say(words_of_request(&self.session, &permission));
        }
        let pieces = self.flush();
        output.pieces(pieces)?;
        self.frame(&permission, permission::LINES, output)?;
        // Once before, for the words behind the empty line; and once when the frame is on the screen, because the
        // time in which keys do not count yet begins there.
        for _ in 0..2 {
            if let Some(window) = &mut output.window {
                window.ask(permission::kind(&permission), permission.options.len());
                window.draw(self)?;
            }
        }
        self.shown_at = Some(Instant::now());
        Ok(())
    }

    /// The screen has another width: the request on it is shown once more, as it fits.
    pub(super) fn frame_anew(&mut self, output: &mut Output) -> Outcome {
        match self.shown.take() {
            Some(_) if !self.answered => self.ask(output),
            shown => {
                self.shown = shown;
                Ok(())
            }
        }
    }

    pub(super) fn frame(&self, permission: &Permission, limit: usize, output: &mut Output) -> Outcome {
        output.lines(permission::frame(
            &self.session,
            permission,
            permission::Room { limit, ..permission::Room::of_window(ui::width()) },
            now_ms(),
            self.holds_state,
            ui::Paint::stdout(),
        ))
    }
}

/// Answers to the questions in a request, from words: one part for each question, between bars; a part of numbers
/// chooses among what is offered.
pub(crate) fn answers(input: &Value, words: &str) -> Result<Value, String> {
    let asked = questions(input);
    let parts: Vec<&str> = match asked {
        [_] => vec![words.trim()],
        _ => words.split('|').map(str::trim).collect(),
    };
    if parts.len() != asked.len() {
        return Err(format!(
            "{} are asked and {} answered: /answer A | B, one part for each",
            count(asked.len(), "question", "questions"),
            parts.len()
        ));
    }
    together(asked, &parts)
}

/// The questions in a request.
pub(crate) fn questions(input: &Value) -> &[Value] {
    input["questions"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Answers to all of them, from one part for each.
pub(crate) fn together(asked: &[Value], parts: &[&str]) -> Result<Value, String> {
    let mut answers = serde_json::Map::new();
    for (question, part) in asked.iter().zip(parts) {
        let Some(name) = question["question"].as_str() else {
            return Err("a question has no words".to_owned());
        };
        answers.insert(name.to_owned(), answer(question, part)?.into());
    }
    Ok(Value::Object(answers))
}

/// The answer to one of them.
pub(crate) fn answer(question: &Value, part: &str) -> Result<String, String> {
    let labels: Vec<&str> = question["options"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|option| option["label"].as_str())
        .collect();
    let numbers: Result<Vec<usize>, _> = part.split(',').map(|number| number.trim().parse()).collect();
    match numbers {
        _ if part.is_empty() => Err("an answer is words, or numbers of what is offered".to_owned()),
        Ok(numbers) if !labels.is_empty() => {
            let label = |number: &usize| {
                let label = labels.get(number.checked_sub(1)?);
                label.copied()
            };
            let chosen: Option<Vec<&str>> = numbers.iter().map(label).collect();
            chosen
                .map(|chosen| chosen.join(", "))
                .ok_or_else(|| format!("{part}: {} are offered", labels.len()))
        }
        _ => Ok(part.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn questions_are_answered_in_words_or_by_numbers() {
        let colour = json!({"question": "Which?", "options": [{"label": "Red"}, {"label": "Blue"}]});
        let one = json!({"questions": [colour]});
        assert_eq!(answers(&one, "2").unwrap(), json!({"Which?": "Blue"}));
        assert_eq!(answers(&one, " green | or so ").unwrap(), json!({"Which?": "green | or so"}));
        assert!(answers(&one, "3").unwrap_err().contains("2 are offered"));
        assert!(answers(&one, " ").is_err());
        let two = json!({"questions": [colour, {"question": "Why?"}]});
        assert_eq!(answers(&two, "1, 2 | 7").unwrap(), json!({"Which?": "Red, Blue", "Why?": "7"}));
        assert!(answers(&two, "1").unwrap_err().contains("2 questions"));
    }
}
