//! What the task does with a change: commit it, adopt it, act on it.
//!
//! Invariant: effects come after the commit they belong to. The one exception are stops: a full disk cannot keep a
//! person from stopping an agent, so these go out and are owed to the journal.

use super::{
    COLLECT_EVERY, Caller, CodedError, Command, Effect, ErrorCode, Event, Held, Instant, Launch, Link,
    LinkOrder, LinkState, NOTICE_EVERY, Notice, Order, RETIRE, Reply, STORE_RETRY, State, StoreError, Tag,
    Task,
};
use crate::{
    agent::launch,
    clock,
    journal::{Append, Change, Slab, group},
    points::{self, Point},
    session::step::{LADDER_MS, Out, step},
};
use sha2::{Digest, Sha256};
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};
use vibes_protocol::model::SessionState;

/// The tag of a command that nobody waits for.
const UNASKED: Tag = 0;

/// How much a session records before its records are packed though its turn goes on, in bytes: an agent may tell the output
/// of a tool again with every line of it.
const UNPACKED: usize = 4 * 1024 * 1024;

/// Gives the runner the frames after `sent`, and the number of the last one given.
fn write_after(link: &Link, outbox: &BTreeMap<u64, Vec<u8>>, sent: u64) -> u64 {
    let mut last = sent;
    for (number, bytes) in outbox.range(sent + 1..) {
        let hash = Sha256::digest(bytes).into();
        link.order(Order::Write { in_seq: *number, hash, bytes: bytes.clone() });
        last = *number;
    }
    last
}

impl Task {
    /// A change whose stops are carried out even when they cannot be recorded.
    pub(super) async fn change(&mut self, events: Vec<Event<'_>>, sync: bool) -> bool {
        let stops: Vec<(Caller, Command)> = events
            .iter()
            .filter_map(|event| match event {
                Event::Command(caller, command, _) if self.acts_first(command) => {
                    Some((caller.clone(), command.clone()))
                }
                _ => None,
            })
            .collect();
        let done = self.commit(events, sync).await;
        if !done {
            for (caller, command) in stops {
                self.stop_unrecorded(caller, command);
            }
        }
        done
    }

    /// Computes a change on a copy, commits it, adopts it, acts on it. `false` when the store refused.
    pub(super) async fn commit(&mut self, events: Vec<Event<'_>>, sync: bool) -> bool {
        let now = clock::now();
        let mut next = self.state.clone();
        next.judges = self.at.judge.applies(next.person());
        if next.ledger.has_old() {
            next.ledger.forget_old();
        }
        let mut out = Out::default();
        // A look waits for nothing to be recorded: where nothing can be, it shows what was.
        let (mut asked, mut looks) = (Vec::new(), Vec::new());
        // What is owed comes before what came after it, and makes the same frames of the same numbers again.
        let owed = std::mem::take(&mut self.owed);
        let sync = sync || !owed.is_empty();
        for (caller, command) in owed.clone() {
            step(&mut next, now, Event::Command(caller, command, UNASKED), &mut out);
        }
        for event in events {
            match &event {
                Event::Command(caller, Command::Look, tag) => looks.push((*tag, caller.client)),
                Event::Command(_, command, tag) => asked.push((*tag, self.acts_first(command))),
                _ => {}
            }
            step(&mut next, now, event, &mut out);
        }
        let body = self.saved.body_change(&next);
        let rows = self.saved.row_changes(&next);
        let spent = self.saved.spent_change(&next);
        let place = self.saved.place_change(&next);
        let moved = next.spool != self.state.spool;
        let same = body.is_none() && place.is_none() && !moved;
        if out.facts.is_empty() && same && (rows.is_empty() || asked.is_empty()) {
            // Nothing that would be missed after a crash: acknowledged frames leave with the next change.
            let relinked = next.link != self.state.link || next.hindrances != self.state.hindrances;
            self.state = next;
            if relinked {
                self.refresh();
                self.notice_owed = true;
            }
            self.act(out.effects);
            self.send_frames();
            return true;
        }
        let recorded = !out.facts.is_empty();
        let frames = recorded.then(|| {
            let mut frames = group::Frames::of(&next.body.id);
            frames.extend(next.epoch, self.state.head + 1, &out.facts);
            frames
        });
        let change = Change {
            session: self.no,
            expect: (self.state.head, self.state.spool),
            head: next.head,
            spool: next.spool,
            last_ms: next.last_ms,
            active_ms: self.at.awake.at(next.active_ms),
            append: recorded.then(|| Append {
                first: self.state.head + 1,
                last: next.head,
                epoch: next.epoch,
                body: out.facts.body,
            }),
            body,
            place,
            rows,
            spent,
            sync,
        };
        let appended = change.append.as_ref().map_or(0, |append| append.body.len());
        match self.at.writer.commit(change).await {
            Ok(committed) => {
                points::hit(self.point_of(&next, !asked.is_empty()));
                let visible = next.body != self.state.body
                    || next.ownership != self.state.ownership
                    || next.hindrances != self.state.hindrances;
                let first = self.state.head + 1;
                self.saved = self.saved.after(&next);
                self.retire_at = Instant::now() + RETIRE;
                self.state = next;
                if !owed.is_empty() {
                    // The runner has them and says so once more.
                    let first = self.state.outbox.keys().next().copied().unwrap_or(self.sent + 1);
                    self.sent = self.sent.min(first.saturating_sub(1));
                }
                if let Some(frames) = frames {
                    let (bytes, ends) = frames.freeze();
                    let (last, epoch) = (self.state.head, self.state.epoch);
                    // The summary first: whoever is woken by the records finds the list telling the same.
                    if visible {
                        self.refresh();
                    }
                    self.feed.publish(Slab { first, last, epoch, bytes, ends: ends.into() });
                    points::hit(Point::IngestNotified);
                }
                self.notice_owed = true;
                if visible || self.noticed.elapsed() >= NOTICE_EVERY {
                    self.refresh();
                }
                self.unpacked += appended;
                if self.unpacked >= UNPACKED {
                    self.pack();
                }
                self.act(out.effects);
                if self.notice_owed && self.noticed.elapsed() >= NOTICE_EVERY {
                    self.post_update();
                }
                self.collect(committed.txn);
                self.send_frames();
                true
            }
            Err(error) => {
                tracing::error!(session = %self.state.body.id, %error, "a change could not be recorded");
                let code = if matches!(error, StoreError::Full) {
                    ErrorCode::StoreFull
                } else {
                    ErrorCode::StoreFailed
                };
                self.owed = owed;
                for (tag, acts_first) in asked {
                    let message = match acts_first {
                        true => format!("it is carried out, and recorded when that can be done: {error}"),
                        false => error.to_string(),
                    };
                    self.answer(tag, Err(CodedError::new(code, message)));
                }
                for (tag, client) in looks {
                    self.answer(tag, Ok(Reply::Looked(Box::new(self.state.look(client)))));
                }
                false
            }
        }
    }

    /// Which point the commit of `next` is.
    fn point_of(&self, next: &State, asked: bool) -> Point {
        let starting = |state: &State| state.body.state == SessionState::Starting;
        if next.body.stopping.is_some() && self.state.body.stopping.is_none() {
            Point::CloseBegun
        } else if starting(&self.state) && !starting(next) {
            Point::NewAcpInit
        } else if next.pending.len() > self.state.pending.len() {
            Point::PermIngested
        } else if asked && next.pending.len() < self.state.pending.len() {
            Point::PermCommitted
        } else if asked {
            Point::CmdCommitted
        } else {
            Point::IngestCommitted
        }
    }

    /// Whether a command stops something: then it acts even when it cannot be recorded.
    pub(super) fn acts_first(&self, command: &Command) -> bool {
        match command {
            Command::Kill | Command::Interrupt { .. } | Command::Finish | Command::Suspend { .. } => true,
            Command::Answer(answer) => {
                let pending = self.state.pending.get(&answer.permission_id);
                let chosen = pending.and_then(|pending| answer.chosen(&pending.permission.options));
                chosen.is_some_and(|option| !option.allows())
            }
            _ => false,
        }
    }

    /// A full disk cannot keep a person from stopping an agent: the stop goes out although nothing could be recorded,
    /// and is owed to the journal. What the agent then does is taken in like anything else, after it.
    pub(super) fn stop_unrecorded(&mut self, caller: Caller, command: Command) {
        let (mut next, now) = (self.state.clone(), clock::now());
        for (caller, command) in self.owed.clone() {
            step(&mut next, now, Event::Command(caller, command, UNASKED), &mut Out::default());
        }
        let mut out = Out::default();
        step(&mut next, now, Event::Command(caller.clone(), command.clone(), UNASKED), &mut out);
        let refused = out.effects.iter().any(|effect| matches!(effect, Effect::Reply(_, Err(_))));
        let kind = std::mem::discriminant(&command);
        // Two answers are to two questions; a second stop of the same kind adds nothing.
        let twice = !matches!(command, Command::Answer(_))
            && self.owed.iter().any(|(_, owed)| std::mem::discriminant(owed) == kind);
        if refused || twice {
            return;
        }
        if let Some(link) = &self.link {
            self.sent = write_after(link, &next.outbox, self.sent);
            // The runner has these numbers now: nothing is recorded before what is owed, which takes them again.
            if !matches!(command, Command::Interrupt { .. } | Command::Answer(_)) {
                let (eof_ms, term_ms) = LADDER_MS;
                link.order(Order::Stop { eof_ms, term_ms });
            }
        }
        self.owed.push((caller, command));
        // Something must wake the task when there is room again.
        if self.held.is_none() {
            self.held = Some((Held::Nothing, Instant::now() + STORE_RETRY));
        }
    }

    pub(super) fn act(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Reply(tag, result) => self.answer(tag, result),
                Effect::Start => self.start(),
                Effect::Go => self.order(Order::Go),
                Effect::Stop { eof_ms, term_ms } => self.order(Order::Stop { eof_ms, term_ms }),
                Effect::Notice(notice) => {
                    self.refresh();
                    if matches!(notice, Notice::Removed(..)) {
                        // What it became was posted before; nothing follows its leaving.
                        self.notice_owed = false;
                        self.noticed = Instant::now();
                    }
                    self.at.board.post(notice);
                }
                Effect::Forget(generation) => {
                    let dir = self.at.yard.dir_of(&self.state.body.id, generation);
                    if let Err(error) = std::fs::remove_dir_all(&dir)
                        && error.kind() != std::io::ErrorKind::NotFound
                    {
                        tracing::warn!(dir = %dir.display(), %error, "a runner's directory stays");
                    }
                    points::hit(Point::CloseDirRemoved);
                }
                Effect::Judge(permission) => self.ask_rules(*permission),
                Effect::Recall => self.recall(),
                Effect::Fetch(content) => self.fetch(content),
                Effect::Count => self.count(),
                Effect::Purge(tag, by) => self.purging.push((tag, by)),
                Effect::Pack => self.pack(),
            }
        }
    }

    /// Its records are compressed when there is time.
    fn pack(&mut self) {
        self.unpacked = 0;
        self.at.writer.pack(self.no, self.state.head);
    }

    pub(super) fn start(&mut self) {
        let body = &self.state.body;
        let launch = Launch {
            argv: body.codec.argv(&body.launch.argv),
            cwd: body.cwd.clone(),
            env: (self.at.environment)(&body.agent, self.env.as_ref()),
            umask: body.launch.umask,
        };
        let (yard, session, generation) = (self.at.yard.clone(), body.id, body.generation);
        self.link = None;
        self.up = false;
        self.starting =
            Some(tokio::spawn(async move { launch::spawn(&yard, &session, generation, &launch).await }));
    }

    pub(super) fn order(&self, order: Order) {
        if let Some(link) = &self.link {
            link.order(order);
        }
    }

    pub(super) fn send_frames(&mut self) {
        if !self.up || self.sending_paused.is_some() {
            return;
        }
        let Some(link) = &self.link else { return };
        if link.generation != self.state.body.generation {
            return;
        }
        self.sent = write_after(link, &self.state.outbox, self.sent);
    }

    pub(super) fn answer(&mut self, tag: Tag, result: Result<Reply, CodedError>) {
        if let Some(reply) = self.replies.remove(&tag) {
            // Whoever asked may be gone; what was asked is done all the same.
            let _ = reply.send(result);
        }
    }

    pub(super) fn refresh(&self) {
        *self.summary.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(self.state.info());
    }

    pub(super) fn post_update(&mut self) {
        self.refresh();
        self.noticed = Instant::now();
        self.notice_owed = false;
        if self.state.body.deleted_ms.is_none() {
            self.at.board.post(Notice::Updated(Box::new(self.state.info())));
        }
    }

    /// Notes how far the spool is covered by this transaction, to be given up once it is on disk.
    pub(super) fn collect(&mut self, txn: u64) {
        if self.collect.is_none() && self.state.link == LinkState::Live {
            self.collect = Some((txn, self.state.spool.offset));
            self.collect_at = Instant::now() + COLLECT_EVERY;
        } else if self.collect_at <= Instant::now() {
            self.collect_spool();
        }
    }

    /// Gives up spool segments whose records are on disk.
    pub(super) fn collect_spool(&mut self) {
        self.collect_at = Instant::now() + COLLECT_EVERY;
        let writer = &self.at.writer;
        if let Some((_, offset)) = self.collect.take_if(|(txn, _)| writer.synced() >= *txn)
            && let Some(link) = &self.link
        {
            let _ = link.orders.send(LinkOrder::Durable(offset));
            if offset < self.state.spool.offset {
                // What came meanwhile is covered by the last transaction, which the next sync takes along.
                self.collect = Some((self.at.writer.last(), self.state.spool.offset));
            }
        }
    }
}
