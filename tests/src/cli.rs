//! The command line under test: run to its end, or in the background.
//!
//! Invariant: a command that does not end is killed and named; its output is never lost.

use crate::TestEnv;
use serde_json::Value;
use std::{
    io::{Read, Write},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long a command may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// A command that has run.
#[derive(Debug)]
pub struct Ran {
    /// Its arguments.
    pub args: String,
    /// Its exit code, -1 when a signal ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
}

impl Ran {
    /// Asserts that it is done well.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.exits(0)
    }

    /// Asserts its exit code.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "vibes {} exited {}\nstdout: {}\nstderr: {}",
            self.args, self.code, self.stdout, self.stderr
        );
        self
    }

    /// What it printed, without the last newline.
    pub fn line(&self) -> &str {
        self.stdout.trim_end()
    }

    /// What it printed, as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("vibes {} printed no JSON ({error}): {}", self.args, self.stdout))
    }
}

/// A command under way.
#[derive(Debug)]
pub struct Background {
    args: String,
    child: Child,
    stdout: thread::JoinHandle<Vec<u8>>,
    stderr: thread::JoinHandle<Vec<u8>>,
    until: Instant,
}

fn collect(mut from: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What came before an error still counts.
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

impl Background {
    /// The process, for signals.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Waits for its end.
    fn finish(mut self) -> Result<Ran, String> {
        let status = loop {
            match self.child.try_wait().map_err(|error| error.to_string())? {
                Some(status) => break Ok(status),
                None if Instant::now() > self.until => {
                    let _ = self.child.kill();
                    let _ = self.child.wait();
                    break Err(());
                }
                None => thread::sleep(Duration::from_millis(2)),
            }
        };
        let text = |thread: thread::JoinHandle<Vec<u8>>| match &status {
            // Its children may hold the pipes, so after a kill the output is not waited for.
            Err(()) if !thread.is_finished() => String::from("(not read)"),
            _ => String::from_utf8_lossy(&thread.join().unwrap_or_default()).into_owned(),
        };
        let (stdout, stderr) = (text(self.stdout), text(self.stderr));
        match status {
            Ok(status) => Ok(Ran { args: self.args, code: status.code().unwrap_or(-1), stdout, stderr }),
            Err(()) => Err(format!(
                "`vibes {}` did not end in {DEADLINE:?} and was killed\nstdout: {stdout}\nstderr: {stderr}",
                self.args
            )),
        }
    }

    /// Waits for its end; panics with its name when the deadline passes.
    #[track_caller]
    pub fn wait(self) -> Ran {
        self.finish().unwrap_or_else(|why| panic!("{why}"))
    }
}

impl TestEnv {
    /// Starts `vibes` with input and more variables.
    #[track_caller]
    pub fn spawn_vibes(&self, args: &[&str], input: &str, more: &[(&str, &str)]) -> Background {
        let mut child = Command::new(self.binary("vibes"))
            .args(args)
            .env_clear()
            .envs(self.variables())
            .envs(more.iter().copied())
            .current_dir(self.work())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("vibes can be started");
        let mut stdin = child.stdin.take().expect("stdin is piped");
        let input = input.to_owned();
        // On a thread, because the input may be longer than a pipe; an early end of the command breaks it rightly.
        thread::spawn(move || stdin.write_all(input.as_bytes()));
        Background {
            args: args.join(" "),
            stdout: collect(child.stdout.take().expect("stdout is piped")),
            stderr: collect(child.stderr.take().expect("stderr is piped")),
            child,
            until: Instant::now() + DEADLINE,
        }
    }

    /// Runs `vibes` to its end.
    #[track_caller]
    pub fn vibes(&self, args: &[&str]) -> Ran {
        self.spawn_vibes(args, "", &[]).wait()
    }

    /// Runs `vibes` with input to its end.
    #[track_caller]
    pub fn vibes_reading(&self, args: &[&str], input: &str) -> Ran {
        self.spawn_vibes(args, input, &[]).wait()
    }

    /// Runs `vibes` to its end without asserting that it has one.
    pub(crate) fn try_vibes(&self, args: &[&str]) -> Result<Ran, String> {
        self.spawn_vibes(args, "", &[]).finish()
    }

    /// Runs `vibes` inside an agent of this environment's daemon; gives the transcript, with `ran CODE` in it.
    #[track_caller]
    pub fn inside(&self, args: &str) -> String {
        let (state, vibes) = (self.path("s"), self.binary("vibes"));
        // An agent is not told of a state directory that is not the usual one.
        let session = self.run_fake(&format!("spawn env VIBES_STATE_DIR={state} {} {args}", vibes.display()));
        self.vibes(&["wait", &session, "--until", "idle"]).ok();
        self.vibes(&["logs", &session]).ok().stdout
    }

    /// Starts a session of the fake agent through the command line and returns its id.
    #[track_caller]
    pub fn run_fake(&self, prompt: &str) -> String {
        let ran = self.vibes(&["run", "fake", "--wait-ready", "-d", prompt]).ok();
        ran.line().to_owned()
    }
}
