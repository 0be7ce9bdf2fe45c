//! Prompts and answers: streamed, queued, interrupted.

use super::{answered, ended, interrupt};
use serde_json::json;
use std::fs;
use vibes_tests::{PNG, PNG_BASE64, Pty, Real, agents::Agent, turns};

pub fn streamed(agent: &'static Agent) {
    let Some(real) = Real::started(agent) else { return };
    let ran = real.env.vibes(&real.run(&["--wait-ready", "-d", "[[stream: 200]] hello"])).ok();
    let session = ran.line();
    let mut ada = real.client();
    ada.subscribe(session, 0, "writer");
    assert_eq!(ended(&mut ada, session), "finished");
    let turns = turns(&real.check()[session]);
    assert!(turns[0].pieces >= agent.pieces, "200 words came in {} pieces", turns[0].pieces);
    assert!(real.env.vibes(&["logs", session]).ok().stdout.contains("w0 w1 w2"));
    let pty = Pty::vibes(&real.env, &["attach", session]);
    pty.wait_for_text("you said hello");
    pty.keys("and again\r");
    pty.wait_for_text("you said and again");
    real.reached_nobody();
}

pub fn queued(agent: &'static Agent) {
    let Some(real) = Real::started(agent) else { return };
    let mut ada = real.client();
    let session = real.create(&mut ada);
    let first = format!("[[until: {}]] the first", real.env.path("go"));
    let prompts = [&first, "the second", "the third", "the fourth"];
    for prompt in prompts {
        ada.prompt(&session, prompt);
    }
    ada.said(&session, "w3 ");
    assert_eq!(real.calls().len(), 1, "one prompt at a time, whatever the agent would take");
    let waits = ada.ok("get_session", json!({"session_id": session}));
    assert_eq!(waits["session"]["queued"], 3);
    fs::write(real.env.path("go"), "").expect("a file can be made");
    for _ in prompts {
        assert_eq!(ended(&mut ada, &session), "finished");
    }
    real.check();
    let asked: Vec<String> = real.calls().iter().map(|call| call.prompt().to_owned()).collect();
    assert_eq!(asked, prompts);
}

pub fn interrupted(agent: &'static Agent) {
    let Some(real) = Real::started(agent) else { return };
    let mut ada = real.client();
    let session = real.create(&mut ada);
    let endless = format!("[[until: {}]] talk", real.env.path("never"));
    // Twice: what is left of one interrupt must not spoil the next.
    for round in ["once", "twice"] {
        let prompt = format!("{endless} {round}");
        ada.prompt(&session, &prompt);
        ada.wait_for("the agent talks", |message| {
            message["fact"]["update"]["content"]["text"].as_str().is_some_and(|text| text.contains("w5 "))
        });
        interrupt(&mut ada, &session);
        assert_eq!(ended(&mut ada, &session), "interrupted");
        let told = "the model is told to stop";
        let call = real.called(told, |call| call.prompt() == prompt && call.said.is_some());
        assert!(!call.whole, "the agent hung up");
        answered(&mut ada, &session, &format!("and now {round}"));
        ada.said(&session, &format!("you said and now {round}"));
    }
    real.check();
}

pub fn attached(agent: &'static Agent) {
    let Some(real) = Real::started(agent) else { return };
    let mut ada = real.client();
    let session = real.create(&mut ada);
    ada.state(&session, "idle");
    let (image, notes) = (real.env.path("work/a.png"), real.env.path("work/notes.txt"));
    fs::write(&image, PNG).expect("it is written");
    fs::write(&notes, "the word is heron\n").expect("it is written");
    let mut send = |files: &[&str]| {
        let files = files.iter().flat_map(|file| ["--attach", file]);
        let words: Vec<&str> = ["send", &session, "look at these"].into_iter().chain(files).collect();
        real.env.vibes(&words).ok();
        let ended = ada.fact(&session, "turn_ended");
        assert_eq!(ended["fact"]["outcome"], "finished", "{ended}");
    };
    if agent.one_at_a_time {
        send(&[&notes]);
        send(&[&image]);
    } else {
        send(&[&image, &notes]);
    }
    let call = real.called("the model sees the picture", |call| !call.pictures.is_empty());
    assert_eq!(call.pictures, [PNG_BASE64], "it is the same picture");
    let shown: String = call.messages.iter().map(|(_, text)| text.as_str()).collect();
    assert!(shown.contains("look at these") && shown.contains("the word is heron"), "{shown}");
}
