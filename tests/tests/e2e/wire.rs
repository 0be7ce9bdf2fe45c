//! The wire by the byte: frames, faults, limits, answers.

use serde_json::{Value, json};
use vibes_tests::{TestEnv, Wire};

fn error(wire: &mut Wire, line: &str) -> Value {
    wire.send_line(line);
    wire.wait_for("an error", |message| message["type"] == "error")
}

#[test]
fn fault_60_one_line_and_a_half_close_do_a_job() {
    let env = TestEnv::started();
    let mut wire = env.connect();
    wire.send_line(r#"{"type":"list_sessions","request_id":"r1"}"#);
    wire.half_close();
    let answer = wire.wait_for("the list", |message| message["request_id"] == "r1");
    assert_eq!((&answer["type"], &answer["sessions"]), (&json!("session_list"), &json!([])));
    wire.wait_closed();
}

#[test]
fn fault_65_faults_are_answered_and_the_connection_lives_on() {
    let env = TestEnv::started();
    let mut wire = env.connect();
    assert_eq!(error(&mut wire, "{")["code"], "BAD_REQUEST");
    assert_eq!(error(&mut wire, "[]")["code"], "BAD_REQUEST");
    assert_eq!(error(&mut wire, "null")["code"], "BAD_REQUEST");
    let unknown = error(&mut wire, r#"{"type":"fly","request_id":"u"}"#);
    assert_eq!((&unknown["code"], &unknown["request_id"]), (&json!("UNKNOWN_TYPE"), &json!("u")));
    let shape = error(&mut wire, r#"{"type":"list_sessions","request_id":"s","limit":"many"}"#);
    assert_eq!((&shape["code"], &shape["request_id"]), (&json!("BAD_REQUEST"), &json!("s")));
    assert!(shape["message"].to_string().contains("limit"), "{shape}");
    let missing = error(&mut wire, r#"{"type":"interrupt","request_id":"m"}"#);
    assert!(missing["message"].to_string().contains("session_id"), "{missing}");
    assert_eq!(error(&mut wire, r#"{"type":"ping","request_id":7}"#)["code"], "BAD_REQUEST");
    assert_eq!(wire.ok("ping", json!({}))["type"], "pong");
}

#[test]
fn fault_65_bytes_that_are_no_text_are_a_bad_request() {
    let env = TestEnv::started();
    let mut wire = env.connect();
    wire.send_bytes(b"\xff\xfe{\"type\":\"ping\"}\n").expect("the daemon reads");
    let answer = wire.wait_for("an error", |message| message["type"] == "error");
    assert_eq!(answer["code"], "BAD_REQUEST");
    wire.ok("ping", json!({}));
}

#[test]
fn fault_65_deep_nesting_is_refused_without_harm() {
    let env = TestEnv::started();
    let mut wire = env.connect();
    let line = format!(r#"{{"type":"ping","request_id":"d","x":{}}}"#, "[".repeat(200_000));
    assert_eq!(error(&mut wire, &line)["code"], "BAD_REQUEST");
    wire.ok("ping", json!({}));
}

#[test]
fn fault_65_a_line_of_two_mebibytes_is_too_large_and_closes() {
    let env = TestEnv::started();
    let mut wire = env.connect();
    // The daemon may close before it has read everything; that is its right.
    let _ = wire.send_bytes("x".repeat(2 * 1024 * 1024).as_bytes());
    let answer = wire.wait_for("an error", |message| message["type"] == "error");
    assert_eq!(answer["code"], "FRAME_TOO_LARGE");
    wire.wait_closed();
    env.connect().ok("ping", json!({}));
}

#[test]
fn a_line_just_under_the_limit_is_read() {
    let env = TestEnv::started();
    let mut wire = env.connect();
    let line = json!({"type": "ping", "request_id": "big", "x": "y".repeat(1024 * 1024 - 100)}).to_string();
    wire.send_line(&line);
    wire.wait_for("the pong", |message| message["request_id"] == "big");
}

#[test]
fn fault_60_requests_that_came_before_a_half_close_are_all_answered() {
    let env = TestEnv::started();
    let mut wire = env.connect();
    let ids: Vec<String> = (0..50).map(|_| wire.ask("list_sessions", json!({}))).collect();
    wire.half_close();
    for id in ids {
        wire.wait_for("each answer", |message| message["request_id"] == *id);
    }
    wire.wait_closed();
}

#[test]
fn each_request_id_is_answered_exactly_once() {
    let env = TestEnv::started();
    let mut wire = env.connect();
    let mut ids = Vec::new();
    for kind in ["ping", "list_sessions", "list_agents", "daemon_status", "fly", "interrupt"].repeat(10) {
        ids.push(wire.ask(kind, json!({})));
    }
    for id in &ids {
        wire.wait_for("each answer", |message| message["request_id"] == **id);
    }
    let left: Vec<Value> =
        wire.inbox().into_iter().filter(|message| !message["request_id"].is_null()).collect();
    assert!(left.is_empty(), "answered twice: {left:?}");
}

#[test]
fn requests_without_an_id_are_served_too() {
    let env = TestEnv::started();
    let mut wire = env.connect();
    wire.send_line(r#"{"type":"list_sessions"}"#);
    wire.wait_for("the list", |message| message["type"] == "session_list");
}

#[test]
fn a_line_may_come_in_single_bytes_and_many_in_one_write() {
    let env = TestEnv::started();
    let mut wire = env.connect();
    for byte in b"{\"type\":\"ping\",\"request_id\":\"slow\"}\n" {
        wire.send_bytes(&[*byte]).expect("the daemon reads");
    }
    wire.wait_for("the pong", |message| message["request_id"] == "slow");
    wire.send_line("{\"type\":\"ping\",\"request_id\":\"a\"}\r\n\n{\"type\":\"ping\",\"request_id\":\"b\"}");
    wire.wait_for("the pong", |message| message["request_id"] == "a");
    wire.wait_for("the pong", |message| message["request_id"] == "b");
}

#[test]
fn unknown_fields_are_ignored() {
    let env = TestEnv::started();
    assert_eq!(env.connect().ok("ping", json!({"from_the_future": {"a": [1]}}))["type"], "pong");
}

#[test]
fn nothing_unasked_comes_before_the_first_answer() {
    let env = TestEnv::started();
    let mut silent = env.connect();
    env.client("ada").create(&env, json!({}));
    assert_eq!(silent.inbox(), Vec::<Value>::new(), "the session was created before the first answer");
}

#[test]
fn fault_72_a_protocol_from_the_future_is_refused() {
    let env = TestEnv::started();
    let client = json!({"name": "test", "version": "9", "kind": "script"});
    let mut wire = env.connect();
    assert_eq!(wire.refused("hello", json!({"protocol": 999, "client": client})), "UNSUPPORTED_PROTOCOL");
}

#[test]
fn a_welcome_tells_the_limits() {
    let env = TestEnv::started();
    let welcome = env.connect().hello(json!({}));
    assert_eq!(welcome["protocol"], 1);
    assert_eq!(welcome["limits"]["max_line_bytes"], 1024 * 1024);
}

#[test]
fn fault_68_a_cursor_beyond_the_head_is_cut_back() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    let session = wire.create(&env, json!({}));
    let head = wire.ok("get_session", json!({"session_id": session}))["session"]["head"].take();
    let fields = json!({"session_ids": [session], "after": 1_000_000, "role": "viewer"});
    wire.ok("subscribe", fields);
    let rewind = wire.wait_for("the rewind", |message| message["type"] == "rewind");
    assert_eq!(rewind["to"]["seq"], head);
}

#[test]
fn fault_68_a_cursor_of_another_session_or_beyond_all_numbers_is_cut_back() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let (long, short) = (ada.create(&env, json!({"subscribe": true})), ada.create(&env, json!({})));
    ada.prompt(&long, "chunks 50 20 0 f");
    let elsewhere = ada.fact(&long, "turn_ended")["seq"].as_u64().expect("a number");
    let head = ada.ok("get_session", json!({"session_id": short}))["session"]["head"].take();
    for after in [elsewhere, i64::MAX as u64, u64::MAX - 1, u64::MAX] {
        ada.ok("subscribe", json!({"session_ids": [short], "after": after, "role": "viewer"}));
        let rewind = ada.wait_for("the rewind", |message| message["type"] == "rewind");
        assert_eq!((&rewind["session_id"], &rewind["to"]["seq"]), (&json!(short), &head), "{after}");
        let page = ada.ok("read_records", json!({"session_id": short, "after": after}));
        assert_eq!((&page["records"], &page["head"]), (&json!([]), &head), "{after}");
    }
}

#[test]
fn fault_68_a_cursor_anywhere_in_the_past_goes_on_from_there() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "chunks 20 20 0 f");
    let head = ada.fact(&session, "turn_ended")["seq"].as_u64().expect("a number");
    for after in 0..head {
        let mut wire = env.connect();
        wire.subscribe(&session, after, "viewer");
        wire.wait_for("the last record", |message| message["seq"] == head);
        let seqs = wire.stream(&session).iter().filter_map(|record| record["seq"].as_u64());
        assert!(seqs.eq(after + 1..=head), "after {after}");
    }
}

#[test]
fn fault_68_a_cursor_of_another_shape_is_a_bad_request() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    let session = wire.create(&env, json!({}));
    for after in [json!(-1), json!("start"), json!(1.5), json!(null)] {
        let fields = json!({"session_ids": [session], "after": after});
        assert_eq!(wire.refused("subscribe", fields), "BAD_REQUEST");
    }
}

#[test]
fn a_client_that_never_reads_costs_the_others_nothing() {
    let env = TestEnv::started();
    let mut reader = env.client("ada");
    let session = reader.create(&env, json!({"subscribe": true}));
    let mut stalled = env.client("stalled");
    stalled.subscribe(&session, 0, "viewer");
    reader.prompt(&session, "chunks 3000 4096 0 f");
    reader.fact(&session, "turn_ended");
    assert_eq!(vibes_tests::oracle::check_chunks(&session, reader.stream(&session), "f"), 3000);
}

#[test]
fn fault_61_half_a_line_and_a_hang_up_executes_nothing() {
    let env = TestEnv::started();
    let mut wire = env.connect();
    wire.send_bytes(
        format!(r#"{{"type":"create_session","agent":"fake","cwd":"{}"}}"#, env.work()).as_bytes(),
    )
    .expect("the daemon reads");
    wire.half_close();
    wire.wait_closed();
    assert_eq!(env.connect().ok("list_sessions", json!({}))["sessions"], json!([]));
}

#[test]
fn records_are_read_without_joining() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    let session = wire.create(&env, json!({}));
    let page = wire.ok("read_records", json!({"session_id": session, "limit": 1}));
    assert_eq!(page["records"].as_array().map(Vec::len), Some(1));
    assert_eq!(wire.ok("who", json!({"session_id": session}))["members"], json!([]));
}

#[test]
fn fault_68_a_cursor_of_a_future_epoch_goes_back_to_the_start() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({}));
    ada.ok("subscribe", json!({"session_ids": [session], "after": 2, "epoch": 7}));
    let rewind = ada.wait_for("a rewind", |message| message["type"] == "rewind");
    assert_eq!(rewind["to"], json!({"epoch": 1, "seq": 0}), "where the futures parted is not known");
    assert_eq!(ada.fact(&session, "created")["seq"], 1);
}

#[test]
fn an_empty_prompt_is_a_bad_request() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({}));
    for content in
        [json!(""), json!([]), json!([[]]), json!([{"type": "text", "text": ""}]), json!([{"text": "x"}])]
    {
        let refused = ada.refused("input", json!({"session_id": session, "content": content}));
        assert_eq!(refused, "BAD_REQUEST", "{content}");
    }
    let key = json!({"session_id": session, "content": "say hi", "idempotency_key": ""});
    assert_eq!(ada.refused("input", key), "BAD_REQUEST");
}
