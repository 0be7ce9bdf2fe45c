//! A real agent through the real programs: what people do with it on a good day, and what it does on a bad one.
//!
//! Invariant: what the agent did is read from what it leaves (files, processes, what its model was asked), not from
//! what it says.

use rustix::process::Signal;
use serde_json::json;
use std::{fs, path::Path};
use vibes_tests::{Codex, Pty, Wire, eventually, oracle, processes, turns};

/// A prompt to run a command, which the agent asks about first.
pub fn run(command: &str) -> String {
    format!("please [[run: {command}]]")
}

/// A command that runs until a file is there, and then leaves another one.
pub fn run_until(codex: &Codex) -> String {
    let env = &codex.env;
    run(&format!(
        "touch {}; until test -e {}; do sleep 0.05; done; touch {}",
        env.path("began"),
        env.path("go"),
        env.path("done")
    ))
}

/// Waits until a file of the environment is there.
pub fn file(codex: &Codex, name: &str) {
    let path = codex.env.path(name);
    eventually(&format!("there is a file {name}"), || Path::new(&path).exists().then_some(()));
}

/// Answers the next question; returns nothing, because it must go well.
pub fn decide(wire: &mut Wire, session: &str, decision: &str) {
    let permission = wire.permission(session);
    assert_eq!(wire.decide(session, &permission, decision)["type"], "ok");
}

/// Waits for the end of a turn; returns its outcome.
pub fn ended(wire: &mut Wire, session: &str) -> String {
    wire.fact(session, "turn_ended")["fact"]["outcome"].as_str().expect("an outcome is a word").to_owned()
}

#[test]
fn a_streamed_turn_is_kept_word_by_word_and_shown() {
    let Some(codex) = Codex::started() else { return };
    let ran = codex.env.vibes(&["run", "codex", "--wait-ready", "-d", "[[stream: 200]] hello"]).ok();
    let session = ran.line();
    let mut ada = codex.client();
    ada.subscribe(session, 0, "writer");
    assert_eq!(ended(&mut ada, session), "finished");
    let turns = turns(&codex.check()[session]);
    assert!(turns[0].pieces > 200, "it came in {} pieces", turns[0].pieces);
    assert!(codex.env.vibes(&["logs", session]).ok().stdout.contains("w0 w1 w2"));
    let pty = Pty::vibes(&codex.env, &["attach", session]);
    pty.wait_for_text("you said hello");
    pty.keys("and again\r");
    pty.wait_for_text("you said and again");
}

#[test]
fn an_approved_command_runs_and_a_denied_one_does_not() {
    let Some(codex) = Codex::started() else { return };
    let mut ada = codex.client();
    let session = codex.create(&mut ada);
    let (yes, no) = (codex.env.path("yes"), codex.env.path("no"));
    ada.prompt(&session, &run(&format!("echo ran > {yes}")));
    let permission = ada.permission(&session);
    assert!(!Path::new(&yes).exists(), "it runs only after it is allowed");
    assert!(permission["raw_input"].to_string().contains(&yes), "a person sees what is to run: {permission}");
    codex.env.vibes(&["approve", &session]).ok();
    assert_eq!(ended(&mut ada, &session), "finished");
    assert_eq!(fs::read_to_string(&yes).expect("the command ran"), "ran\n");
    ada.prompt(&session, &run(&format!("echo ran > {no}")));
    ada.permission(&session);
    codex.env.vibes(&["deny", &session]).ok();
    // This agent ends its turn when it is denied.
    assert_eq!(ended(&mut ada, &session), "interrupted");
    ada.prompt(&session, "carry on");
    ada.said(&session, "you said carry on");
    assert_eq!(ended(&mut ada, &session), "finished");
    assert!(!Path::new(&no).exists(), "what was denied did not run");
    codex.check();
}

#[test]
fn an_interrupted_answer_ends_and_the_next_turn_works() {
    let Some(codex) = Codex::started() else { return };
    let mut ada = codex.client();
    let session = codex.create(&mut ada);
    let endless = format!("[[until: {}]] talk", codex.env.path("never"));
    ada.prompt(&session, &endless);
    ada.said(&session, "w5 ");
    ada.ok("interrupt", json!({"session_id": session}));
    assert_eq!(ended(&mut ada, &session), "interrupted");
    let call =
        codex.called("the model is told to stop", |call| call.prompt() == endless && call.said.is_some());
    assert!(!call.whole, "the agent hung up");
    ada.prompt(&session, "and now");
    ada.said(&session, "you said and now");
    assert_eq!(ended(&mut ada, &session), "finished");
    codex.check();
}

#[test]
fn an_interrupted_command_ends_its_turn_and_dies_with_the_session_at_the_latest() {
    let Some(codex) = Codex::started() else { return };
    let mut ada = codex.client();
    let session = codex.create(&mut ada);
    ada.prompt(&session, &run_until(&codex));
    decide(&mut ada, &session, "allow_once");
    file(&codex, "began");
    ada.ok("interrupt", json!({"session_id": session}));
    assert_eq!(ended(&mut ada, &session), "interrupted");
    ada.prompt(&session, "and now");
    assert_eq!(ended(&mut ada, &session), "finished");
    codex.check();
    ada.ok("kill_session", json!({"session_id": session}));
    let left = processes::running(&codex.env.path("go"));
    assert!(left.is_empty(), "the command lives on: {left:?}");
    fs::write(codex.env.path("go"), "").expect("a file can be made");
    assert!(!Path::new(&codex.env.path("done")).exists());
}

#[test]
fn a_killed_session_leaves_no_process_of_the_agent_or_its_tools() {
    let Some(codex) = Codex::started() else { return };
    let mut ada = codex.client();
    let session = codex.create(&mut ada);
    ada.prompt(&session, &run_until(&codex));
    decide(&mut ada, &session, "allow_once");
    file(&codex, "began");
    let of_agent = || {
        let mut processes = codex.env.processes();
        processes
            .retain(|process| ["vibesd", "model.py"].iter().all(|other| !process.command.contains(other)));
        processes
    };
    assert!(
        of_agent().len() >= 4,
        "the runner, the agent's two processes and the command: {:#?}",
        of_agent()
    );
    ada.ok("kill_session", json!({"session_id": session}));
    codex.env.runner_gone(&session);
    assert!(of_agent().is_empty(), "alive after the kill: {:#?}", of_agent());
    let records = oracle::journal(&mut ada, &session);
    assert_eq!(turns(&records)[0].outcome, "interrupted");
    codex.check();
}

#[test]
fn the_conversation_goes_on_in_a_new_process_and_is_not_told_twice() {
    let Some(codex) = Codex::started() else { return };
    let mut ada = codex.client();
    let session = codex.create(&mut ada);
    ada.prompt(&session, "the word is heron");
    ada.state(&session, "idle");
    assert_eq!(ended(&mut ada, &session), "finished");
    codex.env.vibes(&["suspend", &session]).ok();
    ada.state(&session, "suspended");
    codex.env.vibes(&["resume", &session]).ok();
    ada.prompt(&session, "and the first again");
    assert_eq!(ended(&mut ada, &session), "finished");
    // A crash is no different.
    let mut eve = codex.env.client("eve");
    eve.subscribe(&session, "end", "viewer");
    let status = eve.ok("daemon_status", json!({}));
    let agent = status["runners"][0]["agent_pid"].as_i64().expect("the agent's process is known");
    processes::signal(i32::try_from(agent).expect("a pid"), Signal::KILL);
    eve.fact(&session, "agent_exited");
    ada.prompt(&session, "and the second");
    assert_eq!(ended(&mut ada, &session), "finished");
    let journals = codex.check();
    let ready = journals[&session].iter().filter(|record| record["fact"]["kind"] == "agent_ready");
    let ready: Vec<_> = ready.map(|record| record["fact"]["how"].clone()).collect();
    assert_eq!(ready, ["new", "resume", "resume"]);
    let last = codex.calls().pop().expect("the model was called");
    let told: Vec<&str> = last.messages.iter().map(|(_, text)| text.as_str()).collect();
    assert_eq!(
        told,
        [
            "the word is heron",
            "you said the word is heron",
            "and the first again",
            "you said and the first again",
            "and the second",
        ]
    );
}

#[test]
fn a_model_that_fails_fails_the_turn_in_its_own_words() {
    let Some(codex) = Codex::started() else { return };
    let mut ada = codex.client();
    let session = codex.create(&mut ada);
    ada.prompt(&session, "[[fail: 400]] this");
    let record = ada.fact(&session, "turn_ended");
    assert_eq!(record["fact"]["outcome"], "failed", "{record}");
    let error = record["fact"]["error"].as_str().expect("a failure says why");
    assert!(error.contains("as it was told"), "{error}");
    ada.prompt(&session, "carry on");
    assert_eq!(ended(&mut ada, &session), "finished");
    codex.check();
}

#[test]
fn a_key_reaches_the_agent_from_the_terminal_and_its_want_is_told() {
    let Some(codex) = Codex::started() else { return };
    let config = codex.env.path("home/.codex/config.toml");
    let before = fs::read_to_string(&config).expect("the agent has a configuration");
    let mut ada = codex.client();
    // Codex's own service, which nobody has logged in to.
    fs::write(&config, before.replace("model_provider = ", "# ")).expect("it can be written");
    let ran = codex.env.vibes(&["run", "codex", "--wait-ready", "-d"]).exits(7);
    for told in ["it wants credentials: ", "Use OPENAI_API_KEY"] {
        assert!(ran.stderr.contains(told), "{}", ran.stderr);
    }
    // A service that takes a key.
    fs::write(&config, before.replace("wire_api", "env_key = \"OPENAI_API_KEY\"\nwire_api"))
        .expect("likewise");
    let run = |prompt: &str, more: &[(&str, &str)]| {
        let started =
            codex.env.spawn_vibes(&["run", "codex", "--wait-ready", "-d", prompt], "", more).wait().ok();
        started.line().to_owned()
    };
    let without = run("without a key", &[]);
    ada.subscribe(&without, 0, "writer");
    let record = ada.fact(&without, "turn_ended");
    assert_eq!(record["fact"]["outcome"], "failed");
    assert!(record["fact"]["error"].to_string().contains("OPENAI_API_KEY"), "{record}");
    let with = run("with a key", &[("OPENAI_API_KEY", "sk-none")]);
    ada.subscribe(&with, 0, "writer");
    assert_eq!(ended(&mut ada, &with), "finished");
    // It is started again from another terminal, which has the key too.
    codex.env.vibes(&["suspend", &with]).ok();
    codex.env.spawn_vibes(&["resume", &with], "", &[("OPENAI_API_KEY", "sk-none")]).wait().ok();
    ada.prompt(&with, "still with a key");
    assert_eq!(ended(&mut ada, &with), "finished");
    codex.check();
}
