//! The command line as it is used: the types, and what every verb has without saying so.
//!
//! Invariant: derived from the types alone, so that a verb that is added has it, too.

use super::Cli;
use clap::{Arg, ArgAction, Command, CommandFactory as _};

/// `--json` of verbs that have no shape of their own.
pub(crate) const JSON_OF_DONE: &str = "json-of-done";

/// Verbs that do not end by themselves, or whose output is something else whatever is asked for.
const OTHERS: &[&str] = &[
    "attach",
    "acp",
    "replay",
    "completion",
    "man",
    "doctor",
    "daemon run",
    "daemon logs",
    "memory export",
    "schema",
    "config edit",
    "template edit",
    "web",
    "top",
];

/// The whole command line.
pub(crate) fn command() -> Command {
    with_json(Cli::command(), "")
}

fn with_json(command: Command, path: &str) -> Command {
    let names: Vec<String> = command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
    if names.is_empty() {
        return leaf(command, path);
    }
    names.into_iter().fold(command, |command, name| {
        let path = if path.is_empty() { name.clone() } else { format!("{path} {name}") };
        command.mut_subcommand(name, |inner| with_json(inner, &path))
    })
}

fn leaf(command: Command, path: &str) -> Command {
    let other = |name: &&str| *name == path || *name == command.get_name();
    let has_its_own = command.get_arguments().any(|arg| arg.get_long() == Some("json"));
    if has_its_own || OTHERS.iter().any(other) {
        return command;
    }
    let json = Arg::new(JSON_OF_DONE).long("json").action(ArgAction::SetTrue);
    command.arg(json.help("Print what was done as JSON"))
}

/// Every verb that ends by itself, with the words before it.
#[cfg(test)]
pub(crate) fn leaves() -> Vec<(String, bool)> {
    fn walk(command: &Command, path: &str, into: &mut Vec<(String, bool)>) {
        let mut inner = command.get_subcommands().peekable();
        if inner.peek().is_none() {
            let json = command.get_arguments().any(|arg| arg.get_long() == Some("json"));
            into.push((path.trim().to_owned(), json));
        }
        inner.for_each(|inner| walk(inner, &format!("{path} {}", inner.get_name()), into));
    }
    let mut all = Vec::new();
    walk(&command(), "", &mut all);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_that_ends_by_itself_has_json() {
        let without: Vec<String> =
            leaves().into_iter().filter(|(_, json)| !json).map(|(name, _)| name).collect();
        let known = |name: &String| OTHERS.iter().any(|other| name.ends_with(other));
        assert!(without.iter().all(known), "{without:?}");
        assert!(leaves().len() > 60, "few verbs were found");
    }
}
