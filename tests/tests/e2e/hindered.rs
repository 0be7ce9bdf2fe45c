//! What stands between a living daemon and an agent that runs: it is told, nothing is lost, and it passes by itself.

use super::store::problems;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{fs, path::PathBuf};
use vibes_runner::spool;
use vibes_tests::{Faults, TestEnv, Wire, eventually, oracle, processes};

/// A session as it is shown.
fn info(wire: &mut Wire, session: &str) -> Value {
    wire.ok("get_session", json!({"session_id": session}))["session"].take()
}

fn reason(wire: &mut Wire, session: &str) -> String {
    info(wire, session)["reason"].as_str().unwrap_or_default().to_owned()
}

/// An environment whose agents may write this much ahead of the daemon, in MiB.
fn bounded(mib: u64) -> TestEnv {
    let env = TestEnv::new();
    let place = env.path("cfg/vibes");
    fs::create_dir_all(&place).expect("it is made");
    fs::write(format!("{place}/config.toml"), format!("[limits]\nspool_mib = {mib}\n"))
        .expect("it is written");
    env.daemon();
    env
}

fn runner_dir(env: &TestEnv, session: &str) -> PathBuf {
    env.state().runners().join(format!("{session}.1"))
}

#[test]
fn fault_30_the_spools_of_all_agents_are_bounded_together_and_shared_fairly() {
    const SESSIONS: usize = 3;
    const MIB: u64 = 1 << 20;
    let env = bounded(16);
    let mut ada = env.client("ada");
    let go = env.path("go");
    // Each has more to say than all of them may.
    let sessions = [(); SESSIONS].map(|()| ada.create(&env, json!({"subscribe": true})));
    for session in &sessions {
        ada.prompt(session, &format!("say before\nsleep_until {go}\nchunks 4000 2000 0 f"));
        ada.said(session, "before");
    }
    env.daemon().kill9();
    fs::write(go, "").expect("a file can be made");
    let lengths = || sessions.each_ref().map(|session| spool::length(&runner_dir(&env, session)));
    eventually("each waits", || {
        let doctor = env.vibes(&["doctor"]).stdout;
        (doctor.matches("limits.spool_mib").count() == SESSIONS).then_some(())
    });
    // Whoever comes first has half at most, and whoever comes last finds room.
    let lengths = lengths();
    assert!(lengths.iter().all(|length| (MIB..9 * MIB).contains(length)), "{lengths:?}");
    assert!(spool::total(&env.state().runners()) < 16 * MIB, "{lengths:?}");
    env.daemon();
    let mut again = env.client("ada");
    for session in &sessions {
        again.subscribe(session, 0, "writer");
        assert_eq!(again.fact(session, "turn_ended")["fact"]["outcome"], "finished");
        assert_eq!(oracle::check_chunks(session, again.stream(session), "f"), 4_000);
    }
    assert_eq!(problems(&env), "[]");
    oracle::check(&env);
}

#[test]
fn fault_30_32_a_spool_that_cannot_be_read_is_told_makes_its_agent_wait_and_is_read_later() {
    let env = bounded(16);
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let go = env.path("go");
    ada.prompt(&session, &format!("say before\nsleep_until {go}\nchunks 4000 2000 0 f"));
    ada.said(&session, "before");
    let segment = runner_dir(&env, &session).join(spool::segment_name(0));
    let Some(faults) = Faults::on(env.daemon().pid, "read:error=EIO", &[&segment]) else { return };
    fs::write(go, "").expect("a file can be made");
    eventually("both are told", || {
        let why = reason(&mut ada, &session);
        (why.contains("cannot be read") && why.contains("limits.spool_mib")).then_some(())
    });
    let told = problems(&env);
    assert!(
        told.contains(&format!("session {}: what its agent wrote cannot be read", &session[..8])),
        "{told}"
    );
    drop(faults);
    assert_eq!(ada.fact(&session, "turn_ended")["fact"]["outcome"], "finished");
    assert_eq!(oracle::check_chunks(&session, ada.stream(&session), "f"), 4_000);
    eventually("nothing is in the way", || info(&mut ada, &session)["reason"].is_null().then_some(()));
    assert_eq!(problems(&env), "[]");
    oracle::check(&env);
}

#[test]
fn fault_32_an_adoption_whose_spool_cannot_be_read_is_told_and_goes_on_or_is_killed() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let go = env.path("go");
    let sessions = [(); 2].map(|()| ada.create(&env, json!({"subscribe": true})));
    for session in &sessions {
        ada.prompt(session, &format!("say before\nsleep_until {go}\nsay while away"));
        ada.said(session, "before");
    }
    let runners = sessions.each_ref().map(|session| processes::of(&mut ada, session, "pid"));
    let segments = sessions.each_ref().map(|session| runner_dir(&env, session).join(spool::segment_name(0)));
    let lengths = || segments.each_ref().map(|segment| fs::metadata(segment).map_or(0, |file| file.len()));
    let before = lengths();
    env.daemon().kill9();
    fs::write(go, "").expect("a file can be made");
    eventually("they wrote on", || {
        lengths().iter().zip(before).all(|(now, before)| *now > before).then_some(())
    });
    // Stopped, so that the disk fails before the first of it is read.
    runners.iter().for_each(|runner| processes::signal(*runner, Signal::STOP));
    let daemon = env.daemon();
    let paths = segments.each_ref().map(PathBuf::as_path);
    let Some(faults) = Faults::on(daemon.pid, "read:error=EIO", &paths) else { return };
    runners.iter().for_each(|runner| processes::signal(*runner, Signal::CONT));
    let mut again = env.client("ada");
    let [kept, killed] = &sessions;
    for session in &sessions {
        eventually("it is told", || reason(&mut again, session).contains("cannot be read").then_some(()));
        assert_eq!(info(&mut again, session)["link"], "adopting");
    }
    again.subscribe(killed, 0, "writer");
    again.ok("kill_session", json!({"session_id": killed}));
    let lost = again.fact(killed, "tail_lost");
    assert!(lost["fact"]["why"].to_string().contains("the rest of it cannot be read"), "{lost}");
    drop(faults);
    again.subscribe(kept, 0, "writer");
    again.said(kept, "while away");
    assert_eq!(again.fact(kept, "turn_ended")["fact"]["outcome"], "finished");
    eventually("it lives", || (info(&mut again, kept)["link"] == "live").then_some(()));
    oracle::check(&env);
}
