//! The daemon is killed while a real agent is in the middle of something: nothing is lost, nothing is done twice.
//!
//! Invariant: after every test the model was asked once per prompt, and the journal holds what it said word for word.

use crate::real_agent::{decide, ended, file, run, run_until};
use serde_json::json;
use std::{fs, path::Path};
use vibes_tests::{Codex, turns};

#[test]
fn what_the_agent_streams_while_no_daemon_lives_is_there_afterwards() {
    let Some(codex) = Codex::started() else { return };
    let mut ada = codex.client();
    let session = codex.create(&mut ada);
    let prompt = format!("[[until: {}]] the end", codex.env.path("go"));
    ada.prompt(&session, &prompt);
    ada.said(&session, "w5 ");
    // Killed while it streams, twice; the last time nobody is there when it ends.
    let mut ada = codex.kill_daemon();
    ada.subscribe(&session, 0, "writer");
    ada.said(&session, "w50 ");
    codex.env.daemon().kill9();
    fs::write(codex.env.path("go"), "").expect("a file can be made");
    codex.called("the answer is over", |call| call.prompt() == prompt && call.whole);
    codex.env.daemon();
    let mut ada = codex.client();
    ada.subscribe(&session, 0, "writer");
    assert_eq!(ended(&mut ada, &session), "finished");
    assert!(ada.text(&session).ends_with("you said the end"));
    codex.check();
}

/// The daemon dies while the question waits, and again when the answer was accepted. Returns the turn's outcome.
fn answered_across_daemons(codex: &Codex, command: &str, decision: &str) -> String {
    let mut ada = codex.client();
    let session = codex.create(&mut ada);
    ada.prompt(&session, &run(command));
    let permission = ada.permission(&session);
    let mut ada = codex.kill_daemon();
    let joined = ada.subscribe(&session, 0, "writer");
    assert_eq!(joined["pending_permissions"], json!([permission]), "the same id, the same hash");
    assert_eq!(ada.decide(&session, &permission, decision)["type"], "ok");
    let mut ada = codex.kill_daemon();
    ada.subscribe(&session, 0, "writer");
    let outcome = ended(&mut ada, &session);
    assert_eq!(ada.decide(&session, &permission, decision)["code"], "ALREADY_DECIDED");
    codex.check();
    outcome
}

#[test]
fn fault_71_a_command_that_is_allowed_after_a_restart_runs_once() {
    let Some(codex) = Codex::started() else { return };
    let path = codex.env.path("ran");
    assert_eq!(answered_across_daemons(&codex, &format!("echo ran >> {path}"), "allow_once"), "finished");
    assert_eq!(fs::read_to_string(path).expect("it ran"), "ran\n");
}

#[test]
fn fault_71_a_command_that_is_denied_after_a_restart_never_runs() {
    let Some(codex) = Codex::started() else { return };
    let path = codex.env.path("ran");
    assert_eq!(answered_across_daemons(&codex, &format!("echo ran >> {path}"), "reject_once"), "interrupted");
    assert!(!Path::new(&path).exists(), "what was denied did not run");
}

#[test]
fn a_command_that_runs_outlives_the_daemon() {
    let Some(codex) = Codex::started() else { return };
    let mut ada = codex.client();
    let session = codex.create(&mut ada);
    ada.prompt(&session, &run_until(&codex));
    decide(&mut ada, &session, "allow_once");
    file(&codex, "began");
    let mut ada = codex.kill_daemon();
    ada.subscribe(&session, 0, "writer");
    fs::write(codex.env.path("go"), "").expect("a file can be made");
    assert_eq!(ended(&mut ada, &session), "finished");
    file(&codex, "done");
    codex.check();
}

#[test]
fn an_interrupt_is_carried_out_by_whichever_daemon_lives() {
    let Some(codex) = Codex::started() else { return };
    let mut ada = codex.client();
    let session = codex.create(&mut ada);
    let never = codex.env.path("never");
    for (round, wait_for_answer) in [(1, true), (2, true), (3, false), (4, false)] {
        ada.prompt(&session, &format!("[[until: {never}]] round {round}"));
        ada.wait_for("the agent talks", |message| message["fact"]["update"]["content"]["text"] == "w3 ");
        let id = ada.ask("interrupt", json!({"session_id": session}));
        if wait_for_answer {
            ada.wait_for("the interrupt is accepted", |message| message["request_id"] == *id);
        }
        ada = codex.kill_daemon();
        ada.subscribe(&session, "end", "writer");
        if !wait_for_answer {
            // Whoever got no answer asks again; an interrupt of what is over is no fault.
            ada.request("interrupt", json!({"session_id": session}));
        }
        ada.state(&session, "idle");
    }
    ada.prompt(&session, "and now");
    ada.said(&session, "you said and now");
    ada.state(&session, "idle");
    let journals = codex.check();
    let outcomes: Vec<_> = turns(&journals[&session]).into_iter().map(|turn| turn.outcome).collect();
    assert_eq!(outcomes, ["interrupted", "interrupted", "interrupted", "interrupted", "finished"]);
}

#[test]
fn a_resumption_goes_on_under_the_next_daemon() {
    let Some(codex) = Codex::started() else { return };
    let mut ada = codex.client();
    let session = codex.create(&mut ada);
    let mut told = Vec::new();
    for (round, wait) in ["nothing", "the answer", "the runner", "the prompt"].iter().enumerate() {
        let prompt = format!("round {round}");
        ada.prompt(&session, &prompt);
        ada.said(&session, &format!("you said {prompt}"));
        ada.state(&session, "idle");
        told.extend([prompt.clone(), format!("you said {prompt}")]);
        ada.ok("suspend_session", json!({"session_id": session}));
        ada.state(&session, "suspended");
        let asked = ada.ask("resume_session", json!({"session_id": session}));
        match *wait {
            "the answer" => drop(ada.wait_for("it is resumed", |message| message["request_id"] == *asked)),
            "the runner" => drop(ada.fact(&session, "agent_started")),
            "the prompt" => drop(ada.prompt(&session, "in between")),
            _ => {}
        }
        ada = codex.kill_daemon();
        ada.subscribe(&session, "end", "writer");
        if ada.ok("get_session", json!({"session_id": session}))["session"]["state"] == "suspended" {
            // It died before it had taken the request.
            ada.ok("resume_session", json!({"session_id": session}));
        }
        ada.state(&session, "idle");
    }
    ada.prompt(&session, "at last");
    ada.said(&session, "you said at last");
    ada.state(&session, "idle");
    let last = codex.called("the last prompt", |call| call.prompt() == "at last");
    told.extend(["in between", "you said in between", "at last"].map(str::to_owned));
    assert_eq!(last.messages.into_iter().map(|(_, text)| text).collect::<Vec<_>>(), told);
    let journals = codex.check();
    let lost = journals[&session].iter().find(|record| record["fact"]["context_lost"] == true);
    assert!(lost.is_none(), "{lost:?}");
}
