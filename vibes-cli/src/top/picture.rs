//! The picture of `vibes top`: head, list, pane, foot.
//!
//! Invariant: every word from outside is sanitised before it is drawn; a request is drawn by the frame that an attached
//! window uses, line for line, and [`Shown::whole`] says whether its last line was on the screen.

use super::list::{list, spent_words};
use super::state::{Deed, Mode, Shown, Top, name, pending};
use super::styled::{Ink, draw as put, painted, span};
use crate::attach::window::Asked;
use crate::render::{columns, count, keep_end, keep_start, permission, tilde};
use crate::sanitize;
use crate::ui::Paint;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use std::time::Instant;
use vibes_protocol::model::{SessionInfo, SessionState};

/// From so many columns on, list and pane stand side by side.
const WIDE: usize = 100;
/// With fewer, words are shorter.
pub(super) const NARROW: usize = 60;

/// What the picture depends on besides the state.
pub(crate) struct Frame<'a> {
    /// List and pane stand below each other.
    pub(crate) narrow: bool,
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
    ("w", "answer a question in words"),
    ("1 … 9", "one of the agent's options"),
    ("Space b", "read on in a request, and back"),
    ("i", "interrupt the turn (asks first)"),
    ("x", "kill the session (asks first)"),
    ("/", "filter; Esc clears it"),
    ("q Ctrl-C", "quit; sessions go on"),
];

/// Whether list and pane stand below each other.
pub(crate) fn is_narrow(columns: usize) -> bool {
    columns < WIDE
}

/// How wide the list is; the pane has the rest.
fn list_width(columns: usize) -> usize {
    if is_narrow(columns) { columns } else { (columns * 2 / 5).clamp(44, 72) }
}

/// How wide the pane is.
pub(crate) fn pane_width(columns: usize) -> usize {
    if is_narrow(columns) { columns.saturating_sub(1).max(1) } else { columns - list_width(columns) - 3 }
}

fn cells(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

/// Draws all of it. The last column stays empty: some terminals wrap what reaches it.
pub(crate) fn draw(top: &mut Top, frame: &Frame<'_>, buffer: &mut Buffer) {
    let (columns, rows) = (usize::from(buffer.area.width), usize::from(buffer.area.height));
    let ink = Ink(frame.paint.is_on());
    let most = columns.saturating_sub(1);
    let room = rows.saturating_sub(2).max(1);
    let area = |x: usize, y: usize, width: usize, height: usize| {
        Rect::new(cells(x), cells(y), cells(width), cells(height)).intersection(buffer_area(rows, most))
    };
    put(buffer, (0, 0), &head(top, ink, most), most);
    if top.mode == Mode::Help {
        for (at, (key, what)) in KEYS.iter().take(room).enumerate() {
            let line = Line::from(vec![
                span(&format!(" {key:<9}"), ink.bold()),
                span(&format!(" {what}"), ink.none()),
            ]);
            put(buffer, (0, at + 1), &line, most);
        }
    } else if is_narrow(columns) {
        // A request needs the room more than the list does.
        let most_rows = if top.shown.is_some() { room / 4 } else { room / 2 };
        let height = top.order.len().clamp(1, most_rows.max(1));
        list(top, frame, buffer, area(0, 1, most, height));
        put(buffer, (0, height + 1), &span(&"─".repeat(most), ink.dim()).into(), most);
        pane(top, frame, buffer, area(0, height + 2, pane_width(columns), room.saturating_sub(height + 1)));
    } else {
        let left = list_width(columns);
        list(top, frame, buffer, area(0, 1, left, room));
        for at in 0..room {
            put(buffer, (left + 1, at + 1), &span("│", ink.dim()).into(), 1);
        }
        pane(top, frame, buffer, area(left + 3, 1, pane_width(columns), room));
    }
    // On a screen of no height the foot matters most: a question may stand there.
    put_over(buffer, rows.saturating_sub(1), &foot(top, ink, most), most);
}

fn buffer_area(rows: usize, columns: usize) -> Rect {
    Rect::new(0, 0, cells(columns), cells(rows))
}

/// Draws a row whatever stands there.
fn put_over(buffer: &mut Buffer, row: usize, line: &Line<'_>, width: usize) {
    let area = Rect { y: cells(row), height: 1, ..buffer.area }.intersection(buffer.area);
    area.positions().for_each(|at| buffer[at].reset());
    put(buffer, (0, row), line, width);
}

fn head(top: &Top, ink: Ink, width: usize) -> Line<'static> {
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
    span(&keep_start(&format!("vibes top · {}", parts.join(" · ")), width), ink.bold()).into()
}

fn foot(top: &Top, ink: Ink, room: usize) -> Line<'static> {
    let cut = |words: &str| keep_start(words, room);
    // The end is what is being typed.
    let typing = |words: String, hint: &str| {
        let words = keep_end(&words, room);
        let fits = columns(&words) + columns(hint) + 2 <= room;
        let hint = fits.then(|| span(&format!("  {hint}"), ink.dim()));
        Line::from_iter([span(&words, ink.none())].into_iter().chain(hint))
    };
    match top.mode {
        Mode::Filter => {
            typing(format!("/{}▏", sanitize::line(&top.filter)), "Enter keeps it, Esc clears")
        }
        Mode::Words => {
            let (question, typed) = top.words_row();
            let question = keep_start(&question, (room / 2).max(8));
            match &top.note {
                Some(note) => span(&cut(note), ink.yellow()).into(),
                None => typing(format!("{question} › {typed}▏"), "Enter answers, Esc leaves"),
            }
        }
        Mode::Sure(deed, id) => {
            let name = top.sessions.get(&id).map(name).unwrap_or_default();
            let question = match deed {
                Deed::Interrupt => format!("[y/N] interrupt the turn of {name}?"),
                Deed::Kill => format!("[y/N] kill {name}? Its agent ends."),
            };
            span(&cut(&question), ink.alarm()).into()
        }
        Mode::Help => span(&cut("any key goes back"), ink.dim()).into(),
        Mode::List => match &top.note {
            Some(note) => span(&cut(note), ink.yellow()).into(),
            None if room < NARROW => span(&cut("Enter n / a d i x q · ? keys"), ink.dim()).into(),
            None => span(&cut(
                "↑↓ select · n next that needs you · Enter attaches · i interrupts · x kills · / filters · ? keys · q quits",
            ), ink.dim()).into(),
        },
    }
}

/// The selected session: the request that waits there, else the end of its conversation.
fn pane(top: &mut Top, frame: &Frame<'_>, buffer: &mut Buffer, area: Rect) {
    let Some(session) = top.selected.and_then(|id| top.sessions.get(&id)) else { return };
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    if height == 0 {
        return;
    }
    let (x, y) = (usize::from(area.x), usize::from(area.y));
    let ink = Ink(frame.paint.is_on());
    put(buffer, (x, y), &span(&about(session, frame, width), ink.bold()).into(), width);
    let height = height - 1;
    let rows = match (&mut top.shown, pending(session), &top.preview) {
        (Some(shown), Some(permission), _) => {
            let holds = (frame.holds_state)(&session.cwd);
            let room = permission::Room { width, limit: usize::MAX, asks_in_turn: true };
            let lines = permission::frame(session, permission, room, frame.now_ms, holds, frame.paint);
            request(shown, &lines, permission, session, frame, (width, height))
        }
        (_, _, Some(preview)) => preview.tail(height),
        _ => Vec::new(),
    };
    for (at, row) in rows.iter().take(height).enumerate() {
        put(buffer, (x, y + 1 + at), &painted(row), width);
    }
}

fn about(session: &SessionInfo, frame: &Frame<'_>, width: usize) -> String {
    let mut parts = vec![name(session), sanitize::line(&session.agent).into_owned()];
    if session.unread > 0 {
        parts.push(format!("{} new", crate::render::list::unread(session.unread)));
    }
    if session.queued > 0 {
        parts.push(format!("{} queued", session.queued));
    }
    parts.extend(spent_words(session));
    parts.extend(session.reason.as_deref().map(|reason| sanitize::line(reason).into_owned()));
    let words = parts.join(" · ");
    let left = width.saturating_sub(columns(&words) + 3);
    let directory = tilde(&sanitize::line(&session.cwd), frame.home);
    let words = if left >= 8 { format!("{words} · {}", keep_end(&directory, left)) } else { words };
    keep_start(&words, width)
}

/// As much of a request as there is room for; says what is not seen, and notes what was.
fn request(
    shown: &mut Shown,
    lines: &[String],
    permission: &vibes_protocol::model::Permission,
    session: &SessionInfo,
    frame: &Frame<'_>,
    (width, height): (usize, usize),
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
    rows.push(frame.paint.alarm(&keep_start(&words, width)));
    rows
}
