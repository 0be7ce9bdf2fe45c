//! The window of an attached session, as it stands on the screen of a terminal: what streams in, what is under way, the
//! line being typed, and the terminal given back.

use rustix::process::Signal;
use serde_json::{Value, json};
use vibes_tests::{Pty, TestEnv, eventually, processes};

const KIND: &str = "xterm-256color";

/// A line of the fake agent's script that says an update.
fn update(update: Value) -> String {
    let line = json!({"jsonrpc": "2.0", "method": "session/update", "params": {"update": update}});
    format!("raw {line}\n")
}

fn says(text: &str) -> String {
    update(json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}))
}

/// A window on a session whose agent said "ready".
fn window(env: &TestEnv, size: (u16, u16)) -> (String, Pty) {
    let session = env.run_fake("say ready");
    let pty = Pty::sized(env, &["attach", &session], size, KIND);
    pty.wait_for_row("ready");
    pty.wait_for_row("idle");
    (session, pty)
}

/// The last row that has something, and the line being typed.
fn foot(rows: &[String]) -> (&str, Vec<&str>) {
    let last = rows.iter().rfind(|row| !row.is_empty()).map_or("", String::as_str);
    (last, rows.iter().map(String::as_str).filter(|row| row.starts_with('›')).collect())
}

#[test]
fn what_runs_is_seen_below_and_ends_in_one_line() {
    let env = TestEnv::started();
    let (session, pty) = window(&env, (100, 30));
    let mut ada = env.client("ada");
    let go = env.path("go");
    let plan = |status: &str| {
        update(json!({"sessionUpdate": "plan", "entries": [{"content": "ship it", "status": status}]}))
    };
    let script = format!(
        "{}tool t1 cargo test\n{}sleep_until {go}\ntool_done t1\n{}usage 1200 34",
        says("# Title\n\nSome **bold"),
        plan("in_progress"),
        plan("completed"),
    );
    ada.prompt(&session, &script);
    let rows = pty.wait_for_row("⚙ cargo test");
    pty.wait_for_row("[>] ship it");
    assert!(rows.iter().any(|row| row == "  Some **bold"), "words under way are seen: {rows:#?}");
    assert!(rows.iter().any(|row| row == "  Title"), "{rows:#?}");
    // The line is there to type into, and nothing tears it.
    pty.keys("my draft");
    let rows = pty.wait_for_row("› my draft");
    assert_eq!(foot(&rows).1, ["› my draft"]);
    pty.wait_for_row("● working");
    std::fs::write(&go, "").expect("a file can be made");
    let rows = pty.wait_for_row("● idle");
    assert!(!rows.iter().any(|row| row.contains('⚙')), "{rows:#?}");
    let text = pty.transcript();
    let count = |start: &str| text.iter().filter(|row| row.starts_with(start)).count();
    for start in ["✓ cargo test", "  [x] ship it", "  Some **bold", "  Title", "· 1200 in · 34 out"] {
        assert_eq!(count(start), 1, "{start}: {text:#?}");
    }
    assert_eq!((count("⚙"), count("  [>]")), (0, 0), "{text:#?}");
    assert_eq!(foot(&rows).1, ["› my draft"]);
}

#[test]
fn a_flood_leaves_the_line_usable_and_is_drawn_thirty_times_a_second_at_most() {
    let env = TestEnv::started();
    let (session, pty) = window(&env, (80, 24));
    let mut ada = env.client("ada");
    let begun = std::time::Instant::now();
    let before = pty.drawn_bytes().len();
    ada.prompt(&session, &format!("chunks 20000 70 20 \n{}", says("the end\n")));
    pty.wait_for_row("● working");
    pty.keys("xyz typed in it");
    pty.wait_for_row("› xyz typed in it");
    pty.wait_for_row("● idle");
    let seconds = begun.elapsed().as_secs_f64();
    let bytes = pty.drawn_bytes();
    let pictures = String::from_utf8_lossy(&bytes[before..]).matches("\u{1b}[?2026h").count();
    assert!((pictures as f64) < seconds * 31.0 + 5.0, "{pictures} pictures in {seconds} s");
    // The state is told at once, and words that are drawn at their pace may still be on their way.
    let rows = pty.wait_for_screen("the end of the flood above the line", |rows| {
        let has = |text: &str| rows.iter().any(|row| row.contains(text));
        has("the end") && has("› xyz typed in it")
    });
    assert_eq!(foot(&rows).1, ["› xyz typed in it"]);
}

#[test]
fn an_approval_is_whole_on_a_phone_and_on_a_wall() {
    for size in [(40, 20), (200, 50)] {
        let env = TestEnv::started();
        let session = env.run_fake("ask t1 rm -r build");
        let pty = Pty::sized(&env, &["attach", &session], size, KIND);
        let rows = pty.wait_for_screen("keys below the request", |rows| {
            rows.iter().any(|row| row.starts_with("› [A]pprove"))
        });
        let edge: Vec<&String> = rows.iter().filter(|row| row.starts_with(['╔', '║', '╟', '╚'])).collect();
        let text = edge.iter().map(|row| row.as_str()).collect::<Vec<_>>().join("\n");
        for part in
            ["APPROVAL NEEDED", "rm -r build", "[A]pprove", "[S]ession", "[D]eny", "(unchecked)", "╚═"]
        {
            assert!(text.contains(part), "{part} at {size:?}:\n{}", rows.join("\n"));
        }
        assert!(foot(&rows).0.starts_with("● needs an answer"), "{rows:#?}");
    }
}

#[test]
fn a_request_that_waits_is_framed_anew_for_a_screen_of_another_width() {
    let env = TestEnv::started();
    let session = env.run_fake("ask t1 rm -r build");
    let pty = Pty::sized(&env, &["attach", &session], (100, 30), KIND);
    pty.wait_for_row("› [A]pprove");
    for (columns, row) in [(44, "║ ↳ build"), (90, "║ the agent calls it (unchecked): run rm -r build")]
    {
        pty.resize(columns, 30);
        pty.wait_for_screen("a whole frame of this width", |screen| {
            let begin = screen.iter().rposition(|row| row.starts_with('╔'));
            begin.is_some_and(|at| {
                let frame = screen[at..].iter().take_while(|row| row.starts_with(['╔', '║', '╟', '╚']));
                let frame: Vec<&String> = frame.collect();
                frame.iter().any(|one| *one == row) && frame.last().is_some_and(|row| row.starts_with('╚'))
            })
        });
    }
    // Its keys count, for the same request.
    let mut ada = env.client("ada");
    ada.subscribe(&session, 0, "viewer");
    eventually("it is approved", || {
        // What was typed before it could be read is text: cleared first.
        pty.keys("\x15a");
        let info = ada.ok("get_session", json!({"session_id": session}));
        (info["session"]["state"] != "waiting_permission").then_some(())
    });
    assert_eq!(ada.fact(&session, "permission_resolved")["fact"]["outcome"], "allowed");
}

#[test]
#[cfg_attr(not(feature = "points"), ignore = "needs programs with points: --features points")]
fn a_panic_gives_the_terminal_back_and_is_read_on_it() {
    let env = TestEnv::started();
    let (session, mut pty) = window(&env, (80, 24));
    assert!(pty.is_raw());
    pty.keys("/panic\r");
    assert_ne!(pty.wait_exit(), 0);
    assert!(!pty.is_raw(), "keys are echoed and lines are lines again");
    let drawn = String::from_utf8_lossy(&pty.drawn_to_the_end()).into_owned();
    let [back, told] = ["\u{1b}[?2004l", "as asked, by /panic"].map(|part| drawn.find(part));
    assert!(back.is_some() && back < told, "the terminal is given back before a word is said: {drawn:?}");
    assert!(drawn.contains("\u{1b}[?25h"), "the cursor is seen");
    // To the session it was a leave.
    let mut ada = env.client("ada");
    eventually("nobody is attached", || {
        let members = ada.ok("who", json!({"session_id": session}))["members"].take();
        members.as_array().is_some_and(Vec::is_empty).then_some(())
    });
}

#[test]
fn the_screen_is_whole_after_every_change_of_its_size() {
    let env = TestEnv::started();
    let (session, pty) = window(&env, (100, 30));
    let mut ada = env.client("ada");
    let words = "many words in a row that will not fit into a smaller window, and some more of them\n";
    ada.prompt(
        &session,
        &format!("{}tool t1 runs\nsleep_until {}", says(&words.repeat(40)), env.path("never")),
    );
    pty.wait_for_row("⚙ runs");
    pty.keys("typed");
    for (columns, rows) in [(40, 20), (120, 40), (60, 10), (20, 30), (200, 50), (40, 20)] {
        pty.resize(columns, rows);
        let screen = pty.wait_for_screen("a whole picture", |screen| {
            let (last, typed) = foot(screen);
            let width = usize::from(columns);
            last.starts_with("● working") && typed == ["› typed"] && last.chars().count() < width
        });
        for part in ["⚙ runs", "●", "› typed"] {
            let count = screen.iter().filter(|row| row.contains(part)).count();
            assert_eq!(count, 1, "{part} at {columns}×{rows}:\n{}", screen.join("\n"));
        }
    }
}

#[test]
fn what_was_typed_comes_back_in_the_next_window() {
    let env = TestEnv::started();
    let (session, mut pty) = window(&env, (80, 24));
    pty.keys("say one\r");
    pty.wait_for_row("  one");
    pty.keys("say two\x1b\rsay three\r");
    pty.wait_for_row("  twothree");
    pty.keys("\x04");
    assert_eq!(pty.wait_exit(), 0);
    let pty = Pty::sized(&env, &["attach", &session], (80, 24), KIND);
    pty.wait_for_row("● idle");
    pty.keys("\x1b[A");
    let rows = pty.wait_for_row("› say two");
    assert!(rows.iter().any(|row| row == "  say three"), "both lines of it: {rows:#?}");
    pty.keys("\x03\x12one");
    pty.wait_for_row("› search: one · say one");
    pty.keys("\r");
    pty.wait_for_row("› say one");
}

#[test]
fn what_is_pasted_is_one_prompt() {
    let env = TestEnv::started();
    let (session, pty) = window(&env, (80, 24));
    let mut watch = env.client("watch");
    watch.subscribe(&session, 0, "viewer");
    pty.keys("\x1b[200~say a\rsay b\x1b[201~");
    pty.wait_for_row("› say a");
    pty.keys("\r");
    let input = watch.wait_for("the prompt", |message| {
        message["fact"]["kind"] == "input" && message["fact"]["content"][0]["text"] != "say ready"
    });
    assert_eq!(input["fact"]["content"][0]["text"], "say a\nsay b");
}

#[test]
fn tab_completes_commands_and_files() {
    let env = TestEnv::started();
    std::fs::create_dir(env.path("work/sources")).expect("a directory can be made");
    std::fs::write(env.path("work/sources/main.rs"), "").expect("a file can be made");
    let (session, pty) = window(&env, (80, 24));
    let mut ada = env.client("ada");
    let commands = json!([{"name": "approximate", "description": "round numbers"}]);
    let told = update(json!({"sessionUpdate": "available_commands_update", "availableCommands": commands}));
    ada.prompt(&session, &format!("{told}say they came"));
    pty.wait_for_screen("the words after them", |rows| rows.iter().any(|row| row == "  they came"));
    pty.keys("/ap\t");
    let rows = pty.wait_for_row("(agent) round numbers");
    assert!(rows.iter().any(|row| row.contains("answer the request with yes")), "{rows:#?}");
    pty.keys("\t\t");
    pty.wait_for_row("› /approximate");
    pty.keys("\x03see @so\t");
    pty.wait_for_row("› see @sources/");
    pty.keys("ma\t");
    pty.wait_for_row("› see @sources/main.rs");
}

#[test]
fn the_terminal_is_given_back_whatever_ends_the_window() {
    for signal in [Some(Signal::TERM), Some(Signal::HUP), None] {
        let env = TestEnv::started();
        let (_, mut pty) = window(&env, (80, 24));
        eventually("keys come one by one", || pty.is_raw().then_some(()));
        match signal {
            Some(signal) => processes::signal(pty.pid(), signal),
            None => pty.keys("\x04"),
        }
        assert_eq!(pty.wait_exit(), 0);
        assert!(!pty.is_raw(), "after {signal:?}");
        let bytes = String::from_utf8(pty.drawn_to_the_end()).expect("what is drawn is UTF-8");
        let last = |sequence: &str| bytes.rfind(sequence);
        assert!(last("\u{1b}[?2004l") > last("\u{1b}[?2004h") && last("\u{1b}[?25h") > last("\u{1b}[?25l"));
        assert!(!pty.screen().iter().any(|row| row.starts_with(['›', '●'])), "{:#?}", pty.screen());
    }
}

#[test]
fn a_terminal_that_obeys_nothing_gets_plain_lines() {
    let env = TestEnv::started();
    let session = env.run_fake("say ready");
    let mut pty = Pty::sized(&env, &["attach", &session], (80, 24), "dumb");
    pty.wait_for_text("ready");
    pty.keys("say plain words\r");
    let mut watch = env.client("watch");
    watch.subscribe(&session, 0, "viewer");
    watch.said(&session, "plain words");
    pty.wait_for_text("  plain words");
    pty.keys("/detach\r");
    assert_eq!(pty.wait_exit(), 0);
    assert!(!pty.drawn_bytes().contains(&0x1b), "{:?}", pty.drawn());
}

#[test]
fn wide_characters_are_typed_where_the_cursor_stands() {
    let env = TestEnv::started();
    let (_, pty) = window(&env, (40, 20));
    pty.keys("x日本e\u{301}");
    pty.wait_for_row("x日本");
    pty.keys("\x1b[D\x1b[D");
    eventually("the cursor is behind the first wide character", || (pty.cursor().1 == 5).then_some(()));
    pty.keys("\x7f");
    pty.wait_for_row("› x本");
}

#[test]
fn folded_output_unfolds() {
    let env = TestEnv::started();
    let (session, pty) = window(&env, (80, 50));
    let mut ada = env.client("ada");
    let text: String = (0..20).map(|n| format!("row {n}\n")).collect();
    let done = update(json!({"sessionUpdate": "tool_call_update", "toolCallId": "t", "status": "completed",
        "content": [{"type": "content", "content": {"type": "text", "text": text}}]}));
    let thought = json!({"type": "text", "text": "first this\nthen that, and so on"});
    let thinks = update(json!({"sessionUpdate": "agent_thought_chunk", "content": thought}));
    ada.prompt(&session, &format!("{thinks}tool t list\n{done}"));
    pty.wait_for_row("12 more lines · Ctrl-O shows all");
    let rows = pty.wait_for_row("● idle");
    assert!(rows.iter().any(|row| row.starts_with("  ~ first this … · 7 words")), "{rows:#?}");
    let is = |rows: &[String], wanted: &str| rows.iter().any(|row| row.trim() == wanted);
    assert!(!is(&rows, "row 19") && !is(&rows, "~ then that, and so on"), "{rows:#?}");
    pty.keys("\x0f");
    pty.wait_for_screen("all of the output", |rows| is(rows, "row 19"));
    pty.keys("/unfold\r");
    pty.wait_for_screen("all of the thought", |rows| is(rows, "~ then that, and so on"));
}

#[test]
fn a_question_is_answered_by_its_number_and_has_no_approval() {
    let env = TestEnv::started();
    let (session, pty) = window(&env, (80, 30));
    let (mut ada, mut watch) = (env.client("ada"), env.client("watch"));
    watch.subscribe(&session, 0, "viewer");
    let options = json!([{"optionId": "answer-0", "name": "Red", "kind": "answer"},
        {"optionId": "answer-1", "name": "Blue", "kind": "answer"},
        {"optionId": "deny", "name": "Do not answer", "kind": "reject_once"}]);
    let input = json!({"questions": [{"question": "Which colour?", "options": [{"label": "Red"}, {"label": "Blue"}]}]});
    let params = json!({"toolCall": {"toolCallId": "q", "rawInput": input}, "options": options});
    let asks = json!({"jsonrpc": "2.0", "id": "q", "method": "session/request_permission", "params": params});
    ada.prompt(&session, &format!("raw {asks}\nsleep_until {}", env.path("never")));
    let rows = pty.wait_for_row("› a number answers");
    let frame: Vec<&String> = rows.iter().filter(|row| row.starts_with(['╔', '║'])).collect();
    let has = |text: &str| frame.iter().any(|row| row.contains(text));
    assert!(has("THE AGENT ASKS") && has("asks      Which colour?") && has("[2] Blue"), "{rows:#?}");
    assert!(!has("[A]pprove") && !has("[S]ession"), "{rows:#?}");
    // Keys count once the request could be read; what is no key is text.
    pty.keys("as");
    pty.wait_for_row("› as");
    eventually("the number is taken", || {
        pty.keys("\x152");
        let info = ada.ok("get_session", json!({"session_id": session}));
        (info["session"]["state"] == "processing").then_some(())
    });
    assert_eq!(watch.fact(&session, "permission_resolved")["fact"]["option_id"], "answer-1");
}
