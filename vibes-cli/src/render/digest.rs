//! What happened in a session while nobody looked.
//!
//! Invariant: pure; what an agent said is sanitised, and what is left out is counted.

use super::list::{money, state_words};
use super::{age, count, keep_start, short, tilde};
use crate::sanitize;
use crate::ui::Paint;
use vibes_protocol::model::{Decided, How, Outcome, SessionDigest, SessionInfo, TurnInfo, TurnOutcome};

/// How many files and commands a person is shown; `--json` has more of them.
const SHOWN: usize = 12;

/// What the picture depends on beside the session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    /// Columns there are.
    pub(crate) width: usize,
    /// Milliseconds since the Unix epoch.
    pub(crate) now_ms: i64,
    /// To shorten directories with.
    pub(crate) home: Option<&'a str>,
    /// Colours.
    pub(crate) paint: Paint,
}

fn words(text: &str, width: usize) -> String {
    keep_start(&sanitize::line(text), width.max(20))
}

fn outcome(turn: &TurnInfo) -> String {
    match (turn.outcome, turn.exit_code) {
        (None, _) => "running".to_owned(),
        (Some(TurnOutcome::Finished), Some(code)) if code != 0 => format!("exit {code}"),
        (Some(TurnOutcome::Finished), _) => "finished".to_owned(),
        (Some(TurnOutcome::Interrupted), _) => "interrupted".to_owned(),
        (Some(TurnOutcome::Failed), _) => "failed".to_owned(),
        (Some(TurnOutcome::Unknown), _) => "outcome unknown".to_owned(),
    }
}

fn turn(turn: &TurnInfo, frame: &Frame<'_>) -> String {
    let took = age((turn.ended_ms.unwrap_or(frame.now_ms) - turn.started_ms) / 1000);
    let cost = turn.cost.as_ref().map_or_else(String::new, |cost| format!(", {}", money(cost)));
    let head = format!("  {:>3}  {} ({took}{cost})  ", turn.turn, outcome(turn));
    let text = match &turn.error {
        Some(error) => format!("{} — {error}", turn.prompt),
        None => turn.prompt.clone(),
    };
    let left = frame.width.saturating_sub(head.chars().count());
    format!("{head}{}", words(&text, left))
}

fn decision(decided: &Decided) -> String {
    let what = match decided.outcome {
        Outcome::Allowed => "allowed",
        Outcome::Denied => "denied",
        Outcome::Expired => "denied, for nobody answered",
        Outcome::Cancelled => "cancelled",
        Outcome::Withdrawn => "withdrawn",
    };
    let by = match (&decided.rule, &decided.by, decided.how) {
        (Some(rule), ..) => format!(" by rule {rule}"),
        (None, Some(by), _) => format!(" by {by}"),
        (None, None, Some(How::Detached)) => ", for nobody was there".to_owned(),
        _ => String::new(),
    };
    format!("{what}{by}: {} {}", decided.tool, decided.action)
}

/// A list with a heading, cut, or nothing.
fn section(heading: &str, items: Vec<String>, more: u64, frame: &Frame<'_>) -> Vec<String> {
    if items.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!("  {}", frame.paint.dim(heading))];
    let left = items.len().saturating_sub(SHOWN) as u64 + more;
    lines.extend(
        items.iter().take(SHOWN).map(|item| format!("    {}", words(item, frame.width.saturating_sub(4)))),
    );
    if left > 0 {
        lines.push(format!("    … and {left} more"));
    }
    lines
}

/// One session.
pub(crate) fn session(info: &SessionInfo, digest: &SessionDigest, frame: &Frame<'_>) -> Vec<String> {
    let name = info.name.clone().unwrap_or_else(|| short(info.id));
    let cost = digest.cost.as_ref().map_or_else(String::new, |cost| format!(" · {}", money(cost)));
    let turns = digest.turns.len() + usize::try_from(digest.more_turns).unwrap_or(usize::MAX);
    let mut lines = vec![format!(
        "{} · {} · {} · {}{cost} · {}",
        frame.paint.bold(&sanitize::line(&name)),
        sanitize::line(&info.agent),
        state_words(info),
        count(turns, "turn", "turns"),
        frame.paint.dim(&tilde(&sanitize::line(&info.cwd), frame.home)),
    )];
    if digest.more_turns > 0 {
        lines.push(frame.paint.dim("  … turns before these: vibes runs"));
    }
    let first = digest.turns.len().saturating_sub(SHOWN);
    if first > 0 {
        lines.push(frame.paint.dim(&format!("  … {} before these", count(first, "turn", "turns"))));
    }
    lines.extend(digest.turns[first..].iter().map(|one| turn(one, frame)));
    let files = digest.files.iter().map(|file| tilde(file, frame.home)).collect();
    lines.extend(section("files", files, 0, frame));
    let ran = |ran: &vibes_protocol::model::RanCommand| match ran.status.as_deref() {
        Some("failed") => format!("{} (failed)", ran.command),
        _ => ran.command.clone(),
    };
    lines.extend(section("commands", digest.commands.iter().map(ran).collect(), digest.more_commands, frame));
    let decisions = digest.decisions.iter().map(decision).collect();
    lines.extend(section("decisions", decisions, digest.more_decisions, frame));
    let asks =
        digest.questions.iter().map(|one| format!("{}  {} {}", one.permission_id, one.tool, one.action));
    lines.extend(section("open questions", asks.collect(), 0, frame));
    if digest.queued > 0 {
        lines.push(format!("  {}", count(digest.queued as usize, "prompt waits", "prompts wait")));
    }
    if digest.cut {
        lines.push(frame.paint.dim("  there was too much to read: commands and decisions are of a part"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::list::tests::session as info;
    use serde_json::json;

    #[test]
    fn a_session_is_told_with_what_came_of_it() {
        let info = info(json!({"state": "waiting_permission"}));
        let digest: SessionDigest = serde_json::from_value(json!({
            "session_id": info.id, "agent": "shell", "cwd": "/home/ann/code/api", "state": "waiting_permission",
            "after": 0, "head": 9, "cost": {"amount": 0.5, "currency": "USD"}, "files": ["/home/ann/a\u{1b}[2J.rs"],
            "turns": [{"turn": 6, "prompt": "fix", "started_ms": 0, "ended_ms": 61_000, "outcome": "failed",
                       "error": "no"}],
            "commands": [{"seq": 4, "command": "make", "status": "failed"}],
            "decisions": [{"seq": 5, "at_ms": 1, "tool": "execute", "action": "make", "outcome": "allowed",
                           "rule": "builds"}],
            "questions": [{"permission_id": "p1", "tool": "execute", "action": "git push"}], "queued": 1
        }))
        .unwrap();
        let frame = Frame { width: 60, now_ms: 70_000, home: Some("/home/ann"), paint: Paint::PLAIN };
        assert_eq!(
            session(&info, &digest, &frame),
            [
                "api · shell · needs approval · 1 turn · $0.50 · ~/code/api",
                "    6  failed (1m)  fix — no",
                "  files",
                "    ~/a␛[2J.rs",
                "  commands",
                "    make (failed)",
                "  decisions",
                "    allowed by rule builds: execute make",
                "  open questions",
                "    p1  execute git push",
                "  1 prompt waits",
            ]
        );
    }
}
