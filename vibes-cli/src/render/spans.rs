//! Text with looks: what Markdown becomes before it is cut into lines.
//!
//! Invariant: a cut never separates a character from the marks that combine with it, and paint is added after the cut,
//! so that no escape sequence ever counts as a column or runs over the end of a line.

use super::breaks;
use crate::ui::Paint;
use std::ops::{BitOr, Range};

/// Adds one look to a text.
type Apply = fn(Paint, &str) -> String;

/// How a piece of text looks; several at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Look(u8);

impl Look {
    pub(crate) const PLAIN: Self = Self(0);
    pub(crate) const BOLD: Self = Self(1);
    pub(crate) const ITALIC: Self = Self(2);
    pub(crate) const STRUCK: Self = Self(4);
    pub(crate) const CODE: Self = Self(8);
    pub(crate) const DIM: Self = Self(16);
    pub(crate) const HEADING: Self = Self(32);
    pub(crate) const LINK: Self = Self(64);

    fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The text with this look.
    pub(crate) fn paint(self, text: &str, paint: Paint) -> String {
        let looks: [(Self, Apply); 7] = [
            (Self::BOLD, Paint::bold),
            (Self::ITALIC, Paint::italic),
            (Self::STRUCK, Paint::struck),
            (Self::CODE, Paint::cyan),
            (Self::DIM, Paint::dim),
            (Self::HEADING, Paint::heading),
            (Self::LINK, Paint::underline),
        ];
        let mut painted = text.to_owned();
        for (look, apply) in looks {
            if self.has(look) {
                painted = apply(paint, &painted);
            }
        }
        painted
    }
}

impl BitOr for Look {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One line of text, before it is cut.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spans {
    text: String,
    looks: Vec<(usize, Look)>,
}

impl Spans {
    /// Adds text with a look.
    pub(crate) fn push(&mut self, text: &str, look: Look) {
        if text.is_empty() {
            return;
        }
        if self.looks.last().is_none_or(|(_, last)| *last != look) {
            self.looks.push((self.text.len(), look));
        }
        self.text.push_str(text);
    }

    /// The text without its looks.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The lines of at most this width, painted.
    pub(crate) fn lines(&self, width: usize, paint: Paint) -> Vec<String> {
        breaks(&self.text, width).into_iter().map(|range| self.part(range, paint)).collect()
    }

    fn part(&self, range: Range<usize>, paint: Paint) -> String {
        let mut painted = String::with_capacity(range.len());
        for (at, (start, look)) in self.looks.iter().enumerate() {
            let end = self.looks.get(at + 1).map_or(self.text.len(), |next| next.0);
            let (from, to) = (range.start.max(*start), range.end.min(end));
            match self.text.get(from..to) {
                Some("") | None => {}
                Some(text) if *look == Look::PLAIN => painted.push_str(text),
                Some(text) => painted.push_str(&look.paint(text, paint)),
            }
        }
        painted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_survive_a_cut_and_never_run_over_it() {
        let mut spans = Spans::default();
        spans.push("one ", Look::PLAIN);
        spans.push("two three", Look::BOLD);
        spans.push(" four", Look::PLAIN);
        let lines = spans.lines(8, Paint::forced());
        assert_eq!(lines, ["one \u{1b}[1mtwo\u{1b}[0m", "\u{1b}[1mthree\u{1b}[0m", "four"]);
        assert_eq!(spans.lines(8, Paint::PLAIN), ["one two", "three", "four"]);
    }

    #[test]
    fn nothing_is_one_empty_line() {
        assert_eq!(Spans::default().lines(8, Paint::PLAIN), [""]);
    }
}
