//! How agents and runners end: no process is left, and what is known is written down.

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::{Bystander, Daemon, Plan, Rig, alive, eventually};
use vibes_runner::spool;
use vibes_runner::wire::{Exit, Order, Report};

fn exited(daemon: &mut Daemon) -> (Exit, u64) {
    daemon.wait(|report| match report {
        Report::Exited(exit, end) => Some((*exit, *end)),
        _ => None,
    })
}

/// The numbers that the agent printed as `pid N`.
fn pids(rig: &Rig, count: usize) -> Vec<i32> {
    let read = || -> Vec<i32> {
        let text = rig.text();
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.filter_map(|line| line.trim().strip_prefix("pid ")?.parse().ok()).collect()
    };
    rig.eventually("the agent's children are up", || read().len() == count);
    let pids = read();
    assert!(pids.iter().all(|&pid| alive(pid)), "{pids:?}");
    pids
}

/// A child in the group, one in a session of its own, one forked twice, one that hides its environment as well.
const FAMILY: &str = r#"
    sleep 1000 & echo pid $!
    setsid sh -c 'echo pid $$; exec sleep 1000' &
    (setsid sh -c 'sh -c "echo pid \$\$; exec sleep 1000" &' &)
    (env -i setsid sh -c 'env -i sh -c "echo pid \$\$; exec sleep 1000" &' &)
"#;

#[test]
fn fault_08_an_agent_that_ignores_everything_is_killed() {
    let (mut rig, mut daemon) = Plan::sh("trap '' TERM; echo up; while :; do sleep 1000; done").go();
    rig.wait_text("up");
    let agent = daemon.stat().agent_pid;
    daemon.send(&Order::Stop { eof_ms: 100_000, term_ms: 100_000 });
    daemon.send(&Order::Stop { eof_ms: 30, term_ms: 60 });
    daemon.send(&Order::Stop { eof_ms: 100_000, term_ms: 100_000 });
    let (exit, _) = exited(&mut daemon);
    assert_eq!((exit.code, exit.signal), (-1, 9), "the shorter times count");
    assert_eq!(daemon.stopped(), []);
    assert!(!alive(agent));
    assert!(rig.wait_end().success());
    assert!(rig.file(spool::EXIT).starts_with(r#"{"code":-1,"signal":9,"#));
}

#[test]
fn term_comes_before_kill() {
    let (rig, mut daemon) =
        Plan::sh("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.01; done").go();
    rig.wait_text("up");
    daemon.send(&Order::Stop { eof_ms: 1, term_ms: 20_000 });
    assert_eq!(exited(&mut daemon).0.code, 7);
    assert_eq!(rig.text(), "up\nbye\n");
}

#[test]
fn fault_10_a_stop_leaves_nobody_however_they_hid() {
    let (mut rig, mut daemon) = Plan::sh(&format!("{FAMILY} cat")).go();
    let family = pids(&rig, 4);
    assert_eq!(daemon.stop(5000, 5000), []);
    assert!(family.iter().all(|&pid| !alive(pid)), "{family:?}");
    assert!(rig.wait_end().success());
}

#[test]
fn a_stop_is_gone_through_with_when_the_daemon_dies() {
    let (mut rig, mut daemon) = Plan::sh(&format!("trap '' TERM; {FAMILY} while :; do sleep 1; done")).go();
    let family = pids(&rig, 4);
    daemon.send(&Order::Stop { eof_ms: 50, term_ms: 50 });
    drop(daemon);
    assert!(rig.wait_end().success());
    assert!(family.iter().all(|&pid| !alive(pid)), "{family:?}");
    assert!(rig.file(spool::EXIT).contains("\"signal\":9"));
}

#[test]
fn fault_09_10_an_agents_own_end_leaves_nobody_either() {
    let (mut rig, mut daemon) = Plan::sh(&format!("{FAMILY} read go; exit 3")).go();
    let family = pids(&rig, 4);
    let begun = Instant::now();
    assert_eq!(daemon.write(1, b"go\n"), Ok(()));
    let (exit, end) = exited(&mut daemon);
    assert_eq!(exit, Exit { code: 3, signal: 0, start_errno: 0 });
    assert!(begun.elapsed() < Duration::from_secs(10), "they hold stdout open: 2 s and no longer");
    assert!(family.iter().all(|&pid| !alive(pid)), "{family:?}");
    assert_eq!(end, rig.spooled().len() as u64);
    assert!(rig.wait_end().success());
    assert_eq!(
        rig.file(spool::EXIT).trim(),
        format!(r#"{{"code":3,"signal":0,"start_errno":0,"spool_end":{end}}}"#)
    );
}

#[test]
fn fault_09_a_last_word_after_the_agents_exit_is_kept() {
    let (mut rig, mut daemon) = Plan::sh("(sleep 0.3; echo last) & echo first").go();
    assert_eq!(exited(&mut daemon), (Exit { code: 0, signal: 0, start_errno: 0 }, 11));
    assert!(rig.wait_end().success());
    assert_eq!(rig.text(), "first\nlast\n");
}

#[test]
fn a_pipe_full_at_the_exit_is_read_to_its_end() {
    for _ in 0..5 {
        let (mut rig, mut daemon) = Plan::sh("head -c 900000 /dev/zero; exit 4").go();
        assert_eq!(exited(&mut daemon), (Exit { code: 4, signal: 0, start_errno: 0 }, 900_000));
        assert!(rig.wait_end().success());
        assert_eq!(rig.spooled().len(), 900_000);
    }
}

#[test]
fn the_marker_finds_who_escaped_and_spares_strangers() {
    let (rig, mut daemon) = Plan::new(&["cat"]).go();
    let value = rig.marker.trim_start_matches("VIBES_SESSION=").to_owned();
    let (escaped, stranger) = (Bystander::start(&value), Bystander::start(&format!("{value}0")));
    assert_eq!(daemon.stop(5000, 5000), []);
    assert!(!escaped.alive());
    assert!(stranger.alive());
}

#[test]
fn a_marker_of_another_session_kills_nobody() {
    let value = format!("t{}-outer:other.3", std::process::id());
    let outer = Bystander::start(&value);
    let (mut rig, mut daemon) = Plan::new(&["cat"]).marker(&value).go();
    assert_eq!(daemon.stop(5000, 5000), []);
    assert!(rig.wait_end().success());
    assert!(outer.alive());
    drop(outer);
}

#[test]
fn without_go_the_directory_goes() {
    let mut rig = Plan::new(&["cat"]).with("--go-timeout-ms", "200").start();
    let mut daemon = rig.connect();
    daemon.hello(1);
    assert!(rig.wait_end().success());
    assert!(!rig.dir.exists());
}

#[test]
fn without_go_other_peoples_files_stay() {
    let mut rig = Plan::new(&["cat"]).with("--go-timeout-ms", "200").start();
    fs::write(rig.dir.join("precious"), "x").expect("write");
    assert!(rig.wait_end().success());
    let left: Vec<_> = fs::read_dir(&rig.dir).expect("list").flatten().map(|file| file.file_name()).collect();
    assert_eq!(left, ["precious"]);
}

#[test]
fn fault_18_a_deleted_directory_ends_everything() {
    let (mut rig, _daemon) = Plan::sh(&format!("{FAMILY} cat")).go();
    let family = pids(&rig, 4);
    fs::remove_dir_all(&rig.dir).expect("remove");
    rig.wait_end();
    assert!(family.iter().all(|&pid| !alive(pid)), "{family:?}");
    assert!(!rig.dir.exists(), "nothing makes it anew");
}

#[test]
fn a_directory_of_somebody_else_ends_everything_and_is_left_alone() {
    let (mut rig, mut daemon) = Plan::new(&["cat"]).go();
    let agent = daemon.stat().agent_pid;
    fs::write(rig.dir.join(spool::META), "{\"pid\":1,\"agent_pid\":2}").expect("write");
    rig.wait_end();
    assert!(!alive(agent));
    assert!(rig.dir.join(spool::SOCKET).exists(), "it would be the other's");
    assert!(!rig.dir.join(spool::EXIT).exists());
}

#[test]
fn a_runner_nobody_comes_back_to_stops_its_agent() {
    let (mut rig, daemon) = Plan::new(&["cat"]).with("--ttl", "1").go();
    drop(daemon);
    assert!(rig.wait_end().success());
    assert!(rig.file(spool::EXIT).contains("\"code\":0"), "through the whole ladder: cat ended by itself");
}

#[test]
fn fault_04_a_killed_runner_takes_its_agent_along() {
    let (mut rig, mut daemon) = Plan::sh("trap '' TERM HUP INT; echo up; exec sleep 1000").go();
    rig.wait_text("up");
    let agent = daemon.stat().agent_pid;
    rig.kill_runner();
    eventually(rig.until, "the agent dies", || !alive(agent));
    assert_eq!(rig.text(), "up\n", "the spool stays");
}

#[test]
fn fault_07_a_program_that_cannot_be_started_is_told() {
    for (program, errno) in [("/no/such/program", 2), ("/etc/passwd", 13)] {
        let (mut rig, mut daemon) = {
            let rig = Plan::new(&[program]).start();
            let mut daemon = rig.connect();
            daemon.hello(1);
            daemon.send(&Order::Go);
            (rig, daemon)
        };
        let exit = Exit { code: -1, signal: 0, start_errno: errno };
        assert_eq!(exited(&mut daemon), (exit, 0));
        assert!(rig.wait_end().success());
        assert!(rig.file(spool::EXIT).contains(&format!("\"start_errno\":{errno},\"spool_end\":0")));
    }
}
