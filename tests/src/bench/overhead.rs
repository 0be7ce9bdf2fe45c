//! F12: what a real agent loses by running in vibes: time to its first word, time of a turn, memory; and twenty at once.
//!
//! The peer is the same agent: the command line, environment and directory of the process that vibes started, run bare
//! beside it and asked the same by turns, on the same scripted model. Needs `tests/agents/install`.

use super::{
    Plan, guard,
    memory::kib,
    report::{Goal, Report, quantile},
};
use serde_json::{Value, json};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{ffi::OsStrExt, process::CommandExt},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};
use vibes_tests::{Real, Wire, agents, processes};

/// Turns that are not counted: caches fill.
const WARMING: usize = 3;
/// What is asked, how often in each round, and what the figures of it are called: a model that answers at once, and one at
/// the pace of a fast real one (0.3 s to its first word, 200 words a second).
const ASKED: [(&str, usize, &str); 2] =
    [("[[stream: 200]]", 10, ""), ("[[stream: 200 after 300 every 5]]", 5, "paced.")];
/// Sessions at once.
const CROWD: usize = 20;
/// The longest that anything here may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// Takes the figures.
pub fn measure(plan: &Plan, report: &mut Report) {
    for agent in [&agents::CLAUDE, &agents::CODEX] {
        let Some(real) = started(agent) else { return };
        let mut wire = real.client().forgetful().patient(PATIENCE);
        let session = real.create(&mut wire);
        turn(&mut wire, &session, "hello");
        let mut bare = Bare::like(processes::of(&mut wire, &session, "agent_pid"), &real.env.work());
        for (asked, turns, pace) in ASKED {
            let mut took = [const { Vec::new() }; 4];
            for n in 0..WARMING + plan.rounds * turns {
                let prompt = format!("{asked} number {n}");
                let (through, peer) = (turn(&mut wire, &session, &prompt), bare.turn(&prompt));
                if n >= WARMING {
                    let all = [through.0, through.1, peer.0, peer.1];
                    took.iter_mut().zip(all).for_each(|(samples, took)| samples.push(took));
                }
            }
            let [first, whole, bare_first, bare_whole] = took;
            let name = |part: &str| format!("F12.{}.{pace}{part}", agent.preset);
            let peer = "the agent run bare";
            report.figure(&name("first"), "ms", &first, Some((peer, &bare_first)), Goal::RatioAtMost(1.05));
            report.figure(&name("turn"), "ms", &whole, Some((peer, &bare_whole)), Goal::RatioAtMost(1.05));
        }
    }
    crowd(report);
}

fn started(agent: &'static agents::Agent) -> Option<Real> {
    let real = Real::started(agent)?;
    guard::register(real.env.root().to_owned());
    Some(real)
}

/// Twenty sessions of Claude Code that all answer, and somebody who looks at the list meanwhile.
fn crowd(report: &mut Report) {
    let Some(real) = started(&agents::CLAUDE) else { return };
    let daemon = real.env.running_daemon().expect("it was started").pid;
    let mut wire = real.client().forgetful().patient(PATIENCE);
    let first = real.create(&mut wire);
    turn(&mut wire, &first, "hello");
    let before = kib(daemon, "Rss:");
    let sessions: Vec<String> = (0..CROWD).map(|_| real.create(&mut wire)).collect();
    let ask = |wire: &mut Wire, session: &String, text: &str| {
        wire.ask("input", json!({"session_id": session, "content": text}));
    };
    sessions.iter().for_each(|session| ask(&mut wire, session, "hello"));
    (0..CROWD).for_each(|_| drop(wire.wait_for("a turn ends", is_end)));
    let runners = real.env.processes().into_iter();
    let runners: Vec<f64> = runners
        .filter(|process| {
            process.command.split(' ').next().is_some_and(|name| name.ends_with("/vibes-runner"))
        })
        .map(|process| kib(process.pid, "Pss:"))
        .collect();
    let each = (kib(daemon, "Rss:") - before) / CROWD as f64 + quantile(&runners, 0.5);
    report.figure("F12.memory.each", "MiB", &[each / 1024.0], None, Goal::AtMost(3.0));
    let go = real.env.path("go");
    sessions.iter().for_each(|session| ask(&mut wire, session, &format!("[[until: {go}]] all of you")));
    let mut looker = real.client().patient(PATIENCE);
    let looks: Vec<f64> = (0..100)
        .map(|_| {
            let began = Instant::now();
            looker.ok("list_sessions", json!({}));
            ms(began)
        })
        .collect();
    fs::write(&go, "").expect("a file can be made");
    (0..CROWD).for_each(|_| drop(wire.wait_for("a turn ends", is_end)));
    report.figure("F12.crowd.list.p50", "ms", &[quantile(&looks, 0.5)], None, Goal::AtMost(50.0));
    report.figure("F12.crowd.list.p99", "ms", &[quantile(&looks, 0.99)], None, Goal::AtMost(250.0));
}

fn ms(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}

fn is_end(message: &Value) -> bool {
    message["fact"]["kind"] == "turn_ended"
}

/// Milliseconds to the first word and to the end of a turn.
fn turn(wire: &mut Wire, session: &str, prompt: &str) -> (f64, f64) {
    // What is left of the turn before speaks as well.
    wire.clear_inbox();
    let began = Instant::now();
    wire.ask("input", json!({"session_id": session, "content": prompt}));
    wire.wait_for("the agent speaks", |message| {
        message["fact"]["update"]["sessionUpdate"] == "agent_message_chunk"
    });
    let first = ms(began);
    let end = wire.wait_for("the turn ends", is_end);
    assert_eq!(end["fact"]["outcome"], "finished", "{end}");
    (first, ms(began))
}

/// An agent without vibes.
struct Bare {
    child: Child,
    input: ChildStdin,
    lines: BufReader<ChildStdout>,
    /// The session that it has given, where it speaks ACP.
    acp: Option<Value>,
    asked: u64,
}

impl Bare {
    /// Starts what that process is once more.
    fn like(pid: i32, work: &str) -> Self {
        let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).expect("our own process can be read");
        let words = |bytes: Vec<u8>| -> Vec<std::ffi::OsString> {
            let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
            words.map(|word| std::ffi::OsStr::from_bytes(word).to_owned()).collect()
        };
        let argv = words(read("cmdline"));
        let mut command = Command::new(&argv[0]);
        // Its conversation is its own.
        let own = argv[1..].iter().take_while(|word| *word != "--resume" && *word != "--session-id");
        command.args(own).env_clear().current_dir(work).stdin(Stdio::piped()).stdout(Stdio::piped());
        for variable in words(read("environ")) {
            let variable = variable.into_string().expect("our own variables are UTF-8");
            let (name, value) = variable.split_once('=').expect("a variable has a value");
            if !name.starts_with("VIBES_") || name == "VIBES_STATE_DIR" {
                command.env(name, value);
            }
        }
        let mut child =
            command.stderr(Stdio::null()).process_group(0).spawn().expect("it runs a second time");
        let input = child.stdin.take().expect("it is piped");
        let lines = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut bare = Self { child, input, lines, acp: None, asked: 0 };
        if !argv.iter().any(|word| word == "stream-json") {
            bare.ask("initialize", json!({"protocolVersion": 1, "clientCapabilities": {}}));
            bare.until(|line| line["id"] == 1);
            bare.ask("session/new", json!({"cwd": work, "mcpServers": []}));
            bare.acp = Some(bare.until(|line| line["id"] == 2)["result"]["sessionId"].take());
        }
        bare.turn("hello");
        bare
    }

    fn ask(&mut self, method: &str, params: Value) {
        self.asked += 1;
        let id = self.asked;
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
    }

    fn send(&mut self, line: &Value) {
        self.input.write_all(format!("{line}\n").as_bytes()).expect("it reads");
    }

    fn until(&mut self, mut is_it: impl FnMut(&Value) -> bool) -> Value {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(self.lines.read_line(&mut line).expect("it writes text") > 0, "the agent ended");
            let line: Value = serde_json::from_str(&line).expect("it writes JSON");
            if is_it(&line) {
                return line;
            }
        }
    }

    fn turn(&mut self, prompt: &str) -> (f64, f64) {
        let content = json!([{"type": "text", "text": prompt}]);
        let began = Instant::now();
        match &self.acp {
            Some(session) => {
                let params = json!({"sessionId": session, "prompt": content});
                self.ask("session/prompt", params);
                self.until(|line| line["params"]["update"]["sessionUpdate"] == "agent_message_chunk");
                let first = ms(began);
                let id = self.asked;
                let end = self.until(|line| line["id"] == id);
                assert_eq!(end["result"]["stopReason"], "end_turn", "{end}");
                (first, ms(began))
            }
            None => {
                self.send(&json!({"type": "user", "message": {"role": "user", "content": content}}));
                self.until(|line| line["event"]["delta"]["type"] == "text_delta");
                let first = ms(began);
                let end = self.until(|line| line["type"] == "result");
                assert_eq!(end["is_error"], false, "{end}");
                (first, ms(began))
            }
        }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // Some are a program that starts another.
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.wait();
    }
}
