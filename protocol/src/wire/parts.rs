//! Parts of requests: what is read in more than one way, and words to choose from.

use crate::model::Seq;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Where a subscription begins: after this record, or at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum After {
    /// After the record with this number; 0 is the start.
    Seq(Seq),
    /// Only what comes from now on.
    #[default]
    End,
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for After {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "After".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "Where a subscription begins: after the record with this number (0 is the start), or at the end.",
            "oneOf": [{"type": "integer", "minimum": 0}, {"const": "end"}]
        })
    }
}

impl Serialize for After {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Seq(seq) => serializer.serialize_u64(*seq),
            Self::End => serializer.serialize_str("end"),
        }
    }
}

impl<'de> Deserialize<'de> for After {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) if text == "end" => Ok(Self::End),
            Value::Number(number) if number.is_u64() => Ok(Self::Seq(number.as_u64().unwrap_or_default())),
            other => Err(serde::de::Error::custom(format!(
                "expected a record number (0 or more) or \"end\", got {other}"
            ))),
        }
    }
}

/// The content of a prompt: plain text or ACP content blocks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// ACP content blocks.
    Blocks(Vec<Value>),
}

impl Content {
    /// As ACP content blocks.
    pub fn into_blocks(self) -> Vec<Value> {
        match self {
            Self::Text(text) => vec![serde_json::json!({"type": "text", "text": text})],
            Self::Blocks(blocks) => blocks,
        }
    }
}

/// How much more than this very request is to be allowed. Empty: nothing more.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ForSession {
    /// Commands of this pattern, word by word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Vec<String>>,
    /// Files at this place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
}

/// The steps of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ImportStep {
    /// Say what comes.
    Begin,
    /// Some of its records.
    Append,
    /// That was all.
    Commit,
    /// Never mind.
    Abort,
}

/// What can be done with a worktree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WorktreeWish {
    /// Tell what it changes.
    Diff,
    /// Merge its branch into the one that it came from.
    Merge,
    /// Remove it, and its branch.
    Drop,
}

/// What kind of program a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ClientKind {
    /// The command line.
    Cli,
    /// A browser.
    Web,
    /// A person's script.
    Script,
    /// An editor or another protocol.
    Bridge,
    /// Something else.
    #[serde(other)]
    Other,
}

/// Which program a client is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ClientProgram {
    /// Its name.
    pub name: String,
    /// Its version.
    #[serde(default)]
    pub version: String,
    /// Its kind.
    pub kind: ClientKind,
}
