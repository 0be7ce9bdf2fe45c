//! Agents that misbehave: what they do is kept or refused, and never harms the session, the daemon or the others.

use serde_json::{Value, json};
use std::{fs, os::unix::fs::PermissionsExt};
use vibes_tests::{TestEnv, oracle};

fn with_opts(opts: &str) -> Value {
    json!({"args": ["--opts", opts], "subscribe": true, "wait_ready": false})
}

#[test]
fn a_chunk_of_four_megabytes_arrives_whole() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "bigchunk 4000000");
    ada.fact(&session, "turn_ended");
    assert_eq!(ada.text(&session).len(), 4_000_000);
    oracle::check(&env);
}

#[test]
fn fault_46_lines_that_are_no_messages_are_kept() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let lines = ["plain noise", "[]", "{\"half\":", "null", "{\"jsonrpc\":\"2.0\"}"];
    let script: Vec<String> = lines.iter().map(|line| format!("raw {line}")).collect();
    ada.prompt(&session, &script.join("\n"));
    for line in lines {
        assert_eq!(ada.fact(&session, "unparsed")["fact"]["text"], line);
    }
    assert_eq!(ada.fact(&session, "turn_ended")["fact"]["outcome"], "finished");
    oracle::check(&env);
}

#[test]
fn fault_45_46_broken_text_and_deep_nesting_harm_nobody() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "bytes ff fe 00 41 0a\ndeep 100000\nbytes ef bb bf 7b 7d 0d 0a\nsay unharmed");
    ada.said(&session, "unharmed");
    ada.fact(&session, "turn_ended");
    let kept = ada.stream(&session).iter().filter(|record| record["fact"]["kind"] == "unparsed").count();
    assert!(kept >= 2, "{kept}");
    oracle::check(&env);
}

#[test]
fn fault_47_an_update_that_nobody_knows_is_kept_verbatim() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "unknown_update");
    let update =
        ada.wait_for("the update", |message| message["fact"]["update"]["sessionUpdate"] == "from_the_future");
    assert_eq!(update["fact"]["update"]["kept"], json!([1, null]));
}

#[test]
fn fault_47_a_request_that_vibes_does_not_serve_is_refused() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    for method in ["fs/read_text_file", "terminal/create", "from/the_future"] {
        ada.prompt(&session, &format!("unknown_request {method}"));
        ada.said(&session, &format!("refused {method} -32601"));
        assert_eq!(ada.fact(&session, "agent_request_refused")["fact"]["method"], method);
    }
}

#[test]
fn fault_49_ids_of_every_kind_are_answered_to() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    for (n, id) in ["0", "-7", "9223372036854775807", r#""text""#, r#""""#, "1"].iter().enumerate() {
        ada.prompt(&session, &format!("ask_as {id} t{n} ls"));
        let permission = ada.permission(&session);
        ada.decide(&session, &permission, "allow_once");
        ada.said(&session, &format!("answer t{n} allow"));
    }
    oracle::check(&env);
}

#[test]
fn fault_50_a_second_answer_to_a_prompt_is_ignored() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "dup_answer");
    ada.fact(&session, "turn_ended");
    ada.prompt(&session, "say next");
    ada.said(&session, "next");
    oracle::check(&env);
}

#[test]
fn fault_50_an_answer_to_nothing_is_ignored() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(
        &session,
        r#"raw {"jsonrpc":"2.0","id":987654,"result":{}}
raw {"jsonrpc":"2.0","id":"x","error":{"code":1,"message":"m"}}
say fine"#,
    );
    ada.said(&session, "fine");
    ada.fact(&session, "turn_ended");
    oracle::check(&env);
}

#[test]
fn fault_07_an_agent_that_dies_at_its_start_is_a_failed_session_with_its_last_words() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, with_opts("die-on-init"));
    let info = ada.state(&session, "failed");
    let said = ada.fact(&session, "agent_stderr")["fact"]["text"].to_string();
    assert!(said.contains("dying on init"), "{said}");
    assert!(info["reason"].is_string(), "{info}");
    env.runner_gone(&session);
}

#[test]
fn fault_07_57_an_agent_that_refuses_initialize_or_a_session_or_our_version_has_failed() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    for opts in ["bad-init", "die-on-new", "version=99"] {
        let session = ada.create(&env, with_opts(opts));
        ada.state(&session, "failed");
        env.runner_gone(&session);
    }
}

#[test]
fn fault_07_a_program_that_is_not_there_or_cannot_run_is_said() {
    let env = TestEnv::with(&[
        ("VIBES_AGENT_GONE", "/nonexistent/agent --acp"),
        ("VIBES_AGENT_NOWHERE", "no-such-agent-anywhere --acp"),
        ("VIBES_AGENT_TEXT", "/etc/passwd --acp"),
        ("VIBES_AGENT_FORMAT", "home/format --acp"),
    ]);
    let program = env.path("home/format");
    fs::write(&program, "#!/no/such/interpreter\n").expect("a file can be written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it is ours");
    env.daemon();
    let mut ada = env.client("ada");
    let mut refused = |agent: &str| {
        let fields =
            json!({"agent": agent, "cwd": env.path(""), "env": env.client_env(), "wait_ready": true});
        let answer = ada.request("create_session", fields);
        (answer["code"].to_string(), answer["message"].to_string())
    };
    for (agent, code, words) in [
        ("gone", "AGENT_NOT_FOUND", "/nonexistent/agent"),
        ("nowhere", "AGENT_NOT_FOUND", "no-such-agent-anywhere"),
        ("text", "AGENT_START_FAILED", "cannot be executed"),
        ("format", "AGENT_START_FAILED", "No such file or directory"),
    ] {
        let (said, message) = refused(agent);
        assert_eq!(said, format!("\"{code}\""), "{agent}: {message}");
        assert!(message.contains(words), "{agent}: {message}");
    }
}

#[test]
fn fault_51_an_agent_that_is_slow_to_begin_is_waited_for() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, with_opts(&format!("slow-init={}", env.path("go"))));
    let info = ada.ok("get_session", json!({"session_id": session}));
    assert_eq!(info["session"]["state"], "starting");
    ada.prompt(&session, "say at last");
    fs::write(env.path("go"), "").expect("a file can be made");
    ada.said(&session, "at last");
    oracle::check(&env);
}

#[test]
fn fault_54_an_agent_that_stops_reading_can_still_be_killed() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "stop_reading\nchunks 1000 1000 0 s");
    ada.fact(&session, "turn_ended");
    ada.prompt(&session, &format!("say {}", "x".repeat(500_000)));
    ada.ok("kill_session", json!({"session_id": session}));
    env.runner_gone(&session);
    assert_eq!(oracle::check_chunks(&session, ada.stream(&session), "s"), 1000);
}

#[test]
fn fault_06_half_a_line_of_an_agent_that_died_is_kept() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "partial {\"jsonrpc\":\"2.0\",\"cut\nexit 3");
    let unparsed = ada.fact(&session, "unparsed");
    assert_eq!(unparsed["fact"]["text"], "{\"jsonrpc\":\"2.0\",\"cut");
    assert_eq!(ada.fact(&session, "agent_exited")["fact"]["code"], 3);
}

#[test]
fn fault_58_a_replay_is_not_journaled_twice_before_or_after_the_answer() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let opts = json!({"args": ["--opts", "no-resume,replay=500,late-replay=500"], "subscribe": true});
    let session = ada.create(&env, opts);
    ada.prompt(&session, "say live");
    ada.fact(&session, "turn_ended");
    ada.ok("suspend_session", json!({"session_id": session}));
    ada.state(&session, "suspended");
    ada.prompt(&session, "say on");
    ada.said(&session, "liveon");
    assert!(env.heard().iter().any(|entry| entry.line.contains("session/load")));
    assert!(!ada.text(&session).contains("replay"));
    oracle::check(&env);
}

#[test]
fn fault_57_an_agent_that_cannot_go_on_says_that_the_context_is_lost() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let opts = json!({"args": ["--opts", "no-resume,no-load"], "subscribe": true});
    let session = ada.create(&env, opts);
    ada.fact(&session, "agent_ready");
    ada.prompt(&session, "say before");
    ada.said(&session, "before");
    ada.fact(&session, "turn_ended");
    ada.ok("suspend_session", json!({"session_id": session}));
    ada.state(&session, "suspended");
    ada.prompt(&session, "say anew");
    ada.said(&session, "anew");
    assert_eq!(ada.fact(&session, "agent_ready")["fact"]["context_lost"], true);
}
