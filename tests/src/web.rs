//! A client of the web: requests as bytes, and a WebSocket.
//!
//! Invariant: nothing is added to a request that the test did not name, but a host and an end; so that what a wall
//! refuses was really sent.

use crate::{PATIENCE, TestEnv};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};
use tungstenite::{Message, WebSocket, client::IntoClientRequest};

/// The web of an environment's daemon, and somebody's token.
#[derive(Debug, Clone)]
pub struct Site {
    /// Where it is served.
    pub port: u16,
    /// Who asks.
    pub token: String,
}

/// A response.
#[derive(Debug)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its headers, their names in small letters.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Response {
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{} brought no JSON ({error}): {}", self.status, String::from_utf8_lossy(&self.body))
        })
    }

    /// Asserts the status.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }
}

impl Site {
    /// Serves the web of this environment, and lets a browser in.
    #[track_caller]
    pub fn open(env: &TestEnv) -> Self {
        let served = env.vibes(&["web", "--port", "0", "--json"]).ok().json();
        let mut site = Self { port: Self::port_of(&served), token: String::new() };
        let origin = site.origin();
        let body = json!({"code": served["code"], "name": "test"}).to_string();
        let traded =
            site.raw("POST", "/v1/auth/exchange", &[("Origin", &origin), JSON], &body).is(200).json();
        site.token = traded["token"].as_str().expect("a code gives a token").to_owned();
        site
    }

    /// The port that `vibes web --json` tells.
    #[track_caller]
    pub fn port_of(served: &Value) -> u16 {
        let url = served["url"].as_str().expect("the web has an address");
        url.rsplit(':').next().and_then(|port| port.parse().ok()).expect("an address has a port")
    }

    /// The same place with another token.
    pub fn with(&self, token: &str) -> Self {
        Self { token: token.to_owned(), ..self.clone() }
    }

    /// The name that it goes by.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The origin of its page.
    pub fn origin(&self) -> String {
        format!("http://{}", self.host())
    }

    /// Sends a head and a body as they are; a host is added unless there is one among the headers.
    #[track_caller]
    pub fn raw(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Response {
        let mut stream = self.send(method, target, headers, body);
        read(&mut stream).unwrap_or_else(|| panic!("{method} {target}: no response came"))
    }

    #[track_caller]
    fn send(&self, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> BufReader<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the web is served");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout over zero can be set");
        let mut head = format!("{method} {target} HTTP/1.1\r\n");
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            head.push_str(&format!("Host: {}\r\n", self.host()));
        }
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("connection")) {
            head.push_str("Connection: close\r\n");
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        // A wall that refuses the head does not read the body.
        let _ = (&stream).write_all(format!("{head}\r\n{body}").as_bytes());
        BufReader::new(stream)
    }

    /// Asks with the token.
    #[track_caller]
    pub fn ask(&self, method: &str, target: &str, body: Value) -> Response {
        self.ask_with(method, target, &[], body)
    }

    /// Asks with the token and more headers.
    #[track_caller]
    pub fn ask_with(&self, method: &str, target: &str, more: &[(&str, &str)], body: Value) -> Response {
        let bearer = format!("Bearer {}", self.token);
        let mut headers = vec![("Authorization", bearer.as_str())];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        if !body.is_empty() {
            headers.push(JSON);
        }
        headers.extend(more);
        self.raw(method, target, &headers, &body)
    }

    /// Asks for something that must be there.
    #[track_caller]
    pub fn get(&self, target: &str) -> Value {
        self.ask("GET", target, Value::Null).is(200).json()
    }

    /// Listens to server-sent events.
    #[track_caller]
    pub fn events(&self, target: &str, more: &[(&str, &str)]) -> Events {
        let bearer = format!("Bearer {}", self.token);
        let mut headers = vec![("Authorization", bearer.as_str())];
        headers.extend(more);
        let mut stream = self.send("GET", target, &headers, "");
        let (status, headers) = head(&mut stream).expect("a response comes");
        assert_eq!(status, 200, "{headers:?}");
        Events { stream }
    }

    /// A WebSocket that has shown its token.
    #[track_caller]
    pub fn socket(&self) -> Socket {
        let mut socket = self.stranger();
        let answer = socket.request("auth", json!({"token": self.token}));
        assert_eq!(answer["type"], "ok", "{answer}");
        socket
    }

    /// A WebSocket that has shown nothing yet.
    #[track_caller]
    pub fn stranger(&self) -> Socket {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the web is served");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout over zero can be set");
        let mut request = format!("ws://{}/v1/ws", self.host()).into_client_request().expect("an address");
        request.headers_mut().insert("origin", self.origin().parse().expect("a header"));
        let (socket, _) = tungstenite::client(request, stream).expect("the web becomes a WebSocket");
        Socket { socket, inbox: VecDeque::new(), asked: 0, closed: false }
    }
}

/// The kind of a body.
pub const JSON: (&str, &str) = ("Content-Type", "application/json");

fn head(stream: &mut impl BufRead) -> Option<(u16, Vec<(String, String)>)> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let status = line.split(' ').nth(1)?.parse().ok()?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|count| *count > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { return Some((status, headers)) };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// The next chunk of a body that comes in chunks; none at its end.
fn chunk(stream: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let length = usize::from_str_radix(line.trim(), 16).ok()?;
    let mut bytes = vec![0; length + 2];
    stream.read_exact(&mut bytes).ok()?;
    bytes.truncate(length);
    (length > 0).then_some(bytes)
}

fn read(stream: &mut impl BufRead) -> Option<Response> {
    let (status, headers) = head(stream)?;
    let mut response = Response { status, headers, body: Vec::new() };
    if response.header("transfer-encoding") == Some("chunked") {
        while let Some(bytes) = chunk(stream) {
            response.body.extend(bytes);
        }
    } else if let Some(length) = response.header("content-length").and_then(|length| length.parse().ok()) {
        // The head of a body may come without it.
        stream.take(length).read_to_end(&mut response.body).ok()?;
    }
    Some(response)
}

/// A stream of events.
pub struct Events {
    stream: BufReader<TcpStream>,
}

/// An event.
#[derive(Debug, PartialEq)]
pub struct Event {
    /// Its id.
    pub id: Option<String>,
    /// Its name.
    pub name: String,
    /// Its message.
    pub data: Value,
}

impl Events {
    /// The next event; none when the stream has ended.
    pub fn hear(&mut self) -> Option<Event> {
        loop {
            // An event is one chunk.
            let text = String::from_utf8(chunk(&mut self.stream)?).expect("events are text");
            let field = |name: &str| {
                text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned)
            };
            if let (Some(name), Some(data)) = (field("event"), field("data")) {
                let data = serde_json::from_str(&data).expect("an event has a message");
                return Some(Event { id: field("id"), name, data });
            }
        }
    }

    /// Waits for an event.
    #[track_caller]
    pub fn wait_for(&mut self, fact: &str, mut is_it: impl FnMut(&Event) -> bool) -> Event {
        loop {
            let event = self.hear().unwrap_or_else(|| panic!("waiting for {fact}: the stream ended"));
            if is_it(&event) {
                return event;
            }
        }
    }
}

/// The wire over a WebSocket.
pub struct Socket {
    socket: WebSocket<TcpStream>,
    inbox: VecDeque<Value>,
    asked: u64,
    closed: bool,
}

impl Socket {
    /// Sends a text frame as it is.
    pub fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).expect("the daemon reads");
    }

    /// The next message; none when the daemon closed.
    pub fn hear(&mut self) -> Option<Value> {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    return Some(serde_json::from_str(&text).expect("a frame is a message"));
                }
                Ok(Message::Close(_)) | Err(tungstenite::Error::ConnectionClosed) => self.closed = true,
                Ok(_) => {}
                Err(tungstenite::Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    panic!("nothing came")
                }
                Err(_) => self.closed = true,
            }
            if self.closed {
                return None;
            }
        }
    }

    /// Sends a request and returns its id.
    pub fn ask(&mut self, kind: &str, mut fields: Value) -> String {
        self.asked += 1;
        let id = format!("s{}", self.asked);
        fields["type"] = kind.into();
        fields["request_id"] = id.as_str().into();
        self.send(&fields.to_string());
        id
    }

    /// Sends a request and returns its answer.
    #[track_caller]
    pub fn request(&mut self, kind: &str, fields: Value) -> Value {
        let id = self.ask(kind, fields);
        self.wait_for(&format!("the answer to {kind}"), |message| {
            message["request_id"] == *id || message["type"] == "error" && message["request_id"].is_null()
        })
    }

    /// Sends a request that must succeed.
    #[track_caller]
    pub fn ok(&mut self, kind: &str, fields: Value) -> Value {
        let answer = self.request(kind, fields);
        assert_ne!(answer["type"], "error", "{kind} was refused: {answer}");
        answer
    }

    /// Waits for a message; the others stay.
    #[track_caller]
    pub fn wait_for(&mut self, fact: &str, mut is_it: impl FnMut(&Value) -> bool) -> Value {
        if let Some(found) = self.inbox.iter().position(&mut is_it).and_then(|at| self.inbox.remove(at)) {
            return found;
        }
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let message =
                self.hear().unwrap_or_else(|| panic!("waiting for {fact}: closed; {:?}", self.inbox));
            if is_it(&message) {
                return message;
            }
            self.inbox.push_back(message);
        }
        panic!("waiting for {fact}: it did not come; {:?}", self.inbox);
    }

    /// Waits for a record with this kind of fact.
    #[track_caller]
    pub fn fact(&mut self, kind: &str) -> Value {
        self.wait_for(&format!("a record {kind}"), |message| {
            message["type"] == "record" && message["fact"]["kind"] == kind
        })
    }

    /// What came and was not waited for.
    pub fn inbox(&self) -> impl Iterator<Item = &Value> {
        self.inbox.iter()
    }

    /// Lets the daemon wait for this long at most.
    pub fn patience(&mut self, patience: Duration) {
        self.socket.get_ref().set_read_timeout(Some(patience)).expect("a timeout over zero can be set");
    }

    /// The socket itself.
    pub fn stream(&mut self) -> &mut TcpStream {
        self.socket.get_mut()
    }
}
