//! Which sessions have a task, and which rest in the store.
//!
//! A session that has ended and has no subscribers rests: nothing of it is in memory, and whoever asks for it has it read
//! back. The daemon's start costs the same however many there are.
//!
//! Invariant: never two tasks of one session, and nothing asked of it is lost. A task goes only while the map is locked for
//! writing and nobody but the map holds its handle, with an empty inbox: handles are taken from the map, so nobody can
//! begin to ask meanwhile. Reading back is one at a time, and looks at the map again first: what the store tells then is
//! what the last task wrote, because a session rests only once that is committed.

use super::{Sessions, store_error};
use crate::{
    journal::StoreError,
    points::{self, Point},
    session::{SessionHandle, task::Retire},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
};
use vibes_protocol::model::{CodedError, SessionId};

#[derive(Default)]
struct Map {
    handles: HashMap<SessionId, SessionHandle>,
    /// How many of the ended sessions that lists count rest.
    resting: u64,
}

/// The sessions that have a task.
#[derive(Default)]
pub(super) struct Registry {
    map: RwLock<Map>,
    /// Held while a session is read back.
    waking: Mutex<()>,
}

impl Registry {
    fn write(&self) -> std::sync::RwLockWriteGuard<'_, Map> {
        self.map.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Map> {
        self.map.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn insert(&self, handle: SessionHandle) {
        self.write().handles.insert(handle.id, handle);
    }

    pub(super) fn get(&self, id: &SessionId) -> Option<SessionHandle> {
        self.read().handles.get(id).cloned()
    }

    /// All that have a task, in no order.
    pub(super) fn handles(&self) -> Vec<SessionHandle> {
        self.read().handles.values().cloned().collect()
    }

    /// As many rest at the start.
    pub(super) fn count_resting(&self, count: u64) {
        self.write().resting = count;
    }

    /// One more of the ended sessions that lists count rests.
    pub(super) fn one_more(&self) {
        self.write().resting += 1;
    }

    /// Something of all that have a task, and how many of the ended sessions that lists count have none.
    pub(super) fn look<T>(&self, of: impl Fn(&SessionHandle) -> T) -> (Vec<T>, u64) {
        let map = self.read();
        (map.handles.values().map(of).collect(), map.resting)
    }

    /// How a task goes.
    pub(super) fn retire(self: Arc<Self>) -> Retire {
        Arc::new(move |id, listed, nobody| {
            let mut map = self.write();
            let goes = nobody() && map.handles.remove(id).is_some();
            if goes {
                map.resting += u64::from(listed);
            }
            goes
        })
    }
}

impl Sessions {
    /// The session with this id; one that rests is read back. Blocking for that moment.
    pub fn get(&self, id: &SessionId) -> Result<Option<SessionHandle>, CodedError> {
        match self.registry.get(id) {
            Some(handle) => Ok(Some(handle)),
            None => tokio::task::block_in_place(|| self.wake(id)).map_err(|error| store_error(&error)),
        }
    }

    pub(super) fn wake(&self, id: &SessionId) -> Result<Option<SessionHandle>, StoreError> {
        let _one = self.registry.waking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = self.registry.get(id) {
            return Ok(Some(handle));
        }
        let Some(stored) = self.parts.reader.resting(id)? else { return Ok(None) };
        points::hit(Point::Woken);
        let (state, _) = self.take_up(&stored, self.parts.yard.newest_of(id));
        let listed = stored.place.is_listed();
        let handle = self.serve(stored.no, state, stored.place);
        let mut map = self.registry.write();
        map.handles.insert(*id, handle.clone());
        map.resting = map.resting.saturating_sub(u64::from(listed));
        Ok(Some(handle))
    }
}
