//! What goes on in a soak: a session from its making to its deletion, a session that stays, and strangers at the door.
//!
//! Invariant: whatever is begun here is ended here; a life leaves nothing but what the store keeps of it.

use crate::{Pty, TestEnv, Wire, dice::Dice, oracle};
use serde_json::{Value, json};
use std::time::Duration;

/// How long a client with grace may be away, in milliseconds: it never comes back.
const GRACE_MS: u64 = 200;

/// Gives a prompt under a key and waits for the end of its turn; questions are answered on the way.
fn turn(wire: &mut Wire, session: &str, text: &str, dice: &mut Dice) {
    let key = uuid::Uuid::new_v4().to_string();
    let fields = json!({"session_id": session, "content": text, "idempotency_key": key});
    let first = wire.ok("input", fields.clone());
    if dice.one_in(4) {
        assert_eq!(wire.ok("input", fields)["seq"], first["seq"], "the same key is the same prompt");
    }
    loop {
        let mut record = wire.wait_for("the end of a turn, or a question", |message| {
            let kind = &message["fact"]["kind"];
            message["session_id"] == session && (kind == "turn_ended" || kind == "permission_requested")
        });
        if record["fact"]["kind"] == "turn_ended" {
            return;
        }
        let decision = if dice.one_in(3) { "reject_once" } else { "allow_once" };
        let answer = wire.decide(session, &record["fact"]["permission"].take(), decision);
        assert_eq!(answer["type"], "ok", "{answer}");
    }
}

fn client(env: &TestEnv, name: &str, more: Value) -> Wire {
    let mut wire = env.connect().forgetful();
    let mut hello = json!({"identity": name});
    hello.as_object_mut().expect("just made").extend(more.as_object().cloned().unwrap_or_default());
    wire.hello(hello);
    wire
}

/// One session: made, used, crashed, ended, deleted.
pub(super) fn session(env: &TestEnv, name: &str, dice: &mut Dice) {
    let mut ann = client(env, &format!("ann-{name}"), json!({}));
    let shell = dice.one_in(4);
    let agent = if shell { json!({"agent": "shell", "mode": "ask"}) } else { json!({}) };
    let mut more =
        json!({"subscribe": true, "name": format!("s{name}"), "idempotency_key": uuid::Uuid::new_v4()});
    more.as_object_mut().expect("just made").extend(agent.as_object().cloned().unwrap_or_default());
    let session = ann.create(env, more);
    // One that will vanish without a word, one that may come back and does not, one that never reads.
    let mut eve = client(env, "eve", json!({}));
    eve.subscribe(&session, 0, "viewer");
    let mut bob = client(env, "bob", json!({"grace_ms": GRACE_MS}));
    bob.subscribe(&session, "end", "writer");
    let mut sloth = client(env, "sloth", json!({}));
    sloth.subscribe(&session, 0, "viewer");
    for number in 0..2 + dice.roll(4) {
        let tag = format!("p{number}");
        let text = match (shell, dice.roll(6)) {
            (true, _) => format!("echo {tag}; seq 1 {}", dice.roll(200)),
            (false, 0) => format!("chunks {} 200 0 {tag}", 1 + dice.roll(2_000)),
            (false, 1) => format!("ask {tag} ls\nsay end of {tag}"),
            (false, 2) => format!("bigchunk {}", 1 + dice.roll(300_000)),
            (false, 3) => format!("stderr 20000\ntool {tag} look\ntool_done {tag}"),
            (false, _) => format!("chunks 20 40 100 {tag}"),
        };
        turn(&mut ann, &session, &text, dice);
    }
    if !shell && dice.one_in(3) {
        // It is started again by itself.
        turn(&mut ann, &session, "say the last\nexit 3", dice);
        // Idle again, and not as it was told before.
        ann.clear_inbox();
        ann.state(&session, "idle");
    }
    if dice.one_in(3) {
        ann.ok("suspend_session", json!({"session_id": session, "now": true}));
        turn(&mut ann, &session, if shell { "echo back" } else { "say back" }, dice);
    }
    if !shell && dice.one_in(3) {
        ann.ok(
            "input",
            json!({"session_id": session, "content": format!("sleep_until {}", env.path("never"))}),
        );
        ann.ok("interrupt", json!({"session_id": session}));
        ann.fact(&session, "turn_ended");
    }
    if dice.one_in(8) {
        let mut window = Pty::vibes(env, &["attach", &session]);
        window.wait_for_text("ann-");
        window.keys("\x04");
        window.wait_exit();
    }
    if dice.one_in(8) {
        env.vibes(&["sessions", "show", &session]).ok();
        env.vibes(&["logs", &session]).ok();
    }
    if dice.one_in(2) {
        // Who reads nothing may have been closed by now: a machine at its limit needs longer than its patience.
        let answer =
            ann.request("transfer_ownership", json!({"session_id": session, "new_owner_id": bob.client_id}));
        assert!(answer["type"] == "ok" || answer["code"] == "NOT_SUBSCRIBED", "{answer}");
    }
    drop((eve, bob, sloth));
    ann.ok(if dice.one_in(2) { "kill_session" } else { "finish_session" }, json!({"session_id": session}));
    let records = oracle::journal(&mut ann, &session);
    oracle::check_order(&session, &records);
    oracle::check_turns(&session, &records);
    oracle::check_permissions(&session, &records);
    ann.ok("delete_session", json!({"session_id": session}));
    if dice.one_in(4) {
        ann.ok("undelete_session", json!({"session_id": session}));
        ann.ok("delete_session", json!({"session_id": session}));
    }
    if dice.one_in(4) {
        ann.ok("delete_session", json!({"session_id": session, "purge": true}));
    }
}

/// Somebody who wants little, and does not always say it right.
pub(super) fn stranger(env: &TestEnv, dice: &mut Dice) {
    match dice.roll(12) {
        0 => drop(env.vibes(&["ls"]).ok()),
        1 => drop(env.vibes(&["daemon", "status"]).ok()),
        2 => {
            let mut wire = env.connect();
            wire.send_line("this is no request");
            wire.wait_for("the refusal", |message| message["type"] == "error");
        }
        3 => drop(env.connect()),
        4 => {
            let mut wire = env.connect();
            wire.send_bytes(b"{\"type\":\"list").expect("the daemon reads");
        }
        5 => {
            let mut wire = env.connect();
            wire.ask("list_sessions", json!({}));
            wire.half_close();
            wire.wait_closed();
        }
        6 | 7 => drop(client(env, "zoe", json!({"grace_ms": GRACE_MS, "heartbeat_ms": 100}))),
        8 => {
            // The same client again, while its first connection still stands.
            let first = client(env, "zoe", json!({}));
            let token = json!({"client_id": first.client_id, "resume_token": first.resume_token});
            drop(client(env, "zoe", token));
        }
        _ => drop(env.connect().ok("list_sessions", json!({"include_ended": true}))),
    }
}

/// A session that lives for as long as the soak.
pub(super) struct Elder {
    wire: Wire,
    session: String,
    dice: Dice,
}

impl Elder {
    pub(super) fn new(env: &TestEnv) -> Self {
        let mut wire = client(env, "elder", json!({}));
        let session = wire.create(env, json!({"subscribe": true}));
        Self { wire, session, dice: Dice::new(1) }
    }

    pub(super) fn turn(&mut self) {
        turn(&mut self.wire, &self.session, "chunks 30 60 500 e\nask e ls", &mut self.dice);
        // What else the daemon tells is not wanted.
        self.wire.clear_inbox();
        std::thread::sleep(Duration::from_millis(20));
    }

    pub(super) fn end(mut self) {
        self.wire.ok("kill_session", json!({"session_id": self.session}));
        self.wire.ok("delete_session", json!({"session_id": self.session}));
    }
}
