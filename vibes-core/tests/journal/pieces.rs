//! What large records have in common is stored once, reads back to the byte, and goes with its session.

use super::common::*;
use rusqlite::Connection;
use std::path::Path;
use vibes_core::journal::{self, Append, Change, Farewell, Reader, SessionNo, SpoolOffset, Writer, group};
use vibes_protocol::model::Seq;

/// How long what the tool prints is in the end, and how much of it comes at a time, in bytes.
const ALL: usize = 400_000;
const STEP: usize = 2_000;

fn number(look: &Connection, what: &str) -> i64 {
    look.query_row(&format!("SELECT {what}"), [], |row| row.get(0)).expect("it can be asked")
}

fn look(store: &Path) -> Connection {
    Connection::open(store).expect("it opens")
}

/// Records a tool whose output is told again, whole, with every line; packs it as it goes. Gives head and bytes told.
async fn print(writer: &Writer, no: SessionNo, store: &Path) -> (Seq, usize) {
    let all = output(ALL);
    let (mut head, mut told) = (0, 0);
    for end in (STEP..=ALL).step_by(STEP) {
        let text = &all[..end];
        let fact = format!(r#"{{"kind":"update","content":"{text}","rawOutput":"{text}"}}"#);
        told += fact.len();
        let mut body = Vec::new();
        group::push_record(&mut body, head as i64, fact.as_bytes());
        let append = Append { first: head + 1, last: head + 1, epoch: 1, body };
        let change = Change { append: Some(append), ..change(no, head, 1, false) };
        writer.commit(change).await.expect("it is committed");
        head += 1;
        if head.is_multiple_of(40) {
            packed(writer, no, head, store);
        }
    }
    (head, told)
}

/// Packs, and waits until it is done.
fn packed(writer: &Writer, no: SessionNo, head: Seq, store: &Path) {
    writer.pack(no, head);
    let look = look(store);
    while number(&look, "count(*) FROM records WHERE packed = 0") > 0 {
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn output_that_is_told_again_with_every_line_is_stored_once_and_goes_with_its_session() {
    let dir = Dir::new();
    let (writer, ..) = start(&dir.store(), "boot");
    let no = session(&writer, 1).await;
    let other = session(&writer, 2).await;
    let (head, told) = print(&writer, no, &dir.store()).await;
    print(&writer, other, &dir.store()).await;
    let reader = Reader::new(&dir.store());
    let stored = reader.sizes().expect("it can be asked")[0].bytes;
    assert!(told > 80_000_000 && stored < 4 * ALL as u64, "{told} bytes were told, {stored} are stored");

    // To the byte, whichever way it is read.
    let all = output(ALL);
    let runs = reader.runs(no, 0, usize::MAX).expect("it can be read");
    let records: Vec<_> = runs.iter().flat_map(|run| group::records(&run.body)).collect();
    assert_eq!(records.len() as u64, head);
    for (at, (_, fact)) in records.iter().enumerate() {
        let text = &all[..(at + 1) * STEP];
        assert!(
            *fact == format!(r#"{{"kind":"update","content":"{text}","rawOutput":"{text}"}}"#).as_bytes()
        );
    }
    let frames = read_all(&reader, no, 1, 0, 300_000, 1_000);
    assert_eq!(seqs(&frames), (1..=head).collect::<Vec<_>>());
    assert!(frames.len() > told);
    let page = reader.page(no, &id(1), head - 1, 1, 1).expect("it can be read");
    assert!(String::from_utf8_lossy(&page.frames.bytes).contains(&all));

    // Nothing of it stays when it is purged, and all of the other one does.
    let look = look(&dir.store());
    let pieces = |no: SessionNo| number(&look, &format!("count(*) FROM piece WHERE session = {no}"));
    assert!(pieces(no) > 0 && pieces(no) == pieces(other));
    let expect = (head, SpoolOffset { generation: 1, offset: head });
    writer.part(Farewell { session: no, expect, leavings: String::new() }).await.expect("it is gone");
    writer.erase(no).await;
    while number(&look, &format!("count(*) FROM session WHERE no = {no}")) > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!((pieces(no), pieces(other)), (0, number(&look, "count(*) FROM piece")));
    assert_eq!(seqs(&read_all(&reader, other, 2, 0, 300_000, 1_000)).len() as u64, head);
    writer.close().await.expect("it closes");
    assert_eq!(journal::check(&dir.store()).expect("it can be checked"), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_store_gives_up_only_the_records_whose_pieces_are_lost() {
    let dir = Dir::new();
    let (writer, ..) = start(&dir.store(), "boot");
    let no = session(&writer, 1).await;
    let (head, _) = print(&writer, no, &dir.store()).await;
    writer.close().await.expect("it closes");
    let look = look(&dir.store());
    // One piece is another one now, and a table of ours is missing, so that the store is carried over.
    look.execute_batch(
        "UPDATE piece SET body = (SELECT body FROM piece ORDER BY length(body) LIMIT 1)
         WHERE hash = (SELECT hash FROM piece ORDER BY length(body) DESC LIMIT 1);
         DROP TABLE item; PRAGMA wal_checkpoint(TRUNCATE);",
    )
    .expect("it is damaged");
    drop(look);
    let (writer, told, _) = start(&dir.store(), "boot");
    assert!(told[0].contains("record(s) are lost"), "{told:?}");
    let reader = Reader::new(&dir.store());
    let frames = String::from_utf8(read_all(&reader, no, 1, 0, 300_000, 1_000)).expect("frames are text");
    let (lost, kept): (Vec<_>, Vec<_>) = frames.lines().partition(|line| line.contains("records_lost"));
    assert_eq!((lost.len() + kept.len()) as u64, head);
    assert!(!lost.is_empty() && !kept.is_empty(), "{} are lost, {} are kept", lost.len(), kept.len());
    let all = output(ALL);
    for line in kept {
        let frame: serde_json::Value = serde_json::from_str(line).expect("a frame");
        let end = frame["seq"].as_u64().expect("a number") as usize * STEP;
        assert!(frame["fact"]["content"] == all[..end] && frame["fact"]["rawOutput"] == all[..end]);
    }
    writer.close().await.expect("it closes");
}
