//! The one writer: a thread that owns the store's connection and commits in groups.
//!
//! Invariant: a reply says `Ok` only after the transaction that holds the change committed, and, for a change marked
//! `sync`, after the disk has it. What arrives while a commit is under way joins the next one. A disk that failed to
//! keep something is asked for nothing more: see [`StoreError::Unsynced`].

mod erasing;
mod packing;
mod rows;
mod staging;

use super::{
    Change, Farewell, NewSession, Opened, Piece, RowChange, SessionNo, Settled, Spent, StoreError,
    ballast::Ballast,
    erase,
    pieces::Met,
    schema::{note_damage, set_meta},
    seal::Seal,
    spend,
};
use crate::points::{self, Point};
use rows::apply;
use rusqlite::{Connection, OptionalExtension, params};
use std::{
    fs::File,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use vibes_protocol::model::{Seq, SessionId};

/// How many changes may wait. Each session has at most one under way, so this bound is never what limits; it exists
/// so that a defect shows as back-pressure and not as memory.
const QUEUE: usize = 4096;
/// How many changes one transaction takes.
const GROUP: usize = 512;
/// How much is written before a checkpoint that no idle moment came for, in bytes, more or less.
const CHECKPOINT: usize = 16 * 1024 * 1024;
/// What a change costs in the log besides its content: the pages it touches, in bytes.
const TOUCHED: usize = 3 * 4096;
/// How long the writer waits for work before it checkpoints what it wrote.
const IDLE: Duration = Duration::from_millis(200);
/// The writer's thread. The process must die of a panic in it, before anything of it is unwound: every session needs
/// it, and whoever waits for a commit would hear that it failed, which nobody knows.
pub const WRITER: &str = "store-writer";
/// How often it is looked whether a disk that was full has room again.
const LOOK_FOR_ROOM: Duration = Duration::from_secs(2);

/// A committed change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The transaction's number; it is on disk when [`Writer::synced`] has reached it.
    pub txn: u64,
}

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

enum Job {
    Change(Box<Change>, Reply<Committed>),
    Create(Box<NewSession>, Reply<(SessionNo, SessionId, bool)>),
    Pack(SessionNo, Seq),
    Part(Box<Farewell>, Reply<()>),
    Erase(SessionNo),
    Keep(&'static str, String, Reply<()>),
    Past(SessionNo, Vec<RowChange>, Spent, Reply<()>),
    Stage(Box<Piece>, Reply<SessionNo>),
    Settle(Box<Settled>, Reply<()>),
    Close(Reply<()>),
}

/// The door to the writer. Clones share it.
#[derive(Clone)]
pub struct Writer {
    jobs: mpsc::Sender<Job>,
    synced: watch::Receiver<u64>,
    last: Arc<AtomicU64>,
    trouble: Arc<Mutex<Option<StoreError>>>,
    broken: CancellationToken,
}

impl Writer {
    /// Starts the thread. It ends when every handle is gone or [`Writer::close`] is called.
    pub fn start(opened: Opened) -> Result<Self, StoreError> {
        let (jobs, inbox) = mpsc::channel(QUEUE);
        let (synced_tx, synced) = watch::channel(0);
        let runtime = tokio::runtime::Handle::current();
        let last = Arc::new(AtomicU64::new(0));
        let trouble = Arc::new(Mutex::new((!opened.owed.is_empty()).then_some(StoreError::Full)));
        let broken = CancellationToken::new();
        let last_no = erase::last_no(&opened.connection)?;
        let desk = Desk {
            connection: opened.connection,
            path: opened.path,
            ballast: opened.ballast,
            seal: opened.seal,
            owed: opened.owed,
            trouble: trouble.clone(),
            broken: broken.clone(),
            txn: 0,
            last: last.clone(),
            full: true,
            synced: synced_tx,
            dirty: false,
            logged: 0,
            erasing: Vec::new(),
            erased: Vec::new(),
            next_piece: Instant::now(),
            file: None,
            met: Met::default(),
            last_no,
        };
        thread::Builder::new().name(WRITER.into()).spawn(move || desk.run(inbox, &runtime))?;
        Ok(Self { jobs, synced, last, trouble, broken })
    }

    /// Commits one session's change.
    pub async fn commit(&self, change: Change) -> Result<Committed, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Change(Box::new(change), reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Creates a session, synced. Gives its number and id, and `false` when the create key was used before and they
    /// are those of the session made then.
    pub async fn create(&self, new: NewSession) -> Result<(SessionNo, SessionId, bool), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Create(Box::new(new), reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Makes a session nobody's, synced: from then on there is none, and its records are to be erased.
    pub async fn part(&self, farewell: Farewell) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Part(Box::new(farewell), reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Asks for the records of a session that is gone to be erased when there is time, and then for its row.
    pub async fn erase(&self, session: SessionNo) {
        // A writer that has stopped: the next one is asked again.
        let _ = self.jobs.send(Job::Erase(session)).await;
    }

    /// Keeps a text under a name of its own, synced.
    pub async fn keep(&self, name: &'static str, text: String) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Keep(name, text, reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Adds turns of before to the ledger, where it knows nothing of them yet.
    pub async fn past(
        &self,
        session: SessionNo,
        rows: Vec<RowChange>,
        spent: Spent,
    ) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Past(session, rows, spent, reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Asks for the records up to `through` to be packed when there is time. The numbers and the bytes stay the same.
    pub fn pack(&self, session: SessionNo, through: Seq) {
        // A full queue means there is no time; a later turn's end asks again.
        let _ = self.jobs.try_send(Job::Pack(session, through));
    }

    /// The number of the last transaction that is on disk.
    pub fn synced(&self) -> u64 {
        *self.synced.borrow()
    }

    /// The number of the last transaction that was committed.
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    /// Why the last write was not done, until one is.
    pub fn trouble(&self) -> Option<StoreError> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Comes true when the disk failed to keep what was written: the daemon has to end.
    pub async fn broken(&self) {
        self.broken.cancelled().await;
    }

    /// Syncs, checkpoints and marks the store as cleanly closed.
    pub async fn close(&self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(Job::Close(reply)).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

/// The thread's own state.
struct Desk {
    connection: Connection,
    path: PathBuf,
    ballast: Ballast,
    /// To be put beside the store.
    seal: Seal,
    /// What the start could not write; goes with the first transaction that can.
    owed: Vec<(&'static str, String)>,
    trouble: Arc<Mutex<Option<StoreError>>>,
    broken: CancellationToken,
    txn: u64,
    last: Arc<AtomicU64>,
    /// Whether `synchronous` is FULL just now.
    full: bool,
    synced: watch::Sender<u64>,
    /// Whether anything was committed since the last checkpoint.
    dirty: bool,
    /// How much was written since the last checkpoint, more or less.
    logged: usize,
    /// Sessions whose records are being erased, and those that have none left.
    erasing: Vec<SessionNo>,
    erased: Vec<SessionNo>,
    /// When the next piece may be erased although others write all the time.
    next_piece: Instant,
    /// The store's file, for holes.
    file: Option<&'static File>,
    /// What large records had in them once.
    met: Met,
    /// The last number given to a session. None is given twice: somebody may still read what was under it, and what
    /// outlives a session names it.
    last_no: SessionNo,
}

impl Desk {
    fn run(mut self, mut inbox: mpsc::Receiver<Job>, runtime: &tokio::runtime::Handle) {
        let mut packs: Vec<(SessionNo, Seq)> = Vec::new();
        // What ended a group and is not part of it.
        let mut carried = None;
        while !self.broken.is_cancelled() {
            let job = match carried.take().map_or_else(|| inbox.try_recv(), Ok) {
                Ok(job) => Some(job),
                Err(mpsc::error::TryRecvError::Disconnected) => return,
                Err(mpsc::error::TryRecvError::Empty) => match self.patience(&packs) {
                    Some(patience) => {
                        match runtime.block_on(async { tokio::time::timeout(patience, inbox.recv()).await }) {
                            Ok(Some(job)) => Some(job),
                            Ok(None) => return,
                            Err(_) => None,
                        }
                    }
                    None => match inbox.blocking_recv() {
                        Some(job) => Some(job),
                        None => return,
                    },
                },
            };
            match job {
                None => {
                    self.pack_while_idle(&mut packs, &inbox);
                    self.erase_while_idle(&inbox);
                    if self.dirty {
                        self.checkpoint();
                    }
                    self.recover();
                }
                Some(Job::Pack(session, through)) => packs.push((session, through)),
                Some(Job::Create(new, reply)) => {
                    let result = self.create(&new);
                    let _ = reply.send(result);
                }
                Some(Job::Part(farewell, reply)) => {
                    packs.retain(|(session, _)| *session != farewell.session);
                    self.met.forget(farewell.session);
                    let parted = self.transaction(true, |connection| erase::part(connection, &farewell));
                    let _ = reply.send(parted.map(|_| ()));
                }
                Some(Job::Erase(session)) => self.erasing.push(session),
                Some(Job::Keep(name, text, reply)) => {
                    let result = self.transaction(true, |connection| set_meta(connection, name, &text));
                    let _ = reply.send(result.map(|_| ()));
                }
                Some(Job::Past(session, rows, spent, reply)) => {
                    let result =
                        self.transaction(false, |connection| spend::past(connection, session, &rows, &spent));
                    let _ = reply.send(result.map(|_| ()));
                }
                Some(Job::Stage(piece, reply)) => drop(reply.send(self.stage(&piece))),
                Some(Job::Settle(settled, reply)) => drop(reply.send(self.settle(&settled))),
                Some(Job::Close(reply)) => {
                    let result = self.close();
                    let _ = reply.send(result);
                    return;
                }
                Some(Job::Change(change, reply)) => {
                    let mut group = vec![(change, reply)];
                    while group.len() < GROUP {
                        match inbox.try_recv() {
                            Ok(Job::Change(change, reply)) => group.push((change, reply)),
                            Ok(Job::Pack(session, through)) => packs.push((session, through)),
                            Ok(other) => {
                                carried = Some(other);
                                break;
                            }
                            Err(_) => break,
                        }
                    }
                    self.commit_group(group);
                    if self.logged >= CHECKPOINT {
                        self.checkpoint();
                    }
                    self.erase_between(&inbox);
                }
            }
        }
    }

    fn commit_group(&mut self, group: Vec<(Box<Change>, Reply<Committed>)>) {
        self.logged += group.iter().map(|(change, _)| TOUCHED + change.size()).sum::<usize>();
        let sync = group.iter().any(|(change, _)| change.sync);
        let result = self.transaction(sync, |connection| {
            group.iter().try_for_each(|(change, _)| apply(connection, change))
        });
        match result {
            Ok(txn) => {
                for (_, reply) in group {
                    let _ = reply.send(Ok(Committed { txn }));
                }
            }
            Err(error) if group.len() == 1 => {
                for (_, reply) in group {
                    let _ = reply.send(Err(error.clone()));
                }
            }
            // One change that cannot be written must not take the others with it.
            Err(_) => {
                for (change, reply) in group {
                    let result = self.transaction(change.sync, |connection| apply(connection, &change));
                    let _ = reply.send(result.map(|txn| Committed { txn }));
                }
            }
        }
    }

    fn transaction(
        &mut self,
        sync: bool,
        work: impl Fn(&Connection) -> Result<(), StoreError>,
    ) -> Result<u64, StoreError> {
        let mut done = self.attempt(sync, &work);
        // The room that was kept is for exactly this.
        if matches!(done, Err(StoreError::Full)) && self.ballast.give_up() {
            tracing::error!("the disk is full: the room that was kept for it is given up");
            done = self.attempt(sync, &work);
        }
        if !matches!(done, Err(StoreError::Conflict { .. })) {
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = done.as_ref().err().cloned();
        }
        match &done {
            Err(StoreError::Damaged(why)) => note_damage(&self.path, why),
            Err(StoreError::Unsynced(_)) => self.broken.cancel(),
            _ => {}
        }
        done
    }

    fn attempt(
        &mut self,
        sync: bool,
        work: &impl Fn(&Connection) -> Result<(), StoreError>,
    ) -> Result<u64, StoreError> {
        if self.broken.is_cancelled() {
            return Err(StoreError::Closed);
        }
        let sync = sync || !self.owed.is_empty();
        if self.full != sync {
            self.connection.pragma_update(None, "synchronous", if sync { "FULL" } else { "NORMAL" })?;
            self.full = sync;
        }
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        points::hit(Point::CommitBegin);
        let owed = self.owed.iter().try_for_each(|(key, value)| set_meta(&self.connection, key, value));
        let done = owed.and_then(|()| work(&self.connection)).and_then(|()| {
            points::hit(Point::CommitApplied);
            Ok(self.connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]))?)
        });
        if let Err(error) = done {
            if !self.connection.is_autocommit() {
                let _ = self.connection.execute_batch("ROLLBACK");
            }
            return Err(error);
        }
        points::hit(Point::CommitDone);
        if !self.owed.is_empty() {
            self.owed.clear();
            self.seal.put(&self.path);
        }
        self.dirty = true;
        self.txn += 1;
        self.last.store(self.txn, Ordering::Release);
        if sync {
            // The log is one file: a synced commit takes every earlier one with it.
            self.synced.send_replace(self.txn);
        }
        Ok(self.txn)
    }

    /// How long to wait for work before something else is due; for ever when nothing is.
    fn patience(&self, packs: &[(SessionNo, Seq)]) -> Option<Duration> {
        let erasing = !self.erasing.is_empty() || !self.erased.is_empty();
        if self.dirty || erasing || !packs.is_empty() {
            Some(IDLE)
        } else {
            (self.ballast.is_spent() || self.in_trouble()).then_some(LOOK_FOR_ROOM)
        }
    }

    fn in_trouble(&self) -> bool {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Back to normal as soon as that is possible, also when nobody writes.
    fn recover(&mut self) {
        if self.in_trouble() {
            let looked = self.transaction(true, |connection| set_meta(connection, "room", "found"));
            if let Ok(txn) = looked {
                tracing::info!(txn, "the store can be written again");
            }
        }
        if self.ballast.is_spent() && !self.in_trouble() && self.ballast.restore() {
            tracing::info!("room is kept again for a full disk");
        }
    }

    fn create(&mut self, new: &NewSession) -> Result<(SessionNo, SessionId, bool), StoreError> {
        if let Some(key) = &new.create_key {
            let found = self
                .connection
                .query_row("SELECT no, id FROM session WHERE create_key = ?1", [key], |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
                })
                .optional()?;
            if let Some((no, id)) = found {
                let id = id
                    .parse()
                    .map_err(|_| StoreError::Failed(format!("stored id {id:?} is no session id")))?;
                return Ok((no, id, false));
            }
        }
        let no = self.last_no + 1;
        self.transaction(true, |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO session (no, id, create_key, head, generation, spool, last_ms, body, name)
                     VALUES (?1, ?2, ?3, 0, 0, 0, ?4, ?5, ?6)",
                )?
                .execute(params![no, new.id.to_string(), new.create_key, new.at_ms, new.body, new.name])?;
            Ok(())
        })?;
        self.last_no = no;
        Ok((no, new.id, true))
    }

    fn checkpoint(&mut self) {
        let before = self.txn;
        let moved = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        });
        points::hit(Point::Checkpoint);
        // Tried again with the next commit, not every moment: a full disk stays full for a while.
        (self.dirty, self.logged) = (false, 0);
        let moved = match moved {
            Ok((0, log, moved)) if log == moved => {
                // All of the log is in the file, and the file is on disk.
                self.synced.send_replace(before);
                return;
            }
            // Somebody reads an old state, which keeps the rest in the log: that alone syncs nothing.
            Ok(_) => self.transaction(true, |connection| set_meta(connection, "synced", "log")).map(|_| ()),
            Err(error) => Err(error.into()),
        };
        self.dirty = false;
        if let Err(error) = moved {
            tracing::warn!(%error, "checkpoint failed; the log stays until the next one");
            if matches!(error, StoreError::Unsynced(_)) {
                self.broken.cancel();
            }
        }
    }

    fn close(&mut self) -> Result<(), StoreError> {
        self.transaction(true, |connection| set_meta(connection, "clean", "1"))?;
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Seal { clean: true, ..self.seal }.put(&self.path);
        Ok(())
    }
}
