//! What is written is found, in its place and no longer than it should be.

use super::super::{
    find::{Found, Order, Sought, Whose, find},
    query, schema,
};
use super::*;
use serde_json::json;
use std::fs;
use vibes_protocol::model::SessionId;

/// An index in a directory of its own.
struct Case {
    dir: PathBuf,
    index: Index,
    sessions: Vec<Head>,
}

impl Drop for Case {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Case {
    fn new() -> Self {
        let dir = std::env::temp_dir().join(format!("vibes-search-{}", SessionId::random()));
        fs::create_dir(&dir).unwrap();
        let (index, told) = Index::open(&dir.join("search.db")).unwrap();
        assert_eq!(told, None);
        Self { dir, index, sessions: Vec::new() }
    }

    fn path(&self) -> PathBuf {
        self.dir.join("search.db")
    }

    /// A session in this directory.
    fn session(&mut self, agent: &str, cwd: &str) -> usize {
        let no = self.sessions.len() as i64 + 1;
        let id = SessionId::random().to_string();
        self.sessions.push(Head { no, id, seq: 0, last_ms: 0, is_awake: true });
        let nth = self.sessions.len() - 1;
        self.add(nth, 1000, &[json!({"kind": "created", "agent": agent, "cwd": cwd})]);
        nth
    }

    /// Its next records, of this moment and the milliseconds behind it.
    fn add(&mut self, nth: usize, at_ms: i64, facts: &[serde_json::Value]) {
        let head = &mut self.sessions[nth];
        let mut body = Vec::new();
        for (n, fact) in (0..).zip(facts) {
            group::push_record(&mut body, at_ms + n, fact.to_string().as_bytes());
        }
        let (after, last) = (head.seq, head.seq + facts.len() as u64);
        head.seq = last;
        let runs = [Run { first: after + 1, last, epoch: 1, body }];
        let work = self.index.read(head, after, &runs).unwrap();
        self.index.write(&[work]).unwrap();
    }

    fn find(&self, text: &str) -> Found {
        self.find_with(text, Order::Newest, 100, None, None)
    }

    fn find_with(
        &self,
        text: &str,
        order: Order,
        limit: usize,
        cursor: Option<&str>,
        among: Option<&dyn Fn(&Whose) -> bool>,
    ) -> Found {
        let query = query::parse(text).unwrap();
        let sought = Sought { query: &query, span: (0, i64::MAX), order, limit, cursor, among };
        let reading = schema::reading(&self.path()).unwrap();
        find(&reading, &sought, &mut |_| true).unwrap()
    }

    /// Where something was found: session and record.
    fn places(&self, text: &str) -> Vec<(i64, Seq)> {
        self.find(text).hits.iter().map(|hit| (hit.no, hit.seq)).collect()
    }

    /// Whether any file holds this.
    fn holds(&self, word: &str) -> bool {
        fs::read_dir(&self.dir).unwrap().any(|entry| {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            bytes.windows(word.len()).any(|some| some.eq_ignore_ascii_case(word.as_bytes()))
        })
    }
}

fn input(text: &str) -> serde_json::Value {
    json!({"kind": "input", "content": [{"type": "text", "text": text}]})
}

fn said(text: &str) -> serde_json::Value {
    let content = json!({"type": "text", "text": text});
    json!({"kind": "update", "update": {"sessionUpdate": "agent_message_chunk", "content": content}})
}

#[test]
fn words_are_found_at_the_very_record_that_says_them() {
    let mut case = Case::new();
    let one = case.session("fake", "/w");
    case.add(
        one,
        2000,
        &[input("fix the build"), said("I will "), said("look at it. "), said("The linker fails.")],
    );
    // The same answer goes on in another transaction.
    case.add(one, 3000, &[said(" Because of zlib."), said(" Done")]);
    for (text, place) in
        [("build", 2), ("look", 4), ("linker", 5), ("zlib", 6), ("done", 7), ("\"it the linker\"", 4)]
    {
        assert_eq!(case.places(text), [(1, place)], "{text}");
    }
    assert_eq!(case.places("linker zlib done"), [(1, 5)], "one answer is one document");
    assert_eq!(case.places("build zlib"), [], "a prompt is another one");
    let hit = case.find("zlib").hits.remove(0);
    assert_eq!((hit.column, hit.at_ms), (Column::Response, 2001));
    assert_eq!(hit.snippet.text, "I will look at it. The linker fails. Because of zlib. Done");
    // Ended and taken up again, it is as it was.
    let (index, _) = Index::open(&case.path()).unwrap();
    case.index = index;
    case.add(one, 4000, &[said(", really")]);
    assert_eq!(case.places("really"), [(1, 8)]);
    assert_eq!(case.places("linker"), [(1, 5)], "and still only once");
}

#[test]
fn case_accents_and_the_parts_of_names_do_not_matter() {
    let mut case = Case::new();
    let one = case.session("fake", "/w");
    let texts = [
        "Größe der Bäume",
        "call snake_case_name now",
        "at src/render/mod.rs:12",
        "std::io::Error",
        "ПРИВЕТ мир",
    ];
    texts.iter().for_each(|text| case.add(one, 2000, &[input(text)]));
    let cases = [
        ("grosse", 0),
        ("GRÖSSE", 0),
        ("größe", 1),
        ("baume", 1),
        ("BÄUME", 1),
        ("snake", 1),
        ("snake_case_name", 1),
        ("case_name", 1),
        ("snake_name", 0),
        ("mod.rs", 1),
        ("src/render", 1),
        ("render", 1),
        ("io::error", 1),
        ("std::io::Error", 1),
        ("привет", 1),
        ("ren*", 1),
        ("ender*", 0),
        ("response:snake", 0),
        ("prompt:snake", 1),
        ("snake -render", 1),
        ("snake OR render", 2),
        ("s1", 0),
    ];
    for (text, count) in cases {
        assert_eq!(case.find(text).hits.len(), count, "{text}");
    }
}

#[test]
fn pages_follow_each_other_in_either_order() {
    let mut case = Case::new();
    let (one, two) = (case.session("fake", "/w/a"), case.session("shell", "/w/b"));
    for n in 0..10 {
        let session = if n % 2 == 0 { one } else { two };
        // Many in the same millisecond, and some in a session whose clock is behind.
        let at = if n < 6 { 5000 } else { 4000 };
        case.add(session, at, &[input(&format!("word number {n} {}", "filler ".repeat(n)))]);
    }
    for (order, expected) in
        [(Order::Newest, vec![5, 4, 3, 2, 1, 0, 9, 8, 7, 6]), (Order::Best, (0..10).collect())]
    {
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let page = case.find_with("word", order, 3, cursor.as_deref(), None);
            all.extend(
                page.hits
                    .iter()
                    .map(|hit| hit.snippet.text.split(' ').nth(2).unwrap().parse::<usize>().unwrap()),
            );
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(all, expected, "{order:?}");
    }
    let shell = |whose: &Whose| whose.agent == "shell";
    assert_eq!(case.find_with("word", Order::Newest, 100, None, Some(&shell)).hits.len(), 5);
    let nobody = |_: &Whose| false;
    assert_eq!(case.find_with("word", Order::Newest, 100, None, Some(&nobody)).hits.len(), 0);
}

#[test]
fn nothing_is_left_of_what_was_forgotten() {
    let mut case = Case::new();
    let (stays, goes) = (case.session("fake", "/w"), case.session("fake", "/secretplace"));
    for n in 0..40 {
        case.add(stays, 2000 + n, &[input(&format!("these stay {n}"))]);
        // Said piece by piece: what was in the index between two of them goes as well.
        case.add(goes, 2000 + n, &[said(&format!("secretword{n} and")), said(" otherwords ")]);
    }
    let long = format!("secretlong {}", "much of it ".repeat(500));
    case.add(goes, 3000, &[input(&long)]);
    for word in ["secretplace", "secretword7", "otherwords"] {
        assert!(case.holds(word), "{word} is there before");
    }
    case.index.part(2, true).unwrap();
    assert_eq!(case.find("otherwords").hits.len(), 0, "from then on it is not found");
    while case.index.forget(2).unwrap() {}
    while case.index.scrub().unwrap() {}
    assert!(!case.index.is_to_scrub().unwrap());
    for word in ["secret", "otherwords"] {
        assert!(!case.holds(word), "{word} is still there");
    }
    assert_eq!(case.find("stay").hits.len(), 40);
    assert_eq!(case.index.cursors().unwrap().len(), 1);
}

#[test]
fn an_index_that_cannot_be_used_is_set_aside() {
    let mut case = Case::new();
    let path = case.path();
    let one = case.session("fake", "/w");
    case.add(one, 2000, &[input("words")]);
    let reopened = |case: &mut Case| {
        let (index, told) = Index::open(&path).unwrap();
        case.index = index;
        (told.expect("it is told"), case.find("words").hits.len())
    };
    case.index.connection.execute_batch("PRAGMA user_version = 99").unwrap();
    let (told, found) = reopened(&mut case);
    assert!(told.contains("newer version") && found == 0, "{told}");
    assert!(case.dir.join("search.db-set-aside").exists());
    for broken in
        ["", "no index at all, but long enough to be looked at as if it were one; no index at all, and so on"]
    {
        // A file of its own: the one before is still open.
        for suffix in ["", "-wal", "-shm"] {
            let _ = fs::remove_file(case.dir.join(format!("search.db{suffix}")));
        }
        fs::write(&path, broken.repeat(20)).unwrap();
        if broken.is_empty() {
            // Nothing is as good as none.
            Index::open(&path).unwrap();
        } else {
            assert!(reopened(&mut case).0.contains("damaged"));
        }
    }
    assert_eq!(schema::check(&path).unwrap(), None);
    fs::remove_file(&path).unwrap();
    assert_eq!(schema::check(&path).unwrap(), None, "none is sound");
    Index::open(&path).unwrap();
}
