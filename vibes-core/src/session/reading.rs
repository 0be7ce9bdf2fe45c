//! What people have read of a session, and what is new to them.
//!
//! Invariant: a person's cursor only goes forward, and never beyond the last record; what is new is counted from a short list
//! of records, never by a scan.

use super::{event::Reply, state::State, step::Step};
use crate::ownership::Seat;
use std::collections::BTreeMap;
use vibes_protocol::{
    model::{ClientId, CodedError, ErrorCode, Seq},
    seat::{MAX_PERSON, person_of},
};

/// How many records that are news are remembered; more than this are shown as so many.
pub const MAX_NEWS: usize = 99;
/// How many people's cursors are kept.
const MAX_READERS: usize = 64;

/// Who reads at a seat.
fn reader(seat: &Seat) -> Option<&str> {
    let named = seat.person.as_deref().or_else(|| seat.identity.as_deref().map(person_of));
    named.filter(|person| !person.is_empty() && person.len() <= MAX_PERSON)
}

impl State {
    /// How much is new to somebody who has read so far.
    fn unread_after(&self, seq: Seq) -> u32 {
        let news = &self.body.news;
        (news.len() - news.partition_point(|news| *news <= seq)) as u32
    }

    /// How far each person has read, and how much is new to them.
    pub(super) fn readers(&self) -> BTreeMap<String, (Seq, u32)> {
        let of = |(person, seq): (&String, &Seq)| (person.clone(), (*seq, self.unread_after(*seq)));
        self.body.readers.iter().map(of).collect()
    }

    /// Cursors beyond the last record are of a future that was lost.
    pub(super) fn rewind_readers(&mut self) {
        let head = self.head;
        let beyond = |seq: &Seq| *seq > head;
        if self.body.readers.values().any(beyond) || self.body.news.iter().any(beyond) {
            self.body.readers.values_mut().for_each(|seq| *seq = head.min(*seq));
            self.body.news.retain(|seq| *seq <= head);
        }
    }
}

impl Step<'_> {
    /// Something happened that a person wants to know.
    pub(super) fn news(&mut self, seq: Seq) {
        let news = &mut self.s.body.news;
        if news.len() >= MAX_NEWS {
            news.pop_front();
        }
        news.push_back(seq);
    }

    /// A person has read up to a record, or all there is.
    pub(super) fn mark_read(&mut self, person: &str, seq: Option<Seq>) -> Result<Option<Reply>, CodedError> {
        if person.is_empty() || person.len() > MAX_PERSON {
            let message = "who has read it is not known: say `hello` with an `identity` first";
            return Err(CodedError::new(ErrorCode::BadRequest, message));
        }
        self.has_read(person, seq.unwrap_or(self.s.head));
        Ok(Some(Reply::Ok))
    }

    fn has_read(&mut self, person: &str, seq: Seq) {
        let seq = seq.min(self.s.head);
        let readers = &self.s.body.readers;
        if readers.get(person).is_some_and(|read| *read >= seq) {
            return;
        }
        if readers.len() >= MAX_READERS && !readers.contains_key(person) {
            let last = readers.iter().min_by_key(|(_, seq)| **seq).map(|(person, _)| person.clone());
            last.map(|last| self.s.body.readers.remove(&last));
        }
        self.s.body.readers.insert(person.to_owned(), seq);
    }

    /// A client that goes has seen what there is.
    pub(super) fn was_read_by(&mut self, client: ClientId) {
        let seat = self.s.ownership.seats.get(&client).filter(|seat| seat.reads);
        if let Some(person) = seat.and_then(reader).map(str::to_owned) {
            self.has_read(&person, self.s.head);
        }
    }

    /// Who looks at it reads what comes. Written only when something is new to them.
    pub(super) fn read_by_those_who_look(&mut self) {
        let looking = self.s.ownership.seats.values();
        let looking = looking.filter(|seat| seat.reads && seat.away_until_ms.is_none());
        let people: Vec<String> = looking.filter_map(reader).map(str::to_owned).collect();
        for person in people {
            let read = self.s.body.readers.get(&person).copied();
            let fresh = self.s.unread_after(read.unwrap_or(0)) > 0 || read.is_none();
            if fresh {
                self.has_read(&person, self.s.head);
            }
        }
    }
}
