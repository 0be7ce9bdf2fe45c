//! Which files a tool call changes, as the Agent Client Protocol tells it.
//!
//! Invariant: a file is named when the agent shows a change of it, or says of an edit, a move or a deletion that it is
//! there. What only reads names none; what cannot be read names none.

use super::Hint;
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;

/// Kinds of tool calls whose places are what they change.
pub fn changes(kind: &str) -> bool {
    matches!(kind, "edit" | "delete" | "move")
}

#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    content: Option<Vec<Block>>,
    #[serde(default)]
    locations: Option<Vec<Block>>,
}

#[derive(Deserialize)]
struct Block {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    path: Option<String>,
}

/// The files that a tool call, or an update of one, changes.
pub fn files<'de>(call: impl Deserializer<'de>) -> Vec<String> {
    let Ok(Call { kind, content, locations }) = Call::deserialize(call) else { return Vec::new() };
    let shown = content.into_iter().flatten().filter(|block| block.kind.as_deref() == Some("diff"));
    let places = locations.filter(|_| kind.as_deref().is_some_and(changes));
    let mut files: Vec<String> = Vec::new();
    for path in shown.chain(places.into_iter().flatten()).filter_map(|block| block.path) {
        if !files.contains(&path) {
            files.push(path);
        }
    }
    files
}

/// What an update about a tool call tells the session.
pub fn hint<'a>(id: Cow<'a, str>, status: Option<&str>, files: Vec<String>) -> Hint<'a> {
    let failed = status == Some("failed");
    Hint::ToolCall { id, over: failed || status == Some("completed"), failed, files }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_call_names_what_it_changes_and_not_what_it_reads() {
        let diff = json!({"type": "diff", "path": "/a", "oldText": null, "newText": "x"});
        let cases = [
            (
                json!({"kind": "edit", "locations": [{"path": "/a"}, {"path": "/b", "line": 3}]}),
                vec!["/a", "/b"],
            ),
            (json!({"kind": "read", "locations": [{"path": "/a"}]}), vec![]),
            (json!({"kind": "delete", "locations": [{"path": "/a"}]}), vec!["/a"]),
            (json!({"kind": "execute", "content": [diff, {"type": "content", "path": "/c"}]}), vec!["/a"]),
            (json!({"kind": "edit", "content": [diff], "locations": [{"path": "/a"}]}), vec!["/a"]),
            (json!({"content": null, "locations": [{"path": "/a"}]}), vec![]),
            (json!({"kind": 7, "content": [diff]}), vec![]),
            (json!([]), vec![]),
        ];
        for (call, expected) in cases {
            assert_eq!(files(&call), expected, "{call}");
        }
    }
}
