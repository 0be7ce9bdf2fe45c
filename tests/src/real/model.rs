//! The scripted model of a real agent, and what it was asked.
//!
//! Invariant: it ends with the test, however that ends; its log is the truth about what the agent asked and heard.

use serde::{Deserialize, de::DeserializeOwned};
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

#[derive(Debug)]
pub(crate) struct Model {
    server: Child,
    log: PathBuf,
    /// Where it listens on this machine.
    pub(crate) port: u16,
}

/// One call of the model.
#[derive(Debug, Clone)]
pub struct Call {
    /// The conversation it was shown, as (role, text).
    pub messages: Vec<(String, String)>,
    /// What tools gave back since the last message of the user.
    pub results: Vec<String>,
    /// What it was told of a conversation that the agent had lost.
    pub earlier: Vec<String>,
    /// The images it was shown, in base64.
    pub pictures: Vec<String>,
    /// What it answered; `None` while it is answering.
    pub said: Option<String>,
    /// Whether the agent stayed to the end of the answer.
    pub whole: bool,
    /// The HTTP status of the answer.
    pub status: u16,
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
    Asked {
        n: usize,
        messages: Vec<(String, String)>,
        results: Vec<String>,
        earlier: Vec<String>,
        pictures: Vec<String>,
    },
    Answered {
        n: usize,
        said: String,
        whole: bool,
        status: u16,
    },
    Reached {
        reached: String,
    },
    /// The agent's own housekeeping.
    Aside {},
}

impl Model {
    pub(crate) fn start(log: PathBuf) -> Self {
        // Its input is a pipe that closes with the test, however that ends.
        let mut server = Command::new("python3")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("agents/model.py"))
            .arg(&log)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("there is a python3 for the scripted model");
        let mut port = String::new();
        let stdout = server.stdout.as_mut().expect("its output is piped");
        BufReader::new(stdout).read_line(&mut port).expect("the model says its port");
        let port = port.trim().parse().expect("the model says its port and nothing else");
        Self { server, log, port }
    }

    /// Its log, read as this type.
    pub(crate) fn logged<T: DeserializeOwned>(&self) -> Vec<T> {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        // Only whole lines: one may be under way.
        let lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.map(|line| serde_json::from_str(line).expect("the log of the model is whole")).collect()
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        let mut calls: Vec<Call> = Vec::new();
        for logged in self.logged::<Logged>() {
            match logged {
                Logged::Asked { n, messages, results, earlier, pictures } => {
                    assert_eq!(n, calls.len() + 1, "the model counts its calls");
                    let (said, whole, status) = (None, false, 0);
                    calls.push(Call { messages, results, earlier, pictures, said, whole, status });
                }
                Logged::Answered { n, said, whole, status } => {
                    let call = &mut calls[n - 1];
                    (call.said, call.whole, call.status) = (Some(said), whole, status);
                }
                Logged::Aside {} | Logged::Reached { .. } => {}
            }
        }
        calls
    }

    /// The addresses that the agent wanted to reach besides the model.
    pub(super) fn reached(&self) -> Vec<String> {
        let logged = self.logged::<Logged>().into_iter();
        logged
            .filter_map(|logged| if let Logged::Reached { reached } = logged { Some(reached) } else { None })
            .collect()
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
