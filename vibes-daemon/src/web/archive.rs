//! Archives over HTTP: sessions that leave as lines, and lines that come in.
//!
//! Invariant: page by page and piece by piece, whatever a session's length. What an archive holds is judged where imports
//! of the wire are; what ends in the middle is cut off visibly on its way out, and not taken in on its way in.

use super::{
    pair::{self, Pair},
    problem::Problem,
    routes::{self, Ask},
};
use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
};
use bytes::Bytes;
use http_body_util::{
    BodyExt,
    channel::{Channel, Sender},
};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};
use std::{io, pin::Pin, time::Duration};
use vibes_protocol::{
    codec::{self, Line, LineBuffer, MAX_CLIENT_LINE, MAX_DAEMON_LINE},
    model::ARCHIVE,
    wire::{CodedError, ErrorCode},
};

/// Lines of JSON.
pub const LINES: &str = "application/x-ndjson";
/// How much of an archive is passed on at once, in bytes.
const PIECE: usize = 480 * 1024;
/// How long the next bytes of an archive may take to come.
const PATIENCE: Duration = Duration::from_secs(30);

type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

fn bad(why: impl Into<String>) -> Problem {
    Problem::new(ErrorCode::BadRequest, why)
}

fn gone() -> Problem {
    Problem::new(ErrorCode::ShuttingDown, "the daemon stops")
}

/// A page of the wire, with its records unread.
#[derive(Deserialize)]
struct Page<'a> {
    session_id: &'a str,
    #[serde(borrow)]
    head: &'a RawValue,
    #[serde(borrow)]
    records: Vec<&'a RawValue>,
    last: u64,
    more: bool,
}

/// What is looked at of a head.
#[derive(Deserialize)]
struct Head {
    last: u64,
}

/// Sends a session out.
pub fn export(ask: Ask) -> Answer {
    Box::pin(async move { try_export(ask).await.unwrap_or_else(Problem::response) })
}

async fn try_export(ask: Ask) -> Result<Response<Body>, Problem> {
    let mut request = json!({"type": "export_session", "session_id": ask.session()});
    for (name, value) in ask.parameters()? {
        request[name] = value;
    }
    let mut pair = Pair::open(&ask.door.server, &ask.guest()?).map_err(|_| gone())?;
    let line = next(&mut pair, &request, "exported").await?;
    let unreadable =
        |error| Problem::new(ErrorCode::Internal, format!("a page of the session cannot be read: {error}"));
    let page: Page<'_> = serde_json::from_slice(&line).map_err(unreadable)?;
    let head: Head = serde_json::from_str(page.head.get()).map_err(unreadable)?;
    let name = format!("attachment; filename=\"vibes-{}.ndjson\"", page.session_id);
    // All pages are of the same records, whatever is recorded meanwhile.
    request["to"] = head.last.into();
    let (sender, channel) = Channel::<Bytes, io::Error>::new(1);
    let closed = ask.door.closed.clone();
    ask.door.tasks.spawn(async move {
        tokio::select! {
            () = closed.cancelled() => {}
            () = leave(pair, request, line, sender) => {}
        }
    });
    let mut response = Response::new(Body::new(channel));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(LINES));
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// Asks, and waits for the answer of this type; what happens to sessions meanwhile is told in between.
async fn next(pair: &mut Pair, request: &Value, kind: &str) -> Result<Vec<u8>, Problem> {
    let (wanted, closing) = (format!(r#"{{"type":"{kind}""#), br#"{"type":"closing""#);
    pair.send(request).await.map_err(|_| gone())?;
    loop {
        let Some(line) = pair.line().await.map_err(|_| gone())? else { return Err(gone()) };
        if let Some(error) = pair::error(&line) {
            return Err(error.into());
        }
        if line.starts_with(wanted.as_bytes()) {
            return Ok(line);
        }
        if line.starts_with(closing) {
            return Err(gone());
        }
    }
}

/// Sends page after page. What cannot go on breaks the connection, so that half of an archive is not taken for one.
async fn leave(mut pair: Pair, mut request: Value, first: Vec<u8>, mut sender: Sender<Bytes, io::Error>) {
    let (mut line, mut begun) = (first, false);
    while let Ok(page) = serde_json::from_slice::<Page<'_>>(&line) {
        let mut text = Vec::with_capacity(line.len());
        let head = (!begun).then_some(page.head);
        for one in head.iter().chain(&page.records) {
            text.extend_from_slice(one.get().as_bytes());
            text.push(b'\n');
        }
        let more = page.more;
        request["after"] = page.last.into();
        if sender.send_data(text.into()).await.is_err() || !more {
            return;
        }
        begun = true;
        match next(&mut pair, &request, "exported").await {
            Ok(page) => line = page,
            Err(_) => break,
        }
    }
    sender.abort(io::Error::other("the session cannot be read any further"));
}

/// Takes archives in.
pub fn import(ask: Ask) -> Answer {
    Box::pin(async move { try_import(ask).await.unwrap_or_else(Problem::response) })
}

async fn try_import(mut ask: Ask) -> Result<Response<Body>, Problem> {
    let kind = ask.parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(|kind| kind.trim().to_ascii_lowercase());
    if !matches!(kind.as_deref(), Some(LINES | "application/octet-stream")) {
        let why = format!("the body is an archive, as lines: send it as {LINES}");
        return Err(bad(why).with(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let pair = Pair::open(&ask.door.server, &ask.guest()?).map_err(|_| gone())?;
    let mut intake = Intake { pair, import: None, text: String::new(), begun: 0, done: Vec::new() };
    let taken = intake.all(std::mem::take(&mut ask.body)).await;
    if let Err(problem) = taken {
        intake.abort().await;
        return Err(match intake.done.len() {
            0 => problem,
            // What is in stays in: it is whole.
            n => {
                let message = format!("{} ({n} before it were taken in)", problem.error.message);
                Problem { error: CodedError { message, ..problem.error }, ..problem }
            }
        });
    }
    Ok(routes::json(json!({"type": "imports", "imports": intake.done}).to_string()))
}

/// Archives on their way in.
struct Intake {
    pair: Pair,
    /// The session under way; none when what follows is known already.
    import: Option<String>,
    /// Its records that are not passed on yet.
    text: String,
    /// How many heads were read.
    begun: u64,
    /// What became of those before.
    done: Vec<Value>,
}

impl Intake {
    async fn all(&mut self, mut body: Body) -> Result<(), Problem> {
        let mut lines = LineBuffer::new(MAX_DAEMON_LINE);
        loop {
            let frame = match tokio::time::timeout(PATIENCE, body.frame()).await {
                Ok(Some(frame)) => frame.map_err(|_| bad("the archive ended early"))?,
                Ok(None) => break,
                Err(_) => {
                    let why = format!("no more of the archive came for {} s", PATIENCE.as_secs());
                    return Err(bad(why).with(StatusCode::REQUEST_TIMEOUT));
                }
            };
            let Ok(bytes) = frame.into_data() else { continue };
            lines.push(&bytes);
            self.lines(&mut lines).await?;
        }
        if lines.has_partial() {
            lines.push(b"\n");
            self.lines(&mut lines).await?;
        }
        if self.begun == 0 {
            return Err(bad(format!("it is no archive: it does not begin with a line of type {ARCHIVE}")));
        }
        self.commit().await
    }

    async fn lines(&mut self, lines: &mut LineBuffer) -> Result<(), Problem> {
        while let Some(line) = lines.next_line() {
            let Line::Whole(line) = line else {
                let why = format!("a line of it is longer than {MAX_DAEMON_LINE} bytes");
                return Err(Problem::new(ErrorCode::FrameTooLarge, why));
            };
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let line =
                std::str::from_utf8(line).map_err(|_| bad("it is no archive: it is not UTF-8 text"))?;
            if is_head(line) {
                self.begin(line).await?;
            } else if self.begun == 0 {
                return Err(bad(format!(
                    "it is no archive: it does not begin with a line of type {ARCHIVE}"
                )));
            } else if self.import.is_some() {
                self.text.push_str(line);
                self.text.push('\n');
                while self.text.len() >= PIECE && self.import.is_some() {
                    self.pass_on().await?;
                }
            }
        }
        Ok(())
    }

    async fn begin(&mut self, line: &str) -> Result<(), Problem> {
        self.commit().await?;
        self.begun += 1;
        let head: Value =
            serde_json::from_str(line).map_err(|error| bad(format!("a head of it is no JSON: {error}")))?;
        if line.len() > MAX_CLIENT_LINE - 512 {
            return Err(Problem::new(ErrorCode::FrameTooLarge, "a head of it is too long"));
        }
        self.step(json!({"action": "begin", "head": head})).await
    }

    async fn pass_on(&mut self) -> Result<(), Problem> {
        let rest = self.text.split_off(codec::piece(&self.text, PIECE));
        let piece = std::mem::replace(&mut self.text, rest);
        self.step(json!({"action": "append", "import_id": self.import, "records": piece})).await
    }

    async fn commit(&mut self) -> Result<(), Problem> {
        while self.import.is_some() && !self.text.is_empty() {
            self.pass_on().await?;
        }
        self.text.clear();
        match &self.import {
            Some(id) => self.step(json!({"action": "commit", "import_id": id})).await,
            None => Ok(()),
        }
    }

    async fn abort(&mut self) {
        if let Some(id) = self.import.take() {
            // It finds out by itself when it does not hear of it.
            let _ = self.step(json!({"action": "abort", "import_id": id})).await;
        }
    }

    /// Does a step, and keeps what became of a session when that is told.
    async fn step(&mut self, mut request: Value) -> Result<(), Problem> {
        request["type"] = "import_session".into();
        let line = next(&mut self.pair, &request, "import").await?;
        let mut told: Value = serde_json::from_slice(&line).unwrap_or_default();
        self.import = told["import_id"].as_str().map(str::to_owned);
        if self.import.is_none() && !told["outcome"].is_null() {
            self.text.clear();
            if let Some(told) = told.as_object_mut() {
                told.retain(|name, _| name != "type" && name != "import_id");
            }
            self.done.push(told);
        }
        Ok(())
    }
}

/// Whether a line begins a session.
fn is_head(line: &str) -> bool {
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(rename = "type", borrow)]
        kind: Option<std::borrow::Cow<'a, str>>,
    }
    // Most lines are records, and long: they are not read twice.
    line.contains(ARCHIVE)
        && serde_json::from_str::<Kind<'_>>(line).is_ok_and(|head| head.kind.as_deref() == Some(ARCHIVE))
}
