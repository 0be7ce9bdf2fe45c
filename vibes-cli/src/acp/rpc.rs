//! JSON-RPC as the Agent Client Protocol uses it: one message per line, requests in both directions.
//!
//! Invariant: whatever a line holds, reading it gives a message or a refusal that can be sent back; an id goes back as
//! the JSON it came as.

use crate::error::Failure;
use serde_json::{Map, Value, json};
use vibes_protocol::wire::ErrorCode;

/// The version of the Agent Client Protocol that is spoken.
pub(super) const ACP_VERSION: u64 = 1;

/// Error codes of JSON-RPC, and of the Agent Client Protocol.
pub(super) mod code {
    pub(in crate::acp) const PARSE: i64 = -32700;
    pub(in crate::acp) const INVALID_REQUEST: i64 = -32600;
    pub(in crate::acp) const METHOD_NOT_FOUND: i64 = -32601;
    pub(in crate::acp) const INVALID_PARAMS: i64 = -32602;
    pub(in crate::acp) const INTERNAL: i64 = -32603;
    pub(in crate::acp) const NOT_FOUND: i64 = -32002;
}

/// Why a request is not served: a code for programs, and a sentence that says what to do.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Refusal {
    pub(super) code: i64,
    pub(super) message: String,
    /// The daemon's own code, when it refused.
    pub(super) daemon: Option<&'static str>,
}

impl Refusal {
    pub(super) fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), daemon: None }
    }

    /// Wrong or missing parameters.
    pub(super) fn params(message: impl Into<String>) -> Self {
        Self::new(code::INVALID_PARAMS, message)
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        use ErrorCode as E;
        let code = match failure.code {
            Some(E::SessionNotFound | E::AmbiguousId | E::NotFound) => code::NOT_FOUND,
            Some(E::BadRequest | E::AgentNotFound | E::FrameTooLarge) => code::INVALID_PARAMS,
            Some(E::InvalidState | E::Busy | E::ReadOnly | E::NotOwner | E::Forbidden) => {
                code::INVALID_REQUEST
            }
            _ => code::INTERNAL,
        };
        let message = match &failure.hint {
            Some(hint) => format!("{}; {hint}", failure.message),
            None => failure.message.clone(),
        };
        Self { code, message, daemon: failure.code.map(ErrorCode::as_str) }
    }
}

/// What a line is.
#[derive(Debug, PartialEq)]
pub(super) enum Incoming {
    /// Wants an answer.
    Request { id: Value, method: String, params: Value },
    /// Wants none.
    Notification { method: String, params: Value },
    /// Answers a request of ours: its result, or its error.
    Response { id: Value, outcome: Result<Value, Value> },
}

/// Reads a line. What is no message is refused under the id that could be read, or null.
pub(super) fn read(line: &[u8]) -> Result<Incoming, (Value, Refusal)> {
    let refuse = |id: Value, code, message: &str| Err((id, Refusal::new(code, message)));
    let mut fields: Map<String, Value> = match serde_json::from_slice(line) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return refuse(Value::Null, code::INVALID_REQUEST, "a message is one JSON object"),
        Err(error) => return refuse(Value::Null, code::PARSE, &format!("not JSON: {error}")),
    };
    let id = fields.remove("id");
    let params = fields.remove("params").unwrap_or(Value::Null);
    match (fields.remove("method"), id) {
        (Some(Value::String(method)), None) => Ok(Incoming::Notification { method, params }),
        (Some(Value::String(method)), Some(id @ (Value::String(_) | Value::Number(_) | Value::Null))) => {
            Ok(Incoming::Request { id, method, params })
        }
        (Some(Value::String(_)), Some(_)) => {
            refuse(Value::Null, code::INVALID_REQUEST, "id: a string or a number is expected")
        }
        (Some(_), id) => {
            refuse(id.unwrap_or_default(), code::INVALID_REQUEST, "method: a string is expected")
        }
        (None, Some(id)) => {
            let outcome = match fields.remove("error") {
                Some(error) => Err(error),
                None => Ok(fields.remove("result").unwrap_or_default()),
            };
            Ok(Incoming::Response { id, outcome })
        }
        (None, None) => refuse(Value::Null, code::INVALID_REQUEST, "neither a method nor an id"),
    }
}

/// An answer.
pub(super) fn answer(id: &Value, outcome: Result<Value, Refusal>) -> Value {
    match outcome {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(refusal) => {
            let mut error = json!({"code": refusal.code, "message": refusal.message});
            if let Some(daemon) = refusal.daemon {
                error["data"] = json!({"code": daemon});
            }
            json!({"jsonrpc": "2.0", "id": id, "error": error})
        }
    }
}

/// A request of ours.
pub(super) fn request(id: u64, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// A notification.
pub(super) fn notification(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "method": method, "params": params})
}

/// An update of a session.
pub(super) fn update(session: &str, update: Value) -> Value {
    notification("session/update", json!({"sessionId": session, "update": update}))
}

/// The other side takes no answer to this request of ours any more.
pub(super) fn withdraw(id: u64) -> Value {
    notification("$/cancel_request", json!({"requestId": id}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> (Value, i64) {
        let (id, refusal) = read(line.as_bytes()).unwrap_err();
        (id, refusal.code)
    }

    #[test]
    fn a_line_is_a_request_a_notification_or_a_response() {
        let request = read(br#"{"jsonrpc":"2.0","id":"a","method":"m","params":{"x":1}}"#).unwrap();
        let expected = Incoming::Request { id: json!("a"), method: "m".to_owned(), params: json!({"x": 1}) };
        assert_eq!(request, expected);
        let notification = read(br#"{"method":"m"}"#).unwrap();
        assert_eq!(notification, Incoming::Notification { method: "m".to_owned(), params: Value::Null });
        let response = read(br#"{"id":0,"result":{"a":1}}"#).unwrap();
        assert_eq!(response, Incoming::Response { id: json!(0), outcome: Ok(json!({"a": 1})) });
        let error = read(br#"{"id":0,"error":{"code":1}}"#).unwrap();
        assert_eq!(error, Incoming::Response { id: json!(0), outcome: Err(json!({"code": 1})) });
    }

    #[test]
    fn what_is_no_message_is_refused_with_its_id() {
        assert_eq!(refused("{"), (Value::Null, code::PARSE));
        assert_eq!(refused("[]"), (Value::Null, code::INVALID_REQUEST));
        assert_eq!(refused("{}"), (Value::Null, code::INVALID_REQUEST));
        assert_eq!(refused(r#"{"id":7,"method":1}"#), (json!(7), code::INVALID_REQUEST));
        assert_eq!(refused(r#"{"id":{},"method":"m"}"#), (Value::Null, code::INVALID_REQUEST));
    }

    #[test]
    fn a_refusal_of_the_daemon_keeps_its_code_and_says_what_to_do() {
        let failure = Failure::from(vibes_protocol::wire::CodedError::new(ErrorCode::Busy, "32 wait"));
        let line = answer(&json!(1), Err(failure.into()));
        assert_eq!(line["error"]["code"], code::INVALID_REQUEST);
        assert_eq!(line["error"]["data"]["code"], "BUSY");
        let message = line["error"]["message"].as_str().unwrap();
        assert!(message.contains("32 wait") && message.contains("vibes wait"), "{message}");
    }
}
