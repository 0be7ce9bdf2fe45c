//! The journal against what goes wrong: second writers, killed processes, damaged files, full disks, lost power.
//!
//! The real store in directories of its own. What was acknowledged is there, what was not is there whole or not at
//! all, and nothing is lost without a word.

mod common;
mod damage;
mod host;
mod order;
mod pieces;
mod power;
