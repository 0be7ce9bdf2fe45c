//! What is new to whom, on every device, and what happened since.

use serde_json::{Value, json};
use vibes_tests::{Pty, TestEnv, Wire, eventually, oracle};

fn unread(wire: &mut Wire, session: &str) -> Value {
    wire.ok("get_session", json!({"session_id": session}))["session"]["unread"].take()
}

fn person(env: &TestEnv, identity: &str) -> Wire {
    let mut wire = env.connect();
    wire.hello(json!({"identity": identity}));
    wire
}

#[test]
fn what_is_new_is_counted_for_each_person_on_all_their_devices() {
    let env = TestEnv::started();
    let mut desk = person(&env, "ann@desk:pts/1");
    let mut phone = person(&env, "ann@phone:web");
    let mut bob = person(&env, "bob@desk:pts/2");
    let session = desk.create(&env, json!({"subscribe": true}));
    desk.prompt(&session, "ask t make\nsay done");
    let permission = desk.permission(&session);
    desk.decide(&session, &permission, "allow_once");
    desk.fact(&session, "turn_ended");
    // A question and a turn; joining alone is no reading.
    assert_eq!((unread(&mut desk, &session), unread(&mut bob, &session)), (json!(2), json!(2)));
    let seq = desk.ok("get_session", json!({"session_id": session}))["session"]["head"].clone();
    desk.ok("mark_read", json!({"session_id": session, "seq": seq}));
    let told = phone.wait_for("the phone is told", |message| {
        message["type"] == "session_updated" && message["session"]["unread"] == 0
    });
    assert_eq!(told["session"]["id"], *session);
    assert_eq!((unread(&mut phone, &session), unread(&mut bob, &session)), (json!(0), json!(2)));
    let mut nobody = env.connect();
    assert_eq!(nobody.refused("mark_read", json!({"session_id": session})), "BAD_REQUEST");
    // Cursors outlive the daemon.
    drop((desk, phone, bob));
    env.daemon().kill9();
    env.daemon();
    let mut phone = person(&env, "ann@phone:web");
    let mut bob = person(&env, "bob@desk:pts/2");
    assert_eq!((unread(&mut phone, &session), unread(&mut bob, &session)), (json!(0), json!(2)));
    // Who looks reads; their other devices hear of it.
    bob.ok("subscribe", json!({"session_ids": [session], "after": 0, "role": "viewer", "reads": true}));
    phone.prompt(&session, "say more");
    bob.said(&session, "more");
    bob.fact(&session, "turn_ended");
    eventually("it is new to her alone", || {
        (unread(&mut bob, &session) == 0 && unread(&mut phone, &session) == 1).then_some(())
    });
    oracle::check(&env);
}

#[test]
fn a_digest_tells_what_happened_since_and_wakes_nobody() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true, "name": "api"}));
    let turn = |ada: &mut Wire, words: &str| {
        ada.prompt(&session, words);
        ada.fact(&session, "turn_ended");
        ada.rests(&session);
    };
    turn(&mut ada, "edit a /w/old.rs\ntool_done a\ncost 0.25\nsay before");
    env.vibes(&["read", "api"]).ok();
    let quiet = env.vibes(&["digest"]).ok();
    assert!(quiet.stdout.is_empty() && quiet.stderr.contains("Nothing happened"), "{}", quiet.stderr);
    turn(&mut ada, "edit b /w/new.rs\ntool_done b\ncost 0.75\nsay since");
    ada.prompt(&session, "ask t cargo test\nsay on");
    let permission = ada.permission(&session);
    ada.decide(&session, &permission, "allow_once");
    ada.fact(&session, "turn_ended");
    ada.rests(&session);
    ada.prompt(&session, "ask u git push");
    ada.permission(&session);
    let listed = env.vibes(&["ls"]).ok().stdout;
    assert!(listed.contains("NEW"), "{listed}");
    let told = env.vibes(&["digest", "--json"]).ok().json();
    let digest = &told[0];
    assert_eq!(digest["name"], "api");
    let numbers: Vec<&Value> =
        digest["turns"].as_array().into_iter().flatten().map(|turn| &turn["turn"]).collect();
    assert_eq!(numbers, [2, 3, 4]);
    assert_eq!((&digest["files"], &digest["cost"]["amount"]), (&json!(["/w/new.rs"]), &json!(0.5)));
    let decision = &digest["decisions"][0];
    assert_eq!(
        (&decision["action"], &decision["outcome"], &decision["by"]),
        (&json!("cargo test"), &json!("allowed"), &json!("ada"))
    );
    assert_eq!(digest["questions"][0]["action"], "git push");
    let words = env.vibes(&["digest", "api"]).ok().stdout;
    for part in ["3 turns", "/w/new.rs", "allowed by ada", "git push", "$0.50"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    assert!(!words.contains("old.rs"), "{words}");
    let all = env.vibes(&["digest", "api", "--since", "1h", "--json"]).ok().json();
    assert_eq!(all[0]["files"], json!(["/w/old.rs", "/w/new.rs"]));
    env.vibes(&["digest", "api", "--since", "yesterday"]).exits(1);
    // One that has ended and rests is told of, and rests on.
    ada.ok("kill_session", json!({"session_id": session}));
    drop(ada);
    env.daemon().terminate();
    env.daemon();
    let told = env.vibes(&["digest", "--mark-read", "--json"]).ok().json();
    assert_eq!(told[0]["turns"][2]["outcome"], "interrupted");
    assert!(env.vibes(&["digest"]).ok().stdout.is_empty());
    oracle::check(&env);
}

#[test]
fn an_attached_window_reads_what_it_shows() {
    let env = TestEnv::started();
    let id = env.vibes(&["run", "fake", "-d", "--name", "api", "say words"]).ok().line().to_owned();
    let mut tester = person(&env, "tester@other:pts/9");
    eventually("the turn is new", || (unread(&mut tester, &id) == 1).then_some(()));
    let mut window = Pty::vibes(&env, &["attach", "api"]);
    window.wait_for_text("words");
    eventually("it was read", || (unread(&mut tester, &id) == 0).then_some(()));
    window.keys("\u{4}");
    assert_eq!(window.wait_exit(), 0);
}
