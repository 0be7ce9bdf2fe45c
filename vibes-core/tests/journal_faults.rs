//! The journal against what goes wrong: second writers, killed processes, damaged files, a full disk.
//!
//! The real store in directories of its own. What was acknowledged is there, what was not is there whole or not at
//! all, and nothing is lost without a word.

use rusqlite::Connection;
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};
use vibes_core::journal::{
    self, Append, Change, Committed, NewSession, Reader, RowChange, RowKind, SessionNo, SpoolOffset,
    StoreError, StoredSession, Writer, group,
};
use vibes_protocol::model::{Seq, SessionId};

/// A directory that is gone with the test.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("vibes-journal-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("the name is new");
        Self(path)
    }

    fn store(&self) -> PathBuf {
        self.0.join("store.db")
    }

    fn aside(&self) -> Vec<PathBuf> {
        let entries =
            fs::read_dir(&self.0).expect("it is there").filter_map(|entry| Some(entry.ok()?.path()));
        entries
            .filter(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("corrupt-")))
            .collect()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn id(number: u128) -> SessionId {
    SessionId(uuid::Uuid::from_u128(number))
}

fn start(path: &Path, boot: &str) -> (Writer, Vec<String>, u64) {
    let opened = journal::open(path, boot, 1_000).expect("the store opens");
    let (told, epoch) = (opened.told.clone(), opened.epoch);
    (Writer::start(opened).expect("the writer starts"), told, epoch)
}

fn new_session(number: u128, key: Option<&str>) -> NewSession {
    NewSession { id: id(number), create_key: key.map(str::to_owned), at_ms: 1, body: "{}".into() }
}

fn fact(seq: Seq) -> Vec<u8> {
    // Of many lengths, and not all alike: packing has something to do.
    format!(r#"{{"kind":"update","n":{seq},"text":"{}"}}"#, "ab".repeat((seq % 97) as usize)).into_bytes()
}

/// The change that appends `count` records after `head`; the offset goes on by as many bytes.
fn change(session: SessionNo, head: Seq, count: u64, sync: bool) -> Change {
    let mut body = Vec::new();
    (head + 1..=head + count).for_each(|seq| group::push_record(&mut body, seq as i64, &fact(seq)));
    Change {
        session,
        expect: (head, SpoolOffset { generation: 1, offset: head }),
        head: head + count,
        spool: SpoolOffset { generation: 1, offset: head + count },
        last_ms: 5,
        append: Some(Append { first: head + 1, last: head + count, epoch: 1, body }),
        body: Some(format!("{{\"head\":{}}}", head + count)),
        rows: vec![RowChange {
            kind: RowKind::Outbox,
            key: b"last".to_vec(),
            value: Some((head + count).to_string().into()),
        }],
        sync,
    }
}

/// A session's first change sets its generation.
async fn session(writer: &Writer, number: u128) -> SessionNo {
    let (no, ..) = writer.create(new_session(number, None)).await.expect("it is created");
    let first = Change { expect: (0, SpoolOffset::default()), ..change(no, 0, 0, true) };
    writer.commit(Change { append: None, ..first }).await.expect("it is committed");
    no
}

/// Everything that can be read of a session, page by page.
fn read_all(
    reader: &Reader,
    no: SessionNo,
    number: u128,
    after: Seq,
    bytes: usize,
    records: usize,
) -> Vec<u8> {
    let (mut at, mut all) = (after, Vec::new());
    loop {
        let page = reader.page(no, &id(number), at, bytes, records).expect("it can be read");
        if page.last == 0 {
            return all;
        }
        assert_eq!(page.first, at + 1, "no hole between pages");
        all.extend_from_slice(&page.frames.bytes);
        at = page.last;
    }
}

fn seqs(frames: &[u8]) -> Vec<u64> {
    let text = std::str::from_utf8(frames).expect("frames are text");
    text.lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).expect("a frame")["seq"]
                .as_u64()
                .expect("a number")
        })
        .collect()
}

/// A session hangs together: its head, its records, its state, its row and its offset tell the same.
fn assert_whole(reader: &Reader, stored: &StoredSession, number: u128) {
    let frames = read_all(reader, stored.no, number, 0, 10_000, 1_000);
    assert_eq!(seqs(&frames), (1..=stored.head).collect::<Vec<_>>());
    assert_eq!(stored.spool.offset, stored.head);
    assert_eq!(stored.body, format!("{{\"head\":{}}}", stored.head));
    assert_eq!(stored.rows, [(RowKind::Outbox, b"last".to_vec(), stored.head.to_string().into_bytes())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_committed_in_the_order_they_came_and_grouped() {
    let dir = Dir::new();
    let (writer, ..) = start(&dir.store(), "boot");
    let mut sessions = Vec::new();
    for number in 1..=20 {
        sessions.push(session(&writer, number).await);
    }
    let mut txns: Vec<u64> = Vec::new();
    for round in 0..20 {
        // All at once, in order: `join` polls them in order, so they lie in the queue in order.
        let commits: Vec<_> = sessions
            .iter()
            .map(|no| {
                tokio::spawn({
                    let (w, c) = (writer.clone(), change(*no, round, 1, round % 2 == 0));
                    async move { w.commit(c).await }
                })
            })
            .collect();
        for commit in commits {
            let Committed { txn } = commit.await.expect("no panic").expect("it is committed");
            txns.push(txn);
        }
    }
    let distinct = txns.iter().collect::<std::collections::BTreeSet<_>>().len();
    assert!(distinct <= txns.len());
    let (low, high) = (txns[..20].iter().max(), txns[20..].iter().min());
    assert!(low < high, "a later round has a later transaction");
    writer.close().await.expect("it closes");
    let reader = Reader::new(&dir.store());
    for stored in reader.sessions().expect("it can be read") {
        assert_eq!(stored.head, 20);
        assert_whole(&reader, &stored, stored.no as u128);
    }
}

#[tokio::test]
async fn a_second_ingestion_of_the_same_bytes_is_refused_and_takes_nobody_with_it() {
    let dir = Dir::new();
    let (writer, ..) = start(&dir.store(), "boot");
    let (a, b, c) = (session(&writer, 1).await, session(&writer, 2).await, session(&writer, 3).await);
    // One thread polls all of these before the writer can answer: they lie in one group.
    let results = tokio::join!(
        writer.commit(change(a, 0, 3, true)),
        writer.commit(change(a, 0, 3, true)),
        writer.commit(change(b, 0, 2, false)),
        writer.commit(Change {
            expect: (0, SpoolOffset { generation: 1, offset: 9 }),
            ..change(c, 0, 1, false)
        }),
        writer.commit(Change {
            expect: (0, SpoolOffset { generation: 2, offset: 0 }),
            ..change(c, 0, 1, false)
        }),
        writer.commit(Change {
            expect: (1, SpoolOffset { generation: 1, offset: 0 }),
            ..change(c, 0, 1, false)
        }),
        writer.commit(change(99, 0, 1, false)),
        writer.commit(change(c, 0, 1, false)),
    );
    assert!(results.0.is_ok() && results.2.is_ok() && results.7.is_ok(), "{results:?}");
    for (refused, no) in [(results.1, a), (results.3, c), (results.4, c), (results.5, c), (results.6, 99)] {
        assert!(matches!(refused, Err(StoreError::Conflict { session }) if session == no), "{refused:?}");
    }
    let reader = Reader::new(&dir.store());
    let heads: Vec<_> = reader.sessions().expect("readable").iter().map(|stored| stored.head).collect();
    assert_eq!(heads, [3, 2, 1]);
    for stored in reader.sessions().expect("readable") {
        assert_whole(&reader, &stored, stored.no as u128);
    }
    writer.close().await.expect("it closes");
    assert_eq!(journal::check(&dir.store()).expect("it can be checked"), [""; 0]);
}

#[tokio::test]
async fn a_synced_change_is_on_disk_when_it_is_acknowledged_and_so_is_all_before_it() {
    let dir = Dir::new();
    let (writer, ..) = start(&dir.store(), "boot");
    let no = session(&writer, 1).await;
    let loose = writer.commit(change(no, 0, 1, false)).await.expect("it is committed");
    let synced = writer.commit(change(no, 1, 1, true)).await.expect("it is committed");
    assert!(loose.txn < synced.txn);
    assert!(writer.synced() >= synced.txn);
}

#[tokio::test]
async fn a_create_key_makes_one_session_also_after_a_restart() {
    let dir = Dir::new();
    let (writer, ..) = start(&dir.store(), "boot");
    let first = writer.create(new_session(1, Some("k"))).await.expect("it is created");
    assert_eq!(first, (1, id(1), true));
    assert_eq!(writer.create(new_session(2, Some("k"))).await.expect("found"), (1, id(1), false));
    assert_eq!(writer.create(new_session(3, Some("other"))).await.expect("created"), (2, id(3), true));
    assert_eq!(writer.create(new_session(4, None)).await.expect("created").1, id(4));
    writer.close().await.expect("it closes");
    assert!(matches!(writer.create(new_session(9, None)).await, Err(StoreError::Closed)));
    let (writer, ..) = start(&dir.store(), "boot");
    assert_eq!(writer.create(new_session(5, Some("k"))).await.expect("found"), (1, id(1), false));
    let reader = Reader::new(&dir.store());
    assert_eq!(reader.created_with("k").expect("readable"), Some(id(1)));
    assert_eq!(reader.created_with("never").expect("readable"), None);
    assert_eq!(reader.sessions().expect("readable").len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn packing_keeps_every_number_and_every_byte() {
    let dir = Dir::new();
    let (writer, ..) = start(&dir.store(), "boot");
    let no = session(&writer, 1).await;
    let mut head = 0;
    for round in 0..400_u64 {
        let count = 1 + round % 7;
        let mut change = change(no, head, count, false);
        // Two epochs, and one record longer than a packed group.
        if let Some(append) = &mut change.append {
            append.epoch = if round < 250 { 1 } else { 3 };
            if round == 300 {
                append.body.clear();
                for seq in head + 1..=head + count {
                    group::push_record(
                        &mut append.body,
                        1,
                        format!("{{\"long\":\"{}\"}}", "x".repeat(300_000 + seq as usize)).as_bytes(),
                    );
                }
            }
        }
        writer.commit(change).await.expect("it is committed");
        head += count;
    }
    let reader = Reader::new(&dir.store());
    let whole = read_all(&reader, no, 1, 0, usize::MAX, usize::MAX);
    assert_eq!(seqs(&whole), (1..=head).collect::<Vec<_>>());
    let before = pages(&reader, no, head);
    let epochs: Vec<_> = (0..=head + 1).map(|seq| reader.epoch_of(no, seq).expect("readable")).collect();
    let lasts: Vec<_> = (0..5).map(|epoch| reader.last_of_epoch(no, epoch).expect("readable")).collect();

    writer.pack(no, head / 2);
    writer.pack(no, head);
    // Packing is done when there is time; closing the store leaves what is not done, so wait for the fact.
    let look = Connection::open(dir.store()).expect("it opens");
    let loose =
        || look.query_row("SELECT count(*) FROM records WHERE packed = 0", [], |row| row.get::<_, i64>(0));
    while loose().expect("it counts") > 0 {
        std::thread::yield_now();
    }
    let rows: i64 = look.query_row("SELECT count(*) FROM records", [], |row| row.get(0)).expect("it counts");
    assert!(rows < 60, "{rows} groups are left of 400");

    assert!(whole == read_all(&reader, no, 1, 0, usize::MAX, usize::MAX), "the bytes are the same");
    assert!(before == pages(&reader, no, head), "every page is the same");
    assert_eq!(
        epochs,
        (0..=head + 1).map(|seq| reader.epoch_of(no, seq).expect("readable")).collect::<Vec<_>>()
    );
    assert_eq!(
        lasts,
        (0..5).map(|epoch| reader.last_of_epoch(no, epoch).expect("readable")).collect::<Vec<_>>()
    );
    // It goes on, and packed and loose groups read as one.
    writer.commit(change(no, head, 2, true)).await.expect("it is committed");
    assert_eq!(seqs(&read_all(&reader, no, 1, head - 3, 1, 100)), (head - 2..=head + 2).collect::<Vec<_>>());
    writer.close().await.expect("it closes");
    assert_eq!(journal::check(&dir.store()).expect("it can be checked"), [""; 0]);
}

/// Single pages from many cursors and of many sizes: (first, last, bytes).
fn pages(reader: &Reader, no: SessionNo, head: Seq) -> Vec<(Seq, Seq, Vec<u8>)> {
    let mut all = Vec::new();
    for after in (0..head + 3).step_by(23) {
        for (bytes, records) in [(1, 1), (1, 50), (500, 1_000), (70_000, 5)] {
            let page = reader.page(no, &id(1), after, bytes, records).expect("it can be read");
            assert!(page.last == 0 || page.first == after + 1);
            assert!(page.last <= after + records as u64);
            if records < 50 {
                // Bounded by records a page is exact; bounded by bytes it ends with its group, wherever that is.
                all.push((page.first, page.last, page.frames.bytes));
            }
        }
    }
    all
}

#[test]
fn a_cursor_beyond_every_record_reads_nothing() {
    let dir = Dir::new();
    drop(journal::open(&dir.store(), "boot", 1).expect("it opens"));
    let reader = Reader::new(&dir.store());
    for after in [0, 5, i64::MAX as u64 - 1, i64::MAX as u64, u64::MAX] {
        assert_eq!(reader.page(1, &id(1), after, 100, 100).expect("readable").last, 0, "{after}");
    }
}

#[tokio::test]
async fn the_epoch_rises_only_when_the_machine_went_down_without_us() {
    let dir = Dir::new();
    let opened = journal::open(&dir.store(), "boot-1", 1).expect("it opens");
    assert_eq!((opened.epoch, opened.fence, opened.told.len()), (1, 1, 0));
    drop(opened);
    // Killed in the same boot: the file system kept what was written.
    let opened = journal::open(&dir.store(), "boot-1", 1).expect("it opens");
    assert_eq!((opened.epoch, opened.fence, opened.told.len()), (1, 2, 0));
    drop(opened);
    // Another boot after an unclean end.
    let opened = journal::open(&dir.store(), "boot-2", 1).expect("it opens");
    assert_eq!((opened.epoch, opened.fence, opened.told.len()), (2, 3, 1));
    let writer = Writer::start(opened).expect("it starts");
    writer.close().await.expect("it closes");
    // Another boot after a clean one.
    let opened = journal::open(&dir.store(), "boot-3", 1).expect("it opens");
    assert_eq!((opened.epoch, opened.fence, opened.told.len()), (2, 4, 0));
    // The clean mark is gone as soon as it is open again.
    drop(opened);
    assert_eq!(journal::open(&dir.store(), "boot-4", 1).expect("it opens").epoch, 3);
}

#[test]
fn a_store_of_a_newer_version_is_refused_and_not_touched() {
    let dir = Dir::new();
    drop(journal::open(&dir.store(), "boot", 1).expect("it opens"));
    let connection = Connection::open(dir.store()).expect("it opens");
    connection.pragma_update(None, "user_version", 2).expect("it is set");
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("it checkpoints");
    drop(connection);
    let before = fs::read(dir.store()).expect("it can be read");
    let refused = journal::open(&dir.store(), "boot", 1).map(|_| ()).expect_err("it is newer");
    assert!(matches!(refused, StoreError::Newer { found: 2, known: 1, .. }), "{refused}");
    assert!(refused.to_string().contains("newer vibes"), "{refused}");
    assert!(before == fs::read(dir.store()).expect("it can be read"), "the file was touched");
    assert!(dir.aside().is_empty());
}

#[test]
fn the_store_is_for_its_user_alone() {
    let dir = Dir::new();
    fs::write(dir.store(), "").expect("it is written");
    fs::set_permissions(dir.store(), fs::Permissions::from_mode(0o666)).expect("it is set");
    drop(journal::open(&dir.store(), "boot", 1).expect("it opens"));
    let mode = fs::metadata(dir.store()).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

// ---- damage ----

/// A closed store with three sessions of many records each; its bytes.
fn sound_store(path: &Path) -> Vec<u8> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let (writer, ..) = start(path, "boot");
        for number in 1..=3 {
            let no = session(&writer, number).await;
            for round in 0..30 {
                writer.commit(change(no, round * 20, 20, false)).await.expect("it is committed");
            }
        }
        writer.close().await.expect("it closes");
    });
    drop(runtime);
    fs::read(path).expect("it can be read")
}

/// Opens whatever is there; the result must be a store a daemon can work with.
fn usable(dir: &Dir) -> (Vec<String>, Vec<StoredSession>, u64) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let result = runtime.block_on(async {
        let (writer, told, epoch) = start(&dir.store(), "boot");
        let reader = Reader::new(&dir.store());
        let found = reader.sessions().expect("sessions can be listed");
        let no = session(&writer, 77).await;
        writer.commit(change(no, 0, 2, true)).await.expect("a new session can be written");
        assert_eq!(seqs(&read_all(&reader, no, 77, 0, 1_000, 1_000)), [1, 2]);
        writer.close().await.expect("it closes");
        (told, found, epoch)
    });
    drop(runtime);
    result
}

#[test]
fn a_store_whose_header_is_garbage_is_set_aside_whole_and_told() {
    let dir = Dir::new();
    let mut bytes = sound_store(&dir.store());
    bytes[..100].fill(0xA5);
    fs::write(dir.store(), &bytes).expect("it is written");
    let (told, found, _) = usable(&dir);
    assert_eq!(found.len(), 0);
    let [aside] = &dir.aside()[..] else { panic!("{:?}", dir.aside()) };
    assert_eq!(told.len(), 1);
    assert!(told[0].contains(&*aside.to_string_lossy()) && told[0].contains("vibes doctor"), "{told:?}");
    assert!(fs::read(aside.join("store.db")).expect("it is kept") == bytes, "not a byte of it is lost");
    assert_eq!(fs::metadata(aside).expect("it is there").permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_store_cut_anywhere_is_never_lost_without_a_word() {
    let dir = Dir::new();
    let bytes = sound_store(&dir.store());
    let page = 4096;
    let cuts = (1..24).map(|n| bytes.len() * n / 24).chain([page - 1, page, page + 1, bytes.len() - 1]);
    for cut in cuts {
        let dir = Dir::new();
        fs::write(dir.store(), &bytes[..cut]).expect("it is written");
        let (told, found, _) = usable(&dir);
        let set_aside = !dir.aside().is_empty();
        assert_eq!(set_aside, !told.is_empty(), "cut at {cut}: {told:?}");
        if set_aside {
            assert_eq!(fs::metadata(dir.aside()[0].join("store.db")).expect("kept").len(), cut as u64);
        } else {
            // SQLite opens it: the sessions are there, and what is missing is a fault that a check names.
            assert_eq!(found.len(), 3, "cut at {cut}");
        }
    }
}

#[test]
fn a_page_that_was_overwritten_is_set_aside_or_named_by_the_check() {
    let dir = Dir::new();
    let bytes = sound_store(&dir.store());
    let page = 4096;
    let mut quiet = 0;
    for number in 0..bytes.len() / page {
        let dir = Dir::new();
        let mut damaged = bytes.clone();
        damaged[number * page..(number + 1) * page].fill(0x5A);
        fs::write(dir.store(), &damaged).expect("it is written");
        let named = journal::check(&dir.store()).map_or(true, |faults| !faults.is_empty());
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let told = runtime.block_on(async { start(&dir.store(), "boot").1 });
        drop(runtime);
        let told = !told.is_empty();
        assert!(told || named, "page {number} was overwritten and nobody noticed");
        quiet += u32::from(!told);
    }
    // Most pages hold records, which are read when somebody asks for them; the check reads them all.
    assert!(quiet > 0);
}

#[test]
fn a_store_cut_within_its_header_is_told() {
    for cut in [1, 16, 99, 100, 511, 512] {
        let dir = Dir::new();
        let bytes = sound_store(&dir.store());
        fs::write(dir.store(), &bytes[..cut]).expect("it is written");
        let (told, _, _) = usable(&dir);
        assert_eq!(told.len(), 1, "cut at {cut}");
    }
}

#[test]
fn a_store_that_became_empty_is_told() {
    let dir = Dir::new();
    sound_store(&dir.store());
    fs::write(dir.store(), "").expect("it is written");
    fs::write(dir.0.join("store.db-wal"), [7; 500]).expect("it is written");
    let (told, _, _) = usable(&dir);
    assert_eq!(told.len(), 1);
}

/// A store that was not closed: the newest changes are in the log beside it. (file, log).
fn unclosed_store(dir: &Dir) -> (Vec<u8>, Vec<u8>) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let files = runtime.block_on(async {
        let (writer, ..) = start(&dir.store(), "boot");
        let no = session(&writer, 1).await;
        // Read from beside keeps SQLite from deleting the log; the checkpoint makes the file hold a beginning.
        let beside = Connection::open(dir.store()).expect("it opens");
        writer.commit(change(no, 0, 5, true)).await.expect("it is committed");
        beside.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("it checkpoints");
        writer.commit(change(no, 5, 5, true)).await.expect("it is committed");
        let log = dir.0.join("store.db-wal");
        (fs::read(dir.store()).expect("readable"), fs::read(log).expect("readable"))
    });
    drop(runtime);
    files
}

#[test]
fn a_log_cut_anywhere_leaves_whole_changes_only() {
    let dir = Dir::new();
    let (file, log) = unclosed_store(&dir);
    let mut heads = std::collections::BTreeSet::new();
    for cut in (0..=log.len()).step_by(509).chain([log.len()]) {
        let dir = Dir::new();
        fs::write(dir.store(), &file).expect("it is written");
        fs::write(dir.0.join("store.db-wal"), &log[..cut]).expect("it is written");
        drop(journal::open(&dir.store(), "boot", 1).expect("it opens"));
        let reader = Reader::new(&dir.store());
        let found = reader.sessions().expect("readable");
        assert_whole(&reader, &found[0], 1);
        heads.insert(found[0].head);
    }
    assert_eq!(heads.into_iter().collect::<Vec<_>>(), [5, 10]);
}

#[test]
fn a_log_that_disappeared_raises_the_epoch_and_is_told() {
    let dir = Dir::new();
    let (file, _) = unclosed_store(&dir);
    let dir = Dir::new();
    fs::write(dir.store(), &file).expect("it is written");
    let (told, found, epoch) = usable(&dir);
    assert_eq!(found[0].head, 5, "what the file holds is whole");
    assert_eq!(epoch, 2, "records 6 to 10 will be written again under the same numbers");
    assert_eq!(told.len(), 1);
}

#[test]
fn a_store_without_its_log_is_a_whole_earlier_one() {
    let dir = Dir::new();
    let (file, _) = unclosed_store(&dir);
    let dir = Dir::new();
    fs::write(dir.store(), &file).expect("it is written");
    let (_, found, _) = usable(&dir);
    assert_eq!(found[0].head, 5);
    assert_whole(&Reader::new(&dir.store()), &found[0], 1);
}

#[test]
fn what_can_be_read_of_a_damaged_store_is_carried_over() {
    let dir = Dir::new();
    sound_store(&dir.store());
    // A store of another shape: it opens, but a table of ours is missing.
    let connection = Connection::open(dir.store()).expect("it opens");
    connection.execute_batch("DROP TABLE item; PRAGMA wal_checkpoint(TRUNCATE);").expect("it is dropped");
    drop(connection);
    let (told, found, epoch) = usable(&dir);
    assert!(told[0].contains("3 session(s) and 90 record group(s)"), "{told:?}");
    assert_eq!(found.iter().map(|stored| stored.head).collect::<Vec<_>>(), [600, 600, 600]);
    let reader = Reader::new(&dir.store());
    for stored in &found {
        let frames = read_all(&reader, stored.no, stored.no as u128, 0, 100_000, 10_000);
        assert_eq!(seqs(&frames), (1..=600).collect::<Vec<_>>());
    }
    assert_eq!(epoch, 2, "continuity cannot be proven");
}

#[test]
fn a_salvaged_session_has_no_hole_in_its_records() {
    let dir = Dir::new();
    sound_store(&dir.store());
    let connection = Connection::open(dir.store()).expect("it opens");
    connection
        .execute_batch("DELETE FROM records WHERE session = 2 AND first = 201; DROP TABLE item; PRAGMA wal_checkpoint(TRUNCATE);")
        .expect("it is damaged");
    drop(connection);
    let (_, found, _) = usable(&dir);
    assert_eq!(found.iter().map(|stored| stored.head).collect::<Vec<_>>(), [600, 200, 600]);
    assert_eq!(journal::check(&dir.store()).expect("it can be checked"), [""; 0]);
}

#[test]
fn the_epoch_never_falls_behind_the_records_that_are_carried_over() {
    let dir = Dir::new();
    sound_store(&dir.store());
    let connection = Connection::open(dir.store()).expect("it opens");
    connection
        .execute_batch("UPDATE records SET epoch = 7; DROP TABLE meta; PRAGMA wal_checkpoint(TRUNCATE);")
        .expect("it is damaged");
    drop(connection);
    let (_, found, epoch) = usable(&dir);
    assert_eq!(found.len(), 3);
    assert!(epoch > 7, "{epoch}");
}

#[test]
fn the_check_names_a_head_that_the_records_do_not_reach_and_a_hole() {
    for (damage, words) in [
        ("UPDATE session SET head = 601 WHERE no = 2", "head is 601, records reach 600"),
        ("DELETE FROM records WHERE session = 2 AND first = 201", "there are 580 of them"),
        ("DELETE FROM records WHERE session = 2", "records reach 0"),
    ] {
        let dir = Dir::new();
        sound_store(&dir.store());
        assert_eq!(journal::check(&dir.store()).expect("it can be checked"), [""; 0]);
        Connection::open(dir.store()).expect("it opens").execute_batch(damage).expect("it is damaged");
        let faults = journal::check(&dir.store()).expect("it can be checked");
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].contains(&id(2).to_string()) && faults[0].contains(words), "{faults:?}");
    }
}

// ---- killed, and full ----

/// Runs one `child_…` test of this binary in a process of its own.
fn child(test: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("we run"));
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env("VIBES_JOURNAL_CHILD", dir);
    command
}

/// The directory a child works in; `None` in the ordinary run, where the test is nothing.
fn child_dir() -> Option<PathBuf> {
    std::env::var_os("VIBES_JOURNAL_CHILD").map(PathBuf::from)
}

/// Writes for ever: each acknowledged synced change is told on standard output.
#[test]
fn child_writes_until_it_is_killed() {
    let Some(dir) = child_dir() else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let path = dir.join("store.db");
        let (writer, ..) = start(&path, "boot");
        let known = Reader::new(&path).sessions().expect("readable");
        let (no, mut head) = match known.first() {
            Some(stored) => (stored.no, stored.head),
            None => (session(&writer, 1).await, 0),
        };
        loop {
            writer.commit(change(no, head, 3, false)).await.expect("it is committed");
            writer.commit(change(no, head + 3, 2, true)).await.expect("it is committed");
            head += 5;
            let mut out = std::io::stdout().lock();
            writeln!(out, "acked {head}").and_then(|()| out.flush()).expect("the parent listens");
            drop(out);
            writer.pack(no, head);
        }
    });
}

#[test]
fn what_was_acknowledged_survives_kill_9_and_nothing_is_half() {
    let dir = Dir::new();
    let mut seed = 0x5eed_u64;
    let mut acked = 0;
    for round in 0..40 {
        let mut writer = child("child_writes_until_it_is_killed", &dir.0)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the child starts");
        let mut lines = BufReader::new(writer.stdout.take().expect("it is piped")).lines();
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let after = 1 + (seed >> 33) % 12;
        let told = |line: &str| line.rsplit_once("acked ").and_then(|(_, head)| head.parse::<u64>().ok());
        let mut heard = 0;
        while heard < after {
            let line = lines.next().expect("the child goes on").expect("it is text");
            if let Some(head) = told(&line) {
                (acked, heard) = (head, heard + 1);
            }
        }
        // Somewhere in the middle of the next commits.
        for _ in 0..(seed >> 40) % 300_000 {
            std::hint::spin_loop();
        }
        writer.kill().expect("it is killed");
        let status = writer.wait().expect("it is gone");
        assert_eq!(status.signal(), Some(9));
        // What it said before it died was acknowledged too.
        lines.map_while(Result::ok).filter_map(|line| told(&line)).for_each(|head| acked = head);

        let opened = journal::open(&dir.store(), "boot", 1).expect("it opens");
        assert_eq!((opened.told.len(), opened.epoch), (0, 1), "round {round}");
        drop(opened);
        let reader = Reader::new(&dir.store());
        let found = reader.sessions().expect("readable");
        assert!(
            found[0].head >= acked,
            "round {round}: {acked} was acknowledged, {} is there",
            found[0].head
        );
        assert!(found[0].head <= acked + 5, "round {round}: more than one commit was unacknowledged");
        assert_whole(&reader, &found[0], 1);
        assert_eq!(journal::check(&dir.store()).expect("it can be checked"), [""; 0]);
    }
}

/// Fills the small disk that its parent mounted, makes room, and goes on.
#[test]
fn child_fills_its_disk() {
    let Some(dir) = child_dir() else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let path = dir.join("store.db");
        let (writer, ..) = start(&path, "boot");
        let no = session(&writer, 1).await;
        let reader = Reader::new(&path);
        let mut head = 0;
        for round in 0..5_u64 {
            // A smaller ballast each time: the disk is full at another place, and there is room to get there.
            let ballast = dir.join("ballast");
            fs::write(&ballast, vec![1; 5_000_000 - 901_000 * round as usize]).expect("there is room");
            let refused = loop {
                match writer.commit(change(no, head, 40, round % 2 == 0)).await {
                    Ok(_) => head += 40,
                    Err(error) => break error,
                }
                assert!(head < 1_000_000, "the disk has no end");
            };
            assert!(matches!(refused, StoreError::Full), "round {round}: {refused:?}");
            assert!(refused.to_string().contains("nothing was written"));
            let found = reader.sessions().expect("it can be read while it is full");
            assert_eq!(found[0].head, head, "nothing was written");
            fs::remove_file(&ballast).expect("room is made");
            writer.commit(change(no, head, 1, true)).await.expect("it works again");
            head += 1;
            assert_whole(&reader, &reader.sessions().expect("readable")[0], 1);
        }
        writer.close().await.expect("it closes");
        assert_eq!(journal::check(&path).expect("it can be checked"), [""; 0]);
    });
    println!("filled");
}

#[test]
fn a_full_disk_refuses_writes_nothing_and_works_again_afterwards() {
    let dir = Dir::new();
    // A mount namespace of its own (and a user namespace, for those who are not root): gone with the child.
    let exe = std::env::current_exe().expect("we run");
    let script = format!(
        "mount -t tmpfs -o size=6m tmpfs '{0}' || exit 77; \
         VIBES_JOURNAL_CHILD='{0}' exec '{1}' --exact child_fills_its_disk --nocapture --test-threads=1",
        dir.0.display(),
        exe.display()
    );
    let Ok(done) = Command::new("unshare").args(["-rm", "sh", "-c", &script]).output() else {
        println!("SKIPPED: unshare is not installed, so there is no small disk to fill");
        return;
    };
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    if done.status.code() == Some(77) || err.starts_with("unshare:") {
        println!("SKIPPED: no tmpfs may be mounted here, so there is no small disk to fill: {err}");
        return;
    }
    assert!(done.status.success() && out.contains("filled"), "{out}\n{err}");
}
