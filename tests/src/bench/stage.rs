//! State directories and sessions for the figures.

use super::{agent, guard};
use serde_json::{Value, json};
use std::{
    thread,
    time::{Duration, Instant},
};
use vibes_tests::{TestEnv, Wire};

/// The agent's name in the daemon's configuration.
const AGENT: &str = "bench";
/// How many sessions are created at once.
const AT_ONCE: usize = 16;
/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A state directory without a daemon.
pub fn empty() -> TestEnv {
    let me = std::env::current_exe().expect("a running program has a path");
    let agent = format!("{} {}", me.display(), agent::SERVE);
    let env = TestEnv::with(&[("VIBES_AGENT_BENCH", &agent)]);
    guard::register(env.root().to_owned());
    env
}

/// A state directory with a daemon that serves.
pub fn started() -> TestEnv {
    let env = empty();
    env.daemon();
    env
}

/// The number and the state of a session that lies in a store, for who writes others like it.
pub fn stored(store: &rusqlite::Connection, session: &str) -> (i64, String) {
    store
        .query_row("SELECT no, body FROM session WHERE id = ?1", [session], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .expect("the session is stored")
}

/// Sessions whose agents are ready and idle.
pub fn sessions(env: &TestEnv, control: &mut Wire, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    while ids.len() < count {
        let fields = json!({"agent": AGENT, "cwd": env.work(), "env": env.client_env(), "wait_ready": true});
        let some = AT_ONCE.min(count - ids.len());
        let asked: Vec<String> = (0..some).map(|_| control.ask("create_session", fields.clone())).collect();
        for request in asked {
            let created =
                control.wait_for("a session is created", |message| message["request_id"] == *request);
            let id = created["session"]["id"].as_str();
            ids.push(id.unwrap_or_else(|| panic!("a session was refused: {created}")).to_owned());
        }
    }
    ids
}

/// Every session as the list shows it.
pub fn list(control: &mut Wire) -> Vec<Value> {
    let mut answer = control.ok("list_sessions", json!({}));
    match answer["sessions"].take() {
        Value::Array(sessions) => sessions,
        other => panic!("a list of sessions is a list, not {other}"),
    }
}

/// Waits until no session works, looking every now and then; `look` sees each list.
pub fn until_idle(control: &mut Wire, every: Duration, mut look: impl FnMut(&[Value])) {
    let until = Instant::now() + PATIENCE;
    loop {
        let sessions = list(control);
        look(&sessions);
        if sessions.iter().all(|session| session["state"] == "idle") {
            return;
        }
        assert!(Instant::now() < until, "sessions still work after {PATIENCE:?}");
        thread::sleep(every);
    }
}

/// A session that holds this many updates of 300 bytes, idle again.
pub fn filled(env: &TestEnv, control: &mut Wire, records: u64) -> String {
    let session = sessions(env, control, 1).remove(0);
    control.prompt(&session, &format!("flood {records} 300"));
    until_idle(control, Duration::from_millis(50), |_| {});
    session
}
