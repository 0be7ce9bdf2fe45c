//! The real agents that the tests drive: how each is installed, led to the scripted model, and what it is known to do.
//!
//! Invariant: what is said of an agent here is held by a test, and `docs/agents.md` says the same. Configuration lies in the
//! test's own home, asks for no update and no telemetry, and names no address but the model's.

use crate::TestEnv;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// A real agent.
#[derive(Debug)]
pub struct Agent {
    /// Its preset.
    pub preset: &'static str,
    /// The program that the preset starts.
    pub program: &'static str,
    /// Where `tests/agents/install` puts that program.
    at: &'static str,
    /// Leads it to the model at a port of this machine.
    prepare: fn(&mut TestEnv, u16),
    /// How a turn ends whose only tool call was denied.
    pub denied: &'static str,
    /// How it takes up a conversation in a new process.
    pub resumes: &'static str,
    /// Whether it may have lost a conversation that it says it kept; the session tells it then.
    pub forgets: bool,
    /// Whether it leaves an image out that comes with a file.
    pub one_at_a_time: bool,
    /// Whether it makes copies of conversations.
    pub forks: bool,
    /// Where it keeps conversations, below the test's directory.
    pub memory: &'static str,
    /// In how many pieces two hundred words arrive at least.
    pub pieces: usize,
    /// What it makes of a model that cannot answer, by directive of the model.
    pub failures: &'static [(&'static str, Failure)],
    /// Whether it ends at a flag that it does not know.
    pub refuses_flags: bool,
    /// What becomes of it without credentials: the variable that holds them, and what its first turn says of it when it
    /// starts all the same.
    pub keyless: Option<(&'static str, Option<&'static str>)>,
    /// More arguments that the preset gives it, as TOML.
    pub flags: &'static str,
    /// Variables that keep it from the network and that no preset passes on: a person would name them with `--env`.
    pub quiet: &'static [(&'static str, &'static str)],
    /// Whom it tries to reach besides its model, whatever its settings say.
    pub reaches: &'static [&'static str],
}

/// What an agent makes of a model that cannot answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It says so: the turn has failed.
    Told,
    /// It asks again and again, for longer than a test lasts; a person may interrupt it.
    TriedAgain,
    /// It waits; a person may interrupt it.
    Waits,
}

/// Codex behind the adapter that Zed wrote: one program with Codex inside.
pub const CODEX: Agent = Agent {
    preset: "codex",
    program: "codex-acp",
    at: "node_modules/.bin/codex-acp",
    prepare: prepare_codex,
    denied: "interrupted",
    resumes: "resume",
    forgets: false,
    one_at_a_time: false,
    forks: false,
    memory: "home/.codex/sessions",
    pieces: 200,
    failures: &[
        ("fail: 400", Failure::Told),
        ("fail: 401", Failure::TriedAgain),
        ("fail: 429", Failure::Told),
        ("fail: 500", Failure::TriedAgain),
        ("garbage", Failure::TriedAgain),
        ("nothing", Failure::Waits),
    ],
    refuses_flags: true,
    // Its provider wants none here; codex has a test of its own.
    keyless: None,
    flags: "",
    quiet: &[],
    reaches: &[],
};

/// Claude Code in its own protocol.
pub const CLAUDE: Agent = Agent {
    preset: "claude",
    program: "claude",
    at: "node_modules/.bin/claude",
    refuses_flags: true,
    keyless: Some(("ANTHROPIC_API_KEY", Some("/login"))),
    ..CLAUDE_ACP
};

/// Claude Code behind its adapter.
pub const CLAUDE_ACP: Agent = Agent {
    preset: "claude-acp",
    program: "claude-agent-acp",
    at: "node_modules/.bin/claude-agent-acp",
    prepare: prepare_claude,
    denied: "finished",
    resumes: "resume",
    forgets: false,
    one_at_a_time: false,
    forks: true,
    memory: "home/.claude/projects",
    pieces: 200,
    failures: &[
        ("fail: 400", Failure::Told),
        ("fail: 401", Failure::Told),
        ("fail: 429", Failure::Told),
        ("fail: 500", Failure::Told),
        ("garbage", Failure::Told),
        ("nothing", Failure::Waits),
    ],
    refuses_flags: false,
    keyless: Some(("ANTHROPIC_API_KEY", Some("(code -32000)"))),
    flags: "",
    quiet: &[],
    reaches: &[],
};

/// Gemini CLI.
pub const GEMINI: Agent = Agent {
    preset: "gemini",
    program: "gemini",
    at: "node_modules/.bin/gemini",
    prepare: prepare_gemini,
    denied: "finished",
    resumes: "load",
    // It names its files by the minute: a second process in the same one, or a second load, finds nothing.
    forgets: true,
    one_at_a_time: true,
    forks: false,
    memory: "home/.gemini/tmp",
    pieces: 200,
    failures: &[
        ("fail: 400", Failure::Told),
        ("fail: 401", Failure::Told),
        ("fail: 429", Failure::TriedAgain),
        ("fail: 500", Failure::TriedAgain),
        ("garbage", Failure::TriedAgain),
        ("nothing", Failure::Waits),
    ],
    refuses_flags: true,
    keyless: Some(("GEMINI_API_KEY", None)),
    flags: ", \"--acp\"",
    quiet: &[],
    reaches: &[],
};

/// OpenCode, with a provider of its own.
pub const OPENCODE: Agent = Agent {
    preset: "opencode",
    program: "opencode",
    at: "opencode/node_modules/opencode-linux-x64/bin/opencode",
    prepare: prepare_opencode,
    denied: "finished",
    resumes: "resume",
    forgets: false,
    one_at_a_time: false,
    forks: true,
    memory: "data/opencode",
    pieces: 200,
    failures: &[
        ("fail: 400", Failure::Told),
        ("fail: 401", Failure::Told),
        ("fail: 429", Failure::TriedAgain),
        ("fail: 500", Failure::TriedAgain),
        ("garbage", Failure::Told),
        ("nothing", Failure::Waits),
    ],
    refuses_flags: true,
    // The key of its provider lies in its configuration.
    keyless: None,
    flags: "",
    quiet: &[("OPENCODE_DISABLE_MODELS_FETCH", "1"), ("OPENCODE_DISABLE_LSP_DOWNLOAD", "1")],
    // It looks for its plugins' versions and goes on without an answer.
    reaches: &["registry.npmjs.org"],
};

impl Agent {
    /// Its program, when `tests/agents/install` has run.
    pub fn installed(&self) -> Option<PathBuf> {
        let agents = Path::new(env!("CARGO_MANIFEST_DIR")).join("agents");
        // What npm links is followed: the environment links to the program alone.
        fs::canonicalize(agents.join(self.at)).ok()
    }

    /// Writes its configuration and sets its variables.
    pub(super) fn prepare(&self, env: &mut TestEnv, port: u16) {
        (self.prepare)(env, port);
    }
}

fn write(env: &TestEnv, path: &str, text: &str) {
    let path = env.root().join(path);
    let dir = path.parent().expect("a file lies in a directory");
    fs::create_dir_all(dir).expect("a directory can be made");
    fs::write(path, text).expect("a file can be written");
}

fn write_json(env: &TestEnv, path: &str, value: Value) {
    write(env, path, &value.to_string());
}

fn prepare_codex(env: &mut TestEnv, port: u16) {
    let config = format!(
        "model = \"gpt-5.5\"\n\
         model_provider = \"scripted\"\n\
         [model_providers.scripted]\n\
         name = \"scripted\"\n\
         base_url = \"http://127.0.0.1:{port}/v1\"\n\
         wire_api = \"responses\"\n\
         supports_websockets = false\n\
         [features]\nplugins = false\napps = false\n\
         [analytics]\nenabled = false\n"
    );
    write(env, "home/.codex/config.toml", &config);
}

fn prepare_claude(env: &mut TestEnv, port: u16) {
    // What the preset passes on comes from the terminal, the rest from the agent's own settings.
    env.set("ANTHROPIC_BASE_URL", &format!("http://127.0.0.1:{port}"));
    env.set("ANTHROPIC_API_KEY", "sk-none");
    let settings = json!({"env": {
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_MAX_RETRIES": "1",
    }});
    write_json(env, "home/.claude/settings.json", settings);
}

fn prepare_gemini(env: &mut TestEnv, port: u16) {
    env.set("GOOGLE_GEMINI_BASE_URL", &format!("http://127.0.0.1:{port}"));
    env.set("GEMINI_API_KEY", "sk-none");
    let settings = json!({
        "security": {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": false}},
        "privacy": {"usageStatisticsEnabled": false},
        "telemetry": {"enabled": false},
        "general": {"enableAutoUpdate": false},
    });
    write_json(env, "home/.gemini/settings.json", settings);
}

fn prepare_opencode(env: &mut TestEnv, port: u16) {
    let config = json!({
        "autoupdate": false,
        "share": "disabled",
        "provider": {"scripted": {
            "npm": "@ai-sdk/openai-compatible",
            "name": "Scripted",
            "options": {"baseURL": format!("http://127.0.0.1:{port}/v1"), "apiKey": "sk-none"},
            "models": {"scripted": {
                "name": "Scripted", "attachment": true, "modalities": {"input": ["text", "image"], "output": ["text"]},
            }},
        }},
        "model": "scripted/scripted",
        "small_model": "scripted/scripted",
        // The directory of the test is asked about once, not twice.
        "permission": {"bash": "ask", "edit": "ask", "external_directory": "allow"},
    });
    write_json(env, "cfg/opencode/opencode.json", config);
}
