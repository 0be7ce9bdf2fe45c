//! The life of a session: prompts, turns, the queue, suspend and resume, names and metadata.

use serde_json::json;
use vibes_tests::{TestEnv, oracle};

#[test]
fn a_prompt_becomes_records_and_a_turn_that_ends() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    let session = wire.create(&env, json!({"subscribe": true}));
    let seq = wire.prompt(&session, "think hm\nsay hello");
    assert_eq!(wire.fact(&session, "turn_started")["fact"]["input_seq"], seq);
    let ended = wire.fact(&session, "turn_ended");
    assert_eq!(ended["fact"]["outcome"], "finished");
    assert_eq!(ended["fact"]["stop_reason"], "end_turn");
    assert_eq!(wire.text(&session), "hello");
    wire.state(&session, "idle");
    let journals = oracle::check(&env);
    oracle::check_stream(&session, wire.stream(&session), &journals[&session]);
    assert_eq!(wire.stream(&session)[0]["fact"]["kind"], "created", "joined from the start, in one step");
}

#[test]
fn a_replay_is_what_was_seen_live() {
    let env = TestEnv::started();
    let mut live = env.client("ada");
    let session = live.create(&env, json!({"subscribe": true}));
    live.prompt(&session, "chunks 500 64 0 a\ntool t1 look\nplan one;two\nunknown_update");
    live.fact(&session, "turn_ended");
    let mut late = env.client("bob");
    late.subscribe(&session, 0, "viewer");
    late.fact(&session, "turn_ended");
    let seen = live.stream(&session).len();
    assert_eq!(live.stream(&session), &late.stream(&session)[..seen]);
    assert_eq!(oracle::check_chunks(&session, late.stream(&session), "a"), 500);
    oracle::check(&env);
}

#[test]
fn a_subscription_begins_after_its_cursor() {
    let env = TestEnv::started();
    let mut live = env.client("ada");
    let session = live.create(&env, json!({"subscribe": true}));
    live.prompt(&session, "say one\nsay two");
    let ended = live.fact(&session, "turn_ended");
    let mut late = env.client("bob");
    late.subscribe(&session, 3, "viewer");
    late.fact(&session, "turn_ended");
    assert_eq!(late.stream(&session)[0]["seq"], 4);
    let mut end = env.client("eve");
    let joined = end.subscribe(&session, "end", "viewer");
    assert!(joined["head"].as_u64() >= ended["seq"].as_u64());
    live.prompt(&session, "say three");
    end.fact(&session, "turn_ended");
    assert_eq!(end.stream(&session)[0]["seq"].as_u64(), joined["head"].as_u64().map(|head| head + 1));
}

#[test]
fn the_first_prompt_may_come_with_the_session() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    let created = wire.ok("create_session", json!({
        "agent": "fake", "cwd": env.work(), "env": env.client_env(), "prompt": "say first", "subscribe": true,
    }));
    let session = created["session"]["id"].as_str().expect("a session has an id").to_owned();
    let seq = created["input_seq"].as_u64().expect("the prompt has a record");
    assert_eq!(wire.fact(&session, "turn_started")["fact"]["input_seq"], seq);
    wire.fact(&session, "turn_ended");
    assert_eq!(wire.text(&session), "first");
}

#[test]
fn prompts_wait_behind_a_running_turn_in_order() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    let session = wire.create(&env, json!({"subscribe": true}));
    let go = env.path("go");
    wire.prompt(&session, &format!("sleep_until {go}"));
    wire.fact(&session, "turn_started");
    let second = wire.prompt(&session, "say second");
    let third = wire.prompt(&session, "say third");
    std::fs::write(go, "").expect("a file can be made");
    for input in [second, third] {
        assert_eq!(wire.fact(&session, "turn_started")["fact"]["input_seq"], input);
    }
    wire.said(&session, "secondthird");
    let inputs = wire.stream(&session).iter().filter(|record| record["fact"]["kind"] == "input");
    let queued: Vec<bool> = inputs.map(|record| record["fact"]["queued"] == true).collect();
    assert_eq!(queued, [false, true, true]);
    oracle::check(&env);
}

#[test]
fn prompts_that_wait_are_changed_moved_and_removed_and_stay_so_when_the_daemon_is_killed() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, &format!("sleep_until {}", env.path("go")));
    ada.fact(&session, "turn_started");
    let seqs = ["say a", "say b", "say c", "say d"].map(|words| ada.prompt(&session, words).to_string());
    let [a, b, c, d] = seqs.each_ref().map(String::as_str);
    env.vibes(&["queue", "edit", &session, b, "say better"]).ok();
    env.vibes(&["queue", "move", &session, d, "1"]).ok();
    env.vibes(&["queue", "rm", &session, a, c]).ok();
    env.vibes(&["queue", "rm", &session, a]).exits(5);
    let listed = env.vibes(&["queue", "list", &session, "--json"]).ok().json();
    assert_eq!(listed[0]["input_seq"].to_string(), d);
    assert_eq!(listed[1]["content"][0]["text"], "say better");
    let table = env.vibes(&["queue", "ls", &session]).ok().stdout;
    assert_eq!(
        table.lines().nth(2).map(|line| line.split_whitespace().collect()),
        Some(vec!["2", b, "say", "better"])
    );

    env.daemon().kill9();
    env.daemon();
    assert_eq!(env.vibes(&["queue", "list", &session, "--json"]).ok().json(), listed);
    std::fs::write(env.path("go"), "").expect("a file can be made");
    let mut again = env.client("ada");
    again.subscribe(&session, 0, "writer");
    again.said(&session, "dbetter");
    again.rests(&session);
    assert_eq!(again.text(&session), "dbetter");
    oracle::check(&env);
}

#[test]
fn the_thirty_third_waiting_prompt_is_refused() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    let session = wire.create(&env, json!({"subscribe": true}));
    wire.prompt(&session, &format!("sleep_until {}", env.path("go")));
    wire.fact(&session, "turn_started");
    for n in 0..32 {
        wire.prompt(&session, &format!("say {n}"));
    }
    assert_eq!(wire.refused("input", json!({"session_id": session, "content": "say 33"})), "BUSY");
    assert_eq!(wire.ok("get_session", json!({"session_id": session}))["session"]["queued"], 32);
    std::fs::write(env.path("go"), "").expect("a file can be made");
    wire.said(&session, "31");
}

#[test]
fn now_interrupts_first() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    let session = wire.create(&env, json!({"subscribe": true}));
    wire.prompt(&session, &format!("sleep_until {}", env.path("never")));
    wire.fact(&session, "turn_started");
    wire.ok("input", json!({"session_id": session, "content": "say urgent", "now": true}));
    assert_eq!(wire.fact(&session, "turn_ended")["fact"]["outcome"], "interrupted");
    wire.said(&session, "urgent");
    oracle::check(&env);
}

#[test]
fn an_interrupt_ends_the_turn_and_keeps_session_and_queue() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    let session = wire.create(&env, json!({"subscribe": true}));
    wire.prompt(&session, &format!("sleep_until {}", env.path("never")));
    wire.fact(&session, "turn_started");
    wire.prompt(&session, "say after");
    wire.ok("interrupt", json!({"session_id": session}));
    let ended = wire.fact(&session, "turn_ended");
    assert_eq!(ended["fact"]["outcome"], "interrupted");
    wire.said(&session, "after");
    oracle::check(&env);
}

#[test]
fn what_a_turn_used_and_cost_is_kept() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    let session = wire.create(&env, json!({"subscribe": true}));
    wire.prompt(&session, "usage 10 20\ncost 0.5");
    let ended = wire.fact(&session, "turn_ended");
    assert_eq!(ended["fact"]["usage"]["input_tokens"], 10);
    assert_eq!(ended["fact"]["usage"]["output_tokens"], 20);
    let info = wire.ok("get_session", json!({"session_id": session}));
    assert_eq!(info["session"]["cost"], json!({"amount": 0.5, "currency": "USD"}));
}

#[test]
fn a_turn_that_the_agent_refuses_has_failed_and_the_session_goes_on() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    let session = wire.create(&env, json!({"subscribe": true}));
    wire.prompt(&session, "error -32603 the model is overloaded");
    let ended = wire.fact(&session, "turn_ended");
    assert_eq!(ended["fact"]["outcome"], "failed");
    let error = ended["fact"]["error"].as_str().expect("a failure has words");
    assert!(error.contains("the model is overloaded"), "{error}");
    wire.prompt(&session, "say still here");
    wire.said(&session, "still here");
}

#[test]
fn fault_66_the_same_idempotency_key_is_the_same_input() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    let session = wire.create(&env, json!({"subscribe": true}));
    let input = json!({"session_id": session, "content": "say once", "idempotency_key": "k1"});
    let ids = [wire.ask("input", input.clone()), wire.ask("input", input)];
    let mut seqs =
        ids.map(|id| wire.wait_for("both answers", |message| message["request_id"] == *id)["seq"].take());
    let mut other = env.client("ada again");
    let again = json!({"session_id": session, "content": "say once", "idempotency_key": "k1"});
    assert_eq!(other.ok("input", again)["seq"], seqs[0]);
    assert_eq!(seqs[0].take(), seqs[1].take());
    wire.fact(&session, "turn_ended");
    assert_eq!(wire.text(&session), "once");
    oracle::check(&env);
}

#[test]
fn a_session_is_found_by_name_and_by_prefix() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    let session = wire.create(&env, json!({"name": "ship"}));
    for key in ["ship", &session[..8], &session] {
        let found = wire.ok("get_session", json!({"session_id": key}));
        assert_eq!(found["session"]["id"], *session);
    }
    assert_eq!(wire.refused("get_session", json!({"session_id": "nope"})), "SESSION_NOT_FOUND");
    let twin = json!({"agent": "fake", "cwd": env.work(), "name": "ship"});
    assert_eq!(wire.refused("create_session", twin), "BAD_REQUEST");
    let odd = json!({"agent": "fake", "cwd": env.work(), "name": "../x"});
    assert_eq!(wire.refused("create_session", odd), "BAD_REQUEST");
}

#[test]
fn an_agent_nobody_has_is_not_found() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    let fields = json!({"agent": "no-such-agent", "cwd": env.work()});
    assert_eq!(wire.refused("create_session", fields), "AGENT_NOT_FOUND");
    let fields = json!({"agent": "fake", "cwd": "relative"});
    assert_eq!(wire.refused("create_session", fields), "BAD_REQUEST");
}

#[test]
fn metadata_changes_only_on_the_version_it_was_read_at() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    let session = wire.create(&env, json!({"description": "old"}));
    let version = wire.ok("get_session", json!({"session_id": session}))["session"]["version"].take();
    let change = json!({"session_id": session, "version": version, "name": "dock", "description": null});
    wire.ok("update_session", change.clone());
    assert_eq!(wire.refused("update_session", change), "VERSION_CONFLICT");
    let info = wire.ok("get_session", json!({"session_id": "dock"}));
    assert_eq!(info["session"]["description"], json!(null));
}

#[test]
fn a_suspended_session_goes_on_with_its_conversation() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    let session = wire.create(&env, json!({"subscribe": true}));
    wire.ok("suspend_session", json!({"session_id": session}));
    let info = wire.state(&session, "suspended");
    assert_eq!((&info["reason"], &info["link"]), (&json!("user"), &json!("none")));
    wire.ok("resume_session", json!({"session_id": session, "env": env.client_env()}));
    wire.state(&session, "idle");
    wire.prompt(&session, "say back");
    wire.said(&session, "back");
    assert!(
        env.heard().iter().any(|entry| entry.line.contains("session/resume")),
        "resume is preferred to load"
    );
    oracle::check(&env);
}

#[test]
fn input_resumes_a_session_that_a_person_suspended() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    let session = wire.create(&env, json!({"subscribe": true}));
    wire.ok("suspend_session", json!({"session_id": session}));
    wire.state(&session, "suspended");
    wire.prompt(&session, "say awake");
    wire.said(&session, "awake");
    oracle::check(&env);
}

#[test]
fn a_running_turn_is_not_suspended_unless_asked() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    let session = wire.create(&env, json!({"subscribe": true}));
    wire.prompt(&session, &format!("sleep_until {}", env.path("never")));
    wire.fact(&session, "turn_started");
    assert_eq!(wire.refused("suspend_session", json!({"session_id": session})), "INVALID_STATE");
    wire.ok("suspend_session", json!({"session_id": session, "now": true}));
    assert_eq!(wire.fact(&session, "turn_ended")["fact"]["outcome"], "interrupted");
    wire.state(&session, "suspended");
}

#[test]
fn a_finished_session_leaves_the_list_and_stays_readable() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    let session = wire.create(&env, json!({"subscribe": true}));
    wire.prompt(&session, "say done");
    wire.fact(&session, "turn_ended");
    wire.ok("finish_session", json!({"session_id": session}));
    let removed = wire.wait_for("the notice of the end", |message| message["type"] == "session_removed");
    assert_eq!(removed["reason"], "session_finished");
    let list = wire.ok("list_sessions", json!({}));
    assert_eq!((&list["sessions"], &list["ended"]), (&json!([]), &json!(1)));
    let all = wire.ok("list_sessions", json!({"include_ended": true}));
    assert_eq!(all["sessions"][0]["state"], "finished");
    assert!(oracle::check(&env)[&session].len() > 3);
}

#[test]
fn once_finishes_after_its_turn() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    let session = wire.create(&env, json!({"subscribe": true, "once": true, "prompt": "say only this"}));
    wire.fact(&session, "turn_ended");
    wire.state(&session, "finished");
    env.runner_gone(&session);
}

#[test]
fn a_deleted_session_can_be_taken_back() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    let session = wire.create(&env, json!({}));
    wire.ok("kill_session", json!({"session_id": session}));
    wire.ok("delete_session", json!({"session_id": session}));
    let all = wire.ok("list_sessions", json!({"include_ended": true}));
    assert_eq!(all["sessions"], json!([]));
    wire.ok("undelete_session", json!({"session_id": session}));
    let all = wire.ok("list_sessions", json!({"include_ended": true}));
    assert_eq!(all["sessions"][0]["id"], *session);
}

#[test]
fn an_option_reaches_the_agent() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    let session = wire.create(&env, json!({"subscribe": true}));
    wire.ok("set_option", json!({"session_id": session, "option_id": "mode", "value": "auto"}));
    wire.fact(&session, "option_set");
    assert!(env.heard().iter().any(|entry| entry.line.contains("session/set_mode")));
    let info = wire.ok("get_session", json!({"session_id": session}));
    assert_eq!(info["session"]["options"]["mode"], "auto");
}

#[test]
fn a_list_is_paged_newest_activity_first() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    let ids = [(); 5].map(|()| wire.create(&env, json!({})));
    wire.subscribe(&ids[0], "end", "writer");
    wire.prompt(&ids[0], "say newest");
    wire.fact(&ids[0], "turn_ended");
    let mut seen = Vec::new();
    let mut page = wire.ok("list_sessions", json!({"limit": 2}));
    loop {
        let ids = page["sessions"].as_array().into_iter().flatten().map(|session| session["id"].to_string());
        seen.extend(ids);
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        page = wire.ok("list_sessions", json!({"limit": 2, "cursor": cursor}));
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
    assert_eq!(seen[0], format!("{:?}", ids[0]));
}
