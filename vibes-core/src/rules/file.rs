//! A file of rules: its shape, and what makes it a set that can judge.
//!
//! Invariant: whatever could be misread is refused with the name of its rule; a condition is never silently dropped.

use super::{Rule, RuleSet, places, words::Pattern};
use serde::Deserialize;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};
use vibes_protocol::model::Verdict;

/// The most rules of a file: more than anybody reads.
const MOST_RULES: usize = 1_000;
/// The most values of one condition.
const MOST_VALUES: usize = 256;

/// A file as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// The version of the language; 1.
    pub version: u32,
    /// Whose sessions it is for.
    #[serde(default)]
    pub scope: Scope,
    /// The rules.
    #[serde(default, rename = "rule")]
    pub rules: Vec<RuleSpec>,
}

/// Whose sessions a set of rules is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Those of the person who applied it.
    #[default]
    Mine,
    /// Everybody's.
    All,
}

/// One value or several.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum OneOrMore<T> {
    /// One.
    One(T),
    /// Several.
    Many(Vec<T>),
}

impl<T> OneOrMore<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            Self::One(value) => vec![value],
            Self::Many(values) => values,
        }
    }
}

/// A command pattern: one text, cut at blanks, or its words.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Words {
    /// Cut at blanks.
    Text(String),
    /// As they are.
    List(Vec<String>),
}

/// One command pattern, or several. A list is of patterns, never of the words of one.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Commands {
    /// One.
    One(String),
    /// Several.
    Many(Vec<Words>),
}

/// One rule as it is written.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSpec {
    /// Unique in its file; what records name.
    pub name: String,
    /// What it does.
    pub decision: Verdict,
    /// Agents.
    pub agent: Option<OneOrMore<String>>,
    /// Directories that the session works in.
    pub directory: Option<OneOrMore<String>>,
    /// Tools, by kind or name.
    pub tool: Option<OneOrMore<String>>,
    /// Commands, word by word.
    pub command: Option<Commands>,
    /// Whole command lines, byte by byte.
    pub exactly: Option<OneOrMore<String>>,
    /// Every command.
    #[serde(default)]
    pub any_command: bool,
    /// Several commands in one line, each of which matches.
    #[serde(default)]
    pub sequence: bool,
    /// Files, or directories that they lie in.
    pub path: Option<OneOrMore<String>>,
}

impl File {
    /// The set that these rules are, from the text they were read from.
    pub fn compile(self, text: &str, home: Option<&Path>) -> Result<RuleSet, String> {
        if self.version != 1 {
            return Err(format!("version: {} is not known; this vibes knows 1", self.version));
        }
        if self.rules.len() > MOST_RULES {
            return Err(format!("rule: {} are too many; {MOST_RULES} are the most", self.rules.len()));
        }
        let mut names = BTreeSet::new();
        let mut rules = Vec::new();
        for spec in self.rules {
            let name = spec.name.clone();
            let good = !name.is_empty() && name.chars().count() <= 64 && !name.chars().any(char::is_control);
            if !good {
                return Err(format!("rule {name:?}: a name has 1 to 64 visible characters"));
            }
            if !names.insert(name.clone()) {
                return Err(format!("rule {name:?}: the name is used twice"));
            }
            rules.push(spec.compile(home).map_err(|why| format!("rule {name:?}: {why}"))?);
        }
        Ok(RuleSet { rules, scope: self.scope, hash: RuleSet::hash_of(text) })
    }
}

fn list<T>(name: &str, value: Option<OneOrMore<T>>) -> Result<Vec<T>, String> {
    let Some(value) = value else { return Ok(Vec::new()) };
    let values = value.into_vec();
    match values.len() {
        // An empty list would be no condition, and match everything.
        0 => Err(format!("{name}: an empty list matches nothing; leave it out to match everything")),
        1..=MOST_VALUES => Ok(values),
        many => Err(format!("{name}: {many} values; {MOST_VALUES} are the most")),
    }
}

fn texts(name: &str, value: Option<OneOrMore<String>>) -> Result<Vec<String>, String> {
    let values = list(name, value)?;
    match values.iter().any(String::is_empty) {
        true => Err(format!("{name}: an empty text")),
        false => Ok(values),
    }
}

impl RuleSpec {
    fn compile(self, home: Option<&Path>) -> Result<Rule, String> {
        let directory = |text: String| -> Result<PathBuf, String> {
            let path = places::absolute(&text, Path::new(""), home).filter(|path| path.is_absolute());
            let path = path
                .ok_or_else(|| format!("directory: {text:?} is not absolute and does not begin with ~/"))?;
            match path.components().any(|part| part == std::path::Component::ParentDir) {
                true => Err(format!("directory: {text:?} has .. in it")),
                false => Ok(path),
            }
        };
        let pattern = |words: Words| {
            let words = match words {
                Words::List(words) => words,
                // A quote in a text would be taken for a part of a word by us, for none of it by a person.
                Words::Text(text) if text.contains(['\'', '"', '\\']) => {
                    return Err(format!("command: {text:?} has quotes in it: give its words as a list"));
                }
                Words::Text(text) => text.split_whitespace().map(str::to_owned).collect(),
            };
            Pattern::read(&words).map_err(|why| format!("command: {why}"))
        };
        let allows = self.decision == Verdict::Allow;
        let commands = self.command.map(|commands| match commands {
            Commands::One(text) => OneOrMore::One(Words::Text(text)),
            Commands::Many(patterns) => OneOrMore::Many(patterns),
        });
        let commands = list("command", commands)?.into_iter().map(pattern).collect::<Result<Vec<_>, _>>()?;
        let rule = Rule {
            name: self.name,
            verdict: self.decision,
            agents: texts("agent", self.agent)?,
            directories: texts("directory", self.directory)?
                .into_iter()
                .map(directory)
                .collect::<Result<_, _>>()?,
            tools: texts("tool", self.tool)?,
            exactly: texts("exactly", self.exactly)?,
            paths: texts("path", self.path)?,
            any_command: self.any_command,
            sequence: self.sequence,
            commands,
        };
        let by_command = !rule.commands.is_empty() || !rule.exactly.is_empty() || rule.any_command;
        if rule.sequence && (!allows || rule.commands.is_empty()) {
            return Err(
                "sequence: it widens the `command` of a rule that allows, and nothing else".to_owned()
            );
        }
        if allows && rule.tools.is_empty() && !by_command && rule.paths.is_empty() {
            return Err(
                "a rule that allows names a tool, a command or a path (`tool = \"*\"` is every tool)"
                    .to_owned(),
            );
        }
        if allows && by_command && !rule.paths.is_empty() {
            return Err(
                "a rule that allows has commands or paths: what a command does to files nobody can tell"
                    .to_owned(),
            );
        }
        Ok(rule)
    }
}
