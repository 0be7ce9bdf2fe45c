//! Every line that five real adapters were recorded to say goes through the codec: no update is lost or changed, no question
//! is missed, and nothing that is known is told as `unparsed`.
//!
//! Invariant: the recordings (`tests/fixtures/acp`, zstd, one JSON `{dir, msg}` per line) are as they were made; what the
//! client of the recording asked is asked here with our own frames, and the answers get their numbers.

use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, fs, path::Path};
use vibes_core::agent::{AgentEvent, Hint, Opening, Outgoing, acp::Acp};

/// What came of one agent's recordings.
#[derive(Debug, Default)]
struct Tally {
    lines: usize,
    /// Updates that were handed on, byte for byte.
    updates: usize,
    /// Updates of a history that is in the journal already.
    told_again: usize,
    questions: usize,
    refused: usize,
    withdrawn: usize,
    turns: usize,
    /// Tool calls that were told of and those told to be over.
    calls: BTreeMap<String, bool>,
    usages: usize,
    /// Turns that no model answered, whatever the agent calls that.
    unanswered: usize,
}

/// One process of a recording.
struct Process<'a> {
    acp: Acp,
    out: Outgoing,
    /// What the recording's client asked, by its id: the method.
    asked: BTreeMap<String, &'a str>,
    /// Our frames without an answer: method and number.
    ours: Vec<(String, u64)>,
    conversation: Option<String>,
}

fn recording(agent: &str) -> Vec<Value> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/fixtures/acp/{agent}.ndjson.zst"));
    let packed = fs::read(path).expect("the recording is there");
    let text = zstd::decode_all(&packed[..]).expect("it is packed with zstd");
    let text = String::from_utf8(text).expect("it is text");
    text.lines().map(|line| serde_json::from_str(line).expect("it is a line of JSON")).collect()
}

impl<'a> Process<'a> {
    fn new() -> Self {
        Self {
            acp: Acp::default(),
            out: Outgoing::after(0),
            asked: BTreeMap::new(),
            ours: Vec::new(),
            conversation: None,
        }
    }

    /// Notes what the codec asked by itself.
    fn collect(&mut self) {
        for (number, frame) in self.out.frames.drain(..) {
            let frame: Value = serde_json::from_slice(&frame).expect("our frames are JSON");
            if let (Some(method), true) = (frame["method"].as_str(), frame.get("id").is_some()) {
                self.ours.push((method.to_owned(), number));
            }
        }
    }

    /// The client of the recording said something; `later` is what it says after that.
    fn said(&mut self, message: &'a Value, later: &[Value]) {
        let (Some(method), params) = (message["method"].as_str(), &message["params"]) else { return };
        if let Some(id) = message.get("id") {
            self.asked.insert(id.to_string(), method);
        }
        match method {
            "initialize" => {
                // A conversation that is about to be taken up is one that the session knows.
                let here = later.iter().take_while(|line| line["dir"] != "meta");
                let mut asks = here.filter(|line| line["dir"] == "in").map(|line| &line["msg"]);
                let open = asks.find(|message| {
                    ["session/new", "session/load", "session/resume"]
                        .iter()
                        .any(|open| message["method"] == *open)
                });
                let known = open.and_then(|open| open["params"]["sessionId"].as_str());
                self.acp.conversation = known.map(str::to_owned);
                self.conversation = self.acp.conversation.clone();
                let opening = Opening {
                    session: "s".to_owned(),
                    generation: 1,
                    cwd: "/home/dev/a/work".to_owned(),
                    options: Map::new(),
                    again: known.is_some(),
                    version: "0".to_owned(),
                };
                self.acp.start(opening, &mut self.out);
            }
            "session/prompt" if params["sessionId"].as_str() == self.acp.conversation.as_deref() => {
                if !self.acp.ready && self.acp.conversation.is_some() {
                    self.acp.opened();
                }
                let blocks = params["prompt"].as_array().cloned().unwrap_or_default();
                self.acp.prompt(&blocks, &mut self.out);
            }
            _ => {}
        }
        self.collect();
    }

    /// The agent said something: the line as the codec shall see it, or nothing where it answers what vibes never asks.
    fn heard(&mut self, message: &Value) -> Option<Value> {
        let is_answer = message.get("method").is_none() && message.get("id").is_some();
        if !is_answer {
            // Other conversations in the same process are not ours.
            let theirs = message["params"]["sessionId"].as_str();
            let ours = self.acp.conversation.as_deref();
            return (theirs.is_none() || ours.is_none() || theirs == ours).then(|| message.clone());
        }
        let method = *self.asked.get(&message["id"].to_string())?;
        // Whichever way the recording took up its conversation, ours answers to the same.
        let opens = |method: &str| ["session/new", "session/load", "session/resume"].contains(&method);
        let same = |ours: &str| ours == method || opens(ours) && opens(method);
        let at = self.ours.iter().position(|(ours, _)| same(ours))?;
        let mut message = message.clone();
        message["id"] = json!(self.ours.remove(at).1);
        Some(message)
    }
}

fn replay(agent: &str) -> Tally {
    let lines = recording(agent);
    let mut tally = Tally::default();
    let mut process = Process::new();
    let mut scenario = "";
    for (at, line) in lines.iter().enumerate() {
        let message = &line["msg"];
        match line["dir"].as_str() {
            Some("meta") => {
                scenario = message["scenario"].as_str().expect("a process belongs to a scenario");
                process = Process::new();
                continue;
            }
            Some("in") => {
                process.said(message, &lines[at + 1..]);
                continue;
            }
            _ => tally.lines += 1,
        }
        let Some(line) = process.heard(message) else { continue };
        let bytes = line.to_string().into_bytes();
        let glanced = process.acp.glance(&bytes);
        let (mut acp, mut events) = (process.acp.clone(), Vec::new());
        acp.decode(&bytes, &mut events, &mut process.out);
        if let Some(glanced) = glanced {
            assert_eq!(events, [glanced], "{agent} {scenario}: a glance sees what a careful look sees");
        }
        let update = &line["params"]["update"];
        let is_update = line["method"] == "session/update";
        tally.told_again += usize::from(is_update && events.is_empty());
        for event in &events {
            match event {
                // The answer to a line of garbage is about no request.
                AgentEvent::Unparsed { .. } if line["error"]["code"] == -32700 => {}
                AgentEvent::Unparsed { why, .. } => panic!("{agent} {scenario}: {why}: {line}"),
                AgentEvent::Update { raw, hint } => {
                    assert_eq!(serde_json::from_str::<Value>(raw).ok().as_ref(), Some(update), "verbatim");
                    tally.updates += 1;
                    if let Hint::ToolCall { id, over, .. } = hint {
                        *tally.calls.entry(id.to_string()).or_insert(false) |= over;
                    }
                }
                AgentEvent::Permission(question) => {
                    let offered = line["params"]["options"].as_array().map_or(0, Vec::len);
                    assert_eq!(question.options.len(), offered, "{agent} {scenario}");
                    assert!(
                        question.title.is_some() || !question.raw_input.is_null(),
                        "{agent} {scenario}: {line}"
                    );
                    for kind in ["allow_once", "reject_once"] {
                        assert!(
                            question.options.iter().any(|option| option.kind == kind),
                            "{agent} {scenario}: {kind}"
                        );
                    }
                    tally.questions += 1;
                }
                AgentEvent::Refused { .. } => tally.refused += 1,
                AgentEvent::Withdrawn { .. } => tally.withdrawn += 1,
                AgentEvent::TurnEnded(result) => {
                    tally.turns += 1;
                    tally.usages += usize::from(result.usage.is_some());
                    tally.unanswered +=
                        usize::from(result.stop_reason == "end_turn" && result.error.is_some());
                }
                AgentEvent::Ready { .. } | AgentEvent::StartFailed(_) => {}
                other => panic!("{agent} {scenario}: {other:?}"),
            }
        }
        let extension = line["method"].as_str().is_some_and(|method| method.starts_with('_'));
        if line.get("method").is_some() && !is_update && !extension {
            assert_eq!(events.len(), 1, "{agent} {scenario}: a request or notification is seen: {line}");
        }
        drop(events);
        process.acp = acp;
        process.collect();
    }
    tally
}

#[test]
fn every_line_of_real_agents_is_understood() {
    for agent in ["claude-agent-acp", "codex-acp", "gemini", "zed-claude-agent-acp", "zed-codex-acp"] {
        let tally = replay(agent);
        println!("{agent}: {tally:?}");
        assert!(tally.lines > 250, "{agent}: {} lines", tally.lines);
        assert!(tally.updates > 150 && tally.told_again > 0, "{agent}: {tally:?}");
        assert!(tally.questions > 5 && tally.turns >= 20, "{agent}: {tally:?}");
        assert!(tally.calls.values().filter(|over| **over).count() >= 5, "{agent}: {tally:?}");
        // The errors of its model are the ends of turns that went well, says this one.
        assert_eq!(tally.unanswered > 0, agent == "codex-acp", "{agent}: {tally:?}");
        // This one never tells the tokens of a turn.
        assert_eq!(tally.usages > 0, agent != "zed-codex-acp", "{agent}: {tally:?}");
    }
}
