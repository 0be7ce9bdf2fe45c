//! Search: an index of everything that was said and done, built behind the journal.
//!
//! Invariant: the journal knows nothing of it and waits for nothing here. The index is made from committed records, by a
//! thread of its own that reads the store directly (a session that rests is left to rest) and yields to everybody; it
//! may be removed at any time and is made again. By the way data takes: `fold` and `call` make documents of records,
//! `index` writes them, `indexer` says when; `query` reads what a person types, `find` answers it with snippets.

mod call;
mod document;
mod find;
mod fold;
mod index;
mod indexer;
mod query;
mod schema;
mod snippet;

pub use document::Column;
pub use find::{Found, Hit, Order, Sought, Whose};
pub use query::{Query, parse};
pub use schema::check;
pub use snippet::Snippet;

use crate::journal::{Reader, StoreError, Writer};
use indexer::Indexer;
use rusqlite::Connection;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use vibes_protocol::model::Epoch;

/// The indexer's thread.
const NAME: &str = "search-indexer";
/// How many connections are kept that are not in use: as many as searches run at once, on two cores.
const SPARE: usize = 2;

/// How far the index has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// How many records are in it.
    pub indexed: u64,
    /// How many are known that are not.
    pub behind: u64,
}

/// What the indexer and those who search know together.
#[derive(Default)]
struct State {
    /// The index is open, and every session was compared with it.
    compared: bool,
    progress: Progress,
    /// The last transaction of the store whose records are all in the index, once that is so of any.
    covered: Option<u64>,
    /// Counts indexes: connections to an earlier one are of no use.
    number: u64,
    spare: Vec<Connection>,
    orders: Orders,
    /// What was said last about an index that had to be made anew.
    told: Option<String>,
}

/// What the indexer is to do besides looking now and then.
#[derive(Debug, Default, Clone)]
struct Orders {
    /// Look now.
    look: bool,
    /// Compare every session.
    everywhere: bool,
    /// Make the index anew.
    rebuild: bool,
    /// Somebody who searched found it damaged.
    damaged: Option<String>,
    /// End.
    stop: bool,
}

/// What is shared between the thread and the handle.
struct Shared {
    path: PathBuf,
    state: Mutex<State>,
    /// For the indexer.
    ordered: Condvar,
    /// For those who wait for it.
    came: Condvar,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn order(&self, order: impl FnOnce(&mut Orders)) {
        order(&mut self.state().orders);
        self.ordered.notify_all();
    }
}

/// The door to search.
pub struct Search {
    shared: Arc<Shared>,
    writer: Writer,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Search {
    /// Begins to build the index in this file, behind the store.
    pub fn start(path: &Path, reader: Reader, writer: Writer, epoch: Epoch) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            path: path.to_owned(),
            state: Mutex::default(),
            ordered: Condvar::new(),
            came: Condvar::new(),
        });
        let indexer = Indexer::new(shared.clone(), reader, writer.clone(), epoch);
        let thread = thread::Builder::new().name(NAME.to_owned()).spawn(move || indexer.run())?;
        Ok(Self { shared, writer, thread: Mutex::new(Some(thread)) })
    }

    /// How far the index has come.
    pub fn progress(&self) -> Progress {
        self.shared.state().progress
    }

    /// Why the index was made anew, if it was since the start.
    pub fn told(&self) -> Option<String> {
        self.shared.state().told.clone()
    }

    /// Has every session compared soon: one was purged.
    pub fn look_everywhere(&self) {
        self.shared.order(|orders| orders.everywhere = true);
    }

    /// Has the index made anew.
    pub fn rebuild(&self) {
        self.shared.order(|orders| orders.rebuild = true);
    }

    /// Waits until everything is in the index that is committed now, at most so long; not at all when that would take
    /// longer anyway, unless it is `wanted`. Blocking.
    pub fn catch_up(&self, at_most: Duration, wanted: bool) {
        let last = self.writer.last();
        let until = Instant::now() + at_most;
        let mut state = self.shared.state();
        while state.covered.is_none_or(|covered| covered < last) {
            if state.compared && state.progress.behind > 0 && !wanted {
                return;
            }
            let Some(left) = until.checked_duration_since(Instant::now()) else { return };
            if !state.orders.look {
                state.orders.look = true;
                self.shared.ordered.notify_all();
            }
            state = self.shared.came.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends the thread; what it was at is done again by the next one. Blocking for a moment.
    pub fn stop(&self) {
        self.shared.order(|orders| orders.stop = true);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the search index's thread panicked");
        }
    }

    /// Works with a connection that reads the index. `None` when there is no index yet.
    fn with<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let (number, spare) = {
            let mut state = self.shared.state();
            if !state.compared && state.number == 0 {
                return Ok(None);
            }
            (state.number, state.spare.pop())
        };
        let worked = match spare {
            Some(connection) => work(&connection).map(|done| (done, connection)),
            None => schema::reading(&self.shared.path)
                .and_then(|connection| work(&connection).map(|done| (done, connection))),
        };
        match worked {
            Ok((done, connection)) => {
                let mut state = self.shared.state();
                if state.number == number && state.spare.len() < SPARE {
                    state.spare.push(connection);
                }
                Ok(Some(done))
            }
            Err(StoreError::Damaged(why)) => {
                self.shared.order(|orders| orders.damaged = Some(why.clone()));
                Err(StoreError::Failed(format!(
                    "the search index was damaged ({why}) and is made anew; search again in a moment"
                )))
            }
            Err(error) => Err(error),
        }
    }
}
