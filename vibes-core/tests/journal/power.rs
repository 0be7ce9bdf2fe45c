//! Power that fails: everything the journal did to its files is recorded, and every beginning of that is a crash.
//!
//! What was synced is there. Of what was not, some writes are, some are not, some are torn and some are zeros, as a
//! disk and its cache please. The store must open, hang together, hold what was acknowledged, and cover every spool
//! segment that was given up on its word. `VIBES_POWER_PREFIXES` says how many crashes are tried.

use super::common::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};
use vibes_core::journal::{self, Reader};

/// The recorder, compiled; `None` where that cannot be done.
fn recorder(dir: &Dir) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/journal/disk.c");
    let library = dir.0.join("disk.so");
    let ran =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-w", "-o"]).arg(&library).arg(source).status();
    if !cfg!(target_os = "linux") || !ran.is_ok_and(|status| status.success()) {
        skip("no C compiler, so the disk keeps no diary");
        return None;
    }
    Some(library)
}

/// Works as a daemon does: output into a segment, a commit that covers it, the segment given up once that is synced.
/// What it was promised goes into a file of its own, so that it stands in the diary in its place.
#[test]
fn child_works_with_a_diary() {
    let Some(dir) = child_dir() else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let path = dir.join("store.db");
        let (writer, ..) = start(&path, "boot");
        let no = session(&writer, 1).await;
        let mut promised = File::create(dir.join("promised")).expect("it is made");
        let mut segments: Vec<(u64, u64, PathBuf)> = Vec::new();
        let mut head = 0;
        for round in 0..120_u64 {
            let count = 1 + round % 9 * 4;
            let segment = dir.join(format!("out.{head}"));
            fs::write(&segment, vec![b'x'; count as usize]).expect("it is written");
            let sync = round % 5 == 4;
            let committed =
                writer.commit(change_of(mixed, no, head, count, sync)).await.expect("it is committed");
            head += count;
            segments.push((committed.txn, head, segment));
            if sync {
                writeln!(promised, "{head}").expect("it is noted");
            }
            if round % 30 == 29 {
                // Time to pack and to checkpoint.
                writer.pack(no, head);
                while writer.synced() < committed.txn || round % 60 == 59 && loose(&path) > 0 {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            }
            for (_, _, segment) in segments.extract_if(.., |(txn, ..)| *txn <= writer.synced()) {
                fs::remove_file(segment).expect("it was there");
            }
        }
        // As a daemon that is killed: nothing is closed.
        println!("worked {head}");
    });
}

fn loose(path: &Path) -> i64 {
    let look = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY);
    let count = |look: rusqlite::Connection| {
        look.query_row("SELECT count(*) FROM records WHERE packed = 0", [], |row| row.get(0))
    };
    look.and_then(count).expect("it can be counted")
}

/// What was done to a file.
#[derive(Debug, Clone)]
enum Done {
    Write(u64, Vec<u8>),
    Truncate(u64),
    Sync,
    Unlink,
    Rename(String),
}

/// The diary: each entry with the name of its file.
fn read_diary(path: &Path, dir: &Path) -> Vec<(String, Done)> {
    let bytes = fs::read(path).expect("there is a diary");
    let mut rest = &bytes[..];
    let mut entries = Vec::new();
    let name = |path: &str| {
        path.strip_prefix(dir.to_str().expect("text")).expect("ours").trim_start_matches('/').to_owned()
    };
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').expect("an entry has a head");
        let head = std::str::from_utf8(&rest[..end]).expect("a head is text");
        let parts: Vec<&str> = head.splitn(4, ' ').collect();
        let (at, size) = (parts[1].parse().expect("a number"), parts[2].parse::<usize>().expect("a number"));
        let data = &rest[end + 1..end + 1 + size];
        rest = &rest[end + 2 + size..];
        let done = match parts[0] {
            "W" => Done::Write(at, data.to_vec()),
            "T" => Done::Truncate(at),
            "S" => Done::Sync,
            "U" => Done::Unlink,
            "R" => Done::Rename(name(std::str::from_utf8(data).expect("a path is text"))),
            other => panic!("the diary has {other}"),
        };
        entries.push((name(parts[3].trim_end_matches(" (deleted)")), done));
    }
    entries
}

/// A file as the disk has it, and what is on the way to it.
#[derive(Debug, Default, Clone)]
struct Kept {
    disk: Vec<u8>,
    cache: Vec<Done>,
}

fn apply(file: &mut Vec<u8>, done: &Done) {
    match done {
        Done::Write(at, data) => {
            let end = *at as usize + data.len();
            if file.len() < end {
                file.resize(end, 0);
            }
            file[*at as usize..end].copy_from_slice(data);
        }
        Done::Truncate(length) => file.resize(*length as usize, 0),
        Done::Sync | Done::Unlink | Done::Rename(_) => {}
    }
}

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// The files after the power failed behind the first `count` entries, and the segments that were given up.
fn crash(
    diary: &[(String, Done)],
    count: usize,
    lies: bool,
    dice: &mut Dice,
) -> (BTreeMap<String, Vec<u8>>, BTreeSet<String>) {
    let mut files: BTreeMap<String, Kept> = BTreeMap::new();
    let mut given_up = BTreeSet::new();
    for (name, done) in &diary[..count] {
        match done {
            Done::Unlink => {
                files.remove(name);
                given_up.insert(name.clone());
            }
            Done::Rename(from) => {
                let moved = files.remove(from).unwrap_or_default();
                files.insert(name.clone(), moved);
            }
            Done::Sync if lies => {}
            Done::Sync => {
                let kept = files.entry(name.clone()).or_default();
                for done in std::mem::take(&mut kept.cache) {
                    apply(&mut kept.disk, &done);
                }
            }
            other => files.entry(name.clone()).or_default().cache.push(other.clone()),
        }
    }
    let mood = dice.roll(4);
    let after = files.into_iter().map(|(name, kept)| {
        let mut disk = kept.disk;
        let reached = dice.roll(kept.cache.len() as u64 + 1) as usize;
        for (n, done) in kept.cache.iter().enumerate() {
            match (mood, done) {
                // Nothing of it arrived; a beginning of it; here and there some; a beginning whose end is torn or zeros.
                (0, _) => {}
                (1, _) if n >= reached => {}
                (2, _) if dice.roll(2) == 0 => {}
                (3, Done::Write(at, data)) if n + 1 == reached => {
                    let mut torn = data.clone();
                    let from = dice.roll(data.len() as u64 / 512 + 1) as usize * 512;
                    match dice.roll(2) {
                        0 => torn.truncate(from),
                        _ => torn.iter_mut().skip(from).for_each(|byte| *byte = 0),
                    }
                    apply(&mut disk, &Done::Write(*at, torn));
                }
                (3, _) if n >= reached => {}
                _ => apply(&mut disk, done),
            }
        }
        (name, disk)
    });
    (after.collect(), given_up)
}

/// What is wrong with the store after a crash.
fn faults(
    files: &BTreeMap<String, Vec<u8>>,
    given_up: &BTreeSet<String>,
    promised: Option<u64>,
) -> Vec<String> {
    let dir = Dir::new();
    for name in ["store.db", "store.db-wal"] {
        if let Some(bytes) = files.get(name) {
            fs::write(dir.0.join(name), bytes).expect("it is written");
        }
    }
    let opened = match journal::open(&dir.store(), "another boot", 1) {
        Ok(opened) => opened,
        Err(error) => return vec![error.to_string()],
    };
    let mut wrong: Vec<String> =
        opened.told.iter().filter(|told| told.contains("damaged")).cloned().collect();
    let reader = Reader::new(&dir.store());
    let found = reader.sessions().expect("readable");
    let head = found.first().map_or(0, |stored| stored.head);
    if let Some(promised) = promised.filter(|promised| *promised > head) {
        wrong.push(format!("{promised} was promised, {head} is there"));
    }
    if let Some(stored) = found.first().filter(|stored| stored.head > 0) {
        assert_whole(&reader, stored, 1);
    }
    for segment in given_up.iter().filter_map(|name| name.strip_prefix("out.")?.parse::<u64>().ok()) {
        if segment >= head {
            wrong.push(format!("the segment at {segment} was given up, the store reaches to {head}"));
        }
    }
    drop(opened);
    wrong.extend(journal::check(&dir.store()).unwrap_or_else(|error| vec![error.to_string()]));
    wrong
}

/// What the diary says was promised in its first `count` entries.
fn promised(diary: &[(String, Done)], count: usize) -> Option<u64> {
    let text: Vec<u8> = diary[..count]
        .iter()
        .filter_map(|(name, done)| match done {
            Done::Write(_, data) if name == "promised" => Some(data.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    String::from_utf8(text)
        .expect("text")
        .split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n')?.parse().ok())
        .next_back()
}

fn diary(more: &[(&str, &str)]) -> Option<Vec<(String, Done)>> {
    let (tools, dir) = (Dir::new(), Dir::new());
    let library = recorder(&tools)?;
    let log = tools.0.join("diary");
    let ran = child("power::child_works_with_a_diary", &dir.0)
        .env("LD_PRELOAD", &library)
        .env("DISK_DIR", &dir.0)
        .env("DISK_LOG", &log)
        .envs(more.iter().copied())
        .output()
        .expect("the child starts");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(
        ran.status.success() && said.contains("worked"),
        "{said}\n{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    Some(read_diary(&log, &dir.0))
}

#[test]
fn fault_36_42_power_may_fail_anywhere_and_what_was_promised_is_there() {
    let Some(diary) = diary(&[]) else { return };
    let syncs = diary.iter().filter(|(_, done)| matches!(done, Done::Sync)).count();
    assert!(
        syncs > 20 && diary.iter().any(|(_, done)| matches!(done, Done::Unlink)),
        "{} entries",
        diary.len()
    );
    let tries = std::env::var("VIBES_POWER_PREFIXES").ok().and_then(|text| text.parse().ok()).unwrap_or(200);
    let mut dice = Dice(57_005);
    for n in 0..tries {
        let count = 1 + (n * diary.len() / tries + dice.roll(diary.len() as u64) as usize) % diary.len();
        let (files, given_up) = crash(&diary, count, false, &mut dice);
        let wrong = faults(&files, &given_up, promised(&diary, count));
        assert!(wrong.is_empty(), "crash {n}, behind {count} of {} entries: {wrong:#?}", diary.len());
    }
}

/// What the test above can see at all.
#[test]
fn a_disk_that_lies_about_syncing_is_noticed() {
    let Some(diary) = diary(&[]) else { return };
    let mut dice = Dice(7);
    let noticed = (1..40).any(|n| {
        let count = diary.len() * n / 40;
        let (files, given_up) = crash(&diary, count, true, &mut dice);
        !faults(&files, &given_up, promised(&diary, count)).is_empty()
    });
    assert!(noticed, "a promise that nothing keeps was not missed");
}

#[test]
fn fault_34_writes_that_are_cut_short_or_interrupted_change_nothing() {
    let Some(diary) = diary(&[("DISK_SHORT", "1")]) else { return };
    let (files, given_up) = crash(&diary, diary.len(), false, &mut Dice(1));
    assert_eq!(faults(&files, &given_up, promised(&diary, diary.len())), [""; 0]);
}
