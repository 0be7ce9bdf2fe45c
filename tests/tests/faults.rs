//! The fault catalogue: docs/faults.md says which test holds which row, and it says the truth.
//!
//! Invariant: the page is made from tests/faults.toml and from the names of the tests alone. `VIBES_BLESS=1` writes it.

use serde::Deserialize;
use std::{collections::BTreeMap, fmt::Write, fs, path::Path};

#[derive(Deserialize)]
struct Catalogue {
    group: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    number: u32,
    fault: String,
    expected: String,
    /// Why no test holds it.
    reason: Option<String>,
}

/// A test that holds rows: where it stands and what it says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Holder {
    file: String,
    says: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the workspace")
}

fn collect(dir: &Path, found: &mut BTreeMap<u32, Vec<Holder>>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && !["target", "node_modules", ".git"].iter().any(|skip| name == *skip) {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file is UTF-8");
            let file = path.strip_prefix(root()).expect("it lies in the workspace").display().to_string();
            for (rows, says) in text.lines().filter_map(held) {
                for row in rows {
                    found.entry(row).or_default().push(Holder { file: file.clone(), says: says.clone() });
                }
            }
        }
    }
}

/// The rows that a line of source claims to hold, if it opens a test of the catalogue: `fn fault_43_46_words_about_it(`.
fn held(line: &str) -> Option<(Vec<u32>, String)> {
    let line = line.trim_start();
    let name =
        line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn fault_")?.split(['(', '<']).next()?;
    let mut words = name.split('_').peekable();
    let mut rows = Vec::new();
    while let Some(row) = words.peek().and_then(|word| word.parse().ok()) {
        rows.push(row);
        words.next();
    }
    Some((rows, words.collect::<Vec<_>>().join(" ")))
}

fn page(catalogue: &Catalogue, holders: &BTreeMap<u32, Vec<Holder>>) -> String {
    let rows = || catalogue.group.iter().flat_map(|group| &group.rows);
    let with = rows().filter(|row| holders.contains_key(&row.number)).count();
    let mut page = format!(
        "# The fault catalogue\n\n\
         What machines, clients and agents do to vibes in its tests, and what must hold. Made from `tests/faults.toml` and\n\
         the names of the tests by `just faults`; do not edit. {with} of {} rows are held by tests; the others say why not.\n",
        rows().count()
    );
    for group in &catalogue.group {
        let _ = write!(
            page,
            "\n## {}\n\n| # | fault | what must hold | held by |\n|---|---|---|---|\n",
            group.name
        );
        for row in &group.rows {
            let mut cell: Vec<String> = Vec::new();
            let mut here: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for holder in holders.get(&row.number).into_iter().flatten() {
                here.entry(&holder.file).or_default().push(&holder.says);
            }
            for (file, mut says) in here {
                says.sort_unstable();
                cell.push(format!("`{file}`: {}", says.join("; ")));
            }
            cell.extend(row.reason.clone());
            // A bar would end the cell.
            let cells = [&row.fault, &row.expected, &cell.join("<br>")].map(|cell| cell.replace('|', "\\|"));
            let _ = writeln!(page, "| {} | {} |", row.number, cells.join(" | "));
        }
    }
    page
}

#[test]
fn the_catalogue_tells_which_test_holds_which_fault() {
    let text = fs::read_to_string(root().join("tests/faults.toml")).expect("the catalogue is there");
    let catalogue: Catalogue = toml::from_str(&text).expect("the catalogue is TOML of the right shape");
    let mut holders = BTreeMap::new();
    collect(root(), &mut holders);
    let rows: Vec<&Row> = catalogue.group.iter().flat_map(|group| &group.rows).collect();
    for (row, n) in rows.iter().zip(1..) {
        assert_eq!(row.number, n, "the rows are numbered from 1 without holes");
    }
    for (number, holders) in &holders {
        assert!(
            rows.iter().any(|row| row.number == *number),
            "tests claim to hold row {number}, which the catalogue does not have: {holders:?}"
        );
    }
    let bare: Vec<u32> = rows
        .iter()
        .filter(|row| row.reason.is_none() && !holders.contains_key(&row.number))
        .map(|row| row.number)
        .collect();
    assert!(bare.is_empty(), "rows without a test and without a reason: {bare:?}");
    let (page, path) = (page(&catalogue, &holders), root().join("docs/faults.md"));
    if std::env::var_os("VIBES_BLESS").is_some() {
        fs::write(&path, &page).expect("the page can be written");
    }
    assert!(
        fs::read_to_string(&path).is_ok_and(|written| written == page),
        "docs/faults.md does not match the tests; run `just faults`"
    );
}

#[test]
fn a_name_tells_its_rows_and_what_it_says() {
    let words = "a line of 100 mb".to_owned();
    assert_eq!(held("    fn fault_43_46_a_line_of_100_mb() {"), Some((vec![43, 46], words)));
    assert_eq!(held("async fn fault_7_x() {"), Some((vec![7], "x".to_owned())));
    assert_eq!(held("fn default_7_x() {"), None);
}
