//! The thinking of vibes: sessions, ownership, lifecycle, the journal, the agents' dialects.
//!
//! By the way data takes: `agent::link` reads an agent's spool, `agent::acp` gives it meaning, `session::state`
//! decides, `journal` records, `journal::feed` publishes. Absent by design: no listener, no terminal, no reading of
//! environment or home. What comes from outside is handed in by the daemon.

pub mod agent;
pub mod archive;
pub mod blobs;
pub mod board;
pub mod budgets;
mod caught;
pub mod clock;
mod glimpse;
pub mod host;
pub mod journal;
pub mod lifecycle;
pub mod memory;
pub mod ownership;
pub mod prices;
pub mod redact;
pub mod room;
pub mod rules;
pub mod search;
pub mod session;
pub mod sessions;

pub use caught::caught;
pub use vibes_runner::points;
