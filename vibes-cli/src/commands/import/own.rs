//! Archives of vibes: lines, or objects with all their records in them, one session after the other.
//!
//! Invariant: some pieces of text are in memory at a time. Whatever the layout of the JSON, what is sent is a record a line.
//! One thread reads, and the other one tells the daemon, which would wait for the reading otherwise.

use super::{Begun, Done, Import, PIECE, begin};
use crate::client::Daemon;
use crate::error::{Failure, Kind, Outcome};
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use vibes_protocol::model::{ARCHIVE, ArchiveHead};

/// The most bytes of one record, or of a head: as much as a line of the daemon has.
const LONGEST: u64 = 16 * 1024 * 1024;
/// How much is read at once, in bytes.
const BUFFER: usize = 1024 * 1024;

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

/// How much is read ahead of what is told, in steps.
const AHEAD: usize = 4;

/// What is read of a file.
enum Step {
    /// A session begins.
    Head(Value),
    /// Records of it, a line each.
    Records(String),
    /// That was all of the file.
    End,
}

/// The reading of a file.
struct Reading {
    steps: SyncSender<Step>,
    /// Lines that are not passed on yet.
    lines: String,
    begun: u64,
    failure: Option<Failure>,
    left: Rc<Cell<u64>>,
}

/// The telling of what is read.
struct Telling<'a> {
    daemon: &'a mut Daemon,
    source: Option<String>,
    each: &'a mut dyn FnMut(Done) -> Outcome,
    import: Option<Import>,
    begun: u64,
}

/// Takes in all sessions of an archive.
pub(super) fn import(
    daemon: &mut Daemon,
    input: Box<dyn Read + Send>,
    source: Option<String>,
    each: &mut dyn FnMut(Done) -> Outcome,
) -> Outcome {
    let (sender, steps) = sync_channel(AHEAD);
    thread::scope(|scope| {
        let reading = scope.spawn(move || read(input, sender));
        let told = Telling { daemon, source, each, import: None, begun: 0 }.all(steps);
        // Where the telling failed nobody takes what is read, and so the reading failed as well.
        let read =
            reading.join().unwrap_or_else(|_| Err(Failure::new(Kind::Failed, "the file was not read")));
        told.and(read)
    })
}

fn read(input: Box<dyn Read + Send>, steps: SyncSender<Step>) -> Outcome {
    let left = Rc::new(Cell::new(LONGEST));
    let mut input = BufReader::with_capacity(BUFFER, Bounded { inner: input, left: left.clone() });
    let failed = |error: io::Error| Failure::io("cannot read it", &error);
    let first = input.fill_buf().map_err(failed)?;
    if let Some(what) = packed(first) {
        return Err(Failure::new(Kind::Failed, format!("it is compressed ({what})"))
            .hint(format!("unpack it first: `{what} -dc FILE | vibes import -`")));
    }
    let mut reading = Reading { steps, lines: String::new(), begun: 0, failure: None, left };
    while skip_blank(&mut input).map_err(failed)? {
        if reading.line(&mut input).map_err(failed)?? {
            continue;
        }
        let mut json = serde_json::Deserializer::from_reader(&mut input);
        let read = One(&mut reading).deserialize(&mut json);
        reading.left.set(LONGEST);
        if let Err(error) = read {
            return Err(reading.failure.take().unwrap_or_else(|| no_archive(&error, reading.begun)));
        }
    }
    if reading.begun == 0 {
        return Err(no_head());
    }
    reading.flush()?;
    reading.send(Step::End)
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

impl Telling<'_> {
    fn all(mut self, steps: Receiver<Step>) -> Outcome {
        let told = self.tell(&steps);
        if let Some(import) = self.import.take() {
            import.abort(self.daemon);
        }
        told
    }

    /// What is under way when there is an error, or the file could not be read to its end, is not kept.
    fn tell(&mut self, steps: &Receiver<Step>) -> Outcome {
        for step in steps {
            match step {
                Step::Head(head) => self.begin(head)?,
                Step::Records(lines) => {
                    // Those of a session that is known are read and not sent.
                    if let Some(import) = &mut self.import {
                        import.add(self.daemon, &lines)?;
                    }
                }
                Step::End => self.commit()?,
            }
        }
        Ok(())
    }

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
        // A file with several sessions has one hash: it says nothing of each of them, unless all are the same.
        match begin(self.daemon, head, None, self.source.clone())? {
            Begun::Wanted(import) => self.import = Some(import),
            Begun::Known(done) => (self.each)(done)?,
        }
        Ok(())
    }
}

/// The type of an object.
#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
}

impl Reading {
    /// Takes a record that is a line, as nearly all are, if the next thing is one and lies in the buffer.
    fn line(&mut self, input: &mut impl BufRead) -> io::Result<Outcome<bool>> {
        let bytes = input.fill_buf()?;
        let Some(end) = memchr::memchr(b'\n', bytes) else { return Ok(Ok(false)) };
        let Ok(line) = std::str::from_utf8(&bytes[..end]) else { return Ok(Ok(false)) };
        let line = line.trim_ascii_end();
        let is_record = !line.contains('\r')
            && serde_json::from_str::<Typed<'_>>(line)
                .is_ok_and(|object| object.kind.as_deref() == Some("record"));
        if !is_record {
            return Ok(Ok(false));
        }
        let taken = self.record(line);
        input.consume(end + 1);
        self.left.set(LONGEST);
        Ok(taken.map(|()| true))
    }

    fn begin(&mut self, head: Value) -> Outcome {
        self.flush()?;
        self.begun += 1;
        self.send(Step::Head(head))
    }

    fn record(&mut self, record: &str) -> Outcome {
        if self.begun == 0 {
            return Err(no_head());
        }
        // A record is a line, however it was laid out.
        if record.contains(['\n', '\r']) {
            let value = serde_json::from_str::<Value>(record)
                .map_err(|error| Failure::new(Kind::Failed, format!("a record cannot be read: {error}")))?;
            self.lines.push_str(&value.to_string());
        } else {
            self.lines.push_str(record);
        }
        self.lines.push('\n');
        if self.lines.len() >= PIECE { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Outcome {
        let lines = std::mem::take(&mut self.lines);
        if lines.is_empty() { Ok(()) } else { self.send(Step::Records(lines)) }
    }

    fn send(&self, step: Step) -> Outcome {
        let gone = |_| Failure::new(Kind::Failed, "it is not taken in");
        self.steps.send(step).map_err(gone)
    }

    fn done<E: serde::de::Error>(&mut self, outcome: Outcome) -> Result<(), E> {
        outcome.map_err(|failure| {
            self.failure = Some(failure);
            E::custom("it is not taken in")
        })
    }
}

/// One object of a file: a head, a record, or a head with its records.
struct One<'a>(&'a mut Reading);

impl<'de> DeserializeSeed<'de> for One<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for One<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object: a head of an archive, or a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let reading = self.0;
        let mut fields: Vec<(String, Box<RawValue>)> = Vec::new();
        let mut with_records = false;
        while let Some(name) = map.next_key::<String>()? {
            if name == "records" && !with_records {
                with_records = true;
                let head = head_of(&fields).map_err(A::Error::custom)?;
                let head = head.ok_or_else(|| A::Error::custom("records, and no head before them"))?;
                let begun = reading.begin(head);
                reading.done(begun)?;
                map.next_value_seed(Records(reading))?;
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
            let begun = reading.begin(head);
            return reading.done(begun);
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
        let taken = reading.record(&record);
        reading.done(taken)
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
struct Records<'a>(&'a mut Reading);

impl<'de> DeserializeSeed<'de> for Records<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Records<'_> {
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
