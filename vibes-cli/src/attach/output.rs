//! Where the loop prints: straight to standard output, or into the window.
//!
//! Invariant: pieces come out in the order they went in.

use super::window::Window;
use crate::error::Outcome;
use crate::render::conversation::Piece;
use crate::screen::Plain;
use crate::ui;

pub(crate) struct Output {
    plain: Plain,
    /// Where a person types into a terminal that can be drawn on.
    pub(crate) window: Option<Window>,
}

impl Output {
    /// Standard output. With `words_only` the agent's words are the data and all else is talk.
    pub(crate) fn plain(words_only: bool) -> Self {
        Self { plain: Plain::new(words_only), window: None }
    }

    /// Pieces of the conversation.
    pub(crate) fn pieces(&mut self, pieces: Vec<Piece>) -> Outcome {
        let Some(window) = &mut self.window else { return self.plain.show(pieces) };
        for piece in pieces {
            let (Piece::Line(text) | Piece::Words(text)) = piece;
            window.gather(&text);
        }
        Ok(())
    }

    /// Lines of ours in the conversation.
    pub(crate) fn lines(&mut self, lines: Vec<String>) -> Outcome {
        self.pieces(lines.into_iter().map(Piece::Line).collect())
    }

    /// Talk: in the window, or on standard error.
    pub(crate) fn say(&mut self, line: String) -> Outcome {
        if self.window.is_some() {
            return self.lines(vec![line]);
        }
        ui::say(&line);
        Ok(())
    }

    /// Gives the terminal back.
    pub(crate) fn stop(&mut self) {
        match self.window.take() {
            Some(window) => window.close(),
            None => drop(self.plain.end()),
        }
    }
}
