//! A session and some of its records, as a person types it: `ID`, `ID@SEQ`, `ID@FIRST..@LAST`, `ID..@LAST`.
//!
//! Invariant: an id or a name holds no `@`, so what is before the first one is always what was meant.

use crate::error::{Failure, Outcome};
use vibes_protocol::model::Seq;

/// What was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    /// An id, the start of one, a name, or `-`.
    pub(crate) id: String,
    /// The first record meant.
    pub(crate) first: Option<Seq>,
    /// The last one.
    pub(crate) last: Option<Seq>,
}

impl Span {
    /// Reads it. The error says what is expected.
    pub(crate) fn read(text: &str) -> Outcome<Self> {
        let wrong = |what: &str| {
            Failure::usage(format!("{text:?}: {what}"))
                .hint("a session is named as ID, ID@SEQ (from that record on), ID@FIRST..@LAST or ID..@LAST")
        };
        let number = |text: &str| match text.parse::<Seq>() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(wrong("a record has a number from 1 on")),
        };
        let (rest, last) = match text.split_once("..@") {
            Some((rest, last)) => (rest, Some(number(last)?)),
            None => (text, None),
        };
        let (id, first) = match rest.split_once('@') {
            Some((id, first)) => (id, Some(number(first)?)),
            None => (rest, None),
        };
        if id.is_empty() {
            return Err(wrong("which session?"));
        }
        if first.zip(last).is_some_and(|(first, last)| first > last) {
            return Err(wrong("the first record is behind the last"));
        }
        Ok(Self { id: id.to_owned(), first, last })
    }

    /// The record before the first one: what `after` is on the wire.
    pub(crate) fn after(&self) -> Seq {
        self.first.map_or(0, |first| first - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_and_its_records_are_read() {
        let read = |text: &str| {
            let target = Span::read(text).unwrap();
            (target.id.clone(), target.first, target.last, target.after())
        };
        assert_eq!(read("api"), ("api".to_owned(), None, None, 0));
        assert_eq!(read("-@3"), ("-".to_owned(), Some(3), None, 2));
        assert_eq!(read("a..b@3..@9"), ("a..b".to_owned(), Some(3), Some(9), 2));
        assert_eq!(read("api..@9"), ("api".to_owned(), None, Some(9), 0));
        for wrong in ["", "@3", "api@", "api@0", "api@x", "api@-1", "api@9..@3", "api@1..3", "api..@"] {
            assert!(Span::read(wrong).is_err(), "{wrong}");
        }
    }
}
