//! The embedded `shell` agent: an agent of the Agent Client Protocol whose model is `sh`.
//!
//! Invariant: a command runs only because a prompt named it and, in mode `ask`, because the answer to its request
//! allowed it. A cancel is read and acted upon even while nobody reads our output: the thread that reads stdin never
//! waits for stdout, and the thread that stops a command never writes.
//!
//! Map, by data flow: `rpc` (lines in, frames out) → `agent` (methods) → `turn` (one prompt) → `command` (one
//! process group) → `output` (bytes to text, pure), with `sessions` for what outlives the process and `processes`
//! for what `/proc` knows.

mod agent;
mod command;
mod output;
mod processes;
mod rpc;
mod sessions;
mod turn;

use std::{io, path::Path, sync::Arc};

/// Removes what the agent keeps of a conversation.
pub(crate) fn forget(dir: &Path, conversation: &str) -> io::Result<()> {
    sessions::Store::at(dir).remove(conversation)
}

/// Serves the agent on stdin and stdout until stdin ends.
pub(crate) fn run() -> anyhow::Result<()> {
    let out = rpc::Out::start(io::stdout())?;
    let agent = Arc::new(agent::Agent::new(out, sessions::Store::from_environment()?));
    let lines = rpc::read_lines(io::stdin().lock(), |line| agent.handle(line));
    // Whether stdin ended or broke, what still runs was started for a client that is gone.
    agent.close();
    Ok(lines?)
}
