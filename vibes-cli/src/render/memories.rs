//! Memories: as a table, one whole, and as a document.
//!
//! Invariant: what people and agents wrote is sanitised where it is drawn, and left as it is in a document.

use super::table::{self, Cell};
use super::{age, short};
use crate::sanitize;
use crate::ui::Paint;
use vibes_protocol::model::Memory;

fn tags(memory: &Memory) -> String {
    memory.tags.iter().map(|tag| format!("#{tag}")).collect::<Vec<_>>().join(" ")
}

/// One line for each; cut to the width on a terminal.
pub(crate) fn table(
    memories: &[Memory],
    now: i64,
    width: usize,
    terminal: bool,
    paint: Paint,
) -> Vec<String> {
    let room = if terminal { width.saturating_sub(30).max(20) } else { usize::MAX };
    let row = |memory: &Memory| {
        let text = sanitize::line(memory.text.trim()).replace('␊', " ");
        vec![
            Cell::painted(memory.id.to_string(), Paint::bold),
            Cell::new(age(now - memory.updated_ms / 1000)),
            Cell::new(&memory.category),
            Cell::painted(tags(memory), Paint::cyan),
            Cell::new(super::keep_start(&text, room)),
        ]
    };
    let rows: Vec<_> = memories.iter().map(row).collect();
    table::render(&["NO", "AGE", "CATEGORY", "TAGS", "TEXT"], &rows, paint)
}

/// One line for each, with the number of its row.
pub(crate) fn rows(memories: &[Memory], now: i64, width: usize, paint: Paint) -> Vec<String> {
    let row = |(at, memory): (usize, &Memory)| {
        let about = format!("{} {}", age(now - memory.updated_ms / 1000), tags(memory));
        let room = width.saturating_sub(super::columns(&about) + 8).max(20);
        let text = sanitize::line(memory.text.trim()).replace('␊', " ");
        let text = super::keep_start(&text, room);
        format!("  {}  {text}  {}", paint.bold(&(at + 1).to_string()), paint.dim(about.trim()))
    };
    memories.iter().enumerate().map(row).collect()
}

/// One whole.
pub(crate) fn whole(memory: &Memory, now: i64, paint: Paint) -> Vec<String> {
    let mut about = vec![sanitize::line(&memory.category).into_owned()];
    about.extend(Some(tags(memory)).filter(|tags| !tags.is_empty()));
    about.push(format!("{} ago", age(now - memory.updated_ms / 1000)));
    about.extend(memory.by.as_ref().map(|by| format!("by {}", sanitize::line(by))));
    about.extend(memory.session_id.map(|id| format!("in session {}", short(id))));
    let mut lines = vec![paint.dim(&about.join(" · ")), String::new()];
    lines.extend(memory.text.lines().map(|line| sanitize::text(line).into_owned()));
    lines
}

/// All of them as a document: a section for each category.
pub(crate) fn document(memories: &[Memory]) -> String {
    let mut categories: Vec<&str> = memories.iter().map(|memory| memory.category.as_str()).collect();
    categories.sort_unstable();
    categories.dedup();
    let mut text = String::from("# Memories\n");
    for category in categories {
        text.push_str(&format!("\n## {category}\n\n"));
        for memory in memories.iter().filter(|memory| memory.category == category) {
            let mut lines = memory.text.lines();
            text.push_str(&format!("- {}", lines.next().unwrap_or_default()));
            for line in lines {
                text.push_str(&format!("\n  {line}"));
            }
            if !memory.tags.is_empty() {
                text.push_str(&format!(" ({})", tags(memory)));
            }
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(id: u64, category: &str, text: &str) -> Memory {
        Memory {
            id,
            text: text.into(),
            category: category.into(),
            tags: vec!["x".into()],
            created_ms: 0,
            updated_ms: 60_000,
            session_id: None,
            by: Some("ann@box".into()),
        }
    }

    #[test]
    fn they_are_drawn_in_rows_and_whole() {
        let all = [memory(1, "note", "one\ntwo\u{1b}[2J"), memory(2, "people", "Ann")];
        let lines = table(&all, 120, 80, true, Paint::PLAIN);
        assert_eq!(lines[0], "NO  AGE  CATEGORY  TAGS  TEXT");
        assert_eq!(lines[1], "1   1m   note      #x    one two␛[2J");
        let lines = whole(&all[0], 120, Paint::PLAIN);
        assert_eq!(lines, ["note · #x · 1m ago · by ann@box", "", "one", "two␛[2J"]);
    }

    #[test]
    fn a_document_has_a_section_for_each_category() {
        let all = [memory(2, "people", "Ann"), memory(1, "note", "one\ntwo")];
        let text = document(&all);
        assert_eq!(text, "# Memories\n\n## note\n\n- one\n  two (#x)\n\n## people\n\n- Ann (#x)\n");
    }
}
