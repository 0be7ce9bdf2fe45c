//! What happened in a session since a record, from its ledger and its records.
//!
//! Invariant: it only reads, wakes nobody, and is bounded in what it reads and in what it tells.

use super::Sessions;
use crate::{
    glimpse::{Kind, Line},
    journal::{Reader, SessionNo, StoreError},
    prices,
};
use serde::Deserialize;
use serde_json::Value;
use std::{collections::HashMap, sync::Arc};
use vibes_protocol::model::{
    Decided, How, Outcome, Permission, Question, RanCommand, Seq, SessionDigest, SessionId, SessionInfo,
    TurnInfo, fact::Actor,
};

/// The most turns that are told.
const MAX_TURNS: usize = 200;
/// The most commands, decisions and files.
const MAX_TOLD: usize = 500;
/// The longest command, in characters.
const LONGEST: usize = 300;
/// The most that is read of the records, in bytes.
const MAX_READ: usize = 64 * 1024 * 1024;

/// From where news are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// After this record.
    Seq(Seq),
    /// After this moment, in milliseconds.
    Moment(i64),
}

#[derive(Deserialize)]
struct Resolved {
    permission_id: String,
    outcome: Outcome,
    by: Option<Actor>,
    rule: Option<String>,
    how: Option<How>,
}

/// Text of an agent, as long as it is told.
fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// What a tool is to do.
fn action(input: &Value) -> String {
    let command = ["command", "cmd"].iter().find_map(|name| match &input[name] {
        Value::String(text) => Some(text.clone()),
        Value::Array(words) => Some(words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")),
        _ => None,
    });
    let path = || ["file_path", "path"].iter().find_map(|name| input[name].as_str()).map(str::to_owned);
    cut(&command
        .or_else(path)
        .unwrap_or_else(|| if input.is_null() { String::new() } else { input.to_string() }))
}

/// A question that waits.
pub fn question(permission: &Permission) -> Question {
    Question {
        permission_id: permission.permission_id.clone(),
        tool: cut(&permission.tool),
        action: action(&permission.raw_input),
    }
}

/// Reads records one by one.
struct Reading<'a> {
    digest: &'a mut SessionDigest,
    after: From,
    /// Questions by id, answered or not.
    asked: HashMap<String, (String, String)>,
    /// Where a call's command stands, by the call.
    calls: HashMap<String, usize>,
}

impl Reading<'_> {
    fn take(&mut self, line: &Line<'_>) {
        let fact = line.fact.get();
        // Most records are words of the agent.
        if !["\"permission_", "\"tool_call"].iter().any(|part| fact.contains(part)) {
            return;
        }
        let Ok(head) = serde_json::from_str::<Kind<'_>>(fact) else { return };
        let fresh = match self.after {
            From::Seq(seq) => line.seq > seq,
            From::Moment(at_ms) => line.at_ms >= at_ms,
        };
        match &*head.kind {
            "permission_requested" => {
                let asked = serde_json::from_str::<Value>(fact).unwrap_or_default()["permission"].take();
                let words = (cut(asked["tool"].as_str().unwrap_or_default()), action(&asked["raw_input"]));
                if let Some(id) = asked["permission_id"].as_str() {
                    self.asked.insert(id.to_owned(), words);
                }
            }
            "permission_resolved" => {
                let Ok(resolved) = serde_json::from_str::<Resolved>(fact) else { return };
                let (tool, action) = self.asked.remove(&resolved.permission_id).unwrap_or_default();
                if fresh {
                    self.decided(line, resolved, tool, action);
                }
            }
            "update" => {
                let update = serde_json::from_str::<Value>(fact).unwrap_or_default()["update"].take();
                self.called(line.seq, fresh, &update);
            }
            _ => {}
        }
    }

    fn decided(&mut self, line: &Line<'_>, resolved: Resolved, tool: String, action: String) {
        let Resolved { outcome, by, rule, how, .. } = resolved;
        if self.digest.decisions.len() >= MAX_TOLD {
            self.digest.more_decisions += 1;
            return;
        }
        let by = by.and_then(|by| by.label);
        let (seq, at_ms) = (line.seq, line.at_ms);
        self.digest.decisions.push(Decided { seq, at_ms, tool, action, outcome, by, rule, how });
    }

    fn called(&mut self, seq: Seq, fresh: bool, update: &Value) {
        let kind = update["sessionUpdate"].as_str().unwrap_or_default();
        let Some(id) = update["toolCallId"].as_str().filter(|_| kind.starts_with("tool_call")) else {
            return;
        };
        let input = &update["rawInput"];
        let says = !["command", "cmd"].iter().all(|name| input[name].is_null());
        let known = self.calls.get(id).copied();
        match known {
            None if fresh && (update["kind"] == "execute" || says) => {
                if self.digest.commands.len() >= MAX_TOLD {
                    self.digest.more_commands += u64::from(kind == "tool_call");
                    return;
                }
                let title = || cut(update["title"].as_str().unwrap_or_default());
                let command = if says { action(input) } else { title() };
                let status = update["status"].as_str().map(str::to_owned);
                self.calls.insert(id.to_owned(), self.digest.commands.len());
                self.digest.commands.push(RanCommand { seq, command, status });
            }
            Some(at) => {
                if let Some(ran) = self.digest.commands.get_mut(at) {
                    if says {
                        ran.command = action(input);
                    }
                    ran.status = update["status"].as_str().map(str::to_owned).or(ran.status.take());
                }
            }
            None => {}
        }
    }
}

/// The turns since then, the oldest first, and how many more there were.
fn turns(reader: &Reader, no: SessionNo, after: From) -> Result<(Vec<TurnInfo>, u64), StoreError> {
    let rows = reader.turns(no, None, MAX_TURNS + 1)?;
    let all = rows.iter().filter_map(|row| serde_json::from_slice::<TurnInfo>(row).ok());
    let ran = |turn: &TurnInfo| match after {
        From::Seq(seq) => turn.last_seq.is_none_or(|last| last > seq),
        From::Moment(at_ms) => turn.ended_ms.is_none_or(|ended| ended >= at_ms),
    };
    let mut turns: Vec<_> = all.take_while(ran).collect();
    // How many there were before the last page is not worth reading them: the number of the first one tells.
    let more = if turns.len() > MAX_TURNS {
        turns.pop();
        match after {
            From::Seq(0) => turns.last().map_or(0, |turn| turn.turn.saturating_sub(1)),
            _ => 1,
        }
    } else {
        0
    };
    turns.reverse();
    Ok((turns, more))
}

impl Sessions {
    /// Whether there is such a session, resting ones and deleted ones too. Blocking.
    pub fn is_there(&self, id: &SessionId) -> Result<bool, StoreError> {
        Ok(self.registry.get(id).is_some() || self.parts.reader.number(id)?.is_some())
    }

    /// A session as lists show it, with its number; one that rests is left to. Blocking.
    pub fn peek(&self, id: &SessionId) -> Result<Option<(SessionNo, Arc<SessionInfo>)>, StoreError> {
        if let Some(handle) = self.registry.get(id) {
            return Ok(Some((handle.no, handle.info())));
        }
        let stored = match self.parts.reader.number(id)? {
            Some(no) => self.parts.reader.session(no)?,
            None => None,
        };
        Ok(stored.map(|stored| (stored.no, Arc::new(self.read_back(&stored).0.info()))))
    }

    /// What happened in a session since then. Blocking.
    pub fn since(&self, no: SessionNo, info: &SessionInfo, after: From) -> Result<SessionDigest, StoreError> {
        let reader = &self.parts.reader;
        let (turns, more_turns) = turns(reader, no, after)?;
        let mut digest = SessionDigest {
            session_id: info.id,
            name: info.name.clone(),
            agent: info.agent.clone(),
            cwd: info.cwd.clone(),
            state: info.state,
            reason: info.reason.clone(),
            after: 0,
            head: info.head,
            more_turns,
            cost: None,
            files: Vec::new(),
            commands: Vec::new(),
            more_commands: 0,
            decisions: Vec::new(),
            more_decisions: 0,
            questions: info.pending_permissions.iter().take(MAX_TOLD).map(question).collect(),
            queued: info.queued,
            cut: false,
            turns,
        };
        for turn in &digest.turns {
            if let Some(cost) = &turn.cost {
                prices::add(&mut digest.cost, cost);
            }
            for file in &turn.files {
                if digest.files.len() < MAX_TOLD && !digest.files.contains(file) {
                    digest.files.push(file.clone());
                }
            }
        }
        let first = digest.turns.first().map(|turn| turn.first_seq.saturating_sub(1));
        // Between turns there are answers, too, but no more than few.
        let from = match after {
            From::Seq(seq) => first.unwrap_or(seq).min(seq),
            From::Moment(_) => first.unwrap_or(info.head),
        };
        digest.after = match after {
            From::Seq(seq) => seq.min(info.head),
            From::Moment(_) => from,
        };
        let reading = Reading { digest: &mut digest, after, asked: HashMap::new(), calls: HashMap::new() };
        digest.cut = read(reader, (no, &info.id), (from, info.head), reading)?;
        Ok(digest)
    }
}

/// Reads records behind the one and up to the other. `true` when there were too many.
fn read(
    reader: &Reader,
    (no, id): (SessionNo, &SessionId),
    (mut after, to): (Seq, Seq),
    mut reading: Reading<'_>,
) -> Result<bool, StoreError> {
    /// How much is read at once, in bytes.
    const PAGE: usize = 1024 * 1024;
    let mut bytes = 0;
    while after < to {
        if bytes > MAX_READ {
            return Ok(true);
        }
        let page = reader.page(no, id, after, PAGE, usize::MAX)?;
        if page.last == 0 {
            break;
        }
        (after, bytes) = (page.last, bytes + page.frames.bytes.len());
        for line in page.frames.bytes.split(|byte| *byte == b'\n') {
            if let Ok(line) = serde_json::from_slice::<Line<'_>>(line)
                && line.seq <= to
            {
                reading.take(&line);
            }
        }
    }
    Ok(false)
}
