//! The agents, with what a program that shows them in a list asks first.
//!
//! Invariant: said in two ways, it is the same: `supports_*` are words of `can`.

use super::{
    pair,
    problem::Problem,
    routes::{self, Ask},
};
use axum::{body::Body, http::Response};
use serde_json::{Value, json};
use std::pin::Pin;

/// Programs that pages have a picture of.
const PICTURED: &[&str] = &["claude", "codex", "gemini", "opencode", "shell"];

/// Lists them.
pub fn list(ask: Ask) -> Pin<Box<dyn Future<Output = Response<Body>> + Send>> {
    Box::pin(async move { try_list(ask).await.unwrap_or_else(Problem::response) })
}

async fn try_list(ask: Ask) -> Result<Response<Body>, Problem> {
    let line = pair::ask(&ask.door.server, &ask.guest()?, &json!({"type": "list_agents"})).await?;
    let mut answer: Value = serde_json::from_slice(&line).unwrap_or_default();
    for agent in answer["agents"].as_array_mut().into_iter().flatten() {
        let can =
            |word: &str| agent["can"].as_array().is_some_and(|can| can.iter().any(|known| known == word));
        let (resumes, asks) = (can("resume"), can("permissions"));
        let id = agent["id"].as_str().unwrap_or_default();
        let icon = PICTURED.iter().find(|known| id.starts_with(**known)).copied().unwrap_or("agent");
        agent["icon"] = icon.into();
        agent["supports_resume"] = resumes.into();
        agent["supports_approvals"] = asks.into();
    }
    Ok(routes::tagged(&ask.parts.headers, answer.to_string().into_bytes()))
}
