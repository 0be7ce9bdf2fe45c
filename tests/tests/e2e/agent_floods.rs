//! Agents that say too much at once. A tenth of the catalogue's size, the whole of it with `VIBES_TEST_FULL`.

use serde_json::{Value, json};
use std::{fs, time::Duration};
use vibes_tests::{TestEnv, eventually, full_size, oracle};

fn of_full(size: u64) -> u64 {
    if full_size() { size } else { size / 10 }
}

#[test]
fn fault_44_a_flood_is_whole_and_in_order_and_the_others_are_served_meanwhile() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let flooding = ada.create(&env, json!({}));
    let other = ada.create(&env, json!({"subscribe": true}));
    let updates = of_full(1_000_000);
    ada.prompt(&flooding, &format!("chunks {updates} 40 0 f"));
    for n in 0..20 {
        ada.prompt(&other, &format!("say meanwhile {n}."));
        ada.said(&other, &format!("meanwhile {n}."));
    }
    let during = ada.ok("get_session", json!({"session_id": flooding}));
    assert_eq!(during["session"]["state"], "processing", "the flood was too short to say anything");
    ada.rests(&flooding);
    assert_eq!(oracle::page_chunks(&mut ada, &flooding, "f"), updates);
}

#[test]
fn fault_54_an_agent_that_does_not_read_and_asks_and_asks_stops_only_itself() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let (deaf, other) = (ada.create(&env, json!({})), ada.create(&env, json!({"subscribe": true})));
    ada.prompt(&deaf, "stop_reading\nasks 4000\nchunks 2000 1000 0 s\nsay the last word\nno_answer");
    ada.prompt(&other, "say not held up");
    ada.said(&other, "not held up");
    eventually("the flood came through", || {
        let info = ada.ok("get_session", json!({"session_id": deaf}));
        info["session"]["preview"]
            .as_str()
            .is_some_and(|words| words.ends_with("the last word"))
            .then_some(())
    });
    assert_eq!(oracle::page_chunks(&mut ada, &deaf, "s"), 2000);
    let info = ada.ok("get_session", json!({"session_id": deaf}));
    assert_eq!(info["session"]["pending_permissions"].as_array().map(Vec::len), Some(256));
    for _ in 0..32 {
        ada.prompt(&deaf, "say never heard");
    }
    assert_eq!(ada.refused("input", json!({"session_id": deaf, "content": "say x"})), "BUSY");
    ada.ok("kill_session", json!({"session_id": deaf}));
    env.runner_gone(&deaf);
}

#[test]
fn fault_55_a_flood_on_stderr_is_a_ring_and_blocks_nobody() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, &format!("stderr {} the last words\nsay through", of_full(1_000_000_000)));
    ada.rests(&session);
    ada.said(&session, "through");
    let files = fs::read_dir(env.state().runners()).expect("there are runners").flatten();
    let files = files.filter_map(|dir| fs::read_dir(dir.path()).ok()).flatten().flatten();
    let written: u64 = files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum();
    assert!(written < 9 * 1024 * 1024, "two halves of 4 MiB and little else: {written} bytes");
    ada.prompt(&session, "exit 1");
    let words = ada.fact(&session, "agent_stderr")["fact"]["text"].take();
    assert!(words.as_str().is_some_and(|words| words.len() <= 8 * 1024 && words.ends_with("the last words")));
}

#[test]
fn fault_58_a_history_that_is_told_again_is_not_journaled_again() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let replayed = of_full(1_000_000);
    let opts = format!("no-resume,replay={replayed}");
    let session = ada.create(&env, json!({"args": ["--opts", opts], "subscribe": true}));
    ada.prompt(&session, "say live");
    ada.fact(&session, "turn_ended");
    ada.ok("suspend_session", json!({"session_id": session}));
    let head = ada.state(&session, "suspended")["head"].as_u64().expect("a session has a head");
    ada.prompt(&session, "say on");
    ada.said(&session, "liveon");
    ada.fact(&session, "turn_ended");
    assert!(env.heard().iter().any(|entry| entry.line.contains("session/load")));
    assert_eq!(ada.text(&session), "liveon");
    let grown = ada.state(&session, "idle")["head"].as_u64().expect("a session has a head") - head;
    assert!(grown < 20, "{replayed} updates of history became {grown} records");
    oracle::check(&env);
}

#[test]
fn fault_59_ten_thousand_questions_at_once_are_capped_and_a_person_keeps_the_upper_hand() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let (asking, other) = (ada.create(&env, json!({})), ada.create(&env, json!({"subscribe": true})));
    ada.prompt(&asking, &format!("asks 10000\nsleep_until {}", env.path("never")));
    ada.prompt(&other, "say not held up");
    ada.said(&other, "not held up");
    let refused = || {
        let heard = env.heard();
        let refused = heard.iter().filter(|entry| entry.line.contains(r#""error":{"code":-32000,"#));
        refused.count()
    };
    eventually("all but 256 are refused", || {
        // Who subscribes and reads nothing meanwhile would be closed.
        while ada.next_within(Duration::from_millis(1)).is_some() {}
        (refused() == 10_000 - 256).then_some(())
    });
    let info = ada.ok("get_session", json!({"session_id": asking}));
    let pending = info["session"]["pending_permissions"].as_array().cloned().expect("a list");
    assert_eq!((pending.len(), &info["session"]["state"]), (256, &json!("waiting_permission")));

    let list = env.vibes(&["ls"]).ok();
    assert!(
        list.stdout.lines().count() < 40,
        "one line for the session, not for each question:\n{}",
        list.stdout
    );
    let several = env.vibes(&["approve", &asking]).exits(2);
    assert!(
        several.stderr.contains("256 requests wait") && several.stderr.lines().count() < 20,
        "{}",
        several.stderr
    );
    let named = pending[77]["permission_id"].as_str().expect("an id");
    env.vibes(&["deny", &asking, "--permission", named]).ok();
    ada.ok("interrupt", json!({"session_id": asking}));
    assert_eq!(ada.state(&asking, "idle")["pending_permissions"], json!([]));
    let cancelled =
        env.heard().iter().filter(|entry| entry.line.contains(r#""outcome":"cancelled""#)).count();
    assert_eq!(cancelled, 255, "every question that was kept is answered");
    oracle::check(&env);
}

#[test]
fn fault_46_noise_without_end_is_kept_line_by_line() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let noise: String = (0..20_000).map(|n| format!("{n}\n")).collect();
    let hex: String = noise.bytes().map(|byte| format!("{byte:02x}")).collect();
    ada.prompt(&session, &format!("bytes {hex}\nsay done"));
    ada.said(&session, "done");
    let kept: Vec<&Value> =
        ada.stream(&session).iter().filter(|record| record["fact"]["kind"] == "unparsed").collect();
    assert_eq!(kept.len(), 20_000);
    assert!(kept.iter().enumerate().all(|(n, record)| record["fact"]["text"] == *format!("{n}")));
}
