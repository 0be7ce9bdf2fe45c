//! A session that rests is let go and read back: what is asked of it meanwhile, and death in the middle of either.

use serde_json::{Value, json};
use vibes_runner::points::Point;
use vibes_tests::{TestEnv, Wire, oracle, points::Hook, processes};

/// A session that has ended and was left.
fn ended(env: &TestEnv) -> String {
    let mut ada = env.client("ada");
    let session = ada.create(env, json!({"subscribe": true, "name": "old"}));
    ada.prompt(&session, "say words");
    ada.said(&session, "words");
    ada.rests(&session);
    ada.ok("kill_session", json!({"session_id": session}));
    // Its seat is given up, and that is recorded.
    ada.ok("unsubscribe", json!({"session_ids": [session]}));
    session
}

/// A daemon that does something at a point.
fn armed(env: &TestEnv, hook: &Hook) {
    env.spawn_vibes(&["daemon", "start"], "", &hook.variables()).wait().ok();
}

fn killing(env: &TestEnv, point: Point) -> Hook {
    Hook::killing(env, point, 1, |_| {})
}

/// It can be resumed, and has one agent then.
#[track_caller]
fn resumed(env: &TestEnv, wire: &mut Wire, session: &str) {
    wire.ok("resume_session", json!({"session_id": session}));
    wire.subscribe(session, 0, "writer");
    wire.prompt(session, "say again");
    wire.said(session, "again");
    let starts = env.heard().into_iter().filter(|entry| entry.kind == "start");
    assert_eq!(starts.count(), 2, "its agent was started, and started again");
    oracle::check(env);
}

cases! {
    fn turns_of_a_session_that_rests_are_told_without_waking_it() {
        let env = TestEnv::started();
        let session = ended(&env);
        env.daemon().terminate();
        let hook = killing(&env, Point::Woken);
        armed(&env, &hook);
        for named in [session.as_str(), &session[..8], "old"] {
            let turns = env.vibes(&["runs", named, "--json"]).ok().json();
            assert_eq!((&turns[0]["prompt"], turns.as_array().map(Vec::len)), (&json!("say words"), Some(1)));
        }
        // The next one that asks for the session itself wakes it, and the daemon dies.
        env.client("eve").try_request("get_session", json!({"session_id": session}));
        hook.held();
        env.daemon();
        oracle::check(&env);
    }

    fn fault_01_killed_when_a_session_is_let_go() {
        let env = TestEnv::new();
        let hook = killing(&env, Point::Retired);
        armed(&env, &hook);
        let session = ended(&env);
        hook.held();
        env.daemon();
        resumed(&env, &mut env.client("bob"), &session);
    }
    fn fault_01_killed_when_a_session_is_read_back() {
        let env = TestEnv::started();
        let session = ended(&env);
        env.daemon().terminate();
        let hook = killing(&env, Point::Woken);
        armed(&env, &hook);
        let mut bob = env.connect();
        assert_eq!(bob.try_request("get_session", json!({"session_id": session})), None);
        hook.held();
        env.daemon();
        resumed(&env, &mut env.client("bob"), &session);
    }
    fn what_is_asked_of_a_session_while_its_task_goes_is_answered_by_the_next_one() {
        let env = TestEnv::new();
        let hook = Hook::holding(&env, Point::Retired, Some(1));
        armed(&env, &hook);
        let session = ended(&env);
        let held = hook.held();
        let mut bob = env.client("bob");
        assert_eq!(bob.ok("list_sessions", json!({}))["ended"], 1);
        assert_eq!(bob.ok("get_session", json!({"session_id": "old"}))["session"]["id"], *session);
        assert_eq!(bob.ok("list_sessions", json!({}))["ended"], 1);
        held.say("go");
        resumed(&env, &mut bob, &session);
    }
    fn a_crowd_wakes_a_session_once() {
        let env = TestEnv::started();
        let session = ended(&env);
        env.daemon().terminate();
        let hook = Hook::holding(&env, Point::Woken, None);
        armed(&env, &hook);
        let mut crowd: Vec<Wire> = (0..6).map(|_| env.connect()).collect();
        let asked: Vec<String> =
            crowd.iter_mut().map(|wire| wire.ask("resume_session", json!({"session_id": session}))).collect();
        let held = hook.held();
        assert!(processes::alive(held.pid));
        held.say("go");
        let mut answers: Vec<Value> = Vec::new();
        for (wire, id) in crowd.iter_mut().zip(asked) {
            answers.push(wire.wait_for("an answer", |message| message["request_id"] == *id));
        }
        let good = answers.iter().filter(|answer| answer["type"] == "ok").count();
        assert_eq!(good, 1, "one of them has resumed it: {answers:#?}");
        assert_eq!(hook.came_by(), None, "it was read back once");
        let mut bob = env.client("bob");
        bob.subscribe(&session, 0, "writer");
        bob.prompt(&session, "say again");
        bob.said(&session, "again");
        oracle::check(&env);
    }
}
