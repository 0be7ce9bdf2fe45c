//! The one reader of the environment and the configuration file.
//!
//! Invariant: what is wrong in the file is an error that names the place, never a silent default.

use crate::paths;
use anyhow::Context;
use serde::Deserialize;
use std::{collections::BTreeMap, path::PathBuf};
use vibes_protocol::paths::StateDir;

/// How the daemon is set up.
pub struct Config {
    /// Its state.
    pub dir: StateDir,
    /// The runner's program.
    pub runner: PathBuf,
    /// Agents by name.
    pub agents: BTreeMap<String, Agent>,
    /// Environment for agents that are started without a client at hand.
    pub fallback_env: BTreeMap<String, String>,
}

/// An agent that can be started.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// For people.
    #[serde(default)]
    pub name: Option<String>,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// Environment it always gets.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    agents: BTreeMap<String, Agent>,
}

/// Names of a client's environment that agents get. The command line sends the same ones.
const ALLOWED: &[&str] = &["PATH", "HOME", "USER", "SHELL", "LANG", "TERM", "TZ", "SSH_AUTH_SOCK"];

fn is_allowed(name: &str) -> bool {
    ALLOWED.contains(&name) || name.starts_with("LC_")
}

impl Config {
    /// Reads everything.
    pub fn read() -> anyhow::Result<Self> {
        let dir = paths::state_dir()?;
        let me = std::env::current_exe().context("cannot find the daemon's own program")?;
        let runner = me.with_file_name("vibes-runner");
        let mut agents = presets(&me);
        if let Some(path) = paths::config_file() {
            match std::fs::read_to_string(&path) {
                Ok(text) => {
                    let file: File = toml::from_str(&text)
                        .with_context(|| format!("the configuration {}", path.display()))?;
                    agents.extend(file.agents);
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
            }
        }
        for (name, value) in std::env::vars() {
            // `VIBES_AGENT_NAME=program args` defines an agent without a file, for scripts and tests.
            // `VIBES_AGENT_STATE` is not one: it tells an agent of ours where its own state lies.
            if let Some(agent) = name.strip_prefix("VIBES_AGENT_")
                && !agent.is_empty()
                && agent != "STATE"
            {
                let command: Vec<String> = value.split_whitespace().map(str::to_owned).collect();
                let name = agent.to_ascii_lowercase().replace('_', "-");
                agents.insert(name, Agent { command, name: None, description: None, env: BTreeMap::new() });
            }
        }
        if let Some((name, _)) = agents.iter().find(|(_, agent)| agent.command.is_empty()) {
            anyhow::bail!("agents.{name}.command: the program is missing");
        }
        // Everything but what concerns vibes itself: the daemon may have been started by a session manager whose
        // environment is not the user's, so only the allow list is taken.
        let fallback_env = std::env::vars().filter(|(name, _)| is_allowed(name)).collect();
        Ok(Self { dir, runner, agents, fallback_env })
    }
}

fn presets(me: &std::path::Path) -> BTreeMap<String, Agent> {
    let agent = |command: &[&str], name: &str, description: &str| Agent {
        command: command.iter().map(|part| (*part).to_owned()).collect(),
        name: Some(name.to_owned()),
        description: Some(description.to_owned()),
        env: BTreeMap::new(),
    };
    let me = me.to_string_lossy();
    BTreeMap::from([
        (
            "shell".into(),
            agent(&[&me, "agent", "shell"], "Shell", "runs commands in a directory; needs nothing else"),
        ),
        (
            "claude".into(),
            agent(&["claude-agent-acp"], "Claude Code", "through its adapter for the Agent Client Protocol"),
        ),
        ("codex".into(), agent(&["codex-acp"], "Codex", "through its adapter for the Agent Client Protocol")),
        ("gemini".into(), agent(&["gemini", "--acp"], "Gemini CLI", "speaks the Agent Client Protocol")),
        ("opencode".into(), agent(&["opencode", "acp"], "OpenCode", "speaks the Agent Client Protocol")),
    ])
}
