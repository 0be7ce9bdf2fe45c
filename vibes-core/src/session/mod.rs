//! One session: a pure state function, and one task that owns it.
//!
//! Invariant: state never runs ahead of the store. What an event leads to is adopted when its records are committed
//! and dropped when they are not; whatever others see (records, replies, notices, frames for the agent) comes after.

pub mod approvals;
pub mod event;
pub mod leavings;
pub mod ledger;
pub mod past;
pub mod persist;
pub mod shared;
pub mod state;
pub mod step;
pub mod task;

mod agent_events;
pub mod budget;
mod commands;
mod fetch;
mod leaving;
mod queue;
pub mod reading;
mod recall;
mod ttl;

pub use approvals::ApprovalPolicy;
pub use event::{Caller, Command, Looked, Notice, Plan, Reply};
pub use fetch::Fetched;
pub use leaving::Keeps;
pub use leavings::Forget;
pub use recall::Digest;
pub use task::{SessionHandle, Surroundings};

#[cfg(test)]
mod tests;
