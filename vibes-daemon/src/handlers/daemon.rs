//! Requests about the daemon itself.

use crate::{
    budget::OUTSTANDING,
    connection::{Connection, lock},
    dispatch::{Answer, error},
    known,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use vibes_core::{agent::launch, agent::link, session::state::MAX_QUEUED};
use vibes_protocol::{
    PROTOCOL_VERSION,
    codec::MAX_CLIENT_LINE,
    wire::{
        CodedError, ErrorCode, Message,
        message::{AgentInfo, Limits, RunnerInfo},
        request::{Hello, StopDaemon},
    },
};

/// The longest grace a client gets, in milliseconds.
const MAX_GRACE_MS: u64 = 60_000;
/// The shortest heartbeat, in milliseconds: less would be load, not life.
const MIN_HEARTBEAT_MS: u64 = 100;

/// Introduces the client.
pub fn hello(connection: &Arc<Connection>, request_id: Option<String>, body: Hello) -> Answer {
    let refuse =
        |code, message: String| Answer::Now(error(request_id.clone(), None, CodedError::new(code, message)));
    if body.protocol != PROTOCOL_VERSION {
        let message = format!(
            "this daemon speaks protocol {PROTOCOL_VERSION}, the client asked for {}: use the vibes of the same \
             version, or run `vibes daemon restart` after an upgrade",
            body.protocol
        );
        return refuse(ErrorCode::UnsupportedProtocol, message);
    }
    let grace_ms = body.grace_ms.unwrap_or(0).min(MAX_GRACE_MS) as i64;
    let heartbeat = body.heartbeat_ms.map(|ms| Duration::from_millis(ms.max(MIN_HEARTBEAT_MS)));
    let resume = body.client_id.zip(body.resume_token);
    match connection.introduce(resume, &body.client, body.identity, grace_ms, heartbeat) {
        Ok((client_id, resume_token)) => Answer::Now(Message::Welcome {
            request_id,
            protocol: PROTOCOL_VERSION,
            daemon_version: env!("CARGO_PKG_VERSION").to_owned(),
            client_id,
            resume_token,
            epoch: connection.server.sessions.epoch(),
            limits: Limits {
                max_line_bytes: MAX_CLIENT_LINE as u64,
                max_outstanding: OUTSTANDING as u32,
                max_queued_prompts: MAX_QUEUED as u32,
            },
        }),
        Err(why) => refuse(ErrorCode::BadRequest, why.to_owned()),
    }
}

/// Lists the agents that can be started.
pub fn agents(
    connection: &Arc<Connection>,
    request_id: Option<String>,
    client: &BTreeMap<String, String>,
) -> Answer {
    let server = &connection.server;
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let agents = server
        .agents
        .iter()
        .map(|(id, agent)| {
            let env = (server.environment)(id, Some(client));
            let known = known::of(&agent.command[0]);
            AgentInfo {
                id: id.clone(),
                name: agent.name.clone().unwrap_or_else(|| id.clone()),
                description: agent.description.clone().unwrap_or_else(|| agent.command.join(" ")),
                env: agent.pass_env.clone(),
                installed: launch::find_program(&agent.command[0], env.get("PATH").map(String::as_str), "/")
                    .is_ok(),
                can: known.map(|known| words(known.can)).unwrap_or_default(),
                accepts: match (&agent.accepts, known) {
                    (Some(accepts), _) => accepts.clone(),
                    (None, known) => known.map(|known| words(known.accepts)).unwrap_or_default(),
                },
                signed_in: known.map(|known| known.signed_in(&env)),
                install: known.map(|known| known.install.to_owned()),
                sign_in: known.map(|known| known.sign_in.to_owned()),
            }
        })
        .collect();
    Answer::Now(Message::Agents { request_id, agents })
}

/// Tells about the daemon.
pub fn status(connection: &Arc<Connection>, request_id: Option<String>) -> Answer {
    let server = connection.server.clone();
    Answer::Later(Box::pin(async move {
        let running = server.sessions.running();
        // An agent that runs has a reason to tell only when something is in its way.
        let hindered = running.iter().filter_map(|(handle, info)| {
            Some(format!("session {}: {}", &handle.id.to_string()[..8], info.reason.as_ref()?))
        });
        let runners = running
            .iter()
            .map(|(handle, info)| {
                let dir = server.sessions.yard().dir_of(&handle.id, info.generation);
                RunnerInfo {
                    session_id: handle.id,
                    generation: info.generation,
                    pid: link::runner_process(&dir).map(|process| process.pid),
                    agent_pid: link::agent_pid(&dir),
                    link: info.link,
                }
            })
            .collect();
        let living = server.sessions.awake().iter().filter(|info| !info.state.is_ended()).count();
        Message::DaemonStatus {
            request_id,
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocol: PROTOCOL_VERSION,
            socket: server.dir.socket().display().to_string(),
            epoch: server.sessions.epoch(),
            sessions: living as u64,
            runners,
            started_at: server.started_at,
            problems: lock(&server.problems)
                .iter()
                .cloned()
                .chain(server.search.told())
                .chain(server.sessions.trouble().map(|trouble| trouble.to_string()))
                .chain(hindered)
                .collect(),
        }
        .into()
    }))
}

/// Stops the daemon. The answer is written before the connection hears the end.
pub fn stop(connection: &Arc<Connection>, request_id: Option<String>, body: &StopDaemon) -> Answer {
    let server = connection.server.clone();
    server.stop_agents.store(body.agents, Ordering::Release);
    let connection = connection.clone();
    tokio::spawn(async move {
        // The answer is in the connection's hands before anything stops.
        while !lock(&connection.answers).is_empty() {
            tokio::task::yield_now().await;
        }
        server.stop.cancel();
    });
    Answer::Now(Message::Ok { request_id })
}
