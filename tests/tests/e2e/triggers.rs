//! Waiting for several sessions and for other things than states; and things that are done when something is so, also after a
//! restart.

use serde_json::{Value, json};
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    sync::mpsc,
    thread,
};
use vibes_tests::{TestEnv, eventually, oracle};

fn configured(config: &str) -> TestEnv {
    let env = TestEnv::new();
    fs::create_dir_all(env.path("cfg/vibes")).expect("a directory can be made");
    fs::write(env.path("cfg/vibes/config.toml"), config).expect("it is written");
    env
}

fn triggers(env: &TestEnv) -> Vec<Value> {
    env.vibes(&["when", "list", "--json"]).ok().json().as_array().cloned().unwrap_or_default()
}

/// A trigger once it is in this state.
fn becomes(env: &TestEnv, state: &str) -> Value {
    eventually(&format!("a trigger is {state}"), || {
        triggers(env).into_iter().find(|trigger| trigger["state"] == state)
    })
}

#[test]
fn a_script_waits_for_several_sessions_for_costs_and_for_files() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let [a, b] = ["a", "b"].map(|name| ada.create(&env, json!({"name": name, "subscribe": true})));
    let blocked = format!("sleep_until {}\nsay on", env.path("go"));
    for session in [&a, &b] {
        ada.prompt(session, &blocked);
    }
    let both = env.spawn_vibes(&["wait", "a", "b", "--until", "idle"], "", &[]);
    let any = env.spawn_vibes(&["wait", "a", "b", "--until", "finished", "--any"], "", &[]);
    let dear = env.spawn_vibes(&["wait", "a", "--until", "cost>1.5"], "", &[]);
    let file = env.spawn_vibes(&["wait", "a", "b", "--until", "file:dist/*.tar.gz"], "", &[]);
    env.vibes(&["wait", "a", "b", "--until", "cost>1", "--timeout", "0.2"]).exits(124);
    fs::write(env.path("go"), "").expect("it is written");
    both.wait().ok();
    ada.prompt(&a, "cost 2.0\nsay dear");
    dear.wait().ok();
    fs::create_dir_all(format!("{}/dist", env.work())).expect("it is made");
    fs::write(format!("{}/dist/x.tar.gz", env.work()), "").expect("it is written");
    file.wait().ok();
    ada.ok("kill_session", json!({"session_id": b}));
    assert_eq!(any.wait().ok().line(), b);
    // What can never be any more is an error; what is so already is not waited for.
    env.vibes(&["wait", "b", "--until", "cost>1"]).exits(1);
    env.vibes(&["wait", "a", "--until", "cost>1"]).ok();
    env.vibes(&["wait", "a", "--until", "cost>x"]).exits(2);
    env.vibes(&["wait", "a", "nobody"]).exits(3);
}

#[test]
fn a_command_is_run_once_it_is_so_told_as_json_with_nothing_interpolated() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true, "name": "api"}));
    let script = "cat >> told; printf '%s\\n' \"$@\" >> words";
    let id = env
        .vibes(&["when", "api", "needs-approval", "--", "sh", "-c", script, "x", "$(touch owned)", "a b"])
        .ok();
    assert_eq!(id.line(), "1");
    let root = env.root().to_owned();
    assert_eq!(triggers(&env)[0]["state"], "armed");
    let evil = format!("echo '$(touch {}/owned)' sk-abcdefghijklmnopqrstuvwxyz", env.work());
    ada.prompt(&session, &format!("ask t {evil}"));
    let permission = ada.permission(&session);
    let done = becomes(&env, "done");
    assert_eq!((&done["attempts"], &done["error"]), (&json!(1), &Value::Null));
    let cwd = done["cwd"].as_str().expect("it has a directory").to_owned();
    let told: Value =
        serde_json::from_str(&fs::read_to_string(format!("{cwd}/told")).expect("it was told")).expect("JSON");
    assert_eq!(
        (&told["event"], &told["when"], &told["session_name"]),
        (&json!("trigger"), &json!("needs-approval"), &json!("api"))
    );
    assert_eq!(told["permissions"][0]["permission_id"], permission["permission_id"]);
    assert!(
        told["permissions"][0]["action"].as_str().is_some_and(|action| action.contains("[redacted]")),
        "{told}"
    );
    assert_eq!(fs::read_to_string(format!("{cwd}/words")).expect("it was run"), "$(touch owned)\na b\n");
    assert!(
        ![format!("{cwd}/owned"), format!("{}/owned", env.work())]
            .iter()
            .any(|path| fs::exists(path).unwrap_or(true))
    );
    assert!(root.exists());
    // Once is once; and it is told what it did.
    ada.decide(&session, &permission, "reject_once");
    ada.fact(&session, "turn_ended");
    assert!(env.vibes(&["when", "list", "api"]).ok().stdout.contains("done"));
    env.vibes(&["when", "rm", "1"]).ok();
    env.vibes(&["when", "rm", "1"]).exits(1);
    assert!(triggers(&env).is_empty());
    env.vibes(&["when", "api", "finished"]).exits(2);
    env.vibes(&["when", "api", "finished", "--", "no-such-program"]).exits(2);
    env.vibes(&["when", "api", "finished", "--webhook", "nobody"]).exits(1);
    env.vibes(&["when", "nobody", "finished", "--", "true"]).exits(3);
    for path in ["told", "words"] {
        let _ = fs::remove_file(format!("{cwd}/{path}"));
    }
    oracle::check(&env);
}

#[test]
fn what_became_so_while_there_was_no_daemon_and_what_a_death_cut_short_is_done() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true, "name": "api"}));
    let (go, out) = (env.path("go"), env.path("out"));
    let script = format!(
        "cat > /dev/null; echo begun >> {out}; while [ ! -e {go} ]; do sleep 0.05; done; echo over >> {out}"
    );
    env.vibes(&["when", "api", "file:ready", "--", "sh", "-c", &script]).ok();
    env.daemon().kill9();
    fs::write(format!("{}/ready", env.work()), "").expect("it is written");
    env.daemon();
    let begun = |count: usize| {
        eventually("it is run", || {
            let text = fs::read_to_string(&out).unwrap_or_default();
            (text.lines().filter(|line| *line == "begun").count() == count).then_some(())
        });
    };
    begun(1);
    let firing = becomes(&env, "firing");
    assert_eq!(firing["attempts"], 1);
    // The daemon dies while it is under way: it is not known whether it was done, so it is done again.
    env.daemon().kill9();
    env.daemon();
    begun(2);
    fs::write(&go, "").expect("it is written");
    assert_eq!(becomes(&env, "done")["attempts"], 2);
    // What is done stays done.
    env.daemon().kill9();
    env.daemon();
    let mut ada = env.client("ada");
    ada.ok("kill_session", json!({"session_id": session}));
    assert_eq!(triggers(&env)[0]["state"], "done");
    // Of a session that is purged nothing is kept.
    let out = env.vibes(&["when", "api", "needs-approval", "--", "true", "secretword"]).ok();
    assert_eq!(out.line(), "2");
    env.vibes(&["rm", "--purge", "api"]).ok();
    eventually("its triggers are gone", || triggers(&env).is_empty().then_some(()));
}

#[test]
fn a_webhook_is_tried_again_and_one_that_the_configuration_does_not_name_is_not_called() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let url = format!("http://{}/hook", listener.local_addr().expect("it has one"));
    let (told, heard) = mpsc::channel();
    thread::spawn(move || {
        let answers = [
            "HTTP/1.1 500 no\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 302 no\r\nLocation: /else\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 yes\r\nContent-Length: 0\r\n\r\n",
        ];
        for answer in answers {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let mut text = Vec::new();
            let mut byte = [0];
            let length = |text: &[u8]| {
                let text = String::from_utf8_lossy(text).to_lowercase();
                let head = text.find("\r\n\r\n")?;
                let line =
                    text.lines().find_map(|line| line.strip_prefix("content-length: ").map(str::to_owned))?;
                Some(head + 4 + line.trim().parse::<usize>().ok()?)
            };
            while length(&text).is_none_or(|length| text.len() < length)
                && stream.read(&mut byte).is_ok_and(|read| read > 0)
            {
                text.push(byte[0]);
            }
            let _ = stream.write_all(answer.as_bytes());
            let _ = told.send(String::from_utf8_lossy(&text).into_owned());
        }
    });
    let env = configured(&format!("[webhooks]\nchat = \"{url}\"\n"));
    env.daemon();
    let mut ada = env.client("ada");
    ada.create(&env, json!({"name": "api"}));
    env.vibes(&["when", "api", "idle", "--webhook", "chat"]).ok();
    let bodies: Vec<String> =
        (0..3).map(|_| heard.recv_timeout(vibes_tests::PATIENCE).expect("it is called")).collect();
    assert!(bodies.iter().all(|body| body.starts_with("POST /hook")), "no redirect is followed: {bodies:?}");
    assert!(
        bodies[2].contains("\"attempt\":3") && bodies[2].contains("\"event\":\"trigger\""),
        "{}",
        bodies[2]
    );
    let done = becomes(&env, "done");
    assert_eq!((&done["attempts"], &done["webhook"]), (&json!(3), &json!("chat")));
    env.vibes(&["daemon", "stop", "--agents"]).ok();
    fs::write(env.path("cfg/vibes/config.toml"), "[webhooks]\nchat = \"file:///etc/passwd\"\n")
        .expect("it is written");
    assert!(env.vibes(&["daemon", "start"]).exits(4).stderr.contains("webhooks.chat"));
}
