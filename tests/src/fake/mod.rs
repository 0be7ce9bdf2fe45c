//! A deterministic agent of the Agent Client Protocol: the prompt is its script.
//!
//! Invariant: what it does is said by the prompt and the options alone; nothing is random and nothing waits for time.
//! Each line of a prompt is one typed command; see [`scenario`](self) in `scenario.rs` for the list. A line that is
//! no command is said back as `echo: LINE`.
//!
//! Arguments: `--log FILE` (or `FAKE_AGENT_LOG`) appends every line it reads; `--opts A,B=C` (or `FAKE_AGENT_OPTS`)
//! changes its manners: `no-load`, `no-resume`, `fork` (makes copies), `unknown-session` (load and resume do not find it), `replay=N`
//! (updates before the answer to load), `late-replay=N` (more of them after it), `slow-init=FILE` (answers
//! `initialize` when the file exists), `die-on-init`, `quit-on-init` (with exit code 0), `bad-init` (answers it with an
//! error), `version=N` (another protocol version), `silent=METHOD` (does not answer it), `die-on-new`, `ignore-cancel`,
//! `ignore-term`, `exit-on-eof=never`; `--hold TAG` only sleeps, for processes that tests look for.

mod bytes;
mod log;
mod scenario;

pub use log::{Entry, heard};
pub use scenario::printed;

use log::Log;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

/// How often a wait for a file or a flag looks again.
const LOOK: Duration = Duration::from_millis(5);

/// The options, by name.
#[derive(Debug, Default)]
struct Options(HashMap<String, String>);

impl Options {
    fn add(&mut self, list: &str) {
        for option in list.split(',').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            self.0.insert(name.to_owned(), value.to_owned());
        }
    }

    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// How a request of ours was answered.
type Answers = mpsc::Sender<Value>;

/// The agent, shared between its reader and its turns.
struct Fake {
    options: Options,
    log: Log,
    /// Requests of ours that wait, by their id as JSON text.
    asked: Mutex<HashMap<String, Answers>>,
    next_id: AtomicU64,
    /// Whether the turn of a session was cancelled; an entry exists while one runs.
    turns: Mutex<HashMap<String, Arc<AtomicBool>>>,
    /// Set by a command: the reader stops and leaves stdin open.
    stop_reading: AtomicBool,
    /// Set by a command: the reader closes stdin.
    close_stdin: AtomicBool,
}

impl Fake {
    fn write(&self, bytes: &[u8]) {
        let mut out = io::stdout().lock();
        if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
            // The runner is gone; nobody is left to act for.
            std::process::exit(0);
        }
    }

    fn send(&self, message: &Value) {
        self.write(format!("{message}\n").as_bytes());
    }

    fn answer(&self, id: &Value, result: Value) {
        self.send(&json!({"jsonrpc": "2.0", "id": id, "result": result}));
    }

    fn refuse(&self, id: &Value, code: i64, message: &str) {
        self.send(&json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}}));
    }

    fn update(&self, session: &str, update: Value) {
        let params = json!({"sessionId": session, "update": update});
        self.send(&json!({"jsonrpc": "2.0", "method": "session/update", "params": params}));
    }

    fn say(&self, session: &str, text: &str) {
        let content = json!({"type": "text", "text": text});
        self.update(session, json!({"sessionUpdate": "agent_message_chunk", "content": content}));
    }

    fn handle(self: &Arc<Self>, line: &[u8]) {
        self.log.add("in", line);
        let Ok(message) = serde_json::from_slice::<Value>(line) else { return };
        let params = &message["params"];
        let session = params["sessionId"].as_str().unwrap_or_default();
        match (message["method"].as_str(), message.get("id")) {
            (Some("session/cancel"), None) => {
                let turns = self.turns.lock().expect("no turn panics");
                if let Some(cancelled) = turns.get(session).filter(|_| !self.options.has("ignore-cancel")) {
                    cancelled.store(true, Ordering::Release);
                }
            }
            (Some(method), Some(id)) => self.serve(method, id, session, params),
            (Some(_), None) => {}
            (None, Some(id)) => {
                let waiting = self.asked.lock().expect("no turn panics").remove(&id.to_string());
                if let Some(waiting) = waiting {
                    // The turn that asked may have been cancelled meanwhile.
                    let _ = waiting.send(message.clone());
                }
            }
            (None, None) => {}
        }
    }

    fn serve(self: &Arc<Self>, method: &str, id: &Value, session: &str, params: &Value) {
        let options = &self.options;
        match method {
            _ if options.get("silent") == Some(method) => {}
            "initialize" => self.initialize(id),
            "session/new" if options.has("die-on-new") => std::process::exit(3),
            "session/new" => {
                let session = uuid::Uuid::new_v4();
                self.answer(id, json!({"sessionId": session, "modes": modes()}));
            }
            "session/load" if !options.has("no-load") => {
                self.replay(session, "replay");
                self.reopened(id);
                self.replay(session, "late-replay");
            }
            "session/fork" if options.has("fork") => {
                let session = uuid::Uuid::new_v4();
                self.answer(id, json!({"sessionId": session, "modes": modes()}));
            }
            "session/resume" if !options.has("no-resume") => self.reopened(id),
            "session/set_mode" => self.answer(id, json!({})),
            "session/prompt" => self.prompt(id, session, params),
            other => self.refuse(id, -32601, &format!("Method not found: {other}")),
        }
    }

    fn initialize(&self, id: &Value) {
        let options = &self.options;
        if options.has("die-on-init") {
            let _ = io::stderr().write_all(b"fake agent: dying on init, as asked\n");
            std::process::exit(3);
        }
        if options.has("quit-on-init") {
            let _ = io::stderr().write_all(b"fake agent: nothing to do\n");
            std::process::exit(0);
        }
        if options.has("bad-init") {
            return self.refuse(id, -32603, "bad init, as asked");
        }
        if let Some(file) = options.get("slow-init") {
            wait_for_file(Path::new(file), || false);
        }
        let version: u64 = options.get("version").and_then(|version| version.parse().ok()).unwrap_or(1);
        let mut can = if options.has("no-resume") { json!({}) } else { json!({"resume": {}}) };
        if options.has("fork") {
            can["fork"] = json!({});
        }
        self.answer(
            id,
            json!({
                "protocolVersion": version,
                "agentCapabilities": {
                    "loadSession": !options.has("no-load"),
                    "sessionCapabilities": can,
                    "promptCapabilities": {"image": options.has("seeing"), "embeddedContext": options.has("seeing")},
                },
                "agentInfo": {"name": "fake-agent", "title": "Fake", "version": "1"},
                "authMethods": [],
            }),
        );
    }

    /// Says as much of the history as an option wants.
    fn replay(&self, session: &str, option: &str) {
        for n in 0..self.options.get(option).and_then(|n| n.parse().ok()).unwrap_or(0u64) {
            self.say(session, &format!("replay {n}"));
        }
    }

    fn reopened(&self, id: &Value) {
        if self.options.has("unknown-session") {
            return self.refuse(id, -32002, "Resource not found");
        }
        self.answer(id, json!({"modes": modes()}));
    }

    fn prompt(self: &Arc<Self>, id: &Value, session: &str, params: &Value) {
        // What goes before a prompt is heard, and is no script.
        let is_context = |block: &&Value| block["_meta"]["vibes"]["context"].is_string();
        let blocks = params["prompt"].as_array().into_iter().flatten();
        let texts = blocks.filter(|block| !is_context(block)).filter_map(|block| block["text"].as_str());
        let script = texts.collect::<Vec<_>>().join("\n");
        let cancelled = Arc::new(AtomicBool::new(false));
        let before = self.turns.lock().expect("no turn panics").insert(session.to_owned(), cancelled.clone());
        if before.is_some() {
            // Two turns at once are a fault of the client, and the log shows it.
            self.log.add("note", b"a prompt came while a turn was running");
        }
        let turn = scenario::Turn {
            fake: self.clone(),
            session: session.to_owned(),
            request: id.clone(),
            cancelled,
            result: json!({"stopReason": "end_turn"}),
            answers: 1,
        };
        thread::spawn(move || turn.run(&script));
    }

    /// Reads stdin until it ends or a command says otherwise. Returns whether it ended by itself.
    fn read(self: &Arc<Self>) -> bool {
        let stdin = io::stdin();
        let mut pending = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if self.close_stdin.load(Ordering::Acquire) {
                let null = std::fs::File::open("/dev/null").expect("there is /dev/null");
                // Takes the pipe's place: whoever writes to us sees it broken.
                rustix::stdio::dup2_stdin(null).expect("stdin can be replaced");
                return false;
            }
            if self.stop_reading.load(Ordering::Acquire) {
                return false;
            }
            let timeout = Timespec::try_from(LOOK).ok();
            let ready = poll(&mut [PollFd::new(&stdin, PollFlags::IN)], timeout.as_ref());
            if !ready.is_ok_and(|ready| ready > 0) {
                continue;
            }
            // Nothing else reads stdin, so going around its buffer loses nothing.
            match rustix::io::read(&stdin, &mut buffer) {
                Ok(0) | Err(_) => return true,
                Ok(count) => pending.extend_from_slice(&buffer[..count]),
            }
            while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = pending.drain(..=end).collect();
                self.handle(line.trim_ascii());
            }
        }
    }
}

fn modes() -> Value {
    json!({
        "currentModeId": "ask",
        "availableModes": [{"id": "ask", "name": "Ask"}, {"id": "auto", "name": "Auto"}],
    })
}

/// Waits until a file exists or `given_up` says so.
fn wait_for_file(path: &Path, given_up: impl Fn() -> bool) {
    while !path.exists() && !given_up() {
        thread::sleep(LOOK);
    }
}

/// Runs the agent until its stdin ends.
pub fn run() -> ExitCode {
    let mut options = Options::default();
    options.add(&std::env::var("FAKE_AGENT_OPTS").unwrap_or_default());
    let mut log = std::env::var_os("FAKE_AGENT_LOG").map(PathBuf::from);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--log" => log = arguments.next().map(PathBuf::from),
            "--opts" => options.add(&arguments.next().unwrap_or_default()),
            "--hold" => hold(),
            "--relay" => return scenario::relay(&arguments.collect::<Vec<_>>()),
            // Arguments of a real agent are none of our business.
            _ => {}
        }
    }
    if options.has("ignore-term") {
        ignore_term();
    }
    let log = Log::open(log.as_deref()).expect("the log of the fake agent can be opened");
    log.add("start", std::env::args().collect::<Vec<_>>().join(" ").as_bytes());
    let fake = Arc::new(Fake {
        options,
        log,
        asked: Mutex::default(),
        next_id: AtomicU64::new(0),
        turns: Mutex::default(),
        stop_reading: AtomicBool::new(false),
        close_stdin: AtomicBool::new(false),
    });
    let ended = fake.read();
    if !ended || fake.options.get("exit-on-eof") == Some("never") {
        hold();
    }
    ExitCode::SUCCESS
}

/// Sleeps for ever.
fn hold() -> ! {
    loop {
        thread::park();
    }
}

/// Takes SIGTERM away from its default.
fn ignore_term() {
    let noticed = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, noticed)
        .expect("a handler for SIGTERM can be set");
}
