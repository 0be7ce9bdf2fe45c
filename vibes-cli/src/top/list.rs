//! The rows of the list in `vibes top`.
//!
//! Invariant: what a colour says a mark or a word says as well; columns that nobody has anything for are not there, and
//! on a narrow screen money gives way before names do.

use super::picture::{Frame, NARROW};
use super::state::{Top, name, pending};
use super::styled::{Ink, draw, span};
use crate::render::list::{money, state_words, unread};
use crate::render::{age, keep_start, permission};
use crate::sanitize;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;
use vibes_protocol::model::{SessionInfo, SessionState};

/// Whether a session has spent what it may.
fn is_spent(session: &SessionInfo) -> bool {
    let budget = session.budget.filter(|budget| *budget > 0.0);
    budget.zip(session.cost.as_ref()).is_some_and(|(budget, cost)| cost.amount >= budget)
}

/// How much is said about money, as there is room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    /// Of how much, too.
    Whole,
    Cost,
    /// In whole units.
    Round,
}

/// What it has cost, and a mark when that is all it may cost.
fn spent(session: &SessionInfo, says: Says) -> String {
    let budget = session.budget.filter(|budget| *budget > 0.0 && says == Says::Whole);
    let cost = session.cost.as_ref().map(|cost| match (says, cost.currency.as_str()) {
        (Says::Round, "USD") => format!("${:.0}", cost.amount),
        (Says::Round, _) => format!("{:.0}", cost.amount),
        _ => money(cost),
    });
    let of = match budget {
        Some(budget) if budget.fract() == 0.0 => format!("/{budget:.0}"),
        Some(budget) => format!("/{budget:.2}"),
        None => String::new(),
    };
    let mark = if is_spent(session) { "!" } else { "" };
    match (cost, of.is_empty()) {
        (None, true) => String::new(),
        (cost, _) => format!("{}{of}{mark}", cost.unwrap_or_else(|| "0".to_owned())),
    }
}

/// The same in words.
pub(super) fn spent_words(session: &SessionInfo) -> Option<String> {
    let budget = session.budget.filter(|budget| *budget > 0.0);
    let cost = session.cost.as_ref().map(money);
    match (cost, budget) {
        (None, None) => None,
        (cost, Some(budget)) => {
            let cost = cost.unwrap_or_else(|| "0".to_owned());
            let all = if is_spent(session) { ", all of it" } else { "" };
            Some(format!("{cost} of {budget:.2}{all}"))
        }
        (cost, None) => cost,
    }
}

/// How wide columns are that only some lists have.
struct Columns {
    label: usize,
    news: usize,
    money: (usize, Says),
}

fn columns(sessions: &[&SessionInfo], width: usize, narrow: bool) -> Columns {
    let label = if narrow { 12 } else { 16 };
    let widest = |words: &dyn Fn(&SessionInfo) -> String| {
        sessions.iter().map(|session| words(session).chars().count()).max().unwrap_or(0)
    };
    let news = widest(&|session| if session.unread > 0 { unread(session.unread) } else { String::new() });
    // Pointer, mark, name, state and age with what is between them.
    let left = width.saturating_sub(label + 17 + if news > 0 { news + 2 } else { 0 });
    let fits = |says: Says| {
        let widest = widest(&|session| spent(session, says));
        (widest < left).then_some((widest, says))
    };
    let money = [Says::Whole, Says::Cost, Says::Round].into_iter().find_map(fits);
    Columns { label, news, money: money.unwrap_or((0, Says::Round)) }
}

/// Draws as much of the list as has room, the selected session in the middle where that can be.
pub(super) fn list(top: &Top, frame: &Frame<'_>, buffer: &mut Buffer, area: Rect) {
    let ink = Ink(frame.paint.is_on());
    let (x, y, width, height) =
        (area.x.into(), usize::from(area.y), usize::from(area.width), usize::from(area.height));
    if top.order.is_empty() {
        let words = if top.sessions.is_empty() {
            "No active sessions. Start one: vibes claude \"PROMPT\""
        } else {
            "No session fits the filter."
        };
        draw(buffer, (x, y), &span(words, ink.dim()).into(), width);
        return;
    }
    let at = top.order.iter().position(|id| Some(*id) == top.selected).unwrap_or(0);
    let first = at.saturating_sub(height / 2).min(top.order.len().saturating_sub(height));
    let shown: Vec<&SessionInfo> =
        top.order.iter().skip(first).take(height).filter_map(|id| top.sessions.get(id)).collect();
    let narrow = width < NARROW && frame.narrow;
    let columns = columns(&shown, width, narrow);
    for (row, session) in shown.iter().enumerate() {
        let selected = Some(session.id) == top.selected;
        let line = line(session, selected, &columns, frame.now_ms, ink, (width, narrow));
        draw(buffer, (x, y + row), &line, width);
    }
}

fn state(session: &SessionInfo, narrow: bool, ink: Ink) -> (&'static str, String, Style) {
    match session.state {
        _ if pending(session).is_some() => ("!", "needs you".to_owned(), ink.yellow()),
        // The rules are being asked.
        SessionState::WaitingPermission | SessionState::Processing => {
            ("●", "working".to_owned(), ink.green())
        }
        SessionState::Idle => ("○", "idle".to_owned(), ink.blue()),
        SessionState::Starting => ("…", "starting".to_owned(), ink.blue()),
        SessionState::Suspended if is_spent(session) => ("$", "spent out".to_owned(), ink.red()),
        state if narrow => ("-", state.as_str().to_owned(), ink.dim()),
        _ => ("-", state_words(session), ink.dim()),
    }
}

fn line(
    session: &SessionInfo,
    selected: bool,
    columns: &Columns,
    now_ms: i64,
    ink: Ink,
    (width, narrow): (usize, bool),
) -> Line<'static> {
    let (mark, words, style) = state(session, narrow, ink);
    let fill = |words: String, width: usize| {
        let used = span(&words, Style::new()).width();
        words + &" ".repeat(width.saturating_sub(used))
    };
    let plain = Style::new();
    let label = fill(keep_start(&name(session), columns.label), columns.label);
    let since = age((now_ms - session.last_activity_ms) / 1000);
    let mut spans = vec![
        span(if selected { "▸" } else { " " }, plain),
        span(mark, style),
        span(&format!(" {label} "), if selected { ink.bold() } else { plain }),
        span(&fill(keep_start(&words, 9), 9), style),
        span(&format!(" {since:>3}"), plain),
    ];
    if columns.news > 0 {
        let news = if session.unread > 0 { format!("+{}", unread(session.unread)) } else { String::new() };
        spans.push(span(&format!(" {news:>0$}", columns.news + 1), ink.bold()));
    }
    let (room, says) = columns.money;
    if room > 0 {
        let style = if is_spent(session) { ink.red() } else { plain };
        spans.push(span(&format!(" {:>room$}", spent(session, says)), style));
    }
    let used: usize = spans.iter().map(ratatui::text::Span::width).sum();
    let left = width.saturating_sub(used + 1);
    if left >= 6 {
        let said = match pending(session) {
            Some(permission) => permission::action(permission),
            None => sanitize::line(session.preview.as_deref().unwrap_or_default()).into_owned(),
        };
        spans.push(span(&format!(" {}", keep_start(&said, left)), ink.dim()));
    }
    Line::from(spans)
}
