//! The one reader of the environment and the configuration file.
//!
//! Invariant: what is wrong in the file is an error that names the place, never a silent default.

mod keys;
mod limits;
mod retention;
mod sessions;
mod source;
pub mod tell;
mod web;

pub use limits::Limits;
pub use retention::RetentionConfig;
pub use sessions::SessionsConfig;
use source::Source;
pub use web::Web;

use crate::{attention::Event, errand::is_address, paths};
use anyhow::Context;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use vibes_core::{
    agent::Dialect,
    budgets::{self, Budgets},
    prices::{Price, Prices},
    session::{ApprovalPolicy, task::Replay},
    sessions::Keeping,
};
use vibes_protocol::{model::Detached, paths::StateDir};

/// How the daemon is set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Its state.
    pub dir: StateDir,
    /// The runner's program.
    pub runner: PathBuf,
    /// Agents by name.
    pub agents: BTreeMap<String, Agent>,
    /// What agents may take.
    pub limits: Limits,
    /// How sessions live.
    pub sessions: SessionsConfig,
    /// How long ended sessions stay.
    pub retention: RetentionConfig,
    /// What becomes of agents' questions.
    pub approvals: Approvals,
    /// How a person is called.
    pub attention: Attention,
    /// Whether and how the web is served.
    pub web: Web,
    /// What is logged.
    pub log: String,
    /// Addresses that triggers may call, by name.
    pub webhooks: BTreeMap<String, String>,
    /// What tokens cost, for agents that tell only those.
    pub prices: Prices,
    /// What may be spent.
    pub budgets: Budgets,
    /// The person's home directory.
    pub home: Option<PathBuf>,
    /// The daemon's own environment, for agents that are started without a client at hand: what an agent may have of it
    /// is [`Config::own_env`].
    own: BTreeMap<String, String>,
}

/// An agent that can be started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The language it speaks.
    #[serde(default)]
    pub dialect: Dialect,
    /// For people.
    #[serde(default)]
    pub name: Option<String>,
    /// For people.
    #[serde(default)]
    pub description: Option<String>,
    /// Environment it always gets.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Names of the client's environment that it gets besides those that every agent gets: credentials, most of all.
    #[serde(default)]
    pub pass_env: Vec<String>,
    /// Content of prompts that it takes besides text and links: `image`, `audio`, `resource`. What is known of its program
    /// otherwise.
    #[serde(default)]
    pub accepts: Option<Vec<String>>,
    /// How much of a conversation it is told again when it does not know it, in KiB; 0 is nothing. What `[limits]` says
    /// otherwise.
    #[serde(default)]
    pub replay_kib: Option<u64>,
}

/// What becomes of agents' questions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approvals {
    /// How long they wait, in seconds; 0 is for ever.
    #[serde(default)]
    pub deadline_s: Option<u64>,
    /// What becomes of them when nobody is there who could answer.
    #[serde(default)]
    pub detached: Option<Detached>,
    /// The same for single agents.
    #[serde(default)]
    pub agents: BTreeMap<String, ApprovalPolicy>,
}

/// How a person is called, and for what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Attention {
    /// For what; everything when nothing is named.
    pub events: Vec<Event>,
    /// A program and its arguments; it is told as JSON on its standard input.
    pub command: Vec<String>,
    /// An address that is told the same.
    pub webhook: Option<String>,
    /// A desktop notification.
    pub desktop: bool,
    /// What these programs get of the daemon's own environment.
    #[serde(skip)]
    pub environment: BTreeMap<String, String>,
}

/// Names of the daemon's environment that notifications get: what finds a desktop, a home and a proxy.
const FOR_ATTENTION: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "TZ",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
];

impl Attention {
    /// Whether anybody wants to be called.
    pub fn is_wanted(&self) -> bool {
        !self.command.is_empty() || self.webhook.is_some() || self.desktop
    }

    fn complete(mut self) -> anyhow::Result<Self> {
        if self.events.is_empty() {
            self.events =
                vec![Event::NeedsApproval, Event::Idle, Event::Finished, Event::Failed, Event::Budget];
        }
        if self.webhook.as_ref().is_some_and(|url| !is_address(url)) {
            anyhow::bail!("attention.webhook: an http:// or https:// address is wanted");
        }
        let may = |name: &str| FOR_ATTENTION.contains(&name) || NETWORK.contains(&name);
        self.environment = std::env::vars().filter(|(name, _)| may(name)).collect();
        Ok(self)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    #[serde(default = "usual_log")]
    pub(crate) log: String,
    #[serde(default)]
    attention: Attention,
    #[serde(default)]
    approvals: Approvals,
    #[serde(default)]
    agents: BTreeMap<String, Agent>,
    #[serde(default)]
    pub(crate) limits: Limits,
    #[serde(default)]
    sessions: SessionsConfig,
    #[serde(default)]
    retention: RetentionConfig,
    #[serde(default)]
    web: Web,
    #[serde(default)]
    prices: BTreeMap<String, Price>,
    #[serde(default)]
    budgets: Budgets,
    #[serde(default)]
    webhooks: BTreeMap<String, String>,
}

/// Budgets whose amounts and directories make sense; `~` is the person's home.
fn sound(mut budgets: Budgets, home: Option<&Path>) -> anyhow::Result<Budgets> {
    let amounts = [("session".to_owned(), budgets.session), ("day".to_owned(), budgets.day)].into_iter();
    let of_directories = budgets.directory.iter().flat_map(|directory| {
        let key = |name: &str| format!("directory {:?}: {name}", directory.path);
        [(key("day"), directory.day), (key("total"), directory.total)]
    });
    for (key, amount) in amounts.chain(of_directories) {
        if amount.is_some_and(|amount| !budgets::is_sound(amount)) {
            anyhow::bail!("budgets.{key}: an amount from 0 to 1000000 is wanted");
        }
    }
    for directory in &mut budgets.directory {
        if let (Some(rest), Some(home)) = (directory.path.strip_prefix('~'), home)
            && (rest.is_empty() || rest.starts_with('/'))
        {
            directory.path = format!("{}{rest}", home.display());
        }
        if !Path::new(&directory.path).is_absolute() {
            anyhow::bail!("budgets.directory: {:?} is not an absolute path", directory.path);
        }
        if directory.day.is_none() && directory.total.is_none() {
            anyhow::bail!("budgets.directory {:?}: day or total is wanted", directory.path);
        }
    }
    Ok(budgets)
}

/// Whether a text says what is logged. The library takes a word that is no level for a module of that name, about which
/// there is nothing: then a slip would silence the log.
fn is_filter(text: &str) -> bool {
    let level = |word: &str| !word.is_empty() && word.parse::<tracing::level_filters::LevelFilter>().is_ok();
    let part = |part: &str| level(part.rsplit_once('=').map_or(part, |(_, level)| level).trim());
    // What names spans or fields has commas of its own.
    tracing_subscriber::EnvFilter::try_new(text).is_ok() && (text.contains('[') || text.split(',').all(part))
}

fn usual_log() -> String {
    Config::DEFAULT_LOG.to_owned()
}

/// The first sweep comes after so many times the usual pause: a machine that has just started may not know the time, and
/// people have a while to come back to what they left.
const FIRST: u32 = 10;

/// Names of a client's environment that agents get. The command line sends the same ones.
const ALLOWED: &[&str] = &["PATH", "HOME", "USER", "SHELL", "LANG", "TERM", "TZ", "SSH_AUTH_SOCK"];

/// Whether every agent gets this variable of a client.
pub fn is_allowed(name: &str) -> bool {
    ALLOWED.contains(&name) || name.starts_with("LC_")
}

impl Config {
    /// What is logged unless something else is said.
    pub const DEFAULT_LOG: &str = "info";

    /// Reads everything.
    pub fn read() -> anyhow::Result<Self> {
        Self::from(&Self::source_of(paths::config_file(), false)?)
    }

    /// What a file says, and the environment to it. One that is not there says nothing, unless it has to be there.
    fn source_of(path: Option<PathBuf>, must: bool) -> anyhow::Result<Source> {
        let text = match path.as_ref().map(std::fs::read_to_string) {
            None => String::new(),
            Some(Ok(text)) => text,
            // A home that is no directory holds no configuration either.
            Some(Err(error))
                if !must && matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                String::new()
            }
            Some(Err(error)) => {
                let path = path.unwrap_or_default();
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        // What is not UTF-8 is none of ours.
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Source::new(path, text, environment)
    }

    /// What a source says, if it makes sense.
    fn from(source: &Source) -> anyhow::Result<Self> {
        let file: File = source.read()?;
        Self::checked(file).map_err(|error| source.placed(&error))
    }

    fn checked(file: File) -> anyhow::Result<Self> {
        let dir = paths::state_dir()?;
        let me = std::env::current_exe().context("cannot find the daemon's own program")?;
        let runner = me.with_file_name("vibes-runner");
        let mut agents = presets(&me);
        let File {
            log,
            attention,
            approvals,
            agents: own_agents,
            limits,
            sessions,
            retention,
            web,
            prices,
            budgets,
            webhooks,
        } = file;
        agents.extend(own_agents);
        if !is_filter(&log) {
            anyhow::bail!("log: {log:?} is no level: error, warn, info, debug, trace, or module=level");
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
                agents.insert(name, Agent { command, ..Agent::default() });
            }
        }
        if let Some((name, _)) = agents.iter().find(|(_, agent)| agent.command.is_empty()) {
            anyhow::bail!("agents.{name}.command: the program is missing");
        }
        limits.check()?;
        sessions.check()?;
        retention.check()?;
        web.check()?;
        let of_agents =
            agents.iter().filter_map(|(name, agent)| Some((format!("agents.{name}"), agent.replay_kib?)));
        let mut replays = std::iter::once(("limits".to_owned(), limits.replay_kib)).chain(of_agents);
        if let Some((place, kib)) = replays.find(|(_, kib)| *kib > Limits::MOST_REPLAY_KIB) {
            anyhow::bail!("{place}.replay_kib: {kib} is more than {}", Limits::MOST_REPLAY_KIB);
        }
        if let Some(name) = approvals.agents.keys().find(|name| !agents.contains_key(*name)) {
            anyhow::bail!("approvals.agents.{name}: no agent is called so");
        }
        if let Some((model, _)) = prices.iter().find(|(_, price)| !price.is_sound()) {
            anyhow::bail!("prices.{model:?}: a price is dollars for a million tokens, from 0 to 1000000");
        }
        if let Some((name, _)) = webhooks.iter().find(|(_, url)| !is_address(url)) {
            anyhow::bail!("webhooks.{name}: an http:// or https:// address is wanted");
        }
        let home = std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        let budgets = sound(budgets, home.as_deref())?;
        let may = |name: &String| {
            is_allowed(name) || agents.values().any(|agent: &Agent| agent.pass_env.contains(name))
        };
        let own = std::env::vars().filter(|(name, _)| may(name)).collect();
        let attention = attention.complete()?;
        let prices = Prices(prices);
        Ok(Self {
            dir,
            runner,
            agents,
            limits,
            sessions,
            retention,
            approvals,
            attention,
            web,
            log,
            webhooks,
            prices,
            budgets,
            home,
            own,
        })
    }

    /// What an agent gets of the daemon's own environment when no client is at hand: by the allow list, because the
    /// daemon may have been started by a session manager, and what the agent is to be passed.
    pub fn own_env(&self, agent: &str) -> BTreeMap<String, String> {
        let passed = self.agents.get(agent).map_or(&[][..], |agent| &agent.pass_env);
        let may = |name: &String| is_allowed(name) || passed.contains(name);
        self.own
            .iter()
            .filter(|(name, _)| may(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// How long sessions are kept.
    pub fn keeping(&self) -> Keeping {
        let first = self.sessions.first_sweep_s.map(Duration::from_secs);
        let (deleted, every) = (self.limits.deleted(), self.limits.every());
        let retention = self.retention.retention();
        Keeping { deleted, retention, ttl: self.sessions.ttl(), every, first: first.unwrap_or(every * FIRST) }
    }

    /// How much of a conversation each agent is told again when it does not know it.
    pub fn replay(&self) -> Replay {
        let bytes = |kib: u64| usize::try_from(kib << 10).unwrap_or(usize::MAX);
        let own =
            self.agents.iter().filter_map(|(name, agent)| Some((name.clone(), bytes(agent.replay_kib?))));
        let (own, all): (BTreeMap<String, usize>, _) = (own.collect(), bytes(self.limits.replay_kib));
        Arc::new(move |agent| own.get(agent).copied().unwrap_or(all))
    }

    /// The daemon's own `PATH`.
    pub fn path(&self) -> Option<&String> {
        self.own.get("PATH")
    }
}

/// What programs that reach the network need where a proxy stands in between.
const NETWORK: &[&str] = &[
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
];

/// What Claude Code is told by variables, whichever way it is started.
const CLAUDE: &[&str] = &[
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_AUTH_TOKEN",
    "ANTHROPIC_BASE_URL",
    "ANTHROPIC_CUSTOM_HEADERS",
    "ANTHROPIC_MODEL",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
    "CLAUDE_CODE_MAX_RETRIES",
    "CLAUDE_CODE_OAUTH_TOKEN",
    "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX",
    "CLAUDE_CONFIG_DIR",
    "DISABLE_AUTOUPDATER",
];

/// The agents that need no configuration, with the variables that their own documentation names.
fn presets(me: &std::path::Path) -> BTreeMap<String, Agent> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let agent = |command: &[&str], name: &str, description: &str| Agent {
        command: words(command),
        name: Some(name.to_owned()),
        description: Some(description.to_owned()),
        ..Agent::default()
    };
    let passing =
        |agent: Agent, names: &[&str]| Agent { pass_env: words(&[names, NETWORK].concat()), ..agent };
    // It opens an HTTP server on the loopback that drives it, and asks nobody who they are unless it has a password.
    let password = uuid::Uuid::new_v4().simple().to_string();
    let guard = BTreeMap::from([("OPENCODE_SERVER_PASSWORD".to_owned(), password)]);
    // Otherwise it starts itself once more, and the first of the two swallows SIGTERM.
    let alone = BTreeMap::from([("GEMINI_CLI_NO_RELAUNCH".to_owned(), "true".to_owned())]);
    let me = me.to_string_lossy();
    let adapter = "through its adapter for the Agent Client Protocol";
    let native = "speaks the Agent Client Protocol";
    BTreeMap::from([
        (
            "shell".into(),
            Agent {
                // It remembers nothing, and words are commands to it.
                replay_kib: Some(0),
                ..agent(&[&me, "agent", "shell"], "Shell", "runs commands in a directory; needs nothing else")
            },
        ),
        (
            "claude".into(),
            passing(
                Agent {
                    dialect: Dialect::Claude,
                    ..agent(&["claude"], "Claude Code", "spoken to in its own stream-json")
                },
                CLAUDE,
            ),
        ),
        ("claude-acp".into(), passing(agent(&["claude-agent-acp"], "Claude Code (ACP)", adapter), CLAUDE)),
        (
            "codex".into(),
            passing(
                agent(&["codex-acp"], "Codex", adapter),
                &["OPENAI_API_KEY", "CODEX_API_KEY", "CODEX_HOME"],
            ),
        ),
        (
            "gemini".into(),
            passing(
                Agent { env: alone, ..agent(&["gemini", "--acp"], "Gemini CLI", native) },
                &[
                    "GEMINI_API_KEY",
                    "GOOGLE_API_KEY",
                    "GOOGLE_APPLICATION_CREDENTIALS",
                    "GOOGLE_CLOUD_LOCATION",
                    "GOOGLE_CLOUD_PROJECT",
                    "GOOGLE_GEMINI_BASE_URL",
                    "GOOGLE_GENAI_USE_VERTEXAI",
                ],
            ),
        ),
        (
            "opencode".into(),
            passing(
                Agent { env: guard, ..agent(&["opencode", "acp"], "OpenCode", native) },
                &[
                    "ANTHROPIC_API_KEY",
                    "GEMINI_API_KEY",
                    "OPENAI_API_KEY",
                    "OPENCODE_CONFIG",
                    "XDG_CACHE_HOME",
                    "XDG_CONFIG_HOME",
                    "XDG_DATA_HOME",
                    "XDG_STATE_HOME",
                ],
            ),
        ),
        (
            "goose".into(),
            passing(
                agent(&["goose", "acp"], "Goose", native),
                &["ANTHROPIC_API_KEY", "GOOSE_MODEL", "GOOSE_PROVIDER", "OPENAI_API_KEY", "XDG_CONFIG_HOME"],
            ),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_of_opencode_has_a_password_of_its_own() {
        let password = || {
            let mut presets = presets(std::path::Path::new("/bin/vibesd"));
            presets.remove("opencode").and_then(|mut agent| agent.env.remove("OPENCODE_SERVER_PASSWORD"))
        };
        let first = password().expect("it has one");
        assert!(first.len() >= 32);
        assert_ne!(Some(first), password());
    }

    #[test]
    fn an_agent_gets_what_it_is_passed_and_no_other_agents_keys() {
        let agents = presets(std::path::Path::new("/bin/vibesd"));
        let own = ["PATH", "OPENAI_API_KEY", "GEMINI_API_KEY"].map(|name| (name.to_owned(), "x".to_owned()));
        let (dir, runner) = (StateDir::new("/s"), PathBuf::from("/r"));
        let (limits, sessions) = (Limits::default(), SessionsConfig::default());
        let retention = RetentionConfig::default();
        let (approvals, attention, home) = (Approvals::default(), Attention::default(), None);
        let (prices, budgets, webhooks) = (Prices::default(), Budgets::default(), BTreeMap::new());
        let config = Config {
            dir,
            runner,
            agents,
            limits,
            sessions,
            retention,
            approvals,
            web: Web::default(),
            attention,
            log: String::new(),
            webhooks,
            prices,
            budgets,
            home,
            own: own.into(),
        };
        let names = |agent| config.own_env(agent).into_keys().collect::<Vec<_>>();
        assert_eq!(names("codex"), ["OPENAI_API_KEY", "PATH"]);
        assert_eq!(names("gemini"), ["GEMINI_API_KEY", "PATH"]);
        assert_eq!(names("shell"), ["PATH"]);
    }
}
