//! Questions, answers and rules as tables and lines.
//!
//! Invariant: what an agent asked is shown as what it is (tool, command, directory), its own words never; every value
//! is sanitised here.

use super::permission::action;
use super::table::{self, Cell};
use super::{age, count, keep_start, short};
use crate::sanitize;
use crate::ui::Paint;
use vibes_protocol::model::fact::PermissionResolved;
use vibes_protocol::model::{How, Outcome, Permission, SessionId, SessionInfo, SessionRule};
use vibes_protocol::wire::message::{AppliedRules, Approval, Replayed};

/// Whose sessions a file of rules is for.
pub(crate) fn whose(applied: &AppliedRules) -> String {
    let person = applied.person.as_deref().unwrap_or("clients without a name");
    match applied.scope.as_str() {
        "all" => format!("all sessions (of {})", sanitize::line(person)),
        _ => format!("the sessions of {}", sanitize::line(person)),
    }
}

/// What a rule of a session is about, in one line.
pub(crate) fn of_rule(rule: &SessionRule) -> String {
    let what = match (&rule.command, &rule.pattern) {
        (Some(command), _) => command.clone(),
        (None, Some(pattern)) => format!("{} (pattern)", pattern.join(" ")),
        (None, None) if !rule.paths.is_empty() => rule.paths.join(" "),
        (None, None) => "this very input".to_owned(),
    };
    let line = format!("{} {what} in {}", rule.tool, rule.cwd);
    sanitize::strict(&line).replace('\n', "␊").replace('\t', "␉")
}

/// The rules of a session.
pub(crate) fn session_rules(rules: &[SessionRule], now: i64, paint: Paint) -> Vec<String> {
    if rules.is_empty() {
        return vec!["Nothing is allowed by itself in this session, standing rules aside.".to_owned()];
    }
    let row = |rule: &SessionRule| {
        let by = rule.by.as_ref().and_then(|by| by.label.clone()).unwrap_or_else(|| "-".to_owned());
        let since = age(now - rule.at_ms / 1000);
        vec![
            Cell::painted(&rule.name, Paint::bold),
            Cell::new(since),
            Cell::new(by),
            Cell::new(of_rule(rule)),
        ]
    };
    table::render(&["NAME", "AGE", "BY", "ALLOWS"], &rules.iter().map(row).collect::<Vec<_>>(), paint)
}

fn session_name(id: SessionId, name: Option<&str>) -> String {
    name.map_or_else(|| short(id), str::to_owned)
}

/// What waits in all sessions.
pub(crate) fn waiting(sessions: &[SessionInfo], width: usize, now_ms: i64, paint: Paint) -> Vec<String> {
    let rows: Vec<Vec<Cell>> = sessions
        .iter()
        .flat_map(|session| session.pending_permissions.iter().map(move |permission| (session, permission)))
        .map(|(session, permission): (&SessionInfo, &Permission)| {
            let left = permission.deadline_ms.map_or_else(
                || "-".to_owned(),
                |deadline| format!("{} s", ((deadline - now_ms) / 1000).max(0)),
            );
            vec![
                Cell::painted(session_name(session.id, session.name.as_deref()), Paint::bold),
                Cell::new(&session.agent),
                Cell::new(&permission.permission_id),
                Cell::new(left),
                Cell::new(keep_start(&action(permission), width)),
                Cell::painted(format!("in {}", permission.cwd), Paint::dim),
            ]
        })
        .collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let mut lines = table::render(&["SESSION", "AGENT", "REQUEST", "LEFT", "ASKS", "WHERE"], &rows, paint);
    lines.push(String::new());
    lines.push(paint.dim(
        "vibes approve SESSION --permission REQUEST · vibes deny … · vibes attach SESSION shows it whole",
    ));
    lines
}

fn outcome(resolved: Option<&PermissionResolved>) -> (&'static str, fn(Paint, &str) -> String) {
    match resolved.map(|resolved| resolved.outcome) {
        None => ("waits", Paint::yellow),
        Some(Outcome::Allowed) => ("allowed", Paint::green),
        Some(Outcome::Denied) => ("denied", Paint::red),
        Some(Outcome::Expired) => ("expired", Paint::red),
        Some(Outcome::Cancelled) => ("cancelled", Paint::dim),
        Some(Outcome::Withdrawn) => ("withdrawn", Paint::dim),
    }
}

/// By whom or by what, and from where.
fn by(resolved: &PermissionResolved) -> String {
    let label = resolved.by.as_ref().map(|by| {
        by.label
            .clone()
            .unwrap_or_else(|| format!("client {}", by.client_id.to_string().get(..8).unwrap_or("?")))
    });
    let rule = resolved.rule.as_deref().unwrap_or("?");
    match (resolved.how, label) {
        (Some(How::Rule), _) => {
            let hash = resolved.rules.as_deref().and_then(|hash| hash.get(..8)).unwrap_or("?");
            format!("rule {rule} ({hash})")
        }
        (Some(How::SessionRule), _) => format!("session rule {rule}"),
        (Some(How::Expiry), _) => "deadline".to_owned(),
        (Some(How::Detached), _) => "nobody was there".to_owned(),
        (_, Some(label)) => {
            let surface = resolved.surface.as_ref();
            let program = surface.and_then(|surface| surface.program.as_deref());
            let pid =
                surface.and_then(|surface| surface.pid).map_or_else(String::new, |pid| format!(" pid {pid}"));
            program.map_or(label.clone(), |program| format!("{label} · {program}{pid}"))
        }
        (_, None) => "-".to_owned(),
    }
}

fn latency(ms: u64) -> String {
    if ms < 10_000 { format!("{ms} ms") } else { age(i64::try_from(ms / 1000).unwrap_or(i64::MAX)) }
}

/// What was asked and what became of it, the newest first.
pub(crate) fn log(approvals: &[Approval], now: i64, paint: Paint) -> Vec<String> {
    let row = |approval: &Approval| {
        let resolved = approval.resolved.as_ref();
        let (word, colour) = outcome(resolved);
        let waited = resolved.and_then(|resolved| resolved.waited_ms).map_or_else(|| "-".to_owned(), latency);
        vec![
            Cell::new(age(now - approval.asked_ms / 1000)),
            Cell::painted(session_name(approval.session_id, approval.session_name.as_deref()), Paint::bold),
            Cell::painted(word, colour),
            Cell::new(waited),
            Cell::new(resolved.map_or_else(|| "-".to_owned(), by)),
            Cell::new(approval.permission.hash.get(..8).unwrap_or_default()),
            Cell::new(keep_start(&action(&approval.permission), 200)),
        ]
    };
    let rows: Vec<Vec<Cell>> = approvals.iter().map(row).collect();
    table::render(&["AGE", "SESSION", "OUTCOME", "AFTER", "BY", "HASH", "ASKED"], &rows, paint)
}

/// What a file of rules would change.
pub(crate) fn tested(
    replayed: u32,
    allowed: u32,
    denied: u32,
    changes: &[Replayed],
    width: usize,
    paint: Paint,
) -> Vec<String> {
    let asked = replayed.saturating_sub(allowed).saturating_sub(denied);
    let mut lines = vec![format!(
        "Of {}: {allowed} allowed, {denied} denied, {asked} for a person. {}",
        count(replayed as usize, "recorded question", "recorded questions"),
        match changes.len() {
            0 => "Nothing would change.".to_owned(),
            some => format!("{} would change:", count(some, "answer", "answers")),
        }
    )];
    for change in changes {
        let rule = change.then_rule.as_deref().map_or_else(String::new, |rule| format!(" ({rule})"));
        let then = format!("{} → {}{}", change.now.as_str(), change.then.as_str(), sanitize::line(&rule));
        let then = if change.then.as_str() == "allow" { paint.green(&then) } else { paint.yellow(&then) };
        let name = session_name(change.approval.session_id, change.approval.session_name.as_deref());
        let person = match &change.approval.resolved {
            Some(resolved) if resolved.how == Some(How::Person) => {
                format!(" · a person {}", outcome(Some(resolved)).0)
            }
            _ => String::new(),
        };
        let what = keep_start(&action(&change.approval.permission), width.saturating_sub(4).max(20));
        lines.push(format!("  {then}  {}{person}", sanitize::line(&name)));
        lines.push(format!("    {what}"));
        if !change.outside.is_empty() {
            let outside = sanitize::strict(&change.outside.join(" ")).replace('\n', "␊");
            lines.push(paint.red(&format!("    outside of the session's directory: {outside}")));
        }
        if let Some(guarded) = &change.guarded {
            lines.push(paint.dim(&format!("    {}", sanitize::line(guarded))));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn approval(resolved: Value) -> Approval {
        serde_json::from_value(json!({
            "session_id": "3ce46d0d-ca77-4aef-a795-96896c482e99", "agent": "shell", "session_name": "api",
            "asked_ms": 100_000, "resolved_ms": 100_500, "resolved": resolved, "permission": {
                "permission_id": "p", "hash": "9f86d081884c", "tool": "execute", "raw_input": {"command": "make\ntest"},
                "cwd": "/w", "options": [], "claim_title": "harmless"},
        }))
        .unwrap()
    }

    #[test]
    fn the_log_says_what_was_asked_and_how_it_was_answered() {
        let answers = [
            json!({"permission_id": "p", "outcome": "allowed", "how": "rule", "rule": "tests", "rules": "abcdef0123", "waited_ms": 4}),
            json!({"permission_id": "p", "outcome": "denied", "how": "person", "waited_ms": 61_000,
                "by": {"client_id": "3ce46d0d-ca77-4aef-a795-96896c482e99", "label": "ann@box:pts/1"},
                "surface": {"kind": "cli", "program": "vibes 0.1.0", "pid": 7}}),
            json!({"permission_id": "p", "outcome": "expired", "how": "expiry", "waited_ms": 5_000}),
            json!({"permission_id": "p", "outcome": "denied", "how": "detached"}),
            Value::Null,
        ];
        let all: Vec<Approval> = answers.into_iter().map(approval).collect();
        let lines = log(&all, 160, Paint::PLAIN);
        let wanted = [
            "AGE  SESSION  OUTCOME  AFTER    BY                                  HASH      ASKED",
            "1m   api      allowed  4 ms     rule tests (abcdef01)               9f86d081  execute make␊test",
            "1m   api      denied   1m       ann@box:pts/1 · vibes 0.1.0 pid 7   9f86d081  execute make␊test",
            "1m   api      expired  5000 ms  deadline                            9f86d081  execute make␊test",
            "1m   api      denied   -        nobody was there                    9f86d081  execute make␊test",
            "1m   api      waits    -        -                                   9f86d081  execute make␊test",
        ];
        let squeeze = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(lines.iter().map(|line| squeeze(line)).collect::<Vec<_>>(), wanted.map(squeeze),);
    }

    #[test]
    fn a_test_tells_what_would_change_and_what_lies_outside() {
        let change: Replayed = serde_json::from_value(json!({
            "approval": approval(json!({"permission_id": "p", "outcome": "denied", "how": "person"})),
            "now": "ask", "then": "allow", "then_rule": "make", "outside": ["/etc/x"],
        }))
        .unwrap();
        assert_eq!(
            tested(3, 1, 1, &[change], 80, Paint::PLAIN),
            [
                "Of 3 recorded questions: 1 allowed, 1 denied, 1 for a person. 1 answer would change:",
                "  ask → allow (make)  api · a person denied",
                "    execute make␊test",
                "    outside of the session's directory: /etc/x",
            ]
        );
        assert!(tested(0, 0, 0, &[], 80, Paint::PLAIN)[0].ends_with("Nothing would change."));
    }
}
