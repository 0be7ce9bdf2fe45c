//! What a person types to search: words, "phrases", prefix*, -not, `scope:word`, OR, and filters such as `agent:claude`.
//!
//! Invariant: pure. Whatever is typed, nothing of it is syntax of the index but what is written here: each word goes to it
//! in quotes. What makes no sense is an error that says what to type instead.

use super::document::Column;
use std::fmt::Write as _;

/// The longest query, in bytes, and the most words in it: each is looked for on its own.
const LONGEST: usize = 4096;
const WORDS: usize = 64;

/// A query, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// What the index is asked for.
    pub(super) expression: String,
    /// `agent:`, each of which fits.
    pub agents: Vec<String>,
    /// `mode:`.
    pub modes: Vec<String>,
    /// `state:`.
    pub states: Vec<String>,
    /// `session:`: ids, prefixes or names.
    pub sessions: Vec<String>,
    /// `dir:`: a directory with all below it.
    pub dirs: Vec<String>,
    /// `since:`.
    pub since: Option<String>,
    /// `until:`.
    pub until: Option<String>,
}

/// One word or phrase.
#[derive(Debug, PartialEq, Eq)]
struct Term {
    not: bool,
    column: Option<Column>,
    text: String,
    prefix: bool,
}

impl Term {
    fn write(&self, into: &mut String) {
        if let Some(column) = self.column {
            let _ = write!(into, "{{{}}} : ", column.name());
        }
        let _ = write!(into, "\"{}\"", self.text.replace('"', "\"\""));
        if self.prefix {
            into.push_str(" *");
        }
    }
}

/// A piece of what was typed: what stood before the first quote, what in quotes, what behind.
struct Piece {
    head: String,
    quoted: Option<String>,
    prefix: bool,
}

/// Takes a query apart.
pub fn parse(text: &str) -> Result<Query, String> {
    if text.len() > LONGEST {
        return Err(format!("the query is longer than {LONGEST} bytes"));
    }
    let mut query = Query::default();
    // All of these have to be found, any word of each.
    let mut wanted: Vec<Vec<Term>> = Vec::new();
    let mut unwanted: Vec<Term> = Vec::new();
    let (mut either, mut said_something) = (false, false);
    for piece in pieces(text)? {
        if piece.quoted.is_none() && piece.head == "OR" {
            if wanted.is_empty() || either {
                return Err("OR stands between two words".to_owned());
            }
            either = true;
            continue;
        }
        let Some(term) = term(piece, &mut query)? else { continue };
        said_something = true;
        // What has neither letters nor digits is in no index.
        if !term.text.chars().any(char::is_alphanumeric) {
            either = false;
            continue;
        }
        match (term.not, std::mem::take(&mut either), wanted.last_mut()) {
            (true, true, _) => return Err("OR stands between two words that are wanted".to_owned()),
            (true, ..) => unwanted.push(term),
            (false, true, Some(last)) => last.push(term),
            (false, ..) => wanted.push(vec![term]),
        }
    }
    if either {
        return Err("OR stands between two words".to_owned());
    }
    if wanted.is_empty() {
        return Err(match (said_something, unwanted.is_empty()) {
            (_, false) => "say what is to be found, too, not only what is not: vibes search 'error -warning'",
            (true, _) => "a word with a letter or a digit is needed: signs are not in the index",
            (false, _) => "say what is to be found: words, a \"phrase\", the start of a word*",
        }
        .to_owned());
    }
    if wanted.iter().map(Vec::len).sum::<usize>() + unwanted.len() > WORDS {
        return Err(format!("the query has more than {WORDS} words"));
    }
    query.expression = expression(&wanted, &unwanted);
    Ok(query)
}

fn expression(wanted: &[Vec<Term>], unwanted: &[Term]) -> String {
    let list = |terms: &[Term]| {
        let mut list = String::new();
        for (at, term) in terms.iter().enumerate() {
            list.push_str(if at == 0 { "" } else { " OR " });
            term.write(&mut list);
        }
        list
    };
    let all: Vec<String> = wanted.iter().map(|terms| format!("({})", list(terms))).collect();
    let mut expression = all.join(" AND ");
    if !unwanted.is_empty() {
        expression = format!("({expression}) NOT ({})", list(unwanted));
    }
    // Not in the column that says whose document it is.
    format!("{{{}}} : ({expression})", Column::ALL.map(Column::name).join(" "))
}

/// Splits at white space outside of quotes.
fn pieces(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let end = rest.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(rest.len());
        let head = rest[..end].to_owned();
        rest = &rest[end..];
        if let Some(behind) = rest.strip_prefix('"') {
            let Some((quoted, behind)) = behind.split_once('"') else {
                return Err("a quote is not closed: \"words in this order\"".to_owned());
            };
            let starred = behind.strip_prefix('*');
            rest = starred.unwrap_or(behind);
            pieces.push(Piece { head, quoted: Some(quoted.to_owned()), prefix: starred.is_some() });
        } else {
            pieces.push(Piece { head, quoted: None, prefix: false });
        }
        rest = rest.trim_start();
    }
    Ok(pieces)
}

/// A piece as a term; a filter goes into the query instead.
fn term(piece: Piece, query: &mut Query) -> Result<Option<Term>, String> {
    let Piece { head, quoted, mut prefix } = piece;
    let (not, head) = match head.strip_prefix('-') {
        Some(behind) => (true, behind),
        None => (false, &head[..]),
    };
    // `std::io` and `http://` are words, not scopes.
    let named = head.split_once(':').filter(|(_, behind)| !behind.starts_with(':'));
    if let Some((name, behind)) = named {
        let value = quoted.as_deref().filter(|_| behind.is_empty()).unwrap_or(behind);
        let column = Column::of(name);
        if (column.is_some() || is_filter(name)) && value.trim().is_empty() {
            return Err(format!("{name}: needs a word right behind it, such as {}", example(name)));
        }
        if is_filter(name) {
            if not {
                return Err(format!("-{name}: filters cannot be turned around; leave the - away"));
            }
            filter(name, value.to_owned(), query)?;
            return Ok(None);
        }
        if column.is_some() {
            let starred = quoted.is_none().then(|| value.strip_suffix('*')).flatten();
            let text = starred.unwrap_or(value).to_owned();
            return Ok(Some(Term { not, column, text, prefix: prefix || starred.is_some() }));
        }
    }
    let text = match quoted {
        // What is typed without a space is one thing.
        Some(quoted) => format!("{head}{quoted}"),
        None => match head.strip_suffix('*') {
            Some(begin) => {
                prefix = true;
                begin.to_owned()
            }
            None => head.to_owned(),
        },
    };
    Ok(Some(Term { not, column: None, text, prefix }))
}

fn is_filter(name: &str) -> bool {
    matches!(name, "agent" | "mode" | "state" | "session" | "dir" | "since" | "until")
}

fn example(name: &str) -> &'static str {
    match name {
        "agent" => "agent:claude",
        "mode" => "mode:plan",
        "state" => "state:finished",
        "session" => "session:api",
        "dir" => "dir:/home/ann/api",
        "since" => "since:7d",
        "until" => "until:2026-11-01",
        "file" => "file:main.rs",
        "command" => "command:\"cargo test\"",
        _ => "prompt:build",
    }
}

fn filter(name: &str, value: String, query: &mut Query) -> Result<(), String> {
    let once = |place: &mut Option<String>, value: String| match place.replace(value) {
        Some(_) => Err(format!("{name}: is given twice")),
        None => Ok(()),
    };
    match name {
        "agent" => query.agents.push(value),
        "mode" => query.modes.push(value),
        "state" => query.states.push(value.replace('-', "_")),
        "session" => query.sessions.push(value),
        "dir" => query.dirs.push(value),
        "since" => once(&mut query.since, value)?,
        _ => once(&mut query.until, value)?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "{prompt response thought command file tool output} : ";

    #[track_caller]
    fn expression(text: &str) -> String {
        let query = parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        query.expression.strip_prefix(ALL).expect("all columns").to_owned()
    }

    #[test]
    fn words_go_to_the_index_in_quotes() {
        let cases = [
            ("fix build", r#"(("fix") AND ("build"))"#),
            (r#"  "fix the build"  now"#, r#"(("fix the build") AND ("now"))"#),
            ("conf*", r#"(("conf" *))"#),
            (r#""cargo te"*"#, r#"(("cargo te" *))"#),
            ("error -warning -\"no such\"", r#"((("error")) NOT ("warning" OR "no such"))"#),
            ("command:make file:src/main.rs", r#"(({command} : "make") AND ({file} : "src/main.rs"))"#),
            (r#"prompt:"fix it" -tool:Read"#, r#"((({prompt} : "fix it")) NOT ({tool} : "Read"))"#),
            ("output:err*", r#"(({output} : "err" *))"#),
            ("a OR b c", r#"(("a" OR "b") AND ("c"))"#),
            (
                "std::io::Error http://x:80 error:404",
                r#"(("std::io::Error") AND ("http://x:80") AND ("error:404"))"#,
            ),
            ("file::open", r#"(("file::open"))"#),
            ("NEAR( x AND y", r#"(("NEAR(") AND ("x") AND ("AND") AND ("y"))"#),
            ("foo -> bar && x", r#"(("foo") AND ("bar") AND ("x"))"#),
            ("a'b; DROP TABLE", r#"(("a'b;") AND ("DROP") AND ("TABLE"))"#),
        ];
        for (text, expected) in cases {
            assert_eq!(expression(text), expected, "{text}");
        }
    }

    #[test]
    fn filters_are_no_words() {
        let query = parse(
            r#"x agent:claude agent:codex state:needs-approval dir:"/a b" since:2d mode:plan session:api"#,
        );
        let query = query.unwrap();
        assert_eq!(
            (query.agents, query.modes),
            (vec!["claude".to_owned(), "codex".to_owned()], vec!["plan".to_owned()])
        );
        assert_eq!((query.states, query.dirs), (vec!["needs_approval".to_owned()], vec!["/a b".to_owned()]));
        assert_eq!(
            (query.since.as_deref(), query.until, query.sessions),
            (Some("2d"), None, vec!["api".to_owned()])
        );
        assert_eq!(query.expression, format!("{ALL}((\"x\"))"));
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        let cases = [
            ("", "say what is to be found"),
            ("   ", "say what is to be found"),
            ("agent:claude", "say what is to be found"),
            ("-error", "not only what is not"),
            ("\"open", "not closed"),
            ("prompt:", "right behind it, such as prompt:"),
            ("prompt: x", "right behind it"),
            ("x agent:", "agent:claude"),
            ("x -agent:claude", "leave the - away"),
            ("-> && ||", "signs are not in the index"),
            ("*", "signs are not in the index"),
            ("OR x", "OR stands between"),
            ("x OR", "OR stands between"),
            ("x OR OR y", "OR stands between"),
            ("x OR -y", "OR stands between"),
            ("x since:1d since:2d", "twice"),
        ];
        for (text, expected) in cases {
            let why = parse(text).expect_err(text);
            assert!(why.contains(expected), "{text}: {why}");
        }
        assert!(parse(&"x ".repeat(WORDS + 1)).unwrap_err().contains("more than"));
        assert!(parse(&"x".repeat(LONGEST + 1)).unwrap_err().contains("longer than"));
    }
}
