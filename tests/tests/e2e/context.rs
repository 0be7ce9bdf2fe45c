//! What an agent is told besides the prompt: the conversation that it lost, and a person's own words.
//!
//! Invariant: what was sent is what the record says, and it is sent once.

use serde_json::{Value, json};
use std::fs;
use vibes_tests::{TestEnv, Wire, fake::Entry, oracle};

/// An environment whose agent takes no conversation up.
fn forgetful(config: &str) -> TestEnv {
    let mut env = TestEnv::new();
    let fake = env.variables()["VIBES_AGENT_FAKE"].clone();
    env.set("VIBES_AGENT_FAKE", &format!("{fake} --opts no-load,no-resume"));
    fs::create_dir_all(env.path("cfg/vibes")).expect("a directory can be made");
    fs::write(env.path("cfg/vibes/config.toml"), config).expect("it is written");
    env.daemon();
    env
}

/// The blocks of each prompt that the agent got.
fn prompts(env: &TestEnv) -> Vec<Vec<Value>> {
    let blocks = |entry: &Entry| -> Option<Vec<Value>> {
        let message: Value = serde_json::from_str(&entry.line).ok()?;
        (message["method"] == "session/prompt").then(|| message["params"]["prompt"].as_array().cloned())?
    };
    env.heard().iter().filter(|entry| entry.kind == "in").filter_map(blocks).collect()
}

fn turn(ada: &mut Wire, session: &str, prompt: &str) {
    ada.prompt(session, prompt);
    ada.fact(session, "turn_ended");
    ada.state(session, "idle");
}

fn suspend(env: &TestEnv, ada: &mut Wire, session: &str) {
    env.vibes(&["suspend", session]).ok();
    ada.state(session, "suspended");
}

#[test]
fn an_agent_that_takes_nothing_up_is_told_what_was_said() {
    let env = forgetful("");
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    turn(&mut ada, &session, "tool t1 look around\ntool_done t1\nsay a heron");
    suspend(&env, &mut ada, &session);
    // Input alone resumes it.
    turn(&mut ada, &session, "say and an ibis");
    turn(&mut ada, &session, "say nothing new");
    let told = |n: usize| prompts(&env)[n].first().map(|block| block["text"].to_string()).unwrap_or_default();
    assert_eq!(prompts(&env).iter().map(Vec::len).collect::<Vec<_>>(), [1, 2, 1], "told once");
    assert!(told(1).contains(r"Tool: look around (completed)\nAgent: a heron\n"), "{}", told(1));
    // Another one that lost it is told all of it, and nothing twice.
    suspend(&env, &mut ada, &session);
    fs::write(env.path("note"), "the tests are green").expect("it is written");
    env.vibes(&["resume", &session, "--context", &format!("@{}", env.path("note"))]).ok();
    ada.state(&session, "idle");
    // Whoever kills the daemon now changes nothing of it.
    env.daemon().kill9();
    env.daemon();
    let mut ada = env.client("ada");
    ada.subscribe(&session, "end", "writer");
    turn(&mut ada, &session, "say the end");
    let last = prompts(&env).pop().expect("it got prompts");
    assert_eq!(last.len(), 3, "{last:?}");
    assert_eq!(last[1]["text"], "the tests are green");
    for said in ["a heron", "and an ibis", "nothing new"] {
        let text = last[0]["text"].as_str().expect("a text");
        assert_eq!(text.matches(&format!("Agent: {said}")).count(), 1, "{said}: {text}");
    }
    let logs = env.vibes(&["logs", &session]).ok().stdout;
    assert!(logs.contains("the agent was told again what was said: 3 turns ("), "{logs}");
    assert!(logs.contains("additional context for the agent: the tests are green (19 B)"), "{logs}");
    let journals = oracle::check(&env);
    let added: Vec<_> =
        journals[&session].iter().filter(|record| record["fact"]["kind"] == "context_added").collect();
    let sent: Vec<_> =
        prompts(&env).into_iter().flatten().filter(|block| block["_meta"].is_object()).collect();
    assert_eq!(added.len(), sent.len());
    for (added, sent) in added.iter().zip(&sent) {
        assert_eq!(added["fact"]["text"], sent["text"], "what is recorded is what was sent");
    }
}

#[test]
fn how_much_is_told_is_configured_and_nothing_is_possible() {
    for (config, blocks) in [("[limits]\nreplay_kib = 0\n", 1), ("[limits]\nreplay_kib = 1\n", 2)] {
        let env = forgetful(config);
        let mut ada = env.client("ada");
        let session = ada.create(&env, json!({"subscribe": true}));
        for n in 0..4 {
            turn(&mut ada, &session, &format!("say {n} {}", "x".repeat(600)));
        }
        suspend(&env, &mut ada, &session);
        turn(&mut ada, &session, "say more");
        let last = prompts(&env).pop().expect("it got prompts");
        assert_eq!(last.len(), blocks, "{config}");
        let journals = oracle::check(&env);
        let told = journals[&session].iter().find(|record| record["fact"]["kind"] == "context_added");
        assert_eq!(told.is_some(), blocks == 2);
        if let Some(told) = told {
            assert!(told["fact"]["turns"].as_u64() >= Some(1), "{told}");
            assert!(told["fact"]["left_out"].as_u64() >= Some(2), "{told}");
        }
    }
}

#[test]
fn a_shell_does_not_run_what_it_is_told_besides() {
    let env = TestEnv::started();
    let id = env.vibes(&["shell", "-d", "--mode", "auto", "true"]).ok().stdout.trim().to_owned();
    env.vibes(&["wait", &id]).ok();
    env.vibes(&["suspend", &id]).ok();
    let touch = format!("touch {}", env.path("ran"));
    env.vibes(&["resume", &id, "--context", &touch]).ok();
    assert_eq!(env.vibes(&["send", &id, "--wait", "echo fine"]).ok().stdout, "fine\n");
    assert!(!env.root().join("ran").exists());
}
