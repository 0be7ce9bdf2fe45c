//! Every route with every hostile header: refused before anything is done. The routes are those that the daemon itself
//! describes, so that none can be forgotten.

use serde_json::Value;
use vibes_tests::{
    TestEnv,
    web::{JSON, Site},
};

/// Every route that there is, with something in its path.
fn routes(site: &Site) -> Vec<(String, String)> {
    let document = site.raw("GET", "/v1/openapi.json", &[], "").is(200).json();
    let mut found = vec![("GET".to_owned(), "/".to_owned()), ("GET".to_owned(), "/v1/none".to_owned())];
    for (path, operations) in document["paths"].as_object().expect("there are paths") {
        let mut path = path.clone();
        for name in ["id", "permission_id", "input_seq", "name", "token_id", "memory_id", "sha256"] {
            path = path.replace(&format!("{{{name}}}"), "7");
        }
        assert!(!path.contains('{'), "{path}");
        let methods = operations.as_object().expect("operations").keys();
        found.extend(methods.map(|method| (method.to_ascii_uppercase(), path.clone())));
    }
    assert!(found.len() > 40, "{found:?}");
    found
}

#[test]
fn fault_78_no_route_answers_to_a_foreign_name_or_a_foreign_page() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    let bearer = format!("Bearer {}", site.token);
    let token = ("Authorization", bearer.as_str());
    let port = site.port;
    let hosts = [
        "evil.com".to_owned(),
        format!("evil.com:{port}"),
        format!("127.0.0.1.evil.com:{port}"),
        format!("0.0.0.0:{port}"),
        "127.0.0.1".to_owned(),
        format!("localhost.:{port}"),
        String::new(),
    ];
    let origins = [
        "null".to_owned(),
        "http://evil.com".to_owned(),
        format!("https://127.0.0.1:{port}"),
        format!("http://localhost:{port}"),
        "http://127.0.0.1:3000".to_owned(),
    ];
    let upgrade = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for (method, path) in routes(&site) {
        let is_ws = path == "/v1/ws";
        let refused = |what: &str, headers: &[(&str, &str)]| {
            let mut all = vec![token];
            all.extend(headers);
            if is_ws {
                all.extend(upgrade);
            }
            let response = site.raw(&method, &path, &all, "");
            assert_eq!(response.status, 403, "{method} {path} with {what}");
            assert_eq!(response.json()["code"], "FORBIDDEN");
            assert!(response.header("content-security-policy").is_some(), "{method} {path}");
        };
        for host in &hosts {
            refused(host, &[("Host", host)]);
            // A name of an attacker that leads here: page and host agree.
            refused(host, &[("Host", host), ("Origin", &format!("http://{host}"))]);
        }
        for origin in &origins {
            refused(origin, &[("Origin", origin)]);
        }
        let own = site.host();
        refused("two hosts", &[("Host", &own), ("Host", "evil.com")]);
        refused("two origins", &[("Origin", &site.origin()), ("Origin", "http://evil.com")]);
        refused("another site", &[("Sec-Fetch-Site", "cross-site")]);
        refused("a neighbour", &[("Sec-Fetch-Site", "same-site")]);
        let without = site.raw(&method, &path, if is_ws { &upgrade } else { &[] }, "");
        if method != "GET" || is_ws {
            assert_eq!(without.status, 401, "{method} {path} with neither origin nor token");
        }
    }
}

#[test]
fn fault_79_no_route_takes_a_token_that_is_wrong_or_stands_in_the_address() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    let open = ["/", "/v1/none", "/v1/openapi.json", "/v1/ws", "/v1/auth/exchange"];
    let token = site.token.clone();
    let other = format!("{}{}", &token[..63], if token.ends_with('0') { '1' } else { '0' });
    for (method, path) in routes(&site) {
        let bearer = format!("Bearer {token}");
        let address = format!("{path}?token={token}");
        let said = site.raw(&method, &address, &[("Authorization", &bearer)], "");
        assert_eq!(said.status, 400, "{method} {address}");
        if open.contains(&path.as_str()) {
            continue;
        }
        let origin = site.origin();
        let none = site.raw(&method, &path, &[("Origin", &origin)], "").is(401);
        assert_eq!(none.json()["code"], "UNAUTHORIZED", "{method} {path}");
        for wrong in ["", &token[1..], &other] {
            let bearer = format!("Bearer {wrong}");
            let status = site.raw(&method, &path, &[("Authorization", &bearer)], "").status;
            assert!(matches!(status, 401 | 429), "{method} {path} with a wrong token: {status}");
        }
    }
    // So many were wrong by now that nobody who guesses is heard; who need not guess is.
    let limited = site.with(&other).ask("GET", "/v1/sessions", Value::Null).is(429);
    assert_eq!(limited.json()["code"], "RATE_LIMITED");
    assert!(limited.header("retry-after").is_some());
    site.get("/v1/sessions");
    let log = env.vibes(&["daemon", "logs", "-n", "10000"]).ok().stdout;
    for secret in [token.as_str(), other.as_str(), "Authorization"] {
        assert!(!log.contains(secret), "the log has a secret");
    }
}

#[test]
fn fault_80_no_route_takes_what_a_form_of_another_site_can_send() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    let bearer = format!("Bearer {}", site.token);
    for (method, path) in routes(&site).into_iter().filter(|(method, _)| method != "GET") {
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
            let headers = [("Authorization", bearer.as_str()), ("Content-Type", kind)];
            assert_eq!(site.raw(&method, &path, &headers, "{}").status, 415, "{method} {path} {kind}");
            let headers = [("Origin", "http://evil.com"), ("Content-Type", kind)];
            assert_eq!(site.raw(&method, &path, &headers, "{}").status, 403, "{method} {path} {kind}");
        }
        let bare = site.raw(&method, &path, &[("Authorization", &bearer)], "{}");
        assert_eq!(bare.status, 415, "{method} {path} without a kind");
    }
}

#[test]
fn fault_83_strange_ids_name_nothing() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    let long = "x".repeat(4096);
    for id in
        ["..", "%2e%2e", "%2e%2e%2fx", "..%2f..%2fetc%2fpasswd", "%00", "a%00b", "%e2%80%ae", "%ff", &long]
    {
        for path in [format!("/v1/sessions/{id}"), format!("/v1/sessions/{id}/history")] {
            let status = site.ask("GET", &path, Value::Null).status;
            assert!(matches!(status, 400 | 404), "{path}: {status}");
        }
        let status = site.ask("DELETE", &format!("/v1/sessions/{id}"), Value::Null).status;
        assert!(matches!(status, 400 | 404), "{id}: {status}");
    }
    site.raw("GET", "/../../etc/passwd", &[], "").is(404);
    assert!(site.raw("GET", "/%2e%2e/Cargo.toml", &[], "").status == 404);
}

#[test]
fn a_body_that_is_too_long_is_refused_and_costs_nothing() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    let body = format!("{{\"agent\":\"{}\"}}", "x".repeat(1024 * 1024));
    let bearer = format!("Bearer {}", site.token);
    let long = site.raw("POST", "/v1/sessions", &[("Authorization", &bearer), JSON], &body).is(413);
    assert_eq!(long.json()["code"], "FRAME_TOO_LARGE");
    let nested = format!("{{\"agent\":{}}}", "[".repeat(100_000));
    site.raw("POST", "/v1/sessions", &[("Authorization", &bearer), JSON], &nested).is(400);
}

#[test]
fn the_page_comes_with_the_headers_that_keep_it_apart() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    for path in ["/", "/v1/openapi.json", "/v1/none"] {
        let response = site.raw("GET", path, &[], "");
        let policy = response.header("content-security-policy").expect("a policy");
        for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(part), "{policy}");
        }
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(response.header(name), Some(value), "{path}");
        }
        assert!(response.header("access-control-allow-origin").is_none());
        assert!(response.header("set-cookie").is_none());
    }
    let page = site.raw("GET", "/", &[], "").is(200);
    let tag = page.header("etag").expect("a page has a tag").to_owned();
    site.raw("GET", "/", &[("If-None-Match", &tag)], "").is(304);
}
