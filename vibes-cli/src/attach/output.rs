//! Where the loop prints: straight to standard output, or above the line editor.
//!
//! Invariant: pieces come out in the order they went in, and what is gathered is printed in one go, so that a fast
//! agent costs one picture, not one per word.

use super::editor::{Console, Keys};
use crate::error::Outcome;
use crate::render::conversation::Piece;
use crate::screen::Plain;
use crate::ui;
use std::sync::Arc;

/// Gathered text beyond this is printed even while more is coming, so that nothing looks stuck.
const ENOUGH: usize = 16 * 1024;

pub(crate) struct Output {
    plain: Plain,
    console: Option<Console>,
    gathered: String,
}

impl Output {
    /// Standard output. With `words_only` the agent's words are the data and all else is talk.
    pub(crate) fn plain(words_only: bool) -> Self {
        Self { plain: Plain::new(words_only), console: None, gathered: String::new() }
    }

    /// From now on above the editor's line.
    pub(crate) fn hand_over(&mut self, console: Console) -> Outcome {
        self.flush()?;
        self.console = Some(console);
        Ok(())
    }

    /// What the editor's keys depend on, where there is an editor.
    pub(crate) fn keys(&self) -> Option<&Arc<Keys>> {
        self.console.as_ref().map(|console| &console.keys)
    }

    /// Pieces of the conversation.
    pub(crate) fn pieces(&mut self, pieces: Vec<Piece>) -> Outcome {
        if self.console.is_none() {
            return self.plain.show(pieces);
        }
        for piece in pieces {
            let (Piece::Line(text) | Piece::Words(text)) = piece;
            self.gathered.push_str(&text);
            self.gathered.push('\n');
        }
        if self.gathered.len() > ENOUGH { self.flush() } else { Ok(()) }
    }

    /// Lines of ours in the conversation.
    pub(crate) fn lines(&mut self, lines: Vec<String>) -> Outcome {
        self.pieces(lines.into_iter().map(Piece::Line).collect())
    }

    /// Talk: above the editor's line, or on standard error.
    pub(crate) fn say(&mut self, line: String) -> Outcome {
        if self.console.is_some() {
            return self.lines(vec![line]);
        }
        ui::say(&line);
        Ok(())
    }

    /// Prints what was gathered.
    pub(crate) fn flush(&mut self) -> Outcome {
        match (&mut self.console, self.gathered.is_empty()) {
            (Some(console), false) => console.print(std::mem::take(&mut self.gathered)),
            _ => Ok(()),
        }
    }

    /// Gives the terminal back.
    pub(crate) fn stop(&mut self) {
        match self.console.take() {
            Some(console) => console.stop(),
            None => drop(self.plain.end()),
        }
    }
}
