//! The journal in order: what is committed, in which order, and how it reads back.

use super::common::*;
use rusqlite::Connection;
use std::{fs, os::unix::fs::PermissionsExt, path::Path};
use vibes_core::journal::{
    self, Change, Committed, Reader, SessionNo, SpoolOffset, StoreError, Writer, group,
};
use vibes_protocol::model::Seq;

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

/// A store's file and log, to be put back later.
fn copied(store: &Path) -> [Option<Vec<u8>>; 2] {
    ["", "-wal"].map(|suffix| fs::read(format!("{}{suffix}", store.display())).ok())
}

/// Other files under the same names: a writer that is still there has nothing to do with them.
fn put_back(store: &Path, copy: [Option<Vec<u8>>; 2]) {
    for (suffix, bytes) in ["-shm", "", "-wal"].into_iter().zip([None].into_iter().chain(copy)) {
        let path = format!("{}{suffix}", store.display());
        let _ = fs::remove_file(&path);
        if let Some(bytes) = bytes {
            fs::write(path, bytes).expect("it is written");
        }
    }
}

#[tokio::test]
async fn fault_35_a_store_put_back_from_a_copy_gets_an_epoch_of_its_own_and_says_so() {
    let (at_rest, in_use, none) = (true, false, None);
    // How it was copied, if it was not just removed, and whether the last daemon closed it before it was put back.
    for (copy_at_rest, closed) in
        [(Some(at_rest), false), (Some(at_rest), true), (Some(in_use), true), (none, false), (none, true)]
    {
        let (dir, shown) = (Dir::new(), format!("{copy_at_rest:?} {closed}"));
        let store = dir.store();
        let (writer, ..) = start(&store, "boot");
        let no = session(&writer, 1).await;
        writer.commit(change(no, 0, 2, true)).await.expect("it is committed");
        let mut copy = copied(&store);
        if copy_at_rest == Some(at_rest) {
            writer.close().await.expect("it closes");
            copy = copied(&store);
        }
        let writer = match copy_at_rest {
            Some(true) => {
                let (writer, told, epoch) = start(&store, "boot");
                assert_eq!((told.len(), epoch), (0, 1), "{shown}: it is the same store");
                writer
            }
            _ => writer,
        };
        writer.commit(change(no, 2, 3, true)).await.expect("it is committed");
        if closed {
            writer.close().await.expect("it closes");
        }
        // One that did not close it is as good as killed: it never hears of anything again.
        let _killed = writer;
        put_back(&store, if copy_at_rest.is_some() { copy } else { [None, None] });
        let (writer, told, epoch) = start(&store, "boot");
        assert_eq!(epoch, 2, "{shown}");
        let word = if copy_at_rest.is_some() { "older copy" } else { "is gone" };
        assert!(told.len() == 1 && told[0].contains(word), "{shown}: {told:?}");
        // From now on it is the store.
        writer.close().await.expect("it closes");
        let (_writer, told, epoch) = start(&store, "boot");
        assert_eq!((told, epoch), (Vec::new(), 2), "{shown}");
    }
}

#[test]
fn fault_35_a_seal_that_is_gone_or_garbage_tells_nothing() {
    for garbage in [None, Some(""), Some("{\"fence\":-1"), Some("\0\0\0\0"), Some("[]")] {
        let dir = Dir::new();
        drop(journal::open(&dir.store(), "boot", 1).expect("it opens"));
        let seal = dir.0.join("store.db-seal");
        match garbage {
            None => fs::remove_file(&seal).expect("there is one"),
            Some(garbage) => fs::write(&seal, garbage).expect("it is written"),
        }
        let opened = journal::open(&dir.store(), "boot", 1).expect("it opens");
        assert_eq!((opened.epoch, opened.fence, opened.told.len()), (1, 2, 0), "{garbage:?}");
        let mode = fs::metadata(&seal).expect("there is one again").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn fault_38_a_store_of_a_newer_version_is_refused_and_not_touched() {
    let dir = Dir::new();
    drop(journal::open(&dir.store(), "boot", 1).expect("it opens"));
    let connection = Connection::open(dir.store()).expect("it opens");
    connection.pragma_update(None, "user_version", 6).expect("it is set");
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("it checkpoints");
    drop(connection);
    let before = fs::read(dir.store()).expect("it can be read");
    let refused = journal::open(&dir.store(), "boot", 1).map(|_| ()).expect_err("it is newer");
    assert!(matches!(refused, StoreError::Newer { found: 6, known: 5, .. }), "{refused}");
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
