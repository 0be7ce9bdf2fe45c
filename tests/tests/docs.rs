//! The pages say what the code does: every name of the wire is in the contract, every verb is in the guide, and no
//! link leads nowhere.
//!
//! Invariant: a new request, message, fact, code or verb fails here until somebody writes a sentence about it.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};
use vibes_protocol::{
    model::{ErrorCode, SessionState, fact},
    wire::Request,
};
use vibes_tests::TestEnv;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_owned()
}

fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path} cannot be read: {error}"))
}

#[track_caller]
fn assert_named<'a>(what: &str, names: impl IntoIterator<Item = &'a str>) {
    let contract = page("PROTOCOL.md");
    let missing: Vec<&str> =
        names.into_iter().filter(|name| !contract.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "PROTOCOL.md does not name these {what}: {missing:?}");
}

#[test]
fn the_contract_names_every_request() {
    assert_named("requests", Request::TYPES.iter().copied());
}

/// The tags come from the golden lines, which another test holds against the type itself.
#[test]
fn the_contract_names_every_message_of_the_daemon() {
    let golden = page("protocol/schema/v1/golden.ndjson");
    let lines = golden.lines().map(|line| {
        serde_json::from_str::<serde_json::Value>(line).expect("a golden line is one JSON object")
    });
    let tags: BTreeSet<String> = lines
        .filter(|line| line["dir"] == "out")
        .filter_map(|line| line["line"]["type"].as_str().map(str::to_owned))
        .collect();
    assert!(tags.len() > 15, "the golden lines hold few messages: {tags:?}");
    assert_named("messages", tags.iter().map(String::as_str));
}

#[test]
fn the_contract_names_every_fact() {
    assert_named("facts", fact::KINDS.iter().copied());
}

#[test]
fn the_contract_names_every_error() {
    assert_named("error codes", ErrorCode::ALL.iter().map(|code| code.as_str()));
}

/// The states have no list of their own in the code; this match keeps the list here whole.
#[test]
fn the_contract_names_every_state() {
    use SessionState::*;
    let all = [Starting, Idle, Processing, WaitingPermission, Suspended, Finished, Failed, Killed, Expired];
    for state in all {
        match state {
            Starting | Idle | Processing | WaitingPermission | Suspended | Finished | Failed | Killed
            | Expired => {}
        }
    }
    assert_named("states", all.map(SessionState::as_str));
}

/// The verbs that a page of help lists under `Commands:`.
fn verbs(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    // A verb stands at an indent of two; what is further in goes on with the sentence before.
    let verbs = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    verbs.filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
}

#[test]
fn the_guide_names_every_verb() {
    let env = TestEnv::new();
    let guide = page("docs/guide.md");
    let top = verbs(&env.vibes(&["--help"]).ok().stdout);
    assert!(top.len() > 20, "the help lists few verbs: {top:?}");
    let daemon = verbs(&env.vibes(&["daemon", "--help"]).ok().stdout);
    let all = top.into_iter().chain(daemon.into_iter().map(|verb| format!("daemon {verb}")));
    let missing: Vec<String> = all.filter(|verb| !guide.contains(&format!("vibes {verb}"))).collect();
    assert!(missing.is_empty(), "docs/guide.md does not name these verbs: {missing:?}");
}

fn pages(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory of ours can be read").filter_map(Result::ok) {
        let (path, name) = (entry.path(), entry.file_name());
        let hidden = name.to_string_lossy().starts_with('.');
        if path.is_dir() && !hidden && name != "target" && name != "node_modules" {
            pages(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            into.push(path);
        }
    }
}

/// The targets of `[words](target)` outside of code.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Every second piece between backticks is code.
        let words: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        for piece in words.split("](").skip(1) {
            found.extend(piece.split([')', ' ']).next().map(str::to_owned));
        }
    }
    found
}

/// The anchor that a heading gets on the usual hosts.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn has_anchor(text: &str, wanted: &str) -> bool {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#'))).any(|found| found == wanted)
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut all = Vec::new();
    pages(&root(), &mut all);
    assert!(all.len() >= 4, "few pages were found: {all:?}");
    let mut broken = Vec::new();
    for path in all {
        let text = fs::read_to_string(&path).expect("a page is UTF-8");
        for link in links(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, wanted) = link.split_once('#').unwrap_or((&link, ""));
            let dir = path.parent().expect("a file lies in a directory");
            let target = if file.is_empty() { path.clone() } else { dir.join(file) };
            let there = target.exists();
            let text = if wanted.is_empty() { None } else { fs::read_to_string(&target).ok() };
            if !there || text.is_some_and(|text| !has_anchor(&text, wanted)) {
                broken.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "these links lead nowhere:\n{}", broken.join("\n"));
}

#[test]
fn links_and_anchors_are_read_as_people_write_them() {
    assert_eq!(links("see [a](b.md) and `[x](y)`\n```\n[c](d)\n```\n[e](#f)"), ["b.md", "#f"]);
    assert_eq!(anchor(" Exit codes of `vibes`"), "exit-codes-of-vibes");
    assert_eq!(anchor(" The runner's protocol"), "the-runners-protocol");
    assert_eq!(verbs("x\n\nCommands:\n  run   Start\n           on\n  ls\n\nOptions:\n  -h"), ["run", "ls"]);
}
