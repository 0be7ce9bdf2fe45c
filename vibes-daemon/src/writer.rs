//! The writing half of a connection.
//!
//! Invariant: one round writes notices, then answers, then at most 256 KiB of records of each subscription, so that
//! nothing starves. Frames are written as they were encoded at commit; nothing is queued per client, and a client that
//! takes nothing holds the rest of one line: its cursor says what to read again.

use crate::{
    budget::{DEADLINE, LAST_ANSWERS, NOTICES, PATIENCE, PULSE, SHARE},
    connection::{Answer, Connection, Subscription, encode, lock},
    handlers::reading::{Eyes, seen_by},
    outlet::{self, Failed, Rest},
    server::Server,
    web::frames,
    wire::Wire,
};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{task::JoinHandle, time::Instant};
use vibes_core::{
    board::Posted,
    journal::{Page, Pull, SessionNo, StoreError},
    points::{self, Point},
    session::Notice,
};
use vibes_protocol::{
    model::{ClientId, Epoch, Seq, SessionId},
    wire::{Message, message::Cursor},
};

/// Why the writing ended.
enum End {
    /// The client is gone, or everything is said.
    Quiet,
    /// It is told this reason, with its cursors.
    Told(&'static str),
    /// It takes nothing, or not before it has to be told: this is the rest of the line under way.
    Stuck(Vec<u8>),
}

/// The page that is read while the one before it is written, so that the store's work and the client's go on at once. At
/// most one for each connection, and none for a client that takes nothing.
#[derive(Default)]
struct Ahead(Option<Reading>);

/// A page on its way from the store: of which session, after which record.
struct Reading {
    id: SessionId,
    after: Seq,
    page: JoinHandle<Option<Result<Page, StoreError>>>,
}

impl Ahead {
    /// The page behind the cursor: the one that was begun, or one that is read now. `None` when there is no reading any
    /// more.
    async fn page(
        &mut self,
        connection: &Connection,
        sub: &Subscription,
    ) -> Option<Result<Page, StoreError>> {
        if let Some(begun) = self.0.take_if(|begun| begun.id == sub.handle.id)
            && begun.after == sub.after
        {
            return begun.page.await.ok().flatten();
        }
        read(connection.server.clone(), sub.handle.no, sub.handle.id, sub.after).await
    }

    /// Begins to read what comes after this record, unless another page is under way or too much is in memory.
    fn begin(&mut self, connection: &Connection, sub: &Subscription, after: Seq) {
        if self.0.is_none() && after < sub.handle.feed.head() && !connection.server.memory.is_over() {
            let page = read(connection.server.clone(), sub.handle.no, sub.handle.id, after);
            self.0 = Some(Reading { id: sub.handle.id, after, page: tokio::spawn(page) });
        }
    }
}

impl End {
    fn of(failed: Failed) -> Self {
        match failed {
            Failed::Gone => Self::Quiet,
            Failed::Stuck(rest) => Self::Stuck(rest.line),
        }
    }
}

/// Reads a page from the store, in turn with everybody else's.
async fn read(
    server: Arc<Server>,
    no: SessionNo,
    id: SessionId,
    after: Seq,
) -> Option<Result<Page, StoreError>> {
    let _turn = server.pages.acquire().await;
    let reader = server.sessions.reader().clone();
    tokio::task::spawn_blocking(move || reader.page(no, &id, after, SHARE, usize::MAX)).await.ok()
}

/// Writes until the connection is over.
pub(crate) async fn write(connection: &Arc<Connection>, send: &Wire) {
    let end = match rounds(connection, send).await {
        Ok(end) | Err(end) => end,
    };
    let (line, reason) = match end {
        End::Quiet => {
            let fault = if connection.is_faulty() { "what was sent cannot be followed" } else { "" };
            let last = match connection.between() {
                Some(answer) => answer,
                None if send.is_web() => frames::close(fault),
                None => return,
            };
            return outlet::part(send, Vec::new(), last);
        }
        End::Told(reason) => (Vec::new(), reason),
        End::Stuck(_) if connection.over.is_cancelled() => return,
        End::Stuck(line) => (line, connection.ending().unwrap_or("slow")),
    };
    let closing = Message::Closing { reason: reason.to_owned(), resume_from: connection.cursors() };
    let (mut pieces, _) = send.framed(vec![encode(&closing)]);
    pieces.extend(send.is_web().then(|| frames::close(reason)));
    outlet::part(send, line, pieces.concat().into());
}

/// When a sign of life is asked for next, and how long a client may give none.
struct Beat {
    every: Duration,
    dead: Duration,
    due: Option<Instant>,
}

impl Beat {
    fn new(every: Duration, dead: Duration) -> Self {
        Self { every, dead, due: None }
    }

    /// Whether one is due now.
    fn is_due(&mut self, now: Instant) -> bool {
        let due = *self.due.get_or_insert(now + self.every);
        if due <= now {
            self.due = Some(now + self.every);
        }
        due <= now
    }
}

async fn rounds(connection: &Arc<Connection>, send: &Wire) -> Result<End, End> {
    let mut ahead = Ahead::default();
    let mut asked_for: Option<Beat> = None;
    let mut pulse = send.is_web().then(|| Beat::new(PULSE, PULSE * 2));
    loop {
        if let Some(between) = connection.between() {
            tell_rest(connection, send, between).await?;
        }
        // Taken before the notices are looked at: what an answer is the end of (a kill, a handing over) was posted
        // before it, and is told before it.
        let ready = std::mem::take(&mut *lock(&connection.answers));
        let mut wrote = false;
        if connection.answered.load(Ordering::Acquire) {
            wrote |= notices(connection, send).await?;
        }
        wrote |= answers(connection, send, ready).await?;
        wrote |= records(connection, send, &mut ahead).await?;
        if let Some(every) = connection.who().heartbeat {
            asked_for.get_or_insert_with(|| Beat::new(every, every * 3));
        }
        let now = Instant::now();
        let silent = now.duration_since(*lock(&connection.heard));
        for (beat, is_pulse) in [(&mut asked_for, false), (&mut pulse, true)] {
            let Some(beat) = beat else { continue };
            if silent > beat.dead {
                return Ok(End::Told("silent"));
            }
            match (beat.is_due(now), is_pulse) {
                (true, true) => tell_rest(connection, send, frames::ping()).await?,
                (true, false) => tell(connection, send, vec![encode(&Message::Ping {})]).await?,
                (false, _) => {}
            }
        }
        if let Some(reason) = connection.ending() {
            last_answers(connection, send).await?;
            return Ok(End::Told(reason));
        }
        if connection.over.is_cancelled() || connection.is_done() {
            return Ok(End::Quiet);
        }
        if wrote {
            continue;
        }
        // Nobody waits for it any more.
        ahead = Ahead::default();
        let next = [&asked_for, &pulse].into_iter().flatten().filter_map(|beat| beat.due).min();
        let timer = next.unwrap_or_else(Instant::now);
        tokio::select! {
            () = connection.wake.notified() => {}
            () = connection.ended() => {}
            () = tokio::time::sleep_until(timer), if next.is_some() => {}
        }
    }
}

/// Writes lines; a client that takes nothing for the length of the deadline is closed.
async fn tell(connection: &Connection, send: &Wire, pieces: Vec<Bytes>) -> Result<(), End> {
    outlet::offer(connection, send, pieces, DEADLINE).await.map_err(End::of)
}

/// The same of what stands as it is to stand on the socket.
async fn tell_rest(connection: &Connection, send: &Wire, rest: Bytes) -> Result<(), End> {
    outlet::offer_rest(connection, send, rest, DEADLINE).await.map_err(End::of)
}

/// Records of one session that are due.
struct Stretch {
    id: SessionId,
    frames: Vec<Bytes>,
    last: Seq,
    epoch: Epoch,
}

/// Writes them. What a client does not take is let go: the cursor says from where to read again. The memory of those that
/// are from the store and were taken whole is used again.
async fn stream(
    connection: &Connection,
    send: &Wire,
    stretch: Stretch,
    page: Option<Bytes>,
    ahead: &mut Ahead,
) -> Result<(), End> {
    let Stretch { id, frames, last, epoch } = stretch;
    match outlet::offer(connection, send, frames, PATIENCE).await {
        Ok(()) => {
            advance(connection, &id, last, epoch);
            if let Some(page) = page {
                connection.server.sessions.reader().recycle(page);
            }
        }
        Err(Failed::Gone) => return Err(End::Quiet),
        Err(Failed::Stuck(Rest { line, lines })) => {
            drop(page);
            *ahead = Ahead::default();
            advance(connection, &id, last - lines, epoch);
            let _held = connection.server.memory.hold(line.len());
            tell_rest(connection, send, line.into()).await?;
        }
    }
    Ok(())
}

async fn answers(connection: &Connection, send: &Wire, ready: VecDeque<Answer>) -> Result<bool, End> {
    if ready.is_empty() {
        return Ok(false);
    }
    for answer in ready {
        tell(connection, send, vec![answer.bytes]).await?;
        points::hit(Point::CmdReplied);
        connection.answered.store(true, Ordering::Release);
        for subscription in answer.begin {
            subscription.handle.feed.listen(&connection.wake);
            lock(&connection.subscriptions).insert(subscription.handle.id, subscription);
        }
        drop((answer.permit, answer.held));
        connection.room.notify_waiters();
    }
    Ok(true)
}

/// What was asked before a stop is still answered: its outcome is recorded or refused by now or in a moment, and a
/// client that did not hear which would have to ask again.
async fn last_answers(connection: &Connection, send: &Wire) -> Result<(), End> {
    let until = Instant::now() + LAST_ANSWERS;
    loop {
        let ready = std::mem::take(&mut *lock(&connection.answers));
        answers(connection, send, ready).await?;
        if connection.replaced.is_cancelled() || connection.is_answered() {
            return Ok(());
        }
        tokio::select! {
            () = connection.wake.notified() => {}
            () = connection.over.cancelled() => return Ok(()),
            () = connection.replaced.cancelled() => {}
            () = tokio::time::sleep_until(until) => return Ok(()),
        }
    }
}

async fn notices(connection: &Connection, send: &Wire) -> Result<bool, End> {
    let (me, eyes) = (connection.caller().client, connection.eyes());
    let board = connection.server.sessions.board();
    let (pieces, cursor): (Vec<Bytes>, u64) = match board.after(connection.board.load(Ordering::Acquire)) {
        Posted::Notices(fresh, cursor) => {
            let behind = fresh.len().saturating_sub(NOTICES) as u64;
            let some = fresh.iter().take(NOTICES).filter(|notice| connection.reaches(&about(notice)));
            (some.map(|notice| encode(&message(notice, me, &eyes))).collect(), cursor - behind)
        }
        // The ring has moved on; the list holds the same truth.
        Posted::Missed(cursor) => {
            let all = connection.server.sessions.awake();
            let living = all.iter().filter(|info| !info.state.is_ended() && connection.reaches(&info.id));
            let updated =
                living.map(|info| encode(&Message::SessionUpdated { session: seen_by(info, me, &eyes) }));
            (updated.collect(), cursor)
        }
    };
    connection.board.store(cursor, Ordering::Release);
    if pieces.is_empty() {
        return Ok(false);
    }
    let _held = connection.server.memory.hold(pieces.iter().map(Bytes::len).sum());
    tell(connection, send, pieces).await?;
    Ok(true)
}

fn about(notice: &Notice) -> SessionId {
    match notice {
        Notice::Created(info) | Notice::Updated(info) => info.id,
        Notice::Removed(session_id, _) | Notice::Ownership(session_id, _) => *session_id,
    }
}

fn message(notice: &Notice, me: ClientId, eyes: &Eyes) -> Message {
    match notice {
        Notice::Created(info) => Message::SessionNotification { session: seen_by(info, me, eyes) },
        Notice::Updated(info) => Message::SessionUpdated { session: seen_by(info, me, eyes) },
        Notice::Removed(session_id, reason) => {
            Message::SessionRemoved { session_id: *session_id, reason: *reason }
        }
        Notice::Ownership(session_id, owner) => Message::OwnershipTransferred {
            session_id: *session_id,
            new_owner_id: *owner,
            you_are_owner: *owner == Some(me),
        },
    }
}

async fn records(connection: &Connection, send: &Wire, ahead: &mut Ahead) -> Result<bool, End> {
    let behind: Vec<Subscription> = lock(&connection.subscriptions)
        .values()
        .filter(|sub| sub.rewound || sub.handle.feed.is_closed() || sub.handle.feed.head() > sub.after)
        .cloned()
        .collect();
    let mut wrote = false;
    for sub in behind {
        if sub.handle.feed.is_closed() {
            return Err(End::Told("session_failed"));
        }
        if sub.rewound {
            let to = Cursor { epoch: sub.epoch, seq: sub.after };
            let rewind = encode(&Message::Rewind { session_id: sub.handle.id, to });
            tell(connection, send, vec![rewind]).await?;
            advance(connection, &sub.handle.id, sub.after, sub.epoch);
        }
        match sub.handle.feed.pull(sub.after, SHARE) {
            Pull::Idle => {}
            Pull::Frames(frames, last, epoch) => {
                let stretch = Stretch { id: sub.handle.id, frames, last, epoch };
                stream(connection, send, stretch, None, ahead).await?;
                wrote = true;
            }
            Pull::Store => {
                from_store(connection, send, &sub, ahead).await?;
                wrote = true;
            }
        }
    }
    Ok(wrote)
}

async fn from_store(
    connection: &Connection,
    send: &Wire,
    sub: &Subscription,
    ahead: &mut Ahead,
) -> Result<(), End> {
    let (id, after) = (sub.handle.id, sub.after);
    let head = sub.handle.feed.head();
    let page = match ahead.page(connection, sub).await {
        Some(Ok(page)) => page,
        Some(Err(error)) => {
            tracing::error!(session = %id, %error, "records cannot be read");
            return Err(End::Told("store_failed"));
        }
        None => return Err(End::Quiet),
    };
    let gap = |from, to| {
        let reason = "these records are no longer in the store".to_owned();
        encode(&Message::Gap { session_id: id, from, to, reason })
    };
    if page.last == 0 {
        tell(connection, send, vec![gap(after + 1, head)]).await?;
        advance(connection, &id, head, sub.epoch);
        return Ok(());
    }
    if page.first > after + 1 {
        tell(connection, send, vec![gap(after + 1, page.first - 1)]).await?;
    }
    let last = page.last;
    ahead.begin(connection, sub, last);
    let (bytes, _) = page.frames.freeze();
    let epoch = connection.server.sessions.epoch();
    let stretch = Stretch { id, frames: vec![bytes.clone()], last, epoch };
    stream(connection, send, stretch, Some(bytes), ahead).await
}

/// Moves a cursor, unless the client unsubscribed meanwhile.
fn advance(connection: &Connection, id: &SessionId, after: u64, epoch: u64) {
    if let Some(sub) = lock(&connection.subscriptions).get_mut(id) {
        (sub.after, sub.epoch, sub.rewound) = (after, epoch, false);
    }
}
