//! A request of an agent as rules see it: what runs, where, on which files.
//!
//! Invariant: read from what is recorded and shown, never from the agent's own words for it; the same record gives the
//! same request whenever it is judged again.

use super::{
    Ground,
    places::{self, MOST},
    shell::Line,
    words::Pattern,
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use vibes_protocol::model::{Permission, SessionRule};

/// A request, read.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The agent's name.
    pub(super) agent: String,
    /// The tool, as the agent named it.
    pub(super) tool: String,
    /// What kind of tool that is, where the name is known.
    pub(super) kind: String,
    /// What it runs.
    pub(super) command: Option<Command>,
    /// Whether it runs something, known or not.
    pub(super) runs: bool,
    /// Whether the input says nothing else that could change what the command does.
    pub(super) is_whole: bool,
    /// Whether it puts something to a person instead of doing something.
    pub(super) is_question: bool,
    /// The session's directory, and the one that the request names.
    pub(super) directories: Vec<PathBuf>,
    /// Where relative paths begin.
    base: PathBuf,
    /// The files it names.
    paths: Vec<String>,
    input: Value,
}

/// What a request runs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Command {
    /// The command line, unless it came as a list of words.
    pub(super) text: Option<String>,
    /// The same, read.
    pub(super) line: Line,
}

/// Fields beside a command that do not change what it does.
const HARMLESS: &[&str] = &[
    "command",
    "cmd",
    "cwd",
    "workdir",
    "working_directory",
    "directory",
    "dir_path",
    "description",
    "timeout",
    "timeout_ms",
    "reason",
    "justification",
    "explanation",
    "call_id",
    "turn_id",
    "started_at_ms",
    "parsed_cmd",
    "proposed_execpolicy_amendment",
    "available_decisions",
    "run_in_background",
    "is_background",
];
/// Fields that hold something to run which nobody here can read.
const PROGRAMS: &[&str] = &[
    "script",
    "code",
    "program",
    "executable",
    "commands",
    "command_line",
    "cmdline",
    "shell",
    "shell_command",
    "bash",
    "exec",
    "argv",
];
/// The most places of one request that are looked at.
const MOST_PLACES: usize = 4 * MOST;
/// Fields that name the directory of a command.
const DIRECTORIES: &[&str] = &["cwd", "workdir", "working_directory", "directory", "dir_path"];

/// The kind of a tool that has a name of its own.
fn kind_of(tool: &str) -> &str {
    match tool {
        "Bash" | "BashOutput" | "KillShell" | "KillBash" => "execute",
        "Edit" | "MultiEdit" | "Write" | "NotebookEdit" => "edit",
        "Read" | "NotebookRead" => "read",
        "Glob" | "Grep" | "LS" => "search",
        "WebFetch" | "WebSearch" => "fetch",
        "AskUserQuestion" | "ExitPlanMode" => "question",
        other => other,
    }
}

impl Command {
    fn of(input: &Value) -> Option<Self> {
        let given = ["command", "cmd"].iter().map(|name| &input[name]).find(|value| !value.is_null())?;
        match given {
            Value::String(text) => Some(Self { text: Some(text.clone()), line: Line::read(text) }),
            Value::Array(values) => {
                let words: Option<Vec<String>> =
                    values.iter().map(|word| word.as_str().map(str::to_owned)).collect();
                match words {
                    Some(words) => Some(match words.as_slice() {
                        [shell, flag, text] if is_shell(shell) && matches!(flag.as_str(), "-c" | "-lc") => {
                            Self { text: Some(text.clone()), line: Line::read(text) }
                        }
                        words => Self { text: None, line: Line::of_words(words) },
                    }),
                    None => Some(Self::unknown()),
                }
            }
            _ => Some(Self::unknown()),
        }
    }

    /// There is one, and it cannot be read.
    fn unknown() -> Self {
        Self { text: None, line: Line { odd: true, ..Line::default() } }
    }
}

fn is_shell(program: &str) -> bool {
    let name = ["/usr/local/bin/", "/usr/bin/", "/bin/"].iter().find_map(|dir| program.strip_prefix(dir));
    matches!(name.unwrap_or(program), "sh" | "bash" | "zsh" | "dash")
}

impl Request {
    /// Reads what an agent asked.
    pub fn read(agent: &str, permission: &Permission) -> Self {
        let input = &permission.raw_input;
        let kind = kind_of(&permission.tool);
        let command = Command::of(input);
        let said = DIRECTORIES.iter().filter_map(|name| input[name].as_str()).find(|dir| !dir.is_empty());
        let own = PathBuf::from(&permission.cwd);
        let base = said.map_or_else(|| own.clone(), |dir| own.join(dir));
        let mut paths = permission.paths.clone();
        if let Some(path) = permission.diff.as_ref().and_then(|diff| diff["path"].as_str()) {
            paths.push(path.to_owned());
        }
        places::in_input(input, &mut paths);
        let is_empty =
            |value: &Value| matches!(value, Value::Null | Value::Bool(false)) || value.as_str() == Some("");
        let known = |(name, value): (&String, &Value)| HARMLESS.contains(&name.as_str()) || is_empty(value);
        let both = !input["command"].is_null() && !input["cmd"].is_null();
        Self {
            agent: agent.to_owned(),
            tool: permission.tool.clone(),
            kind: kind.to_owned(),
            runs: command.is_some()
                || kind == "execute"
                || PROGRAMS.iter().any(|name| !input[name].is_null()),
            is_whole: !both && input.as_object().is_some_and(|input| input.iter().all(known)),
            is_question: matches!(kind, "question" | "switch_mode"),
            directories: if said.is_some() { vec![own, base.clone()] } else { vec![own] },
            command,
            base,
            paths,
            input: input.clone(),
        }
    }

    /// Whether it runs no command.
    pub(super) fn runs_nothing(&self) -> bool {
        !self.runs
    }

    fn place(&self, path: &str, ground: &Ground<'_>) -> Option<PathBuf> {
        places::absolute(path, &self.base, ground.home)
    }

    /// A place that a rule names: from the session's directory on.
    fn named(&self, path: &str, ground: &Ground<'_>) -> Option<PathBuf> {
        places::absolute(path, &self.directories[0], ground.home)
    }

    /// Whether it names files, and all of them really lie in one of these places.
    pub(super) fn lies_in(&self, places: &[String], ground: &Ground<'_>) -> bool {
        let real = |path: PathBuf| ground.world.real(&path);
        let places: Vec<PathBuf> =
            places.iter().filter_map(|place| self.named(place, ground)).filter_map(real).collect();
        let lies = |path: &String| {
            let real = self.place(path, ground).and_then(real);
            real.is_some_and(|path| places.iter().any(|place| path.starts_with(place)))
        };
        !self.paths.is_empty() && self.paths.len() <= MOST && self.paths.iter().all(lies)
    }

    /// The files that it names and that do not lie in its session's directory.
    pub(super) fn outside(&self, ground: &Ground<'_>) -> Vec<String> {
        let cwd = ground.world.real(&self.directories[0]);
        let inside = |path: &&String| {
            let real = self.place(path, ground).and_then(|path| ground.world.real(&path));
            real.zip(cwd.as_ref()).is_some_and(|(real, cwd)| real.starts_with(cwd))
        };
        self.paths.iter().filter(|path| !inside(path)).take(MOST).cloned().collect()
    }

    /// What could be a place: the files it names and the words of its commands.
    fn words(&self) -> Vec<&str> {
        let mut words: Vec<&str> = self.paths.iter().map(String::as_str).collect();
        for word in self.command.iter().flat_map(|command| command.line.commands.iter().flatten()) {
            words.push(&word.text);
            // `--output=x`, `if=x`, `-ox`, `a:b`.
            words.extend(word.text.split(['=', ':', ',']).skip(1));
            words.extend(word.text.strip_prefix('-').and_then(|rest| rest.get(1..)));
        }
        words
    }

    /// Where everything lies that it names: as written and really.
    fn everywhere(&self, ground: &Ground<'_>) -> Vec<PathBuf> {
        let words = self.words().into_iter().take(MOST_PLACES);
        let mut found = Vec::new();
        for place in words.filter(|word| !word.is_empty()).filter_map(|word| self.place(word, ground)) {
            found.extend(ground.world.real(&place));
            found.push(places::as_written(&place));
        }
        found
    }

    /// Whether it could have to do with one of these places: with something in it, or with something around it.
    pub(super) fn mentions(&self, places: &[String], ground: &Ground<'_>) -> bool {
        let everywhere = self.everywhere(ground);
        places.iter().filter_map(|place| self.named(place, ground)).any(|place| {
            let places = [ground.world.real(&place), Some(places::as_written(&place))];
            everywhere.iter().any(|path| places.iter().flatten().any(|place| path.starts_with(place)))
        })
    }

    /// What it has to do with vibes' own files, if anything: these are nobody's to allow but a person's.
    pub(super) fn touches(&self, ground: &Ground<'_>) -> Option<String> {
        const OURS: &[&str] = &["vibes", "vibesd", "vibes-runner"];
        let mut words = self.command.iter().flat_map(|command| command.line.commands.iter().flatten());
        let program = |text: &str| text.rsplit('/').next().is_some_and(|base| OURS.contains(&base));
        if words.any(|word| program(&word.text)) {
            return Some("it may run vibes".to_owned());
        }
        if self.words().len() > MOST_PLACES {
            return Some("it names more than can be looked at".to_owned());
        }
        // To work in a directory around ours is no touch; to name one is.
        let cwd = |cwd: &PathBuf| ground.world.real(cwd).unwrap_or_else(|| places::as_written(cwd));
        let works_in: Vec<PathBuf> = self.directories.iter().map(cwd).collect();
        let names = self.everywhere(ground);
        let mut texts = Vec::new();
        match &self.command {
            Some(command) => texts.extend(command.text.as_deref()),
            None if self.paths.is_empty() => places::texts(&self.input, &mut texts),
            None => {}
        }
        for guarded in ground.guarded {
            let real = ground.world.real(guarded);
            let both = [Some(guarded), real.as_ref()];
            let within = |path: &PathBuf| both.iter().flatten().any(|guarded| path.starts_with(guarded));
            let around = |path: &PathBuf| both.iter().flatten().any(|guarded| guarded.starts_with(path));
            // However it is spelled: with a variable, in quotes, behind an expansion.
            let tail: PathBuf = guarded.iter().skip(guarded.iter().count().saturating_sub(2)).collect();
            let told = |text: &&str| text.contains(&*tail.to_string_lossy());
            let touched = works_in.iter().chain(&names).any(within) || names.iter().any(around);
            if touched || texts.iter().any(told) {
                return Some(format!("it may touch {}", guarded.display()));
            }
        }
        None
    }

    /// Whether a rule of the session is about this very request.
    pub(super) fn is_of_session_rule(&self, rule: &SessionRule, ground: &Ground<'_>) -> bool {
        if rule.tool != self.tool || Path::new(&rule.cwd) != self.base || self.is_question {
            return false;
        }
        match (&rule.command, &rule.pattern, &self.command) {
            (Some(wanted), _, Some(command)) => self.is_whole && command.text.as_ref() == Some(wanted),
            (None, Some(pattern), Some(command)) => {
                let plain = self.is_whole && !command.line.odd && !command.line.joined;
                plain
                    && Pattern::read(pattern)
                        .is_ok_and(|pattern| command.line.commands.iter().all(|it| pattern.is(it)))
            }
            (None, None, None) if !rule.paths.is_empty() => {
                self.runs_nothing() && self.lies_in(&rule.paths, ground)
            }
            (None, None, _) if rule.paths.is_empty() => {
                rule.input_sha256.as_ref().is_some_and(|hash| *hash == self.input_sha256())
            }
            _ => false,
        }
    }

    fn input_sha256(&self) -> String {
        crate::agent::spool::hex(&Sha256::digest(self.input.to_string()))
    }

    /// What allows this request again, and as little else as can be said: the same command line, the same files, or
    /// the same input. `pattern` widens a command, `place` the files. Refused where that would not match the request
    /// itself.
    pub fn session_rule(
        &self,
        pattern: Option<Vec<String>>,
        place: Option<String>,
    ) -> Result<SessionRule, String> {
        if self.is_question {
            return Err("a question is for a person: no rule can answer it".to_owned());
        }
        let mut rule = SessionRule {
            name: String::new(),
            tool: self.tool.clone(),
            cwd: self.base.display().to_string(),
            command: None,
            pattern: None,
            paths: Vec::new(),
            input_sha256: None,
            by: None,
            at_ms: 0,
        };
        match (&self.command, pattern, place) {
            (_, Some(_), Some(_)) => return Err("a pattern is of commands, a path of files".to_owned()),
            (None, Some(_), None) => {
                return Err("the request runs no command that a pattern could match".to_owned());
            }
            (Some(_), None, Some(_)) => {
                return Err("the request runs a command; a path is of files".to_owned());
            }
            (Some(command), Some(words), None) => {
                let pattern = Pattern::read(&words)?;
                let plain = self.is_whole && !command.line.odd && !command.line.joined;
                if !plain || !command.line.commands.iter().all(|command| pattern.is(command)) {
                    return Err("the pattern does not match this request".to_owned());
                }
                rule.pattern = Some(words);
            }
            (Some(command), None, None) => match &command.text {
                Some(text) if self.is_whole => rule.command = Some(text.clone()),
                _ => rule.input_sha256 = Some(self.input_sha256()),
            },
            (None, None, Some(place)) => rule.paths = vec![place],
            (None, None, None)
                if self.runs_nothing() && !self.paths.is_empty() && self.paths.len() <= MOST =>
            {
                rule.paths.clone_from(&self.paths);
            }
            (None, None, None) if !self.input.is_null() => rule.input_sha256 = Some(self.input_sha256()),
            (None, None, None) => return Err("the request does not say what it would do".to_owned()),
        }
        Ok(rule)
    }
}
