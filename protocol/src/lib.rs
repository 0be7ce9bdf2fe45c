//! The words of vibes: the nouns that journal and wire share, the messages, the framing.
//!
//! Invariant: a fact has one JSON shape. What the journal stores is what a client reads, so replay *is* live.
//! This crate knows serde and nothing else: no sockets, no runtime, no files. A type here is a promise to peers
//! we do not control; additions are free, a break raises [`PROTOCOL_VERSION`].

pub mod codec;
pub mod model;
pub mod paths;
pub mod printed;
pub mod remember;
#[cfg(feature = "schema")]
pub mod schema;
pub mod seat;
pub mod wire;

/// The integer version of the wire contract. Raised only by a break; additions need no raise.
pub const PROTOCOL_VERSION: u32 = 1;
