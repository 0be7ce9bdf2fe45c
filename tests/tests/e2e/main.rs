//! End to end, through the real binaries. One program, so that it links once.
//!
//! Invariant: each test has an environment of its own, is named after the fact it proves, and waits for facts.
//! `tidy.rs` fails when a file here is not listed.

mod attach;
mod cli;
mod disk;
mod hostile;
mod intree;
mod kill;
mod notices;
mod ownership;
mod permissions;
mod recovery;
mod roles;
mod session;
mod shell;
mod start;
mod torture;
mod wire;
