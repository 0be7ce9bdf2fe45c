//! Requests about the web and about who may use it.

use super::request::requests_elsewhere;
use crate::model::Access;
use serde::{Deserialize, Serialize};

/// What is to be done with the web.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WebAction {
    /// Serve it, and give a code for one browser.
    Start,
    /// Serve it no longer.
    Stop,
    /// Only tell.
    Status,
}

requests_elsewhere! {
    /// Serves the web, or tells about it.
    Web {
        /// What is to be done.
        action: WebAction,
        /// At which port; the one that was used last otherwise. 0 is any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
    }
    /// Makes a token for the web.
    CreateToken {
        /// For people.
        name: String,
        /// What it lets its holder do.
        #[serde(default)]
        role: Access,
        /// The only session it is for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session_id: Option<String>,
        /// The person whose it is, when that is not whoever asks for it: what they read in one place is read in all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        person: Option<String>,
        /// When it ends, in seconds from now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_s: Option<u64>,
    }
    /// Lists the tokens.
    ListTokens {}
    /// Takes a token back; who uses it is cut off.
    RevokeToken {
        /// Which, by its id or the start of it.
        id: String,
    }
    /// Tells who did what over the web, the newest first.
    ListAudit {
        /// At most this many.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
    }
}
