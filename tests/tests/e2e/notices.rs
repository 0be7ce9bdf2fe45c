//! What every client is told, subscribed or not.

use serde_json::json;
use vibes_tests::{TestEnv, Wire};

#[test]
fn every_client_hears_of_a_new_session_of_its_changes_and_of_its_end() {
    let env = TestEnv::started();
    let mut watchers = [env.client("one"), env.client("two"), env.client("three")];
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"name": "ship", "subscribe": true}));
    ada.prompt(&session, "ask t1 ls");
    let permission = ada.permission(&session);
    for watcher in &mut watchers {
        let created =
            watcher.wait_for("the new session", |message| message["type"] == "session_notification");
        assert_eq!(
            (&created["session"]["id"], &created["session"]["name"]),
            (&json!(session), &json!("ship"))
        );
        assert_eq!(created["session"]["is_owner"], false);
        watcher.wait_for("its owner", |message| {
            message["type"] == "ownership_transferred" && message["new_owner_id"] == *ada.client_id
        });
        watcher.wait_for("that it needs approval", |message| {
            message["type"] == "session_updated" && message["session"]["state"] == "waiting_permission"
        });
    }
    ada.decide(&session, &permission, "allow_once");
    ada.fact(&session, "turn_ended");
    ada.ok("update_session", json!({"session_id": session, "name": "dock"}));
    ada.ok("kill_session", json!({"session_id": session}));
    for watcher in &mut watchers {
        watcher.wait_for("its new name", |message| {
            message["type"] == "session_updated" && message["session"]["name"] == "dock"
        });
        let removed = watcher.wait_for("its end", |message| message["type"] == "session_removed");
        assert_eq!((&removed["session_id"], &removed["reason"]), (&json!(session), &json!("killed")));
        assert!(watcher.stream(&session).is_empty(), "records are for subscribers");
    }
}

#[test]
fn is_owner_speaks_of_the_connection_that_reads() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let mut bob = env.client("bob");
    for (wire, owns) in [(&mut ada, true), (&mut bob, false)] {
        let list = wire.ok("list_sessions", json!({}));
        assert_eq!(list["sessions"][0]["is_owner"], owns);
        assert_eq!(list["sessions"][0]["owner_label"], "ada");
        assert_eq!(list["sessions"][0]["id"], *session);
    }
}

#[test]
fn subscribers_are_counted() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let mut bob = env.client("bob");
    bob.subscribe(&session, "end", "viewer");
    let info = ada.ok("get_session", json!({"session_id": session}))["session"].take();
    assert_eq!(info["subscriber_count"], 2);
}

#[test]
fn a_daemon_that_stops_tells_where_to_go_on() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "say last");
    ada.fact(&session, "turn_ended");
    env.daemon().terminate();
    let closing = ada.wait_for("the farewell", |message| message["type"] == "closing");
    assert_eq!(closing["reason"], "shutdown");
    let seen = ada.stream(&session).last().map(|record| record["seq"].clone());
    assert_eq!(Some(closing["resume_from"][&session]["seq"].clone()), seen);
    // Somebody has to be there to stop the agent.
    env.daemon();
}

#[test]
fn a_flood_is_told_to_the_list_at_most_four_times_a_second() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let mut watcher = env.client("watcher");
    watcher.ok("list_sessions", json!({}));
    let began = std::time::Instant::now();
    ada.prompt(&session, "chunks 2000 40 500 c");
    ada.fact(&session, "turn_ended");
    watcher.ok("list_sessions", json!({}));
    let told = watcher.inbox().iter().filter(|message| message["type"] == "session_updated").count();
    // One at once, one for each quarter second that began, and the two changes of state around the turn.
    let most = 4 + began.elapsed().as_millis() as usize / 250;
    assert!((1..=most).contains(&told), "{told} updates, at most {most} are due");
}

#[test]
fn the_preview_is_the_last_line_that_was_said() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "say first words");
    ada.fact(&session, "turn_ended");
    let preview =
        |ada: &mut Wire| ada.ok("get_session", json!({"session_id": session}))["session"]["preview"].take();
    assert_eq!(preview(&mut ada), "first words");
    ada.prompt(&session, "say second");
    ada.fact(&session, "turn_ended");
    assert_eq!(preview(&mut ada), "second", "a new answer begins anew");
}
