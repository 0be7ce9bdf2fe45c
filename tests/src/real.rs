//! A real coding agent, as people install it, that talks to a scripted model on this machine.
//!
//! Invariant: the agent and its model are exact versions, know nothing but the test's own directory, need no network,
//! and end with the test. What the model was asked is known from its own log, whoever died meanwhile.

use crate::{TestEnv, Wire, eventually, oracle, wire::chunk};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Codex behind its adapter for the Agent Client Protocol, started by the preset `codex`.
#[derive(Debug)]
pub struct Codex {
    // Before the environment, which ends what is left in it and complains.
    model: Model,
    /// Where it runs.
    pub env: TestEnv,
}

#[derive(Debug)]
struct Model {
    server: Child,
    log: PathBuf,
}

/// One call of the model.
#[derive(Debug, Clone)]
pub struct Call {
    /// The conversation it was shown, as (role, text).
    pub messages: Vec<(String, String)>,
    /// What tools gave back since the last message of the user.
    pub results: Vec<String>,
    /// What it answered; `None` while it is answering.
    pub said: Option<String>,
    /// Whether the agent stayed to the end of the answer.
    pub whole: bool,
}

impl Call {
    /// The message of the user it is about.
    pub fn prompt(&self) -> &str {
        let of_user = self.messages.iter().rfind(|(role, _)| role == "user");
        of_user.map_or("", |(_, text)| text)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Logged {
    Asked { n: usize, messages: Vec<(String, String)>, results: Vec<String> },
    Answered { n: usize, said: String, whole: bool },
}

/// Where `tests/agents/install` puts things.
fn agents() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("agents")
}

/// The directory of a program of the machine that runs the tests.
fn place_of(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find(|dir| dir.join(program).is_file())
}

impl Model {
    fn start(log: PathBuf) -> Self {
        // Its input is a pipe that closes with the test, however that ends.
        let mut server = Command::new("python3")
            .arg(agents().join("model.py"))
            .arg(&log)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a python3 for the scripted model");
        let mut port = String::new();
        let stdout = server.stdout.as_mut().expect("its output is piped");
        BufReader::new(stdout).read_line(&mut port).expect("the model says its port");
        let model = Self { server, log };
        let port: u16 = port.trim().parse().expect("the model says its port and nothing else");
        model.introduce(port);
        model
    }

    /// Writes the agent's own configuration, in the home beside the log.
    fn introduce(&self, port: u16) {
        let home = self.log.with_file_name("home").join(".codex");
        fs::create_dir_all(&home).expect("a directory can be made");
        let config = format!(
            "model = \"gpt-5.5\"\n\
             model_provider = \"scripted\"\n\
             [model_providers.scripted]\n\
             name = \"scripted\"\n\
             base_url = \"http://127.0.0.1:{port}/v1\"\n\
             wire_api = \"responses\"\n\
             supports_websockets = false\n\
             [features]\nplugins = false\napps = false\n\
             [analytics]\nenabled = false\n"
        );
        fs::write(home.join("config.toml"), config).expect("a file can be written");
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Codex {
    /// An environment with a daemon, the agent on the `PATH` and its model. `None`, and a word about it, when the agent
    /// is not installed; with `VIBES_REQUIRE_AGENTS=1` that is a failure.
    #[expect(clippy::print_stderr, reason = "a test that does not run says so")]
    pub fn started() -> Option<Self> {
        let bin = agents().join("node_modules/.bin");
        let (true, Some(node)) = (bin.join("codex-acp").exists(), place_of("node")) else {
            let required = std::env::var_os("VIBES_REQUIRE_AGENTS").is_some_and(|value| value == "1");
            assert!(!required, "codex-acp or node is not installed: run tests/agents/install");
            eprintln!("SKIPPED: codex-acp or node is not installed; tests/agents/install fetches the agent");
            return None;
        };
        let mut env = TestEnv::new();
        env.add_to_path(&bin);
        env.add_to_path(&node);
        let model = Model::start(env.root().join("model.log"));
        env.daemon();
        Some(Self { model, env })
    }

    /// A client that has said hello.
    #[track_caller]
    pub fn client(&self) -> Wire {
        self.env.client("ada")
    }

    /// Creates a session and joins it; returns its id.
    #[track_caller]
    pub fn create(&self, wire: &mut Wire) -> String {
        wire.create(&self.env, json!({"agent": "codex", "subscribe": true}))
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
        let log = fs::read_to_string(&self.model.log).unwrap_or_default();
        let mut calls: Vec<Call> = Vec::new();
        // Only whole lines: one may be under way.
        for line in log.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            match serde_json::from_str(line).expect("the log of the model is whole") {
                Logged::Asked { n, messages, results } => {
                    assert_eq!(n, calls.len() + 1, "the model counts its calls");
                    calls.push(Call { messages, results, said: None, whole: false });
                }
                Logged::Answered { n, said, whole } => {
                    (calls[n - 1].said, calls[n - 1].whole) = (Some(said), whole);
                }
            }
        }
        calls
    }

    /// Waits for a call of the model.
    #[track_caller]
    pub fn called(&self, fact: &str, mut is_it: impl FnMut(&Call) -> bool) -> Call {
        eventually(fact, || self.calls().into_iter().find(&mut is_it))
    }

    /// What must hold after any test: all that the oracle knows, and that the model was asked once per prompt and was
    /// heard in the journal word for word.
    #[track_caller]
    pub fn check(&self) -> oracle::Journals {
        let journals = oracle::check(&self.env);
        let calls = self.calls();
        let mut known = Vec::new();
        for (session, records) in &journals {
            for turn in turns(records) {
                let about: Vec<&Call> = calls.iter().filter(|call| call.prompt() == turn.prompt).collect();
                let asked = about.iter().filter(|call| call.results.is_empty()).count();
                let said: String = about.iter().filter_map(|call| call.said.as_deref()).collect();
                assert!(asked <= 1, "{session}: the model was asked {:?} {asked} times", turn.prompt);
                if turn.outcome == "finished" {
                    assert_eq!(asked, 1, "{session}: {:?} ended well, the model was not asked", turn.prompt);
                    assert_eq!(turn.text, said, "{session}: what the model said is not what was kept");
                } else {
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
