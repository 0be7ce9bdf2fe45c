//! Templates on the wire: what is asked about them.
//!
//! Invariant: names of variables travel, never their values.

use super::request::requests_elsewhere;
use serde::{Deserialize, Serialize};

requests_elsewhere! {
    /// Lists what sessions can be made from.
    ListTemplates {}
    /// Reads one template.
    GetTemplate {
        /// Its name.
        name: String,
    }
    /// Writes a template: from a session, or as it is given.
    SaveTemplate {
        /// Its name.
        name: String,
        /// The session whose configuration it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session_id: Option<String>,
        /// With a session: the first prompt of those made from it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        prompt: Option<String>,
        /// Its file's text, in TOML, instead.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        /// In place of one that is there.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        replace: bool,
    }
    /// Removes a template; sessions made from it stay.
    RemoveTemplate {
        /// Its name.
        name: String,
    }
}
