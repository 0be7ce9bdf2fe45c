//! The ports that agents, and what they started, listen at.
//!
//! Invariant: found by the mark that a session's processes carry, never by name; what cannot be read is left out. Blocking.

use vibes_core::host;
use vibes_protocol::wire::message::Listener;

/// Those of the processes that carry this mark.
pub fn of(marker: &str) -> Vec<Listener> {
    let listening = host::listening(&host::carrying(marker)).into_iter();
    listening
        .map(|(address, pid)| {
            let program = host::program(pid).unwrap_or_default();
            Listener {
                address: address.to_string(),
                local: address.ip().is_loopback(),
                program: program.rsplit('/').next().unwrap_or_default().to_owned(),
                pid,
            }
        })
        .collect()
}
