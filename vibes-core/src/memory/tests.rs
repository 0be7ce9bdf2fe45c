//! What is remembered, found, changed and forgotten; and files that are none of ours.

use super::*;

struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("vibes-memory-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn memories(&self) -> Memories {
        Memories::at(self.0.join("memory.db"))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn new(text: &str, tags: &[&str]) -> New {
    New { text: text.into(), tags: tags.iter().map(|tag| (*tag).into()).collect(), ..New::default() }
}

fn found(memories: &Memories, query: &str) -> Vec<u64> {
    let wanted = Wanted { query: Some(query.into()), ..Wanted::default() };
    memories.find(&wanted).unwrap().0.iter().map(|one| one.id).collect()
}

#[test]
fn what_is_remembered_is_found_by_words_tags_and_category_also_later() {
    let place = Place::new();
    let memories = place.memories();
    assert_eq!(memories.find(&Wanted::default()).unwrap(), (vec![], 0));
    assert!(!place.0.join("memory.db").exists(), "looking makes no file");
    let port = memories.add(&new("The API listens at port 8080", &["API", "net"]), 1).unwrap();
    let ann = New {
        category: Some("People".into()),
        by: Some("ann@box".into()),
        ..new("Ann owns Abrechnung für München", &[])
    };
    let ann = memories.add(&ann, 2).unwrap();
    assert_eq!((port.id, port.category.as_str()), (1, "note"));
    assert_eq!(port.tags, ["api", "net"]);
    drop(memories);
    let memories = place.memories();
    assert_eq!(found(&memories, "port"), [1]);
    assert_eq!(found(&memories, "listen 80"), [1], "beginnings of words, all of them");
    assert_eq!(found(&memories, "munchen"), [2], "accents are not needed");
    assert_eq!(found(&memories, "port munchen"), [] as [u64; 0]);
    assert_eq!(found(&memories, "\" OR * ( NEAR"), [] as [u64; 0], "operators are words");
    assert_eq!(found(&memories, "people"), [2], "by its category");
    let loosely = Wanted { query: Some("which port?".into()), loosely: true, ..Wanted::default() };
    assert_eq!(memories.find(&loosely).unwrap().1, 1);
    let tagged = Wanted { tags: vec!["NET".into(), "api".into()], ..Wanted::default() };
    assert_eq!(memories.find(&tagged).unwrap(), (vec![port], 1));
    let of = Wanted { category: Some("people".into()), ..Wanted::default() };
    assert_eq!(memories.find(&of).unwrap(), (vec![ann], 1));
    let page = Wanted { limit: Some(1), offset: 1, ..Wanted::default() };
    let (page, total) = memories.find(&page).unwrap();
    assert_eq!((page[0].id, total), (1, 2), "the newest first");
}

#[test]
fn what_is_changed_or_forgotten_is_not_found_by_its_old_words() {
    let place = Place::new();
    let memories = place.memories();
    let id = memories.add(&new("blue", &["x"]), 1).unwrap().id;
    let change = Change { text: Some("green".into()), ..Change::default() };
    let changed = memories.edit(id, &change, 9).unwrap();
    assert_eq!(
        (changed.text.as_str(), changed.tags.len(), changed.created_ms, changed.updated_ms),
        ("green", 1, 1, 9)
    );
    assert_eq!((found(&memories, "blue"), found(&memories, "green")), (vec![], vec![id]));
    let other = memories.add(&new("red", &[]), 2).unwrap().id;
    assert!(matches!(memories.remove(&[id, 99]), Err(MemoryError::NotFound(99))));
    assert_eq!(memories.get(id).unwrap().id, id, "none of them was");
    memories.remove(&[id, other]).unwrap();
    assert_eq!(found(&memories, "green"), [] as [u64; 0]);
    assert!(matches!(memories.get(id), Err(MemoryError::NotFound(_))));
    assert_eq!(memories.add(&new("again", &[]), 3).unwrap().id, 3, "a number is never given again");
    assert!(matches!(memories.get(u64::MAX), Err(MemoryError::NotFound(_))));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let place = Place::new();
    let memories = place.memories();
    let bad = [
        new(" \n", &[]),
        new(&"x".repeat(LONGEST + 1), &[]),
        new("x", &["two words"]),
        new("x", &[""]),
        New { category: Some("a b".into()), ..new("x", &[]) },
    ];
    for new in bad {
        assert!(matches!(memories.add(&new, 0), Err(MemoryError::Bad(_))), "{new:?}");
    }
}

#[test]
fn a_file_of_a_newer_version_or_a_damaged_one_is_refused_and_left() {
    let place = Place::new();
    let path = place.0.join("memory.db");
    place.memories().add(&new("x", &[]), 0).unwrap();
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let refused = place.memories().add(&new("y", &[]), 0);
    assert!(matches!(refused, Err(MemoryError::Store(StoreError::Newer { found: 99, .. }))), "{refused:?}");
    std::fs::write(&path, "no database at all, but rather long".repeat(100)).unwrap();
    let refused = place.memories().find(&Wanted::default());
    assert!(matches!(refused, Err(MemoryError::Damaged { .. })), "{refused:?}");
    assert!(std::fs::read_to_string(&path).unwrap().starts_with("no database"));
}
