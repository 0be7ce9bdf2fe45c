//! The records of an archive, read, judged and made ready for the store.
//!
//! Invariant: pure, and bounded whatever is fed to it: a line, a group of records and the turn under way. What a client of
//! this store could not read later is refused with its line; kinds that nobody knows are kept as they are.

use crate::{
    agent::spool::hex,
    glimpse::{Glimpse, Line, Update},
    journal::{Hash, Packed, Reduced, RowChange, Spend},
    prices,
    session::{past::Past, persist, state::State},
};

use serde::Deserialize as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::{
    borrow::Cow,
    collections::{HashSet, VecDeque},
};
use vibes_protocol::model::{Cost, Fact, Seq, TurnInfo, fact::KINDS};

/// The longest line, in bytes: as much as one of the daemon may have.
const LONGEST: usize = 16 * 1024 * 1024;
/// The most values in a fact. Read, each takes some tens of bytes, whatever it takes as text.
const VALUES: usize = 200_000;
/// The deepest nesting of a fact: it is one deeper in a frame, and an agent's lines may have so much.
const DEPTH: usize = 100;
/// The most turns of a session, and parts of what they took.
const TURNS: usize = 100_000;
/// The end of the year 9999, in milliseconds.
pub(super) const LAST_MOMENT: i64 = 253_402_300_799_999;
/// How many records at the end may be taken back when the conversation goes on.
pub const CLOSING: usize = 8;

/// Text that comes in pieces, as lines.
#[derive(Debug, Default)]
pub struct Lines {
    held: Vec<u8>,
    count: u64,
}

impl Lines {
    /// Gives each line that ends in the text, with its number; blank ones are passed over.
    pub fn feed(
        &mut self,
        text: &str,
        mut of: impl FnMut(u64, &[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut rest = text.as_bytes();
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, behind) = rest.split_at(end);
            rest = &behind[1..];
            if self.held.is_empty() {
                self.one(line, &mut of)?;
            } else {
                self.hold(line)?;
                let line = std::mem::take(&mut self.held);
                self.one(&line, &mut of)?;
            }
        }
        self.hold(rest)
    }

    /// The last line, when it has no end.
    pub fn end(&mut self, mut of: impl FnMut(u64, &[u8]) -> Result<(), String>) -> Result<(), String> {
        let line = std::mem::take(&mut self.held);
        self.one(&line, &mut of)
    }

    fn hold(&mut self, piece: &[u8]) -> Result<(), String> {
        if self.held.len() + piece.len() > LONGEST {
            return Err(format!("line {}: it is longer than {LONGEST} bytes", self.count + 1));
        }
        self.held.extend_from_slice(piece);
        Ok(())
    }

    fn one(
        &mut self,
        line: &[u8],
        of: &mut impl FnMut(u64, &[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        self.count += 1;
        of(self.count, line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// Records that were read so far.
pub struct Intake {
    lines: Lines,
    seq: Seq,
    at_ms: i64,
    first_ms: i64,
    group: Reduced,
    /// What large records had in them once, and what is stored of that.
    met: HashSet<Hash>,
    stored: HashSet<Hash>,
    group_first: Seq,
    hash: Sha256,
    /// The hash after each of the last records.
    hashes: VecDeque<Sha256>,
    /// The hash after so many, and after how many.
    mark: (Seq, Option<String>),
    past: Past,
    turns: usize,
    begun: u64,
    spent: Vec<(u64, i64, Vec<Spend>)>,
    parts: usize,
    cost: Option<Cost>,
    ready: Ready,
}

/// What is ready for the store.
#[derive(Debug, Default)]
pub struct Ready {
    /// Records.
    pub records: Vec<Packed>,
    /// Turns.
    pub rows: Vec<RowChange>,
}

/// All there was.
#[derive(Debug)]
pub struct Whole {
    /// The last of it for the store.
    pub ready: Ready,
    /// How many records.
    pub records: Seq,
    /// When the first and the last one were made, in milliseconds.
    pub span: (i64, i64),
    /// How many turns began.
    pub turns: u64,
    /// What they took.
    pub spent: Vec<(u64, i64, Vec<Spend>)>,
    /// What they cost together.
    pub cost: Option<Cost>,
    /// The hash of the records that stay whatever follows.
    pub digest: String,
    /// The hash of as many as were asked for.
    pub mark: Option<String>,
}

impl Intake {
    /// Nothing yet. The hash is wanted after `mark` records.
    pub fn new(mark: Seq) -> Self {
        Self {
            lines: Lines::default(),
            seq: 0,
            at_ms: 0,
            first_ms: 0,
            group: Reduced::default(),
            met: HashSet::new(),
            stored: HashSet::new(),
            group_first: 1,
            hash: Sha256::new(),
            hashes: VecDeque::new(),
            mark: (mark, None),
            past: Past::default(),
            turns: 0,
            begun: 0,
            spent: Vec::new(),
            parts: 0,
            cost: None,
            ready: Ready::default(),
        }
    }

    /// Reads text, which may end within a line. `state` remembers the last words. The error says in which record what is
    /// wrong.
    pub fn read(&mut self, text: &str, state: &mut State) -> Result<(), String> {
        let mut lines = std::mem::take(&mut self.lines);
        let read = lines.feed(text, |number, line| {
            self.record(line, state).map_err(|why| format!("record {number}: {why}"))
        });
        self.lines = lines;
        read
    }

    /// Takes what happened, when it is told and not read.
    pub fn tell(&mut self, at_ms: i64, fact: &Value, state: &mut State) -> Result<(), String> {
        let seq = self.seq + 1;
        self.accept(seq, at_ms, &fact.to_string(), state).map_err(|why| format!("record {seq}: {why}"))
    }

    /// What is ready for the store by now.
    pub fn ready(&mut self) -> Ready {
        std::mem::take(&mut self.ready)
    }

    /// All was read; the last `closing` records are there only because the archive ends.
    pub fn finish(mut self, closing: usize, state: &mut State) -> Result<Whole, String> {
        let mut lines = std::mem::take(&mut self.lines);
        lines
            .end(|number, line| self.record(line, state).map_err(|why| format!("record {number}: {why}")))?;
        if self.seq == 0 {
            return Err("there is no record in it".to_owned());
        }
        let turns = self.past.turns(true);
        self.turns(turns)?;
        self.pack()?;
        let at = self.hashes.len().checked_sub(closing.saturating_add(1));
        let digest = match at {
            Some(at) => self.hashes.remove(at).unwrap_or_default(),
            None if closing as u64 == self.seq => Sha256::new(),
            None => return Err(format!("closing: at most {CLOSING} records, and no more than there are")),
        };
        Ok(Whole {
            ready: self.ready,
            records: self.seq,
            span: (self.first_ms, self.at_ms),
            turns: self.begun,
            spent: self.spent,
            cost: self.cost,
            digest: hex(&digest.finalize()),
            mark: self.mark.1,
        })
    }

    fn record(&mut self, line: &[u8], state: &mut State) -> Result<(), String> {
        let Line { seq, at_ms, fact } = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        self.accept(seq, at_ms, fact.get(), state)
    }

    fn accept(&mut self, seq: Seq, at_ms: i64, raw: &str, state: &mut State) -> Result<(), String> {
        if seq != self.seq + 1 {
            return Err(format!(
                "its seq is {seq}, {} was expected: an archive that can be imported has all records from 1 on",
                self.seq + 1
            ));
        }
        if !(0..=LAST_MOMENT).contains(&at_ms) {
            return Err(format!("at_ms: {at_ms} is no time"));
        }
        if at_ms < self.at_ms {
            return Err(format!("at_ms: {at_ms} is before {}, that of the record before", self.at_ms));
        }
        match sound(raw)? {
            Told::Whole(told) => self.fold(seq, at_ms, &told, state)?,
            Told::Words(words) => state.remember_words(&words),
            Told::Other => {}
        }
        // As long as the last record is that of the group.
        if !self.group.is_empty() && !self.group.takes(raw.len()) {
            self.pack()?;
        }
        if self.seq == 0 {
            self.first_ms = at_ms;
        }
        (self.seq, self.at_ms) = (seq, at_ms);
        self.hash.update(at_ms.to_le_bytes());
        self.hash.update((raw.len() as u64).to_le_bytes());
        self.hash.update(raw.as_bytes());
        if self.hashes.len() > CLOSING {
            self.hashes.pop_front();
        }
        self.hashes.push_back(self.hash.clone());
        if self.mark.0 == seq {
            self.mark.1 = Some(hex(&self.hash.clone().finalize()));
        }
        let stored = &self.stored;
        self.group
            .push(at_ms, raw.as_bytes(), &mut self.met, &mut |hash| Ok(stored.contains(hash)))
            .map_err(|error| error.to_string())
    }

    /// What the session shows of itself without its records being read.
    fn fold(&mut self, seq: Seq, at_ms: i64, told: &Value, state: &mut State) -> Result<(), String> {
        match told["kind"].as_str().unwrap_or_default() {
            "turn_started" => self.begun += 1,
            "input" => {
                let words = told["content"].as_array().into_iter().flatten();
                let words: Vec<_> = words.filter_map(|block| block["text"].as_str()).collect();
                state.remember_prompt(&words.join("\n"));
            }
            _ => {}
        }
        self.past.take(seq, at_ms, told);
        let turns = self.past.turns(false);
        self.turns(turns)
    }

    fn turns(&mut self, turns: Vec<TurnInfo>) -> Result<(), String> {
        for turn in &turns {
            self.turns += 1;
            if let Some(cost) = &turn.cost {
                prices::add(&mut self.cost, cost);
            }
            let spent = persist::turn_parts(turn);
            self.parts += spent.as_ref().map_or(0, |(_, _, parts)| parts.len());
            self.spent.extend(spent);
            self.ready.rows.push(persist::turn_row(turn));
        }
        if self.turns > TURNS || self.parts > 2 * TURNS {
            return Err(format!("there are more than {TURNS} turns"));
        }
        Ok(())
    }

    fn pack(&mut self) -> Result<(), String> {
        if self.group.is_empty() {
            return Ok(());
        }
        let group = std::mem::take(&mut self.group);
        let packed = Packed::of(self.group_first, self.seq, group).map_err(|error| error.to_string())?;
        self.stored.extend(packed.pieces.iter().map(|(hash, _)| *hash));
        self.ready.records.push(packed);
        self.group_first = self.seq + 1;
        Ok(())
    }
}

/// A fact, as far as it has to be looked into.
enum Told<'a> {
    /// Words of an answer.
    Words(Cow<'a, str>),
    /// An update that nothing is made of here.
    Other,
    /// Anything else.
    Whole(Value),
}

/// A fact, if it is one that every client can read.
fn sound(raw: &str) -> Result<Told<'_>, String> {
    if is_plain(raw)?
        && let Some(told) = update(raw)
    {
        return Ok(told);
    }
    let told: Value =
        serde_json::from_str(raw).map_err(|error| format!("its fact cannot be read: {error}"))?;
    let Some(kind) = told["kind"].as_str() else { return Err("its fact has no kind".to_owned()) };
    let update = &told["update"];
    if kind == "update" && update.is_object() {
        if update["sessionUpdate"] == "agent_message_chunk" {
            let words = update["content"]["text"].as_str().unwrap_or_default();
            return Ok(Told::Words(words.to_owned().into()));
        }
    } else if KINDS.contains(&kind) {
        Fact::deserialize(&told).map_err(|error| format!("its fact is no {kind}: {error}"))?;
    }
    Ok(Told::Whole(told))
}

/// Most records are updates of which nothing is made here: those that are surely such, read without building anything of
/// them.
fn update(raw: &str) -> Option<Told<'_>> {
    let fact: Glimpse<'_> = serde_json::from_str(raw).ok()?;
    let raw = fact.update.filter(|raw| fact.kind == "update" && raw.get().starts_with('{'))?;
    let update: Update<'_> = serde_json::from_str(raw.get()).ok()?;
    match &*update.kind {
        "agent_message_chunk" => {
            let content: Words<'_> = serde_json::from_str(update.content?.get()).ok()?;
            Some(Told::Words(content.text?))
        }
        "agent_thought_chunk" | "user_message_chunk" | "plan" | "available_commands_update" => {
            Some(Told::Other)
        }
        _ => None,
    }
}

#[derive(serde::Deserialize)]
struct Words<'a> {
    #[serde(borrow)]
    text: Option<Cow<'a, str>>,
}

/// Whether all that is JSON in it can be read as well: there is neither half a character (`\ud800`) nor a number that is
/// too large. The error says what is too much.
fn is_plain(raw: &str) -> Result<bool, String> {
    /// Digits of a number that is surely none of the largest.
    const DIGITS: usize = 64;
    let (mut depth, mut deepest, mut values) = (0_usize, 0, 0);
    let (mut quoted, mut escaped, mut unicode, mut number) = (false, false, false, 0);
    let (mut plain, mut before) = (true, 0_u8);
    for byte in raw.bytes() {
        let half = std::mem::take(&mut unicode);
        match byte {
            _ if escaped => (escaped, unicode) = (false, byte == b'u'),
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'd' | b'D' if half => plain = false,
            _ if quoted => {}
            b'{' | b'[' => {
                depth += 1;
                values += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => values += 1,
            b'e' | b'E' if before.is_ascii_digit() => plain = false,
            _ => {}
        }
        number = if byte.is_ascii_digit() && !quoted { number + 1 } else { 0 };
        plain &= number < DIGITS;
        before = byte;
    }
    if deepest > DEPTH {
        return Err(format!("its fact is nested {deepest} deep, {DEPTH} is the most"));
    }
    if values > VALUES {
        return Err(format!("its fact has more than {VALUES} values"));
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(raw: &str) -> Result<&'static str, String> {
        sound(raw).map(|told| match told {
            Told::Words(_) => "words",
            Told::Other => "other",
            Told::Whole(_) => "whole",
        })
    }

    fn update(kind: &str, rest: &str) -> String {
        format!(
            r#"{{"kind":"update","update":{{"sessionUpdate":"{kind}","content":{{"type":"text",{rest}}}}}}}"#
        )
    }

    #[test]
    fn a_short_look_sees_what_a_long_one_sees() {
        for text in
            [r#""text":"a cloud""#, r#""text":"\u00e9\u0041""#, r#""n":1.5,"text":"\\ud800 is no half""#]
        {
            let raw = update("agent_message_chunk", text);
            let quick = sound(&raw).unwrap();
            let value: Value = serde_json::from_str(&raw).unwrap();
            let Told::Words(words) = quick else { panic!("{text}") };
            assert_eq!(words, value["update"]["content"]["text"].as_str().unwrap());
            assert_eq!(told(&update("agent_thought_chunk", text)), Ok("other"), "{text}");
        }
        assert_eq!(told(&update("tool_call", r#""text":"x""#)), Ok("whole"));
        assert_eq!(told(&update("agent_message_chunk", r#""data":"x""#)), Ok("words"));
    }

    #[test]
    fn what_a_client_could_not_read_is_refused_wherever_it_stands() {
        let digits = "9".repeat(400);
        let bad = [
            r#""text":"\ud800""#.to_owned(),
            r#""text":"x","other":"\uDFFF""#.to_owned(),
            r#""text":"x","\ud83d":1"#.to_owned(),
            r#""text":"x","n":1e999"#.to_owned(),
            r#""text":"x","n":-1E+999"#.to_owned(),
            format!(r#""text":"x","n":{digits}"#),
        ];
        for (kind, bad) in ["agent_message_chunk", "agent_thought_chunk", "plan"]
            .iter()
            .flat_map(|kind| bad.iter().map(move |bad| (kind, bad)))
        {
            assert!(told(&update(kind, bad)).is_err(), "{kind} {bad}");
        }
        assert_eq!(told(&update("agent_message_chunk", r#""text":"\ud83d\ude00""#)), Ok("words"));
    }
}
