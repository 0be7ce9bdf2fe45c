//! The codec for Claude Code, line by line, without a process.

mod recorded;

use super::*;
use crate::{
    agent::{Question, TurnResult, Verdict},
    prices::dollars,
};
use vibes_protocol::model::{Permission, PermissionOption};

pub fn opening() -> Opening {
    Opening {
        session: "436d7166-76d3-4251-9e81-a7415bae055f".into(),
        generation: 1,
        again: false,
        cwd: "/tmp".into(),
        options: Map::new(),
        version: "0".into(),
    }
}

/// A codec and what it sent, driven by lines.
pub struct Peer {
    pub claude: Claude,
    pub out: Outgoing,
}

impl Peer {
    pub fn new() -> Self {
        let mut peer = Self { claude: Claude::default(), out: Outgoing::after(0) };
        peer.claude.start(opening(), &mut peer.out);
        peer
    }

    /// One that takes prompts.
    pub fn ready() -> Self {
        let mut peer = Self::new();
        let events = peer.say(introduction(1));
        assert!(matches!(events.last(), Some(AgentEvent::Ready { how: "new" })), "{events:?}");
        peer
    }

    pub fn say(&mut self, line: Value) -> Vec<AgentEvent<'static>> {
        self.raw(line.to_string().as_bytes())
    }

    pub fn raw(&mut self, line: &[u8]) -> Vec<AgentEvent<'static>> {
        // Lent to the events; a test ends soon.
        let line: &'static [u8] = line.to_vec().leak();
        let (glanced, mut events) = (Claude::glance(line), Vec::new());
        self.claude.decode(line, &mut events, &mut self.out);
        if let Some(event) = glanced {
            assert_eq!(events, [event], "a glance sees what a careful look sees");
        }
        // The next daemon takes up what this one leaves.
        let stored = serde_json::to_string(&self.claude).expect("the codec's state can be stored");
        assert_eq!(serde_json::from_str::<Claude>(&stored).expect("and read back"), self.claude);
        events
    }

    pub fn prompt(&mut self, text: &str) {
        self.claude.prompt(&[json!({"type": "text", "text": text})], &mut self.out);
    }

    /// The last frame.
    pub fn sent(&self) -> Value {
        serde_json::from_slice(&self.out.frames.last().expect("something was sent").1)
            .expect("frames are JSON")
    }
}

/// The answer to `initialize`.
pub fn introduction(frame: u64) -> Value {
    json!({"type": "control_response", "response": {"subtype": "success", "request_id": frame.to_string(),
        "response": {"commands": [{"name": "compact", "description": "shorten", "argumentHint": "WORDS"}],
            "models": [{"value": "default", "displayName": "Default"}, {"value": "opus", "displayName": "Opus"}],
            "current_permission_mode": "default"}}})
}

/// The update in an event.
fn updates(events: &[AgentEvent<'_>]) -> Vec<Value> {
    let update = |event: &AgentEvent<'_>| match event {
        AgentEvent::Update { raw, .. } => serde_json::from_str(raw).ok(),
        _ => None,
    };
    events.iter().filter_map(update).collect()
}

/// What goes with an answer.
#[derive(Default)]
pub struct More<'a> {
    pub message: Option<&'a str>,
    pub updated_input: Option<&'a Value>,
    pub answers: Option<&'a Value>,
}

pub fn verdict_of<'a>(question: &Question, option: &str, with: impl FnOnce(&mut More<'a>)) -> Value {
    let mut more = More::default();
    with(&mut more);
    let permission = Permission {
        permission_id: "p".into(),
        hash: "h".into(),
        tool: question.tool.clone(),
        raw_input: question.raw_input.clone(),
        cwd: "/".into(),
        diff: None,
        more_diffs: Vec::new(),
        paths: Vec::new(),
        options: question.options.clone(),
        claim_title: None,
        deadline_ms: None,
        tool_call_id: None,
    };
    let option = question.options.iter().find(|it| it.option_id == option).expect("it is offered");
    let More { message, updated_input, answers } = more;
    let verdict =
        Verdict { permission: &permission, memo: &question.memo, option, message, updated_input, answers };
    if let Err(why) = Claude::may_answer(&verdict) {
        return Value::from(why);
    }
    let mut out = Outgoing::after(0);
    Claude::answer(&question.rpc_id, Some(&verdict), &mut out);
    let frame: Value = serde_json::from_slice(&out.frames[0].1).expect("frames are JSON");
    frame["response"]["response"].clone()
}

fn asked(request: Value) -> Question {
    let line = json!({"type": "control_request", "request_id": "r", "request": request});
    match Peer::ready().say(line).pop() {
        Some(AgentEvent::Permission(question)) => *question,
        other => panic!("no question: {other:?}"),
    }
}

#[test]
fn a_command_line_speaks_the_protocol_and_names_the_conversation() {
    let words = |claude: Claude| {
        claude.argv(&["claude".to_owned(), "--add-dir".to_owned(), "/x".to_owned()]).join(" ")
    };
    let fresh = words(Claude::default());
    assert!(fresh.starts_with("claude -p --input-format stream-json"), "{fresh}");
    assert!(fresh.ends_with("--permission-prompt-tool stdio --add-dir /x"), "{fresh}");
    assert!(words(Claude::taking_up(Some("c1".into()), false)).ends_with("--add-dir /x --resume c1"));
    assert!(words(Claude::taking_up(Some("c1".into()), true)).ends_with("--resume c1 --fork-session"));
    assert!(words(Claude::taking_up(Some(LAST.into()), false)).ends_with("--add-dir /x --continue"));
}

#[test]
fn it_is_introduced_set_and_ready() {
    let mut peer = Peer { claude: Claude::default(), out: Outgoing::after(0) };
    let options =
        Map::from_iter([("mode".to_owned(), json!("plan")), ("model".to_owned(), json!("default"))]);
    peer.claude.start(Opening { options, ..opening() }, &mut peer.out);
    assert_eq!(peer.sent()["request"]["subtype"], "initialize");
    assert_eq!(peer.claude.opening().map(|(frame, method, _)| (frame, method)), Some((1, "initialize")));
    let events = peer.say(introduction(1));
    let commands = json!([{"name": "compact", "description": "shorten", "input": {"hint": "WORDS"}}]);
    assert_eq!(updates(&events)[0]["availableCommands"], commands);
    assert_eq!(peer.sent()["request"], json!({"subtype": "set_permission_mode", "mode": "plan"}));
    assert!(!peer.claude.ready, "the mode comes first");
    let told = json!({"type": "system", "subtype": "status", "status": null, "permissionMode": "plan"});
    assert_eq!(updates(&peer.say(told))[0]["currentModeId"], "plan");
    let done = json!({"type": "control_response", "response": {"subtype": "success", "request_id": "2"}});
    assert_eq!(peer.say(done), [AgentEvent::Ready { how: "new" }]);
    assert_eq!(peer.claude.options["mode"]["value"], "plan");
    let refused = peer.claude.set_option("mode", &json!("reckless"), &mut peer.out);
    assert!(refused.is_err_and(|why| why.contains("it can be: default, acceptEdits")));
}

#[test]
fn a_mode_that_is_refused_keeps_it_from_starting() {
    let mut peer = Peer { claude: Claude::default(), out: Outgoing::after(0) };
    let options = Map::from_iter([("mode".to_owned(), json!("plan"))]);
    peer.claude.start(Opening { options, ..opening() }, &mut peer.out);
    peer.say(introduction(1));
    let no = json!({"type": "control_response", "response": {"subtype": "error", "request_id": "2", "error": "no"}});
    let events = peer.say(no);
    assert!(
        matches!(&events[..], [AgentEvent::StartFailed(why)] if why.contains("mode") && why.contains("no"))
    );
}

#[test]
fn prompts_are_words_or_blocks() {
    let mut peer = Peer::ready();
    peer.prompt("/compact now");
    assert_eq!(peer.sent()["message"]["content"], "/compact now");
    assert_eq!(peer.sent()["uuid"], "436d7166-76d3-4251-8001-000000000002");
    let blocks = [
        json!({"type": "text", "text": "look"}),
        json!({"type": "image", "data": "AAAA", "mimeType": "image/png"}),
        json!({"type": "resource_link", "uri": "file:///a b.rs", "name": "a"}),
        json!({"type": "resource", "resource": {"uri": "file:///c", "text": "words"}}),
        json!({"type": "audio", "data": "AAAA"}),
    ];
    peer.claude.prompt(&blocks, &mut peer.out);
    let sent = peer.sent()["message"]["content"].clone();
    assert_eq!(sent[1]["source"], json!({"type": "base64", "media_type": "image/png", "data": "AAAA"}));
    assert_eq!(sent[2]["text"], "@/a b.rs");
    assert!(sent[3]["text"].as_str().is_some_and(|text| text.contains("words")));
    assert!(
        sent[4]["text"].as_str().is_some_and(|text| text.contains("audio")),
        "said, not dropped in silence"
    );
}

#[test]
fn a_message_is_told_once_whether_it_comes_in_pieces_or_whole() {
    let mut peer = Peer::ready();
    let whole = |id: &str| json!({"type": "assistant", "message": {"id": id, "content": [{"type": "text", "text": "hello"}]}});
    assert_eq!(updates(&peer.say(whole("m1")))[0]["content"]["text"], "hello");
    peer.say(json!({"type": "stream_event", "event": {"type": "message_start", "message": {"id": "m2"}}}));
    let delta = |kind: &str, key: &str| {
        json!({"type": "stream_event", "parent_tool_use_id": "t9", "event": {"type": "content_block_delta",
            "delta": {"type": kind, key: "hel"}}})
    };
    let told = updates(&peer.say(delta("text_delta", "text")));
    assert_eq!(told[0]["sessionUpdate"], "agent_message_chunk");
    assert_eq!(told[0]["_meta"]["claudeCode"]["parentToolUseId"], "t9");
    assert_eq!(
        updates(&peer.say(delta("thinking_delta", "thinking")))[0]["sessionUpdate"],
        "agent_thought_chunk"
    );
    assert_eq!(peer.say(delta("input_json_delta", "partial_json")), []);
    assert_eq!(peer.say(whole("m2")), []);
    // A crowd of subagents does not make it forget, nor does it remember for ever.
    for n in 0..2 * STREAMS {
        let id = format!("s{n}");
        peer.say(json!({"type": "stream_event", "event": {"type": "message_start", "message": {"id": id}}}));
    }
    assert_eq!(peer.claude.streamed.len(), STREAMS);
    assert_eq!(updates(&peer.say(whole("m2"))).len(), 1);
}

#[test]
fn a_tool_call_is_upserted_and_its_end_is_known() {
    let mut peer = Peer::ready();
    peer.prompt("go");
    let begun = json!({"type": "stream_event", "event": {"type": "content_block_start",
        "content_block": {"type": "tool_use", "id": "t1", "name": "Edit", "input": {}}}});
    let told = updates(&peer.say(begun));
    assert_eq!((&told[0]["sessionUpdate"], &told[0]["status"]), (&json!("tool_call"), &json!("pending")));
    let input = json!({"file_path": "/a", "old_string": "x", "new_string": "y"});
    let call = json!({"type": "assistant", "message": {"id": "m", "content":
        [{"type": "tool_use", "id": "t1", "name": "Edit", "input": input}]}});
    let told = updates(&peer.say(call));
    assert_eq!(told[0]["sessionUpdate"], "tool_call_update");
    assert_eq!(told[0]["rawInput"], input);
    assert_eq!(told[0]["content"], json!([{"type": "diff", "path": "/a", "oldText": "x", "newText": "y"}]));
    assert_eq!(told[0]["locations"], json!([{"path": "/a"}]));
    let result = json!({"type": "user", "message": {"role": "user", "content":
        [{"type": "tool_result", "tool_use_id": "t1", "content": "edited"}]},
        "tool_use_result": {"filePath": "/a", "originalFile": "x", "structuredPatch": []}});
    let told = updates(&peer.say(result));
    assert_eq!(told[0]["status"], "completed");
    assert!(told[0]["content"].is_null(), "the change stays");
    assert!(told[0]["rawOutput"]["originalFile"].is_null());
    let begun = json!({"type": "stream_event", "event": {"type": "content_block_start",
        "content_block": {"type": "tool_use", "id": "t2", "name": "Bash", "input": {}}}});
    let events = peer.say(begun);
    let [AgentEvent::Update { hint: Hint::ToolCall { id, over: false, .. }, .. }] = &events[..] else {
        panic!("it is not known to be open: {events:?}");
    };
    assert_eq!(id, "t2");
    // A note about a task opens nothing: it may come after the end.
    let note =
        json!({"type": "system", "subtype": "task_notification", "tool_use_id": "t1", "status": "completed"});
    assert!(matches!(&peer.say(note)[..], [AgentEvent::Update { hint: Hint::None, .. }]));
    let events = peer.say(json!({"type": "result", "subtype": "error_during_execution", "is_error": true,
        "terminal_reason": "aborted_streaming"}));
    assert!(matches!(events.last(), Some(AgentEvent::TurnEnded(end)) if end.stop_reason == "cancelled"));
}

#[test]
fn a_todo_list_is_a_plan() {
    let todos = json!([{"content": "a", "status": "in_progress", "activeForm": "doing a"}]);
    let told = updates(&Peer::ready().say(json!({"type": "assistant", "message": {"id": "m", "content":
        [{"type": "tool_use", "id": "t1", "name": "TodoWrite", "input": {"todos": todos}}]}})));
    assert_eq!(told[0]["sessionUpdate"], "tool_call");
    assert_eq!(told[1]["sessionUpdate"], "plan");
    assert_eq!(told[1]["entries"], json!([{"content": "a", "priority": "medium", "status": "in_progress"}]));
}

#[test]
fn an_error_of_the_service_is_a_failure_although_it_is_called_a_success() {
    let end = |line: Value| -> TurnResult {
        let mut peer = Peer::ready();
        peer.prompt("go");
        match peer.say(line).pop() {
            Some(AgentEvent::TurnEnded(end)) => *end,
            other => panic!("no end: {other:?}"),
        }
    };
    let failed =
        end(json!({"type": "result", "subtype": "success", "is_error": true, "result": "API Error: 500"}));
    assert_eq!(failed.error.as_deref(), Some("API Error: 500"));
    let failed = end(json!({"type": "result", "subtype": "error_max_turns", "is_error": false}));
    assert_eq!(failed.error.as_deref(), Some("error max turns"));
    let login = end(json!({"type": "result", "subtype": "success", "is_error": true,
        "result": "Not logged in · Please run /login"}));
    assert!(login.error.is_some_and(|why| why.contains("ANTHROPIC_API_KEY")), "it says how to mend it");
    let well =
        end(json!({"type": "result", "subtype": "success", "is_error": false, "stop_reason": "end_turn",
        "model_usage_since_last_result": {"a": {"inputTokens": 3, "outputTokens": 4, "costUSD": 0.5},
            "b": {"inputTokens": 10, "outputTokens": 20, "costUSD": 0.25}}}));
    assert_eq!((well.error, well.stop_reason.as_str()), (None, "end_turn"));
    assert_eq!(well.usage.map(|usage| (usage.input_tokens, usage.output_tokens)), Some((13, 24)));
    assert_eq!(well.models["b"].cost, Some(dollars(250_000_000)));
}

#[test]
fn totals_of_old_versions_are_told_as_shares_and_begin_anew_with_each_process() {
    let mut peer = Peer::ready();
    let cost = |peer: &mut Peer, total: f64| {
        peer.prompt("go");
        let told = peer.say(json!({"type": "result", "subtype": "success", "total_cost_usd": total}));
        assert!(matches!(told.last(), Some(AgentEvent::TurnEnded(_))), "no end: {told:?}");
        let spent = told.iter().find_map(|event| match event {
            AgentEvent::Update { hint: Hint::Spent(cost), .. } => Some(cost.amount),
            _ => None,
        });
        spent.unwrap_or(0.0)
    };
    assert_eq!(cost(&mut peer, 0.5), 0.5);
    assert_eq!(cost(&mut peer, 0.75), 0.25);
    let mut out = Outgoing::after(0);
    peer.claude.start(opening(), &mut out);
    peer.say(introduction(1));
    assert_eq!(cost(&mut peer, 0.125), 0.125);
    assert_eq!(peer.claude.spent, 875_000_000);
}

#[test]
fn a_turn_of_its_own_ends_nothing_of_ours() {
    let mut peer = Peer::ready();
    let result = json!({"type": "result", "subtype": "success", "total_cost_usd": 0.1});
    assert!(!peer.say(result.clone()).iter().any(|event| matches!(event, AgentEvent::TurnEnded(_))));
    let used = json!({"type": "result", "subtype": "success",
        "model_usage_since_last_result": {"a": {"inputTokens": 3, "outputTokens": 4, "costUSD": 0.5}}});
    match &peer.say(used)[..] {
        [AgentEvent::Update { hint: Hint::Spent(cost), .. }, AgentEvent::Aside(aside)] => {
            assert_eq!((cost, aside.models["a"].usage.input_tokens), (&dollars(500_000_000), 3));
        }
        other => panic!("it counts to no turn: {other:?}"),
    }
    peer.prompt("go");
    let uuid = peer.sent()["uuid"].clone();
    let life = |state: &str| json!({"type": "command_lifecycle", "command_uuid": uuid, "state": state});
    assert_eq!(peer.say(life("queued")), []);
    assert!(!peer.say(result.clone()).iter().any(|event| matches!(event, AgentEvent::TurnEnded(_))));
    assert_eq!(peer.say(life("started")), []);
    assert!(peer.say(result).iter().any(|event| matches!(event, AgentEvent::TurnEnded(_))));
}

#[test]
fn a_conversation_that_is_gone_is_begun_anew_unless_a_person_named_it() {
    let gone = json!({"type": "result", "subtype": "error_during_execution", "is_error": true,
        "errors": ["No conversation found with session ID: c1"]});
    let mut peer = Peer::ready();
    peer.say(json!({"type": "system", "subtype": "init", "session_id": "c1"}));
    peer.claude.start(opening(), &mut Outgoing::after(0));
    assert!(peer.claude.argv(&["claude".into()]).ends_with(&["--resume".into(), "c1".into()]));
    assert_eq!(peer.say(gone.clone()), []);
    assert!(peer.claude.begins_anew());
    assert!(!peer.claude.argv(&["claude".into()]).contains(&"--resume".to_owned()));
    let mut peer = Peer::new();
    peer.claude = Claude::taking_up(Some("c1".into()), false);
    peer.claude.start(opening(), &mut Outgoing::after(0));
    let events = peer.say(gone);
    assert!(matches!(&events[..], [AgentEvent::StartFailed(why)] if why.contains("No conversation found")));
}

#[test]
fn a_question_offers_what_the_agent_suggests_and_nothing_is_given_unasked() {
    let rule = json!({"type": "addRules", "rules": [{"toolName": "Bash", "ruleContent": "touch:*"}],
        "behavior": "allow", "destination": "localSettings"});
    let input = json!({"command": "touch x"});
    let question = asked(json!({"subtype": "can_use_tool", "tool_name": "Bash", "input": input,
        "permission_suggestions": [rule, {"type": "fromTheFuture"}], "tool_use_id": "t1"}));
    let offered: Vec<(&str, &str, &str)> =
        question.options.iter().map(|it| (&*it.option_id, &*it.kind, &*it.name)).collect();
    assert_eq!(
        offered,
        [
            ("allow", "allow_once", "Allow"),
            ("always-0", "allow_always", "Always allow Bash(touch:*) in this directory, for good"),
            ("deny", "reject_once", "Deny"),
        ]
    );
    assert_eq!((&question.tool, question.title.as_deref()), (&"Bash".to_owned(), Some("touch x")));
    assert_eq!(verdict_of(&question, "allow", |_| ()), json!({"behavior": "allow", "updatedInput": input}));
    let always = verdict_of(&question, "always-0", |_| ());
    assert_eq!(always["updatedPermissions"], json!([rule]));
    let other = json!({"command": "touch y"});
    assert_eq!(verdict_of(&question, "allow", |it| it.updated_input = Some(&other))["updatedInput"], other);
    let denied = verdict_of(&question, "deny", |it| it.message = Some("use cargo"));
    assert_eq!(denied, json!({"behavior": "deny", "message": "use cargo"}));
    for refused in [
        verdict_of(&question, "allow", |it| it.updated_input = Some(&Value::Null)),
        verdict_of(&question, "deny", |it| it.updated_input = Some(&other)),
        verdict_of(&question, "allow", |it| it.answers = Some(&other)),
    ] {
        assert!(refused.is_string(), "{refused}");
    }
}

#[test]
fn questions_are_answered_by_choice_or_in_words() {
    let one =
        json!({"question": "Which?", "multiSelect": false, "options": [{"label": "Red"}, {"label": "Blue"}]});
    let ask = |questions: Value| {
        asked(
            json!({"subtype": "can_use_tool", "tool_name": "AskUserQuestion", "input": {"questions": questions}}),
        )
    };
    let question = ask(json!([one]));
    let ids: Vec<&str> = question.options.iter().map(|it| &*it.option_id).collect();
    assert_eq!(ids, ["answer-0", "answer-1", "deny"]);
    assert!(question.options[1].allows());
    assert_eq!(
        verdict_of(&question, "answer-1", |_| ())["updatedInput"]["answers"],
        json!({"Which?": "Blue"})
    );
    let green = json!({"Which?": "Green"});
    let answer = verdict_of(&question, "answer-1", |it| it.answers = Some(&green));
    assert_eq!(answer["updatedInput"]["answers"], green, "words win over the choice");
    let many = json!({"question": "Why?", "multiSelect": true, "options": [{"label": "a"}, {"label": "b"}]});
    let question = ask(json!([one, many]));
    assert_eq!(question.options[0].option_id, "allow");
    assert!(verdict_of(&question, "allow", |_| ()).as_str().is_some_and(|why| why.contains("\"Why?\"")));
    let both = json!({"Which?": "Red", "Why?": ["a", "b"]});
    let answer = verdict_of(&question, "allow", |it| it.answers = Some(&both));
    assert_eq!(answer["updatedInput"]["answers"], json!({"Which?": "Red", "Why?": "a, b"}));
}

#[test]
fn a_plan_is_shown_although_the_question_leaves_it_out() {
    let mut peer = Peer::ready();
    peer.say(json!({"type": "assistant", "message": {"id": "m", "content":
        [{"type": "tool_use", "id": "t1", "name": "ExitPlanMode", "input": {"plan": "# Do it"}}]}}));
    let asked = peer.say(json!({"type": "control_request", "request_id": "r", "request":
        {"subtype": "can_use_tool", "tool_name": "ExitPlanMode", "input": {}, "tool_use_id": "t1"}}));
    let [AgentEvent::Permission(question)] = &asked[..] else { panic!("no question: {asked:?}") };
    assert_eq!(question.raw_input["plan"], "# Do it");
    assert_eq!(verdict_of(question, "allow", |_| ()), json!({"behavior": "allow", "updatedInput": {}}));
    let edits = verdict_of(question, "always-0", |_| ());
    assert_eq!(edits["updatedPermissions"][0]["mode"], "acceptEdits");
    assert_eq!(verdict_of(question, "deny", |_| ())["behavior"], "deny");
}

#[test]
fn whoever_goes_leaves_no_question_open() {
    let mut out = Outgoing::after(0);
    Claude::answer(&RpcId::text("r\"1"), None, &mut out);
    let frame: Value = serde_json::from_slice(&out.frames[0].1).expect("frames are JSON");
    assert_eq!(frame["response"]["request_id"], "r\"1");
    assert_eq!(frame["response"]["response"]["interrupt"], true);
    let asked = Peer::ready().say(json!({"type": "control_request", "request_id": "r2", "request":
        {"subtype": "hook_callback"}}));
    let [AgentEvent::Refused { method, refusal }] = &asked[..] else { panic!("not refused: {asked:?}") };
    assert_eq!(method, "hook_callback");
    Claude::refuse(refusal, &mut out);
    let frame: Value = serde_json::from_slice(&out.frames[1].1).expect("frames are JSON");
    assert_eq!(
        (&frame["response"]["subtype"], &frame["response"]["request_id"]),
        (&json!("error"), &json!("r2"))
    );
    let taken = Peer::ready().say(json!({"type": "control_cancel_request", "request_id": "r3"}));
    assert_eq!(taken, [AgentEvent::Withdrawn { rpc_id: RpcId::text("r3") }]);
}

#[test]
fn a_retry_is_told_in_the_agents_own_figures() {
    let told = Peer::ready()
        .say(json!({"type": "system", "subtype": "api_retry", "attempt": 2, "max_retries": 10,
        "retry_delay_ms": 568.07, "error_status": 529, "error": "overloaded"}));
    let [AgentEvent::Waits(waits)] = &told[..] else { panic!("nothing told: {told:?}") };
    assert_eq!(
        (waits.attempt, waits.of, waits.retry_ms, waits.status),
        (Some(2), Some(10), Some(568), Some(529))
    );
    assert!(waits.why.contains("overloaded"));
}

#[test]
fn whatever_comes_is_kept_and_never_fatal() {
    let mut peer = Peer::ready();
    let deep = format!("{{\"type\":\"user\",\"x\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    for line in [
        &b"not json"[..],
        b"{}",
        b"[1]",
        b"\xff\xfe",
        br#"{"type":"from_the_future"}"#,
        br#"{"type":"system","subtype":"from_the_future"}"#,
        br#"{"type":"stream_event","event":{"type":"from_the_future"}}"#,
        br#"{"type":"control_response","response":{"request_id":"77"}}"#,
        br#"{"type":"result","total_cost_usd":1e999}"#,
        deep.as_bytes(),
    ] {
        let events = peer.raw(line);
        let shown = String::from_utf8_lossy(line);
        assert!(matches!(&events[..], [AgentEvent::Unparsed { refusal: None, .. }]), "{shown}: {events:?}");
    }
    for line in [&b""[..], b"  ", br#"{"type":"assistant"}"#, br#"{"type":"user","message":null}"#] {
        assert_eq!(peer.raw(line), [], "{}", String::from_utf8_lossy(line));
    }
    let big = "x".repeat(crate::agent::acp::MAX_QUESTION);
    let events = peer.say(json!({"type": "control_request", "request_id": "r", "request":
        {"subtype": "can_use_tool", "tool_name": "Write", "input": {"content": big}}}));
    assert!(matches!(&events[..], [AgentEvent::Unparsed { refusal: Some(_), .. }]));
}

#[test]
fn an_option_of_a_question_is_named_truly() {
    let named = |option: &PermissionOption| option.name.clone();
    let question = asked(
        json!({"subtype": "can_use_tool", "tool_name": "Write", "input": {"file_path": "/a", "content": "x"},
        "permission_suggestions": [{"type": "addDirectories", "directories": ["/a"], "destination": "session"},
            {"type": "setMode", "mode": "acceptEdits", "destination": "session"}]}),
    );
    let names: Vec<String> = question.options.iter().map(named).collect();
    assert_eq!(names[1], "Allow and count /a among the working directories in this conversation");
    assert_eq!(names[2], "Allow and switch to the mode acceptEdits in this conversation");
    assert_eq!(question.diff, Some(json!({"path": "/a", "old_text": null, "new_text": "x"})));
}
