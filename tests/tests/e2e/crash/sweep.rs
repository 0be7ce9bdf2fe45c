//! The daemon and a runner die at system calls (row 3): `strace` kills the process when one of its threads makes a
//! call for the N-th time, which needs no point and finds the instants that nobody named.
//!
//! `VIBES_SWEEP=all` tries every N until the work does not come by any more; without it two are tried. Where there is
//! no `strace`, or it may not trace, these tests say so and do nothing, except in CI, where that fails them.

use super::{
    runner::{bystander, recovered},
    work::Work,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
};
use vibes_tests::{TestEnv, eventually, processes};

/// Whether processes can be traced here.
#[expect(clippy::print_stderr, reason = "what is skipped is said")]
fn can_trace() -> bool {
    let probe = ["-f", "-q", "-b", "execve", "-o", "/dev/null", "-e", "trace=none", "true"];
    let probed = Command::new("strace").args(probe).stdin(Stdio::null()).stderr(Stdio::null()).status();
    let can = probed.is_ok_and(|status| status.success());
    if !can {
        assert!(std::env::var_os("CI").is_none(), "CI traces system calls: install strace, allow ptrace");
        eprintln!("SKIPPED: strace (6.0 or newer) is missing or may not trace; nothing was tried here");
    }
    can
}

/// A program that runs another one and kills it at its N-th call. What it executes itself is not followed, so the daemon
/// is given a setting of its memory, which keeps it from beginning itself again.
fn wrapper(env: &TestEnv, name: &str, call: &str, at: u32) -> String {
    let path = env.path(name);
    let script = format!(
        "#!/bin/sh\nexport MALLOC_ARENA_MAX=1\nexec strace -D -f -q -b execve -o {}/strace.$$ -e trace={call} \
         -e inject={call}:signal=KILL:when={at} {} \"$@\"\n",
        env.root().display(),
        env.binary(name).display(),
    );
    fs::write(&path, script).expect("a script can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("and made to run");
    path
}

/// Whether a traced process was killed: its trace ends with that.
fn was_killed(env: &TestEnv) -> bool {
    let traces = fs::read_dir(env.root()).expect("the environment has a directory").flatten();
    traces
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("strace."))
        .any(|entry| fs::read_to_string(entry.path()).unwrap_or_default().contains("killed by SIGKILL"))
}

/// Tries the calls; `case` says whether the process was killed.
#[track_caller]
#[expect(clippy::print_stdout, reason = "a failure shows what would repeat it")]
fn sweep(calls: &[&str], some: &[u32], case: impl Fn(&str, u32) -> bool) {
    if !can_trace() {
        return;
    }
    let all = std::env::var("VIBES_SWEEP").is_ok_and(|sweep| sweep == "all");
    for call in calls {
        let times: Box<dyn Iterator<Item = u32>> =
            if all { Box::new(1..) } else { Box::new(some.iter().copied()) };
        for at in times {
            println!("killed at {call}, time {at}");
            if !case(call, at) {
                assert!(at > 1, "the work makes no {call}");
                break;
            }
        }
    }
}

/// The daemon's death at a call is not noticed by anybody.
fn daemon(call: &str, at: u32) -> bool {
    let env = TestEnv::new();
    let vibesd = wrapper(&env, "vibesd", call, at);
    // It may die while it starts.
    env.spawn_vibes(&["daemon", "start"], "", &[("VIBESD", &vibesd)]).wait();
    let mut work = Work::new(&env);
    work.one_of_everything().unwrap_or_else(|why| panic!("a session cannot be made: {why}"));
    work.unharmed();
    let killed = was_killed(&env);
    // The traced one may live still; then it is not the one to end the test with.
    env.daemon().kill9();
    env.daemon();
    killed
}

/// A runner's death at a call costs its agent, and nobody else anything.
fn runner(call: &str, at: u32) -> bool {
    let env = TestEnv::started();
    let bystander = bystander(&env);
    env.daemon().terminate();
    let bins = env.path("bin");
    fs::create_dir(&bins).expect("a directory can be made");
    // The daemon takes the runner that lies beside it.
    let vibesd = format!("{bins}/vibesd");
    fs::copy(env.binary("vibesd"), &vibesd).expect("a program can be copied");
    let traced = wrapper(&env, "vibes-runner", call, at);
    fs::rename(traced, format!("{bins}/vibes-runner")).expect("a script can be moved");
    env.spawn_vibes(&["daemon", "start"], "", &[("VIBESD", &vibesd)]).wait().ok();
    let mut work = Work::new(&env);
    // A session that cannot be made is in the list as well.
    let _ = work.one_of_everything();
    recovered(&env, &mut work, &bystander);
    eventually("no runner is traced any more", || {
        processes::running(&format!("{bins}/")).is_empty().then_some(())
    });
    was_killed(&env)
}

#[test]
fn fault_03_the_daemon_dies_at_calls_that_write_files() {
    sweep(&["pwrite64", "fsync", "ftruncate", "openat"], &[1, 12], daemon);
}

#[test]
fn fault_03_the_daemon_dies_at_calls_that_change_directories() {
    sweep(&["unlink", "rename", "mkdir", "fchmod"], &[1, 2], daemon);
}

#[test]
fn fault_03_the_daemon_dies_at_calls_that_talk() {
    sweep(&["write", "writev", "recvfrom", "accept4"], &[1, 9], daemon);
}

#[test]
fn fault_03_a_runner_dies_at_calls_that_write() {
    sweep(&["write", "pwrite64", "openat", "rename"], &[1, 4], runner);
}
