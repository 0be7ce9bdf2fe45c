//! What an agent asks: for permission, which a person gives, and for what vibes does not serve, which is refused.
//!
//! Invariant: a question keeps the raw request, which its hash covers; one without options, or too long to be shown, is refused.

use super::{Acp, MAX_QUESTION, clip, read};
use crate::agent::{
    AgentEvent, Question,
    rpc::{INVALID_PARAMS, METHOD_NOT_FOUND, Refusal, RpcId},
};
use serde_json::{Value, json};
use vibes_protocol::model::PermissionOption;

impl Acp {
    /// What a request of the agent leads to. It is answered by whoever knows what waits already.
    pub(super) fn request(&self, id: RpcId, method: &str, params: &str) -> AgentEvent<'static> {
        if method != "session/request_permission" {
            let method = clip(method, 80).to_owned();
            let message = format!("method not found: {method}");
            let refusal = Refusal { id, code: METHOD_NOT_FOUND, message };
            return AgentEvent::Refused { method, refusal };
        }
        match self.question(id.clone(), params) {
            Ok(question) => AgentEvent::Permission(Box::new(question)),
            Err(why) => {
                let refusal = Refusal { id, code: INVALID_PARAMS, message: why.clone() };
                AgentEvent::Unparsed { why, refusal: Some(refusal) }
            }
        }
    }

    fn question(&self, rpc_id: RpcId, raw: &str) -> Result<Question, String> {
        if raw.len() > MAX_QUESTION {
            return Err(format!("a permission request of {} bytes; {MAX_QUESTION} are the most", raw.len()));
        }
        let params: Value = read(raw)?;
        self.is_ours(params["sessionId"].as_str())?;
        question(rpc_id, raw, &params)
    }
}

fn question(rpc_id: RpcId, raw: &str, params: &Value) -> Result<Question, String> {
    let call = &params["toolCall"];
    let options: Vec<PermissionOption> = params["options"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|option| {
            Some(PermissionOption {
                option_id: option["optionId"].as_str()?.to_owned(),
                kind: option["kind"].as_str().unwrap_or_default().to_owned(),
                name: option["name"].as_str().unwrap_or_default().to_owned(),
            })
        })
        .collect();
    if options.is_empty() {
        return Err("a permission request without options".to_owned());
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let diff = call["content"]
        .as_array()
        .and_then(|content| content.iter().find(|block| block["type"] == "diff"))
        .map(|diff| json!({"path": diff["path"], "old_text": diff["oldText"], "new_text": diff["newText"]}));
    Ok(Question {
        rpc_id,
        raw: raw.to_owned(),
        tool: text(&call["kind"]).or_else(|| text(&call["title"])).unwrap_or_else(|| "tool".to_owned()),
        raw_input: call.get("rawInput").cloned().unwrap_or(Value::Null),
        diff,
        options,
        title: text(&call["title"]),
        tool_call_id: text(&call["toolCallId"]),
        memo: Value::Null,
    })
}
