//! Standing rules, through the real programs: what they answer, for whom, and what they never answer.

use serde_json::{Value, json};
use std::fs;
use vibes_tests::{TestEnv, Wire, oracle};

/// A file with one rule for each decision.
pub const RULES: &str = r#"
version = 1

[[rule]]
name = "make"
decision = "allow"
command = ["make ...", "cat -..."]

[[rule]]
name = "never"
decision = "deny"
command = "rm"

[[rule]]
name = "look first"
decision = "ask"
command = "make install"
"#;

fn apply(wire: &mut Wire, text: &str) -> Value {
    let mut answer = wire.ok("apply_rules", json!({"text": text}));
    answer["applied"][0].take()
}

/// What became of the question about a command: its record.
#[track_caller]
fn resolved(wire: &mut Wire, session: &str, command: &str) -> Value {
    wire.prompt(session, &format!("ask t {command}"));
    wire.permission(session);
    let mut record = wire.fact(session, "permission_resolved");
    wire.fact(session, "turn_ended");
    record["fact"].take()
}

/// Asserts that a question waits for a person, and denies it.
#[track_caller]
fn waits(wire: &mut Wire, session: &str, command: &str) {
    wire.prompt(session, &format!("ask t {command}"));
    wire.state(session, "waiting_permission");
    let permission = wire.permission(session);
    wire.decide(session, &permission, "reject_once");
    let record = wire.fact(session, "permission_resolved");
    assert_eq!(record["fact"]["how"], "person", "{record}");
    wire.fact(session, "turn_ended");
}

#[test]
fn a_rule_answers_and_the_record_says_which() {
    let env = TestEnv::started();
    let mut ada = env.client("ada@box:pts/1");
    let applied = apply(&mut ada, RULES);
    assert_eq!((&applied["rules"], &applied["person"]), (&json!(3), &json!("ada@box")));
    let session = ada.create(&env, json!({"subscribe": true}));
    let fact = resolved(&mut ada, &session, "make test");
    assert_eq!(
        (&fact["outcome"], &fact["how"], &fact["rule"], &fact["rules"], &fact["option_id"]),
        (&json!("allowed"), &json!("rule"), &json!("make"), &applied["hash"], &json!("allow")),
        "{fact}"
    );
    assert_eq!(fact.get("by"), None, "nobody did");
    assert!(fact["waited_ms"].is_u64() && fact["hash"].is_string(), "{fact}");
    ada.said(&session, "answer t allow");
    let fact = resolved(&mut ada, &session, "make && rm -rf x");
    assert_eq!((&fact["outcome"], &fact["rule"]), (&json!("denied"), &json!("never")));
    ada.said(&session, "answer t reject");
    // Nobody had to look.
    let states: Vec<&Value> = ada.stream(&session).iter().map(|record| &record["fact"]["to"]).collect();
    assert!(!states.contains(&&json!("waiting_permission")), "{states:?}");
    for command in ["make install", "make test; id", "make test > x", "FOO=1 make", "env make", "other"] {
        waits(&mut ada, &session, command);
    }
    oracle::check(&env);
}

#[test]
fn a_rule_answers_for_the_sessions_of_its_person_only() {
    let env = TestEnv::started();
    let (mut ada, mut bob) = (env.client("ada@box:pts/1"), env.client("bob@box:pts/2"));
    apply(&mut ada, RULES);
    let theirs = bob.create(&env, json!({"subscribe": true}));
    waits(&mut bob, &theirs, "make test");
    // A session that nobody owns is of whoever made it.
    let vacant = ada.create(&env, json!({}));
    bob.ok("input", json!({"session_id": vacant, "content": "ask t make test"}));
    ada.subscribe(&vacant, 0, "viewer");
    assert_eq!(ada.fact(&vacant, "permission_resolved")["fact"]["rule"], "make");
    // What says that it is for all is for all; a second set of one person takes the place of the first.
    apply(&mut ada, &format!("scope = \"all\"\n{RULES}"));
    assert_eq!(resolved(&mut bob, &theirs, "make test")["rule"], "make");
    let all = ada.ok("get_rules", json!({}));
    assert_eq!(all["applied"].as_array().map(Vec::len), Some(1), "{all}");
    // An empty file takes them away.
    apply(&mut ada, "version = 1\n");
    waits(&mut bob, &theirs, "make test");
}

#[test]
fn rules_are_what_was_applied_and_survive_the_daemon() {
    let env = TestEnv::started();
    let file = env.path("rules.toml");
    fs::write(&file, RULES).expect("a file can be made");
    let said = env.vibes(&["rules", "apply", &file]).ok().stderr;
    assert!(said.contains("3 rules"), "{said}");
    let hash = env.vibes(&["rules", "show", "--json"]).ok().json()[0]["hash"].clone();
    // The file is nobody's business any more.
    fs::write(&file, RULES.replace("\"rm\"", "\"never-mind\"")).expect("a file can be written");
    env.daemon().kill9();
    let shown = env.vibes(&["rules", "show", "--json"]).ok().json();
    assert_eq!((&shown[0]["hash"], &shown[0]["text"]), (&hash, &json!(RULES)));
    let id = env.run_fake("ask t rm x");
    let mut wire = env.client("watcher");
    wire.subscribe(&id, 0, "viewer");
    assert_eq!(wire.fact(&id, "permission_resolved")["fact"]["rule"], "never");
    assert!(env.vibes(&["rules", "show"]).ok().stdout.contains("decision = \"deny\""));
}

#[test]
fn a_wrong_file_is_refused_and_changes_nothing() {
    let env = TestEnv::started();
    let file = env.path("rules.toml");
    let apply = |text: &str, verb: &str| {
        fs::write(&file, text).expect("a file can be made");
        env.vibes(&["rules", verb, &file])
    };
    apply(RULES, "apply").ok();
    for (text, says) in [
        ("version = 1\n[[rule]]\nname = \"x\"\ndecision = \"allow\"\n", "names a tool"),
        ("version = 1\n[[rule]]\nname = \"x\"\ndecision = \"allow\"\ncomand = \"ls\"\n", "comand"),
        ("version = 1\nversion = 2\n", "line 2"),
        ("version = 9\n", "version"),
    ] {
        for verb in ["apply", "check"] {
            let ran = apply(text, verb).exits(1);
            assert!(ran.stderr.contains(says), "{}", ran.stderr);
        }
    }
    assert!(apply("version = 1\n", "check").ok().stderr.contains("right: 0 rules"));
    let shown = env.vibes(&["rules", "show", "--json"]).ok().json();
    assert_eq!(shown[0]["text"], RULES);
}

#[test]
fn an_agent_applies_no_rules_to_itself() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let line = json!({"type": "apply_rules", "request_id": "x", "text": RULES});
    ada.prompt(&session, &format!("wire {} {line}", env.state().socket().display()));
    ada.said(&session, "FORBIDDEN");
    assert_eq!(ada.fact(&session, "turn_ended")["fact"]["outcome"], "finished");
    assert_eq!(ada.ok("get_rules", json!({}))["applied"], json!([]));
    assert_eq!(ada.fact(&session, "refused")["fact"]["request"], "apply_rules");
}

#[test]
fn no_rule_lets_an_agent_at_what_is_vibes_own() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let all = "version = 1\n[[rule]]\nname = \"all\"\ndecision = \"allow\"\nany_command = true\n";
    apply(&mut ada, all);
    let session = ada.create(&env, json!({"subscribe": true}));
    assert_eq!(resolved(&mut ada, &session, "cat x | sh")["rule"], "all");
    std::os::unix::fs::symlink(env.state().root(), format!("{}/link", env.work()))
        .expect("a link can be made");
    let config = env.path("cfg/vibes/config.toml");
    for command in [
        format!("cat {}", env.state().store().display()),
        "cat link/vibes.db".into(),
        format!("cp x {config}"),
        "vibes ls".into(),
    ] {
        waits(&mut ada, &session, &command);
    }
}

#[test]
fn a_session_allows_again_what_it_was_told_to() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "ask t make test");
    let permission = ada.permission(&session);
    let answer = json!({
        "session_id": session, "permission_id": permission["permission_id"], "hash": permission["hash"],
    });
    let with = |wide: Value| {
        let mut answer = answer.clone();
        answer["for_session"] = wide;
        answer
    };
    assert_eq!(
        ada.refused("permission_response", with(json!({"pattern": ["make", "install"]}))),
        "BAD_REQUEST"
    );
    ada.ok("permission_response", with(json!({})));
    // The agent heard "once", whatever else it offers.
    ada.said(&session, "answer t allow");
    let rule = ada.fact(&session, "rule_added")["fact"]["rule"].take();
    assert_eq!(ada.fact(&session, "permission_resolved")["fact"]["how"], "person");
    ada.fact(&session, "turn_ended");
    assert_eq!((&rule["name"], &rule["command"]), (&json!("s1"), &json!("make test")));
    let fact = resolved(&mut ada, &session, "make test");
    assert_eq!((&fact["how"], &fact["rule"]), (&json!("session_rule"), &json!("s1")), "{fact}");
    waits(&mut ada, &session, "make test2");
    // Another session does not allow it.
    let other = ada.create(&env, json!({"subscribe": true}));
    waits(&mut ada, &other, "make test");
    // It is stored with the session.
    env.daemon().kill9();
    env.daemon();
    let shown = env.vibes(&["rules", "show", "--session", &session, "--json"]).ok().json();
    assert_eq!(shown[0]["command"], "make test");
    let mut ada = env.client("ada");
    ada.subscribe(&session, "end", "writer");
    assert_eq!(resolved(&mut ada, &session, "make test")["rule"], "s1");
    env.vibes(&["rules", "forget", &session, "s1"]).ok();
    waits(&mut ada, &session, "make test");
    oracle::check(&env);
}

#[test]
fn approve_for_session_takes_a_pattern() {
    let env = TestEnv::started();
    let id = env.run_fake("ask t cargo test -p x");
    env.vibes(&["wait", &id, "--until", "needs-approval"]).ok();
    env.vibes(&["approve", &id, "--for-session", "--pattern", "cargo test -..."]).ok();
    env.vibes(&["wait", &id, "--until", "idle"]).ok();
    env.vibes(&["send", &id, "ask u cargo test --lib", "--wait"]).ok();
    let shown = env.vibes(&["rules", "show", "--session", &id]).ok().stdout;
    assert!(shown.contains("s1") && shown.contains("cargo test -... (pattern)"), "{shown}");
    let log = env.vibes(&["approvals", "log", "--json"]).ok().json();
    let hows: Vec<&Value> =
        log.as_array().expect("a list").iter().map(|approval| &approval["resolved"]["how"]).collect();
    assert_eq!(hows, ["session_rule", "person"]);
}

#[test]
fn a_candidate_file_is_tried_on_what_was_asked() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true, "name": "api"}));
    for command in ["make test", "rm x", "ls"] {
        waits(&mut ada, &session, command);
    }
    let file = env.path("rules.toml");
    fs::write(&file, RULES).expect("a file can be made");
    let tested = env.vibes(&["rules", "test", &file, "--json"]).ok().json();
    assert_eq!(
        (&tested["replayed"], &tested["allowed"], &tested["denied"]),
        (&json!(3), &json!(1), &json!(1)),
        "{tested}"
    );
    let changes: Vec<(&Value, &Value, &Value)> = tested["changes"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|change| (&change["now"], &change["then"], &change["then_rule"]))
        .collect();
    let (ask, allow, deny) = (&json!("ask"), &json!("allow"), &json!("deny"));
    assert_eq!(changes, [(ask, deny, &json!("never")), (ask, allow, &json!("make"))]);
    let words = env.vibes(&["rules", "test", &file]).ok().stdout;
    assert!(
        words.contains("ask → allow (make)  api · a person denied") && words.contains("make test"),
        "{words}"
    );
    // Trying puts nothing in force.
    waits(&mut ada, &session, "make test");
}

#[test]
fn every_example_of_the_page_is_right() {
    let page = include_str!("../../../docs/rules.md");
    let env = TestEnv::started();
    let blocks: Vec<&str> = page
        .split("```toml\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .filter(|block| block.contains("version"))
        .collect();
    assert!(blocks.len() >= 2, "the page has its examples");
    for block in blocks {
        let ran = env.vibes_reading(&["rules", "check", "-"], block);
        assert_eq!(ran.code, 0, "{block}\n{}", ran.stderr);
    }
    // What the table says of commands is what happens.
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| {
            line.starts_with("| `")
                && line.matches('|').count() == 4
                && line.contains("| allowed") | line.contains("| asked")
        })
        .map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`')).collect())
        .collect();
    assert!(rows.len() >= 8, "{rows:?}");
    for row in rows {
        let (pattern, command, says) = (row[1], row[2], row[3]);
        let rule =
            format!("version = 1\n[[rule]]\nname = \"r\"\ndecision = \"allow\"\ncommand = \"{pattern}\"\n");
        apply(&mut ada, &rule);
        match says {
            "allowed" => assert_eq!(resolved(&mut ada, &session, command)["rule"], "r", "{row:?}"),
            _ => waits(&mut ada, &session, command),
        }
    }
}
