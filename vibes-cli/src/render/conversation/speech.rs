//! The words of agents and people as they stream in.
//!
//! Invariant: on a terminal they come out sanitised, within the width, and away from the left edge; without one, an
//! agent's words pass byte for byte.

use super::{Conversation, Piece, Speaker};
use crate::render::{breaks, unframed, wrap};
use crate::sanitize;

/// Words without a newline beyond this go out line by line.
const LONG: usize = 4 * 1024;

impl Conversation {
    pub(super) fn is_shell(&self) -> bool {
        self.style.agent == "shell"
    }

    /// Words of a speaker, as they stream in.
    pub(super) fn words(&mut self, speaker: Speaker, words: &str) {
        if words.is_empty() {
            return;
        }
        if speaker != self.speaker {
            self.end_line();
            self.speaker = speaker;
        }
        if !self.style.terminal && speaker == Speaker::Agent {
            self.pieces.push(Piece::Words(words.to_owned()));
            return;
        }
        if speaker == Speaker::Thought && self.folds() {
            return self.work.think(words, self.at_ms);
        }
        let mut rest = words;
        while let Some(at) = rest.find('\n') {
            self.partial.push_str(&rest[..at]);
            self.spoken_line();
            rest = &rest[at + 1..];
        }
        self.partial.push_str(rest);
        if self.style.terminal && self.partial.len() > LONG {
            self.spill();
        }
    }

    /// Whether thoughts become one line.
    pub(super) fn folds(&self) -> bool {
        self.style.terminal && !self.style.thoughts
    }

    /// Lets out what fills whole lines already, so that words without a newline neither wait nor pile up.
    pub(super) fn spill(&mut self) {
        let lines = breaks(&self.partial, self.text_width());
        let Some(last) = lines.last().filter(|last| last.start > 0) else { return };
        let rest = self.partial.split_off(last.start);
        let head = std::mem::replace(&mut self.partial, rest);
        self.spoken(head.trim_end_matches(' '));
    }

    pub(super) fn text_width(&self) -> usize {
        self.style.width.saturating_sub(3).max(20)
    }

    /// Ends what is under way: the line, the block, the thought.
    pub(super) fn end_line(&mut self) {
        if !self.partial.is_empty() {
            self.spoken_line();
        }
        if self.markdown.is_under_way() {
            let mut lines = Vec::new();
            self.markdown.end(self.text_width(), self.style.paint, &mut lines);
            self.indented(lines);
        }
        self.thought_ends();
    }

    pub(super) fn spoken_line(&mut self) {
        let line = std::mem::take(&mut self.partial);
        self.spoken(line.trim_end_matches('\r'));
    }

    /// One line of a speaker.
    pub(super) fn spoken(&mut self, line: &str) {
        let (paint, width) = (self.style.paint, self.text_width());
        if !self.style.terminal {
            let line = match self.speaker {
                Speaker::Agent => line.to_owned(),
                Speaker::Thought => paint.dim(&format!("~ {line}")),
                Speaker::User => format!("{} {line}", paint.green(">")),
            };
            return self.pieces.push(Piece::Line(line));
        }
        let line = sanitize::text(line);
        let line = unframed(&line);
        match self.speaker {
            Speaker::Agent if !self.is_shell() => {
                let mut lines = Vec::new();
                self.markdown.line(&line, width, paint, &mut lines);
                self.indented(lines);
            }
            Speaker::Agent => self.indented(wrap(&line, width)),
            Speaker::Thought => {
                let lines = wrap(&line, width).iter().map(|line| paint.dim(&format!("~ {line}"))).collect();
                self.indented(lines);
            }
            Speaker::User => {
                for line in wrap(&line, width) {
                    self.pieces.push(Piece::Line(format!("{} {line}", paint.green(">"))));
                }
            }
        }
    }

    /// Lines of an agent: the left edge is not theirs.
    pub(super) fn indented(&mut self, lines: Vec<String>) {
        self.pieces.extend(lines.into_iter().map(|mut line| {
            if !line.is_empty() {
                line.insert_str(0, "  ");
            }
            Piece::Line(line)
        }));
    }
}
