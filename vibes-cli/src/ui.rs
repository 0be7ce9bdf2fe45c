//! The only module that prints: data on standard output, talk on standard error.
//!
//! Invariant: a reader that goes away ends the program quietly, never with a panic; colour is decided per stream; and
//! whoever calls has sanitised what agents and other people wrote (everything this module adds is ours).

#![allow(clippy::print_stdout, clippy::print_stderr)]

use crate::error::{Failure, Kind, Outcome};
use crate::invocation::fault;
use crate::{place, sanitize};
use colored::Colorize as _;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::sync::{Mutex, PoisonError};
use vibes_protocol::printed::Fault;

/// Colours, or none. Colour never carries a meaning alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paint {
    on: bool,
}

macro_rules! paints {
    ($($name:ident => |$text:ident| $paint:expr;)*) => {
        $(pub(crate) fn $name(self, $text: &str) -> String {
            if self.on { $paint.to_string() } else { $text.to_owned() }
        })*
    };
}

impl Paint {
    /// Never any colour.
    pub(crate) const PLAIN: Self = Self { on: false };

    #[cfg(test)]
    pub(crate) fn forced() -> Self {
        colored::control::set_override(true);
        Self { on: true }
    }

    /// Whether there are any.
    pub(crate) fn is_on(self) -> bool {
        self.on
    }

    fn for_terminal(is_terminal: bool) -> Self {
        let dumb = place::variable("TERM").is_some_and(|term| term == "dumb");
        let on = is_terminal && !dumb && !place::is_set("NO_COLOR");
        if on {
            // `colored` looks at standard output only; this module decides for each stream instead.
            colored::control::set_override(true);
        }
        Self { on }
    }

    /// For standard output.
    pub(crate) fn stdout() -> Self {
        Self::for_terminal(stdout_is_terminal())
    }

    /// For standard error.
    pub(crate) fn stderr() -> Self {
        Self::for_terminal(io::stderr().is_terminal())
    }

    paints! {
        bold => |text| text.bold();
        dim => |text| text.dimmed();
        red => |text| text.red();
        green => |text| text.green();
        yellow => |text| text.yellow();
        blue => |text| text.blue();
        cyan => |text| text.cyan();
        italic => |text| text.italic();
        underline => |text| text.underline();
        struck => |text| text.strikethrough();
        heading => |text| text.bold().underline();
        alarm => |text| text.black().on_yellow().bold();
    }
}

pub(crate) fn stdout_is_terminal() -> bool {
    io::stdout().is_terminal()
}

pub(crate) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

pub(crate) fn stdin_is_terminal() -> bool {
    io::stdin().is_terminal()
}

/// The width of the terminal on standard output, or what reads well where there is none.
pub(crate) fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout());
    size.map(|size| usize::from(size.ws_col)).ok().filter(|columns| *columns > 0).unwrap_or(100)
}

/// Columns and rows of the terminal on standard output.
pub(crate) fn size() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout());
    let rows = size.map(|size| usize::from(size.ws_row)).ok().filter(|rows| *rows > 0).unwrap_or(24);
    (width(), rows)
}

/// What is kept back to be printed in one piece.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// Of standard output.
    pub(crate) output: String,
    /// Of standard error, line by line.
    pub(crate) said: Vec<String>,
    /// Failures among what was to be done.
    pub(crate) faults: Vec<Fault>,
}

static GATHERED: Mutex<Option<Gathered>> = Mutex::new(None);

fn gathering<T>(take: impl FnOnce(&mut Gathered) -> T) -> Option<T> {
    GATHERED.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(take)
}

/// From now on everything is kept back.
pub(crate) fn gather() {
    *GATHERED.lock().unwrap_or_else(PoisonError::into_inner) = Some(Gathered::default());
}

/// What was kept back; from now on nothing is.
pub(crate) fn gathered() -> Gathered {
    GATHERED.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default()
}

/// Data, as it is, without a newline added.
pub(crate) fn raw(text: &str) -> Outcome {
    if gathering(|all| all.output.push_str(text)).is_some() {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::silent(Kind::BrokenPipe)),
        Err(error) => Err(Failure::io("cannot write to standard output", &error)),
    }
}

/// One line of data, or several.
pub(crate) fn data(text: &str) -> Outcome {
    raw(&format!("{text}\n"))
}

/// A value as JSON: one line for programs, pretty and escaped for eyes.
pub(crate) fn json(value: &impl serde::Serialize) -> Outcome {
    let text =
        if stdout_is_terminal() { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    json_text(&text.map_err(|error| Failure::new(Kind::Failed, format!("cannot write JSON: {error}")))?)
}

/// A value as JSON on one line whatever reads it.
pub(crate) fn json_line(value: &impl serde::Serialize) -> Outcome {
    let text = serde_json::to_string(value);
    json_text(&text.map_err(|error| Failure::new(Kind::Failed, format!("cannot write JSON: {error}")))?)
}

fn json_text(text: &str) -> Outcome {
    if stdout_is_terminal() { data(&sanitize::json(text)) } else { data(text) }
}

/// Talk, on standard error. A closed standard error silences it and changes nothing else.
pub(crate) fn say(text: &str) {
    if gathering(|all| all.said.push(text.to_owned())).is_some() {
        return;
    }
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A question on standard error; the answer follows on the same line.
pub(crate) fn ask(text: &str) {
    let mut out = io::stderr().lock();
    let _ = write!(out, "{text}").and_then(|()| out.flush());
}

/// Whether the terminal on standard output understands more than text.
pub(crate) fn obeys() -> bool {
    stdout_is_terminal() && place::variable("TERM").is_none_or(|term| term != "dumb")
}

/// To the terminal itself; moves nothing on the screen. One that cannot be written to is gone, which others notice.
fn to_terminal(sequence: &str) {
    if obeys() {
        let mut out = io::stdout().lock();
        let _ = out.write_all(sequence.as_bytes()).and_then(|()| out.flush());
    }
}

/// Rings the terminal's bell, unless `VIBES_BELL` is `off`.
pub(crate) fn ring() {
    if place::variable("VIBES_BELL").is_none_or(|bell| bell != "off") {
        to_terminal("\x07");
    }
}

/// Sets the terminal's title. The text has been sanitised.
pub(crate) fn title(text: &str) {
    to_terminal(&format!("\x1b]0;{text}\x07"));
}

/// Keeps the title that the terminal has.
pub(crate) fn save_title() {
    to_terminal("\x1b[22;0t");
}

/// Gives it back.
pub(crate) fn restore_title() {
    to_terminal("\x1b[23;0t");
}

/// Asks a question that a person answers with yes or no. Only where both ends are a terminal.
pub(crate) fn confirm(question: &str) -> Outcome<bool> {
    let _ = write!(io::stderr().lock(), "{question} [y/N] ");
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(|error| Failure::io("cannot read the answer", &error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes" | "Yes"))
}

/// Whether a question can be asked at all.
pub(crate) fn can_ask() -> bool {
    stdin_is_terminal() && io::stderr().is_terminal()
}

/// All of standard input, for prompts. A prompt has to be text.
pub(crate) fn read_stdin(limit: u64) -> Outcome<String> {
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::io("cannot read standard input", &error))?;
    if bytes.len() as u64 > limit {
        return Err(Failure::usage(format!(
            "standard input is longer than the {limit} bytes a prompt may have"
        )));
    }
    String::from_utf8(bytes).map_err(|_| Failure::usage("standard input is not UTF-8 text"))
}

/// The end of a failed command: what is known, then what to do.
pub(crate) fn failure(failure: &Failure) {
    if failure.message.is_empty() {
        return;
    }
    if gathering(|all| all.faults.push(fault(failure))).is_some() {
        return;
    }
    let paint = Paint::stderr();
    say(&format!("{} {}", paint.red(&paint.bold("error:")), sanitize::text(&failure.message)));
    if let Some(hint) = &failure.hint {
        say(&format!("{} {}", paint.cyan("hint:"), sanitize::text(hint)));
    }
}
