//! Sessions that have ended and that nobody holds: the daemon has nothing of them in memory, and nobody notices.
//!
//! Invariant: a daemon that was started after they ended has read none of them before it is asked.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use vibes_tests::{TestEnv, Wire, oracle};

/// A session that said something and ended, under these names.
fn ended(env: &TestEnv, wire: &mut Wire, name: &str, verb: &str) -> String {
    let session = wire.create(env, json!({"subscribe": true, "name": name}));
    wire.prompt(&session, &format!("say words of {name}"));
    wire.said(&session, &format!("words of {name}"));
    wire.rests(&session);
    wire.ok(verb, json!({"session_id": session}));
    // Its seat is given up, and that is recorded.
    wire.ok("unsubscribe", json!({"session_ids": [session]}));
    session
}

fn listed(wire: &mut Wire, fields: Value) -> Vec<String> {
    let list = wire.ok("list_sessions", fields);
    let ids = list["sessions"].as_array().into_iter().flatten();
    ids.filter_map(|session| session["id"].as_str().map(str::to_owned)).collect()
}

/// What a session tells of itself, its link and the like included.
fn told(wire: &mut Wire, session: &str) -> Value {
    wire.ok("get_session", json!({"session_id": session}))["session"].take()
}

#[test]
fn after_a_restart_ended_sessions_answer_as_before_and_are_resumed() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let killed = ended(&env, &mut ada, "one", "kill_session");
    let finished = ended(&env, &mut ada, "two", "finish_session");
    let whole = [told(&mut ada, &killed), told(&mut ada, &finished)];
    drop(ada);
    env.daemon().terminate();
    env.daemon();
    let mut bob = env.client("bob");
    let list = bob.ok("list_sessions", json!({}));
    assert_eq!((&list["ended"], &list["sessions"]), (&json!(2), &json!([])));
    let all = bob.ok("list_sessions", json!({"include_ended": true}));
    assert_eq!(all["sessions"], json!([whole[1], whole[0]]), "from the store, as from memory");
    assert_eq!(listed(&mut bob, json!({"states": ["killed"]})), [killed.as_str()]);
    assert_eq!(
        listed(&mut bob, json!({"include_ended": true, "search": "words of two"})),
        [finished.as_str()]
    );
    assert_eq!(told(&mut bob, "one"), whole[0], "by its name");
    assert_eq!(told(&mut bob, &finished[..9]), whole[1], "by the beginning of its id");
    // Both have a task again.
    let list = bob.ok("list_sessions", json!({}));
    assert_eq!(list["ended"], 2, "each counts once");
    assert_eq!(listed(&mut bob, json!({"include_ended": true})), [finished.as_str(), killed.as_str()]);
    bob.ok("resume_session", json!({"session_id": "two"}));
    bob.subscribe(&finished, 0, "writer");
    bob.prompt(&finished, "say back again");
    bob.said(&finished, "back again");
    assert_eq!(bob.ok("list_sessions", json!({}))["ended"], 1);
    oracle::check(&env);
}

#[test]
fn ended_sessions_are_listed_page_by_page_in_order() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let mut sessions: Vec<String> =
        (0..7).map(|number| ended(&env, &mut ada, &format!("s{number}"), "kill_session")).collect();
    sessions.reverse();
    drop(ada);
    env.daemon().terminate();
    env.daemon();
    let mut bob = env.client("bob");
    let mut kept: BTreeSet<String> = BTreeSet::new();
    // Some of them have a task and some have none.
    for session in sessions.iter().step_by(3) {
        told(&mut bob, session);
        kept.insert(session.clone());
    }
    let (mut seen, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let page = bob.ok("list_sessions", json!({"include_ended": true, "limit": 2, "cursor": cursor}));
        let ids = page["sessions"].as_array().into_iter().flatten();
        seen.extend(ids.filter_map(|session| session["id"].as_str().map(str::to_owned)));
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
        assert_eq!(page["sessions"].as_array().map(Vec::len), Some(2), "a page is full when another follows");
    }
    assert_eq!(seen, sessions);
}

#[test]
fn names_and_prefixes_of_resting_sessions_are_found_by_the_same_rules() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let older = ended(&env, &mut ada, "build", "kill_session");
    let newer = ended(&env, &mut ada, "build", "kill_session");
    drop(ada);
    env.daemon().terminate();
    env.daemon();
    let mut bob = env.client("bob");
    assert_eq!(told(&mut bob, "build")["id"], *newer, "of ended ones the last active");
    let living = bob.create(&env, json!({"name": "build"}));
    assert_eq!(told(&mut bob, "build")["id"], *living, "a living one wins");
    let refused = bob.request("resume_session", json!({"session_id": older}));
    assert_eq!(refused["code"], "BAD_REQUEST", "{refused}: the name was given away");
    assert_eq!(bob.refused("get_session", json!({"session_id": "nothing"})), "SESSION_NOT_FOUND");
    assert_eq!(bob.refused("get_session", json!({"session_id": ""})), "SESSION_NOT_FOUND");
    // Sixteen and one more begin alike, some of them.
    let mut all = vec![older, newer, living];
    while all.len() < 17 {
        all.push(bob.create(&env, json!({})));
    }
    let twice = all.iter().find(|id| all.iter().filter(|other| other[..1] == id[..1]).count() > 1);
    let first = &twice.expect("there are sixteen digits")[..1];
    let fitting = all.iter().filter(|id| id.starts_with(first)).count();
    let error = bob.request("get_session", json!({"session_id": first}));
    assert_eq!(error["code"], "AMBIGUOUS_ID");
    assert!(error["message"].as_str().unwrap_or("").contains(&format!("fits {fitting} sessions")), "{error}");
}

#[test]
fn keys_and_deletion_of_resting_sessions_last() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let made = json!({"idempotency_key": "make", "name": "kept"});
    let session = ada.create(&env, made.clone());
    let input = json!({"session_id": session, "content": "say once", "idempotency_key": "say"});
    let first = ada.ok("input", input.clone());
    ada.subscribe(&session, 0, "writer");
    ada.said(&session, "once");
    ada.rests(&session);
    ada.ok("suspend_session", json!({"session_id": session}));
    ada.ok("delete_session", json!({"session_id": session}));
    ada.ok("unsubscribe", json!({"session_ids": [session]}));
    let ended = ended(&env, &mut ada, "gone", "kill_session");
    ada.ok("delete_session", json!({"session_id": ended}));
    drop(ada);
    env.daemon().terminate();
    env.daemon();
    let mut bob = env.client("bob");
    assert_eq!(listed(&mut bob, json!({"include_ended": true})), [] as [&str; 0]);
    assert_eq!(bob.ok("list_sessions", json!({}))["ended"], 0);
    let refused = bob.request("create_session", json!({"agent": "fake", "cwd": env.work(), "name": "kept"}));
    assert_eq!(refused["code"], "BAD_REQUEST", "it has not ended and keeps its name: {refused}");
    assert_eq!(bob.create(&env, made), session, "the same key is the same session");
    assert_eq!(bob.ok("input", input)["seq"], first["seq"], "the same key is the same prompt");
    bob.ok("undelete_session", json!({"session_id": session}));
    bob.ok("undelete_session", json!({"session_id": ended}));
    assert_eq!(listed(&mut bob, json!({})), [session.as_str()]);
    assert_eq!(bob.ok("list_sessions", json!({}))["ended"], 1);
    bob.subscribe(&session, "end", "writer");
    bob.prompt(&session, "say onward");
    bob.said(&session, "onward");
    oracle::check(&env);
}

#[test]
fn sessions_of_a_store_that_knew_no_rest_are_read_once_more() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ended(&env, &mut ada, "old", "kill_session");
    let whole = told(&mut ada, &session);
    drop(ada);
    env.daemon().terminate();
    env.as_of_schema(1);
    env.daemon();
    let mut bob = env.client("bob");
    assert_eq!(told(&mut bob, "old"), whole);
    assert_eq!(bob.ok("list_sessions", json!({}))["ended"], 1);
    drop(bob);
    env.daemon().terminate();
    let store = rusqlite::Connection::open(env.state().store()).expect("the store can be opened");
    let rests: (i64, String) = store
        .query_row("SELECT rest, name FROM session WHERE id = ?1", [&session], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .expect("its row is there");
    assert_eq!(rests, (1, "old".to_owned()), "the next start reads it no more");
}
