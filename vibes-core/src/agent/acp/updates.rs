//! What an agent tells unasked: its updates, and requests that it takes back.
//!
//! Invariant: an update is handed on as it came; what of it enters the state is bounded; history that the journal has already
//! is passed over.

use super::{Acp, MAX_OPTIONS, clip, read};
use crate::agent::{AgentEvent, Hint, rpc::RpcId, touched};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::borrow::Cow;
use vibes_protocol::model::Cost;

/// The updates that a history is made of. The others tell how things stand, which is news at any time.
const TOLD_AGAIN: &[&str] = &[
    "user_message_chunk",
    "agent_message_chunk",
    "agent_thought_chunk",
    "tool_call",
    "tool_call_update",
    "plan",
];

#[derive(Deserialize)]
pub(super) struct UpdateParams<'a> {
    #[serde(borrow, default, rename = "sessionId")]
    pub(super) conversation: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) update: &'a RawValue,
}

#[derive(Deserialize)]
struct CancelParams {
    #[serde(rename = "requestId")]
    request: RpcId,
}

#[derive(Deserialize)]
struct UpdateHead<'a> {
    #[serde(borrow, rename = "sessionUpdate", default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

/// As much of a tool call as tells whether it is over.
#[derive(Deserialize)]
struct ToolHead<'a> {
    #[serde(borrow, rename = "toolCallId")]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    status: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    kind: Option<&'a RawValue>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    locations: Option<&'a RawValue>,
}

/// What an update about a tool call tells; nothing where it has no id that can be read.
pub(super) fn tool_call(raw: &str) -> Hint<'_> {
    match read::<ToolHead<'_>>(raw) {
        Ok(ToolHead { id, status, kind, content, locations }) => {
            // Most say nothing of files: they are not read again to learn that.
            let changes = content.is_some_and(|content| content.get().contains("\"diff\""))
                || locations.is_some()
                    && kind.is_some_and(|kind| touched::changes(kind.get().trim_matches('"')));
            let files = if changes {
                touched::files(&mut serde_json::Deserializer::from_str(raw))
            } else {
                Vec::new()
            };
            touched::hint(id, status.as_deref(), files)
        }
        Err(_) => Hint::None,
    }
}

/// As much of a content block as the preview needs.
#[derive(Deserialize)]
struct TextBlock<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
}

impl Acp {
    pub(super) fn notification<'a>(
        &mut self,
        method: &str,
        params: &'a str,
        events: &mut Vec<AgentEvent<'a>>,
    ) -> Result<(), String> {
        match method {
            "session/update" => {
                let params: UpdateParams<'a> = read(params)?;
                self.is_ours(params.conversation.as_deref())?;
                let raw = params.update.get();
                if let Some(hint) = self.hint(raw)? {
                    events.push(AgentEvent::Update { raw: raw.into(), hint });
                }
                Ok(())
            }
            "$/cancel_request" => {
                let params: CancelParams = read(params)?;
                events.push(AgentEvent::Withdrawn { rpc_id: params.request });
                Ok(())
            }
            // Extensions of an agent: who does not know one passes over it, says the protocol.
            extension if extension.starts_with('_') => Ok(()),
            other => Err(format!("a notification that is not served: {}", clip(other, 80))),
        }
    }

    /// Before the agent is ready its conversation may not have its name yet.
    pub(super) fn is_ours(&self, conversation: Option<&str>) -> Result<(), String> {
        match conversation {
            Some(theirs) if self.ready && self.conversation.as_deref() != Some(theirs) => {
                Err(format!("it is about another conversation: {}", clip(theirs, 80)))
            }
            _ => Ok(()),
        }
    }

    /// What is in an update for us; `None` when it is history, which is in the journal already.
    pub(super) fn hint<'a>(&mut self, raw: &'a str) -> Result<Option<Hint<'a>>, String> {
        if !raw.starts_with('{') {
            return Err("an update is an object".to_owned());
        }
        let head: UpdateHead<'a> =
            serde_json::from_str(raw).map_err(|error| format!("an update: {error}"))?;
        if self.replaying && TOLD_AGAIN.contains(&&*head.kind) {
            return Ok(None);
        }
        Ok(Some(match &*head.kind {
            // Recorded like any other, but nothing of that size enters the state.
            "current_mode_update" | "config_option_update" | "usage_update" if raw.len() > MAX_OPTIONS => {
                Hint::None
            }
            "agent_message_chunk" => {
                let block = head.content.and_then(|content| read::<TextBlock<'a>>(content.get()).ok());
                block.and_then(|block| block.text).map_or(Hint::None, Hint::Text)
            }
            "tool_call" | "tool_call_update" => tool_call(raw),
            "current_mode_update" => {
                let update: Value = read(raw)?;
                if let Some(option) = self.options.get_mut("mode") {
                    option["value"] = update["currentModeId"].clone();
                }
                Hint::Options
            }
            "config_option_update" => {
                let update: Value = read(raw)?;
                self.take_config_options(&update["configOptions"]);
                Hint::Options
            }
            "usage_update" => {
                let update: Value = read(raw)?;
                let cost = &update["cost"];
                match (cost["amount"].as_f64(), cost["currency"].as_str()) {
                    (Some(amount), Some(currency)) if currency.len() <= 16 => {
                        Hint::Total(Cost { amount, currency: currency.to_owned(), estimated: false })
                    }
                    _ => Hint::None,
                }
            }
            _ => Hint::None,
        }))
    }
}
