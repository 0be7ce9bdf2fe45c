//! A raw client: lines out, JSON in, nothing clever.
//!
//! Invariant: what was received is kept until somebody waits for it, in order; a wait that fails names the fact and
//! shows what came instead. Every record ever received is also kept per session, for the oracle.

use crate::PATIENCE;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};
use vibes_protocol::codec::{Line, LineBuffer, MAX_DAEMON_LINE};

/// A connection.
#[derive(Debug)]
pub struct Wire {
    stream: UnixStream,
    lines: LineBuffer,
    inbox: VecDeque<Value>,
    /// The last lines that came, shortened, for messages.
    history: VecDeque<String>,
    streams: BTreeMap<String, Vec<Value>>,
    /// Whether records are kept for the oracle: not by who keeps them himself.
    keeps: bool,
    requests: u64,
    /// How long a fact may take.
    patience: Duration,
    closed: bool,
    /// Who the daemon says we are, after `hello`.
    pub client_id: String,
    /// What proves it, after `hello`.
    pub resume_token: String,
}

/// A request's fields with its type and id.
fn frame(kind: &str, id: &str, fields: Value) -> Value {
    let mut message = json!({"type": kind, "request_id": id});
    let Value::Object(fields) = fields else { panic!("the fields of a request are an object, not {fields}") };
    message.as_object_mut().expect("just made").extend(fields);
    message
}

impl Wire {
    /// Connects, or says why not.
    pub fn try_connect(socket: &Path) -> io::Result<Self> {
        let stream = UnixStream::connect(socket)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            lines: LineBuffer::new(MAX_DAEMON_LINE),
            inbox: VecDeque::new(),
            history: VecDeque::new(),
            streams: BTreeMap::new(),
            keeps: true,
            requests: 0,
            patience: PATIENCE,
            closed: false,
            client_id: String::new(),
            resume_token: String::new(),
        })
    }

    /// Keeps no record: for who reads millions of them.
    pub fn forgetful(mut self) -> Self {
        self.keeps = false;
        self
    }

    /// Waits longer for facts: for what starts programs that take their time.
    pub fn patient(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Connects.
    #[track_caller]
    pub fn connect(socket: &Path) -> Self {
        Self::try_connect(socket)
            .unwrap_or_else(|error| panic!("the daemon is not reached at {}: {error}", socket.display()))
    }

    /// Introduces the client; `more` overrides and adds fields. Returns the welcome.
    #[track_caller]
    pub fn hello(&mut self, more: Value) -> Value {
        let mut fields = json!({"protocol": 1, "client": {"name": "test", "version": "1", "kind": "script"}});
        let Value::Object(more) = more else { panic!("the fields of a hello are an object, not {more}") };
        fields.as_object_mut().expect("just made").extend(more);
        let welcome = self.ok("hello", fields);
        assert_eq!(welcome["type"], "welcome");
        self.client_id = welcome["client_id"].as_str().expect("a welcome has a client id").to_owned();
        self.resume_token =
            welcome["resume_token"].as_str().expect("a welcome has a resume token").to_owned();
        welcome
    }

    /// Sends bytes as they are.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a line.
    #[track_caller]
    pub fn send_line(&mut self, line: &str) {
        self.send_bytes(format!("{line}\n").as_bytes()).expect("the daemon reads");
    }

    /// Sends a request and returns its id, without waiting.
    #[track_caller]
    pub fn ask(&mut self, kind: &str, fields: Value) -> String {
        self.try_ask(kind, fields).expect("the daemon reads")
    }

    /// Sends a request and returns its id, or the error of a daemon that is gone.
    pub fn try_ask(&mut self, kind: &str, fields: Value) -> io::Result<String> {
        self.requests += 1;
        let id = format!("t{}", self.requests);
        let line = format!("{}\n", frame(kind, &id, fields));
        self.send_bytes(line.as_bytes()).map(|()| id)
    }

    /// Sends a request and returns its answer, whatever it is.
    #[track_caller]
    pub fn request(&mut self, kind: &str, fields: Value) -> Value {
        let id = self.ask(kind, fields);
        self.wait_for(&format!("the answer to {kind}"), |message| message["request_id"] == *id)
    }

    /// Sends a request and returns its answer, or nothing when the daemon went away before.
    #[track_caller]
    pub fn try_request(&mut self, kind: &str, fields: Value) -> Option<Value> {
        let id = self.try_ask(kind, fields).ok()?;
        let until = Instant::now() + self.patience;
        loop {
            match self.next_within(until.saturating_duration_since(Instant::now())) {
                Some(message) if message["request_id"] == *id => return Some(message),
                Some(message) => self.inbox.push_back(message),
                None => {
                    assert!(self.closed, "no answer to {kind}; the last that came: {:?}", self.history);
                    return None;
                }
            }
        }
    }

    /// Sends a request that must succeed.
    #[track_caller]
    pub fn ok(&mut self, kind: &str, fields: Value) -> Value {
        let answer = self.request(kind, fields);
        assert_ne!(answer["type"], "error", "{kind} was refused: {answer}");
        answer
    }

    /// Sends a request that must be refused; returns the code.
    #[track_caller]
    pub fn refused(&mut self, kind: &str, fields: Value) -> String {
        let answer = self.request(kind, fields);
        assert_eq!(answer["type"], "error", "{kind} was not refused: {answer}");
        answer["code"].as_str().expect("an error has a code").to_owned()
    }

    /// Closes the writing half.
    pub fn half_close(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("a connected socket can be half closed");
    }

    /// Takes what comes within the time. `None` when it does not, or when the daemon closed.
    pub fn next_within(&mut self, patience: Duration) -> Option<Value> {
        let until = Instant::now() + patience;
        let mut buffer = [0; 64 * 1024];
        loop {
            if let Some(line) = self.lines.next_line() {
                let Line::Whole(line) = line else { panic!("the daemon sent a line over 16 MiB") };
                let message: Value = serde_json::from_slice(line)
                    .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(line)));
                let head = &line[..line.len().min(300)];
                if self.history.len() >= 40 {
                    self.history.pop_front();
                }
                self.history.push_back(String::from_utf8_lossy(head).into_owned());
                self.note(&message);
                return Some(message);
            }
            let left = until.saturating_duration_since(Instant::now());
            if self.closed || left.is_zero() {
                return None;
            }
            self.stream.set_read_timeout(Some(left)).expect("a timeout over zero can be set");
            match self.stream.read(&mut buffer) {
                Ok(0) => self.closed = true,
                Ok(count) => self.lines.push(&buffer[..count]),
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted => {}
                    // A daemon that was killed resets; that is a way of closing.
                    _ => self.closed = true,
                },
            }
        }
    }

    /// Takes this many bytes off the socket, or fewer when the daemon closed; what they say is kept for later.
    pub fn take(&mut self, count: usize) {
        let mut bytes = vec![0; count];
        self.stream.set_read_timeout(Some(self.patience)).expect("a timeout over zero can be set");
        let mut taken = 0;
        while taken < count {
            match self.stream.read(&mut bytes[taken..]) {
                Ok(0) | Err(_) => break,
                Ok(more) => taken += more,
            }
        }
        self.lines.push(&bytes[..taken]);
    }

    fn note(&mut self, message: &Value) {
        if !self.keeps {
            return;
        }
        let session = message["session_id"].as_str().unwrap_or_default();
        match message["type"].as_str() {
            Some("record") => {
                self.streams.entry(session.to_owned()).or_default().push(message.clone());
            }
            Some("rewind") => {
                let to = message["to"]["seq"].as_u64().expect("a rewind names a number");
                let stream = self.streams.entry(session.to_owned()).or_default();
                stream.retain(|record| record["seq"].as_u64() <= Some(to));
            }
            _ => {}
        }
    }

    /// Waits for a message and takes it out of the inbox; the others stay.
    #[track_caller]
    pub fn wait_for(&mut self, fact: &str, is_it: impl FnMut(&Value) -> bool) -> Value {
        self.try_wait_for(fact, is_it).unwrap_or_else(|| self.did_not_come(fact))
    }

    /// Like [`Wire::wait_for`], for a daemon that may be killed meanwhile: then there is nothing.
    #[track_caller]
    pub fn try_wait_for(&mut self, fact: &str, mut is_it: impl FnMut(&Value) -> bool) -> Option<Value> {
        if let Some(at) = self.inbox.iter().position(&mut is_it) {
            return self.inbox.remove(at);
        }
        let until = Instant::now() + self.patience;
        loop {
            match self.next_within(until.saturating_duration_since(Instant::now())) {
                Some(message) if is_it(&message) => return Some(message),
                Some(message) => self.inbox.push_back(message),
                None if self.closed => return None,
                None => self.did_not_come(fact),
            }
        }
    }

    #[track_caller]
    fn did_not_come(&self, fact: &str) -> ! {
        let how = if self.closed { "the daemon closed the connection" } else { "it did not come" };
        let came: Vec<&str> = self.history.iter().map(String::as_str).collect();
        panic!("waiting for {fact}: {how}; the last that came:\n{}", came.join("\n"));
    }

    /// Waits until the daemon closes; what it said before goes to the inbox.
    #[track_caller]
    pub fn wait_closed(&mut self) {
        let until = Instant::now() + self.patience;
        while !self.closed {
            let message = self.next_within(until.saturating_duration_since(Instant::now()));
            assert!(message.is_some() || self.closed, "the daemon does not close the connection");
            self.inbox.extend(message);
        }
    }

    /// Whether the daemon has closed the connection, as far as was read.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Waits until everything that was sent before is answered, and returns what lies in the inbox then.
    #[track_caller]
    pub fn inbox(&mut self) -> Vec<Value> {
        self.ok("ping", json!({}));
        self.inbox.iter().cloned().collect()
    }

    /// Forgets what lies in the inbox.
    pub fn clear_inbox(&mut self) {
        self.inbox.clear();
    }

    /// Creates a session of the fake agent; `more` overrides and adds fields. Returns its id.
    #[track_caller]
    pub fn create(&mut self, env: &crate::TestEnv, more: Value) -> String {
        let mut fields = json!({
            "agent": "fake", "cwd": env.work(), "env": env.client_env(), "wait_ready": true,
        });
        let Value::Object(more) = more else { panic!("the fields of a request are an object, not {more}") };
        fields.as_object_mut().expect("just made").extend(more);
        let created = self.ok("create_session", fields);
        created["session"]["id"].as_str().expect("a session has an id").to_owned()
    }

    /// Joins a session; returns its part of the answer.
    #[track_caller]
    pub fn subscribe(&mut self, session: &str, after: impl Into<Value>, role: &str) -> Value {
        let fields = json!({"session_ids": [session], "after": after.into(), "role": role});
        let mut answer = self.ok("subscribe", fields);
        assert_eq!(answer["type"], "subscribed");
        answer["sessions"][0].take()
    }

    /// Gives a prompt; returns the number of its record.
    #[track_caller]
    pub fn prompt(&mut self, session: &str, text: &str) -> u64 {
        let answer = self.ok("input", json!({"session_id": session, "content": text}));
        assert_eq!(answer["type"], "accepted");
        answer["seq"].as_u64().expect("an accepted input has a number")
    }

    /// Waits for a record of a subscribed session with this kind of fact; returns the record.
    #[track_caller]
    pub fn fact(&mut self, session: &str, kind: &str) -> Value {
        self.wait_for(&format!("a record {kind} of {session}"), |message| {
            message["type"] == "record" && message["session_id"] == session && message["fact"]["kind"] == kind
        })
    }

    /// Waits until a session whose agent says a lot rests: for as long as its records keep growing in number. Returns it.
    #[track_caller]
    pub fn rests(&mut self, session: &str) -> Value {
        let (mut head, mut until) = (Value::Null, Instant::now());
        loop {
            let mut answer = self.ok("get_session", json!({"session_id": session}));
            if !matches!(answer["session"]["state"].as_str(), Some("starting" | "processing")) {
                return answer["session"].take();
            }
            if answer["session"]["head"] != head {
                head = answer["session"]["head"].take();
                until = Instant::now() + self.patience;
            }
            assert!(Instant::now() < until, "{session} came to a halt at record {head}");
            let message = self.next_within(Duration::from_millis(20));
            self.inbox.extend(message);
        }
    }

    /// Waits until the agent of a subscribed session has said a text.
    #[track_caller]
    pub fn said(&mut self, session: &str, text: &str) {
        let mut said = self.text(session);
        if !said.contains(text) {
            self.wait_for(&format!("the agent says {text:?}"), |message| {
                if message["type"] == "record" && message["session_id"] == session {
                    said.push_str(chunk(message).unwrap_or_default());
                }
                said.contains(text)
            });
        }
    }

    /// Waits for a permission request; returns it.
    #[track_caller]
    pub fn permission(&mut self, session: &str) -> Value {
        self.fact(session, "permission_requested")["fact"]["permission"].take()
    }

    /// Answers a permission request; returns the answer to that, whatever it is.
    #[track_caller]
    pub fn decide(&mut self, session: &str, permission: &Value, decision: &str) -> Value {
        self.request("permission_response", json!({
            "session_id": session, "permission_id": permission["permission_id"], "hash": permission["hash"],
            "decision": decision,
        }))
    }

    /// Waits until a session is in a state, as any client is told.
    #[track_caller]
    pub fn state(&mut self, session: &str, state: &str) -> Value {
        let now = self.ok("get_session", json!({"session_id": session}));
        if now["session"]["state"] == state {
            return now["session"].clone();
        }
        let mut told = self.wait_for(&format!("{session} is {state}"), |message| {
            message["type"] == "session_updated"
                && message["session"]["id"] == session
                && message["session"]["state"] == state
        });
        told["session"].take()
    }

    /// All that a subscribed session's agent said, joined.
    pub fn text(&self, session: &str) -> String {
        self.stream(session).iter().filter_map(chunk).collect()
    }

    /// Every record of a session that was received, in order, rewinds applied.
    pub fn stream(&self, session: &str) -> &[Value] {
        self.streams.get(session).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The text of a record that is a chunk of the agent's message.
pub(crate) fn chunk(record: &Value) -> Option<&str> {
    let update = &record["fact"]["update"];
    (update["sessionUpdate"] == "agent_message_chunk").then(|| update["content"]["text"].as_str()).flatten()
}
