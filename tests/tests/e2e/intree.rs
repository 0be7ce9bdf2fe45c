//! A process inside an agent's tree: it reads, and changes nothing. A seat belt against an agent that approves itself.

use serde_json::json;
use vibes_tests::TestEnv;

#[test]
fn an_agent_reads_but_changes_nothing() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let socket = env.state().socket();
    let socket = socket.display();
    ada.prompt(&session, &format!(r#"wire {socket} {{"type":"list_sessions","request_id":"r"}}"#));
    ada.fact(&session, "turn_ended");
    assert!(ada.text(&session).contains(r#""type":"session_list""#), "{}", ada.text(&session));
    for kind in ["kill_session", "interrupt", "suspend_session", "take_ownership", "finish_session"] {
        let seen = ada.text(&session).len();
        ada.prompt(&session, &format!(r#"wire {socket} {{"type":"{kind}","session_id":"{session}"}}"#));
        ada.fact(&session, "turn_ended");
        let said = &ada.text(&session)[seen..];
        assert!(said.contains("FORBIDDEN"), "{kind}: {said}");
    }
    let refused = ada.fact(&session, "refused");
    assert_eq!(refused["fact"]["request"], "kill_session");
}

#[test]
fn an_agent_may_not_create_sessions_or_stop_the_daemon() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let socket = env.state().socket();
    let (socket, work) = (socket.display(), env.work());
    ada.prompt(&session, &format!(
        "wire {socket} {{\"type\":\"create_session\",\"agent\":\"fake\",\"cwd\":\"{work}\"}}\nwire {socket} {{\"type\":\"stop_daemon\"}}"
    ));
    ada.fact(&session, "turn_ended");
    assert_eq!(ada.text(&session).matches("FORBIDDEN").count(), 2, "{}", ada.text(&session));
}

#[test]
fn leaving_the_process_group_does_not_help() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let vibes = env.binary("vibes");
    let state = env.path("s");
    ada.prompt(
        &session,
        &format!("spawn setsid --wait env VIBES_STATE_DIR={state} {} kill {session}", vibes.display()),
    );
    ada.said(&session, "ran 5");
    ada.state(&session, "idle");
}

#[test]
fn an_agent_never_starts_the_daemon_of_its_own_state_directory() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let (go, state) = (env.path("go"), env.path("s"));
    let session = ada.create(&env, json!({"subscribe": true}));
    let vibes = env.binary("vibes");
    let done = env.path("done");
    ada.prompt(
        &session,
        &format!("sleep_until {go}\nspawn env VIBES_STATE_DIR={state} {} ls\ntouch {done}", vibes.display()),
    );
    ada.fact(&session, "turn_started");
    env.daemon().kill9();
    std::fs::write(go, "").expect("a file can be made");
    vibes_tests::eventually("the command inside the agent has ended", || {
        std::path::Path::new(&done).exists().then_some(())
    });
    assert!(!env.is_served(), "no daemon was started from inside");
    env.daemon();
    let mut again = env.client("ada");
    again.subscribe(&session, 0, "viewer");
    again.said(&session, "ran 4");
}
