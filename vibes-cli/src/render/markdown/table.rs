//! A table on a terminal: columns where they fit, cells in several lines where they nearly do, and a list of names and
//! values where the screen is too small for columns.
//!
//! Invariant: nothing is cut; every cell is there whole.

use crate::render::columns;
use crate::render::spans::{Look, Spans};
use crate::ui::Paint;
use unicode_width::UnicodeWidthStr as _;

/// A column narrower than this is no column.
const NARROWEST: usize = 8;
/// Between two columns.
const BETWEEN: &str = " │ ";

/// The lines of a table; its head is the first row.
pub(super) fn draw(rows: &[Vec<Spans>], width: usize, paint: Paint) -> Vec<String> {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let natural: Vec<usize> = (0..count)
        .map(|at| {
            rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.text().width()).max().unwrap_or(0)
        })
        .collect();
    let room = width.saturating_sub(BETWEEN.width() * count.saturating_sub(1));
    match fitted(&natural, room) {
        Some(widths) => in_columns(rows, &widths, paint),
        None => as_list(rows, width, paint),
    }
}

/// The widths of columns in this room: each gets what it needs, and the wide ones share what the narrow ones leave.
fn fitted(natural: &[usize], room: usize) -> Option<Vec<usize>> {
    if natural.iter().sum::<usize>() <= room {
        return Some(natural.to_vec());
    }
    let (mut left, mut open) = (room, natural.len());
    let mut order: Vec<usize> = (0..natural.len()).collect();
    order.sort_by_key(|at| natural[*at]);
    let mut widths = vec![0; natural.len()];
    for at in order {
        let share = left / open;
        widths[at] = natural[at].min(share);
        if widths[at] < natural[at] && share < NARROWEST {
            return None;
        }
        left -= widths[at];
        open -= 1;
    }
    Some(widths)
}

fn in_columns(rows: &[Vec<Spans>], widths: &[usize], paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<Vec<String>> = widths
            .iter()
            .enumerate()
            .map(|(at, width)| row.get(at).map_or_else(Vec::new, |cell| cell.lines((*width).max(1), paint)))
            .collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(0);
        for level in 0..height {
            let part = |(at, cell): (usize, &Vec<String>)| {
                let text = cell.get(level).map_or("", String::as_str);
                let pad = widths[at].saturating_sub(columns(text));
                let text = if number == 0 { Look::BOLD.paint(text, paint) } else { text.to_owned() };
                format!("{text}{}", " ".repeat(pad))
            };
            let parts: Vec<String> = cells.iter().enumerate().map(part).collect();
            lines.push(parts.join(&paint.dim(BETWEEN)).trim_end().to_owned());
        }
        if number == 0 {
            let rule: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
            lines.push(paint.dim(&rule.join("─┼─")));
        }
    }
    lines
}

fn as_list(rows: &[Vec<Spans>], width: usize, paint: Paint) -> Vec<String> {
    let Some((head, body)) = rows.split_first() else { return Vec::new() };
    let mut lines = Vec::new();
    for row in body {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        for (at, cell) in row.iter().enumerate() {
            let name = head.get(at).map_or("", Spans::text);
            lines.extend(crate::render::wrap(name, width).iter().map(|line| paint.bold(line)));
            let inner = cell.lines(width.saturating_sub(2).max(8), paint);
            lines.extend(inner.into_iter().map(|line| format!("  {line}")));
        }
    }
    lines
}
