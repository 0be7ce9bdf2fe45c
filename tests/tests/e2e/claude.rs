//! Claude Code through the real programs, in its own protocol: what it can do that no other agent does. What all of them
//! do is in `real_agent`.
//!
//! Invariant: what the agent did is read from what it leaves (files, what its model was asked), not from what it says.

use serde_json::{Value, json};
use std::{fs, path::Path, process::Command};
use vibes_tests::{Pty, Real, Wire, agents};

/// Waits for the end of a turn; returns its fact.
fn ended(wire: &mut Wire, session: &str) -> Value {
    wire.fact(session, "turn_ended")["fact"].take()
}

/// A prompt that makes the agent ask whether it may make a file.
fn touch(claude: &Real, name: &str) -> String {
    format!("[[run: touch {}]] make it", claude.env.path(name))
}

fn is_there(claude: &Real, name: &str) -> bool {
    Path::new(&claude.env.path(name)).exists()
}

/// Answers with more than a decision; returns the answer to that.
fn answer(wire: &mut Wire, session: &str, permission: &Value, more: Value) -> Value {
    let mut fields = json!({"session_id": session, "permission_id": permission["permission_id"],
        "hash": permission["hash"]});
    fields.as_object_mut().expect("just made").extend(more.as_object().expect("fields").clone());
    wire.request("permission_response", fields)
}

#[test]
fn a_turn_is_streamed_word_by_word_with_thoughts_cost_and_commands() {
    let Some(claude) = Real::started(&agents::CLAUDE) else { return };
    let mut ada = claude.client();
    let session = claude.create(&mut ada);
    ada.prompt(&session, "[[think: let me see]][[stream: 50]] hello");
    let end = ended(&mut ada, &session);
    assert_eq!((&end["outcome"], &end["stop_reason"]), (&json!("finished"), &json!("end_turn")), "{end}");
    assert!(end["cost"]["amount"].as_f64().is_some_and(|amount| amount > 0.0), "{end}");
    assert_eq!(end["usage"]["cache_write_tokens"], 3, "{end}");
    assert_eq!(end["models"].as_object().map(|models| models.len()), Some(1), "{end}");
    let journals = claude.check();
    let updates = |kind: &str| {
        let told = |record: &&Value| record["fact"]["update"]["sessionUpdate"] == kind;
        journals[&session].iter().filter(told).count()
    };
    assert!(updates("agent_message_chunk") > 50, "in {} pieces", updates("agent_message_chunk"));
    assert_eq!(updates("agent_thought_chunk"), 3, "word by word");
    assert!(updates("available_commands_update") >= 1);
    let info = ada.ok("get_session", json!({"session_id": session}));
    assert_eq!(info["session"]["options"]["mode"], "default");
    assert!(info["session"]["cost"]["amount"].as_f64().is_some_and(|amount| amount > 0.0));
    let pty = Pty::vibes(&claude.env, &["attach", &session]);
    pty.wait_for_text("you said hello");
    pty.keys("and again\r");
    pty.wait_for_text("you said and again");
}

#[test]
fn a_denial_is_told_to_the_agent_with_its_reason() {
    let Some(claude) = Real::started(&agents::CLAUDE) else { return };
    let mut ada = claude.client();
    let session = claude.create(&mut ada);
    ada.prompt(&session, &touch(&claude, "made"));
    let permission = ada.permission(&session);
    let denied = answer(
        &mut ada,
        &session,
        &permission,
        json!({"decision": "reject_once", "message": "not on my disk"}),
    );
    assert_eq!(denied["type"], "ok", "{denied}");
    assert_eq!(ended(&mut ada, &session)["outcome"], "finished", "the agent goes on");
    assert!(ada.text(&session).contains("not on my disk"), "{}", ada.text(&session));
    assert!(!is_there(&claude, "made"));
    claude.check();
}

#[test]
fn what_is_allowed_can_be_changed_and_allowed_for_good() {
    let Some(claude) = Real::started(&agents::CLAUDE) else { return };
    let mut ada = claude.client();
    let session = claude.create(&mut ada);
    ada.prompt(&session, &touch(&claude, "asked"));
    let permission = ada.permission(&session);
    let other = json!({"command": format!("touch {}", claude.env.path("instead"))});
    let nonsense =
        answer(&mut ada, &session, &permission, json!({"decision": "allow_once", "updated_input": 7}));
    assert_eq!(nonsense["code"], "BAD_REQUEST");
    let allowed =
        answer(&mut ada, &session, &permission, json!({"decision": "allow_once", "updated_input": other}));
    assert_eq!(allowed["type"], "ok", "{allowed}");
    assert_eq!(ended(&mut ada, &session)["outcome"], "finished");
    assert!(is_there(&claude, "instead") && !is_there(&claude, "asked"));
    // Its own standing permission: the second of two edits is not asked about.
    let write = |name: &str| {
        let call = json!({"file_path": claude.env.path(name), "content": "x"});
        format!("[[call: Write: {call}]]")
    };
    ada.prompt(&session, &format!("{}{} twice", write("work/one"), write("work/two")));
    let permission = ada.permission(&session);
    assert_eq!(permission["diff"]["new_text"], "x");
    assert_eq!(ada.decide(&session, &permission, "allow_always")["type"], "ok");
    assert_eq!(ended(&mut ada, &session)["outcome"], "finished");
    assert!(is_there(&claude, "work/two"));
    let info = ada.ok("get_session", json!({"session_id": session}));
    assert_eq!(info["session"]["options"]["mode"], "acceptEdits", "what that meant is seen");
    claude.check();
}

#[test]
fn questions_and_plans_are_what_they_are() {
    let Some(claude) = Real::started(&agents::CLAUDE) else { return };
    let mut ada = claude.client();
    let session = claude.create_with(&mut ada, json!({"mode": "plan"}));
    let question = json!({"questions": [{"question": "Which colour?", "header": "Colour", "multiSelect": false,
        "options": [{"label": "Red", "description": "warm"}, {"label": "Blue", "description": "cold"}]}]});
    ada.prompt(&session, &format!("[[call: AskUserQuestion: {question}]] ask"));
    let asked = ada.permission(&session);
    assert_eq!(asked["options"][1], json!({"option_id": "answer-1", "kind": "answer", "name": "Blue"}));
    let approved = claude.env.vibes(&["approve", &session, "--option", "answer-1"]).ok();
    assert!(approved.stdout.starts_with("approved (answer-1)"), "{}", approved.stdout);
    assert_eq!(ended(&mut ada, &session)["outcome"], "finished");
    assert!(ada.text(&session).contains("\"Which colour?\"=\"Blue\""), "{}", ada.text(&session));
    ada.prompt(&session, &format!("[[call: AskUserQuestion: {question}]] again"));
    ada.permission(&session);
    claude.env.vibes(&["approve", &session, "--option", "answer-0", "--answer", "Mauve"]).ok();
    assert_eq!(ended(&mut ada, &session)["outcome"], "finished");
    assert!(ada.text(&session).contains("\"Which colour?\"=\"Mauve\""), "{}", ada.text(&session));
    ada.prompt(&session, "[[call: ExitPlanMode: {\"plan\": \"1. do it\"}]] plan");
    let plan = ada.permission(&session);
    assert_eq!((&plan["tool"], &plan["raw_input"]["plan"]), (&json!("ExitPlanMode"), &json!("1. do it")));
    assert_eq!(ada.decide(&session, &plan, "allow_once")["type"], "ok");
    assert_eq!(ended(&mut ada, &session)["outcome"], "finished");
    let info = ada.ok("get_session", json!({"session_id": session}));
    assert_eq!(info["session"]["options"]["mode"], "default", "the plan is carried out");
    claude.check();
}

#[test]
fn modes_and_models_are_set_and_kept() {
    let Some(claude) = Real::started(&agents::CLAUDE) else { return };
    let mut ada = claude.client();
    let session = claude.create(&mut ada);
    for (option, value) in [("mode", "acceptEdits"), ("model", "opus")] {
        ada.ok("set_option", json!({"session_id": session, "option_id": option, "value": value}));
    }
    let refused =
        ada.request("set_option", json!({"session_id": session, "option_id": "mode", "value": "reckless"}));
    assert_eq!(refused["code"], "BAD_REQUEST", "{refused}");
    ada.prompt(&session, "hello");
    assert_eq!(ended(&mut ada, &session)["outcome"], "finished");
    ada.ok("suspend_session", json!({"session_id": session}));
    ada.fact(&session, "agent_ready");
    ada.ok("resume_session", json!({"session_id": session}));
    assert_eq!(ada.fact(&session, "agent_ready")["fact"]["how"], "resume");
    let options = &ada.ok("get_session", json!({"session_id": session}))["session"]["options"];
    assert_eq!((&options["mode"], &options["model"]), (&json!("acceptEdits"), &json!("opus")));
    claude.check();
}

#[test]
fn a_service_that_is_busy_is_waited_for_and_that_is_told() {
    let Some(claude) = Real::started(&agents::CLAUDE) else { return };
    let mut ada = claude.client();
    let session = claude.create(&mut ada);
    let go = claude.env.path("go");
    ada.prompt(&session, &format!("[[fail: 429 until {go}]] patience"));
    let waits = ada.fact(&session, "agent_waits")["fact"].take();
    assert_eq!((&waits["status"], &waits["attempt"]), (&json!(429), &json!(1)), "{waits}");
    assert_eq!(ada.ok("get_session", json!({"session_id": session}))["session"]["state"], "processing");
    fs::write(&go, "").expect("a file can be made");
    assert_eq!(ended(&mut ada, &session)["outcome"], "finished");
    claude.check();
}

#[test]
fn what_cannot_start_says_why() {
    let Some(claude) = Real::started(&agents::CLAUDE) else { return };
    let mut ada = claude.client();
    let mut env = claude.client_env(&mut ada);
    env["PATH"] = "/usr/bin:/bin".into();
    let fields = |env: &Value, more: Value| {
        let mut fields = json!({"agent": "claude", "cwd": claude.env.work(), "env": env, "wait_ready": true});
        fields.as_object_mut().expect("just made").extend(more.as_object().expect("fields").clone());
        fields
    };
    assert_eq!(ada.refused("create_session", fields(&env, json!({}))), "AGENT_NOT_FOUND");
    let env = claude.client_env(&mut ada);
    let flag = ada.request("create_session", fields(&env, json!({"args": ["--no-such-flag"]})));
    assert_eq!(flag["code"], "AGENT_START_FAILED", "{flag}");
    assert!(flag["message"].as_str().is_some_and(|why| why.contains("no-such-flag")), "{flag}");
    let unknown = json!({"conversation": "11111111-2222-4333-8444-555555555555"});
    let gone = ada.request("create_session", fields(&env, unknown));
    assert_eq!(gone["code"], "AGENT_START_FAILED", "{gone}");
    assert!(gone["message"].as_str().is_some_and(|why| why.contains("No conversation found")), "{gone}");
}

#[test]
fn a_conversation_begun_without_vibes_goes_on_in_it() {
    let Some(claude) = Real::started(&agents::CLAUDE) else { return };
    let work = claude.env.work();
    let bare = Command::new(agents::CLAUDE.installed().expect("it is installed"))
        .args(["-p", "remember the plum"])
        .env_clear()
        .envs(claude.env.variables())
        .current_dir(&work)
        .output()
        .expect("it runs");
    assert!(bare.status.success(), "{bare:?}");
    let ran = claude.env.spawn_vibes(&["claude", "-c", "-d", "--cwd", &work, "what was it"], "", &[]);
    let session = ran.wait().ok().line().to_owned();
    let mut ada = claude.client();
    ada.subscribe(&session, 0, "writer");
    assert_eq!(ended(&mut ada, &session)["outcome"], "finished");
    let call = claude.called("it is asked", |call| call.prompt() == "what was it");
    assert_eq!(call.messages[0].1, "remember the plum", "{call:?}");
}

#[test]
fn a_suspended_conversation_is_taken_up_and_not_told_twice() {
    let Some(claude) = Real::started(&agents::CLAUDE) else { return };
    let mut ada = claude.client();
    let session = claude.create(&mut ada);
    let mut costs = Vec::new();
    for round in ["one", "two", "three"] {
        ada.prompt(&session, &format!("round {round}"));
        let end = ended(&mut ada, &session);
        assert_eq!(end["outcome"], "finished", "{end}");
        costs.push(end["cost"]["amount"].as_f64().expect("a turn has a cost"));
        ada.ok("suspend_session", json!({"session_id": session}));
        ada.state(&session, "suspended");
        if round == "two" {
            // What resumes it may be another daemon, which has no key of its own.
            ada = claude.kill_daemon();
            ada.subscribe(&session, "end", "writer");
            let env = claude.client_env(&mut ada);
            ada.ok("resume_session", json!({"session_id": session, "env": env}));
        }
    }
    let call = claude.called("the last prompt", |call| call.prompt() == "round three");
    let said: Vec<String> = call.messages.into_iter().map(|(_, text)| text).collect();
    assert_eq!(said, ["round one", "you said round one", "round two", "you said round two", "round three"]);
    let info = ada.ok("get_session", json!({"session_id": session}));
    let total = info["session"]["cost"]["amount"].as_f64().expect("a session has a cost");
    assert!((total - costs.iter().sum::<f64>()).abs() < 1e-9, "{total} of {costs:?}");
    assert!(costs[2] < 2.0 * costs[0], "a turn has its own share: {costs:?}");
    let journals = claude.check();
    let lost = journals[&session].iter().find(|record| record["fact"]["context_lost"] == true);
    assert!(lost.is_none(), "{lost:?}");
}

#[test]
fn a_conversation_that_was_deleted_is_begun_anew_and_that_is_said() {
    let Some(claude) = Real::started(&agents::CLAUDE) else { return };
    let mut ada = claude.client();
    let session = claude.create(&mut ada);
    ada.prompt(&session, "hello");
    assert_eq!(ended(&mut ada, &session)["outcome"], "finished");
    ada.ok("suspend_session", json!({"session_id": session}));
    fs::remove_dir_all(claude.env.path("home/.claude/projects")).expect("it keeps them there");
    ada.prompt(&session, &touch(&claude, "made"));
    let permission = ada.permission(&session);
    assert_eq!(ada.decide(&session, &permission, "allow_once")["type"], "ok");
    assert_eq!(ended(&mut ada, &session)["outcome"], "finished");
    let journals = claude.check();
    let told = journals[&session].iter().any(|record| record["fact"]["context_lost"] == true);
    assert!(told, "nobody was told");
}

#[test]
fn a_fork_has_its_own_share_of_the_cost_and_is_resumed_as_its_own() {
    let Some(claude) = Real::started(&agents::CLAUDE) else { return };
    let mut ada = claude.client();
    let session = claude.create(&mut ada);
    ada.prompt(&session, "the word is plum");
    let first = ended(&mut ada, &session);
    ada.state(&session, "idle");
    let env = claude.client_env(&mut ada);
    let wish = json!({"session_id": session, "env": env, "subscribe": true});
    let fork = ada.ok("fork_session", wish)["session"]["id"].as_str().expect("an id").to_owned();
    ada.prompt(&fork, "what was it");
    let second = ended(&mut ada, &fork);
    assert_eq!(second["outcome"], "finished", "{second}");
    let info = ada.ok("get_session", json!({"session_id": fork}));
    assert_eq!(
        info["session"]["cost"]["amount"], second["cost"]["amount"],
        "what the other has cost is not its own"
    );
    let amount = |end: &Value| end["cost"]["amount"].as_f64().expect("a turn has a cost");
    assert!(amount(&second) < 2.0 * amount(&first), "{first} {second}");
    ada.ok("suspend_session", json!({"session_id": fork}));
    ada.state(&fork, "suspended");
    ada.prompt(&fork, "and again");
    assert_eq!(ended(&mut ada, &fork)["outcome"], "finished");
    let call = claude.called("it goes on", |call| call.prompt() == "and again");
    assert_eq!(call.messages.len(), 5, "{:?}", call.messages);
    claude.check();
}
