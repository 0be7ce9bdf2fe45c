//! The line being typed: its text, the cursor, what was cut, what was typed before, and what could follow.
//!
//! Invariant: no terminal and no clock here. A key changes the line or means something to the window ([`Act`]); what is
//! drawn is a function of the line and a width.

use super::complete::Menu;
use super::history::History;
use super::keys::Press;
use crate::render::{keep_end, keep_start, overflow};
use crate::ui::Paint;
use rustyline::line_buffer::{ChangeListener, DeleteListener, Direction, LineBuffer};
use rustyline::{At, Movement, Word};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Room for a line; as much as a paste may bring.
const CAPACITY: usize = 1 << 20;
/// How often typing can be undone.
const UNDO: usize = 100;
const PROMPT: &str = "› ";

/// What a key means beside a change of the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    Nothing,
    /// Enter: the text.
    Submit(String),
    /// A key with a meaning in an empty line.
    Key(char),
    Interrupt,
    Detach,
    /// Show what was folded.
    Unfold,
    /// Draw everything again.
    Redraw,
    Suspend,
    /// Tab: what could follow.
    Complete,
}

/// Keeps what is cut.
#[derive(Debug, Default)]
struct Cut(String);

impl DeleteListener for Cut {
    fn delete(&mut self, _: usize, text: &str, direction: Direction) {
        match direction {
            Direction::Forward => self.0.push_str(text),
            Direction::Backward => self.0.insert_str(0, text),
        }
    }
}

impl ChangeListener for Cut {
    fn insert_char(&mut self, _: usize, _: char) {}
    fn insert_str(&mut self, _: usize, _: &str) {}
    fn replace(&mut self, _: usize, _: &str, _: &str) {}
}

/// A search backwards through what was typed before.
#[derive(Debug, Default)]
struct Search {
    words: String,
    /// The entry that is shown.
    at: Option<usize>,
}

pub(crate) struct Line {
    buffer: LineBuffer,
    cut: String,
    undo: Vec<(String, usize)>,
    history: History,
    /// The entry of the history that is shown, and what was typed before it.
    at: Option<usize>,
    draft: String,
    search: Option<Search>,
    pub(crate) menu: Option<Menu>,
}

/// The rows of the line, and where the cursor is in them.
pub(crate) struct Drawn {
    pub(crate) rows: Vec<String>,
    pub(crate) cursor: (usize, usize),
}

impl Line {
    pub(crate) fn new(history: History) -> Self {
        Self {
            buffer: LineBuffer::with_capacity(CAPACITY),
            cut: String::new(),
            undo: Vec::new(),
            history,
            at: None,
            draft: String::new(),
            search: None,
            menu: None,
        }
    }

    pub(crate) fn text(&self) -> &str {
        self.buffer.as_str()
    }

    /// The cursor, in bytes.
    pub(crate) fn cursor(&self) -> usize {
        self.buffer.pos()
    }

    /// Puts words in the place of others, the cursor behind them.
    pub(crate) fn replace(&mut self, from: usize, to: usize, words: &str) {
        self.buffer.replace(from..to, words, &mut Cut::default());
        self.buffer.set_pos(from + words.len());
    }

    fn set(&mut self, text: &str) {
        self.buffer.update(text, text.len(), &mut Cut::default());
    }

    /// One key.
    pub(crate) fn press(&mut self, key: Press) -> Act {
        if self.search.is_some() {
            return self.searching(key);
        }
        if let Some(menu) = &mut self.menu {
            let step = match key {
                Press::Tab | Press::Down => Some(true),
                Press::BackTab | Press::Up => Some(false),
                _ => None,
            };
            if let Some(forward) = step {
                let (from, words) = menu.step(forward);
                let to = self.cursor();
                self.replace(from, to, &words);
                return Act::Nothing;
            }
            self.menu = None;
            if key == Press::Escape {
                return Act::Nothing;
            }
        }
        self.edit(key)
    }

    fn edit(&mut self, key: Press) -> Act {
        let empty = self.buffer.is_empty();
        match key {
            Press::Char(c) if empty && (c.is_ascii_digit() || "aAsSdD".contains(c)) => return Act::Key(c),
            Press::Char(c) => self.insert(&c.to_string()),
            Press::Paste(text) => {
                self.remember();
                self.insert(&text);
            }
            Press::Newline => self.insert("\n"),
            Press::Enter => return self.enter(),
            Press::Tab if !empty => return Act::Complete,
            Press::Ctrl('c') if empty => return Act::Interrupt,
            // A line being typed is what Ctrl-C gives up first, as everywhere.
            Press::Ctrl('c') => {
                self.remember();
                self.set("");
                self.at = None;
            }
            Press::Ctrl('d') if !empty => drop(self.buffer.delete(1, &mut Cut::default())),
            Press::Ctrl('d' | '\\') => return Act::Detach,
            Press::Ctrl('l') => return Act::Redraw,
            Press::Ctrl('o') => return Act::Unfold,
            Press::Ctrl('z') => return Act::Suspend,
            Press::Ctrl('r') => self.search = Some(Search::default()),
            Press::Up | Press::Ctrl('p') => self.vertical(true),
            Press::Down | Press::Ctrl('n') => self.vertical(false),
            key => self.emacs(&key),
        }
        Act::Nothing
    }

    /// The keys that everybody's fingers know.
    fn emacs(&mut self, key: &Press) {
        let buffer = &mut self.buffer;
        match key {
            Press::Left | Press::Ctrl('b') => {
                buffer.move_backward(1);
            }
            Press::Right | Press::Ctrl('f') => {
                buffer.move_forward(1);
            }
            Press::WordLeft | Press::Alt('b') => {
                buffer.move_to_prev_word(Word::Emacs, 1);
            }
            Press::WordRight | Press::Alt('f') => {
                let _ = buffer.move_to_next_word(At::AfterEnd, Word::Emacs, 1);
            }
            Press::Home | Press::Ctrl('a') => {
                buffer.move_home();
            }
            Press::End | Press::Ctrl('e') => {
                buffer.move_end();
            }
            Press::Backspace => {
                buffer.backspace(1, &mut Cut::default());
            }
            Press::Delete => {
                buffer.delete(1, &mut Cut::default());
            }
            Press::Ctrl('t') => {
                buffer.transpose_chars(&mut Cut::default());
            }
            Press::Alt('<') => {
                buffer.move_buffer_start();
            }
            Press::Alt('>') => {
                buffer.move_buffer_end();
            }
            Press::Ctrl('k') => self.kill(&Movement::EndOfLine),
            Press::Ctrl('u') => self.kill(&Movement::BeginningOfLine),
            Press::Ctrl('w') => self.kill(&Movement::BackwardWord(1, Word::Big)),
            Press::WordBackspace => self.kill(&Movement::BackwardWord(1, Word::Emacs)),
            Press::Alt('d') => self.kill(&Movement::ForwardWord(1, At::AfterEnd, Word::Emacs)),
            Press::Ctrl('y') => {
                self.remember();
                let cut = std::mem::take(&mut self.cut);
                self.insert(&cut);
                self.cut = cut;
            }
            Press::Ctrl('_') => {
                if let Some((text, cursor)) = self.undo.pop() {
                    self.buffer.update(&text, cursor, &mut Cut::default());
                }
            }
            _ => {}
        }
    }

    fn kill(&mut self, what: &Movement) {
        self.remember();
        let mut cut = Cut::default();
        if self.buffer.kill(what, &mut cut) && !cut.0.is_empty() {
            self.cut = cut.0;
        }
    }

    /// What stands here can be had again.
    fn remember(&mut self) {
        if self.undo.len() == UNDO {
            self.undo.remove(0);
        }
        self.undo.push((self.text().to_owned(), self.cursor()));
    }

    /// Puts a text at the cursor.
    pub(crate) fn insert(&mut self, text: &str) {
        if self.buffer.len() + text.len() <= CAPACITY {
            self.buffer.yank(text, 1, &mut Cut::default());
        }
    }

    /// A backslash at the end goes on in the next line.
    fn enter(&mut self) -> Act {
        if self.buffer.is_cursor_at_end() && self.text().ends_with('\\') {
            let end = self.buffer.len();
            self.replace(end - 1, end, "\n");
            return Act::Nothing;
        }
        let text = self.text().to_owned();
        self.set("");
        self.undo.clear();
        self.at = None;
        self.history.add(&text);
        Act::Submit(text)
    }

    /// Up and down: a line of the text, else an entry of the history.
    fn vertical(&mut self, up: bool) {
        let (text, cursor) = (self.text().to_owned(), self.cursor());
        let begin = text[..cursor].rfind('\n').map_or(0, |at| at + 1);
        let column = text[begin..cursor].width();
        let target = if up {
            begin.checked_sub(1).map(|end| text[..end].rfind('\n').map_or(0, |at| at + 1))
        } else {
            text[cursor..].find('\n').map(|at| cursor + at + 1)
        };
        match target {
            Some(start) => {
                let line = text[start..].split('\n').next().unwrap_or_default();
                let at = overflow(line, column).unwrap_or(line.len());
                let at = if column == 0 { 0 } else { at };
                self.buffer.set_pos(start + at);
            }
            None => self.travel(up),
        }
    }

    fn travel(&mut self, back: bool) {
        let count = self.history.len();
        let next = match (self.at, back) {
            (None, true) => count.checked_sub(1),
            (None, false) => return,
            (Some(at), true) => Some(at.saturating_sub(1)),
            (Some(at), false) => Some(at + 1).filter(|at| *at < count),
        };
        if self.at.is_none() {
            if next.is_none() {
                return;
            }
            self.draft = self.text().to_owned();
        }
        self.at = next;
        let text = match next {
            Some(at) => self.history.get(at).to_owned(),
            None => std::mem::take(&mut self.draft),
        };
        self.set(&text);
    }

    fn searching(&mut self, key: Press) -> Act {
        let Some(search) = &mut self.search else { return Act::Nothing };
        let from = match key {
            Press::Char(c) => {
                search.words.push(c);
                search.at.map(|at| at + 1)
            }
            Press::Backspace => {
                search.words.pop();
                None
            }
            Press::Ctrl('r') => search.at,
            Press::Escape | Press::Ctrl('g' | 'c') => {
                self.search = None;
                return Act::Nothing;
            }
            other => {
                // Anything else takes what was found, and goes on with it.
                let found = search.at.map(|at| self.history.get(at).to_owned());
                self.search = None;
                if let Some(found) = found {
                    self.remember();
                    self.set(&found);
                }
                return if other == Press::Enter { Act::Nothing } else { self.edit(other) };
            }
        };
        let found = self.history.search(&search.words, from.unwrap_or(self.history.len()));
        if found.is_some() || search.words.is_empty() || key_is_new(&key) {
            search.at = found;
        }
        Act::Nothing
    }

    /// The rows of the line in this width; `hint` stands behind an empty one.
    pub(crate) fn draw(&self, width: usize, most: usize, hint: &str, paint: Paint) -> Drawn {
        let room = width.saturating_sub(PROMPT.width() + 1).max(4);
        if let Some(search) = &self.search {
            let found = search.at.map_or("", |at| self.history.get(at)).replace('\n', "⏎");
            let words = keep_end(&search.words, room / 2);
            let head = format!("search: {words}");
            let rest = keep_start(&found, room.saturating_sub(head.width() + 3));
            let row = format!("{}{} · {rest}", paint.green(PROMPT), paint.bold(&head));
            return Drawn { rows: vec![row], cursor: (0, PROMPT.width() + head.width()) };
        }
        if self.buffer.is_empty() {
            let row = format!("{}{}", paint.green(PROMPT), paint.dim(&keep_start(hint, room)));
            return Drawn { rows: vec![row], cursor: (0, PROMPT.width()) };
        }
        let (mut rows, mut cursor, mut begin) = (Vec::new(), (0, 0), 0);
        for line in self.text().split('\n') {
            for part in hard(line, room) {
                let (from, to) = (begin + part.start, begin + part.end);
                // At the end of a full row the cursor stands at the beginning of the next.
                if (from..=to).contains(&self.cursor()) {
                    cursor = (rows.len(), PROMPT.width() + shown(&self.text()[from..self.cursor()]).width());
                }
                let mark = if rows.is_empty() { paint.green(PROMPT) } else { "  ".to_owned() };
                rows.push(format!("{mark}{}", shown(&self.text()[from..to])));
            }
            begin += line.len() + 1;
        }
        // What does not fit is scrolled, the cursor in sight.
        let from = (cursor.0 + 1).saturating_sub(most).min(rows.len().saturating_sub(most));
        let rows: Vec<String> = rows.into_iter().skip(from).take(most).collect();
        Drawn { rows, cursor: (cursor.0 - from, cursor.1) }
    }
}

/// Whether a key looks for other words than before.
fn key_is_new(key: &Press) -> bool {
    matches!(key, Press::Char(_) | Press::Backspace)
}

/// What stands for a text in a row: tabs and what else has no width of its own are made visible.
fn shown(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c == '\t' {
                '→'
            } else if c.is_control() {
                '·'
            } else {
                c
            }
        })
        .collect()
}

/// Rows of at most this width, cut anywhere: what is typed must not move while it is typed.
fn hard(line: &str, width: usize) -> Vec<std::ops::Range<usize>> {
    let (mut rows, mut from, mut used) = (Vec::new(), 0, 0);
    for (at, c) in line.char_indices() {
        let wide = if c == '\t' { 1 } else { c.width().unwrap_or(1) };
        if used + wide > width {
            rows.push(from..at);
            (from, used) = (at, 0);
        }
        used += wide;
    }
    rows.push(from..line.len());
    rows
}

#[cfg(test)]
mod tests;
