//! What is to be done when something is so of a session.
//!
//! Invariant: what is done is a program with its arguments, or an address of the configuration by its name; nothing of a
//! session becomes a part of it.

use super::{Cost, SessionId, SessionInfo, SessionState};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use std::{fmt, str::FromStr};

/// Something that can be waited for. In words: `idle`, `needs-approval`, `finished`, `cost>N`, `file:GLOB`.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// The agent waits for a prompt and none is queued, or the session is suspended or has ended.
    Idle,
    /// The agent asks.
    NeedsApproval,
    /// The session has ended, in whatever way.
    Finished,
    /// It has cost more than this.
    Cost(f64),
    /// There is a file of this pattern, in the session's directory where it is relative.
    File(String),
}

impl Condition {
    /// Whether it is so, as far as the session itself tells; `None` for files, which have to be looked at.
    pub fn holds(&self, session: &SessionInfo) -> Option<bool> {
        let state = session.state;
        Some(match self {
            // Prompts in the queue will be worked on in a moment: that is not rest.
            Self::Idle => {
                state.is_ended()
                    || state == SessionState::Suspended
                    || (state == SessionState::Idle && session.queued == 0)
            }
            Self::NeedsApproval => state == SessionState::WaitingPermission,
            Self::Finished => state.is_ended(),
            Self::Cost(limit) => session.cost.as_ref().is_some_and(|Cost { amount, .. }| amount > limit),
            Self::File(_) => return None,
        })
    }

    /// The pattern of a file as an absolute one.
    pub fn pattern(&self, cwd: &str) -> Option<String> {
        let Self::File(pattern) = self else { return None };
        if pattern.starts_with('/') {
            return Some(pattern.clone());
        }
        // What is special in a pattern is not special in the directory's own name.
        let literal = cwd.trim_end_matches('/').replace('[', "[[]").replace('*', "[*]").replace('?', "[?]");
        Some(format!("{literal}/{pattern}"))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => f.write_str("idle"),
            Self::NeedsApproval => f.write_str("needs-approval"),
            Self::Finished => f.write_str("finished"),
            Self::Cost(limit) => write!(f, "cost>{limit}"),
            Self::File(pattern) => write!(f, "file:{pattern}"),
        }
    }
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let limit = |text: &str| {
            let limit = text.trim().trim_start_matches('$').parse::<f64>().ok();
            limit.filter(|limit| (0.0..=1e6).contains(limit))
        };
        match text {
            "idle" => Ok(Self::Idle),
            "needs-approval" | "needs_approval" => Ok(Self::NeedsApproval),
            "finished" => Ok(Self::Finished),
            _ => match (text.strip_prefix("cost>"), text.strip_prefix("file:")) {
                (Some(text), _) => limit(text)
                    .map(Self::Cost)
                    .ok_or_else(|| format!("{text:?} is no amount from 0 to 1000000, such as cost>2.50")),
                (_, Some(pattern))
                    if !pattern.is_empty() && pattern.len() <= 1024 && !pattern.contains('\0') =>
                {
                    Ok(Self::File(pattern.to_owned()))
                }
                _ => Err("one of idle, needs-approval, finished, cost>N, file:GLOB".to_owned()),
            },
        }
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Condition {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Condition".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "`idle`, `needs-approval`, `finished`, `cost>N` or `file:GLOB`."
        })
    }
}

/// How far a trigger has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TriggerState {
    /// It waits.
    Armed,
    /// It is so; what is to be done is being done, or tried again.
    Firing,
    /// It was done.
    Done,
    /// It was tried often enough.
    Failed,
}

/// Something to be done when something is so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Trigger {
    /// Its number.
    pub trigger_id: u64,
    /// Of which session.
    pub session_id: SessionId,
    /// What is waited for.
    pub when: Condition,
    /// A program and its arguments, or:
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// The program's directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// an address, by its name in the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<String>,
    /// Who wants it.
    #[serde(default)]
    pub by: Option<String>,
    /// Since when, in milliseconds.
    pub created_ms: i64,
    /// How far it has come.
    pub state: TriggerState,
    /// When it was so, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fired_ms: Option<i64>,
    /// How often it was tried.
    #[serde(default)]
    pub attempts: u32,
    /// When it is tried again, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_ms: Option<i64>,
    /// When it was done, or given up, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ms: Option<i64>,
    /// Why it failed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_words_and_words_again() {
        for text in ["idle", "needs-approval", "finished", "cost>2.5", "cost>0", "file:dist/*.tar.gz"] {
            assert_eq!(text.parse::<Condition>().map(|condition| condition.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "done", "cost>", "cost>x", "cost>-1", "cost>NaN", "file:", "file:a\0b"] {
            assert!(text.parse::<Condition>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_relative_pattern_is_of_the_sessions_directory_as_it_is_called() {
        let of = |pattern: &str| Condition::File(pattern.into()).pattern("/a[1]/b*");
        assert_eq!(of("x/*.rs").as_deref(), Some("/a[[]1]/b[*]/x/*.rs"));
        assert_eq!(of("/etc/*").as_deref(), Some("/etc/*"));
        assert_eq!(Condition::Idle.pattern("/a"), None);
    }
}
