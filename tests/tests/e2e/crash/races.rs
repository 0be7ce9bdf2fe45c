//! Races, made certain by holding a program where they happen.

use serde_json::json;
use vibes_runner::points::Point;
use vibes_tests::{TestEnv, oracle, points::Hook, processes};

/// An environment whose daemon holds at a point.
fn held_at(point: Point, hit: Option<u32>) -> (TestEnv, Hook) {
    let env = TestEnv::new();
    let hook = Hook::holding(&env, point, hit);
    env.spawn_vibes(&["daemon", "start"], "", &hook.variables()).wait().ok();
    (env, hook)
}

/// How often the agents of an environment heard a text.
fn heard(env: &TestEnv, text: &str) -> usize {
    env.heard().iter().filter(|entry| entry.line.contains(text)).count()
}

cases! {
    fn fault_67_the_command_line_tries_again_when_the_daemon_died_before_its_answer() {
        let env = TestEnv::new();
        let session = env.run_fake("say first");
        env.vibes(&["wait", &session]).ok();
        env.daemon().kill9();
        // The first command that this daemon commits is the prompt.
        let hook = Hook::holding(&env, Point::CmdCommitted, Some(1));
        env.spawn_vibes(&["daemon", "start"], "", &hook.variables()).wait().ok();
        let send = env.spawn_vibes(&["send", "--wait", &session, "say once"], "", &[]);
        let held = hook.held();
        held.say("kill");
        send.wait().ok();
        assert!(!processes::alive(held.pid));
        assert_eq!(heard(&env, "say once"), 1, "one prompt only");
        let journals = oracle::check(&env);
        let inputs = journals[&session].iter().filter(|record| record["fact"]["kind"] == "input");
        assert_eq!(inputs.count(), 2);
    }
    fn fault_67_71_a_decision_that_is_committed_and_not_sent_is_sent_by_the_next_daemon_once() {
        let (env, hook) = held_at(Point::PermCommitted, Some(1));
        let mut ada = env.client("ada");
        let session = ada.create(&env, json!({"subscribe": true}));
        ada.prompt(&session, "ask t1 ls");
        let permission = ada.permission(&session);
        ada.ask("permission_response", json!({
            "session_id": session, "permission_id": permission["permission_id"], "hash": permission["hash"],
            "decision": "allow_once",
        }));
        let held = hook.held();
        assert_eq!(heard(&env, "selected"), 0, "nothing was sent yet");
        held.say("kill");
        ada.wait_closed();
        env.daemon();
        let mut again = env.client("ada");
        again.subscribe(&session, 0, "writer");
        again.said(&session, "answer t1 allow");
        assert_eq!(again.decide(&session, &permission, "reject_once")["code"], "ALREADY_DECIDED");
        assert_eq!(heard(&env, "selected"), 1);
        oracle::check(&env);
    }
    fn fault_66_two_creations_under_one_key_at_the_same_time_are_one_session() {
        let (env, hook) = held_at(Point::NewRow, None);
        let fields = json!({
            "agent": "fake", "cwd": env.work(), "env": env.client_env(), "wait_ready": true,
            "idempotency_key": "0f7b4c86-3f6e-4c55-9f0e-1c4a3f0b7a11",
        });
        let [mut ada, mut bob, mut eve] = ["ada", "bob", "eve"].map(|name| env.client(name));
        let first = ada.ask("create_session", fields.clone());
        let making = hook.held();
        let second = bob.ask("create_session", fields);
        let finding = hook.held();
        // The row is there and its session is not in the list. A daemon with two threads has one left, which answers
        // when the second creation has looked.
        finding.say("go");
        eve.ok("ping", json!({}));
        making.say("go");
        let first = ada.wait_for("the first session", |message| message["request_id"] == *first);
        let second = bob.wait_for("the second session", |message| message["request_id"] == *second);
        assert_eq!(first["type"], "session_created", "{first}");
        assert_eq!(second["session"]["id"], first["session"]["id"], "{second}");
    }
    fn fault_70_a_decision_while_a_stop_is_committed_reaches_nobody() {
        let (env, hook) = held_at(Point::CloseBegun, Some(1));
        let mut ada = env.client("ada");
        let session = ada.create(&env, json!({"subscribe": true}));
        ada.prompt(&session, "ask t1 ls");
        let permission = ada.permission(&session);
        let kill = ada.ask("kill_session", json!({"session_id": session}));
        let held = hook.held();
        let decision = ada.ask("permission_response", json!({
            "session_id": session, "permission_id": permission["permission_id"], "hash": permission["hash"],
            "decision": "allow_once",
        }));
        held.say("go");
        let refused = ada.wait_for("the decision's answer", |message| message["request_id"] == *decision);
        assert_eq!(refused["type"], "error", "{refused}");
        ada.wait_for("the end of the kill", |message| message["request_id"] == *kill);
        assert_eq!(heard(&env, "selected"), 0);
        oracle::check(&env);
    }
    fn fault_04_output_that_is_in_the_spool_when_its_runner_dies_is_kept_though_nobody_was_told() {
        let env = TestEnv::new();
        // The third time: what came before are the answers to the daemon's own first requests.
        let hook = Hook::holding(&env, Point::RunnerSpoolDone, Some(3));
        env.spawn_vibes(&["daemon", "start"], "", &hook.variables()).wait().ok();
        let mut ada = env.client("ada");
        let session = ada.create(&env, json!({"subscribe": true}));
        ada.prompt(&session, &format!("say last words\nsleep_until {}", env.path("never")));
        let held = hook.held();
        assert_eq!(ada.text(&session), "");
        held.say("kill");
        assert_eq!(ada.fact(&session, "turn_ended")["fact"]["outcome"], "unknown");
        assert_eq!(ada.text(&session), "last words");
        oracle::check(&env);
    }
}
