//! Where agents keep their own conversations, and what is to be imported of that.
//!
//! Invariant: directories are read, never written; links are not followed into other directories, and what cannot be read is
//! passed over where everything is looked through, an error where it was named.

use crate::args::ImportArgs;
use crate::error::{Failure, Outcome};
use crate::place;
use std::fs;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// How deep directories are looked into.
const DEEPEST: usize = 8;
/// The most files that are found.
const MOST: usize = 100_000;

/// Whose file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Claude,
    Codex,
    Gemini,
}

impl From {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
        }
    }

    /// What its files are called.
    pub(super) fn files(self) -> &'static str {
        match self {
            Self::Claude => "*.jsonl",
            Self::Codex => "rollout-*.jsonl",
            Self::Gemini => "session-*.json or .jsonl",
        }
    }

    /// Whether a file is a conversation, by its path; `here` is what lies in the very directory that was named.
    fn is_one(self, path: &Path, here: bool) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let dir = path.parent().and_then(Path::file_name).unwrap_or_default();
        match self {
            // The work of helpers lies beside it under names of its own.
            Self::Claude => name.ends_with(".jsonl") && !name.starts_with("agent-") && dir != "subagents",
            Self::Codex => name.starts_with("rollout-") && name.ends_with(".jsonl"),
            Self::Gemini => {
                (here || dir == "chats")
                    && name.starts_with("session-")
                    && (name.ends_with(".json") || name.ends_with(".jsonl"))
            }
        }
    }

    /// Where they lie unless somebody says otherwise.
    fn usual(self) -> Option<PathBuf> {
        let home = place::variable("HOME").map(PathBuf::from)?;
        Some(match self {
            Self::Claude => {
                let dir =
                    place::variable("CLAUDE_CONFIG_DIR").map_or_else(|| home.join(".claude"), PathBuf::from);
                dir.join("projects")
            }
            Self::Codex => {
                let dir = place::variable("CODEX_HOME").map_or_else(|| home.join(".codex"), PathBuf::from);
                dir.join("sessions")
            }
            Self::Gemini => home.join(".gemini/tmp"),
        })
    }
}

/// A file to be imported.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// Whose it is; none for an archive.
    pub(super) from: Option<From>,
    pub(super) bytes: u64,
    /// The directory of the conversation, where the file does not say it.
    pub(super) cwd: Option<String>,
}

/// What the arguments name.
pub(super) fn find(args: &ImportArgs) -> Outcome<Vec<Found>> {
    let mut found = Vec::new();
    for (from, wish) in
        [(From::Claude, &args.claude), (From::Codex, &args.codex), (From::Gemini, &args.gemini)]
    {
        let Some(dir) = wish else { continue };
        let dir = match dir.as_os_str().is_empty() {
            true => from.usual().ok_or_else(|| Failure::usage("HOME is not set: name the directory"))?,
            false => dir.clone(),
        };
        if !dir.exists() {
            return Err(Failure::usage(format!("{} does not exist", dir.display())));
        }
        if dir.is_file() {
            found.push(one(dir, Some(from)));
        } else {
            look(&dir, from, 0, &mut found);
        }
    }
    for path in &args.files {
        let from = if path == Path::new("-") { None } else { whose(path)? };
        found.push(one(path.clone(), from));
    }
    if found.is_empty()
        && args.files.is_empty()
        && args.claude.is_none()
        && args.codex.is_none()
        && args.gemini.is_none()
    {
        return Err(Failure::usage("import what?")
            .hint("`vibes import FILE…`, `-` for standard input, or --claude, --codex, --gemini for all that these keep"));
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn look(dir: &Path, from: From, depth: usize, found: &mut Vec<Found>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.filter_map(Result::ok) {
        let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
        if found.len() >= MOST {
            return;
        }
        if kind.is_dir() && depth < DEEPEST {
            look(&path, from, depth + 1, found);
        } else if kind.is_file() && from.is_one(&path, depth == 0) {
            found.push(one(path, Some(from)));
        }
    }
}

fn one(path: PathBuf, from: Option<From>) -> Found {
    let bytes = fs::metadata(&path).map_or(0, |about| about.len());
    // Gemini CLI notes the directory beside its chats.
    let root = path.parent().and_then(Path::parent).map(|dir| dir.join(".project_root"));
    let cwd = root.filter(|_| from == Some(From::Gemini)).and_then(|root| fs::read_to_string(root).ok());
    Found { path, from, bytes, cwd: cwd.map(|cwd| cwd.trim().to_owned()) }
}

/// Whose file it is, by its first bytes and its name.
fn whose(path: &Path) -> Outcome<Option<From>> {
    let failed = |error: &std::io::Error| Failure::io(format_args!("cannot read {}", path.display()), error);
    let file = fs::File::open(path).map_err(|error| failed(&error))?;
    let mut begin = Vec::new();
    file.take(4096).read_to_end(&mut begin).map_err(|error| failed(&error))?;
    let begin = String::from_utf8_lossy(&begin);
    if begin.contains("\"vibes_export\"") {
        return Ok(None);
    }
    Ok([From::Codex, From::Gemini, From::Claude].into_iter().find(|from| {
        from.is_one(path, false)
            || match from {
                From::Codex => begin.contains("\"session_meta\""),
                From::Gemini => begin.contains("\"projectHash\""),
                From::Claude => begin.contains("\"sessionId\""),
            }
    }))
}

/// What tells whether a file is the same as when it was imported: its size, and a hash of all of it.
pub(super) fn fingerprint(found: &Found) -> Option<String> {
    if found.path == Path::new("-") {
        return None;
    }
    let mut file = fs::File::open(&found.path).ok()?;
    let (mut hash, mut bytes, mut size) = (DefaultHasher::new(), vec![0; 256 * 1024], 0_u64);
    loop {
        match file.read(&mut bytes) {
            Ok(0) => return Some(format!("{size}-{:016x}", hash.finish())),
            Ok(count) => {
                hash.write(&bytes[..count]);
                size += count as u64;
            }
            Err(_) => return None,
        }
    }
}
