//! Secrets taken out of records.
//!
//! Invariant: the JSON stays JSON with the same names and order; what nothing is found in keeps its bytes. What an agent
//! said in pieces is looked at as the whole that a reader puts together: a key that comes word by word is found, too.

use super::{NAMES, PREFIXES, REDACTED, is_secret, redact, spans};
use aho_corasick::AhoCorasick;
use serde::Deserialize;
use serde_json::Value;
use std::{borrow::Cow, sync::LazyLock};

/// What no secret is without. Found or not, it says only whether a closer look is worth while.
static SUSPECTS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let prefixes = PREFIXES.iter().map(|(prefix, _)| *prefix);
    // `\u` may stand for any letter of a name.
    let others = ["bearer", "://", ":\\/", "KEY-----", "\\u00"];
    let all = prefixes.chain(NAMES.iter().copied()).chain(others);
    // Some hundred bytes of our own words: building it cannot fail. If it did, everything would be looked at.
    AhoCorasick::builder().ascii_case_insensitive(true).build(all).ok()
});

/// Whether text, or JSON, may hold a secret at all.
pub fn is_suspect(text: &[u8]) -> bool {
    SUSPECTS.as_ref().is_none_or(|suspects| suspects.is_match(text))
}

/// Takes secrets out of every string, and the strings under names of secrets whole. Whether there were any.
pub fn value(value: &mut Value) -> bool {
    match value {
        Value::String(text) => {
            let shown = redact(text);
            let found = shown != *text;
            *text = shown;
            found
        }
        Value::Array(items) => items.iter_mut().fold(false, |found, item| self::value(item) | found),
        Value::Object(fields) => fields.iter_mut().fold(false, |found, (name, field)| {
            let found_here = match field {
                Value::String(text) if is_secret(name) && !text.is_empty() => {
                    REDACTED.clone_into(text);
                    true
                }
                field => self::value(field),
            };
            found_here | found
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A fact with its secrets taken out; itself, when there are none.
pub fn fact(fact: &str) -> Cow<'_, str> {
    if !is_suspect(fact.as_bytes()) {
        return fact.into();
    }
    match serde_json::from_str::<Value>(fact) {
        Ok(mut read) => match value(&mut read) {
            true => read.to_string().into(),
            false => fact.into(),
        },
        // One of a damaged store, which no reader understands.
        Err(_) => redact(fact).into(),
    }
}

#[derive(Deserialize)]
struct Piece<'a> {
    #[serde(borrow)]
    update: Update<'a>,
}

#[derive(Deserialize)]
struct Update<'a> {
    #[serde(borrow, rename = "sessionUpdate")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    content: Content<'a>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
}

/// What kind of speech a fact is a piece of, and its words.
fn piece(fact: &str) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
    // Most facts of a long session are pieces; all else is told by its first bytes or is longer than any of them.
    if !fact.starts_with(r#"{"kind":"update""#) || !fact.contains("_chunk") {
        return None;
    }
    let Piece { update } = serde_json::from_str(fact).ok()?;
    update.kind.ends_with("_chunk").then_some((update.kind, update.content.text))
}

/// Facts in their order, with secrets taken out of what they say together.
#[derive(Debug, Default)]
pub struct Pieces {
    /// What is said, of which kind, and where the words of each of its facts end.
    kind: String,
    said: String,
    ends: Vec<usize>,
}

impl Pieces {
    /// Takes the next fact; `held` are those before it that were not told yet, itself the last. Those that can be told now
    /// are.
    pub fn take<'a>(
        &mut self,
        held: &mut Vec<Cow<'a, str>>,
        next: &'a str,
        mut tell: impl FnMut(Cow<'a, str>),
    ) {
        let piece = piece(next);
        if piece.as_ref().is_none_or(|(kind, _)| *kind != self.kind) {
            self.flush(held, &mut tell);
        }
        match piece {
            Some((kind, words)) => {
                if self.kind != kind {
                    self.kind = kind.into_owned();
                }
                self.said.push_str(&words);
                self.ends.push(self.said.len());
                held.push(next.into());
            }
            None => tell(fact(next)),
        }
    }

    /// How many facts are held back, because what follows may belong to them.
    pub fn held(&self) -> usize {
        self.ends.len()
    }

    /// How many of those that are held back end before a blank: nothing that follows belongs to a word of theirs.
    pub fn whole(&self) -> usize {
        let blank = |end: &usize| {
            let next = self.said[*end..].chars().next();
            next.is_some_and(char::is_whitespace)
        };
        self.ends.iter().rposition(blank).map_or(0, |at| at + 1)
    }

    /// Forgets what is held back behind so many facts.
    pub fn shorten(&mut self, count: usize) {
        self.ends.truncate(count);
        self.said.truncate(self.ends.last().copied().unwrap_or_default());
    }

    /// Tells what is held back.
    pub fn flush<'a>(&mut self, held: &mut Vec<Cow<'a, str>>, mut tell: impl FnMut(Cow<'a, str>)) {
        if !self.ends.is_empty() && is_suspect(self.said.as_bytes()) {
            let secrets = spans(&self.said);
            let mut begin = 0;
            for (fact, end) in held.iter_mut().zip(&self.ends) {
                let mine = secrets.iter().filter(|(span, _)| span.start < *end && span.end > begin);
                if let Some(words) = cut(&self.said, begin..*end, mine)
                    && let Some(shown) = with_words(fact, words)
                {
                    *fact = shown.into();
                }
                begin = *end;
            }
        }
        // What else is in it, beside its words.
        held.drain(..).for_each(|piece| match piece {
            Cow::Borrowed(piece) => tell(fact(piece)),
            Cow::Owned(piece) => tell(fact(&piece).into_owned().into()),
        });
        self.said.clear();
        self.ends.clear();
        self.kind.clear();
    }
}

/// The words of one piece without the secrets that reach into it; nothing when there are none. What stands in place of a
/// secret is where it begins.
fn cut<'a>(
    said: &str,
    range: std::ops::Range<usize>,
    secrets: impl Iterator<Item = &'a super::Span>,
) -> Option<String> {
    let (mut words, mut done, mut any) = (String::new(), range.start, false);
    for (span, instead) in secrets {
        words.push_str(&said[done..span.start.clamp(done, range.end)]);
        if span.start >= range.start {
            words.push_str(instead);
        }
        done = span.end.clamp(done, range.end);
        any = true;
    }
    words.push_str(&said[done..range.end]);
    any.then_some(words)
}

fn with_words(fact: &str, words: String) -> Option<String> {
    let mut fact = serde_json::from_str::<Value>(fact).ok()?;
    *fact.pointer_mut("/update/content/text")? = words.into();
    Some(fact.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn chunk(kind: &str, text: &str) -> String {
        let content = json!({"type": "text", "text": text});
        json!({"kind": "update", "update": {"sessionUpdate": kind, "content": content}}).to_string()
    }

    fn told(facts: &[String]) -> Vec<String> {
        let (mut pieces, mut held, mut out) = (Pieces::default(), Vec::new(), Vec::new());
        for fact in facts {
            pieces.take(&mut held, fact, |fact| out.push(fact.into_owned()));
        }
        pieces.flush(&mut held, |fact| out.push(fact.into_owned()));
        assert_eq!(out.len(), facts.len());
        out
    }

    fn words(facts: &[String]) -> String {
        let text = |fact: &String| {
            serde_json::from_str::<Value>(fact).expect("it is JSON")["update"]["content"]["text"].clone()
        };
        facts.iter().map(|fact| text(fact).as_str().unwrap_or("|").to_owned()).collect()
    }

    #[test]
    fn a_secret_in_pieces_is_found_however_it_is_cut() {
        let said = "use sk-abcdefghijklmnop1234 and password: hunter2 now";
        for cut in 1..20 {
            let letters: Vec<char> = said.chars().collect();
            let facts: Vec<String> = letters
                .chunks(cut)
                .map(|part| chunk("agent_message_chunk", &part.iter().collect::<String>()))
                .collect();
            let shown = words(&told(&facts));
            assert_eq!(shown, "use [redacted] and password: [redacted] now", "cut by {cut}");
        }
    }

    #[test]
    fn what_is_between_pieces_ends_them_and_what_is_clean_keeps_its_bytes() {
        let odd = r#"{"kind":"update",  "update":{"sessionUpdate":"x","n":1.50}}"#.to_owned();
        let facts = [
            chunk("agent_message_chunk", "sk-abcdefgh"),
            odd.clone(),
            chunk("agent_thought_chunk", "ijklmnop1234"),
            chunk("agent_message_chunk", "two words"),
        ];
        assert_eq!(told(&facts), facts, "in two different speeches it is no key");
        let secret = json!({"kind": "update", "update": {"rawInput": {"command": "echo sk-abcdefghijklmnop1234",
            "env": {"API_KEY": "x y", "PLAIN": "z"}, "max_tokens": 5}}});
        let shown: Value = serde_json::from_str(&told(&[secret.to_string()])[0]).expect("it is JSON");
        let input = json!({"command": "echo [redacted]", "env": {"API_KEY": "[redacted]", "PLAIN": "z"}, "max_tokens": 5});
        assert_eq!(shown["update"]["rawInput"], input);
    }

    #[test]
    fn where_a_page_may_end_is_before_a_blank() {
        let facts = ["one", " two", " thr", "ee"].map(|text| chunk("agent_message_chunk", text));
        let (mut pieces, mut held) = (Pieces::default(), Vec::new());
        facts.iter().for_each(|fact| pieces.take(&mut held, fact, |_| panic!("it is held")));
        assert_eq!((pieces.held(), pieces.whole()), (4, 2));
    }

    #[test]
    fn letters_may_be_written_as_numbers() {
        let shown = told(&[r#"{"kind":"x","text":"\u0073k-abcdefghijklmnop1234"}"#.to_owned()]);
        assert_eq!(shown, [r#"{"kind":"x","text":"[redacted]"}"#]);
    }
}
