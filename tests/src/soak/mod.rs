//! The soak: one daemon under churn for as long as one likes, looked at from outside every few seconds.
//!
//! Sessions are made, used, crashed, suspended, ended and deleted; clients come, go, vanish, read slowly and ask
//! nonsense; people attach through the real command line; one session lives all the while. At the end everything is
//! deleted, and what the daemon holds must be what it held before, and its memory must not have grown with the churn.
//!
//! Invariant: the daemon is never restarted, and nothing here waits for it longer than `PATIENCE`.
#![expect(clippy::print_stdout, reason = "the table and the verdict are what it is for")]

mod life;
mod sample;

use crate::{TestEnv, dice::Dice, oracle};
use sample::{Sample, Watch};
use std::{
    collections::BTreeSet,
    fs,
    panic::resume_unwind,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

/// Sessions that are made one after the other, so many at once.
const SLOTS: u64 = 3;
/// Lives that every slot begins with, before the first look: pools fill, buffers find their size.
const WARM: u64 = 4;

/// How long a run is.
#[derive(Debug, Clone, Copy)]
pub enum Length {
    /// So many sessions over all slots, as fast as they go.
    Sessions(u64),
    /// So long, at a pace that leaves the machine to others.
    Time(Duration),
}

/// What the threads of a run share.
struct Run<'a> {
    env: &'a TestEnv,
    length: Length,
    began: Instant,
    sessions: AtomicU64,
    over: AtomicBool,
}

/// Stops the others when its thread panics.
struct Alarm<'a>(&'a AtomicBool);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.store(true, Relaxed);
        }
    }
}

impl Run<'_> {
    fn goes_on(&self) -> bool {
        let more = match self.length {
            Length::Sessions(wanted) => self.sessions.load(Relaxed) < wanted,
            Length::Time(wanted) => self.began.elapsed() < wanted,
        };
        more && !self.over.load(Relaxed)
    }

    /// Leaves the machine to others, twice as long as it was used.
    fn pause(&self, used: Duration) {
        if matches!(self.length, Length::Time(_)) {
            thread::sleep((used * 2).clamp(Duration::from_millis(100), Duration::from_secs(2)));
        }
    }

    fn slot(&self, number: u64, mut dice: Dice) {
        let _alarm = Alarm(&self.over);
        for life in 0.. {
            if !self.goes_on() {
                break;
            }
            let began = Instant::now();
            life::session(self.env, &format!("{number}-{life}"), &mut dice);
            self.sessions.fetch_add(1, Relaxed);
            self.pause(began.elapsed());
        }
    }

    fn beside(&self, mut work: impl FnMut()) {
        let _alarm = Alarm(&self.over);
        while self.goes_on() {
            let began = Instant::now();
            work();
            self.pause(began.elapsed());
        }
    }
}

/// Carries out a soak; prints what it saw when `table`. Panics when something was left behind or memory grew.
pub fn run(length: Length, seed: u64, table: bool) {
    println!("soak: {length:?}, seed {seed}");
    let mut dice = Dice::new(seed);
    // A short run has no time for the allocator's own keeping to level off: it gives back what is free.
    let frugal =
        [("MALLOC_ARENA_MAX", "1"), ("MALLOC_TRIM_THRESHOLD_", "65536"), ("MALLOC_MMAP_THRESHOLD_", "65536")];
    let env = TestEnv::with(if matches!(length, Length::Sessions(_)) { &frugal } else { &[] });
    env.daemon();
    // The first window that is attached makes it, and it stays: which may be before the first look or after it.
    fs::create_dir_all(env.state().root().join("history")).expect("a directory can be made");
    let mut watch = Watch::new(&env);
    let churn = |length: Length, dice: &mut Dice, looks: Option<&mut Watch<'_>>| -> u64 {
        let run = Run {
            env: &env,
            length,
            began: Instant::now(),
            sessions: AtomicU64::new(0),
            over: AtomicBool::new(false),
        };
        thread::scope(|scope| {
            let run = &run;
            let mut threads: Vec<_> = (0..SLOTS)
                .map(|number| {
                    let dice = dice.child();
                    scope.spawn(move || run.slot(number, dice))
                })
                .collect();
            let (mut strangers, mut elder) = (dice.child(), life::Elder::new(run.env));
            threads.push(scope.spawn(move || run.beside(|| life::stranger(run.env, &mut strangers))));
            threads.push(scope.spawn(move || {
                run.beside(|| elder.turn());
                elder.end();
            }));
            if let Some(watch) = looks {
                while run.goes_on() {
                    watch.look(table);
                    thread::sleep(Watch::EVERY.min(Duration::from_secs(1)));
                    while run.goes_on() && !watch.is_due() {
                        thread::sleep(Duration::from_millis(100));
                    }
                }
            }
            threads.into_iter().for_each(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        });
        run.sessions.load(Relaxed)
    };
    let before_warm = churn(Length::Sessions(WARM * SLOTS), &mut dice, None);
    let before = watch.settled(None);
    let sessions = churn(length, &mut dice, Some(&mut watch));
    let after = watch.settled(Some(&before));
    oracle::check_whole(&env, &BTreeSet::new(), 0);
    println!("{}\n{before}\n{after}", Sample::HEAD);
    watch.verdict(&before, &after, before_warm, sessions);
}
