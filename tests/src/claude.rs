//! Claude Code as people install it, spoken to in its own protocol, with a scripted model on this machine.
//!
//! Invariant: it knows nothing but the test's own directory and its model, and ends with the test. What the model was
//! asked is known from its own log, whoever died meanwhile.

use crate::{TestEnv, Wire, eventually, oracle, real::model::Model, turns};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Claude Code with a daemon and its model.
#[derive(Debug)]
pub struct Claude {
    // Before the environment, which ends what is left in it and complains.
    model: Model,
    /// Where it runs.
    pub env: TestEnv,
    /// Variables of its own that the client of a session sends.
    variables: Vec<(String, String)>,
}

/// Where `tests/agents/install` puts things.
fn agents() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("agents")
}

impl Claude {
    /// An environment with a daemon, the agent on the `PATH` and its model. `None`, and a word about it, when the agent
    /// is not installed; with `VIBES_REQUIRE_AGENTS=1` that is a failure.
    #[expect(clippy::print_stderr, reason = "a test that does not run says so")]
    pub fn started() -> Option<Self> {
        let bin = agents().join("node_modules/.bin");
        if !bin.join("claude").exists() {
            let required = std::env::var_os("VIBES_REQUIRE_AGENTS").is_some_and(|value| value == "1");
            assert!(!required, "claude is not installed: run tests/agents/install");
            eprintln!("SKIPPED: claude is not installed; tests/agents/install fetches the agent");
            return None;
        }
        let mut env = TestEnv::new();
        env.add_to_path(&bin);
        let model = Model::start(env.root().join("model.log"));
        env.daemon();
        let variables = [
            ("ANTHROPIC_BASE_URL", format!("http://127.0.0.1:{}", model.port)),
            ("ANTHROPIC_API_KEY", "sk-none".to_owned()),
            ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1".to_owned()),
            ("CLAUDE_CODE_MAX_RETRIES", "2".to_owned()),
            ("DISABLE_AUTOUPDATER", "1".to_owned()),
        ];
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Some(Self { model, env, variables })
    }

    /// Changes what the client of a session sends; `None` leaves it out.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }

    /// The environment of a session.
    pub fn client_env(&self) -> Value {
        let mut env = self.env.client_env();
        for (name, value) in &self.variables {
            env[name] = value.as_str().into();
        }
        env
    }

    /// The same, for a program of the test's own.
    pub fn variables(&self) -> Vec<(&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// A client that has said hello.
    #[track_caller]
    pub fn client(&self) -> Wire {
        self.env.client("ada")
    }

    /// Creates a session and joins it; returns its id.
    #[track_caller]
    pub fn create(&self, wire: &mut Wire, more: Value) -> String {
        let mut fields = json!({"agent": "claude", "env": self.client_env(), "subscribe": true});
        let Value::Object(more) = more else { panic!("the fields of a request are an object, not {more}") };
        fields.as_object_mut().expect("just made").extend(more);
        wire.create(&self.env, fields)
    }

    /// Kills the daemon at once, starts another one and returns a client of it that has joined the session.
    #[track_caller]
    pub fn kill_daemon(&self, session: &str) -> Wire {
        self.env.daemon().kill9();
        self.env.daemon();
        let mut wire = self.client();
        wire.subscribe(session, 0, "writer");
        wire
    }

    /// What the model was asked and what it answered, as its log has it.
    pub fn log(&self) -> Vec<Value> {
        self.model.logged()
    }

    /// Waits until the model is asked something with this text in it; returns the conversation it was shown.
    #[track_caller]
    pub fn asked(&self, text: &str) -> Vec<Value> {
        eventually(&format!("the model is asked {text:?}"), || {
            let log = self.log();
            let call = log.into_iter().find(|entry| {
                let last = entry["messages"].as_array().and_then(|messages| messages.last());
                last.is_some_and(|last| last[1].as_str().is_some_and(|said| said.contains(text)))
            });
            call.map(|call| call["messages"].as_array().cloned().unwrap_or_default())
        })
    }

    /// What must hold after any test: all that the oracle knows, no line that was not understood, and what the model
    /// said in turns that ended well stands in the journal word for word, once.
    #[track_caller]
    pub fn check(&self) -> oracle::Journals {
        let journals = oracle::check(&self.env);
        let log = self.log();
        let prompt = |entry: &Value| {
            let mut messages = entry["messages"].as_array().into_iter().flatten();
            messages.rfind(|message| message[0] == "user").map(|message| message[1].to_string())
        };
        for (session, records) in &journals {
            let unread = records.iter().find(|record| record["fact"]["kind"] == "unparsed");
            assert!(unread.is_none(), "{session}: a line was not understood: {unread:?}");
            for turn in turns(records).iter().filter(|turn| turn.outcome == "finished") {
                let about = log.iter().filter(|entry| prompt(entry) == Some(json!(turn.prompt).to_string()));
                let said: String = about
                    .filter_map(|call| {
                        log.iter().find(|entry| entry["n"] == call["n"] && !entry["said"].is_null())
                    })
                    .filter_map(|answer| answer["said"].as_str())
                    .collect();
                assert_eq!(turn.text, said, "{session}: what the model said is not what was kept");
            }
        }
        journals
    }
}
