//! What keeps an ended session from leaving by retention, and its leaving.
//!
//! Invariant: it is decided by the session's own task, at the moment it leaves: whoever pins, reads, joins or resumes it until
//! then keeps it.

use super::{
    event::{Effect, Reply, Tag},
    state::State,
    step::Step,
};
use vibes_protocol::model::{CodedError, Stays};

impl State {
    /// Whether something in it is new to somebody who has read it, or to everybody where nobody has.
    fn is_unread(&self) -> bool {
        let readers = self.readers();
        match readers.is_empty() {
            true => !self.body.news.is_empty(),
            false => readers.values().any(|(_, unread)| *unread > 0),
        }
    }

    /// Why retention leaves it alone, if it has ended.
    pub fn stays(&self) -> Option<Stays> {
        let body = &self.body;
        match () {
            () if self.unreadable => Some(Stays::Unreadable),
            () if body.running || body.stopping.is_some() => Some(Stays::Running),
            () if body.pinned => Some(Stays::Pinned),
            () if !self.pending.is_empty() || !body.queue.is_empty() => Some(Stays::Waiting),
            () if !self.ownership.seats.is_empty() => Some(Stays::Attached),
            () if body.worktree.is_some() => Some(Stays::Worktree),
            () if self.is_unread() => Some(Stays::Unread),
            () => None,
        }
    }
}

impl Step<'_> {
    /// It leaves, if nothing happened in it since this moment, in milliseconds, and nothing keeps it.
    pub(super) fn leave_for_good(&mut self, tag: Tag, last_ms: i64) -> Result<Option<Reply>, CodedError> {
        if !self.s.body.state.is_ended() || self.s.last_ms > last_ms {
            return Err(self.wrong_state("something happened in it"));
        }
        if let Some(why) = self.s.stays() {
            return Err(self.wrong_state(&format!("it stays, because of this: {}", why.as_str())));
        }
        if self.s.body.deleted_ms.is_none() {
            self.delete();
        }
        self.effect(Effect::Purge(tag, None));
        Ok(None)
    }
}
