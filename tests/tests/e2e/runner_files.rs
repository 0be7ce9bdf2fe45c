//! The small files of a runner's directory on a disk that fails: nobody is ended for them, nothing is sent twice.

use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
};
use vibes_runner::{
    spool,
    wire::{Order, RUNNER_PROTOCOL, Refusal, Report, take_frame},
};
use vibes_tests::{Faults, TestEnv, Wire, eventually, oracle, processes};

fn file(env: &TestEnv, session: &str, name: &str) -> PathBuf {
    env.state().runners().join(format!("{session}.1")).join(name)
}

fn info(wire: &mut Wire, session: &str) -> Value {
    wire.ok("get_session", json!({"session_id": session}))["session"].take()
}

fn prompts(env: &TestEnv) -> usize {
    env.heard().iter().filter(|entry| entry.line.contains("session/prompt")).count()
}

#[test]
fn fault_32_input_that_cannot_be_logged_is_told_and_delivered_once_when_it_can_be() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let runner = processes::of(&mut ada, &session, "pid");
    let log = file(&env, &session, spool::IN_LOG);
    let Some(faults) = Faults::on(runner, "pwrite64:error=EIO", &[&log]) else { return };
    ada.prompt(&session, "say once");
    eventually("it is told", || {
        info(&mut ada, &session)["reason"].as_str().is_some_and(|why| why.contains("in.log")).then_some(())
    });
    assert_eq!(prompts(&env), 0, "what is not logged is not said");
    drop(faults);
    ada.said(&session, "once");
    eventually("nothing is in the way", || info(&mut ada, &session)["reason"].is_null().then_some(()));
    assert_eq!(prompts(&env), 1);
    oracle::check(&env);
}

/// The next report of a runner that `pick` takes.
fn report<T>(stream: &mut UnixStream, buffer: &mut Vec<u8>, pick: impl Fn(Report) -> Option<T>) -> T {
    loop {
        while let Some(payload) = take_frame(buffer).expect("a runner's frames are whole") {
            if let Some(found) = pick(Report::decode(&payload).expect("a runner's reports are known")) {
                return found;
            }
        }
        let mut bytes = [0; 4096];
        let count = stream.read(&mut bytes).expect("it can be read");
        assert!(count > 0, "the runner closed the connection");
        buffer.extend_from_slice(&bytes[..count]);
    }
}

#[test]
fn fault_32_a_log_of_input_that_cannot_be_read_acknowledges_nothing() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let runner = processes::of(&mut ada, &session, "pid");
    let log = file(&env, &session, spool::IN_LOG);
    env.daemon().kill9();
    let mut stream = UnixStream::connect(file(&env, &session, spool::SOCKET)).expect("the runner listens");
    stream.set_read_timeout(Some(vibes_tests::PATIENCE)).expect("a deadline can be set");
    let mut buffer = Vec::new();
    stream.write_all(&Order::Hello { protocol: RUNNER_PROTOCOL, fence: 9 }.encode()).expect("it is sent");
    report(&mut stream, &mut buffer, |report| matches!(report, Report::Hello(_)).then_some(()));
    // The first frame again, as a daemon sends it that does not know how far its own words came.
    let entry = fs::read(&log).expect("there is a log");
    let hash = entry[8..40].try_into().expect("a hash has 32 bytes");
    let again = Order::Write { in_seq: 1, hash, bytes: b"{}\n".to_vec() }.encode();
    let answer = |report| match report {
        Report::Ack { in_seq: 1 } => Some(Ok(())),
        Report::Refused { in_seq: 1, why } => Some(Err(why)),
        _ => None,
    };
    let Some(faults) = Faults::on(runner, "pread64:error=EIO", &[&log]) else { return };
    stream.write_all(&again).expect("it is sent");
    assert_eq!(report(&mut stream, &mut buffer, answer), Err(Refusal::DiskFull));
    drop(faults);
    stream.write_all(&again).expect("it is sent");
    assert_eq!(report(&mut stream, &mut buffer, answer), Ok(()));
    env.daemon();
    let mut bob = env.client("ada");
    bob.subscribe(&session, 0, "writer");
    bob.prompt(&session, "say as before");
    bob.said(&session, "as before");
    oracle::check(&env);
}

#[test]
fn fault_32_a_prompt_is_not_called_undelivered_when_the_log_cannot_be_read() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let runner = processes::of(&mut ada, &session, "pid");
    let log = file(&env, &session, spool::IN_LOG);
    ada.prompt(&session, &format!("say working\nsleep_until {}", env.path("never")));
    ada.said(&session, "working");
    let Some(_faults) = Faults::on(env.daemon().pid, "openat,read:error=EIO", &[&log]) else { return };
    processes::signal(runner, Signal::KILL);
    assert_eq!(ada.fact(&session, "turn_ended")["fact"]["outcome"], "unknown");
    ada.state(&session, "suspended");
    assert_eq!(prompts(&env), 1, "it is not sent again by itself");
}

#[test]
fn fault_32_a_runner_that_cannot_say_who_it_is_does_not_begin_or_says_it_later() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let daemon = env.daemon().pid;
    let meta = PathBuf::from("meta.json.tmp");
    let fields = json!({"subscribe": true, "wait_ready": false});
    let Some(faults) = Faults::on(daemon, "openat:error=EIO", &[&meta]) else { return };
    let session = ada.create(&env, fields.clone());
    let failed = ada.state(&session, "failed");
    assert!(failed["reason"].to_string().contains("meta.json"), "{failed}");
    drop(faults);
    // The second time is when it names its agent: the agent works all the same, and is named later.
    let Some(_faults) = Faults::on(daemon, "openat:error=EIO:when=2", &[&meta]) else { return };
    let session = ada.create(&env, fields);
    ada.prompt(&session, "say nameless");
    ada.said(&session, "nameless");
    let agent = eventually("the agent is named", || {
        let meta = fs::read(file(&env, &session, spool::META)).ok()?;
        serde_json::from_slice::<Value>(&meta).ok()?["agent_pid"].as_i64().filter(|pid| *pid > 0)
    });
    assert!(processes::alive(agent as i32));
    oracle::check(&env);
}

#[test]
fn fault_32_nobody_is_ended_because_a_runners_meta_cannot_be_read() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let (runner, agent) =
        (processes::of(&mut ada, &session, "pid"), processes::of(&mut ada, &session, "agent_pid"));
    let meta = file(&env, &session, spool::META);
    // By the runner, which looks every two seconds and goes when its directory is somebody else's.
    let Some(faults) = Faults::on(runner, "openat,read:error=EIO", &[&meta]) else { return };
    ada.prompt(&session, "chunks 80 16 100000 f");
    assert_eq!(ada.fact(&session, "turn_ended")["fact"]["outcome"], "finished");
    drop(faults);
    assert!(processes::alive(runner) && processes::alive(agent));
    // By a daemon that looks for the runner.
    env.daemon().kill9();
    processes::signal(runner, Signal::STOP);
    let daemon = env.daemon();
    let Some(faults) = Faults::on(daemon.pid, "openat,read:error=EIO", &[&meta]) else { return };
    let mut again = env.client("ada");
    eventually("it is told", || {
        info(&mut again, &session)["reason"].as_str().is_some_and(|why| why.contains("answer")).then_some(())
    });
    processes::signal(runner, Signal::CONT);
    eventually("the link lives", || (info(&mut again, &session)["link"] == "live").then_some(()));
    drop(faults);
    assert!(processes::alive(runner) && processes::alive(agent));
    again.subscribe(&session, 0, "writer");
    again.prompt(&session, "say unharmed");
    again.said(&session, "unharmed");
    assert_eq!(env.heard().iter().filter(|entry| entry.kind == "start").count(), 1, "the same agent");
    oracle::check(&env);
}
