//! Files, images and links that go with a prompt, as far as the agent.
//!
//! Invariant: the agent gets what it takes, whole; people see what it was, never its bytes.

use serde_json::{Value, json};
use std::{fs, path::PathBuf};
use vibes_tests::{PNG, PNG_BASE64, TestEnv, Wire, eventually, oracle};

/// An environment with an agent that takes images and files, and files to give it.
fn seeing() -> TestEnv {
    let env = TestEnv::new();
    let words: Vec<&str> = env.variables()["VIBES_AGENT_FAKE"].split(' ').collect();
    let seeing = [&words[..], &["--opts", "seeing"]].concat();
    let config = format!(
        "[agents.seeing]\ncommand = {}\naccepts = [\"image\", \"resource\"]\n\
         [agents.hopeful]\ncommand = {}\naccepts = [\"image\", \"resource\"]\n",
        json!(seeing),
        json!(words)
    );
    fs::create_dir_all(env.path("cfg/vibes")).expect("a directory can be made");
    fs::write(env.path("cfg/vibes/config.toml"), config).expect("it is written");
    fs::write(env.path("a b.png"), PNG).expect("it is written");
    fs::write(env.path("notes.md"), "# heron\n").expect("it is written");
    fs::write(env.path("data.bin"), b"\0\x01").expect("it is written");
    fs::write(env.path("huge.png"), [PNG, &vec![0; 6 * 1024 * 1024]].concat()).expect("it is written");
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

/// A picture of a megabyte and more, which nothing makes smaller.
fn large(env: &TestEnv) -> (String, Vec<u8>) {
    let mut bytes = PNG.to_vec();
    let mut state = 1_u32;
    bytes.extend(
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(1_200_000),
    );
    let path = env.path("large.png");
    fs::write(&path, &bytes).expect("it is written");
    (path, bytes)
}

/// The files that hold attachments, those of the sessions aside.
fn kept(env: &TestEnv) -> Vec<PathBuf> {
    let Ok(all) = fs::read_dir(env.state().blobs().join("all")) else { return Vec::new() };
    all.map(|entry| entry.expect("it can be read").path()).collect()
}

/// The content of a session's first prompt, as it is recorded.
fn recorded(wire: &mut Wire, session: &str) -> Value {
    let records = oracle::journal(wire, session);
    let input = records.iter().find(|record| record["fact"]["kind"] == "input");
    input.expect("there is a prompt")["fact"]["content"].clone()
}

#[test]
fn an_attachment_is_kept_once_and_goes_with_the_last_session_that_uses_it() {
    let env = seeing();
    let (file, bytes) = large(&env);
    let mut ada = env.client("ada");
    let begun = |_| {
        let session =
            env.vibes(&["run", "seeing", "-d", "--attach", &file, "say seen"]).ok().line().to_owned();
        env.vibes(&["wait", &session]).ok();
        session
    };
    let sessions: Vec<String> = (0..2).map(begun).collect();
    for session in &sessions {
        env.vibes(&["send", session, "--wait", "--attach", &file, "say again"]).ok();
        let whole = last_prompt(&env);
        let data = whole[1]["data"].as_str().expect("the agent gets all of it");
        assert_eq!(data.len(), bytes.len().div_ceil(3) * 4);
        assert!(whole[1]["blob"].is_null(), "and nothing of ours");
        let block = recorded(&mut ada, session)[1].take();
        assert_eq!((&block["data"], &block["blob"]["size"]), (&Value::Null, &json!(bytes.len())));
        let sha256 = &block["blob"]["sha256"];
        let blob = ada.ok("get_blob", json!({"session_id": session, "sha256": sha256}));
        assert_eq!(blob["data"], whole[1]["data"]);
    }
    let [all] = &kept(&env)[..] else { panic!("kept once: {:?}", kept(&env)) };
    assert_eq!(fs::read(all).expect("it is there"), bytes);
    let store = fs::metadata(env.state().store()).expect("it is there").len();
    let log = env.state().store().with_extension("db-wal");
    let log = fs::metadata(log).map_or(0, |log| log.len());
    // What is on its way to an agent is in the store until its runner has it; that is one at a time here.
    assert!(store < 4 << 20, "{store} bytes, and {log} in the log");
    // A session that does not use it cannot read it.
    let other = env.vibes(&["run", "fake", "-d"]).ok().line().to_owned();
    let sha256 = all.file_name().expect("it has a name").to_string_lossy().into_owned();
    assert_eq!(ada.refused("get_blob", json!({"session_id": other, "sha256": sha256})), "BAD_REQUEST");
    for (session, left) in sessions.iter().zip([1, 0]) {
        env.vibes(&["kill", session]).ok();
        env.vibes(&["rm", "--purge", session]).ok();
        let own = env.state().blobs().join("of").join(session);
        eventually("its attachments are gone", || (!own.exists() && kept(&env).len() == left).then_some(()));
    }
}

#[test]
fn a_prompt_that_waits_keeps_its_attachments_over_the_death_of_the_daemon() {
    let env = seeing();
    let (file, bytes) = large(&env);
    let go = env.path("go");
    let busy = format!("sleep_until {go}");
    let session = env.vibes(&["run", "seeing", "-d", &busy]).ok().line().to_owned();
    env.vibes(&["send", &session, "--attach", &file, "say it"]).ok();
    fs::remove_file(&file).expect("it is there");
    env.daemon().kill9();
    env.daemon();
    let mut ada = env.client("ada");
    ada.subscribe(&session, 0, "writer");
    fs::write(&go, "").expect("it is written");
    ada.said(&session, "it");
    let data = last_prompt(&env)[1]["data"].as_str().map(str::len);
    assert_eq!(data, Some(bytes.len().div_ceil(3) * 4), "although the file is gone");
    oracle::check(&env);
}

#[test]
fn a_prompt_whose_attachment_is_lost_is_not_given_to_the_agent_and_says_so() {
    let env = seeing();
    let (file, _) = large(&env);
    let go = env.path("go");
    let session = env.vibes(&["run", "seeing", "-d", &format!("sleep_until {go}")]).ok().line().to_owned();
    let words: Vec<String> =
        ["send", &session, "--wait", "--attach", &file, "say it"].map(str::to_owned).to_vec();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let waits = env.spawn_vibes(&words, "", &[]);
    let mut ada = env.client("ada");
    ada.subscribe(&session, 0, "writer");
    ada.wait_for("the prompt waits", |message| message["fact"]["queued"] == true);
    fs::remove_dir_all(env.state().blobs()).expect("it is there");
    fs::write(&go, "").expect("it is written");
    let dropped = ada.fact(&session, "input_dropped");
    let why = dropped["fact"]["reason"].as_str().expect("it says why");
    assert!(why.contains("[image large.png image/png]") && why.contains("lost"), "{why}");
    let ran = waits.wait();
    assert!(ran.code != 0 && ran.stderr.contains("not given to the agent"), "{}", ran.stderr);
    ada.prompt(&session, "say and now");
    ada.said(&session, "and now");
    assert!(env.vibes(&["logs", &session]).ok().stdout.contains("not given to the agent"));
}

#[test]
fn what_a_program_sends_with_a_prompt_is_put_away_too() {
    let env = seeing();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"agent": "seeing", "subscribe": true}));
    let text = "heron ".repeat(2_000);
    let content = json!([
        {"type": "text", "text": "say seen"},
        {"type": "resource", "resource": {"uri": "file:///notes.md", "text": text}},
        {"type": "image", "mimeType": "image/png", "data": PNG_BASE64},
    ]);
    ada.ok("input", json!({"session_id": session, "content": content}));
    ada.fact(&session, "turn_ended");
    assert_eq!(last_prompt(&env), content, "the agent gets it as it came");
    let block = recorded(&mut ada, &session)[1].take();
    assert!(block["resource"]["text"].is_null() && block["blob"]["text"] == true, "{block}");
    // A reference is as good, once it is kept, and only then.
    ada.ok("input", json!({"session_id": session, "content": [content[0], block]}));
    ada.fact(&session, "turn_ended");
    assert_eq!(last_prompt(&env)[1], content[1]);
    for (wrong, why) in [
        (json!({"type": "image", "blob": {"sha256": "0".repeat(64)}}), "attach it again"),
        (json!({"type": "image", "mimeType": "image/png", "data": "~".repeat(5_000)}), "not base64"),
    ] {
        let answer = ada.request("input", json!({"session_id": session, "content": [wrong]}));
        assert_eq!(answer["code"], "BAD_REQUEST");
        assert!(answer["message"].to_string().contains(why), "{answer}");
    }
    for path in ["large.png", "/dev/null", "/no/such/file", &env.path("huge.png")] {
        assert_eq!(ada.refused("attach", json!({"path": path})), "BAD_REQUEST", "{path}");
    }
}

#[test]
fn what_an_agent_takes_is_what_it_has_said() {
    let env = seeing();
    let file = env.path("a b.png");
    // Before it runs the configuration is believed, or the preset.
    let session = env.vibes(&["run", "hopeful", "-d", "--wait-ready"]).ok().line().to_owned();
    assert_eq!(env.vibes(&["show", &session, "--json"]).ok().json()["accepts"], json!([]));
    env.vibes(&["send", &session, "--wait", "--attach", &file, "say it"]).ok();
    assert_eq!(last_prompt(&env)[1]["type"], "resource_link");
    let session = env.vibes(&["run", "seeing", "-d", "--wait-ready"]).ok().line().to_owned();
    let shown = env.vibes(&["show", &session, "--json"]).ok().json();
    assert_eq!(shown["accepts"], json!(["image", "resource"]));
}
