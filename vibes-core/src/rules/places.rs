//! Which files a request names, and where they really are.
//!
//! Invariant: a path counts as lying somewhere only when every link on its way was followed; one that cannot be
//! followed lies nowhere. Nothing here decides.

use serde_json::{Value, json};
use std::path::{Component, Path, PathBuf};

/// Looks at the file system. Handed in, because what decides must not.
pub trait World {
    /// Where a path leads, links followed; the last parts of it may not exist yet. `None` when that cannot be told.
    fn real(&self, path: &Path) -> Option<PathBuf>;
}

/// The file system of this machine.
pub struct Disk;

impl World for Disk {
    fn real(&self, path: &Path) -> Option<PathBuf> {
        let (mut there, mut missing) = (path.to_owned(), Vec::new());
        loop {
            match there.canonicalize() {
                Ok(real) => return Some(missing.into_iter().rev().fold(real, |path, part| path.join(part))),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    // A link that leads nowhere yet: what is written to it would appear there, not here.
                    if there.symlink_metadata().is_ok() {
                        return None;
                    }
                    match there.components().next_back()? {
                        Component::Normal(part) => missing.push(part.to_owned()),
                        _ => return None,
                    }
                    there.pop();
                }
                Err(_) => return None,
            }
        }
    }
}

/// Where `path` is meant when it is said in `cwd`; `~` is `home`. Nothing is looked up.
pub fn absolute(path: &str, cwd: &Path, home: Option<&Path>) -> Option<PathBuf> {
    let path = path.strip_prefix("file://").unwrap_or(path);
    if path.contains('\0') {
        return None;
    }
    match (path.strip_prefix('~'), home) {
        (Some(""), Some(home)) => return Some(home.to_owned()),
        (Some(rest), Some(home)) if rest.starts_with('/') => return Some(home.join(&rest[1..])),
        // Somebody else's home.
        (Some(rest), _) if rest.is_empty() || rest.starts_with('/') => return None,
        _ => {}
    }
    Some(cwd.join(path))
}

/// `..` and `.` taken out as written, for whoever wants to err on the side of finding.
pub fn as_written(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}

/// The most files of one request that are looked at.
pub const MOST: usize = 256;

/// The files that a request names, from its own bytes: where it says it acts, what it changes. The tool's input is
/// looked at by [`in_input`].
pub fn in_request(raw: &str) -> Vec<String> {
    let Ok(request) = serde_json::from_str::<Value>(raw) else { return Vec::new() };
    let call = if request["toolCall"].is_object() { &request["toolCall"] } else { &request };
    let mut found = Vec::new();
    for name in ["locations", "content"] {
        for block in call[name].as_array().into_iter().flatten() {
            add(&mut found, &block["path"]);
        }
    }
    add(&mut found, &call["blocked_path"]);
    found
}

/// The changes of a request behind its first one.
pub fn more_diffs(raw: &str) -> Vec<Value> {
    let Ok(request) = serde_json::from_str::<Value>(raw) else { return Vec::new() };
    let blocks = request["toolCall"]["content"].as_array().into_iter().flatten();
    let diffs = blocks.filter(|block| block["type"] == "diff").skip(1);
    diffs
        .map(|diff| json!({"path": diff["path"], "old_text": diff["oldText"], "new_text": diff["newText"]}))
        .collect()
}

fn add(found: &mut Vec<String>, value: &Value) {
    if let Some(path) = value.as_str().filter(|path| !path.is_empty())
        && found.len() <= MOST
        && !found.iter().any(|known| known == path)
    {
        found.push(path.to_owned());
    }
}

/// The files that a tool's input names: whatever stands under a name that sounds like a place, at any depth.
pub fn in_input(input: &Value, found: &mut Vec<String>) {
    const SOUNDS: &[&str] = &["path", "file", "dir", "location", "source", "dest", "target", "uri", "cwd"];
    fn strings(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::String(_) => add(found, value),
            Value::Array(values) => values.iter().for_each(|value| strings(value, found)),
            // `{path: {…}}`, as patches have it: the names are the places.
            Value::Object(values) => {
                for (name, value) in values {
                    let sounds = SOUNDS.iter().any(|word| name.to_ascii_lowercase().contains(word));
                    if name.contains(['/', '.']) {
                        add(found, &Value::String(name.clone()));
                    }
                    if sounds { strings(value, found) } else { in_input(value, found) }
                }
            }
            _ => {}
        }
    }
    match input {
        Value::Object(values) => {
            for (name, value) in values {
                let name = name.to_ascii_lowercase();
                if SOUNDS.iter().any(|word| name.contains(word)) || name == "changes" || name == "edits" {
                    strings(value, found);
                } else {
                    in_input(value, found);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| in_input(value, found)),
        _ => {}
    }
}

/// Every text in a value.
pub fn texts<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(values) => values.iter().for_each(|value| texts(value, found)),
        Value::Object(values) => values.values().for_each(|value| texts(value, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_where_agents_name_them() {
        let raw = json!({"toolCall": {"rawInput": {"path": "z"}, "locations": [{"path": "/a"}, {"path": "/b", "line": 1}],
            "content": [{"type": "diff", "path": "/a"}, {"type": "diff", "path": "/c"}, {"type": "content"}]}});
        assert_eq!(in_request(&raw.to_string()), ["/a", "/b", "/c"]);
        let claude = json!({"subtype": "can_use_tool", "input": {}, "blocked_path": "/x"});
        assert_eq!(in_request(&claude.to_string()), ["/x"]);
        assert_eq!(in_request("no json"), [""; 0]);
        let input = json!({
            "file_path": "a", "content": "/not/a/place", "nested": {"target_file": "b"}, "paths": ["c", "d"],
            "changes": {"src/x.rs": {"update": {"move_path": "y"}}}, "edits": [{"filePath": "e", "new_string": "/no"}],
        });
        let mut found = Vec::new();
        in_input(&input, &mut found);
        assert_eq!(found, ["a", "b", "c", "d", "src/x.rs", "y", "e"]);
    }

    #[test]
    fn links_are_followed_and_what_leads_nowhere_lies_nowhere() {
        let dir = std::env::temp_dir().join(format!("vibes-places-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(dir.join("in/deep")).unwrap();
        std::fs::create_dir_all(dir.join("out")).unwrap();
        let dir = dir.canonicalize().unwrap();
        let link = |to: &str, at: &str| std::os::unix::fs::symlink(dir.join(to), dir.join(at)).unwrap();
        link("out", "in/away");
        link("out/later", "in/dangling");
        link("in/loop", "in/loop");
        let real =
            |path: &str| Disk.real(&dir.join(path)).map(|path| path.strip_prefix(&dir).unwrap().to_owned());
        for (path, leads) in [
            ("in", Some("in")),
            ("in/new.txt", Some("in/new.txt")),
            ("in/new/deeper.txt", Some("in/new/deeper.txt")),
            ("in/deep/../x", Some("in/x")),
            ("in/away/x", Some("out/x")),
            ("in/away/../x", Some("x")),
            ("in/dangling", None),
            ("in/dangling/x", None),
            ("in/loop/x", None),
            ("in/none/../../out", None),
        ] {
            assert_eq!(real(path), leads.map(PathBuf::from), "{path}");
        }
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn a_path_is_meant_from_where_it_is_said() {
        let (cwd, home) = (Path::new("/w"), Path::new("/h"));
        let at = |path: &str| absolute(path, cwd, Some(home)).map(|path| path.display().to_string());
        for (path, meant) in [
            ("a", Some("/w/a")),
            ("/a", Some("/a")),
            ("~", Some("/h")),
            ("~/a", Some("/h/a")),
            ("file:///a", Some("/a")),
            ("a\0b", None),
        ] {
            assert_eq!(at(path).as_deref(), meant, "{path}");
        }
        assert_eq!(absolute("~/a", cwd, None), None);
        assert_eq!(as_written(Path::new("/a/../b/./c/../../..")), Path::new("/"));
    }
}
