//! What reaches a terminal: nothing that a terminal obeys, however the text was cut on its way.
//!
//! Input: a cut, then text (bytes that are no UTF-8 are replaced, as they are where an agent's bytes become text).

#![no_main]

// The command line is a program, not a library; its sanitiser stands by itself.
#[path = "../../vibes-cli/src/sanitize.rs"]
mod sanitize;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;

fn obeyed(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fuzz_target!(|data: &[u8]| {
    let [cut, text @ ..] = data else { return };
    let text = String::from_utf8_lossy(text);
    for clean in [sanitize::text, sanitize::line, sanitize::strict] {
        let whole = clean(&text);
        assert!(!whole.chars().any(obeyed), "{text:?} gave {whole:?}");
        assert_eq!(clean(&whole), whole, "what is clean stays as it is");
        let at = (0..=usize::from(*cut).min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        let (head, tail) = text.split_at(at.unwrap_or_default());
        assert!(!format!("{}{}", clean(head), clean(tail)).chars().any(obeyed), "cut at {at:?}");
    }
    assert!(!sanitize::line(&text).contains(['\n', '\t']));
    if let Ok(value) = serde_json::from_str::<Value>(&text) {
        let raw = serde_json::to_string(&value).expect("a value can be written");
        let clean = sanitize::json(&raw);
        assert!(!clean.chars().any(obeyed));
        // Both are read again: a long fraction changes when it is read for the first time.
        let read = |text: &str| serde_json::from_str::<Value>(text).ok();
        assert_eq!(read(&clean), read(&raw), "the same JSON");
    }
});
