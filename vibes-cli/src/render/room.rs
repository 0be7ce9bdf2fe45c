//! What the state directory takes: parts, sessions, and what leaves.
//!
//! Invariant: pure. Sizes are rounded for people; `--json` has bytes.

use super::table::{self, Cell};
use super::{age, short};
use crate::ui::Paint;
use vibes_protocol::model::{DiskUsage, LeavesFor, Leaving, SessionUsage, content::bytes};

/// Sessions first, those that take most first, then the parts of the directory, then what leaves.
pub(crate) fn tables(usage: &DiskUsage, now_ms: i64, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    if !usage.sessions.is_empty() {
        let rows: Vec<_> = usage.sessions.iter().map(|session| row(session, now_ms)).collect();
        let headings =
            ["SESSION", "AGENT", "STATE", "LAST", "RECORDS", "STORE", "ATTACHED", "SPOOL", "SIZE", ""];
        lines.extend(table::render(&headings, &rows, paint));
        lines.push(String::new());
    }
    lines.extend(parts(usage, paint));
    if !usage.leaving.is_empty() {
        lines.push(String::new());
        lines.extend(usage.leaving.iter().map(|leaving| leaves(leaving, now_ms)));
        lines.push("`vibes pin ID` keeps a session.".to_owned());
    }
    lines
}

fn row(session: &SessionUsage, now_ms: i64) -> Vec<Cell> {
    let name = session.name.clone().unwrap_or_else(|| short(session.session_id));
    let state = if session.deleted_at.is_some() { "deleted" } else { session.state.as_str() };
    let size = session.store + session.attachments + session.spool;
    let some = |size: u64| Cell::new(if size == 0 { "-".to_owned() } else { bytes(size) });
    let note = match (session.leaves_ms, session.stays) {
        (Some(at), _) => format!("leaves {}", when(at, now_ms)),
        (None, Some(why)) => format!("stays: {}", why.as_str()),
        (None, None) => String::new(),
    };
    vec![
        Cell::painted(name, Paint::bold),
        Cell::new(&session.agent),
        Cell::new(state),
        Cell::new(age((now_ms - session.last_activity_ms) / 1000)),
        Cell::new(session.head.to_string()),
        some(session.store),
        some(session.attachments),
        some(session.spool),
        Cell::new(bytes(size)),
        Cell::painted(note, Paint::dim),
    ]
}

fn parts(usage: &DiskUsage, paint: Paint) -> Vec<String> {
    let grows = match usage.growth_per_day {
        Some(more) if more < 0 => format!(", {} less each day", bytes(more.unsigned_abs())),
        Some(more) if more > 0 => format!(", {} more each day", bytes(more.unsigned_abs())),
        _ => String::new(),
    };
    let store = format!("sessions {}, free {}{grows}", bytes(usage.kept), bytes(usage.free));
    let parts = [
        ("store", usage.store, store.as_str()),
        ("search index", usage.search, ""),
        ("attachments", usage.attachments, ""),
        ("spools", usage.spools, ""),
        ("worktrees", usage.worktrees, ""),
        ("logs", usage.logs, ""),
        ("set aside", usage.aside, "damaged stores: look, then remove them"),
        ("other", usage.other, ""),
        ("all", usage.total, ""),
    ];
    let there = |(name, size, _): &&(&str, u64, &str)| *size > 0 || *name == "store";
    let row = |(name, size, note): &(&str, u64, &str)| {
        vec![Cell::new(name), Cell::new(bytes(*size)), Cell::painted(note, Paint::dim)]
    };
    table::render(&["WHAT", "SIZE", ""], &parts.iter().filter(there).map(row).collect::<Vec<_>>(), paint)
}

fn leaves(leaving: &Leaving, now_ms: i64) -> String {
    let name =
        leaving.name.as_ref().map_or_else(String::new, |name| format!(" ({})", crate::sanitize::line(name)));
    let why = match leaving.why {
        LeavesFor::Age => "nothing happened in it for retention.days",
        LeavesFor::Size => "sessions take more than retention.size_mib, and it is among the oldest",
    };
    format!("{}{name} leaves {}: {why}", short(leaving.session_id), when(leaving.at_ms, now_ms))
}

fn when(at_ms: i64, now_ms: i64) -> String {
    match (at_ms - now_ms) / 1000 {
        // It is looked every ten minutes or so.
        i64::MIN..=0 => "soon".to_owned(),
        seconds => format!("in {}", age(seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sessions_parts_and_what_leaves_are_tables() {
        let session = |id: &str, more: serde_json::Value| {
            let mut session = json!({"session_id": id, "agent": "shell", "state": "finished", "head": 9,
                "last_activity_ms": 0, "store": 3_145_728, "attachments": 0, "spool": 0});
            for (key, value) in more.as_object().expect("fields") {
                session[key] = value.clone();
            }
            session
        };
        let (a, b) = ("3ce46d0d-ca77-4aef-a795-96896c482e99", "5b72c612-1254-4250-b151-ee421e4abf5a");
        let usage: DiskUsage = serde_json::from_value(json!({
            "total": 9_175_040, "store": 6_291_456, "free": 1_048_576, "search": 1_048_576, "attachments": 524_288,
            "spools": 0, "worktrees": 0, "logs": 131_072, "aside": 0, "other": 65_536, "growth_per_day": 204_800,
            "kept": 4_194_304,
            "sessions": [
                session(a, json!({"name": "api", "attachments": 524_288, "stays": "pinned"})),
                session(b, json!({"store": 4096, "leaves_ms": 3 * 86_400_000_i64 + 5000})),
            ],
            "leaving": [{"session_id": b, "name": null, "at_ms": 3 * 86_400_000_i64 + 5000, "why": "age"}],
        }))
        .expect("usage");
        assert_eq!(
            tables(&usage, 5000, Paint::PLAIN),
            [
                "SESSION   AGENT  STATE     LAST  RECORDS  STORE    ATTACHED  SPOOL  SIZE",
                "api       shell  finished  5s    9        3.0 MiB  512 KiB   -      3.5 MiB  stays: pinned",
                "5b72c612  shell  finished  5s    9        4 KiB    -         -      4 KiB    leaves in 3d",
                "",
                "WHAT          SIZE",
                "store         6.0 MiB  sessions 4.0 MiB, free 1.0 MiB, 200 KiB more each day",
                "search index  1.0 MiB",
                "attachments   512 KiB",
                "logs          128 KiB",
                "other         64 KiB",
                "all           8.8 MiB",
                "",
                "5b72c612 leaves in 3d: nothing happened in it for retention.days",
                "`vibes pin ID` keeps a session.",
            ]
        );
    }
}
