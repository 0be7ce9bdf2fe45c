//! Who may what: the table of the design, row by row.

use serde_json::{Value, json};
use vibes_tests::TestEnv;

/// Every mutating request about one session, with fields that are otherwise right.
fn mutations(session: &str, client: &str) -> Vec<(&'static str, Value)> {
    let only = json!({"session_id": session});
    vec![
        ("input", json!({"session_id": session, "content": "say no"})),
        ("interrupt", only.clone()),
        (
            "permission_response",
            json!({
                "session_id": session, "permission_id": "p", "hash": "00", "decision": "allow_once",
            }),
        ),
        ("set_option", json!({"session_id": session, "option_id": "mode", "value": "auto"})),
        ("update_session", json!({"session_id": session, "name": "renamed"})),
        ("suspend_session", only.clone()),
        ("resume_session", only.clone()),
        ("take_ownership", only.clone()),
        ("transfer_ownership", json!({"session_id": session, "new_owner_id": client})),
        ("finish_session", only.clone()),
        ("kill_session", only.clone()),
        ("delete_session", only),
    ]
}

#[test]
fn a_viewer_reads_everything_and_changes_nothing() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let mut viewer = env.client("viewer");
    viewer.subscribe(&session, 0, "viewer");
    for (kind, fields) in mutations(&session, &viewer.client_id.clone()) {
        assert_eq!(viewer.refused(kind, fields), "READ_ONLY", "{kind}");
    }
    for kind in ["get_session", "who", "read_records"] {
        viewer.ok(kind, json!({"session_id": session}));
    }
    ada.prompt(&session, "say untouched");
    viewer.said(&session, "untouched");
}

#[test]
fn a_viewer_may_do_what_concerns_no_one_session() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let mut viewer = env.client("viewer");
    viewer.subscribe(&session, "end", "viewer");
    viewer.create(&env, json!({}));
}

#[test]
fn a_stranger_of_the_same_user_may_write_but_not_transfer() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let mut stranger = env.client("stranger");
    stranger.prompt(&session, "say from outside");
    ada.said(&session, "from outside");
    let fields = json!({"session_id": session, "new_owner_id": ada.client_id});
    assert_eq!(stranger.refused("transfer_ownership", fields), "NOT_OWNER");
    let owner = ada.ok("get_session", json!({"session_id": session}))["session"]["owner_id"].take();
    assert_eq!(owner, *ada.client_id, "writing joins nothing");
}

#[test]
fn the_one_who_asks_is_named_in_the_record() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let mut bob = env.client("bob");
    bob.prompt(&session, "say hi");
    let by = ada.fact(&session, "input")["fact"]["by"].take();
    assert_eq!(by, json!({"client_id": bob.client_id, "label": "bob"}));
}
