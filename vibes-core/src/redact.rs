//! Secrets taken out of text that leaves: notifications, hooks, webhooks, exports.
//!
//! Invariant: what is recognised is replaced by `[redacted]`, whole; the rest stays as it is. It recognises shapes, so it
//! is a precaution and no promise: a secret that looks like a word stays. Pure.

mod records;

pub use records::{Pieces, fact, is_suspect, value};

use std::ops::Range;

/// What stands in place of a secret.
pub const REDACTED: &str = "[redacted]";

/// How keys of the usual services begin, and how long they are at least.
const PREFIXES: &[(&str, usize)] = &[
    ("sk-", 16),
    ("sk_live_", 16),
    ("sk_test_", 16),
    ("rk_live_", 16),
    ("pk_live_", 16),
    ("ghp_", 20),
    ("gho_", 20),
    ("ghu_", 20),
    ("ghs_", 20),
    ("ghr_", 20),
    ("github_pat_", 20),
    ("glpat-", 16),
    ("xoxb-", 16),
    ("xoxp-", 16),
    ("xapp-", 16),
    ("AKIA", 20),
    ("ASIA", 20),
    ("AIza", 30),
    ("ya29.", 20),
    ("npm_", 20),
    ("pypi-", 20),
    ("hf_", 20),
    ("dop_v1_", 20),
    ("SG.", 30),
    ("eyJ", 30),
];

/// Names whose value is a secret, wherever they stand in a longer one.
const NAMES: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "access_key",
    "access-key",
    "private_key",
    "private-key",
    "credential",
    "authorization",
];
/// Names that only sound like it.
const HARMLESS: &[&str] =
    &["max_tokens", "max-tokens", "tokens", "token_count", "token-count", "secret-name"];

/// A piece of a text that is a secret, and what stands in its place.
pub type Span = (Range<usize>, &'static str);

/// The text without what looks like a secret.
pub fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (span, instead) in spans(text) {
        out.push_str(&text[done..span.start]);
        out.push_str(instead);
        done = span.end;
    }
    out.push_str(&text[done..]);
    out
}

/// Where a private key is read.
#[derive(PartialEq)]
enum Block {
    Outside,
    /// All words are of it.
    Inside,
    /// In the line that ends it.
    Ending,
}

/// What looks like a secret in a text, in order.
pub fn spans(text: &str) -> Vec<Span> {
    let mut found: Vec<Span> = Vec::new();
    // The next word is the value of a name before it.
    let mut value = false;
    let mut block = Block::Outside;
    let mut at = 0;
    while let Some(blank) = text[at..].find(|c: char| !c.is_whitespace()) {
        let start = at + blank;
        let end = text[start..].find(char::is_whitespace).map_or(text.len(), |length| start + length);
        let word = &text[start..end];
        at = end;
        match block {
            Block::Inside => {
                let over = word.find("-----END");
                found.push((start..over.map_or(end, |over| start + over), ""));
                if over.is_some() {
                    block = if word.ends_with("KEY-----") { Block::Outside } else { Block::Ending };
                }
                continue;
            }
            Block::Ending => {
                if word.contains("KEY-----") {
                    block = Block::Outside;
                }
                continue;
            }
            Block::Outside => {}
        }
        // `-----BEGIN … PRIVATE KEY-----` and all that follows it.
        if let Some(key) = word.find("KEY-----")
            && text[..start].trim_end().ends_with("PRIVATE")
        {
            let begin = start + key + "KEY-----".len();
            let over = text[begin..end].find("-----END");
            found.push((begin..over.map_or(end, |over| begin + over), " [redacted]"));
            block = if over.is_some() { Block::Ending } else { Block::Inside };
            continue;
        }
        let scheme =
            matches!(word.trim_end_matches(['"', '\'']), "Bearer" | "bearer" | "Basic" | "basic" | "token");
        if value && !scheme {
            // A quote that closes the whole is no part of it.
            let bare = word.trim_end_matches(['"', '\'', ')', '}', ',', ';']);
            found.push((start..start + bare.len(), REDACTED));
            value = false;
            continue;
        }
        let next = one(word, start, &mut found);
        value =
            next || value && scheme || matches!(word.trim_start_matches(['"', '\'']), "Bearer" | "bearer");
    }
    found
}

/// Whether a name is one of a secret.
fn is_secret(name: &str) -> bool {
    let name = name.trim_matches(|c: char| !c.is_alphanumeric()).to_ascii_lowercase();
    !HARMLESS.contains(&name.as_str()) && NAMES.iter().any(|secret| name.contains(secret))
}

/// The secrets of a word that stands at a place, and whether the next word is one.
fn one(word: &str, start: usize, found: &mut Vec<Span>) -> bool {
    // `name=value`, `"name":"value"`, `--name=value`, `name:`.
    if let Some(at) = word.find(['=', ':']) {
        let (name, value) = (&word[..at], &word[at + 1..]);
        if is_secret(name) {
            let around = ['"', '\'', ',', ';', '}'];
            let bare = value.trim_matches(around);
            if bare.is_empty() {
                return true;
            }
            let begin = start + at + 1 + (value.len() - value.trim_start_matches(around).len());
            found.push((begin..begin + bare.len(), REDACTED));
            return matches!(bare, "Bearer" | "Basic");
        }
    }
    // `--password value`; a name alone without dashes is only a word.
    if word.starts_with("--") && is_secret(word) {
        return true;
    }
    // `scheme://user:password@host`.
    if let Some(at) = word.find("://")
        && let Some(host) = word[at + 3..].split('/').next()
        && let Some((user, _)) = host.rsplit_once('@')
        && let Some((name, password)) = user.split_once(':')
        && !password.is_empty()
    {
        let begin = start + at + 3 + name.len() + 1;
        found.push((begin..begin + password.len(), REDACTED));
        return false;
    }
    let mut at = 0;
    // Keys may stand between quotes and brackets.
    while let Some(blank) = word[at..].find(|c: char| c.is_ascii_alphanumeric()) {
        let begin = at + blank;
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '/');
        let end = word[begin..].find(|c| !is_part(c)).map_or(word.len(), |length| begin + length);
        let piece = &word[begin..end];
        if PREFIXES.iter().any(|(prefix, least)| piece.starts_with(prefix) && piece.len() >= *least) {
            found.push((start + begin..start + end, REDACTED));
        }
        at = end;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_taken_out() {
        let table = [
            ("curl -H 'Authorization: Bearer abc.def' x", "curl -H 'Authorization: Bearer [redacted]' x"),
            ("API_KEY=abc make", "API_KEY=[redacted] make"),
            ("export GITHUB_TOKEN=\"abc def\"", "export GITHUB_TOKEN=\"[redacted] def\""),
            ("{\"password\": \"hunter2\"}", "{\"password\": [redacted]\"}"),
            ("{\"api_key\":\"hunter2\"}", "{\"api_key\":\"[redacted]\"}"),
            ("mysql --password hunter2 -u x", "mysql --password [redacted] -u x"),
            ("mysql --password=hunter2", "mysql --password=[redacted]"),
            ("git clone https://ann:hunter2@host/x", "git clone https://ann:[redacted]@host/x"),
            ("echo sk-abcdefghijklmnop1234", "echo [redacted]"),
            ("echo \"ghp_abcdefghijklmnopqrstuvwxyz\"", "echo \"[redacted]\""),
            ("AKIAABCDEFGHIJKLMNOP", "[redacted]"),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY----- tail",
                "-----BEGIN RSA PRIVATE KEY----- [redacted]\n\n\n-----END RSA PRIVATE KEY----- tail",
            ),
        ];
        for (text, wanted) in table {
            let shown = redact(text);
            assert!(is_suspect(text.as_bytes()), "{text}");
            assert_eq!(shown, wanted);
            assert!(!shown.contains("hunter2"));
        }
    }

    #[test]
    fn other_words_stay_as_they_are() {
        for text in [
            "cargo test -p api",
            "the token was refreshed",
            "max_tokens=100 and tokens: 5",
            "sk-short",
            "https://host/path?x=1",
            "http://localhost:8080/a@b",
            "ssh ann@host",
            "  two  blanks\nand\ta line ",
            "",
            "日本語 = x",
        ] {
            assert_eq!(redact(text), text);
        }
    }
}
