//! One connection: lines out, messages in, answers matched to their questions.
//!
//! Invariant: no message is lost. What comes unasked while an answer is awaited is kept in order and handed out by
//! [`Connection::next`].

use super::socket::Socket;
use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};
use vibes_protocol::codec::{Line, LineBuffer, MAX_CLIENT_LINE, MAX_DAEMON_LINE};
use vibes_protocol::paths::StateDir;
use vibes_protocol::wire::{Asked, CodedError, ErrorCode, Message, Request};

/// Why a question got no answer.
#[derive(Debug)]
pub(crate) enum AskError {
    /// The connection is gone; whether the daemon acted is not known.
    Lost(io::Error),
    /// The daemon refused.
    Refused(CodedError),
}

impl From<io::Error> for AskError {
    fn from(error: io::Error) -> Self {
        Self::Lost(error)
    }
}

/// The reading half: bytes in, messages out.
#[derive(Debug)]
pub(crate) struct Incoming {
    socket: Arc<Socket>,
    lines: LineBuffer,
    chunk: Vec<u8>,
    timeout: Option<Duration>,
}

impl Incoming {
    /// The next message; `None` when the deadline passed first.
    pub(crate) fn next(&mut self, deadline: Option<Instant>) -> io::Result<Option<Message>> {
        // A broken line from the daemon would leave a hole in what we show: give up rather than skip it.
        let read = |line: &[u8]| serde_json::from_slice(line);
        let message = self.line(deadline, read)?.transpose();
        message.map_err(|error| invalid(format!("unreadable message: {error}")))
    }

    /// Something of the next line.
    fn line<T>(&mut self, deadline: Option<Instant>, of: impl FnOnce(&[u8]) -> T) -> io::Result<Option<T>> {
        loop {
            match self.lines.next_line() {
                Some(Line::Whole(line)) => return Ok(Some(of(line))),
                Some(Line::TooLong) => return Err(invalid("a line is longer than 16 MiB".to_owned())),
                None => {}
            }
            let timeout = match deadline {
                None => None,
                Some(deadline) => match deadline.checked_duration_since(Instant::now()) {
                    // A timeout of zero would mean none at all.
                    Some(left) => Some(left.max(Duration::from_millis(1))),
                    None => return Ok(None),
                },
            };
            if timeout != self.timeout {
                self.socket.set_read_timeout(timeout)?;
                self.timeout = timeout;
            }
            match (&*self.socket).read(&mut self.chunk) {
                Ok(0) => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the daemon closed the connection",
                    ));
                }
                Ok(length) => self.lines.push(&self.chunk[..length]),
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn invalid(what: String) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("the daemon sent something this version cannot read: {what}"),
    )
}

/// The writing half.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    socket: Arc<Socket>,
    asked: u64,
}

impl Outgoing {
    /// Sends a request and tells the id that its answer will carry.
    pub(crate) fn send(&mut self, request: Request) -> io::Result<String> {
        self.asked += 1;
        let id = format!("r{}", self.asked);
        let asked = Asked { request_id: Some(id.clone()), request };
        let mut line = serde_json::to_vec(&asked).map_err(io::Error::other)?;
        line.push(b'\n');
        (&*self.socket).write_all(&line)?;
        Ok(id)
    }
}

/// Why a request cannot be sent, if it is too long: the daemon would close the connection over it, and a retry would not
/// help.
pub(crate) fn too_long(request: &Request) -> Option<CodedError> {
    let size = serde_json::to_vec(request).map_or(0, |bytes| bytes.len());
    let message = format!("the request has {size} bytes; a line to the daemon may have {MAX_CLIENT_LINE}");
    (size + 64 > MAX_CLIENT_LINE).then(|| CodedError::new(ErrorCode::FrameTooLarge, message))
}

/// How long an answer may take. What ends an agent has a ladder to go through; a start may have to install things;
/// everything else is answered from memory.
fn patience(request: &Request) -> Duration {
    match request {
        Request::CreateSession(_) | Request::ResumeSession(_) | Request::SetOption(_) => {
            Duration::from_secs(600)
        }
        Request::KillSession(_)
        | Request::SuspendSession(_)
        | Request::FinishSession(_)
        | Request::StopDaemon(_) => Duration::from_secs(60),
        _ => Duration::from_secs(10),
    }
}

/// An answer, read or not.
enum Answered {
    Message(Box<Message>),
    Line(Vec<u8>),
}

/// Both halves, for commands that ask and wait.
#[derive(Debug)]
pub(crate) struct Connection {
    incoming: Incoming,
    outgoing: Outgoing,
    unasked: VecDeque<Message>,
}

impl Connection {
    /// Connects to the daemon of a state directory, if one serves.
    pub(crate) fn open(dir: &StateDir) -> io::Result<Self> {
        let socket = Arc::new(Socket::connect(&dir.socket())?);
        Ok(Self {
            incoming: Incoming {
                socket: Arc::clone(&socket),
                lines: LineBuffer::new(MAX_DAEMON_LINE),
                chunk: vec![0; 64 * 1024],
                timeout: None,
            },
            outgoing: Outgoing { socket, asked: 0 },
            unasked: VecDeque::new(),
        })
    }

    /// Asks and waits for the answer. What comes unasked meanwhile waits for [`Self::next`].
    pub(crate) fn ask(&mut self, request: Request) -> Result<Message, AskError> {
        match self.answered(request, None)? {
            Answered::Message(message) => Ok(*message),
            Answered::Line(_) => Err(AskError::Lost(invalid("an answer that was not asked for".to_owned()))),
        }
    }

    /// The same for an answer of a type that is passed on and not read: its line.
    pub(crate) fn ask_line(&mut self, request: Request, kind: &str) -> Result<Vec<u8>, AskError> {
        match self.answered(request, Some(kind))? {
            Answered::Line(line) => Ok(line),
            Answered::Message(_) => Err(AskError::Lost(invalid("an answer of another type".to_owned()))),
        }
    }

    fn answered(&mut self, request: Request, unread: Option<&str>) -> Result<Answered, AskError> {
        if let Some(error) = too_long(&request) {
            return Err(AskError::Refused(error));
        }
        let deadline = Instant::now() + patience(&request);
        let id = match self.outgoing.send(request) {
            Ok(id) => id,
            // A daemon that has no place for us says so and closes before it hears what we want.
            Err(error) => return Err(self.last_word().unwrap_or(error.into())),
        };
        let begin = unread.map(|kind| format!("{{\"type\":\"{kind}\",\"request_id\":\"{id}\","));
        loop {
            let read = self.incoming.line(Some(deadline), |line| match &begin {
                Some(begin) if line.starts_with(begin.as_bytes()) => Ok(Answered::Line(line.to_vec())),
                _ => serde_json::from_slice(line).map(|message| Answered::Message(Box::new(message))),
            })?;
            let Some(read) = read else {
                let why = "it is there and does not answer; it may be stopped or overloaded";
                return Err(AskError::Lost(io::Error::new(io::ErrorKind::TimedOut, why)));
            };
            let message = match read.map_err(|error| invalid(format!("unreadable message: {error}")))? {
                line @ Answered::Line(_) => return Ok(line),
                Answered::Message(message) => *message,
            };
            match message {
                Message::Error { request_id, code, message, .. }
                    // Without an id it concerns the connection, and nothing more will come.
                    if request_id.as_deref().is_none_or(|answered| answered == id) =>
                {
                    return Err(AskError::Refused(CodedError::new(code, message)));
                }
                message if message.request_id() == Some(&id) => {
                    return Ok(Answered::Message(Box::new(message)));
                }
                Message::Ping {} => drop(self.outgoing.send(vibes_protocol::wire::request::Pong {}.into())?),
                message => self.unasked.push_back(message),
            }
        }
    }

    /// Why the daemon closed the connection, if it said so.
    fn last_word(&mut self) -> Option<AskError> {
        let deadline = Instant::now() + Duration::from_secs(1);
        while let Ok(Some(message)) = self.incoming.next(Some(deadline)) {
            if let Message::Error { request_id: None, code, message, .. } = message {
                return Some(AskError::Refused(CodedError::new(code, message)));
            }
        }
        None
    }

    /// The next message that nobody asked for; `None` when the deadline passed first.
    pub(crate) fn next(&mut self, deadline: Option<Instant>) -> io::Result<Option<Message>> {
        match self.unasked.pop_front() {
            Some(message) => Ok(Some(message)),
            None => self.incoming.next(deadline),
        }
    }

    /// The halves, for a thread that reads while another writes, and what had come already.
    pub(crate) fn split(self) -> (Incoming, Outgoing, VecDeque<Message>) {
        (self.incoming, self.outgoing, self.unasked)
    }
}
