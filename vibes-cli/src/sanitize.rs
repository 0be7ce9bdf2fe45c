//! Text from agents, files and other people is hostile until it went through here.
//!
//! Invariant: what comes out holds no control character but newline and tab (and not even those from [`line`]), no
//! bidirectional override, and therefore no escape sequence, however it was cut into chunks. What is taken out of
//! sight leaves a visible mark, except colours (`ESC [ … m`), which only cost readability.

use std::borrow::Cow;
use std::fmt::Write as _;

/// How suspicious to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Care {
    /// Conversation: emoji joiners stay, colours vanish.
    Text,
    /// One cell of a table or one line: newlines and tabs are marked too.
    Line,
    /// What a person is asked to approve: everything invisible is made visible.
    Strict,
}

/// Text of several lines.
pub(crate) fn text(text: &str) -> Cow<'_, str> {
    clean(text, Care::Text)
}

/// Text that must stay on one line: names, titles, directories, errors in tables.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    clean(text, Care::Line)
}

/// Text that a person decides upon.
pub(crate) fn strict(text: &str) -> Cow<'_, str> {
    clean(text, Care::Strict)
}

/// JSON for a terminal: whatever the serialiser left unescaped and a terminal might obey becomes `\uXXXX`. Such
/// characters can only stand inside strings, where that spelling means the same.
pub(crate) fn json(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| c != '\n' && (is_control(c) || is_bidi(c) || is_invisible(c))) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if c != '\n' && (is_control(c) || is_bidi(c) || is_invisible(c)) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(clean, "\\u{unit:04x}");
            }
        } else {
            clean.push(c);
        }
    }
    Cow::Owned(clean)
}

fn is_control(c: char) -> bool {
    // C0, DEL and C1; the latter hold one-character forms of CSI, OSC and DCS.
    c.is_control()
}

fn is_bidi(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Characters without a shape of their own: two texts that look alike may differ in them. Line and paragraph
/// separators are among them, because some terminals break the line there.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}' | '\u{2029}'
        | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

fn needs_care(c: char, care: Care) -> bool {
    match care {
        Care::Text => (is_control(c) && !matches!(c, '\n' | '\t')) || is_bidi(c) || is_separator(c),
        Care::Line => is_control(c) || is_bidi(c) || is_separator(c),
        Care::Strict => (is_control(c) && !matches!(c, '\n' | '\t')) || is_bidi(c) || is_invisible(c),
    }
}

fn is_separator(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}')
}

fn clean(text: &str, care: Care) -> Cow<'_, str> {
    if !text.chars().any(|c| needs_care(c, care)) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = after;
        if !needs_care(c, care) {
            clean.push(c);
        } else if c == '\r' && after.starts_with('\n') && care == Care::Text {
            // The line ends of other systems are no news to anybody.
        } else if c == '\u{1b}'
            && care != Care::Strict
            && let Some(skipped) = colour_sequence(after)
        {
            rest = &after[skipped..];
        } else {
            mark(c, &mut clean);
        }
    }
    Cow::Owned(clean)
}

/// The length of the rest of a colour sequence after its escape character: `[`, digits and separators, `m`.
fn colour_sequence(after: &str) -> Option<usize> {
    let parameters = after.strip_prefix('[')?;
    let length = parameters.bytes().take_while(|b| b.is_ascii_digit() || matches!(b, b';' | b':')).count();
    (parameters.as_bytes().get(length) == Some(&b'm')).then_some(length + 2)
}

/// A visible stand-in: control pictures where Unicode has them, else the code point.
fn mark(c: char, out: &mut String) {
    match u32::from(c) {
        code @ 0..=0x1f => out.extend(char::from_u32(0x2400 + code)),
        0x7f => out.push('␡'),
        code @ 0x80..=0x9f => {
            let _ = write!(out, "\\x{code:02x}");
        }
        code => {
            let _ = write!(out, "\\u{{{code:x}}}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sequences that have hurt people, whole and cut short.
    const CORPUS: &[&str] = &[
        "\x1b[2J\x1b[H",
        "\x1b]0;title\x07",
        "\x1b]52;c;ZXZpbA==\x07",
        "\x1b]52;c;ZXZpbA==\x1b\\",
        "\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\",
        "\x1bP+q544e\x1b\\",
        "\x1b_Gf=100;AAAA\x1b\\",
        "\x1b^private\x1b\\",
        "\x1bXsos\x1b\\",
        "\x1b]0;never ended",
        "\x1bP never ended",
        "\x1b[",
        "\x1b",
        "\u{9b}31m",
        "\u{9d}0;title\u{9c}",
        "\u{90}dcs\u{9c}",
        "a\x08\x08b\x7f",
        "safe\rEVIL",
        "\x1bc\x1b#8\x1b(0\x0e\x0f",
        "\x1b[6n\x1b[c\x1b[?1049h",
        "\u{202e}txt.exe\u{2066}\u{2069}",
        "\0\x01\x05\x07\x0b\x0c\x1c",
    ];

    fn obeyed(c: char) -> bool {
        (c.is_control() && c != '\n' && c != '\t') || is_bidi(c)
    }

    #[test]
    fn nothing_a_terminal_obeys_comes_out_however_it_is_cut() {
        for sample in CORPUS {
            for cut in (0..=sample.len()).filter(|at| sample.is_char_boundary(*at)) {
                let (head, tail) = sample.split_at(cut);
                for clean in [text, line, strict] {
                    let both = format!("{}{}", clean(head), clean(tail));
                    assert!(!both.chars().any(obeyed), "{sample:?} cut at {cut} gave {both:?}");
                }
            }
            assert!(!line(sample).contains(['\n', '\t']));
        }
    }

    #[test]
    fn what_is_taken_out_of_sight_is_marked() {
        assert_eq!(text("\x1b]0;x\x07"), "␛]0;x␇");
        assert_eq!(text("a\rb"), "a␍b");
        assert_eq!(text("\u{9b}2J\x7f"), "\\x9b2J␡");
        assert_eq!(line("a\nb\tc"), "a␊b␉c");
        assert_eq!(strict("rm\u{200b} -rf\u{202e}"), "rm\\u{200b} -rf\\u{202e}");
        assert_eq!(strict("\u{e0041}"), "\\u{e0041}");
        assert_eq!(strict("a\r\nb"), "a␍\nb", "an approval shows every byte");
    }

    #[test]
    fn colours_vanish_from_conversation_and_show_in_approvals() {
        assert_eq!(text("\x1b[1;31mred\x1b[0m\x1b[m"), "red");
        assert_eq!(text("\x1b[38:2:1:2:3mx"), "x");
        assert_eq!(strict("\x1b[8mhidden\x1b[0m"), "␛[8mhidden␛[0m");
        assert_eq!(text("\x1b[?25l"), "␛[?25l");
    }

    #[test]
    fn ordinary_text_is_passed_without_a_copy() {
        for sample in ["plain", "tab\tand\nnewline", "ünïcödé", "👩‍💻 works", "שלום", "日本語"]
        {
            assert!(matches!(text(sample), Cow::Borrowed(_)), "{sample}");
        }
        assert_eq!(text("a\r\nb"), "a\nb");
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({"a": "x\u{7f}\u{9b}\u{202e}\u{200b}\u{e0041}", "b": "\x1b[0m"});
        let raw = serde_json::to_string(&value).unwrap();
        let clean = json(&raw);
        assert!(!clean.chars().any(obeyed));
        assert!(clean.is_ascii());
        assert_eq!(serde_json::from_str::<serde_json::Value>(&clean).unwrap(), value);
    }
}
