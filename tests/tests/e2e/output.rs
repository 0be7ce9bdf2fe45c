//! What a tool prints, by an agent that tells all of it again with every line: it is stored once.
//!
//! Invariant: what is read back is what was told, whatever happened in between.

use serde_json::{Value, json};
use std::fs;
use vibes_tests::{TestEnv, eventually, fake::printed, oracle};

/// How many lines, and so how often all before is told again: 15 MB.
const LINES: u64 = 120;

/// Each update has all of the output until then, twice.
fn assert_told(records: &[Value]) {
    let told: Vec<_> =
        records.iter().filter(|record| record["fact"]["update"]["status"] == "in_progress").collect();
    assert_eq!(told.len() as u64, LINES + 1, "the call, and a line each");
    let mut output = String::new();
    for (line, record) in told[1..].iter().enumerate() {
        output.push_str(&printed(line as u64));
        let update = &record["fact"]["update"];
        assert!(update["content"][0]["content"]["text"] == output && update["rawOutput"]["output"] == output);
    }
}

fn stored(env: &TestEnv, session: &str) -> u64 {
    let usage: Value = serde_json::from_str(&env.vibes(&["du", "--json"]).ok().stdout).expect("it is JSON");
    let all = usage["sessions"].as_array().expect("there are some");
    all.iter().find(|one| one["session_id"] == *session).expect("it is there")["store"]
        .as_u64()
        .expect("a size")
}

#[test]
fn output_that_is_told_again_with_every_line_is_stored_once_while_the_turn_goes_on() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true, "name": "printer"}));
    let go = env.path("go");
    ada.prompt(
        &session,
        &format!("tool t print\ntool_prints t {LINES}\nsleep_until {go}\ntool_done t\nsay done"),
    );
    // It does not wait for the turn to end: four megabytes at most wait for it.
    let mostly = || (stored(&env, &session) < 5_000_000 && env.rows("piece", "1") > 0).then_some(());
    eventually("most of it is packed", mostly);
    let told: usize = oracle::journal(&mut ada, &session).iter().map(|record| record.to_string().len()).sum();
    assert!(told > 14_000_000, "{told}");

    env.daemon().kill9();
    env.vibes(&["daemon", "start"]).ok();
    let mut ada = env.client("ada");
    ada.subscribe(&session, 0, "writer");
    fs::write(&go, "").expect("it is written");
    ada.said(&session, "done");
    assert_told(&oracle::journal(&mut ada, &session));
    ada.rests(&session);
    eventually("all of it is packed", || {
        (env.rows("records", "packed = 0 AND octet_length(body) > 10000") == 0).then_some(())
    });
    let size = stored(&env, &session);
    assert!(size < 1_000_000, "{told} bytes were told, {size} are stored");
    // It is found where it was printed, and shown.
    let last = printed(LINES - 1);
    let word = last.split(' ').nth(5).expect("there are some");
    let found = || env.vibes(&["search", word]).stdout.contains(&session[..8]).then_some(());
    eventually("it is found", found);

    // Elsewhere it takes as little.
    ada.ok("finish_session", json!({"session_id": session}));
    let file = env.path("printer.ndjson");
    env.vibes(&["export", "printer", "-o", &file]).ok();
    let other = TestEnv::started();
    other.vibes(&["import", &file]).ok();
    let mut ben = other.client("ben");
    let list = ben.ok("list_sessions", json!({"include_ended": true}));
    let copy = list["sessions"][0]["id"].as_str().expect("it is there").to_owned();
    assert_told(&oracle::journal(&mut ben, &copy));
    let size = stored(&other, &copy);
    assert!(size < 1_000_000, "{size} are stored");
}
