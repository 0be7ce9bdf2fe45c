//! The Agent Client Protocol on standard input and output, from the agent's side.
//!
//! Module map: `rpc` (messages) and `stdio` (lines) → `bridge` (`vibes acp`: sessions of the daemon for an editor).
//!
//! Invariant: standard output has JSON-RPC and nothing else; words for people go to standard error.

mod bridge;
mod rpc;
mod stdio;

pub(crate) use bridge::run as serve_editor;
