//! The small program that holds one agent's stdio and outlives the daemon, and the words it speaks.
//!
//! Invariant: what the agent wrote is in the spool before anybody acts on it; a numbered frame reaches the agent
//! once; no process of the agent outlives its runner's orderly end. The runner knows bytes, newlines and six verbs:
//! no JSON of the agent, no configuration, no network, no timers about turns.

pub mod points;
pub mod spool;
pub mod wire;
