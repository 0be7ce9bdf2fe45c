//! The messages between client and daemon, and how one line becomes one of them.
//!
//! Invariant: whatever a line holds, reading it gives a request or a refusal that names the fault; it never panics
//! and never guesses.

pub mod access;
pub mod archive;
pub mod life;
pub mod memory;
pub mod message;
pub mod parts;
pub mod request;
pub mod search;
pub mod template;
mod told;

pub use crate::model::{CodedError, ErrorCode};
pub use message::Message;
pub use request::Request;

use serde::{Deserialize, Serialize};

/// A request with the id that its answer carries.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Asked {
    /// Correlates the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The request itself.
    #[serde(flatten)]
    pub request: Request,
}

/// Why a line is not a request. It carries the request id, when one could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Correlates the error.
    pub request_id: Option<String>,
    /// What was wrong.
    pub error: CodedError,
}

/// What every line has. Lenient, so that a broken message still gets its id back.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "type", default)]
    kind: serde_json::Value,
    #[serde(default)]
    request_id: serde_json::Value,
}

/// Reads one line from a client.
pub fn read_request(line: &[u8]) -> Result<Asked, Box<Refusal>> {
    let refuse = |request_id: Option<String>, code: ErrorCode, message: String| {
        Box::new(Refusal { request_id, error: CodedError::new(code, message) })
    };
    let head: Head = serde_json::from_slice(line).map_err(|error| {
        refuse(None, ErrorCode::BadRequest, format!("not a JSON object this protocol knows: {error}"))
    })?;
    let request_id = match head.request_id {
        serde_json::Value::Null => None,
        serde_json::Value::String(id) => Some(id),
        other => {
            let message = format!("request_id: expected a string, got {other}");
            return Err(refuse(None, ErrorCode::BadRequest, message));
        }
    };
    let serde_json::Value::String(kind) = head.kind else {
        let message = "type: expected a string that names the message".to_owned();
        return Err(refuse(request_id, ErrorCode::BadRequest, message));
    };
    match Request::read(&kind, line) {
        Some(Ok(request)) => Ok(Asked { request_id, request }),
        Some(Err(message)) => Err(refuse(request_id, ErrorCode::BadRequest, format!("{kind}: {message}"))),
        None => {
            let message = format!("unknown message type {kind:?}; this daemon speaks protocol 1");
            Err(refuse(request_id, ErrorCode::UnknownType, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> Refusal {
        *read_request(line.as_bytes()).unwrap_err()
    }

    #[test]
    fn a_line_becomes_a_request() {
        let asked = read_request(br#"{"type":"list_sessions","request_id":"r1","unknown":1}"#).unwrap();
        assert_eq!(asked.request_id.as_deref(), Some("r1"));
        assert!(matches!(asked.request, Request::ListSessions(_)));
    }

    #[test]
    fn faults_are_named_and_keep_the_request_id() {
        assert_eq!(refused("{").error.code, ErrorCode::BadRequest);
        assert_eq!(refused("[]").error.code, ErrorCode::BadRequest);
        assert_eq!(refused(r#"{"request_id":"a"}"#).request_id.as_deref(), Some("a"));
        let unknown = refused(r#"{"type":"fly","request_id":"a"}"#);
        assert_eq!(unknown.error.code, ErrorCode::UnknownType);
        assert_eq!(unknown.request_id.as_deref(), Some("a"));
        let wrong = refused(r#"{"type":"list_sessions","request_id":"a","limit":"many"}"#);
        assert_eq!(wrong.error.code, ErrorCode::BadRequest);
        assert!(wrong.error.message.contains("limit"), "{}", wrong.error.message);
        let missing = refused(r#"{"type":"interrupt"}"#);
        assert!(missing.error.message.contains("session_id"), "{}", missing.error.message);
        assert!(refused(r#"{"type":"ping","request_id":7}"#).error.message.contains("request_id"));
    }

    #[test]
    fn deep_nesting_is_refused_without_a_crash() {
        let line = format!(r#"{{"type":"ping","x":{}}}"#, "[".repeat(200_000));
        assert_eq!(refused(&line).error.code, ErrorCode::BadRequest);
    }
}
