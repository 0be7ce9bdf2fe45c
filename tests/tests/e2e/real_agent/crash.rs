//! The daemon is killed while a real agent is in the middle of something: nothing is lost, nothing is done twice.
//!
//! Invariant: after every test the model was asked once per prompt, and the journal holds what it said word for word.

use super::{at_work, ended, file, run};
use serde_json::json;
use std::{fs, path::Path};
use vibes_tests::{Real, agents, agents::Agent, turns};

pub fn streaming(agent: &'static Agent) {
    let Some(real) = Real::started(agent) else { return };
    let mut ada = real.client();
    let session = real.create(&mut ada);
    let prompt = format!("[[until: {}]] the end", real.env.path("go"));
    ada.prompt(&session, &prompt);
    ada.said(&session, "w5 ");
    // Killed while it streams, twice; the last time nobody is there when it ends.
    let mut ada = real.kill_daemon();
    ada.subscribe(&session, 0, "writer");
    ada.said(&session, "w50 ");
    real.env.daemon().kill9();
    fs::write(real.env.path("go"), "").expect("a file can be made");
    real.called("the answer is over", |call| call.prompt() == prompt && call.whole);
    real.env.daemon();
    let mut ada = real.client();
    ada.subscribe(&session, 0, "writer");
    assert_eq!(ended(&mut ada, &session), "finished");
    assert!(ada.text(&session).ends_with("you said the end"));
    real.check();
}

/// The daemon dies while the question waits, and again when the answer was accepted. Returns the turn's outcome.
fn answered_across_daemons(real: &Real, command: &str, decision: &str) -> String {
    let mut ada = real.client();
    let session = real.create(&mut ada);
    ada.prompt(&session, &run(command));
    let permission = ada.permission(&session);
    let mut ada = real.kill_daemon();
    let joined = ada.subscribe(&session, 0, "writer");
    assert_eq!(joined["pending_permissions"], json!([permission]), "the same id, the same hash");
    assert_eq!(ada.decide(&session, &permission, decision)["type"], "ok");
    let mut ada = real.kill_daemon();
    ada.subscribe(&session, 0, "writer");
    let outcome = ended(&mut ada, &session);
    assert_eq!(ada.decide(&session, &permission, decision)["code"], "ALREADY_DECIDED");
    real.check();
    outcome
}

pub fn asking(agent: &'static Agent) {
    let Some(real) = Real::started(agent) else { return };
    let (yes, no) = (real.env.path("yes"), real.env.path("no"));
    assert_eq!(answered_across_daemons(&real, &format!("echo ran >> {yes}"), "allow_once"), "finished");
    assert_eq!(fs::read_to_string(yes).expect("it ran"), "ran\n");
    assert_eq!(answered_across_daemons(&real, &format!("echo ran >> {no}"), "reject_once"), agent.denied);
    assert!(!Path::new(&no).exists(), "what was denied did not run");
}

pub fn working(agent: &'static Agent) {
    let Some(real) = Real::started(agent) else { return };
    let (_lost, session) = at_work(&real);
    let mut ada = real.kill_daemon();
    ada.subscribe(&session, 0, "writer");
    fs::write(real.env.path("go"), "").expect("a file can be made");
    assert_eq!(ended(&mut ada, &session), "finished");
    file(&real, "done");
    real.check();
}

#[test]
fn an_interrupt_is_carried_out_by_whichever_daemon_lives() {
    let Some(real) = Real::started(&agents::CODEX) else { return };
    let mut ada = real.client();
    let session = real.create(&mut ada);
    let never = real.env.path("never");
    for (round, wait_for_answer) in [(1, true), (2, true), (3, false), (4, false)] {
        ada.prompt(&session, &format!("[[until: {never}]] round {round}"));
        ada.wait_for("the agent talks", |message| message["fact"]["update"]["content"]["text"] == "w3 ");
        let id = ada.ask("interrupt", json!({"session_id": session}));
        if wait_for_answer {
            ada.wait_for("the interrupt is accepted", |message| message["request_id"] == *id);
        }
        ada = real.kill_daemon();
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
    let journals = real.check();
    let outcomes: Vec<_> = turns(&journals[&session]).into_iter().map(|turn| turn.outcome).collect();
    assert_eq!(outcomes, ["interrupted", "interrupted", "interrupted", "interrupted", "finished"]);
}

#[test]
fn a_resumption_goes_on_under_the_next_daemon() {
    let Some(real) = Real::started(&agents::CODEX) else { return };
    let mut ada = real.client();
    let session = real.create(&mut ada);
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
        ada = real.kill_daemon();
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
    let last = real.called("the last prompt", |call| call.prompt() == "at last");
    told.extend(["in between", "you said in between", "at last"].map(str::to_owned));
    assert_eq!(last.messages.into_iter().map(|(_, text)| text).collect::<Vec<_>>(), told);
    let journals = real.check();
    let lost = journals[&session].iter().find(|record| record["fact"]["context_lost"] == true);
    assert!(lost.is_none(), "{lost:?}");
}
