//! A session, and perhaps one of its records: `ID` or `ID@RECORD`, as `vibes search` prints it.
//!
//! Invariant: pure; names and ids have no `@`, so nothing that names a session is taken for a record.

use crate::error::{Failure, Kind, Outcome};
use crate::render::short;
use std::str::FromStr;
use vibes_protocol::model::{Seq, SessionInfo};

/// What a person typed for a place in a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// The session, as typed: an id, the start of one, a name, `-`.
    pub(crate) id: String,
    /// The record.
    pub(crate) seq: Option<Seq>,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let whole = || Ok(Self { id: text.to_owned(), seq: None });
        // Those that are read from standard input.
        let Some((id, seq)) = text.split_once('@').filter(|_| text != "@-") else { return whole() };
        match seq.parse::<Seq>() {
            Ok(seq) if seq > 0 && !id.is_empty() => Ok(Self { id: id.to_owned(), seq: Some(seq) }),
            _ => Err("ID, or ID@RECORD with the number of a record, such as api@120".to_owned()),
        }
    }
}

impl Target {
    /// The record that was named, if one was; one that the session does not have is an error.
    pub(crate) fn record_in(&self, session: &SessionInfo) -> Outcome<Option<Seq>> {
        match self.seq {
            Some(seq) if seq > session.head => {
                let (id, head) = (short(session.id), session.head);
                Err(Failure::new(
                    Kind::NotFound,
                    format!("session {id} has no record {seq}; its last is {head}"),
                ))
            }
            seq => Ok(seq),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_named_behind_the_session() {
        let target = |text: &str| text.parse::<Target>().map(|target| (target.id, target.seq));
        assert_eq!(target("api"), Ok(("api".to_owned(), None)));
        assert_eq!(target("-"), Ok(("-".to_owned(), None)));
        assert_eq!(target("@-"), Ok(("@-".to_owned(), None)));
        assert_eq!(target("3fa9@120"), Ok(("3fa9".to_owned(), Some(120))));
        assert_eq!(target("-@1"), Ok(("-".to_owned(), Some(1))));
        for wrong in ["api@", "@3", "api@0", "api@x", "api@1@2", "api@-1"] {
            assert!(target(wrong).is_err(), "{wrong}");
        }
    }
}
