//! What is new to whom, on every device, and what happened since.

use serde_json::{Value, json};
use vibes_tests::{
    Pty, TestEnv, Wire, eventually, oracle,
    web::{Site, Socket},
};

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
    // Every verb asks as the person who types it.
    let shown = |field: &str| {
        let shown: Value =
            serde_json::from_str(&env.vibes(&["show", &session, "--json"]).ok().stdout).unwrap();
        shown[field].clone()
    };
    assert_eq!(shown("unread"), 2);
    env.vibes(&["read", &session]).ok();
    assert_eq!(shown("unread"), 0);
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

#[test]
fn whose_eyes_a_browser_is_says_its_token_and_not_the_page() {
    let env = TestEnv::started();
    let site = Site::open(&env);
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"name": "api", "subscribe": true}));
    ada.prompt(&session, "say done");
    ada.fact(&session, "turn_ended");
    let token = |args: &[&str]| {
        let made = env.vibes(&[&["token", "create", "--json"], args].concat()).ok().json();
        site.with(made["secret"].as_str().expect("a token is told"))
    };
    let listed = |site: &Site| site.get("/v1/sessions")["sessions"][0]["unread"].clone();
    let terminal = || env.vibes(&["ls", "--json"]).ok().json()[0]["unread"].clone();
    let seen = |socket: &mut Socket| {
        socket.ok("get_session", json!({"session_id": session}))["session"]["unread"].clone()
    };
    let mut browser = site.socket();
    // Whatever a page calls itself.
    browser.ok("hello", json!({"protocol": 1, "client": {"name": "page", "version": "1", "kind": "web"}, "identity": "mallory@nowhere:ab12"}));
    let ben = token(&["ben's phone", "--role", "edit", "--for", "ben"]);
    let (looks, one) = (token(&["looks"]), token(&["one", "--role", "edit", "--session", "api"]));
    assert_eq!((seen(&mut browser), terminal(), listed(&ben)), (json!(1), json!(1), json!(1)));
    assert_eq!((listed(&looks), listed(&one)), (json!(0), json!(0)), "nothing is new to nobody");
    for (site, code) in [(&looks, "READ_ONLY"), (&one, "FORBIDDEN")] {
        assert_eq!(site.ask("POST", "/v1/sessions/api/read", json!({})).is(403).json()["code"], code);
        let mut socket = site.socket();
        assert_eq!(socket.request("mark_read", json!({"session_id": session}))["code"], code);
        // Nor does it read by being there.
        socket.ok("hello", json!({"protocol": 1, "client": {"name": "page", "version": "1", "kind": "web"}, "identity": "mallory@nowhere:ab12"}));
        socket.ok("subscribe", json!({"session_ids": [session], "role": "viewer", "reads": true}));
    }
    assert_eq!((seen(&mut browser), terminal(), listed(&ben)), (json!(1), json!(1), json!(1)));
    // The browser and the terminal are the same person; what one has read the other has.
    browser.ok("mark_read", json!({"session_id": session}));
    assert_eq!((terminal(), listed(&ben)), (json!(0), json!(1)));
    ada.prompt(&session, "say more");
    ada.fact(&session, "turn_ended");
    env.vibes(&["read", "api"]).ok();
    assert_eq!((seen(&mut browser), listed(&ben)), (json!(0), json!(2)));
    ben.ask("POST", "/v1/sessions/api/read", json!({})).is(200);
    assert_eq!(listed(&ben), json!(0));
    let told = env.vibes(&["token", "ls"]).ok().stdout;
    assert!(told.contains("FOR") && told.contains("ben"), "{told}");
    // A token in anybody's hands is no person's.
    for args in [&["--role", "view"][..], &["--role", "edit", "--session", "api"]] {
        let refused = env.vibes(&[&["token", "create", "x", "--for", "ben"], args].concat()).exits(1);
        assert!(refused.stderr.contains("nobody's"), "{}", refused.stderr);
    }
    env.vibes(&["token", "create", "x", "--role", "edit", "--for", "ben@box"]).exits(1);
    oracle::check(&env);
}
