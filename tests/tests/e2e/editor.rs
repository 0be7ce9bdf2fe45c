//! `vibes acp` in front of an editor that is not ours. Skipped where Node.js or the editor's library is not installed.

use serde_json::{Value, json};
use std::fs;
use vibes_tests::{Editor, Real, TestEnv, Wire, agents, agents::Agent, eventually, oracle};

/// An editor of the fake agent, or a skipped test.
macro_rules! editor {
    ($env:expr) => {
        editor!($env, &["acp", "--agent", "fake"])
    };
    ($env:expr, $args:expr) => {{
        let Some(editor) = Editor::start($env, $args) else { return };
        editor
    }};
}

fn kinds(updates: &[&Value]) -> Vec<String> {
    updates.iter().map(|update| update["sessionUpdate"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn an_editor_hears_what_the_bridge_can_do() {
    let env = TestEnv::new();
    let Some(mut editor) = Editor::spawn(&env, &["acp", "--agent", "fake"]) else { return };
    let hello = json!({"protocolVersion": 1, "clientInfo": {"name": "nov", "version": "1"}});
    let answer = editor.request("initialize", hello);
    assert_eq!(answer["protocolVersion"], 1);
    let can = &answer["agentCapabilities"];
    assert_eq!(
        (&can["loadSession"], &can["sessionCapabilities"]),
        (&json!(true), &json!({"list": {}, "resume": {}}))
    );
    assert_eq!(answer["agentInfo"]["name"], "vibes");
    assert_eq!(editor.refused("session/fly", json!({})).0, -32601);
    assert_eq!(editor.refused("session/new", json!({"cwd": "here", "mcpServers": []})).0, -32602);
    let nobody = json!({"sessionId": "nobody", "prompt": []});
    assert_eq!(editor.refused("session/prompt", nobody).0, -32002);
    assert_eq!(editor.leave(), 0);

    let Some(mut editor) = Editor::spawn(&env, &["acp", "--agent", "nobody"]) else { return };
    let (code, words) = editor.refused("initialize", json!({"protocolVersion": 1}));
    assert_eq!(code, -32602);
    assert!(words.contains("nobody") && words.contains("shell"), "{words}");
}

/// Needs no editor: what a script asks in one breath is answered before the end.
#[test]
fn a_script_that_only_writes_is_answered() {
    let env = TestEnv::new();
    let lines = [
        json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": 1}}),
        json!({"jsonrpc": "2.0", "id": 2, "method": "session/new", "params": {"cwd": env.work(), "mcpServers": []}}),
        json!("no message"),
    ];
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let ran = env.vibes_reading(&["acp", "--agent", "shell"], &input).ok();
    let answers: Vec<Value> = ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let answer = |id: Value| answers.iter().find(|answer| answer["id"] == id).unwrap();
    assert_eq!(answer(json!(1))["result"]["agentInfo"]["title"], "vibes: Shell");
    assert_eq!(answer(Value::Null)["error"]["code"], -32600);
    let session = answer(json!(2))["result"]["sessionId"].as_str().unwrap();
    let shown = env.vibes(&["show", session, "--json"]).ok().json();
    assert_eq!((&shown["state"], &shown["cwd"]), (&json!("idle"), &json!(env.work())));
    assert_eq!(env.vibes(&["acp", "--session", "nobody", "--agent", "x"]).code, 2);
}

#[test]
fn a_prompt_streams_and_ends_with_its_own_turn() {
    let env = TestEnv::started();
    let mut editor = editor!(&env);
    let opened = editor.request("session/new", json!({"cwd": env.work(), "mcpServers": []}));
    assert_eq!(opened["modes"]["currentModeId"], "ask");
    assert_eq!(opened["configOptions"][0]["id"], "mode");
    let session = opened["sessionId"].as_str().unwrap().to_owned();
    let tag =
        editor.prompt(&session, "think hm\ntool t1 look\nsay found it\ntool_done t1\nplan a;b\nusage 3 4");
    assert_eq!(editor.stopped(tag), "end_turn");
    let told = kinds(&editor.updates(&session));
    assert_eq!(told, ["agent_thought_chunk", "tool_call", "agent_message_chunk", "tool_call_update", "plan"]);
    assert_eq!(editor.prompts(&session), "", "an editor shows its own prompts itself");
    // The session is one like any other, whose member is this editor.
    let mut ada = env.client("ada");
    let members = ada.ok("who", json!({"session_id": session}));
    let seat = members["members"][0]["identity"].as_str().unwrap().to_owned();
    assert!(seat.ends_with(":nov"), "{seat}");
    // The turn of somebody else is heard, and is not the end of ours.
    let done = env.path("done");
    ada.subscribe(&session, 0, "writer");
    ada.prompt(&session, &format!("say theirs \nsleep_until {done}\nsay over "));
    editor.said(&session, "theirs");
    let tag = editor.prompt(&session, "say ours");
    ada.wait_for("the editor's prompt waits", |message| message["fact"]["queued"] == true);
    fs::write(&done, "").unwrap();
    assert_eq!(editor.stopped(tag), "end_turn");
    assert_eq!(editor.text(&session), "found ittheirs over ours");
    assert!(editor.prompts(&session).starts_with("say theirs"), "{}", editor.prompts(&session));
    assert_eq!(editor.leave(), 0);
    // The daemon hears of a program's end a moment after it has ended.
    let members =
        |ada: &mut Wire| ada.ok("who", json!({"session_id": session}))["members"].as_array().unwrap().len();
    eventually("its seat is free", || (members(&mut ada) == 1).then_some(()));
    oracle::check(&env);
}

#[test]
fn what_a_prompt_holds_reaches_the_agent_as_it_is() {
    let env = TestEnv::new();
    let command = format!("{} --log {}", env.binary("fake-agent").display(), env.path("fake.log"));
    let words: Vec<&str> = command.split_whitespace().collect();
    fs::create_dir_all(env.path("cfg/vibes")).unwrap();
    let config =
        format!("[agents.seeing]\ncommand = {}\naccepts = [\"image\", \"resource\"]\n", json!(words));
    fs::write(env.path("cfg/vibes/config.toml"), config).unwrap();
    let agents = env.vibes(&["agents", "--json"]).ok().json();
    let gemini = agents.as_array().unwrap().iter().find(|agent| agent["id"] == "gemini").unwrap();
    assert_eq!(gemini["accepts"], json!(["audio", "image", "resource"]), "presets are known");
    for (agent, sees) in [("fake", false), ("seeing", true)] {
        let Some(mut editor) = Editor::spawn(&env, &["acp", "--agent", agent]) else { return };
        let answer = editor.request("initialize", json!({"protocolVersion": 1}));
        let told = json!({"image": sees, "audio": false, "embeddedContext": sees});
        assert_eq!(answer["agentCapabilities"]["promptCapabilities"], told);
        let session = editor.create(&env);
        let prompt = json!([
            {"type": "text", "text": "say seen"},
            {"type": "image", "mimeType": "image/png", "data": "iVBORw0KGgo="},
            {"type": "resource_link", "uri": "file:///a%20b.rs", "name": "a b.rs"},
            {"type": "resource", "resource": {"uri": "file:///c.rs", "text": "fn c() {}", "mimeType": "text/x-rust"}},
        ]);
        editor.request("session/prompt", json!({"sessionId": session, "prompt": prompt}));
        let heard = env.heard();
        let lines = heard.iter().filter_map(|entry| serde_json::from_str::<Value>(&entry.line).ok());
        let prompts: Vec<Value> = lines.map(|mut line| line["params"]["prompt"].take()).collect();
        assert!(prompts.contains(&prompt), "{prompts:?}");
        // And it is what another editor is told of it.
        let mut second = editor!(&env);
        second.load(&env, &session);
        let told = second.updates(&session);
        let blocks: Vec<&Value> = told.iter().take(4).map(|update| &update["content"]).collect();
        assert_eq!(json!(blocks), prompt);
    }
}

#[test]
fn turns_that_fail_are_errors_with_words() {
    let env = TestEnv::started();
    let mut editor = editor!(&env);
    let session = editor.create(&env);
    let tag = editor.prompt(&session, "stop max_tokens");
    assert_eq!(editor.stopped(tag), "max_tokens");
    let failing =
        json!({"sessionId": session, "prompt": [{"type": "text", "text": "error -32001 no credit"}]});
    let (code, words) = editor.refused("session/prompt", failing);
    assert_eq!(code, -32603);
    assert!(words.contains("no credit"), "{words}");
    let large = json!({"sessionId": session, "prompt": [{"type": "text", "text": "x".repeat(2_000_000)}]});
    let (code, words) = editor.refused("session/prompt", large);
    assert_eq!(code, -32602);
    assert!(words.contains("as links"), "{words}");
    env.vibes(&["kill", &session]).ok();
    let (code, words) = editor
        .refused("session/prompt", json!({"sessionId": session, "prompt": [{"type": "text", "text": "x"}]}));
    assert_eq!(code, -32600);
    assert!(words.contains("resume it first"), "{words}");
}

#[test]
fn an_editor_approves_and_denies() {
    let env = TestEnv::started();
    let mut editor = editor!(&env);
    let session = editor.create(&env);
    for (option, outcome) in [("allow", "allowed"), ("reject", "denied")] {
        let tag = editor.prompt(&session, "ask t1 rm -r build");
        let asked = editor.asked();
        let call = &asked["params"]["toolCall"];
        assert_eq!((&call["toolCallId"], &call["kind"]), (&json!("t1"), &json!("execute")));
        assert_eq!(call["rawInput"], json!({"command": "rm -r build"}));
        let options = asked["params"]["options"].as_array().unwrap();
        let ids: Vec<&str> = options.iter().map(|option| option["optionId"].as_str().unwrap()).collect();
        assert_eq!(ids, ["allow", "always", "reject"]);
        editor.decide(&asked, option);
        assert_eq!(editor.stopped(tag), "end_turn");
        assert!(editor.text(&session).ends_with(&format!("answer t1 {option}")));
        let mut ada = env.client("ada");
        ada.subscribe(&session, 0, "viewer");
        ada.wait_for(outcome, |message| message["fact"]["outcome"] == outcome);
    }
    oracle::check(&env);
}

#[test]
fn the_shell_asks_through_an_editor_as_well() {
    let env = TestEnv::started();
    let mut editor = editor!(&env, &["acp", "--agent", "shell"]);
    let session = editor.create(&env);
    let tag = editor.prompt(&session, "echo from the shell");
    let asked = editor.asked();
    assert_eq!(asked["params"]["toolCall"]["rawInput"]["command"], "echo from the shell");
    editor.decide(&asked, "allow-session");
    assert_eq!(editor.stopped(tag), "end_turn");
    assert_eq!(editor.text(&session), "from the shell\n");
    // What was answered has changed the mode, which the editor hears.
    editor.wait_for("the mode is told", |event| event["update"]["currentModeId"] == "auto");
    let tag = editor.prompt(&session, "exit 3");
    let answer = editor.answer(tag);
    assert_eq!(answer["result"]["_meta"]["vibes"]["exit_code"], 3);
}

#[test]
fn a_question_that_others_answer_is_taken_back() {
    let env = TestEnv::started();
    let (mut one, mut two) = (editor!(&env), editor!(&env));
    let session = one.create(&env);
    two.load(&env, &session);
    let tag = one.prompt(&session, "ask t1 ls");
    let (first, second) = (one.asked(), two.asked());
    env.vibes(&["approve", &session]).ok();
    one.withdrawn(&first);
    two.withdrawn(&second);
    assert_eq!(one.stopped(tag), "end_turn");
    // And the other way round: the second editor is faster than the first.
    let tag = one.prompt(&session, "ask t2 ls");
    let (first, second) = (one.asked(), two.asked());
    two.decide(&second, "reject");
    one.withdrawn(&first);
    assert_eq!(one.stopped(tag), "end_turn");
    for editor in [&mut one, &mut two] {
        editor.said(&session, "answer t1 allowanswer t2 reject");
    }
    assert_eq!(two.prompts(&session), "ask t1 lsask t2 ls", "another's prompts are told");
    oracle::check(&env);
}

#[test]
fn what_a_rule_answers_is_not_put_to_an_editor() {
    let env = TestEnv::started();
    let rules = "version = 1\n[[rule]]\nname = \"listing\"\ndecision = \"allow\"\ncommand = \"ls\"\n";
    fs::write(env.path("rules.toml"), rules).unwrap();
    env.vibes(&["rules", "apply", &env.path("rules.toml")]).ok();
    let mut editor = editor!(&env);
    let session = editor.create(&env);
    let tag = editor.prompt(&session, "ask t1 ls\nask t2 pwd\nask t3 ls");
    let asked = editor.asked();
    assert_eq!(asked["params"]["toolCall"]["toolCallId"], "t2", "the first is answered by a rule");
    editor.decide(&asked, "allow");
    assert_eq!(editor.stopped(tag), "end_turn");
    assert_eq!(editor.text(&session), "answer t1 allowanswer t2 allowanswer t3 allow");
}

#[test]
fn a_cancel_ends_the_turn_and_the_question() {
    let env = TestEnv::started();
    let mut editor = editor!(&env);
    let session = editor.create(&env);
    let tag = editor.prompt(&session, "say begun\nsleep_until /nowhere");
    editor.said(&session, "begun");
    editor.cancel(&session);
    assert_eq!(editor.stopped(tag), "cancelled");
    let tag = editor.prompt(&session, "ask t1 ls");
    let asked = editor.asked();
    editor.cancel(&session);
    editor.withdrawn(&asked);
    assert_eq!(editor.stopped(tag), "cancelled");
    // An error of a cancelled turn is a cancelled turn.
    let tag =
        editor.prompt(&session, "say again\nsleep_until /nowhere\nignore_cancel_once\nerror -32000 broken");
    editor.said(&session, "again");
    editor.cancel(&session);
    assert_eq!(editor.stopped(tag), "cancelled");
    oracle::check(&env);
}

#[test]
fn a_cancelled_prompt_behind_anothers_turn_leaves_that_turn_alone() {
    let env = TestEnv::started();
    let mut editor = editor!(&env);
    let session = editor.create(&env);
    let mut ada = env.client("ada");
    ada.subscribe(&session, 0, "writer");
    let done = env.path("done");
    ada.prompt(&session, &format!("say theirs\nsleep_until {done}\nsay whole"));
    editor.said(&session, "theirs");
    let tag = editor.prompt(&session, "say never\nsleep_until /nowhere");
    ada.wait_for("the editor's prompt waits", |message| message["fact"]["queued"] == true);
    editor.cancel(&session);
    assert_eq!(editor.stopped(tag), "cancelled");
    fs::write(&done, "").unwrap();
    assert_eq!(ada.fact(&session, "turn_ended")["fact"]["outcome"], "finished");
    let tag = editor.prompt(&session, "say next");
    assert_eq!(editor.stopped(tag), "end_turn");
    ada.said(&session, "theirswholenext");
    oracle::check(&env);
}

#[test]
fn a_second_editor_loads_the_history_and_a_third_resumes_without_it() {
    let env = TestEnv::started();
    let mut first = editor!(&env);
    let session = first.create(&env);
    for text in ["say one\ntool t1 look\ntool_done t1", "say two"] {
        let tag = first.prompt(&session, text);
        first.stopped(tag);
    }
    let mut second = editor!(&env);
    let listed = second.request("session/list", json!({"cwd": env.work()}));
    assert_eq!(listed["sessions"][0]["sessionId"], *session);
    assert_eq!(second.request("session/list", json!({"cwd": "/"}))["sessions"], json!([]));
    let answer = second.load(&env, &session);
    assert_eq!(answer["modes"]["currentModeId"], "ask");
    // The history is told before the answer comes.
    let told = kinds(&second.updates(&session));
    let expected = ["user_message_chunk", "agent_message_chunk", "tool_call", "tool_call_update"];
    assert_eq!(told[..4], expected);
    assert_eq!(told[4..], ["user_message_chunk", "agent_message_chunk"]);
    assert_eq!(second.text(&session), "onetwo");
    // Both hear what comes, and a history that is loaded again is whole again.
    let tag = second.prompt(&session, "say three");
    assert_eq!(second.stopped(tag), "end_turn");
    first.said(&session, "three");
    first.load(&env, &session);
    assert_eq!(first.text(&session), "onetwothreeonetwothree");
    let mut third = editor!(&env);
    third.request("session/resume", json!({"sessionId": session, "cwd": env.work()}));
    assert!(third.updates(&session).is_empty(), "{:?}", third.updates(&session));
    let tag = third.prompt(&session, "say four");
    assert_eq!((third.stopped(tag).as_str(), third.text(&session).as_str()), ("end_turn", "four"));
    let gone = json!({"sessionId": "3fa9c1d2-0000-4000-8000-000000000000", "cwd": "/", "mcpServers": []});
    assert_eq!(third.refused("session/load", gone).0, -32002);
    // One that has ended can still be read.
    env.vibes(&["kill", &session]).ok();
    let mut fourth = editor!(&env);
    fourth.load(&env, &session);
    assert_eq!(fourth.text(&session), "onetwothreefour");
    assert_eq!(fourth.request("session/list", json!({}))["sessions"], json!([]));
}

#[test]
fn one_session_can_be_served_alone() {
    let env = TestEnv::started();
    let named = env.run_fake("say before");
    let other = env.run_fake("say other");
    env.vibes(&["rename", &named, "api"]).ok();
    env.vibes(&["wait", &named]).ok();
    let mut editor = editor!(&env, &["acp", "--session", "api"]);
    let session = editor.create(&env);
    assert_eq!(session, named);
    editor.said(&session, "before");
    let tag = editor.prompt(&session, "say after");
    assert_eq!(editor.stopped(tag), "end_turn");
    let listed = editor.request("session/list", json!({}));
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 1);
    assert_eq!(listed["sessions"][0]["title"], "api");
    let other = json!({"sessionId": other, "cwd": "/", "mcpServers": []});
    assert_eq!(editor.refused("session/load", other).0, -32002);
}

#[test]
fn modes_are_set_by_and_told_to_every_editor() {
    let env = TestEnv::started();
    let (mut one, mut two) = (editor!(&env), editor!(&env));
    let session = one.create(&env);
    two.load(&env, &session);
    let auto = |event: &Value| event["update"]["configOptions"][0]["currentValue"] == "auto";
    one.request("session/set_mode", json!({"sessionId": session, "modeId": "auto"}));
    two.wait_for("the other editor hears of it", auto);
    let whole = json!({"sessionId": session, "configId": "mode", "value": "ask"});
    let set = two.request("session/set_config_option", whole);
    assert_eq!(set["configOptions"][0]["currentValue"], "ask");
    one.wait_for("and back", |event| event["update"]["configOptions"][0]["currentValue"] == "ask");
    let (code, words) = one.refused("session/set_mode", json!({"sessionId": session, "modeId": "warp"}));
    assert_eq!(code, -32602);
    assert!(words.contains("auto"), "{words}");
}

#[test]
fn a_session_goes_on_when_its_editor_is_killed() {
    let env = TestEnv::started();
    let mut editor = editor!(&env);
    let session = editor.create(&env);
    let done = env.path("done");
    editor.prompt(&session, &format!("say begun \nsleep_until {done}\nsay over"));
    editor.said(&session, "begun");
    editor.kill9();
    eventually("nobody is left in the session", || {
        let left = env.vibes(&["who", &session, "--json"]).ok().json();
        left.as_array().unwrap().iter().all(|member| member["connected"] == false).then_some(())
    });
    fs::write(&done, "").unwrap();
    let mut ada = env.client("ada");
    ada.subscribe(&session, 0, "viewer");
    assert_eq!(ada.fact(&session, "turn_ended")["fact"]["outcome"], "finished");
    let mut again = editor!(&env);
    again.load(&env, &session);
    assert_eq!(again.text(&session), "begun over");
    oracle::check(&env);
}

#[test]
fn a_daemon_killed_under_a_living_editor_costs_it_nothing() {
    let env = TestEnv::started();
    let (mut editor, mut witness) = (editor!(&env), editor!(&env));
    let session = editor.create(&env);
    witness.load(&env, &session);
    let tag = editor.prompt(&session, "chunks 3000 24 1000 c\nask t1 ls\nsay over");
    for kill in 0..3 {
        editor.said(&session, &format!("c#{} ", 300 + kill * 700));
        env.daemon().kill9();
    }
    let asked = editor.asked();
    env.daemon().kill9();
    editor.decide(&asked, "allow");
    assert_eq!(editor.stopped(tag), "end_turn");
    witness.said(&session, "over");
    let expected: String = (0..3000).map(|n| format!("{:x<24}", format!("c#{n} "))).collect();
    for heard in [&editor, &witness] {
        let text = heard.text(&session);
        assert!(text == format!("{expected}answer t1 allowover"), "lost, doubled or out of order: {text}");
    }
    // A prompt that is given while no daemon runs reaches the next one.
    env.daemon().kill9();
    let tag = editor.prompt(&session, "say back");
    assert_eq!(editor.stopped(tag), "end_turn");
    witness.said(&session, "overback");
    oracle::check(&env);
}

/// A streamed turn over a killed daemon, an approval with the agent's own option, and the history in a second editor.
fn serve(agent: &'static Agent) {
    let Some(real) = Real::started(agent) else { return };
    let mut editor = editor!(&real.env, &["acp", "--agent", agent.preset]);
    let session = editor.create(&real.env);
    let tag = editor.prompt(&session, "[[stream: 100]] hello");
    editor.said(&session, "w20 ");
    real.env.daemon().kill9();
    assert_eq!(editor.stopped(tag), "end_turn");
    let words: String = (0..100).map(|n| format!("w{n} ")).collect();
    assert_eq!(editor.text(&session), format!("{words}you said hello"));
    let made = real.env.path("made");
    let tag = editor.prompt(&session, &format!("please [[run: echo ran > {made}]]"));
    let asked = editor.asked();
    let options = asked["params"]["options"].as_array().expect("there are options");
    let allow = options.iter().find(|option| option["kind"] == "allow_once").expect("one allows once");
    editor.decide(&asked, allow["optionId"].as_str().expect("an option has an id"));
    assert_eq!(editor.stopped(tag), "end_turn");
    assert_eq!(fs::read_to_string(&made).expect("the command ran"), "ran\n");
    let mut second = editor!(&real.env, &["acp"]);
    second.load(&real.env, &session);
    assert_eq!(second.text(&session), editor.text(&session));
    real.check();
}

#[test]
fn codex_is_served_to_an_editor() {
    serve(&agents::CODEX);
}

#[test]
fn claude_is_served_to_an_editor() {
    serve(&agents::CLAUDE);
}
