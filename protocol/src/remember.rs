//! Lines that people write to have something remembered, told or forgotten: the grammar of them.
//!
//! Invariant: pure, and careful: what could as well be meant for an agent is no command. A command is the whole text;
//! only what is to be remembered may have more than one line.

/// What a line says about memories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// To remember this, with the tags in it (`#word`).
    Remember {
        /// The words, as they were written.
        text: String,
        /// Tags among them.
        tags: Vec<String>,
    },
    /// To tell what is known about something.
    Recall(String),
    /// To forget the one memory that fits.
    Forget(String),
    /// To forget the memory with this number.
    ForgetNumber(u64),
    /// To list them.
    List,
}

/// The longest question or wish to forget; more is a prompt.
const LONGEST: usize = 200;

/// The beginnings of a wish to remember.
const REMEMBER: &[&str] = &["remember this:", "remember:", "remember that ", "please remember that "];
/// The beginnings of a question.
const RECALL: &[&str] = &[
    "what do you remember about ",
    "what do you remember of ",
    "do you remember ",
    "search memories for ",
    "search my memories for ",
    "search memory for ",
];
/// The beginnings of a wish to forget.
const FORGET: &[&str] = &["forget about ", "forget that ", "forget memory ", "forget: ", "forget "];
/// Lines that list everything.
const LIST: &[&str] = &[
    "list memories",
    "list my memories",
    "list all memories",
    "show memories",
    "show my memories",
    "show all memories",
    "what do you remember",
];

/// What follows a beginning, whatever its case.
fn after<'a>(text: &'a str, beginning: &str) -> Option<&'a str> {
    let head = text.get(..beginning.len())?;
    head.eq_ignore_ascii_case(beginning)
        .then(|| text[beginning.len()..].trim())
        .filter(|rest| !rest.is_empty())
}

fn after_any<'a>(text: &'a str, beginnings: &[&str]) -> Option<&'a str> {
    beginnings.iter().find_map(|beginning| after(text, beginning))
}

/// Reads a line; `None` when it is no command about memories.
pub fn read(text: &str) -> Option<Said> {
    let text = text.trim();
    if let Some(words) = after_any(text, REMEMBER) {
        return Some(Said::Remember { text: words.to_owned(), tags: tags(words) });
    }
    let one_line = !text.contains('\n') && text.len() <= LONGEST;
    if !one_line {
        return None;
    }
    let bare = text.trim_end_matches(['.', '?', '!']).trim_end();
    if LIST.iter().any(|line| bare.eq_ignore_ascii_case(line)) {
        return Some(Said::List);
    }
    if let Some(about) = after_any(bare, RECALL) {
        return Some(Said::Recall(about.to_owned()));
    }
    let what = after_any(bare, FORGET)?;
    let number = what.strip_prefix('#').or_else(|| after(bare, "forget memory ")).unwrap_or_default();
    let number = number.trim_start_matches('#').parse();
    Some(number.map_or_else(|_| Said::Forget(what.to_owned()), Said::ForgetNumber))
}

/// The words that begin with `#`, without it; once each.
pub fn tags(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let Some(tag) = word.strip_prefix('#') else { continue };
        let tag = tag.trim_end_matches(['.', ',', ';', ':', '!', '?', ')']).to_lowercase();
        let is_tag = tag.chars().any(char::is_alphabetic) && is_label(&tag);
        if is_tag && !found.contains(&tag) {
            found.push(tag);
        }
    }
    found
}

/// Whether a text may be a tag or a category.
pub fn is_label(text: &str) -> bool {
    !text.is_empty()
        && text.chars().count() <= 64
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remember(text: &str, tags: &[&str]) -> Option<Said> {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        Some(Said::Remember { text: text.to_owned(), tags })
    }

    #[test]
    fn the_six_patterns_are_understood() {
        assert_eq!(
            read("Remember this: the port is 8080 #api."),
            remember("the port is 8080 #api.", &["api"])
        );
        assert_eq!(read("remember that Ann owns billing"), remember("Ann owns billing", &[]));
        assert_eq!(read("remember this:\nline one\nline two"), remember("line one\nline two", &[]));
        assert_eq!(read("What do you remember about the port?"), Some(Said::Recall("the port".into())));
        assert_eq!(read("search memories for billing"), Some(Said::Recall("billing".into())));
        assert_eq!(read("forget about the port"), Some(Said::Forget("the port".into())));
        assert_eq!(read("Forget #12."), Some(Said::ForgetNumber(12)));
        assert_eq!(read("forget memory 12"), Some(Said::ForgetNumber(12)));
        assert_eq!(read("forget about 9090"), Some(Said::Forget("9090".into())));
        assert_eq!(read("list memories"), Some(Said::List));
        assert_eq!(read("What do you remember?"), Some(Said::List));
    }

    #[test]
    fn what_is_meant_for_an_agent_is_none() {
        let long = format!("forget {}", "x".repeat(300));
        for text in [
            "",
            "remember",
            "remember this:",
            "remember to run the tests",
            "I remember that Ann owns billing",
            "what do you think about the port?",
            "forget",
            "forget the cache\nand run it again",
            "list memories of the process in /proc",
            "do you remembered",
            long.as_str(),
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn tags_are_words() {
        assert_eq!(tags("#api, #API #v2/x #1 # #!x issue #12 #über"), ["api", "v2/x", "über"]);
    }
}
