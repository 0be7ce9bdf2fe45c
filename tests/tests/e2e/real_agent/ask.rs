//! What an agent asks before it acts, and what it leaves running.

use super::{answered, at_work, ended, interrupt, of_agent, run};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{fs, path::Path};
use vibes_tests::{Real, agents::Agent, oracle, processes, turns};

pub fn approved_and_denied(agent: &'static Agent) {
    let Some(real) = Real::started(agent) else { return };
    let mut ada = real.client();
    let session = real.create(&mut ada);
    let (yes, no) = (real.env.path("yes"), real.env.path("no"));
    ada.prompt(&session, &run(&format!("echo ran > {yes}")));
    let permission = ada.permission(&session);
    assert!(!Path::new(&yes).exists(), "it runs only after it is allowed");
    assert!(permission.to_string().contains(&yes), "a person sees what is to run: {permission}");
    real.env.vibes(&["approve", &session]).ok();
    assert_eq!(ended(&mut ada, &session), "finished");
    assert_eq!(fs::read_to_string(&yes).expect("the command ran"), "ran\n");
    ada.prompt(&session, &run(&format!("echo ran > {no}")));
    ada.permission(&session);
    real.env.vibes(&["deny", &session]).ok();
    assert_eq!(ended(&mut ada, &session), agent.denied);
    answered(&mut ada, &session, "carry on");
    ada.said(&session, "you said carry on");
    assert!(!Path::new(&no).exists(), "what was denied did not run");
    closed(&real.check()[&session]);
}

/// Every tool call that was told of has been told to be over.
fn closed(records: &[Value]) {
    let mut open = std::collections::BTreeMap::new();
    for update in records.iter().map(|record| &record["fact"]["update"]) {
        if let Some(id) = update["toolCallId"].as_str() {
            let status = update["status"].as_str();
            let over = status.is_some_and(|status| ["completed", "failed"].contains(&status));
            *open.entry(id).or_insert(false) |= over;
        }
    }
    let open: Vec<_> = open.into_iter().filter(|(_, over)| !over).map(|(id, _)| id).collect();
    assert!(open.is_empty(), "tool calls that look as if they ran: {open:?}");
}

pub fn interrupted(agent: &'static Agent) {
    let Some(real) = Real::started(agent) else { return };
    let mut ada = real.client();
    let session = real.create(&mut ada);
    let ran = real.env.path("ran");
    ada.prompt(&session, &run(&format!("echo ran > {ran}")));
    let permission = ada.permission(&session);
    interrupt(&mut ada, &session);
    let resolved = ada.fact(&session, "permission_resolved");
    assert_eq!(resolved["fact"]["outcome"], "cancelled");
    assert_eq!(ended(&mut ada, &session), "interrupted");
    assert_eq!(ada.decide(&session, &permission, "allow_once")["code"], "ALREADY_DECIDED");
    answered(&mut ada, &session, "and now");
    ada.said(&session, "you said and now");
    assert!(!Path::new(&ran).exists(), "what nobody allowed did not run");
    closed(&real.check()[&session]);
}

pub fn interrupted_at_work(agent: &'static Agent) {
    let Some(real) = Real::started(agent) else { return };
    let (mut ada, session) = at_work(&real);
    interrupt(&mut ada, &session);
    assert_eq!(ended(&mut ada, &session), "interrupted");
    answered(&mut ada, &session, "and now");
    closed(&real.check()[&session]);
    ada.ok("kill_session", json!({"session_id": session}));
    let left = processes::running(&real.env.path("go"));
    assert!(left.is_empty(), "the command lives on: {left:?}");
    fs::write(real.env.path("go"), "").expect("a file can be made");
    assert!(!Path::new(&real.env.path("done")).exists());
}

pub fn killed_at_work(agent: &'static Agent) {
    let Some(real) = Real::started(agent) else { return };
    let (mut ada, session) = at_work(&real);
    let living = of_agent(&real);
    assert!(living.len() >= 3, "the runner, the agent and the command: {living:#?}");
    ada.ok("kill_session", json!({"session_id": session}));
    real.env.runner_gone(&session);
    let left = of_agent(&real);
    assert!(left.is_empty(), "alive after the kill: {left:#?}");
    let records = oracle::journal(&mut ada, &session);
    assert_eq!(turns(&records)[0].outcome, "interrupted");
    closed(&records);
    real.check();
}

pub fn agent_killed_at_work(agent: &'static Agent) {
    let Some(real) = Real::started(agent) else { return };
    let (mut ada, session) = at_work(&real);
    processes::signal(processes::of(&mut ada, &session, "agent_pid"), Signal::KILL);
    assert_ne!(ended(&mut ada, &session), "finished");
    ada.wait_for("the agent is gone", |message| message["fact"]["kind"] == "agent_exited");
    let left = processes::running(&real.env.path("go"));
    assert!(left.is_empty(), "the command lives on: {left:?}");
    answered(&mut ada, &session, "and now");
    assert!(!Path::new(&real.env.path("done")).exists());
    closed(&oracle::journal(&mut ada, &session));
}
