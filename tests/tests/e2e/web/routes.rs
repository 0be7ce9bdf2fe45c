//! The routes: the wire's requests in the clothes of HTTP.

use serde_json::{Value, json};
use vibes_tests::{TestEnv, web::Site};

fn create(env: &TestEnv, site: &Site, name: &str) -> String {
    let body = json!({
        "agent": "fake", "cwd": env.work(), "name": name, "env": env.client_env(), "wait_ready": true,
    });
    let created = site.ask("POST", "/v1/sessions", body).is(201);
    let id = created.json()["session"]["id"].as_str().expect("a session has an id").to_owned();
    assert_eq!(created.header("location"), Some(format!("/v1/sessions/{id}").as_str()));
    id
}

#[test]
fn a_session_lives_its_life_over_http() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    let id = create(&env, &site, "api");
    let at = |rest: &str| format!("/v1/sessions/{id}{rest}");
    // A prompt that is waited for, by the session's name.
    let said =
        site.ask("POST", "/v1/sessions/api/prompt?wait=20", json!({"content": "say hello"})).is(200).json();
    assert_eq!((&said["outcome"], &said["text"]), (&json!("finished"), &json!("hello")), "{said}");
    // One that is not.
    let accepted = site
        .ask("POST", &at("/prompt"), json!({"content": format!("sleep_until {}", env.path("never"))}))
        .is(202)
        .json();
    assert_eq!(accepted["outcome"], "accepted");
    let late = site.ask("POST", &at("/prompt?wait=1"), json!({"content": "say later"})).is(202).json();
    assert_eq!(late["outcome"], "running", "it waits behind the other one");
    let queue = site.get(&at(""))["queue"].take();
    let waiting = queue[0]["input_seq"].as_u64().expect("it waits");
    site.ask("PATCH", &at(&format!("/queue/{waiting}")), json!({"content": "say changed"})).is(200);
    site.ask("DELETE", &at(&format!("/queue/{waiting}")), Value::Null).is(200);
    site.ask("POST", &at("/interrupt"), Value::Null).is(200);
    let runs = site.get(&at("/runs?limit=1"));
    assert_eq!(runs["turns"].as_array().map(Vec::len), Some(1), "{runs}");
    // Metadata by version.
    let session = site.get(&at(""))["session"].take();
    let version = session["version"].as_u64().expect("a version");
    let tag = format!("\"{version}\"");
    site.ask_with("PATCH", &at(""), &[("If-Match", &tag)], json!({"description": "first"})).is(200);
    let stale =
        site.ask_with("PATCH", &at(""), &[("If-Match", &tag)], json!({"description": "second"})).is(412);
    assert_eq!(stale.json()["code"], "VERSION_CONFLICT");
    assert_eq!(site.get(&at(""))["session"]["description"], "first");
    for (verb, state) in [("suspend", "suspended"), ("kill", "killed")] {
        let body = if verb == "suspend" { json!({"now": true}) } else { Value::Null };
        site.ask("POST", &at(&format!("/{verb}")), body).is(200);
        assert_eq!(site.get(&at(""))["session"]["state"], state);
    }
    site.ask("DELETE", &at(""), Value::Null).is(200);
    assert_eq!(site.get("/v1/sessions?include_ended=true")["sessions"], json!([]));
    site.ask("POST", &at("/undelete"), Value::Null).is(200);
    let ended = site.get("/v1/sessions?states=killed,failed");
    assert_eq!(ended["sessions"][0]["id"], *id);
}

#[test]
fn what_an_agent_asks_is_found_and_answered() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    let id = create(&env, &site, "asks");
    let said = site
        .ask("POST", "/v1/sessions/asks/prompt?wait=20", json!({"content": "ask p1 rm x"}))
        .is(202)
        .json();
    assert_eq!(said["outcome"], "needs_approval", "{said}");
    let pending = site.get("/v1/sessions/asks/permissions")["permissions"].take();
    assert_eq!(pending, said["permissions"]);
    let permission = pending[0]["permission_id"].as_str().expect("it has an id");
    let path = format!("/v1/sessions/{id}/permissions/{permission}");
    let wrong = site.ask("POST", &path, json!({"hash": "00", "decision": "allow_once"})).is(400);
    assert_eq!(wrong.json()["code"], "BAD_REQUEST");
    let answer = json!({"hash": pending[0]["hash"], "decision": "reject_once"});
    site.ask("POST", &path, answer.clone()).is(200);
    assert_eq!(site.ask("POST", &path, answer).is(409).json()["code"], "ALREADY_DECIDED");
    let log = site.get("/v1/approvals?limit=1");
    assert_eq!(log["approvals"][0]["resolved"]["surface"]["kind"], "web", "{log}");
}

#[test]
fn what_did_not_change_is_not_sent_again() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    create(&env, &site, "tagged");
    let first = site.ask("GET", "/v1/sessions", Value::Null).is(200);
    let tag = first.header("etag").expect("a list has a tag").to_owned();
    let again = site.ask_with("GET", "/v1/sessions", &[("If-None-Match", &tag)], Value::Null).is(304);
    assert_eq!(again.body, b"");
    site.ask("PATCH", "/v1/sessions/tagged", json!({"description": "changed"})).is(200);
    site.ask_with("GET", "/v1/sessions", &[("If-None-Match", &tag)], Value::Null).is(200);
}

#[test]
fn what_is_wrong_is_told_with_its_code_and_its_status() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    let cases = [
        ("GET", "/v1/sessions/none", Value::Null, 404, "SESSION_NOT_FOUND"),
        ("GET", "/v1/none", Value::Null, 404, "UNKNOWN_TYPE"),
        ("GET", "/v1/sessions?limit=many", Value::Null, 400, "BAD_REQUEST"),
        ("DELETE", "/v1/sessions/none?purge=", Value::Null, 400, "BAD_REQUEST"),
        ("GET", "/v1/sessions?lmit=1", Value::Null, 400, "BAD_REQUEST"),
        ("PATCH", "/v1/sessions", json!({}), 405, "BAD_REQUEST"),
        ("POST", "/v1/sessions", json!({}), 400, "BAD_REQUEST"),
        ("POST", "/v1/sessions", json!([1]), 400, "BAD_REQUEST"),
        ("POST", "/v1/sessions", json!({"agent": "none", "cwd": "/"}), 404, "AGENT_NOT_FOUND"),
        ("DELETE", "/v1/tokens/none", Value::Null, 404, "NOT_FOUND"),
        ("TRACE", "/v1/sessions", Value::Null, 405, "BAD_REQUEST"),
    ];
    for (method, path, body, status, code) in cases {
        let said = site.ask(method, path, body).is(status);
        assert_eq!(said.header("content-type"), Some("application/problem+json"), "{method} {path}");
        let problem = said.json();
        assert_eq!((&problem["code"], &problem["status"]), (&json!(code), &json!(status)), "{method} {path}");
    }
    let allowed = site.ask("PATCH", "/v1/sessions", json!({})).is(405);
    assert!(allowed.header("allow").is_some_and(|allow| allow.contains("POST")), "{:?}", allowed.headers);
}

#[test]
fn events_go_on_where_they_ended() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    let id = create(&env, &site, "events");
    let path = format!("/v1/sessions/{id}/events");
    let mut all = site.events("/v1/events", &[]);
    assert_eq!(all.hear().expect("the list comes first").name, "session_list");
    let mut first = site.events(&format!("{path}?after=0"), &[]);
    assert_eq!(first.hear().expect("an answer").name, "subscribed");
    site.ask("POST", &format!("/v1/sessions/{id}/prompt?wait=20"), json!({"content": "chunks 50 16 0 f"}))
        .is(200);
    let mut seen = Vec::new();
    while seen.len() < 20 {
        let record = first.wait_for("a record", |event| event.name == "record");
        seen.push(record.data["seq"].as_u64().expect("a number"));
        assert_eq!(
            record.id.as_deref(),
            Some(format!("{}:{}", record.data["epoch"], record.data["seq"]).as_str())
        );
    }
    drop(first);
    let last = format!("1:{}", seen[19]);
    let mut again = site.events(&path, &[("Last-Event-ID", &last)]);
    while {
        let record = again.wait_for("a record", |event| event.name == "record").data;
        seen.push(record["seq"].as_u64().expect("a number"));
        record["fact"]["kind"] != "turn_ended"
    } {}
    assert_eq!(seen, (1..=seen.len() as u64).collect::<Vec<_>>(), "each record once, in order");
    all.wait_for("what happens to sessions", |event| {
        event.name == "session_updated"
            && event.data["session"]["id"] == *id
            && event.data["session"]["turns"] == 1
    });
    let gone = site.ask_with("GET", "/v1/sessions/none/events", &[], Value::Null).is(404);
    assert_eq!(gone.json()["code"], "SESSION_NOT_FOUND");
    let wrong = site.ask_with("GET", &path, &[("Last-Event-ID", "x")], Value::Null);
    assert_eq!(wrong.status, 400);
}

#[test]
fn agents_are_listed_with_what_they_support() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    let agents = site.get("/v1/agents")["agents"].take();
    let shell = agents.as_array().into_iter().flatten().find(|agent| agent["id"] == "shell");
    let shell = shell.expect("the shell agent is always there");
    assert_eq!((&shell["icon"], &shell["installed"]), (&json!("shell"), &json!(true)));
    let can = |word: &str| json!(shell["can"].as_array().is_some_and(|can| can.contains(&json!(word))));
    assert_eq!(shell["supports_resume"], can("resume"));
    assert_eq!(shell["supports_approvals"], can("permissions"));
}

#[test]
fn a_retry_under_the_same_key_is_the_same() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    let id = create(&env, &site, "twice");
    let key = [("Idempotency-Key", "k1")];
    let prompt = |path: &str| {
        let said = site.ask_with("POST", path, &key, json!({"content": "say once"}));
        said.json()["input_seq"].as_u64().expect("a number")
    };
    let path = format!("/v1/sessions/{id}/prompt?wait=20");
    assert_eq!(prompt(&path), prompt(&path));
    assert_eq!(site.get(&format!("/v1/sessions/{id}"))["session"]["turns"], 1);
}
