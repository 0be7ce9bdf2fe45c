//! The fold of records, kind by kind, and whole transcripts.

use super::*;
use serde_json::json;

fn conversation(agent: &str, terminal: bool) -> Conversation {
    let width = if terminal { 40 } else { usize::MAX / 4 };
    Conversation::new(Style {
        terminal,
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
    let mut pieces: Vec<Piece> = facts.iter().flat_map(|fact| conversation.read(fact)).collect();
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
    let expected = "  ~ hm\n  Let me look.\n⚙ read main.rs\n✓ main.rs\n  main.rs\n  - a\n  + b\nPlan\n  [ ] ship\n  Done\n\n  End\n";
    assert_eq!(shown(&mut conversation("claude", true), &facts), expected);
}

#[test]
fn words_that_stream_in_pieces_become_whole_lines() {
    let facts: Vec<Fact> = "one two\nthree".chars().map(|c| says(&c.to_string())).collect();
    assert_eq!(shown(&mut conversation("claude", true), &facts), "  one two\n  three\n");
    let mut fold = conversation("claude", true);
    assert!(fold.read(&says("a paragraph that is still going on and ")).len() <= 1);
    let wide = fold.read(&says("on and on and on and on and on and on"));
    assert!(!wide.is_empty(), "a full line of prose is shown before its newline comes");
    let all = shown(&mut fold, &[]);
    assert!(all.lines().all(|line| line.chars().count() <= 40), "{all}");
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
