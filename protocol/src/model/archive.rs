//! A session as text: what an archive begins with, and records that are passed on as they are.
//!
//! Invariant: an archive carries what was said and done, and nothing that starts a program.

use super::Seq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, value::RawValue};

/// The `type` of an archive's head.
pub const ARCHIVE: &str = "vibes_export";

/// The first line of an archive; the records follow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ArchiveHead {
    /// [`ARCHIVE`].
    #[serde(rename = "type")]
    pub kind: String,
    /// The version of its shape.
    pub format: u32,
    /// Which conversation it is, wherever it is kept.
    pub lineage: String,
    /// When it was made, in seconds since the Unix epoch.
    #[serde(default)]
    pub exported_at: i64,
    /// The version of vibes that made it.
    #[serde(default)]
    pub version: String,
    /// Whether what looks like a secret was taken out.
    #[serde(default)]
    pub redacted: bool,
    /// The first record in it.
    pub first: Seq,
    /// The last.
    pub last: Seq,
    /// The session, without what belongs to its place: owner, offers of its agent.
    pub session: Map<String, Value>,
}

/// Where a session is from that was taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Imported {
    /// Whose archive it was: `vibes`, or an agent's name.
    pub from: String,
    /// Which conversation it is.
    pub lineage: String,
    /// When, in seconds since the Unix epoch.
    pub at: i64,
    /// How many of its records stay, whatever follows in the archive.
    pub records: Seq,
    /// Their hash.
    pub digest: String,
    /// The hash of where it was read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// What became of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ImportOutcome {
    /// There is a new session.
    Imported,
    /// One of before has what was added since.
    Extended,
    /// All of it was here.
    Known,
}

/// Records that are not read: a JSON array.
#[derive(Debug, Clone)]
pub struct RawRecords(Box<RawValue>);

impl RawRecords {
    /// From JSON; the error says what is wrong with it.
    pub fn new(json: String) -> Result<Self, serde_json::Error> {
        RawValue::from_string(json).map(Self)
    }

    /// The JSON.
    pub fn json(&self) -> &str {
        self.0.get()
    }
}

impl PartialEq for RawRecords {
    fn eq(&self, other: &Self) -> bool {
        self.json() == other.json()
    }
}

impl Serialize for RawRecords {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RawRecords {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Within a message nothing can be passed on unread.
        let records = Vec::<Value>::deserialize(deserializer)?;
        serde_json::value::to_raw_value(&records).map(Self).map_err(serde::de::Error::custom)
    }
}
