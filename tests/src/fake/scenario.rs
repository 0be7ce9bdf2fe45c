//! The commands of a prompt, one per line.
//!
//! | command | does |
//! |---|---|
//! | `say TEXT`, `think TEXT` | a chunk of the message, of the thoughts |
//! | `chunks N SIZE [DELAY_US] [TAG]` | N chunks `TAG#0 xxx…` of SIZE bytes, numbered from 0 |
//! | `tool ID TITLE`, `tool_done ID`, `tool_failed ID` | a tool call begins, ends, fails |
//! | `tool_prints ID N` | N updates of a tool call: with each line it prints, all of its output is told again |
//! | `edit ID PATH` | a tool call that changes a file begins |
//! | `plan A;B;C` | a plan with these entries |
//! | `mode NAME`, `title TEXT`, `usage IN OUT [MODEL]`, `cost AMOUNT` | the updates of these names (`usage` goes with the answer) |
//! | `unknown_update` | an update of a kind that nobody knows |
//! | `ask ID COMMAND` | asks for permission, waits, then says `answer ID allow\|always\|reject\|cancelled\|error` |
//! | `ask_nowait ID COMMAND` | asks, goes on, and says the answer when it comes |
//! | `ask_as JSON ID COMMAND` | like `ask`, with this JSON-RPC id |
//! | `asks N` | N such requests at once, with the ids `many-0` and so on; their answers are not waited for |
//! | `withdraw ID` | takes `ask_nowait ID` back by `$/cancel_request` |
//! | `unknown_request METHOD` | a request, waits, then says `refused METHOD CODE` |
//! | `sleep_until FILE`, `touch FILE` | waits for a fact, makes one |
//! | `raw LINE`, `bytes HEX`, `partial TEXT` | writes just that (`raw` with a newline) |
//! | `bigline BYTES`, `bigchunk BYTES`, `deep N` | a line of `x`, a chunk of `x`, N nested arrays |
//! | `keys N` | an update that nobody knows with N keys |
//! | `dribble TEXT` | a chunk, written byte by byte |
//! | `stderr BYTES [WORDS]` | that much on the standard error, in lines, and the words as the last one |
//! | `exit CODE`, `kill SIGNAL` | ends the agent, unanswered |
//! | `grandchild TAG`, `daemonise TAG` | leaves a child in the group, one in a session of its own; both hold stdout |
//! | `ignore_term`, `ignore_cancel_once` | SIGTERM, a cancel so far, no longer count |
//! | `stop_reading`, `close_stdin` | stdin stays full, is closed |
//! | `no_answer`, `dup_answer`, `error CODE MESSAGE`, `stop REASON` | how the prompt is answered |
//! | `spawn PROGRAM ARGS…`, `spawn_vibes ARGS…` | runs it as a child and says `ran CODE`, its output and its errors |
//! | `wire SOCKET JSON` | sends a line to a daemon and says `wire: ` and what came back |
//! | `env NAME` | says `env NAME=VALUE` |

use super::{Fake, LOOK, bytes, wait_for_file};
use rustix::process::{Signal, getpid, kill_process};
use serde_json::{Value, json};
use std::{
    io::{self, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

/// A prompt under way.
pub(super) struct Turn {
    pub(super) fake: Arc<Fake>,
    pub(super) session: String,
    pub(super) request: Value,
    pub(super) cancelled: Arc<AtomicBool>,
    pub(super) result: Value,
    /// How often the prompt is answered.
    pub(super) answers: u32,
}

/// Why the script does not go on.
enum Stop {
    Cancelled,
    Refused(i64, String),
}

/// The first word and the rest.
pub(super) fn split(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}

/// A line that a tool prints: unlike any other, and of a kilobyte.
pub fn printed(line: u64) -> String {
    let mut state = line;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        format!(" {:08x}", state >> 32)
    });
    let words: String = words.take(112).collect();
    format!("line {line}{words}\n")
}

/// A number of the script. A wrong one is a fault of the test, said loudly.
pub(super) fn number<T: std::str::FromStr>(text: &str) -> T {
    text.trim().parse().unwrap_or_else(|_| panic!("a scenario has {text:?} where a number belongs"))
}

impl Turn {
    pub(super) fn run(mut self, script: &str) {
        let ended = script.lines().try_for_each(|line| {
            if self.cancelled.load(Ordering::Acquire) { Err(Stop::Cancelled) } else { self.command(line) }
        });
        self.fake.turns.lock().expect("no turn panics").remove(&self.session);
        match ended {
            // The last command may have been what the cancel ended.
            Ok(()) if self.cancelled.load(Ordering::Acquire) => {
                self.result = json!({"stopReason": "cancelled"})
            }
            Ok(()) => {}
            Err(Stop::Cancelled) => self.result = json!({"stopReason": "cancelled"}),
            Err(Stop::Refused(code, message)) => return self.fake.refuse(&self.request, code, &message),
        }
        for _ in 0..self.answers {
            self.fake.answer(&self.request, self.result.clone());
        }
    }

    fn say(&self, text: &str) {
        self.fake.say(&self.session, text);
    }

    fn update(&self, update: Value) {
        self.fake.update(&self.session, update);
    }

    /// Sends a request and returns where its answer will come.
    fn request(&self, id: &Value, method: &str, params: &Value) -> mpsc::Receiver<Value> {
        let (sender, receiver) = mpsc::channel();
        self.fake.asked.lock().expect("no turn panics").insert(id.to_string(), sender);
        self.fake.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
        receiver
    }

    fn ask(&self, id: &Value, tool: &str, command: &str) -> mpsc::Receiver<Value> {
        let params = json!({
            "sessionId": self.session,
            "toolCall": {
                "toolCallId": tool, "title": format!("run {command}"), "kind": "execute",
                "rawInput": {"command": command},
            },
            "options": [
                {"optionId": "allow", "name": "Allow", "kind": "allow_once"},
                {"optionId": "always", "name": "Always", "kind": "allow_always"},
                {"optionId": "reject", "name": "Reject", "kind": "reject_once"},
            ],
        });
        self.request(id, "session/request_permission", &params)
    }

    fn next_id(&self) -> Value {
        self.fake.next_id.fetch_add(1, Ordering::Relaxed).into()
    }

    /// Waits as the strictest agents do: a cancel does not end it, only an answer does.
    fn ask_and_wait(&self, id: &Value, tool: &str, command: &str) {
        let answer = self.ask(id, tool, command).recv().unwrap_or_default();
        self.say(&format!("answer {tool} {}", outcome(&answer)));
    }

    fn command(&mut self, line: &str) -> Result<(), Stop> {
        let (verb, rest) = split(line);
        match verb {
            "" => {}
            "say" => self.say(rest),
            "think" => {
                let content = json!({"type": "text", "text": rest});
                self.update(json!({"sessionUpdate": "agent_thought_chunk", "content": content}));
            }
            "chunks" => return self.chunks(rest),
            "tool" => {
                let (id, title) = split(rest);
                self.update(json!({
                    "sessionUpdate": "tool_call", "toolCallId": id, "title": title, "kind": "execute",
                    "status": "in_progress", "rawInput": {"title": title},
                }));
            }
            "edit" => {
                let (id, path) = split(rest);
                self.update(json!({
                    "sessionUpdate": "tool_call", "toolCallId": id, "title": "edit", "kind": "edit",
                    "status": "in_progress", "locations": [{"path": path}],
                    "content": [{"type": "diff", "path": path, "oldText": null, "newText": "x"}],
                }));
            }
            "tool_prints" => self.tool_prints(rest),
            "tool_failed" => self
                .update(json!({"sessionUpdate": "tool_call_update", "toolCallId": rest, "status": "failed"})),
            "tool_done" => self.update(
                json!({"sessionUpdate": "tool_call_update", "toolCallId": rest, "status": "completed"}),
            ),
            "plan" => {
                let entry = |text: &str| json!({"content": text, "priority": "medium", "status": "pending"});
                let entries: Vec<Value> = rest.split(';').map(entry).collect();
                self.update(json!({"sessionUpdate": "plan", "entries": entries}));
            }
            "mode" => self.update(json!({"sessionUpdate": "current_mode_update", "currentModeId": rest})),
            "title" => self.update(json!({"sessionUpdate": "session_info_update", "title": rest})),
            "usage" => {
                let (input, rest) = split(rest);
                let (output, model) = split(rest);
                let (input, output): (u64, u64) = (number(input), number(output));
                self.result["usage"] =
                    json!({"inputTokens": input, "outputTokens": output, "totalTokens": input + output});
                if !model.is_empty() {
                    let usage = json!([{"model": model, "token_count": self.result["usage"]}]);
                    self.result["_meta"] = json!({"quota": {"model_usage": usage}});
                }
            }
            "cost" => self.update(json!({
                "sessionUpdate": "usage_update", "used": 1, "size": 100,
                "cost": {"amount": number::<f64>(rest), "currency": "USD"},
            })),
            "unknown_update" => self.update(json!({"sessionUpdate": "from_the_future", "kept": [1, null]})),
            "ask" => {
                let (tool, command) = split(rest);
                self.ask_and_wait(&self.next_id(), tool, command);
            }
            "ask_as" => {
                let (id, rest) = split(rest);
                let (tool, command) = split(rest);
                let id = serde_json::from_str(id).expect("ask_as is given an id in JSON");
                self.ask_and_wait(&id, tool, command);
            }
            "ask_nowait" => self.ask_nowait(rest),
            "asks" => {
                for n in 0..number::<u64>(rest) {
                    drop(self.ask(&json!(format!("many-{n}")), &format!("m{n}"), "ls"));
                }
            }
            "withdraw" => {
                let params = json!({"requestId": format!("ask-{rest}")});
                self.fake.send(&json!({"jsonrpc": "2.0", "method": "$/cancel_request", "params": params}));
            }
            "unknown_request" => {
                let params = json!({"sessionId": self.session});
                let answer = self.request(&self.next_id(), rest, &params).recv().unwrap_or_default();
                self.say(&format!("refused {rest} {}", answer["error"]["code"]));
            }
            "sleep_until" => wait_for_file(Path::new(rest), || self.cancelled.load(Ordering::Acquire)),
            "touch" => std::fs::write(rest, b"").expect("touch names a file that can be written"),
            "stop" => self.result["stopReason"] = rest.into(),
            "error" => {
                let (code, message) = split(rest);
                return Err(Stop::Refused(number(code), message.to_owned()));
            }
            "no_answer" => self.answers = 0,
            "dup_answer" => self.answers = 2,
            "stop_reading" => self.fake.stop_reading.store(true, Ordering::Release),
            "close_stdin" => self.fake.close_stdin.store(true, Ordering::Release),
            "ignore_cancel_once" => self.cancelled.store(false, Ordering::Release),
            "env" => self.say(&format!("env {rest}={}", std::env::var(rest).unwrap_or_default())),
            _ => {
                if !bytes::write(&self.fake, &self.session, verb, rest) && !self.processes(verb, rest) {
                    self.say(&format!("echo: {line}"));
                }
            }
        }
        Ok(())
    }

    fn chunks(&self, rest: &str) -> Result<(), Stop> {
        let mut fields = rest.split(' ');
        let mut next = || fields.next().filter(|field| !field.is_empty());
        let count: u64 = number(next().unwrap_or("1"));
        let size: usize = number(next().unwrap_or("16"));
        let delay = Duration::from_micros(number(next().unwrap_or("0")));
        let tag = next().unwrap_or("");
        let mut sent = 0;
        for n in 0..count {
            if self.cancelled.load(Ordering::Acquire) {
                break;
            }
            let head = format!("{tag}#{n} ");
            self.say(&format!("{head}{}", "x".repeat(size.saturating_sub(head.len()))));
            sent += 1;
            if !delay.is_zero() {
                thread::sleep(delay);
            }
        }
        // For the oracle: what was written down here and is not in the journal was lost.
        self.fake.log.add("sent", format!("{tag} {sent}").as_bytes());
        if sent < count { Err(Stop::Cancelled) } else { Ok(()) }
    }

    /// A tool that prints so many lines: all of its output is told again with each.
    fn tool_prints(&self, rest: &str) {
        let (id, lines) = split(rest);
        let mut output = String::new();
        for line in 0..number(lines) {
            output.push_str(&printed(line));
            self.update(json!({
                "sessionUpdate": "tool_call_update", "toolCallId": id, "status": "in_progress",
                "content": [{"type": "content", "content": {"type": "text", "text": output}}],
                "rawOutput": {"output": output},
            }));
        }
    }

    fn ask_nowait(&self, rest: &str) {
        let (tool, command) = split(rest);
        let answer = self.ask(&json!(format!("ask-{tool}")), tool, command);
        let (fake, session, tool) = (self.fake.clone(), self.session.clone(), tool.to_owned());
        thread::spawn(move || {
            let answer = answer.recv().unwrap_or_default();
            fake.say(&session, &format!("answer {tool} {}", outcome(&answer)));
        });
    }

    /// Commands about processes.
    fn processes(&self, verb: &str, rest: &str) -> bool {
        match verb {
            "exit" => std::process::exit(number(rest)),
            "kill" => {
                let signal = Signal::from_named_raw(number(rest)).expect("kill is given a signal's number");
                kill_process(getpid(), signal).expect("a process may signal itself");
                // The signal is on its way; nothing may be said after it.
                loop {
                    thread::sleep(LOOK);
                }
            }
            "grandchild" => {
                let held = Command::new(me()).args(["--hold", rest]).stdin(Stdio::null()).spawn();
                // Whoever ends the agent reaps it: that is what tests look at.
                std::mem::forget(held.expect("a child can start"));
                self.say(&format!("grandchild {rest}"));
            }
            "daemonise" => {
                let status = Command::new("setsid").arg("--fork").arg(me()).args(["--hold", rest]).status();
                assert!(status.expect("there is setsid").success(), "setsid starts its child");
                self.say(&format!("daemonise {rest}"));
            }
            "ignore_term" => super::ignore_term(),
            "spawn" => self.spawn(rest),
            "spawn_vibes" => self.spawn(&format!("{} {rest}", me().with_file_name("vibes").display())),
            "wire" => {
                let (socket, line) = split(rest);
                let came = wire(Path::new(socket), line).unwrap_or_else(|error| format!("failed: {error}"));
                self.say(&format!("wire: {came}"));
            }
            _ => return false,
        }
        true
    }

    fn spawn(&self, words: &str) {
        let mut words = words.split_whitespace();
        let program = words.next().unwrap_or("true");
        let output = Command::new(program).args(words).stdin(Stdio::null()).output();
        let text = match output {
            Ok(output) => format!(
                "ran {}\n{}{}",
                output.status.code().unwrap_or(-1),
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ),
            Err(error) => format!("ran nothing: {error}"),
        };
        self.say(&text);
    }
}

/// This program.
fn me() -> PathBuf {
    std::env::current_exe().expect("a running program has a path")
}

/// One word for the answer to a permission request.
fn outcome(answer: &Value) -> &str {
    let outcome = &answer["result"]["outcome"];
    match outcome["outcome"].as_str() {
        Some("selected") => outcome["optionId"].as_str().unwrap_or("nothing"),
        Some("cancelled") => "cancelled",
        _ => "error",
    }
}

/// Sends each line of the second file to the socket, and makes the third of the answers, whole or not at all.
pub(super) fn relay(arguments: &[String]) -> ExitCode {
    let [socket, from, to] = arguments else { panic!("--relay is given SOCKET IN OUT") };
    let lines = std::fs::read_to_string(from).expect("the lines to send can be read");
    let answer = |line| wire(Path::new(socket), line).unwrap_or_else(|error| format!("failed: {error}\n"));
    let answers: String = lines.lines().map(answer).collect();
    let fresh = format!("{to}.new");
    std::fs::write(&fresh, answers)
        .and_then(|()| std::fs::rename(&fresh, to))
        .expect("the answers can be written");
    ExitCode::SUCCESS
}

fn wire(socket: &Path, line: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(format!("{line}\n").as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut came = String::new();
    stream.read_to_string(&mut came)?;
    Ok(came)
}
