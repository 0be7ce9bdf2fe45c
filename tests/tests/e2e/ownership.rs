//! Who owns a session: joins, leaves, transfers, graces, orphans.

use serde_json::{Value, json};
use vibes_tests::{TestEnv, Wire};

/// Waits until a client is told who owns the session.
#[track_caller]
fn owner(wire: &mut Wire, session: &str, owner: &str) -> Value {
    wire.wait_for(&format!("{owner} owns {session}"), |message| {
        message["type"] == "ownership_transferred"
            && message["session_id"] == session
            && message["new_owner_id"] == owner
    })
}

#[track_caller]
fn owner_now(wire: &mut Wire, session: &str) -> Value {
    wire.ok("get_session", json!({"session_id": session}))["session"]["owner_id"].take()
}

#[test]
fn a_session_that_nobody_joined_is_vacant() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({}));
    ada.prompt(&session, "say hi");
    assert_eq!(owner_now(&mut ada, &session), json!(null), "only subscribe joins");
}

#[test]
fn the_first_writer_owns_and_a_viewer_never_does() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({}));
    let mut viewer = env.client("viewer");
    viewer.subscribe(&session, "end", "viewer");
    assert_eq!(owner_now(&mut ada, &session), json!(null));
    ada.subscribe(&session, "end", "writer");
    assert_eq!(owner_now(&mut ada, &session), *ada.client_id);
    let ada_id = ada.client_id.clone();
    assert_eq!(owner(&mut ada, &session, &ada_id)["you_are_owner"], true);
    assert_eq!(owner(&mut viewer, &session, &ada_id)["you_are_owner"], false);
}

#[test]
fn when_the_owner_drops_the_longest_standing_writer_owns() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let mut viewer = env.client("viewer");
    viewer.subscribe(&session, "end", "viewer");
    let mut bob = env.client("bob");
    bob.subscribe(&session, "end", "writer");
    let mut eve = env.client("eve");
    eve.subscribe(&session, "end", "writer");
    drop(ada);
    let bob_id = bob.client_id.clone();
    assert_eq!(owner(&mut bob, &session, &bob_id)["you_are_owner"], true);
    owner(&mut eve, &session, &bob_id);
    owner(&mut viewer, &session, &bob_id);
    let changed = bob.wait_for("the record of it", |message| {
        message["fact"]["kind"] == "ownership_changed" && message["fact"]["cause"] == "left"
    });
    assert_eq!(changed["fact"]["owner_id"], *bob_id);
}

#[test]
fn with_only_viewers_left_the_session_is_vacant() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let mut viewer = env.client("viewer");
    viewer.subscribe(&session, "end", "viewer");
    drop(ada);
    viewer.wait_for("vacancy", |message| {
        message["type"] == "ownership_transferred" && message["new_owner_id"].is_null()
    });
}

#[test]
fn an_owner_that_unsubscribes_hands_over_and_may_come_back() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let mut bob = env.client("bob");
    bob.subscribe(&session, "end", "writer");
    ada.ok("unsubscribe", json!({"session_ids": [session]}));
    let bob_id = bob.client_id.clone();
    owner(&mut bob, &session, &bob_id);
    ada.subscribe(&session, "end", "writer");
    assert_eq!(owner_now(&mut ada, &session), *bob_id, "joining takes nothing");
}

#[test]
fn the_owner_transfers_to_a_writer() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let mut bob = env.client("bob");
    bob.subscribe(&session, "end", "writer");
    let to_bob = json!({"session_id": session, "new_owner_id": bob.client_id});
    assert_eq!(bob.refused("transfer_ownership", to_bob.clone()), "NOT_OWNER");
    ada.ok("transfer_ownership", to_bob);
    let bob_id = bob.client_id.clone();
    assert_eq!(owner(&mut bob, &session, &bob_id)["you_are_owner"], true);
}

#[test]
fn ownership_is_not_given_to_strangers_and_viewers() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let stranger = env.client("stranger");
    let mut viewer = env.client("viewer");
    viewer.subscribe(&session, "end", "viewer");
    for client in [&stranger, &viewer] {
        let fields = json!({"session_id": session, "new_owner_id": client.client_id});
        let answer = ada.request("transfer_ownership", fields);
        assert_eq!(answer["type"], "error", "{answer}");
    }
    assert_eq!(owner_now(&mut ada, &session), *ada.client_id);
}

#[test]
fn a_writer_takes_ownership() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let mut bob = env.client("bob");
    bob.subscribe(&session, "end", "writer");
    bob.ok("take_ownership", json!({"session_id": session}));
    let bob_id = bob.client_id.clone();
    assert_eq!(owner(&mut ada, &session, &bob_id)["you_are_owner"], false);
}

#[test]
fn who_lists_members_in_join_order() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let mut bob = env.client("bob");
    bob.subscribe(&session, "end", "viewer");
    let members = ada.ok("who", json!({"session_id": session}))["members"].take();
    let seats: Vec<_> =
        members.as_array().into_iter().flatten().map(|member| member["identity"].clone()).collect();
    assert_eq!(seats, ["ada", "bob"]);
    assert_eq!((&members[0]["is_you"], &members[0]["is_owner"]), (&json!(true), &json!(true)));
    assert_eq!((&members[1]["role"], &members[1]["is_owner"]), (&json!("viewer"), &json!(false)));
}

#[test]
fn within_its_grace_an_owner_that_comes_back_is_still_the_owner() {
    let env = TestEnv::started();
    let mut ada = env.connect();
    ada.hello(json!({"identity": "ada", "grace_ms": 60_000}));
    let session = ada.create(&env, json!({"subscribe": true}));
    let mut bob = env.client("bob");
    bob.subscribe(&session, "end", "writer");
    let (id, token) = (ada.client_id.clone(), ada.resume_token.clone());
    drop(ada);
    vibes_tests::eventually("ada's connection is gone and her place is kept", || {
        let members = bob.ok("who", json!({"session_id": session}))["members"].take();
        let ada = members.as_array()?.iter().find(|member| member["client_id"] == *id)?;
        (ada["connected"] == false && ada["is_owner"] == true).then_some(())
    });
    let mut again = env.connect();
    let hello = json!({"identity": "ada", "grace_ms": 60_000, "client_id": id, "resume_token": token});
    assert_eq!(again.hello(hello)["client_id"], *id);
    again.subscribe(&session, "end", "writer");
    let members = again.ok("who", json!({"session_id": session}))["members"].take();
    assert_eq!((&members[0]["client_id"], &members[0]["is_owner"]), (&json!(id), &json!(true)));
}

#[test]
fn a_wrong_resume_token_makes_another_client() {
    let env = TestEnv::started();
    let ada = env.client("ada");
    let mut liar = env.connect();
    let hello = json!({
        "protocol": 1, "client": {"name": "test", "version": "1", "kind": "script"}, "client_id": ada.client_id,
        "resume_token": "wrong",
    });
    let answer = liar.request("hello", hello);
    assert!(answer["type"] == "error" || answer["client_id"] != *ada.client_id, "{answer}");
}

#[test]
fn an_owner_keeps_its_place_over_a_restart_of_the_daemon() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let mut bob = env.client("bob");
    bob.subscribe(&session, "end", "writer");
    env.daemon().kill9();
    env.daemon();
    let mut bob_again = env.connect();
    bob_again.hello(json!({"client_id": bob.client_id, "resume_token": bob.resume_token}));
    bob_again.subscribe(&session, "end", "writer");
    assert_eq!(owner_now(&mut bob_again, &session), *ada.client_id, "a restart is not a leave");
    let mut ada_again = env.connect();
    ada_again.hello(json!({"client_id": ada.client_id, "resume_token": ada.resume_token}));
    ada_again.subscribe(&session, "end", "writer");
    assert_eq!(owner_now(&mut ada_again, &session), *ada.client_id);
}

#[test]
fn an_orphan_with_policy_keep_goes_on_without_an_owner() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true, "orphan_policy": "keep"}));
    let mut watch = env.client("watch");
    watch.ok("ping", json!({}));
    drop(ada);
    watch.wait_for("vacancy", |message| {
        message["type"] == "ownership_transferred" && message["new_owner_id"].is_null()
    });
    let info = watch.ok("get_session", json!({"session_id": session}))["session"].take();
    assert_eq!((&info["state"], &info["link"]), (&json!("idle"), &json!("live")));
}

#[test]
fn an_orphan_with_policy_suspend_is_suspended_after_its_turn() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true, "orphan_policy": "suspend"}));
    ada.prompt(&session, &format!("sleep_until {}\nsay done", env.path("go")));
    ada.fact(&session, "turn_started");
    drop(ada);
    let mut watch = env.client("watch");
    std::fs::write(env.path("go"), "").expect("a file can be made");
    assert_eq!(watch.state(&session, "suspended")["reason"], "orphan");
    watch.subscribe(&session, 0, "viewer");
    assert_eq!(watch.fact(&session, "turn_ended")["fact"]["outcome"], "finished", "once idle, not before");
    env.runner_gone(&session);
}

#[test]
fn an_orphan_with_policy_remove_is_removed_for_every_client() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true, "orphan_policy": "remove"}));
    let mut watch = env.client("watch");
    watch.ok("ping", json!({}));
    drop(ada);
    let removed = watch.wait_for("the notice", |message| message["type"] == "session_removed");
    assert_eq!((&removed["session_id"], &removed["reason"]), (&json!(session), &json!("owner_disconnected")));
    env.runner_gone(&session);
}

#[test]
fn an_orphan_policy_is_armed_by_the_first_join() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"orphan_policy": "remove"}));
    ada.prompt(&session, "say alone");
    drop(ada);
    let mut watch = env.client("watch");
    let info = watch.ok("get_session", json!({"session_id": session}));
    assert_ne!(info["session"]["state"], "killed", "nobody had joined");
}

#[test]
fn a_grace_that_runs_out_is_a_leave() {
    let env = TestEnv::started();
    let mut ada = env.connect();
    ada.hello(json!({"identity": "ada", "grace_ms": 300}));
    let session = ada.create(&env, json!({"subscribe": true}));
    let mut bob = env.client("bob");
    bob.subscribe(&session, "end", "writer");
    drop(ada);
    let bob_id = bob.client_id.clone();
    assert_eq!(owner(&mut bob, &session, &bob_id)["you_are_owner"], true);
}

#[test]
fn a_client_that_misses_its_heartbeats_is_a_leave() {
    let env = TestEnv::started();
    let mut ada = env.connect();
    ada.hello(json!({"identity": "ada", "heartbeat_ms": 100}));
    let session = ada.create(&env, json!({"subscribe": true}));
    let mut bob = env.client("bob");
    bob.subscribe(&session, "end", "writer");
    // Ada's connection stays open and says nothing more.
    let bob_id = bob.client_id.clone();
    owner(&mut bob, &session, &bob_id);
    ada.wait_for("pings before the end", |message| message["type"] == "ping");
    ada.wait_for("she is told why", |message| message["type"] == "closing" && message["reason"] == "silent");
}

#[test]
fn a_person_beside_the_owners_seat_hands_over_for_it() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let mut bob = env.client("bob");
    bob.subscribe(&session, "end", "writer");
    let mut beside = env.client("ada");
    let stranger = env
        .client("eve")
        .refused("transfer_ownership", json!({"session_id": session, "new_owner_id": bob.client_id}));
    assert_eq!(stranger, "NOT_OWNER");
    beside.ok("transfer_ownership", json!({"session_id": session, "new_owner_id": bob.client_id}));
    let bob_id = bob.client_id.clone();
    assert_eq!(owner(&mut bob, &session, &bob_id)["you_are_owner"], true);
    assert_eq!(owner(&mut ada, &session, &bob_id)["you_are_owner"], false);
}
