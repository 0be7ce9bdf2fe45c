//! The terminal's bell and title: what calls a person who looks elsewhere.
//!
//! Invariant: only where a person types, only about what happens while they are attached, and never a character of an
//! agent's that a terminal could obey.

use super::view::View;
use crate::sanitize;
use crate::ui;
use std::time::{Duration, Instant};
use vibes_protocol::model::{Fact, SessionState};
use vibes_protocol::wire::message::Record;

/// A turn that took so long is one that nobody sat and watched.
const LONG: Duration = Duration::from_secs(10);

impl View {
    /// Keeps the title up to date and rings for what a person waits for.
    pub(super) fn attend(&mut self, record: &Record) {
        if !self.mode.interactive {
            return;
        }
        let live = record.seq > self.head;
        match &record.fact {
            Fact::TurnStarted(_) => self.turn_began = live.then(Instant::now),
            Fact::TurnEnded(_) if self.turn_began.take().is_some_and(|began| began.elapsed() >= LONG) => {
                ui::ring()
            }
            Fact::StateChanged(changed) => {
                if live && (changed.to == SessionState::WaitingPermission || changed.to.is_ended()) {
                    ui::ring();
                }
                if record.seq >= self.head {
                    self.retitle();
                }
            }
            Fact::Renamed(renamed) => {
                self.session.name.clone_from(&renamed.name);
                self.retitle();
            }
            _ => {}
        }
    }

    /// The title: which session, and how it stands.
    pub(super) fn retitle(&self) {
        if self.mode.interactive {
            let state = match self.session.state {
                SessionState::WaitingPermission => "needs approval",
                state => state.as_str(),
            };
            ui::title(&sanitize::line(&format!("{} · {state} · vibes", self.name())));
        }
    }
}
