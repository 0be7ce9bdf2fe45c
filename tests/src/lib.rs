//! What the end-to-end tests stand on: an environment of their own, the real binaries, a raw client, a terminal, a
//! scripted agent, and an oracle that reads the journal afterwards.
//!
//! Invariant: a test meets nothing of the machine it runs on and leaves nothing behind, and it waits for named facts,
//! never for time. Everything that waits has a deadline whose message says what did not come.

mod cli;
mod daemon;
pub mod dice;
mod editor;
mod env;
pub mod fake;
mod inject;
pub mod oracle;
pub mod points;
pub mod processes;
mod pty;
pub mod real;
pub mod soak;
mod store;
pub mod torture;
pub mod web;
mod wire;

pub use cli::{Background, Ran};
pub use daemon::Daemon;
pub use editor::Editor;
pub use env::TestEnv;
pub use inject::Faults;
pub use pty::Pty;
pub use real::{Call, Real, Turn, agents, turns};
pub use wire::Wire;

use std::time::Duration;

/// How long a fact may take. Far beyond what any takes on an idle machine: two busy cores must not fail a test.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An image of one dot.
pub const PNG: &[u8] =
    b"\x89\x50\x4e\x47\x0d\x0a\x1a\x0a\x00\x00\x00\x0d\x49\x48\x44\x52\x00\x00\x00\x01\x00\x00\x00\
    \x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89\x00\x00\x00\x0d\x49\x44\x41\x54\x78\xda\x63\x64\xf8\
    \xcf\x50\x0f\x00\x03\x86\x01\x80\x5a\x34\x7d\x6b\x00\x00\x00\x00\x49\x45\x4e\x44\xae\x42\x60\x82";

/// The same as prompts carry it.
pub const PNG_BASE64: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAA\
     DUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

/// Whether floods have the size that the catalogue of faults names, instead of a tenth of it.
pub fn full_size() -> bool {
    std::env::var_os("VIBES_TEST_FULL").is_some()
}

/// Waits until `look` finds something, or panics naming what did not come. For facts that nobody announces, such as
/// the end of a process that is not our child.
#[track_caller]
pub fn eventually<T>(fact: &str, look: impl FnMut() -> Option<T>) -> T {
    eventually_within(PATIENCE, fact, look)
}

/// The same with another patience.
#[track_caller]
pub fn eventually_within<T>(patience: Duration, fact: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = std::time::Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(std::time::Instant::now() < until, "this did not come in {patience:?}: {fact}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
