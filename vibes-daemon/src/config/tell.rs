//! `vibesd config`: tells what is configured, where that is from, and whether a file is right. `vibes config` runs it.
//!
//! Invariant: changes nothing; values of agents' variables are never printed.
#![allow(clippy::print_stdout)]

use super::{
    Config,
    keys::{self, KEYS},
    source::{From, Source},
};
use anyhow::Context;
use clap::Subcommand;
use serde_json::{Value, json};
use std::{path::PathBuf, process::ExitCode};

/// What is to be told.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Every key, its value and where that is from.
    Show {
        /// Only keys that begin so.
        key: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Whether a file is right.
    Check {
        /// Instead of the one that is in force.
        file: Option<PathBuf>,
    },
    /// Where the file is.
    Path,
    /// The page of the documentation.
    Page,
}

/// Tells it.
pub fn run(verb: Verb) -> anyhow::Result<ExitCode> {
    match verb {
        Verb::Path => {
            let path = crate::paths::config_file().context("no home directory is known: set HOME")?;
            println!("{}", path.display());
        }
        Verb::Page => print!("{}", keys::page()),
        Verb::Check { file } => {
            let source = match &file {
                Some(file) => Config::source_of(Some(file.clone()), true)?,
                None => Config::source_of(crate::paths::config_file(), false)?,
            };
            Config::from(&source)?;
            println!("right");
        }
        Verb::Show { key, json } => {
            let source = Config::source_of(crate::paths::config_file(), false)?;
            Config::from(&source)?;
            let told = told(&source, key.as_deref())?;
            if told.is_empty() {
                let key = key.unwrap_or_default();
                let near = crate::words::nearest(&key, KEYS.iter().map(|key| key.path));
                let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
                anyhow::bail!("no key is called {key}{near}");
            }
            if json {
                println!("{}", serde_json::to_string(&told)?);
            } else {
                table(&told);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One row for each key.
fn told(source: &Source, wanted: Option<&str>) -> anyhow::Result<Vec<Value>> {
    let whole = serde_json::to_value(source.merged()?)?;
    let mut rows = Vec::new();
    for key in KEYS {
        for (path, value) in found(&whole, key.path) {
            if wanted.is_some_and(|wanted| path != wanted && !path.starts_with(&format!("{wanted}."))) {
                continue;
            }
            let from = source.from(&path);
            // What a name of the person's own does not say is as the page says.
            if path != key.path && value.is_null() {
                continue;
            }
            let value = match value {
                Value::Null => serde_json::from_str(key.default).unwrap_or(Value::Null),
                // Their names are enough: they may be secrets.
                Value::Object(pairs) => pairs.keys().cloned().collect(),
                value => value,
            };
            let (source, line) = match from {
                From::Default => ("default".to_owned(), Value::Null),
                From::Line(line) => ("file".to_owned(), line.into()),
                From::Variable(name) => (name, Value::Null),
            };
            rows.push(json!({
                "key": path, "value": value, "from": source, "line": line, "default": key.default,
                "variable": key.variable(), "about": key.about,
            }));
        }
    }
    Ok(rows)
}

/// The values of a key; one for each name of the person's own.
fn found(whole: &Value, path: &str) -> Vec<(String, Value)> {
    let mut places = vec![(String::new(), whole)];
    for part in path.split('.') {
        places = places
            .into_iter()
            .flat_map(|(path, value)| -> Vec<(String, &Value)> {
                let below =
                    |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                match (part, value.as_object()) {
                    ("NAME", Some(own)) => own.iter().map(|(name, value)| (below(name), value)).collect(),
                    ("NAME", None) => Vec::new(),
                    (part, _) => vec![(below(part), &value[part])],
                }
            })
            .collect();
    }
    places.into_iter().map(|(path, value)| (path, value.clone())).collect()
}

fn table(rows: &[Value]) {
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        value => value.to_string(),
    };
    let cells: Vec<[String; 3]> = rows
        .iter()
        .map(|row| {
            let from = row["from"].as_str().unwrap_or_default();
            let from = row["line"].as_u64().map_or_else(|| from.to_owned(), |line| format!("line {line}"));
            [row["key"].as_str().unwrap_or_default().to_owned(), text(&row["value"]), from]
        })
        .collect();
    let width = |at: usize| cells.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1).min(48));
    println!("{:<first$}  {:<second$}  FROM", "KEY", "VALUE");
    for [key, value, from] in cells {
        println!("{key:<first$}  {value:<second$}  {from}");
    }
}
