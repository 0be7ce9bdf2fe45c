//! The last words of a conversation, as lists show them.

use super::case::*;
use crate::session::state::State;
use vibes_protocol::model::SessionId;

fn after(pieces: &[&str]) -> String {
    let mut state = State::new(SessionId(uuid::Uuid::from_u128(7)), plan(), 1, T0);
    state.remember_prompt("what was asked");
    pieces.iter().for_each(|piece| state.remember_words(piece));
    state.preview
}

#[test]
fn the_last_line_with_words_in_it_is_remembered() {
    for (pieces, expected) in [
        (&["hello"][..], "hello"),
        (&["one\ntwo"], "two"),
        (&["one\n  two"], "two"),
        (&["one\n \n\n"], "one"),
        (&["one\n", "\n", "two"], "two"),
        (&["a", " ", "b"], "a b"),
        (&["bell\u{7} rings"], "bell rings"),
        (&["", "\n", "  "], "what was asked"),
    ] {
        assert_eq!(after(pieces), expected, "{pieces:?}");
    }
}

#[test]
fn however_the_words_are_cut_the_preview_is_the_same() {
    let text = format!(
        "first line\n\n{} and é, ü, 漢字 at {} the end\nlast words\n",
        "x".repeat(300),
        "y ".repeat(90)
    );
    for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
        let whole = after(&[&text[..end]]);
        assert!(whole.chars().count() <= 120, "{whole}");
        for cut in (0..=end).step_by(31).filter(|cut| text.is_char_boundary(*cut)) {
            // A cut at the beginning of a line leaves white space behind, which begins nothing.
            assert_eq!(after(&[&text[..cut], &text[cut..end]]), whole, "cut at {cut} of {end}");
        }
    }
}
