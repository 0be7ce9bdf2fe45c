//! What can be typed behind a slash: one table for the parser's words, the help and the completion.
//!
//! Invariant: only what exists on the wire. A word that is not in the table is a prompt, because agents have commands
//! of their own.

use super::complete::Candidate;
use crate::render::conversation::words_of_block;
use crate::render::{columns, keep_start, wrap};
use crate::sanitize;
use serde_json::Value;
use vibes_protocol::model::SessionInfo;
use vibes_protocol::wire::message::QueuedPrompt;

/// The word, what goes with it, what it does.
const COMMANDS: &[(&str, &str, &str)] = &[
    ("/approve", "", "answer the request with yes (A on an empty line)"),
    ("/session", "[PATTERN]", "approve it and its like for the rest of the session (S)"),
    ("/deny", "[WORDS]", "answer it with no, and say why (D)"),
    ("/option", "N", "answer with the agent's option N (its number)"),
    ("/answer", "WORDS", "answer a question; A | B for several, numbers choose"),
    ("/show", "", "print the whole request"),
    ("/interrupt", "", "cancel the running turn (Ctrl-C twice)"),
    ("/mode", "[MODE]", "switch the agent's mode, or list them"),
    ("/model", "[MODEL]", "switch its model, or list them"),
    ("/set", "OPTION VALUE", "set another option of the agent"),
    ("/queue", "", "list the prompts that wait"),
    ("/drop", "N", "remove one of them by its record"),
    ("/remember", "WORDS", "remember them, across sessions"),
    ("/recall", "[WORDS|N]", "find what is remembered; N takes one into the line"),
    ("/unfold", "", "show what was folded last, again for what came before (Ctrl-O)"),
    ("/thoughts", "", "show thoughts whole from now on, or in one line"),
    ("/who", "", "list who is attached"),
    ("/take", "", "take ownership"),
    ("/transfer", "SEAT", "hand ownership over"),
    ("/detach", "", "leave; the session goes on (Ctrl-D)"),
    ("/quit", "", "the same"),
    ("/help", "", "this list"),
];

/// Below the list of commands.
const KEYS: &[&str] = &[
    "Everything else is a prompt, other words with a slash too: agents know some.",
    "Alt-Enter or a backslash at the end: another line. Up and Ctrl-R: what was typed before. Tab: commands, @files.",
];

/// A typed line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed<'a> {
    Nothing,
    Approve,
    ForSession(Option<&'a str>),
    Deny(Option<&'a str>),
    Option(Option<usize>),
    Answer(&'a str),
    Show,
    Interrupt,
    Set(&'a str, &'a str),
    Queue,
    Drop(Option<u64>),
    Remember(&'a str),
    Recall(&'a str),
    Unfold,
    Thoughts,
    Who,
    Take,
    Transfer(&'a str),
    Detach,
    Help,
    Prompt(&'a str),
}

pub(super) fn parse(line: &str) -> Typed<'_> {
    let line = line.trim_end();
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    match (word, rest) {
        ("", "") => Typed::Nothing,
        ("/approve", "") => Typed::Approve,
        ("/session", pattern) => Typed::ForSession((!pattern.is_empty()).then_some(pattern)),
        ("/deny", words) => Typed::Deny((!words.is_empty()).then_some(words)),
        ("/option", number) => Typed::Option(number.parse().ok()),
        ("/answer", words) => Typed::Answer(words),
        ("/show", "") => Typed::Show,
        ("/interrupt", "") => Typed::Interrupt,
        ("/mode", mode) => Typed::Set("mode", mode),
        ("/model", model) => Typed::Set("model", model),
        ("/set", rest) => match rest.split_once(char::is_whitespace) {
            Some((id, value)) => Typed::Set(id, value.trim()),
            None => Typed::Set(rest, ""),
        },
        ("/queue", "") => Typed::Queue,
        ("/drop", seq) => Typed::Drop(seq.parse().ok()),
        ("/remember", words) => Typed::Remember(words),
        ("/recall", words) => Typed::Recall(words),
        ("/unfold", "") => Typed::Unfold,
        ("/thoughts", "") => Typed::Thoughts,
        ("/who", "") => Typed::Who,
        ("/take", "") => Typed::Take,
        ("/transfer", to) => Typed::Transfer(to),
        ("/quit" | "/detach", "") => Typed::Detach,
        ("/help", "") => Typed::Help,
        _ if line.trim().is_empty() => Typed::Nothing,
        _ => Typed::Prompt(line),
    }
}

/// What can follow a slash: our commands, then the agent's.
pub(super) fn candidates(agents: &[Value]) -> Vec<Candidate> {
    let ours = COMMANDS.iter().map(|(word, with, about)| {
        let about = if with.is_empty() { (*about).to_owned() } else { format!("{with}: {about}") };
        Candidate { word: (*word).to_owned(), about }
    });
    let theirs = agents.iter().filter_map(|command| {
        let name = command["name"].as_str()?;
        // What cannot be shown as it is cannot be offered.
        if *sanitize::strict(name) != *name || name.contains(char::is_whitespace) {
            return None;
        }
        let about = sanitize::line(command["description"].as_str().unwrap_or_default());
        Some(Candidate {
            word: format!("/{}", name.trim_start_matches('/')),
            about: format!("(agent) {about}"),
        })
    });
    ours.chain(theirs).collect()
}

/// The list of commands; on a small screen what they do stands below them.
pub(super) fn help(width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for (word, with, about) in COMMANDS {
        let head = format!("{word} {with}");
        if width >= 70 {
            lines.push(format!("{head:<22} {about}"));
        } else {
            lines.push(head);
            lines.extend(wrap(about, width.saturating_sub(3)).into_iter().map(|line| format!("  {line}")));
        }
    }
    lines.extend(KEYS.iter().flat_map(|line| wrap(line, width.saturating_sub(1))));
    lines
}

/// The prompts that wait.
pub(super) fn queue(queue: &[QueuedPrompt], width: usize) -> Vec<String> {
    if queue.is_empty() {
        return vec!["· no prompts wait".to_owned()];
    }
    let line = |(at, prompt): (usize, &QueuedPrompt)| {
        let words: Vec<String> = prompt.content.iter().map(words_of_block).collect();
        let head = format!("{}. record {}: ", at + 1, prompt.input_seq);
        let room = width.saturating_sub(1 + columns(&head));
        format!("{head}{}", keep_start(&sanitize::line(&words.join(" ")), room))
    };
    queue.iter().enumerate().map(line).collect()
}

/// What an option is and can be.
pub(super) fn offers(session: &SessionInfo, id: &str, width: usize) -> Vec<String> {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let now = session.options.get(id).map(word);
    let Some(now) = now else {
        let known: Vec<&str> = session.options.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return wrap(&sanitize::line(&format!("· the agent has no option {id}; it has: {known}")), width);
    };
    let mut lines = vec![sanitize::line(&format!("{id} = {now}")).into_owned()];
    for offer in session.offers.get(id).and_then(Value::as_array).into_iter().flatten() {
        let value = offer["id"].as_str().or_else(|| offer["value"].as_str()).unwrap_or_default();
        let name = offer["name"].as_str().unwrap_or_default();
        let mark = if value == now { "▸" } else { " " };
        let name = if name == value { String::new() } else { format!("  {name}") };
        lines.push(keep_start(&format!("{mark} {}", sanitize::line(&format!("{value}{name}"))), width));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn commands_are_ours_and_everything_else_is_a_prompt() {
        assert_eq!(parse("  "), Typed::Nothing);
        assert_eq!(parse("/approve "), Typed::Approve);
        assert_eq!(parse("/deny"), Typed::Deny(None));
        assert_eq!(parse("/deny use git instead"), Typed::Deny(Some("use git instead")));
        assert_eq!(parse("/option 2"), Typed::Option(Some(2)));
        assert_eq!(parse("/option two"), Typed::Option(None));
        assert_eq!(parse("/detach"), Typed::Detach);
        assert_eq!(parse("/transfer bob@box"), Typed::Transfer("bob@box"));
        assert_eq!(parse("/model opus"), Typed::Set("model", "opus"));
        assert_eq!(parse("/set effort very high"), Typed::Set("effort", "very high"));
        assert_eq!(parse("/drop 12"), Typed::Drop(Some(12)));
        for prompt in ["ls -l", "/compact", "/approve everything", "  indented", "/quit now", "/modes"] {
            assert_eq!(parse(prompt), Typed::Prompt(prompt));
        }
    }

    #[test]
    fn every_command_of_the_list_is_understood() {
        for (word, with, _) in COMMANDS {
            let with = with.trim_matches(['[', ']']);
            let line = format!("{word} {}", if with == "N" { "1" } else { with });
            assert!(!matches!(parse(&line), Typed::Prompt(_)), "{line}");
        }
        assert!(help(40).iter().all(|line| columns(line) <= 40));
        assert!(help(200).iter().any(|line| line.starts_with("/answer WORDS          answer a question")));
    }

    #[test]
    fn the_agents_commands_are_offered_when_they_can_be_shown() {
        let agents =
            [json!({"name": "compact", "description": "shorten\n\u{1b}[2J"}), json!({"name": "e\u{1b}c"})];
        let all = candidates(&agents);
        assert_eq!(all.len(), COMMANDS.len() + 1);
        assert_eq!(all.last().unwrap().about, "(agent) shorten␊␛[2J");
    }
}
