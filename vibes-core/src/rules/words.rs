//! Patterns of commands: word by word, never a piece of one.
//!
//! Invariant: what allows matches exactly, in order, and takes no word that the pattern does not name a place for. What
//! denies or asks matches wherever the command could be meant: behind `sudo` or `env`, in `sh -c`, between other
//! options; too often rather than too seldom.

use super::shell::{Line, Word};

/// A pattern of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    program: String,
    rest: Vec<Part>,
    /// Behind them: what else may follow.
    tail: Tail,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// This word.
    Word(String),
    /// `--option=*`: any value of this option.
    Valued(String),
    /// `*`: one word that is no option.
    One,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    /// Nothing.
    None,
    /// `...`: words that are no options.
    Words,
    /// `-...`: anything.
    Anything,
}

/// How deep commands are looked for within commands.
const DEPTH: u32 = 4;
/// How many words of a line are looked at for what must not run; a longer one is shown to a person anyway.
const LONG: usize = 2_000;

/// Programs that run the command behind them.
const RUNNERS: &[&str] = &[
    "sudo",
    "doas",
    "env",
    "nohup",
    "nice",
    "ionice",
    "time",
    "timeout",
    "xargs",
    "parallel",
    "exec",
    "command",
    "builtin",
    "stdbuf",
    "setsid",
    "unshare",
    "chroot",
    "busybox",
    "strace",
    "ltrace",
    "find",
    "fd",
    "entr",
    "flock",
    "runuser",
    "script",
    "caffeinate",
    "then",
    "do",
    "else",
    "if",
    "while",
    "until",
    "!",
    "{",
    "coproc",
];
/// Programs that read a command line from their arguments.
const READERS: &[&str] =
    &["sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "eval", "watch", "ssh", "su", "source", "."];

fn is_option(word: &str) -> bool {
    word.starts_with('-') && word.len() > 1
}

/// The last part of a program's path.
fn base(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}

impl Pattern {
    /// Reads a pattern from its words.
    pub fn read(words: &[String]) -> Result<Self, String> {
        let Some((program, words)) = words.split_first() else {
            return Err("a command has a program".to_owned());
        };
        if program.contains('*') || program.is_empty() || program.starts_with('-') && program != "-..." {
            return Err(format!("{program:?} is no program: the first word is given as it is"));
        }
        let mut pattern = Self { program: program.clone(), rest: Vec::new(), tail: Tail::None };
        if program == "..." || program == "-..." {
            return Err("the first word is a program; `any_command = true` matches every one".to_owned());
        }
        for (at, word) in words.iter().enumerate() {
            let last = at + 1 == words.len();
            match word.as_str() {
                "..." | "-..." if !last => return Err(format!("{word} stands at the end only")),
                "..." => pattern.tail = Tail::Words,
                "-..." => pattern.tail = Tail::Anything,
                "*" => pattern.rest.push(Part::One),
                word => match word.strip_suffix("=*") {
                    Some(option) if is_option(option) && !option.contains('*') => {
                        pattern.rest.push(Part::Valued(format!("{option}=")));
                    }
                    _ if word.contains('*') => {
                        return Err(format!(
                            "{word:?}: * stands for a whole word, or for the value of --option=*"
                        ));
                    }
                    _ => pattern.rest.push(Part::Word(word.to_owned())),
                },
            }
        }
        Ok(pattern)
    }

    /// Whether these words are just such a command.
    pub fn is(&self, command: &[Word]) -> bool {
        let Some((program, words)) = command.split_first() else { return false };
        if program.text != self.program || words.len() < self.rest.len() {
            return false;
        }
        let (named, more) = words.split_at(self.rest.len());
        let fits = |(part, word): (&Part, &Word)| match part {
            Part::Word(text) => word.text == *text,
            Part::Valued(option) => word.text.starts_with(option.as_str()),
            Part::One => !is_option(&word.text),
        };
        let tail = match self.tail {
            Tail::None => more.is_empty(),
            Tail::Words => more.iter().all(|word| !is_option(&word.text)),
            Tail::Anything => true,
        };
        tail && self.rest.iter().zip(named).all(fits)
    }

    /// Whether such a command could be meant somewhere in a line.
    pub fn is_in(&self, line: &Line) -> bool {
        self.is_within(line, DEPTH)
    }

    fn is_within(&self, line: &Line, depth: u32) -> bool {
        line.commands.iter().any(|command| self.could_be(command, depth))
    }

    fn could_be(&self, command: &[Word], depth: u32) -> bool {
        let command = &command[..command.len().min(LONG)];
        let starts = command.iter().position(|word| !word.text.contains('='));
        let Some(at) = starts else { return false };
        let command = &command[at..];
        if self.could_begin(command) {
            return true;
        }
        let program = base(&command[0].text);
        if RUNNERS.contains(&program) && (1..command.len()).any(|at| self.could_begin(&command[at..])) {
            return true;
        }
        // A runner in front of a reader (`sudo sh -c …`) too: whatever stands behind a reader may be a line.
        let reader = command.iter().position(|word| READERS.contains(&base(&word.text)));
        let reads = |at: usize| at == 0 || RUNNERS.contains(&program);
        // An expansion within a word is a line of its own, wherever it stands.
        let inner = |word: &Word| word.text.contains(['$', '`']) && word.text.contains(char::is_whitespace);
        depth > 0
            && command.iter().enumerate().skip(1).any(|(at, word)| {
                (reader.is_some_and(|reader| reads(reader) && at > reader) || inner(word))
                    && self.is_within(&Line::read(word.text.trim_start_matches("$(")), depth - 1)
            })
    }

    /// Whether the words begin with such a command: other options may stand between, and anything may follow.
    fn could_begin(&self, words: &[Word]) -> bool {
        let Some((program, words)) = words.split_first() else { return false };
        if program.text != self.program && base(&program.text) != base(&self.program) {
            return false;
        }
        let options = |part: &&Part| match part {
            Part::Word(text) => is_option(text),
            Part::Valued(_) => true,
            Part::One => false,
        };
        let named: Vec<&Part> = self.rest.iter().filter(|part| !options(part)).collect();
        let has = |part: &Part| words.iter().any(|word| is_same_option(part, &word.text));
        self.rest.iter().filter(options).all(has) && in_order(&named, words)
    }
}

/// Whether a word is this option, in whatever way it can be written: whole, with its value, cut short, among other
/// letters.
fn is_same_option(part: &Part, word: &str) -> bool {
    let (Part::Word(option) | Part::Valued(option)) = part else { return false };
    let option = option.trim_end_matches('=');
    let name = word.split_once('=').map_or(word, |(name, _)| name);
    match option.strip_prefix("--") {
        Some(long) => name.strip_prefix("--").is_some_and(|name| !name.is_empty() && long.starts_with(name)),
        None => {
            let letters = option.trim_start_matches('-');
            let cluster = word.strip_prefix('-').filter(|word| !word.starts_with('-'));
            word == option || cluster.is_some_and(|cluster| letters.chars().all(|c| cluster.contains(c)))
        }
    }
}

/// Whether the words begin with these parts, when options, and what may be their values, are passed over.
fn in_order(parts: &[&Part], words: &[Word]) -> bool {
    // Where in the pattern one may stand in front of each word; a set, so that long lines cost no more than their
    // length.
    let mut places = vec![0];
    let mut value = false;
    for word in words {
        if places.contains(&parts.len()) {
            return true;
        }
        let option = is_option(&word.text);
        let mut next = Vec::new();
        for &place in &places {
            let fits = match parts[place] {
                Part::Word(text) => word.text == *text,
                Part::One => true,
                Part::Valued(_) => false,
            };
            if fits {
                next.push(place + 1);
            }
            if option || value {
                next.push(place);
            }
        }
        next.dedup();
        next.sort_unstable();
        next.dedup();
        places = next;
        value = option;
        if places.is_empty() {
            return false;
        }
    }
    places.contains(&parts.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        Pattern::read(&words).unwrap()
    }

    #[test]
    fn what_allows_matches_word_by_word() {
        let table = [
            ("git status", "git status", true),
            ("git status", "git status -s", false),
            ("git status", "git statusx", false),
            ("git status", "gitstatus", false),
            ("git status", "git 'status'", true),
            ("git status", "git 'status x'", false),
            ("git status", "/usr/bin/git status", false),
            ("git status", "./git status", false),
            ("git status", "env git status", false),
            ("git status", "bash -c 'git status'", false),
            ("git diff ...", "git diff", true),
            ("git diff ...", "git diff HEAD~1 src", true),
            ("git diff ...", "git diff main src", true),
            ("git diff ...", "git diff --output=x", false),
            ("git diff ...", "git diff main --ext-diff", false),
            ("git diff ...", "git diff -", true),
            ("cargo test -...", "cargo test -p x -- --nocapture", true),
            ("npm run *", "npm run build", true),
            ("npm run *", "npm run", false),
            ("npm run *", "npm run build x", false),
            ("npm run *", "npm run --prefix", false),
            ("npm run *", "npm run ''", true),
            ("cargo build --target=*", "cargo build --target=x86", true),
            ("cargo build --target=*", "cargo build --targetx", false),
            ("make", "make", true),
            ("make", "make x", false),
        ];
        for (wanted, command, fits) in table {
            let line = Line::read(command);
            let is = !line.odd && !line.joined && pattern(wanted).is(&line.commands[0]);
            assert_eq!(is, fits, "{wanted:?} on {command:?}");
        }
    }

    #[test]
    fn what_denies_is_found_wherever_it_could_run() {
        let found = [
            ("rm", "rm -rf x"),
            ("rm", "/bin/rm x"),
            ("rm", "r\\m x"),
            ("rm", "FOO=1 rm x"),
            ("rm", "ls; rm x"),
            ("rm", "ls && rm x"),
            ("rm", "ls | xargs rm"),
            ("rm", "ls\nrm x"),
            ("rm", "echo $(rm x)"),
            ("rm", "echo `rm x`"),
            ("rm", "echo \"$(rm x)\""),
            ("rm", "(rm x)"),
            ("rm", "{ rm x; }"),
            ("rm", "if true; then rm x; fi"),
            ("rm", "! rm x"),
            ("rm", "sudo rm x"),
            ("rm", "sudo -u bob env A=1 rm x"),
            ("rm", "bash -c 'rm x'"),
            ("rm", "bash -lc 'cd y && rm x'"),
            ("rm", "sudo sh -c 'rm x'"),
            ("rm", "bash -c \"bash -c 'rm x'\""),
            ("rm", "eval 'rm x'"),
            ("rm", "find . -exec rm {} +"),
            ("rm", "rm $X"),
            ("rm", "rm > /dev/null x"),
            ("git push", "git push origin main"),
            ("git push", "git -C /x push"),
            ("git push --force", "git push origin --force"),
            ("git push --force", "git push --forc"),
            ("git push -f", "git push -uf origin"),
            ("rm -r -f", "rm -rf x"),
            ("npm publish", "npm --tag next publish"),
        ];
        for (wanted, command) in found {
            assert!(pattern(wanted).is_in(&Line::read(command)), "{wanted:?} in {command:?}");
        }
        let absent = [
            ("rm", "ls rm"),
            ("rm", "git rm x"),
            ("rm", "rmdir x"),
            ("rm", "git commit -m 'rm the thing'"),
            ("git push", "git pull"),
            ("git push", "git status push"),
            ("git push --force", "git push origin"),
            ("rm -r", "rm x"),
        ];
        for (wanted, command) in absent {
            assert!(!pattern(wanted).is_in(&Line::read(command)), "{wanted:?} in {command:?}");
        }
    }

    #[test]
    fn a_pattern_that_could_be_misread_is_refused() {
        for words in [
            &["*"][..],
            &["..."],
            &["-..."],
            &["git", "...", "x"],
            &["git", "st*"],
            &["git", "*x"],
            &[],
            &[""],
        ] {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert!(Pattern::read(&words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn a_line_of_any_length_is_judged_soon() {
        let line = Line::read(&format!("git {}", "-a b ".repeat(100_000)));
        assert!(!pattern("git push origin main").is_in(&line));
        let deep = "bash -c \"".repeat(2_000);
        assert!(!pattern("rm").is_in(&Line::read(&deep)));
    }
}
