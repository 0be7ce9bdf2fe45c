//! The kill loop: daemons die again and again, in the middle of everything, and the oracle looks afterwards.
//!
//! A run is a number of kills. Several shards work at once, each with a state directory and a daemon of its own. A
//! shard works in rounds of some hundred kills; after each everything is checked and thrown away, so that a run may
//! be as long as one likes. A round is repeated by its seed alone: it is the first round of a run with that seed.
//!
//! Invariant: a client here is what a good client is: it comes back, resumes from its cursor, repeats what was not
//! answered under the same idempotency key, and answers what is pending. Whatever it was told, the journal has.
#![expect(clippy::print_stdout, reason = "it says how the run goes, and how a failure is repeated")]

mod client;
mod effects;
mod ground;
mod keeper;
mod player;
mod stage;
mod view;

use crate::{
    TestEnv,
    dice::{Dice, mix},
    oracle,
};
use ground::{Ground, Sum, count};
use std::{
    panic::{self, AssertUnwindSafe},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

/// How often the daemon is killed before all is checked and a new state directory is taken.
const ROUND: u64 = 250;
/// How many sessions of the fake agent a shard keeps under way; one of the shell joins them.
const FAKES: usize = 2;
/// How often a run says how it goes.
const PROGRESS: Duration = Duration::from_secs(5);

/// What a run is asked to do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How often a daemon is killed.
    pub kills: u64,
    /// What makes it repeatable, as far as threads and processes allow.
    pub seed: u64,
    /// How many daemons live at once.
    pub shards: u64,
    /// No new kill after this long.
    pub within: Option<Duration>,
}

/// A number from the environment.
fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}")))
}

impl Plan {
    /// So many kills, or those of `VIBES_TORTURE_CYCLES`; the rest from `VIBES_TORTURE_SEED` and
    /// `VIBES_TORTURE_SHARDS`.
    pub fn from_environment(kills: u64, within: Duration) -> Self {
        let wanted = variable("VIBES_TORTURE_CYCLES");
        Self {
            kills: wanted.unwrap_or(kills),
            seed: variable("VIBES_TORTURE_SEED").unwrap_or_else(Dice::seed),
            shards: variable("VIBES_TORTURE_SHARDS").unwrap_or(4),
            within: wanted.is_none().then_some(within),
        }
    }
}

/// Carries out a plan; says how it goes on stdout. Panics when anything was lost, doubled, reordered or left behind.
pub fn run(plan: &Plan) {
    let shards = plan.shards.clamp(1, plan.kills.max(1));
    println!("torture: {} kills, {shards} daemons at once, seed {}", plan.kills, plan.seed);
    let (sum, left, over) = (Sum::default(), AtomicU64::new(plan.kills), AtomicBool::new(false));
    let began = Instant::now();
    let failed: Vec<String> = thread::scope(|scope| {
        let shard = |number: u64| {
            let (sum, left) = (&sum, &left);
            move || {
                for round in 0.. {
                    // The first round of the first shard has the seed of the run.
                    let seed = match (number, round) {
                        (0, 0) => plan.seed,
                        _ => mix(mix(plan.seed ^ mix(number)).wrapping_add(round)) >> 16,
                    };
                    let late = plan.within.is_some_and(|within| began.elapsed() > within);
                    let share = plan.kills.div_ceil(shards).min(ROUND);
                    let take = |left: u64| (left > 0 && !late).then(|| left - left.min(share));
                    let Ok(before) = left.fetch_update(Relaxed, Relaxed, take) else { return Ok(()) };
                    let kills = before.min(share);
                    let until = plan.within.map(|within| began + within);
                    self::round(seed, kills, until, left, sum).inspect_err(|_| left.store(0, Relaxed))?;
                }
                Ok(())
            }
        };
        let shards: Vec<_> = (0..shards).map(|number| scope.spawn(shard(number))).collect();
        let (over, sum) = (&over, &sum);
        let told = scope.spawn(move || {
            let mut next = began + PROGRESS;
            while !over.load(Relaxed) {
                thread::sleep(Duration::from_millis(50));
                if Instant::now() >= next {
                    println!("{}", sum.sentence(began.elapsed()));
                    next += PROGRESS;
                }
            }
        });
        let ends: Vec<Result<(), String>> = shards
            .into_iter()
            .map(|shard| shard.join().unwrap_or_else(|_| Err("a shard".to_owned())))
            .collect();
        over.store(true, Relaxed);
        told.join().expect("it only prints");
        ends.into_iter().filter_map(Result::err).collect()
    });
    println!("{}", sum.sentence(began.elapsed()));
    assert!(failed.is_empty(), "the torture found something:\n{}", failed.join("\n"));
    assert!(sum.prompts.load(Relaxed) > 0, "a torture without prompts proves nothing");
}

/// One round in a state directory of its own. A failure is shown, its state is kept, and the way to repeat it told.
fn round(seed: u64, kills: u64, until: Option<Instant>, left: &AtomicU64, sum: &Sum) -> Result<(), String> {
    let env = TestEnv::new();
    let root = env.root().to_owned();
    let ended = panic::catch_unwind(AssertUnwindSafe(|| {
        let ground = Ground::new(env, sum);
        let mut dice = Dice::new(seed);
        let mut keeper = keeper::Keeper::new(&ground, dice.child());
        thread::scope(|scope| {
            let ground = &ground;
            let stages: Vec<_> = (0..=FAKES)
                .map(|at| {
                    let dice = dice.child();
                    let agent = if at < FAKES { stage::Agent::Fake } else { stage::Agent::Shell };
                    scope.spawn(move || {
                        let _alarm = ground.alarm();
                        stage::run(ground, agent, at, dice)
                    })
                })
                .collect();
            let alarm = ground.alarm();
            for kill in 0..kills {
                let over = until.is_some_and(|until| Instant::now() > until);
                // What is not done is given back, for the count to be true.
                if ground.has_failed() || over {
                    left.fetch_add(if over { 0 } else { kills - kill }, Relaxed);
                    break;
                }
                keeper.cycle();
            }
            keeper.serve();
            ground.stop();
            let mut running = std::collections::BTreeSet::new();
            let mut failure = None;
            for stage in stages {
                match stage.join() {
                    Ok(Ok(session)) => running.extend(session),
                    // Somebody else failed, and tells.
                    Ok(Err(ground::Abandoned)) => {}
                    Err(panic) => failure = Some(failure.unwrap_or(panic)),
                }
            }
            if let Some(panic) = failure {
                panic::resume_unwind(panic);
            }
            drop(alarm);
            // A session that rested early may have lost its runner to a later kill, with nobody there to resume it.
            running.retain(|session| stage::rests(ground, session).unwrap_or(true));
            oracle::check_whole(&ground.env, &running, 3 * (FAKES + 1));
        });
        count(&sum.rounds);
        let daemon = keeper.retire();
        drop(ground);
        // The environment's end has stopped it.
        daemon.map(|mut daemon| daemon.wait());
    }));
    ended.map_err(|panic| {
        let why = panic.downcast_ref::<String>().cloned();
        let why = why.or_else(|| panic.downcast_ref::<&str>().map(|why| (*why).to_owned()));
        format!(
            "{}\n  state: {}\n  repeat: VIBES_TORTURE_SHARDS=1 just torture {kills} {seed}",
            why.unwrap_or_default(),
            root.display()
        )
    })
}
