//! The walls, as a test: who may depend on whom, which rooms are pure, who may print, how long a file may be.
//!
//! Invariant: a rule that fails here is changed in ARCHITECTURE.md first, with its reason, or the code is changed.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// No file may be longer: past this it is a room where everything lives.
const LONGEST: usize = 700;
/// Past this a file is worth a thought; named when another one is too long.
const LONG: usize = 400;

/// What each crate of ours may depend on, of ours.
const MAY_DEPEND: &[(&str, &[&str])] = &[
    ("protocol", &[]),
    ("vibes-runner", &[]),
    ("vibes-core", &["vibes-protocol", "vibes-runner"]),
    ("vibes-daemon", &["vibes-core", "vibes-protocol"]),
    ("vibes-cli", &["vibes-protocol"]),
    ("tests", &["vibes-protocol", "vibes-runner"]),
];

/// What a pure module must not know.
const IMPURE: &[&str] = &["tokio", "std::fs", "std::net", "SystemTime", "Instant::now"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace").to_owned()
}

/// A source file: its path from the workspace on, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The lines that are code, numbered from 1: comments say what the code must not.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(n, line)| (n + 1, line));
        lines.map(|(n, line)| (n, line.split("//").next().unwrap_or_default()))
    }

    /// The lines of code before the first module of tests.
    fn product(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code().take_while(|(_, line)| line.trim() != "#[cfg(test)]")
    }
}

fn collect(dir: &Path, into: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file is UTF-8");
            let path = path.strip_prefix(root()).expect("it lies in the workspace").to_owned();
            into.push(Source { path: path.to_str().expect("our paths are UTF-8").to_owned(), text });
        }
    }
}

/// Every source file of our crates.
fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    MAY_DEPEND.iter().for_each(|(dir, _)| collect(&root().join(dir), &mut found));
    assert!(found.len() > 20, "the workspace was not found from {}", root().display());
    found
}

#[track_caller]
fn assert_none(rule: &str, faults: Vec<String>) {
    assert!(faults.is_empty(), "{rule}:\n{}", faults.join("\n"));
}

/// The keys of every table of dependencies in a manifest, those for tests and for building included.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            inside = table.ends_with("dependencies");
            // `[dependencies.name]` is a dependency by itself.
            found.extend(table.split_once("dependencies.").map(|(_, name)| name.to_owned()));
        } else if inside && !line.starts_with('#') {
            let name = line.split(['=', '.']).next().unwrap_or_default().trim();
            found.insert(name.to_owned());
        }
    }
    found
}

#[test]
fn crates_depend_in_one_direction() {
    let mut faults = Vec::new();
    for (dir, allowed) in MAY_DEPEND {
        let manifest =
            fs::read_to_string(root().join(dir).join("Cargo.toml")).expect("a crate has a manifest");
        for name in dependencies(&manifest).iter().filter(|name| name.starts_with("vibes-")) {
            // A crate may take itself with more features, for its tests.
            let itself = manifest.contains(&format!("name = \"{name}\""));
            if !itself && !allowed.contains(&name.as_str()) {
                faults.push(format!("{dir} depends on {name}"));
            }
        }
    }
    assert_none("crates may depend on fewer of ours", faults);
}

#[test]
fn every_crate_of_the_workspace_has_a_rule() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the workspace has a manifest");
    let members = manifest.lines().find(|line| line.starts_with("members")).expect("a workspace has members");
    let members: BTreeSet<&str> = members.split('"').skip(1).step_by(2).collect();
    assert_eq!(members, MAY_DEPEND.iter().map(|(dir, _)| *dir).collect());
}

/// Whether a module of the core computes only. The agent's process, files, spool and link are the exceptions in `agent`.
fn is_pure(path: &str) -> bool {
    let Some(path) = path.strip_prefix("vibes-core/src/") else { return false };
    let file = path.rsplit('/').next().unwrap_or(path);
    let touches_the_world =
        ["link", "launch", "place", "spool"].iter().any(|name| path.starts_with(&format!("agent/{name}")));
    // The one look at the file system is in `rules/places`, behind a trait.
    let judges = path.starts_with("rules/") && !["rules/places.rs", "rules/tests.rs"].contains(&path);
    judges
        || matches!(path, "ownership.rs" | "lifecycle.rs" | "session/event.rs")
        || path.starts_with("session/state")
        || path.starts_with("agent/") && !touches_the_world && file != "tests.rs" && !path.contains("/tests/")
}

#[test]
fn pure_modules_know_no_runtime_no_files_and_no_clock() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| is_pure(&source.path)) {
        for (n, line) in source.product() {
            let known = IMPURE.iter().find(|word| line.contains(**word));
            faults.extend(known.map(|word| format!("{}:{n}: {word}", source.path)));
        }
    }
    assert_none("what decides must not act", faults);
}

#[test]
fn the_journal_knows_neither_sessions_nor_agents() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| source.path.starts_with("vibes-core/src/journal")) {
        for (n, line) in source.code() {
            if line.contains("crate::session") || line.contains("crate::agent") {
                faults.push(format!("{}:{n}: {}", source.path, line.trim()));
            }
        }
    }
    assert_none("the journal stores facts, whoever made them", faults);
}

#[test]
fn the_core_never_names_the_wire() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| source.path.starts_with("vibes-core/")) {
        for (n, line) in source.product() {
            if line.contains("vibes_protocol::wire") {
                faults.push(format!("{}:{n}: {}", source.path, line.trim()));
            }
        }
    }
    assert_none("messages end in the daemon", faults);
}

#[test]
fn every_file_says_what_it_is_for() {
    let silent = sources().into_iter().filter(|source| !source.text.starts_with("//!"));
    assert_none("a file opens with `//!`", silent.map(|source| source.path).collect());
}

#[test]
fn no_file_is_too_long() {
    let lines = |source: &Source| source.text.lines().count();
    let all = sources();
    let product =
        || all.iter().filter(|source| !source.path.ends_with("tests.rs") && !source.path.contains("/tests/"));
    if product().any(|source| lines(source) > LONGEST) {
        let mut long: Vec<_> = product().map(|source| (lines(source), &source.path)).collect();
        long.retain(|(lines, _)| *lines > LONG);
        long.sort();
        let long = long.iter().rev().map(|(lines, path)| {
            format!("{lines:5} {path}{}", if *lines > LONGEST { "  <- too long" } else { "" })
        });
        assert_none("split by noun before the next feature", long.collect());
    }
}

#[test]
fn only_one_room_of_the_command_line_prints() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| source.path.starts_with("vibes-cli/src/")) {
        if source.path == "vibes-cli/src/ui.rs" {
            continue;
        }
        for (n, line) in source.product() {
            if ["print!(", "println!(", "eprint!(", "eprintln!("].iter().any(|word| line.contains(word)) {
                faults.push(format!("{}:{n}: {}", source.path, line.trim()));
            }
        }
    }
    assert_none("only ui.rs prints", faults);
}

#[test]
fn only_the_runner_is_unsafe() {
    let mut faults = Vec::new();
    for source in sources().iter().filter(|source| !source.path.starts_with("vibes-runner/")) {
        for (n, line) in source.code() {
            // The word as a keyword: what follows it opens a block or an item.
            let follows = line.split_once("unsafe").map(|(_, rest)| rest.trim_start());
            let opens = |rest: &str| ["{", "fn ", "impl", "extern"].iter().any(|item| rest.starts_with(item));
            if follows.is_some_and(opens) {
                faults.push(format!("{}:{n}: {}", source.path, line.trim()));
            }
        }
    }
    assert_none("`unsafe` is argued in the runner and nowhere else", faults);
}

#[test]
fn every_word_of_the_wire_has_a_golden_line() {
    let golden = root().join("protocol/schema/v1/golden.ndjson");
    let golden = fs::read_to_string(golden).expect("the golden lines are kept in the protocol crate");
    let requests = vibes_protocol::wire::Request::TYPES
        .iter()
        .map(|tag| format!(r#"{{"dir":"in","line":{{"type":"{tag}""#));
    let kinds = vibes_protocol::model::fact::KINDS.iter();
    let facts = kinds.map(|kind| format!(r#"{{"dir":"fact","line":{{"kind":"{kind}""#));
    let missing = requests.chain(facts).filter(|head| !golden.lines().any(|line| line.starts_with(head)));
    assert_none("a message without a golden line (see also protocol/tests/golden.rs)", missing.collect());
}

/// Files beside a test's `main.rs` that nobody lists are tests that nobody runs.
#[test]
fn every_end_to_end_file_is_listed() {
    let dir = root().join("tests/tests/e2e");
    let main = fs::read_to_string(dir.join("main.rs")).expect("the end-to-end tests have a main.rs");
    let names = fs::read_dir(dir)
        .expect("the directory is there")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".rs").map(str::to_owned));
    let forgotten = names.filter(|name| name != "main" && !main.contains(&format!("mod {name};")));
    assert_none("not listed in main.rs", forgotten.collect());
}
