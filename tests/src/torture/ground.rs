//! What the threads of one round share: the environment, whether a daemon serves, whether it is time to end.
//!
//! Invariant: nobody waits for a daemon that will not come: a failure anywhere wakes everybody.

use crate::{TestEnv, Wire};
use serde_json::Value;
use std::{
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Figures of a run, over all shards and rounds.
#[derive(Debug, Default)]
pub(super) struct Sum {
    pub(super) kills: AtomicU64,
    /// Kills of a runner together with its daemon.
    pub(super) runners: AtomicU64,
    pub(super) rounds: AtomicU64,
    pub(super) sessions: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) prompts: AtomicU64,
    pub(super) answers: AtomicU64,
    pub(super) interrupts: AtomicU64,
    pub(super) suspensions: AtomicU64,
    pub(super) records: AtomicU64,
}

/// One more.
pub(super) fn count(figure: &AtomicU64) {
    figure.fetch_add(1, Ordering::Relaxed);
}

impl Sum {
    /// Adds a session that was checked.
    pub(super) fn add(&self, records: &[Value]) {
        count(&self.sessions);
        for fact in records.iter().map(|record| &record["fact"]) {
            count(&self.records);
            match (fact["kind"].as_str(), fact["outcome"].as_str(), fact["to"].as_str()) {
                (Some("input"), ..) => count(&self.prompts),
                (Some("permission_resolved"), Some("allowed" | "denied"), _) => count(&self.answers),
                (Some("turn_ended"), Some("interrupted"), _) => count(&self.interrupts),
                (Some("state_changed"), _, Some("suspended")) => count(&self.suspensions),
                _ => {}
            }
        }
    }

    pub(super) fn sentence(&self, elapsed: Duration) -> String {
        let of = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        let kills = of(&self.kills);
        format!(
            "torture: {kills} kills in {:.0?} ({:.1}/s), {} with a runner; checked {} rounds, {} sessions, {} prompts, \
             {} answers, {} interrupts, {} suspensions, {} records; {} connections",
            elapsed,
            kills as f64 / elapsed.as_secs_f64().max(0.001),
            of(&self.runners),
            of(&self.rounds),
            of(&self.sessions),
            of(&self.prompts),
            of(&self.answers),
            of(&self.interrupts),
            of(&self.suspensions),
            of(&self.records),
            of(&self.connections),
        )
    }
}

/// The round has failed elsewhere.
#[derive(Debug)]
pub(super) struct Abandoned;

/// One round.
pub(super) struct Ground<'a> {
    pub(super) env: TestEnv,
    pub(super) sum: &'a Sum,
    up: Mutex<bool>,
    risen: Condvar,
    stop: AtomicBool,
    failed: AtomicBool,
    /// How many new records clients have seen: whether anything goes on.
    seen: AtomicU64,
}

/// Tells the others when its thread panics.
pub(super) struct Alarm<'a, 'b>(&'a Ground<'b>);

impl Drop for Alarm<'_, '_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.env.keep();
            self.0.failed.store(true, Ordering::Release);
            self.0.risen.notify_all();
        }
    }
}

impl<'a> Ground<'a> {
    pub(super) fn new(env: TestEnv, sum: &'a Sum) -> Self {
        Self {
            env,
            sum,
            up: Mutex::new(false),
            risen: Condvar::new(),
            stop: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            seen: AtomicU64::new(0),
        }
    }

    pub(super) fn alarm(&self) -> Alarm<'_, 'a> {
        Alarm(self)
    }

    /// Whether a daemon serves.
    pub(super) fn serves(&self, serves: bool) {
        *self.up.lock().unwrap_or_else(PoisonError::into_inner) = serves;
        self.risen.notify_all();
    }

    /// No new work from now on: what was begun is brought to its end.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    pub(super) fn stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    pub(super) fn check(&self) -> Result<(), Abandoned> {
        if self.has_failed() { Err(Abandoned) } else { Ok(()) }
    }

    /// A client has seen a new record.
    pub(super) fn moved(&self) {
        self.seen.fetch_add(1, Ordering::Release);
    }

    /// Waits until a client sees a new record, but not for ever: all may be at rest.
    pub(super) fn until_it_moves(&self) {
        let (before, until) =
            (self.seen.load(Ordering::Acquire), Instant::now() + Duration::from_millis(500));
        while self.seen.load(Ordering::Acquire) == before && Instant::now() < until && !self.has_failed() {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// A connection to the daemon of the moment, as soon as there is one.
    pub(super) fn connect(&self) -> Result<Wire, Abandoned> {
        loop {
            let up = self.up.lock().unwrap_or_else(PoisonError::into_inner);
            // The wait ends by itself now and then only for the sake of a failure that came just before it.
            let (up, _) = self
                .risen
                .wait_timeout_while(up, Duration::from_millis(200), |up| !*up && !self.has_failed())
                .unwrap_or_else(PoisonError::into_inner);
            self.check()?;
            let is_up = *up;
            drop(up);
            if !is_up {
                continue;
            }
            match Wire::try_connect(&self.env.state().socket()) {
                Ok(wire) => {
                    count(&self.sum.connections);
                    return Ok(wire.forgetful());
                }
                // Killed this very moment: whoever killed it is about to say so.
                Err(_) => thread::yield_now(),
            }
        }
    }

    /// Asks until it is answered, over as many daemons as it takes. For what may be asked twice.
    pub(super) fn ask(&self, kind: &str, fields: &serde_json::Value) -> Result<serde_json::Value, Abandoned> {
        loop {
            let mut wire = self.connect()?;
            match wire.try_request(kind, fields.clone()) {
                Some(answer) if answer["code"] == "ADOPTING" => {}
                Some(answer) => return Ok(answer),
                None => {}
            }
        }
    }
}
