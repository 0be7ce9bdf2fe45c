//! Requests for approval in an attached session: which one is on the screen, and since when.
//!
//! Invariant: a request is shown whole before a key can answer it, and only one at a time.

use super::output::Output;
use super::view::View;
use crate::commands::{now_ms, words_of_request};
use crate::error::Outcome;
use crate::render::permission;
use crate::ui;
use std::time::Instant;
use vibes_protocol::model::fact::PermissionRequested;
use vibes_protocol::model::{Fact, Permission, SessionState};
use vibes_protocol::wire::message::Record;

impl View {
    /// Whether a record is a request that the person will see whole in a moment.
    pub(super) fn will_be_framed(&self, record: &Record) -> bool {
        let Fact::PermissionRequested(requested) = &record.fact else { return false };
        let id = &requested.permission.permission_id;
        self.mode.interactive
            && (record.seq > self.head || self.pending.iter().any(|one| one.permission_id == *id))
    }

    /// What was answered before anybody saw it, by a rule or by somebody else, is told in one line.
    pub(super) fn tell_unseen(&mut self, permission_id: &str, output: &mut Output) -> Outcome {
        let unseen = self.pending.iter().find(|one| one.permission_id == permission_id);
        let Some(permission) = unseen.filter(|one| self.shown.as_ref() != Some(&one.permission_id)).cloned()
        else {
            return Ok(());
        };
        if !self.mode.interactive {
            return Ok(());
        }
        let pieces = self.conversation.read(&PermissionRequested { permission }.into());
        output.pieces(pieces)
    }

    /// Shows the oldest request that waits, whole, and arms the keys.
    pub(super) fn ask(&mut self, output: &mut Output) -> Outcome {
        let Some(permission) = self.pending.front().cloned() else {
            self.shown = None;
            if let Some(keys) = output.keys() {
                keys.settle();
            }
            return Ok(());
        };
        if self.shown.as_ref() == Some(&permission.permission_id) {
            return Ok(());
        }
        // The rules are being asked about it: it is a person's only when they say so.
        if self.session.state != SessionState::WaitingPermission {
            return Ok(());
        }
        self.shown = Some(permission.permission_id.clone());
        self.shown_at = Some(Instant::now());
        self.answered = false;
        if !self.mode.interactive {
            return output.say(words_of_request(&self.session, &permission));
        }
        let pieces = self.flush();
        output.pieces(pieces)?;
        self.frame(&permission, permission::LINES, output)?;
        // Once before, for the words behind the empty line; and once when the frame is on the screen, because the
        // time in which keys do not count yet begins there.
        let arm =
            |output: &Output| output.keys().into_iter().for_each(|keys| keys.ask(permission.options.len()));
        arm(output);
        output.flush()?;
        arm(output);
        self.shown_at = Some(Instant::now());
        Ok(())
    }

    pub(super) fn frame(&self, permission: &Permission, limit: usize, output: &mut Output) -> Outcome {
        output.lines(permission::frame(
            &self.session,
            permission,
            ui::width(),
            limit,
            now_ms(),
            ui::Paint::stdout(),
        ))
    }
}
