//! A store that is damaged: nothing is lost without a word, and what can be read goes on.

use super::common::*;
use rusqlite::Connection;
use std::{fs, os::unix::fs::PermissionsExt, path::Path};
use vibes_core::journal::{self, Reader, StoredSession};

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

/// What is left of a sound store's sessions: every record that has its content, and how many say that they are lost.
fn assert_saved(dir: &Dir, found: &[StoredSession], sessions: usize) -> u64 {
    assert_eq!(found.len(), sessions);
    let reader = Reader::new(&dir.store());
    let mut lost = 0;
    for stored in found {
        let frames = read_all(&reader, stored.no, stored.no as u128, 0, 100_000, 10_000);
        assert_eq!(seqs(&frames), (1..=stored.head).collect::<Vec<_>>());
        for line in std::str::from_utf8(&frames).expect("frames are text").lines() {
            let frame: serde_json::Value = serde_json::from_str(line).expect("a frame");
            let (fact, seq) = (&frame["fact"], frame["seq"].as_u64().expect("a number"));
            match fact["kind"].as_str() {
                Some("records_lost") => lost += 1,
                _ => assert_eq!(fact["n"], seq, "record {seq} has another's content"),
            }
        }
    }
    assert_eq!(journal::check(&dir.store()).expect("it can be checked"), [""; 0]);
    lost
}

#[test]
fn fault_35_a_store_whose_first_page_is_garbage_is_set_aside_whole_told_and_all_of_it_goes_on() {
    let dir = Dir::new();
    let mut bytes = sound_store(&dir.store());
    bytes[..4096].fill(0xA5);
    fs::write(dir.store(), &bytes).expect("it is written");
    let (told, found, epoch) = usable(&dir);
    assert_eq!((assert_saved(&dir, &found, 3), epoch), (0, 2));
    assert!(found.iter().all(|stored| stored.head == 600 && stored.rows.len() == 1));
    let [aside] = &dir.aside()[..] else { panic!("{:?}", dir.aside()) };
    assert_eq!(told.len(), 1);
    assert!(told[0].contains(&*aside.to_string_lossy()) && told[0].contains("vibes doctor"), "{told:?}");
    assert!(fs::read(aside.join("store.db")).expect("it is kept") == bytes, "not a byte of it is lost");
    assert_eq!(fs::metadata(aside).expect("it is there").permissions().mode() & 0o777, 0o700);
}

#[test]
fn fault_35_each_page_that_is_overwritten_costs_no_more_than_what_lay_on_it() {
    let dir = Dir::new();
    let bytes = sound_store(&dir.store());
    let page = 4096;
    let mut worst = 0;
    for number in 0..bytes.len() / page {
        let dir = Dir::new();
        let mut damaged = bytes.clone();
        damaged[number * page..(number + 1) * page].fill(0x5A);
        fs::write(dir.store(), &damaged).expect("it is written");
        let faults = journal::check(&dir.store()).unwrap_or_else(|error| vec![error.to_string()]);
        assert!(!faults.is_empty(), "page {number} was overwritten and nobody noticed");
        // As doctor does, and a daemon that meets the damage while it serves.
        journal::note_damage(&dir.store(), &faults[0]);
        let (told, found, epoch) = usable(&dir);
        assert_eq!((told.len(), epoch), (1, 2), "page {number}: {told:?}");
        let lost = assert_saved(&dir, &found, 3);
        let known: u64 = found.iter().map(|stored| stored.head).sum();
        // Three pages lead to others, and with such a one a whole table may be gone.
        let leads = bytes[number * page] == 2 || bytes[number * page] == 5;
        assert!(leads || 1800 - known + lost <= 600, "page {number}: {lost} lost, {known} known");
        if !leads && known == 1800 {
            worst = worst.max(lost);
        }
    }
    assert!((1..=200).contains(&worst), "a page holds some groups of 20 records, not {worst} records");
}

#[test]
fn fault_35_two_bad_pages_do_not_cost_what_lies_between_them() {
    let dir = Dir::new();
    let mut bytes = sound_store(&dir.store());
    let page = 4096;
    // Leaves of tables without row numbers begin with 10.
    let leaves: Vec<usize> = (1..bytes.len() / page).filter(|n| bytes[n * page] == 10).collect();
    let (first, last) = (leaves[leaves.len() / 4], leaves[leaves.len() * 3 / 4]);
    for number in [first, last] {
        bytes[number * page..(number + 1) * page].fill(0);
    }
    fs::write(dir.store(), &bytes).expect("it is written");
    journal::note_damage(&dir.store(), "two pages");
    let (_, found, _) = usable(&dir);
    let lost = assert_saved(&dir, &found, 3);
    assert!((2..=400).contains(&lost), "{lost} of 1800 records are lost");
}

#[test]
fn fault_35_a_session_whose_row_is_lost_keeps_its_id_and_its_records() {
    let dir = Dir::new();
    let mut bytes = sound_store(&dir.store());
    // The only leaf of a table with row numbers that holds sessions.
    let text = br#"{"head":600}"#;
    let page = 4096;
    let of_sessions = |n: &usize| {
        bytes[n * page] == 13 && bytes[n * page..(n + 1) * page].windows(text.len()).any(|part| part == text)
    };
    let row = (1..bytes.len() / page).find(of_sessions).expect("sessions have a page");
    bytes[row * page..(row + 1) * page].fill(0xEE);
    fs::write(dir.store(), &bytes).expect("it is written");
    let (_, found, _) = usable(&dir);
    assert_eq!(assert_saved(&dir, &found, 3), 0);
    assert!(found.iter().all(|stored| stored.body.is_empty() && stored.head == 600), "{found:?}");
}

#[test]
fn fault_35_a_salvage_that_is_cut_short_is_done_again_from_the_same_bytes() {
    // Stands for a kill at each of its steps: what is where when it begins again.
    let whole = Dir::new();
    let mut bytes = sound_store(&whole.store());
    bytes[..100].fill(0);
    for step in 0..4 {
        let dir = Dir::new();
        let half = dir.0.join("salvaging-7");
        fs::create_dir(&half).expect("it is made");
        fs::write(half.join("store.db"), &bytes).expect("it is written");
        match step {
            0 => fs::write(dir.0.join("store.db-wal"), b"").expect("it is written"),
            1 => fs::write(dir.0.join("store.db-salvaged"), &bytes[..9000]).expect("it is written"),
            2 => fs::write(half.join("first-page-replaced.db"), &bytes[..50]).expect("it is written"),
            _ => {}
        }
        let (told, found, _) = usable(&dir);
        assert_eq!(told.len(), 1, "step {step}");
        assert_eq!(assert_saved(&dir, &found, 3), 0, "step {step}");
        assert!(!half.exists() && dir.aside().len() == 1, "step {step}");
        assert!(fs::read(dir.aside()[0].join("store.db")).expect("kept") == bytes);
    }
}

#[test]
fn fault_35_a_directory_in_the_place_of_the_store_is_set_aside() {
    let dir = Dir::new();
    fs::create_dir(dir.store()).expect("it is made");
    fs::write(dir.store().join("precious"), "x").expect("it is written");
    let (told, found, _) = usable(&dir);
    assert_eq!((told.len(), found.len()), (1, 0));
    assert!(dir.aside()[0].join("store.db/precious").exists(), "it is kept whole");
}

#[test]
fn fault_35_damage_that_a_reader_meets_is_seen_to_by_the_next_start() {
    let dir = Dir::new();
    let mut bytes = sound_store(&dir.store());
    let page = 4096;
    let leaf = (1..bytes.len() / page).rfind(|n| bytes[n * page] == 10).expect("records have pages");
    bytes[leaf * page..(leaf + 1) * page].fill(0x77);
    fs::write(dir.store(), &bytes).expect("it is written");
    drop(journal::open(&dir.store(), "boot", 1).expect("it opens: nobody has read that page"));
    let reader = Reader::new(&dir.store());
    let met = (1..=3).any(|no| {
        (0..600).step_by(20).any(|after| {
            matches!(reader.page(no, &id(no as u128), after, 1, 1000), Err(journal::StoreError::Damaged(_)))
        })
    });
    assert!(met, "the page is read by somebody");
    drop(reader);
    let (told, found, _) = usable(&dir);
    assert!(told[0].contains("was damaged"), "{told:?}");
    assert!(assert_saved(&dir, &found, 3) > 0);
}

#[test]
fn fault_35_a_store_cut_anywhere_is_never_lost_without_a_word() {
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
fn fault_35_a_store_cut_within_its_header_is_told() {
    for cut in [1, 16, 99, 100, 511, 512] {
        let dir = Dir::new();
        let bytes = sound_store(&dir.store());
        fs::write(dir.store(), &bytes[..cut]).expect("it is written");
        let (told, _, _) = usable(&dir);
        assert_eq!(told.len(), 1, "cut at {cut}");
    }
}

#[test]
fn fault_35_a_store_that_became_empty_is_told() {
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
fn fault_36_a_log_cut_anywhere_leaves_whole_changes_only() {
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
fn fault_35_a_log_that_disappeared_raises_the_epoch_and_is_told() {
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
fn a_hole_in_a_salvaged_session_says_what_was_there() {
    let dir = Dir::new();
    sound_store(&dir.store());
    let connection = Connection::open(dir.store()).expect("it opens");
    connection
        .execute_batch(
            "DELETE FROM records WHERE session = 2 AND first IN (201, 221, 581);
             UPDATE session SET head = 9000000000000 WHERE no = 3;
             DROP TABLE item; PRAGMA wal_checkpoint(TRUNCATE);",
        )
        .expect("it is damaged");
    drop(connection);
    let (told, found, _) = usable(&dir);
    assert!(told[0].contains("60 record(s) are lost"), "{told:?}");
    assert_eq!(found.iter().map(|stored| stored.head).collect::<Vec<_>>(), [600, 600, 600]);
    assert_eq!(assert_saved(&dir, &found, 3), 60);
    let page = Reader::new(&dir.store()).page(2, &id(2), 210, 1, 1).expect("it can be read");
    let text = String::from_utf8(page.frames.bytes).expect("a frame is text");
    assert!(text.contains(r#""fact":{"kind":"records_lost","first":201,"last":240}"#), "{text}");
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
