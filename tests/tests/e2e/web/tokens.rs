//! Tokens: what each lets its holder do, how far it reaches, when it ends, and that what was done with it is noted.

use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt};
use vibes_tests::{
    TestEnv, eventually,
    web::{JSON, Site},
};

fn token(env: &TestEnv, site: &Site, args: &[&str]) -> (Site, String) {
    let made = env.vibes(&[&["token", "create", "--json"], args].concat()).ok().json();
    let secret = made["secret"].as_str().expect("a token is told");
    (site.with(secret), made["token"]["id"].as_str().expect("it has an id").to_owned())
}

#[test]
fn a_code_is_good_for_one_browser_and_its_token_for_the_next_daemon() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    let served = env.vibes(&["web", "--json"]).ok().json();
    let origin = site.origin();
    let body = json!({"code": served["code"]}).to_string();
    let trade = || site.raw("POST", "/v1/auth/exchange", &[("Origin", &origin), JSON], &body);
    trade().is(200);
    assert_eq!(trade().is(401).json()["code"], "UNAUTHORIZED");
    assert!(served["link"].as_str().is_some_and(|link| link.contains("/#code=")));
    let file = env.path("s/web-tokens.json");
    assert_eq!(fs::metadata(&file).expect("tokens are kept").permissions().mode() & 0o777, 0o600);
    assert!(!fs::read_to_string(&file).expect("it can be read").contains(&site.token), "only its hash is");
    env.vibes(&["daemon", "restart"]).ok();
    eventually("the web is served again", || {
        (env.vibes(&["web", "--status", "--json"]).ok().json()["running"] == true).then_some(())
    });
    assert_eq!(site.get("/v1/auth")["info"]["role"], "admin");
    site.ask("DELETE", "/v1/auth", Value::Null).is(200);
    site.ask("GET", "/v1/auth", Value::Null).is(401);
}

#[test]
fn a_role_is_what_a_token_may_do() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"name": "api"}));
    let (view, _) = token(&env, &site, &["looks", "--role", "view"]);
    let (edit, _) = token(&env, &site, &["drives", "--role", "edit"]);
    view.get("/v1/sessions/api/history");
    let refused = view.ask("POST", "/v1/sessions/api/prompt", json!({"content": "say no"})).is(403);
    assert_eq!(refused.json()["code"], "READ_ONLY");
    assert_eq!(view.ask("GET", "/v1/tokens", Value::Null).is(403).json()["code"], "READ_ONLY");
    let mut looks = view.socket();
    let joined = looks.ok("subscribe", json!({"session_ids": [session], "after": 0}));
    assert_eq!(joined["sessions"][0]["session"]["owner_id"], Value::Null, "who looks does not own");
    for (kind, fields) in [
        ("input", json!({"session_id": session, "content": "say no"})),
        ("kill_session", json!({"session_id": session})),
        ("take_ownership", json!({"session_id": session})),
        ("create_session", json!({"agent": "fake", "cwd": "/"})),
        ("stop_daemon", json!({})),
    ] {
        assert_eq!(looks.request(kind, fields)["code"], "READ_ONLY", "{kind}");
    }
    edit.ask("POST", "/v1/sessions/api/prompt?wait=20", json!({"content": "say yes"})).is(200);
    for (method, path, body) in [
        ("GET", "/v1/tokens", Value::Null),
        ("POST", "/v1/tokens", json!({"name": "more", "role": "admin"})),
        ("GET", "/v1/audit", Value::Null),
        ("POST", "/v1/rules", json!({"text": ""})),
    ] {
        assert_eq!(edit.ask(method, path, body).is(403).json()["code"], "FORBIDDEN", "{method} {path}");
    }
    site.ask("POST", "/v1/tokens", json!({"name": "more", "role": "view"})).is(201);
}

#[test]
fn a_shared_session_is_all_that_its_link_shows() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    let mut ada = env.client("ada");
    let shared = ada.create(&env, json!({"name": "shared"}));
    let hidden = ada.create(&env, json!({"name": "hidden", "subscribe": true}));
    let link = env.vibes(&["share", "shared", "--expires", "1h", "--json"]).ok().json();
    let link = link["links"][0].as_str().expect("a link").to_owned();
    let secret = link.split("#token=").nth(1).and_then(|rest| rest.split('&').next()).expect("a token in it");
    let guest = site.with(secret);
    let listed = guest.get("/v1/sessions?include_ended=true")["sessions"].take();
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    assert_eq!(listed[0]["id"], *shared);
    guest.get("/v1/sessions/shared");
    guest.get(&format!("/v1/sessions/{}/history", &shared[..8]));
    for name in [hidden.as_str(), &hidden[..8], "hidden", "none"] {
        for rest in ["", "/history", "/members", "/events", "/runs", "/permissions"] {
            let said = guest.ask("GET", &format!("/v1/sessions/{name}{rest}"), Value::Null).is(404);
            assert_eq!(said.json()["code"], "SESSION_NOT_FOUND", "{name}{rest}");
        }
    }
    for path in ["/v1/costs", "/v1/status", "/v1/tokens"] {
        assert_eq!(guest.ask("GET", path, Value::Null).status, 403, "{path}");
    }
    ada.prompt(&hidden, "say hazelnut");
    ada.fact(&hidden, "turn_ended");
    let found = |site: &Site| site.get("/v1/search?query=hazelnut&wait_ms=10000")["hits"].take();
    assert_ne!(found(&site), json!([]), "whoever sees all finds it");
    assert_eq!(found(&guest), json!([]));
    let asked = format!("/v1/approvals?session_ids={hidden}");
    guest.ask("GET", &asked, Value::Null).is(404);
    assert_eq!(
        guest.ask("POST", "/v1/sessions/shared/interrupt", Value::Null).is(403).json()["code"],
        "READ_ONLY"
    );
    // What happens elsewhere is not heard.
    let mut page = guest.socket();
    page.ok("subscribe", json!({"session_ids": [shared]}));
    ada.prompt(&hidden, "say secret");
    ada.fact(&hidden, "turn_ended");
    ada.prompt(&shared, "say open");
    page.fact("turn_ended");
    page.ok("ping", json!({}));
    let text: String = page.inbox().map(Value::to_string).collect();
    assert!(text.contains("open") && !text.contains(&hidden) && !text.contains("secret"), "{text}");
    assert_eq!(page.request("subscribe", json!({"session_ids": [hidden]}))["code"], "SESSION_NOT_FOUND");
}

#[test]
fn who_has_a_revoked_or_an_ended_token_is_cut_off() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    let (edit, id) = token(&env, &site, &["phone", "--role", "edit"]);
    let mut page = edit.socket();
    page.ok("ping", json!({}));
    let mut events = edit.events("/v1/events", &[]);
    assert!(events.hear().is_some());
    env.vibes(&["token", "revoke", &id[..4]]).ok();
    assert_eq!(page.wait_for("a farewell", |message| message["type"] == "closing")["reason"], "revoked");
    assert_eq!(page.hear(), None);
    while events.hear().is_some() {}
    edit.ask("GET", "/v1/sessions", Value::Null).is(401);
    let (short, _) = token(&env, &site, &["short", "--expires", "2s"]);
    let mut page = short.socket();
    page.ok("ping", json!({}));
    assert_eq!(page.wait_for("a farewell", |message| message["type"] == "closing")["reason"], "revoked");
    short.ask("GET", "/v1/sessions", Value::Null).is(401);
    assert_eq!(env.vibes(&["token", "revoke", &id]).exits(3).stdout, "");
    let left = env.vibes(&["token", "list", "--json"]).ok().json();
    assert_eq!(left.as_array().map(Vec::len), Some(1), "{left}");
}

#[test]
fn what_was_done_is_noted_without_its_words() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    let mut ada = env.client("ada");
    ada.create(&env, json!({"name": "api"}));
    let (edit, id) = token(&env, &site, &["phone", "--role", "edit"]);
    edit.ask("POST", "/v1/sessions/api/prompt?wait=20", json!({"content": "say canary-7f"})).is(200);
    edit.ask("POST", "/v1/sessions/none/interrupt", Value::Null).is(404);
    edit.get("/v1/sessions");
    let noted = env.vibes(&["audit", "--json"]).ok().json();
    let line = |at: usize| {
        let entry = &noted[at];
        (
            entry["token"].clone(),
            entry["request"].clone(),
            entry["session_id"].clone(),
            entry["outcome"].clone(),
        )
    };
    assert_eq!(line(0), (json!(id), json!("interrupt"), json!("none"), json!("SESSION_NOT_FOUND")));
    assert_eq!(line(1), (json!(id), json!("input"), json!("api"), json!("ok")));
    let file = env.path("s/web-audit.ndjson");
    let text = fs::read_to_string(&file).expect("it is kept");
    assert!(!text.contains("canary") && !text.contains(&edit.token));
    assert_eq!(fs::metadata(&file).expect("it is kept").permissions().mode() & 0o777, 0o600);
}

#[test]
fn fault_82_a_process_inside_an_agent_looks_over_the_web_and_changes_nothing() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true, "name": "api"}));
    let url = format!("{}/v1/sessions/api", site.origin());
    let bearer = format!("Authorization: Bearer {}", site.token);
    let script = format!(
        "curl -s -o {out}/look -w '%{{http_code}}' -H '{bearer}' {url} > {out}/looked; \
         curl -s -o {out}/did -w '%{{http_code}}' -X POST -H '{bearer}' {url}/kill > {out}/done.new; \
         mv {out}/done.new {out}/done",
        out = env.path("work"),
    );
    fs::write(env.path("inside.sh"), script).expect("a file can be made");
    ada.prompt(&session, &format!("spawn sh {}", env.path("inside.sh")));
    let done = eventually("the process inside is through", || fs::read_to_string(env.path("work/done")).ok());
    assert_eq!(fs::read_to_string(env.path("work/looked")).expect("it looked"), "200");
    assert_eq!(done, "403");
    let said: Value =
        serde_json::from_str(&fs::read_to_string(env.path("work/did")).expect("told")).expect("JSON");
    assert_eq!(said["code"], "FORBIDDEN");
    ada.fact(&session, "refused");
}
