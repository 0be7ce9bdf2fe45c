//! One of everything: prompts, a streamed turn, an approval, a cancel, a suspension, a kill, by a client that comes
//! back.
//!
//! Invariant: the client is what a good client is. It starts a daemon when none answers, resumes from its cursor,
//! repeats what was not answered (prompts and creations under their key), and remembers all it saw and was told.

use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};
use vibes_tests::{TestEnv, Wire, oracle};

/// How many chunks the streamed turn has.
const CHUNKS: u64 = 40;

/// States in which a session does nothing by itself.
pub(crate) const RESTING: &[&str] = &["idle", "suspended", "finished", "failed", "killed"];

/// A client over all crashes.
pub(crate) struct Work<'e> {
    env: &'e TestEnv,
    wire: Option<Wire>,
    /// What was seen on earlier connections, by session.
    seen: BTreeMap<String, Vec<Value>>,
    accepted: BTreeMap<String, Vec<(u64, String)>>,
    /// Its prompts and what is expected to become of their turns.
    expected: BTreeMap<String, &'static str>,
}

impl<'e> Work<'e> {
    /// A client that has done nothing.
    pub(crate) fn new(env: &'e TestEnv) -> Self {
        Self { env, wire: None, seen: BTreeMap::new(), accepted: BTreeMap::new(), expected: BTreeMap::new() }
    }

    fn lost(&mut self) {
        if let Some(wire) = self.wire.take() {
            for (session, seen) in &mut self.seen {
                seen.extend_from_slice(wire.stream(session));
            }
        }
    }

    /// The connection; `None` when it broke while it was made.
    fn connected(&mut self) -> Option<&mut Wire> {
        if self.wire.is_none() {
            let socket = self.env.state().socket();
            let mut wire = Wire::try_connect(&socket).ok().or_else(|| {
                // It may die at once again; then the next round tries.
                self.env.vibes(&["daemon", "start"]);
                Wire::try_connect(&socket).ok()
            })?;
            for (session, seen) in &self.seen {
                let fields = json!({"session_ids": [session], "after": seen.len(), "role": "writer"});
                let joined = ask(&mut wire, "subscribe", fields)?;
                if is_passing(&joined) {
                    return None;
                }
                assert_eq!(joined["type"], "subscribed", "{joined}");
            }
            self.wire = Some(wire);
        }
        self.wire.as_mut()
    }

    /// Asks until a daemon has answered, whatever it is.
    pub(crate) fn ask(&mut self, kind: &str, fields: Value) -> Value {
        for _ in 0..1000 {
            let answer = self.connected().and_then(|wire| ask(wire, kind, fields.clone()));
            match answer {
                Some(answer) if is_passing(&answer) => {}
                Some(answer) => return answer,
                None => self.lost(),
            }
        }
        panic!("{kind} is never answered");
    }

    /// Everything seen of a session.
    pub(crate) fn records(&self, session: &str) -> Vec<Value> {
        let mut records = self.seen.get(session).cloned().unwrap_or_default();
        records.extend_from_slice(self.wire.as_ref().map(|wire| wire.stream(session)).unwrap_or_default());
        records
    }

    /// Waits for a record of a session.
    pub(crate) fn record(&mut self, session: &str, fact: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            if let Some(found) = self.records(session).into_iter().find(&is_it) {
                return found;
            }
            let next = |message: &Value| message["type"] == "record" && message["session_id"] == session;
            if self.connected().and_then(|wire| wire.try_wait_for(fact, next)).is_none() {
                self.lost();
            }
        }
    }

    /// Waits until a session is in one of these states; says in which.
    pub(crate) fn state(&mut self, session: &str, states: &[&str]) -> String {
        loop {
            let now = self.ask("get_session", json!({"session_id": session}));
            let state = now["session"]["state"].as_str().unwrap_or_else(|| panic!("{now}")).to_owned();
            if states.contains(&state.as_str()) {
                return state;
            }
            let changed =
                |message: &Value| message["type"] == "session_updated" && message["session"]["id"] == session;
            let fact = format!("{session} is one of {states:?}");
            if self.connected().and_then(|wire| wire.try_wait_for(&fact, changed)).is_none() {
                self.lost();
            }
        }
    }

    /// Creates a session and joins it. `Err` is why it cannot be used.
    pub(crate) fn create(&mut self) -> Result<String, Value> {
        let key = uuid::Uuid::new_v4().to_string();
        let created = self.ask(
            "create_session",
            json!({
                "agent": "fake", "cwd": self.env.work(), "env": self.env.client_env(), "wait_ready": true,
                "idempotency_key": key,
            }),
        );
        let Some(session) = created["session"]["id"].as_str() else { return Err(created) };
        self.join(session);
        Ok(session.to_owned())
    }

    /// Follows a session from its beginning.
    pub(crate) fn join(&mut self, session: &str) {
        // A new connection asks for all that was seen, from where it was seen to.
        self.lost();
        self.seen.insert(session.to_owned(), Vec::new());
    }

    /// Gives a prompt whose turn is to end like this.
    pub(crate) fn prompt(&mut self, session: &str, text: &str, outcome: &'static str) -> bool {
        let key = uuid::Uuid::new_v4().to_string();
        let answer =
            self.ask("input", json!({"session_id": session, "content": text, "idempotency_key": key}));
        let Some(seq) = answer["seq"].as_u64() else { return false };
        self.accepted.entry(session.to_owned()).or_default().push((seq, text.to_owned()));
        self.expected.insert(text.to_owned(), outcome);
        true
    }

    /// Waits for a question, or for a session that has none any more, and allows it.
    pub(crate) fn approve(&mut self, session: &str) {
        if self.state(session, &[RESTING, &["waiting_permission"]].concat()) != "waiting_permission" {
            return;
        }
        let asked =
            self.record(session, "a question", |record| record["fact"]["kind"] == "permission_requested");
        let permission = &asked["fact"]["permission"];
        self.ask("permission_response", json!({
            "session_id": session, "permission_id": permission["permission_id"], "hash": permission["hash"],
            "decision": "allow_once",
        }));
    }

    /// Everything in one session, and a second one that is killed. Waits for rest after each step, however it came
    /// to that.
    pub(crate) fn one_of_everything(&mut self) -> Result<(), Value> {
        let session = self.create()?;
        self.prompt(&session, &format!("chunks {CHUNKS} 64 100 a"), "finished");
        self.state(&session, RESTING);
        self.prompt(&session, "ask t1 ls\nsay it ran", "finished");
        self.approve(&session);
        self.state(&session, RESTING);
        let waiting = format!("say waiting\nsleep_until {}", self.env.path("never"));
        self.prompt(&session, &waiting, "interrupted");
        if self.state(&session, &[RESTING, &["processing"]].concat()) == "processing" {
            self.prompt(&session, "say queued", "finished");
            // It names its turn, because it may have to be repeated.
            let turn = self.ask("get_session", json!({"session_id": session}))["session"]["turns"].take();
            self.ask("interrupt", json!({"session_id": session, "turn": turn}));
        }
        self.state(&session, RESTING);
        self.ask("suspend_session", json!({"session_id": session}));
        self.state(&session, &["suspended", "failed"]);
        self.ask("resume_session", json!({"session_id": session}));
        self.state(&session, RESTING);
        self.prompt(&session, "say after it all", "finished");
        self.state(&session, RESTING);
        let doomed = self.create()?;
        self.prompt(&doomed, &format!("say doomed\nsleep_until {}", self.env.path("never")), "interrupted");
        self.ask("kill_session", json!({"session_id": doomed}));
        self.state(&doomed, RESTING);
        Ok(())
    }

    /// Gives a prompt to a session of its own, waits for its end and then until nothing has come for a while, which is
    /// what the store waits for as well. `false` when the daemon is gone.
    pub(crate) fn rest_after(&mut self, session: &str, text: &str) {
        self.prompt(session, text, "finished");
        self.state(session, RESTING);
        if let Some(wire) = &mut self.wire {
            while wire.next_within(Duration::from_millis(300)).is_some() {}
            if wire.is_closed() {
                self.lost();
            }
        }
    }

    /// The oracle on everything, with all this client remembers. Returns the journals.
    pub(crate) fn check(&mut self) -> oracle::Journals {
        self.lost();
        self.env.daemon();
        let journals = oracle::check(self.env);
        for (session, seen) in &self.seen {
            oracle::check_stream(session, seen, &journals[session]);
            let accepted = self.accepted.get(session).cloned().unwrap_or_default();
            oracle::check_accepted(session, &journals[session], &accepted);
        }
        journals
    }

    /// Whatever died, nobody can tell: every turn ended as it had to, and nothing that was said is missing.
    pub(crate) fn unharmed(&mut self) {
        let journals = self.check();
        for (session, records) in &journals {
            let outcomes = Self::outcomes(records);
            for (prompt, outcome) in &outcomes {
                // What another client began is looked at later.
                let expected = self.expected.get(prompt).copied().unwrap_or(outcome);
                assert_eq!(outcome, expected, "the turn of {prompt:?}");
            }
            if outcomes.contains_key("say after it all") {
                assert_eq!(oracle::check_chunks(session, records, "a"), CHUNKS);
            }
        }
    }

    /// How the turns of a session's prompts ended, by prompt.
    pub(crate) fn outcomes(records: &[Value]) -> BTreeMap<String, String> {
        let of_kind = |kind: &str| {
            let kind = kind.to_owned();
            records.iter().filter(move |record| record["fact"]["kind"] == kind)
        };
        let mut outcomes = BTreeMap::new();
        for begun in of_kind("turn_started") {
            let input = begun["fact"]["input_seq"].as_u64().expect("a turn names its input") as usize;
            let text = records[input - 1]["fact"]["content"][0]["text"].as_str().unwrap_or_default();
            let ended = of_kind("turn_ended").find(|ended| ended["fact"]["turn"] == begun["fact"]["turn"]);
            let outcome = ended.map_or("none", |ended| ended["fact"]["outcome"].as_str().unwrap_or_default());
            outcomes.insert(text.to_owned(), outcome.to_owned());
        }
        outcomes
    }
}

/// Whether an error passes by itself: the request is repeated, under the same key.
fn is_passing(answer: &Value) -> bool {
    ["ADOPTING", "BUSY", "SHUTTING_DOWN", "INTERNAL"].iter().any(|code| answer["code"] == *code)
}

/// The answer to one request, or nothing when the daemon is gone.
fn ask(wire: &mut Wire, kind: &str, fields: Value) -> Option<Value> {
    let id = wire.try_ask(kind, fields).ok()?;
    wire.try_wait_for(&format!("the answer to {kind}"), |message| message["request_id"] == *id)
}
