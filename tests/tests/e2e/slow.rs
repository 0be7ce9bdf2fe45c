//! Clients that do not take what they are sent: they cost nobody anything, and hear from where to go on.

use serde_json::{Value, json};
use std::{
    sync::mpsc,
    time::{Duration, Instant},
};
use vibes_tests::{TestEnv, Wire, eventually, oracle};

/// Waits until a client has no seat in the session any more.
fn seat_is_lost(wire: &mut Wire, session: &str, client: &str) {
    eventually("the daemon parts from the client", || {
        let members = wire.ok("who", json!({"session_id": session}))["members"].take();
        let seated = members.as_array().into_iter().flatten().any(|member| member["client_id"] == *client);
        (!seated).then_some(())
    });
}

/// The farewell of a connection that has ended, and the number of the last record before it.
fn farewell(wire: &mut Wire, session: &str) -> (Value, u64) {
    let closing = wire.wait_for("a farewell", |message| message["type"] == "closing");
    wire.wait_closed();
    (closing, wire.stream(session).last().map_or(0, |record| record["seq"].as_u64().expect("a number")))
}

/// Joins behind a cursor, and compares what both connections were sent with the journal.
fn goes_on(env: &TestEnv, stalled: &Wire, session: &str, cursor: &Value) {
    let mut again = env.client("again");
    let fields = json!({
        "session_ids": [session], "after": cursor["seq"], "epoch": cursor["epoch"], "role": "viewer",
    });
    let head = again.ok("subscribe", fields)["sessions"][0]["head"].as_u64().expect("a number");
    again.wait_for("the last record", |message| message["seq"] == head);
    let seen: Vec<&Value> = stalled.stream(session).iter().chain(again.stream(session)).collect();
    let seqs: Vec<u64> = seen.iter().map(|record| record["seq"].as_u64().expect("a number")).collect();
    let first = seqs[0];
    assert_eq!(seqs, (first..=head).collect::<Vec<_>>(), "each record once, in order");
}

/// A session whose turn is over, its owner, and a viewer that has read nothing of it.
fn stalled(env: &TestEnv, prompt: &str) -> (Wire, String, Wire) {
    let mut ada = env.client("ada");
    let session = ada.create(env, json!({"subscribe": true}));
    let mut stalled = env.client("stalled");
    stalled.subscribe(&session, 0, "viewer");
    ada.prompt(&session, prompt);
    ada.fact(&session, "turn_ended");
    (ada, session, stalled)
}

#[test]
fn fault_62_a_client_that_never_reads_is_closed_and_finds_its_cursor_when_it_reads_again() {
    let env = TestEnv::started();
    let (mut ada, session, mut stalled) = stalled(&env, "chunks 3000 4096 0 f");
    assert_eq!(oracle::check_chunks(&session, ada.stream(&session), "f"), 3000, "nobody waits for it");
    seat_is_lost(&mut ada, &session, &stalled.client_id);
    let (closing, last) = farewell(&mut stalled, &session);
    assert_eq!(closing["reason"], "slow");
    assert_eq!(closing["resume_from"][&session]["seq"], last, "the last record that was sent whole");
    assert!(last < 3000, "it was stuck in the middle");
    goes_on(&env, &stalled, &session, &closing["resume_from"][&session]);
}

#[test]
fn fault_62_a_line_too_long_for_the_last_room_ends_without_its_newline() {
    let env = TestEnv::started();
    let (mut ada, session, mut stalled) = stalled(&env, "bigchunk 8000000");
    seat_is_lost(&mut ada, &session, &stalled.client_id);
    // Half a line is no line: what came before it stands, and nothing behind it is read.
    stalled.wait_closed();
    let last = stalled.stream(&session).last().expect("some records came")["seq"].clone();
    goes_on(&env, &stalled, &session, &json!({"seq": last, "epoch": 1}));
}

#[test]
fn fault_62_a_stop_of_the_daemon_is_told_to_a_client_that_does_not_read() {
    let env = TestEnv::started();
    let (_ada, session, mut stalled) = stalled(&env, "chunks 3000 4096 0 f");
    env.daemon().terminate();
    let (closing, last) = farewell(&mut stalled, &session);
    assert_eq!(closing["reason"], "shutdown");
    assert_eq!(closing["resume_from"][&session]["seq"], last);
    env.daemon();
    goes_on(&env, &stalled, &session, &closing["resume_from"][&session]);
}

#[test]
fn fault_62_a_client_that_reads_slowly_and_steadily_is_not_closed() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let mut slow = env.client("slow");
    slow.subscribe(&session, 0, "viewer");
    ada.prompt(&session, "chunks 300 4096 0 f");
    ada.fact(&session, "turn_ended");
    // Slower than the socket is emptied to where the system calls it writable, which would take a quarter of a minute.
    let until = Instant::now() + Duration::from_secs(14);
    while Instant::now() < until {
        slow.take(12 * 1024);
        std::thread::sleep(Duration::from_secs(1));
    }
    slow.fact(&session, "turn_ended");
    assert_eq!(oracle::check_chunks(&session, slow.stream(&session), "f"), 300);
}

#[test]
fn fault_13_clients_that_die_in_the_middle_of_a_write_hurt_nobody() {
    let env = TestEnv::started();
    let pid = env.daemon().pid;
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let clients: Vec<Wire> = (0..60)
        .map(|n| {
            let mut client = env.client(&format!("c{n}"));
            client.subscribe(&session, 0, "writer");
            client
        })
        .collect();
    ada.prompt(&session, "chunks 3000 1024 0 f");
    for (n, mut client) in clients.into_iter().enumerate() {
        // Each has a different part of a line when it goes.
        client.take(1000 * n + n);
    }
    ada.fact(&session, "turn_ended");
    assert_eq!(oracle::check_chunks(&session, ada.stream(&session), "f"), 3000);
    assert_eq!(env.daemon().pid, pid, "the same daemon");
    eventually("their seats are given up", || {
        let members = ada.ok("who", json!({"session_id": session}))["members"].take();
        (members.as_array().map(Vec::len) == Some(1)).then_some(())
    });
    oracle::check(&env);
}

#[test]
fn fault_63_a_thousand_subscribers_of_one_session_miss_nothing() {
    const HANDS: usize = 8;
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({}));
    let (joined, everybody) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..HANDS {
            let (env, session, joined) = (&env, &session, joined.clone());
            scope.spawn(move || {
                let mut wires: Vec<Wire> = (0..1000 / HANDS).map(|_| env.connect()).collect();
                for wire in &mut wires {
                    wire.subscribe(session, 0, "viewer");
                }
                joined.send(()).expect("somebody waits for it");
                // In turn, so that none waits longer than the daemon waits for it.
                let until = Instant::now() + Duration::from_secs(90);
                while !wires.is_empty() {
                    assert!(Instant::now() < until, "{} have not seen the end of the turn", wires.len());
                    wires.retain_mut(|wire| !has_seen_all(wire, session));
                }
            });
        }
        drop(joined);
        let mut hands = 0;
        while hands < HANDS {
            // She is told of each who joins, and would be closed if she did not read it.
            while ada.next_within(Duration::from_millis(1)).is_some() {}
            match everybody.try_recv() {
                Ok(()) => hands += 1,
                Err(why) => assert_eq!(why, mpsc::TryRecvError::Empty, "all have joined"),
            }
        }
        ada.prompt(&session, "chunks 50 64 0 f");
    });
}

/// Reads what has come; whether that is the end of the turn, and everything before it.
fn has_seen_all(wire: &mut Wire, session: &str) -> bool {
    while let Some(message) = wire.next_within(Duration::from_millis(1)) {
        if message["fact"]["kind"] == "turn_ended" {
            let stream = wire.stream(session);
            let seqs = stream.iter().filter_map(|record| record["seq"].as_u64());
            assert!(seqs.eq(1..=stream.len() as u64), "each record once, in order");
            assert_eq!(oracle::check_chunks(session, stream, "f"), 50);
            return true;
        }
    }
    assert!(!wire.is_closed(), "it reads, and is closed all the same");
    false
}
