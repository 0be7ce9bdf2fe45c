//! Answers that no person gives: by which rule, and how an answer came about at all.

use super::fact::Actor;
use serde::{Deserialize, Serialize};

/// What is to become of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is allowed.
    Allow,
    /// It is denied.
    Deny,
    /// A person is asked.
    Ask,
}

impl Verdict {
    /// As the wire has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Ask => "ask",
        }
    }
}

/// How an answer came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Somebody answered.
    Person,
    /// A standing rule did.
    Rule,
    /// A rule of this session did.
    SessionRule,
    /// Its time was up.
    Expiry,
    /// Nobody was there, and the session does not wait for anybody.
    Detached,
}

impl How {
    /// As the wire has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Rule => "rule",
            Self::SessionRule => "session_rule",
            Self::Expiry => "expiry",
            Self::Detached => "detached",
        }
    }
}

/// Where an answer came from, as the kernel and the client tell it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Surface {
    /// `cli`, `web`, `script`, `bridge`, `other`; what the client said of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its name and version; what it said of itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Its process, from the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// What that process runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
}

/// What a session allows from now on without asking: made from a request that somebody allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionRule {
    /// Unique in its session: `s1`, `s2`, …
    pub name: String,
    /// The tool it is about.
    pub tool: String,
    /// The directory it is about.
    pub cwd: String,
    /// Just this command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Or plain commands of this pattern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Vec<String>>,
    /// Just these files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// Just this input, where it names neither: its SHA-256.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_sha256: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Actor>,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// What happens to a question when nobody is there who could answer it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Detached {
    /// It waits.
    #[default]
    Stall,
    /// It is denied.
    Deny,
}
