//! A first look at a line: nearly all lines of a busy agent are a few letters of its answer or of its thoughts.
//!
//! Invariant: it needs no state and changes none, so it is right whatever came before.

use super::{Claude, chunk};
use crate::agent::AgentEvent;
use serde::Deserialize;
use std::borrow::Cow;

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    event: Event<'a>,
    #[serde(borrow, default)]
    parent_tool_use_id: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    delta: Delta<'a>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    thinking: Option<Cow<'a, str>>,
}

impl Claude {
    /// A piece of text or thought. `None` is anything else, for [`Claude::decode`].
    pub fn glance<'a>(line: &[u8]) -> Option<AgentEvent<'a>> {
        let line: Line<'_> = serde_json::from_str(std::str::from_utf8(line).ok()?).ok()?;
        if line.kind != "stream_event" || line.event.kind != "content_block_delta" {
            return None;
        }
        let parent = line.parent_tool_use_id.as_deref();
        match (line.event.delta.text, line.event.delta.thinking) {
            (Some(text), _) if !text.is_empty() => Some(chunk("agent_message_chunk", &text, parent)),
            (None, Some(text)) if !text.is_empty() => Some(chunk("agent_thought_chunk", &text, parent)),
            _ => None,
        }
    }
}
