//! Search through the real programs: what is found, where it is, and what is not found any more.

use super::restored::{copied, put_back};
use serde_json::{Value, json};
use std::fs;
use vibes_tests::{TestEnv, Wire, eventually, oracle};

/// What a search finds of what was recorded before it.
#[track_caller]
fn hits(wire: &mut Wire, query: &str, more: Value) -> Vec<Value> {
    let mut fields = json!({"query": query, "wait_ms": 20_000});
    fields.as_object_mut().expect("just made").extend(more.as_object().expect("fields").clone());
    let mut answer = wire.ok("search", fields);
    assert_eq!((&answer["type"], &answer["behind"]), (&json!("search_results"), &json!(0)), "{answer}");
    match answer["hits"].take() {
        Value::Array(hits) => hits,
        other => panic!("hits are a list, not {other}"),
    }
}

/// The names of the sessions of the hits, in their order.
#[track_caller]
fn names(wire: &mut Wire, query: &str, more: Value) -> Vec<String> {
    let name = |hit: &Value| hit["session_name"].as_str().unwrap_or_default().to_owned();
    hits(wire, query, more).iter().map(name).collect()
}

/// The part of a snippet that is marked first.
fn marked(hit: &Value) -> String {
    let range = &hit["snippet"]["highlights"][0];
    let at = |n: usize| range[n].as_u64().expect("a number") as usize;
    let text = hit["snippet"]["text"].as_str().expect("a text");
    text.chars().skip(at(0)).take(at(1) - at(0)).collect()
}

fn turn(wire: &mut Wire, session: &str, prompt: &str) {
    wire.prompt(session, prompt);
    wire.fact(session, "turn_ended");
    wire.rests(session);
}

/// A session of the fake agent.
fn fake(env: &TestEnv, wire: &mut Wire, name: &str, cwd: &str) -> String {
    let cwd = env.path(cwd);
    fs::create_dir_all(&cwd).expect("a directory can be made");
    wire.create(env, json!({"subscribe": true, "name": name, "cwd": cwd}))
}

/// A session of the shell, which does as it is told.
fn shell(env: &TestEnv, wire: &mut Wire, name: &str) -> String {
    wire.create(env, json!({"agent": "shell", "mode": "auto", "subscribe": true, "name": name}))
}

#[test]
fn everything_that_was_said_and_done_is_found_where_it_is() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let api = fake(&env, &mut ada, "api", "work/api");
    turn(
        &mut ada,
        &api,
        "think about marmalade\nsay the anteater answers\ntool t1 run the zebra\ntool_done t1\nedit e1 /w/src/okapi.rs\ntool_done e1\nsay and closes",
    );
    let sh = shell(&env, &mut ada, "sh");
    turn(&mut ada, &sh, "printf 'one\\n\\033[31mwalrus\\033[0m found\\n'");
    // Each of them by its scope, and at the very record.
    let cases = [
        ("prompt:marmalade", "input", "prompt", "marmalade"),
        ("thought:marmalade", "agent_thought_chunk", "thought", "marmalade"),
        ("response:anteater", "agent_message_chunk", "response", "anteater"),
        ("tool:zebra", "tool_call", "tool", "zebra"),
        ("file:okapi", "tool_call", "file", "okapi"),
        ("file:/w/src/okapi.rs", "tool_call", "file", "w/src/okapi.rs"),
        ("command:printf", "tool_call", "command", "printf"),
        ("output:walrus", "agent_message_chunk", "output", "walrus"),
        ("ANTEATER closes -marmalade", "agent_message_chunk", "response", "anteater"),
        ("\"and closes\" -marmalade", "agent_message_chunk", "response", "and closes"),
        ("response:anteat*", "agent_message_chunk", "response", "anteater"),
    ];
    for (query, kind, scope, words) in cases {
        let found = hits(&mut ada, query, json!({}));
        assert_eq!(found.len(), 1, "{query}: {found:?}");
        let hit = &found[0];
        assert_eq!((hit["kind"].as_str(), marked(hit)), (Some(scope), words.to_owned()), "{query}: {hit}");
        let session = hit["session_id"].as_str().expect("an id");
        let seq = hit["seq"].as_u64().expect("a number");
        let record = &oracle::journal(&mut ada, session)[seq as usize - 1];
        assert!(record.to_string().contains(kind), "{query}: {record}");
    }
    assert!(hits(&mut ada, "response:marmalade", json!({})).is_empty());
    assert!(hits(&mut ada, "walrus -found", json!({})).is_empty());
    assert_eq!(names(&mut ada, "walrus OR anteater", json!({})), ["sh", "api", "api"]);
    let hit = &hits(&mut ada, "output:walrus", json!({}))[0];
    assert_eq!(
        (&hit["agent"], &hit["state"], &hit["cwd"]),
        (&json!("shell"), &json!("idle"), &json!(env.work()))
    );
    assert_eq!(hit["snippet"]["text"], "one walrus found", "what was meant for a terminal is words");
    oracle::check(&env);
}

#[test]
fn filters_pages_and_orders_do_what_they_say() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let one = fake(&env, &mut ada, "one", "work/api");
    let two = fake(&env, &mut ada, "two", "work/api/deep");
    let three = fake(&env, &mut ada, "three", "work/api2");
    for n in 0..3 {
        for session in [&one, &two, &three] {
            turn(&mut ada, session, &format!("say pangolin {n}"));
        }
    }
    ada.ok("kill_session", json!({"session_id": two}));
    let of = |wire: &mut Wire, query: &str, more: Value| {
        let mut names = names(wire, query, more);
        names.sort();
        names.dedup();
        names.join(" ")
    };
    let (api, word) = (env.path("work/api"), "response:pangolin");
    assert_eq!(of(&mut ada, word, json!({})), "one three two");
    assert_eq!(of(&mut ada, word, json!({"cwd": api})), "one two");
    assert_eq!(of(&mut ada, &format!("{word} dir:{api}/deep"), json!({})), "two");
    assert_eq!(of(&mut ada, &format!("{word} dir:api2"), json!({})), "three");
    assert_eq!(of(&mut ada, word, json!({"states": ["killed"]})), "two");
    assert_eq!(of(&mut ada, &format!("{word} state:idle"), json!({})), "one three");
    assert_eq!(of(&mut ada, &format!("{word} session:three"), json!({})), "three");
    assert_eq!(of(&mut ada, word, json!({"session_ids": [one, three]})), "one three");
    assert_eq!(of(&mut ada, word, json!({"agents": ["fake", "x"]})), "one three two");
    assert_eq!(of(&mut ada, &format!("{word} agent:shell"), json!({})), "");
    assert_eq!(of(&mut ada, &format!("{word} mode:plan"), json!({})), "");
    assert_eq!(of(&mut ada, word, json!({"since": "1d"})), "one three two");
    assert_eq!(of(&mut ada, word, json!({"until": "2001-01-01"})), "");
    // Page by page it is the same as at once, the newest first.
    for order in ["newest", "rank"] {
        let whole = hits(&mut ada, word, json!({"order": order}));
        assert_eq!(whole.len(), 9);
        let (mut paged, mut cursor) = (Vec::new(), Value::Null);
        loop {
            let mut fields = json!({"query": word, "order": order, "limit": 4});
            if !cursor.is_null() {
                fields["cursor"] = cursor;
            }
            let mut page = ada.ok("search", fields);
            paged.extend(page["hits"].as_array().expect("a list").clone());
            cursor = page["next_cursor"].take();
            if cursor.is_null() {
                break;
            }
        }
        assert_eq!(paged, whole, "{order}");
        if order == "newest" {
            let at = |hit: &Value| hit["at_ms"].as_i64().expect("a number");
            assert!(whole.windows(2).all(|two| at(&two[0]) >= at(&two[1])), "{whole:?}");
        }
    }
    for (query, why) in [
        ("", "say what is to be found"),
        ("\"open", "not closed"),
        ("x state:busy", "one of starting"),
        ("x since:yesterday", "12h, 7d, 4w"),
        ("-x", "not only what is not"),
    ] {
        let refused = ada.request("search", json!({"query": query}));
        assert_eq!(refused["code"], "BAD_REQUEST", "{query}: {refused}");
        assert!(refused["message"].as_str().unwrap_or_default().contains(why), "{query}: {refused}");
    }
    assert_eq!(ada.refused("search", json!({"query": "x session:nobody"})), "SESSION_NOT_FOUND");
    // Whatever is typed, it is words.
    for query in [
        "\u{0}",
        "a\" OR \"b",
        "{tool}: x",
        "x NEAR(y z)",
        "^x",
        "s1",
        "words: x",
        "('",
        "😀 x",
        "session : s1",
    ] {
        let answer = ada.request("search", json!({"query": query}));
        assert!(
            ["search_results", "error"].contains(&answer["type"].as_str().unwrap_or_default()),
            "{answer}"
        );
        assert!(answer["code"].is_null() || answer["code"] == "BAD_REQUEST", "{query}: {answer}");
    }
    oracle::check(&env);
}

#[test]
fn what_is_deleted_is_not_found_until_it_is_undeleted_and_what_is_purged_never() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let stays = fake(&env, &mut ada, "stays", "work");
    let goes = shell(&env, &mut ada, "goes");
    turn(&mut ada, &stays, "say the common quokka");
    for n in 0..5 {
        turn(&mut ada, &goes, &format!("echo the common quokka and secretword{n}"));
    }
    ada.ok("finish_session", json!({"session_id": goes}));
    ada.ok("unsubscribe", json!({"session_ids": [goes]}));
    assert_eq!(hits(&mut ada, "secretword3", json!({})).len(), 1);
    eventually("it rests", || (env.rows("session", "rest = 1") == 1).then_some(()));
    // Looked for while it rests, it is left to rest.
    assert_eq!(names(&mut ada, "secretword3 state:finished", json!({})), ["goes"]);
    ada.ok("delete_session", json!({"session_id": goes}));
    assert!(hits(&mut ada, "secretword3", json!({})).is_empty());
    assert_eq!(names(&mut ada, "quokka", json!({})), ["stays", "stays"]);
    ada.ok("undelete_session", json!({"session_id": goes}));
    assert_eq!(hits(&mut ada, "secretword3", json!({})).len(), 1);
    ada.ok("delete_session", json!({"session_id": goes, "purge": true}));
    assert_eq!(names(&mut ada, "quokka", json!({})), ["stays", "stays"]);
    eventually("nothing can be read of it", || {
        env.files_with(&["secretword", &goes]).is_empty().then_some(())
    });
    assert_eq!(names(&mut ada, "quokka", json!({})), ["stays", "stays"]);
    oracle::check(&env);
}

#[test]
fn an_index_that_is_lost_damaged_or_from_the_future_is_made_anew() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = fake(&env, &mut ada, "api", "work");
    turn(&mut ada, &session, "say the numbat");
    assert_eq!(hits(&mut ada, "response:numbat", json!({})).len(), 1);
    let index = env.state().search();
    let beside = |suffix: &str| format!("{}{suffix}", index.display());
    for broken in ["gone", "garbage", "newer"] {
        drop(ada);
        env.daemon().terminate();
        match broken {
            "newer" => {
                let file = rusqlite::Connection::open(&index).expect("the index opens");
                file.execute_batch("PRAGMA user_version = 99").expect("it can be changed");
            }
            _ => {
                for suffix in ["", "-wal", "-shm"] {
                    let _ = fs::remove_file(beside(suffix));
                }
                if broken == "garbage" {
                    fs::write(&index, "no index".repeat(1000)).expect("it is written");
                }
            }
        }
        let doctor = env.vibes(&["doctor"]);
        let told = format!("{doctor:?}").contains("search index");
        assert!(told, "{broken}: {doctor:?}");
        env.daemon();
        ada = env.client("ada");
        assert_eq!(hits(&mut ada, "response:numbat", json!({})).len(), 1, "{broken}");
        let problems = ada.ok("daemon_status", json!({}))["problems"].to_string();
        assert_eq!(problems.contains("made anew"), broken != "gone", "{broken}: {problems}");
        assert_eq!(fs::exists(beside("-set-aside")).expect("it can be looked"), broken != "gone", "{broken}");
    }
    // And because somebody wants it.
    env.vibes(&["search", "--rebuild"]).ok();
    eventually("it was made anew", || fs::metadata(beside("-set-aside")).is_err().then_some(()));
    assert_eq!(hits(&mut ada, "response:numbat", json!({})).len(), 1);
    oracle::check(&env);
}

#[test]
fn the_command_line_prints_places_and_ends_like_grep() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = fake(&env, &mut ada, "api", "work/api");
    turn(&mut ada, &session, "say the echidna walks");
    let run = |args: &[&str]| env.vibes(&[&["search", "--wait"], args].concat());
    let line = run(&["response:echidna", "walks"]).ok().stdout;
    let place = line.split("  ").next().expect("a place").to_owned();
    assert!(place.starts_with(&format!("{}@", &session[..8])), "{line}");
    assert!(line.contains("  response  the echidna walks"), "{line}");
    assert!(env.vibes(&["show", &place]).ok().stdout.contains("the echidna walks"));
    assert!(env.vibes(&["logs", &place]).ok().stdout.contains("say the echidna walks"));
    let json = run(&["response:echidna", "--json"]).ok().json();
    assert_eq!((json[0]["session_name"].as_str(), json.as_array().map(Vec::len)), (Some("api"), Some(1)));
    assert_eq!(run(&["echidna", "--ndjson"]).ok().stdout.lines().count(), 2);
    assert_eq!(run(&["echidna", "--ndjson", "--limit", "1"]).ok().stdout.lines().count(), 1);
    assert_eq!(run(&["response:echidna", "--cwd", &env.path("work")]).ok().stdout.lines().count(), 1);
    assert_eq!(run(&["echidna", "--agent", "shell", "--json"]).exits(1).stdout.trim(), "[]");
    assert!(run(&["wombat"]).exits(1).stderr.contains("Nothing was found"));
    assert!(run(&["\"open"]).exits(1).stderr.contains("not closed"));
    assert!(env.vibes(&["search"]).exits(2).stderr.contains("QUERY"));
    oracle::check(&env);
}

#[test]
fn a_process_inside_an_agent_may_search_and_not_rebuild() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = fake(&env, &mut ada, "api", "work");
    turn(&mut ada, &session, "say the dugong");
    let socket = env.state().socket().display().to_string();
    let search = json!({"type": "search", "query": "response:dugong", "wait_ms": 20_000});
    turn(&mut ada, &session, &format!("wire {socket} {search}"));
    assert!(ada.text(&session).contains("\"matches\":1"), "{}", ada.text(&session));
    turn(&mut ada, &session, &format!("wire {socket} {}", json!({"type": "rebuild_search"})));
    assert!(ada.text(&session).contains("FORBIDDEN"), "{}", ada.text(&session));
    oracle::check(&env);
}

#[test]
fn a_record_is_named_behind_its_session() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true, "name": "api"}));
    for words in ["first words", "second words", "third words"] {
        ada.prompt(&session, &format!("say {words}"));
        ada.said(&session, words);
        ada.rests(&session);
    }
    let said = ada.stream(&session).iter().find(|record| {
        record["fact"]["update"]["content"]["text"].as_str().is_some_and(|text| text.contains("second"))
    });
    let seq = said.expect("it was said")["seq"].as_u64().expect("a number");
    let named = format!("api@{seq}");
    let shown = env.vibes(&["show", &named]).ok().stdout;
    assert!(shown.contains(&format!("{}@{seq} · agent_message_chunk", &session[..8])), "{shown}");
    assert!(shown.contains("second words") && !shown.contains("third"), "{shown}");
    let json = env.vibes(&["show", &named, "--json"]).ok().json();
    assert_eq!((&json["seq"], &json["fact"]["kind"]), (&json!(seq), &json!("update")));
    // The transcript begins with the prompt of its turn; records begin where they are told to.
    let logs = env.vibes(&["logs", &named]).ok().stdout;
    assert!(logs.contains("say second") && logs.contains("third") && !logs.contains("first"), "{logs}");
    let lines = env.vibes(&["logs", &named, "--json"]).ok().stdout;
    assert_eq!(
        lines.lines().next().map(|line| line.contains(&format!("\"seq\":{seq},"))),
        Some(true),
        "{lines}"
    );
    assert!(env.vibes(&["logs", "api@999"]).exits(3).stderr.contains("no record 999"));
    env.vibes(&["show", "api@x"]).exits(2);
    env.vibes(&["logs", &named, "--after", "3"]).exits(2);
    env.vibes(&["finish", "api"]).ok();
    let attached = env.vibes(&["attach", &named, "--read-only"]).ok().stdout;
    assert!(attached.contains("second words") && !attached.contains("first"), "{attached}");
    oracle::check(&env);
}

#[test]
fn a_store_put_back_from_a_copy_is_indexed_as_it_is() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = fake(&env, &mut ada, "api", "work");
    let other = fake(&env, &mut ada, "other", "work");
    turn(&mut ada, &session, "say before");
    turn(&mut ada, &other, "say untouched");
    ada.ok("suspend_session", json!({"session_id": session}));
    drop(ada);
    env.daemon().terminate();
    let copy = copied(&env);
    env.daemon();
    let mut ada = env.client("ada");
    ada.subscribe(&session, 0, "writer");
    turn(&mut ada, &session, "say afterwards");
    let made = shell(&env, &mut ada, "made");
    turn(&mut ada, &made, "echo made");
    let lost = "response:afterwards OR output:made";
    assert_eq!(names(&mut ada, lost, json!({})), ["made", "api"]);
    // What its agents said meanwhile is not to be read again.
    ada.ok("suspend_session", json!({"session_id": session}));
    ada.ok("kill_session", json!({"session_id": made}));
    drop(ada);
    env.daemon().terminate();
    put_back(&env, copy);
    env.daemon();
    let mut ada = env.client("ada");
    // Another session gets the number that one had, and records the numbers that others had.
    let instead = fake(&env, &mut ada, "instead", "work");
    turn(&mut ada, &instead, "say instead");
    ada.subscribe(&session, 0, "writer");
    turn(&mut ada, &session, "say anew");
    assert_eq!(names(&mut ada, lost, json!({})), [] as [&str; 0]);
    let words = "response:before OR response:untouched OR response:anew OR response:instead";
    let mut found = names(&mut ada, words, json!({}));
    found.sort();
    assert_eq!(found, ["api", "api", "instead", "other"]);
    for hit in hits(&mut ada, "response:anew", json!({})) {
        let seq = hit["seq"].as_u64().expect("a number") as usize;
        assert!(oracle::journal(&mut ada, &session)[seq - 1].to_string().contains("anew"));
    }
    oracle::check(&env);
}
