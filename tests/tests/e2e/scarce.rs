//! A host that is short of memory or of processor time: what was promised holds, however slowly, and a daemon that
//! cannot go on ends whole.

use rustix::process::{Pid, Resource, Rlimit, getpriority_process, prlimit};
use serde_json::json;
use std::{
    fs,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};
use vibes_tests::{TestEnv, Wire, oracle, processes};

#[test]
fn fault_19_a_daemon_that_runs_out_of_memory_answers_or_ends_and_loses_nothing_that_it_accepted() {
    const ROUNDS: usize = 8;
    let mut ran_out = false;
    // What it may take beyond what it has, from next to nothing to some turns' worth.
    for room in [64 << 10, 2 << 20, 8 << 20] {
        let env = TestEnv::started();
        let mut ada = env.client("ada");
        let session = ada.create(&env, json!({"subscribe": true}));
        // What is accepted waits in the daemon, so that what it loses is missed.
        let go = env.path("go");
        ada.prompt(&session, &format!("sleep_until {go}"));
        ada.fact(&session, "turn_started");
        drop(ada);
        let daemon = env.daemon();
        let taken = processes::memory_kib(daemon.pid, "VmData:") * 1024;
        let tight = Rlimit { current: Some(taken + room), maximum: Some(taken + room) };
        let loose = prlimit(Pid::from_raw(daemon.pid), Resource::Data, tight).expect("it is ours");
        assert_eq!(loose.current, None, "it was free before");
        let mut accepted = Vec::new();
        let words = "w".repeat(120 << 10);
        for round in 0..ROUNDS {
            let prompt = format!("say <{round}>\n{words}");
            let Ok(mut wire) = Wire::try_connect(&env.state().socket()) else { break };
            let fields = json!({"session_id": session, "content": prompt});
            match wire.try_request("input", fields) {
                Some(answer) if answer["type"] == "accepted" => {
                    accepted.push((answer["seq"].as_u64().expect("it has a number"), prompt));
                }
                Some(answer) => assert_eq!(answer["type"], "error", "{answer}"),
                None => {}
            }
            let _ = wire.try_request("read_records", json!({"session_id": session, "after": 0}));
        }
        ran_out |= accepted.len() < ROUNDS;
        if processes::alive(daemon.pid) {
            env.daemon().kill9();
        }
        daemon.gone();
        env.daemon();
        fs::write(go, "").expect("a file can be made");
        let mut again = env.client("ada");
        again.subscribe(&session, 0, "writer");
        for (_, prompt) in &accepted {
            again.said(&session, prompt[4..].lines().next().expect("it says its number"));
        }
        again.state(&session, "idle");
        let journals = oracle::check(&env);
        oracle::check_accepted(&session, &journals[&session], &accepted);
    }
    assert!(ran_out, "there was always enough");
}

#[test]
fn fault_19_a_daemon_that_finds_too_little_memory_to_start_says_so_or_serves() {
    let env = TestEnv::started();
    let session = env.run_fake("say before");
    env.daemon().kill9();
    let mut served = false;
    // From less than the program itself to more than it needs.
    for mebibytes in [2, 8, 32, 64, 128, 256, 1024, 8192] {
        let script = format!("ulimit -v {} && exec vibesd run", mebibytes * 1024);
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &script])
            .env_clear()
            .envs(env.variables())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut daemon = shell.stderr(Stdio::null()).spawn().expect("there is a shell");
        let mut word = String::new();
        // It says that it is ready, or its end is the end of the pipe.
        let mut said = std::io::BufReader::new(daemon.stdout.take().expect("it is piped"));
        std::io::BufRead::read_line(&mut said, &mut word).expect("a pipe can be read");
        served = word == "ready\n";
        if served {
            // Whether it answers is its matter; that it keeps what it has, ours.
            let asked = Wire::try_connect(&env.state().socket()).ok();
            let _ = asked.and_then(|mut wire| wire.try_request("list_sessions", json!({})));
            let _ = daemon.kill();
        }
        let ended = daemon.wait().expect("it is ours");
        assert!(!ended.success(), "{mebibytes} MiB: {ended}");
    }
    assert!(served, "8 GiB are enough");
    env.daemon();
    let mut again = env.client("ada");
    again.subscribe(&session, 0, "writer");
    again.said(&session, "before");
    again.prompt(&session, "say after");
    again.said(&session, "after");
    oracle::check(&env);
}

#[test]
fn fault_77_on_busy_cores_and_with_the_lowest_priority_everything_still_works() {
    let env = TestEnv::new();
    let script = "exec nice -n 19 vibes daemon start";
    let mut shell = Command::new("sh");
    shell.args(["-c", script]).env_clear().envs(env.variables()).stdin(Stdio::null());
    assert!(shell.output().expect("there is a shell").status.success());
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let agent = processes::of(&mut ada, &session, "agent_pid");
    assert_eq!(getpriority_process(Pid::from_raw(agent)).ok(), Some(19), "as is what the daemon starts");
    let over = AtomicBool::new(false);
    /// Ends the spinning, whatever happens to the test.
    struct Over<'a>(&'a AtomicBool);
    impl Drop for Over<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Release);
        }
    }
    thread::scope(|scope| {
        let _over = Over(&over);
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while !over.load(Ordering::Acquire) {
                    std::hint::spin_loop()
                }
            });
        }
        // One that begins now, too: runner, agent and conversation have their deadlines.
        let later = ada.create(&env, json!({"subscribe": true}));
        ada.prompt(&later, "say begun");
        ada.said(&later, "begun");
        ada.prompt(&session, "chunks 50 100 0 f\nask t1 rm -r build");
        let permission = ada.permission(&session);
        assert_eq!(ada.decide(&session, &permission, "allow_once")["type"], "ok");
        ada.said(&session, "answer t1 allow");
        assert_eq!(ada.fact(&session, "turn_ended")["fact"]["outcome"], "finished");
        ada.prompt(&session, "say working\nno_answer");
        ada.said(&session, "working");
        ada.ok("kill_session", json!({"session_id": session}));
        assert!(!processes::alive(agent), "it is gone when the answer comes");
    });
    let journals = oracle::check(&env);
    assert_eq!(oracle::check_chunks(&session, &journals[&session], "f"), 50);
}
