//! Runs a command, or calls a webhook, when something is so of a session: stored, so that it also happens after a restart.
//!
//! Invariant: at least once: that a trigger fires is on disk before anything is done, and that it was done afterwards; a daemon
//! that dies in between does it again. What is so is looked at anew at each start, so what became so while there was no daemon
//! is not missed. The list in memory is never ahead of the store.

mod fire;

pub use fire::Settings;

use crate::server::Server;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{Notify, Semaphore};
use vibes_core::{
    board::Posted,
    clock,
    journal::{Reader, StoreError, Writer},
    session::Notice,
};
use vibes_protocol::model::{Condition, SessionId, SessionInfo, Trigger, TriggerState};

/// How many may wait or be under way.
pub const MAX_TRIGGERS: usize = 256;
/// How many that are over are remembered.
const MAX_OVER: usize = 100;
/// How many are carried out at once.
const AT_ONCE: usize = 8;
/// How often it is tried.
const ATTEMPTS: u32 = 8;
/// How long is waited before the second try; twice as long before each further one.
const BACK_OFF: Duration = Duration::from_secs(1);
/// How often files are looked for.
const LOOK: Duration = Duration::from_secs(1);
/// How often it is looked whether sessions are there still.
const TIDY: Duration = Duration::from_secs(60);
/// The name under which they are kept; retention looks there too.
const KEPT: &str = vibes_core::sessions::retain::TRIGGERS;

/// All triggers.
pub struct Triggers {
    list: Mutex<Vec<Trigger>>,
    /// Turns at changing the list: its writing takes a while.
    changing: tokio::sync::Mutex<()>,
    writer: Writer,
    /// The list has changed.
    changed: Notify,
}

impl Triggers {
    /// What an earlier daemon kept. Blocking.
    pub fn read(reader: &Reader, writer: Writer) -> Result<Self, StoreError> {
        let kept = reader.kept(KEPT)?.unwrap_or_else(|| "[]".to_owned());
        let mut list: Vec<Trigger> = serde_json::from_str(&kept).unwrap_or_else(|error| {
            tracing::error!(%error, "the triggers cannot be read");
            Vec::new()
        });
        for trigger in list.iter_mut().filter(|trigger| trigger.state == TriggerState::Firing) {
            // It was under way, or waited for its next try; the clock may have been set since.
            let latest = clock::wall_ms() + millis(back_off(trigger.attempts));
            trigger.next_ms = Some(trigger.next_ms.unwrap_or(0).min(latest));
        }
        let (list, changing) = (Mutex::new(list), tokio::sync::Mutex::default());
        Ok(Self { list, changing, writer, changed: Notify::new() })
    }

    /// As they are now.
    pub fn all(&self) -> Vec<Trigger> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the list, once it is on disk.
    async fn change<T>(&self, change: impl FnOnce(&mut Vec<Trigger>) -> T) -> Result<T, StoreError> {
        let _turn = self.changing.lock().await;
        let mut list = self.all();
        let result = change(&mut list);
        let over = |trigger: &Trigger| matches!(trigger.state, TriggerState::Done | TriggerState::Failed);
        while list.iter().filter(|trigger| over(trigger)).count() > MAX_OVER {
            let Some(oldest) = list.iter().position(over) else { break };
            list.remove(oldest);
        }
        // Our own types of strings and numbers: encoding them cannot fail.
        self.writer.keep(KEPT, serde_json::to_string(&list).unwrap_or_default()).await?;
        *self.list.lock().unwrap_or_else(PoisonError::into_inner) = list;
        self.changed.notify_one();
        Ok(result)
    }

    /// Adds one, with the next number; `None` when there are too many.
    pub async fn add(&self, trigger: Trigger) -> Result<Option<Trigger>, StoreError> {
        self.change(|list| {
            let waits =
                |trigger: &&Trigger| matches!(trigger.state, TriggerState::Armed | TriggerState::Firing);
            if list.iter().filter(waits).count() >= MAX_TRIGGERS {
                return None;
            }
            let last = list.iter().map(|trigger| trigger.trigger_id).max().unwrap_or(0);
            let trigger = Trigger { trigger_id: last + 1, ..trigger };
            list.push(trigger.clone());
            Some(trigger)
        })
        .await
    }

    /// Takes one away. `false` when there is none.
    pub async fn remove(&self, trigger_id: u64) -> Result<bool, StoreError> {
        self.change(|list| {
            let before = list.len();
            list.retain(|trigger| trigger.trigger_id != trigger_id);
            list.len() < before
        })
        .await
    }

    /// Something may have become so that nobody is told of.
    pub fn look_again(&self) {
        self.changed.notify_one();
    }

    /// Takes those of a session away that is gone.
    async fn forget(&self, session: &SessionId) {
        let forgotten = self.change(|list| list.retain(|trigger| trigger.session_id != *session)).await;
        if let Err(error) = forgotten {
            tracing::warn!(%error, "the triggers of a session that is gone could not be removed");
        }
    }

    /// Notes something about those of these that are there still.
    async fn note(&self, ids: &[u64], note: impl Fn(&mut Trigger)) {
        let noted = self
            .change(|list| list.iter_mut().filter(|trigger| ids.contains(&trigger.trigger_id)).for_each(note))
            .await;
        if let Err(error) = noted {
            tracing::warn!(%error, "what became of a trigger could not be written down");
        }
    }
}

fn back_off(attempts: u32) -> Duration {
    BACK_OFF * 2_u32.pow(attempts.saturating_sub(1).min(ATTEMPTS))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Whether it is so. Blocking for files.
fn holds(when: &Condition, info: &SessionInfo) -> bool {
    let matches = |pattern: &str| glob::glob(pattern).is_ok_and(|mut found| found.any(|path| path.is_ok()));
    when.holds(info).unwrap_or_else(|| when.pattern(&info.cwd).is_some_and(|pattern| matches(&pattern)))
}

/// Watches all sessions that something waits for, until the daemon stops.
pub async fn watch(server: Arc<Server>, settings: Settings) {
    let board = server.sessions.board().clone();
    let wake = Arc::new(Notify::new());
    board.listen(&wake);
    let (mut cursor, settings) = (board.end(), Arc::new(settings));
    let places = Arc::new(Semaphore::new(AT_ONCE));
    // Which sessions have changed; all of them at the start. And which triggers are under way.
    let (mut news, busy) = (None, Arc::<Mutex<BTreeSet<u64>>>::default());
    let mut tidied = tokio::time::Instant::now();
    loop {
        if news.is_none() || tidied.elapsed() >= TIDY {
            tidied = tokio::time::Instant::now();
            tidy(&server).await;
        }
        look(&server, news.as_ref()).await;
        let next = carry_out(&server, &settings, &places, &busy);
        let armed = |trigger: &Trigger| trigger.state == TriggerState::Armed;
        let files = server
            .triggers
            .all()
            .iter()
            .any(|trigger| armed(trigger) && matches!(trigger.when, Condition::File(_)));
        let any = !server.triggers.all().is_empty();
        let pause = next.into_iter().chain(files.then_some(LOOK)).chain(any.then_some(TIDY)).min();
        let mut changed: BTreeSet<SessionId> = BTreeSet::new();
        let mut everything = false;
        tokio::select! {
            () = server.stop.cancelled() => return,
            () = server.triggers.changed.notified() => everything = true,
            () = wake.notified() => {}
            () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
        }
        match board.after(cursor) {
            Posted::Notices(notices, after) => {
                cursor = after;
                changed.extend(notices.iter().map(|notice| match &**notice {
                    Notice::Created(info) | Notice::Updated(info) => info.id,
                    Notice::Removed(id, _) | Notice::Ownership(id, _) => *id,
                }));
            }
            Posted::Missed(after) => (cursor, everything) = (after, true),
        }
        news = (!everything).then_some(changed);
    }
}

/// Forgets the triggers of sessions that were purged: nothing is kept of these.
async fn tidy(server: &Server) {
    let sessions: BTreeSet<SessionId> =
        server.triggers.all().into_iter().map(|trigger| trigger.session_id).collect();
    for session in sessions {
        match tokio::task::block_in_place(|| server.sessions.is_there(&session)) {
            Ok(true) => {}
            Ok(false) => server.triggers.forget(&session).await,
            Err(error) => tracing::warn!(%error, "whether a session is there still cannot be read"),
        }
    }
}

/// Looks which of the armed ones are so, and notes that they fire.
async fn look(server: &Server, changed: Option<&BTreeSet<SessionId>>) {
    let armed: Vec<Trigger> = server
        .triggers
        .all()
        .into_iter()
        .filter(|trigger| trigger.state == TriggerState::Armed)
        .filter(|trigger| {
            matches!(trigger.when, Condition::File(_))
                || changed.is_none_or(|changed| changed.contains(&trigger.session_id))
        })
        .collect();
    if armed.is_empty() {
        return;
    }
    let mut fire = Vec::new();
    tokio::task::block_in_place(|| {
        for trigger in armed {
            match server.sessions.peek(&trigger.session_id) {
                Ok(Some((_, info))) if holds(&trigger.when, &info) => fire.push(trigger.trigger_id),
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "a session that something waits for cannot be read"),
            }
        }
    });
    if !fire.is_empty() {
        let now = clock::wall_ms();
        server
            .triggers
            .note(&fire, |trigger| {
                (trigger.state, trigger.fired_ms, trigger.next_ms) =
                    (TriggerState::Firing, Some(now), Some(now));
            })
            .await;
    }
}

/// Begins what is due, and tells after how long something else is.
fn carry_out(
    server: &Arc<Server>,
    settings: &Arc<Settings>,
    places: &Arc<Semaphore>,
    busy: &Arc<Mutex<BTreeSet<u64>>>,
) -> Option<Duration> {
    let now = clock::wall_ms();
    let mut next: Option<Duration> = None;
    for trigger in server.triggers.all().into_iter().filter(|trigger| trigger.state == TriggerState::Firing) {
        let id = trigger.trigger_id;
        if busy.lock().unwrap_or_else(PoisonError::into_inner).contains(&id) {
            continue;
        }
        let wait = u64::try_from(trigger.next_ms.unwrap_or(0) - now).unwrap_or(0);
        // A clock that was set back makes nobody wait for longer than the pause.
        let wait = Duration::from_millis(wait).min(back_off(trigger.attempts));
        if !wait.is_zero() {
            next = Some(next.map_or(wait, |next| next.min(wait)));
            continue;
        }
        let Ok(place) = places.clone().try_acquire_owned() else {
            // Whoever gives its place back changes the list.
            continue;
        };
        busy.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        let (server, settings, busy) = (server.clone(), settings.clone(), busy.clone());
        tokio::spawn(async move {
            let attempt = trigger.attempts + 1;
            // How often it was tried is known before it is, so that a daemon that it kills does not try for ever.
            server.triggers.note(&[id], |trigger| trigger.attempts = attempt).await;
            let tried = tokio::select! {
                () = server.stop.cancelled() => None,
                tried = fire::fire(&server, &settings, &trigger, attempt) => Some(tried),
            };
            drop(place);
            busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            // A daemon that stops has not done it.
            let Some(tried) = tried else { return };
            let now = clock::wall_ms();
            server
                .triggers
                .note(&[id], |trigger| {
                    trigger.error = tried.as_ref().err().cloned();
                    match &tried {
                        Ok(()) => {
                            (trigger.state, trigger.next_ms, trigger.ended_ms) =
                                (TriggerState::Done, None, Some(now))
                        }
                        Err(_) if attempt >= ATTEMPTS => {
                            (trigger.state, trigger.next_ms, trigger.ended_ms) =
                                (TriggerState::Failed, None, Some(now));
                        }
                        Err(_) => trigger.next_ms = Some(now + millis(back_off(attempt))),
                    }
                })
                .await;
        });
    }
    next
}
