//! The list of sessions.
//!
//! Invariant: it never takes more columns than the terminal has, as long as the directory can give way, and what it
//! shows in words it also shows without colour or symbols.

use super::table::{self, Cell};
use super::{age, count, keep_end, keep_start, short, tilde};
use crate::sanitize;
use crate::ui::Paint;
use unicode_width::UnicodeWidthStr as _;
use vibes_protocol::model::{Cost, SessionInfo, SessionState};

/// What the picture depends on beside the sessions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    /// Columns there are.
    pub(crate) width: usize,
    /// Seconds since the Unix epoch.
    pub(crate) now: i64,
    /// This person's seat.
    pub(crate) seat: &'a str,
    /// To shorten directories with.
    pub(crate) home: Option<&'a str>,
    /// Symbols, for eyes.
    pub(crate) symbols: bool,
    /// Ended ones were asked for too.
    pub(crate) all: bool,
    /// Filters were given: an empty answer does not mean that nothing runs.
    pub(crate) filtered: bool,
    /// Colours.
    pub(crate) paint: Paint,
}

/// A state's name for people.
pub(crate) fn state_words(session: &SessionInfo) -> String {
    let words = match session.state {
        SessionState::WaitingPermission => "needs approval",
        state => state.as_str(),
    };
    if let Some(imported) = &session.imported {
        return format!("imported ({})", sanitize::line(&imported.from));
    }
    let pinned = if session.pinned { ", pinned" } else { "" };
    match (&session.reason, session.state) {
        (Some(reason), SessionState::Suspended) => format!("{words} ({}){pinned}", sanitize::line(reason)),
        _ => format!("{words}{pinned}"),
    }
}

/// A state's symbol.
pub(crate) fn symbol(state: SessionState) -> &'static str {
    match state {
        SessionState::Starting => "⏳",
        SessionState::Idle => "🔵",
        SessionState::Processing => "🟢",
        SessionState::WaitingPermission => "🟡",
        SessionState::Suspended => "⏸ ",
        SessionState::Failed => "🔴",
        SessionState::Finished | SessionState::Killed | SessionState::Expired => "⚪",
    }
}

fn state_paint(state: SessionState) -> fn(Paint, &str) -> String {
    match state {
        SessionState::Processing => Paint::green,
        SessionState::WaitingPermission => Paint::yellow,
        SessionState::Failed => Paint::red,
        SessionState::Idle | SessionState::Starting => Paint::blue,
        _ => Paint::dim,
    }
}

/// Money for people.
pub(crate) fn money(cost: &Cost) -> String {
    let places = if cost.amount != 0.0 && cost.amount.abs() < 0.01 { 4 } else { 2 };
    // What was computed says so.
    let about = if cost.estimated { "~" } else { "" };
    match cost.currency.as_str() {
        "USD" => format!("{about}${:.places$}", cost.amount),
        currency => format!("{about}{:.places$} {currency}", cost.amount),
    }
}

/// The whole picture. `ended` is how many ended sessions the answer left out.
pub(crate) fn render(sessions: &[SessionInfo], ended: u32, frame: &Frame<'_>) -> Vec<String> {
    if sessions.is_empty() {
        return empty(ended, frame);
    }
    let title = if frame.all { "SESSIONS" } else { "ACTIVE SESSIONS" };
    let mut lines = vec![frame.paint.bold(&format!("{title} ({})", sessions.len()))];
    lines.extend(rows(sessions, frame));
    lines.push(String::new());
    let mut footer = Vec::new();
    if ended > 0 && !frame.all {
        footer.push(format!("{ended} ended (vibes ls --all)"));
    }
    footer.push("attach: vibes attach ID".to_owned());
    footer.push("end: vibes kill ID".to_owned());
    lines.push(frame.paint.dim(&footer.join(" · ")));
    lines
}

fn empty(ended: u32, frame: &Frame<'_>) -> Vec<String> {
    if frame.filtered {
        return vec!["No session fits.".to_owned(), frame.paint.dim("`vibes ls --all` lists every session")];
    }
    let first = if frame.all { "No sessions." } else { "No active sessions." };
    let mut lines = vec![
        first.to_owned(),
        format!(
            "Start one:  {}   or  {}",
            frame.paint.bold("vibes shell"),
            frame.paint.bold("vibes claude \"PROMPT\"")
        ),
    ];
    if ended > 0 {
        let ended = count(ended as usize, "session has", "sessions have");
        lines.push(frame.paint.dim(&format!("{ended} ended (vibes ls --all)")));
    }
    lines
}

fn rows(sessions: &[SessionInfo], frame: &Frame<'_>) -> Vec<String> {
    let with_cost = sessions.iter().any(|session| session.cost.is_some());
    let with_news = sessions.iter().any(|session| session.unread > 0);
    let mut headings = vec!["ID", "NAME", "AGENT", "STATE", "AGE", "OWNER", "VIEWERS"];
    if with_news {
        headings.push("NEW");
    }
    if with_cost {
        headings.push("COST");
    }
    let mut rows: Vec<Vec<Cell>> = sessions
        .iter()
        .map(|session| {
            let state = if frame.symbols {
                format!("{} {}", symbol(session.state), state_words(session))
            } else {
                state_words(session)
            };
            let mut row = vec![
                Cell::painted(short(session.id), Paint::bold),
                Cell::new(keep_start(&sanitize::line(session.name.as_deref().unwrap_or("-")), 24)),
                Cell::new(keep_start(&sanitize::line(&session.agent), 16)),
                Cell::painted(state, state_paint(session.state)),
                Cell::new(age(frame.now - session.created_at)),
                Cell::new(owner(session, frame.seat)),
                Cell::new(session.subscriber_count.to_string()),
            ];
            if with_news {
                let news = if session.unread > 0 { unread(session.unread) } else { "-".to_owned() };
                row.push(Cell::painted(news, Paint::bold));
            }
            if with_cost {
                let cost = session.cost.as_ref().map_or_else(|| "-".to_owned(), money);
                let of = session.budget.map_or_else(String::new, |budget| format!(" of {budget:.2}"));
                row.push(Cell::new(cost + &of));
            }
            row
        })
        .collect();
    // The directory comes last and takes what is left; below a dozen columns it says nothing any more.
    let used =
        table::render(&headings, &rows, Paint::PLAIN).iter().map(|line| line.width()).max().unwrap_or(0);
    // Trailing padding of the widest last column is not in `used` only where it is empty, which none is.
    let left = frame.width.saturating_sub(used + 2).max(12);
    headings.push("DIRECTORY");
    for (row, session) in rows.iter_mut().zip(sessions) {
        let directory = tilde(&sanitize::line(&session.cwd), frame.home);
        row.push(Cell::painted(keep_end(&directory, left), Paint::dim));
    }
    table::render(&headings, &rows, frame.paint)
}

/// How much is new; the daemon counts no further than this.
pub(crate) fn unread(count: u32) -> String {
    if count >= 99 { "99+".to_owned() } else { count.to_string() }
}

/// `you`, the owner's seat, or `-`.
pub(crate) fn owner(session: &SessionInfo, seat: &str) -> String {
    match (&session.owner_label, session.owner_id) {
        (Some(label), _) if label == seat => "you".to_owned(),
        (Some(label), _) => keep_start(&sanitize::line(label), 28),
        (None, Some(id)) => id.to_string().chars().take(8).collect(),
        (None, None) => "-".to_owned(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    pub(crate) fn session(changes: serde_json::Value) -> SessionInfo {
        let mut value = json!({
            "id": "3fa9c1d2-0000-4000-8000-000000000000", "name": "api", "agent": "shell", "cwd": "/home/ann/code/api",
            "state": "idle", "owner_id": null, "is_owner": false, "subscriber_count": 0, "created_at": 1000,
            "last_activity_at": 1000, "version": 1, "link": "live", "head": 3
        });
        for (key, change) in changes.as_object().unwrap() {
            value[key] = change.clone();
        }
        serde_json::from_value(value).unwrap()
    }

    fn frame() -> Frame<'static> {
        Frame {
            width: 100,
            now: 1090,
            seat: "ann@box:pts/1",
            home: Some("/home/ann"),
            symbols: false,
            all: false,
            filtered: false,
            paint: Paint::PLAIN,
        }
    }

    #[test]
    fn the_table_shows_every_column() {
        let mine =
            session(json!({"state": "processing", "owner_label": "ann@box:pts/1", "subscriber_count": 2}));
        let other = session(json!({"id": "aaaaaaaa-0000-4000-8000-000000000000", "name": null,
            "state": "waiting_permission", "owner_label": "bob@box:pts/2"}));
        let lines = render(&[mine, other], 3, &frame());
        assert_eq!(
            lines,
            [
                "ACTIVE SESSIONS (2)",
                "ID        NAME  AGENT  STATE           AGE  OWNER          VIEWERS  DIRECTORY",
                "3fa9c1d2  api   shell  processing      1m   you            2        ~/code/api",
                "aaaaaaaa  -     shell  needs approval  1m   bob@box:pts/2  0        ~/code/api",
                "",
                "3 ended (vibes ls --all) · attach: vibes attach ID · end: vibes kill ID",
            ]
        );
    }

    #[test]
    fn symbols_cost_and_reason_appear_when_there_are_any() {
        let paid = session(
            json!({"state": "suspended", "reason": "budget", "cost": {"amount": 0.004, "currency": "USD"}}),
        );
        let lines = render(&[paid], 0, &Frame { symbols: true, ..frame() });
        let news = session(json!({"unread": 3, "budget": 5.0, "cost": {"amount": 1.2, "currency": "USD"}}));
        let told = render(&[news], 0, &frame())[2].clone();
        assert!(told.contains("  3    $1.20 of 5.00  "), "{told}");
        assert!(lines[1].contains("COST"));
        assert!(lines[2].contains("⏸  suspended (budget)") && lines[2].contains("$0.0040"), "{}", lines[2]);
        assert!(!lines[4].contains("ended"));
    }

    #[test]
    fn a_long_directory_gives_way_to_the_terminal() {
        let deep = session(json!({"cwd": format!("/srv/{}/end", "deep/".repeat(40))}));
        for line in render(&[deep], 0, &Frame { width: 80, ..frame() }).iter().take(3) {
            assert!(line.width() <= 80, "{line}");
        }
    }

    #[test]
    fn hostile_names_stay_in_their_cell() {
        let evil = session(json!({"name": "x\u{1b}]0;y\u{7}\n\u{202e}z", "cwd": "/tmp/\u{1b}[2J"}));
        let lines = render(&[evil], 0, &frame());
        assert!(lines.iter().all(|line| !line.chars().any(char::is_control)), "{lines:?}");
    }

    #[test]
    fn an_empty_list_says_what_to_do() {
        let lines = render(&[], 1, &frame());
        assert_eq!(lines[0], "No active sessions.");
        assert!(lines[1].contains("vibes shell") && lines[2].contains("1 session has ended"));
        assert_eq!(render(&[], 0, &Frame { filtered: true, ..frame() })[0], "No session fits.");
    }
}
