//! The journal on a host that fails it: processes that are killed, a full disk, a lock that somebody holds.

use super::common::*;
use rusqlite::Connection;
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
};
use vibes_core::journal::{self, Reader, StoreError, Writer};

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
            writer.commit(change_of(mixed, no, head, 3, false)).await.expect("it is committed");
            writer.commit(change_of(mixed, no, head + 3, 2, true)).await.expect("it is committed");
            head += 5;
            let mut out = std::io::stdout().lock();
            writeln!(out, "acked {head}").and_then(|()| out.flush()).expect("the parent listens");
            drop(out);
            writer.pack(no, head);
        }
    });
}

#[test]
fn fault_03_what_was_acknowledged_survives_kill_9_and_nothing_is_half() {
    let dir = Dir::new();
    let mut seed = 0x5eed_u64;
    let mut acked = 0;
    for round in 0..40 {
        let mut writer = child("host::child_writes_until_it_is_killed", &dir.0)
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
        lines.map_while(Result::ok).filter_map(|line: String| told(&line)).for_each(|head| acked = head);

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

/// A start on a disk without a free byte, the room that was kept included; then there is room again.
#[test]
fn child_starts_on_a_full_disk() {
    let Some(dir) = child_dir() else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let path = dir.join("store.db");
        let (writer, ..) = start(&path, "boot");
        let no = session(&writer, 1).await;
        writer.commit(change(no, 0, 3, true)).await.expect("it is committed");
        drop(writer);
        let (kept, filler) = (dir.join("ballast"), dir.join("filler"));
        for kept_is_there in [true, false] {
            assert!(kept.exists(), "room is kept");
            if !kept_is_there {
                fs::remove_file(&kept).expect("it was there");
            }
            // The index beside the log is made anew by every start, and finds no room.
            let _ = fs::remove_file(dir.join("store.db-shm"));
            let mut file = fs::File::create(&filler).expect("it is made");
            for size in [1 << 20, 4096, 1] {
                while file.write_all(&vec![1; size]).is_ok() {}
            }
            drop(file);
            let Ok(opened) = journal::open(&path, "other boot", 2) else {
                assert!(!kept_is_there, "the room that was kept is enough for a start");
                fs::remove_file(&filler).expect("it was there");
                println!("refused");
                continue;
            };
            assert!(kept_is_there && !kept.exists(), "it is given up");
            assert_eq!(
                opened.epoch, 2,
                "the machine went down, which is written with the room that was kept"
            );
            let writer = Writer::start(opened).expect("it starts");
            let reader = Reader::new(&path);
            assert_eq!(reader.sessions().expect("it is read")[0].head, 3);
            let mut head = 3;
            let refused = loop {
                match writer.commit(change(no, head, 4000, true)).await {
                    Ok(_) => head += 4000,
                    Err(error) => break error,
                }
            };
            assert!(matches!(refused, StoreError::Full), "{refused:?}");
            assert!(matches!(writer.trouble(), Some(StoreError::Full)));
            fs::remove_file(&filler).expect("it was there");
            // Nobody writes: it is noticed all the same, and room is kept for the next time.
            while writer.trouble().is_some() || !kept.exists() {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            assert_whole(&reader, &reader.sessions().expect("readable")[0], 1);
            drop((writer, reader));
        }
    });
    println!("started");
}

#[test]
fn fault_31_a_store_is_opened_on_a_full_disk_by_the_room_that_was_kept() {
    let dir = Dir::new();
    let Some(done) = on_small_disk(&dir, "100m", "host::child_starts_on_a_full_disk") else { return };
    assert!(done.contains("started"), "{done}");
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
fn fault_31_a_full_disk_refuses_writes_nothing_and_works_again_afterwards() {
    let dir = Dir::new();
    let Some(done) = on_small_disk(&dir, "6m", "host::child_fills_its_disk") else { return };
    assert!(done.contains("filled"), "{done}");
}

/// Runs a child on a small disk in a mount namespace of its own (and a user namespace, for those who are not root): gone
/// with the child. What it said; `None` where nothing may be mounted.
fn on_small_disk(dir: &Dir, size: &str, child: &str) -> Option<String> {
    let exe = std::env::current_exe().expect("we run");
    let script = format!(
        "mount -t tmpfs -o size={size} tmpfs '{0}' || exit 77; \
         VIBES_JOURNAL_CHILD='{0}' exec '{1}' --exact {child} --nocapture --test-threads=1",
        dir.0.display(),
        exe.display()
    );
    let Ok(done) = Command::new("unshare").args(["-rm", "sh", "-c", &script]).output() else {
        skip("unshare is not installed, so there is no small disk to fill");
        return None;
    };
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    if done.status.code() == Some(77) || err.starts_with("unshare:") {
        skip(&format!("no tmpfs may be mounted here, so there is no small disk to fill: {err}"));
        return None;
    }
    assert!(done.status.success(), "{out}\n{err}");
    Some(out.into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_39_a_lock_that_another_program_holds_is_waited_for_and_then_told() {
    let dir = Dir::new();
    let (writer, ..) = start(&dir.store(), "boot");
    let no = session(&writer, 1).await;
    let other = Connection::open(dir.store()).expect("it opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("it locks");
    let refused = writer.commit(change(no, 0, 3, true)).await.expect_err("it is locked");
    assert!(matches!(refused, StoreError::Busy), "{refused:?}");
    assert!(matches!(writer.trouble(), Some(StoreError::Busy)));
    other.execute_batch("ROLLBACK").expect("it lets go");
    writer.commit(change(no, 0, 3, true)).await.expect("it works again");
    assert!(writer.trouble().is_none());
    // A lock that is let go within the patience is not even noticed.
    other.execute_batch("BEGIN IMMEDIATE").expect("it locks");
    let waiting = tokio::spawn({
        let writer = writer.clone();
        async move { writer.commit(change(no, 3, 3, true)).await }
    });
    tokio::task::yield_now().await;
    other.execute_batch("ROLLBACK").expect("it lets go");
    waiting.await.expect("no panic").expect("it is committed");
    writer.close().await.expect("it closes");
    assert_eq!(journal::check(&dir.store()).expect("it can be checked"), [""; 0]);
}

#[test]
fn fault_39_a_store_that_is_locked_at_the_start_is_not_taken_for_damaged() {
    let dir = Dir::new();
    drop(journal::open(&dir.store(), "boot", 1).expect("it opens"));
    let other = Connection::open(dir.store()).expect("it opens");
    other.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").expect("it locks");
    let refused = journal::open(&dir.store(), "boot", 1).map(|_| ()).expect_err("it is locked");
    assert!(matches!(refused, StoreError::Busy), "{refused:?}");
    assert!(dir.aside().is_empty(), "it was set aside");
    drop(other);
    drop(journal::open(&dir.store(), "boot", 1).expect("it opens"));
    assert!(dir.aside().is_empty(), "it was set aside");
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_40_a_reader_that_pins_the_log_keeps_nothing_from_being_safe() {
    let dir = Dir::new();
    let (writer, ..) = start(&dir.store(), "boot");
    let no = session(&writer, 1).await;
    let other = Connection::open(dir.store()).expect("it opens");
    other.execute_batch("BEGIN; SELECT count(*) FROM records;").expect("it reads");
    // Two rounds: in the second one there is nothing that the reader would let be moved.
    for head in [0, 1] {
        let committed = writer.commit(change(no, head, 1, false)).await.expect("it is committed");
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while writer.synced() < committed.txn {
            assert!(std::time::Instant::now() < until, "what was committed is not synced in round {head}");
            tokio::task::yield_now().await;
        }
        // By a commit that waits for the disk, since no checkpoint did it.
        let log = Reader::new(&dir.store());
        assert!(!log.sessions().expect("readable").is_empty());
        let synced: String = other_sees(&dir, "SELECT value FROM meta WHERE key = 'synced'")
            .expect("a synced commit was made");
        assert_eq!(synced, "log");
    }
}

fn other_sees(dir: &Dir, query: &str) -> Option<String> {
    let other = Connection::open(dir.store()).ok()?;
    other.query_row(query, [], |row| row.get(0)).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn fault_31_the_room_that_was_kept_is_given_up_and_kept_again() {
    let dir = Dir::new();
    let (writer, ..) = start(&dir.store(), "boot");
    let ballast = dir.0.join("ballast");
    let length = fs::metadata(&ballast).expect("room is kept").len();
    assert_eq!(length, 16 * 1024 * 1024);
    writer.close().await.expect("it closes");
    // A start that finds it gone makes it again.
    fs::remove_file(&ballast).expect("it was there");
    let opened = journal::open(&dir.store(), "boot", 1).expect("it opens");
    assert!(ballast.exists());
    drop(opened);
}
