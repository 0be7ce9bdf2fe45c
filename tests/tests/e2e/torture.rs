//! The kill loop of `vibes_tests::torture`, as long as the suite has time for.
//!
//! `VIBES_TORTURE_CYCLES` says how often a daemon is killed (default: 500, or as many as fit into 45 seconds),
//! `VIBES_TORTURE_SEED` repeats a run, `VIBES_TORTURE_SHARDS` says how many daemons live at once.

use std::time::Duration;
use vibes_tests::torture;

#[test]
fn fault_02_05_nothing_is_lost_or_doubled_however_often_daemon_and_runners_are_killed() {
    torture::run(&torture::Plan::from_environment(500, Duration::from_secs(45)));
}
