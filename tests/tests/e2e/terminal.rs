//! What agents and other people write, on a terminal: every place it is shown in, against what terminals obey.
//!
//! The programs run in a real terminal and what they drew is read as bytes. Without colours (`NO_COLOR`) a command
//! that draws and ends has no business with any escape sequence, so none may come at all; what the attached window's
//! drawing needs is named.

use serde_json::{Value, json};
use vibes_tests::{Pty, TestEnv, Wire, eventually};

/// Sequences that have hurt people, whole and cut short, each with a word to find it by.
const PAYLOADS: &[&str] = &[
    "p01\x1b]52;c;ZXZpbA==\x07",
    "p02\x1b]52;c;ZXZpbA==\x1b\\",
    "p03\x1b]0;owned\x07",
    "p04\x1b]2;owned\x1b\\",
    "p05\x1b]8;;http://evil\x1b\\click\x1b]8;;\x1b\\",
    "p06\x1bP+q544e\x1b\\",
    "p07\x1bP1$r0m\x1b\\",
    "p08\x1b_Gf=100;AAAA\x1b\\",
    "p09\x1b^private\x1b\\",
    "p10\x1bXsos\x1b\\",
    "p11\x1b[2J\x1b[H\x1b[3J",
    "p12\x1b[6n\x1b[c\x1b[>c\x1b[5n",
    "p13\x1b[?1049h\x1b[?25l\x1b[?2004l",
    "p14\x1b[8mhidden\x1b[0m\x1b[31mred",
    "p15\x1b[1A\x1b[2Kover\x1b[1G",
    "p16\x1bc\x1b#8\x1b(0\x0e\x0f",
    "p17\u{9b}2J\u{9b}31m",
    "p18\u{9d}0;owned\u{9c}",
    "p19\u{90}q\u{9c}\u{98}\u{9e}\u{9f}\u{85}\u{84}",
    "p20\u{202e}txt.exe\u{202c}\u{2066}\u{2069}\u{200f}",
    "p21rm\u{200b} -rf\u{feff}\u{2060}",
    "p22safe\rEVIL\x08\x08\x7f",
    "p23\0\x01\x05\x07\x0b\x0c\x1a\x1c",
    "p24\u{2028}line\u{2029}paragraph",
    "p25\x1b]0;never ended",
    "p26\x1bP never ended",
    "p27\x1b[",
    "p28\x1b",
];

/// What an attached window sends for itself, digits taken out.
const EDITORS: &[&str] = &["[?h", "[?l", "[K", "[J", "[A", "[B", "[C", "[D", "[m", "[G", "[H", "[t"];

/// What a window drew, without the titles that it sets itself: words of ours around a name, nothing to obey in them.
fn untitled(drawn: &[u8]) -> Vec<u8> {
    const BEGIN: &str = "\u{1b}]0;";
    const END: &str = " · vibes\u{7}";
    let text = String::from_utf8(drawn.to_vec()).expect("what is drawn is UTF-8");
    let mut rest = text.as_str();
    let mut out = String::new();
    while let Some((before, behind)) = rest.split_once(BEGIN) {
        let (title, behind) = behind.split_once(END).expect("a title ends as ours do");
        assert!(!title.chars().any(char::is_control), "{title:?}");
        out.push_str(before);
        rest = behind;
    }
    out.push_str(rest);
    out.into_bytes()
}

/// What a terminal would obey, as far as it is not allowed.
fn obeyed(drawn: &[u8], allowed: &[&str]) -> Vec<String> {
    let text = String::from_utf8(drawn.to_vec()).expect("what is drawn is UTF-8");
    let mut found = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let bidi = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c == '\u{1b}' {
            let mut sequence = String::new();
            if chars.next_if_eq(&'[').is_some() {
                sequence.push('[');
                for c in chars.by_ref() {
                    sequence.extend(Some(c).filter(|c| !c.is_ascii_digit() && *c != ';'));
                    if ('@'..='~').contains(&c) {
                        break;
                    }
                }
            }
            if !allowed.contains(&sequence.as_str()) {
                found.push(format!("ESC {sequence:?}"));
            }
        } else if bidi || c.is_control() && !matches!(c, '\n' | '\t' | '\r') {
            found.push(format!("{c:?}"));
        }
    }
    found
}

/// An update as a line of the script.
fn update(update: &Value) -> String {
    let params = json!({"update": update});
    format!("raw {}\n", json!({"jsonrpc": "2.0", "method": "session/update", "params": params}))
}

/// Everything an agent can have shown, with the payload in each place of it.
fn everything(evil: &str) -> String {
    let text = json!({"type": "text", "text": format!("{evil}\n")});
    let change =
        json!({"type": "diff", "path": evil, "oldText": format!("{evil}-"), "newText": format!("{evil}+")});
    let output = json!({"type": "content", "content": text});
    let option =
        json!({"id": "o", "name": evil, "currentValue": evil, "options": [{"value": evil, "name": evil}]});
    [
        json!({"sessionUpdate": "agent_message_chunk", "content": text}),
        json!({"sessionUpdate": "agent_thought_chunk", "content": text}),
        json!({"sessionUpdate": "user_message_chunk", "content": text}),
        json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "resource_link", "uri": evil, "name": evil}}),
        json!({"sessionUpdate": "tool_call", "toolCallId": evil, "title": evil, "kind": evil, "rawInput": {"x": evil},
            "status": "in_progress", "locations": [{"path": evil}]}),
        json!({"sessionUpdate": "tool_call_update", "toolCallId": evil, "status": "completed", "title": evil,
            "content": [output, change]}),
        json!({"sessionUpdate": "tool_call", "toolCallId": "f", "title": evil, "status": "failed"}),
        json!({"sessionUpdate": "plan", "entries": [{"content": evil, "status": evil, "priority": evil}]}),
        json!({"sessionUpdate": "current_mode_update", "currentModeId": evil}),
        json!({"sessionUpdate": "config_option_update", "configOptions": [option]}),
        json!({"sessionUpdate": "session_info_update", "title": evil}),
        json!({"sessionUpdate": "available_commands_update", "availableCommands": [{"name": evil, "description": evil}]}),
        json!({"sessionUpdate": evil, "content": text}),
    ]
    .iter()
    .map(update)
    .collect()
}

/// A permission request with the payload in each place of it, as a line of the script.
fn question(evil: &str) -> String {
    let params = json!({
        "toolCall": {"toolCallId": evil, "title": evil, "kind": evil, "rawInput": {"command": evil, evil: evil},
            "content": [{"type": "diff", "path": evil, "oldText": evil, "newText": format!("{evil}+")}]},
        "options": [{"optionId": evil, "name": evil, "kind": "allow_once"},
            {"optionId": "no", "name": evil, "kind": "reject_once"}],
    });
    format!(
        "raw {}\n",
        json!({"jsonrpc": "2.0", "id": "q", "method": "session/request_permission", "params": params})
    )
}

/// Runs a command to its end in a terminal; gives what it drew.
fn drawn(env: &TestEnv, args: &[&str]) -> Vec<u8> {
    let mut pty = Pty::vibes(env, args);
    pty.wait_exit();
    pty.drawn_to_the_end()
}

#[track_caller]
fn clean(env: &TestEnv, args: &[&str], proof: &str) {
    let bytes = drawn(env, args);
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains(proof), "vibes {args:?} shows nothing of it: {text:?}");
    assert_eq!(obeyed(&bytes, &[]), Vec::<String>::new(), "vibes {args:?} drew {text:?}");
}

/// A session whose agent said everything with every payload, with a question that waits; the words before it prove
/// that it was read.
fn evil_session(env: &TestEnv, ada: &mut Wire) -> String {
    let cwd = env.path("work/d\x1b]0;owned\x07\u{202e}d");
    std::fs::create_dir(&cwd).expect("a directory may be called anything");
    let session = ada.create(
        env,
        json!({"cwd": cwd, "subscribe": true, "description": PAYLOADS.concat(),
        "metadata": {PAYLOADS.concat(): PAYLOADS.concat()}}),
    );
    let script: String = PAYLOADS.iter().map(|evil| everything(evil)).collect();
    let failing: String = PAYLOADS.iter().filter(|evil| !evil.contains('\0')).copied().collect();
    ada.prompt(&session, &format!("{script}say the end of it\nerror 5 {failing}"));
    ada.fact(&session, "turn_ended");
    let words = PAYLOADS.concat();
    let bytes: String = words.bytes().map(|byte| format!("{byte:02x}")).collect();
    ada.prompt(&session, &format!("bytes {bytes} 0a\n{}sleep_until {}", question(&words), env.path("never")));
    ada.permission(&session);
    session
}

#[test]
fn fault_86_nothing_that_is_shown_drives_the_terminal() {
    let env = TestEnv::with(&[("NO_COLOR", "1")]);
    env.daemon();
    let mut ada = env.client("ada\x1b]0;owned\x07");
    let session = evil_session(&env, &mut ada);
    clean(&env, &["logs", &session], "the end of it");
    clean(&env, &["logs", "--json", &session], "p28");
    clean(&env, &["ls"], &session[..8]);
    clean(&env, &["ls", "--json"], "p28");
    clean(&env, &["show", &session], "p28");
    clean(&env, &["show", "--json", &session], "p28");
    clean(&env, &["who", &session], "ada");
    clean(&env, &["kill", "no\x1b]0;owned\x07such\u{9b}2J"], "such");
    clean(&env, &["approve", &session, "--permission", "no\x1b[2Jsuch"], "such");
    clean(&env, &["approve", &session, "--option", "no\x1b[2Jsuch"], "such");
    clean(&env, &["deny", &session, "--message", "no\x1b[2J"], "denied");
    clean(&env, &["logs", &session], "denied");
}

#[test]
fn fault_86_an_attached_window_obeys_its_editor_only() {
    let env = TestEnv::with(&[("NO_COLOR", "1")]);
    env.daemon();
    let mut ada = env.client("ada");
    let session = evil_session(&env, &mut ada);
    let mut pty = Pty::vibes(&env, &["attach", &session]);
    pty.wait_for_text("APPROVAL NEEDED");
    pty.wait_for_text("[D]eny");
    pty.keys("\x04");
    pty.wait_exit();
    let bytes = pty.drawn_to_the_end();
    let bytes = untitled(&bytes);
    assert_eq!(obeyed(&bytes, EDITORS), Vec::<String>::new(), "{}", pty.drawn());
    // What the editor may send is no loophole: the payloads' own forms of it did not come through.
    for evil in
        ["\x1b[2J", "\x1b[3J", "\x1b[?1049h", "\x1b[?2004l\u{9b}", "\x1b[8m", "\x1b[31m", "\x1b[2Kover"]
    {
        assert!(!String::from_utf8_lossy(&bytes).contains(evil), "{evil:?} came through");
    }
}

#[test]
fn fault_86_last_words_and_reasons_of_agents_that_failed_are_clean_too() {
    let env = TestEnv::with(&[("NO_COLOR", "1")]);
    env.daemon();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    for _ in 0..4 {
        ada.state(&session, "idle");
        ada.prompt(&session, &format!("stderr 0 {}\nexit 3", PAYLOADS.concat().replace(['\n', '\r'], " ")));
        ada.fact(&session, "agent_stderr");
    }
    ada.state(&session, "failed");
    clean(&env, &["logs", &session], "p28");
    clean(&env, &["ls", "--all"], &session[..8]);
    clean(&env, &["show", &session], "p28");
    let attached = drawn(&env, &["attach", &session]);
    assert_eq!(obeyed(&untitled(&attached), EDITORS), Vec::<String>::new());
    clean(&env, &["wait", &session], "p28");
}

#[test]
fn fault_86_a_sequence_of_a_megabyte_that_never_ends_swallows_nothing() {
    let env = TestEnv::with(&[("NO_COLOR", "1")]);
    env.daemon();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    ada.prompt(&session, "say \x1b]52;c;\nbigchunk 1000000\nsay \u{9d}0;\nbigchunk 1000\nsay  the end of it");
    ada.fact(&session, "turn_ended");
    clean(&env, &["logs", &session], "the end of it");
    clean(&env, &["ls"], &session[..8]);
}

#[test]
fn fault_86_sequences_cut_between_two_chunks_are_no_sequences() {
    let env = TestEnv::with(&[("NO_COLOR", "1")]);
    env.daemon();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let pieces = PAYLOADS.iter().flat_map(|evil| evil.chars()).filter(|c| *c != '\n');
    let script: String = pieces
        .map(|c| {
            update(&json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": c}}))
        })
        .collect();
    ada.prompt(&session, &format!("{script}say  the end of it"));
    ada.fact(&session, "turn_ended");
    clean(&env, &["logs", &session], "the end of it");
}

#[test]
fn fault_87_a_box_that_the_agent_draws_is_seen_to_be_the_agents() {
    let env = TestEnv::with(&[("NO_COLOR", "1")]);
    env.daemon();
    let mut ada = env.client("ada");
    let session = ada.create(&env, json!({"subscribe": true}));
    let forged = "╔══ APPROVAL NEEDED · fake · api\n║ tool      forged\n║ command   ls\n╟────\n\
                  ║ [A]pprove   [D]eny\n╚════\n? asks for approval: forged";
    let text = |kind: &str| json!({"sessionUpdate": kind, "content": {"type": "text", "text": format!("{forged}\n")}});
    let tool =
        json!({"sessionUpdate": "tool_call", "toolCallId": "t", "title": forged, "status": "in_progress"});
    let lines = [text("agent_message_chunk"), text("agent_thought_chunk"), text("user_message_chunk"), tool];
    let script: String = lines.iter().map(update).collect();
    ada.prompt(&session, &format!("{script}ask t1 rm -r build"));
    ada.permission(&session);
    let pty = Pty::vibes(&env, &["attach", &session]);
    // The prompt and the forged box say the same words: the real box is there when it is whole at the edge.
    let edges = |drawn: &str| -> Vec<String> {
        drawn.lines().filter(|line| line.starts_with(['╔', '║', '╟', '╚'])).map(str::to_owned).collect()
    };
    let drawn = eventually("the real box stands at the edge", || {
        // With what scrolled out of the screen, as a person finds it.
        let drawn = pty.transcript().join("\n");
        let edges = edges(&drawn);
        (edges.iter().any(|line| line.contains("rm -r build"))
            && edges.iter().any(|line| line.starts_with('╚')))
        .then_some(drawn)
    });
    let edges = edges(&drawn);
    assert!(!edges.iter().any(|line| line.contains("forged")), "a forged one stands at the edge:\n{drawn}");
    let mut announced = drawn.lines().filter(|line| line.starts_with("? asks"));
    assert!(announced.all(|line| !line.contains("forged")), "so does a forged announcement:\n{drawn}");
}
