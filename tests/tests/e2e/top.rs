//! `vibes top` in a real terminal.

use rustix::process::Signal;
use serde_json::json;
use vibes_tests::{Pty, TestEnv, eventually, processes};

const KIND: &str = "xterm-256color";

fn named(env: &TestEnv, name: &str, prompt: &str) -> String {
    env.vibes(&["run", "fake", "--wait-ready", "-d", "--name", name, prompt]).ok().line().to_owned()
}

/// Waits until the pointer stands before this one.
fn selected(pty: &Pty, name: &str) -> Vec<String> {
    pty.wait_for_screen(name, |rows| {
        rows.iter().any(|row| row.starts_with('▸') && row.split(' ').any(|word| word == name))
    })
}

/// Waits until nobody is in a session, nor owns it.
fn left(env: &TestEnv, session: &str) {
    eventually("the window has left", || {
        let members = env.connect().ok("who", json!({"session_id": session}))["members"].take();
        members.as_array().is_some_and(Vec::is_empty).then_some(())
    });
}

#[test]
fn what_needs_a_person_stands_first_and_one_key_answers_what_is_shown() {
    let env = TestEnv::started();
    let writes = named(&env, "writes", "ask t1 rm -r build");
    let mut ada = env.client("ada");
    ada.state(&writes, "waiting_permission");
    let says = named(&env, "says", "say hello there");
    ada.state(&says, "idle");
    let pty = Pty::vibes(&env, &["top"]);
    let rows = selected(&pty, "writes");
    assert!(rows[0].contains("2 sessions · 1 needs you"), "{rows:#?}");
    let rows = pty.wait_for_row("[A]pprove");
    for part in ["command   rm -r build", "APPROVAL NEEDED", "(unchecked)", "╚═"] {
        assert!(rows.iter().any(|row| row.contains(part)), "{part}:\n{}", rows.join("\n"));
    }
    eventually("it is approved", || {
        pty.keys("a");
        let info = ada.ok("get_session", json!({"session_id": writes}));
        (info["session"]["state"] != "waiting_permission").then_some(())
    });
    let mut bob = env.client("bob");
    bob.subscribe(&writes, 0, "viewer");
    assert_eq!(bob.fact(&writes, "permission_resolved")["fact"]["outcome"], "allowed");
    // The end of its conversation is in the place of the request, and goes on as it does.
    pty.wait_for_row("answer t1 allow");
    ada.prompt(&writes, "say said meanwhile");
    pty.wait_for_row("│   said meanwhile");
    // Another that asks comes to the front, and what was selected stays so.
    ada.prompt(&says, "ask t2 ls");
    let rows = pty.wait_for_row("! says");
    assert!(rows[1].contains("! says"), "{}", rows.join("\n"));
    selected(&pty, "writes");
    pty.keys("n");
    selected(&pty, "says");
    pty.wait_for_row("command   ls");
    eventually("it is denied", || {
        pty.keys("d");
        let info = ada.ok("get_session", json!({"session_id": says}));
        (info["session"]["state"] != "waiting_permission").then_some(())
    });
    bob.subscribe(&says, 0, "viewer");
    assert_eq!(bob.fact(&says, "permission_resolved")["fact"]["outcome"], "denied");
}

#[test]
fn enter_attaches_and_detaching_comes_back() {
    let env = TestEnv::started();
    named(&env, "one", "say first words");
    named(&env, "two", "say other words");
    let mut pty = Pty::vibes(&env, &["top"]);
    pty.wait_for_row("vibes top · 2 sessions");
    pty.keys("/one");
    pty.wait_for_screen("only what fits", |rows| !rows.iter().any(|row| row.contains("two")));
    pty.keys("\r");
    selected(&pty, "one");
    pty.keys("\r");
    pty.wait_for_row("› type a prompt");
    // Every key is the window's.
    pty.keys("say quick words\r");
    pty.wait_for_row("  quick words");
    pty.keys("\x04");
    let rows = pty.wait_for_row("vibes top · 2 sessions");
    assert!(rows[0].contains("/one (1)"), "{rows:#?}");
    pty.wait_for_row("quick words");
    pty.keys("q");
    assert_eq!(pty.wait_exit(), 0);
    assert!(!pty.is_raw());
    left(&env, "one");
}

#[test]
fn looking_at_a_session_is_not_joining_it() {
    let env = TestEnv::started();
    let run = ["run", "fake", "--wait-ready", "-d", "--orphan", "remove", "--name", "shy", "say shy words"];
    let shy = env.vibes(&run).ok().line().to_owned();
    named(&env, "loud", "say loud words");
    let mut pty = Pty::vibes(&env, &["top"]);
    pty.wait_for_row("vibes top · 2 sessions");
    for (name, words) in [("shy", "shy words"), ("loud", "loud words"), ("shy", "shy words")] {
        pty.keys(&format!("/{name}\r"));
        pty.wait_for_row(&format!("/{name} (1)"));
        pty.wait_for_row(&format!("│   {words}"));
        let members = env.connect().ok("who", json!({"session_id": shy}))["members"].take();
        assert!(members.as_array().is_some_and(Vec::is_empty), "{members}");
        pty.keys("\x1b");
        pty.wait_for_screen("all of them", |rows| !rows[0].contains('/'));
    }
    pty.keys("q");
    assert_eq!(pty.wait_exit(), 0);
    assert_eq!(
        env.vibes(&["show", &shy, "--json"]).ok().json()["state"],
        "idle",
        "it would be removed by a leave"
    );
}

#[test]
fn questions_are_answered_in_words_without_leaving() {
    let env = TestEnv::started();
    let session = named(&env, "api", "say ready");
    let (mut ada, mut watch) = (env.client("ada"), env.client("watch"));
    watch.subscribe(&session, 0, "viewer");
    let pty = Pty::vibes(&env, &["top"]);
    let options = json!([{"optionId": "allow", "name": "Answer", "kind": "answer"},
        {"optionId": "deny", "name": "Do not answer", "kind": "reject_once"}]);
    let input = json!({"questions": [{"question": "Which colour?", "header": "Colour",
        "options": [{"label": "Red"}, {"label": "Blue"}]}, {"question": "Why?"}]});
    let params = json!({"toolCall": {"toolCallId": "q", "rawInput": input}, "options": options});
    let asks = json!({"jsonrpc": "2.0", "id": "q", "method": "session/request_permission", "params": params});
    ada.prompt(&session, &format!("raw {asks}\nsleep_until {}", env.path("never")));
    pty.wait_for_row("[W]ords");
    eventually("the question is begun", || {
        pty.keys("w");
        pty.screen().iter().any(|row| row.starts_with("Colour (1 of 2) ›")).then_some(())
    });
    // Those that were pressed too often stand in the answer.
    pty.keys("\x152\r");
    pty.wait_for_row("Why? (2 of 2) ›");
    pty.keys("because of the sea\r");
    // This agent takes no words, and the daemon says so; the question is still there.
    pty.wait_for_row("takes neither");
    eventually("it is not answered", || {
        pty.keys("d");
        let info = ada.ok("get_session", json!({"session_id": session}));
        (info["session"]["state"] == "processing").then_some(())
    });
    assert_eq!(watch.fact(&session, "permission_resolved")["fact"]["outcome"], "denied");
}

#[test]
fn what_ends_something_asks_first() {
    let env = TestEnv::started();
    let busy = named(&env, "busy", &format!("say at it\nsleep_until {}", env.path("never")));
    let mut ada = env.client("ada");
    ada.state(&busy, "processing");
    let pty = Pty::vibes(&env, &["top"]);
    pty.wait_for_row("● busy");
    pty.keys("i");
    pty.wait_for_row("[y/N] interrupt the turn of busy?");
    pty.keys("x");
    pty.wait_for_row("nothing was done");
    pty.keys("iy");
    pty.wait_for_row("○ busy");
    ada.state(&busy, "idle");
    pty.keys("x");
    pty.wait_for_row("[y/N] kill busy? Its agent ends.");
    pty.keys("y");
    pty.wait_for_row("No active sessions");
    assert_eq!(env.vibes(&["show", &busy, "--json"]).ok().json()["state"], "killed");
}

#[test]
fn it_fits_a_phone_and_follows_its_size() {
    let env = TestEnv::started();
    let long: String = (0..40).map(|n| format!(" part{n:02}")).collect();
    let session = named(&env, "api", &format!("ask t1 echo{long}"));
    let mut ada = env.client("ada");
    ada.state(&session, "waiting_permission");
    let pty = Pty::sized(&env, &["top"], (40, 16), KIND);
    let rows = pty.wait_for_row("below: Space reads on");
    assert!(rows.iter().all(|row| row.chars().count() < 40), "{}", rows.join("\n"));
    // A yes is for what was read; Space reads on until there is nothing more.
    eventually("it says so", || {
        pty.keys("a");
        pty.screen().iter().any(|row| row.contains("read all of it first")).then_some(())
    });
    let (mut seen, mut page) = (String::new(), Vec::new());
    let rows = pty.wait_for_screen("the end of the request", |rows| {
        // A page that is drawn whole, and another than before.
        let foot = rows.iter().position(|row| row.contains("below:") || row.contains("b goes back"));
        let Some(lines) = foot.map(|at| &rows[4..=at]).filter(|lines| *lines != page) else { return false };
        page = lines.to_vec();
        seen.push_str(&page.join("\n"));
        let end = page.last().is_some_and(|row| row.contains("b goes back"));
        if !end {
            pty.keys(" ");
        }
        end
    });
    assert!((0..40).all(|n| seen.contains(&format!("part{n:02}"))), "{seen}");
    assert!(rows.iter().any(|row| row.starts_with('╚')), "{}", rows.join("\n"));
    pty.resize(150, 40);
    pty.wait_for_screen("both beside each other", |rows| {
        rows.iter().any(|row| row.contains("│ ║ command   echo part00"))
            && rows.last().is_some_and(|row| row.contains("q quits"))
    });
    eventually("it is approved", || {
        pty.keys("a");
        let info = ada.ok("get_session", json!({"session_id": session}));
        (info["session"]["state"] != "waiting_permission").then_some(())
    });
}

#[test]
fn a_row_tells_what_is_new_and_reading_takes_it_away() {
    let env = TestEnv::started();
    let api = named(&env, "api", "say first");
    let mut ada = env.client("ada");
    ada.state(&api, "idle");
    let pty = Pty::sized(&env, &["top"], (40, 16), KIND);
    pty.wait_for_row("api          idle");
    pty.wait_for_row("+1");
    ada.prompt(&api, "say second");
    pty.wait_for_row("+2");
    pty.keys("\r");
    pty.wait_for_row("› a prompt");
    pty.keys("\x04");
    pty.wait_for_screen("nothing new", |rows| {
        rows.first().is_some_and(|row| row.contains("vibes top"))
            && !rows.iter().any(|row| row.contains("+2"))
    });
}

#[test]
fn wide_signs_keep_their_columns() {
    let env = TestEnv::started();
    let api = named(&env, "api", "say 日本語 👩\u{200d}👧 e\u{301} done");
    let pty = Pty::sized(&env, &["top"], (150, 24), KIND);
    let rows = pty.wait_for_row("│   日本語 👩👧");
    assert!(rows.iter().any(|row| row.contains("👩👧 e\u{301} done")), "{rows:#?}");
    let mut ada = env.client("ada");
    ada.prompt(&api, "say 語x then");
    let rows = pty.wait_for_row("│   語x then");
    // Whatever stood there before, the edge is where it was.
    let columns = |c: char| match c {
        '\u{301}' => 0,
        c => 1 + usize::from(c >= '\u{2e80}'),
    };
    let edge = |row: &String| row.split('│').next().map(|list| list.chars().map(columns).sum::<usize>());
    let edges: Vec<_> = rows[1..22].iter().map(edge).collect();
    assert!(edges.iter().all(|edge| *edge == edges[0]), "{rows:#?}");
}

#[test]
fn where_it_cannot_draw_it_says_what_can_be_had() {
    let env = TestEnv::new();
    let ran = env.vibes(&["top"]).exits(2);
    assert!(ran.stderr.contains("terminal") && ran.stderr.contains("vibes ls --watch"), "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
    let mut pty = Pty::sized(&env, &["top"], (80, 24), "dumb");
    assert_eq!(pty.wait_exit(), 2);
    env.vibes(&["daemon", "status"]).exits(4);
}

#[test]
#[cfg_attr(not(feature = "points"), ignore = "needs programs with points: --features points")]
fn whatever_ends_it_gives_the_terminal_back() {
    let env = TestEnv::started();
    named(&env, "api", "say ready");
    for how in ["q", "\x03", "\x04", "TERM", "panic"] {
        let mut pty = Pty::vibes(&env, &["top"]);
        selected(&pty, "api");
        assert!(pty.is_raw());
        match how {
            "TERM" => processes::signal(pty.pid(), Signal::TERM),
            "panic" => pty.keys("!"),
            keys => pty.keys(keys),
        }
        let code = pty.wait_exit();
        assert_eq!(code == 0, how != "panic", "{how}: {code}");
        assert!(!pty.is_raw(), "{how}");
        let drawn = String::from_utf8_lossy(&pty.drawn_to_the_end()).into_owned();
        let at = |part: &str| drawn.rfind(part).unwrap_or_else(|| panic!("{how}: no {part:?}"));
        assert!(at("\u{1b}[?1049l") > at("\u{1b}[?1049h"), "{how}: the other screen is left");
        assert!(at("\u{1b}[?25h") > at("\u{1b}[?25l"), "{how}: the cursor is seen");
        if how == "panic" {
            assert!(at("as asked") > at("\u{1b}[?1049l"), "it is read where it stays");
        }
    }
}

#[test]
fn a_signal_that_comes_while_a_window_is_attached_ends_both() {
    let env = TestEnv::started();
    named(&env, "api", "say ready");
    let mut pty = Pty::vibes(&env, &["top"]);
    selected(&pty, "api");
    pty.keys("\r");
    pty.wait_for_row("› type a prompt");
    processes::signal(pty.pid(), Signal::TERM);
    assert_eq!(pty.wait_exit(), 0);
    assert!(!pty.is_raw());
    left(&env, "api");
}

#[test]
fn a_window_that_dies_takes_nothing_with_it() {
    let env = TestEnv::started();
    named(&env, "api", "say ready");
    let mut pty = Pty::vibes(&env, &["top"]);
    selected(&pty, "api");
    pty.keys("\r");
    pty.wait_for_row("› type a prompt");
    let [window] = processes::children(pty.pid())[..] else { panic!("it has one child") };
    processes::signal(window, Signal::KILL);
    pty.wait_for_row("the attached window ended with an error");
    selected(&pty, "api");
    pty.keys("q");
    assert_eq!(pty.wait_exit(), 0);
    // The window could not give it back.
    assert!(!pty.is_raw());
}

#[test]
fn a_stop_gives_the_terminal_back_and_going_on_takes_it_again() {
    let env = TestEnv::started();
    named(&env, "api", "say ready");
    let mut pty = Pty::vibes(&env, &["top"]);
    selected(&pty, "api");
    let stat = format!("/proc/{}/stat", pty.pid());
    let stopped = || {
        let stat = std::fs::read_to_string(&stat).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T")).then_some(())
    };
    for how in ["key", "signal", "by force"] {
        match how {
            "key" => pty.keys("\x1a"),
            "signal" => processes::signal(pty.pid(), Signal::TSTP),
            _ => processes::signal(pty.pid(), Signal::STOP),
        }
        eventually("it has stopped", stopped);
        assert_eq!(pty.is_raw(), how == "by force", "{how}");
        let before = pty.drawn_bytes().len();
        processes::signal(pty.pid(), Signal::CONT);
        eventually("it draws all of it again", || {
            String::from_utf8_lossy(&pty.drawn_bytes()[before..]).contains("vibes top").then_some(())
        });
        assert!(pty.is_raw(), "{how}");
        selected(&pty, "api");
    }
    pty.keys("q");
    assert_eq!(pty.wait_exit(), 0);
    assert!(!pty.is_raw());
}

#[test]
fn it_follows_over_a_restart_of_the_daemon() {
    let env = TestEnv::started();
    let api = named(&env, "api", "say ready");
    let pty = Pty::vibes(&env, &["top"]);
    pty.wait_for_row("│   ready");
    env.daemon().kill9();
    env.daemon();
    let mut ada = env.client("ada");
    ada.prompt(&api, "say after the crash");
    pty.wait_for_row("│   after the crash");
}

#[test]
fn what_an_agent_says_cannot_drive_the_terminal() {
    let env = TestEnv::started();
    let evil = "a\u{1b}]52;c;QUFB\u{7}\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}2Jz";
    let session = env.run_fake(&format!("say {evil}"));
    let pty = Pty::vibes(&env, &["top"]);
    pty.wait_for_row("│   a␛]52;c;QUFB␇");
    let mut ada = env.client("ada");
    ada.prompt(&session, &format!("ask t1 {evil}"));
    pty.wait_for_row("║ command   a␛]52");
    let drawn = pty.drawn_bytes();
    // The last character may not be whole yet.
    let drawn = String::from_utf8_lossy(&drawn);
    for escape in ["\u{1b}]", "\u{9b}", "\u{7}"] {
        assert!(!drawn.contains(escape), "{drawn:?}");
    }
    // It clears the screen itself, once for each time that it takes it.
    assert_eq!(drawn.matches("\u{1b}[2J").count(), 1);
}

#[test]
fn however_much_happens_ten_pictures_a_second_are_drawn_at_most() {
    let env = TestEnv::started();
    let mut ada = env.client("ada");
    // Each is told of four times a second at most, so it takes many.
    let all: Vec<String> = (0..16).map(|n| named(&env, &format!("s{n}"), "say ready")).collect();
    let pty = Pty::vibes(&env, &["top"]);
    pty.wait_for_row("vibes top · 16 sessions");
    let begun = std::time::Instant::now();
    let before = pty.drawn_bytes().len();
    for round in 0..25 {
        for (n, session) in all.iter().enumerate() {
            ada.ok("update_session", json!({"session_id": session, "name": format!("n{n}x{round}")}));
        }
    }
    ada.ok("update_session", json!({"session_id": all[0], "name": "at-last"}));
    pty.wait_for_row("at-last");
    let seconds = begun.elapsed().as_secs_f64();
    let bytes = pty.drawn_bytes();
    let pictures = String::from_utf8_lossy(&bytes[before..]).matches("\u{1b}[?2026h").count();
    assert!((pictures as f64) < seconds * 10.5 + 2.0, "{pictures} pictures in {seconds} s");
}
