//! A first look at a line: nearly all lines of a busy agent are updates that change nothing in the conversation.
//!
//! Invariant: what a glance tells is what [`Acp::decode`] would tell. What it is not sure of is left to that.

use super::{
    Acp,
    updates::{UpdateParams, tool_call},
};
use crate::agent::{AgentEvent, Hint, rpc};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A notification, read further at once.
#[derive(Deserialize)]
struct UpdateLine<'a> {
    #[serde(borrow, default, deserialize_with = "rpc::present")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: UpdateParams<'a>,
}

impl Acp {
    /// An update that changes nothing in the conversation, which is nearly every line of a busy agent. `None` is
    /// anything else, for [`Acp::decode`].
    pub fn glance<'a>(&self, line: &'a [u8]) -> Option<AgentEvent<'a>> {
        if self.replaying {
            return None;
        }
        let line: UpdateLine<'a> = serde_json::from_str(std::str::from_utf8(line).ok()?).ok()?;
        if line.method != "session/update" || line.id.is_some() {
            return None;
        }
        self.is_ours(line.params.conversation.as_deref()).ok()?;
        let raw = line.params.update.get();
        let (kind, text) = rpc::skim(raw)?;
        let hint = match &*kind {
            "agent_message_chunk" => text.map_or(Hint::None, Hint::Text),
            "tool_call" | "tool_call_update" => tool_call(raw),
            "current_mode_update" | "config_option_update" | "usage_update" => return None,
            _ => Hint::None,
        };
        Some(AgentEvent::Update { raw: raw.into(), hint })
    }
}
