//! Light Markdown: headings, emphasis, code, lists, one line at a time.
//!
//! Invariant: only paint is added and only marks are taken away; a line that is not understood stays as it was. A
//! whole parser (termimad was weighed) needs finished blocks, and a conversation arrives line by line.

use crate::ui::Paint;

/// What has to be remembered from one line to the next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Markdown {
    in_code: bool,
}

impl Markdown {
    /// Paints one line of sanitised text.
    pub(crate) fn line(&mut self, line: &str, paint: Paint) -> String {
        let trimmed = line.trim_start();
        if trimmed.starts_with("```") {
            self.in_code = !self.in_code;
            return paint.dim(line);
        }
        if self.in_code {
            return paint.cyan(line);
        }
        let hashes = trimmed.bytes().take_while(|b| *b == b'#').count();
        if (1..=6).contains(&hashes) && trimmed[hashes..].starts_with(' ') {
            return paint.heading(trimmed[hashes..].trim());
        }
        if let Some(quoted) = trimmed.strip_prefix("> ") {
            return format!("{} {}", paint.dim("▏"), inline(quoted, paint));
        }
        let indent = &line[..line.len() - trimmed.len()];
        match trimmed.strip_prefix("- ").or_else(|| trimmed.strip_prefix("* ")) {
            Some(item) => format!("{indent}• {}", inline(item, paint)),
            None => format!("{indent}{}", inline(trimmed, paint)),
        }
    }

    /// Whether the next line is inside a block of code, where words must not be moved.
    pub(crate) fn in_code(self) -> bool {
        self.in_code
    }
}

/// `code`, **bold** and __bold__. Single stars stay: in this trade they are more often globs than emphasis.
fn inline(text: &str, paint: Paint) -> String {
    let mut painted = String::with_capacity(text.len());
    let mut rest = text;
    'scan: while let Some(at) = rest.find(['`', '*', '_']) {
        painted.push_str(&rest[..at]);
        rest = &rest[at..];
        for (mark, style) in
            [("`", Paint::cyan as fn(Paint, &str) -> String), ("**", Paint::bold), ("__", Paint::bold)]
        {
            let Some(after) = rest.strip_prefix(mark) else { continue };
            // A word like `__init__` is a name, not emphasis.
            let inside_word = mark == "__" && painted.ends_with(|c: char| c.is_alphanumeric());
            if let Some(end) = after.find(mark)
                && end > 0
                && !inside_word
                && (mark == "`" || !(after.starts_with(' ') || after[..end].ends_with(' ')))
                && !(mark == "__" && after[end + 2..].starts_with(|c: char| c.is_alphanumeric() || c == '.'))
            {
                painted.push_str(&style(paint, &after[..end]));
                rest = &after[end + mark.len()..];
                continue 'scan;
            }
        }
        let skip = rest.chars().next().map_or(1, char::len_utf8);
        // A pair of marks that begins nothing is passed together, so that its second half begins nothing either.
        let skip = if rest.starts_with("**") || rest.starts_with("__") { 2 } else { skip };
        painted.push_str(&rest[..skip]);
        rest = &rest[skip..];
    }
    painted.push_str(rest);
    painted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(line: &str) -> String {
        Markdown::default().line(line, Paint::PLAIN)
    }

    #[test]
    fn marks_vanish_and_words_stay() {
        assert_eq!(plain("# Title"), "Title");
        assert_eq!(plain("a **bold** and `code`"), "a bold and code");
        assert_eq!(plain("  - item `x`"), "  • item x");
        assert_eq!(plain("> quoted"), "▏ quoted");
    }

    #[test]
    fn what_only_looks_like_markdown_stays() {
        for line in [
            "#include <x>",
            "2 * 3 * 4",
            "snake_case_name",
            "a ** b ** c",
            "`open",
            "****",
            "rm *.o",
            "a__b__c",
        ] {
            assert_eq!(plain(line), line);
        }
    }

    #[test]
    fn code_blocks_are_left_alone() {
        let mut markdown = Markdown::default();
        assert_eq!(markdown.line("```rust", Paint::PLAIN), "```rust");
        assert!(markdown.in_code());
        assert_eq!(markdown.line("# not **a** heading", Paint::PLAIN), "# not **a** heading");
        assert_eq!(markdown.line("```", Paint::PLAIN), "```");
        assert!(!markdown.in_code());
    }

    #[test]
    fn paint_is_added_on_a_terminal() {
        let line = Markdown::default().line("**b**", Paint::forced());
        assert_eq!(line, "\u{1b}[1mb\u{1b}[0m");
    }
}
