//! What clients may take of the daemon: places, descriptors, memory, turns. What is over is told, and costs nobody
//! else anything.

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Value, json};
use std::{
    fs,
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};
use vibes_tests::{PATIENCE, TestEnv, Wire, eventually};

/// Starts the daemon from a shell that first says something about limits.
fn daemon_with(env: &TestEnv, limits: &str) -> i32 {
    let script = format!("{limits} && exec {} daemon start", env.binary("vibes").display());
    let ran = Command::new("sh").args(["-c", &script]).env_clear().envs(env.variables()).output();
    let ran = ran.expect("there is a shell");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    env.running_daemon().expect("it was started").pid
}

/// The soft and the hard limit of a process's descriptors.
fn descriptors(pid: i32) -> (u64, u64) {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("it lives");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a kernel tells");
    let mut numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
    (numbers.next().expect("a soft limit"), numbers.next().expect("a hard limit"))
}

/// How many descriptors a process has open.
fn open(pid: i32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives").count()
}

/// The most memory a process ever had, in bytes.
fn peak(pid: i32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a kernel tells");
    let kilobytes: usize = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kilobytes * 1024
}

/// What a connection hears about itself before it is closed.
fn fate(wire: &mut Wire) -> Value {
    let told = wire.wait_for("an error", |message| message["type"] == "error");
    assert_eq!(told["request_id"], Value::Null, "{told}");
    wire.wait_closed();
    told["code"].clone()
}

#[test]
fn fault_63_a_thousand_clients_at_once_are_all_served_and_leave_nothing() {
    let env = TestEnv::started();
    let pid = env.daemon().pid;
    let before = open(pid);
    std::thread::scope(|scope| {
        for hand in 0..8 {
            let env = &env;
            scope.spawn(move || {
                // All of them stand before the first one asks.
                let mut wires: Vec<Wire> = (0..125).map(|_| env.connect()).collect();
                for (n, wire) in wires.iter_mut().enumerate() {
                    wire.hello(json!({"identity": format!("{hand}/{n}")}));
                    wire.ok("list_sessions", json!({}));
                }
                env.vibes(&["ls"]).ok();
            });
        }
    });
    // A thousand that come and go without a word.
    for _ in 0..1000 {
        drop(UnixStream::connect(env.state().socket()).expect("the daemon accepts"));
    }
    env.vibes(&["ls"]).ok();
    eventually("every descriptor is given back", || (open(pid) <= before + 2).then_some(()));
}

#[test]
fn fault_63_connections_that_ask_nothing_make_room_for_those_that_do() {
    let env = TestEnv::new();
    daemon_with(&env, "ulimit -n 256");
    let mut ada = env.client("ada");
    // Half of 256 descriptors are places; half of these may be silent.
    let mut silent: Vec<Wire> = (0..120).map(|_| env.connect()).collect();
    let told = eventually("the silent ones are closed", || {
        let mut told = Vec::new();
        for wire in &mut silent {
            while let Some(message) = wire.next_within(Duration::from_millis(1)) {
                told.push(message);
            }
        }
        silent.retain(|wire| !wire.is_closed());
        ada.ok("ping", json!({}));
        (silent.len() <= 64).then_some(told)
    });
    assert!(told.iter().all(|message| message["code"] == "LIMIT_EXCEEDED"), "{told:?}");
    for wire in &mut silent {
        wire.ok("ping", json!({}));
    }
}

#[test]
fn fault_63_whoever_finds_no_place_hears_so_and_finds_one_later() {
    let env = TestEnv::new();
    daemon_with(&env, "ulimit -n 256");
    let mut places = Vec::new();
    let refused = loop {
        let mut wire = env.connect();
        let asked = wire.try_ask("ping", json!({}));
        let answer = wire.wait_for("an answer", |message| message["type"] != "ping");
        if answer["type"] == "error" {
            break answer;
        }
        assert!(asked.is_ok());
        places.push(wire);
        assert!(places.len() <= 128, "half of the descriptors are places");
    };
    assert_eq!((&refused["code"], places.len()), (&json!("LIMIT_EXCEEDED"), 128));
    let ran = env.vibes(&["ls"]);
    assert!(ran.code != 0 && ran.stderr.contains("connections are open"), "{ran:?}");
    for wire in &mut places {
        wire.ok("ping", json!({}));
    }
    places.truncate(100);
    eventually("there is room again", || (env.vibes(&["ls"]).code == 0).then_some(()));
}

#[test]
fn fault_64_without_descriptors_clients_hear_why_and_the_daemon_recovers() {
    let env = TestEnv::started();
    let daemon = env.daemon().pid;
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let pid = Pid::from_raw(daemon);
    let free = (0..).find(|fd| fs::symlink_metadata(format!("/proc/{daemon}/fd/{fd}")).is_err());
    // Some may be taken for a moment only; a few are left.
    let tight = Rlimit { current: free.map(|fd: u64| fd + 4), maximum: Some(descriptors(daemon).1) };
    let loose = prlimit(pid, Resource::Nofile, tight).expect("a child's limits may be set");
    let mut served = Vec::new();
    let mut told = 0;
    while told < 10 {
        let mut wire = env.connect();
        let _ = wire.try_ask("ping", json!({}));
        let answer = wire.wait_for("an answer", |message| !message["type"].is_null());
        match answer["code"].as_str() {
            Some("LIMIT_EXCEEDED") => told += 1,
            _ => served.push(wire),
        }
        assert!(served.len() < 64, "nobody is refused");
    }
    // Those inside go on, and so does the agent.
    ada.prompt(&session, "say unharmed");
    ada.said(&session, "unharmed");
    let log = fs::read_dir(env.state().logs()).expect("there is a log");
    let log: String = log.filter_map(|file| fs::read_to_string(file.ok()?.path()).ok()).collect();
    let tries = log.matches("a client could not be accepted").count();
    assert!((1..=2 * told).contains(&tries), "{tries} tries for {told} clients: a busy loop");
    prlimit(pid, Resource::Nofile, loose).expect("a child's limits may be set");
    env.client("late").ok("list_sessions", json!({}));
    assert_eq!(env.daemon().pid, daemon);
}

#[test]
fn fault_64_the_daemon_takes_what_it_may_and_agents_get_what_it_was_given() {
    let env = TestEnv::new();
    let daemon = daemon_with(&env, "ulimit -Sn 300");
    let (soft, hard) = descriptors(daemon);
    assert_eq!(soft, hard, "all that it may");
    env.run_fake("say hi");
    let is_agent = |command: &str| command.contains("fake-agent");
    let all: Vec<_> = env.processes().into_iter().filter(|process| is_agent(&process.command)).collect();
    assert_eq!(all.len(), 2, "a runner and an agent: {all:?}");
    for process in all {
        assert_eq!(descriptors(process.pid), (300, hard), "{}", process.command);
    }
}

#[test]
fn fault_61_half_a_line_that_does_not_go_on_is_closed_and_does_nothing() {
    let env = TestEnv::started();
    let mut half = env.client("half");
    let session = half.create(&env, json!({"subscribe": true}));
    let prompt = json!({"type": "input", "session_id": session, "content": "say no"}).to_string();
    half.send_bytes(prompt.as_bytes()).expect("the daemon reads");
    // Being subscribed keeps nobody who cannot be followed.
    assert_eq!(fate(&mut half), "BAD_REQUEST");
    let mut ada = env.client("ada");
    ada.subscribe(&session, 0, "writer");
    ada.prompt(&session, "say yes");
    ada.said(&session, "yes");
    assert!(!ada.text(&session).contains("no"));
}

#[test]
fn fault_61_a_client_that_dies_within_a_line_has_asked_nothing() {
    let env = TestEnv::started();
    let line = json!({"type": "create_session", "agent": "fake", "cwd": env.work()}).to_string();
    for end in 1..=line.len() {
        let mut wire = env.connect();
        wire.send_bytes(&line.as_bytes()[..end]).expect("the daemon reads");
    }
    assert_eq!(env.connect().ok("list_sessions", json!({"include_ended": true}))["sessions"], json!([]));
}

#[test]
fn fault_65_a_line_without_end_costs_no_memory_and_hears_why() {
    const PIECE: usize = 64 * 1024;
    let env = TestEnv::started();
    let pid = env.daemon().pid;
    let mut wire = env.client("endless");
    let before = peak(pid);
    // A gigabyte, unless the daemon has enough before.
    for _ in 0..(1024 * 1024 * 1024 / PIECE) {
        if wire.send_bytes(&[b'x'; PIECE]).is_err() {
            break;
        }
    }
    assert_eq!(fate(&mut wire), "FRAME_TOO_LARGE");
    let grown = peak(pid) - before;
    assert!(grown < 32 * 1024 * 1024, "{grown} bytes for one line");
}

#[test]
fn fault_65_a_client_that_takes_no_answers_is_not_read() {
    let env = TestEnv::started();
    let pid = env.daemon().pid;
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "chunks 500 4096 0 f");
    ada.fact(&session, "turn_ended");
    let before = peak(pid);
    let mut greedy = UnixStream::connect(env.state().socket()).expect("the daemon accepts");
    greedy.set_write_timeout(Some(Duration::from_secs(1))).expect("a timeout over zero can be set");
    // Each of these is answered with a megabyte.
    let request = format!("{}\n", json!({"type": "read_records", "session_id": session})).repeat(1000);
    let mut sent = 0;
    // Until the daemon parts from it, which it does in the end.
    loop {
        match greedy.write(request.as_bytes()) {
            Ok(count) => sent += count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
        assert!(sent < 64 * 1024 * 1024, "the daemon goes on reading");
        ada.ok("list_sessions", json!({}));
    }
    let grown = peak(pid) - before;
    assert!(grown < 24 * 1024 * 1024, "{grown} bytes for {sent} bytes of requests");
}

#[test]
fn fault_65_a_flood_of_tiny_requests_leaves_everybody_else_their_turn() {
    const FLOODS: usize = 8;
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..FLOODS {
            let stream = UnixStream::connect(env.state().socket()).expect("the daemon accepts");
            let (mut reading, mut writing) = (stream.try_clone().expect("a socket can be cloned"), stream);
            reading.set_read_timeout(Some(PATIENCE)).expect("a timeout over zero can be set");
            let done = &done;
            scope.spawn(move || {
                let requests = b"{\"type\":\"ping\"}\n".repeat(1000);
                while !done.load(Ordering::Acquire) && writing.write_all(&requests).is_ok() {}
                let _ = writing.shutdown(std::net::Shutdown::Write);
            });
            scope.spawn(move || {
                let mut buffer = vec![0; 64 * 1024];
                while matches!(reading.read(&mut buffer), Ok(count) if count > 0) {}
            });
        }
        // The flood goes on until all of this is done: each of these gets its turn in the middle of it.
        for n in 0..20 {
            ada.ok("list_sessions", json!({}));
            ada.prompt(&session, &format!("say turn {n}."));
            ada.said(&session, &format!("turn {n}."));
        }
        done.store(true, Ordering::Release);
    });
}
