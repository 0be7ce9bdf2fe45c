//! What an agent prints: any sequence of lines, with a client's acts between them, leaves a codec that can be stored and
//! taken up again, and only frames that are one JSON object each, numbered without holes.
//!
//! Input: lines. A first byte below 8 is an act of ours and not part of the line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value, json};
use vibes_core::agent::{AgentEvent, Opening, Outgoing, acp::Acp};

fn opening() -> Opening {
    let options = Map::from_iter([("mode".to_owned(), json!("ask"))]);
    let session = "436d7166-76d3-4251-9e81-a7415bae055f".to_owned();
    Opening { session, generation: 1, again: false, cwd: "/tmp".to_owned(), options, version: "0.1.0".to_owned() }
}

fuzz_target!(|data: &[u8]| {
    let mut codec = Acp::default();
    let mut out = Outgoing::after(0);
    let mut events = Vec::new();
    codec.start(opening(), &mut out);
    for line in data.split(|byte| *byte == b'\n') {
        let (act, line) = match line {
            [act @ 0..8, rest @ ..] => (Some(*act), rest),
            line => (None, line),
        };
        match act {
            Some(0) => codec.start(opening(), &mut out),
            Some(1 | 2) if codec.ready => codec.prompt(&[json!({"type": "text", "text": "hi"})], &mut out),
            Some(3) => codec.cancel(&mut out),
            Some(4 | 5) if codec.ready => drop(codec.set_option("mode", &json!("code"), &mut out)),
            _ => {}
        }
        let before = events.len();
        codec.decode(line, &mut events, &mut out);
        // One line is a few events, whatever it says: no line may be a bomb.
        assert!(events.len() - before <= 64 + line.len() / 8, "{} events of one line", events.len() - before);
        for event in &events[before..] {
            match event {
                AgentEvent::Update { raw, .. } => {
                    let value: Value = serde_json::from_str(raw).expect("an update is stored as JSON");
                    drop(value);
                    assert!(!raw.contains('\n'), "a stored fact is one line");
                }
                AgentEvent::Permission(question) => {
                    serde_json::from_str::<Value>(&question.raw).expect("a question is stored as JSON");
                    match act {
                        Some(7) => codec.answer(&question.rpc_id, None, &mut out),
                        _ => {
                            let option = question.options.first().map(|option| option.option_id.as_str());
                            codec.answer(&question.rpc_id, option, &mut out);
                        }
                    }
                }
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
        let restored: Acp = serde_json::from_str(&stored).expect("and read back");
        assert_eq!(restored, codec);
    }
    for (n, (number, frame)) in out.frames.iter().enumerate() {
        assert_eq!(*number, n as u64 + 1, "frames are numbered without holes");
        let line = frame.strip_suffix(b"\n").expect("a frame ends its line");
        assert!(!line.contains(&b'\n'), "a frame is one line");
        let value: Value = serde_json::from_slice(line).expect("a frame is JSON");
        assert_eq!(value["jsonrpc"], "2.0");
    }
});
