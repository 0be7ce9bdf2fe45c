//! What the tests of the journal share: a directory, a writer, changes whose content tells what it should be.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};
use vibes_core::journal::{
    self, Append, Change, NewSession, Reader, RowChange, RowKind, SessionNo, SpoolOffset, StoredSession,
    Writer, group,
};
use vibes_protocol::model::{Seq, SessionId};

/// A directory that is gone with the test.
pub struct Dir(pub PathBuf);

impl Dir {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("vibes-journal-{}-{number}", std::process::id()));
        fs::create_dir(&path).expect("the name is new");
        Self(path)
    }

    pub fn store(&self) -> PathBuf {
        self.0.join("store.db")
    }

    pub fn aside(&self) -> Vec<PathBuf> {
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

pub fn id(number: u128) -> SessionId {
    SessionId(uuid::Uuid::from_u128(number))
}

pub fn start(path: &Path, boot: &str) -> (Writer, Vec<String>, u64) {
    let opened = journal::open(path, boot, 1_000).expect("the store opens");
    let (told, epoch) = (opened.told.clone(), opened.epoch);
    (Writer::start(opened).expect("the writer starts"), told, epoch)
}

pub fn new_session(number: u128, key: Option<&str>) -> NewSession {
    NewSession { id: id(number), create_key: key.map(str::to_owned), name: None, at_ms: 1, body: "{}".into() }
}

pub fn fact(seq: Seq) -> Vec<u8> {
    // Of many lengths, and not all alike: packing has something to do.
    format!(r#"{{"kind":"update","n":{seq},"text":"{}"}}"#, "ab".repeat((seq % 97) as usize)).into_bytes()
}

/// The same, but for some that are what a tool printed, told again with what it printed since.
pub fn mixed(seq: Seq) -> Vec<u8> {
    match seq.is_multiple_of(8) {
        true => format!(r#"{{"kind":"update","n":{seq},"text":"{}"}}"#, output(18_000 + 10 * seq as usize))
            .into_bytes(),
        false => fact(seq),
    }
}

/// Text that does not repeat itself; a longer one begins with the shorter one.
pub fn output(length: usize) -> String {
    let mut state = 7_u64;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!("{:x} ", state >> 40)
    });
    words.flat_map(String::into_bytes).take(length).map(char::from).collect()
}

/// The change that appends `count` records after `head`; the offset goes on by as many bytes.
pub fn change(session: SessionNo, head: Seq, count: u64, sync: bool) -> Change {
    change_of(fact, session, head, count, sync)
}

/// The same, of these facts.
pub fn change_of(fact: fn(Seq) -> Vec<u8>, session: SessionNo, head: Seq, count: u64, sync: bool) -> Change {
    let mut body = Vec::new();
    (head + 1..=head + count).for_each(|seq| group::push_record(&mut body, seq as i64, &fact(seq)));
    Change {
        session,
        expect: (head, SpoolOffset { generation: 1, offset: head }),
        head: head + count,
        spool: SpoolOffset { generation: 1, offset: head + count },
        last_ms: 5,
        active_ms: 0,
        append: Some(Append { first: head + 1, last: head + count, epoch: 1, body }),
        body: Some(format!("{{\"head\":{}}}", head + count)),
        place: None,
        rows: vec![RowChange {
            kind: RowKind::Outbox,
            key: b"last".to_vec(),
            value: Some((head + count).to_string().into()),
        }],
        spent: None,
        sync,
    }
}

/// A session's first change sets its generation.
pub async fn session(writer: &Writer, number: u128) -> SessionNo {
    let (no, ..) = writer.create(new_session(number, None)).await.expect("it is created");
    let first = Change { expect: (0, SpoolOffset::default()), ..change(no, 0, 0, true) };
    writer.commit(Change { append: None, ..first }).await.expect("it is committed");
    no
}

/// Everything that can be read of a session, page by page.
pub fn read_all(
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

pub fn seqs(frames: &[u8]) -> Vec<u64> {
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
pub fn assert_whole(reader: &Reader, stored: &StoredSession, number: u128) {
    let frames = read_all(reader, stored.no, number, 0, 10_000, 1_000);
    assert_eq!(seqs(&frames), (1..=stored.head).collect::<Vec<_>>());
    assert_eq!(stored.spool.offset, stored.head);
    assert_eq!(stored.body, format!("{{\"head\":{}}}", stored.head));
    assert_eq!(stored.rows, [(RowKind::Outbox, b"last".to_vec(), stored.head.to_string().into_bytes())]);
}

/// Runs one `child_…` test of this binary in a process of its own.
pub fn child(test: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("we run"));
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env("VIBES_JOURNAL_CHILD", dir);
    command
}

/// The directory a child works in; `None` in the ordinary run, where the test is nothing.
pub fn child_dir() -> Option<PathBuf> {
    std::env::var_os("VIBES_JOURNAL_CHILD").map(PathBuf::from)
}

/// Says that a test cannot be made here.
pub fn skip(why: &str) {
    use std::io::Write;
    // Whoever does not read it loses nothing.
    let _ = writeln!(std::io::stdout(), "SKIPPED: {why}");
}
