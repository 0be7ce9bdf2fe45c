//! What a session is, and the file that lets it outlive the process.
//!
//! Invariant: a state file is whole or absent (written aside and renamed), for its owner's eyes only, and its name
//! is a UUID that we parsed, never text of a client.

use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    env,
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use uuid::Uuid;

/// The environment variable that names the directory of the state files.
pub(super) const STATE_VAR: &str = "VIBES_AGENT_STATE";
/// How many prompts are remembered.
const PROMPTS: usize = 1000;
/// How much of one prompt is remembered, in bytes: the file is written at every prompt and must stay small.
const PROMPT_BYTES: usize = 4 * 1024;

/// Whether commands need an answer first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Every command is asked for.
    Ask,
    /// None is.
    Auto,
}

impl Mode {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Auto => "auto",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "ask" => Some(Self::Ask),
            "auto" => Some(Self::Auto),
            _ => None,
        }
    }
}

/// What is kept of a session.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) id: Uuid,
    pub(super) cwd: PathBuf,
    pub(super) mode: Mode,
    /// The last prompts, oldest first.
    pub(super) prompts: VecDeque<String>,
}

impl Session {
    pub(super) fn new(cwd: PathBuf) -> Self {
        Self { id: Uuid::new_v4(), cwd, mode: Mode::Ask, prompts: VecDeque::new() }
    }

    /// Adds a prompt and forgets the oldest beyond the limit.
    pub(super) fn remember(&mut self, prompt: &str) {
        let end = prompt.floor_char_boundary(PROMPT_BYTES);
        self.prompts.push_back(prompt[..end].to_owned());
        if self.prompts.len() > PROMPTS {
            self.prompts.pop_front();
        }
    }

    /// The session's directory if it still exists, else where to go instead.
    pub(super) fn usable_cwd(&self) -> Result<&Path, PathBuf> {
        if self.cwd.is_dir() {
            return Ok(&self.cwd);
        }
        let home = env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_dir());
        Err(home.unwrap_or_else(|| PathBuf::from("/")))
    }
}

/// An id that we gave.
fn parse(id: &str) -> Option<Uuid> {
    Uuid::try_parse(id).ok().filter(|uuid| uuid.hyphenated().to_string() == id)
}

/// The directory of the state files.
#[derive(Debug)]
pub(super) struct Store(PathBuf);

impl Store {
    /// Finds the directory that the environment names and makes it if it is not there. Without any, the state lives
    /// as long as a private directory among the temporary files does.
    pub(super) fn from_environment() -> io::Result<Self> {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let dir = set(STATE_VAR)
            .or_else(|| set("XDG_STATE_HOME").map(|dir| dir.join("vibes/shell-agent")))
            .or_else(|| set("HOME").map(|home| home.join(".local/state/vibes/shell-agent")))
            .unwrap_or_else(|| env::temp_dir().join(format!("vibes-shell-{}", Uuid::new_v4())));
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        // Absolute, because commands that write into it run in directories of their own.
        Ok(Self(std::path::absolute(dir)?))
    }

    /// The directory itself.
    pub(super) fn at(dir: &Path) -> Self {
        Self(dir.to_owned())
    }

    /// Removes what there is under an id. One that is not ours has nothing here.
    pub(super) fn remove(&self, id: &str) -> io::Result<()> {
        let Some(id) = parse(id) else { return Ok(()) };
        for path in [self.file(id), self.aside(id), self.report(id)] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn aside(&self, session: Uuid) -> PathBuf {
        self.0.join(format!("{session}.tmp"))
    }

    /// Where a command of this session tells its last directory.
    pub(super) fn report(&self, session: Uuid) -> PathBuf {
        self.0.join(format!("{session}.cwd"))
    }

    fn file(&self, session: Uuid) -> PathBuf {
        self.0.join(format!("{session}.json"))
    }

    /// Writes a session down.
    pub(super) fn save(&self, session: &Session) -> io::Result<()> {
        let state = json!({
            "version": 1,
            // A directory whose name is not UTF-8 is remembered in this process only.
            "cwd": session.cwd.to_string_lossy(),
            "mode": session.mode.as_str(),
            "prompts": session.prompts,
        });
        let aside = self.aside(session.id);
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside)?;
        file.write_all(state.to_string().as_bytes())?;
        fs::rename(aside, self.file(session.id))
    }

    /// Reads a session back; `None` when there is none under this id.
    pub(super) fn load(&self, id: &str) -> io::Result<Option<Session>> {
        let Some(id) = parse(id) else { return Ok(None) };
        let bytes = match fs::read(self.file(id)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let state: Value = serde_json::from_slice(&bytes)?;
        let cwd = state["cwd"].as_str().unwrap_or("/").into();
        // Anything unreadable about the mode means the careful one.
        let mode = state["mode"].as_str().and_then(Mode::parse).unwrap_or(Mode::Ask);
        let prompts = state["prompts"].as_array().into_iter().flatten();
        let prompts = prompts.filter_map(|prompt| prompt.as_str().map(str::to_owned)).collect();
        Ok(Some(Session { id, cwd, mode, prompts }))
    }
}
