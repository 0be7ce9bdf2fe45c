//! What a document says, and that nothing said gets out of its place.

use super::*;
use serde_json::json;

fn record(seq: u64, fact: Value) -> Record {
    let id = "3fa9c1d2-0000-4000-8000-000000000000";
    let record = json!({"session_id": id, "epoch": 1, "seq": seq, "at_ms": 1_795_220_664_000_i64 + seq as i64 * 1000, "fact": fact});
    serde_json::from_value(record).unwrap()
}

fn document(facts: impl IntoIterator<Item = Value>) -> String {
    let (mut document, mut out) = (Document::default(), String::new());
    for (seq, fact) in (1..).zip(facts) {
        document.read(&record(seq, fact), &mut out);
    }
    document.end(&mut out);
    out
}

fn update(update: Value) -> Value {
    json!({"kind": "update", "update": update})
}

fn say(kind: &str, text: &str) -> Value {
    update(json!({"sessionUpdate": kind, "content": {"type": "text", "text": text}}))
}

#[test]
fn a_turn_is_told_as_a_person_reads_it() {
    let by = json!({"client_id": "00000000-0000-4000-8000-000000000001", "label": "ann@box"});
    let permission = json!({"permission_id": "p1", "hash": "", "tool": "execute", "raw_input": {"command": "make"},
        "cwd": "/", "options": []});
    let text = document([
        json!({"kind": "input", "content": [{"type": "text", "text": "build\nit"}], "by": by}),
        json!({"kind": "turn_started", "turn": 1, "input_seq": 1}),
        say("agent_thought_chunk", "let me "),
        say("agent_thought_chunk", "see"),
        update(json!({"sessionUpdate": "tool_call", "toolCallId": "t", "title": "make", "kind": "execute",
            "rawInput": {"command": "make ```"}})),
        json!({"kind": "permission_requested", "permission": permission}),
        json!({"kind": "permission_resolved", "permission_id": "p1", "outcome": "allowed", "by": by}),
        update(json!({"sessionUpdate": "tool_call_update", "toolCallId": "t", "status": "completed",
            "rawOutput": {"exit_code": 0},
            "content": [{"type": "content", "content": {"type": "text", "text": "a\n````\nb"}},
                        {"type": "diff", "path": "x", "oldText": "1\n", "newText": "2\n"}]})),
        say("agent_message_chunk", "It is **bu"),
        say("agent_message_chunk", "ilt**."),
        json!({"kind": "turn_ended", "turn": 1, "outcome": "finished", "stop_reason": "end_turn",
            "usage": {"input_tokens": 1200, "output_tokens": 34}, "cost": {"amount": 0.5, "currency": "USD"}}),
    ]);
    let expected = "\n## Turn 1 · 2026-11-21 00:24 UTC\n\n> build\n> it\n\n<details><summary>Thought</summary>\n\n> let me see\n\
        \n</details>\n\n*Approval of* `execute make` — allowed by ann@box\n\n**Tool** `make` · execute · completed · exit 0 · 3.0 s\n\
        \n````sh\nmake ```\n````\n\n`````text\na\n````\nb\n`````\n\n```diff\n  x  +1 -1\n";
    assert!(text.starts_with(expected), "{text}");
    let end = "\nIt is **built**.\n\n*finished · 1200 tokens in, 34 out · $0.50 · 9.0 s*\n";
    assert!(text.ends_with(end), "{text}");
}

#[test]
fn what_is_said_stays_in_its_place() {
    let text = document([
        say("agent_message_chunk", "<script>x</script> `<b>` <https://a>\n```sh\necho <b>\n"),
        say("agent_thought_chunk", "</details>\n# no heading\u{1b}[2J"),
        say("agent_message_chunk", "<!-- after"),
    ]);
    let expected = "\n&lt;script>x&lt;/script> `<b>` <https://a>\n```sh\necho <b>\n```\n\
        \n<details><summary>Thought</summary>\n\n> &lt;/details>\n> # no heading␛[2J\n\n</details>\n\n&lt;!-- after\n";
    assert_eq!(text, expected);
    assert_eq!(code("a `` b`"), "``` a `` b` ```");
    assert_eq!(escaped("*[x](y)\n"), "\\*\\[x\\](y)␊");
}

#[test]
fn moments_are_those_of_the_calendar() {
    for (seconds, expected) in [
        (0, "1970-01-01 00:00 UTC"),
        (951_782_400, "2000-02-29 00:00 UTC"),
        (1_795_220_618, "2026-11-21 00:23 UTC"),
        (4_107_542_399, "2100-02-28 23:59 UTC"),
        (-1, "1969-12-31 23:59 UTC"),
    ] {
        assert_eq!(moment(seconds), expected);
    }
}
