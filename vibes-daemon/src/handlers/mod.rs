//! What each request does. Thin: a handler finds the session, asks it, and puts the reply into words.

pub mod archive;
pub mod attachments;
pub mod daemon;
pub mod import;
pub mod memory;
pub mod ports;
pub mod prompts;
pub mod reading;
pub mod room;
pub mod rules;
pub mod search;
pub mod session;
pub mod template;
pub mod triggers;
pub mod turns;
pub mod web;
pub mod worktree;
