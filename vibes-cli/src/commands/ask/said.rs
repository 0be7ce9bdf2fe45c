//! What an agent says in a turn, and what of it is the answer.
//!
//! Invariant: the answer is what was said last that is more than space: words before a tool call are about what comes,
//! not about what came of it. What is kept is bounded.

/// Past this an answer is cut.
const MOST: usize = 64 * 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct Said {
    /// Since the last tool call.
    words: String,
    /// Before it, if there was something.
    before: String,
    /// Something came in between: what follows is a paragraph of its own.
    paused: bool,
    cut: bool,
}

impl Said {
    pub(super) fn words(&mut self, words: &str) {
        if std::mem::take(&mut self.paused) && !self.words.is_empty() && !self.words.ends_with("\n\n") {
            self.words.push_str(if self.words.ends_with('\n') { "\n" } else { "\n\n" });
        }
        let room = MOST.saturating_sub(self.words.len());
        let end = words.floor_char_boundary(room);
        self.cut |= end < words.len();
        self.words.push_str(&words[..end]);
    }

    /// It thinks.
    pub(super) fn pause(&mut self) {
        self.paused = true;
    }

    /// It begins to do something.
    pub(super) fn tool(&mut self) {
        self.paused = false;
        let words = std::mem::take(&mut self.words);
        if !words.trim().is_empty() {
            self.before = words;
        }
    }

    pub(super) fn answer(&self) -> &str {
        if self.words.trim().is_empty() { &self.before } else { &self.words }
    }

    pub(super) fn was_cut(&self) -> bool {
        self.cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_is_what_was_said_last() {
        let mut said = Said::default();
        said.words("I will ");
        said.words("look.");
        said.tool();
        assert_eq!(said.answer(), "I will look.", "nothing came after it");
        said.words("\n");
        assert_eq!(said.answer(), "I will look.");
        said.words("There are ");
        said.words("three.");
        said.pause();
        said.words("And one more.");
        assert_eq!(said.answer(), "\nThere are three.\n\nAnd one more.");
    }

    #[test]
    fn it_is_bounded_at_a_character() {
        let mut said = Said::default();
        said.words(&"x".repeat(MOST - 1));
        said.words("é");
        assert_eq!(said.answer().len(), MOST - 1);
        assert!(said.was_cut());
    }
}
