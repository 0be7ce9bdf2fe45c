//! The picture of `vibes top`: head, list, pane, foot.
//!
//! Invariant: every word from outside is sanitised before it is drawn; a request is drawn by the frame that an attached
//! window uses, line for line, and [`Shown::whole`] says whether its last line was on the screen.

use super::screen::{cell, fit};
use super::state::{Deed, Mode, Shown, Top, name, pending};
use crate::attach::window::Asked;
use crate::render::list::{money, state_words};
use crate::render::{age, columns, count, keep_end, keep_start, permission, tilde};
use crate::sanitize;
use crate::ui::Paint;
use std::time::Instant;
use vibes_protocol::model::{SessionInfo, SessionState};

/// From so many columns on, list and pane stand side by side.
const WIDE: usize = 100;
/// With fewer, words are shorter.
const NARROW: usize = 60;

/// What the picture depends on besides the state.
pub(crate) struct Frame<'a> {
    pub(crate) size: (usize, usize),
    pub(crate) now_ms: i64,
    pub(crate) now: Instant,
    pub(crate) home: Option<&'a str>,
    /// Whether a directory holds vibes' own state.
    pub(crate) holds_state: &'a dyn Fn(&str) -> bool,
    pub(crate) paint: Paint,
}

const KEYS: &[(&str, &str)] = &[
    ("↑ ↓ j k", "select"),
    ("n Tab", "the next that needs you"),
    ("Enter", "attach; Ctrl-D comes back"),
    ("a", "approve what is asked"),
    ("s", "approve, and its like in this session"),
    ("d", "deny"),
    ("1 … 9", "one of the agent's options"),
    ("Space b", "read on in a request, and back"),
    ("i", "interrupt the turn (asks first)"),
    ("x", "kill the session (asks first)"),
    ("/", "filter; Esc clears it"),
    ("q Ctrl-C", "quit; sessions go on"),
];

/// How wide the list is; the pane has the rest.
fn list_width(columns: usize) -> usize {
    if columns >= WIDE { (columns * 2 / 5).clamp(44, 72) } else { columns }
}

/// How wide the pane is.
pub(crate) fn pane_width(columns: usize) -> usize {
    if columns >= WIDE { columns - list_width(columns) - 3 } else { columns.saturating_sub(1).max(1) }
}

pub(crate) fn draw(top: &mut Top, frame: &Frame<'_>) -> Vec<String> {
    let (columns, rows) = frame.size;
    let room = rows.saturating_sub(2).max(1);
    let mut picture = vec![head(top, frame)];
    if top.mode == Mode::Help {
        let key = |(key, what): &(&str, &str)| format!(" {} {what}", frame.paint.bold(&format!("{key:<9}")));
        picture.extend(KEYS.iter().take(room).map(|one| fit(&key(one), columns.saturating_sub(1))));
    } else if columns >= WIDE {
        let left = list_width(columns);
        let list = list(top, frame, left, room);
        let pane = pane(top, frame, pane_width(columns), room);
        let edge = frame.paint.dim("│");
        for at in 0..room {
            let of = |rows: &[String]| rows.get(at).cloned().unwrap_or_default();
            picture.push(format!("{} {edge} {}", cell(&of(&list), left), of(&pane)));
        }
    } else {
        // A request needs the room more than the list does.
        let asked = top.shown.is_some();
        let most = if asked { room / 4 } else { room / 2 };
        let height = top.order.len().clamp(1, most.max(1));
        picture.extend(list(top, frame, columns.saturating_sub(1), height));
        picture.push(frame.paint.dim(&"─".repeat(columns.saturating_sub(1))));
        picture.extend(pane(top, frame, pane_width(columns), room.saturating_sub(height + 1)));
    }
    picture.truncate(rows.saturating_sub(1));
    picture.resize(rows.saturating_sub(1), String::new());
    picture.push(foot(top, frame));
    picture
}

fn head(top: &Top, frame: &Frame<'_>) -> String {
    let of = |state| top.sessions.values().filter(|one| one.state == state).count();
    let mut parts = vec![count(top.sessions.len(), "session", "sessions")];
    let needs = top.sessions.values().filter(|one| pending(one).is_some()).count();
    if needs > 0 {
        parts.push(format!("{needs} {}", if needs == 1 { "needs you" } else { "need you" }));
    }
    parts.push(format!("{} working", of(SessionState::Processing)));
    if !top.filter.is_empty() && top.mode != Mode::Filter {
        parts.push(format!("/{} ({})", sanitize::line(&top.filter), top.order.len()));
    }
    if !top.connected {
        parts.push("not connected".to_owned());
    }
    let words = keep_start(&format!("vibes top · {}", parts.join(" · ")), frame.size.0.saturating_sub(1));
    frame.paint.bold(&words)
}

fn foot(top: &Top, frame: &Frame<'_>) -> String {
    let paint = frame.paint;
    let room = frame.size.0.saturating_sub(1);
    let cut = |words: &str| keep_start(words, room);
    match top.mode {
        Mode::Filter => {
            let words = format!("/{}▏", sanitize::line(&top.filter));
            // The end is what is being typed.
            let words = keep_end(&words, room);
            if columns(&words) + 28 <= room { format!("{words}{}", paint.dim("  Enter keeps it, Esc clears")) } else { words }
        }
        Mode::Sure(deed, id) => {
            let name = top.sessions.get(&id).map(name).unwrap_or_default();
            let question = match deed {
                Deed::Interrupt => format!("[y/N] interrupt the turn of {name}?"),
                Deed::Kill => format!("[y/N] kill {name}? Its agent ends."),
            };
            paint.alarm(&cut(&question))
        }
        Mode::Help => paint.dim(&cut("any key goes back")),
        Mode::List => match &top.note {
            Some(note) => paint.yellow(&cut(note)),
            None if room < NARROW => paint.dim(&cut("Enter n / a d i x q · ? keys")),
            None => paint.dim(&cut(
                "↑↓ select · n next that needs you · Enter attaches · i interrupts · x kills · / filters · ? keys · q quits",
            )),
        },
    }
}

fn list(top: &Top, frame: &Frame<'_>, width: usize, height: usize) -> Vec<String> {
    if top.order.is_empty() {
        let words = if top.sessions.is_empty() {
            "No active sessions. Start one: vibes claude \"PROMPT\""
        } else {
            "No session fits the filter."
        };
        return vec![frame.paint.dim(&keep_start(words, width))];
    }
    let at = top.order.iter().position(|id| Some(*id) == top.selected).unwrap_or(0);
    // The selected one stays in the middle where that can be.
    let first = at.saturating_sub(height / 2).min(top.order.len().saturating_sub(height));
    let shown = top.order.iter().skip(first).take(height);
    shown
        .filter_map(|id| top.sessions.get(id))
        .map(|session| row(session, Some(session.id) == top.selected, frame, width))
        .collect()
}

fn row(session: &SessionInfo, selected: bool, frame: &Frame<'_>, width: usize) -> String {
    let narrow = width < NARROW && frame.size.0 < WIDE;
    let waits = pending(session).is_some();
    let (mark, words, paint): (_, _, fn(Paint, &str) -> String) = match session.state {
        _ if waits => ("!", "needs you".to_owned(), Paint::yellow),
        // The rules are being asked.
        SessionState::WaitingPermission | SessionState::Processing => {
            ("●", "working".to_owned(), Paint::green)
        }
        SessionState::Idle => ("○", "idle".to_owned(), Paint::blue),
        SessionState::Starting => ("…", "starting".to_owned(), Paint::blue),
        _ => ("-", if narrow { session.state.as_str().to_owned() } else { state_words(session) }, Paint::dim),
    };
    let pointer = if selected { "▸" } else { " " };
    let label = if narrow { 12 } else { 16 };
    let called = cell(&keep_start(&name(session), label), label);
    let called = if selected { frame.paint.bold(&called) } else { called };
    let since = age((frame.now_ms - session.last_activity_ms) / 1000);
    let state = paint(frame.paint, &cell(&keep_start(&words, 9), 9));
    let mut row = format!("{pointer}{} {called} {state} {since:>3}", paint(frame.paint, mark));
    let left = width.saturating_sub(columns(&row) + 1);
    if left >= 6 {
        let said = match pending(session) {
            Some(permission) => permission::action(permission),
            None => sanitize::line(session.preview.as_deref().unwrap_or_default()).into_owned(),
        };
        row.push(' ');
        row.push_str(&frame.paint.dim(&keep_start(&said, left)));
    }
    fit(&row, width)
}

/// The selected session: the request that waits there, else the end of its conversation.
fn pane(top: &mut Top, frame: &Frame<'_>, width: usize, height: usize) -> Vec<String> {
    let Some(session) = top.selected.and_then(|id| top.sessions.get(&id)) else { return Vec::new() };
    let mut rows = vec![about(session, frame, width)];
    let height = height.saturating_sub(1);
    if let (Some(shown), Some(permission)) = (&mut top.shown, pending(session)) {
        let holds = (frame.holds_state)(&session.cwd);
        let lines =
            permission::frame(session, permission, width, usize::MAX, frame.now_ms, holds, frame.paint);
        rows.extend(request(shown, &lines, permission, session, frame, height));
        return rows;
    }
    if let Some(preview) = &top.preview {
        rows.extend(preview.tail(height));
    }
    rows
}

fn about(session: &SessionInfo, frame: &Frame<'_>, width: usize) -> String {
    let mut parts = vec![name(session), sanitize::line(&session.agent).into_owned()];
    if session.queued > 0 {
        parts.push(format!("{} queued", session.queued));
    }
    parts.extend(session.cost.as_ref().map(money));
    parts.extend(session.reason.as_deref().map(|reason| sanitize::line(reason).into_owned()));
    let words = parts.join(" · ");
    let left = width.saturating_sub(columns(&words) + 3);
    let directory = tilde(&sanitize::line(&session.cwd), frame.home);
    let words = if left >= 8 { format!("{words} · {}", keep_end(&directory, left)) } else { words };
    frame.paint.bold(&keep_start(&words, width))
}

/// As much of a request as there is room for; says what is not seen, and notes what was.
fn request(
    shown: &mut Shown,
    lines: &[String],
    permission: &vibes_protocol::model::Permission,
    session: &SessionInfo,
    frame: &Frame<'_>,
    height: usize,
) -> Vec<String> {
    let (options, kind) = (permission.options.len(), permission::kind(permission));
    // In a room of no height nothing is seen.
    if height > 0 {
        shown.asked.get_or_insert_with(|| Asked::new(kind, options, frame.now));
    }
    let others = session.pending_permissions.len().saturating_sub(1);
    if lines.len() + usize::from(others > 0) <= height {
        (shown.whole, shown.scroll, shown.page) = (true, 0, height);
        let mut rows = lines.to_vec();
        if others > 0 {
            rows.push(
                frame.paint.dim(&format!("and {} after it", count(others, "more request", "more requests"))),
            );
        }
        return rows;
    }
    // One row says where we are.
    let page = height.saturating_sub(1);
    let last = lines.len().saturating_sub(page);
    shown.page = page;
    shown.scroll = shown.scroll.min(last);
    shown.whole |= page > 0 && shown.scroll == last;
    let mut rows: Vec<String> = lines.iter().skip(shown.scroll).take(page).cloned().collect();
    let below = lines.len() - (shown.scroll + rows.len());
    let words = if below > 0 {
        format!("{} below: Space reads on", count(below, "more line", "more lines"))
    } else {
        "b goes back".to_owned()
    };
    rows.push(frame.paint.alarm(&keep_start(&words, frame.size.0.saturating_sub(1))));
    rows
}
