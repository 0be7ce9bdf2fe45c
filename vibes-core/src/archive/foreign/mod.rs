//! Conversations as other programs keep them, told as the records of a session.
//!
//! Invariant: pure, line by line, with one message in memory. The same beginning of a file gives the same records, so a file
//! that has grown since gives more of them; what is only there because the file ends is counted. What a reader does not
//! know it passes over; nothing of how an agent was started is told.

mod claude;
mod codex;
mod gemini;
mod story;

pub use story::Story;

use serde_json::Value;

/// The most records that are kept until it is known whose they are.
const UNKNOWN: usize = 10_000;

/// Whose files are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Claude Code: `~/.claude/projects/*/*.jsonl`.
    Claude,
    /// Codex: `~/.codex/sessions/**/rollout-*.jsonl`.
    Codex,
    /// Gemini CLI: `~/.gemini/tmp/*/chats/session-*`.
    Gemini,
}

impl Kind {
    /// By the name of the agent.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "claude" => Some(Self::Claude),
            "codex" => Some(Self::Codex),
            "gemini" => Some(Self::Gemini),
            _ => None,
        }
    }

    /// The name of the agent.
    pub fn agent(self) -> &'static str {
        match self {
            Self::Claude => "claude",
            Self::Codex => "codex",
            Self::Gemini => "gemini",
        }
    }
}

/// A reader of one file.
#[derive(Debug)]
pub struct Foreign {
    reader: Reader,
    story: Story,
    /// Whether anything in it was understood.
    known: bool,
}

#[derive(Debug)]
enum Reader {
    Claude(claude::Claude),
    Codex(codex::Codex),
    Gemini(gemini::Gemini),
}

impl Foreign {
    /// One that has read nothing. The directory is what is known of it from elsewhere.
    pub fn new(kind: Kind, cwd: Option<String>) -> Self {
        let reader = match kind {
            Kind::Claude => Reader::Claude(Default::default()),
            Kind::Codex => Reader::Codex(Default::default()),
            Kind::Gemini => Reader::Gemini(Default::default()),
        };
        Self { reader, story: Story::new(kind.agent(), cwd), known: false }
    }

    /// Reads a line. A broken one is passed over, as its own program does: the last one may be half written.
    pub fn line(&mut self, line: &[u8]) -> Result<(), String> {
        let Ok(line) = serde_json::from_slice::<Value>(line) else { return Ok(()) };
        if !line.is_object() {
            return Ok(());
        }
        match &mut self.reader {
            Reader::Claude(reader) => reader.line(&line, &mut self.story),
            Reader::Codex(reader) => reader.line(&line, &mut self.story),
            Reader::Gemini(reader) => reader.line(&line, &mut self.story),
        }
        self.known |= self.story.lineage().is_some();
        if self.story.lineage().is_none() && self.story.waiting() > UNKNOWN {
            return Err("it does not say which conversation it is of".to_owned());
        }
        Ok(())
    }

    /// What was told by now.
    pub fn story(&mut self) -> &mut Story {
        &mut self.story
    }

    /// The file has ended. How many of the records are there only for that.
    pub fn end(&mut self) -> Result<usize, String> {
        match &mut self.reader {
            Reader::Claude(reader) => reader.end(&mut self.story),
            Reader::Codex(_) => {}
            Reader::Gemini(reader) => reader.end(&mut self.story),
        }
        if !self.known {
            return Err("it holds no conversation that this version can read".to_owned());
        }
        if self.story.turns() == 0 {
            return Err("there is no prompt in it".to_owned());
        }
        Ok(self.story.close())
    }
}

/// The text of a message: a string, or the texts of its parts.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
        }
        other => other["text"].as_str().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests;
