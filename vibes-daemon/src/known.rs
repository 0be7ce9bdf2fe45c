//! What is known of the agents that have a preset: what they can do, how they are installed, where their credentials lie.
//!
//! Invariant: what an agent is said to do here was seen through vibes with the version that docs/agents.md names, by the
//! suite in `tests/tests/e2e/real_agent/`; of an agent that was not tried nothing is said. Credentials are looked for, never
//! read: a file counts when it is there, a variable when it is set.

use std::{collections::BTreeMap, path::Path};

/// What is known of an agent.
#[derive(Debug)]
pub struct Known {
    /// The name of its program, wherever that lies and whatever the agent is called.
    program: &'static str,
    /// What it can do under vibes: `resume`, `permissions`, `images`, `modes`, `models`.
    pub can: &'static [&'static str],
    /// What prompts may hold besides text and links, as it says when it is started: `image`, `audio`, `resource`.
    pub accepts: &'static [&'static str],
    /// How to install it.
    pub install: &'static str,
    /// How to sign in.
    pub sign_in: &'static str,
    /// Variables that are credentials.
    keys: &'static [&'static str],
    /// Files that hold credentials: the variable that moves their directory, the directory below the home otherwise, the name.
    files: &'static [(&'static str, &'static str, &'static str)],
}

const EVERYTHING: &[&str] = &["resume", "permissions", "images", "modes", "models"];

const PICTURES: &[&str] = &["image", "resource"];

const CLAUDE_KEYS: &[&str] = &["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"];

const KNOWN: &[Known] = &[
    Known {
        program: "claude",
        can: EVERYTHING,
        accepts: PICTURES,
        install: "npm install -g @anthropic-ai/claude-code",
        sign_in: "run `claude` once and use /login, or set ANTHROPIC_API_KEY",
        keys: CLAUDE_KEYS,
        files: &[("CLAUDE_CONFIG_DIR", ".claude", ".credentials.json")],
    },
    Known {
        program: "claude-agent-acp",
        can: EVERYTHING,
        accepts: PICTURES,
        install: "npm install -g @agentclientprotocol/claude-agent-acp",
        sign_in: "run `claude` once and use /login, or set ANTHROPIC_API_KEY",
        keys: CLAUDE_KEYS,
        files: &[("CLAUDE_CONFIG_DIR", ".claude", ".credentials.json")],
    },
    Known {
        program: "codex-acp",
        can: EVERYTHING,
        accepts: PICTURES,
        install: "npm install -g @zed-industries/codex-acp",
        sign_in: "run `codex login`, or set OPENAI_API_KEY",
        keys: &["OPENAI_API_KEY", "CODEX_API_KEY"],
        files: &[("CODEX_HOME", ".codex", "auth.json")],
    },
    Known {
        program: "gemini",
        can: EVERYTHING,
        accepts: &["audio", "image", "resource"],
        install: "npm install -g @google/gemini-cli",
        sign_in: "run `gemini` once and choose a way in, or set GEMINI_API_KEY",
        keys: &["GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_APPLICATION_CREDENTIALS"],
        files: &[("", ".gemini", "oauth_creds.json")],
    },
    Known {
        program: "opencode",
        can: EVERYTHING,
        accepts: PICTURES,
        install: "npm install -g opencode-ai",
        sign_in: "run `opencode auth login`, or set the key of its provider",
        keys: &["ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENAI_API_KEY"],
        files: &[("XDG_DATA_HOME", ".local/share", "opencode/auth.json")],
    },
    Known {
        program: "goose",
        can: &[],
        accepts: &[],
        install: "see https://block.github.io/goose",
        sign_in: "run `goose configure`",
        keys: &[],
        files: &[("XDG_CONFIG_HOME", ".config", "goose/config.yaml")],
    },
];

/// What is known of the agent that this program is.
pub fn of(program: &str) -> Option<&'static Known> {
    let name = Path::new(program).file_name()?;
    KNOWN.iter().find(|known| name == known.program)
}

impl Known {
    /// Whether credentials are there in an environment, as far as can be seen: a key chain cannot.
    pub fn signed_in(&self, env: &BTreeMap<String, String>) -> bool {
        let set = |name: &str| env.get(name).filter(|value| !value.is_empty());
        self.keys.iter().any(|key| set(key).is_some())
            || self.files.iter().any(|(variable, below, file)| {
                let home = || set("HOME").map(|home| Path::new(home).join(below));
                let dir = set(variable).map(|dir| Path::new(dir).to_owned()).or_else(home);
                dir.is_some_and(|dir| dir.join(file).is_file())
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_seen_where_they_lie_and_nowhere_else() {
        let dir = std::env::temp_dir().join(format!("vibes-known-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(dir.join(".codex")).unwrap();
        let home = ("HOME".to_owned(), dir.display().to_string());
        let codex = of("/opt/bin/codex-acp").unwrap();
        let with = |more: &[(&str, &str)]| {
            let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            codex.signed_in(&[home.clone()].into_iter().chain(more).collect())
        };
        assert!(!with(&[]) && !with(&[("OPENAI_API_KEY", "")]) && !with(&[("GEMINI_API_KEY", "k")]));
        assert!(with(&[("OPENAI_API_KEY", "k")]));
        std::fs::write(dir.join(".codex/auth.json"), "{}").unwrap();
        assert!(with(&[]));
        assert!(!with(&[("CODEX_HOME", "/nowhere")]), "its directory was moved");
        std::fs::remove_dir_all(dir).unwrap();
    }
}
