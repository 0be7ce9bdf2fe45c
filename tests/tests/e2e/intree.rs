//! A process inside an agent's tree: it reads, and changes nothing. A seat belt against an agent that approves itself.

use serde_json::{Value, json};
use std::{collections::BTreeSet, fs};
use vibes_protocol::wire::Request;
use vibes_tests::{TestEnv, eventually};

/// What a process inside an agent may ask; all else must be refused, whatever is added to the protocol.
const READS: &[&str] = &[
    "hello",
    "list_sessions",
    "unsubscribe",
    "who",
    "get_session",
    "get_blob",
    "read_records",
    "list_agents",
    "daemon_status",
    "get_rules",
    "test_rules",
    "list_approvals",
    "list_turns",
    "get_costs",
    "search",
    "export_session",
    "list_tokens",
    "list_audit",
    "list_templates",
    "get_template",
    "search_memories",
    "get_memory",
    "get_digest",
    "list_triggers",
    "get_disk_usage",
    "ping",
    "pong",
];

/// Every request that changes something, as well-formed as the examples of the contract, about this session.
fn mutations(env: &TestEnv, session: &str) -> Vec<Value> {
    let golden = include_str!("../../../protocol/schema/v1/golden.ndjson");
    let examples =
        golden.lines().map(|line| serde_json::from_str::<Value>(line).expect("golden lines are JSON"));
    let requests: Vec<Value> = examples
        .filter(|example| example["dir"] == "in")
        .map(|mut example| example["line"].take())
        .filter(|line| !READS.contains(&line["type"].as_str().expect("a request has a type")))
        // Joining to read changes nothing.
        .filter(|line| line["type"] != "subscribe" || line["role"] == "writer" || line["reads"] == true)
        // Nor does comparing.
        .filter(|line| line["type"] != "worktree" || line["action"] != "diff")
        // Nor does a question about what is remembered.
        .filter(|line| line["type"] != "memory_command" || line["text"] == "remember that Ann owns billing")
        .map(|mut line| {
            for (field, value) in [("session_id", json!(session)), ("session_ids", json!([session]))] {
                line.get_mut(field).into_iter().for_each(|place| *place = value.clone());
            }
            for (field, value) in [("agent", json!("fake")), ("cwd", json!(env.work()))] {
                line.get_mut(field).into_iter().for_each(|place| *place = value.clone());
            }
            line
        })
        .collect();
    for kind in Request::TYPES.iter().filter(|kind| !READS.contains(kind)) {
        assert!(requests.iter().any(|line| line["type"] == *kind), "no example of {kind} is tried");
    }
    requests
}

#[test]
fn fault_82_no_request_that_changes_something_is_taken_from_inside_an_agent() {
    let env = TestEnv::started();
    let daemon = env.daemon().pid;
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let mutations = mutations(&env, &session);
    let lines: String = mutations.iter().map(|line| format!("{line}\n")).collect();
    fs::write(env.path("in"), lines).expect("a file can be made");
    let relay = |out: &str| {
        let (fake, socket) = (env.binary("fake-agent"), env.state().socket());
        format!("{} --relay {} {} {}", fake.display(), socket.display(), env.path("in"), env.path(out))
    };
    let ways = [
        ("child", String::new()),
        ("setsid", "setsid --wait ".to_owned()),
        ("forked twice", "setsid --fork setsid --fork ".to_owned()),
        ("forked, nothing in its environment", "setsid --fork env -i ".to_owned()),
    ];
    for (n, (way, prefix)) in ways.iter().enumerate() {
        let out = format!("out{n}");
        ada.prompt(&session, &format!("spawn {prefix}{}", relay(&out)));
        let answers =
            eventually("the process inside has its answers", || fs::read_to_string(env.path(&out)).ok());
        let answers: Vec<Value> = answers
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{way}: {error}: {line}")))
            // News that came between the answers.
            .filter(|line: &Value| line["type"] != "session_updated")
            .collect();
        assert_eq!(answers.len(), mutations.len(), "{way}");
        for (asked, answer) in mutations.iter().zip(answers) {
            assert_eq!(answer["code"], "FORBIDDEN", "{way}: {asked}: {answer}");
        }
        ada.fact(&session, "turn_ended");
    }
    assert_eq!(env.daemon().pid, daemon);
    let list = ada.ok("list_sessions", json!({"include_ended": true}))["sessions"].take();
    assert_eq!((list.as_array().map(Vec::len), &list[0]["state"]), (Some(1), &json!("idle")));
    // What was refused is on record, by the session it was about or came from.
    let refused = ada.stream(&session).iter().filter(|record| record["fact"]["kind"] == "refused");
    let kinds: BTreeSet<&str> = refused.filter_map(|record| record["fact"]["request"].as_str()).collect();
    let about_none = ["create_session", "stop_daemon", "apply_rules"];
    let of_it = |line: &&Value| {
        line.get("session_id").is_some() || about_none.iter().any(|kind| line["type"] == *kind)
    };
    let about_it = mutations.iter().filter(of_it);
    let missing: Vec<_> =
        about_it.filter_map(|line| line["type"].as_str()).filter(|kind| !kinds.contains(kind)).collect();
    assert!(missing.is_empty(), "not recorded: {missing:?}");
}

#[test]
fn fault_82_an_agent_may_look() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let socket = env.state().socket();
    ada.prompt(&session, &format!(r#"wire {} {{"type":"list_sessions"}}"#, socket.display()));
    ada.fact(&session, "turn_ended");
    assert!(ada.text(&session).contains(r#""type":"session_list""#), "{}", ada.text(&session));
}

#[test]
fn fault_82_the_command_line_inside_an_agent_is_refused_too() {
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
