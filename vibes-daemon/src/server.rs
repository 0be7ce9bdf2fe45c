//! The daemon's shared state, and its life from start to stop.
//!
//! Invariant, start: lock, store, socket, ready, and only then the looking for runners. Stop: no more clients, what
//! was asked is answered, the last commit is synced, clients hear their cursors, the socket goes, the lock goes last.
//! Agents keep running under their runners unless the user asked otherwise.

use crate::{
    clients::Clients,
    config::{Agent, Config},
    connection,
    instance::Instance,
    listen::Door,
    paths,
};
use anyhow::Context;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::AtomicBool, atomic::Ordering},
    time::Duration,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use vibes_core::{
    agent::launch::Yard,
    board::Board,
    clock, host,
    journal::{self, Reader, Writer},
    session::task::Environment,
    sessions::{Parts, Sessions},
};
use vibes_protocol::paths::StateDir;

/// How many connections are served at once. Others wait in the socket's backlog.
const CONNECTIONS: usize = 10_240;
/// How often the socket is looked at.
const LOOK_AT_DOOR: Duration = Duration::from_secs(2);
/// How long connections may take to say goodbye.
const FAREWELL: Duration = Duration::from_secs(2);

/// What every connection works with.
pub struct Server {
    /// All sessions.
    pub sessions: Sessions,
    /// All clients.
    pub clients: Clients,
    /// Agents by name.
    pub agents: BTreeMap<String, Agent>,
    /// The whole environment of an agent, from its name and what the client sent, if one did.
    pub environment: Environment,
    /// Where the daemon itself looks for programs.
    pub path: Option<String>,
    /// Where everything lies.
    pub dir: StateDir,
    /// Tells this state directory from others.
    pub state_id: String,
    /// When the daemon started, in seconds since the Unix epoch.
    pub started_at: i64,
    /// What is wrong, in sentences.
    pub problems: Mutex<Vec<String>>,
    /// Cancelled when the daemon stops.
    pub stop: CancellationToken,
    /// Whether the agents are to be stopped too.
    pub stop_agents: AtomicBool,
}

/// Runs the daemon until it is told to stop. `ready` is called once clients are served.
pub async fn run(config: Config, ready: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let dir = config.dir.clone();
    paths::private_dir(dir.root())?;
    let _instance = Instance::take(&dir)?;
    paths::private_dir(&dir.runners())?;
    let state_id = paths::state_id(&dir)?;
    let opened = journal::open(&dir.store(), &host::boot_id(), clock::now_ms())
        .context("the store cannot be opened")?;
    let (epoch, fence, mut problems) = (opened.epoch, opened.fence, opened.told.clone());
    for problem in &problems {
        tracing::warn!("{problem}");
    }
    let writer = Writer::start(opened)?;
    let stop = CancellationToken::new();
    let environment = environment(&config);
    let sessions = Sessions::new(Parts {
        writer: writer.clone(),
        reader: Reader::new(&dir.store()),
        board: Arc::new(Board::default()),
        yard: Arc::new(Yard { dir: dir.runners(), runner: config.runner, state_id: state_id.clone() }),
        epoch,
        fence,
        environment: environment.clone(),
        // Sessions outlive the connections: they are let go after the last client.
        stop: CancellationToken::new(),
    });
    let clients = Clients::default();
    let recovered = sessions.recover()?;
    problems.extend(recovered.told);
    clients.remember(recovered.clients);
    let door = Door::bind(&dir.socket())?;
    let server = Arc::new(Server {
        sessions,
        clients,
        agents: config.agents,
        environment: environment.clone(),
        path: config.fallback_env.get("PATH").cloned(),
        dir,
        state_id,
        started_at: clock::now_ms() / 1000,
        problems: Mutex::new(problems),
        stop,
        stop_agents: AtomicBool::new(false),
    });
    ready()?;
    tracing::info!(pid = std::process::id(), epoch, fence, "serving");
    let reaper = server.clone();
    tokio::task::spawn_blocking(move || reaper.sessions.reap_strangers());
    tokio::spawn(crate::signals::watch(server.clone()));
    let (connections, door) = accept(&server, door).await;

    tracing::info!("stopping");
    connections.close();
    if tokio::time::timeout(FAREWELL, connections.wait()).await.is_err() {
        tracing::warn!("some connections did not take their goodbye");
    }
    if server.stop_agents.load(Ordering::Acquire) {
        server.sessions.stop_agents().await;
    }
    server.sessions.let_go().await;
    let closed = writer.close().await;
    door.close();
    tracing::info!("stopped");
    closed.context("the last commit failed")
}

/// What agents get: the client's environment, or the daemon's own by the allow list where no client sent one; what the
/// configuration gives the agent; and the place of its own state. Nothing else of vibes reaches an agent.
fn environment(config: &Config) -> Environment {
    let (fallback, agents) = (config.fallback_env.clone(), config.agents.clone());
    let place = config.dir.root().join("agents").display().to_string();
    Arc::new(move |agent, client| {
        let mut env = client.filter(|env| !env.is_empty()).unwrap_or(&fallback).clone();
        for name in ["PATH", "HOME"] {
            if let (false, Some(value)) = (env.contains_key(name), fallback.get(name)) {
                env.insert(name.to_owned(), value.clone());
            }
        }
        env.retain(|name, _| !name.starts_with("VIBES_"));
        env.extend(agents.get(agent).map(|agent| agent.env.clone()).unwrap_or_default());
        env.insert("VIBES_AGENT_STATE".to_owned(), place.clone());
        env
    })
}

/// Serves clients until the daemon is told to stop.
async fn accept(server: &Arc<Server>, mut door: Door) -> (TaskTracker, Door) {
    let connections = TaskTracker::new();
    let places = Arc::new(tokio::sync::Semaphore::new(CONNECTIONS));
    let mut pause = Duration::ZERO;
    loop {
        let visitor = tokio::select! {
            () = server.stop.cancelled() => return (connections, door),
            () = tokio::time::sleep(LOOK_AT_DOOR) => {
                // Somebody may have removed the socket: without it nobody could ever ask this daemon to stop.
                if !door.is_in_place() {
                    tracing::warn!("the socket is gone: making a new one");
                    match Door::bind(&server.dir.socket()) {
                        Ok(fresh) => door = fresh,
                        Err(error) => tracing::error!("{error:#}"),
                    }
                }
                continue;
            }
            visitor = async {
                tokio::time::sleep(pause).await;
                let place = places.clone().acquire_owned().await;
                (door.accept().await, place)
            } => visitor,
        };
        match visitor {
            (Ok(visitor), Ok(place)) => {
                pause = Duration::ZERO;
                let server = server.clone();
                connections.spawn(async move {
                    connection::serve(server, visitor).await;
                    drop(place);
                });
            }
            (Err(error), _) => {
                // Out of descriptors, most likely: waiting is what helps, and a busy loop would not.
                pause = (pause * 2).clamp(Duration::from_millis(5), Duration::from_secs(1));
                tracing::warn!(%error, ?pause, "a client could not be accepted");
            }
            (_, Err(_)) => return (connections, door),
        }
    }
}
