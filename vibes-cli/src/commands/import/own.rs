//! Archives of vibes: lines, or objects with all their records in them, one session after the other.
//!
//! Invariant: one record is in memory at a time. Whatever the layout of the JSON, what is sent is a record a line.

use super::{Begun, Done, Import, begin};
use crate::client::Daemon;
use crate::error::{Failure, Kind, Outcome};
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::cell::Cell;
use std::fmt;
use std::io::{self, BufReader, Read};
use std::rc::Rc;
use vibes_protocol::model::{ARCHIVE, ArchiveHead};

/// The most bytes of one record, or of a head: as much as a line of the daemon has.
const LONGEST: u64 = 16 * 1024 * 1024;

/// Reads no more than so much without somebody saying that it was worth it.
struct Bounded<R> {
    inner: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(bytes)?;
        match self.left.get().checked_sub(count as u64) {
            Some(left) => self.left.set(left),
            None => return Err(io::Error::new(io::ErrorKind::InvalidData, "a record is longer than 16 MiB")),
        }
        Ok(count)
    }
}

/// Where the records of a file go.
struct Taking<'a> {
    daemon: &'a mut Daemon,
    source: Option<String>,
    each: &'a mut dyn FnMut(Done) -> Outcome,
    import: Option<Import>,
    /// The session is known: its records are read and not sent.
    skipping: bool,
    begun: u64,
    failure: Option<Failure>,
    left: Rc<Cell<u64>>,
}

/// Takes in all sessions of an archive.
pub(super) fn import(
    daemon: &mut Daemon,
    input: Box<dyn Read>,
    source: Option<String>,
    each: &mut dyn FnMut(Done) -> Outcome,
) -> Outcome {
    let left = Rc::new(Cell::new(LONGEST));
    let mut input = BufReader::with_capacity(64 * 1024, Bounded { inner: input, left: left.clone() });
    let first = io::BufRead::fill_buf(&mut input).map_err(|error| Failure::io("cannot read it", &error))?;
    if let Some(what) = packed(first) {
        return Err(Failure::new(Kind::Failed, format!("it is compressed ({what})"))
            .hint(format!("unpack it first: `{what} -dc FILE | vibes import -`")));
    }
    let mut taking =
        Taking { daemon, source, each, import: None, skipping: false, begun: 0, failure: None, left };
    while skip_blank(&mut input).map_err(|error| Failure::io("cannot read it", &error))? {
        let mut json = serde_json::Deserializer::from_reader(&mut input);
        let read = One(&mut taking).deserialize(&mut json);
        taking.left.set(LONGEST);
        match read {
            Ok(()) => {}
            Err(error) => {
                let failure = taking.failure.take().unwrap_or_else(|| no_archive(&error, taking.begun));
                if let Some(import) = taking.import.take() {
                    import.abort(taking.daemon);
                }
                return Err(failure);
            }
        }
    }
    taking.commit()?;
    if taking.begun == 0 {
        return Err(no_head());
    }
    Ok(())
}

/// Whether there is more than blanks.
fn skip_blank(input: &mut impl io::BufRead) -> io::Result<bool> {
    loop {
        let bytes = input.fill_buf()?;
        if bytes.is_empty() {
            return Ok(false);
        }
        match bytes.iter().position(|byte| !byte.is_ascii_whitespace()) {
            Some(at) => {
                input.consume(at);
                return Ok(true);
            }
            None => {
                let all = bytes.len();
                input.consume(all);
            }
        }
    }
}

fn packed(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x1f, 0x8b, ..] => Some("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd"),
        [0xfd, b'7', b'z', b'X', ..] => Some("xz"),
        [b'P', b'K', 3, 4, ..] => Some("unzip"),
        _ => None,
    }
}

fn no_head() -> Failure {
    Failure::new(
        Kind::Failed,
        "it is no archive of vibes: it does not begin with a line of type vibes_export",
    )
    .hint("files of other programs: `vibes import --claude`, `--codex` or `--gemini`")
}

fn no_archive(error: &serde_json::Error, begun: u64) -> Failure {
    if begun == 0 {
        let failure = no_head();
        return Failure { message: format!("{} ({error})", failure.message), ..failure };
    }
    Failure::new(Kind::Failed, format!("session {begun} in it cannot be read: {error}"))
}

impl Taking<'_> {
    fn commit(&mut self) -> Outcome {
        match self.import.take() {
            Some(import) => {
                let done = import.commit(self.daemon)?;
                (self.each)(done)
            }
            None => Ok(()),
        }
    }

    fn begin(&mut self, head: Value) -> Outcome {
        self.commit()?;
        self.begun += 1;
        let head: ArchiveHead = serde_json::from_value(head).map_err(|error| {
            Failure::new(Kind::Failed, format!("the head of session {}: {error}", self.begun))
        })?;
        self.skipping = false;
        // A file with several sessions has one hash: it says nothing of each of them, unless all are the same.
        match begin(self.daemon, head, None, self.source.clone())? {
            Begun::Wanted(import) => self.import = Some(import),
            Begun::Known(done) => {
                self.skipping = true;
                (self.each)(done)?;
            }
        }
        Ok(())
    }

    fn record(&mut self, record: &str) -> Outcome {
        if self.skipping {
            return Ok(());
        }
        let Some(import) = &mut self.import else { return Err(no_head()) };
        // A record is a line, however it was laid out.
        let line = match record.contains(['\n', '\r']) {
            true => serde_json::from_str::<Value>(record).map(|value| value.to_string()),
            false => Ok(record.to_owned()),
        };
        let line =
            line.map_err(|error| Failure::new(Kind::Failed, format!("a record cannot be read: {error}")))?;
        import.add(self.daemon, &(line + "\n")).map(drop)
    }

    fn done<E: serde::de::Error>(&mut self, outcome: Outcome) -> Result<(), E> {
        outcome.map_err(|failure| {
            self.failure = Some(failure);
            E::custom("it is not taken in")
        })
    }
}

/// One object of a file: a head, a record, or a head with its records.
struct One<'a, 'b>(&'a mut Taking<'b>);

impl<'de> DeserializeSeed<'de> for One<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for One<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object: a head of an archive, or a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let taking = self.0;
        let mut fields: Vec<(String, Box<RawValue>)> = Vec::new();
        let mut with_records = false;
        while let Some(name) = map.next_key::<String>()? {
            if name == "records" && !with_records {
                with_records = true;
                let head = head_of(&fields).map_err(A::Error::custom)?;
                let head = head.ok_or_else(|| A::Error::custom("records, and no head before them"))?;
                let begun = taking.begin(head);
                taking.done(begun)?;
                map.next_value_seed(Records(taking))?;
            } else {
                fields.push((name, map.next_value()?));
                if fields.len() > 64 {
                    return Err(A::Error::custom(
                        "an object with so many fields is neither a head nor a record",
                    ));
                }
            }
        }
        if with_records {
            return Ok(());
        }
        if let Some(head) = head_of(&fields).map_err(A::Error::custom)? {
            let begun = taking.begin(head);
            return taking.done(begun);
        }
        let mut record = String::from("{");
        for (name, value) in &fields {
            if record.len() > 1 {
                record.push(',');
            }
            record.push_str(&Value::from(name.as_str()).to_string());
            record.push(':');
            record.push_str(value.get());
        }
        record.push('}');
        let taken = taking.record(&record);
        taking.done(taken)
    }
}

/// The head, if this is one.
fn head_of(fields: &[(String, Box<RawValue>)]) -> Result<Option<Value>, serde_json::Error> {
    let is_head = fields.iter().any(|(name, value)| name == "type" && value.get() == format!("{ARCHIVE:?}"));
    if !is_head {
        return Ok(None);
    }
    let mut head = Map::new();
    for (name, value) in fields {
        head.insert(name.clone(), serde_json::from_str(value.get())?);
    }
    Ok(Some(Value::Object(head)))
}

/// The records of an object.
struct Records<'a, 'b>(&'a mut Taking<'b>);

impl<'de> DeserializeSeed<'de> for Records<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Records<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(record) = seq.next_element::<Box<RawValue>>()? {
            self.0.left.set(LONGEST);
            let taken = self.0.record(record.get());
            self.0.done(taken)?;
        }
        Ok(())
    }
}
