//! A real coding agent, as people install it, that talks to a scripted model on this machine.
//!
//! Invariant: the agent and its model are exact versions, know nothing but the test's own directory, need no network,
//! and end with the test. What the model was asked is known from its own log, whoever died meanwhile.

pub mod agents;
pub(crate) mod model;

use crate::{TestEnv, Wire, eventually_within, oracle, wire::chunk};
use agents::Agent;
pub use model::Call;
use model::Model;
use serde_json::{Value, json};
use std::{fs, os::unix::fs::symlink, time::Duration};

/// How long a fact may take. The slowest of them needs five seconds to start on an idle machine, and starts often.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A real agent with a daemon and its model, in an environment of their own.
#[derive(Debug)]
pub struct Real {
    // Before the environment, which ends what is left in it and complains.
    model: Model,
    /// Where it runs.
    pub env: TestEnv,
    /// Which one.
    pub agent: &'static Agent,
}

/// The directory of a program of the machine that runs the tests.
fn place_of(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find(|dir| dir.join(program).is_file())
}

impl Real {
    /// An environment with a daemon, the agent on the `PATH` and its model. `None`, and a word about it, when the agent
    /// is not installed; with `VIBES_REQUIRE_AGENTS=1` that is a failure.
    pub fn started(agent: &'static Agent) -> Option<Self> {
        let real = Self::prepared(agent)?;
        real.env.daemon();
        Some(real)
    }

    /// The same without a daemon yet, for tests that change something first.
    #[expect(clippy::print_stderr, reason = "a test that does not run says so")]
    pub fn prepared(agent: &'static Agent) -> Option<Self> {
        let (Some(program), Some(node)) = (agent.installed(), place_of("node")) else {
            let required = std::env::var_os("VIBES_REQUIRE_AGENTS").is_some_and(|value| value == "1");
            assert!(!required, "{} or node is not installed: run tests/agents/install", agent.program);
            eprintln!("SKIPPED: {} or node is not installed; tests/agents/install fetches it", agent.program);
            return None;
        };
        let mut env = TestEnv::new();
        let bin = env.root().join("bin");
        fs::create_dir(&bin).expect("a directory can be made");
        symlink(program, bin.join(agent.program)).expect("a link can be made");
        env.add_to_path(&bin);
        env.add_to_path(&node);
        let model = Model::start(env.root().join("model.log"));
        // Whoever wants to leave the machine meets the model, which lets nobody through and writes it down.
        env.set("HTTPS_PROXY", &format!("http://127.0.0.1:{}", model.port));
        env.set("NO_PROXY", "127.0.0.1,localhost");
        agent.quiet.iter().for_each(|(name, value)| env.set(name, value));
        agent.prepare(&mut env, model.port);
        Some(Self { model, env, agent })
    }

    /// A client that has said hello.
    #[track_caller]
    pub fn client(&self) -> Wire {
        self.env.client("ada").patient(PATIENCE)
    }

    /// Creates a session and joins it; returns its id.
    #[track_caller]
    pub fn create(&self, wire: &mut Wire) -> String {
        self.create_with(wire, json!({}))
    }

    /// The same with more fields of the request.
    #[track_caller]
    pub fn create_with(&self, wire: &mut Wire, more: Value) -> String {
        let env = self.client_env(wire);
        let mut fields = json!({"agent": self.agent.preset, "env": env, "subscribe": true});
        let Value::Object(more) = more else { panic!("the fields of a request are an object, not {more}") };
        fields.as_object_mut().expect("just made").extend(more);
        wire.create(&self.env, fields)
    }

    /// What a client sends as `env` for this agent: what it sends for every agent, and what the preset names.
    #[track_caller]
    pub fn client_env(&self, wire: &mut Wire) -> Value {
        let agents = wire.ok("list_agents", json!({}));
        let of = |id: &Value| *id == self.agent.preset;
        let agents = agents["agents"].as_array().into_iter().flatten();
        let named =
            agents.filter(|agent| of(&agent["id"])).flat_map(|agent| agent["env"].as_array()).flatten();
        let mut env = self.env.client_env();
        let quiet = self.agent.quiet.iter().map(|(name, _)| *name);
        for name in named.filter_map(Value::as_str).chain(quiet) {
            if let Some(value) = self.env.variables().get(name) {
                env[name] = json!(value);
            }
        }
        env
    }

    /// The words of a command line that starts the agent.
    pub fn run<'a>(&self, more: &[&'a str]) -> Vec<&'a str>
    where
        'static: 'a,
    {
        let quiet = self.agent.quiet.iter().flat_map(|(name, _)| ["--env", *name]);
        ["run", self.agent.preset].into_iter().chain(quiet).chain(more.iter().copied()).collect()
    }

    /// Kills the daemon at once, starts another one and returns a client of it.
    #[track_caller]
    pub fn kill_daemon(&self) -> Wire {
        self.env.daemon().kill9();
        self.env.daemon();
        self.client()
    }

    /// What the model was asked, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.model.calls()
    }

    /// Waits for a call of the model.
    #[track_caller]
    pub fn called(&self, fact: &str, mut is_it: impl FnMut(&Call) -> bool) -> Call {
        eventually_within(PATIENCE, fact, || self.calls().into_iter().find(&mut is_it))
    }

    /// What must hold of a private place: the agent wanted to reach nobody but its model, as far as it can be told not to.
    #[track_caller]
    pub fn reached_nobody(&self) {
        let known = |host: &String| self.agent.reaches.iter().any(|known| host.starts_with(known));
        let strangers: Vec<String> = self.model.reached().into_iter().filter(|host| !known(host)).collect();
        assert!(strangers.is_empty(), "{} wants to reach {strangers:?}", self.agent.preset);
    }

    /// What must hold after any test: all that the oracle knows, and that the model was asked once per prompt and was
    /// heard in the journal word for word.
    #[track_caller]
    pub fn check(&self) -> oracle::Journals {
        let journals = oracle::check(&self.env);
        let calls = self.calls();
        let mut known = Vec::new();
        for (session, records) in &journals {
            let unread = records.iter().find(|record| record["fact"]["kind"] == "unparsed");
            assert!(unread.is_none(), "{session}: a line was not understood: {unread:?}");
            for turn in turns(records) {
                let about: Vec<&Call> = calls.iter().filter(|call| call.prompt() == turn.prompt).collect();
                let asked = about.iter().filter(|call| call.results.is_empty() && call.status == 200).count();
                let said: String = about.iter().filter_map(|call| call.said.as_deref()).collect();
                assert!(asked <= 1, "{session}: the model was asked {:?} {asked} times", turn.prompt);
                if turn.outcome == "finished" {
                    assert_eq!(asked, 1, "{session}: {:?} ended well, the model was not asked", turn.prompt);
                    assert_eq!(turn.text, said, "{session}: what the model said is not what was kept");
                } else if turn.outcome != "failed" {
                    // A turn that failed may hold the agent's own words about it.
                    assert!(said.starts_with(&turn.text), "{session}: {:?} is not of {said:?}", turn.text);
                }
                known.push(turn.prompt);
            }
        }
        let stranger = calls.iter().find(|call| !known.iter().any(|prompt| prompt == call.prompt()));
        assert!(stranger.is_none(), "the model was asked what nobody asked: {stranger:?}");
        journals
    }
}

/// A turn, as the journal tells it.
#[derive(Debug, Default)]
pub struct Turn {
    /// Its prompt.
    pub prompt: String,
    /// What the agent said in it.
    pub text: String,
    /// In how many records.
    pub pieces: usize,
    /// How it ended; empty when it has not.
    pub outcome: String,
}

/// The turns of a journal. What an agent says outside of one is a fault.
#[track_caller]
pub fn turns(records: &[Value]) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    for record in records {
        let fact = &record["fact"];
        let open = turns.last_mut().filter(|turn| turn.outcome.is_empty());
        match (fact["kind"].as_str(), chunk(record), open) {
            (Some("turn_started"), ..) => {
                let input = fact["input_seq"].as_u64().expect("a turn names its input") as usize;
                let text = &records[input - 1]["fact"]["content"][0]["text"];
                let prompt = text.as_str().expect("a prompt of these tests is one text").to_owned();
                turns.push(Turn { prompt, ..Turn::default() });
            }
            (Some("turn_ended"), _, Some(turn)) => {
                turn.outcome = fact["outcome"].as_str().expect("a turn ends somehow").to_owned();
            }
            (_, Some(text), Some(turn)) => {
                turn.text.push_str(text);
                turn.pieces += 1;
            }
            (_, Some(text), None) => panic!("the agent said {text:?} outside of a turn"),
            _ => {}
        }
    }
    turns
}
