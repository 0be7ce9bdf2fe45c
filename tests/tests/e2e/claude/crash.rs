//! Daemon and agent are killed while Claude Code is in the middle of something.
//!
//! Invariant: nothing that was said is lost, nothing is done or told twice, and the conversation goes on.

use super::{ended, is_there, touch};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::fs;
use vibes_tests::{Claude, processes};

/// How many pieces of the prompt's history the journal has: the words must be there once.
fn count(text: &str, word: &str) -> usize {
    text.matches(word).count()
}

#[test]
fn what_is_streamed_while_no_daemon_lives_is_there_afterwards() {
    let Some(claude) = Claude::started() else { return };
    let mut ada = claude.client();
    let session = claude.create(&mut ada, json!({}));
    let go = claude.env.path("go");
    ada.prompt(&session, &format!("[[until: {go}]] the end"));
    ada.said(&session, "w5 ");
    let mut ada = claude.kill_daemon(&session);
    ada.said(&session, "w50 ");
    claude.env.daemon().kill9();
    fs::write(&go, "").expect("a file can be made");
    vibes_tests::eventually("the answer is over", || {
        claude
            .log()
            .iter()
            .any(|entry| entry["said"].as_str().is_some_and(|said| said.ends_with("the end")))
            .then_some(())
    });
    claude.env.daemon();
    let mut ada = claude.client();
    ada.subscribe(&session, 0, "writer");
    assert_eq!(ended(&mut ada, &session)["outcome"], "finished");
    assert_eq!(count(&ada.text(&session), "w7 "), 1);
    claude.check();
}

#[test]
fn a_question_outlives_the_daemon_and_is_answered_once() {
    let Some(claude) = Claude::started() else { return };
    for (name, decision, there) in [("yes", "allow_once", true), ("no", "reject_once", false)] {
        let mut ada = claude.client();
        let session = claude.create(&mut ada, json!({}));
        ada.prompt(&session, &format!("[[run: echo ran >> {}]] {name}", claude.env.path(name)));
        let permission = ada.permission(&session);
        let mut ada = claude.kill_daemon(&session);
        assert_eq!(ada.permission(&session), permission, "the same id, the same hash");
        assert_eq!(ada.decide(&session, &permission, decision)["type"], "ok");
        let mut ada = claude.kill_daemon(&session);
        assert_eq!(ended(&mut ada, &session)["outcome"], "finished");
        assert_eq!(ada.decide(&session, &permission, decision)["code"], "ALREADY_DECIDED");
        assert_eq!(is_there(&claude, name), there);
        if there {
            assert_eq!(fs::read_to_string(claude.env.path(name)).expect("it ran"), "ran\n");
        }
    }
    claude.check();
}

#[test]
fn an_agent_that_is_killed_is_started_again_and_remembers() {
    let Some(claude) = Claude::started() else { return };
    let mut ada = claude.client();
    let session = claude.create(&mut ada, json!({}));
    ada.prompt(&session, "remember the plum");
    assert_eq!(ended(&mut ada, &session)["outcome"], "finished");
    ada.prompt(&session, &format!("[[until: {}]] talk", claude.env.path("never")));
    ada.said(&session, "w3 ");
    processes::signal(processes::of(&mut ada, &session, "agent_pid"), Signal::KILL);
    assert_eq!(ended(&mut ada, &session)["outcome"], "failed");
    ada.state(&session, "idle");
    ada.prompt(&session, "what was it");
    assert_eq!(ended(&mut ada, &session)["outcome"], "finished");
    let shown = claude.asked("what was it");
    assert_eq!(shown[0][1], "remember the plum", "{shown:?}");
    let text = ada.text(&session);
    assert_eq!(count(&text, "you said remember the plum"), 1, "history is not told twice: {text}");
    claude.check();
}

#[test]
fn a_suspended_conversation_is_taken_up_and_not_told_twice() {
    let Some(claude) = Claude::started() else { return };
    let mut ada = claude.client();
    let session = claude.create(&mut ada, json!({}));
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
            claude.env.daemon().kill9();
            claude.env.daemon();
            ada = claude.client();
            ada.subscribe(&session, "end", "writer");
            ada.ok("resume_session", json!({"session_id": session, "env": claude.client_env()}));
        }
    }
    let shown = claude.asked("round three");
    let said: Vec<&Value> = shown.iter().map(|message| &message[1]).collect();
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
    let Some(claude) = Claude::started() else { return };
    let mut ada = claude.client();
    let session = claude.create(&mut ada, json!({}));
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
