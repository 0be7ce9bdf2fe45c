//! vibes: the hand. A thin client of the daemon that owns the sessions.
//!
//! Module map: `invocation` (a verb, once or for each id) → `args` (what was asked) → `commands`, `attach`, `top` and `acp` (verbs) → `client` (the daemon) and `render` (values to
//! lines, with `sanitize`) → `ui` (the only printer). `place` is the only reader of the environment, `error` the only
//! table of exit codes.
//!
//! Invariant: blocking and thin: no runtime, no knowledge of sessions beyond what the protocol says.

mod acp;
mod args;
mod attach;
mod attachment;
mod client;
mod commands;
mod editor;
mod error;
mod invocation;
mod place;
mod render;
mod sanitize;
mod screen;
mod span;
mod target;
mod top;
mod ui;

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(invocation::run(std::env::args_os().collect()))
}
