//! A session that goes on from another one: what its agent knows, and whose it is.
//!
//! Invariant: the agent knows what was said up to the fork, by its own copy or by being told, once; the other session does
//! not notice.

use serde_json::{Value, json};
use std::fs;
use vibes_tests::{TestEnv, Wire, oracle};

/// An environment with two agents: one that makes copies of its conversations, and one that cannot.
fn started() -> TestEnv {
    let mut env = TestEnv::new();
    let fake = env.variables()["VIBES_AGENT_FAKE"].clone();
    env.set("VIBES_AGENT_COPIER", &format!("{fake} --opts fork"));
    env.daemon();
    env
}

/// The requests that agents got, in order.
fn requests(env: &TestEnv) -> Vec<Value> {
    let heard = env.heard();
    let lines = heard.iter().filter(|entry| entry.kind == "in");
    lines.filter_map(|entry| serde_json::from_str::<Value>(&entry.line).ok()).collect()
}

/// The texts of the last prompt.
fn last_prompt(env: &TestEnv) -> Vec<String> {
    let requests = requests(env);
    let prompt =
        requests.iter().rfind(|request| request["method"] == "session/prompt").expect("there was one");
    let blocks = prompt["params"]["prompt"].as_array().into_iter().flatten();
    blocks.map(|block| block["text"].as_str().unwrap_or_default().to_owned()).collect()
}

fn turn(ada: &mut Wire, session: &str, prompt: &str) {
    ada.prompt(session, prompt);
    ada.fact(session, "turn_ended");
    ada.state(session, "idle");
}

/// Forks and waits for the first turn; returns the new session's id.
#[track_caller]
fn fork(env: &TestEnv, args: &[&str]) -> String {
    let id = env.vibes(&[&["fork", "-d"], args].concat()).ok().line().to_owned();
    env.vibes(&["wait", &id]).ok();
    id
}

fn shown(env: &TestEnv, session: &str) -> Value {
    env.vibes(&["show", session, "--json"]).ok().json()
}

#[test]
fn an_agent_that_makes_copies_goes_on_from_one() {
    let env = started();
    let mut ada = env.client("ada");
    let source = ada.create(&env, json!({"agent": "copier", "subscribe": true, "options": {"mode": "auto"}}));
    turn(&mut ada, &source, "say a heron");
    let before = shown(&env, &source);
    let copy = fork(&env, &[&source, "--name", "copy", "say more"]);
    let asked: Vec<Value> = requests(&env).iter().map(|request| request["method"].clone()).collect();
    assert_eq!(asked.iter().filter(|method| **method == "session/fork").count(), 1, "{asked:?}");
    assert_eq!(last_prompt(&env), ["say more"], "it is told nothing that it knows");
    let now = shown(&env, &copy);
    assert_eq!((&now["parent_id"], &now["forked_at"]), (&json!(source), &before["head"]));
    assert_eq!(
        (&now["agent"], &now["cwd"], &now["options"]),
        (&before["agent"], &before["cwd"], &before["options"])
    );
    // From now on it is a conversation of its own.
    env.vibes(&["suspend", "copy"]).ok();
    env.vibes(&["send", "copy", "--wait", "say again"]).ok();
    let requests = requests(&env);
    let of =
        |method: &str| requests.iter().rfind(|request| request["method"] == method).expect("it was asked");
    let source_conversation = &of("session/fork")["params"]["sessionId"];
    assert_ne!(&of("session/resume")["params"]["sessionId"], source_conversation);
    let journals = oracle::check(&env);
    let told = journals[&copy].iter().filter(|record| record["fact"]["kind"] == "context_added");
    assert_eq!(told.count(), 0);
    assert_eq!(shown(&env, &source)["head"], before["head"], "the other one did not notice");
    let ready = journals[&copy].iter().find(|record| record["fact"]["kind"] == "agent_ready");
    assert_eq!(ready.expect("it was ready")["fact"]["how"], "fork");
}

#[test]
fn another_agent_is_told_what_was_said_over_all_generations() {
    let env = started();
    let mut ada = env.client("ada");
    let source = ada.create(&env, json!({"agent": "copier", "subscribe": true}));
    turn(&mut ada, &source, "say a heron");
    let at = shown(&env, &source)["head"].to_string();
    turn(&mut ada, &source, "say a secret");
    // From before the second turn, by another agent.
    let first = fork(&env, &[&source, "--agent", "fake", "--at", &at, "say an ibis"]);
    let told = last_prompt(&env);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("Agent: a heron") && !told[0].contains("secret"), "{}", told[0]);
    // And on from there, when the first of them is killed and hidden.
    env.vibes(&["kill", &source]).ok();
    env.vibes(&["rm", &source]).ok();
    let second = fork(&env, &[&first, "--agent", "copier", "say a stork"]);
    let told = last_prompt(&env);
    assert_eq!(told.len(), 2, "{told:?}");
    for (n, said) in [(1, "a heron"), (2, "an ibis")] {
        assert!(told[0].contains(&format!("[turn {n}]\nPerson: say {said}\nAgent: {said}\n")), "{}", told[0]);
    }
    let now = shown(&env, &second);
    assert_eq!(now["parent_id"], json!(first));
    let logs = env.vibes(&["logs", &second]).ok().stdout;
    assert!(logs.contains(&format!("goes on from session {} at record", &first[..8])), "{logs}");
    assert!(logs.contains("the agent was told again what was said: 2 turns ("), "{logs}");
    assert!(env.vibes(&["show", &second]).ok().stdout.contains(&first[..8]));
    env.vibes(&["undelete", &source]).ok();
    oracle::check(&env);
}

#[test]
fn a_fork_that_the_agent_cannot_make_is_told_what_was_said() {
    let env = started();
    let mut ada = env.client("ada");
    let source = ada.create(&env, json!({"subscribe": true}));
    turn(&mut ada, &source, "say a heron");
    // The same agent has no copy to go on from; whoever kills the daemon before the first prompt changes nothing of it.
    let copy = env.vibes(&["fork", "-d", "--wait-ready", &source]).ok().line().to_owned();
    env.daemon().kill9();
    env.daemon();
    let mut ada = env.client("ada");
    ada.subscribe(&source, "end", "writer");
    env.vibes(&["send", &copy, "--wait", "say more"]).ok();
    assert!(last_prompt(&env)[0].contains("Agent: a heron"), "{:?}", last_prompt(&env));
    let conversations: Vec<Value> = requests(&env)
        .iter()
        .filter(|request| request["method"] == "session/prompt")
        .map(|request| request["params"]["sessionId"].clone())
        .collect();
    assert_ne!(conversations[0], conversations[1], "it does not write into the other one's conversation");
    // A shell is told nothing, and runs nothing of it.
    let touch = format!("touch {}", env.path("ran"));
    turn(&mut ada, &source, &touch);
    fs::remove_file(env.path("ran")).expect("the agent made it");
    let shell = env.vibes(&["fork", "-d", &copy, "--agent", "shell"]).ok().line().to_owned();
    env.vibes(&["wait", &shell]).ok();
    assert!(!env.root().join("ran").exists());
    for (args, why) in [
        (&["fork", "-d", &source, "--at", "0"][..], "the records of this session are"),
        (&["fork", "-d", &source, "--at", "99999"], "the records of this session are"),
        (&["fork", "-d", &source, "--agent", "nobody"], "no agent is called"),
    ] {
        let ran = env.vibes(args);
        assert!(ran.code != 0 && ran.stderr.contains(why), "{args:?}: {}", ran.stderr);
    }
    oracle::check(&env);
}

#[test]
fn a_fork_has_a_branch_of_its_own_and_its_first_prompt_brings_files() {
    let env = TestEnv::started();
    let repo = crate::worktree::repository(&env);
    let name = "--worktree=first";
    let source = env.vibes(&["run", "fake", "-d", "--cwd", &repo, name, "say one"]).ok().line().to_owned();
    env.vibes(&["wait", &source]).ok();
    let there = shown(&env, &source)["worktree"]["path"].as_str().expect("it has one").to_owned();
    fs::write(format!("{there}/a"), "two\n").expect("it is written");
    crate::worktree::git(&env, &there, &["commit", "-qam", "second"]);
    let notes = env.path("notes.md");
    fs::write(&notes, "# heron\n").expect("it is written");
    let second = fork(&env, &["--worktree=second", "--attach", &notes, &source, "say two"]);
    let of = shown(&env, &second);
    assert_eq!(of["worktree"]["branch"], "vibes/second");
    assert_eq!(of["worktree"]["base"], "vibes/first", "it is merged where it came from");
    let here = of["cwd"].as_str().expect("it has one").to_owned();
    assert_eq!(fs::read_to_string(format!("{here}/a")).expect("it is there"), "two\n");
    assert_ne!(here, there);
    let prompts = env.heard().iter().filter(|entry| entry.line.contains("notes.md")).count();
    assert_eq!(prompts, 1, "the file went with its first prompt");
    // Files alone are a first prompt as well.
    let third = fork(&env, &["--attach", &notes, &source]);
    assert_eq!((&shown(&env, &third)["turns"], &shown(&env, &third)["worktree"]), (&json!(1), &Value::Null));
    // What it changed goes into the branch of the other one.
    fs::write(format!("{here}/a"), "three\n").expect("it is written");
    crate::worktree::git(&env, &here, &["commit", "-qam", "third"]);
    env.vibes(&["worktree", "merge", &second]).ok();
    assert_eq!(fs::read_to_string(format!("{there}/a")).expect("it is there"), "three\n");
    oracle::check(&env);
}
