//! Secrets taken out of text that leaves: notifications, hooks, webhooks.
//!
//! Invariant: what is recognised is replaced by `[redacted]`, whole; the rest stays as it is. It recognises shapes, so it
//! is a precaution and no promise: a secret that looks like a word stays. Pure.

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

/// The text without what looks like a secret.
pub fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // The next word is the value of a name before it.
    let mut value = false;
    let mut key_block = false;
    while !rest.is_empty() {
        let blank = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
        let (space, behind) = rest.split_at(blank);
        out.push_str(space);
        let end = behind.find(char::is_whitespace).unwrap_or(behind.len());
        let (word, behind) = behind.split_at(end);
        rest = behind;
        if word.is_empty() {
            break;
        }
        if key_block {
            key_block = !word.contains("-----END");
            if !key_block && let Some(at) = word.rfind("-----") {
                out.push_str(&word[at..]);
            }
            continue;
        }
        // `-----BEGIN … PRIVATE KEY-----` and all that follows it.
        if word.contains("KEY-----") && out.trim_end().ends_with("PRIVATE") {
            out.push_str("KEY----- ");
            out.push_str(REDACTED);
            key_block = !word.contains("-----END");
            continue;
        }
        let scheme =
            matches!(word.trim_end_matches(['"', '\'']), "Bearer" | "bearer" | "Basic" | "basic" | "token");
        if value && !scheme {
            out.push_str(REDACTED);
            // A quote that closes the whole is no part of it.
            let quotes = word.len() - word.trim_end_matches(['"', '\'', ')', '}', ',', ';']).len();
            out.push_str(&word[word.len() - quotes..]);
            value = false;
            continue;
        }
        let (shown, next) = one(word);
        out.push_str(&shown);
        value =
            next || value && scheme || matches!(word.trim_start_matches(['"', '\'']), "Bearer" | "bearer");
    }
    out
}

/// Whether a name is one of a secret.
fn is_secret(name: &str) -> bool {
    let name = name.trim_matches(|c: char| !c.is_alphanumeric()).to_ascii_lowercase();
    !HARMLESS.contains(&name.as_str()) && NAMES.iter().any(|secret| name.contains(secret))
}

/// A word without its secrets, and whether the next word is one.
fn one(word: &str) -> (String, bool) {
    // `name=value`, `"name":"value"`, `--name=value`, `name:`.
    if let Some(at) = word.find(['=', ':']) {
        let (name, value) = (&word[..at], &word[at + 1..]);
        if is_secret(name) {
            let bare = value.trim_matches(['"', '\'', ',', ';', '}']);
            if bare.is_empty() {
                return (word.to_owned(), true);
            }
            return (word.replacen(bare, REDACTED, 1), matches!(bare, "Bearer" | "Basic"));
        }
    }
    // `--password value`; a name alone without dashes is only a word.
    if word.starts_with("--") && is_secret(word) {
        return (word.to_owned(), true);
    }
    // `scheme://user:password@host`.
    if let Some(at) = word.find("://")
        && let Some(host) = word[at + 3..].split('/').next()
        && let Some((user, _)) = host.rsplit_once('@')
        && let Some((_, password)) = user.split_once(':')
        && !password.is_empty()
    {
        return (word.replacen(&format!(":{password}@"), &format!(":{REDACTED}@"), 1), false);
    }
    let mut shown = String::new();
    let mut rest = word;
    // Keys may stand between quotes and brackets.
    while let Some(begin) = rest.find(|c: char| c.is_ascii_alphanumeric()) {
        let (before, behind) = rest.split_at(begin);
        shown.push_str(before);
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '/');
        let end = behind.find(|c| !is_part(c)).unwrap_or(behind.len());
        let (piece, behind) = behind.split_at(end);
        let key = PREFIXES.iter().any(|(prefix, least)| piece.starts_with(prefix) && piece.len() >= *least);
        shown.push_str(if key { REDACTED } else { piece });
        rest = behind;
    }
    shown.push_str(rest);
    (shown, false)
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
                "-----BEGIN RSA PRIVATE KEY----- [redacted]\n\n\n-----",
            ),
        ];
        for (text, wanted) in table {
            let shown = redact(text);
            if text.starts_with("-----BEGIN") {
                assert!(!shown.contains("MIIE") && !shown.contains("abc"), "{shown}");
                continue;
            }
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
