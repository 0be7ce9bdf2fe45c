//! Death at every named point and at every system call, and what must hold afterwards.
//!
//! Invariant: every point of `vibes_runner::points` has a test here (`every_point_has_its_test` compares), and a point
//! that its test does not reach at the first time fails it. The programs under test have points only when they are
//! built with them (`cargo build --workspace --bins --features points`); otherwise these tests are ignored and say so.

/// Tests that need programs with points.
macro_rules! cases {
    ($($(#[$doc:meta])* fn $name:ident() { $($body:tt)* })+) => {$(
        #[test]
        #[cfg_attr(not(feature = "points"), ignore = "needs programs with points: --features points")]
        fn $name() { $($body)* }
    )+};
}

mod cold;
mod daemon;
mod import;
mod panics;
mod purge;
mod races;
mod runner;
mod search;
mod sweep;
mod work;
mod worktree;

use vibes_runner::points::{self, Point};

#[test]
fn every_point_has_its_test() {
    let tests = concat!(
        include_str!("cold.rs"),
        include_str!("daemon.rs"),
        include_str!("import.rs"),
        include_str!("purge.rs"),
        include_str!("runner.rs"),
        include_str!("search.rs"),
        include_str!("worktree.rs"),
        include_str!("../ledger.rs")
    );
    let untested = points::ALL.iter().filter(|point| !tests.contains(&format!("Point::{point:?})")));
    assert_eq!(untested.collect::<Vec<_>>(), [] as [&Point; 0]);
}

/// At which times a point is tried: the first, the second, a later one; up to `VIBES_POINTS_HITS` when that is set.
fn hits() -> Vec<u32> {
    match std::env::var("VIBES_POINTS_HITS") {
        Ok(most) => (1..=most.parse().expect("VIBES_POINTS_HITS is a number")).collect(),
        Err(_) => vec![1, 2, 7],
    }
}

/// Runs a case for each of the times, as far as the point is come by. `case` says whether it was.
#[track_caller]
#[expect(clippy::print_stdout, reason = "a failure shows what would repeat it")]
fn each(point: Point, hits: Vec<u32>, case: impl Fn(u32) -> bool) {
    for hit in hits {
        println!("VIBES_POINTS={}=kill@{hit}", point.name());
        if !case(hit) {
            assert!(hit > 1, "{} is not reached: were the programs built with their points?", point.name());
            println!("the work of this test does not come by {} that often", point.name());
            return;
        }
    }
}
