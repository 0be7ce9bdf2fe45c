//! Where pieces of a conversation go when there is no window.
//!
//! Invariant: a whole line of ours never continues a line under way, and nothing is added to an agent's words: what
//! it said without a last newline ends without one.

use crate::error::Outcome;
use crate::render::conversation::{Piece, Place, Style};
use crate::{place, ui};
use vibes_protocol::model::ClientId;

/// How a conversation is drawn on this process's standard output.
pub(crate) fn style(agent: &str, me: Option<ClientId>, place: Place, thoughts: bool) -> Style {
    let terminal = ui::stdout_is_terminal();
    Style {
        terminal,
        place: if terminal { place } else { Place::Stream },
        thoughts,
        // Without a terminal nothing is cut.
        width: if terminal { ui::width() } else { usize::MAX / 4 },
        paint: ui::Paint::stdout(),
        agent: agent.to_owned(),
        me,
        seat: Some(place::identity()),
    }
}

/// Standard output, line by line.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    mid_line: bool,
    words_only: bool,
}

impl Plain {
    /// With `words_only`, lines that are not the agent's words go to standard error: the words alone are the data.
    pub(crate) fn new(words_only: bool) -> Self {
        Self { mid_line: false, words_only }
    }

    /// Prints pieces.
    pub(crate) fn show(&mut self, pieces: Vec<Piece>) -> Outcome {
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Words(words) => {
                    self.mid_line = !words.ends_with('\n');
                    text.push_str(&words);
                }
                Piece::Line(line) if self.words_only => ui::say(&crate::sanitize::text(&line)),
                Piece::Line(line) => {
                    if std::mem::take(&mut self.mid_line) {
                        text.push('\n');
                    }
                    text.push_str(&line);
                    text.push('\n');
                }
            }
        }
        if text.is_empty() { Ok(()) } else { ui::raw(&text) }
    }

    /// The end of a transcript. A terminal's prompt should not stand behind the last words.
    pub(crate) fn end(&mut self) -> Outcome {
        if std::mem::take(&mut self.mid_line) && !self.words_only { ui::raw("\n") } else { Ok(()) }
    }
}
