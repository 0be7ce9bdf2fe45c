//! Sessions as text: what leaves the store, and what comes into it.
//!
//! Invariant: what an archive holds is the journal, and nothing of it starts a program.

use serde_json::{Value, json};
use std::fs;
use vibes_tests::{TestEnv, Wire, eventually, oracle};

/// A session of the fake agent that said this and has ended.
fn ended(env: &TestEnv, wire: &mut Wire, name: &str, prompts: &[&str]) -> String {
    let session = wire.create(env, json!({"subscribe": true, "name": name}));
    for prompt in prompts {
        wire.prompt(&session, prompt);
        wire.fact(&session, "turn_ended");
    }
    wire.ok("finish_session", json!({"session_id": session}));
    wire.ok("unsubscribe", json!({"session_ids": [session]}));
    session
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

#[test]
fn an_export_is_the_journal_and_a_file_is_whole() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let api = ended(&env, &mut ada, "api", &["say hello there", "say once more"]);
    let web = ended(&env, &mut ada, "web", &["say other words"]);
    let mut journal = oracle::journal(&mut ada, &api);
    // Lines of an archive have the shape of those of the wire.
    journal.iter_mut().for_each(|record| record["type"] = json!("record"));
    let all = lines(&env.vibes(&["export", "api"]).ok().stdout);
    assert_eq!(all[0]["type"], "vibes_export");
    assert_eq!((&all[0]["lineage"], &all[0]["last"]), (&json!(api), &json!(journal.len())));
    assert_eq!(all[1..], journal, "what is exported is what was recorded");
    assert!(all[0]["session"]["owner_id"].is_null() && all[0]["session"]["offers"].is_null(), "{}", all[0]);
    // Some of it, by both spellings.
    let some = lines(&env.vibes(&["sessions", "export", "api@3..@5"]).ok().stdout);
    assert_eq!(some[1..], journal[2..5]);
    assert_eq!((&some[0]["first"], &some[0]["last"]), (&json!(3), &json!(5)));
    let rest = lines(&env.vibes(&["export", &format!("{api}@4")]).ok().stdout);
    assert_eq!(rest[1..], journal[3..]);
    assert_eq!(env.vibes(&["export", "api@400"]).code, 3);
    assert_eq!(env.vibes(&["export", "api@x"]).code, 2);
    // One object, and everything in one stream, named on standard input as well.
    let whole: Value = serde_json::from_str(&env.vibes(&["export", "api", "--format", "json"]).ok().stdout)
        .expect("one object");
    assert_eq!((&whole["lineage"], whole["records"].as_array()), (&json!(api), Some(&journal)));
    let everything = env.vibes(&["export", "--all"]).ok().stdout;
    let named = env.spawn_vibes(&["export"], &format!("{api}\n{web}\n"), &[]).wait().ok().stdout;
    let heads = |text: &str| {
        let heads = lines(text).into_iter().filter(|line| line["type"] == "vibes_export");
        heads.map(|mut head| head["lineage"].take()).collect::<Vec<_>>()
    };
    let (everything, mut both) = (heads(&everything), [json!(api), json!(web)]);
    // Oldest first, to the second.
    both.sort_by_key(|id| everything.iter().position(|head| head == id));
    assert_eq!(everything, both);
    assert_eq!(heads(&named), [json!(api), json!(web)]);
    // A file is there when all of it is, and nothing beside it.
    let place = env.path("archives");
    fs::create_dir_all(&place).expect("a directory can be made");
    let file = format!("{place}/api.ndjson");
    env.vibes(&["export", "api", "-o", &file]).ok();
    let kept = fs::read_to_string(&file).expect("it is there");
    assert_eq!(lines(&kept)[1..], journal);
    assert_ne!(env.vibes(&["export", "api", "nosuch", "-o", &file]).code, 0);
    assert_eq!(fs::read_to_string(&file).expect("it is there"), kept, "a failure leaves the old one");
    assert_eq!(fs::read_dir(&place).expect("it can be read").count(), 1);
    oracle::check(&env);
}

#[test]
fn secrets_do_not_leave_unless_they_are_asked_for() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    // Said in pieces: no record of the agent has it, and everybody reads it.
    let api = ended(
        &env,
        &mut ada,
        "api",
        &["say use sk-abcdefgh\nsay ijklmnop1234 here", "say password: hunter2"],
    );
    let journal = json!(oracle::journal(&mut ada, &api)).to_string();
    assert!(
        journal.contains("ijklmnop1234 here") && journal.contains("hunter2"),
        "the journal has all of it"
    );
    for format in ["ndjson", "json", "markdown"] {
        let clean = env.vibes(&["export", "api", "--format", format]).ok().stdout;
        // The prompt has the first half for itself, which is no key.
        let said: Vec<&str> = clean.lines().filter(|line| !line.contains("say use")).collect();
        assert!(!said.join("\n").contains("ijklmnop1234 here\"") && !clean.contains("hunter2"), "{clean}");
        assert!(clean.contains("[redacted]"), "{clean}");
        let raw = env.vibes(&["export", "api", "--format", format, "--raw"]).ok().stdout;
        assert!(raw.contains("hunter2") && raw.contains("sk-abcdefgh"), "{raw}");
    }
    oracle::check(&env);
}

/// Numbers, times and facts of a journal: what is the same everywhere.
fn facts(wire: &mut Wire, id: &str) -> Vec<(Value, Value, Value)> {
    let part = |record: Value| (record["seq"].clone(), record["at_ms"].clone(), record["fact"].clone());
    oracle::journal(wire, id).into_iter().map(part).collect()
}

fn info(wire: &mut Wire, id: &str) -> Value {
    wire.ok("get_session", json!({"session_id": id}))["session"].take()
}

/// The one session of a list with ended ones.
fn only(wire: &mut Wire) -> Value {
    let mut list = wire.ok("list_sessions", json!({"include_ended": true}));
    let sessions = list["sessions"].as_array_mut().expect("a list");
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    sessions.remove(0)
}

#[test]
fn an_archive_comes_in_once_and_as_it_was() {
    let (here, there) = (TestEnv::started(), TestEnv::started());
    let mut ada = here.client("ada");
    let session = here.path("work");
    let more = json!({"subscribe": true, "name": "api"});
    let api = ada.create(&here, more);
    ada.prompt(&api, "usage 1200 34\ncost 0.25\nsay hello there");
    ada.fact(&api, "turn_ended");
    ada.ok("finish_session", json!({"session_id": api}));
    let turns = ada.ok("list_turns", json!({"session_id": api}))["turns"].take();
    let costs = ada.ok("get_costs", json!({"by": "model"}))["costs"].take();
    for format in ["ndjson", "json"] {
        here.vibes(&["export", "api", "--raw", "--format", format, "-o", &here.path(format)]).ok();
    }
    let file = here.path("ndjson");
    let told = there.vibes(&["import", &file]).ok();
    assert!(told.stdout.contains("imported, 1 turn"), "{}", told.stdout);
    let mut eve = there.client("eve");
    let found = only(&mut eve);
    assert_eq!(
        (&found["id"], &found["name"], &found["state"]),
        (&json!(api), &json!("api"), &json!("finished"))
    );
    assert_eq!((&found["imported"]["from"], &found["cost"]["amount"]), (&json!("vibes"), &json!(0.25)));
    assert_eq!(found["cwd"], json!(session));
    assert_eq!(facts(&mut eve, &api), facts(&mut ada, &api));
    assert_eq!(eve.ok("list_turns", json!({"session_id": api}))["turns"], turns);
    assert_eq!(eve.ok("get_costs", json!({"by": "model"}))["costs"], costs);
    assert!(there.vibes(&["logs", "api"]).ok().stdout.contains("hello there"));
    assert!(there.vibes(&["ls", "--all"]).ok().stdout.contains("imported (vibes)"));
    // Nothing of it can be started.
    let shown = eve.ok("get_session", json!({"session_id": api}));
    assert_eq!((&shown["launch"]["argv"], &shown["session"]["options"]), (&json!([]), &json!({})));
    for refused in ["resume_session", "input"] {
        assert_eq!(eve.refused(refused, json!({"session_id": api, "content": "x"})), "INVALID_STATE");
    }
    // Once more, in the other layout, back where it came from, and pretty.
    for (env, format) in [(&there, "ndjson"), (&there, "json"), (&here, "ndjson"), (&here, "json")] {
        let again = env.vibes(&["import", &here.path(format)]).ok();
        assert!(again.stdout.is_empty() && again.stderr.contains("known already"), "{again:?}");
    }
    only(&mut eve);
    only(&mut ada);
    assert_eq!(eve.ok("get_costs", json!({"by": "model"}))["costs"], costs, "nothing counts twice");
    oracle::check(&here);
}

fn fixture(name: &str) -> String {
    let path = format!("{}/fixtures/archives/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn what_agents_keep_is_taken_in_and_grows() {
    let env = TestEnv::started();
    let dir = env.path("home/.claude/projects/-home-ann-work");
    fs::create_dir_all(&dir).expect("a directory can be made");
    let file = format!("{dir}/16c9fe5e-59ba-45cb-89cd-082d1b8d86df.jsonl");
    let text = fixture("claude.jsonl");
    // As long as its second prompt was not typed.
    let first: String = text
        .lines()
        .take_while(|line| !line.contains("And once more"))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(&file, &first).expect("it is written");
    let listed = env.vibes(&["import", "--claude", "--list"]).ok().stdout;
    assert!(listed.starts_with("claude") && listed.contains("16c9fe5e"), "{listed}");
    let mut ada = env.client("ada");
    assert_eq!(
        ada.ok("list_sessions", json!({"include_ended": true}))["sessions"],
        json!([]),
        "a list changes nothing"
    );
    env.vibes(&["import", "--claude"]).ok();
    let one = only(&mut ada);
    let id = one["id"].as_str().expect("an id").to_owned();
    assert_eq!(
        (&one["agent"], &one["cwd"], &one["turns"]),
        (&json!("claude"), &json!("/home/ann/work"), &json!(1))
    );
    assert_eq!(one["created_at"], 1_795_903_339, "when it was had");
    ada.ok("update_session", json!({"session_id": id, "name": "mine", "pinned": true}));
    // It has grown.
    fs::write(&file, &text).expect("it is written");
    let told = env.vibes(&["import", "--claude"]).ok();
    assert!(told.stdout.contains("extended, 2 turns"), "{told:?}");
    let two = info(&mut ada, &id);
    assert_eq!((&two["turns"], &two["name"], &two["pinned"]), (&json!(2), &json!("mine"), &json!(true)));
    only(&mut ada);
    let turns = ada.ok("list_turns", json!({"session_id": id}))["turns"].take();
    assert_eq!(
        (&turns[0]["files"], &turns[0]["outcome"]),
        (&json!(["/home/ann/work/note.txt"]), &json!("finished"))
    );
    assert_eq!(
        (&turns[1]["usage"]["output_tokens"], &turns[1]["started_ms"]),
        (&json!(11), &json!(1_795_903_339_960_u64))
    );
    let logs = env.vibes(&["logs", "mine"]).ok().stdout;
    assert!(logs.contains("the tool said hello from the tool"), "{logs}");
    // Once more is nothing more; what begins otherwise is no growth of it.
    assert!(env.vibes(&["import", "--claude"]).ok().stderr.contains("1 known already"));
    fs::write(&file, text.replace("hello from", "forged by")).expect("it is written");
    let forged = env.vibes(&["import", "--claude"]);
    assert!(forged.code == 1 && forged.stderr.contains("begins otherwise"), "{forged:?}");
    // The others, by their names.
    for (name, turns) in [("codex", 2), ("gemini", 1)] {
        let path = env.path(&format!("{name}.jsonl"));
        fs::write(&path, fixture(&format!("{name}.jsonl"))).expect("it is written");
        let told = env.vibes(&["import", &path]).ok().stdout;
        assert!(told.contains(&format!("imported, {turns} turn")), "{told}");
    }
    let by_agent = ada.ok("get_costs", json!({"by": "agent"}))["costs"].take();
    assert_eq!(by_agent.as_array().map(Vec::len), Some(3), "{by_agent}");
}

#[test]
fn an_imported_conversation_is_gone_on_with_in_a_session_of_its_own() {
    let env = TestEnv::started();
    let path = env.path("rollout-x.jsonl");
    fs::write(&path, fixture("codex.jsonl")).expect("it is written");
    env.vibes(&["import", &path]).ok();
    let mut ada = env.client("ada");
    let id = only(&mut ada)["id"].as_str().expect("an id").to_owned();
    let nowhere = env.vibes(&["fork", &id, "--agent", "fake", "-d"]);
    assert!(nowhere.code == 1 && nowhere.stderr.contains("--cwd"), "{nowhere:?}");
    let work = env.path("work");
    let fork = env
        .vibes(&["fork", &id, "--agent", "fake", "--cwd", &work, "-d", "say onward"])
        .ok()
        .stdout
        .trim()
        .to_owned();
    ada.subscribe(&fork, 0, "writer");
    let context = ada.fact(&fork, "context_added");
    assert!(context["fact"]["text"].as_str().unwrap_or("").contains("echo hello from the tool"), "{context}");
    ada.said(&fork, "onward");
    let made = info(&mut ada, &fork);
    assert_eq!((&made["parent_id"], &made["cwd"]), (&json!(id), &json!(work)));
}

#[test]
fn fault_83_85_hostile_archives_are_refused_and_leave_nothing() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let head = |more: Value| {
        let mut head = json!({"type": "vibes_export", "format": 1, "lineage": "x", "first": 1, "last": 1,
            "session": {"agent": "x", "cwd": "/"}});
        head.as_object_mut().expect("it is one").extend(more.as_object().expect("fields").clone());
        head.to_string()
    };
    let record = |seq: i64, at: i64, fact: &str| format!("{{\"seq\":{seq},\"at_ms\":{at},\"fact\":{fact}}}");
    let good = r#"{"kind":"from_the_future","a":1}"#;
    let deep = format!("{{\"kind\":\"x\",\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let wide = format!("{{\"kind\":\"x\",\"a\":[{}1]}}", "1,".repeat(1_000_000));
    let long = format!("{{\"kind\":\"x\",\"a\":\"{}\"}}", "x".repeat(20_000_000));
    let table = [
        ("no archive", "{}".to_owned(), "no archive"),
        ("no JSON", "what\nis this".to_owned(), "no archive"),
        ("a newer format", head(json!({"format": 2})), "format"),
        ("a path for an id", head(json!({"session": {"id": "../x", "agent": "x", "cwd": "/"}})), "id"),
        ("a path for a name", head(json!({"session": {"name": "../x", "agent": "x", "cwd": "/"}})), "name"),
        ("a lineage with blanks", head(json!({"lineage": "a\u{202e}b"})), "lineage"),
        ("not from the start", head(json!({"first": 5})), "begins with record 5"),
        ("no record", head(json!({})), "no record"),
        ("cut off", format!("{}\n{}", head(json!({"last": 9})), record(1, 1, good)), "cut off"),
        ("a hole", format!("{}\n{}", head(json!({})), record(2, 1, good)), "seq"),
        ("a time before all times", format!("{}\n{}", head(json!({})), record(1, -1, good)), "at_ms"),
        ("a time after all times", format!("{}\n{}", head(json!({})), record(1, i64::MAX, good)), "at_ms"),
        ("a fact without a kind", format!("{}\n{}", head(json!({})), record(1, 1, "{}")), "kind"),
        (
            "a fact that is none of its kind",
            format!("{}\n{}", head(json!({})), record(1, 1, r#"{"kind":"turn_ended","turn":"x"}"#)),
            "turn_ended",
        ),
        (
            "a number that is none",
            format!("{}\n{}", head(json!({})), record(1, 1, r#"{"kind":"x","a":1e999}"#)),
            "read",
        ),
        (
            "a broken character",
            format!("{}\n{}", head(json!({})), record(1, 1, r#"{"kind":"x","a":"\ud800"}"#)),
            "read",
        ),
        ("a deep one", format!("{}\n{}", head(json!({})), record(1, 1, &deep)), "deep"),
        ("a wide one", format!("{}\n{}", head(json!({})), record(1, 1, &wide)), "values"),
        ("a long one", format!("{}\n{}", head(json!({})), record(1, 1, &long)), "16 MiB"),
    ];
    for (what, text, why) in table {
        let path = env.path("hostile");
        fs::write(&path, text).expect("it is written");
        let refused = env.vibes(&["import", &path]);
        assert!(refused.code == 1 && refused.stderr.contains(why), "{what}: {refused:?}");
    }
    // Compressed, as a bomb would be.
    fs::write(env.path("hostile"), [0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3]).expect("it is written");
    assert!(env.vibes(&["import", &env.path("hostile")]).stderr.contains("zstd -dc"));
    assert_eq!(ada.ok("list_sessions", json!({"include_ended": true}))["sessions"], json!([]));
    eventually("nothing of it is kept", || {
        (env.rows("session", "1") + env.rows("records", "1") + env.rows("item", "1") == 0).then_some(())
    });
    // What looks bad and is not: unknown kinds and signs that a terminal obeys are kept, and shown as what they are.
    let odd = r#"{"kind":"update","update":{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"a\u001b[2J\u202eb"}}}"#;
    let text = format!("{}\n{}\n{}\n", head(json!({"last": 2})), record(1, 1, good), record(2, 1, odd));
    fs::write(env.path("odd"), text).expect("it is written");
    env.vibes(&["import", &env.path("odd")]).ok();
    let id = only(&mut ada)["id"].as_str().expect("an id").to_owned();
    let journal = oracle::journal(&mut ada, &id);
    assert_eq!(
        (&journal[0]["fact"]["a"], &journal[1]["fact"]),
        (&json!(1), &serde_json::from_str::<Value>(odd).expect("JSON"))
    );
}
