//! One block of Markdown as painted lines.
//!
//! Invariant: pure, and every line is at most as wide as asked. Entities were decoded by the parser, so its text goes
//! through the sanitiser once more, as text that stays on its line.

use super::{has_marks, table};
use crate::render::spans::{Look, Spans};
use crate::render::unframed;
use crate::sanitize;
use crate::ui::Paint;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};
use unicode_width::UnicodeWidthStr as _;

/// A block, drawn.
#[derive(Debug)]
pub(super) struct Drawn {
    pub(super) lines: Vec<String>,
    /// No mark is left that a following line could give a partner.
    pub(super) settled: bool,
}

/// Draws a block.
pub(super) fn draw(text: &str, width: usize, paint: Paint) -> Drawn {
    let mut pen = Pen::new(width, paint);
    if let Some(plain) = plain(text) {
        pen.plain(plain);
        return Drawn { lines: pen.lines, settled: true };
    }
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    for (event, place) in Parser::new_ext(text, options).into_offset_iter() {
        pen.event(event, &text[place]);
    }
    pen.line();
    Drawn { lines: pen.lines, settled: pen.settled }
}

/// One line of words without any mark, perhaps an item of a list: what most lines are, and the parser is not needed.
fn plain(text: &str) -> Option<Plain<'_>> {
    let line = text.strip_suffix('\n').unwrap_or(text);
    if line.contains('\n') || has_marks(line) || line.starts_with(['#', '>', '+', '=']) {
        return None;
    }
    match line.split_once(' ') {
        Some(("-", words)) if !words.starts_with([' ', '-']) => Some(Plain { marker: "•", words }),
        Some((number, words))
            if number.len() <= 10
                && number.strip_suffix('.').is_some_and(|digits| {
                    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
                }) =>
        {
            Some(Plain { marker: number, words: words.trim_start() })
        }
        _ if line.starts_with('-') => None,
        _ => Some(Plain { marker: "", words: line }),
    }
}

struct Plain<'a> {
    marker: &'a str,
    words: &'a str,
}

/// What stands before the lines of a container: before its first, before the others.
#[derive(Debug)]
struct Margin {
    first: Option<String>,
    rest: String,
}

struct Pen {
    width: usize,
    paint: Paint,
    lines: Vec<String>,
    settled: bool,
    line: Spans,
    margins: Vec<Margin>,
    looks: Vec<Look>,
    /// The next number of each list that is open; none where it has dots.
    lists: Vec<Option<u64>>,
    /// Where links and images that are open lead, and where their words begin.
    targets: Vec<(String, usize)>,
    /// The rows of a table, its head first.
    table: Option<Vec<Vec<Spans>>>,
    /// `__name__` that is no emphasis.
    names: usize,
    code: bool,
}

impl Pen {
    fn new(width: usize, paint: Paint) -> Self {
        Self {
            width,
            paint,
            lines: Vec::new(),
            settled: true,
            line: Spans::default(),
            margins: Vec::new(),
            looks: Vec::new(),
            lists: Vec::new(),
            targets: Vec::new(),
            table: None,
            names: 0,
            code: false,
        }
    }

    fn plain(&mut self, plain: Plain<'_>) {
        if !plain.marker.is_empty() {
            let marker = format!("{} ", plain.marker);
            self.margins.push(Margin { rest: " ".repeat(marker.width()), first: Some(marker) });
        }
        self.line.push(&plain.words.replace('\t', "    "), Look::PLAIN);
        self.line();
    }

    fn event(&mut self, event: Event<'_>, source: &str) {
        match event {
            Event::Start(tag) => self.start(tag, source),
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.code => {
                for line in text.lines() {
                    self.word(line, Look::CODE);
                    self.line();
                }
            }
            Event::Text(text) => {
                self.settled &= !text.contains(['*', '`', '[', '~']);
                self.word(&text, Look::PLAIN);
            }
            Event::Code(code) => self.word(&code, Look::CODE),
            Event::SoftBreak | Event::HardBreak if self.table.is_none() => self.line(),
            Event::SoftBreak | Event::HardBreak => self.word(" ", Look::PLAIN),
            Event::Rule => {
                self.word(&"─".repeat(self.room().min(40)), Look::DIM);
                self.line();
            }
            Event::TaskListMarker(done) => self.word(if done { "[x] " } else { "[ ] " }, Look::PLAIN),
            Event::Html(html) => {
                for line in html.lines() {
                    self.word(line, Look::PLAIN);
                    self.line();
                }
            }
            Event::InlineHtml(text) | Event::InlineMath(text) | Event::DisplayMath(text) => {
                self.word(&text, Look::PLAIN);
            }
            Event::FootnoteReference(name) => self.word(&format!("[^{name}]"), Look::PLAIN),
        }
    }

    fn start(&mut self, tag: Tag<'_>, source: &str) {
        match tag {
            Tag::Heading { .. } => self.looks.push(Look::HEADING),
            Tag::BlockQuote(_) => {
                let bar = self.paint.dim("▏ ");
                self.margins.push(Margin { first: None, rest: bar });
            }
            Tag::List(first) => {
                self.line();
                self.lists.push(first);
            }
            Tag::Item => {
                let marker = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        *number += 1;
                        format!("{}. ", *number - 1)
                    }
                    _ => "• ".to_owned(),
                };
                self.margins.push(Margin { rest: " ".repeat(marker.width()), first: Some(marker) });
            }
            Tag::CodeBlock(CodeBlockKind::Fenced(_) | CodeBlockKind::Indented) => {
                self.line();
                self.code = true;
            }
            Tag::Emphasis => self.looks.push(Look::ITALIC),
            Tag::Strikethrough => self.looks.push(Look::STRUCK),
            Tag::Strong => {
                // `__init__` is a name in this trade.
                let name = source.strip_prefix("__").and_then(|it| it.strip_suffix("__"));
                let name = name.is_some_and(|it| it.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
                self.names = self.names * 2 + usize::from(name);
                if name {
                    self.word("__", Look::PLAIN);
                }
                self.looks.push(if name { Look::PLAIN } else { Look::BOLD });
            }
            Tag::Link { dest_url, .. } => {
                self.targets.push((dest_url.into_string(), self.line.text().len()));
                self.looks.push(Look::LINK);
            }
            Tag::Image { dest_url, .. } => {
                self.word("[image: ", Look::DIM);
                self.targets.push((dest_url.into_string(), self.line.text().len()));
                self.looks.push(Look::PLAIN);
            }
            Tag::Table(_) => {
                self.line();
                self.table = Some(Vec::new());
            }
            Tag::TableHead | Tag::TableRow => {
                if let Some(rows) = &mut self.table {
                    rows.push(Vec::new());
                }
            }
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph | TagEnd::HtmlBlock => self.line(),
            TagEnd::Heading(_) => {
                self.line();
                self.looks.pop();
            }
            TagEnd::BlockQuote(_) => {
                self.line();
                self.margins.pop();
            }
            TagEnd::Item => {
                // An item without words is a line too.
                if self.margins.last().is_some_and(|margin| margin.first.is_some()) {
                    self.put();
                } else {
                    self.line();
                }
                self.margins.pop();
            }
            TagEnd::List(_) => drop(self.lists.pop()),
            TagEnd::CodeBlock => self.code = false,
            TagEnd::Emphasis | TagEnd::Strikethrough => drop(self.looks.pop()),
            TagEnd::Strong => {
                self.looks.pop();
                if self.names % 2 == 1 {
                    self.word("__", Look::PLAIN);
                }
                self.names /= 2;
            }
            TagEnd::Link => {
                self.looks.pop();
                if let Some((target, from)) = self.targets.pop() {
                    let label = self.line.text().get(from..).unwrap_or_default();
                    let same = !label.is_empty() && target.trim_start_matches("mailto:") == label;
                    if !same && !target.is_empty() {
                        self.word(&format!(" ({target})"), Look::DIM);
                    }
                }
            }
            TagEnd::Image => {
                self.looks.pop();
                if let Some((target, _)) = self.targets.pop() {
                    self.word(&format!("] ({target})"), Look::DIM);
                }
            }
            TagEnd::TableCell => {
                let cell = std::mem::take(&mut self.line);
                if let Some(row) = self.table.as_mut().and_then(|rows| rows.last_mut()) {
                    row.push(cell);
                }
            }
            TagEnd::Table => {
                let rows = self.table.take().unwrap_or_default();
                let lines = table::draw(&rows, self.room(), self.paint);
                let margin: String = self.margins.iter().map(|margin| margin.rest.as_str()).collect();
                self.lines.extend(lines.into_iter().map(|line| format!("{margin}{line}")));
            }
            _ => {}
        }
    }

    fn word(&mut self, text: &str, look: Look) {
        let look = self.looks.iter().fold(look, |all, one| all | *one);
        let text = if text.contains('\t') { text.replace('\t', "    ") } else { text.to_owned() };
        self.line.push(&unframed(&sanitize::line(&text)), look);
    }

    /// What margins leave.
    fn room(&self) -> usize {
        let taken: usize = self.margins.iter().map(|margin| crate::render::columns(&margin.rest)).sum();
        self.width.saturating_sub(taken).max(8)
    }

    /// Ends a line that has words.
    fn line(&mut self) {
        if !self.line.is_empty() && self.table.is_none() {
            self.put();
        }
    }

    fn put(&mut self) {
        let line = std::mem::take(&mut self.line);
        for part in line.lines(self.room(), self.paint) {
            let mut whole = String::new();
            for margin in &mut self.margins {
                whole.push_str(margin.first.take().as_deref().unwrap_or(&margin.rest));
            }
            whole.push_str(&part);
            self.lines.push(whole);
        }
    }
}
