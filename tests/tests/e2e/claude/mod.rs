//! Claude Code through the real programs, in its own protocol: turns, questions, settings, failures.
//!
//! Invariant: what the agent did is read from what it leaves (files, what its model was asked), not from what it says.

mod crash;

use serde_json::{Value, json};
use std::{fs, path::Path, process::Command};
use vibes_tests::{Claude, Pty, Wire, eventually};

/// Waits for the end of a turn; returns its fact.
pub fn ended(wire: &mut Wire, session: &str) -> Value {
    wire.fact(session, "turn_ended")["fact"].take()
}

/// A prompt that makes the agent ask whether it may make a file.
pub fn touch(claude: &Claude, name: &str) -> String {
    format!("[[run: touch {}]] make it", claude.env.path(name))
}

pub fn is_there(claude: &Claude, name: &str) -> bool {
    Path::new(&claude.env.path(name)).exists()
}

/// Answers with more than a decision; returns the answer to that.
pub fn answer(wire: &mut Wire, session: &str, permission: &Value, more: Value) -> Value {
    let mut fields = json!({"session_id": session, "permission_id": permission["permission_id"],
        "hash": permission["hash"]});
    fields.as_object_mut().expect("just made").extend(more.as_object().expect("fields").clone());
    wire.request("permission_response", fields)
}

#[test]
fn a_turn_is_streamed_word_by_word_with_thoughts_cost_and_commands() {
    let Some(claude) = Claude::started() else { return };
    let mut ada = claude.client();
    let session = claude.create(&mut ada, json!({}));
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
fn a_command_runs_when_it_is_allowed_and_not_before() {
    let Some(claude) = Claude::started() else { return };
    let mut ada = claude.client();
    let session = claude.create(&mut ada, json!({}));
    ada.prompt(&session, &touch(&claude, "made"));
    let permission = ada.permission(&session);
    assert_eq!(permission["tool"], "Bash");
    assert!(!is_there(&claude, "made"));
    assert_eq!(ada.decide(&session, &permission, "allow_once")["type"], "ok");
    assert_eq!(ended(&mut ada, &session)["outcome"], "finished");
    assert!(is_there(&claude, "made"));
    let journals = claude.check();
    let last = journals[&session].iter().rfind(|record| !record["fact"]["update"]["toolCallId"].is_null());
    assert_eq!(last.map(|record| &record["fact"]["update"]["status"]), Some(&json!("completed")));
}

#[test]
fn a_denial_is_told_to_the_agent_with_its_reason() {
    let Some(claude) = Claude::started() else { return };
    let mut ada = claude.client();
    let session = claude.create(&mut ada, json!({}));
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
    let Some(claude) = Claude::started() else { return };
    let mut ada = claude.client();
    let session = claude.create(&mut ada, json!({}));
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
    let Some(claude) = Claude::started() else { return };
    let mut ada = claude.client();
    let session = claude.create(&mut ada, json!({"mode": "plan"}));
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
fn an_interrupt_ends_the_turn_and_nothing_else() {
    let Some(claude) = Claude::started() else { return };
    let mut ada = claude.client();
    let session = claude.create(&mut ada, json!({}));
    ada.prompt(&session, &format!("[[until: {}]] talk", claude.env.path("never")));
    ada.said(&session, "w3 ");
    ada.ok("interrupt", json!({"session_id": session}));
    let end = ended(&mut ada, &session);
    assert_eq!((&end["outcome"], &end["stop_reason"]), (&json!("interrupted"), &json!("cancelled")));
    // While it asks.
    ada.prompt(&session, &touch(&claude, "made"));
    let permission = ada.permission(&session);
    ada.ok("interrupt", json!({"session_id": session}));
    assert_eq!(ended(&mut ada, &session)["outcome"], "interrupted");
    assert_eq!(ada.decide(&session, &permission, "allow_once")["code"], "ALREADY_DECIDED");
    // While a command runs, which ends with the turn.
    let (began, go) = (claude.env.path("began"), claude.env.path("go"));
    ada.prompt(&session, &format!("[[run: touch {began}; until test -e {go}; do sleep 0.05; done]] wait"));
    let permission = ada.permission(&session);
    assert_eq!(ada.decide(&session, &permission, "allow_once")["type"], "ok");
    eventually("the command runs", || is_there(&claude, "began").then_some(()));
    ada.ok("interrupt", json!({"session_id": session}));
    assert_eq!(ended(&mut ada, &session)["outcome"], "interrupted");
    eventually("the command is gone", || {
        (!claude.env.processes().iter().any(|process| process.command.contains("until test -e")))
            .then_some(())
    });
    ada.prompt(&session, "carry on");
    assert_eq!(ended(&mut ada, &session)["outcome"], "finished");
    assert!(ada.text(&session).ends_with("you said carry on"));
    assert!(!is_there(&claude, "made"));
    claude.check();
}

#[test]
fn modes_and_models_are_set_and_kept() {
    let Some(claude) = Claude::started() else { return };
    let mut ada = claude.client();
    let session = claude.create(&mut ada, json!({}));
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
fn a_service_that_fails_is_told_and_waited_for() {
    let Some(claude) = Claude::started() else { return };
    let mut ada = claude.client();
    let session = claude.create(&mut ada, json!({}));
    let go = claude.env.path("go");
    ada.prompt(&session, &format!("[[fail: 429 until {go}]] patience"));
    let waits = ada.fact(&session, "agent_waits")["fact"].take();
    assert_eq!((&waits["status"], &waits["attempt"]), (&json!(429), &json!(1)), "{waits}");
    assert_eq!(ada.ok("get_session", json!({"session_id": session}))["session"]["state"], "processing");
    fs::write(&go, "").expect("a file can be made");
    assert_eq!(ended(&mut ada, &session)["outcome"], "finished");
    for (prompt, why) in [("[[fail: 500]] a", "500"), ("[[fail: 400]] b", "400"), ("[[garbage]] c", "")] {
        ada.prompt(&session, prompt);
        let end = ended(&mut ada, &session);
        assert_eq!(
            (&end["outcome"], &end["stop_reason"]),
            (&json!("failed"), &json!("error")),
            "{prompt}: {end}"
        );
        assert!(end["error"].as_str().is_some_and(|error| error.contains(why)), "{end}");
    }
    ada.prompt(&session, "[[nothing]] d");
    claude.asked("[[nothing]] d");
    ada.ok("interrupt", json!({"session_id": session}));
    assert_eq!(ended(&mut ada, &session)["outcome"], "interrupted");
    ada.prompt(&session, "carry on");
    assert_eq!(ended(&mut ada, &session)["outcome"], "finished");
    claude.check();
}

#[test]
fn who_is_not_signed_in_hears_what_helps() {
    let Some(mut claude) = Claude::started() else { return };
    claude.set("ANTHROPIC_API_KEY", None);
    let mut ada = claude.client();
    let session = claude.create(&mut ada, json!({}));
    ada.prompt(&session, "hello");
    let end = ended(&mut ada, &session);
    assert_eq!(end["outcome"], "failed", "{end}");
    assert!(
        end["error"]
            .as_str()
            .is_some_and(|error| error.contains("/login") && error.contains("ANTHROPIC_API_KEY"))
    );
    claude.check();
}

#[test]
fn what_cannot_start_says_why() {
    let Some(claude) = Claude::started() else { return };
    let mut ada = claude.client();
    let mut env = claude.client_env();
    env["PATH"] = "/usr/bin:/bin".into();
    let fields = |env: &Value, more: Value| {
        let mut fields = json!({"agent": "claude", "cwd": claude.env.work(), "env": env, "wait_ready": true});
        fields.as_object_mut().expect("just made").extend(more.as_object().expect("fields").clone());
        fields
    };
    assert_eq!(ada.refused("create_session", fields(&env, json!({}))), "AGENT_NOT_FOUND");
    let env = claude.client_env();
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
    let Some(claude) = Claude::started() else { return };
    let work = claude.env.work();
    let bare = Command::new("claude")
        .args(["-p", "remember the plum"])
        .env_clear()
        .envs(claude.env.variables())
        .envs(claude.variables())
        .current_dir(&work)
        .output()
        .expect("it is installed");
    assert!(bare.status.success(), "{bare:?}");
    let ran = claude.env.spawn_vibes(
        &["claude", "-c", "-d", "--cwd", &work, "what was it"],
        "",
        &claude.variables(),
    );
    let session = ran.wait().ok().line().to_owned();
    let mut ada = claude.client();
    ada.subscribe(&session, 0, "writer");
    assert_eq!(ended(&mut ada, &session)["outcome"], "finished");
    let shown: Vec<Value> = claude.asked("what was it").iter().map(|message| message[1].clone()).collect();
    assert_eq!(shown[0], "remember the plum", "{shown:?}");
    claude.check();
}
