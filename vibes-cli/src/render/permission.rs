//! What a person is asked to approve.
//!
//! Invariant: shown is the raw request, whole and escaped, never the agent's summary of it; what does not fit is
//! counted aloud. The frame is drawn with double lines at the left edge: agent text is indented and has those
//! characters replaced (`conversation`), so it cannot draw one.

use super::{count, short, tool};
use crate::sanitize;
use crate::ui::Paint;
use serde_json::Value;
use vibes_protocol::model::{Permission, SessionInfo};

/// How many lines of a request are shown before `/show` is needed for the rest.
pub(crate) const LINES: usize = 200;

/// What a request is about, which decides the keys that fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Leave to do something.
    Leave,
    /// A question that is answered by choosing.
    Choice,
    /// Questions that are answered in words.
    Words,
    /// A plan to be carried out.
    Plan,
}

/// What a request is about.
pub(crate) fn kind(permission: &Permission) -> Kind {
    let mut answers = permission.options.iter().filter(|option| option.kind == "answer");
    match (answers.next(), answers.next()) {
        (Some(_), Some(_)) => Kind::Choice,
        (Some(one), None) if one.option_id == "allow" => Kind::Words,
        (Some(_), None) => Kind::Choice,
        (None, _) if matches!(permission.tool.as_str(), "ExitPlanMode" | "switch_mode") => Kind::Plan,
        (None, _) => Kind::Leave,
    }
}

/// What the agent wants to do, in one line: the command, else the whole input.
pub(crate) fn action(permission: &Permission) -> String {
    let action = command(&permission.raw_input).unwrap_or_else(|| match &permission.raw_input {
        // Some agents send no input. What they say instead is told as theirs.
        Value::Null => permission
            .claim_title
            .as_ref()
            .map(|claim| format!("(in its own words) {claim}"))
            .unwrap_or_default(),
        input => input.to_string(),
    });
    sanitize::strict(&format!("{} {action}", permission.tool))
        .replace('\n', "␊")
        .replace('\t', "␉")
        .trim_end()
        .to_owned()
}

/// The command line, where the input has one. A list of arguments is quoted, so that its cuts can be seen.
fn command(input: &Value) -> Option<String> {
    match &input["command"] {
        Value::String(command) => Some(command.clone()),
        Value::Array(words) => {
            let words: Vec<String> = words.iter().map(quoted).collect();
            Some(words.join(" "))
        }
        _ => None,
    }
}

fn quoted(word: &Value) -> String {
    match word {
        Value::String(word)
            if !word.is_empty()
                && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c)) =>
        {
            word.clone()
        }
        other => other.to_string(),
    }
}

/// The request, field by field. Each entry is one logical line, sanitised.
fn body(permission: &Permission, paint: Paint) -> Vec<String> {
    let mut lines = Vec::new();
    let mut field = |name: &str, value: &str| {
        for (at, line) in value.lines().enumerate() {
            let label = if at == 0 { name } else { "" };
            lines.push(format!("{} {line}", paint.dim(&format!("{label:<9}"))));
        }
    };
    field("tool", &sanitize::strict(&permission.tool));
    field("directory", &sanitize::strict(&permission.cwd));
    let command = command(&permission.raw_input);
    if let Some(command) = &command {
        field("command", &sanitize::strict(command));
    }
    // A question or a plan is read as what it is; in JSON it would be one long line.
    let read = match kind(permission) {
        Kind::Leave => 0,
        Kind::Choice | Kind::Words => questions(&permission.raw_input, &mut field),
        Kind::Plan => match permission.raw_input["plan"].as_str() {
            Some(plan) => {
                field("plan", &sanitize::strict(plan));
                1
            }
            None => 0,
        },
    };
    // That is only a part of the input; whatever else there is belongs to the decision too.
    let known = usize::from(command.is_some()) + read;
    let nothing_else =
        known > 0 && permission.raw_input.as_object().is_some_and(|input| input.len() == known);
    if !nothing_else && !permission.raw_input.is_null() {
        let pretty = serde_json::to_string_pretty(&permission.raw_input).unwrap_or_default();
        field("input", &sanitize::strict(&pretty));
    }
    for path in &permission.paths {
        field("file", &sanitize::strict(path));
    }
    for diff in permission.diff.iter().chain(&permission.more_diffs) {
        lines.push(
            format!(
                "{} {}",
                paint.dim(&format!("{:<9}", "change")),
                sanitize::strict(diff["path"].as_str().unwrap_or_default())
            )
            .trim_end()
            .to_owned(),
        );
        lines.extend(tool::diff(diff, sanitize::strict, paint));
    }
    if let Some(claim) = &permission.claim_title {
        let claim = sanitize::strict(claim).replace('\n', "␊");
        lines.push(paint.dim(&format!("the agent calls it (unchecked): {claim}")));
    }
    lines
}

/// The agent's questions, each with what it offers; how many fields of the input that was.
fn questions(input: &Value, field: &mut impl FnMut(&str, &str)) -> usize {
    let Some(questions) = input["questions"].as_array() else { return 0 };
    let known = ["question", "header", "options", "multiSelect"];
    // What is not understood is shown as it is.
    let plain = questions.iter().all(|question| {
        question["question"].is_string()
            && question.as_object().is_some_and(|it| it.keys().all(|key| known.contains(&key.as_str())))
    });
    if !plain {
        return 0;
    }
    for question in questions {
        field("asks", &sanitize::strict(question["question"].as_str().unwrap_or_default()));
        for (at, option) in question["options"].as_array().into_iter().flatten().enumerate() {
            let label = option["label"].as_str().unwrap_or_default();
            let about = option["description"].as_str().map_or_else(String::new, |about| format!(": {about}"));
            field("", &sanitize::strict(&format!("  {}. {label}{about}", at + 1)));
        }
        if question["multiSelect"] == true {
            field("", "  (several may be chosen)");
        }
    }
    1
}

/// Where a request is framed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Columns there are.
    pub(crate) width: usize,
    /// How many lines of the request are shown.
    pub(crate) limit: usize,
    /// Words are typed after a key, question by question, and not after `/answer`.
    pub(crate) asks_in_turn: bool,
}

impl Room {
    /// A conversation that scrolls, where commands are typed.
    pub(crate) fn of_window(width: usize) -> Self {
        Self { width, limit: LINES, asks_in_turn: false }
    }
}

/// The frame. `now_ms` tells what is left until the deadline. `holds_state` says that the session's directory holds
/// vibes' own state.
pub(crate) fn frame(
    session: &SessionInfo,
    permission: &Permission,
    Room { width, limit, asks_in_turn }: Room,
    now_ms: i64,
    holds_state: bool,
    paint: Paint,
) -> Vec<String> {
    let kind = kind(permission);
    let edge = paint.yellow("║");
    let name =
        session.name.as_deref().map_or_else(|| short(session.id), |name| sanitize::line(name).into_owned());
    let what = match kind {
        Kind::Leave => "APPROVAL NEEDED",
        Kind::Choice | Kind::Words => "THE AGENT ASKS",
        Kind::Plan => "A PLAN TO APPROVE",
    };
    let title = format!(" {what} · {} · {name} ", sanitize::line(&session.agent));
    let title = super::keep_start(&title, width.saturating_sub(4).max(20));
    let rule = |width: usize| "═".repeat(width);
    let mut lines = vec![format!("{}{}", paint.yellow("╔══"), paint.alarm(&title))];
    let room = width.saturating_sub(3).max(20);
    // Painted lines carry no width of their own: they are wrapped plain first, and painted only when they fit.
    let plain = body(permission, Paint::PLAIN);
    let painted = body(permission, paint);
    let mut shown = Vec::new();
    for (plain, painted) in plain.iter().zip(painted) {
        match wrap_strict(plain, room) {
            pieces if pieces.len() == 1 => shown.push(painted),
            pieces => shown.extend(pieces),
        }
    }
    let more = shown.len().saturating_sub(limit);
    lines.extend(shown.into_iter().take(limit).map(|line| format!("{edge} {line}")));
    if more > 0 {
        let words = format!("{} not shown: /show prints them all", count(more, "more line", "more lines"));
        lines.push(format!("{edge} {}", paint.alarm(&words)));
    }
    if let Some(deadline) = permission.deadline_ms {
        let left = ((deadline - now_ms) / 1000).max(0);
        lines.push(format!("{edge} {}", paint.dim(&format!("denied by itself in {left} s"))));
    }
    lines.push(format!("{}{}", paint.yellow("╟"), paint.yellow(&"─".repeat(room.min(40)))));
    let approve = paint.green(&paint.bold("[A]pprove"));
    let words = if asks_in_turn { "[W]ords" } else { "/answer WORDS" };
    let mut keys = match kind {
        Kind::Leave => {
            vec![approve, paint.green("[S]ession: this again, unasked"), paint.red(&paint.bold("[D]eny"))]
        }
        Kind::Plan => vec![approve, paint.red(&paint.bold("[D]: keep planning"))],
        Kind::Choice => {
            vec![paint.green(&paint.bold("a number answers")), words.to_owned(), paint.red("[D]: no answer")]
        }
        Kind::Words => {
            vec![paint.green(&paint.bold(words)), paint.red("[D]: no answer")]
        }
    };
    // On a small screen each has a line.
    if keys.iter().map(|key| super::columns(key) + 3).sum::<usize>() <= room + 3 {
        keys = vec![keys.join("   ")];
    }
    if kind == Kind::Leave && holds_state {
        let words = "this directory holds vibes' own state: a rule may not answer here, and after [S] you may be asked again";
        keys.extend(super::wrap(words, room).iter().map(|line| paint.dim(line)));
    }
    if kind == Kind::Words {
        let how = if asks_in_turn {
            "one question after the other; numbers choose, as in 1,3"
        } else {
            "several questions: /answer A | B; numbers choose, as in 1,3 | 2"
        };
        keys.extend(super::wrap(how, room));
    }
    // To answer in words takes words: there its one option is no key.
    let first = usize::from(kind == Kind::Words);
    for (at, option) in permission.options.iter().enumerate().skip(first) {
        let name = sanitize::strict(&option.name).replace('\n', "␊");
        let kind = if option.kind == "answer" {
            String::new()
        } else {
            format!(" ({})", sanitize::line(&option.kind))
        };
        keys.extend(wrap_strict(&format!("[{}] {name}{kind}", at + 1), room));
    }
    lines.extend(keys.iter().map(|line| format!("{edge} {line}")));
    lines.push(paint.yellow(&format!("╚{}", rule(room.min(40)))));
    lines
}

/// Wraps without moving a character: in an approval even a space at a break counts. A continued line is marked, so
/// that it cannot pass for a field of its own.
fn wrap_strict(line: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = line;
    let mut room = width;
    while let Some(at) = super::overflow(rest, room) {
        let (head, tail) = rest.split_at(at);
        lines.push(head.to_owned());
        rest = tail;
        room = width.saturating_sub(1);
    }
    lines.push(rest.to_owned());
    for line in lines.iter_mut().skip(1) {
        line.insert(0, '↳');
    }
    lines
}

#[cfg(test)]
mod tests;
