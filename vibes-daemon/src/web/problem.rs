//! Errors of the web: `application/problem+json` with the codes of the wire.
//!
//! Invariant: one code has one status; nothing of a request's headers or query is repeated.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Response, StatusCode, header},
};
use serde_json::json;
use vibes_protocol::wire::{CodedError, ErrorCode};

/// An error and its status.
#[derive(Debug)]
pub struct Problem {
    /// The status.
    pub status: StatusCode,
    /// What went wrong.
    pub error: CodedError,
    /// After how many seconds it may be tried again, or which methods there are.
    pub header: Option<(&'static str, &'static str)>,
}

impl Problem {
    /// A problem with the usual status of its code.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { status: status(code), error: CodedError::new(code, message), header: None }
    }

    /// The same with another status.
    pub fn with(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// No token, or none that is good.
    pub fn unauthorized() -> Self {
        let message = "a good token is needed, as `Authorization: Bearer TOKEN`; `vibes web` lets a browser in, \
                       `vibes token create` a program";
        let mut problem = Self::new(ErrorCode::Unauthorized, message);
        problem.header = Some(("www-authenticate", "Bearer"));
        problem
    }

    /// Too many guesses.
    pub fn too_many() -> Self {
        let mut problem = Self::new(ErrorCode::RateLimited, "too many wrong tokens: try again in a moment");
        problem.header = Some(("retry-after", "1"));
        problem
    }

    /// As a response.
    pub fn response(self) -> Response<Body> {
        let mut body = json!({
            "type": format!("urn:vibes:error:{}", self.error.code),
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "code": self.error.code,
            "detail": self.error.message,
        });
        if let Some(version) = self.error.version {
            body["version"] = version.into();
        }
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some((name, value)) = self.header {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        response
    }
}

impl From<CodedError> for Problem {
    fn from(error: CodedError) -> Self {
        Self { status: status(error.code), error, header: None }
    }
}

/// The status of a code.
pub fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::BadRequest => StatusCode::BAD_REQUEST,
        ErrorCode::UnsupportedProtocol => StatusCode::BAD_REQUEST,
        ErrorCode::UnknownType => StatusCode::NOT_FOUND,
        ErrorCode::FrameTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::SessionNotFound | ErrorCode::AgentNotFound | ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::Unauthorized => StatusCode::UNAUTHORIZED,
        ErrorCode::ReadOnly | ErrorCode::NotOwner | ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::VersionConflict => StatusCode::PRECONDITION_FAILED,
        ErrorCode::AmbiguousId
        | ErrorCode::NotSubscribed
        | ErrorCode::AlreadyDecided
        | ErrorCode::PermissionNotPending
        | ErrorCode::InvalidState => StatusCode::CONFLICT,
        ErrorCode::RateLimited | ErrorCode::Busy => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::AgentStartFailed | ErrorCode::AgentFailed => StatusCode::BAD_GATEWAY,
        ErrorCode::LimitExceeded | ErrorCode::ShuttingDown | ErrorCode::Adopting => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        ErrorCode::StoreFull => StatusCode::INSUFFICIENT_STORAGE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
