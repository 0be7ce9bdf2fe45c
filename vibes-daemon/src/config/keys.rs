//! Every key of the configuration, documented: the one list that the variables, `vibes config` and docs/configuration.md come from.
//!
//! Invariant: the list has what the types read, no more and no less; a test asks the types themselves.

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Number,
    /// `true` or `false`.
    Switch,
    /// Text.
    Word,
    /// A list of texts.
    Words,
    /// A number with a fraction.
    Price,
    /// Names and texts.
    Pairs,
    /// Tables, one behind the other.
    Tables,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Switch => "true or false",
            Self::Word => "text",
            Self::Words => "list of texts",
            Self::Price => "number",
            Self::Pairs => "names and texts",
            Self::Tables => "list of tables",
        }
    }
}

/// A key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Its tables and its name, with dots between them; `NAME` is a name of the person's own.
    pub path: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// What holds without it, as it would be written; empty for nothing.
    pub default: &'static str,
    /// What it does.
    pub about: &'static str,
}

impl Key {
    /// The variable that has the last word about it; keys below a name of the person's own have none, nor have tables.
    pub fn variable(&self) -> Option<String> {
        let own = self.kind == Kind::Tables || self.path.split('.').any(|part| part == "NAME");
        (!own).then(|| format!("VIBES_{}", self.path.to_ascii_uppercase().replace('.', "_")))
    }
}

const fn key(path: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key { path, kind, default, about }
}

/// All of them.
pub const KEYS: &[Key] = &[
    key(
        "log",
        Kind::Word,
        "\"info\"",
        "what the daemon logs: `error`, `warn`, `info`, `debug`, `trace`, or `module=level,…`",
    ),
    key(
        "agents.NAME.command",
        Kind::Words,
        "",
        "the program of an agent of your own and its arguments; required",
    ),
    key("agents.NAME.dialect", Kind::Word, "\"acp\"", "the language it speaks: `acp` or `claude`"),
    key("agents.NAME.name", Kind::Word, "", "its name, for people"),
    key("agents.NAME.description", Kind::Word, "", "words about it"),
    key("agents.NAME.env", Kind::Pairs, "{}", "variables that it always gets"),
    key(
        "agents.NAME.pass_env",
        Kind::Words,
        "[]",
        "names of the terminal's variables that it gets besides the usual ones: credentials, most of all",
    ),
    key(
        "agents.NAME.accepts",
        Kind::Words,
        "",
        "what its prompts may have besides text and links: `image`, `audio`, `resource`; what is known of its program otherwise",
    ),
    key("agents.NAME.replay_kib", Kind::Number, "", "as `limits.replay_kib`, for this agent"),
    key(
        "approvals.deadline_s",
        Kind::Number,
        "0",
        "how long agents' questions wait before they are denied, in seconds; 0 is for ever",
    ),
    key(
        "approvals.detached",
        Kind::Word,
        "\"stall\"",
        "what becomes of a question when nobody is attached who could answer: `stall` or `deny`",
    ),
    key("approvals.agents.NAME.deadline_s", Kind::Number, "", "as `approvals.deadline_s`, for this agent"),
    key("approvals.agents.NAME.detached", Kind::Word, "", "as `approvals.detached`, for this agent"),
    key(
        "attention.events",
        Kind::Words,
        "[\"needs_approval\", \"idle\", \"finished\", \"failed\", \"budget\"]",
        "for what you are called",
    ),
    key(
        "attention.command",
        Kind::Words,
        "[]",
        "a program and its arguments that is told, as JSON on its standard input",
    ),
    key("attention.webhook", Kind::Word, "", "an http:// or https:// address that is told the same"),
    key("attention.desktop", Kind::Switch, "false", "a desktop notification"),
    key(
        "limits.spool_mib",
        Kind::Number,
        "4096",
        "how much of what all agents wrote may wait to be recorded, in MiB; from 16",
    ),
    key(
        "limits.replay_kib",
        Kind::Number,
        "32",
        "how much of a conversation an agent is told again that does not know it, in KiB; 0 is nothing, 4096 the most",
    ),
    key(
        "limits.deleted_days",
        Kind::Number,
        "30",
        "how long a deleted session can be had back, in days; up to 36500",
    ),
    key(
        "limits.sweep_s",
        Kind::Number,
        "60",
        "how often it is looked for what is to be purged, in seconds; from 1 to 86400",
    ),
    key(
        "limits.connections",
        Kind::Number,
        "10240",
        "how many clients may be connected at once; half of the open files that the system allows at most",
    ),
    key(
        "sessions.ttl_s",
        Kind::Number,
        "86400",
        "how long a session lives in which nothing happens, in seconds; 0 is for ever",
    ),
    key(
        "sessions.first_sweep_s",
        Kind::Number,
        "",
        "how long after its start, or the machine's waking, the daemon looks first for what expires, in seconds; ten times `limits.sweep_s` otherwise",
    ),
    key(
        "sessions.single_active",
        Kind::Switch,
        "false",
        "whether only one session is active at a time: what begins or goes on pauses the active one, after asking",
    ),
    key(
        "retention.days",
        Kind::Number,
        "0",
        "how long an ended session stays in which nothing happens, in days; 0 is for ever",
    ),
    key(
        "retention.size_mib",
        Kind::Number,
        "0",
        "how much all sessions may take before the oldest ended ones leave, in MiB; 0 is without end",
    ),
    key(
        "retention.notice_days",
        Kind::Number,
        "7",
        "how long before they leave it is told which do, in days",
    ),
    key(
        "retention.unread_days",
        Kind::Number,
        "90",
        "how long after something last happened an ended session stays because it is unread, in days; 0 is for ever",
    ),
    key("web.enabled", Kind::Switch, "false", "whether the web is served from the daemon's start on"),
    key("web.port", Kind::Number, "", "at which port; the one that was used last otherwise"),
    key(
        "web.hosts",
        Kind::Words,
        "[]",
        "other names that it answers to: those of tunnels, with their port where it is not the usual one",
    ),
    key(
        "prices.NAME.in",
        Kind::Price,
        "",
        "what a million tokens cost that the model NAME reads, in US dollars",
    ),
    key("prices.NAME.out", Kind::Price, "", "the same for tokens that it writes"),
    key("prices.NAME.cache_read", Kind::Price, "", "the same for tokens read from its cache"),
    key("prices.NAME.cache_write", Kind::Price, "", "the same for tokens written to its cache"),
    key(
        "budgets.session",
        Kind::Price,
        "",
        "what a session may cost that has no budget of its own; then it pauses after its turn",
    ),
    key("budgets.day", Kind::Price, "", "what all sessions may cost on a day"),
    key(
        "budgets.directory",
        Kind::Tables,
        "[]",
        "what sessions in a directory and below it may cost: `path`, and `day`, `total` or both",
    ),
    key(
        "webhooks.NAME",
        Kind::Word,
        "",
        "an http:// or https:// address that triggers may call by this name",
    ),
];

/// The page of the documentation.
pub fn page() -> String {
    let mut page = String::from(
        "# Configuration\n\n\
         This page is made by `vibesd config page`; a test compares them.\n\n\
         `~/.config/vibes/config.toml` (`vibes config path` prints where) is read when the daemon starts: `vibes daemon restart` puts \
         a change in force, and agents go on meanwhile. A key that is not there has its default. What is wrong in the file keeps the \
         daemon from starting, with the line and what was probably meant; `vibes config check` says it beforehand.\n\n\
         ```sh\n\
         vibes config show                      # every key: its value, and where that is from; --json\n\
         vibes config show limits.sweep_s\n\
         vibes config edit                      # in your editor; checked before it is written\n\
         vibes config check                     # or: vibes config check FILE\n\
         VIBES_LOG=debug vibes daemon restart   # a variable has the last word\n\
         ```\n\n\
         Each key outside of names of your own has a variable, which wins over the file, for the daemon that is started with it. A list is \
         given as JSON or as words between spaces. An agent can be defined by `VIBES_AGENT_NAME='program arguments'`, too.\n",
    );
    let mut table = "";
    for key in KEYS {
        let (head, name) = key.path.rsplit_once('.').unwrap_or(("", key.path));
        if head != table || std::ptr::eq(key, &KEYS[0]) {
            table = head;
            let title = if head.is_empty() { "At the top".to_owned() } else { format!("[{head}]") };
            page.push_str(&format!(
                "\n## {title}\n\n| key | value | default | variable | meaning |\n|---|---|---|---|---|\n"
            ));
        }
        let default = if key.default.is_empty() { "none".to_owned() } else { format!("`{}`", key.default) };
        let variable = key.variable().map_or_else(String::new, |name| format!("`{name}`"));
        let (kind, about) = (key.kind.as_str(), key.about);
        page.push_str(&format!("| `{name}` | {kind} | {default} | {variable} | {about} |\n"));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, File};
    use std::collections::BTreeSet;

    /// What the types read below a table, from the error about a key that they do not know.
    fn fields(table: &str) -> BTreeSet<String> {
        let text = if table.is_empty() { "\"?\" = 0".to_owned() } else { format!("[{table}]\n\"?\" = 0") };
        let error = toml::from_str::<File>(&text).expect_err("nobody knows this key").message().to_owned();
        let (_, expected) = error.split_once("expected").unwrap_or_else(|| panic!("{table}: {error}"));
        expected.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    }

    #[test]
    fn every_key_that_is_read_is_documented_and_no_other() {
        let mut tables: BTreeSet<String> = KEYS
            .iter()
            .map(|key| key.path)
            .map(|path| path.rsplit_once('.').map_or("", |(table, _)| table).to_owned())
            .collect();
        for table in tables.clone() {
            tables.extend(
                table
                    .rsplit_once('.')
                    .map(|(above, _)| above.to_owned())
                    .filter(|above| !above.ends_with("agents") && above != "prices"),
            );
        }
        for table in tables {
            if matches!(table.as_str(), "agents" | "approvals.agents" | "prices" | "webhooks") {
                continue;
            }
            let prefix = if table.is_empty() { String::new() } else { format!("{table}.") };
            let documented: BTreeSet<String> = KEYS
                .iter()
                .filter_map(|key| key.path.strip_prefix(&prefix))
                .filter_map(|rest| rest.split('.').next().map(str::to_owned))
                .collect();
            assert_eq!(fields(&table), documented, "[{table}]");
        }
    }

    /// Here and not among the tests of the pages: those run whatever program was built last.
    #[test]
    fn the_page_of_the_documentation_is_what_is_made_of_the_list() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        if std::env::var_os("VIBES_BLESS").is_some() {
            std::fs::write(path, page()).expect("the page can be written");
        }
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == page(),
            "docs/configuration.md is stale: VIBES_BLESS=1 cargo test -p vibes-daemon the_page writes it anew"
        );
    }

    #[test]
    fn defaults_are_what_is_written_here() {
        let limits = crate::config::Limits::default();
        let default = |path: &str| {
            let key = KEYS.iter().find(|key| key.path == path).unwrap_or_else(|| panic!("{path}"));
            key.default.parse::<u64>().unwrap_or_else(|_| panic!("{path}"))
        };
        assert_eq!(default("limits.spool_mib"), limits.spool_mib);
        assert_eq!(default("limits.replay_kib"), limits.replay_kib);
        assert_eq!(default("limits.deleted_days"), limits.deleted_days);
        assert_eq!(default("limits.sweep_s"), limits.sweep_s);
        assert_eq!(default("limits.connections"), limits.connections);
        let retention = crate::config::RetentionConfig::default();
        assert_eq!(default("retention.days"), retention.days);
        assert_eq!(default("retention.size_mib"), retention.size_mib);
        assert_eq!(default("retention.notice_days"), retention.notice_days);
        assert_eq!(default("retention.unread_days"), retention.unread_days);
        assert_eq!(Config::DEFAULT_LOG, "info");
    }
}
