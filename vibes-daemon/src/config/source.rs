//! Where a value of the configuration is from: the file, with its line, or a variable that has the last word.
//!
//! Invariant: what is wrong is told with its line and, where a word is near to one that is known, with that.

use super::keys::{KEYS, Key, Kind};
use crate::words;
use anyhow::{Context, anyhow, bail};
use std::{collections::BTreeMap, ops::Range, path::PathBuf};
use toml::{Table, Value};

/// The text of a file, and the variables beside it.
#[derive(Debug, Default)]
pub struct Source {
    path: Option<PathBuf>,
    text: String,
    variables: BTreeMap<&'static str, (String, Value)>,
}

/// Where a value is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// Nobody said anything.
    Default,
    /// The file, on this line.
    Line(usize),
    /// This variable.
    Variable(String),
}

impl Source {
    /// What a file says, and what the environment says to it.
    pub fn new(
        path: Option<PathBuf>,
        text: String,
        environment: impl Iterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        let environment: BTreeMap<String, String> =
            environment.filter(|(name, value)| name.starts_with("VIBES_") && !value.is_empty()).collect();
        let mut variables = BTreeMap::new();
        for key in KEYS {
            let Some(name) = key.variable() else { continue };
            let Some(text) = environment.get(&name) else { continue };
            let value = value(key, text).with_context(|| format!("the variable {name}={text}"))?;
            variables.insert(key.path, (name, value));
        }
        Ok(Self { path, text, variables })
    }

    /// Reads both into a type.
    pub fn read<T: serde::de::DeserializeOwned>(&self) -> anyhow::Result<T> {
        let whole: T = toml::from_str(&self.text).map_err(|error| self.wrong(&error))?;
        if self.variables.is_empty() {
            return Ok(whole);
        }
        let table = self.merged()?;
        let names: Vec<&str> = self.variables.values().map(|(name, _)| name.as_str()).collect();
        T::deserialize(Value::Table(table))
            .map_err(|error| anyhow!("of the variables {}: {}", names.join(", "), error.message()))
    }

    /// Both in one, as they are written.
    pub fn merged(&self) -> anyhow::Result<Table> {
        let mut table: Table = toml::from_str(&self.text).map_err(|error| self.wrong(&error))?;
        for (path, (_, value)) in &self.variables {
            put(&mut table, path, value.clone());
        }
        Ok(table)
    }

    /// The file's name, with a line of it.
    fn place(&self, line: Option<usize>) -> String {
        let path = self.path.as_ref().map_or_else(String::new, |path| path.display().to_string());
        line.map_or(path.clone(), |line| format!("{path}:{line}"))
    }

    fn wrong(&self, error: &toml::de::Error) -> anyhow::Error {
        let line = error.span().map(|span| self.line(&span));
        let mut words = error.message().trim_end().replace('\n', "; ");
        if let Some((known, near)) = meant(error.message()) {
            words = format!("{known} is no key here; did you mean {near}?");
        }
        anyhow!("the configuration {}: {words}", self.place(line))
    }

    /// An error about a key, which it begins with, gets its place before it.
    pub fn placed(&self, error: &anyhow::Error) -> anyhow::Error {
        let words = format!("{error:#}");
        let path = words.split(':').next().unwrap_or_default().to_owned();
        match self.from(&path) {
            From::Variable(name) => anyhow!("the variable {name}: {words}"),
            From::Line(line) => anyhow!("the configuration {}: {words}", self.place(Some(line))),
            From::Default => anyhow!("the configuration {}: {words}", self.place(None)),
        }
    }

    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.get(..span.start).unwrap_or_default();
        before.matches('\n').count() + 1
    }

    /// Where the value of a key is from.
    pub fn from(&self, path: &str) -> From {
        if let Some((name, _)) = self.variables.get(path) {
            return From::Variable(name.clone());
        }
        let Ok(table) = toml::de::DeTable::parse(&self.text) else { return From::Default };
        let mut table = table.get_ref();
        let mut rest = path;
        loop {
            // A name of the person's own may have dots: the longest key that fits is meant.
            let entry = table
                .iter()
                .filter(|(key, _)| {
                    let behind = rest.strip_prefix(key.get_ref().as_ref());
                    behind.is_some_and(|behind| behind.is_empty() || behind.starts_with('.'))
                })
                .max_by_key(|(key, _)| key.get_ref().len());
            let Some((key, value)) = entry else { return From::Default };
            let behind = &rest[key.get_ref().len()..];
            match (behind.strip_prefix('.'), value.get_ref()) {
                (Some(behind), toml::de::DeValue::Table(inner)) => (table, rest) = (inner, behind),
                _ => return From::Line(self.line(&key.span())),
            }
        }
    }
}

/// The unknown key of an error, and the one that was probably meant.
fn meant(message: &str) -> Option<(String, String)> {
    let (_, rest) = message.split_once("unknown field `")?;
    let (written, rest) = rest.split_once('`')?;
    let near = words::nearest(written, rest.split('`').skip(1).step_by(2))?;
    Some((written.to_owned(), near.to_owned()))
}

/// A variable's text as the value of its key.
fn value(key: &Key, text: &str) -> anyhow::Result<Value> {
    Ok(match key.kind {
        Kind::Number => {
            let number: i64 =
                text.trim().parse().ok().filter(|number| *number >= 0).context("a whole number is wanted")?;
            Value::Integer(number)
        }
        Kind::Switch => match text.trim() {
            "true" | "1" | "yes" | "on" => Value::Boolean(true),
            "false" | "0" | "no" | "off" => Value::Boolean(false),
            _ => bail!("true or false is wanted"),
        },
        Kind::Word => Value::String(text.to_owned()),
        Kind::Words => {
            let words: Vec<String> = match text.trim_start().starts_with('[') {
                true => serde_json::from_str(text).context("a list of texts is wanted")?,
                false => text.split_whitespace().map(str::to_owned).collect(),
            };
            Value::Array(words.into_iter().map(Value::String).collect())
        }
        Kind::Price => {
            let number: f64 = text
                .trim()
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite())
                .context("a number is wanted")?;
            Value::Float(number)
        }
        Kind::Pairs | Kind::Tables => bail!("{} is set in the file only", key.path),
    })
}

fn put(table: &mut Table, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            table.insert(path.to_owned(), value);
        }
        Some((head, rest)) => {
            let inner = table.entry(head).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str, variables: &[(&str, &str)]) -> anyhow::Result<Source> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Source::new(Some("/c.toml".into()), text.to_owned(), variables)
    }

    fn wrong(text: &str) -> String {
        let read = source(text, &[]).and_then(|source| source.read::<crate::config::File>());
        format!("{:#}", read.expect_err("it is wrong"))
    }

    #[test]
    fn what_is_wrong_has_its_line_and_what_was_meant() {
        assert_eq!(
            wrong("\n[limits]\nswep_s = 1\n"),
            "the configuration /c.toml:3: swep_s is no key here; did you mean sweep_s?"
        );
        assert!(wrong("[limits]\nsweep_s = \"often\"\n").starts_with("the configuration /c.toml:2: "));
        assert!(wrong("[limit]\n").contains("did you mean limits?"));
        assert!(
            wrong("[agents.x]\ncomand = [\"x\"]\n")
                .contains(":2: comand is no key here; did you mean command?")
        );
        assert!(wrong("a = \n").contains(":1: "));
        assert!(wrong("colour = 1\n").contains("unknown field `colour`"));
    }

    #[test]
    fn a_variable_has_the_last_word_and_is_told() {
        let variables = [
            ("VIBES_LIMITS_SWEEP_S", "5"),
            ("VIBES_ATTENTION_EVENTS", "idle failed"),
            ("VIBES_LOG", "debug"),
        ];
        let source = source("[limits]\nsweep_s = 7\nspool_mib = 20\n", &variables).expect("it is right");
        let file: crate::config::File = source.read().expect("it is right");
        assert_eq!((file.limits.sweep_s, file.limits.spool_mib, file.log.as_str()), (5, 20, "debug"));
        assert_eq!(source.from("limits.sweep_s"), From::Variable("VIBES_LIMITS_SWEEP_S".into()));
        assert_eq!(source.from("limits.spool_mib"), From::Line(3));
        assert_eq!(source.from("limits.deleted_days"), From::Default);
        let why = anyhow!("limits.spool_mib: 20 is too little");
        assert_eq!(
            format!("{:#}", source.placed(&why)),
            "the configuration /c.toml:3: limits.spool_mib: 20 is too little"
        );
    }

    #[test]
    fn a_variable_that_makes_no_sense_is_named() {
        for (name, text) in [
            ("VIBES_LIMITS_SWEEP_S", "often"),
            ("VIBES_LIMITS_SWEEP_S", "-1"),
            ("VIBES_ATTENTION_DESKTOP", "maybe"),
            ("VIBES_ATTENTION_EVENTS", "[1]"),
        ] {
            let why = format!("{:#}", source("", &[(name, text)]).expect_err("it is wrong"));
            assert!(why.contains(name) && why.contains(text), "{why}");
        }
        assert!(source("", &[("VIBES_LIMITS_SWEEP_S", "")]).is_ok(), "an empty one is none");
    }
}
