//! Keys come from the terminal, and what is missing is told.

use super::ended;
use std::fs;
use vibes_tests::{Real, agents};

#[test]
fn a_key_reaches_the_agent_from_the_terminal_and_its_want_is_told() {
    let Some(real) = Real::started(&agents::CODEX) else { return };
    let config = real.env.path("home/.codex/config.toml");
    let before = fs::read_to_string(&config).expect("the agent has a configuration");
    let mut ada = real.client();
    // Codex's own service, which nobody has logged in to.
    fs::write(&config, before.replace("model_provider = ", "# ")).expect("it can be written");
    let ran = real.env.vibes(&["run", "codex", "--wait-ready", "-d"]).exits(7);
    for told in ["it wants credentials: ", "Use OPENAI_API_KEY"] {
        assert!(ran.stderr.contains(told), "{}", ran.stderr);
    }
    // A service that takes a key.
    fs::write(&config, before.replace("wire_api", "env_key = \"OPENAI_API_KEY\"\nwire_api"))
        .expect("likewise");
    let run = |prompt: &str, more: &[(&str, &str)]| {
        let started =
            real.env.spawn_vibes(&["run", "codex", "--wait-ready", "-d", prompt], "", more).wait().ok();
        started.line().to_owned()
    };
    let without = run("without a key", &[]);
    ada.subscribe(&without, 0, "writer");
    let record = ada.fact(&without, "turn_ended");
    assert_eq!(record["fact"]["outcome"], "failed");
    assert!(record["fact"]["error"].to_string().contains("OPENAI_API_KEY"), "{record}");
    let with = run("with a key", &[("OPENAI_API_KEY", "sk-none")]);
    ada.subscribe(&with, 0, "writer");
    assert_eq!(ended(&mut ada, &with), "finished");
    // It is started again from another terminal, which has the key too.
    real.env.vibes(&["suspend", &with]).ok();
    real.env.spawn_vibes(&["resume", &with], "", &[("OPENAI_API_KEY", "sk-none")]).wait().ok();
    ada.prompt(&with, "still with a key");
    assert_eq!(ended(&mut ada, &with), "finished");
    real.check();
}
