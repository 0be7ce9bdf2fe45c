//! What is written to a terminal so that the last rows of the screen are ours and everything above them scrolls.
//!
//! Invariant: pure: pictures in, bytes out. The bytes of one picture go out in one write, between the marks that keep a
//! terminal from showing half of it. A row that did not change is not written again; rows below are never wider than
//! the screen less one column, so that no terminal wraps them and no erasing takes their last character.

use crate::render::columns;
use crate::render::tool::clipped;
use std::collections::VecDeque;

/// Lines of the transcript that can be drawn again when the screen changed.
const RECENT: usize = 200;

/// The rows below the transcript.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) rows: Vec<String>,
    /// Row and column of the cursor.
    pub(crate) cursor: (usize, usize),
}

#[derive(Debug)]
pub(crate) struct Canvas {
    columns: usize,
    rows: usize,
    shown: Picture,
    recent: VecDeque<String>,
    /// The screen changed, and what stands on it is nobody's guess.
    torn: bool,
}

impl Canvas {
    pub(crate) fn new((columns, rows): (usize, usize)) -> Self {
        Self { columns, rows, shown: Picture::default(), recent: VecDeque::new(), torn: false }
    }

    pub(crate) fn size(&self) -> (usize, usize) {
        (self.columns, self.rows)
    }

    /// The screen has another size.
    pub(crate) fn resize(&mut self, (columns, rows): (usize, usize)) {
        // Some terminals wrap what became too wide and some cut it; what grows may bring back rows of ours that had
        // scrolled out. Where anything stands is not known then.
        self.torn |= (columns, rows) != (self.columns, self.rows);
        (self.columns, self.rows) = (columns, rows);
    }

    /// Draws the whole screen again with the next picture.
    pub(crate) fn redraw(&mut self) {
        self.torn = true;
    }

    /// Lines for the transcript, and the rows below it: the bytes, if there is anything to write.
    pub(crate) fn draw(&mut self, above: &str, mut picture: Picture) -> Option<String> {
        picture.rows.truncate(self.rows.saturating_sub(1).max(1));
        for row in &mut picture.rows {
            if columns(row) >= self.columns {
                *row = clipped(row, self.columns.saturating_sub(1));
            }
        }
        picture.cursor.0 = picture.cursor.0.min(picture.rows.len().saturating_sub(1));
        picture.cursor.1 = picture.cursor.1.min(self.columns.saturating_sub(1));
        if above.is_empty() && picture == self.shown && !self.torn {
            return None;
        }
        for line in above.lines() {
            if self.recent.len() == RECENT {
                self.recent.pop_front();
            }
            self.recent.push_back(line.to_owned());
        }
        let mut out = String::with_capacity(above.len() + 256);
        out.push_str("\x1b[?2026h\x1b[?25l");
        let torn = std::mem::take(&mut self.torn);
        if torn {
            out.push_str("\x1b[H\x1b[J");
            self.repaint(picture.rows.len(), &mut out);
        } else {
            up(self.shown.cursor.0, &mut out);
            for line in above.lines() {
                // Written over what stands there: where a terminal knows no marks, nothing is blank in between. One that
                // wraps ends in a row that cannot be told, and may end where erasing would take its last character.
                let wraps = columns(line) >= self.columns;
                if wraps {
                    out.push_str("\x1b[J");
                }
                out.push_str(line);
                out.push_str(if wraps { "\r\n" } else { "\x1b[K\r\n" });
            }
        }
        let fresh = torn || !above.is_empty();
        for (at, row) in picture.rows.iter().enumerate() {
            if at > 0 {
                out.push_str("\r\n");
            }
            if fresh || self.shown.rows.get(at) != Some(row) {
                out.push_str(row);
                out.push_str("\x1b[K");
            }
        }
        if fresh {
            out.push_str("\x1b[J");
        }
        let last = picture.rows.len().saturating_sub(1);
        let mut at = last;
        if !fresh && self.shown.rows.len() > picture.rows.len() {
            out.push_str("\r\n\x1b[J");
            at += 1;
        }
        up(at - picture.cursor.0, &mut out);
        if picture.cursor.1 > 0 {
            out.push_str(&format!("\x1b[{}C", picture.cursor.1));
        }
        out.push_str("\x1b[?25h\x1b[?2026l");
        self.shown = picture;
        Some(out)
    }

    /// Takes our rows away; the cursor stands below the transcript.
    pub(crate) fn leave(&mut self) -> String {
        let mut out = String::new();
        up(self.shown.cursor.0, &mut out);
        out.push_str("\x1b[J");
        self.shown = Picture::default();
        out
    }

    /// As much of the transcript's end as there is room for above the rows.
    fn repaint(&self, below: usize, out: &mut String) {
        let mut room = self.rows.saturating_sub(below);
        let mut from = self.recent.len();
        for line in self.recent.iter().rev() {
            let needed = columns(line).div_ceil(self.columns.max(1)).max(1);
            if needed > room {
                break;
            }
            room -= needed;
            from -= 1;
        }
        for line in self.recent.iter().skip(from) {
            out.push_str(line);
            out.push_str("\r\n");
        }
    }
}

/// Up so many rows, to the first column.
fn up(rows: usize, out: &mut String) {
    if rows > 0 {
        out.push_str(&format!("\x1b[{rows}A"));
    }
    out.push('\r');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(rows: &[&str], cursor: (usize, usize)) -> Picture {
        Picture { rows: rows.iter().map(|row| (*row).to_owned()).collect(), cursor }
    }

    #[test]
    fn what_did_not_change_is_not_written() {
        let mut canvas = Canvas::new((20, 10));
        assert!(canvas.draw("", picture(&["one", "two"], (1, 3))).is_some());
        assert_eq!(canvas.draw("", picture(&["one", "two"], (1, 3))), None);
        let bytes = canvas.draw("", picture(&["one", "TWO"], (1, 3))).unwrap();
        assert!(!bytes.contains("one") && bytes.contains("TWO"), "{bytes:?}");
        let bytes = canvas.draw("more\n", picture(&["one", "TWO"], (1, 3))).unwrap();
        assert!(bytes.contains("more\x1b[K\r\n") && bytes.contains("one"), "{bytes:?}");
        assert_eq!(bytes.matches("2026").count(), 2);
    }

    #[test]
    fn nothing_is_blank_before_what_comes_in_its_place() {
        let mut canvas = Canvas::new((20, 10));
        canvas.draw("", picture(&["one", "two", "three"], (1, 3)));
        let bytes = canvas.draw("more\n", picture(&["one", "two"], (1, 3))).unwrap();
        let at = |part: &str| bytes.find(part).unwrap_or_else(|| panic!("{part:?} in {bytes:?}"));
        assert!(at("more\x1b[K") < at("one\x1b[K") && at("two\x1b[K") < at("\x1b[J"), "{bytes:?}");
        // What fills the last column leaves the cursor on it.
        let bytes = canvas.draw("12345678901234567890\n", picture(&["one"], (0, 0))).unwrap();
        assert!(bytes.contains("\x1b[J12345678901234567890\r\n"), "{bytes:?}");
    }

    #[test]
    fn rows_are_cut_to_the_screen() {
        let mut canvas = Canvas::new((10, 3));
        let bytes = canvas.draw("", picture(&["日本語日本語日本語", "b", "c", "d"], (3, 50))).unwrap();
        assert!(bytes.contains("日本語日…") && !bytes.contains('c'), "{bytes:?}");
        assert_eq!(canvas.shown.cursor, (1, 9));
    }

    #[test]
    fn a_screen_of_another_size_is_drawn_from_memory() {
        let mut canvas = Canvas::new((20, 5));
        canvas.draw("a\nb\nc\nd\n", picture(&["in"], (0, 0)));
        canvas.resize((10, 4));
        let bytes = canvas.draw("", picture(&["in"], (0, 0))).unwrap();
        assert!(bytes.contains("\x1b[H\x1b[Jb\r\nc\r\nd\r\n"), "{bytes:?}");
        canvas.resize((10, 4));
        assert_eq!(canvas.draw("", picture(&["in"], (0, 0))), None, "it is no other");
        canvas.resize((15, 5));
        assert!(canvas.draw("", picture(&["in"], (0, 0))).unwrap().contains("a\r\nb"));
    }
}
