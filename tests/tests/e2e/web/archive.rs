//! Archives, attachments, templates and memories over HTTP.
//!
//! Invariant: what goes out by one door comes in by another, and what is refused there is refused here.

use serde_json::{Value, json};
use std::{collections::BTreeSet, fs};
use vibes_tests::{PNG, TestEnv, oracle, web::Site};

const LINES: (&str, &str) = ("Content-Type", "application/x-ndjson");

/// A session that said so much that its archive has several pages, and has ended.
fn long(env: &TestEnv, name: &str) -> String {
    let mut ada = env.client("ada");
    let id = ada.create(env, json!({"subscribe": true, "name": name}));
    // 6 MB: a page of the wire is one at most.
    ada.prompt(&id, "chunks 60 100000 0 L\nsay über and out");
    ada.fact(&id, "turn_ended");
    ada.ok("finish_session", json!({"session_id": id}));
    id
}

fn send(site: &Site, body: &str) -> vibes_tests::web::Response {
    let bearer = format!("Bearer {}", site.token);
    site.raw("POST", "/v1/import", &[("Authorization", &bearer), LINES], body)
}

#[test]
fn a_session_goes_out_whole_and_comes_in_once() {
    let (here, there) = (TestEnv::started(), TestEnv::started());
    let (site, other) = (Site::open(&here), Site::open(&there));
    let id = long(&here, "api");
    let exported = site.ask("GET", "/v1/sessions/api/export", Value::Null).is(200);
    assert_eq!(exported.header("content-type"), Some("application/x-ndjson"));
    let name = format!("attachment; filename=\"vibes-{id}.ndjson\"");
    assert_eq!(exported.header("content-disposition"), Some(name.as_str()));
    let archive = String::from_utf8(exported.body).expect("an archive is text");
    let lines: Vec<Value> = archive.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((&lines[0]["type"], &lines[0]["lineage"]), (&json!("vibes_export"), &json!(id)));
    let mut journal = oracle::journal(&mut here.client("eve"), &id);
    // The agent's end may be recorded behind it.
    journal.truncate(lines[0]["last"].as_u64().expect("a number") as usize);
    journal.iter_mut().for_each(|record| record["type"] = json!("record"));
    assert_eq!(lines.len() - 1, journal.len());
    assert!(lines[1..] == journal, "it is the journal");
    let some = site.ask("GET", &format!("/v1/sessions/{id}/export?after=2&to=4"), Value::Null).is(200);
    assert_eq!(String::from_utf8_lossy(&some.body).lines().count(), 3);
    for (query, status) in [("?after=x", 400), ("?raw=perhaps", 400), ("?format=json", 400)] {
        site.ask("GET", &format!("/v1/sessions/{id}/export{query}"), Value::Null).is(status);
    }
    site.ask("GET", "/v1/sessions/none/export", Value::Null).is(404);

    let taken = send(&other, &archive).is(200).json();
    let taken = &taken["imports"];
    assert_eq!(
        (taken.as_array().map(Vec::len), &taken[0]["outcome"]),
        (Some(1), &json!("imported")),
        "{taken}"
    );
    assert_eq!(taken[0]["records"].as_u64(), Some(journal.len() as u64));
    let new = taken[0]["session_id"].as_str().expect("it has an id");
    let history = other.get(&format!("/v1/sessions/{new}/history?after=0&limit=3"));
    let facts = |records: &[Value]| records.iter().map(|record| record["fact"].clone()).collect::<Vec<_>>();
    assert_eq!(facts(history["records"].as_array().expect("records")), facts(&journal[..3]));
    // The same again is nothing new, and what is new behind it is.
    let again = send(&other, &format!("\n{archive}{archive}")).is(200).json();
    assert_eq!(again["imports"].as_array().map(Vec::len), Some(2));
    assert!(
        again["imports"].as_array().into_iter().flatten().all(|one| one["outcome"] == "known"),
        "{again}"
    );
    assert_eq!(other.get("/v1/sessions?include_ended=true")["sessions"].as_array().map(Vec::len), Some(1));
    let noted = there.vibes(&["audit", "--json"]).ok().stdout;
    assert!(noted.contains("import_session") && !noted.contains("über"), "{noted}");
}

#[test]
fn an_archive_that_is_none_is_refused_and_leaves_nothing() {
    let (here, there) = (TestEnv::started(), TestEnv::started());
    let (site, other) = (Site::open(&here), Site::open(&there));
    let mut ada = here.client("ada");
    let id = ada.create(&here, json!({"subscribe": true}));
    ada.prompt(&id, "say one");
    ada.fact(&id, "turn_ended");
    let exported = site.ask("GET", &format!("/v1/sessions/{id}/export"), Value::Null).is(200);
    let archive = String::from_utf8(exported.body).expect("text");
    let (head, records) = archive.split_once('\n').expect("a head");
    let gap: String =
        records.split_inclusive('\n').enumerate().filter(|(at, _)| *at != 2).map(|(_, line)| line).collect();
    let hostile = [
        ("", "vibes_export"),
        ("{}\n", "vibes_export"),
        ("hello\n", "vibes_export"),
        (records, "vibes_export"),
        (&format!("{head}\n{{\"type\":\"record\"}}\n"), ""),
        (&format!("{head}\nnot json\n"), ""),
        (&format!("{head}\n{gap}"), ""),
        (&format!("{head}\n{}", &records[..records.len() / 2]), ""),
        (&head.replace("\"format\":", "\"format\":9"), "format"),
        (&format!("{{\"type\":\"vibes_export\",\"x\":{}", "[".repeat(100_000)), ""),
    ];
    for (body, why) in hostile {
        let said = send(&other, body);
        assert_eq!(
            said.status,
            400,
            "{}: {:?}",
            String::from_utf8_lossy(&said.body),
            body.chars().take(300).collect::<String>()
        );
        let problem = said.json();
        assert!(problem["detail"].as_str().is_some_and(|told| told.contains(why)), "{problem}");
    }
    let bearer = format!("Bearer {}", other.token);
    let latin = other.raw(
        "POST",
        "/v1/import",
        &[("Authorization", &bearer), ("Content-Type", "application/json")],
        "{}",
    );
    assert_eq!(latin.status, 415, "an archive is no request");
    let long = send(&other, &format!("{head}\n{{\"x\":\"{}\"}}\n", "x".repeat(17 * 1024 * 1024))).is(413);
    assert_eq!(long.json()["code"], "FRAME_TOO_LARGE");
    assert_eq!(
        other.get("/v1/sessions?include_ended=true")["sessions"],
        json!([]),
        "nothing of them is here"
    );
    // A good one behind bad ones is taken in: no import of before is in its way.
    assert_eq!(send(&other, &archive).is(200).json()["imports"][0]["outcome"], "imported");
}

#[test]
fn an_attachment_is_saved_and_never_shown_for_what_it_says_it_is() {
    let env = TestEnv::new();
    let words: Vec<&str> = env.variables()["VIBES_AGENT_FAKE"].split(' ').collect();
    let words = json!([&words[..], &["--opts", "seeing"]].concat());
    fs::create_dir_all(env.path("cfg/vibes")).expect("a directory can be made");
    let config = format!("[agents.seeing]\ncommand = {words}\naccepts = [\"image\", \"resource\"]\n");
    fs::write(env.path("cfg/vibes/config.toml"), config).expect("it is written");
    let script = b"<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>";
    let files = [("a.png", PNG), ("b.svg", script), ("c.html", script)];
    let mut args: Vec<String> = ["run", "seeing", "-d", "--name", "api"].map(str::to_owned).to_vec();
    for (name, bytes) in files {
        fs::write(env.path(name), bytes).expect("it is written");
        args.extend(["--attach".to_owned(), env.path(name)]);
    }
    args.push("say seen".to_owned());
    env.daemon();
    env.vibes(&args.iter().map(String::as_str).collect::<Vec<_>>()).ok();
    env.vibes(&["wait", "api"]).ok();
    let site = Site::open(&env);
    let other = env.client("ada").create(&env, json!({"name": "other"}));
    let history = site.get("/v1/sessions/api/history?after=0").to_string();
    let hashes: BTreeSet<&str> = history.split("\"sha256\":\"").skip(1).map(|rest| &rest[..64]).collect();
    assert_eq!(hashes.len(), 2, "the same bytes are kept once: {history}");
    let at = |session: &str, hash: &str| format!("/v1/sessions/{session}/blobs/{hash}");
    let mut picture = None;
    for hash in hashes {
        let found = site.ask("GET", &at("api", hash), Value::Null).is(200);
        assert_eq!(found.header("x-content-type-options"), Some("nosniff"));
        assert!(found.header("content-disposition").is_some_and(|how| how.starts_with("attachment; ")));
        assert!(found.header("content-security-policy").is_some());
        if found.body == PNG {
            assert_eq!(found.header("content-type"), Some("image/png"));
            picture = Some((hash, found));
        } else {
            assert_eq!(found.body, script);
            assert_eq!(found.header("content-type"), Some("application/octet-stream"));
        }
    }
    let (hash, picture) = picture.expect("the picture is among them");
    let tag = picture.header("etag").expect("it has a tag").to_owned();
    site.ask_with("GET", &at("api", hash), &[("If-None-Match", &tag)], Value::Null).is(304);
    // What another session has is not to be had through this one.
    for wrong in [at(&other, hash), at("api", &"0".repeat(64)), at("api", "..%2fx"), at("api", "7")] {
        site.ask("GET", &wrong, Value::Null).is(400);
    }
    site.ask("GET", &at("none", hash), Value::Null).is(404);
}

#[test]
fn templates_and_memories_are_kept_over_http() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    let template = json!({"name": "tests", "text": "agent = \"shell\"\nmode = \"auto\"\n"});
    let saved = site.ask("POST", "/v1/templates", template.clone()).is(200).json();
    assert_eq!(saved["template"]["name"], "tests", "{saved}");
    let twice = site.ask("POST", "/v1/templates", template);
    assert!(twice.status >= 400, "one of before is not written over: {}", twice.status);
    assert_eq!(site.get("/v1/templates")["templates"].as_array().map(Vec::len), Some(1));
    assert!(site.get("/v1/templates/tests")["text"].as_str().is_some_and(|text| text.contains("shell")));
    for name in ["..%2f..%2fetc%2fpasswd", "none", "%00", ".."] {
        let status = site.ask("GET", &format!("/v1/templates/{name}"), Value::Null).status;
        assert!(matches!(status, 400 | 404), "{name}: {status}");
    }
    site.ask("DELETE", "/v1/templates/tests", Value::Null).is(200);
    assert_eq!(site.get("/v1/templates")["templates"], json!([]));

    let add = |text: &str, tags: Value| {
        site.ask("POST", "/v1/memories", json!({"text": text, "tags": tags})).is(200).json()["memory"]["id"]
            .as_u64()
            .expect("a number")
    };
    let (heron, stork) =
        (add("the heron wades", json!(["bird"])), add("the stork flies", json!(["bird", "tall"])));
    assert_eq!(site.get("/v1/memories?query=heron")["total"], 1);
    assert_eq!(site.get("/v1/memories?tags=bird&limit=1")["memories"].as_array().map(Vec::len), Some(1));
    site.ask("PATCH", &format!("/v1/memories/{heron}"), json!({"text": "the heron waits"})).is(200);
    assert_eq!(site.get(&format!("/v1/memories/{heron}"))["memory"]["text"], "the heron waits");
    site.ask("DELETE", &format!("/v1/memories/{stork}"), Value::Null).is(200);
    site.ask("GET", &format!("/v1/memories/{stork}"), Value::Null).is(404);
    site.ask("GET", "/v1/memories/first", Value::Null).is(400);
    let line = site
        .ask("POST", "/v1/memories/command", json!({"text": "remember that the tern dives"}))
        .is(200)
        .json();
    assert_eq!(line["action"], "remembered", "{line}");
    assert_eq!(site.get("/v1/memories")["total"], 2);
    assert!(!fs::read_to_string(env.path("s/web-audit.ndjson")).expect("it is noted").contains("heron"));
}
