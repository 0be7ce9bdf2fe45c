//! Any sequence of an agent's lines, with a client's acts between them, leaves a codec that can be stored and taken up again,
//! updates that are one line of JSON each, and only frames that are one JSON object each, numbered without holes.
//!
//! Input: lines. A first byte below 8 is an act of ours and not part of the line.

use serde_json::{Map, Value, json};
use vibes_core::agent::{AgentEvent, Codec, Dialect, Opening, Outgoing, Question, Verdict};

/// What differs from dialect to dialect.
pub struct Case {
    /// Whose lines these are.
    pub dialect: Dialect,
    /// The mode that it begins in.
    pub mode: &'static str,
    /// An option that is set, and to what.
    pub option: (&'static str, &'static str),
    /// Asserts that one of our frames is right.
    pub frame: fn(&Map<String, Value>),
}

impl Case {
    fn opening(&self) -> Opening {
        let options = Map::from_iter([("mode".to_owned(), json!(self.mode))]);
        let session = "436d7166-76d3-4251-9e81-a7415bae055f".to_owned();
        Opening {
            session,
            generation: 1,
            again: false,
            cwd: "/tmp".to_owned(),
            options,
            version: "0.1.0".to_owned(),
        }
    }

    /// Does what a client does.
    fn act(&self, act: Option<u8>, codec: &mut Codec, out: &mut Outgoing) {
        match act {
            Some(0) => codec.start(self.opening(), out),
            Some(1) if codec.is_ready() => codec.prompt(&[json!({"type": "text", "text": "hi"})], out),
            Some(2) if codec.is_ready() => {
                let image = json!({"type": "image", "mimeType": "image/png", "data": "AAAA"});
                let file = json!({"type": "resource", "resource": {"uri": "file:///a", "text": "x"}});
                codec.prompt(&[json!({"type": "text", "text": "/cost"}), image, file], out);
            }
            Some(3) => codec.cancel(out),
            Some(4 | 5) if codec.is_ready() => {
                drop(codec.set_option(self.option.0, &json!(self.option.1), out));
            }
            _ => {}
        }
    }

    /// Reads all lines.
    pub fn run(&self, data: &[u8]) {
        let mut codec = Codec::new(self.dialect, None, false);
        let mut out = Outgoing::after(0);
        codec.start(self.opening(), &mut out);
        for line in data.split(|byte| *byte == b'\n') {
            let (act, line) = match line {
                [act @ 0..8, rest @ ..] => (Some(*act), rest),
                line => (None, line),
            };
            self.act(act, &mut codec, &mut out);
            let mut events = Vec::new();
            codec.decode(line, &mut events, &mut out);
            // One line is a few events, whatever it says: no line may be a bomb.
            assert!(events.len() <= 64 + line.len() / 8, "{} events of one line", events.len());
            events.iter().for_each(|event| heard(&codec, event, act, &mut out));
            // The next daemon takes up what this one leaves.
            let stored = serde_json::to_string(&codec).expect("the codec's state can be stored");
            let restored: Codec = serde_json::from_str(&stored).expect("and read back");
            assert_eq!(restored, codec);
            assert!(stored.len() < 4 << 20, "what enters the state is bounded: {} bytes", stored.len());
        }
        for (n, (number, frame)) in out.frames.iter().enumerate() {
            assert_eq!(*number, n as u64 + 1, "frames are numbered without holes");
            let line = frame.strip_suffix(b"\n").expect("a frame ends its line");
            assert!(!line.contains(&b'\n'), "a frame is one line");
            (self.frame)(&serde_json::from_slice(line).expect("a frame is an object"));
        }
    }
}

/// Does what a session does with an event.
fn heard(codec: &Codec, event: &AgentEvent, act: Option<u8>, out: &mut Outgoing) {
    match event {
        AgentEvent::Update { raw, .. } => {
            serde_json::from_str::<Value>(raw).expect("an update is stored as JSON");
            assert!(!raw.contains('\n'), "a stored fact is one line");
        }
        AgentEvent::Permission(question) => answer(codec, question, act, out),
        AgentEvent::Unparsed { why, refusal } => {
            assert!(!why.is_empty());
            refusal.iter().for_each(|refusal| codec.refuse(refusal, out));
        }
        AgentEvent::Refused { refusal, .. } => codec.refuse(refusal, out),
        _ => {}
    }
}

/// Answers a question as a person would: with one of its options, its questions answered, its input changed.
fn answer(codec: &Codec, question: &Question, act: Option<u8>, out: &mut Outgoing) {
    serde_json::from_str::<Value>(&question.raw).expect("a question is stored as JSON");
    let permission = serde_json::from_value(json!({
        "permission_id": "p-1", "hash": "h", "tool": question.tool, "raw_input": question.raw_input, "cwd": "/tmp",
        "options": question.options,
    }))
    .expect("a question can be shown");
    let option = match act {
        Some(7) => None,
        Some(6) => question.options.last(),
        _ => question.options.first(),
    };
    let Some(option) = option else { return codec.answer(&question.rpc_id, None, out) };
    let answers = match act {
        Some(5) => Some(
            question.raw_input["questions"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|one| Some((one["question"].as_str()?.to_owned(), json!("blue"))))
                .collect::<Map<_, _>>()
                .into(),
        ),
        _ => None,
    };
    let input = (act == Some(4)).then(|| json!({"command": "true"}));
    let verdict = Verdict {
        permission: &permission,
        memo: &question.memo,
        option,
        message: Some("because"),
        updated_input: input.as_ref(),
        answers: answers.as_ref(),
    };
    if codec.may_answer(&verdict).is_ok() {
        codec.answer(&question.rpc_id, Some(&verdict), out);
    }
}
