//! What Claude Code prints in its own protocol: any sequence of lines, with a client's acts between them, leaves a codec that
//! can be stored and taken up again, updates that are one line of JSON each, and only frames that are one JSON object each,
//! numbered without holes.
//!
//! Input: lines. A first byte below 8 is an act of ours and not part of the line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};
use vibes_core::agent::{AgentEvent, Codec, Dialect, Opening, Outgoing, Question, Verdict};

fn opening() -> Opening {
    let options = Map::from_iter([("mode".to_owned(), json!("plan"))]);
    let session = "436d7166-76d3-4251-9e81-a7415bae055f".to_owned();
    Opening { session, generation: 1, again: false, cwd: "/tmp".to_owned(), options, version: "0.1.0".to_owned() }
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
        Some(5) => Some(question.raw_input["questions"].as_array().into_iter().flatten().filter_map(|one| {
            Some((one["question"].as_str()?.to_owned(), json!("blue")))
        }).collect::<Map<_, _>>().into()),
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

fuzz_target!(|data: &[u8]| {
    let mut codec = Codec::new(Dialect::Claude, None, false);
    let mut out = Outgoing::after(0);
    codec.start(opening(), &mut out);
    for line in data.split(|byte| *byte == b'\n') {
        let (act, line) = match line {
            [act @ 0..8, rest @ ..] => (Some(*act), rest),
            line => (None, line),
        };
        match act {
            Some(0) => codec.start(opening(), &mut out),
            Some(1) if codec.is_ready() => codec.prompt(&[json!({"type": "text", "text": "hi"})], &mut out),
            Some(2) if codec.is_ready() => {
                let image = json!({"type": "image", "mimeType": "image/png", "data": "AAAA"});
                let file = json!({"type": "resource", "resource": {"uri": "file:///a", "text": "x"}});
                codec.prompt(&[json!({"type": "text", "text": "/cost"}), image, file], &mut out);
            }
            Some(3) => codec.cancel(&mut out),
            Some(4) if codec.is_ready() => drop(codec.set_option("model", &json!("opus"), &mut out)),
            _ => {}
        }
        let mut events = Vec::new();
        codec.decode(line, &mut events, &mut out);
        // One line is a few events, whatever it says: no line may be a bomb.
        assert!(events.len() <= 64 + line.len() / 8, "{} events of one line", events.len());
        for event in &events {
            match event {
                AgentEvent::Update { raw, .. } => {
                    serde_json::from_str::<Value>(raw).expect("an update is stored as JSON");
                    assert!(!raw.contains('\n'), "a stored fact is one line");
                }
                AgentEvent::Permission(question) => answer(&codec, question, act, &mut out),
                AgentEvent::Unparsed { why, refusal } => {
                    assert!(!why.is_empty());
                    refusal.iter().for_each(|refusal| codec.refuse(refusal, &mut out));
                }
                AgentEvent::Refused { refusal, .. } => codec.refuse(refusal, &mut out),
                _ => {}
            }
        }
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
        serde_json::from_slice::<Map<String, Value>>(line).expect("a frame is an object");
    }
});
