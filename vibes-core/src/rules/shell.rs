//! A command line as a shell would cut it: words, and what stands between them.
//!
//! Invariant: what is read as plain means the same to every POSIX shell: one command whose words are exactly those
//! given. Whatever could make a shell see other words, more commands or other files is no plain command; when in doubt
//! it is not plain.

/// A command line, read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Line {
    /// Its commands, in order. Only those of a line that is not `odd` are certain.
    pub commands: Vec<Vec<Word>>,
    /// Whether several commands are joined by `;`, `&&`, `||`, `|` or a new line.
    pub joined: bool,
    /// Whether anything else is in it than words and such joints: an expansion, a redirection, a subshell, an
    /// assignment, a comment, a quote without its end, a character that nobody can see.
    pub odd: bool,
}

/// One word.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Word {
    /// Without its quotes.
    pub text: String,
    /// Whether a part of it was quoted: a quoted word is never a keyword.
    pub quoted: bool,
}

/// Words that begin something else than a command when they stand first.
const KEYWORDS: &[&str] = &[
    "!", "{", "}", "[[", "]]", "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for",
    "function", "if", "in", "select", "then", "time", "until", "while",
];

impl Line {
    /// Reads a command line.
    pub fn read(text: &str) -> Self {
        let mut reader = Reader {
            // Blanks at the end do nothing; a quote that held one of them has no end now, which is the safe side.
            chars: text.trim_end_matches([' ', '\t', '\n']).chars().peekable(),
            line: Self::default(),
            command: Vec::new(),
            word: None,
            unfinished: false,
        };
        reader.run();
        let mut line = reader.line;
        let first = |command: &Vec<Word>| command.first().cloned().unwrap_or_default();
        // An empty line runs nothing, and `| b` begins with nothing.
        line.odd |= line.commands.is_empty() || line.commands.iter().any(Vec::is_empty);
        line.odd |= line
            .commands
            .iter()
            .map(first)
            .any(|word| !word.quoted && (KEYWORDS.contains(&word.text.as_str()) || assigns(&word.text)));
        line
    }

    /// Words that came as a list: nobody cuts them again.
    pub fn of_words(words: &[String]) -> Self {
        let odd = words.is_empty() || words.iter().any(|word| word.chars().any(char::is_control));
        let command = words.iter().map(|text| Word { text: text.clone(), quoted: true }).collect();
        Self { commands: vec![command], joined: false, odd }
    }
}

/// Whether a first word is an assignment (`FOO=1 rm`), which changes what the command after it does.
fn assigns(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        let name = name.strip_suffix('+').unwrap_or(name);
        // `a[0]=1` too, whatever stands in the brackets.
        !name.is_empty() && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
    })
}

struct Reader<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
    line: Line,
    command: Vec<Word>,
    word: Option<Word>,
    /// Whether the last joint was one that another command has to follow.
    unfinished: bool,
}

impl Reader<'_> {
    fn run(&mut self) {
        while let Some(c) = self.chars.next() {
            match c {
                ' ' | '\t' => self.end_word(),
                '\n' => {
                    // An empty line, or one after `&&`, joins nothing by itself.
                    self.end_word();
                    if !self.command.is_empty() {
                        self.joint();
                    }
                }
                ';' | '|' | '&' => self.operator(c),
                '\'' => self.single(),
                '"' => self.double(),
                '\\' => match self.chars.next() {
                    // A line that goes on.
                    Some('\n') => {}
                    Some(next) => self.take_quoted(next),
                    None => self.line.odd = true,
                },
                '#' if self.word.is_none() => {
                    self.line.odd = true;
                    self.take(c);
                }
                '$' | '`' | '(' | ')' | '<' | '>' | '*' | '?' | '[' | ']' | '{' | '}' => {
                    self.line.odd = true;
                    // What comes out of it is another command's business: for whoever looks for what must not run,
                    // each of these begins one.
                    if matches!(c, '(' | ')' | '`' | '{' | '}') {
                        self.end_command();
                    } else {
                        self.take(c);
                    }
                }
                // A home directory; within a word it is a letter like others (`HEAD~1`).
                '~' if self.word.as_ref().is_none_or(|word| word.text.ends_with(['=', ':'])) => {
                    self.line.odd = true;
                    self.take(c);
                }
                // The path of a program, to some shells.
                '=' if self.word.is_none() => {
                    self.line.odd = true;
                    self.take(c);
                }
                c => self.take(c),
            }
        }
        self.end_word();
        self.line.odd |= self.unfinished && self.command.is_empty();
        if !self.command.is_empty() || !self.line.joined {
            self.line.commands.push(std::mem::take(&mut self.command));
        }
    }

    fn take(&mut self, c: char) {
        self.line.odd |= is_strange(c);
        self.word.get_or_insert_default().text.push(c);
    }

    fn take_quoted(&mut self, c: char) {
        self.take(c);
        self.word.get_or_insert_default().quoted = true;
    }

    fn end_word(&mut self) {
        self.command.extend(self.word.take());
    }

    fn end_command(&mut self) {
        self.end_word();
        if !self.command.is_empty() {
            self.line.commands.push(std::mem::take(&mut self.command));
        }
    }

    /// The command ends here and another one follows.
    fn joint(&mut self) {
        self.end_word();
        self.line.joined = true;
        self.line.commands.push(std::mem::take(&mut self.command));
    }

    fn operator(&mut self, c: char) {
        let next = self.chars.peek().copied();
        self.end_word();
        // `a && && b`: a shell refuses it.
        self.line.odd |= self.command.is_empty();
        self.unfinished = c != ';';
        match (c, next) {
            ('&', Some('&')) | ('|', Some('|')) => {
                self.chars.next();
            }
            // `;;` belongs to `case`, `|&` joins standard error too.
            (';', Some(';')) | ('|', Some('&')) | ('&', _) => {
                self.chars.next_if(|next| matches!(next, ';' | '&'));
                self.line.odd = true;
            }
            _ => {}
        }
        self.joint();
    }

    fn single(&mut self) {
        self.word.get_or_insert_default().quoted = true;
        loop {
            match self.chars.next() {
                Some('\'') => return,
                Some(c) => self.take_quoted(c),
                None => {
                    self.line.odd = true;
                    return;
                }
            }
        }
    }

    fn double(&mut self) {
        self.word.get_or_insert_default().quoted = true;
        while let Some(c) = self.chars.next() {
            match c {
                '"' => return,
                // `!` is history where a person types, and harmless elsewhere: not worth the doubt.
                '$' | '`' | '!' => {
                    self.line.odd = true;
                    self.take_quoted(c);
                }
                '\\' => match self.chars.next() {
                    Some('\n') => {}
                    Some(next @ ('$' | '`' | '"' | '\\')) => self.take_quoted(next),
                    Some(next) => {
                        self.take_quoted('\\');
                        self.take_quoted(next);
                    }
                    None => break,
                },
                c => self.take_quoted(c),
            }
        }
        self.line.odd = true;
    }
}

/// A character that does not show as what it is: controls other than the blanks that a shell cuts at, and what
/// Unicode hides or turns around.
fn is_strange(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of a plain command; `None` when it is none.
    fn plain(text: &str) -> Option<Vec<String>> {
        let line = Line::read(text);
        (!line.odd && !line.joined && line.commands.len() == 1)
            .then(|| line.commands[0].iter().map(|word| word.text.clone()).collect())
    }

    #[test]
    fn plain_commands_are_cut_as_a_shell_cuts_them() {
        let table: &[(&str, &[&str])] = &[
            ("ls", &["ls"]),
            ("  git\tstatus  -s ", &["git", "status", "-s"]),
            ("git commit -m 'a b; c | d'", &["git", "commit", "-m", "a b; c | d"]),
            (r#"echo "a 'b' \" \\ c""#, &["echo", r#"a 'b' " \ c"#]),
            (r"echo a\ b \;", &["echo", "a b", ";"]),
            ("echo ''", &["echo", ""]),
            ("a'b'\"c\"d", &["abcd"]),
            ("r\\m x", &["rm", "x"]),
            ("git \\\n status", &["git", "status"]),
            ("echo a=b", &["echo", "a=b"]),
            ("git diff HEAD~1 a^", &["git", "diff", "HEAD~1", "a^"]),
            ("echo a#b", &["echo", "a#b"]),
            ("'FOO=1' x", &["FOO=1", "x"]),
            ("ls\n", &["ls"]),
            ("\n ls", &["ls"]),
            ("echo \"a\nb\"", &["echo", "a\nb"]),
        ];
        for (text, words) in table {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(plain(text), Some(words), "{text:?}");
        }
    }

    #[test]
    fn whatever_a_shell_would_do_more_with_is_not_plain() {
        for text in [
            "",
            "   ",
            "a; b",
            "a;b",
            "a && b",
            "a&&b",
            "a || b",
            "a | b",
            "a|b",
            "a & b",
            "a &",
            "a\nb",
            "a |& b",
            "echo $HOME",
            "echo ${x}",
            "echo $(id)",
            "echo `id`",
            "echo \"$(id)\"",
            "echo \"`id`\"",
            "echo \"$x\"",
            "a > b",
            "a >> b",
            "a < b",
            "a 2>&1",
            "a <<< b",
            "a <(b)",
            "(a)",
            "{ a; }",
            "a *",
            "a ?",
            "a [x]",
            "a {b,c}",
            "cd ~",
            "a --x=~/y",
            "a x:~",
            "a =b",
            "FOO=1 rm",
            "FOO+=1 rm",
            "A[0]=1",
            "X= y",
            "# a",
            "a # b",
            "! a",
            "if a",
            "time a",
            "'a",
            "\"a",
            "a\\",
            "a\rb",
            "a\u{200b}b",
            "a\u{202e}b",
            "a\u{0}b",
            "a\u{1b}[8m",
            "a &&",
            "a |",
            "a && && b",
            "| a",
            "; a",
            "a ;; b",
            "echo \"hi!\"",
        ] {
            assert_eq!(plain(text), None, "{text:?}");
        }
    }

    #[test]
    fn joined_commands_are_told_apart_from_odd_ones() {
        let words = |text: &str| -> Vec<Vec<String>> {
            let line = Line::read(text);
            assert!(line.joined && !line.odd, "{text:?}: {line:?}");
            let texts = |command: Vec<Word>| command.into_iter().map(|word| word.text).collect();
            line.commands.into_iter().map(texts).collect()
        };
        for text in ["a x && b", "a x; b", "a x | b", "a x || b", "a x\nb", "a x &&\n b", "a x;\nb\n"] {
            assert_eq!(words(text), [vec!["a", "x"], vec!["b"]], "{text:?}");
        }
        assert!(Line::read("a && b > c").odd);
        assert!(Line::read("a && FOO=1 b").odd, "each of them is looked at");
    }
}
