//! The rows about what is under way: words, thoughts and tools of the agent, prompts that were not taken yet, and how
//! the session stands; and the first and last words of an attach.
//!
//! Invariant: what matters most stands first, because a small screen cuts the rest; every word from outside is
//! sanitised.

use super::output::Output;
use super::view::{End, View};
use crate::error::Outcome;
use crate::render::{keep_end, keep_start, short, tilde, tool};
use crate::ui::{self, Paint};
use crate::{place, sanitize};
use serde_json::Value;
use vibes_protocol::model::{Link, SessionState};
use vibes_protocol::wire::request::Content;

/// Prompts on their way that are shown.
const ON_THE_WAY: usize = 3;

impl View {
    /// Says where we are, before the transcript.
    pub(crate) fn header(&self, output: &mut Output) -> Outcome {
        if self.mode.once && !self.mode.interactive {
            return Ok(());
        }
        let (session, home) = (&self.session, place::home());
        let directory = keep_end(&tilde(&sanitize::line(&session.cwd), home.as_deref()), 50);
        let watching = if self.mode.read_only { " · read-only" } else { "" };
        let name =
            session.name.as_deref().map_or_else(String::new, |name| format!("{} · ", sanitize::line(name)));
        let line = format!(
            "── {name}{} · {directory} · {}{watching} ──",
            sanitize::line(&session.agent),
            short(session.id)
        );
        output.say(ui::Paint::stderr().dim(&line))
    }

    /// The last words, on standard error.
    pub(crate) fn farewell(&self, end: &End) {
        let (name, id) = (self.name(), short(self.session.id));
        match end {
            End::Detached => {
                ui::say(&format!("detached from {name}; the session goes on. Back: vibes attach {id}"))
            }
            End::Turn(_) => {}
            End::Ended if self.mode.once => {}
            End::Ended => ui::say(&format!(
                "session {name} is over ({}). Read it: vibes logs {id}",
                self.session.state.as_str()
            )),
            End::Killed { .. } => ui::say(&format!("session {name} was killed. Read it: vibes logs {id}")),
            End::Failed => {
                let reason = self.session.reason.as_deref().unwrap_or("no reason was given");
                ui::say(&format!(
                    "session {name} failed: {}. Read it: vibes logs {id}",
                    sanitize::line(reason)
                ));
            }
        }
    }

    /// What is under way, in at most so many rows.
    pub(super) fn under_way(&self, now_ms: i64, rows: usize) -> Vec<String> {
        let paint = Paint::stdout();
        let width = ui::size().0.saturating_sub(12);
        let sending = self.unanswered.iter().rev().take(ON_THE_WAY.min(rows)).rev();
        let sending: Vec<String> = sending
            .map(|(_, input)| {
                let Content::Text(text) = &input.content else { return String::new() };
                paint.dim(&format!("> {} (sending)", keep_start(&sanitize::line(text), width)))
            })
            .collect();
        let mut lines = self.conversation.live(now_ms, rows.saturating_sub(sending.len()));
        lines.extend(sending);
        lines
    }

    /// One row about the session.
    pub(super) fn status_row(&self, width: usize, paint: Paint) -> String {
        let session = &self.session;
        let (mark, state): (fn(Paint, &str) -> String, String) = match session.state {
            _ if !self.connected => (Paint::red, "not connected".to_owned()),
            _ if session.link == Link::Adopting => (Paint::yellow, "finding the agent".to_owned()),
            SessionState::WaitingPermission => (Paint::yellow, "needs an answer".to_owned()),
            SessionState::Processing => {
                let took = self.turn_began.and_then(|began| i64::try_from(began.elapsed().as_secs()).ok());
                let took = took.filter(|s| *s > 0).and_then(|s| tool::took(s * 1000));
                // Whole seconds: this row is drawn once in one.
                let took = took.map_or_else(String::new, |took| format!(" {}", took.replace(".0 s", " s")));
                (Paint::green, format!("working{took}"))
            }
            SessionState::Idle | SessionState::Starting => (Paint::blue, session.state.as_str().to_owned()),
            state => (Paint::red, state.as_str().to_owned()),
        };
        let mut parts = vec![self.name()];
        if session.queued > 0 {
            parts.push(format!("{} queued", session.queued));
        }
        if self.mode.read_only {
            parts.push("read-only".to_owned());
        }
        if session.subscriber_count > 1 {
            parts.push(format!("{} here", session.subscriber_count));
        }
        parts.push(sanitize::line(&session.agent).into_owned());
        let option = |id: &str| session.options.get(id).filter(|value| !value.is_null());
        let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        parts.extend(
            ["model", "mode"]
                .iter()
                .filter_map(|id| option(id))
                .map(|it| sanitize::line(&word(it)).into_owned()),
        );
        if let Some(reason) = session.reason.as_deref() {
            parts.push(sanitize::line(reason).into_owned());
        }
        let rest = format!(" · {}", parts.join(" · "));
        let room = width.saturating_sub(2);
        let state = keep_start(&state, room);
        let rest = keep_start(&rest, room.saturating_sub(crate::render::columns(&state)));
        format!("{} {state}{}", mark(paint, "●"), paint.dim(&rest))
    }
}
