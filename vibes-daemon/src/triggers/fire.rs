//! What a trigger does.
//!
//! Invariant: what is told is the same JSON as a person is called with, and who is told is what the person named.

use crate::{attention::Told, errand::Errand, server::Server};
use serde::Serialize;
use std::{collections::BTreeMap, time::Duration};
use vibes_core::clock;
use vibes_protocol::model::{Condition, Trigger};

/// How long a command may take.
const COMMAND: Duration = Duration::from_secs(600);
/// How long a webhook may take.
const WEBHOOK: Duration = Duration::from_secs(10);

/// Who can be told, and with what.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Addresses by name.
    pub webhooks: BTreeMap<String, String>,
    /// What programs get of the daemon's own environment.
    pub environment: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Fired<'a> {
    event: &'static str,
    trigger_id: u64,
    when: &'a Condition,
    attempt: u32,
    at_ms: i64,
    #[serde(flatten)]
    told: Told,
}

/// Carries one out. The error says why it failed.
pub async fn fire(
    server: &Server,
    settings: &Settings,
    trigger: &Trigger,
    attempt: u32,
) -> Result<(), String> {
    let found = tokio::task::block_in_place(|| server.sessions.peek(&trigger.session_id));
    let info = match found {
        Ok(Some((_, info))) => info,
        Ok(None) => return Err("its session was purged".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    let told = Told::of(&info, true);
    let (trigger_id, when, at_ms) = (trigger.trigger_id, &trigger.when, clock::wall_ms());
    let fired = Fired { event: "trigger", trigger_id, when, attempt, at_ms, told };
    // Our own types of strings and numbers: encoding them cannot fail.
    let json = serde_json::to_string(&fired).unwrap_or_default();
    let errand = |cwd, patience| Errand {
        path: server.path.as_deref(),
        environment: &settings.environment,
        cwd,
        patience,
    };
    if let Some(name) = &trigger.webhook {
        let Some(url) = settings.webhooks.get(name) else {
            return Err(format!("no webhook is called {name:?} in the configuration"));
        };
        return errand("/", WEBHOOK).post(url, &json).await;
    }
    let Some((program, args)) = trigger.command.split_first() else {
        return Err("there is nothing to run".to_owned());
    };
    let cwd = trigger.cwd.as_deref().unwrap_or("/");
    errand(cwd, COMMAND).run(program, args, format!("{json}\n")).await
}
