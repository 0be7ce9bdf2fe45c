//! What could follow at the cursor: commands of vibes and of the agent, files of the session's directory.
//!
//! Invariant: what is offered is shown sanitised and inserted as it is; a name that a terminal could obey is not
//! offered. A directory is read up to a bound, so that Tab never hangs on a huge one.

use crate::render::{columns, keep_start};
use crate::sanitize;
use crate::ui::Paint;
use std::fs;
use std::path::{Path, PathBuf};

/// Entries of a directory that are looked at.
const LOOKED_AT: usize = 10_000;
/// Candidates that are kept.
const MOST: usize = 200;

/// A word that could follow, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) word: String,
    pub(crate) about: String,
}

/// Several candidates, to choose from.
#[derive(Debug)]
pub(crate) struct Menu {
    /// Where the word begins in the line.
    from: usize,
    candidates: Vec<Candidate>,
    at: Option<usize>,
}

/// What is to be done about a Tab.
#[derive(Debug)]
pub(crate) enum Completion {
    Nothing,
    /// Put this in the place of the word that begins there.
    Word(usize, String),
    /// The same, and show what else there is.
    Menu(usize, String, Menu),
}

impl Menu {
    /// The next candidate, or the one before.
    pub(crate) fn step(&mut self, forward: bool) -> (usize, String) {
        let count = self.candidates.len();
        let at = match (self.at, forward) {
            (None, true) => 0,
            (None, false) => count - 1,
            (Some(at), true) => (at + 1) % count,
            (Some(at), false) => (at + count - 1) % count,
        };
        self.at = Some(at);
        (self.from, self.candidates[at].word.clone())
    }

    /// The rows of the menu, the chosen one in sight.
    pub(crate) fn rows(&self, width: usize, most: usize, paint: Paint) -> Vec<String> {
        let at = self.at.unwrap_or(0);
        let from = (at + 1).saturating_sub(most);
        let widest = self.candidates.iter().map(|one| columns(&one.word)).max().unwrap_or(0).min(width / 2);
        let row = |(number, one): (usize, &Candidate)| {
            let word = keep_start(&one.word, width.saturating_sub(3));
            let about = keep_start(&one.about, width.saturating_sub(widest + 5));
            let pad = " ".repeat(widest.saturating_sub(columns(&word)));
            let chosen = self.at == Some(number);
            let (mark, word) = if chosen { ("▸", paint.bold(&word)) } else { (" ", word) };
            format!("{mark} {word}{pad}  {}", paint.dim(&about)).trim_end().to_owned()
        };
        let mut rows: Vec<String> =
            self.candidates.iter().enumerate().skip(from).take(most).map(row).collect();
        let more = self.candidates.len().saturating_sub(from + most);
        if let (Some(last), true) = (rows.last_mut(), more > 0) {
            last.push_str(&paint.dim(&format!("  … {more} more")));
        }
        rows
    }
}

/// What could follow at the cursor of this text.
pub(crate) fn complete(text: &str, cursor: usize, commands: &[Candidate], cwd: &Path) -> Completion {
    let head = &text[..cursor];
    let begin = head
        .rfind(char::is_whitespace)
        .map_or(0, |at| at + head[at..].chars().next().map_or(1, char::len_utf8));
    let word = &head[begin..];
    if begin == 0 && word.starts_with('/') {
        let found = commands.iter().filter(|one| one.word.starts_with(word)).cloned().collect();
        return offer(begin, word, found, " ");
    }
    match word.strip_prefix('@') {
        Some(path) => offer(begin, word, files(path, cwd), " "),
        None => Completion::Nothing,
    }
}

fn offer(from: usize, word: &str, mut found: Vec<Candidate>, end: &str) -> Completion {
    found.sort_by(|a, b| a.word.cmp(&b.word));
    found.dedup_by(|a, b| a.word == b.word);
    found.truncate(MOST);
    match found.as_slice() {
        [] => Completion::Nothing,
        [one] => {
            // In a directory one goes on.
            let end = if one.word.ends_with('/') { "" } else { end };
            Completion::Word(from, format!("{}{end}", one.word))
        }
        [first, rest @ ..] => {
            let same = |other: &Candidate| {
                let pairs = first.word.char_indices().zip(other.word.chars());
                pairs
                    .take_while(|((_, a), b)| a == b)
                    .map(|((at, a), _)| at + a.len_utf8())
                    .last()
                    .unwrap_or(0)
            };
            let common = rest.iter().map(same).min().unwrap_or(0).max(word.len().min(first.word.len()));
            let common = first.word.get(..common).unwrap_or(word).to_owned();
            Completion::Menu(from, common, Menu { from, candidates: found, at: None })
        }
    }
}

/// The files whose path begins so, from the session's directory.
fn files(typed: &str, cwd: &Path) -> Vec<Candidate> {
    let (folder, name) = typed.rsplit_once('/').map_or(("", typed), |(folder, name)| (folder, name));
    let place: PathBuf = match (folder, typed.starts_with('/')) {
        ("", true) => PathBuf::from("/"),
        ("", false) => cwd.to_owned(),
        (folder, _) => cwd.join(folder),
    };
    let Ok(entries) = fs::read_dir(place) else { return Vec::new() };
    let prefix = &typed[..typed.len() - name.len()];
    let candidate = |entry: fs::DirEntry| {
        let file = entry.file_name().into_string().ok()?;
        let hidden = file.starts_with('.') && !name.starts_with('.');
        if hidden
            || !file.starts_with(name)
            || *sanitize::strict(&file) != *file
            || file.contains(char::is_whitespace)
        {
            return None;
        }
        let slash = if entry.path().is_dir() { "/" } else { "" };
        Some(Candidate { word: format!("@{prefix}{file}{slash}"), about: String::new() })
    };
    entries.take(LOOKED_AT).filter_map(Result::ok).filter_map(candidate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commands() -> Vec<Candidate> {
        ["/approve", "/deny", "/detach", "/compact"]
            .map(|word| Candidate { word: word.to_owned(), about: format!("about {word}") })
            .to_vec()
    }

    #[test]
    fn commands_complete_at_the_beginning_only() {
        let complete = |text: &str| complete(text, text.len(), &commands(), Path::new("/"));
        assert!(matches!(complete("/ap"), Completion::Word(0, word) if word == "/approve "));
        assert!(matches!(complete("/d"), Completion::Menu(0, word, _) if word == "/de"));
        assert!(matches!(complete("/xyz"), Completion::Nothing));
        assert!(matches!(complete("say /ap"), Completion::Nothing));
        let Completion::Menu(_, _, mut menu) = complete("/") else { panic!("there are several") };
        assert_eq!(menu.step(false).1, "/detach");
        assert_eq!(menu.step(true).1, "/approve");
        let rows = menu.rows(40, 2, Paint::PLAIN);
        assert_eq!(rows, ["▸ /approve  about /approve", "  /compact  about /compact  … 2 more"]);
    }

    #[test]
    fn files_complete_after_an_at_sign() {
        let root = std::env::temp_dir().join(format!("vibes-complete-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(root.join("src/deep")).unwrap();
        for file in ["src/main.rs", "src/map.rs", "src/.hidden", "evil\u{1b}[2J", "README"] {
            fs::write(root.join(file), "").unwrap();
        }
        let complete = |text: &str| complete(text, text.len(), &[], &root);
        assert!(matches!(complete("see @s"), Completion::Word(4, word) if word == "@src/"));
        assert!(
            matches!(complete("@src/ma"), Completion::Menu(0, word, menu) if word == "@src/ma" && menu.candidates.len() == 2)
        );
        assert!(matches!(complete("@src/mai"), Completion::Word(0, word) if word == "@src/main.rs "));
        assert!(matches!(complete("@src/.h"), Completion::Word(0, word) if word == "@src/.hidden "));
        assert!(matches!(complete("@ev"), Completion::Nothing), "a name that a terminal obeys");
        assert!(matches!(complete("@no/such/"), Completion::Nothing));
        fs::remove_dir_all(root).unwrap();
    }
}
