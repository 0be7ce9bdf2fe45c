//! The golden lines: one or more per message, kept by hand and kept for ever.
//!
//! Invariant: every line that a peer of version 1 ever sent is still read, and loses nothing when it is written
//! again; fields that were added since may appear beside what it had. A line may be added; one that is changed or
//! removed breaks a peer that we do not control.

use serde_json::Value;
use std::collections::BTreeSet;
use vibes_protocol::{
    model::fact::{Fact, KINDS},
    wire::{Message, Request, read_request},
};

const GOLDEN: &str = include_str!("../schema/v1/golden.ndjson");

/// The lines of one direction: `in` (from a client), `out` (from the daemon), `fact` (in a record).
fn lines(direction: &str) -> Vec<Value> {
    let lines =
        GOLDEN.lines().map(|line| serde_json::from_str::<Value>(line).expect("a golden line is JSON"));
    let mut lines: Vec<Value> = lines.filter(|line| line["dir"] == direction).collect();
    lines.iter_mut().map(|line| line["line"].take()).collect()
}

fn tags(lines: &[Value], field: &str) -> BTreeSet<String> {
    lines.iter().filter_map(|line| line[field].as_str().map(str::to_owned)).collect()
}

/// Whether everything in `line` is still there in `again`, with the same value. Additions are free.
fn is_kept(line: &Value, again: &Value) -> bool {
    match (line, again) {
        (Value::Object(line), Value::Object(again)) => {
            line.iter().all(|(name, value)| again.get(name).is_some_and(|again| is_kept(value, again)))
        }
        (Value::Array(line), Value::Array(again)) => {
            line.len() == again.len() && line.iter().zip(again).all(|(line, again)| is_kept(line, again))
        }
        _ => line == again,
    }
}

/// Asserts that writing what was read loses nothing, and that reading that again changes nothing.
#[track_caller]
fn assert_round_trip<T: serde::Serialize>(line: &Value, read: impl Fn(&Value) -> T) {
    let again = serde_json::to_value(read(line)).expect("what was read can be written");
    assert!(is_kept(line, &again), "something is lost:\n{line}\n{again}");
    assert_eq!(serde_json::to_value(read(&again)).expect("what was read can be written"), again);
}

/// The tag of a message, exhaustive: a new variant does not compile until it stands here, and then needs a line.
macro_rules! messages {
    ($($variant:ident = $tag:literal),* $(,)?) => {
        const MESSAGES: &[&str] = &[$($tag),*];

        fn tag(message: &Message) -> &'static str {
            match message {
                $(Message::$variant { .. } => $tag,)*
                Message::Unknown => "unknown",
            }
        }
    };
}

messages! {
    Welcome = "welcome", SessionList = "session_list", SessionCreated = "session_created", Session = "session",
    Subscribed = "subscribed", Accepted = "accepted", Members = "members", Records = "records", Exported = "exported", Import = "import", Agents = "agents", Worktree = "worktree", SearchResults = "search_results",
    Web = "web", TokenCreated = "token_created", Tokens = "tokens", Audit = "audit",
    Attached = "attached", Blob = "blob",
    DaemonStatus = "daemon_status", Ok = "ok", Error = "error", Pong = "pong", Ping = "ping",
    SessionNotification = "session_notification", SessionUpdated = "session_updated",
    SessionRemoved = "session_removed", OwnershipTransferred = "ownership_transferred", Record = "record",
    Templates = "templates", Template = "template", Memory = "memory", Memories = "memories", MemoryDone = "memory_done",
    Rules = "rules", RulesTested = "rules_tested", Approvals = "approvals",
    Turns = "turns", Costs = "costs", Digest = "digest", DiskUsage = "disk_usage", Triggers = "triggers", Rewind = "rewind", Gap = "gap", Closing = "closing",
}

#[test]
fn every_line_has_a_direction() {
    let known = ["in", "out", "fact"].map(lines).iter().map(Vec::len).sum::<usize>();
    assert_eq!(known, GOLDEN.lines().count());
}

#[test]
fn requests_round_trip_and_each_type_has_a_line() {
    let lines = lines("in");
    for line in &lines {
        let asked =
            read_request(line.to_string().as_bytes()).unwrap_or_else(|refusal| panic!("{refusal:?}: {line}"));
        assert_eq!(line["type"], asked.request.type_name());
        assert_eq!(serde_json::to_value(&asked).unwrap(), *line);
    }
    let known: BTreeSet<String> = Request::TYPES.iter().map(|tag| (*tag).to_owned()).collect();
    assert_eq!(tags(&lines, "type"), known);
}

#[test]
fn messages_round_trip_and_each_variant_has_a_line() {
    let lines = lines("out");
    for line in &lines {
        assert_round_trip(line, |line| {
            let message = serde_json::from_value::<Message>(line.clone());
            let message = message.unwrap_or_else(|error| panic!("{error}: {line}"));
            assert_eq!(line["type"], tag(&message));
            message
        });
    }
    let known: BTreeSet<String> = MESSAGES.iter().map(|tag| (*tag).to_owned()).collect();
    assert_eq!(tags(&lines, "type"), known);
}

#[test]
fn facts_round_trip_and_each_kind_has_a_line() {
    let lines = lines("fact");
    for line in &lines {
        assert_round_trip(line, |line| {
            let fact: Fact =
                serde_json::from_value(line.clone()).unwrap_or_else(|error| panic!("{error}: {line}"));
            let known = KINDS.contains(&line["kind"].as_str().unwrap_or_default());
            assert_eq!(known, !matches!(fact, Fact::Unknown(_)), "{line}");
            fact
        });
    }
    let found = tags(&lines, "kind");
    let missing: Vec<_> = KINDS.iter().filter(|kind| !found.contains(**kind)).collect();
    assert!(missing.is_empty(), "no golden line for {missing:?}");
}

#[test]
fn a_message_from_the_future_is_unknown_and_no_error() {
    let message: Message = serde_json::from_str(r#"{"type":"from_the_future","a":1}"#).unwrap();
    assert_eq!(tag(&message), "unknown");
}
