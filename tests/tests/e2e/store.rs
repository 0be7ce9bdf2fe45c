//! A store that is damaged, emptied, locked or on a disk that fails: the daemon says so, and everything else goes on.

use rustix::process::Signal;
use serde_json::{Value, json};
use std::{fs, path::PathBuf, process::Command};
use vibes_runner::spool;
use vibes_tests::{Faults, TestEnv, eventually, oracle, processes};

/// What the daemon says is wrong.
pub(crate) fn problems(env: &TestEnv) -> String {
    env.connect().ok("daemon_status", json!({}))["problems"].to_string()
}

#[test]
fn fault_35_a_damaged_store_is_saved_under_a_living_agent_and_everybody_is_told() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "say before");
    ada.said(&session, "before");
    ada.state(&session, "idle");
    env.daemon().terminate();
    let mut bytes = fs::read(env.state().store()).expect("there is a store");
    bytes[..4096].fill(0xA5);
    fs::write(env.state().store(), bytes).expect("it is written");
    env.daemon();
    assert!(problems(&env).contains("the store was damaged"), "{}", problems(&env));
    let mut again = env.client("ada");
    again.subscribe(&session, 0, "writer");
    again.said(&session, "before");
    again.prompt(&session, "say after");
    again.said(&session, "after");
    assert_eq!(env.heard().iter().filter(|entry| entry.kind == "start").count(), 1, "the same agent");
    let doctor = env.vibes(&["doctor"]).exits(1);
    assert!(doctor.stdout.contains("corrupt-"), "{}", doctor.stdout);
    oracle::check(&env);
}

#[test]
fn fault_26_one_session_that_cannot_be_read_has_failed_and_the_others_go_on() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let [bad, good] = [(); 2].map(|()| ada.create(&env, json!({"subscribe": true})));
    ada.prompt(&bad, "say precious");
    ada.said(&bad, "precious");
    let agent = processes::of(&mut ada, &bad, "agent_pid");
    env.daemon().terminate();
    let store = rusqlite::Connection::open(env.state().store()).expect("it opens");
    store.execute("UPDATE session SET body = '{\"body\":7}' WHERE id = ?1", [&bad]).expect("it is damaged");
    drop(store);
    env.daemon();
    let mut again = env.client("ada");
    let state = again.state(&bad, "failed");
    assert!(state["reason"].as_str().is_some_and(|why| why.contains("cannot be read")), "{state}");
    let records = oracle::journal(&mut again, &bad);
    assert!(records.iter().any(|record| record.to_string().contains("precious")), "its records can be read");
    again.subscribe(&good, 0, "writer");
    again.prompt(&good, "say unharmed");
    again.said(&good, "unharmed");
    eventually("it is told", || problems(&env).contains(&bad).then_some(()));
    assert!(processes::alive(agent), "nobody ends what only its owner can judge");
    env.vibes(&["doctor", "--reap"]).exits(0);
    eventually("its agent is gone", || (!processes::alive(agent)).then_some(()));
}

#[test]
fn fault_35_agents_of_a_store_that_is_gone_are_left_alone_and_told() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let agent = processes::of(&mut ada, &session, "agent_pid");
    env.daemon().terminate();
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(PathBuf::from(format!("{}{suffix}", env.state().store().display())));
    }
    env.daemon();
    eventually("the agent is told of", || problems(&env).contains(&agent.to_string()).then_some(()));
    assert!(processes::alive(agent));
    env.vibes(&["doctor"]).exits(1);
    env.vibes(&["doctor", "--reap"]).exits(0);
    eventually("the agent is gone", || (!processes::alive(agent)).then_some(()));
}

#[test]
fn fault_32_after_a_failed_sync_the_daemon_ends_and_the_next_one_goes_on() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let agent = processes::of(&mut ada, &session, "agent_pid");
    let daemon = env.daemon();
    let Some(faults) = Faults::of(daemon.pid, "fdatasync,fsync:error=EIO:when=1+") else { return };
    let answer = ada.request("input", json!({"session_id": session, "content": "say unheard"}));
    assert_eq!(answer["code"], "STORE_FAILED", "{answer}");
    daemon.gone();
    drop(faults);
    env.daemon();
    let mut again = env.client("ada");
    again.subscribe(&session, 0, "writer");
    again.prompt(&session, "say heard");
    again.said(&session, "heard");
    assert!(processes::alive(agent), "the same agent");
    oracle::check(&env);
}

#[test]
fn fault_31_32_33_a_store_that_cannot_be_written_is_told_stops_nobody_and_recovers() {
    for (error, code) in [
        ("ENOSPC", "STORE_FULL"),
        ("EIO", "STORE_FAILED"),
        ("EROFS", "STORE_FAILED"),
        ("EACCES", "STORE_FAILED"),
    ] {
        let env = TestEnv::started();
        let mut ada = env.client("ada");
        let [session, doomed] = [(); 2].map(|()| ada.create(&env, json!({"subscribe": true})));
        let agent = processes::of(&mut ada, &doomed, "agent_pid");
        let daemon = env.daemon();
        let Some(faults) = Faults::of(daemon.pid, &format!("pwrite64:error={error}:when=1+")) else { return };
        let refused = ada.request("input", json!({"session_id": session, "content": "say no"}));
        assert_eq!(refused["code"], code, "{error}: {refused}");
        assert_ne!(problems(&env), "[]", "{error}");
        assert_eq!(ada.request("kill_session", json!({"session_id": doomed}))["code"], code, "{error}");
        eventually("the agent is stopped", || (!processes::alive(agent)).then_some(()));
        oracle::journal(&mut ada, &session);
        drop(faults);
        ada.state(&doomed, "killed");
        eventually("nothing is wrong any more", || (problems(&env) == "[]").then_some(()));
        ada.prompt(&session, "say yes");
        ada.said(&session, "yes");
        assert_eq!(env.daemon().pid, daemon.pid, "the same daemon");
        drop(ada);
        oracle::check(&env);
    }
}

#[test]
fn fault_30_32_33_a_spool_that_cannot_be_written_blocks_the_agent_and_loses_nothing() {
    for error in ["ENOSPC", "EIO", "EROFS"] {
        let env = TestEnv::started();
        let mut ada = env.client("ada");
        let session = ada.create(&env, json!({"subscribe": true}));
        ada.prompt(&session, &format!("sleep_until {}\nchunks 3000 100 0 f", env.path("go")));
        ada.fact(&session, "turn_started");
        let runner = processes::of(&mut ada, &session, "pid");
        let Some(faults) = Faults::of(runner, &format!("pwrite64:error={error}:when=3+")) else { return };
        fs::write(env.path("go"), "").expect("a file can be made");
        ada.said(&session, "f#0 ");
        drop(faults);
        assert_eq!(ada.fact(&session, "turn_ended")["fact"]["outcome"], "finished");
        assert_eq!(oracle::check_chunks(&session, ada.stream(&session), "f"), 3_000, "{error}");
        drop(ada);
        oracle::check(&env);
    }
}

#[test]
fn fault_34_calls_that_are_interrupted_change_nothing() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let runner = processes::of(&mut ada, &session, "pid");
    let calls = "pwrite64,pread64:error=EINTR:when=2+3";
    let Some(_daemon) = Faults::of(env.daemon().pid, calls) else { return };
    let Some(_runner) = Faults::of(runner, calls) else { return };
    ada.prompt(&session, "chunks 500 100 0 f");
    assert_eq!(ada.fact(&session, "turn_ended")["fact"]["outcome"], "finished");
    assert_eq!(oracle::check_chunks(&session, ada.stream(&session), "f"), 500);
    oracle::check(&env);
}

#[test]
fn fault_34_interrupted_calls_on_sockets_close_no_connection() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let runner = processes::of(&mut ada, &session, "pid");
    let calls = "recvfrom,sendto,sendmsg,writev,accept4:error=EINTR:when=1+2";
    let Some(_daemon) = Faults::of(env.daemon().pid, calls) else { return };
    let Some(_runner) = Faults::of(runner, calls) else { return };
    ada.prompt(&session, "chunks 500 100 0 f");
    // Others come, ask and go meanwhile.
    for n in 0..20 {
        let mut other = env.client(&format!("c{n}"));
        other.ok("list_sessions", json!({}));
    }
    assert_eq!(ada.fact(&session, "turn_ended")["fact"]["outcome"], "finished");
    assert_eq!(oracle::check_chunks(&session, ada.stream(&session), "f"), 500);
    assert_eq!(ada.ok("get_session", json!({"session_id": session}))["session"]["link"], "live");
    assert_eq!(env.heard().iter().filter(|entry| entry.kind == "start").count(), 1, "the same agent");
}

#[test]
fn fault_20_37_after_a_reboot_what_was_written_is_read_and_what_was_not_is_told() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, &format!("say before\nsleep_until {}", env.path("never")));
    ada.said(&session, "before");
    let (runner, daemon) = (processes::of(&mut ada, &session, "pid"), env.daemon());
    processes::signal(daemon.pid, Signal::STOP);
    processes::signal(runner, Signal::KILL);
    daemon.kill9();
    let dir = env.state().runners().join(format!("{session}.1"));
    let meta = fs::read_to_string(dir.join("meta.json")).expect("the runner wrote it");
    let here = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("there is a boot");
    // Somebody else has the numbers now.
    let mut stranger = Command::new("sleep").arg("300").env_clear().spawn().expect("it starts");
    let other = meta
        .replace(here.trim(), "00000000-0000-0000-0000-000000000000")
        .replace(&format!("\"pid\":{runner}"), &format!("\"pid\":{}", stranger.id()));
    assert_ne!(meta, other);
    fs::write(dir.join("meta.json"), other).expect("it is written");
    let spool = dir.join("out.0000000000000000");
    let mut bytes = fs::read(&spool).expect("there is a spool");
    bytes.extend_from_slice(b"{\"jsonrpc\"\0\0\0\0\0\0\0\0");
    fs::write(&spool, bytes).expect("it is written");
    env.daemon();
    let mut again = env.client("ada");
    again.subscribe(&session, 0, "writer");
    assert_eq!(again.fact(&session, "turn_ended")["fact"]["outcome"], "unknown");
    assert_eq!(again.text(&session), "before");
    let lost = again.stream(&session).iter().find(|record| record["fact"]["kind"] == "tail_lost").cloned();
    assert!(lost.is_some_and(|lost| lost["fact"]["why"].to_string().contains("8 bytes were never written")));
    again.state(&session, "suspended");
    assert!(stranger.try_wait().expect("it is ours").is_none(), "a stranger was signalled");
    stranger.kill().expect("it is ended");
    let _ = stranger.wait();
    oracle::check(&env);
}

#[test]
fn fault_17_whoever_has_a_runners_number_now_is_never_signalled() {
    for twist in ["other start", "no start", "garbage"] {
        let env = TestEnv::started();
        let mut ada = env.client("ada");
        let session = ada.create(&env, json!({"subscribe": true}));
        let (runner, daemon) = (processes::of(&mut ada, &session, "pid"), env.daemon());
        processes::signal(daemon.pid, Signal::STOP);
        processes::signal(runner, Signal::KILL);
        daemon.kill9();
        let mut stranger = Command::new("sleep").arg("300").env_clear().spawn().expect("it starts");
        let path = env.state().runners().join(format!("{session}.1/meta.json"));
        let mut meta: Value =
            serde_json::from_slice(&fs::read(&path).expect("it is there")).expect("it is JSON");
        (meta["pid"], meta["agent_pid"]) = (stranger.id().into(), stranger.id().into());
        if twist == "no start" {
            meta.as_object_mut().expect("an object").retain(|key, _| !key.contains("start_time"));
        }
        let text = if twist == "garbage" { "{\"pid\":".to_owned() } else { meta.to_string() };
        fs::write(&path, text).expect("it is written");
        env.daemon();
        let mut again = env.client("ada");
        again.state(&session, "suspended");
        assert!(stranger.try_wait().expect("it is ours").is_none(), "{twist}: a stranger was signalled");
        stranger.kill().expect("it is ended");
        let _ = stranger.wait();
        again.prompt(&session, "say again");
        again.state(&session, "idle");
    }
}

#[test]
fn fault_25_27_a_daemon_among_five_hundred_dead_runners_serves_and_leaks_nothing() {
    let env = TestEnv::new();
    for n in 0..500_u128 {
        let id = format!("{:08x}-0000-4000-8000-{:012x}", n, n);
        let dir = env.state().runners().join(format!("{id}.1"));
        fs::create_dir_all(&dir).expect("it is made");
        fs::write(dir.join("meta.json"), "{\"pid\":1").expect("it is written");
    }
    for dir in [env.state().runners(), env.state().root().to_owned()] {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).expect("it is ours");
    }
    env.daemon();
    let session = env.run_fake("say hi");
    eventually("they are told of, not one by one", || {
        problems(&env).contains("495 more agents").then_some(())
    });
    let mut ada = env.client("ada");
    for name in ["pid", "agent_pid"] {
        for fd in fs::read_dir(format!("/proc/{}/fd", processes::of(&mut ada, &session, name)))
            .expect("it runs")
            .flatten()
        {
            let open = fs::read_link(fd.path()).unwrap_or_default();
            let open = open.to_string_lossy();
            let leaked =
                ["vibesd.lock", "start.lock", "vibes.db", "state-id"].iter().any(|file| open.contains(file));
            assert!(!leaked, "{name} holds {open}");
        }
    }
}

/// A runner's segments, in order.
fn segments(env: &TestEnv, session: &str) -> Vec<PathBuf> {
    let found = spool::segments(&env.state().runners().join(format!("{session}.1")));
    found.expect("the runner has a directory").into_iter().map(|(_, path)| path).collect()
}

#[test]
fn fault_37_a_segment_that_is_gone_is_told_and_what_follows_is_read() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let go = env.path("go");
    // Two lines of this length have no room in one segment.
    let flood = "bigchunk 9000000\n".repeat(2);
    ada.prompt(&session, &format!("say before\nsleep_until {go}\n{flood}say after"));
    ada.said(&session, "before");
    env.daemon().kill9();
    fs::write(go, "").expect("a file can be made");
    let segments = eventually("there are three segments", || {
        Some(segments(&env, &session)).filter(|segments| segments.len() == 3)
    });
    fs::remove_file(&segments[1]).expect("it was there");
    env.daemon();
    let mut again = env.client("ada");
    again.subscribe(&session, 0, "writer");
    again.fact(&session, "tail_lost");
    again.said(&session, "after");
    assert_eq!(again.fact(&session, "turn_ended")["fact"]["outcome"], "finished");
    oracle::check(&env);
}

#[test]
fn fault_37_the_segment_a_runner_writes_to_is_gone_and_the_session_goes_on() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let [go, wrote, on] = ["go", "wrote", "on"].map(|name| env.path(name));
    let script =
        format!("say before\nsleep_until {go}\nsay lost\ntouch {wrote}\nsleep_until {on}\nsay after");
    ada.prompt(&session, &script);
    ada.said(&session, "before");
    let runner = processes::of(&mut ada, &session, "pid");
    env.daemon().kill9();
    let whole = |segment: &PathBuf| fs::metadata(segment).map_or(0, |found| found.len());
    let segment = segments(&env, &session).pop().expect("there is one");
    let before = whole(&segment);
    fs::write(go, "").expect("a file can be made");
    eventually("it is spooled", || (fs::exists(&wrote).ok()? && whole(&segment) > before).then_some(()));
    fs::remove_file(&segment).expect("it was there");
    env.daemon();
    let mut again = env.client("ada");
    again.subscribe(&session, 0, "writer");
    let lost = again.fact(&session, "tail_lost");
    assert!(lost["fact"]["why"].to_string().contains("missing in its spool"), "{lost}");
    fs::write(on, "").expect("a file can be made");
    again.said(&session, "after");
    assert_eq!(again.fact(&session, "turn_ended")["fact"]["outcome"], "finished");
    assert!(processes::alive(runner), "the same runner");
    oracle::check(&env);
}

#[test]
fn fault_37_the_last_words_of_an_agent_that_ended_are_gone_and_that_is_told() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let go = env.path("go");
    ada.prompt(&session, &format!("say before\nsleep_until {go}\nsay lost\nexit 0"));
    ada.said(&session, "before");
    let runner = processes::of(&mut ada, &session, "pid");
    env.daemon().kill9();
    fs::write(go, "").expect("a file can be made");
    let exit = env.state().runners().join(format!("{session}.1")).join(spool::EXIT);
    eventually("the agent has ended", || fs::exists(&exit).ok()?.then_some(()));
    processes::signal(runner, Signal::KILL);
    eventually("the runner is gone", || (!processes::alive(runner)).then_some(()));
    fs::remove_file(segments(&env, &session).pop().expect("there is one")).expect("it was there");
    env.daemon();
    let mut again = env.client("ada");
    again.subscribe(&session, 0, "writer");
    let lost = again.fact(&session, "tail_lost");
    assert!(lost["fact"]["why"].to_string().contains("missing in its spool"), "{lost}");
    again.fact(&session, "turn_ended");
    oracle::check(&env);
}
