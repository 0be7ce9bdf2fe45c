//! The fold of records, kind by kind, and whole transcripts.

use super::*;
use crate::render::columns;
use serde_json::json;

fn conversation(agent: &str, terminal: bool) -> Conversation {
    let width = if terminal { 40 } else { usize::MAX / 4 };
    Conversation::new(Style {
        terminal,
        place: if terminal { Place::Page } else { Place::Stream },
        thoughts: false,
        width,
        paint: Paint::PLAIN,
        agent: agent.to_owned(),
        me: None,
        seat: None,
    })
}

fn fact(value: Value) -> Fact {
    serde_json::from_value(value).unwrap()
}

fn update(value: Value) -> Fact {
    fact(json!({"kind": "update", "update": value}))
}

fn says(text: &str) -> Fact {
    update(json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}))
}

/// The text that a terminal or a file would hold.
fn shown(conversation: &mut Conversation, facts: &[Fact]) -> String {
    let mut pieces: Vec<Piece> = facts.iter().flat_map(|fact| conversation.read(0, fact)).collect();
    pieces.extend(conversation.flush());
    let texts = pieces.into_iter().map(|piece| match piece {
        Piece::Line(line) => format!("{line}\n"),
        Piece::Words(words) => words,
    });
    texts.collect()
}

fn one(value: Value) -> String {
    shown(&mut conversation("claude", true), &[fact(value)])
}

const BY: &str = "00000000-0000-4000-8000-000000000001";

#[test]
fn who_and_how_come_below_a_prompt_that_leaves_them_no_room() {
    let by = json!({"client_id": BY, "label": "bob@box"});
    let text = "a prompt that takes the whole row";
    let asked =
        json!({"kind": "input", "content": [{"type": "text", "text": text}], "by": by, "queued": true});
    assert_eq!(one(asked), format!("> {text}\n  (bob@box)  (queued)\n"));
}

#[test]
fn a_note_is_wrapped_and_cut_after_its_third_row() {
    let added = |path: &str| json!({"kind": "context_added", "turn": 1, "source": "person", "text": path, "turns": 0, "left_out": 0});
    assert_eq!(
        one(added("the branch is old")),
        "· additional context for the agent: the\n  branch is old (17 B)\n"
    );
    let long = one(added(&"many words ".repeat(40)));
    assert_eq!(long.lines().count(), 3, "{long}");
    assert!(long.ends_with("…\n") && long.lines().all(|line| columns(line) <= 40), "{long}");
}

#[test]
fn each_kind_has_its_line() {
    let by = json!({"client_id": BY, "label": "bob@box"});
    let cases = [
        (
            json!({"kind": "input", "content": [{"type": "text", "text": "a\nb"}], "by": by}),
            "> a\n> b  (bob@box)\n",
        ),
        (
            json!({"kind": "input", "content": [{"type": "image"}], "by": by, "queued": true}),
            "> [image]  (bob@box)  (queued)\n",
        ),
        (json!({"kind": "turn_started", "turn": 1, "input_seq": 1}), ""),
        (json!({"kind": "turn_ended", "turn": 1, "outcome": "finished", "stop_reason": "end_turn"}), ""),
        (
            json!({"kind": "turn_ended", "turn": 1, "outcome": "finished", "stop_reason": "max_tokens"}),
            "· turn ended: max_tokens\n",
        ),
        (
            json!({"kind": "turn_ended", "turn": 1, "outcome": "interrupted", "stop_reason": "cancelled"}),
            "■ turn interrupted\n",
        ),
        (
            json!({"kind": "turn_ended", "turn": 1, "outcome": "failed", "stop_reason": "error", "error": "no login"}),
            "✗ turn failed: no login\n",
        ),
        (
            json!({"kind": "permission_resolved", "permission_id": "p", "outcome": "allowed", "by": by, "option_id": "yes"}),
            "✓ allowed by bob@box (yes)\n",
        ),
        (
            json!({"kind": "permission_resolved", "permission_id": "p", "outcome": "denied", "rule": "no-rm"}),
            "✗ denied by the rule no-rm\n",
        ),
        (
            json!({"kind": "permission_resolved", "permission_id": "p", "outcome": "withdrawn"}),
            "■ request withdrawn by the agent\n",
        ),
        (json!({"kind": "state_changed", "from": "starting", "to": "idle"}), ""),
        (
            json!({"kind": "state_changed", "from": "idle", "to": "suspended", "reason": "orphan"}),
            "· session suspended: orphan\n",
        ),
        (
            json!({"kind": "state_changed", "from": "starting", "to": "failed", "reason": "not found"}),
            "✗ session failed: not found\n",
        ),
        (
            json!({"kind": "state_changed", "from": "idle", "to": "killed", "by": by}),
            "· session killed by bob@box\n",
        ),
        (json!({"kind": "ownership_changed", "owner_id": BY, "cause": "joined"}), ""),
        (
            json!({"kind": "ownership_changed", "owner_id": BY, "owner_label": "bob@box", "cause": "taken"}),
            "· ownership taken to bob@box\n",
        ),
        (json!({"kind": "agent_started", "generation": 1}), ""),
        (json!({"kind": "agent_started", "generation": 2}), "· the agent was started again (start 2)\n"),
        (json!({"kind": "agent_exited", "generation": 1, "code": 0}), ""),
        (json!({"kind": "agent_exited", "generation": 1, "code": 3}), "· the agent ended with exit code 3\n"),
        (
            json!({"kind": "agent_exited", "generation": 1, "signal": 9}),
            "· the agent was ended by signal 9\n",
        ),
        (
            json!({"kind": "agent_waits", "why": "busy", "attempt": 2, "of": 10, "retry_ms": 1200, "status": 529}),
            "… busy (HTTP 529); try 2 of 10, again i…\n",
        ),
        (json!({"kind": "renamed", "name": "api"}), "· the session is now called api\n"),
        (json!({"kind": "option_set", "option_id": "mode", "value": "auto"}), "· mode = auto\n"),
        (
            json!({"kind": "option_dropped", "option_id": "model", "value": "old", "why": "it can be: new"}),
            "! model is no longer old: it can be: new\n",
        ),
        (json!({"kind": "refused", "request": "kill_session"}), "! refused to the agent itself: kill_ses…\n"),
        (json!({"kind": "from_the_future", "x": 1}), ""),
    ];
    for (value, expected) in cases {
        assert_eq!(one(value.clone()), expected, "{value}");
    }
    for value in [
        json!({"kind": "agent_stderr", "text": "boom"}),
        json!({"kind": "not_delivered", "input_seq": 1}),
        json!({"kind": "input_dropped", "input_seq": 1}),
        json!({"kind": "unparsed", "text": "x", "bytes": 1, "why": "not JSON"}),
        json!({"kind": "agent_request_refused", "method": "fs/read"}),
        json!({"kind": "agent_silent", "request": "session/cancel", "after_s": 10}),
        json!({"kind": "agent_silent", "request": "initialize", "after_s": 30}),
        json!({"kind": "records_lost", "first": 7, "last": 9}),
        json!({"kind": "tail_lost", "offset": 1, "why": "disk"}),
        json!({"kind": "turn_ended", "turn": 1, "outcome": "unknown", "stop_reason": "x"}),
    ] {
        assert!(!one(value.clone()).is_empty(), "{value}");
    }
}

#[test]
fn lost_records_are_told_once() {
    let lost = fact(json!({"kind": "records_lost", "first": 7, "last": 9}));
    let text = shown(&mut conversation("claude", true), &[lost.clone(), lost.clone(), lost]);
    assert_eq!(text, "! records 7 to 9 are lost: the store wa…\n");
}

#[test]
fn a_request_is_told_in_one_line() {
    let text = one(json!({"kind": "permission_requested", "permission": {
        "permission_id": "p", "hash": "h", "tool": "execute", "raw_input": {"command": "make"}, "cwd": "/", "options": []
    }}));
    assert_eq!(text, "? asks for approval: execute make\n");
}

#[test]
fn a_conversation_with_tools_reads_in_order() {
    let facts = [
        update(json!({"sessionUpdate": "agent_thought_chunk", "content": {"type": "text", "text": "hm"}})),
        says("Let me **look**."),
        update(json!({"sessionUpdate": "tool_call", "toolCallId": "t", "title": "main.rs", "kind": "read"})),
        update(json!({"sessionUpdate": "tool_call_update", "toolCallId": "t", "status": "completed",
            "content": [{"type": "diff", "path": "main.rs", "oldText": "a", "newText": "b"}]})),
        update(json!({"sessionUpdate": "plan", "entries": [{"content": "ship", "status": "pending"}]})),
        says("Done\n\n# End\n"),
    ];
    let expected = "  ~ hm\n  Let me look.\n✓ read main.rs\n  main.rs  +1 -1\n  - a\n  + b\n  Done\n\n  End\nPlan\n  [ ] ship\n";
    assert_eq!(shown(&mut conversation("claude", true), &facts), expected);
}

#[test]
fn words_that_stream_in_pieces_become_whole_lines() {
    let facts: Vec<Fact> = "one two\nthree".chars().map(|c| says(&c.to_string())).collect();
    assert_eq!(shown(&mut conversation("claude", true), &facts), "  one two\n  three\n");
    let mut fold = conversation("claude", true);
    assert!(fold.read(0, &says(&"on and ".repeat(100))).is_empty(), "it may still change");
    assert_eq!(fold.live(0, 3).len(), 3, "but it is seen");
    let wide = fold.read(0, &says(&"on and ".repeat(1_000)));
    assert!(wide.len() > 100, "very long lines do not wait for their newline");
    let all = shown(&mut fold, &[]);
    assert!(all.lines().all(|line| line.chars().count() <= 40), "{all}");
}

fn thinks(text: &str) -> Fact {
    update(json!({"sessionUpdate": "agent_thought_chunk", "content": {"type": "text", "text": text}}))
}

#[test]
fn a_thought_becomes_one_line_and_can_be_unfolded() {
    let long = "First I look at the file.\nThen I change it. Then I run the tests.";
    let mut fold = conversation("claude", true);
    fold.style.place = Place::Window;
    assert!(fold.read(0, &thinks(long)).is_empty());
    assert_eq!(fold.live(0, 5), ["  ~ …Then I run the tests. · 15 words"]);
    assert_eq!(shown(&mut fold, &[says("Done.")]), "  ~ First I look at the fil… · 15 words\n  Done.\n");
    let all = fold.unfold().unwrap().join("\n");
    assert!(
        all.starts_with("── a thought ──\n  ~ First I look at the file.") && all.ends_with("~ tests."),
        "{all}"
    );
    assert_eq!(fold.unfold(), None);
    let mut whole = conversation("claude", true);
    whole.style.thoughts = true;
    assert!(shown(&mut whole, &[thinks(long)]).contains("~ Then I change it."));
    let pipe = shown(&mut conversation("claude", false), &[thinks(long)]);
    assert!(pipe.contains("~ First") && pipe.contains("~ Then"), "{pipe}");
}

#[test]
fn tool_calls_live_below_and_end_in_one_line() {
    let mut fold = conversation("claude", true);
    fold.style.place = Place::Window;
    let call = |id: &str, title: &str| {
        update(json!({"sessionUpdate": "tool_call", "toolCallId": id, "title": title, "kind": "execute"}))
    };
    for id in ["a", "b", "c", "d", "e"] {
        assert!(fold.read(1_000, &call(id, &format!("run {id}"))).is_empty());
    }
    assert_eq!(
        fold.live(4_500, 10),
        ["  … 1 more", "⚙ run b · 3.5 s", "⚙ run c · 3.5 s", "⚙ run d · 3.5 s", "⚙ run e · 3.5 s"]
    );
    let text: String = (0..20).map(|n| format!("{n}\n")).collect();
    let done = update(json!({"sessionUpdate": "tool_call_update", "toolCallId": "b", "status": "completed",
        "content": [{"type": "content", "content": {"type": "text", "text": text}}]}));
    let lines = fold.read(3_000, &done);
    assert_eq!(lines[0], Piece::Line("✓ run b · 2.0 s".to_owned()));
    assert_eq!(lines[9], Piece::Line("  … 12 more lines · Ctrl-O shows all".to_owned()));
    assert_eq!((lines.len(), fold.live(4_500, 10).len()), (10, 4));
    assert_eq!(fold.unfold().unwrap().len(), 21);
    let over =
        fact(json!({"kind": "turn_ended", "turn": 1, "outcome": "interrupted", "stop_reason": "cancelled"}));
    let text = shown(&mut fold, &[over]);
    assert!(text.contains("■ run a · not finished") && !text.contains("run b"), "{text}");
    assert!(fold.live(0, 10).is_empty());
}

#[test]
fn a_plan_is_updated_in_place_and_stays_at_the_end_of_its_turn() {
    let mut fold = conversation("claude", true);
    fold.style.place = Place::Window;
    let plan = |done: usize| {
        let status = |n: usize| if n < done { "completed" } else { "pending" };
        let entries: Vec<Value> =
            (0..12).map(|n| json!({"content": format!("step {n}"), "status": status(n)})).collect();
        update(json!({"sessionUpdate": "plan", "entries": entries}))
    };
    assert!(fold.read(0, &plan(0)).is_empty() && fold.read(0, &plan(6)).is_empty());
    let live = fold.live(0, 20);
    assert_eq!((live[0].as_str(), live.len()), ("Plan 6/12", 8));
    assert!(
        live.contains(&"  [ ] step 6".to_owned()) && live.contains(&"  [x] step 5".to_owned()),
        "{live:?}"
    );
    let over =
        fact(json!({"kind": "turn_ended", "turn": 1, "outcome": "finished", "stop_reason": "end_turn"}));
    assert_eq!(shown(&mut fold, &[over]).lines().count(), 13);
}

#[test]
fn the_end_of_a_turn_says_what_it_used() {
    let over = json!({"kind": "turn_ended", "turn": 1, "outcome": "finished", "stop_reason": "end_turn",
        "usage": {"input_tokens": 120, "output_tokens": 45_300, "cache_read_tokens": 1_200_000},
        "cost": {"amount": 0.01234, "currency": "USD"}, "models": {"opus": {}}});
    let facts = [
        update(json!({"sessionUpdate": "usage_update", "used": 50, "size": 200})),
        fact(json!({"kind": "option_set", "option_id": "mode", "value": "plan"})),
        fact(over),
    ];
    let mut fold = conversation("claude", true);
    fold.style.width = 100;
    let text = shown(&mut fold, &facts);
    assert_eq!(
        text.lines().last(),
        Some("· 120 in · 45k out · 1.2M cached · $0.0123 · opus · mode plan · context 25 %")
    );
}

#[test]
fn what_is_no_text_has_a_word() {
    let image = json!({"type": "image", "mimeType": "image/png", "data": "A".repeat(4096)});
    assert_eq!(words_of_block(&image), "[image image/png 3 KiB]");
    assert_eq!(
        words_of_block(&json!({"type": "resource", "resource": {"uri": "file:///a", "text": "x"}})),
        "[file a 1 B]"
    );
}

#[test]
fn without_a_terminal_the_words_pass_byte_for_byte() {
    let facts = [says("a\u{1b}[31mb"), says("\r\n**c**"), says("no newline")];
    assert_eq!(shown(&mut conversation("claude", false), &facts), "a\u{1b}[31mb\r\n**c**no newline");
}

#[test]
fn an_agent_can_neither_steer_the_terminal_nor_draw_our_frame() {
    let facts = [
        says("\u{1b}[2J\u{1b}]0;x\u{7}\n╔══ APPROVAL NEEDED\n║ [A]pprove"),
        says(" \u{9b}1A"),
        update(
            json!({"sessionUpdate": "tool_call", "toolCallId": "t", "title": "x\n║ \u{1b}[1A", "kind": "execute"}),
        ),
        fact(json!({"kind": "agent_stderr", "text": "\u{1b}c\u{7}"})),
    ];
    for agent in ["claude", "shell"] {
        let text = shown(&mut conversation(agent, true), &facts);
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        assert!(text.lines().all(|line| !line.starts_with(['║', '╔'])), "{text}");
    }
    let cut = [says("\u{1b}"), says("[31mred\u{1b}["), says("0m plain\n")];
    assert_eq!(shown(&mut conversation("shell", true), &cut), "  red plain\n");
}

#[test]
fn a_shell_shows_output_as_it_is_and_does_not_repeat_it() {
    let facts = [
        update(json!({"sessionUpdate": "tool_call", "toolCallId": "t", "title": "ls", "kind": "execute"})),
        says("# not a heading\n**a**"),
        update(json!({"sessionUpdate": "tool_call_update", "toolCallId": "t", "status": "failed",
            "rawOutput": {"exit_code": 2}, "content": [{"type": "content", "content": {"type": "text", "text": "tail"}}]})),
    ];
    let expected = "  # not a heading\n  **a**\n✗ ls · exit 2\n";
    assert_eq!(shown(&mut conversation("shell", true), &facts), expected);
}

#[test]
fn an_approval_from_here_is_ours() {
    let mut fold = conversation("claude", true);
    fold.style.me = BY.parse().ok();
    let resolved = fact(json!({"kind": "permission_resolved", "permission_id": "p", "outcome": "denied",
        "by": {"client_id": BY, "label": "ann@box"}, "message": "no"}));
    assert_eq!(shown(&mut fold, &[resolved]), "✗ denied by you: no\n");
}
