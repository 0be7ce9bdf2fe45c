//! Calling a person: a command, a webhook, the terminal's bell. Each edge once, nothing interpolated, no redirect
//! followed, no secret told.

use serde_json::{Value, json};
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    sync::mpsc,
    thread,
};
use vibes_tests::{Pty, TestEnv, eventually};

/// A daemon with this `[attention]`.
fn started(table: &str) -> TestEnv {
    let env = TestEnv::new();
    fs::create_dir_all(env.path("cfg/vibes")).expect("a directory can be made");
    let config = format!("[attention]\n{}\n", table.replace("ROOT", &env.path("")));
    fs::write(env.path("cfg/vibes/config.toml"), config).expect("a file can be made");
    env.daemon();
    env
}

/// What the command was told so far.
fn told(env: &TestEnv) -> Vec<Value> {
    let text = fs::read_to_string(env.path("calls")).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).expect("a call is JSON")).collect()
}

#[test]
fn fault_89_a_command_hears_each_edge_once_as_json_without_secrets() {
    let env = started("command = [\"/bin/sh\", \"-c\", \"cat >> ROOT/calls\"]");
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true, "name": "api"}));
    let evil = "echo '$(touch ROOT/owned)' sk-abcdefghijklmnopqrstuvwxyz --password=hunter2"
        .replace("ROOT", env.work().as_str());
    ada.prompt(&session, &format!("ask t {evil}"));
    let permission = ada.permission(&session);
    let calls = eventually("the command is told of the question", || {
        Some(told(&env)).filter(|calls| !calls.is_empty())
    });
    assert_eq!((&calls[0]["event"], &calls[0]["session_name"]), (&json!("needs_approval"), &json!("api")));
    let asked = &calls[0]["permissions"][0];
    assert_eq!(
        (&asked["permission_id"], &asked["hash"]),
        (&permission["permission_id"], &permission["hash"])
    );
    let action = asked["action"].as_str().expect("it says what is asked");
    assert!(action.contains("$(touch") && action.contains("[redacted]"), "{action}");
    assert!(!action.contains("hunter2") && !action.contains("sk-abc"), "{action}");
    ada.decide(&session, &permission, "reject_once");
    ada.fact(&session, "turn_ended");
    eventually("the command is told that the turn is over", || (told(&env).len() == 2).then_some(()));
    ada.ok("finish_session", json!({"session_id": session}));
    let calls =
        eventually("the command is told of the end", || Some(told(&env)).filter(|calls| calls.len() == 3));
    let events: Vec<&Value> = calls.iter().map(|call| &call["event"]).collect();
    assert_eq!(events, ["needs_approval", "idle", "finished"]);
    assert!(!std::path::Path::new(&format!("{}/owned", env.work())).exists(), "nothing is interpolated");
}

#[test]
fn what_a_rule_answers_calls_nobody() {
    let env = started(
        "command = [\"/bin/sh\", \"-c\", \"cat >> ROOT/calls\"]\nevents = [\"needs_approval\", \"failed\"]",
    );
    let mut ada = env.client("ada");
    ada.ok("apply_rules", json!({"text": super::rules::RULES}));
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "ask t make test");
    ada.fact(&session, "turn_ended");
    ada.prompt(&session, "ask u other");
    let calls = eventually("the command is told", || Some(told(&env)).filter(|calls| !calls.is_empty()));
    assert_eq!(calls.len(), 1, "{calls:?}");
    assert_eq!(calls[0]["permissions"][0]["action"], "other");
}

#[test]
fn a_webhook_is_posted_to_and_no_redirect_is_followed() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let (sender, requests) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = Vec::new();
            let mut buffer = [0; 4096];
            // The body follows the empty line, as long as it says.
            loop {
                let text = String::from_utf8_lossy(&request).into_owned();
                let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
                    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
                    body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0)
                });
                if whole {
                    break;
                }
                match stream.read(&mut buffer) {
                    Ok(count @ 1..) => request.extend_from_slice(&buffer[..count]),
                    _ => break,
                }
            }
            let answer = format!(
                "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{port}/elsewhere\r\nContent-Length: 0\r\n\r\n"
            );
            let _ = stream.write_all(answer.as_bytes());
            let _ = sender.send(String::from_utf8_lossy(&request).into_owned());
        }
    });
    let env =
        started(&format!("webhook = \"http://127.0.0.1:{port}/hook?key=a\"\nevents = [\"needs_approval\"]"));
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    for id in ["t", "u"] {
        ada.prompt(&session, &format!("ask {id} say \"hi\" \\ there"));
        let permission = ada.permission(&session);
        let request = requests.recv_timeout(vibes_tests::PATIENCE).expect("the webhook is posted to");
        // A redirect that was followed would be the second request.
        assert!(request.starts_with("POST /hook?key=a HTTP/1.1"), "{request}");
        let body = request.split_once("\r\n\r\n").expect("a request has a body").1;
        let call: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
        assert_eq!(call["permissions"][0]["action"], "say \"hi\" \\ there");
        ada.decide(&session, &permission, "reject_once");
        ada.fact(&session, "turn_ended");
    }
}

#[test]
fn a_wrong_address_keeps_the_daemon_from_starting() {
    let env = TestEnv::new();
    fs::create_dir_all(env.path("cfg/vibes")).expect("a directory can be made");
    for (table, says) in [
        ("webhook = \"file:///etc/passwd\"", "attention.webhook"),
        ("events = [\"sometimes\"]", "sometimes"),
        ("comand = []", "comand"),
    ] {
        fs::write(env.path("cfg/vibes/config.toml"), format!("[attention]\n{table}\n"))
            .expect("a file can be made");
        let ran = env.vibes(&["daemon", "start"]).exits(4);
        assert!(ran.stderr.contains(says), "{}", ran.stderr);
    }
}

#[test]
fn the_terminal_rings_and_says_what_is_wanted() {
    let env = TestEnv::started();
    let session = env.run_fake("say ready");
    let pty = Pty::vibes(&env, &["attach", &session]);
    pty.wait_for_text("ready");
    let mut ada = env.client("ada");
    ada.prompt(&session, "ask t make test");
    pty.wait_for_text("APPROVAL NEEDED");
    let title = format!("\u{1b}]0;{} · needs approval · vibes\u{7}", &session[..8]);
    eventually("the title and the bell", || {
        let drawn = String::from_utf8_lossy(&pty.drawn_bytes()).into_owned();
        // A bell of its own, besides the one that ends a title.
        let titles = drawn.matches("\u{1b}]0;").count();
        (drawn.contains(&title) && drawn.matches('\u{7}').count() > titles).then_some(())
    });
}

#[test]
fn s_in_a_window_allows_for_the_session() {
    let env = TestEnv::started();
    let session = env.run_fake("ask t make test");
    let pty = Pty::vibes(&env, &["attach", &session]);
    pty.wait_for_text("[S]ession");
    let mut watch = env.client("watch");
    watch.subscribe(&session, 0, "viewer");
    // Keys count once the request could be read.
    eventually("the key is taken", || {
        pty.keys("\u{15}s");
        let info = watch.ok("get_session", json!({"session_id": session}));
        (info["session"]["state"] == "idle").then_some(())
    });
    assert_eq!(watch.fact(&session, "rule_added")["fact"]["rule"]["command"], "make test");
    pty.keys("\u{15}ask u make test\r");
    pty.wait_for_text("by the session's rule s1");
    watch.said(&session, "answer u allow");
}
