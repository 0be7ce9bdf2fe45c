//! Files, images and links that go with a prompt, as far as the agent.
//!
//! Invariant: the agent gets what it takes, whole; people see what it was, never its bytes.

use serde_json::{Value, json};
use std::fs;
use vibes_tests::{PNG, PNG_BASE64, TestEnv};

/// An environment with an agent that takes images and files, and files to give it.
fn seeing() -> TestEnv {
    let env = TestEnv::new();
    let words: Vec<&str> = env.variables()["VIBES_AGENT_FAKE"].split(' ').collect();
    let config =
        format!("[agents.seeing]\ncommand = {}\naccepts = [\"image\", \"resource\"]\n", json!(words));
    fs::create_dir_all(env.path("cfg/vibes")).expect("a directory can be made");
    fs::write(env.path("cfg/vibes/config.toml"), config).expect("it is written");
    fs::write(env.path("a b.png"), PNG).expect("it is written");
    fs::write(env.path("notes.md"), "# heron\n").expect("it is written");
    fs::write(env.path("data.bin"), b"\0\x01").expect("it is written");
    fs::write(env.path("huge.png"), [PNG, &vec![0; 800 * 1024]].concat()).expect("it is written");
    env.daemon();
    env
}

/// The blocks of the last prompt that an agent got.
fn last_prompt(env: &TestEnv) -> Value {
    let heard = env.heard();
    let messages = heard.iter().rev().filter_map(|entry| serde_json::from_str::<Value>(&entry.line).ok());
    let mut prompts = messages.filter(|message| message["method"] == "session/prompt");
    prompts.next().expect("it got a prompt")["params"]["prompt"].take()
}

#[test]
fn an_agent_gets_files_as_it_takes_them_and_people_see_what_they_were() {
    let env = seeing();
    let files = [env.path("a b.png"), env.path("notes.md"), env.path("data.bin")];
    let attach: Vec<&str> = files
        .iter()
        .flat_map(|file| ["--attach", file])
        .chain(["--attach", "https://example.org/x"])
        .collect();
    let kinds = |blocks: &Value| -> Vec<String> {
        blocks
            .as_array()
            .into_iter()
            .flatten()
            .map(|block| block["type"].as_str().unwrap_or("").to_owned())
            .collect()
    };
    let first = [&["run", "seeing", "-d"], &attach[..], &["say hello"]].concat();
    let session = env.vibes(&first).ok().line().to_owned();
    env.vibes(&["wait", &session]).ok();
    let blocks = last_prompt(&env);
    assert_eq!(kinds(&blocks), ["text", "image", "resource", "resource_link", "resource_link"], "{blocks}");
    assert_eq!((&blocks[1]["data"], &blocks[1]["mimeType"]), (&json!(PNG_BASE64), &json!("image/png")));
    assert_eq!(blocks[2]["resource"]["text"], "# heron\n");
    assert_eq!(blocks[3]["uri"], format!("file://{}", files[2]));
    let logs = env.vibes(&["logs", &session]).ok().stdout;
    for shown in [
        "> say hello",
        "[image a b.png image/png 70 B]",
        "[file notes.md text/markdown 8 B]",
        "[link data.bin application/octet-stream 2 B]",
    ] {
        assert!(logs.contains(shown), "{shown}: {logs}");
    }
    assert!(!logs.contains(PNG_BASE64), "{logs}");
    // Files alone are a prompt; one that takes nothing gets their places.
    env.vibes(&["send", &session, "--wait", "--attach", &files[1]]).ok();
    assert_eq!(kinds(&last_prompt(&env)), ["resource"]);
    let plain = env.vibes(&["run", "fake", "-d"]).ok().line().to_owned();
    env.vibes(&[&["send", &plain, "--wait", "say it"], &attach[..]].concat()).ok();
    assert_eq!(
        kinds(&last_prompt(&env)),
        ["text", "resource_link", "resource_link", "resource_link", "resource_link"]
    );
}

#[test]
fn what_does_not_fit_is_said_and_nothing_is_sent() {
    let env = seeing();
    let session = env.vibes(&["run", "seeing", "-d", "--wait-ready"]).ok().line().to_owned();
    let head = || env.vibes(&["show", &session, "--json"]).ok().json()["head"].clone();
    let before = head();
    let (good, huge, none) = (env.path("a b.png"), env.path("huge.png"), env.path("none"));
    for (file, why) in [(&huge, "are more than fits"), (&none, "No such file")] {
        let ran = env.vibes(&["send", &session, "--attach", &good, "--attach", file, "look"]);
        assert!(ran.code != 0 && ran.stderr.contains(why), "{} {}", ran.code, ran.stderr);
    }
    assert_eq!(head(), before);
    // A shell says that it can do nothing with them.
    let shell =
        env.vibes(&["shell", "-d", "--mode", "auto", "--attach", &good, "true"]).ok().line().to_owned();
    env.vibes(&["wait", &shell]).ok();
    let logs = env.vibes(&["logs", &shell]).ok().stdout;
    assert!(logs.contains("a shell takes commands and nothing besides"), "{logs}");
}
