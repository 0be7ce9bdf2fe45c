//! The Agent Client Protocol on standard input and output, from the agent's side.
//!
//! Module map: `rpc` (messages) and `stdio` (lines) → `bridge` (`vibes acp`: sessions of the daemon for an editor) and
//! `replay` (`vibes agent replay`: a recorded session as an agent); `words` is what both translate.
//!
//! Invariant: standard output has JSON-RPC and nothing else; words for people go to standard error.

mod bridge;
mod replay;
mod rpc;
mod stdio;
mod words;

pub(crate) use bridge::run as serve_editor;
pub(crate) use replay::run as replay;
