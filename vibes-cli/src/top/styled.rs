//! Words to lines of ratatui.
//!
//! Invariant: nothing that a terminal obeys is in them: of painted lines only colours of ours are taken, as styles, and
//! every other control character is dropped, though all words have been sanitised before. And every terminal agrees how
//! wide they are: characters that some join into one sign stand one by one.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

/// Styles, or none for whoever wants no colours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ink(pub(crate) bool);

macro_rules! inks {
    ($($name:ident => $style:expr;)*) => {
        $(pub(crate) fn $name(self) -> Style {
            if self.0 { $style } else { Style::new() }
        })*
    };
}

impl Ink {
    inks! {
        none => Style::new();
        bold => Style::new().add_modifier(Modifier::BOLD);
        dim => Style::new().add_modifier(Modifier::DIM);
        red => Style::new().fg(Color::Red);
        green => Style::new().fg(Color::Green);
        yellow => Style::new().fg(Color::Yellow);
        blue => Style::new().fg(Color::Blue);
        alarm => Style::new().fg(Color::Black).bg(Color::Yellow).add_modifier(Modifier::BOLD);
    }
}

/// Words of one style.
pub(crate) fn span(words: &str, style: Style) -> Span<'static> {
    let mut plain = String::with_capacity(words.len());
    words.chars().for_each(|c| put(c, &mut plain));
    Span::styled(plain, style)
}

fn put(c: char, words: &mut String) {
    match c {
        // How far it goes depends on where it stands.
        '\t' => words.push_str("    "),
        // Joiners, the choice between text and picture, and tones of skin: terminals differ in how wide a sign is with them.
        '\u{200d}' | '\u{fe0e}' | '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}' => {}
        c if c.is_control() => {}
        c => words.push(c),
    }
}

/// A line that was painted for a terminal.
pub(crate) fn painted(line: &str) -> Line<'static> {
    let (mut spans, mut words, mut style) = (Vec::new(), String::new(), Style::new());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' {
            put(c, &mut words);
            continue;
        }
        let mut codes = String::new();
        let end = chars.by_ref().find(|c| {
            let more = c.is_ascii_digit() || matches!(c, ';' | '[');
            codes.extend(Some(*c).filter(|_| more));
            !more
        });
        if end == Some('m') {
            if !words.is_empty() {
                spans.push(Span::styled(std::mem::take(&mut words), style));
            }
            style = codes.trim_start_matches('[').split(';').fold(style, coloured);
        }
    }
    if !words.is_empty() {
        spans.push(Span::styled(words, style));
    }
    Line::from(spans)
}

fn coloured(style: Style, code: &str) -> Style {
    const COLOURS: [Color; 8] = [
        Color::Black,
        Color::Red,
        Color::Green,
        Color::Yellow,
        Color::Blue,
        Color::Magenta,
        Color::Cyan,
        Color::Gray,
    ];
    let colour = |at: usize| COLOURS.get(at).copied().unwrap_or(Color::Reset);
    match code.parse().unwrap_or(0) {
        0 => Style::new(),
        1 => style.add_modifier(Modifier::BOLD),
        2 => style.add_modifier(Modifier::DIM),
        3 => style.add_modifier(Modifier::ITALIC),
        4 => style.add_modifier(Modifier::UNDERLINED),
        7 => style.add_modifier(Modifier::REVERSED),
        9 => style.add_modifier(Modifier::CROSSED_OUT),
        code @ 30..=37 => style.fg(colour(code - 30)),
        code @ 40..=47 => style.bg(colour(code - 40)),
        _ => style,
    }
}

/// Draws a line at a place, as far as there is room; a cut is marked.
pub(crate) fn draw(buffer: &mut Buffer, (x, y): (usize, usize), line: &Line<'_>, width: usize) {
    let (Ok(x), Ok(y)) = (u16::try_from(x), u16::try_from(y)) else { return };
    let area = buffer.area;
    if x >= area.right() || y >= area.bottom() || width == 0 {
        return;
    }
    let width = u16::try_from(width).unwrap_or(u16::MAX).min(area.right() - x);
    if line.width() <= width.into() {
        buffer.set_line(x, y, line, width);
        return;
    }
    let (end, _) = buffer.set_line(x, y, line, width - 1);
    buffer.set_string(end, y, "…", line.spans.last().map_or_else(Style::new, |span| span.style));
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::layout::Rect;

    fn drawn(line: &Line<'_>, width: usize) -> Buffer {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 8, 1));
        draw(&mut buffer, (0, 0), line, width);
        buffer
    }

    #[test]
    fn colours_become_styles_and_nothing_else_is_obeyed() {
        let line = painted("a\x1b[1;33mb\x1b[0m\x1b]0;x\u{7}c\u{9b}2J");
        let mut wanted = Buffer::with_lines(["ab0;xc2J"]);
        wanted[(1, 0)].set_style(Style::new().fg(Color::Yellow).add_modifier(Modifier::BOLD));
        // What began as another sequence lost its first two characters; what followed is text.
        let got = drawn(&line, 8);
        assert_eq!(got[(1, 0)], wanted[(1, 0)]);
        assert!(got.content.iter().all(|cell| !cell.symbol().contains(char::is_control)), "{got:?}");
    }

    #[test]
    fn wide_signs_are_cut_whole_and_joined_ones_stand_one_by_one() {
        assert_eq!(drawn(&painted("日本語日本"), 7), Buffer::with_lines(["日本語… "]));
        assert_eq!(drawn(&painted("日本語日本"), 6), Buffer::with_lines(["日本…   "]));
        assert_eq!(drawn(&painted("👩\u{200d}👧👍🏽❤\u{fe0f}x"), 8), Buffer::with_lines(["👩👧👍❤x"]));
        assert_eq!(drawn(&painted("e\u{301}a\tb"), 8), Buffer::with_lines(["e\u{301}a    b "]));
    }
}
