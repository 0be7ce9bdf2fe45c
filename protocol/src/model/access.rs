//! Who may use the web, and for what.

use super::SessionId;
use serde::{Deserialize, Serialize};

/// What a token lets its holder do; each level has all of those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Look.
    #[default]
    View,
    /// Drive sessions: prompt, answer, create, end, delete.
    Edit,
    /// Everything: rules, tokens, the web and the daemon itself.
    Admin,
}

impl Access {
    /// The wire name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Edit => "edit",
            Self::Admin => "admin",
        }
    }
}

/// A token, without what proves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TokenInfo {
    /// What `revoke_token` names.
    pub id: String,
    /// For people.
    pub name: String,
    /// What it lets its holder do.
    pub role: Access,
    /// The only session it is for; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    /// The person whose it is; whoever runs the daemon when absent, and nobody when it only looks or is for one session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// When it was made, in seconds since the Unix epoch.
    pub created_at: i64,
    /// When it ends, in seconds since the Unix epoch; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
}

/// Something that was done over the web.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AuditEntry {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// By which token, by its id.
    pub token: String,
    /// Its name.
    pub name: String,
    /// What: the type of the request.
    pub request: String,
    /// In which session, as it was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// How it went: `ok`, or the code of the error.
    pub outcome: String,
}
