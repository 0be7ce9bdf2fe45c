//! Large records in pieces: text that an earlier record of the session has is stored once. Agents tell the output of a
//! tool again, whole, with every line that is added to it.
//!
//! Invariant: what is joined is, to the byte, what was cut. A piece is found by the hash of its bytes, belongs to one
//! session, and stays as long as its records; a group that refers to pieces is written in one transaction with them.

use super::{SessionNo, StoreError, group};
use fastcdc::v2020::FastCDC;
use rusqlite::{Connection, params};
use sha2::{Digest as _, Sha256};
use std::collections::{HashMap, HashSet};

/// Where a piece is found: the first half of the SHA-256 of its bytes.
pub type Hash = [u8; 16];

/// The shortest fact that is cut, in bytes. Shorter ones share a group with their like, which compresses as well.
const LARGE: usize = 16 * 1024;
/// The shortest, the usual and the longest piece, in bytes.
const LEAST: usize = 2 * 1024;
const USUAL: usize = 8 * 1024;
const MOST: usize = 32 * 1024;
/// The longest group when it is joined (unless one record alone is longer), in bytes: it is read as a whole.
const JOINED: usize = 1024 * 1024;
/// How many pieces of a session are remembered that were met once: those of some records of the longest kind.
const REMEMBERED: usize = 8 * 1024;
/// How many sessions that is done for at once.
const SESSIONS: usize = 8;
/// Begins a fact that is in pieces; any other begins with a brace. Then come runs of text and hashes.
const CUT: u8 = 1;
/// What comes next: a length and so many bytes, or a hash.
const TEXT: u8 = 0;
const PIECE: u8 = 1;

/// What was met once in large records, by session: a piece that is met again is stored.
#[derive(Debug, Default)]
pub struct Met(HashMap<SessionNo, HashSet<Hash>>);

impl Met {
    /// What was met in this session.
    pub fn of(&mut self, session: SessionNo) -> &mut HashSet<Hash> {
        if self.0.len() >= SESSIONS && !self.0.contains_key(&session) {
            self.0.clear();
        }
        self.0.entry(session).or_default()
    }

    /// Forgets a session.
    pub fn forget(&mut self, session: SessionNo) {
        self.0.remove(&session);
    }
}

/// A group's body as it is stored.
#[derive(Debug, Default)]
pub struct Reduced {
    /// The records; facts that are cut begin with [`CUT`].
    pub body: Vec<u8>,
    /// Whether there are some.
    pub cut: bool,
    /// The pieces that have to be stored with it, compressed.
    pub pieces: Vec<(Hash, Vec<u8>)>,
    /// How much it is when it is joined, in bytes.
    joined: usize,
}

impl Reduced {
    /// Whether there is no record in it.
    pub fn is_empty(&self) -> bool {
        self.body.is_empty()
    }

    /// Whether so many bytes more are not too much for one group.
    pub fn takes(&self, more: usize) -> bool {
        self.body.len() + more <= group::PACKED_GROUP && self.joined + more <= JOINED
    }

    /// The same of the records that come after.
    pub fn takes_all(&self, after: &Self) -> bool {
        self.body.len() + after.body.len() <= group::PACKED_GROUP && self.joined + after.joined <= JOINED
    }

    /// How it lies in the store, as the store says it.
    pub fn packed(&self) -> i64 {
        if self.cut { packed::CUT } else { packed::WHOLE }
    }

    /// Adds the records that come after.
    pub fn extend(&mut self, after: Self) {
        self.body.extend_from_slice(&after.body);
        self.pieces.extend(after.pieces);
        self.cut |= after.cut;
        self.joined += after.joined;
    }

    /// Adds a record. `met` is what was met once in this session, `stored` tells whether a piece is in the store.
    pub fn push(
        &mut self,
        at_ms: i64,
        fact: &[u8],
        met: &mut HashSet<Hash>,
        stored: &mut dyn FnMut(&Hash) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        self.joined += fact.len();
        if fact.len() < LARGE {
            group::push_record(&mut self.body, at_ms, fact);
            return Ok(());
        }
        let mut cut = vec![CUT];
        let (mut text, mut any) = (0..0, false);
        for chunk in FastCDC::new(fact, LEAST, USUAL, MOST) {
            let here = chunk.offset..chunk.offset + chunk.length;
            let bytes = &fact[here.clone()];
            let hash = hash_of(bytes);
            let mut there = self.pieces.iter().any(|(known, _)| *known == hash) || stored(&hash)?;
            if !there && !met.insert(hash) {
                self.pieces.push((hash, zstd::bulk::compress(bytes, 3)?));
                there = true;
            }
            if there {
                push_text(&mut cut, &fact[text]);
                cut.push(PIECE);
                cut.extend_from_slice(&hash);
                (text, any) = (here.end..here.end, true);
            } else {
                text.end = here.end;
            }
        }
        if met.len() > REMEMBERED {
            met.clear();
        }
        push_text(&mut cut, &fact[text]);
        group::push_record(&mut self.body, at_ms, if any { &cut } else { fact });
        self.cut |= any;
        Ok(())
    }
}

fn hash_of(bytes: &[u8]) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(&Sha256::digest(bytes)[..16]);
    hash
}

fn push_text(cut: &mut Vec<u8>, text: &[u8]) {
    if !text.is_empty() {
        cut.push(TEXT);
        cut.extend_from_slice(&(text.len() as u32).to_le_bytes());
        cut.extend_from_slice(text);
    }
}

/// A piece, if it is there.
type Found = Result<Option<Vec<u8>>, StoreError>;

/// Puts a group together again, into `whole`. `find` gives the bytes of a piece, compressed.
fn join(reduced: &[u8], whole: &mut Vec<u8>, find: &mut dyn FnMut(&Hash) -> Found) -> Result<(), StoreError> {
    let damaged = |what: &str| StoreError::Damaged(format!("a record in pieces: {what}"));
    let mut joined = Vec::new();
    for (at_ms, fact) in group::records(reduced) {
        let Some((&CUT, mut rest)) = fact.split_first() else {
            group::push_record(whole, at_ms, fact);
            continue;
        };
        joined.clear();
        while let Some((kind, behind)) = rest.split_first() {
            rest = match *kind {
                TEXT => {
                    let (length, behind) =
                        behind.split_first_chunk::<4>().ok_or_else(|| damaged("no length"))?;
                    let length = u32::from_le_bytes(*length) as usize;
                    let (text, behind) =
                        behind.split_at_checked(length).ok_or_else(|| damaged("cut short"))?;
                    joined.extend_from_slice(text);
                    behind
                }
                PIECE => {
                    let (hash, behind) =
                        behind.split_first_chunk::<16>().ok_or_else(|| damaged("no hash"))?;
                    let piece = find(hash)?.ok_or_else(|| damaged("one of them is missing"))?;
                    let piece =
                        zstd::bulk::decompress(&piece, MOST).map_err(|_| damaged("one is unreadable"))?;
                    joined.extend_from_slice(&piece);
                    behind
                }
                _ => return Err(damaged("neither text nor a piece")),
            };
        }
        group::push_record(whole, at_ms, &joined);
    }
    Ok(())
}

/// Whether a piece is in the store.
pub(super) fn is_stored(
    connection: &Connection,
    session: SessionNo,
    hash: &Hash,
) -> Result<bool, StoreError> {
    let mut select = connection.prepare_cached("SELECT 1 FROM piece WHERE session = ?1 AND hash = ?2")?;
    Ok(select.exists(params![session, hash])?)
}

/// Stores pieces. Inside a transaction.
pub(super) fn store(
    connection: &Connection,
    session: SessionNo,
    pieces: &[(Hash, Vec<u8>)],
) -> Result<(), StoreError> {
    let mut insert =
        connection.prepare_cached("INSERT OR IGNORE INTO piece (session, hash, body) VALUES (?1, ?2, ?3)")?;
    pieces.iter().try_for_each(|(hash, body)| Ok(insert.execute(params![session, hash, body]).map(|_| ())?))
}

/// Whether a stored piece is what its hash says.
pub(super) fn is_sound(hash: &[u8], body: &[u8]) -> bool {
    zstd::bulk::decompress(body, MOST).is_ok_and(|bytes| hash_of(&bytes) == hash)
}

/// How a group lies in the store: the values of `packed`.
pub(super) mod packed {
    /// As it was committed.
    pub const PLAIN: i64 = 0;
    /// Compressed.
    pub const WHOLE: i64 = 1;
    /// Compressed, with facts in pieces.
    pub const CUT: i64 = 2;
}

/// The body of a group, whole, until the next one. Pieces are looked up in this store.
pub(super) fn body<'a>(
    connection: &Connection,
    session: SessionNo,
    packed: i64,
    stored: &'a [u8],
    unpacker: &'a mut group::Unpacker,
) -> Result<&'a [u8], StoreError> {
    let damaged = |error: std::io::Error| StoreError::Damaged(error.to_string());
    match packed {
        packed::PLAIN => Ok(stored),
        packed::CUT => unpacker.rebuild(stored, |reduced, whole| {
            let mut select =
                connection.prepare_cached("SELECT body FROM piece WHERE session = ?1 AND hash = ?2")?;
            join(reduced, whole, &mut |hash| {
                let mut rows = select.query(params![session, hash])?;
                Ok(rows.next()?.map(|row| row.get(0)).transpose()?)
            })
        }),
        _ => unpacker.unpack(stored).map_err(damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text that does not repeat itself, as a fact.
    fn output(length: usize) -> String {
        let mut state = 7_u64;
        let words = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            format!("{:x} ", state >> 40)
        });
        words.flat_map(|word| word.into_bytes()).take(length).map(char::from).collect()
    }

    fn fact(text: &str) -> Vec<u8> {
        format!(r#"{{"kind":"update","update":{{"content":"{text}","rawOutput":"{text}"}}}}"#).into_bytes()
    }

    /// Cuts records one group each, and joins them; says how much is stored.
    fn around(facts: &[Vec<u8>]) -> usize {
        let (mut met, mut table) = (HashSet::new(), HashMap::new());
        let mut groups = Vec::new();
        for fact in facts {
            let mut reduced = Reduced::default();
            reduced.push(5, fact, &mut met, &mut |hash| Ok(table.contains_key(hash))).unwrap();
            table.extend(reduced.pieces.drain(..));
            groups.push(reduced.body);
        }
        for (fact, group) in facts.iter().zip(&groups) {
            let (mut whole, mut expected) = (Vec::new(), Vec::new());
            join(group, &mut whole, &mut |hash| Ok(table.get(hash).cloned())).unwrap();
            group::push_record(&mut expected, 5, fact);
            assert!(whole == expected, "to the byte");
        }
        groups.iter().map(Vec::len).sum::<usize>() + table.values().map(Vec::len).sum::<usize>()
    }

    #[test]
    fn output_that_grows_is_stored_once_and_read_back_to_the_byte() {
        let all = output(400_000);
        let grown: Vec<_> = (1..=200).map(|step| fact(&all[..step * 2_000])).collect();
        let told: usize = grown.iter().map(Vec::len).sum();
        let stored = around(&grown);
        assert!(told > 80_000_000 && stored < 8_000_000, "{told} bytes were told, {stored} are stored");
    }

    #[test]
    fn small_records_and_those_without_a_like_stay_as_they_are() {
        let facts = [fact("short"), fact(&output(100_000)), b"{}".to_vec()];
        let whole: usize = facts.iter().map(|fact| fact.len() + 12).sum();
        let mut reduced = Reduced::default();
        let mut met = HashSet::new();
        reduced.push(5, &facts[0], &mut met, &mut |_| Ok(false)).unwrap();
        reduced.push(5, &fact(&output(50_000))[..40_000], &mut met, &mut |_| Ok(false)).unwrap();
        assert!(!reduced.cut && reduced.pieces.is_empty());
        assert!(around(&facts) <= whole);
    }

    #[test]
    fn a_missing_piece_and_a_torn_fact_are_damage() {
        let text = fact(&output(60_000));
        let (mut met, mut reduced) = (HashSet::new(), Reduced::default());
        (0..2).for_each(|_| reduced.push(5, &text, &mut met, &mut |_| Ok(false)).unwrap());
        assert!(reduced.cut);
        let lost = join(&reduced.body, &mut Vec::new(), &mut |_| Ok(None)).unwrap_err();
        assert!(lost.to_string().contains("missing"), "{lost}");
        for torn in [&[CUT, TEXT][..], &[CUT, TEXT, 9, 0, 0, 0, b'x'], &[CUT, PIECE, 1], &[CUT, 7]] {
            let mut body = Vec::new();
            group::push_record(&mut body, 5, torn);
            assert!(join(&body, &mut Vec::new(), &mut |_| Ok(None)).is_err());
        }
    }
}
