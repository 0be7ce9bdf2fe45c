//! The whole screen: pictures in, bytes out.
//!
//! Invariant: pure. A row that did not change is not written again; the bytes of one picture go out in one write,
//! between the marks that keep a terminal from showing half of it; no row reaches the last column, so that none is wrapped.

use crate::render::columns;
use crate::render::tool::clipped;
use std::fmt::Write as _;

#[derive(Debug)]
pub(crate) struct Screen {
    size: (usize, usize),
    shown: Vec<String>,
    torn: bool,
}

impl Screen {
    pub(crate) fn new(size: (usize, usize)) -> Self {
        Self { size, shown: Vec::new(), torn: true }
    }

    /// Columns and rows.
    pub(crate) fn size(&self) -> (usize, usize) {
        self.size
    }

    /// The screen has this size; what stands on it is nobody's guess.
    pub(crate) fn resize(&mut self, size: (usize, usize)) {
        self.size = size;
        self.torn = true;
    }

    /// The bytes for a picture, if there is anything to write.
    pub(crate) fn draw(&mut self, mut rows: Vec<String>) -> Option<String> {
        rows.resize(self.size.1, String::new());
        for row in &mut rows {
            *row = fit(row, self.size.0.saturating_sub(1));
        }
        let torn = std::mem::take(&mut self.torn);
        if !torn && rows == self.shown {
            return None;
        }
        let mut out = String::from("\x1b[?2026h\x1b[?25l");
        if torn {
            out.push_str("\x1b[0m\x1b[H\x1b[2J");
        }
        for (at, row) in rows.iter().enumerate() {
            let changed = if torn { !row.is_empty() } else { self.shown.get(at) != Some(row) };
            if changed {
                let _ = write!(out, "\x1b[{};1H{row}\x1b[0m\x1b[K", at + 1);
            }
        }
        out.push_str("\x1b[?2026l");
        self.shown = rows;
        Some(out)
    }
}

/// A row of at most so many columns.
pub(crate) fn fit(painted: &str, width: usize) -> String {
    // How far a tab goes depends on where it stands.
    let row = if painted.contains('\t') { painted.replace('\t', "    ") } else { painted.to_owned() };
    if columns(&row) > width { clipped(&row, width) } else { row }
}

/// A row of just so many columns.
pub(crate) fn cell(painted: &str, width: usize) -> String {
    let mut row = fit(painted, width);
    let used = columns(&row);
    row.extend(std::iter::repeat_n(' ', width.saturating_sub(used)));
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_written_and_nothing_is_wider_than_the_screen() {
        let rows = |rows: &[&str]| rows.iter().map(|row| (*row).to_owned()).collect::<Vec<_>>();
        let mut screen = Screen::new((10, 3));
        assert!(screen.draw(rows(&["one", "two"])).unwrap().contains("\x1b[2J"));
        assert_eq!(screen.draw(rows(&["one", "two"])), None);
        let bytes = screen.draw(rows(&["one", "TWO"])).unwrap();
        assert!(!bytes.contains("one") && bytes.contains("\x1b[2;1HTWO"), "{bytes:?}");
        let bytes = screen.draw(rows(&["日本語日本語日本語", "TWO", "", "four"])).unwrap();
        assert!(bytes.contains("日本語日…") && !bytes.contains("four"), "{bytes:?}");
        screen.resize((6, 3));
        assert!(screen.draw(rows(&["one", "a\tb"])).unwrap().contains("one"));
        assert_eq!(cell("\x1b[1mab\x1b[0m", 4), "\x1b[1mab\x1b[0m  ");
    }
}
