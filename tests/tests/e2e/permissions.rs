//! Approvals: asked, answered once, bound to what was shown.

use serde_json::json;
use vibes_tests::{TestEnv, oracle};

#[test]
fn a_request_shows_what_will_run_and_an_answer_reaches_the_agent() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "ask t1 rm -r build");
    let permission = ada.permission(&session);
    assert_eq!(permission["raw_input"], json!({"command": "rm -r build"}));
    assert_eq!(permission["cwd"], env.work());
    assert_eq!(
        permission["options"][0],
        json!({"option_id": "allow", "kind": "allow_once", "name": "Allow"})
    );
    let info = ada.state(&session, "waiting_permission");
    assert_eq!(info["pending_permissions"][0]["permission_id"], permission["permission_id"]);
    assert_eq!(ada.decide(&session, &permission, "allow_once")["type"], "ok");
    ada.said(&session, "answer t1 allow");
    let resolved = ada.fact(&session, "permission_resolved");
    assert_eq!(
        (&resolved["fact"]["outcome"], &resolved["fact"]["option_id"]),
        (&json!("allowed"), &json!("allow"))
    );
    assert_eq!(resolved["fact"]["by"]["label"], "ada");
    oracle::check(&env);
}

#[test]
fn a_denial_reaches_the_agent_and_the_turn_goes_on() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "ask t1 rm\nsay onward");
    let permission = ada.permission(&session);
    ada.decide(&session, &permission, "reject_once");
    ada.said(&session, "answer t1 rejectonward");
    assert_eq!(ada.fact(&session, "permission_resolved")["fact"]["outcome"], "denied");
}

#[test]
fn an_option_is_picked_by_its_id_too() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "ask t1 ls");
    let permission = ada.permission(&session);
    let answer = json!({
        "session_id": session, "permission_id": permission["permission_id"], "hash": permission["hash"],
    });
    let with = |option: &str| {
        let mut answer = answer.clone();
        answer["option_id"] = option.into();
        answer
    };
    assert_eq!(ada.refused("permission_response", with("no-such-option")), "BAD_REQUEST");
    assert_eq!(ada.refused("permission_response", answer.clone()), "BAD_REQUEST");
    ada.ok("permission_response", with("always"));
    ada.said(&session, "answer t1 always");
}

#[test]
fn fault_70_a_second_answer_is_already_decided() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "ask t1 ls");
    let permission = ada.permission(&session);
    ada.decide(&session, &permission, "allow_once");
    ada.fact(&session, "turn_ended");
    assert_eq!(ada.decide(&session, &permission, "allow_once")["code"], "ALREADY_DECIDED");
    oracle::check(&env);
}

#[test]
fn fault_70_an_answer_to_something_else_than_was_shown_is_refused() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let other = ada.create(&env, json!({}));
    ada.prompt(&session, "ask t1 ls");
    let permission = ada.permission(&session);
    let mut wrong = permission.clone();
    wrong["hash"] = "00".repeat(32).into();
    assert_eq!(ada.decide(&session, &wrong, "allow_once")["type"], "error");
    assert_eq!(ada.decide(&other, &permission, "allow_once")["code"], "PERMISSION_NOT_PENDING");
    let mut unknown = permission.clone();
    unknown["permission_id"] = "nobody-asked".into();
    assert_eq!(ada.decide(&session, &unknown, "allow_once")["code"], "PERMISSION_NOT_PENDING");
    ada.state(&session, "waiting_permission");
    ada.decide(&session, &permission, "reject_once");
    ada.said(&session, "answer t1 reject");
}

#[test]
fn fault_70_an_interrupt_cancels_what_is_pending_and_a_late_answer_is_refused() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "ask t1 ls");
    let permission = ada.permission(&session);
    ada.ok("interrupt", json!({"session_id": session}));
    assert_eq!(ada.fact(&session, "permission_resolved")["fact"]["outcome"], "cancelled");
    ada.said(&session, "answer t1 cancelled");
    assert_eq!(ada.fact(&session, "turn_ended")["fact"]["outcome"], "interrupted");
    assert_eq!(ada.decide(&session, &permission, "allow_once")["type"], "error");
    oracle::check(&env);
}

#[test]
fn a_request_that_the_agent_takes_back_is_withdrawn() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, &format!("ask_nowait t1 ls\nwithdraw t1\nsleep_until {}", env.path("go")));
    let permission = ada.permission(&session);
    assert_eq!(ada.fact(&session, "permission_resolved")["fact"]["outcome"], "withdrawn");
    assert_eq!(ada.decide(&session, &permission, "allow_once")["type"], "error");
    ada.state(&session, "processing");
    std::fs::write(env.path("go"), "").expect("a file can be made");
    ada.fact(&session, "turn_ended");
}

#[test]
fn fault_70_a_request_of_an_agent_that_died_is_withdrawn() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, &format!("ask_nowait t1 ls\nsleep_until {}\nexit 3", env.path("go")));
    let permission = ada.permission(&session);
    std::fs::write(env.path("go"), "").expect("a file can be made");
    assert_eq!(ada.fact(&session, "permission_resolved")["fact"]["outcome"], "withdrawn");
    assert_eq!(ada.decide(&session, &permission, "allow_once")["type"], "error");
    oracle::check(&env);
}

#[test]
fn several_requests_are_answered_each_by_its_own() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, &format!("ask_nowait a one\nask_nowait b two\nsleep_until {}", env.path("go")));
    let (first, second) = (ada.permission(&session), ada.permission(&session));
    ada.decide(&session, &second, "allow_once");
    ada.said(&session, "answer b allow");
    ada.state(&session, "waiting_permission");
    ada.decide(&session, &first, "reject_once");
    ada.said(&session, "answer a reject");
    std::fs::write(env.path("go"), "").expect("a file can be made");
    ada.fact(&session, "turn_ended");
    oracle::check(&env);
}

#[test]
fn a_subscriber_that_comes_late_is_told_what_is_pending() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "ask t1 ls");
    let permission = ada.permission(&session);
    let mut late = env.client("late");
    let joined = late.subscribe(&session, "end", "writer");
    assert_eq!(joined["pending_permissions"], json!([permission]));
    late.decide(&session, &permission, "allow_once");
    ada.said(&session, "answer t1 allow");
}

#[test]
fn an_answer_that_contradicts_itself_decides_nothing() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "ask t1 ls");
    let permission = ada.permission(&session);
    let allow = permission["options"]
        .as_array()
        .expect("options")
        .iter()
        .find(|option| option["kind"] == "allow_once");
    let answer = json!({
        "session_id": session,
        "permission_id": permission["permission_id"],
        "hash": permission["hash"],
        "option_id": allow.expect("it can be allowed")["option_id"],
        "decision": "reject_once",
    });
    assert_eq!(ada.refused("permission_response", answer), "BAD_REQUEST");
    assert_eq!(ada.state(&session, "waiting_permission")["pending_permissions"][0], permission);
}
