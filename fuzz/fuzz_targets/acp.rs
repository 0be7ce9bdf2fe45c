//! What an agent prints in the Agent Client Protocol: see `shared/agent`.

#![no_main]

#[path = "shared/agent.rs"]
mod agent;

use agent::Case;
use libfuzzer_sys::fuzz_target;
use vibes_core::agent::Dialect;

const CASE: Case = Case {
    dialect: Dialect::Acp,
    mode: "ask",
    option: ("mode", "code"),
    frame: |frame| assert_eq!(frame["jsonrpc"], "2.0"),
};

fuzz_target!(|data: &[u8]| CASE.run(data));
