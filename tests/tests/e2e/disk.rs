//! A disk that is full: nothing is lost, and a person can still stop an agent.
//!
//! Needs the right to mount a small file system; without it the tests say so and pass.

use serde_json::json;
use std::{path::PathBuf, process::Command};
use vibes_tests::{TestEnv, eventually, oracle};

/// A small file system of its own, gone at the end of the test.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// In the place of the environment's state directory.
    fn below(env: &TestEnv, size: &str) -> Option<Self> {
        let disk = Self(env.state().root().to_owned());
        disk.run(&["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "tmpfs"]).then_some(disk)
    }

    fn run(&self, args: &[&str]) -> bool {
        Command::new("mount").args(args).arg(&self.0).output().is_ok_and(|ran| ran.status.success())
    }

    fn grow(&self, size: &str) {
        assert!(self.run(&["-o", &format!("remount,size={size}")]), "the disk grows");
    }

    fn is_full(&self) -> bool {
        rustix::fs::statvfs(&self.0).is_ok_and(|stat| stat.f_bavail == 0)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
        // The environment could not remove what was mounted over.
        if let Some(root) = self.0.parent() {
            let _ = std::fs::remove_dir_all(root);
        }
    }
}

#[test]
fn a_full_disk_delays_and_loses_nothing() {
    let env = TestEnv::new();
    let Some(disk) = SmallDisk::below(&env, "8m") else { return eprintln!("skipped: no right to mount") };
    env.daemon();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "chunks 30000 300 0 f");
    eventually("the disk is full", || disk.is_full().then_some(()));
    // The store may find room for a commit or two in what it has already; then input fails closed.
    let mut accepted = 0;
    eventually("input is refused", || {
        let answer = ada.request("input", json!({"session_id": session, "content": "say more"}));
        accepted += u64::from(answer["type"] == "accepted");
        (answer["code"] == "STORE_FULL").then_some(())
    });
    disk.grow("400m");
    for _ in 0..=accepted {
        ada.fact(&session, "turn_ended");
    }
    assert_eq!(oracle::check_chunks(&session, ada.stream(&session), "f"), 30_000);
    drop(ada);
    oracle::check(&env);
    // What the environment stops writes here until it has stopped.
    drop(env);
    drop(disk);
}

#[test]
fn an_agent_is_killed_on_a_full_disk_and_the_kill_is_recorded_when_there_is_room() {
    let env = TestEnv::new();
    let Some(disk) = SmallDisk::below(&env, "8m") else { return eprintln!("skipped: no right to mount") };
    env.daemon();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({}));
    ada.prompt(&session, "chunks 3000000 300 0 f");
    eventually("the disk is full", || disk.is_full().then_some(()));
    // The runner names the agent's program among its own arguments.
    let is_agent = |command: &str| command.contains("fake-agent") && !command.contains("vibes-runner");
    let agent =
        |env: &TestEnv| env.processes().into_iter().filter(|process| is_agent(&process.command)).count();
    // Until it stands still: the last bytes of room may still take a commit or two.
    eventually("the kill finds no room to be recorded in, and acts", || {
        (ada.request("kill_session", json!({"session_id": session}))["code"] == "STORE_FULL").then_some(())
    });
    eventually("the agent is gone", || (agent(&env) == 0).then_some(()));
    disk.grow("400m");
    ada.state(&session, "killed");
    drop(ada);
    oracle::check(&env);
    // What the environment stops writes here until it has stopped.
    drop(env);
    drop(disk);
}
