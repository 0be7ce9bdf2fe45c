//! A conversation outlives the process of its agent.

use super::{answered, ended, of_agent, works};
use rustix::process::Signal;
use vibes_tests::{Real, Wire, agents::Agent, processes};

/// Kills the agent's process and waits until that is known.
fn kill(wire: &mut Wire, session: &str) {
    processes::signal(processes::of(wire, session, "agent_pid"), Signal::KILL);
    wire.wait_for("the agent is gone", |message| {
        message["fact"]["kind"] == "agent_exited" && message["fact"]["signal"] == 9
    });
}

pub fn conversation(agent: &'static Agent) {
    let Some(real) = Real::started(agent) else { return };
    let mut ada = real.client();
    let session = real.create(&mut ada);
    answered(&mut ada, &session, "the word is heron");
    ada.state(&session, "idle");
    real.env.vibes(&["suspend", &session]).ok();
    ada.state(&session, "suspended");
    real.env.vibes(&["resume", &session]).ok();
    answered(&mut ada, &session, "and the first again");
    // A crash is no different.
    kill(&mut ada, &session);
    answered(&mut ada, &session, "and the second");
    // Nor is one in the middle of an answer: that one is not asked again.
    ada.prompt(&session, &format!("[[until: {}]] the third", real.env.path("never")));
    ada.said(&session, "w3 ");
    kill(&mut ada, &session);
    // What outlives the signal may say itself that the turn is cancelled.
    assert_ne!(ended(&mut ada, &session), "finished");
    answered(&mut ada, &session, "and the fourth");
    let journals = real.check();
    let ready = journals[&session].iter().filter(|record| record["fact"]["kind"] == "agent_ready");
    for (n, ready) in ready.enumerate() {
        let lost = ready["fact"]["context_lost"] == true;
        let how = if n == 0 || lost { "new" } else { agent.resumes };
        assert_eq!(ready["fact"]["how"], how, "{ready}");
        assert!(!lost || agent.forgets, "{ready}");
    }
    if agent.forgets {
        return;
    }
    let told = &real
        .calls()
        .into_iter()
        .find(|call| call.prompt() == "and the second")
        .expect("it was asked")
        .messages;
    let told: Vec<&str> = told.iter().map(|(_, text)| text.as_str()).collect();
    let expected = [
        "the word is heron",
        "you said the word is heron",
        "and the first again",
        "you said and the first again",
        "and the second",
    ];
    assert_eq!(told, expected, "the agent remembers all of it once");
}

/// The daemon is replaced by a newer one, and its agents are stopped with it while a command runs: by then nothing of them lives, and
/// what comes next goes to an agent of the next daemon that remembers. The store that it finds is one of the first version.
pub fn replaced(agent: &'static Agent) {
    let Some(real) = Real::started(agent) else { return };
    let mut ada = real.client();
    let session = real.create(&mut ada);
    answered(&mut ada, &session, "the word is heron");
    works(&real, &mut ada, &session);
    real.env.vibes(&["daemon", "stop", "--agents"]).ok();
    ada.wait_closed();
    let left = of_agent(&real);
    assert!(left.is_empty(), "alive after the stop: {left:#?}");
    real.env.as_of_schema(1);
    real.env.daemon();
    let mut ada = real.client();
    ada.subscribe(&session, 0, "writer");
    assert_eq!(ended(&mut ada, &session), "finished");
    // Stopped in the middle of it: what it became, but no success.
    assert_ne!(ended(&mut ada, &session), "finished");
    answered(&mut ada, &session, "what was the word");
    assert!(!std::path::Path::new(&real.env.path("done")).exists(), "what was stopped was not begun again");
    real.check();
    let calls = real.calls();
    let asked = calls.iter().find(|call| call.prompt() == "what was the word").expect("it was asked");
    let told = asked.messages.iter().map(|(_, text)| text).chain(&asked.earlier);
    let known: String = told.map(String::as_str).collect();
    assert!(known.contains("the word is heron"), "it remembers, or was told: {known}");
}

pub fn forgotten(agent: &'static Agent) {
    let Some(real) = Real::started(agent) else { return };
    let mut ada = real.client();
    let session = real.create(&mut ada);
    answered(&mut ada, &session, "the word is heron");
    ada.state(&session, "idle");
    real.env.vibes(&["suspend", &session]).ok();
    ada.state(&session, "suspended");
    std::fs::remove_dir_all(real.env.path(agent.memory)).expect("the agent keeps its conversations there");
    real.env.vibes(&["resume", &session]).ok();
    answered(&mut ada, &session, "what was it");
    answered(&mut ada, &session, "and once more");
    let journals = real.check();
    let facts = |kind: &str| -> Vec<_> {
        journals[&session].iter().map(|record| &record["fact"]).filter(|fact| fact["kind"] == kind).collect()
    };
    let lost = facts("agent_ready").into_iter().filter(|ready| ready["context_lost"] == true).count();
    assert_eq!(lost, 1, "{:?}", facts("agent_ready"));
    let [told] = facts("context_added")[..] else { panic!("{:?}", facts("context_added")) };
    assert_eq!((&told["turns"], &told["turn"]), (&1.into(), &2.into()));
    // What the record says is what the model was told.
    let calls = real.calls();
    let call = |prompt: &str| calls.iter().find(|call| call.prompt().contains(prompt)).expect("it was asked");
    let earlier = told["text"].as_str().expect("a text");
    assert!(earlier.contains("Person: the word is heron\nAgent: you said the word is heron\n"), "{earlier}");
    assert_eq!(call("what was it").earlier, [earlier]);
    assert_eq!(call("and once more").earlier.len(), 1, "once, as part of the conversation");
}

pub fn forked(agent: &'static Agent) {
    let Some(real) = Real::started(agent) else { return };
    let mut ada = real.client();
    let session = real.create(&mut ada);
    answered(&mut ada, &session, "the word is heron");
    ada.state(&session, "idle");
    let fork = ada.ok(
        "fork_session",
        serde_json::json!({"session_id": session, "env": real.client_env(&mut real.client()),
        "subscribe": true}),
    );
    let fork = fork["session"]["id"].as_str().expect("an id").to_owned();
    answered(&mut ada, &fork, "what was it");
    answered(&mut ada, &session, "the other goes on");
    let calls = real.calls();
    let call = |prompt: &str| calls.iter().find(|call| call.prompt() == prompt).expect("it was asked");
    let shown: String = call("what was it").messages.iter().map(|(_, text)| text.as_str()).collect();
    let told = call("what was it").earlier.concat();
    assert_eq!(shown.matches("the word is heron").count(), if agent.forks { 2 } else { 0 }, "{shown}");
    assert_eq!(told.matches("the word is heron").count(), if agent.forks { 0 } else { 2 }, "{told}");
    let other: String = call("the other goes on").messages.iter().map(|(_, text)| text.as_str()).collect();
    assert!(other.contains("the word is heron") && !other.contains("what was it"), "{other}");
    let journals = real.check();
    let ready =
        journals[&fork].iter().find(|record| record["fact"]["kind"] == "agent_ready").expect("it was ready");
    assert_eq!(ready["fact"]["how"], if agent.forks { "fork" } else { "new" });
}
