//! A disk that is full: nothing is lost, and a person can still stop an agent.
//!
//! Needs the right to mount a small file system; without it the tests say so and pass.

use serde_json::{Value, json};
use std::{fs, io::Write, path::PathBuf, process::Command};
use vibes_tests::{TestEnv, Wire, eventually, oracle};

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

    /// Takes every byte that is left. Gone with [`SmallDisk::make_room`].
    fn fill(&self) {
        let mut file = fs::File::options()
            .append(true)
            .create(true)
            .open(self.0.join("filler"))
            .expect("a file can be made");
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("filler")).expect("it was filled");
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
fn fault_30_31_a_full_disk_delays_and_loses_nothing() {
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
fn fault_31_an_agent_is_killed_on_a_full_disk_and_the_kill_is_recorded_when_there_is_room() {
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

/// What the daemon says is wrong.
fn problems(wire: &mut Wire) -> String {
    wire.ok("daemon_status", json!({}))["problems"].to_string()
}

/// The answers to the agents' questions.
fn answers(env: &TestEnv) -> Vec<Value> {
    let heard = env.heard().into_iter().filter_map(|entry| serde_json::from_str::<Value>(&entry.line).ok());
    heard.filter(|message| message["method"].is_null() && message["result"]["outcome"].is_object()).collect()
}

#[test]
fn fault_31_a_daemon_that_starts_on_a_full_disk_serves_and_a_person_can_stop_what_runs() {
    let env = TestEnv::new();
    let Some(disk) = SmallDisk::below(&env, "100m") else { return eprintln!("skipped: no right to mount") };
    let daemon = env.daemon();
    let mut ada = env.client("ada");
    let [asks, works, doomed] = [(); 3].map(|()| ada.create(&env, json!({"subscribe": true})));
    ada.prompt(&asks, "say before\nask t1 rm -r build");
    ada.permission(&asks);
    ada.prompt(&works, &format!("say working\nsleep_until {}", env.path("never")));
    ada.said(&works, "working");
    let kept = env.state().root().join("ballast");
    assert!(kept.exists(), "room is kept");
    daemon.kill9();
    disk.fill();

    env.daemon();
    assert!(!kept.exists(), "the room that was kept is given up");
    // That is full now, too: nothing can be written any more.
    disk.fill();
    let mut ada = env.client("ada");
    let records = oracle::journal(&mut ada, &asks);
    assert!(
        records.iter().any(|record| record["fact"]["kind"] == "permission_requested"),
        "what was said is read"
    );
    let full = |answer: &Value| answer["code"] == "STORE_FULL";
    eventually("input is refused for want of room", || {
        let refused = ada.request("input", json!({"session_id": doomed, "content": "say no"}));
        (full(&refused) && refused["message"].as_str()?.contains("free some space")).then_some(())
    });
    assert!(problems(&mut ada).contains("disk is full"), "{}", problems(&mut ada));
    let pending =
        ada.ok("get_session", json!({"session_id": asks}))["session"]["pending_permissions"][0].clone();
    let denied = ada.decide(&asks, &pending, "reject_once");
    assert!(full(&denied), "{denied}");
    eventually("the agent hears that it was denied", || {
        answers(&env).iter().any(|answer| answer["result"]["outcome"]["optionId"] == "reject").then_some(())
    });
    assert!(full(&ada.request("interrupt", json!({"session_id": works}))));
    eventually("the agent hears the interrupt", || {
        env.heard().iter().any(|entry| entry.line.contains("session/cancel")).then_some(())
    });
    assert!(full(&ada.request("kill_session", json!({"session_id": doomed}))));

    disk.make_room();
    ada.state(&doomed, "killed");
    ada.subscribe(&asks, 0, "writer");
    assert_eq!(ada.fact(&asks, "permission_resolved")["fact"]["outcome"], "denied");
    ada.said(&asks, "answer t1 reject");
    ada.subscribe(&works, 0, "writer");
    assert_eq!(ada.fact(&works, "turn_ended")["fact"]["outcome"], "interrupted");
    eventually("room is kept again", || kept.exists().then_some(()));
    eventually("nothing is wrong any more", || (!problems(&mut ada).contains("disk is full:")).then_some(()));
    ada.prompt(&asks, "say as before");
    ada.said(&asks, "as before");
    drop(ada);
    oracle::check(&env);
    drop(env);
    drop(disk);
}

#[test]
fn fault_31_a_daemon_that_cannot_start_for_want_of_room_says_so() {
    let env = TestEnv::new();
    let Some(disk) = SmallDisk::below(&env, "100m") else { return eprintln!("skipped: no right to mount") };
    env.daemon().kill9();
    fs::remove_file(env.state().root().join("ballast")).expect("room is kept");
    let _ = fs::remove_file(env.state().root().join("vibes.db-shm"));
    disk.fill();
    let said = env.vibes(&["ls"]).exits(4);
    assert!(said.stderr.contains("the disk is full: free some space"), "{}", said.stderr);
    disk.make_room();
    env.vibes(&["ls"]).ok();
    drop(env);
    drop(disk);
}
