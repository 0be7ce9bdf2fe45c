//! What Claude Code prints in its own protocol: see `shared/agent`.

#![no_main]

#[path = "shared/agent.rs"]
mod agent;

use agent::Case;
use libfuzzer_sys::fuzz_target;
use vibes_core::agent::Dialect;

const CASE: Case = Case {
    dialect: Dialect::Claude,
    mode: "plan",
    option: ("model", "opus"),
    frame: |frame| assert!(!frame.is_empty()),
};

fuzz_target!(|data: &[u8]| CASE.run(data));
