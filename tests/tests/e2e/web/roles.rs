//! Every route with every role: what a token may not do is refused before anything is done. The routes are those that the
//! daemon itself describes, so that none can be forgotten.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use vibes_tests::{TestEnv, web::Site};

/// What a route needs, at least.
const TABLE: &str = "
view GET /v1/openapi.json /v1/auth /v1/events /v1/agents /v1/status /v1/sessions /v1/sessions/{id}
view GET /v1/sessions/{id}/permissions /v1/sessions/{id}/members /v1/sessions/{id}/history /v1/sessions/{id}/events
view GET /v1/sessions/{id}/runs /v1/sessions/{id}/rules /v1/sessions/{id}/export /v1/sessions/{id}/blobs/{sha256}
view GET /v1/templates /v1/templates/{name} /v1/memories /v1/memories/{memory_id}
view GET /v1/search /v1/approvals /v1/costs /v1/rules /v1/disk-usage
view POST /v1/rules/test
edit POST /v1/sessions /v1/import /v1/templates /v1/memories /v1/memories/command /v1/search/rebuild
edit PATCH /v1/sessions/{id} /v1/sessions/{id}/queue/{input_seq} /v1/memories/{memory_id}
edit DELETE /v1/sessions/{id} /v1/sessions/{id}/queue/{input_seq} /v1/sessions/{id}/rules/{name} /v1/templates/{name}
edit DELETE /v1/memories/{memory_id}
edit POST /v1/sessions/{id}/undelete /v1/sessions/{id}/prompt /v1/sessions/{id}/interrupt /v1/sessions/{id}/options
edit POST /v1/sessions/{id}/permissions/{permission_id} /v1/sessions/{id}/suspend /v1/sessions/{id}/resume
edit POST /v1/sessions/{id}/finish /v1/sessions/{id}/kill /v1/sessions/{id}/fork /v1/sessions/{id}/transfer
edit POST /v1/sessions/{id}/take /v1/sessions/{id}/read /v1/sessions/{id}/queue/{input_seq}/move /v1/sessions/{id}/worktree
admin GET /v1/tokens /v1/audit
admin POST /v1/tokens /v1/rules
admin DELETE /v1/tokens/{token_id}
";
/// Those of the token itself, or of nobody.
const ASIDE: &[(&str, &str)] = &[("GET", "/v1/ws"), ("POST", "/v1/auth/exchange"), ("DELETE", "/v1/auth")];

/// A body that says enough for the request to be understood.
fn body(method: &str, path: &str) -> Value {
    match (method, path) {
        ("GET" | "DELETE", _) => Value::Null,
        (_, "/v1/sessions") => json!({"agent": "none", "cwd": "/"}),
        (_, "/v1/templates") => json!({"name": "7", "text": "agent ="}),
        (_, "/v1/memories") => json!({"text": ""}),
        (_, "/v1/memories/command") => json!({"text": "remember that it is so"}),
        (_, "/v1/rules" | "/v1/rules/test") => json!({"text": "no rules ["}),
        (_, "/v1/tokens") => json!({"name": "", "role": "view"}),
        (_, path) if path.ends_with("/prompt") => json!({"content": "x"}),
        ("PATCH", path) if path.contains("/queue/") => json!({"content": "x"}),
        (_, path) if path.ends_with("/move") => json!({"place": 1}),
        (_, path) if path.ends_with("/options") => json!({"option_id": "mode", "value": "x"}),
        (_, path) if path.contains("/permissions/") => json!({"hash": "0", "decision": "allow_once"}),
        (_, path) if path.ends_with("/transfer") => {
            json!({"new_owner_id": "00000000-0000-4000-8000-000000000000"})
        }
        (_, path) if path.ends_with("/worktree") => json!({"action": "drop"}),
        _ => json!({}),
    }
}

#[test]
fn every_route_needs_its_role_and_no_less() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    let token = |role: &str| {
        let made = env.vibes(&["token", "create", role, "--role", role, "--json"]).ok().json();
        site.with(made["secret"].as_str().expect("a token is told"))
    };
    let sites = [token("view"), token("edit"), token("admin")];
    let mut left: BTreeMap<(String, String), usize> = BTreeMap::new();
    for line in TABLE.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        let role =
            words.next().and_then(|role| ["view", "edit", "admin"].iter().position(|one| *one == role));
        let (role, method) = (role.expect("a role"), words.next().expect("a method"));
        left.extend(words.map(|path| ((method.to_owned(), path.to_owned()), role)));
    }
    let document = site.get("/v1/openapi.json");
    for (path, operations) in document["paths"].as_object().expect("there are paths") {
        for method in
            operations.as_object().expect("operations").keys().map(|method| method.to_ascii_uppercase())
        {
            if ASIDE.contains(&(method.as_str(), path)) {
                continue;
            }
            let least = left.remove(&(method.clone(), path.clone()));
            let least = least.unwrap_or_else(|| panic!("{method} {path} is not in the table of roles"));
            // The command that a line of memories is decides; the one that is sent changes something.
            let mut target = path.clone();
            for name in ["id", "permission_id", "input_seq", "name", "token_id", "memory_id", "sha256"] {
                // A token's id may begin with any hexadecimal digit, and one that is used here is not to be taken back.
                let none = if name == "token_id" { "none" } else { "7" };
                target = target.replace(&format!("{{{name}}}"), none);
            }
            if path == "/v1/search" {
                target.push_str("?query=x");
            }
            for (role, site) in sites.iter().enumerate() {
                if path.ends_with("/events") && role >= least {
                    continue;
                }
                let said = match path.as_str() {
                    "/v1/import" => {
                        let bearer = format!("Bearer {}", site.token);
                        let kind = ("Content-Type", "application/x-ndjson");
                        let head = json!({"type": "vibes_export", "format": 1, "lineage": "7", "first": 1, "last": 1, "redacted": false, "session": {}});
                        site.raw("POST", &target, &[("Authorization", &bearer), kind], &format!("{head}\n"))
                    }
                    _ => site.ask(&method, &target, body(&method, path)),
                };
                let code = if said.status >= 400 {
                    said.json()["code"].as_str().unwrap_or_default().to_owned()
                } else {
                    String::new()
                };
                let refused = matches!(code.as_str(), "READ_ONLY" | "FORBIDDEN");
                let told = String::from_utf8_lossy(&said.body).into_owned();
                assert_eq!(
                    refused,
                    role < least,
                    "{method} {path} as {}: {} {told}",
                    ["view", "edit", "admin"][role],
                    said.status
                );
            }
        }
    }
    assert!(left.is_empty(), "there are no such routes: {left:?}");
}
