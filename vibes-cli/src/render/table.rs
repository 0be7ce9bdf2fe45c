//! Columns that line up.
//!
//! Invariant: widths are measured on what a terminal shows (display columns of sanitised text), so no name, however
//! strange, moves its neighbours.

use crate::sanitize;
use crate::ui::Paint;
use unicode_width::UnicodeWidthStr as _;

/// One cell: its text, and how to paint it.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    paint: fn(Paint, &str) -> String,
}

fn unpainted(_: Paint, text: &str) -> String {
    text.to_owned()
}

impl Cell {
    /// A cell in the default colour.
    pub(crate) fn new(text: impl AsRef<str>) -> Self {
        Self { text: sanitize::line(text.as_ref()).into_owned(), paint: unpainted }
    }

    /// A cell in a colour.
    pub(crate) fn painted(text: impl AsRef<str>, paint: fn(Paint, &str) -> String) -> Self {
        Self { paint, ..Self::new(text) }
    }

    /// Its columns.
    pub(crate) fn width(&self) -> usize {
        self.text.width()
    }
}

/// Heading and rows, padded to common widths; the last column is left ragged.
pub(crate) fn render(headings: &[&str], rows: &[Vec<Cell>], paint: Paint) -> Vec<String> {
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.width()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.width().max(*width);
        }
    }
    let headings: Vec<Cell> = headings.iter().map(|heading| Cell::painted(heading, Paint::dim)).collect();
    std::iter::once(&headings).chain(rows).map(|row| line(row, &widths, paint)).collect()
}

fn line(row: &[Cell], widths: &[usize], paint: Paint) -> String {
    let mut line = String::new();
    for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
        line.push_str(&(cell.paint)(paint, &cell.text));
        if at + 1 < row.len() {
            line.push_str(&" ".repeat(width - cell.width() + 2));
        }
    }
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_by_what_is_seen() {
        let rows = [
            vec![Cell::new("日本"), Cell::new("x")],
            vec![Cell::new("a\x1b[31mb\n"), Cell::painted("y", Paint::red)],
        ];
        let lines = render(&["NAME", "B"], &rows, Paint::PLAIN);
        assert_eq!(lines, ["NAME  B", "日本  x", "ab␊   y"]);
    }

    #[test]
    fn colour_does_not_count_as_width() {
        let rows = [vec![Cell::painted("a", Paint::red), Cell::new("x")]];
        let lines = render(&["NAME", "B"], &rows, Paint::forced());
        assert!(lines[1].starts_with("\u{1b}[31ma\u{1b}[0m     x"), "{:?}", lines[1]);
    }
}
