//! Every line of the recorded conversations: known, told, and nothing told twice or lost.

use super::*;
use std::{collections::HashMap, fs, path::Path};

/// What was told and what should have been, since a process began.
#[derive(Default)]
struct Told {
    /// Words of the main conversation, piece by piece.
    words: String,
    /// The same, as the agent repeats it whole.
    whole: String,
    /// Tool calls and their last status.
    tools: HashMap<String, String>,
    /// Turns that ended.
    ends: usize,
    /// Answers of ours, to be compared with those that were given then.
    questions: HashMap<String, Question>,
    lines: usize,
    /// Prompts that were sent while another was under way.
    behind: VecDeque<String>,
}

/// What the agent says whole of its main conversation, errors aside.
fn whole(line: &Value) -> String {
    if line["type"] != "assistant" || line["error"].is_string() || line["parent_tool_use_id"].is_string() {
        return String::new();
    }
    let blocks = line["message"]["content"].as_array().into_iter().flatten();
    blocks.filter_map(|block| block["text"].as_str()).collect()
}

fn replay(text: &str, name: &str) -> Told {
    let (mut peer, mut told) = (Peer::new(), Told::default());
    // The ids of that time, and ours.
    let mut ids: HashMap<String, String> = HashMap::new();
    let mut foreign = Vec::new();
    for line in text.lines() {
        let entry: Value = serde_json::from_str(line).expect("the recording is whole");
        let message = &entry["msg"];
        match entry["dir"].as_str() {
            Some("meta") => {
                let frame = peer.out.next;
                peer.claude.start(opening(), &mut peer.out);
                if peer.out.frames.len() > 1 {
                    peer.say(introduction(frame));
                }
            }
            Some("in") if message["type"] == "user" => {
                if !peer.claude.ready {
                    peer.say(introduction(peer.out.next - 1));
                }
                let content = &message["message"]["content"];
                let blocks = content.as_array().cloned();
                let blocks = blocks.unwrap_or_else(|| vec![json!({"type": "text", "text": content})]);
                let under_way = peer.claude.prompt.clone();
                peer.claude.prompt(&blocks, &mut peer.out);
                if under_way.is_some() {
                    // We would not have sent it yet.
                    told.behind.extend(std::mem::replace(&mut peer.claude.prompt, under_way));
                }
                if let (Some(theirs), Some(ours)) = (message["uuid"].as_str(), peer.sent()["uuid"].as_str()) {
                    ids.insert(theirs.to_owned(), ours.to_owned());
                }
            }
            Some("in") if message["type"] == "control_request" => {
                let id = message["request_id"].as_str().expect("it has an id").to_owned();
                let request = &message["request"];
                match request["subtype"].as_str() {
                    Some("interrupt") => peer.claude.cancel(&mut peer.out),
                    Some("initialize") if !peer.claude.ready => {
                        ids.insert(format!("\"{id}\""), format!("\"{}\"", peer.out.next - 1));
                        continue;
                    }
                    Some("set_permission_mode") => {
                        let call = Call::Option { option_id: "mode".into(), value: request["mode"].clone() };
                        peer.claude.calls.insert(peer.out.push(|_| "asked"), call);
                    }
                    Some("set_model") => {
                        let call =
                            Call::Option { option_id: "model".into(), value: request["model"].clone() };
                        peer.claude.calls.insert(peer.out.push(|_| "asked"), call);
                    }
                    // What vibes never asks.
                    _ => {
                        foreign.push(id);
                        continue;
                    }
                }
                ids.insert(format!("\"{id}\""), format!("\"{}\"", peer.out.next - 1));
            }
            Some("in") if message["type"] == "control_response" => {
                let response = &message["response"];
                let id = response["request_id"].as_str().unwrap_or_default();
                let (Some(question), given) = (told.questions.remove(id), &response["response"]) else {
                    continue;
                };
                let answers = given["updatedInput"].get("answers");
                if given["behavior"] == "allow" && given["updatedPermissions"].is_null() && answers.is_none()
                {
                    let with = given["updatedInput"].clone();
                    let changed = with != question.raw_input && question.memo["input"].is_null();
                    let ours =
                        verdict_of(&question, "allow", |it| it.updated_input = changed.then_some(&with));
                    assert_eq!(ours["updatedInput"], given["updatedInput"], "{name}: the answer that worked");
                } else if let Some(answers) = answers {
                    let ours = verdict_of(&question, "answer-1", |_| ());
                    assert_eq!(ours["updatedInput"]["answers"], *answers, "{name}");
                } else if given["behavior"] == "deny" && given["interrupt"].is_null() {
                    let ours = verdict_of(&question, "deny", |it| it.message = given["message"].as_str());
                    assert_eq!(ours["message"], given["message"], "{name}");
                }
            }
            Some("out") => {
                told.lines += 1;
                if foreign.iter().any(|id| message["response"]["request_id"] == **id) {
                    continue;
                }
                let ours = ids.iter().fold(message.to_string(), |line, (from, to)| line.replace(from, to));
                told.whole.push_str(&whole(message));
                let began = told.ends;
                for event in peer.raw(ours.as_bytes()) {
                    take(&mut told, event, name);
                }
                if told.ends > began && peer.claude.prompt.is_none() {
                    peer.claude.prompt = told.behind.pop_front();
                }
                if message["type"] == "result" {
                    let known = message["is_error"] != true
                        || message["errors"].is_null()
                        || message["terminal_reason"].is_string();
                    assert!(told.ends > began || !known, "{name}: a turn did not end: {message}");
                }
            }
            _ => {}
        }
    }
    told
}

fn take(told: &mut Told, event: AgentEvent<'_>, name: &str) {
    match event {
        AgentEvent::Unparsed { why, .. } => panic!("{name}: a known line was not understood: {why}"),
        AgentEvent::Update { raw, .. } => {
            let update: Value = serde_json::from_str(&raw).expect("an update is JSON");
            let main = update["_meta"]["claudeCode"]["parentToolUseId"].is_null();
            match update["sessionUpdate"].as_str().expect("an update has a kind") {
                "agent_message_chunk" if main => {
                    told.words.push_str(update["content"]["text"].as_str().expect("a chunk is a text"));
                }
                kind @ ("tool_call" | "tool_call_update") => {
                    let id = update["toolCallId"].as_str().expect("a call has an id").to_owned();
                    assert_eq!(kind == "tool_call", !told.tools.contains_key(&id), "{name}: {update}");
                    let status = told.tools.entry(id).or_default();
                    if let Some(now) = update["status"].as_str() {
                        now.clone_into(status);
                    }
                }
                _ => {}
            }
        }
        AgentEvent::Permission(question) => {
            let id = question.rpc_id.as_text().expect("its ids are words");
            told.questions.insert(id, *question);
        }
        AgentEvent::TurnEnded(_) => told.ends += 1,
        _ => {}
    }
}

#[test]
fn no_line_is_unknown_lost_or_told_twice() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/claude");
    let (mut files, mut lines, mut tools, mut turns) = (0, 0, 0, 0);
    for entry in fs::read_dir(dir).expect("the recordings are there") {
        let path = entry.expect("a directory can be read").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("our own names").to_owned();
        if !name.ends_with(".ndjson") {
            continue;
        }
        let told = replay(&fs::read_to_string(&path).expect("a recording can be read"), &name);
        // What an old version does not repeat when it is interrupted was told all the same.
        let mut rest = told.words.as_str();
        for word in told.whole.split_whitespace() {
            let at =
                rest.find(word).unwrap_or_else(|| panic!("{name}: {word:?} was lost or comes out of order"));
            rest = &rest[at + word.len()..];
        }
        if !["-js-", "signals", "orphans"].iter().any(|cut| name.contains(cut)) {
            assert_eq!(told.words, told.whole, "{name}: every word once");
        }
        (files, lines, tools) = (files + 1, lines + told.lines, tools + told.tools.len());
        turns += told.ends;
    }
    assert!(files >= 27 && lines > 2_000 && tools > 40 && turns > 70, "{files}, {lines}, {tools}, {turns}");
}
