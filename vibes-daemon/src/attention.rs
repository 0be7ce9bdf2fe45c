//! Calls a person: by a command of theirs, a webhook, a desktop notification, when a session needs approval, has come to
//! rest, finished or failed.
//!
//! Invariant: edges, not levels: each is told once, and nothing that was so when the daemon started. Where it goes
//! stands in the configuration alone; what an agent said reaches it as data (JSON on standard input), cut, without what
//! looks like a secret, and never as a part of a command. A call that hangs or fails costs nobody anything but itself.

use crate::{
    config::Attention,
    errand::{Errand, outward},
    server::Server,
};
use serde::Serialize;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};
use tokio::sync::{Notify, Semaphore};
use vibes_core::{board::Posted, clock, session::Notice};
use vibes_protocol::model::{Permission, SessionId, SessionInfo, SessionState};

/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many calls may be under way; what comes then is dropped, and that is in the log.
const AT_ONCE: usize = 8;

/// What a person can be called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A question waits for them.
    NeedsApproval,
    /// A turn has ended and the agent waits.
    Idle,
    /// The session has ended well.
    Finished,
    /// The session has failed.
    Failed,
    /// The session pauses, because a budget is spent.
    Budget,
}

/// What is told.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Call {
    event: Event,
    at_ms: i64,
    #[serde(flatten)]
    told: Told,
}

/// A session, as far as it leaves.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Told {
    session_id: SessionId,
    session_name: Option<String>,
    agent: String,
    cwd: String,
    state: SessionState,
    subscriber_count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    preview: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    permissions: Vec<Asked>,
}

/// A question, as far as it leaves.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Asked {
    permission_id: String,
    hash: String,
    tool: String,
    action: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_ms: Option<i64>,
}

/// What was last known of a session.
#[derive(Debug, Clone, Default, PartialEq)]
struct Known {
    state: Option<SessionState>,
    /// Questions that were told.
    told: BTreeSet<String>,
}

/// What of a session's news a person is to hear.
fn edge(known: &mut Known, info: &SessionInfo) -> Option<Event> {
    let before = known.state.replace(info.state);
    let waiting: BTreeSet<String> = match info.state {
        SessionState::WaitingPermission => {
            info.pending_permissions.iter().map(|permission| permission.permission_id.clone()).collect()
        }
        _ => BTreeSet::new(),
    };
    let news = waiting.iter().any(|id| !known.told.contains(id));
    known.told = waiting;
    // One that is first seen at its end ended before, and was told then.
    let changed = before.is_some_and(|before| before != info.state);
    let worked = matches!(before, Some(SessionState::Processing | SessionState::WaitingPermission));
    match info.state {
        SessionState::WaitingPermission if news => Some(Event::NeedsApproval),
        // With prompts in the queue it goes on by itself.
        SessionState::Idle if changed && worked && info.queued == 0 => Some(Event::Idle),
        SessionState::Finished if changed => Some(Event::Finished),
        SessionState::Failed if changed => Some(Event::Failed),
        SessionState::Suspended if changed && info.reason.as_deref() == Some("budget") => Some(Event::Budget),
        _ => None,
    }
}

impl Asked {
    fn of(permission: &Permission) -> Self {
        let input = &permission.raw_input;
        let action = input["command"].as_str().map_or_else(|| input.to_string(), str::to_owned);
        Self {
            permission_id: permission.permission_id.clone(),
            hash: permission.hash.clone(),
            tool: outward(&permission.tool),
            action: outward(&action),
            deadline_ms: permission.deadline_ms,
        }
    }
}

impl Call {
    fn of(event: Event, info: &SessionInfo) -> Self {
        let told = Told::of(info, event == Event::NeedsApproval);
        Self { event, at_ms: clock::wall_ms(), told }
    }

    /// Title and body, for eyes.
    fn words(&self) -> (String, String) {
        let id = self.told.session_id.to_string();
        let name = self.told.session_name.as_deref().unwrap_or(&id[..8]);
        let what = match self.event {
            Event::NeedsApproval => "needs approval",
            Event::Idle => "is done with its turn",
            Event::Finished => "has finished",
            Event::Failed => "has failed",
            Event::Budget => "pauses: a budget is spent",
        };
        let asked = self.told.permissions.first().map(|asked| format!("{} {}", asked.tool, asked.action));
        let body = asked
            .or_else(|| self.told.reason.clone())
            .or_else(|| self.told.preview.clone())
            .unwrap_or_default();
        (format!("vibes: {name} {what}"), body)
    }
}

impl Told {
    /// A session, with what it asks if that is wanted.
    pub fn of(info: &SessionInfo, asks: bool) -> Self {
        let asked = info.pending_permissions.iter().take(if asks { 10 } else { 0 });
        let permissions = asked.map(Asked::of).collect();
        Self {
            session_id: info.id,
            session_name: info.name.clone(),
            agent: info.agent.clone(),
            cwd: info.cwd.clone(),
            state: info.state,
            subscriber_count: info.subscriber_count,
            reason: info.reason.as_deref().map(outward),
            preview: info.preview.as_deref().map(outward),
            permissions,
        }
    }
}

/// Watches all sessions until the daemon stops. Returns at once when nobody wants to be called.
pub async fn watch(server: Arc<Server>, attention: Attention) {
    if !attention.is_wanted() {
        return;
    }
    let attention = Arc::new(attention);
    let board = server.sessions.board().clone();
    let wake = Arc::new(Notify::new());
    board.listen(&wake);
    let (mut cursor, mut known) = (board.end(), HashMap::<SessionId, Known>::new());
    // What is so already is no news.
    for info in server.sessions.awake() {
        edge(known.entry(info.id).or_default(), &info);
    }
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        tokio::select! {
            () = server.stop.cancelled() => return,
            () = wake.notified() => {}
        }
        let mut removed = Vec::new();
        let news: Vec<Arc<SessionInfo>> = match board.after(cursor) {
            Posted::Notices(notices, next) => {
                cursor = next;
                let mut info = |notice: &Arc<Notice>| match &**notice {
                    Notice::Created(info) | Notice::Updated(info) => Some(Arc::new((**info).clone())),
                    Notice::Removed(id, _) => {
                        removed.push(*id);
                        None
                    }
                    Notice::Ownership(..) => None,
                };
                notices.iter().filter_map(&mut info).collect()
            }
            Posted::Missed(next) => {
                cursor = next;
                server.sessions.awake()
            }
        };
        for info in news {
            let event = edge(known.entry(info.id).or_default(), &info);
            if info.state.is_ended() {
                known.remove(&info.id);
            }
            let Some(event) = event.filter(|event| attention.events.contains(event)) else { continue };
            let Ok(place) = places.clone().try_acquire_owned() else {
                tracing::warn!(session = %info.id, ?event, "nobody was called: {AT_ONCE} calls are under way");
                continue;
            };
            let (attention, call) = (attention.clone(), Call::of(event, &info));
            let path = server.path.clone();
            tokio::spawn(async move {
                tell(&attention, &call, path.as_deref()).await;
                drop(place);
            });
        }
        // What became of them was told before.
        removed.iter().for_each(|id| drop(known.remove(id)));
    }
}

/// Calls in every way that is wanted.
async fn tell(attention: &Attention, call: &Call, path: Option<&str>) {
    // Our own types of strings and numbers: encoding them cannot fail.
    let json = serde_json::to_string(call).unwrap_or_default();
    let errand = Errand { path, environment: &attention.environment, cwd: "/", patience: PATIENCE };
    let tell = |what: &'static str, told: Result<(), String>| {
        if let Err(error) = told {
            tracing::warn!(error, "{what}: nobody was called");
        }
    };
    if let Some((program, args)) = attention.command.split_first() {
        tell("command", errand.run(program, args, format!("{json}\n")).await);
    }
    if let Some(url) = &attention.webhook {
        tell("webhook", errand.post(url, &json).await);
    }
    if attention.desktop {
        let (title, body) = call.words();
        // The body may be markup to some desktops.
        let body = body.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let urgency = if call.event == Event::Idle { "normal" } else { "critical" };
        let args =
            ["--app-name=vibes".to_owned(), format!("--urgency={urgency}"), "--".to_owned(), title, body];
        tell("desktop notification", errand.run("notify-send", &args, String::new()).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errand::LONGEST;
    use serde_json::{Value, json};

    fn info(state: &str, asks: &[&str]) -> SessionInfo {
        let asked = |id: &&str| {
            json!({"permission_id": id, "hash": "h", "tool": "execute", "cwd": "/", "options": [],
                "raw_input": {"command": "curl -H 'Authorization: Bearer hunter2'\u{1b}[8m x"}})
        };
        let pending: Vec<Value> = asks.iter().map(asked).collect();
        serde_json::from_value(json!({
            "id": "3ce46d0d-ca77-4aef-a795-96896c482e99", "name": "api", "agent": "shell", "cwd": "/w", "state": state,
            "owner_id": null, "is_owner": false, "subscriber_count": 0, "created_at": 0, "last_activity_at": 0,
            "version": 1, "link": "live", "head": 1, "pending_permissions": pending, "preview": "TOKEN=hunter2",
        }))
        .unwrap()
    }

    #[test]
    fn each_edge_is_told_once() {
        let mut known = Known::default();
        let mut see = |state: &str, asks: &[&str]| edge(&mut known, &info(state, asks));
        for (state, asks, wanted) in [
            ("starting", &[][..], None),
            ("idle", &[], None),
            ("processing", &[], None),
            // The rules are being asked: nobody is called.
            ("processing", &["p1"], None),
            ("waiting_permission", &["p1"], Some(Event::NeedsApproval)),
            ("waiting_permission", &["p1"], None),
            ("waiting_permission", &["p1", "p2"], Some(Event::NeedsApproval)),
            ("waiting_permission", &["p2"], None),
            // Answered and asked again between two looks.
            ("waiting_permission", &["p3"], Some(Event::NeedsApproval)),
            ("processing", &[], None),
            ("idle", &[], Some(Event::Idle)),
            ("idle", &[], None),
            ("suspended", &[], None),
            ("starting", &[], None),
            ("idle", &[], None),
            ("processing", &[], None),
            ("failed", &[], Some(Event::Failed)),
            ("failed", &[], None),
            ("starting", &[], None),
            ("finished", &[], Some(Event::Finished)),
        ] {
            assert_eq!(see(state, asks), wanted, "{state} {asks:?}");
        }
    }

    #[test]
    fn what_had_ended_before_is_no_news() {
        for state in ["finished", "failed", "idle"] {
            assert_eq!(edge(&mut Known::default(), &info(state, &[])), None, "{state}");
        }
        let waiting = info("waiting_permission", &["p1"]);
        assert_eq!(edge(&mut Known::default(), &waiting), Some(Event::NeedsApproval));
    }

    #[test]
    fn what_leaves_has_no_secrets_and_no_control_characters() {
        let call = Call::of(Event::NeedsApproval, &info("waiting_permission", &["p1"]));
        let text = serde_json::to_string(&call).unwrap();
        assert!(!text.contains("hunter2") && !text.contains("\\u001b"), "{text}");
        let (title, body) = call.words();
        assert_eq!(title, "vibes: api needs approval");
        assert!(body.starts_with("execute curl -H"), "{body}");
        let long = outward(&"x ".repeat(2_000));
        assert!(long.chars().count() == LONGEST + 1 && long.ends_with('…'));
    }
}
