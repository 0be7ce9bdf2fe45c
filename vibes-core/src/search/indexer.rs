//! When the index is brought up to the journal: a thread that looks now and then, and works in small steps.
//!
//! Invariant: nobody waits for it who does not ask to. It reads whatever the store has committed and asks the store's
//! writer for nothing but the number of its last transaction; it is nicer than the rest of the daemon, and rests as long
//! as it works while others write. Whatever fails is tried again later; a session that cannot be read is left out.

use super::{
    Orders, Progress, Shared,
    index::{Cursor, Index, Work},
    schema,
};
use crate::journal::{Head, Reader, SessionNo, StoreError, Writer};
use std::{
    collections::{HashMap, HashSet},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};
use vibes_protocol::model::{Epoch, Seq};

/// How much is read from the store for one transaction of the index, in bytes: some tens of milliseconds of work.
const STEP: usize = 1024 * 1024;
/// How often it is looked whether there is something new, while there is and while there is not.
const SOON: Duration = Duration::from_millis(500);
const SELDOM: Duration = Duration::from_secs(4);
/// How often every session is compared, if anything was written: what began and ended between two looks is found then.
const EVERYWHERE: Duration = Duration::from_secs(60);
/// How long it rests behind a look, in times of what the look took.
const REST: u32 = 4;
/// The longest rest after a step while others write.
const LONGEST_REST: Duration = Duration::from_millis(250);
/// How long it waits after a failure.
const AFTER_FAILURE: Duration = Duration::from_secs(15);
/// How long it may take out what was purged when the daemon stops.
const AT_STOP: Duration = Duration::from_secs(3);
/// How much of the disk is left to others, in bytes: the journal needs the last of it.
const LEFT: u64 = 128 * 1024 * 1024;
/// How much less than others it is given of a processor.
const NICENESS: i32 = 15;

/// A session with records that are not in the index.
struct Behind {
    head: Head,
    /// The last record that is in it.
    seq: Seq,
}

/// Why the index is closed.
enum End {
    Stopped,
    /// There is none any more: another one is to be made.
    Again,
}

/// The thread's own state.
pub(super) struct Indexer {
    shared: Arc<Shared>,
    reader: Reader,
    writer: Writer,
    epoch: Epoch,
    behind: HashMap<SessionNo, Behind>,
    /// Sessions whose documents are to go.
    leaving: Vec<SessionNo>,
    /// Those that were awake at the last look: they may rest by now.
    awake: Vec<SessionNo>,
    /// The last number of a session that was seen.
    last_no: SessionNo,
    /// Sessions that cannot be read.
    unread: HashSet<SessionNo>,
    /// How many records are in the index.
    indexed: u64,
    /// The store's transaction at the last look, and at the last one everywhere.
    looked: u64,
    looked_everywhere: Option<(u64, Instant)>,
    /// How long the next wait takes.
    pause: Duration,
}

impl Indexer {
    pub(super) fn new(shared: Arc<Shared>, reader: Reader, writer: Writer, epoch: Epoch) -> Self {
        Self {
            shared,
            reader,
            writer,
            epoch,
            behind: HashMap::new(),
            leaving: Vec::new(),
            awake: Vec::new(),
            last_no: 0,
            unread: HashSet::new(),
            indexed: 0,
            looked: 0,
            looked_everywhere: None,
            pause: SOON,
        }
    }

    /// Works until it is told to stop.
    pub(super) fn run(mut self) {
        // This thread alone, on Linux. Where it is not granted nothing else is different.
        let _ = rustix::process::setpriority_process(None, NICENESS);
        loop {
            // What a step had in hand is forgotten, and read again by the next one.
            match catch_unwind(AssertUnwindSafe(|| self.serve())) {
                Ok(Ok(End::Stopped)) => return,
                Ok(Ok(End::Again)) => {}
                Ok(Err(StoreError::Damaged(why))) => {
                    tracing::warn!(why, "the search index is damaged: it is set aside and made anew");
                    self.say(format!("the search index is made anew: it was damaged ({why})"));
                    if let Err(error) = schema::set_aside(&self.shared.path) {
                        tracing::error!(%error, "it could not be set aside");
                        self.wait(AFTER_FAILURE);
                    }
                }
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the search index is not up to date; it is tried again");
                    self.wait(AFTER_FAILURE);
                }
                Err(_) => {
                    // Most likely one of those that were about to be read.
                    let most_recent = self.next().map(|behind| behind.head.no);
                    tracing::error!(
                        session = most_recent,
                        "a panic in the search index; a session is left out"
                    );
                    self.unread.extend(most_recent);
                    self.wait(SOON);
                }
            }
            if self.shared.state().orders.stop {
                return;
            }
        }
    }

    fn say(&self, told: String) {
        self.shared.state().told = Some(told);
    }

    /// Opens the index and keeps it up to date.
    fn serve(&mut self) -> Result<End, StoreError> {
        let (mut index, told) = Index::open(&self.shared.path)?;
        if let Some(told) = told {
            tracing::warn!("{told}");
            self.say(told);
        }
        (self.looked_everywhere, self.looked) = (None, 0);
        {
            let mut state = self.shared.state();
            state.number += 1;
            state.spare.clear();
            (state.compared, state.covered) = (false, None);
        }
        loop {
            let orders = std::mem::take(&mut self.shared.state().orders);
            if orders.stop {
                self.shared.state().orders.stop = true;
                self.part(&mut index)?;
                return Ok(End::Stopped);
            }
            if let Some(why) = orders.damaged {
                return Err(StoreError::Damaged(why));
            }
            if orders.rebuild {
                tracing::info!("the search index is made anew: somebody asked for it");
                drop(index);
                schema::remove(&self.shared.path)?;
                return Ok(End::Again);
            }
            let began = Instant::now();
            self.look(&mut index, &orders)?;
            if self.step(&mut index)? {
                continue;
            }
            self.publish(true);
            let rest = (began.elapsed() * REST).max(self.pause);
            self.wait(rest);
        }
    }

    /// Takes out what was purged, before the daemon ends: nobody would do it until the next one.
    fn part(&mut self, index: &mut Index) -> Result<(), StoreError> {
        let until = Instant::now() + AT_STOP;
        if self.writer.last() != self.looked || !self.leaving.is_empty() {
            self.look_everywhere(index)?;
        }
        while Instant::now() < until {
            match self.leaving.last().copied() {
                Some(no) if index.forget(no)? => {}
                Some(_) => drop(self.leaving.pop()),
                None if index.is_to_scrub()? && index.scrub()? => {}
                None => return Ok(()),
            }
        }
        tracing::info!("what was purged is taken out of the search index by the next daemon");
        Ok(())
    }

    fn wait(&self, at_most: Duration) {
        let until = Instant::now() + at_most;
        let mut state = self.shared.state();
        while !state.orders.is_something()
            && let Some(left) = until.checked_duration_since(Instant::now())
        {
            state = self.shared.ordered.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Finds out what is new, when that is due.
    fn look(&mut self, index: &mut Index, orders: &Orders) -> Result<(), StoreError> {
        let last = self.writer.last();
        let due = self.looked_everywhere.is_none_or(|(then, at)| then != last && at.elapsed() >= EVERYWHERE);
        if due || orders.everywhere {
            self.look_everywhere(index)?;
            (self.looked_everywhere, self.looked) = (Some((last, Instant::now())), last);
        } else if last != self.looked {
            self.look_at_the_living(index)?;
            self.looked = last;
        } else {
            self.pause = (self.pause * 2).min(SELDOM);
            return Ok(());
        }
        self.pause = SOON;
        self.publish(false);
        Ok(())
    }

    /// Compares every session with the index.
    fn look_everywhere(&mut self, index: &mut Index) -> Result<(), StoreError> {
        let heads = self.reader.heads()?;
        let mut cursors = index.cursors()?;
        let compared = index.epoch()? == Some(self.epoch);
        self.behind.clear();
        self.leaving.clear();
        self.indexed = 0;
        self.awake = heads.iter().filter(|head| head.is_awake).map(|head| head.no).collect();
        for head in heads {
            self.last_no = self.last_no.max(head.no);
            match cursors.remove(&head.no) {
                Some(cursor) if cursor.leaving => self.leaving.push(head.no),
                Some(cursor) if self.is_another(&head, &cursor, compared)? => {
                    // Its number was given to somebody else: of what was under it nothing may be left.
                    index.part(head.no, cursor.id != head.id)?;
                    self.leaving.push(head.no);
                }
                Some(cursor) => {
                    self.indexed += cursor.seq;
                    self.note(head, cursor.seq);
                }
                None => self.note(head, 0),
            }
        }
        // What is left is of sessions that are no more.
        for (no, cursor) in cursors {
            if !cursor.leaving {
                index.part(no, true)?;
            }
            self.leaving.push(no);
        }
        if !compared {
            index.set_epoch(self.epoch)?;
        }
        Ok(())
    }

    /// Whether the records that were read are others than those that are there: the store was put back from a copy.
    fn is_another(&self, head: &Head, cursor: &Cursor, compared: bool) -> Result<bool, StoreError> {
        if cursor.id != head.id || cursor.seq > head.seq {
            return Ok(true);
        }
        Ok(!compared && cursor.seq > 0 && self.reader.epoch_of(head.no, cursor.seq)? != Some(cursor.epoch))
    }

    /// Compares those that may have something new.
    fn look_at_the_living(&mut self, index: &mut Index) -> Result<(), StoreError> {
        let heads = self.reader.heads_of(self.last_no, &self.awake)?;
        let cursors = index.cursors_of(heads.iter().map(|head| head.no))?;
        let purged = self.reader.erasing()?;
        if !purged.is_empty() && index.has_any(purged.iter().map(|(no, _)| *no))? {
            return self.look_everywhere(index);
        }
        self.awake = heads.iter().filter(|head| head.is_awake).map(|head| head.no).collect();
        for head in heads {
            self.last_no = self.last_no.max(head.no);
            match cursors.get(&head.no) {
                Some(cursor) if cursor.id != head.id || cursor.seq > head.seq || cursor.leaving => {
                    return self.look_everywhere(index);
                }
                Some(cursor) => self.note(head, cursor.seq),
                None => self.note(head, 0),
            }
        }
        Ok(())
    }

    fn note(&mut self, head: Head, seq: Seq) {
        if head.seq > seq && !self.unread.contains(&head.no) {
            self.behind.insert(head.no, Behind { head, seq });
        }
    }

    /// The most recent one: what happened last is looked for first.
    fn next(&self) -> Option<&Behind> {
        self.behind.values().max_by_key(|behind| (behind.head.last_ms, behind.head.no))
    }

    /// Does some work. `false` when there was none.
    fn step(&mut self, index: &mut Index) -> Result<bool, StoreError> {
        let (began, before) = (Instant::now(), self.writer.last());
        // What is forgotten needs no room, or gives some back.
        if self.leaving.is_empty() && !self.behind.is_empty() && !has_room(&self.shared.path) {
            return Err(StoreError::Full);
        }
        if let Some(no) = self.leaving.last().copied() {
            if !index.forget(no)? {
                self.leaving.pop();
                if self.leaving.is_empty() {
                    // Those that are to be made again are found by another look.
                    self.looked_everywhere = None;
                }
            }
        } else if !self.behind.is_empty() {
            self.read_on(index)?;
        } else if !index.is_to_scrub()? || !index.scrub()? {
            return Ok(false);
        }
        self.publish(false);
        if self.writer.last() != before {
            // Somebody else needs the machine as well.
            self.wait(began.elapsed().min(LONGEST_REST));
        }
        Ok(true)
    }

    /// Reads some records and writes their documents.
    fn read_on(&mut self, index: &mut Index) -> Result<(), StoreError> {
        let (mut works, mut bytes, mut read): (Vec<Work>, _, Vec<SessionNo>) = (Vec::new(), 0, Vec::new());
        while bytes < STEP
            && let Some(Behind { head, seq }) = self.next()
        {
            let (head, seq) = (head.clone(), *seq);
            let runs = match self.reader.runs(head.no, seq, STEP - bytes) {
                Ok(runs) => runs,
                Err(error) => {
                    tracing::warn!(session = %head.id, %error, "a session cannot be read: it is not in the search index");
                    self.unread.insert(head.no);
                    self.behind.remove(&head.no);
                    continue;
                }
            };
            let Some(last) = runs.last().map(|run| run.last) else {
                // Purged, or put back, since it was looked at.
                self.behind.remove(&head.no);
                self.looked_everywhere = None;
                continue;
            };
            bytes += runs.iter().map(|run| run.body.len()).sum::<usize>();
            works.push(index.read(&head, seq, &runs)?);
            read.push(head.no);
            self.indexed += last.saturating_sub(seq);
            // One work a session and transaction: the next one begins with what this one has written.
            self.behind.remove(&head.no);
            if last < head.seq {
                index.write(&works)?;
                self.behind.insert(head.no, Behind { head, seq: last });
                return Ok(());
            }
        }
        if works.is_empty() { Ok(()) } else { index.write(&works) }
    }

    /// Tells how far it has come. `caught_up`: there is nothing more to do of what was there at the last look.
    fn publish(&self, caught_up: bool) {
        let behind = self.behind.values().map(|behind| behind.head.seq.saturating_sub(behind.seq)).sum();
        let mut state = self.shared.state();
        state.progress = Progress { indexed: self.indexed, behind };
        state.compared |= self.looked_everywhere.is_some();
        if caught_up {
            state.covered = Some(self.looked);
        }
        drop(state);
        self.shared.came.notify_all();
    }
}

/// Whether the disk has room that nobody needs more than an index.
fn has_room(path: &Path) -> bool {
    let dir = path.parent().unwrap_or(path);
    rustix::fs::statvfs(dir).is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) >= LEFT)
}

impl Orders {
    fn is_something(&self) -> bool {
        self.look || self.everywhere || self.rebuild || self.damaged.is_some() || self.stop
    }
}
