//! Markdown as it streams: lines of text come in, painted lines go out.
//!
//! Invariant: what went out is final. A line goes out once nothing that may still follow could change it: a line of
//! code or of plain words at once, words with marks when every mark has found its partner, a table when it is whole.
//! The parser (pulldown-cmark) sees one block at a time, and nothing it decodes is trusted: it is sanitised again.

mod block;
mod table;

use crate::ui::Paint;
use block::Drawn;

/// A block that grows beyond this is drawn as it is, so that what is kept and drawn again stays small.
const LONGEST: usize = 16 * 1024;
/// The same in lines. A table has more of them than a paragraph.
const MOST_LINES: usize = 64;
/// An indentation beyond this is cut: on a small screen it would leave no room for words.
const DEEPEST: usize = 24;

#[derive(Debug, Clone, Copy)]
struct Fence {
    mark: char,
    length: usize,
}

/// What has to be remembered from one line to the next.
#[derive(Debug, Default)]
pub(crate) struct Markdown {
    fence: Option<Fence>,
    /// The block under way: whole lines, each with its newline.
    block: String,
    lines: usize,
    table: bool,
    /// Indented words belong to a list, and are no code.
    in_list: bool,
    /// The last line that went out was empty.
    blank: bool,
}

/// What a line begins, seen alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begins {
    Heading,
    Item,
    Quote,
    Rule,
    Words,
}

fn begins(trimmed: &str) -> Begins {
    let bytes = trimmed.as_bytes();
    match bytes.first() {
        Some(b'#') => {
            let hashes = bytes.iter().take_while(|b| **b == b'#').count();
            let heading = hashes <= 6 && bytes.get(hashes).is_none_or(|b| *b == b' ');
            if heading { Begins::Heading } else { Begins::Words }
        }
        Some(b'>') => Begins::Quote,
        Some(mark @ (b'-' | b'*' | b'_' | b'+')) => {
            let same = bytes.iter().filter(|b| *b == mark).count();
            if same >= 3 && *mark != b'+' && bytes.iter().all(|b| b == mark || *b == b' ') {
                Begins::Rule
            } else if *mark != b'_' && bytes.get(1).is_none_or(|b| *b == b' ') {
                Begins::Item
            } else {
                Begins::Words
            }
        }
        Some(b'0'..=b'9') => {
            let digits = bytes.iter().take_while(|b| b.is_ascii_digit()).count();
            let dot = matches!(bytes.get(digits), Some(b'.' | b')')) && bytes.get(digits + 1) == Some(&b' ');
            if digits <= 9 && dot { Begins::Item } else { Begins::Words }
        }
        _ => Begins::Words,
    }
}

/// Whether words may hold marks, so that the parser has to look.
fn has_marks(text: &str) -> bool {
    text.bytes().any(|b| matches!(b, b'*' | b'_' | b'`' | b'[' | b'<' | b'&' | b'\\' | b'~' | b'|'))
}

/// A row of dashes and bars: what makes the line above it the head of a table.
fn is_delimiter(line: &str) -> bool {
    line.contains('-') && line.contains('|') && line.bytes().all(|b| matches!(b, b'|' | b'-' | b':' | b' '))
}

impl Markdown {
    /// Reads one line of sanitised text.
    pub(crate) fn line(&mut self, line: &str, width: usize, paint: Paint, out: &mut Vec<String>) {
        let trimmed = line.trim_start();
        if let Some(fence) = self.fence {
            let marks = trimmed.chars().take_while(|c| *c == fence.mark).count();
            if marks >= fence.length && trimmed[marks..].trim().is_empty() {
                self.fence = None;
                out.push(paint.dim(line));
            } else {
                out.extend(super::wrap(line, width).iter().map(|part| paint.cyan(part)));
            }
            return;
        }
        if trimmed.is_empty() {
            self.end(width, paint, out);
            if !std::mem::replace(&mut self.blank, true) {
                out.push(String::new());
            }
            return;
        }
        self.blank = false;
        let mark = trimmed.chars().next().unwrap_or(' ');
        let marks = trimmed.chars().take_while(|c| *c == mark).count();
        if marks >= 3 && (mark == '~' || mark == '`' && !trimmed[marks..].contains('`')) {
            self.end(width, paint, out);
            self.fence = Some(Fence { mark, length: marks });
            out.push(paint.dim(super::wrap(line, width).first().map_or("", String::as_str)));
            return;
        }
        self.words(line, trimmed, width, paint, out);
    }

    /// A line outside of code.
    fn words(&mut self, line: &str, trimmed: &str, width: usize, paint: Paint, out: &mut Vec<String>) {
        let begins = begins(trimmed);
        let goes_on = begins == Begins::Words && (!self.table || line.contains('|'))
            || begins == Begins::Quote && self.block.trim_start().starts_with('>');
        if !goes_on {
            self.end(width, paint, out);
        }
        let indented = line.len() > trimmed.len();
        if self.block.is_empty() {
            let code = indent(line) >= 4 && !self.in_list;
            self.in_list = !code && (begins == Begins::Item || self.in_list && indented);
            if code {
                out.extend(super::wrap(line, width).iter().map(|part| paint.cyan(part)));
                return;
            }
        }
        self.block.push_str(line);
        self.block.push('\n');
        self.lines += 1;
        self.table = self.table || self.lines == 2 && is_delimiter(line);
        // The head of a table is seen to be one by the line below it.
        let waits = self.table || self.lines == 1 && line.contains('|');
        if waits && self.block.len() < LONGEST * 4 {
            return;
        }
        let drawn = self.drawn(width, paint);
        if drawn.settled || self.lines >= MOST_LINES || self.block.len() >= LONGEST {
            self.forget();
            out.extend(drawn.lines);
        }
    }

    /// Ends the block under way.
    pub(crate) fn end(&mut self, width: usize, paint: Paint, out: &mut Vec<String>) {
        if !self.block.is_empty() {
            out.extend(self.drawn(width, paint).lines);
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.block.clear();
        (self.lines, self.table) = (0, false);
    }

    /// What is under way and not final, with a last line that has no end yet.
    pub(crate) fn under_way(&self, last: &str, width: usize, paint: Paint) -> Vec<String> {
        let mut seen = Self {
            fence: self.fence,
            block: self.block.clone(),
            lines: self.lines,
            table: self.table,
            in_list: self.in_list,
            blank: true,
        };
        let mut out = Vec::new();
        if !last.is_empty() {
            seen.line(last, width, paint, &mut out);
        }
        seen.end(width, paint, &mut out);
        out
    }

    /// Whether a block is under way.
    pub(crate) fn is_under_way(&self) -> bool {
        !self.block.is_empty()
    }

    fn drawn(&self, width: usize, paint: Paint) -> Drawn {
        let indent = indent(&self.block);
        let kept = indent.min(DEEPEST).min(width / 3);
        let room = width.saturating_sub(kept).max(8);
        let mut drawn = if indent == 0 {
            block::draw(&self.block, room, paint)
        } else {
            // The parser would take much indentation for code.
            let flush = |line: &str| line[line.len() - line.trim_start().len()..].to_owned() + "\n";
            let text: String = self.block.lines().map(flush).collect();
            block::draw(&text, room, paint)
        };
        if kept > 0 {
            let margin = " ".repeat(kept);
            drawn.lines.iter_mut().for_each(|line| line.insert_str(0, &margin));
        }
        drawn
    }
}

/// A whole text, painted. What it says is sanitised here.
pub(crate) fn page(text: &str, width: usize, paint: Paint) -> Vec<String> {
    let (mut markdown, mut lines) = (Markdown::default(), Vec::new());
    for line in text.lines() {
        let line = crate::sanitize::text(line);
        markdown.line(&super::unframed(&line), width, paint, &mut lines);
    }
    markdown.end(width, paint, &mut lines);
    lines
}

/// The columns before the first word.
fn indent(line: &str) -> usize {
    line.chars().take_while(|c| matches!(c, ' ' | '\t')).map(|c| if c == '\t' { 4 } else { 1 }).sum()
}

#[cfg(test)]
mod tests;
