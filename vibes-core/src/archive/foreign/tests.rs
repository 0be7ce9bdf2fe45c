//! Files that the agents themselves wrote, told as records.

use super::{story::Told, *};
use std::fs;

fn fixture(name: &str) -> String {
    let path = format!("{}/../tests/fixtures/archives/{name}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn told(kind: Kind, text: &str) -> (Foreign, Vec<Told>, usize) {
    let mut foreign = Foreign::new(kind, None);
    text.lines().for_each(|line| foreign.line(line.as_bytes()).expect("it is read"));
    let closing = foreign.end().expect("there is something in it");
    let all = std::iter::from_fn(|| foreign.story().take()).collect();
    (foreign, all, closing)
}

/// The conversation in short.
fn words(all: &[Told]) -> Vec<String> {
    let one = |(_, fact): &Told| {
        let update = &fact["update"];
        Some(match fact["kind"].as_str()? {
            "input" => format!("> {}", fact["content"][0]["text"].as_str()?),
            "turn_ended" => format!("= {} {}", fact["outcome"].as_str()?, fact["usage"]["output_tokens"]),
            "update" => match update["sessionUpdate"].as_str()? {
                "tool_call" => format!("+ {} {}", update["kind"].as_str()?, update["title"].as_str()?),
                "tool_call_update" => format!("- {}", update["status"].as_str()?),
                "agent_thought_chunk" => format!("~ {}", update["content"]["text"].as_str()?),
                "agent_message_chunk" => format!("  {}", update["content"]["text"].as_str()?.lines().next()?),
                other => other.to_owned(),
            },
            _ => return None,
        })
    };
    all.iter().filter_map(one).collect()
}

#[test]
fn claude_codes_own_file() {
    let (mut foreign, all, closing) = told(Kind::Claude, &fixture("claude.jsonl"));
    assert_eq!(foreign.story().lineage(), Some("claude:16c9fe5e-59ba-45cb-89cd-082d1b8d86df"));
    assert_eq!(foreign.story().cwd(), Some("/home/ann/work"));
    let expected = [
        "> Please tidy up. [[think: I should look first]] [[run: echo hello from the tool]]",
        "~ I should look first",
        "  I will run it. ",
        "+ execute echo hello from the tool",
        "- completed",
        "  the tool said hello from the tool",
        "usage_update",
        "= finished 11",
        "> And once more [[call: Write: {\"file_path\": \"/home/ann/work/note.txt\", \"content\": \"a note\\n\"}]]",
        "  I will run it. ",
        "+ edit Write /home/ann/work/note.txt",
        "- completed",
        "  the tool said File created successfully at: /home/ann/work/note.txt (file state is current in your context \u{2014} no need to Read it back)",
        "usage_update",
        "= finished 26",
    ];
    assert_eq!(words(&all), expected);
    assert_eq!(closing, 1, "only the end of the last turn is there because the file ends");
    assert!(all.is_sorted_by_key(|(at, _)| *at));
    assert_eq!(all[0].0, 1_795_903_339_960, "when it was typed");
}

#[test]
fn a_rollout_of_codex() {
    let (mut foreign, all, _) = told(Kind::Codex, &fixture("codex.jsonl"));
    assert_eq!(foreign.story().lineage(), Some("codex:01a2242e-5a73-7e30-b4b4-dc8e36060839"));
    let expected = [
        "> Please tidy up. [[think: I should look first]] [[run: echo hello from the tool]]",
        "  I will run it. ",
        "+ execute echo hello from the tool",
        "- completed",
        "  the tool said Chunk ID: 9af049",
        "= finished 2",
        "> And once more, please",
        "  you said And once more, please",
        "= finished 1",
    ];
    assert_eq!(words(&all), expected);
}

#[test]
fn a_chat_of_gemini() {
    let text = fixture("gemini.jsonl");
    let (mut foreign, all, _) = told(Kind::Gemini, &text);
    assert_eq!(foreign.story().lineage(), Some("gemini:94cd3e2d-559c-46ac-9f48-1f23efcdc6ca"));
    let expected = [
        "> Please tidy up. [[think: I should look first]] [[run: echo hello from the tool]]",
        "~ I should look first",
        "  I will run it.",
        "+ execute echo hello from the tool",
        "- completed",
        "  the tool said <untrusted_context>",
        "= finished 2",
    ];
    assert_eq!(words(&all), expected);
    // As earlier versions kept it: one object.
    let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("it is JSON"));
    let mut whole = lines.next().expect("a first line");
    let messages: Vec<Value> = lines.filter(|line| line["id"].is_string()).collect();
    whole["messages"] = messages.into();
    assert_eq!(words(&told(Kind::Gemini, &whole.to_string()).1), expected);
}

#[test]
fn what_has_grown_begins_with_the_same_records() {
    for (kind, name) in
        [(Kind::Claude, "claude.jsonl"), (Kind::Codex, "codex.jsonl"), (Kind::Gemini, "gemini.jsonl")]
    {
        let text = fixture(name);
        let whole = told(kind, &text).1;
        let lines: Vec<&str> = text.lines().collect();
        for cut in 1..lines.len() {
            let mut foreign = Foreign::new(kind, None);
            lines[..cut].iter().for_each(|line| foreign.line(line.as_bytes()).expect("it is read"));
            let Ok(closing) = foreign.end() else { continue };
            let part: Vec<Told> = std::iter::from_fn(|| foreign.story().take()).collect();
            let kept = part.len() - closing;
            // A message of Gemini CLI that is told again may say more the next time.
            if kind != Kind::Gemini {
                assert_eq!(part[..kept], whole[..kept], "{name} cut at line {cut}");
            }
        }
    }
}

#[test]
fn what_is_no_conversation_is_refused_and_what_is_broken_passed_over() {
    for kind in [Kind::Claude, Kind::Codex, Kind::Gemini] {
        for text in [
            "",
            "{}",
            "[1]\nnull\n\"x\"\n{\"type\":7,\"message\":[]}",
            "{\"sessionId\":\"../x\",\"type\":\"user\"}",
        ] {
            let mut foreign = Foreign::new(kind, None);
            text.lines().for_each(|line| foreign.line(line.as_bytes()).expect("it is passed over"));
            assert!(foreign.end().is_err(), "{kind:?} {text}");
        }
    }
}
