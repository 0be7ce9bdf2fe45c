//! A recorded session as an agent: it does the same again, and what is recorded of that is the same.

use serde_json::{Value, json};
use std::fs;
use vibes_tests::{Editor, TestEnv, Wire, oracle};

/// What is played: (prompt, decisions).
const TURNS: &[(&str, &[&str])] = &[
    ("think hm\ntool t1 look\nplan a;b\nsay found it\ntool_done t1\nusage 3 4\ncost 0.5", &[]),
    ("ask t2 rm -r build\nsay gone\nunknown_update\nmode auto", &["allow_once"]),
    ("ask t3 ls\nask t4 pwd\ntitle a name", &["reject_once", "allow_always"]),
    ("ask_nowait t5 ls\nsay meanwhile\nwithdraw t5\nsay on", &[]),
    ("chunks 50 20 0 c\nstop max_tokens", &[]),
    ("say begun\nerror -32001 no (more) credit", &[]),
    ("say last", &[]),
];

/// An environment with an agent `replay` that plays a file.
fn stage(options: &str) -> TestEnv {
    let env = TestEnv::new();
    let words = format!("{} agent replay {} {options}", env.binary("vibes").display(), env.path("recording"));
    let words: Vec<&str> = words.split_whitespace().collect();
    fs::create_dir_all(env.path("cfg/vibes")).expect("a directory can be made");
    let config = format!("[agents.replay]\ncommand = {}\n", json!(words));
    fs::write(env.path("cfg/vibes/config.toml"), config).expect("a file can be written");
    env.daemon();
    env
}

/// Gives all prompts to an agent and decides as told. Returns the session.
fn play(env: &TestEnv, ada: &mut Wire, agent: &str) -> String {
    let session = ada.create(env, json!({"agent": agent, "subscribe": true}));
    for (prompt, decisions) in TURNS {
        ada.prompt(&session, prompt);
        for decision in *decisions {
            let permission = ada.permission(&session);
            assert_eq!(ada.decide(&session, &permission, decision)["type"], "ok");
        }
        ada.fact(&session, "turn_ended");
    }
    // What an agent says after its last turn is on its way.
    ada.state(&session, "idle");
    session
}

/// What a journal tells of the conversation: without ids, moments, and what concerns processes and clients.
fn folded(env: &TestEnv, session: &str) -> Vec<Value> {
    let logged = env.vibes(&["logs", session, "--json"]).ok();
    let record = |line: &str| serde_json::from_str::<Value>(line).expect("a record is JSON");
    let facts = logged.stdout.lines().map(|line| record(line)["fact"].take());
    let told = |mut fact: Value| {
        match fact["kind"].as_str().expect("a fact has a kind") {
            "input" => fact["by"].take(),
            "turn_started" => fact["input_seq"].take(),
            "permission_requested" => {
                fact["permission"]["hash"].take();
                fact["permission"]["permission_id"].take()
            }
            // Who answered, when and where is not the agent's.
            "permission_resolved" => {
                let kept = ["kind", "outcome", "option_id", "how", "message"];
                fact.as_object_mut()
                    .expect("a fact is an object")
                    .retain(|field, _| kept.contains(&field.as_str()));
                Value::Null
            }
            "state_changed" if fact["from"] != "starting" => fact["by"].take(),
            "update" | "turn_ended" => Value::Null,
            _ => return None,
        };
        Some(fact)
    };
    facts.filter_map(told).collect()
}

#[test]
fn a_session_that_is_played_again_is_recorded_as_the_same() {
    let env = stage("");
    let mut ada = env.client("ada");
    let original = play(&env, &mut ada, "fake");
    let export = env.vibes(&["logs", &original, "--json"]).ok().stdout;
    fs::write(env.path("recording"), export).unwrap();
    let again = play(&env, &mut ada, "replay");
    let (first, second) = (folded(&env, &original), folded(&env, &again));
    assert!(first.len() > 80, "the recording holds little: {}", first.len());
    for (n, (first, second)) in first.iter().zip(&second).enumerate() {
        assert_eq!(first, second, "fact {n} differs");
    }
    assert_eq!(first.len(), second.len());
    // It has an end, which is an error and no silence.
    ada.prompt(&again, "say more");
    let ended = ada.fact(&again, "turn_ended");
    assert_eq!(ended["fact"]["outcome"], "failed");
    assert!(ended["fact"]["error"].as_str().unwrap().contains("it has 7 turns"), "{ended}");
    oracle::check(&env);
}

#[test]
fn a_recording_is_played_to_an_editor_the_same_each_time() {
    let env = stage("");
    let mut ada = env.client("ada");
    let session = play(&env, &mut ada, "fake");
    // A page as `read_records` gives it is a recording as well.
    let page = ada.ok("read_records", json!({"session_id": session}));
    fs::write(env.path("recording"), page.to_string()).unwrap();
    let mut told = Vec::new();
    for _ in 0..2 {
        let Some(mut editor) = Editor::start(&env, &["agent", "replay", &env.path("recording")]) else {
            return;
        };
        // The library knows no update of a kind from the future, so the turn with it is left to the first test.
        let session = editor.create(&env);
        let tag = editor.prompt(&session, "anything");
        assert_eq!(editor.stopped(tag), "end_turn");
        let tag = editor.prompt(&session, "ask t2 rm -r build");
        let asked = editor.asked();
        assert_eq!(asked["params"]["toolCall"]["rawInput"], json!({"command": "rm -r build"}));
        editor.decide(&asked, "reject");
        assert_eq!(editor.stopped(tag), "end_turn");
        let tag = editor.prompt(&session, "anything");
        editor.asked();
        editor.cancel(&session);
        assert_eq!(editor.stopped(tag), "cancelled");
        let tag = editor.prompt(&session, "anything");
        let asked = editor.asked();
        editor.withdrawn(&asked);
        assert_eq!(editor.stopped(tag), "end_turn");
        let tag = editor.prompt(&session, "anything");
        assert_eq!(editor.stopped(tag), "max_tokens");
        let failing = json!({"sessionId": session, "prompt": [{"type": "text", "text": "anything"}]});
        assert_eq!(editor.refused("session/prompt", failing), (-32001, "no (more) credit".to_owned()));
        assert_eq!(
            editor.refused("session/load", json!({"sessionId": session, "cwd": "/", "mcpServers": []})).0,
            -32601
        );
        told.push(json!(editor.updates(&session)));
        assert_eq!(editor.leave(), 0);
    }
    assert!(told[0].as_array().unwrap().len() > 50);
    assert_eq!(told[0], told[1]);
}

#[test]
fn what_is_no_recording_is_told_before_anything_is_served() {
    let env = TestEnv::new();
    let ran = env.vibes(&["agent", "replay", &env.path("nothing")]).exits(1);
    assert!(ran.stderr.contains("nothing"), "{}", ran.stderr);
    fs::write(env.path("broken"), "{}\n").unwrap();
    let ran = env.vibes(&["agent", "replay", &env.path("broken")]).exits(1);
    assert!(ran.stderr.contains("line 1") && ran.stderr.contains("vibes logs"), "{}", ran.stderr);
    env.vibes(&["agent", "replay", &env.path("broken"), "--speed", "0"]).exits(2);
}
