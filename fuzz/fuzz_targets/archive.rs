//! What is taken in from an archive: any text, however it is cut into pieces, is refused with a sentence or gives records that
//! a client of this store can read, the same ones for the same text; and what the files of other programs are told as is
//! never refused.
//!
//! Input: a first byte says whose file it is (`0` an archive's lines, `1` Claude Code, `2` Codex, `3` Gemini CLI), a second one
//! how long the pieces are; the text follows.

#![no_main]

use libfuzzer_sys::fuzz_target;
use vibes_core::{
    archive::{Foreign, Intake, Kind, Lines, Whole},
    journal::group,
    session::{Plan, state::State},
};
use vibes_protocol::model::SessionId;

fn state() -> State {
    State::new(SessionId(Default::default()), Plan::default(), 1, 0)
}

/// Text cut into pieces of about so many bytes.
fn pieces(text: &str, size: usize) -> Vec<&str> {
    let (mut rest, mut all) = (text, Vec::new());
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(rest.ceil_char_boundary(size.min(rest.len())));
        all.push(piece);
        rest = behind;
    }
    all
}

/// What is packed can be read, and its numbers go on without a hole.
fn check(whole: &Whole) {
    let mut next = 1;
    for packed in &whole.ready.records {
        if packed.packed != 1 {
            // In pieces, which lie in the store.
            next = packed.last + 1;
            continue;
        }
        let body = zstd::bulk::decompress(&packed.body, 64 << 20).expect("a group can be unpacked");
        assert_eq!(packed.first, next, "groups follow one another");
        for (_, fact) in group::records(&body) {
            let text = std::str::from_utf8(fact).expect("a fact is text");
            assert!(!text.contains('\n'), "a fact is one line");
            serde_json::from_str::<serde_json::Value>(text).expect("a fact is JSON");
            next += 1;
        }
        assert_eq!(packed.last + 1, next, "a group has as many records as it says");
    }
    assert_eq!(whole.records + 1, next);
    assert!(whole.span.0 <= whole.span.1);
}

/// Takes an archive's lines in.
fn own(pieces: &[&str]) -> Result<Whole, String> {
    let (mut intake, mut state) = (Intake::new(0), state());
    for piece in pieces {
        intake.read(piece, &mut state)?;
    }
    intake.finish(0, &mut state)
}

/// Takes another program's file in.
fn foreign(kind: Kind, pieces: &[&str]) -> Result<Whole, String> {
    let (mut lines, mut reader) = (Lines::default(), Foreign::new(kind, None));
    for piece in pieces {
        lines.feed(piece, |_, line| reader.line(line))?;
    }
    lines.end(|_, line| reader.line(line))?;
    let closing = reader.end()?;
    let (mut intake, mut state) = (Intake::new(0), state());
    while let Some((at_ms, fact)) = reader.story().take() {
        intake.tell(at_ms, &fact, &mut state).expect("what we tell ourselves is sound");
    }
    Ok(intake.finish(closing, &mut state).expect("as many close it as were told"))
}

fuzz_target!(|data: &[u8]| {
    let [whose, size, text @ ..] = data else { return };
    let text = String::from_utf8_lossy(text);
    let kind = match whose {
        b'1' => Some(Kind::Claude),
        b'2' => Some(Kind::Codex),
        b'3' => Some(Kind::Gemini),
        _ => None,
    };
    let take = |pieces: &[&str]| match kind {
        Some(kind) => foreign(kind, pieces),
        None => own(pieces),
    };
    let at_once = take(&[&text]);
    let in_pieces = take(&pieces(&text, usize::from(*size) + 1));
    match (&at_once, &in_pieces) {
        (Ok(one), Ok(other)) => {
            check(one);
            assert_eq!((one.records, &one.digest, one.turns), (other.records, &other.digest, other.turns));
        }
        (Err(one), Err(other)) => {
            assert!(!one.is_empty());
            assert_eq!(one, other);
        }
        _ => panic!("it depends on how the text comes: {at_once:?} {in_pieces:?}"),
    }
});
