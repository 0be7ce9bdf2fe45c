//! An editor that is not ours: the client of the Agent Client Protocol's own library, in front of one of our agents.
//!
//! Invariant: what it was told is kept in order; a wait names what did not come; it ends with the test, and what it says
//! of lines that are no messages fails the test.

use crate::{PATIENCE, TestEnv};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Instant,
};

/// The editor and the agent that it started.
#[derive(Debug)]
pub struct Editor {
    child: Child,
    stdin: ChildStdin,
    events: Receiver<Value>,
    /// What came and was not waited for yet.
    inbox: VecDeque<Value>,
    /// The updates so far, in order.
    updates: Vec<Value>,
    tags: u64,
}

/// Node.js, when it and the library are here. With `VIBES_REQUIRE_AGENTS=1` their absence is a failure.
#[expect(clippy::print_stderr, reason = "a test that does not run says so")]
fn node() -> Option<PathBuf> {
    let library = place().join("node_modules/@agentclientprotocol/sdk");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let node = std::env::split_paths(&path).map(|dir| dir.join("node")).find(|node| node.is_file());
    if node.is_none() || !library.exists() {
        let required = std::env::var_os("VIBES_REQUIRE_AGENTS").is_some_and(|value| value == "1");
        assert!(!required, "node or the editor's library is not installed: run tests/agents/install");
        eprintln!("SKIPPED: node or the editor's library is not installed; tests/agents/install fetches it");
        return None;
    }
    node
}

fn place() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("editor")
}

impl Editor {
    /// Starts an editor whose agent is `vibes` with these arguments, and introduces it. `None`, and a word about it, when
    /// Node.js or the library is not installed.
    #[track_caller]
    pub fn start(env: &TestEnv, args: &[&str]) -> Option<Self> {
        let mut editor = Self::spawn(env, args)?;
        let hello = json!({"protocolVersion": 1, "clientInfo": {"name": "nov", "version": "1"}, "clientCapabilities": {}});
        editor.request("initialize", hello);
        Some(editor)
    }

    /// The same, without a word between them.
    pub fn spawn(env: &TestEnv, args: &[&str]) -> Option<Self> {
        let mut child = Command::new(node()?)
            .arg(place().join("editor.mjs"))
            .arg(env.binary("vibes"))
            .args(args)
            .env_clear()
            .envs(env.variables())
            .current_dir(env.work())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node can be started");
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let (sender, events) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                let event =
                    serde_json::from_str(&line).unwrap_or_else(|_| json!({"event": "stray", "line": line}));
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        let stdin = child.stdin.take().expect("stdin is piped");
        Some(Self { child, stdin, events, inbox: VecDeque::new(), updates: Vec::new(), tags: 0 })
    }

    fn order(&mut self, order: &Value) {
        writeln!(self.stdin, "{order}").expect("the editor reads");
    }

    fn next(&mut self, until: Instant) -> Option<Value> {
        match self.events.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(event) if event["event"] == "stray" => {
                panic!("standard output has what is no message: {}", event["line"])
            }
            Ok(event) => {
                if event["event"] == "update" {
                    self.updates.push(event.clone());
                }
                Some(event)
            }
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("the editor ended"),
        }
    }

    /// Waits for an event and takes it out; the others stay.
    #[track_caller]
    pub fn wait_for(&mut self, fact: &str, mut is_it: impl FnMut(&Value) -> bool) -> Value {
        if let Some(at) = self.inbox.iter().position(&mut is_it) {
            return self.inbox.remove(at).expect("it was just found");
        }
        let until = Instant::now() + PATIENCE;
        loop {
            match self.next(until) {
                Some(event) if is_it(&event) => return event,
                Some(event) => self.inbox.push_back(event),
                None => panic!("waiting for {fact}: it did not come; there are {:#?}", self.inbox),
            }
        }
    }

    /// Sends a request and returns its tag, without waiting.
    pub fn ask(&mut self, method: &str, params: Value) -> u64 {
        self.tags += 1;
        self.order(&json!({"do": "request", "tag": self.tags, "method": method, "params": params}));
        self.tags
    }

    /// The answer to a request, as the event that tells of it.
    #[track_caller]
    pub fn answer(&mut self, tag: u64) -> Value {
        self.wait_for(&format!("the answer to request {tag}"), |event| event["tag"] == tag)
    }

    /// Sends a request that must succeed; returns its result.
    #[track_caller]
    pub fn request(&mut self, method: &str, params: Value) -> Value {
        let tag = self.ask(method, params);
        let mut answer = self.answer(tag);
        assert_eq!(answer["event"], "answer", "{method} was refused: {answer}");
        answer["result"].take()
    }

    /// Sends a request that must be refused; returns the code and the message.
    #[track_caller]
    pub fn refused(&mut self, method: &str, params: Value) -> (i64, String) {
        let tag = self.ask(method, params);
        let answer = self.answer(tag);
        assert_eq!(answer["event"], "refused", "{method} was not refused: {answer}");
        let message = answer["message"].as_str().unwrap_or_default().to_owned();
        (answer["code"].as_i64().expect("an error has a code"), message)
    }

    /// Opens a new session; returns its id.
    #[track_caller]
    pub fn create(&mut self, env: &TestEnv) -> String {
        let opened = self.request("session/new", json!({"cwd": env.work(), "mcpServers": []}));
        opened["sessionId"].as_str().expect("a session has an id").to_owned()
    }

    /// Loads a session; returns the answer. What was told before it came is its history.
    #[track_caller]
    pub fn load(&mut self, env: &TestEnv, session: &str) -> Value {
        self.request("session/load", json!({"sessionId": session, "cwd": env.work(), "mcpServers": []}))
    }

    /// Gives a prompt and returns its tag, without waiting.
    pub fn prompt(&mut self, session: &str, text: &str) -> u64 {
        let content = json!([{"type": "text", "text": text}]);
        self.ask("session/prompt", json!({"sessionId": session, "prompt": content}))
    }

    /// Waits for the end of a prompt; returns the stop reason.
    #[track_caller]
    pub fn stopped(&mut self, tag: u64) -> String {
        let answer = self.answer(tag);
        answer["result"]["stopReason"].as_str().unwrap_or_else(|| panic!("no end: {answer}")).to_owned()
    }

    /// Cancels what runs in a session.
    pub fn cancel(&mut self, session: &str) {
        self.order(&json!({"do": "notify", "method": "session/cancel", "params": {"sessionId": session}}));
    }

    /// Waits until the agent asks for permission; returns the event.
    #[track_caller]
    pub fn asked(&mut self) -> Value {
        self.wait_for("the agent asks for permission", |event| event["event"] == "asked")
    }

    /// Answers a question with one of the agent's options.
    pub fn decide(&mut self, asked: &Value, option: &str) {
        self.order(&json!({"do": "decide", "ask": asked["ask"], "option": option}));
    }

    /// Waits until a question was taken back.
    #[track_caller]
    pub fn withdrawn(&mut self, asked: &Value) {
        let ask = &asked["ask"];
        self.wait_for("the question is taken back", |event| {
            event["event"] == "withdrawn" && event["ask"] == *ask
        });
    }

    /// Waits until the agent has said a text in a session, in as many pieces as it likes.
    #[track_caller]
    pub fn said(&mut self, session: &str, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.text(session).contains(text) {
            let event = self.next(until);
            assert!(event.is_some(), "the agent does not say {text:?}: {:?}", self.text(session));
            self.inbox.extend(event);
        }
    }

    /// The updates that a session was told so far.
    pub fn updates(&self, session: &str) -> Vec<&Value> {
        self.updates.iter().filter(|told| told["sessionId"] == session).map(|told| &told["update"]).collect()
    }

    fn words(&self, session: &str, kind: &str) -> String {
        let updates = self.updates(session);
        let chunks = updates.iter().filter(|update| update["sessionUpdate"] == kind);
        chunks.filter_map(|update| update["content"]["text"].as_str()).collect()
    }

    /// All that the agent said.
    pub fn text(&self, session: &str) -> String {
        self.words(session, "agent_message_chunk")
    }

    /// All that people said, as far as the editor was told.
    pub fn prompts(&self, session: &str) -> String {
        self.words(session, "user_message_chunk")
    }

    /// Closes the agent's input and waits for its end; returns its exit code.
    #[track_caller]
    pub fn leave(&mut self) -> Value {
        self.order(&json!({"do": "leave"}));
        self.wait_for("the agent ends", |event| event["event"] == "ended")["code"].take()
    }

    /// Ends the editor at once, as a crash does.
    pub fn kill9(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        self.kill9();
    }
}
