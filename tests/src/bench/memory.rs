//! F6: what idle sessions hold in the daemon and in their runners.

use super::{
    Plan,
    report::{Goal, Report},
    stage,
};
use std::{fs, thread, time::Duration};
use vibes_tests::TestEnv;

/// A field of a process's `smaps_rollup`, in KiB.
pub fn kib(pid: i32, field: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("our own process can be read");
    let line = text.lines().find(|line| line.starts_with(field)).expect("smaps_rollup has this field");
    line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("it is a number")
}

fn runners(env: &TestEnv) -> Vec<i32> {
    let runs =
        |command: &str| command.split(' ').next().is_some_and(|program| program.ends_with("/vibes-runner"));
    env.processes().into_iter().filter(|process| runs(&process.command)).map(|process| process.pid).collect()
}

/// Takes the figure.
pub fn measure(plan: &Plan, report: &mut Report) {
    let env = stage::started();
    let daemon = env.running_daemon().expect("it was started").pid;
    let empty = kib(daemon, "Rss:") / 1024.0;
    let mut control = env.client("bench");
    stage::sessions(&env, &mut control, plan.sessions);
    drop(control);
    // What was needed only to start them is given back, and the writer has checkpointed.
    thread::sleep(Duration::from_secs(1));
    let full = kib(daemon, "Rss:") / 1024.0;
    let pss: Vec<f64> = runners(&env).into_iter().map(|pid| kib(pid, "Pss:")).collect();
    assert_eq!(pss.len(), plan.sessions, "every session has a runner");
    let each = (full - empty) / plan.sessions as f64;
    report.figure("F6.daemon.empty", "MiB", &[empty], None, Goal::None);
    report.figure(&format!("F6.daemon.s{}", plan.sessions), "MiB", &[full], None, Goal::None);
    report.figure("F6.daemon.s1000", "MiB", &[empty + each * 1000.0], None, Goal::AtMost(64.0));
    report.figure("F6.runner.pss", "KiB", &pss, None, Goal::AtMost(300.0));
}
