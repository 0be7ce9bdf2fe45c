//! The writing half of a connection.
//!
//! Invariant: one round writes notices, then answers, then at most 256 KiB of records of each subscription, so that
//! nothing starves. Frames are written as they were encoded at commit; nothing is queued per client.

use crate::{
    connection::{Answer, Connection, Subscription, encode, lock},
    listen::Wire,
};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::{io::AsyncWriteExt, time::Instant};
use vibes_core::{board::Posted, journal::Pull, session::Notice};
use vibes_protocol::{
    model::{ClientId, SessionId, SessionInfo},
    wire::{Message, message::Cursor},
};

/// How much of one session is written before the others get their turn, in bytes.
const SHARE: usize = 256 * 1024;
/// How long a client may take nothing before it is closed.
const DEADLINE: Duration = Duration::from_secs(10);

/// Why the writing ended.
enum End {
    /// The client is gone, or everything is said.
    Quiet,
    /// It is told this reason, with its cursors.
    Told(&'static str),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::TimedOut { Self::Told("slow") } else { Self::Quiet }
    }
}

/// Writes until the connection is over.
pub(crate) async fn write(connection: &Arc<Connection>, send: &Wire) {
    let end = match rounds(connection, send).await {
        Ok(end) | Err(end) => end,
    };
    if let End::Told(reason) = end {
        let closing = Message::Closing { reason: reason.to_owned(), resume_from: connection.cursors() };
        // A client that takes nothing may not take this either; it knows its cursor itself.
        let farewell = all(send, vec![encode(&closing)]);
        let _ = tokio::time::timeout(Duration::from_millis(200), farewell).await;
    }
}

async fn rounds(connection: &Arc<Connection>, send: &Wire) -> Result<End, End> {
    let server = connection.server.clone();
    let mut next_ping: Option<Instant> = None;
    loop {
        // Taken before the notices are looked at: what an answer is the end of (a kill, a handing over) was posted
        // before it, and is told before it.
        let ready = std::mem::take(&mut *lock(&connection.answers));
        let mut wrote = false;
        if connection.answered.load(Ordering::Acquire) {
            wrote |= notices(connection, send).await?;
        }
        wrote |= answers(connection, send, ready).await?;
        wrote |= records(connection, send).await?;
        if let Some(every) = connection.who().heartbeat {
            let now = Instant::now();
            if now.duration_since(*lock(&connection.heard)) > every * 3 {
                return Ok(End::Told("silent"));
            }
            let due = *next_ping.get_or_insert(now + every);
            if due <= now {
                next_ping = Some(now + every);
                all(send, vec![encode(&Message::Ping {})]).await?;
            }
        }
        if connection.replaced.is_cancelled() {
            return Ok(End::Told("replaced"));
        }
        if server.stop.is_cancelled() {
            // What was asked before the stop is still answered.
            let ready = std::mem::take(&mut *lock(&connection.answers));
            answers(connection, send, ready).await?;
            return Ok(End::Told("shutdown"));
        }
        if connection.over.is_cancelled() || connection.is_done() {
            return Ok(End::Quiet);
        }
        if wrote {
            continue;
        }
        let timer = next_ping.unwrap_or_else(Instant::now);
        tokio::select! {
            () = connection.wake.notified() => {}
            () = connection.over.cancelled() => {}
            () = connection.replaced.cancelled() => {}
            () = server.stop.cancelled() => {}
            () = tokio::time::sleep_until(timer), if next_ping.is_some() => {}
        }
    }
}

/// Writes bytes whole; only a pause without any progress counts against the client.
async fn all(mut send: &Wire, mut pieces: Vec<Bytes>) -> io::Result<()> {
    pieces.retain(|piece| !piece.is_empty());
    let mut first = 0;
    while first < pieces.len() {
        let slices: Vec<IoSlice<'_>> =
            pieces[first..].iter().take(64).map(|piece| IoSlice::new(piece)).collect();
        let written = tokio::time::timeout(DEADLINE, send.write_vectored(&slices))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let mut left = written;
        while first < pieces.len() && left >= pieces[first].len() {
            left -= pieces[first].len();
            first += 1;
        }
        if left > 0 {
            let rest = pieces[first].slice(left..);
            pieces[first] = rest;
        }
    }
    Ok(())
}

async fn answers(connection: &Connection, send: &Wire, ready: VecDeque<Answer>) -> Result<bool, End> {
    if ready.is_empty() {
        return Ok(false);
    }
    for answer in ready {
        all(send, vec![answer.bytes]).await?;
        connection.answered.store(true, Ordering::Release);
        for subscription in answer.begin {
            subscription.handle.feed.listen(&connection.wake);
            lock(&connection.subscriptions).insert(subscription.handle.id, subscription);
        }
        drop(answer.permit);
    }
    Ok(true)
}

async fn notices(connection: &Connection, send: &Wire) -> Result<bool, End> {
    let me = connection.caller().client;
    let board = connection.server.sessions.board();
    let (pieces, cursor) = match board.after(connection.board.load(Ordering::Acquire)) {
        Posted::Notices(fresh, cursor) => {
            (fresh.iter().map(|notice| encode(&message(notice, me))).collect::<Vec<_>>(), cursor)
        }
        // The ring has moved on; the list holds the same truth.
        Posted::Missed(cursor) => {
            let all = connection.server.sessions.list();
            let living = all.iter().filter(|info| !info.state.is_ended());
            let updated = living.map(|info| encode(&Message::SessionUpdated { session: owned_by(info, me) }));
            (updated.collect(), cursor)
        }
    };
    connection.board.store(cursor, Ordering::Release);
    if pieces.is_empty() {
        return Ok(false);
    }
    all(send, pieces).await?;
    Ok(true)
}

fn owned_by(info: &SessionInfo, me: ClientId) -> SessionInfo {
    SessionInfo { is_owner: info.owner_id == Some(me), ..info.clone() }
}

fn message(notice: &Notice, me: ClientId) -> Message {
    match notice {
        Notice::Created(info) => Message::SessionNotification { session: owned_by(info, me) },
        Notice::Updated(info) => Message::SessionUpdated { session: owned_by(info, me) },
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

async fn records(connection: &Connection, send: &Wire) -> Result<bool, End> {
    let behind: Vec<Subscription> = lock(&connection.subscriptions)
        .values()
        .filter(|sub| sub.rewound || sub.handle.feed.head() > sub.after)
        .cloned()
        .collect();
    let mut wrote = false;
    for sub in behind {
        if sub.rewound {
            let to = Cursor { epoch: sub.epoch, seq: sub.after };
            all(send, vec![encode(&Message::Rewind { session_id: sub.handle.id, to })]).await?;
            advance(connection, &sub.handle.id, sub.after, sub.epoch);
        }
        match sub.handle.feed.pull(sub.after, SHARE) {
            Pull::Idle => {}
            Pull::Frames(frames, last, epoch) => {
                all(send, frames).await?;
                advance(connection, &sub.handle.id, last, epoch);
                wrote = true;
            }
            Pull::Store => {
                from_store(connection, send, &sub).await?;
                wrote = true;
            }
        }
    }
    Ok(wrote)
}

async fn from_store(connection: &Connection, send: &Wire, sub: &Subscription) -> Result<(), End> {
    let (reader, no, id, after) =
        (connection.server.sessions.reader().clone(), sub.handle.no, sub.handle.id, sub.after);
    let head = sub.handle.feed.head();
    let page = tokio::task::spawn_blocking(move || reader.page(no, &id, after, SHARE, usize::MAX)).await;
    let page = match page {
        Ok(Ok(page)) => page,
        Ok(Err(error)) => {
            tracing::error!(session = %id, %error, "records cannot be read");
            return Err(End::Told("store_failed"));
        }
        Err(_) => return Err(End::Quiet),
    };
    let gap = |from, to| {
        let reason = "these records are no longer in the store".to_owned();
        encode(&Message::Gap { session_id: id, from, to, reason })
    };
    if page.last == 0 {
        all(send, vec![gap(after + 1, head)]).await?;
        advance(connection, &id, head, sub.epoch);
        return Ok(());
    }
    if page.first > after + 1 {
        all(send, vec![gap(after + 1, page.first - 1)]).await?;
    }
    let last = page.last;
    let (bytes, _) = page.frames.freeze();
    all(send, vec![bytes]).await?;
    advance(connection, &id, last, connection.server.sessions.epoch());
    Ok(())
}

/// Moves a cursor, unless the client unsubscribed meanwhile.
fn advance(connection: &Connection, id: &SessionId, after: u64, epoch: u64) {
    if let Some(sub) = lock(&connection.subscriptions).get_mut(id) {
        (sub.after, sub.epoch, sub.rewound) = (after, epoch, false);
    }
}
