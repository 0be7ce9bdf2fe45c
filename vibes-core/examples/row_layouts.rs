//! Measures how records could lie in SQLite, on the workload of vibes: what `docs/design/journal-layout.md` quotes.
//!
//! `cargo run --release -p vibes-core --example row_layouts [DIR]` writes a few hundred MiB below DIR (default: the
//! temporary directory) and removes them. Every figure is the median of [`ROUNDS`] rounds; the layouts take turns
//! within a round, so that what else runs on the machine meets all of them.
#![expect(clippy::print_stdout, reason = "it is a program that prints figures")]

use rusqlite::{Connection, params};
use std::{
    collections::BTreeMap,
    error::Error,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use vibes_core::journal::group;

const SESSIONS: u64 = 20;
const ROUNDS: usize = 3;
/// How long one writing figure is measured.
const WRITING: Duration = Duration::from_millis(1200);
/// The session that is read back, and how much it holds.
const LONG: u64 = 7;
const LONG_RECORDS: u64 = 100_000;
/// What a subscriber's page holds, in bytes (the daemon's share).
const PAGE: usize = 256 * 1024;
/// What a client that jumps somewhere asks for.
const JUMP_RECORDS: usize = 100;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Layout {
    /// A row per record in the order of writing, found by a unique index.
    Rowid,
    /// A row per record, clustered by session and number.
    Clustered,
    /// A row per group of a session's records, clustered.
    Groups,
}

const LAYOUTS: [Layout; 3] = [Layout::Rowid, Layout::Clustered, Layout::Groups];

impl Layout {
    fn name(self) -> &'static str {
        match self {
            Self::Rowid => "(a) row per record, rowid + UNIQUE",
            Self::Clustered => "(b) row per record, WITHOUT ROWID",
            Self::Groups => "(c) row per group, WITHOUT ROWID",
        }
    }

    fn schema(self) -> &'static str {
        match self {
            Self::Rowid => {
                "CREATE TABLE records (id INTEGER PRIMARY KEY, session INTEGER NOT NULL, seq INTEGER NOT NULL,
                   epoch INTEGER NOT NULL, at_ms INTEGER NOT NULL, fact BLOB NOT NULL, UNIQUE (session, seq))"
            }
            Self::Clustered => {
                "CREATE TABLE records (session INTEGER NOT NULL, seq INTEGER NOT NULL, epoch INTEGER NOT NULL,
                   at_ms INTEGER NOT NULL, fact BLOB NOT NULL, PRIMARY KEY (session, seq)) WITHOUT ROWID"
            }
            Self::Groups => {
                "CREATE TABLE records (session INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
                   epoch INTEGER NOT NULL, packed INTEGER NOT NULL, body BLOB NOT NULL,
                   PRIMARY KEY (session, first)) WITHOUT ROWID"
            }
        }
    }
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// Facts of 300 bytes whose text is made of words, frequent ones more often: what zstd meets in a conversation.
fn facts() -> Vec<Vec<u8>> {
    let mut dice = Dice(0x5eed);
    const SYLLABLES: [&str; 16] =
        ["ka", "lo", "mi", "ter", "pro", "con", "st", "re", "an", "ion", "er", "qu", "fa", "de", "xi", "ba"];
    let mut word = |_| (0..2 + dice.below(3)).map(|_| SYLLABLES[dice.below(16) as usize]).collect::<String>();
    let words: Vec<String> = (0..4000).map(&mut word).collect();
    let mut dice = Dice(0xfac7);
    let fact = |_| {
        let head = r#"{"kind":"agent_update","update":{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":""#;
        let mut text = head.to_owned();
        while text.len() < 296 {
            let limit = dice.below(4000) + 1;
            text.push_str(&words[dice.below(limit) as usize]);
            text.push(' ');
        }
        text.truncate(296);
        text.push_str("\"}}}");
        text.into_bytes()
    };
    (0..20_000).map(fact).collect()
}

/// A store of one layout, opened as the daemon's writer opens its own.
struct Store {
    layout: Layout,
    connection: Connection,
    path: PathBuf,
    heads: Vec<u64>,
    body: Vec<u8>,
}

impl Store {
    fn new(layout: Layout, dir: &Path, synchronous: &str) -> Outcome<Self> {
        let path = dir.join("store.db");
        let _ = ["", "-wal", "-shm"].map(|suffix| fs::remove_file(dir.join(format!("store.db{suffix}"))));
        let connection = Connection::open(&path)?;
        connection.execute_batch(&format!(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA journal_size_limit = 67108864;
             PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -8192; PRAGMA secure_delete = true;"
        ))?;
        connection.execute_batch(layout.schema())?;
        connection.execute_batch(
            "CREATE TABLE session (no INTEGER PRIMARY KEY, head INTEGER NOT NULL, spool INTEGER NOT NULL)",
        )?;
        for no in 0..SESSIONS {
            connection.execute("INSERT INTO session VALUES (?1, 0, 0)", [no as i64])?;
        }
        Ok(Self { layout, connection, path, heads: vec![0; SESSIONS as usize], body: Vec::new() })
    }

    /// One transaction: for each session its records and its new head, compared and swapped as the writer does.
    fn commit(&mut self, parts: &[(u64, u64)], facts: &[Vec<u8>]) -> Outcome<()> {
        let db = &self.connection;
        db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for &(session, count) in parts {
            let head = self.heads[session as usize];
            db.prepare_cached("UPDATE session SET head = ?1, spool = spool + 1 WHERE no = ?2 AND head = ?3")?
                .execute(params![(head + count) as i64, session as i64, head as i64])?;
            let fact = |n: u64| &facts[((session * 7919 + head + n) % facts.len() as u64) as usize];
            match self.layout {
                Layout::Rowid | Layout::Clustered => {
                    let mut insert = db.prepare_cached(
                        "INSERT INTO records (session, seq, epoch, at_ms, fact) VALUES (?1, ?2, 1, 1763670000000, ?3)",
                    )?;
                    for n in 1..=count {
                        insert.execute(params![session as i64, (head + n) as i64, fact(n)])?;
                    }
                }
                Layout::Groups => {
                    self.body.clear();
                    (1..=count).for_each(|n| group::push_record(&mut self.body, 1_763_670_000_000, fact(n)));
                    db.prepare_cached("INSERT INTO records VALUES (?1, ?2, ?3, 1, 0, ?4)")?.execute(
                        params![session as i64, (head + 1) as i64, (head + count) as i64, self.body],
                    )?;
                }
            }
            self.heads[session as usize] = head + count;
        }
        db.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    /// Bytes in use per record, the write-ahead log folded in.
    fn bytes_per_record(&self) -> Outcome<f64> {
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        let number = |pragma: &str| {
            self.connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, f64>(0))
        };
        let pages = number("page_count")? - number("freelist_count")?;
        Ok(pages * number("page_size")? / self.heads.iter().sum::<u64>() as f64)
    }

    /// What the writer does after a turn: the small groups of a session become compressed ones.
    fn pack(&self, session: u64, limit: usize) -> Outcome<()> {
        let (db, mut loose) = (&self.connection, Vec::<(i64, i64, Vec<u8>)>::new());
        {
            let mut select =
                db.prepare_cached("SELECT first, last, body FROM records WHERE session = ?1 ORDER BY first")?;
            let mut rows = select.query([session as i64])?;
            while let Some(row) = rows.next()? {
                let (first, last, body): (i64, i64, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
                match loose.last_mut() {
                    Some((_, end, bytes)) if bytes.len() + body.len() <= limit => {
                        *end = last;
                        bytes.extend_from_slice(&body);
                    }
                    _ => loose.push((first, last, body)),
                }
            }
        }
        db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for (first, last, body) in loose {
            let body = zstd::bulk::compress(&body, 3)?;
            db.prepare_cached("DELETE FROM records WHERE session = ?1 AND first BETWEEN ?2 AND ?3")?
                .execute(params![session as i64, first, last])?;
            db.prepare_cached("INSERT INTO records VALUES (?1, ?2, ?3, 1, 1, ?4)")?.execute(params![
                session as i64,
                first,
                last,
                body
            ])?;
        }
        db.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    /// A reader's connection, with the daemon's settings.
    fn reader(&self) -> Outcome<Connection> {
        let connection = Connection::open_with_flags(&self.path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.pragma_update(None, "mmap_size", 1_i64 << 30)?;
        Ok(connection)
    }
}

/// A page after a cursor, copied out as a reader copies it: (records, last number).
fn page(
    layout: Layout,
    db: &Connection,
    session: u64,
    after: u64,
    limit: (usize, usize),
    out: &mut Vec<u8>,
) -> Outcome<(usize, u64)> {
    out.clear();
    let (mut count, mut at) = (0, after);
    if layout != Layout::Groups {
        let mut select = db.prepare_cached(
            "SELECT seq, at_ms, epoch, fact FROM records WHERE session = ?1 AND seq > ?2 ORDER BY seq",
        )?;
        let mut rows = select.query(params![session as i64, after as i64])?;
        while let Some(row) = rows.next()? {
            out.extend_from_slice(row.get_ref(3)?.as_blob()?);
            (count, at) = (count + 1, row.get::<_, i64>(0)? as u64);
            std::hint::black_box((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
            if count >= limit.0 || out.len() >= limit.1 {
                break;
            }
        }
        return Ok((count, at));
    }
    let mut select = db.prepare_cached(
        "SELECT first, last, packed, body FROM records WHERE session = ?1 AND first >=
           coalesce((SELECT max(first) FROM records WHERE session = ?1 AND first <= ?2), ?2) ORDER BY first",
    )?;
    let mut rows = select.query(params![session as i64, after as i64 + 1])?;
    while let Some(row) = rows.next()? {
        let body = row.get_ref(3)?.as_blob()?;
        let unpacked = if row.get::<_, i64>(2)? == 1 { zstd::decode_all(body)? } else { Vec::new() };
        let body = if unpacked.is_empty() { body } else { &unpacked };
        for (seq, (at_ms, fact)) in
            (row.get::<_, i64>(0)? as u64..).zip(group::records(body)).filter(|(seq, _)| *seq > after)
        {
            std::hint::black_box(at_ms);
            out.extend_from_slice(fact);
            (count, at) = (count + 1, seq);
            if count >= limit.0 || out.len() >= limit.1 {
                return Ok((count, at));
            }
        }
    }
    Ok((count, at))
}

/// Samples by figure and layout; a column is the median.
#[derive(Default)]
struct Figures(BTreeMap<(usize, String, String), Vec<f64>>);

impl Figures {
    fn add(&mut self, order: usize, figure: &str, layout: &str, value: f64) {
        self.0.entry((order, figure.to_owned(), layout.to_owned())).or_default().push(value);
    }

    fn print(&mut self) {
        for ((_, figure, layout), samples) in &mut self.0 {
            samples.sort_by(f64::total_cmp);
            let [low, middle, high] = [0, samples.len() / 2, samples.len() - 1].map(|at| samples[at]);
            println!("| {figure} | {layout} | {middle:.1} | {low:.1} – {high:.1} |");
        }
    }
}

fn quantile(sorted: &[Duration], part: f64) -> f64 {
    sorted[((sorted.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e6
}

/// How many sessions and how many records of each one commit holds.
const LOADS: [(&str, u64, u64); 3] =
    [("1 session × 1 record", 1, 1), ("1–4 sessions × 1–50", 4, 50), ("1–20 sessions × 1–50", 20, 50)];

fn parts(dice: &mut Dice, sessions: u64, records: u64) -> Vec<(u64, u64)> {
    let (from, count) = (dice.below(SESSIONS), 1 + dice.below(sessions));
    (0..count).map(|n| ((from + n) % SESSIONS, 1 + dice.below(records))).collect()
}

fn writing(dir: &Path, facts: &[Vec<u8>], figures: &mut Figures) -> Outcome<()> {
    let mut order = 0;
    for synchronous in ["NORMAL", "FULL"] {
        for (name, sessions, records) in LOADS {
            order += 3;
            for layout in LAYOUTS {
                let mut store = Store::new(layout, dir, synchronous)?;
                let (mut dice, mut took, began) = (Dice(0xd1ce), Vec::new(), Instant::now());
                while began.elapsed() < WRITING {
                    let parts = parts(&mut dice, sessions, records);
                    let from = Instant::now();
                    store.commit(&parts, facts)?;
                    took.push(from.elapsed());
                }
                let rate = store.heads.iter().sum::<u64>() as f64 / began.elapsed().as_secs_f64();
                took.sort();
                let figure = |what: &str| format!("write, {synchronous}, {name}: {what}");
                figures.add(order, &figure("k records/s"), layout.name(), rate / 1e3);
                figures.add(order + 1, &figure("commit p50 µs"), layout.name(), quantile(&took, 0.5));
                figures.add(order + 2, &figure("commit p99 µs"), layout.name(), quantile(&took, 0.99));
            }
        }
    }
    Ok(())
}

fn read(store: &Store, name: &str, figures: &mut Figures) -> Outcome<()> {
    let mut out = Vec::new();
    figures.add(120, "disk bytes per record", name, store.bytes_per_record()?);
    for (temper, order) in [("cold", 101), ("warm", 100)] {
        if temper == "cold" && fs::write("/proc/sys/vm/drop_caches", "1").is_err() {
            continue;
        }
        let db = store.reader()?;
        let (began, mut after) = (Instant::now(), 0);
        while after < LONG_RECORDS {
            after = page(store.layout, &db, LONG, after, (usize::MAX, PAGE), &mut out)?.1;
        }
        let rate = LONG_RECORDS as f64 / began.elapsed().as_secs_f64();
        figures.add(order, &format!("read 100,000 in pages, {temper}: k records/s"), name, rate / 1e3);
    }
    let (db, mut dice, mut took) = (store.reader()?, Dice(0xcafe), Vec::new());
    for _ in 0..1000 {
        let (after, from) = (dice.below(LONG_RECORDS), Instant::now());
        page(store.layout, &db, LONG, after, (JUMP_RECORDS, PAGE), &mut out)?;
        took.push(from.elapsed());
    }
    took.sort();
    figures.add(110, "random cursor + 100 records: p50 µs", name, quantile(&took, 0.5));
    figures.add(111, "random cursor + 100 records: p99 µs", name, quantile(&took, 0.99));
    Ok(())
}

/// A store in which the long session and its neighbours took turns.
fn written(layout: Layout, dir: &Path, facts: &[Vec<u8>]) -> Outcome<Store> {
    let (mut store, mut dice) = (Store::new(layout, dir, "NORMAL")?, Dice(0xbeef));
    while store.heads[LONG as usize] < LONG_RECORDS {
        let mut parts = parts(&mut dice, 4, 50);
        // It writes three times as often as each of them.
        if parts.iter().all(|(session, _)| *session != LONG) && dice.below(10) < 4 {
            parts.push((LONG, 1 + dice.below(50)));
        }
        store.commit(&parts, facts)?;
    }
    Ok(store)
}

fn reading(dir: &Path, facts: &[Vec<u8>], figures: &mut Figures) -> Outcome<()> {
    for layout in LAYOUTS {
        read(&written(layout, dir, facts)?, layout.name(), figures)?;
    }
    for (name, limit) in [("(c) packed, 256 KiB", group::PACKED_GROUP), ("(c) packed, 64 KiB", 64 * 1024)] {
        let store = written(Layout::Groups, dir, facts)?;
        let began = Instant::now();
        (0..SESSIONS).try_for_each(|session| store.pack(session, limit))?;
        let rate = store.heads.iter().sum::<u64>() as f64 / began.elapsed().as_secs_f64();
        figures.add(130, "packing: k records/s", name, rate / 1e3);
        read(&store, name, figures)?;
    }
    Ok(())
}

fn main() -> Outcome<()> {
    let parent = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = parent.join(format!("row-layouts-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    let facts = facts();
    let mut figures = Figures::default();
    println!("load before: {}", fs::read_to_string("/proc/loadavg")?.trim());
    let measured = (0..ROUNDS).try_for_each(|_| {
        writing(&dir, &facts, &mut figures).and_then(|()| reading(&dir, &facts, &mut figures))
    });
    fs::remove_dir_all(&dir)?;
    measured?;
    println!("load after: {}\n", fs::read_to_string("/proc/loadavg")?.trim());
    println!("| figure | layout | median | range of {ROUNDS} |\n|---|---|---|---|");
    figures.print();
    Ok(())
}
