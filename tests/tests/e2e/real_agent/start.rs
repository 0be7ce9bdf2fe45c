//! An agent that does not start: not installed, wrong flags, signed out.

use super::answered;
use std::fs;
use vibes_tests::{Real, agents::Agent};

pub fn cannot(agent: &'static Agent) {
    let Some(real) = Real::prepared(agent) else { return };
    let config = format!(
        "[agents.flagged]\ncommand = [{:?}, \"--no-such-flag-as-this\"{}]\n",
        agent.program, agent.flags
    );
    let _ = fs::create_dir_all(real.env.path("cfg/vibes"));
    fs::write(real.env.path("cfg/vibes/config.toml"), config).expect("a file can be written");
    real.env.daemon();
    // Not installed, as far as this terminal knows.
    let program = real.env.root().join("bin").join(agent.program);
    let away = real.env.root().join("away");
    fs::rename(&program, &away).expect("a file can be moved");
    let ran = real.env.vibes(&["run", agent.preset, "-d"]);
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains(agent.program) && ran.stderr.contains("install"), "{}", ran.stderr);
    fs::rename(&away, &program).expect("a file can be moved");
    if agent.refuses_flags {
        let ran = real.env.vibes(&["run", "flagged", "--wait-ready", "-d"]).exits(7);
        assert!(ran.stderr.contains("the agent exited with code"), "{}", ran.stderr);
    }
    // It starts after all.
    let mut ada = real.client();
    let session = real.create(&mut ada);
    answered(&mut ada, &session, "hello");
    real.check();
}
