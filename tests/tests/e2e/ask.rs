//! `vibes ask`: the answer alone, and nothing left whatever happens to it.

use rustix::process::Signal;
use serde_json::{Value, json};
use vibes_tests::{Pty, TestEnv, eventually, processes};

/// Nothing of a session is left: not in any list, not as a process, not in the store.
#[track_caller]
fn nothing_is_left(env: &TestEnv) {
    let sessions = env.vibes(&["ls", "--all", "--json"]).ok().json();
    assert_eq!(sessions, json!([]), "a session is listed");
    eventually("no runner is left", || {
        let runners = std::fs::read_dir(env.state().runners()).ok()?;
        let left = runners.flatten().filter(|entry| entry.path().is_dir()).count();
        (left == 0).then_some(())
    });
}

#[test]
fn the_answer_alone_is_printed_and_no_session_is_left() {
    let env = TestEnv::new();
    let ran =
        env.vibes(&["ask", "fake", "say I will look.\ntool t1 Look\ntool_done t1\nsay There are **three**."]);
    let ran = ran.ok();
    assert_eq!(ran.stdout, "There are **three**.\n");
    nothing_is_left(&env);
    env.vibes(&["show", "-"]).exits(3);
}

#[test]
fn the_prompt_is_words_and_what_standard_input_has() {
    let env = TestEnv::new();
    assert_eq!(env.vibes(&["ask", "fake", "say", "some", "words"]).ok().stdout, "some words\n");
    let ran = env.vibes_reading(&["ask", "fake", "say one", "-"], "say two\n").ok();
    assert_eq!(ran.stdout, "onetwo\n", "the fake agent says each line of its prompt");
    env.vibes(&["ask", "fake", " "]).exits(2);
    env.vibes(&["ask", "fake"]).exits(2);
    env.vibes(&["ask", "fake", "-", "-"]).exits(2);
    env.vibes(&["ask", "no-such-agent", "x"]).exits(3);
}

#[test]
fn json_tells_what_became_of_the_turn() {
    let env = TestEnv::new();
    let ran = env.vibes(&["ask", "fake", "--json", "say hello\nusage 10 3 m1\ncost 0.25"]).ok();
    let answered = ran.json();
    assert_eq!(answered["answer"], "hello");
    assert_eq!(answered["outcome"], "finished");
    assert_eq!(answered["stop_reason"], "end_turn");
    assert_eq!(answered["usage"]["input_tokens"], 10);
    assert_eq!(answered["cost"]["amount"], 0.25);
    assert_eq!((&answered["agent"], &answered["kept"]), (&json!("fake"), &json!(false)));
    let ran = env.vibes(&["ask", "fake", "--ndjson", "say hello"]).ok();
    let lines: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let (last, records) = lines.split_last().expect("there is one");
    assert_eq!(last["answer"], "hello");
    assert!(records.iter().all(|line| line["type"] == "record"), "{records:?}");
    assert_eq!(records[0]["fact"]["kind"], "created");
    let seqs: Vec<u64> = records.iter().filter_map(|line| line["seq"].as_u64()).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    nothing_is_left(&env);
    // What was spent is not forgotten with the session.
    let costs = env.vibes(&["costs", "--by", "agent", "--json"]).ok().json();
    assert_eq!(costs[0]["cost"]["amount"], 0.25, "{costs}");
}

#[test]
fn what_is_kept_is_finished_and_can_be_gone_on_with() {
    let env = TestEnv::new();
    let ran = env.vibes(&["ask", "fake", "--keep", "--name", "mine", "say hello"]).ok();
    assert_eq!(ran.stdout, "hello\n");
    env.vibes(&["wait", "-", "--until", "finished"]).ok();
    let session = env.vibes(&["show", "-", "--json"]).ok().json();
    assert_eq!((&session["state"], &session["name"]), (&json!("finished"), &json!("mine")));
    env.vibes(&["resume", "-"]).ok();
    env.vibes(&["send", "-", "--wait", "say again"]).ok();
}

#[test]
fn a_failed_turn_is_seven_and_leaves_nothing() {
    let env = TestEnv::new();
    env.vibes(&["ask", "fake", "error -32603 overloaded"]).exits(7);
    let ran = env.vibes(&["ask", "fake", "--json", "error -32603 overloaded"]).exits(7);
    assert_eq!(ran.json()["outcome"], "failed");
    env.vibes(&["ask", "fake", "exit 3"]).exits(7);
    nothing_is_left(&env);
}

#[test]
fn where_nobody_can_be_asked_it_is_denied_and_told() {
    let env = TestEnv::new();
    let ran = env.vibes(&["ask", "fake", "--json", "ask t1 rm -rf x"]).ok();
    assert_eq!(ran.json()["answer"], "answer t1 reject");
    assert!(ran.json()["denied"][0].as_str().is_some_and(|one| one.contains("rm -rf x")), "{ran:?}");
    assert!(ran.stderr.contains("denied: ") && ran.stderr.contains("--mode"), "{}", ran.stderr);
    let rules = "version = 1\n[[rule]]\nname = \"lists\"\ndecision = \"allow\"\ncommand = [\"ls ...\"]\n";
    env.vibes_reading(&["rules", "apply", "-"], rules).ok();
    assert_eq!(env.vibes(&["ask", "fake", "ask t1 ls"]).ok().stdout, "answer t1 allow\n");
    assert_eq!(env.vibes(&["ask", "shell", "--mode", "auto", "echo hi"]).ok().stdout, "hi\n");
    nothing_is_left(&env);
}

#[test]
fn a_person_at_the_terminal_is_asked() {
    let env = TestEnv::started();
    let mut pty = Pty::vibes(&env, &["ask", "fake", "ask t1 make it\nsay **done**"]);
    pty.wait_for_text("Allow it?");
    assert!(pty.drawn().contains("make it"));
    // What was typed before the question was seen does not count.
    pty.keys("maybe\r");
    eventually("it is asked again", || (pty.drawn().matches("Allow it?").count() > 1).then_some(()));
    eventually("an answer counts", || {
        pty.keys("y\r");
        pty.drawn().contains("answer t1 allow").then_some(())
    });
    assert_eq!(pty.wait_exit(), 0);
    let drawn = pty.drawn();
    assert!(drawn.contains("answer t1 allow") && drawn.contains("done"), "{drawn}");
    assert!(!drawn.contains("**"), "Markdown is drawn: {drawn}");
    nothing_is_left(&env);
}

#[test]
fn ctrl_c_and_a_timeout_leave_nothing() {
    let env = TestEnv::started();
    let stuck = format!("say begun\nsleep_until {}", env.path("never"));
    let ran = env.vibes(&["ask", "fake", "--timeout", "0.5", &stuck]).exits(124);
    assert_eq!(ran.stdout, "");
    nothing_is_left(&env);
    let mut pty = Pty::vibes(&env, &["ask", "fake", &stuck]);
    let mut wire = env.client("ada");
    eventually("the turn runs", || {
        let list = wire.ok("list_sessions", json!({}));
        (list["sessions"][0]["state"] == "processing").then_some(())
    });
    pty.keys("\x03");
    assert_eq!(pty.wait_exit(), 130);
    nothing_is_left(&env);
}

#[test]
fn one_that_is_killed_takes_its_session_along() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    let asked = env.spawn_vibes(&["ask", "fake", &format!("sleep_until {}", env.path("never"))], "", &[]);
    eventually("it is joined", || {
        let list = wire.ok("list_sessions", json!({}));
        (list["sessions"][0]["subscriber_count"] == 1).then_some(())
    });
    processes::signal(asked.pid(), Signal::KILL);
    assert_eq!(asked.wait().code, -1);
    eventually("the session is gone", || {
        let list = wire.ok("list_sessions", json!({"include_ended": true}));
        list["sessions"].as_array().is_some_and(Vec::is_empty).then_some(())
    });
    nothing_is_left(&env);
}

#[test]
fn the_daemon_may_be_restarted_meanwhile() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    let script = format!("say one, \nsleep_until {}\nsay two", env.path("go"));
    let asked = env.spawn_vibes(&["ask", "fake", &script], "", &[]);
    eventually("it is joined", || {
        let list = wire.ok("list_sessions", json!({}));
        let session = &list["sessions"][0];
        (session["subscriber_count"] == 1 && session["state"] == "processing").then_some(())
    });
    drop(wire);
    env.vibes(&["daemon", "restart"]).ok();
    std::fs::write(env.path("go"), "").expect("a file can be made");
    assert_eq!(asked.wait().ok().stdout, "one, two\n");
    nothing_is_left(&env);
}

#[test]
fn from_inside_an_agent_nothing_is_asked() {
    let env = TestEnv::started();
    let said = env.inside("ask shell true");
    assert!(said.contains("ran 5"), "{said}");
}
