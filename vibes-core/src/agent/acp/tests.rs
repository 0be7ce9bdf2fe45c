//! The ACP codec, line by line, without a process.

use super::*;

fn opening() -> Opening {
    Opening { cwd: "/tmp".into(), options: Map::new(), version: "0".into() }
}

/// A codec and what it sent, driven by lines.
struct Peer {
    acp: Acp,
    out: Outgoing,
}

impl Peer {
    fn new() -> Self {
        Self { acp: Acp::default(), out: Outgoing::after(0) }
    }

    fn say(&mut self, line: Value) -> Vec<AgentEvent> {
        self.raw(line.to_string().as_bytes())
    }

    fn raw(&mut self, line: &[u8]) -> Vec<AgentEvent> {
        let mut events = Vec::new();
        self.acp.decode(line, &mut events, &mut self.out);
        events
    }

    fn sent(&mut self) -> Vec<Value> {
        self.out.frames.drain(..).map(|(_, bytes)| serde_json::from_slice(&bytes).unwrap()).collect()
    }

    fn opened() -> Self {
        let mut peer = Self::new();
        peer.acp.start(opening(), &mut peer.out);
        peer.say(json!({"jsonrpc":"2.0","id":1,"result":{"protocolVersion":1,"agentCapabilities":{"loadSession":true}}}));
        let events = peer.say(json!({"jsonrpc":"2.0","id":2,"result":{"sessionId":"s","modes":{
            "currentModeId":"ask","availableModes":[{"id":"ask","name":"Ask"},{"id":"auto","name":"Auto"}]}}}));
        assert_eq!(events, [AgentEvent::Ready { how: "new" }]);
        peer.sent();
        peer
    }
}

#[test]
fn opens_a_conversation_with_its_frame_numbers_as_ids() {
    let mut peer = Peer::new();
    peer.acp.start(opening(), &mut peer.out);
    let hello = peer.sent();
    assert_eq!((hello[0]["method"].as_str(), hello[0]["id"].as_u64()), (Some("initialize"), Some(1)));
    assert_eq!(hello[0]["params"]["protocolVersion"], 1);
    // Capabilities may be missing.
    assert_eq!(peer.say(json!({"jsonrpc":"2.0","id":1,"result":{"protocolVersion":1}})), []);
    let new = peer.sent();
    assert_eq!((new[0]["method"].as_str(), new[0]["id"].as_u64()), (Some("session/new"), Some(2)));
    let events = peer.say(json!({"jsonrpc":"2.0","id":2,"result":{"sessionId":"s1"}}));
    assert_eq!(events, [AgentEvent::Ready { how: "new" }]);
}

#[test]
fn wanted_options_are_set_before_ready_and_a_wrong_one_fails_the_start() {
    for (mode, good) in [("auto", true), ("fly", false)] {
        let mut peer = Peer::new();
        let options = json!({"mode": mode}).as_object().cloned().unwrap();
        peer.acp.start(Opening { options, ..opening() }, &mut peer.out);
        peer.say(json!({"jsonrpc":"2.0","id":1,"result":{"protocolVersion":1}}));
        let events = peer.say(json!({"jsonrpc":"2.0","id":2,"result":{"sessionId":"s","modes":{
            "currentModeId":"ask","availableModes":[{"id":"ask","name":"Ask"},{"id":"auto","name":"Auto"}]}}}));
        if good {
            assert_eq!(events, []);
            assert_eq!(peer.sent().last().unwrap()["method"], "session/set_mode");
            let events = peer.say(json!({"jsonrpc":"2.0","id":3,"result":null}));
            assert_eq!(events, [AgentEvent::Ready { how: "new" }]);
            assert_eq!(peer.acp.options["mode"]["value"], "auto");
        } else {
            let [AgentEvent::StartFailed(why)] = &events[..] else { panic!("{events:?}") };
            assert!(why.contains("ask, auto"), "{why}");
        }
    }
}

#[test]
fn a_known_conversation_is_resumed_loaded_or_opened_anew() {
    let cases = [
        (json!({"sessionCapabilities":{"resume":{}},"loadSession":true}), "session/resume"),
        (json!({"loadSession":true}), "session/load"),
        (json!({}), "session/new"),
    ];
    for (capabilities, method) in cases {
        let mut peer = Peer::new();
        peer.acp.conversation = Some("old".into());
        peer.acp.start(opening(), &mut peer.out);
        peer.sent();
        peer.say(
            json!({"jsonrpc":"2.0","id":1,"result":{"protocolVersion":1,"agentCapabilities":capabilities}}),
        );
        assert_eq!(peer.sent()[0]["method"], method);
        let replay = peer
            .say(json!({"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"old","update":{
            "sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"history"}}}}));
        assert_eq!(replay.is_empty(), method != "session/new", "history is not journaled twice");
    }
}

#[test]
fn a_failed_resume_falls_back_to_load_and_then_to_a_new_conversation() {
    let mut peer = Peer::new();
    peer.acp.conversation = Some("old".into());
    peer.acp.start(opening(), &mut peer.out);
    let capabilities = json!({"sessionCapabilities":{"resume":{}},"loadSession":true});
    peer.say(json!({"jsonrpc":"2.0","id":1,"result":{"protocolVersion":1,"agentCapabilities":capabilities}}));
    for (id, next) in [(2, "session/load"), (3, "session/new")] {
        peer.sent();
        peer.say(json!({"jsonrpc":"2.0","id":id,"error":{"code":-32002,"message":"gone"}}));
        assert_eq!(peer.sent()[0]["method"], next);
    }
    let events = peer.say(json!({"jsonrpc":"2.0","id":4,"result":{"sessionId":"fresh"}}));
    assert_eq!(events, [AgentEvent::Ready { how: "new" }]);
    assert_eq!(peer.acp.conversation.as_deref(), Some("fresh"));
}

#[test]
fn a_turn_runs_from_prompt_to_result() {
    let mut peer = Peer::opened();
    peer.acp.prompt(&[json!({"type":"text","text":"hi"})], &mut peer.out);
    let prompt = peer.sent().remove(0);
    assert_eq!(prompt["params"]["prompt"][0]["text"], "hi");
    let update = json!({"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"yo"},"x":1});
    let events = peer
        .say(json!({"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s","update":update}}));
    assert_eq!(events, [AgentEvent::Update { raw: update.to_string(), hint: Hint::Text("yo".into()) }]);
    let events = peer.say(json!({"jsonrpc":"2.0","id":prompt["id"],"result":{"stopReason":"end_turn",
        "usage":{"inputTokens":3,"outputTokens":4},"_meta":{"vibes":{"exit_code":7}}}}));
    let [AgentEvent::TurnEnded(Ok(result))] = &events[..] else { panic!("{events:?}") };
    assert_eq!((result.stop_reason.as_str(), result.exit_code), ("end_turn", Some(7)));
    assert_eq!(result.usage.as_ref().map(|usage| (usage.input_tokens, usage.output_tokens)), Some((3, 4)));
    assert!(!peer.acp.prompting());
}

#[test]
fn questions_keep_their_id_whatever_its_type() {
    for id in [json!(0), json!("uuid"), json!(-5), json!(null)] {
        let mut peer = Peer::opened();
        let line = json!({"jsonrpc":"2.0","id":id,"method":"session/request_permission","params":{"sessionId":"s",
            "toolCall":{"toolCallId":"t","title":"claim","kind":"execute","rawInput":{"command":"ls"}},
            "options":[{"optionId":"a","kind":"allow_once","name":"Allow"}]}});
        let events = peer.say(line);
        // A null id cannot be told from a notification by the envelope; it is kept, not answered.
        if id.is_null() {
            assert!(matches!(events[..], [AgentEvent::Unparsed { .. }]));
            continue;
        }
        let [AgentEvent::Permission(question)] = &events[..] else { panic!("{events:?}") };
        assert_eq!((&question.tool[..], &question.raw_input["command"]), ("execute", &json!("ls")));
        peer.acp.answer(&question.rpc_id, Some("a"), &mut peer.out);
        let sent = peer.sent().remove(0);
        assert_eq!(sent["id"], id);
        assert_eq!(sent["result"]["outcome"], json!({"outcome":"selected","optionId":"a"}));
    }
}

#[test]
fn what_is_not_served_is_refused_and_what_is_broken_is_kept() {
    let mut peer = Peer::opened();
    let events = peer.say(json!({"jsonrpc":"2.0","id":9,"method":"fs/read_text_file","params":{}}));
    assert_eq!(events, [AgentEvent::Refused { method: "fs/read_text_file".into() }]);
    assert_eq!(peer.sent()[0]["error"]["code"], -32601);
    let broken: [&[u8]; 8] = [
        b"garbage",
        b"[]",
        b"{}",
        b"{\"id\":77,\"result\":1}",
        b"{\"method\":\"session/update\"}",
        b"{\"method\":\"session/update\",\"params\":{\"update\":3}}",
        b"\xff\xfe{}",
        b"{\"jsonrpc\":\"2.0\",\"id\":1,\"id\":2}",
    ];
    for line in broken {
        let events = peer.raw(line);
        assert!(
            matches!(events[..], [AgentEvent::Unparsed { .. }]),
            "{}: {events:?}",
            String::from_utf8_lossy(line)
        );
    }
    assert!(peer.raw("[".repeat(100_000).as_bytes()).len() == 1, "deep nesting");
    assert_eq!(peer.raw(b"   \r"), []);
}

#[test]
fn an_unknown_update_is_forwarded_verbatim() {
    let mut peer = Peer::opened();
    let update = json!({"sessionUpdate":"from_the_future","z":1,"a":[null]});
    let events = peer.say(json!({"jsonrpc":"2.0","method":"session/update","params":{"update":update}}));
    assert_eq!(events, [AgentEvent::Update { raw: update.to_string(), hint: Hint::None }]);
}

#[test]
fn state_survives_serialisation_with_its_open_calls() {
    let mut peer = Peer::opened();
    peer.acp.prompt(&[json!({"type":"text","text":"hi"})], &mut peer.out);
    let id = peer.sent()[0]["id"].clone();
    let saved = serde_json::to_string(&peer.acp).unwrap();
    peer.acp = serde_json::from_str(&saved).unwrap();
    let events = peer.say(json!({"jsonrpc":"2.0","id":id,"result":{"stopReason":"end_turn"}}));
    assert!(matches!(events[..], [AgentEvent::TurnEnded(Ok(_))]));
}
