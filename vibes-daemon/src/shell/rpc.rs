//! Lines in, frames out: the bytes of JSON-RPC without the meaning of any method.
//!
//! Invariant: a frame is one line and one write. Answers never wait for the reader of our stdout; a turn's updates
//! do, so that a flood is held back in its pipe and not in memory.

use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    io::{self, BufRead, Read, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// The longest line that is read, in bytes. The daemon refuses client lines over 1 MiB, so no prompt comes near.
const MAX_LINE: u64 = 16 * 1024 * 1024;
/// How many bytes of frames may wait before an update has to: a few frames, so that the writer never idles.
const UPDATES_WAIT_AT: usize = 256 * 1024;

/// JSON-RPC error codes, as ACP uses them.
pub(super) mod code {
    pub(crate) const INVALID_REQUEST: i64 = -32600;
    pub(crate) const METHOD_NOT_FOUND: i64 = -32601;
    pub(crate) const INVALID_PARAMS: i64 = -32602;
    pub(crate) const INTERNAL: i64 = -32603;
    pub(crate) const NOT_FOUND: i64 = -32002;
}

/// Why a request is refused.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: i64,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// What a line is.
#[derive(Debug)]
pub(super) enum Incoming {
    /// Wants an answer.
    Request { id: Value, method: String, params: Value },
    /// Wants none.
    Notification { method: String, params: Value },
    /// Answers a request of ours; `None` stands for an error.
    Response { id: Value, result: Option<Value> },
}

impl Incoming {
    /// Reads a line, or says what is wrong with it.
    pub(super) fn parse(line: &[u8]) -> Result<Self, String> {
        let mut message: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let fields = message.as_object_mut().ok_or("not an object")?;
        let id = fields.remove("id");
        let params = fields.remove("params").unwrap_or(Value::Null);
        match (fields.remove("method"), id) {
            (Some(Value::String(method)), None) => Ok(Self::Notification { method, params }),
            (Some(Value::String(method)), Some(id)) => Ok(Self::Request { id, method, params }),
            (Some(_), _) => Err("the method is not a string".to_owned()),
            (None, Some(id)) => Ok(Self::Response { id, result: fields.remove("result") }),
            (None, None) => Err("neither method nor id".to_owned()),
        }
    }
}

/// Calls `handle` with each line until the input ends. A line over the limit is skipped whole.
pub(super) fn read_lines(mut input: impl BufRead, mut handle: impl FnMut(&[u8])) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if input.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.ends_with(b"\n") {
            handle(line.trim_ascii());
        } else if line.len() as u64 == MAX_LINE {
            note("a line over 16 MiB is ignored");
            input.skip_until(b'\n')?;
        }
        // A last line without its newline was cut off: nothing that a client finished saying.
    }
}

fn update_frame(session_id: &str, update: &Value) -> Value {
    let params = json!({"sessionId": session_id, "update": update});
    json!({"jsonrpc": "2.0", "method": "session/update", "params": params})
}

/// Tells whoever reads our standard error.
pub(super) fn note(text: &str) {
    // Nobody may be listening, and there is nowhere else to say it.
    let _ = writeln!(io::stderr(), "vibesd agent shell: {text}");
}

/// The way out: a queue of frames and the thread that writes them.
#[derive(Clone)]
pub(super) struct Out(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
    writing: bool,
    /// The reader is gone: what comes now is dropped.
    broken: bool,
}

impl Out {
    /// Starts the writer.
    pub(super) fn start(mut to: impl Write + Send + 'static) -> io::Result<Self> {
        let out = Self(Arc::new(Shared { queue: Mutex::default(), changed: Condvar::new() }));
        let writer = out.clone();
        thread::Builder::new().name("stdout".to_owned()).spawn(move || {
            while let Some(frame) = writer.next_frame() {
                let written = to.write_all(&frame).and_then(|()| to.flush());
                let mut queue = writer.lock();
                queue.writing = false;
                if written.is_err() {
                    queue.broken = true;
                    queue.frames.clear();
                    queue.bytes = 0;
                }
                writer.0.changed.notify_all();
            }
        })?;
        Ok(out)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // The queue is whole between any two statements, so a panic elsewhere does not spoil it.
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        self.0.changed.wait(queue).unwrap_or_else(PoisonError::into_inner)
    }

    fn next_frame(&self) -> Option<Vec<u8>> {
        let mut queue = self.lock();
        loop {
            if queue.broken {
                return None;
            }
            if let Some(frame) = queue.frames.pop_front() {
                queue.bytes -= frame.len();
                queue.writing = true;
                self.0.changed.notify_all();
                return Some(frame);
            }
            queue = self.wait(queue);
        }
    }

    fn push(&self, mut queue: MutexGuard<'_, Queue>, frame: &Value) {
        if queue.broken {
            return;
        }
        let mut bytes = frame.to_string().into_bytes();
        bytes.push(b'\n');
        queue.bytes += bytes.len();
        queue.frames.push_back(bytes);
        self.0.changed.notify_all();
    }

    /// Queues a frame at once: answers, which are as few as the client's own requests.
    fn send(&self, frame: &Value) {
        self.push(self.lock(), frame);
    }

    /// Answers a request.
    pub(super) fn answer(&self, id: &Value, answer: Result<Value, Refusal>) {
        self.send(&match answer {
            Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            Err(Refusal { code, message }) => {
                json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}})
            }
        });
    }

    /// Asks the client.
    pub(super) fn request(&self, id: u64, method: &str, params: &Value) {
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}));
    }

    /// Sends an ACP `SessionUpdate`, waiting while too much is queued.
    pub(super) fn update(&self, session_id: &str, update: &Value) {
        let mut queue = self.lock();
        while queue.bytes > UPDATES_WAIT_AT && !queue.broken {
            queue = self.wait(queue);
        }
        self.push(queue, &update_frame(session_id, update));
    }

    /// Sends an update of a replay, which is part of an answer and does not wait: a history has its own bounds.
    pub(super) fn replay(&self, session_id: &str, update: &Value) {
        self.send(&update_frame(session_id, update));
    }

    /// Waits until everything is written, or nobody reads, or the time is up.
    pub(super) fn drain(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let mut queue = self.lock();
        while (queue.writing || !queue.frames.is_empty()) && !queue.broken {
            let Some(left) = until.checked_duration_since(Instant::now()) else { return };
            queue = self.0.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
