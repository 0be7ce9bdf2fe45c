//! The one writer: a thread that owns the store's connection and commits in groups.
//!
//! Invariant: a reply says `Ok` only after the transaction that holds the change committed, and, for a change marked
//! `sync`, after the disk has it. What arrives while a commit is under way joins the next one.

use super::{Change, NewSession, Opened, SessionNo, SpoolOffset, StoreError, group, schema::set_meta};
use rusqlite::{Connection, OptionalExtension, params};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};
use tokio::sync::{mpsc, oneshot, watch};
use vibes_protocol::model::{Seq, SessionId};

/// How many changes may wait. Each session has at most one under way, so this bound is never what limits; it exists
/// so that a defect shows as back-pressure and not as memory.
const QUEUE: usize = 4096;
/// How many changes one transaction takes.
const GROUP: usize = 512;
/// How much one packing transaction takes in, in bytes: about 5 ms of work, which is what a commit may have to wait.
const PACK_STEP: usize = 1024 * 1024;
/// How long the writer waits for work before it checkpoints what it wrote.
const IDLE: Duration = Duration::from_millis(200);

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
    Close(Reply<()>),
}

/// The door to the writer. Clones share it.
#[derive(Clone)]
pub struct Writer {
    jobs: mpsc::Sender<Job>,
    synced: watch::Receiver<u64>,
    last: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the thread. It ends when every handle is gone or [`Writer::close`] is called.
    pub fn start(opened: Opened) -> Result<Self, StoreError> {
        let (jobs, inbox) = mpsc::channel(QUEUE);
        let (synced_tx, synced) = watch::channel(0);
        let runtime = tokio::runtime::Handle::current();
        let last = Arc::new(AtomicU64::new(0));
        let desk = Desk {
            connection: opened.connection,
            txn: 0,
            last: last.clone(),
            full: true,
            synced: synced_tx,
            dirty: false,
        };
        thread::Builder::new().name("store-writer".into()).spawn(move || desk.run(inbox, &runtime))?;
        Ok(Self { jobs, synced, last })
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
    txn: u64,
    last: Arc<AtomicU64>,
    /// Whether `synchronous` is FULL just now.
    full: bool,
    synced: watch::Sender<u64>,
    /// Whether anything was committed since the last checkpoint.
    dirty: bool,
}

impl Desk {
    fn run(mut self, mut inbox: mpsc::Receiver<Job>, runtime: &tokio::runtime::Handle) {
        let mut packs: Vec<(SessionNo, Seq)> = Vec::new();
        // What ended a group and is not part of it.
        let mut carried = None;
        loop {
            let job = match carried.take().map_or_else(|| inbox.try_recv(), Ok) {
                Ok(job) => Some(job),
                Err(mpsc::error::TryRecvError::Disconnected) => return,
                Err(mpsc::error::TryRecvError::Empty) if self.dirty || !packs.is_empty() => {
                    match runtime.block_on(async { tokio::time::timeout(IDLE, inbox.recv()).await }) {
                        Ok(Some(job)) => Some(job),
                        Ok(None) => return,
                        Err(_) => None,
                    }
                }
                Err(mpsc::error::TryRecvError::Empty) => match inbox.blocking_recv() {
                    Some(job) => Some(job),
                    None => return,
                },
            };
            match job {
                None => {
                    self.pack_while_idle(&mut packs, &inbox);
                    self.checkpoint();
                }
                Some(Job::Pack(session, through)) => packs.push((session, through)),
                Some(Job::Create(new, reply)) => {
                    let result = self.create(&new);
                    let _ = reply.send(result);
                }
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
                }
            }
        }
    }

    fn commit_group(&mut self, group: Vec<(Box<Change>, Reply<Committed>)>) {
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
        work: impl FnOnce(&Connection) -> Result<(), StoreError>,
    ) -> Result<u64, StoreError> {
        if self.full != sync {
            self.connection.pragma_update(None, "synchronous", if sync { "FULL" } else { "NORMAL" })?;
            self.full = sync;
        }
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let done = work(&self.connection).and_then(|()| {
            Ok(self.connection.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]))?)
        });
        if let Err(error) = done {
            if !self.connection.is_autocommit() {
                let _ = self.connection.execute_batch("ROLLBACK");
            }
            return Err(error);
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
        self.transaction(true, |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO session (id, create_key, head, generation, spool, last_ms, body)
                     VALUES (?1, ?2, 0, 0, 0, ?3, ?4)",
                )?
                .execute(params![new.id.to_string(), new.create_key, new.at_ms, new.body])?;
            Ok(())
        })?;
        Ok((self.connection.last_insert_rowid(), new.id, true))
    }

    /// Packs one more step of each session that asks for it, as long as nobody waits.
    fn pack_while_idle(&mut self, packs: &mut Vec<(SessionNo, Seq)>, inbox: &mpsc::Receiver<Job>) {
        while inbox.is_empty()
            && let Some((session, through)) = packs.last().copied()
        {
            match self.pack(session, through) {
                Ok(true) => {}
                Ok(false) => {
                    packs.pop();
                }
                Err(error) => {
                    tracing::warn!(session, %error, "records stay unpacked");
                    packs.pop();
                }
            }
        }
    }

    /// Replaces small groups by compressed ones of up to [`group::PACKED_GROUP`] bytes, one transaction of a few of
    /// them at a time. `true` when there is more to do.
    fn pack(&mut self, session: SessionNo, through: Seq) -> Result<bool, StoreError> {
        let mut packed: Vec<(i64, i64, i64, Vec<u8>)> = Vec::new();
        let (mut bytes, mut more) = (0, false);
        {
            let mut select = self.connection.prepare_cached(
                "SELECT first, last, epoch, body FROM records
                 WHERE session = ?1 AND last <= ?2 AND packed = 0 ORDER BY first",
            )?;
            let mut rows = select.query(params![session, through as i64])?;
            while let Some(row) = rows.next()? {
                let (first, last, epoch) =
                    (row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?);
                let body = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
                if bytes > 0 && bytes + body.len() > PACK_STEP {
                    more = true;
                    break;
                }
                bytes += body.len();
                match packed.last_mut() {
                    Some((_, end, its_epoch, whole))
                        if *its_epoch == epoch
                            && *end + 1 == first
                            && whole.len() + body.len() <= group::PACKED_GROUP =>
                    {
                        *end = last;
                        whole.extend_from_slice(body);
                    }
                    _ => packed.push((first, last, epoch, body.to_vec())),
                }
            }
        }
        if packed.is_empty() {
            return Ok(false);
        }
        self.transaction(false, |connection| {
            for (first, last, epoch, body) in &packed {
                let body = zstd::bulk::compress(body, 3)?;
                connection
                    .prepare_cached("DELETE FROM records WHERE session = ?1 AND first BETWEEN ?2 AND ?3")?
                    .execute(params![session, first, last])?;
                connection
                    .prepare_cached(
                        "INSERT INTO records (session, first, last, epoch, packed, body) VALUES (?1, ?2, ?3, ?4, 1, ?5)",
                    )?
                    .execute(params![session, first, last, epoch, body])?;
            }
            Ok(())
        })?;
        Ok(more)
    }

    fn checkpoint(&mut self) {
        let before = self.txn;
        let moved = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        });
        match moved {
            // A checkpoint syncs the log before it copies; complete or not, all commits before it are on disk.
            Ok(_) => {
                self.synced.send_replace(before);
                self.dirty = false;
            }
            // Tried again with the next commit, not every moment: a full disk stays full for a while.
            Err(error) => {
                self.dirty = false;
                tracing::warn!(%error, "checkpoint failed; the log stays until the next one");
            }
        }
    }

    fn close(&mut self) -> Result<(), StoreError> {
        self.transaction(true, |connection| set_meta(connection, "clean", "1"))?;
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }
}

fn apply(connection: &Connection, change: &Change) -> Result<(), StoreError> {
    let (head, SpoolOffset { generation, offset }) = change.expect;
    let updated = connection
        .prepare_cached(
            "UPDATE session SET head = ?1, generation = ?2, spool = ?3, last_ms = ?4, body = coalesce(?5, body)
             WHERE no = ?6 AND head = ?7 AND generation = ?8 AND spool = ?9",
        )?
        .execute(params![
            change.head as i64,
            change.spool.generation as i64,
            change.spool.offset as i64,
            change.last_ms,
            change.body,
            change.session,
            head as i64,
            generation as i64,
            offset as i64,
        ])?;
    if updated != 1 {
        return Err(StoreError::Conflict { session: change.session });
    }
    if let Some(append) = &change.append {
        connection
            .prepare_cached(
                "INSERT INTO records (session, first, last, epoch, packed, body) VALUES (?1, ?2, ?3, ?4, 0, ?5)",
            )?
            .execute(params![
                change.session,
                append.first as i64,
                append.last as i64,
                append.epoch as i64,
                append.body
            ])?;
    }
    for row in &change.rows {
        match &row.value {
            Some(value) => connection
                .prepare_cached(
                    "INSERT INTO item (session, kind, key, value) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (session, kind, key) DO UPDATE SET value = excluded.value",
                )?
                .execute(params![change.session, row.kind as u8, row.key, value])?,
            None => connection
                .prepare_cached("DELETE FROM item WHERE session = ?1 AND kind = ?2 AND key = ?3")?
                .execute(params![change.session, row.kind as u8, row.key])?,
        };
    }
    Ok(())
}
