//! Standing rules: what is allowed, denied or asked without a person.
//!
//! Invariant: the most restrictive rule wins, and without a rule a person is asked. A rule that allows has understood
//! all of a request: a word, a file or a field that it has no place for, and it does not match. A rule that denies or
//! asks matches whatever could be meant. Nothing here acts or keeps anything; the file system is looked at through
//! [`World`].

mod file;
mod places;
mod request;
mod shell;
mod standing;
mod words;

pub use file::{File, RuleSpec, Scope};
pub use places::{Disk, World, in_request, more_diffs};
pub use request::Request;
pub use standing::{Applied, Judge, person_of};

use self::words::Pattern;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use vibes_protocol::model::{How, SessionRule, Verdict};

/// What a judgement stands on besides the rules.
pub struct Ground<'a> {
    /// The file system.
    pub world: &'a dyn World,
    /// The person's home directory.
    pub home: Option<&'a Path>,
    /// What no rule lets an agent touch: vibes' own state and configuration.
    pub guarded: &'a [PathBuf],
}

/// A set of rules, ready to judge.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleSet {
    /// In the order of the file.
    rules: Vec<Rule>,
    /// Whose sessions it is for.
    pub scope: Scope,
    /// SHA-256 of the file it came from.
    pub hash: String,
}

/// One rule. An empty list is no condition.
#[derive(Debug, Clone, PartialEq)]
struct Rule {
    name: String,
    verdict: Verdict,
    agents: Vec<String>,
    directories: Vec<PathBuf>,
    tools: Vec<String>,
    commands: Vec<Pattern>,
    exactly: Vec<String>,
    any_command: bool,
    sequence: bool,
    paths: Vec<String>,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// What is to become of it.
    pub verdict: Verdict,
    /// The rule that says so; none when no rule matches.
    pub rule: Option<String>,
    /// Which kind of rule.
    pub how: How,
    /// The hash of its set.
    pub rules: Option<String>,
    /// Why a rule that allows does not count.
    pub guarded: Option<String>,
}

impl Judgement {
    /// Nothing says anything: a person is asked.
    pub const fn ask() -> Self {
        Self { verdict: Verdict::Ask, rule: None, how: How::Rule, rules: None, guarded: None }
    }
}

/// Judges a request by sets of rules and by those of its session.
pub fn judge<'r>(
    sets: impl IntoIterator<Item = &'r RuleSet>,
    own: &[SessionRule],
    request: &Request,
    ground: &Ground<'_>,
) -> Judgement {
    let mut allowed = None;
    let mut asked = None;
    for set in sets {
        let found = |rule: &Rule| Judgement {
            verdict: rule.verdict,
            rule: Some(rule.name.clone()),
            how: How::Rule,
            rules: Some(set.hash.clone()),
            guarded: None,
        };
        for rule in &set.rules {
            match rule.verdict {
                Verdict::Deny if rule.restricts(request, ground) => return found(rule),
                Verdict::Ask if asked.is_none() && rule.restricts(request, ground) => {
                    asked = Some(found(rule))
                }
                Verdict::Allow if allowed.is_none() && rule.allows(request, ground) => {
                    allowed = Some(found(rule))
                }
                _ => {}
            }
        }
    }
    if let Some(asked) = asked {
        return asked;
    }
    let own = || {
        let rule = own.iter().find(|rule| request.is_of_session_rule(rule, ground))?;
        let (name, how) = (Some(rule.name.clone()), How::SessionRule);
        Some(Judgement { verdict: Verdict::Allow, rule: name, how, rules: None, guarded: None })
    };
    let Some(allowed) = allowed.or_else(own) else { return Judgement::ask() };
    match request.touches(ground) {
        None => allowed,
        guarded => Judgement { verdict: Verdict::Ask, guarded, ..allowed },
    }
}

impl RuleSet {
    /// How many rules are in it.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The hash of a file.
    pub fn hash_of(text: &str) -> String {
        crate::agent::spool::hex(&Sha256::digest(text.as_bytes()))
    }
}

impl Rule {
    fn is_for(&self, request: &Request) -> bool {
        let any =
            |list: &[String], is: &dyn Fn(&str) -> bool| list.is_empty() || list.iter().any(|one| is(one));
        any(&self.agents, &|agent| agent == "*" || agent == request.agent)
            && any(&self.tools, &|tool| tool == request.tool || tool == request.kind || tool == "*")
    }

    /// Whether all of the request is allowed by it.
    fn allows(&self, request: &Request, ground: &Ground<'_>) -> bool {
        let named = self.tools.iter().any(|tool| *tool == request.tool || *tool == request.kind);
        if !self.is_for(request) || request.is_question && !named {
            return false;
        }
        let in_directory = |cwd: &PathBuf| {
            let real = ground.world.real(cwd);
            real.is_some_and(|real| self.directories.iter().any(|dir| is_under(&real, dir, ground)))
        };
        if !self.directories.is_empty() && !request.directories.iter().all(in_directory) {
            return false;
        }
        let by_command = !self.commands.is_empty() || !self.exactly.is_empty() || self.any_command;
        match (&request.command, request.runs) {
            (None, false) if by_command => return false,
            (None, false) => {}
            // What runs is not known, or not all that would matter.
            _ if self.any_command => {}
            (Some(command), _) if request.is_whole => {
                let plain = !command.line.odd && (self.sequence || !command.line.joined);
                let fits = |words: &Vec<shell::Word>| self.commands.iter().any(|pattern| pattern.is(words));
                let exactly = command.text.as_ref().is_some_and(|text| self.exactly.contains(text));
                let is_one = exactly || plain && command.line.commands.iter().all(fits);
                if !is_one {
                    return false;
                }
            }
            _ => return false,
        }
        self.paths.is_empty() || request.runs_nothing() && request.lies_in(&self.paths, ground)
    }

    /// Whether the request, or a part of it, could be meant.
    fn restricts(&self, request: &Request, ground: &Ground<'_>) -> bool {
        if !self.is_for(request) {
            return false;
        }
        let in_directory = |cwd: &PathBuf| {
            let real = ground.world.real(cwd);
            let places = [real, Some(places::as_written(cwd))];
            places
                .iter()
                .flatten()
                .any(|place| self.directories.iter().any(|dir| is_under(place, dir, ground)))
        };
        if !self.directories.is_empty() && !request.directories.iter().any(in_directory) {
            return false;
        }
        if !self.commands.is_empty() || !self.exactly.is_empty() || self.any_command {
            let runs = request.command.as_ref().is_some_and(|command| {
                self.commands.iter().any(|pattern| pattern.is_in(&command.line))
                    || command.text.as_ref().is_some_and(|text| self.exactly.contains(text))
            });
            let is_one = runs || self.any_command && request.runs;
            if !is_one {
                return false;
            }
        }
        self.paths.is_empty() || request.mentions(&self.paths, ground)
    }
}

/// Whether a place is a directory or lies in it, as it is written or where it really is.
fn is_under(place: &Path, dir: &Path, ground: &Ground<'_>) -> bool {
    place.starts_with(dir) || ground.world.real(dir).is_some_and(|real| place.starts_with(real))
}

#[cfg(test)]
mod tests;
