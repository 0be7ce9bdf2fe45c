//! Agents whose lines are wrong in every way a line can be: kept, told apart, answered to the right one.

use serde_json::{Value, json};
use vibes_tests::{TestEnv, Wire, oracle, processes};

/// A prompt that writes one line as it is.
fn raw(message: &Value) -> String {
    format!("raw {message}")
}

fn update(conversation: Option<&str>, text: &str) -> Value {
    let update = json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}});
    let params = match conversation {
        Some(id) => json!({"sessionId": id, "update": update}),
        None => json!({"update": update}),
    };
    json!({"jsonrpc": "2.0", "method": "session/update", "params": params})
}

/// Waits until the turn has ended and gives what could not be understood in it.
fn unparsed(wire: &mut Wire, session: &str) -> Vec<Value> {
    wire.fact(session, "turn_ended");
    let records = wire.stream(session).iter().filter(|record| record["fact"]["kind"] == "unparsed");
    records.map(|record| record["fact"].clone()).collect()
}

#[test]
fn fault_43_a_line_of_a_hundred_megabytes_costs_no_memory() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let daemon = env.daemon();
    // What the allocator and the store keep from the first time is not what a line costs.
    ada.prompt(&session, "bigline 17000000\nsay warm");
    ada.said(&session, "warm");
    ada.fact(&session, "unparsed");
    ada.fact(&session, "turn_ended");
    processes::forget_peak(daemon.pid);
    let before = processes::peak_memory(daemon.pid);
    ada.prompt(&session, "bigline 100000000\nsay after it");
    let line = ada.fact(&session, "unparsed")["fact"].take();
    assert_eq!(line["bytes"], 100_000_000);
    assert_eq!(line["text"].as_str().map(str::len), Some(64 * 1024));
    // sha256sum of 100,000,000 times `x`.
    assert_eq!(line["sha256"], "9031c1664d8691097a77580cb1141ba470054f87d48af18bd18ecc5ca0121adb");
    ada.said(&session, "after it");
    ada.fact(&session, "turn_ended");
    let cost = processes::peak_memory(daemon.pid).saturating_sub(before);
    assert!(cost < 32 * 1024 * 1024, "it cost {cost} bytes");
    oracle::check(&env);
}

#[test]
fn fault_45_46_what_a_client_could_not_read_does_not_reach_one() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let line = |value: &str| {
        format!(
            r#"raw {{"jsonrpc":"2.0","method":"session/update","params":{{"update":{{"sessionUpdate":"x","v":{value}}}}}}}"#
        )
    };
    let deep = format!("{}{}", "[".repeat(2_000), "]".repeat(2_000));
    let script = [
        line(r#""\ud800""#),
        line("1e999"),
        line(&deep),
        line(r#""\u0000\u2028\ud83d\ude00""#),
        line("1e300"),
    ];
    ada.prompt(&session, &format!("{}\nsay unharmed", script.join("\n")));
    assert_eq!(unparsed(&mut ada, &session).len(), 3);
    assert_eq!(ada.text(&session), "unharmed");
    // The command line, whose reader is the strictest one, shows the session to its end.
    let shown = env.vibes(&["logs", &session]).ok();
    assert!(shown.stdout.contains("unharmed"), "{}", shown.stdout);
    oracle::check(&env);
}

#[test]
fn fault_45_bytes_that_are_no_text_are_kept_as_bytes() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    // Not UTF-8; a NUL; a mark of byte order before a message; a carriage return before the newline is nothing.
    let good = update(None, "after CRLF").to_string();
    let crlf: String = good.bytes().chain(*b"\r\n").map(|byte| format!("{byte:02x}")).collect();
    ada.prompt(
        &session,
        &format!("bytes 7b ff fe 7d 0a\nbytes 61 00 62 0a\nbytes ef bb bf 7b 7d 0a\nbytes {crlf}"),
    );
    let kept = unparsed(&mut ada, &session);
    assert_eq!(kept.len(), 3, "{kept:?}");
    assert_eq!((&kept[0]["hex"], &kept[0]["bytes"]), (&json!("7bfffe7d"), &json!(4)));
    assert_eq!((&kept[1]["text"], &kept[1]["hex"]), (&json!("a\0b"), &Value::Null));
    assert_eq!(kept[2]["text"], "\u{feff}{}");
    assert_eq!(ada.text(&session), "after CRLF");
    oracle::check(&env);
}

#[test]
fn fault_46_a_string_of_fifty_megabytes_and_a_million_keys_are_only_large() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "bigchunk 50000000\nkeys 1000000\ndeep 1000000\nsay unharmed");
    ada.rests(&session);
    ada.said(&session, "unharmed");
    let kept = unparsed(&mut ada, &session);
    let why: Vec<&str> = kept.iter().filter_map(|fact| fact["why"].as_str()).collect();
    // A million keys are longer than a line may be, too.
    assert!(why.len() == 3 && why[0].contains("16711680") && why[1].contains("16711680"), "{why:?}");
    ada.prompt(&session, "keys 200000\nsay still");
    ada.said(&session, "still");
    let keys = ada.stream(&session).iter().find(|record| record["fact"]["update"]["key199999"] == 199_999);
    assert!(keys.is_some(), "what fits is kept whole");
}

#[test]
fn fault_48_a_batch_is_refused_once_and_none_of_it_happens() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let question = json!({"jsonrpc": "2.0", "id": 77, "method": "session/request_permission", "params": {}});
    let mixed = json!([update(None, "from a batch"), question, {"jsonrpc": "2.0", "id": 1, "result": {}}]);
    let batches = [json!([]), mixed.clone(), json!([mixed]), json!([1, {}])];
    let script: Vec<String> = batches.iter().map(raw).collect();
    ada.prompt(&session, &format!("{}\nunknown_request end/of_it", script.join("\n")));
    ada.said(&session, "refused end/of_it -32601");
    assert_eq!(unparsed(&mut ada, &session).len(), batches.len());
    assert!(!ada.text(&session).contains("from a batch"));
    let heard: Vec<Value> =
        env.heard().iter().filter_map(|entry| serde_json::from_str(&entry.line).ok()).collect();
    let refused = heard.iter().filter(|message| message["error"]["code"] == -32600);
    assert_eq!(refused.clone().count(), batches.len());
    assert!(refused.clone().all(|message| message["id"].is_null()));
    assert!(heard.iter().all(|message| message["id"] != 77), "no entry of a batch is answered");
}

#[test]
fn fault_49_odd_ids_are_refused_and_an_id_in_use_is_never_answered_twice() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let request = |id: &str| format!(r#"raw {{"jsonrpc":"2.0","id":{id},"method":"fs/read_text_file"}}"#);
    let odd = ["1.5", "18446744073709551616", "true", "{}", "[7]"];
    let script: Vec<String> = odd.iter().map(|id| request(id)).collect();
    ada.prompt(&session, &format!("{}\nunknown_request end/of_it", script.join("\n")));
    assert_eq!(unparsed(&mut ada, &session).len(), odd.len());
    let lines = |env: &TestEnv| env.heard().into_iter().map(|entry| entry.line).collect::<Vec<_>>();
    let answers = |id: &str| {
        let begin = format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":-32600"#);
        lines(&env).iter().filter(|line| line.starts_with(&begin)).count()
    };
    assert_eq!((answers("1.5"), answers("18446744073709551616"), answers("null")), (1, 1, 3));

    // One question waits; whatever else carries its id hears nothing, and it gets its own answer.
    let (same, never) = (request("\"ask-t1\""), env.path("never"));
    ada.prompt(
        &session,
        &format!("ask_nowait t1 ls\n{same}\nask_nowait t1 rm\nsay asked\nsleep_until {never}"),
    );
    let first = ada.permission(&session);
    ada.said(&session, "asked");
    let joined = ada.ok("get_session", json!({"session_id": session}));
    assert_eq!(joined["session"]["pending_permissions"], json!([first]));
    assert!(!lines(&env).iter().any(|line| line.contains(r#""id":"ask-t1""#)), "nothing was answered yet");
}

#[test]
fn fault_49_an_id_may_be_used_again_after_its_answer() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    for (round, decision, said) in [(0, "allow_once", "allow"), (1, "reject_once", "reject")] {
        for id in ["5", "null", r#""same""#] {
            ada.prompt(&session, &format!("ask_as {id} t{round} ls"));
            let permission = ada.permission(&session);
            ada.decide(&session, &permission, decision);
            ada.said(&session, &format!("answer t{round} {said}"));
            ada.fact(&session, "turn_ended");
        }
    }
}

#[test]
fn fault_56_a_message_that_comes_byte_by_byte_is_one_message() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let words = "aé語👩‍💻\\ \"quoted\" \u{2028} the end";
    ada.prompt(&session, &format!("dribble {words}\ndribble {words}"));
    ada.fact(&session, "turn_ended");
    assert_eq!(ada.text(&session), words.repeat(2));
    oracle::check(&env);
}

#[test]
fn fault_57_a_conversation_that_is_not_ours_is_kept_apart() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let script = [raw(&update(Some("another"), "astray")), raw(&update(None, "nameless"))].join("\n");
    ada.prompt(&session, &format!("{script}\nsay ours"));
    let kept = unparsed(&mut ada, &session);
    assert!(kept.len() == 1 && kept[0]["text"].to_string().contains("astray"), "{kept:?}");
    assert_eq!(ada.text(&session), "namelessours");
    let info = ada.ok("get_session", json!({"session_id": session}));
    assert_eq!(info["session"]["preview"], "namelessours", "nor does it enter what lists show");
}
