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

/// What keeps a session beside what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeps {
    /// What is unread keeps a session only when something happened in it after this moment, in milliseconds.
    pub unread_after_ms: i64,
    /// Whether a stored trigger waits for it.
    pub trigger: bool,
}

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
    pub fn stays(&self, keeps: Keeps) -> Option<Stays> {
        let body = &self.body;
        match () {
            () if self.unreadable => Some(Stays::Unreadable),
            () if body.running || body.stopping.is_some() => Some(Stays::Running),
            () if body.pinned => Some(Stays::Pinned),
            () if !self.pending.is_empty() || !body.queue.is_empty() => Some(Stays::Waiting),
            () if !self.ownership.seats.is_empty() => Some(Stays::Attached),
            () if body.worktree.is_some() => Some(Stays::Worktree),
            () if keeps.trigger => Some(Stays::Trigger),
            () if self.last_ms > keeps.unread_after_ms && self.is_unread() => Some(Stays::Unread),
            () => None,
        }
    }
}

impl Step<'_> {
    /// It leaves, if nothing happened in it since this moment, in milliseconds, and nothing keeps it.
    pub(super) fn leave_for_good(
        &mut self,
        tag: Tag,
        last_ms: i64,
        keeps: Keeps,
    ) -> Result<Option<Reply>, CodedError> {
        if !self.s.body.state.is_ended() || self.s.last_ms > last_ms {
            return Err(self.wrong_state("something happened in it"));
        }
        if let Some(why) = self.s.stays(keeps) {
            return Err(self.wrong_state(&format!("it stays, because of this: {}", why.as_str())));
        }
        if self.s.body.deleted_ms.is_none() {
            self.delete();
        }
        self.effect(Effect::Purge(tag, None));
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::case::{Case, input};

    const FOR_EVER: Keeps = Keeps { unread_after_ms: i64::MIN, trigger: false };

    /// One that nothing keeps.
    fn ended() -> State {
        let mut state = Case::idle().state;
        state.body.running = false;
        state.body.news.clear();
        state.ownership = Default::default();
        state
    }

    fn after(change: impl FnOnce(&mut State), keeps: Keeps) -> Option<Stays> {
        let mut state = ended();
        change(&mut state);
        state.stays(keeps)
    }

    #[test]
    fn each_reason_to_stay_keeps_by_itself() {
        let why = |change: &dyn Fn(&mut State)| after(change, FOR_EVER);
        assert_eq!(why(&|_| ()), None);
        assert_eq!(why(&|state| state.unreadable = true), Some(Stays::Unreadable));
        assert_eq!(why(&|state| state.body.running = true), Some(Stays::Running));
        assert_eq!(why(&|state| state.body.pinned = true), Some(Stays::Pinned));
        let waits = Case::asking().0.state;
        let asked = why(&|state| state.pending = waits.pending.clone());
        assert_eq!(asked, Some(Stays::Waiting));
        let mut busy = Case::processing();
        busy.ok(1, input("later"));
        assert_eq!(why(&|state| state.body.queue = busy.state.body.queue.clone()), Some(Stays::Waiting));
        let attended = Case::idle().state.ownership;
        assert!(!attended.seats.is_empty());
        assert_eq!(why(&|state| state.ownership = attended.clone()), Some(Stays::Attached));
        let worktree =
            serde_json::json!({"path": "/w", "branch": "b", "repo": "/r", "base": "m", "commit": "c"});
        let worktree = serde_json::from_value(worktree).ok();
        assert_eq!(why(&|state| state.body.worktree = worktree.clone()), Some(Stays::Worktree));
        assert_eq!(after(|_| (), Keeps { trigger: true, ..FOR_EVER }), Some(Stays::Trigger));
    }

    #[test]
    fn what_is_unread_keeps_it_for_whoever_reads_and_not_for_ever() {
        let news = |state: &mut State| {
            state.last_ms = 1_000;
            state.body.news.push_back(1);
        };
        // Nobody has read: it is new to everybody.
        assert_eq!(after(news, FOR_EVER), Some(Stays::Unread));
        let read = |seq| {
            move |state: &mut State| {
                news(state);
                state.body.readers.insert("ann".to_owned(), seq);
            }
        };
        assert_eq!(after(read(0), FOR_EVER), Some(Stays::Unread));
        assert_eq!(after(read(1), FOR_EVER), None);
        // One of two has not come back.
        let two = |state: &mut State| {
            read(1)(state);
            state.body.readers.insert("bob".to_owned(), 0);
        };
        assert_eq!(after(two, FOR_EVER), Some(Stays::Unread));
        let by = |unread_after_ms| Keeps { unread_after_ms, trigger: false };
        assert_eq!(after(two, by(999)), Some(Stays::Unread));
        assert_eq!(after(two, by(1_000)), None);
        // That has nothing to do with the other reasons.
        let pinned = |state: &mut State| {
            two(state);
            state.body.pinned = true;
        };
        assert_eq!(after(pinned, by(1_000)), Some(Stays::Pinned));
    }
}
