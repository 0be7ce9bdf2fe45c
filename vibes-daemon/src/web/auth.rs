//! How a browser comes by its token, and lets it go.
//!
//! Invariant: a token is told once, in the body of an answer; never in an address, a header or a cookie.

use super::{
    problem::Problem,
    routes::{self, Ask},
};
use axum::{body::Body, http::Response};
use serde_json::json;
use vibes_core::clock;
use vibes_protocol::wire::{ErrorCode, Message};

/// The longest name of a token, in characters.
pub const NAME: usize = 100;

/// Trades a code for a token.
pub fn exchange(ask: Ask) -> std::pin::Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
    Box::pin(async move { try_exchange(ask).await.unwrap_or_else(Problem::response) })
}

async fn try_exchange(mut ask: Ask) -> Result<Response<Body>, Problem> {
    let body = ask.json().await?;
    let Some(code) = body.get("code").and_then(|code| code.as_str()) else {
        return Err(Problem::new(ErrorCode::BadRequest, "code: a string is expected"));
    };
    let name = body.get("name").and_then(|name| name.as_str()).unwrap_or("browser");
    let name: String = name.chars().filter(|char| !char.is_control()).take(NAME).collect();
    if ask.seen.sight().await.inside {
        let message = "this process runs inside an agent of this daemon, which may not let itself in";
        return Err(Problem::new(ErrorCode::Forbidden, message));
    }
    let tokens = &ask.door.server.web.tokens;
    let now = clock::wall_ms() / 1000;
    let made = tokio::task::block_in_place(|| tokens.exchange(code, name, now));
    match made.map_err(|error| Problem::new(ErrorCode::StoreFailed, format!("{error:#}")))? {
        Some((token, secret)) => Ok(routes::json(json!({"token": secret, "info": token}).to_string())),
        None if tokens.may_guess() => {
            let message = "this code is not good, or not any more: `vibes web` gives another one";
            Err(Problem::new(ErrorCode::Unauthorized, message))
        }
        None => Err(Problem::too_many()),
    }
}

/// Tells whose token it is.
pub fn whoami(ask: Ask) -> std::pin::Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
    Box::pin(async move {
        match ask.guest() {
            Ok(guest) => routes::json(json!({"info": guest.token, "inside": guest.inside}).to_string()),
            Err(problem) => problem.response(),
        }
    })
}

/// Takes the token back that this is asked with.
pub fn forget(ask: Ask) -> std::pin::Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
    Box::pin(async move {
        let guest = match ask.guest() {
            Ok(guest) => guest,
            Err(problem) => return problem.response(),
        };
        let tokens = &ask.door.server.web.tokens;
        let now = clock::wall_ms() / 1000;
        match tokio::task::block_in_place(|| tokens.revoke(&guest.token.id, now)) {
            Ok(_) => routes::json(crate::connection::encode(&Message::Ok { request_id: None })),
            Err(error) => Problem::new(ErrorCode::StoreFailed, format!("{error:#}")).response(),
        }
    })
}
