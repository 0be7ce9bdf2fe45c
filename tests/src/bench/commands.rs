//! F4 and F5: whole runs of `vibes sessions list`, with a warm daemon and from nothing.

use super::{
    Plan,
    report::{Goal, Report, quantile},
    stage,
};
use std::{
    process::{Command, Stdio},
    time::Instant,
};
use vibes_tests::TestEnv;

const SESSIONS: usize = 20;
/// How often a command is run in one round.
const RUNS: usize = 40;

pub fn command(env: &TestEnv, program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .envs(env.variables())
        .env("TMUX_TMPDIR", env.root())
        .current_dir(env.work());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Milliseconds of a whole run, from before the fork to after the wait.
pub fn time(mut command: Command) -> f64 {
    let began = Instant::now();
    let status = command.status().expect("a program can be started");
    let took = began.elapsed();
    assert!(status.success(), "{command:?} ended with {status}");
    took.as_secs_f64() * 1e3
}

/// A tmux server of its own, ended with this value.
struct Tmux<'a>(&'a TestEnv);

impl Tmux<'_> {
    fn command(&self, args: &[&str]) -> Command {
        command(self.0, "tmux", &[&["-L", "bench", "-f", "/dev/null"], args].concat())
    }
}

impl Drop for Tmux<'_> {
    fn drop(&mut self) {
        // One that cannot be reached is found and killed with the environment.
        let _ = self.command(&["kill-server"]).status();
    }
}

/// F4, and how much of it is starting a process at all.
pub fn warm(plan: &Plan, report: &mut Report) {
    let env = stage::started();
    let mut control = env.client("bench");
    stage::sessions(&env, &mut control, SESSIONS);
    drop(control);
    let tmux = Tmux(&env);
    let create = |n| tmux.command(&["new-session", "-d", "-s", &format!("s{n}"), "cat"]).status();
    let has_tmux = (0..SESSIONS).all(|n| create(n).is_ok_and(|status| status.success()));
    let list = || command(&env, env.binary("vibes"), &["sessions", "list"]);
    let (mut ours, mut p99, mut theirs, mut empty) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..plan.rounds {
        let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
        // In turns, so that what else runs meets all of them.
        for _ in 0..RUNS {
            a.push(time(list()));
            c.push(time(command(&env, env.binary("vibes"), &["--version"])));
            if has_tmux {
                b.push(time(tmux.command(&["ls"])));
            }
        }
        ours.push(quantile(&a, 0.5));
        p99.push(quantile(&a, 0.99));
        theirs.push(quantile(&b, 0.5));
        empty.push(quantile(&c, 0.5));
    }
    let against = has_tmux.then_some(("tmux ls", theirs.as_slice()));
    report.figure("F4.list.p50", "ms", &ours, against, Goal::RatioAtMost(1.0));
    report.figure("F4.list.p99", "ms", &p99, None, Goal::None);
    report.figure("F4.version.p50", "ms", &empty, Some(("vibes sessions list", &ours)), Goal::None);
}

/// F5: no state directory at all, and a daemon that was stopped.
pub fn cold(plan: &Plan, report: &mut Report) {
    let (mut nothing, mut stopped) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds * 4 {
        let env = stage::empty();
        let list = || command(&env, env.binary("vibes"), &["sessions", "list"]);
        nothing.push(time(list()));
        env.vibes(&["daemon", "stop"]).ok();
        stopped.push(time(list()));
    }
    report.figure("F5.cold.new", "ms", &nothing, None, Goal::AtMost(50.0));
    report.figure("F5.cold.stopped", "ms", &stopped, None, Goal::AtMost(50.0));
}
