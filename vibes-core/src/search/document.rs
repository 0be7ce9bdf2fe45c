//! What is indexed: a document, its columns, and which record each part of its text is from.
//!
//! Invariant: pure. A document begins at one record and holds no more than [`HARD`] bytes in a column; every byte of a
//! column is from the record that [`seq_in`] names.

use std::borrow::Cow;
use vibes_protocol::model::Seq;

/// Past this an answer or an output goes on in another document, in bytes: what is under way is written again and again.
pub const SPLIT: usize = 64 * 1024;
/// What is indexed of one record at most, in bytes: the tools of agents cut their output long before.
pub const HARD: usize = 256 * 1024;
/// The longest column of lines, such as the files of a tool call, in bytes.
const LINES: usize = 16 * 1024;

/// Where words are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Column {
    /// What was asked.
    Prompt,
    /// What the agent answered.
    Response,
    /// What it thought.
    Thought,
    /// Commands that were run, or were to be.
    Command,
    /// Files that a tool call names.
    File,
    /// Titles and inputs of tool calls.
    Tool,
    /// What tools and commands gave.
    Output,
}

impl Column {
    /// All of them, in the order of the index.
    pub const ALL: [Self; 7] =
        [Self::Prompt, Self::Response, Self::Thought, Self::Command, Self::File, Self::Tool, Self::Output];

    /// As queries and hits name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Response => "response",
            Self::Thought => "thought",
            Self::Command => "command",
            Self::File => "file",
            Self::Tool => "tool",
            Self::Output => "output",
        }
    }

    /// The column of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }
}

/// A column's text, and from where on it is from which record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// The text.
    pub text: String,
    /// Offset and record, both rising.
    from: Vec<(usize, Seq)>,
}

impl Text {
    /// Adds what a record says; `between` goes before it where there is something already.
    pub fn push(&mut self, seq: Seq, between: &str, text: &str) {
        if !self.text.is_empty() {
            self.text.push_str(between);
        }
        if self.from.last().is_none_or(|(_, last)| *last != seq) {
            self.from.push((self.text.len(), seq));
        }
        self.text.push_str(text);
    }

    /// Says something else instead.
    pub fn set(&mut self, seq: Seq, text: &str) {
        self.text.clear();
        self.from.clear();
        self.push(seq, "", text);
    }

    /// Adds a line, unless it is there already or there is too much.
    pub fn line(&mut self, seq: Seq, line: &str) {
        let line = line.trim();
        let fits = self.text.len() + line.len() < LINES;
        // A command may have several lines itself.
        let known = self.text.match_indices(line).any(|(at, _)| {
            let ends = &self.text.as_bytes()[at + line.len()..];
            (at == 0 || self.text.as_bytes()[at - 1] == b'\n') && (ends.is_empty() || ends[0] == b'\n')
        });
        if fits && !line.is_empty() && !known {
            self.push(seq, "\n", line);
        }
    }
}

/// A document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    /// When the record was written that it begins at, in milliseconds.
    pub at_ms: i64,
    /// The columns, in the order of [`Column::ALL`].
    pub columns: [Text; 7],
}

impl Document {
    /// One that begins now.
    pub fn at(at_ms: i64) -> Self {
        Self { at_ms, ..Self::default() }
    }

    /// A column.
    pub fn column(&mut self, column: Column) -> &mut Text {
        &mut self.columns[column as usize]
    }

    /// Whether nothing is in it that could be found.
    pub fn is_empty(&self) -> bool {
        self.columns.iter().all(|column| column.text.is_empty())
    }
}

/// Where the parts of a document are from, in few bytes: for each column how many parts there are, then for each of them
/// how far it lies behind the one before, in bytes and in records.
pub fn pack(document: &Document) -> Vec<u8> {
    let mut packed = Vec::new();
    for column in &document.columns {
        put(&mut packed, column.from.len() as u64);
        let mut before = (0, 0);
        for (offset, seq) in &column.from {
            put(&mut packed, (offset - before.0) as u64);
            put(&mut packed, seq - before.1);
            before = (*offset, *seq);
        }
    }
    packed
}

/// Puts the parts back to the texts; `None` when they do not fit.
pub fn unpack(packed: &[u8], texts: [String; 7]) -> Option<[Text; 7]> {
    let mut rest = packed;
    let mut columns: [Text; 7] = Default::default();
    for (column, text) in columns.iter_mut().zip(texts) {
        let mut before: (usize, Seq) = (0, 0);
        for _ in 0..take(&mut rest)? {
            before.0 = before.0.checked_add(usize::try_from(take(&mut rest)?).ok()?)?;
            before.1 = before.1.checked_add(take(&mut rest)?)?;
            column.from.push(before);
        }
        if before.0 > text.len() {
            return None;
        }
        column.text = text;
    }
    rest.is_empty().then_some(columns)
}

/// The record that a byte of a column is from.
pub fn seq_in(packed: &[u8], column: Column, offset: usize) -> Option<Seq> {
    let mut rest = packed;
    for at in 0..=column as usize {
        let (mut place, mut seq, mut found) = (0_u64, 0_u64, None);
        for _ in 0..take(&mut rest)? {
            place = place.checked_add(take(&mut rest)?)?;
            seq = seq.checked_add(take(&mut rest)?)?;
            if place <= offset as u64 || found.is_none() {
                found = Some(seq);
            }
        }
        if at == column as usize {
            return found;
        }
    }
    None
}

/// Seven bits a byte, the lowest first.
fn put(into: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        *rest = behind;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// The words of a text that may have been meant for a terminal: without what moves, paints or rings, and no longer than
/// [`HARD`].
pub fn clean(text: &str) -> Cow<'_, str> {
    let text = &text[..text.floor_char_boundary(HARD)];
    let is_plain = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    if text.chars().all(is_plain) {
        return text.into();
    }
    let mut cleaned = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\u{1b}' => match chars.next() {
                // What is painted or moved ends with a letter or its like.
                Some('[') => drop(chars.by_ref().find(|c| ('@'..='~').contains(c))),
                // Titles and links end with a bell, or with an escape and a backslash.
                Some(']' | 'P' | '_' | '^') => {
                    while let Some(c) = chars.next() {
                        if c == '\u{7}' || c == '\u{1b}' && chars.next_if_eq(&'\\').is_some() {
                            break;
                        }
                    }
                }
                _ => {}
            },
            '\r' => cleaned.push('\n'),
            '\u{8}' => drop(cleaned.pop()),
            c if is_plain(c) => cleaned.push(c),
            _ => cleaned.push(' '),
        }
    }
    cleaned.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_from_the_record_that_said_it() {
        let mut document = Document::at(5);
        let text = document.column(Column::Response);
        text.push(7, "", "one ");
        text.push(8, "", "two");
        text.push(8, "", "!");
        text.push(12, "\n\n", "three");
        assert_eq!(text.text, "one two!\n\nthree");
        let seqs = [7, 7, 8, 8, 8, 8, 12, 12];
        document.column(Column::File).line(300, "/a");
        document.column(Column::File).line(301, "/a");
        document.column(Column::File).line(302, " /b \n");
        let packed = pack(&document);
        let texts = document.columns.clone().map(|column| column.text);
        assert_eq!(unpack(&packed, texts.clone()), Some(document.columns));
        let in_packed = [0, 3, 4, 7, 8, 9, 10, 14].map(|at| seq_in(&packed, Column::Response, at).unwrap());
        assert_eq!(in_packed, seqs);
        assert_eq!((seq_in(&packed, Column::File, 3), seq_in(&packed, Column::Tool, 0)), (Some(302), None));
        for cut in 0..packed.len() {
            assert_eq!(unpack(&packed[..cut], texts.clone()), None, "cut at {cut}");
        }
        assert_eq!(unpack(&packed, Default::default()), None, "the parts of another text");
    }

    #[test]
    fn what_was_meant_for_a_terminal_becomes_words() {
        let cases = [
            ("plain\n\ttext", "plain\n\ttext"),
            ("\u{1b}[1;31merror\u{1b}[0m: no", "error: no"),
            ("\u{1b}]8;;https://x\u{1b}\\link\u{1b}]8;;\u{7}!", "link!"),
            ("10%\r20%", "10%\n20%"),
            ("ab\u{8}c\u{0}d\u{1}", "ac d "),
            ("\u{1b}", ""),
            ("\u{1b}[", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(clean(text), expected, "{text:?}");
        }
        assert_eq!(clean(&"ä".repeat(HARD)).len(), HARD);
    }
}
