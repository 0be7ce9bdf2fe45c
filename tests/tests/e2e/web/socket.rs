//! The wire over a WebSocket: the same messages, the same promises.

use serde_json::{Value, json};
use std::time::{Duration, Instant};
use vibes_tests::{TestEnv, eventually, web::Site};

#[test]
fn a_socket_carries_the_wire_both_ways() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    let mut page = site.socket();
    let hello =
        json!({"protocol": 1, "client": {"name": "page", "version": "1", "kind": "web"}, "identity": "ann"});
    assert_eq!(page.ok("hello", hello)["type"], "welcome");
    let fields = json!({"agent": "fake", "cwd": env.work(), "env": env.client_env(), "subscribe": true});
    let created = page.ok("create_session", fields);
    let session = created["session"]["id"].as_str().expect("a session has an id").to_owned();
    assert_eq!(created["session"]["is_owner"], true);
    page.ok("input", json!({"session_id": session, "content": "say hello over there"}));
    page.wait_for("the agent's words", |message| {
        message["type"] == "record" && message["fact"]["update"]["content"]["text"] == "hello over there"
    });
    page.fact("turn_ended");
    // Records that were in order come in order, and the local socket tells the same ones.
    let mut ada = env.client("ada");
    ada.subscribe(&session, 0, "viewer");
    ada.fact(&session, "turn_ended");
    let mut again = site.socket();
    again.ok("subscribe", json!({"session_ids": [session], "after": 0, "role": "viewer"}));
    again.fact("turn_ended");
    let records: Vec<Value> = again.inbox().filter(|message| message["type"] == "record").cloned().collect();
    assert_eq!(records[..], ada.stream(&session)[..records.len()]);
    assert!(records.len() > 5);
}

#[test]
fn nothing_is_told_before_a_good_token() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    for first in [
        json!({"type": "list_sessions"}),
        json!({"type": "auth", "token": "wrong"}),
        json!({"type": "auth"}),
        json!("auth"),
    ] {
        let mut stranger = site.stranger();
        stranger.send(&first.to_string());
        let said = stranger.hear().expect("a reason is told");
        assert_eq!((&said["type"], &said["code"]), (&json!("error"), &json!("UNAUTHORIZED")), "{first}");
        assert_eq!(stranger.hear(), None, "and no more");
    }
    let mut silent = site.stranger();
    let since = Instant::now();
    silent.patience(Duration::from_secs(20));
    assert_eq!(silent.hear().expect("a reason is told")["code"], "UNAUTHORIZED");
    assert!(since.elapsed() >= Duration::from_secs(4));
}

#[test]
fn what_cannot_be_followed_ends_the_connection_with_a_reason() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    let mut long = site.socket();
    long.ok("ping", json!({}));
    long.send(&format!("{{\"type\":\"ping\",\"x\":\"{}\"}}", "x".repeat(1024 * 1024)));
    assert_eq!(long.wait_for("a reason", |message| message["type"] == "error")["code"], "FRAME_TOO_LARGE");
    assert_eq!(long.hear(), None);
    let mut broken = site.socket();
    broken.ok("ping", json!({}));
    std::io::Write::write_all(broken.stream(), b"no frame at all, and unmasked").expect("it can be sent");
    assert_eq!(broken.wait_for("a reason", |message| message["type"] == "error")["code"], "BAD_REQUEST");
    let mut lines = site.socket();
    lines.send("{\n \"type\": \"ping\",\n \"request_id\": \"p\"\n}");
    assert_eq!(lines.hear().expect("an answer")["request_id"], "p", "a message may have lines");
}

#[test]
fn a_page_that_does_not_read_is_told_its_cursor_and_goes_on_without_a_gap() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let mut page = site.socket();
    page.ok(
        "hello",
        json!({"protocol": 1, "client": {"name": "page", "kind": "web"}, "identity": "slow page"}),
    );
    page.ok("subscribe", json!({"session_ids": [session], "after": 0, "role": "viewer"}));
    ada.prompt(&session, "chunks 3000 4096 0 f");
    ada.fact(&session, "turn_ended");
    eventually("the daemon parts from the page", || {
        let members = ada.ok("who", json!({"session_id": session}))["members"].take();
        let seated = members.as_array().into_iter().flatten().any(|member| member["identity"] == "slow page");
        (!seated).then_some(())
    });
    let mut seqs = Vec::new();
    let closing = loop {
        let message = page.hear().expect("a farewell comes");
        match message["type"].as_str() {
            Some("record") => seqs.push(message["seq"].as_u64().expect("a number")),
            Some("closing") => break message,
            _ => {}
        }
    };
    let cursor = &closing["resume_from"][&session];
    assert_eq!(closing["reason"], "slow");
    assert_eq!(cursor["seq"].as_u64(), seqs.last().copied());
    let mut again = site.socket();
    let fields =
        json!({"session_ids": [session], "after": cursor["seq"], "epoch": cursor["epoch"], "role": "viewer"});
    let head = again.ok("subscribe", fields)["sessions"][0]["head"].as_u64().expect("a number");
    while seqs.last() != Some(&head) {
        let message = again.hear().expect("records come");
        seqs.extend(message["seq"].as_u64());
    }
    assert_eq!(seqs, (seqs[0]..=head).collect::<Vec<_>>(), "each record once, in order");
}

#[test]
fn a_daemon_that_starts_again_serves_the_web_where_it_was_and_pages_go_on() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({}));
    let mut page = site.socket();
    page.ok("subscribe", json!({"session_ids": [session], "after": 0, "role": "viewer"}));
    env.vibes(&["daemon", "stop"]).ok();
    let closing = page.wait_for("a farewell", |message| message["type"] == "closing");
    assert_eq!(closing["reason"], "shutdown");
    env.vibes(&["daemon", "start"]).ok();
    let served = eventually("the web is served again", || {
        let served = env.vibes(&["web", "--status", "--json"]).ok().json();
        (served["running"] == true).then_some(served)
    });
    assert_eq!(Site::port_of(&served), site.port);
    let cursor = &closing["resume_from"][&session];
    let mut again = site.socket();
    let fields =
        json!({"session_ids": [session], "after": cursor["seq"], "epoch": cursor["epoch"], "role": "viewer"});
    assert_eq!(again.ok("subscribe", fields)["type"], "subscribed");
    env.vibes(&["web", "--stop"]).ok();
    assert_eq!(again.wait_for("a farewell", |message| message["type"] == "closing")["reason"], "shutdown");
    assert!(std::net::TcpStream::connect(("127.0.0.1", site.port)).is_err(), "nothing listens");
    env.vibes(&["daemon", "restart"]).ok();
    assert_eq!(env.vibes(&["web", "--status", "--json"]).ok().json()["running"], false);
}

#[test]
fn nothing_listens_before_it_is_asked_for() {
    let env = TestEnv::started();
    let pid = env.daemon().pid;
    assert_eq!(vibes_tests::processes::listens(pid), Vec::<u16>::new());
    let site = Site::open(&env);
    assert_eq!(vibes_tests::processes::listens(pid), [site.port]);
}
