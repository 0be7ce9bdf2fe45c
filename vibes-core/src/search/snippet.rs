//! The part of a text that shows why it was found.
//!
//! Invariant: pure. What is shown is one line; ranges count characters of it, the first inside and the last outside.

/// Around a match in the texts that the index gives back. No text that is indexed has these.
pub(super) const OPEN: char = '\u{1}';
pub(super) const CLOSE: char = '\u{2}';

/// How many characters a snippet has, more or less.
const WIDE: usize = 160;
/// How many of them stand before the first match.
const BEFORE: usize = 48;

/// A part of a text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snippet {
    /// The part, on one line.
    pub text: String,
    /// Where the matches in it are.
    pub ranges: Vec<(u32, u32)>,
    /// Where the first of them is in the whole text, in bytes.
    pub offset: usize,
    /// How many matches the whole text has.
    pub matches: u32,
}

/// The best part of a text with its matches marked; `None` when there are none.
pub(super) fn of(marked: &str) -> Option<Snippet> {
    // Characters with their place in the text without the marks, and whether they are in a match.
    let (mut chars, mut begins): (Vec<(char, usize, bool)>, Vec<usize>) = (Vec::new(), Vec::new());
    let (mut at, mut inside) = (0, false);
    for c in marked.chars() {
        match c {
            OPEN => {
                inside = true;
                begins.push(chars.len());
            }
            CLOSE => inside = false,
            c => {
                chars.push((c, at, inside));
                at += c.len_utf8();
            }
        }
    }
    // The match that has most others close behind it.
    let (mut best, mut most) = (*begins.first()?, 0);
    let mut behind = 0;
    for (n, begin) in begins.iter().enumerate() {
        while behind < begins.len() && begins[behind] < begin + WIDE - BEFORE {
            behind += 1;
        }
        if behind - n > most {
            (best, most) = (*begin, behind - n);
        }
    }
    let mut snippet =
        Snippet { offset: chars.get(best)?.1, matches: begins.len() as u32, ..Snippet::default() };
    let from = start(&chars, best);
    let mut count = 0_u32;
    let mut push = |snippet: &mut Snippet, c: char, inside: bool| {
        snippet.text.push(c);
        match snippet.ranges.last_mut() {
            Some((_, end)) if inside && *end == count => *end += 1,
            _ if inside => snippet.ranges.push((count, count + 1)),
            _ => {}
        }
        count += 1;
        count as usize
    };
    if from > 0 {
        push(&mut snippet, '…', false);
    }
    let mut spaced = true;
    for (at, (c, _, inside)) in chars.iter().enumerate().skip(from) {
        let c = if c.is_whitespace() { ' ' } else { *c };
        if c == ' ' && std::mem::replace(&mut spaced, true) {
            continue;
        }
        spaced = c == ' ';
        let long = push(&mut snippet, c, *inside);
        // Words are not cut, unless they are very long.
        if (long >= WIDE && spaced || long >= WIDE + BEFORE) && at + 1 < chars.len() {
            push(&mut snippet, '…', false);
            break;
        }
    }
    let ends = snippet.text.trim_end().len();
    snippet.text.truncate(ends);
    Some(snippet)
}

/// Where a snippet begins that shows this match: at a word or a line, not far before it.
fn start(chars: &[(char, usize, bool)], shown: usize) -> usize {
    let earliest = shown.saturating_sub(BEFORE);
    if earliest == 0 {
        return 0;
    }
    let breaks = |at: &usize, line: bool| {
        let c = chars[*at].0;
        if line { c == '\n' } else { c.is_whitespace() }
    };
    // The line of the match, if that is near; else the first whole word.
    let line = (earliest..shown).rev().find(|at| breaks(at, true));
    let word = (earliest..shown).find(|at| breaks(at, false));
    line.or(word).map_or(earliest, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(text: &str) -> String {
        text.replace('[', "\u{1}").replace(']', "\u{2}")
    }

    /// The snippet with its matches in brackets again.
    fn shown(text: &str) -> String {
        let snippet = of(&marked(text)).expect("there is a match");
        let mut shown = String::new();
        for (at, c) in snippet.text.chars().enumerate() {
            let at = at as u32;
            shown.push_str(if snippet.ranges.iter().any(|(from, _)| *from == at) { "[" } else { "" });
            shown.push(c);
            shown.push_str(if snippet.ranges.iter().any(|(_, end)| *end == at + 1) { "]" } else { "" });
        }
        shown
    }

    #[test]
    fn a_short_text_is_shown_whole_on_one_line() {
        assert_eq!(shown("fix the\n\n  [build] now\n"), "fix the [build] now");
        assert_eq!(shown("[äöü] – [x]"), "[äöü] – [x]");
        assert_eq!(of("nothing"), None);
    }

    #[test]
    fn a_long_one_is_cut_around_its_matches() {
        let words = "word ".repeat(100);
        let text = format!("{words}[one] {words}[two] and [three] {words}");
        let shown = shown(&text);
        assert!(shown.starts_with("…word word") && shown.ends_with("…"), "{shown}");
        assert!(shown.contains("[two] and [three]") && !shown.contains("one"), "{shown}");
        let snippet = of(&marked(&text)).unwrap();
        assert_eq!((snippet.offset, snippet.matches), (words.len() * 2 + 4, 3));
        assert!(snippet.text.chars().count() <= WIDE + BEFORE + 2);
    }

    #[test]
    fn the_line_of_a_match_begins_it() {
        let text = format!("{}\nthe [line] is here", "x".repeat(500));
        assert_eq!(shown(&text), "…the [line] is here");
        let text = format!("{}[long]{}", "x".repeat(500), "y".repeat(500));
        assert!(shown(&text).contains("x[long]y"));
    }
}
