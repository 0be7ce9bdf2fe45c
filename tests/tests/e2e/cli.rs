//! The command line as scripts use it: output, exit codes, ids.

use rustix::process::Signal;
use serde_json::{Value, json};
use vibes_tests::{TestEnv, processes};

#[test]
fn detached_prints_the_id_and_nothing_else() {
    let env = TestEnv::new();
    let ran = env.vibes(&["run", "fake", "-d", "say hi"]).ok();
    assert_eq!(ran.stdout, format!("{}\n", ran.line()));
    assert!(ran.line().parse::<vibes_protocol::model::SessionId>().is_ok(), "{}", ran.stdout);
}

#[test]
fn once_prints_what_the_agent_said_and_finishes() {
    let env = TestEnv::new();
    let ran = env.vibes(&["run", "fake", "--once", "say hello there"]).ok();
    assert!(ran.stdout.contains("hello there"), "{ran:?}");
    assert_eq!(env.connect().ok("list_sessions", json!({}))["sessions"], json!([]));
}

#[test]
fn a_prompt_may_come_from_stdin() {
    let env = TestEnv::new();
    let ran = env.vibes_reading(&["run", "fake", "--once", "-"], "say from stdin\n").ok();
    assert!(ran.stdout.contains("from stdin"), "{ran:?}");
}

#[test]
fn the_exit_code_of_a_shell_command_is_the_commands() {
    let env = TestEnv::new();
    let ran = env.vibes(&["run", "shell", "--mode", "auto", "--once", "echo out; exit 3"]).exits(3);
    assert_eq!(ran.stdout.trim_end(), "out");
}

#[test]
fn done_is_zero() {
    let env = TestEnv::new();
    env.vibes(&["ls"]).ok();
    env.vibes(&["--version"]).ok();
    env.vibes(&["--help"]).ok();
}

#[test]
fn wrong_usage_is_two() {
    let env = TestEnv::new();
    env.vibes(&["ls", "--no-such-flag"]).exits(2);
    env.vibes(&["no-such-verb"]).exits(2);
    env.vibes(&["sessions", "kill", "--all"]).exits(2);
}

#[test]
fn not_found_is_three() {
    let env = TestEnv::new();
    env.vibes(&["show", "no-such-session", "--json"]).exits(3);
    env.vibes(&["kill", "no-such-session"]).exits(3);
    env.vibes(&["run", "no-such-agent", "-d", "x"]).exits(3);
}

#[test]
fn an_ambiguous_prefix_is_three_and_names_the_candidates() {
    let env = TestEnv::started();
    let mut wire = env.client("ada");
    // Seventeen ids have two with the same first character, whatever they are.
    let ids: Vec<String> = (0..17).map(|_| wire.create(&env, json!({"wait_ready": false}))).collect();
    let shared = ids.iter().enumerate().find_map(|(n, id)| {
        ids[..n].iter().find(|other| other[..1] == id[..1]).map(|other| (id.clone(), other.clone()))
    });
    let (one, other) = shared.expect("seventeen ids over sixteen characters");
    let ran = env.vibes(&["show", &one[..1], "--json"]).exits(3);
    assert!(ran.stderr.contains(&one[..8]) && ran.stderr.contains(&other[..8]), "{}", ran.stderr);
}

#[test]
fn an_unreachable_daemon_is_four() {
    let env = TestEnv::new();
    std::fs::write(env.path("file"), "").expect("a file can be made");
    env.spawn_vibes(&["ls"], "", &[("VIBES_STATE_DIR", &env.path("file/under"))]).wait().exits(4);
}

#[test]
fn refused_is_five() {
    let env = TestEnv::started();
    let session = env.run_fake("ask t1 ls");
    let mut wire = env.client("ada");
    let permission = wire.state(&session, "waiting_permission")["pending_permissions"][0].take();
    wire.decide(&session, &permission, "allow_once");
    wire.state(&session, "idle");
    let id = permission["permission_id"].as_str().expect("a permission has an id");
    env.vibes(&["approve", &session, "--permission", id]).exits(5);
}

#[test]
fn waiting_for_idle_when_approval_is_needed_is_six() {
    let env = TestEnv::started();
    let session = env.run_fake("ask t1 ls");
    env.vibes(&["wait", &session, "--until", "needs-approval"]).ok();
    env.vibes(&["wait", &session, "--until", "idle"]).exits(6);
}

#[test]
fn a_failed_turn_is_seven() {
    let env = TestEnv::new();
    env.vibes(&["run", "fake", "--once", "error -32603 overloaded"]).exits(7);
    let session = env.run_fake("say hi");
    env.vibes(&["send", &session, "--wait", "error -32603 overloaded"]).exits(7);
}

#[test]
fn a_timeout_is_one_hundred_and_twenty_four() {
    let env = TestEnv::started();
    let session = env.run_fake(&format!("sleep_until {}", env.path("never")));
    env.vibes(&["wait", &session, "--until", "idle", "--timeout", "1"]).exits(124);
}

#[test]
fn interrupted_is_one_hundred_and_thirty() {
    let env = TestEnv::started();
    let session = env.run_fake(&format!("sleep_until {}", env.path("never")));
    let waiting = env.spawn_vibes(&["wait", &session, "--until", "finished"], "", &[]);
    // It waits when the daemon sees its connection; until then the signal's default would end it elsewhere.
    vibes_tests::eventually("the command has connected", || {
        let fds = std::fs::read_dir(format!("/proc/{}/fd", waiting.pid())).ok()?;
        let links = fds.filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
        links.into_iter().any(|link| link.to_string_lossy().starts_with("socket:")).then_some(())
    });
    processes::signal(waiting.pid(), Signal::INT);
    let ran = waiting.wait();
    assert!(ran.code == 130 || ran.code == -1, "a shell sees 130 either way: {ran:?}");
}

#[test]
fn send_waits_for_its_own_turn() {
    let env = TestEnv::started();
    let session = env.run_fake("say first");
    let ran = env.vibes(&["send", &session, "--wait", "say second"]).ok();
    assert!(ran.stdout.contains("second") && !ran.stdout.contains("first"), "{ran:?}");
}

#[test]
fn approve_and_deny_answer_the_one_that_is_pending() {
    let env = TestEnv::started();
    let session = env.run_fake("ask t1 rm -r build\nask t2 ls");
    env.vibes(&["wait", &session, "--until", "needs-approval"]).ok();
    let approved = env.vibes(&["approve", &session]).ok();
    let told = approved.stdout + &approved.stderr;
    assert!(told.contains("rm -r build"), "it prints what it approved: {told}");
    let mut wire = env.client("ada");
    wire.subscribe(&session, 0, "viewer");
    wire.said(&session, "answer t1 allow");
    wire.permission(&session);
    wire.permission(&session);
    env.vibes(&["deny", &session]).ok();
    wire.said(&session, "answer t2 reject");
}

#[test]
fn approve_does_not_guess_between_two() {
    let env = TestEnv::started();
    let session = env.run_fake(&format!("ask_nowait a ls\nask_nowait b ls\nsleep_until {}", env.path("go")));
    let mut wire = env.client("ada");
    wire.subscribe(&session, 0, "viewer");
    let (first, _) = (wire.permission(&session), wire.permission(&session));
    let refused = env.vibes(&["approve", &session]);
    assert_ne!(refused.code, 0, "{refused:?}");
    let id = first["permission_id"].as_str().expect("a permission has an id").to_owned();
    env.vibes(&["approve", &session, "--permission", &id]).ok();
    wire.said(&session, "answer a allow");
}

#[test]
fn the_list_is_json_for_programs_and_a_table_for_people() {
    let env = TestEnv::started();
    let empty = env.vibes(&["sessions"]).ok();
    assert!(empty.stdout.contains("No active sessions."), "{}", empty.stdout);
    let session = env.run_fake("say hi");
    env.vibes(&["wait", &session, "--until", "idle"]).ok();
    let table = env.vibes(&["sessions"]).ok();
    assert!(table.stdout.contains("ACTIVE SESSIONS (1)"), "{}", table.stdout);
    assert!(table.stdout.contains(&session[..8]), "{}", table.stdout);
    let list = env.vibes(&["sessions", "--json"]).ok().json();
    let listed = list.as_array().or_else(|| list["sessions"].as_array()).and_then(|list| list.first());
    assert_eq!(listed.map(|listed| listed["id"].clone()), Some(json!(session)));
    let lines = env.vibes(&["ls", "--ndjson"]).ok();
    let line: Value = serde_json::from_str(lines.line()).expect("one session is one line");
    assert_eq!(line["id"], *session);
}

#[test]
fn logs_are_records_as_on_the_wire() {
    let env = TestEnv::started();
    let session = env.run_fake("say hi");
    env.vibes(&["wait", &session, "--until", "idle"]).ok();
    let logs = env.vibes(&["logs", &session, "--json"]).ok();
    let records: Vec<Value> =
        logs.stdout.lines().map(|line| serde_json::from_str(line).expect("a record is a line")).collect();
    vibes_tests::oracle::check_stream(
        &session,
        &records,
        &vibes_tests::oracle::journal(&mut env.connect(), &session),
    );
    assert_eq!(records[0]["seq"], 1);
    let after = env.vibes(&["logs", &session, "--json", "--after", "2"]).ok();
    let first: Value =
        serde_json::from_str(after.stdout.lines().next().expect("there are more")).expect("JSON");
    assert_eq!(first["seq"], 3);
}

#[test]
fn a_dash_is_the_session_used_last_and_a_name_is_an_id() {
    let env = TestEnv::started();
    let ran = env.vibes(&["run", "fake", "--name", "ship", "-d", "say hi"]).ok();
    assert_eq!(env.vibes(&["show", "-", "--json"]).ok().json()["id"], ran.line());
    assert_eq!(env.vibes(&["show", "ship", "--json"]).ok().json()["id"], ran.line());
    env.vibes(&["rename", "ship", "dock"]).ok();
    env.vibes(&["show", "dock", "--json"]).ok();
}

#[test]
fn named_ids_are_killed_without_asking() {
    let env = TestEnv::started();
    let (one, two) = (env.run_fake("say hi"), env.run_fake("say hi"));
    env.vibes(&["sessions", "kill", &one, &two]).ok();
    assert_eq!(env.connect().ok("list_sessions", json!({}))["sessions"], json!([]));
    env.run_fake("say hi");
    env.vibes(&["kill", "--all", "--yes"]).ok();
    assert_eq!(env.connect().ok("list_sessions", json!({}))["sessions"], json!([]));
}

#[test]
fn suspend_resume_interrupt_and_finish_are_verbs() {
    let env = TestEnv::started();
    let session = env.run_fake("say hi");
    env.vibes(&["wait", &session, "--until", "idle"]).ok();
    env.vibes(&["suspend", &session]).ok();
    assert_eq!(env.vibes(&["show", &session, "--json"]).ok().json()["state"], "suspended");
    env.vibes(&["resume", &session]).ok();
    env.vibes(&["wait", &session, "--until", "idle"]).ok();
    env.vibes(&["send", &session, &format!("sleep_until {}", env.path("never"))]).ok();
    env.client("ada").state(&session, "processing");
    env.vibes(&["interrupt", &session]).ok();
    env.vibes(&["wait", &session, "--until", "idle"]).ok();
    env.vibes(&["finish", &session]).ok();
    env.vibes(&["wait", &session, "--until", "finished"]).ok();
}

#[test]
fn what_agents_say_cannot_drive_the_terminal_of_a_table() {
    let env = TestEnv::started();
    let session = env.run_fake("say a\u{1b}]52;c;AAAA\u{7}b");
    env.vibes(&["wait", &session, "--until", "idle"]).ok();
    let mut pty = vibes_tests::Pty::vibes(&env, &["sessions"]);
    assert_eq!(pty.wait_exit(), 0);
    assert!(!pty.drawn_bytes().windows(2).any(|pair| pair == b"\x1b]"), "{:?}", pty.drawn());
}

#[test]
fn following_a_log_is_not_joining() {
    let env = TestEnv::started();
    let id = env.vibes(&["run", "-d", "fake", "--orphan", "remove", "say one"]).ok().line().to_owned();
    let following = env.spawn_vibes(&["logs", "-f", "--json", &id], "", &[]);
    env.vibes(&["send", &id, "--wait", "say two"]).ok();
    assert_eq!(env.vibes(&["who", &id, "--json"]).ok().json(), serde_json::json!([]));
    env.vibes(&["finish", &id]).ok();
    let told = following.wait().ok();
    let seqs: Vec<u64> = told
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a record")["seq"].as_u64().expect("a seq"))
        .collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
}

/// Each exit code, by the means that leads to it, with what a script reads beside it.
#[test]
fn every_exit_code_is_reached_by_what_it_stands_for() {
    let env = TestEnv::started();
    let stuck = env.run_fake(&format!("sleep_until {}", env.path("never")));
    let asking = env.run_fake("ask t1 ls");
    env.vibes(&["wait", &asking, "--until", "needs-approval"]).ok();
    let idle = env.run_fake("say hi");
    env.vibes(&["wait", &idle, "--until", "idle"]).ok();
    let nowhere = env.path("file");
    std::fs::write(&nowhere, "").expect("a file can be made");
    let nowhere = format!("{nowhere}/under");
    let elsewhere = [("VIBES_STATE_DIR", nowhere.as_str())];
    let table: &[(i32, &[&str])] = &[
        (0, &["show", &idle]),
        (1, &["memory", "add", "x", "--tag", "two words"]),
        (2, &["ls", "--state", "asleep"]),
        (2, &["kill", "--all"]),
        (3, &["show", "nobody"]),
        (3, &["run", "no-such-agent", "-d", "x"]),
        (3, &["memory", "show", "99"]),
        (3, &["template", "show", "nobody"]),
        (5, &["resume", &idle]),
        (5, &["approve", &idle]),
        (6, &["wait", &asking]),
        (6, &["send", &asking, "--wait", "say more"]),
        (7, &["ask", "fake", "error -32603 overloaded"]),
        (7, &["run", "fake", "--once", "exit 3"]),
        (124, &["wait", &stuck, "--timeout", "0.1"]),
        (124, &["ask", "fake", "--timeout", "0.1", "sleep_until /no/such/file"]),
    ];
    for (code, args) in table {
        let ran = env.vibes(args).exits(*code);
        assert_eq!(ran.stderr.contains("error:"), *code != 0, "{args:?}: {}", ran.stderr);
    }
    env.spawn_vibes(&["ls"], "", &elsewhere).wait().exits(4);
    env.vibes(&["daemon", "stop", "--agents"]).ok();
    for args in [&["daemon", "status"][..], &["daemon", "status", "--json"]] {
        env.vibes(args).exits(4);
    }
    // 130 and what a closed pipe gives are in `ask.rs` and above.
}

#[test]
fn verbs_without_a_shape_of_their_own_tell_in_json_what_was_done() {
    let env = TestEnv::started();
    let session = env.run_fake("say hi");
    env.vibes(&["wait", &session, "--until", "idle"]).ok();
    let done = env.vibes(&["rename", &session, "api", "--json"]).ok().json();
    assert_eq!((&done["verb"], &done["ok"], &done["exit_code"]), (&json!("rename"), &json!(true), &json!(0)));
    assert_eq!((&done["sessions"][0]["id"], &done["sessions"][0]["name"]), (&json!(session), &json!("api")));
    let done = env.vibes(&["sessions", "send", "api", "--wait", "say hello", "--json"]).ok().json();
    assert_eq!((&done["verb"], &done["output"]), (&json!("send"), &json!("hello\n")));
    // Some of it was not done: both are told, and the exit code is that of the worst.
    let done = env.vibes(&["kill", "nobody", "api", "--json"]).exits(3).json();
    assert_eq!((&done["ok"], &done["faults"][0]["code"]), (&json!(false), &json!("SESSION_NOT_FOUND")));
    assert_eq!(
        (&done["sessions"][0]["state"], &done["faults"][0]["exit_code"]),
        (&json!("killed"), &json!(3))
    );
    let done = env.vibes(&["approve", &session, "--json"]).exits(5).json();
    assert_eq!(done["faults"][0]["code"], "PERMISSION_NOT_PENDING");
}

#[test]
fn ids_come_from_standard_input() {
    let env = TestEnv::started();
    let ids: Vec<String> = (0..3).map(|_| env.run_fake("say hi")).collect();
    let lines = format!("{}\n\n{}\n", ids[0], ids[1]);
    env.vibes_reading(&["wait", "@-", "--until", "idle", "--timeout", "20"], &lines).ok();
    let list = env.vibes(&["ls", "--json"]).ok().stdout;
    let shown = env.vibes_reading(&["show", "@-", "--json"], &list).ok().stdout;
    assert_eq!(shown.lines().count(), 3);
    env.vibes_reading(&["send", "@-", "say again"], &list).ok();
    env.vibes_reading(&["wait", "@-"], &list).ok();
    assert!(env.vibes_reading(&["logs", "@-"], &lines).ok().stdout.matches("again").count() >= 2);
    // One that is not there does not keep the others from it; nothing is read when nothing asks for it.
    let ran = env.vibes_reading(&["kill", "@-"], &format!("nobody\n{}\n{}\n", ids[0], ids[1])).exits(3);
    assert_eq!(ran.stdout.lines().count(), 2, "{ran:?}");
    env.vibes_reading(
        &["rm", "@-"],
        &env.vibes(&["ls", "--all", "--ndjson", "--state", "killed"]).ok().stdout,
    )
    .ok();
    assert_eq!(env.vibes(&["ls", "--all", "--json"]).ok().json().as_array().map(Vec::len), Some(1));
    env.vibes_reading(&["kill", "@-"], "{\"name\": 1}\n").exits(2);
    env.vibes_reading(&["kill", "@-"], "").ok();
}

#[test]
fn a_list_can_be_watched() {
    use std::io::BufRead as _;
    let env = TestEnv::started();
    let first = env.run_fake("say hi");
    let mut watching = std::process::Command::new(env.binary("vibes"))
        .args(["ls", "--watch"])
        .env_clear()
        .envs(env.variables())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("vibes can be started");
    let mut asked = std::process::Command::new(env.binary("vibes"))
        .args(["approvals", "list", "--watch"])
        .env_clear()
        .envs(env.variables())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("vibes can be started");
    let lines = |child: &mut std::process::Child| {
        let out = std::io::BufReader::new(child.stdout.take().expect("it is piped"));
        out.lines().map(|line| serde_json::from_str::<Value>(&line.expect("a line")).expect("JSON"))
    };
    let (mut news, mut questions) = (lines(&mut watching), lines(&mut asked));
    let there = news.next().expect("the list");
    assert_eq!((&there["type"], &there["session"]["id"]), (&json!("session_notification"), &json!(first)));
    let second = env.run_fake("ask t1 ls");
    assert!(
        news.by_ref()
            .any(|line| line["type"] == "session_notification" && line["session"]["id"] == second.as_str())
    );
    let question = questions.next().expect("a question");
    assert_eq!(
        (&question["session_id"], &question["permission"]["raw_input"]["command"]),
        (&json!(second), &json!("ls"))
    );
    env.vibes(&["approve", &second]).ok();
    let settled = questions.next().expect("its end");
    assert_eq!(settled["settled"], question["permission"]["permission_id"]);
    env.vibes(&["kill", &second]).ok();
    assert!(news.any(|line| line["type"] == "session_removed" && line["session_id"] == second.as_str()));
    for mut child in [watching, asked] {
        child.kill().expect("it runs");
        child.wait().expect("it ends");
    }
}
