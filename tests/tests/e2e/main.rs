//! End to end, through the real binaries. One program, so that it links once.
//!
//! Invariant: each test has an environment of its own, is named after the fact it proves, and waits for facts.
//! `tidy.rs` fails when a file here is not listed.

mod agent_ends;
mod agent_floods;
mod agent_lines;
mod approvals;
mod attach;
mod attachments;
mod attention;
mod budgets;
mod claude;
mod cli;
mod clock;
mod cold;
mod context;
mod crash;
mod disk;
mod doors;
mod editor;
mod fork;
mod hindered;
mod home;
mod host;
mod hostile;
mod intree;
mod kill;
mod launch;
mod ledger;
mod notices;
mod ownership;
mod permissions;
mod purge;
mod races;
mod real_agent;
mod recovery;
mod replay;
mod restored;
mod roles;
mod rules;
mod rules_crash;
mod runner_files;
mod scarce;
mod secrets;
mod session;
mod shell;
mod slow;
mod soak;
mod start;
mod store;
mod terminal;
mod torture;
mod ttl;
mod window;
mod wire;
mod worktree;
