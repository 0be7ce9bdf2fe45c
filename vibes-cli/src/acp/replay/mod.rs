//! `vibes agent replay`: a recorded session as an agent. For demos, reports of defects, and tests of what shows sessions.
//!
//! Invariant: deterministic: the n-th prompt of a conversation gets what the n-th turn of the recording did, in its order,
//! whatever the prompt says; a question is asked again and waits for an answer, and what follows is as recorded. Time
//! changes nothing but pauses.

mod player;
mod recording;

use super::rpc::{self, ACP_VERSION, Incoming, Refusal, code};
use super::stdio::{Input, Lines, Out};
use crate::args::ReplayArgs;
use crate::error::{Failure, Kind, Outcome};
use crate::{sanitize, ui};
use player::{Cx, Player};
use recording::Recording;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

/// A recording and the conversations that it is played in.
struct Replay {
    recording: Recording,
    speed: Option<f64>,
    players: BTreeMap<String, Player>,
    /// The number of our last request.
    last_request: u64,
    out: Vec<Value>,
}

/// Plays a recording until whoever listens closes our standard input.
pub(crate) fn run(args: &ReplayArgs) -> Outcome {
    let text = std::fs::read_to_string(&args.file)
        .map_err(|error| Failure::io(format_args!("cannot read {}", args.file.display()), &error))?;
    let recording = Recording::read(&text).map_err(|why| {
        Failure::new(Kind::Failed, format!("{} is no recording: {why}", args.file.display()))
            .hint("`vibes logs ID --json > FILE` makes one")
    })?;
    let (events, heard) = mpsc::channel::<Input>();
    let lines = Lines::read(events);
    Replay { recording, speed: args.speed, players: BTreeMap::new(), last_request: 0, out: Vec::new() }
        .serve(&lines, &heard)
}

impl Replay {
    fn serve(mut self, lines: &Lines, heard: &Receiver<Input>) -> Outcome {
        let mut out = Out::default();
        loop {
            let next = self.play(Instant::now());
            for message in self.out.drain(..) {
                out.line(&message)?;
            }
            out.flush()?;
            let input = match next {
                None => heard.recv().ok(),
                Some(at) => match heard.recv_timeout(at.saturating_duration_since(Instant::now())) {
                    Ok(input) => Some(input),
                    Err(mpsc::RecvTimeoutError::Timeout) => continue,
                    Err(mpsc::RecvTimeoutError::Disconnected) => None,
                },
            };
            let Some(Input::Line(line)) = input else { return Ok(()) };
            lines.taken();
            self.line(&line);
        }
    }

    /// Lets every conversation go on; returns when the next one has to.
    fn play(&mut self, now: Instant) -> Option<Instant> {
        let Self { recording, speed, players, last_request, out } = self;
        let mut cx = Cx { recording, speed: *speed, last_request, out };
        players.values_mut().filter_map(|player| player.play(now, &mut cx)).min()
    }

    fn line(&mut self, line: &[u8]) {
        match rpc::read(line) {
            Ok(Incoming::Request { id, method, params }) => match self.request(&id, &method, &params) {
                Ok(Some(result)) => self.out.push(rpc::answer(&id, Ok(result))),
                Ok(None) => {}
                Err(refusal) => self.out.push(rpc::answer(&id, Err(refusal))),
            },
            Ok(Incoming::Notification { method, params }) if method == "session/cancel" => {
                let player = params["sessionId"].as_str().and_then(|id| self.players.get_mut(id));
                if let Some(player) = player {
                    self.out.extend(player.cancel());
                }
            }
            Ok(Incoming::Notification { .. }) => {}
            Ok(Incoming::Response { id, outcome }) => {
                let cancelled = outcome.is_ok_and(|result| result["outcome"]["outcome"] == "cancelled");
                for player in self.players.values_mut() {
                    player.answered(&id);
                    if cancelled && player.asked(&id) {
                        self.out.extend(player.cancel());
                    }
                }
            }
            Err((id, refusal)) => self.out.push(rpc::answer(&id, Err(refusal))),
        }
    }

    /// The result of a request; nothing when it comes later.
    fn request(&mut self, rpc: &Value, method: &str, params: &Value) -> Result<Option<Value>, Refusal> {
        match method {
            "initialize" => Ok(Some(json!({
                "protocolVersion": ACP_VERSION,
                "agentInfo": {"name": "vibes-replay", "title": "Replay", "version": env!("CARGO_PKG_VERSION")},
                // A prompt is not looked at, so it may be anything.
                "agentCapabilities": {
                    "loadSession": false,
                    "promptCapabilities": {"image": true, "audio": true, "embeddedContext": true},
                },
                "authMethods": [],
            }))),
            "session/new" => {
                // The first conversation has the name of the recorded one; each is played from the start.
                let id = match self.players.len() {
                    0 => self.recording.session.to_string(),
                    n => format!("{}.{}", self.recording.session, n + 1),
                };
                self.players.insert(id.clone(), Player::new(id.clone()));
                Ok(Some(json!({"sessionId": id})))
            }
            "session/prompt" => {
                let id = params["sessionId"].as_str().unwrap_or_default();
                let player = self.players.get_mut(id);
                let player = player
                    .ok_or_else(|| Refusal::new(code::NOT_FOUND, format!("no session is called {id:?}")))?;
                let turn = player.begin(rpc.clone(), &self.recording)?;
                if params["prompt"].as_array() != Some(&turn.prompt) {
                    let words =
                        "another prompt than the recorded one; the recorded turn is played all the same";
                    ui::say(&format!("vibes agent replay: {}", sanitize::line(words)));
                }
                Ok(None)
            }
            other => Err(Refusal::new(code::METHOD_NOT_FOUND, format!("Method not found: {other}"))),
        }
    }
}
