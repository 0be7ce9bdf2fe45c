//! `/remember` and `/recall` in an attached session.
//!
//! Invariant: nothing of what is recalled reaches the agent by itself: a person takes it into the line, sees it there
//! and sends it.

use super::link::Link;
use super::output::Output;
use super::view::View;
use crate::commands::now;
use crate::error::Outcome;
use crate::render::memories;
use crate::ui;
use vibes_protocol::model::Memory;
use vibes_protocol::remember::tags;
use vibes_protocol::wire::request::{AddMemory, SearchMemories};

/// How many are shown: each has a digit.
const SHOWN: u32 = 9;

impl View {
    pub(super) fn remember(&mut self, words: &str, link: &mut Link, output: &mut Output) -> Outcome {
        if words.is_empty() {
            return self.note("/remember wants the words", output);
        }
        let session_id = Some(self.session.id.to_string());
        let request = AddMemory { text: words.to_owned(), category: None, tags: tags(words), session_id };
        self.send_or_say(request, link, output)
    }

    /// Looks for something or, with the number of a row that was shown, takes it into the line.
    pub(super) fn recall(&mut self, words: &str, link: &mut Link, output: &mut Output) -> Outcome {
        let row = words.parse::<usize>().ok().and_then(|row| row.checked_sub(1));
        if let Some(memory) = row.and_then(|row| self.recalled.get(row)) {
            let text = memory.text.clone();
            return match &mut output.window {
                Some(window) => {
                    window.insert(&text);
                    Ok(())
                }
                None => {
                    output.lines(text.lines().map(|line| crate::sanitize::text(line).into_owned()).collect())
                }
            };
        }
        let query = (!words.is_empty()).then(|| words.to_owned());
        let request =
            SearchMemories { query, category: None, tags: Vec::new(), limit: Some(SHOWN), offset: None };
        self.send_or_say(request, link, output)
    }

    pub(super) fn remembered(&mut self, memory: &Memory, output: &mut Output) -> Outcome {
        self.note(&format!("remembered as {}; `vibes memory rm {}` forgets it", memory.id, memory.id), output)
    }

    pub(super) fn show_recalled(&mut self, found: Vec<Memory>, total: u64, output: &mut Output) -> Outcome {
        self.recalled = found;
        if self.recalled.is_empty() {
            return self.note("nothing that is remembered fits", output);
        }
        let lines = memories::rows(&self.recalled, now(), ui::width(), ui::Paint::stdout());
        output.lines(lines)?;
        let more = total.saturating_sub(self.recalled.len() as u64);
        let more = if more > 0 { format!("; {more} more fit") } else { String::new() };
        self.note(&format!("/recall N takes one into the line{more}"), output)
    }
}
