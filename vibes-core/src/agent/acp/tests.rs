//! The ACP codec, line by line, without a process.

use super::*;
use crate::agent::{Hint, rpc::METHOD_NOT_FOUND};
use vibes_protocol::model::Usage;

fn opening() -> Opening {
    Opening {
        session: "s".into(),
        generation: 1,
        again: false,
        cwd: "/tmp".into(),
        options: Map::new(),
        version: "0".into(),
    }
}

/// A question with this JSON as its id.
fn asking(id: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"session/request_permission","params":{{"sessionId":"s",
        "toolCall":{{"toolCallId":"t","title":"claim","kind":"execute","rawInput":{{"command":"ls"}}}},
        "options":[{{"optionId":"a","kind":"allow_once","name":"Allow"}}]}}}}"#
    )
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

    fn say(&mut self, line: Value) -> Vec<AgentEvent<'static>> {
        self.raw(line.to_string().as_bytes())
    }

    fn raw(&mut self, line: &[u8]) -> Vec<AgentEvent<'static>> {
        // Lent to the events; a test ends soon.
        let line: &'static [u8] = line.to_vec().leak();
        let (glanced, mut events) = (self.acp.glance(line), Vec::new());
        self.acp.decode(line, &mut events, &mut self.out);
        if let Some(event) = glanced {
            assert_eq!(events, [event], "a glance sees what a careful look sees");
        }
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
fn an_agent_that_wants_credentials_says_how_to_bring_them() {
    let mut peer = Peer::new();
    peer.acp.start(opening(), &mut peer.out);
    let ways = json!([{"id": "key", "name": "Use OPENAI_API_KEY"}, {"id": "login", "name": "Log in"}]);
    peer.say(json!({"jsonrpc":"2.0","id":1,"result":{"protocolVersion":1,"authMethods":ways}}));
    let events =
        peer.say(json!({"jsonrpc":"2.0","id":2,"error":{"code":-32000,"message":"Authentication required"}}));
    let [AgentEvent::StartFailed(why)] = &events[..] else { panic!("{events:?}") };
    assert!(why.ends_with("it wants credentials: Use OPENAI_API_KEY; Log in"), "{why}");
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
    assert_eq!(
        events,
        [AgentEvent::Update { raw: update.to_string().into(), hint: Hint::Text("yo".into()) }]
    );
    let events = peer.say(json!({"jsonrpc":"2.0","id":prompt["id"],"result":{"stopReason":"end_turn",
        "usage":{"inputTokens":3,"outputTokens":4},"_meta":{"vibes":{"exit_code":7}}}}));
    let [AgentEvent::TurnEnded(result)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((result.stop_reason.as_str(), result.exit_code), ("end_turn", Some(7)));
    assert_eq!(result.usage.as_ref().map(|usage| (usage.input_tokens, usage.output_tokens)), Some((3, 4)));
    assert!(!peer.acp.prompting());
}

#[test]
fn fault_49_ids_come_back_byte_for_byte_and_what_is_no_id_is_refused() {
    for id in ["0", "\"uuid\"", "-5", "null", "9223372036854775807", "18446744073709551615", r#""\u0061\/b""#]
    {
        let mut peer = Peer::opened();
        let events = peer.raw(asking(id).as_bytes());
        let [AgentEvent::Permission(question)] = &events[..] else { panic!("{events:?}") };
        assert_eq!((&question.tool[..], &question.raw_input["command"]), ("execute", &json!("ls")));
        peer.acp.answer(&question.rpc_id, Some("a"), &mut peer.out);
        let (_, sent) = peer.out.frames.pop().unwrap();
        let sent = String::from_utf8(sent).unwrap();
        assert!(sent.starts_with(&format!(r#"{{"jsonrpc":"2.0","id":{id},"#)), "{sent}");
        let sent: Value = serde_json::from_str(&sent).unwrap();
        assert_eq!(sent["result"]["outcome"], json!({"outcome":"selected","optionId":"a"}));
    }
    let long = format!("\"{}\"", "x".repeat(rpc::MAX_ID));
    for (id, echoed) in [
        ("1.5", "1.5"),
        ("1e999", "1e999"),
        ("18446744073709551616", "18446744073709551616"),
        ("true", "null"),
        ("{}", "null"),
        ("[1]", "null"),
        (&long, "null"),
    ] {
        let events = Peer::opened().raw(asking(id).as_bytes());
        let [AgentEvent::Unparsed { refusal: Some(refusal), .. }] = &events[..] else { panic!("{events:?}") };
        assert_eq!(refusal.code, rpc::INVALID_REQUEST, "{id}");
        assert_eq!(serde_json::to_string(&refusal.id).unwrap(), echoed);
    }
}

#[test]
fn fault_48_a_batch_is_refused_once_and_none_of_it_is_done() {
    let call = asking("1");
    for batch in
        ["[]".to_owned(), format!("[{call},{call}]"), format!("[[{call}]]"), "[1,{},null]".to_owned()]
    {
        let events = Peer::opened().raw(batch.as_bytes());
        let [AgentEvent::Unparsed { refusal: Some(refusal), .. }] = &events[..] else { panic!("{events:?}") };
        assert_eq!((refusal.code, &refusal.id), (rpc::INVALID_REQUEST, &RpcId::null()), "{batch}");
    }
    let events = Peer::opened().raw(b"[info] starting");
    assert!(matches!(&events[..], [AgentEvent::Unparsed { refusal: None, .. }]), "noise is nobody's request");
}

#[test]
fn fault_45_46_what_a_client_could_not_read_is_kept_aside() {
    let deep = format!("{}{}", "[".repeat(rpc::MAX_DEPTH), "]".repeat(rpc::MAX_DEPTH));
    let unreadable = [r#""\ud800""#, "1e999", "-1e999", r#"{"\udc00":1}"#, &deep];
    for value in unreadable {
        let update = format!(r#"{{"sessionUpdate":"x","v":{value}}}"#);
        let line = format!(r#"{{"jsonrpc":"2.0","method":"session/update","params":{{"update":{update}}}}}"#);
        let events = Peer::opened().raw(line.as_bytes());
        assert!(matches!(&events[..], [AgentEvent::Unparsed { refusal: None, .. }]), "{line}: {events:?}");
        let line = asking("7").replace("\"ls\"", value);
        let events = Peer::opened().raw(line.as_bytes());
        let [AgentEvent::Unparsed { refusal: Some(refusal), .. }] = &events[..] else { panic!("{events:?}") };
        assert_eq!(refusal.code, rpc::INVALID_PARAMS);
    }
    // What comes through can be read by a client, wrapped as deep as the daemon ever wraps it.
    let depth = rpc::MAX_DEPTH - 3;
    let deepest = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for value in [deepest.as_str(), r#""\ud83d\ude00\u2028\u0000""#, "1e308", r#"{"a":1,"a":2}"#] {
        let update = format!(r#"{{"sessionUpdate":"x","v":{value}}}"#);
        let line = format!(r#"{{"jsonrpc":"2.0","method":"session/update","params":{{"update":{update}}}}}"#);
        let events = Peer::opened().raw(line.as_bytes());
        let [AgentEvent::Update { raw, .. }] = &events[..] else { panic!("{line}: {events:?}") };
        assert_eq!(*raw, update, "verbatim");
        let wrapped = format!("{}{raw}{}", "[".repeat(20), "]".repeat(20));
        serde_json::from_str::<Value>(&wrapped).unwrap();
    }
}

#[test]
fn fault_57_what_is_about_another_conversation_is_kept_apart() {
    let update = |conversation: Value| {
        json!({"jsonrpc":"2.0","method":"session/update","params":{"sessionId":conversation,"update":{
            "sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"x"}}}})
    };
    let mut peer = Peer::opened();
    assert!(matches!(&peer.say(update(json!("s")))[..], [AgentEvent::Update { .. }]));
    assert!(matches!(&peer.say(update(json!("other")))[..], [AgentEvent::Unparsed { refusal: None, .. }]));
    let events = peer.raw(asking("1").replace("\"s\"", "\"other\"").as_bytes());
    assert!(matches!(&events[..], [AgentEvent::Unparsed { refusal: Some(_), .. }]), "{events:?}");
}

#[test]
fn what_enters_the_state_is_bounded() {
    let mut peer = Peer::opened();
    let many: Vec<Value> =
        (0..20_000).map(|n| json!({"id": n.to_string(), "currentValue": "x", "options": []})).collect();
    let update = json!({"sessionUpdate":"config_option_update","configOptions":many});
    let events = peer.say(json!({"jsonrpc":"2.0","method":"session/update","params":{"update":update}}));
    assert!(matches!(&events[..], [AgentEvent::Update { hint: Hint::None, .. }]), "recorded all the same");
    assert_eq!(peer.acp.options.len(), 1);
    for n in 0..100 {
        let option = json!({"id": format!("o{n}"), "currentValue": "x", "options": []});
        let update = json!({"sessionUpdate":"config_option_update","configOptions":[option]});
        peer.say(json!({"jsonrpc":"2.0","method":"session/update","params":{"update":update}}));
    }
    assert_eq!(
        peer.acp.options.len(),
        2,
        "a list of options replaces the earlier one; the mode is another matter"
    );
    let line = asking("1").replace("\"ls\"", &format!("\"{}\"", "x".repeat(MAX_QUESTION)));
    let events = peer.raw(line.as_bytes());
    assert!(matches!(&events[..], [AgentEvent::Unparsed { refusal: Some(_), .. }]));
    let mut peer = Peer::new();
    peer.acp.start(opening(), &mut peer.out);
    peer.say(json!({"jsonrpc":"2.0","id":1,"result":{"protocolVersion":1}}));
    let events =
        peer.say(json!({"jsonrpc":"2.0","id":2,"result":{"sessionId":"s".repeat(MAX_CONVERSATION + 1)}}));
    assert!(matches!(&events[..], [AgentEvent::StartFailed(_)]), "{events:?}");
    let mut peer = Peer::opened();
    peer.acp.prompt(&[json!({"type":"text","text":"hi"})], &mut peer.out);
    let id = peer.sent()[0]["id"].clone();
    let events =
        peer.say(json!({"jsonrpc":"2.0","id":id,"error":{"code":1,"message":"m".repeat(1_000_000)}}));
    let [AgentEvent::TurnEnded(end)] = &events[..] else { panic!("{}", events.len()) };
    let why = end.error.as_deref().unwrap_or_default();
    assert!(why.len() < 3_000);
}

#[test]
fn fault_46_47_what_is_not_served_is_refused_and_what_is_broken_is_kept() {
    let mut peer = Peer::opened();
    let events = peer.say(json!({"jsonrpc":"2.0","id":9,"method":"fs/read_text_file","params":{}}));
    let [AgentEvent::Refused { method, refusal }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((method.as_str(), refusal.code), ("fs/read_text_file", METHOD_NOT_FOUND));
    let broken: [&[u8]; 7] = [
        b"garbage",
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
fn fault_47_an_unknown_update_is_forwarded_verbatim() {
    let mut peer = Peer::opened();
    let update = json!({"sessionUpdate":"from_the_future","z":1,"a":[null]});
    let events = peer.say(json!({"jsonrpc":"2.0","method":"session/update","params":{"update":update}}));
    assert_eq!(events, [AgentEvent::Update { raw: update.to_string().into(), hint: Hint::None }]);
}

#[test]
fn state_survives_serialisation_with_its_open_calls() {
    let mut peer = Peer::opened();
    peer.acp.prompt(&[json!({"type":"text","text":"hi"})], &mut peer.out);
    let id = peer.sent()[0]["id"].clone();
    let saved = serde_json::to_string(&peer.acp).unwrap();
    peer.acp = serde_json::from_str(&saved).unwrap();
    let events = peer.say(json!({"jsonrpc":"2.0","id":id,"result":{"stopReason":"end_turn"}}));
    assert!(matches!(&events[..], [AgentEvent::TurnEnded(end)] if end.error.is_none()));
}

/// `Peer::raw` compares the two.
#[test]
fn a_glance_is_as_careful_as_a_careful_look() {
    let mut peer = Peer::opened();
    let deep = format!("{}{}", "[".repeat(150), "]".repeat(150));
    let mut told = 0;
    for update in [
        r#"{"sessionUpdate":"agent_message_chunk","content":{"type":"text","text":"a \"b\" \u00e9"}}"#,
        r#"{"content":{"text":"before its kind"},"sessionUpdate":"agent_message_chunk"}"#,
        r#"{"sessionUpdate":"agent_message_chunk","content":{"text":7}}"#,
        r#"{"sessionUpdate":"agent_message_chunk","content":"words"}"#,
        r#"{"sessionUpdate":"agent_message_chunk","content":null}"#,
        r#"{"sessionUpdate":"tool_call","content":[{"type":"diff","text":"no words"}]}"#,
        r#"{"sessionUpdate":"tool_call","content":[],"sessionUpdate":"plan"}"#,
        r#"{"sessionUpdate":"agent_message_chunk","content":{"text":"lone \ud800"}}"#,
        r#"{"sessionUpdate":"agent_message_chunk","n":1e999}"#,
        &format!(r#"{{"sessionUpdate":"agent_message_chunk","deep":{deep}}}"#),
        r#"{"sessionUpdate":null}"#,
        r#"{"sessionUpdate":"current_mode_update","currentModeId":"ask"}"#,
        "[1]",
        "null",
    ] {
        for around in [
            r#"{"method":"session/update","params":{"sessionId":"s","update":@}}"#,
            r#"{"method":"session/update","params":{"update":@,"sessionId":"another"}}"#,
            r#"{"id":null,"method":"session/update","params":{"update":@}}"#,
            r#"{"id":3,"method":"session/update","params":{"update":@}}"#,
            r#"  {"method":"session\/update","params":{"update":@}} "#,
        ] {
            let events = peer.raw(around.replace('@', update).as_bytes());
            told += events.iter().filter(|event| matches!(event, AgentEvent::Update { .. })).count();
        }
    }
    assert!(told > 10, "{told}");
}

#[test]
fn an_option_that_is_no_longer_offered_is_dropped_by_the_agent_that_goes_on() {
    let mut peer = Peer::new();
    let options = json!({"effort": "high", "mode": "fly", "model": "old"}).as_object().cloned().unwrap();
    peer.acp.start(Opening { options, again: true, ..opening() }, &mut peer.out);
    peer.say(json!({"jsonrpc":"2.0","id":1,"result":{"protocolVersion":1}}));
    peer.sent();
    let choice = |id: &str, value: &str, values: &[&str]| {
        let values: Vec<Value> = values.iter().map(|value| json!({"value": value, "name": value})).collect();
        json!({"id": id, "name": id, "currentValue": value, "options": values})
    };
    let events = peer.say(json!({"jsonrpc":"2.0","id":2,"result":{"sessionId":"s","configOptions":[
        choice("effort", "low", &["low", "high"]), choice("mode", "ask", &["ask"]), choice("model", "new", &["new"])]}}));
    // The model comes first, because the others may depend on it.
    let dropped: Vec<&str> = events
        .iter()
        .map(|event| match event {
            AgentEvent::OptionDropped { option_id, why, .. } => {
                assert!(why.contains("it can be: "), "{why}");
                option_id.as_str()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(dropped, ["model", "mode"]);
    assert_eq!(peer.sent().last().unwrap()["params"]["value"], "high");
    // What the agent itself refuses is no end either.
    let events = peer.say(json!({"jsonrpc":"2.0","id":3,"error":{"code":-32602,"message":"not today"}}));
    let [AgentEvent::OptionDropped { why, .. }, AgentEvent::Ready { how: "new" }] = &events[..] else {
        panic!("{events:?}")
    };
    assert!(why.contains("not today"), "{why}");
}

#[test]
fn extensions_are_passed_over_and_tokens_are_found_where_gemini_puts_them() {
    let mut peer = Peer::opened();
    let status = json!({"jsonrpc":"2.0","method":"_auth/status_update","params":{"authenticated":true}});
    assert_eq!(peer.say(status), []);
    peer.acp.prompt(&[json!({"type":"text","text":"hi"})], &mut peer.out);
    let id = peer.sent()[0]["id"].clone();
    let counts = json!({"input_tokens": 7, "output_tokens": 2});
    let events = peer.say(json!({"jsonrpc":"2.0","id":id,"result":{"stopReason":"end_turn",
        "_meta":{"quota":{"token_count":counts,"model_usage":[]}}}}));
    let [AgentEvent::TurnEnded(result)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(result.usage, Some(Usage { input_tokens: 7, output_tokens: 2, ..Usage::default() }));
}
