//! The daemon's shared state, and its life from start to stop.
//!
//! Invariant, start: lock, store, socket, ready, and only then the looking for runners. Stop: no more clients, what
//! was asked is answered, the last commit is synced, clients hear their cursors, the socket goes, the lock goes last.
//! Agents keep running under their runners unless the user asked otherwise.

use crate::{
    budget::{self, Descriptors, Gauge},
    clients::Clients,
    config::{Agent, Config},
    connection,
    git::Git,
    instance::Instance,
    listen::Door,
    paths, rules, shell,
    triggers::{self, Settings, Triggers},
    web::Web,
    worktree,
};
use anyhow::Context;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool, atomic::Ordering},
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use vibes_core::{
    agent::launch::Yard,
    blobs::Blobs,
    board::Board,
    clock, host,
    journal::{self, Reader, Writer},
    memory::Memories,
    points::{self, Point},
    search::Search,
    session::task::Environment,
    sessions::{AWAKE, Parts, Sessions},
};
use vibes_protocol::paths::StateDir;

/// How often the socket is looked at.
const LOOK_AT_DOOR: Duration = Duration::from_secs(2);
/// How long a client that is in the queue already takes to be accepted.
const NOW: Duration = Duration::from_millis(5);
/// Up to what size a store that was not closed is looked through at the start, in bytes.
const LOOKED_THROUGH: u64 = 64 * 1024 * 1024;
/// How long connections may take to say goodbye.
const FAREWELL: Duration = Duration::from_secs(2);

/// What every connection works with.
pub struct Server {
    /// All sessions.
    pub sessions: Sessions,
    /// The index of what was said in them.
    pub search: Search,
    /// All clients.
    pub clients: Clients,
    /// Agents by name.
    pub agents: BTreeMap<String, Agent>,
    /// The whole environment of an agent, from its name and what the client sent, if one did.
    pub environment: Environment,
    /// Where the daemon itself looks for programs.
    pub path: Option<String>,
    /// Whoever runs the daemon, as their terminals call them.
    pub user: String,
    /// Where everything lies.
    pub dir: StateDir,
    /// Tells this state directory from others.
    pub state_id: String,
    /// When the daemon started, in seconds since the Unix epoch.
    pub started_at: i64,
    /// What is wrong, in sentences.
    pub problems: Mutex<Vec<String>>,
    /// What clients make the daemon hold, in bytes.
    pub memory: Arc<Gauge>,
    /// Connections that have asked nothing yet.
    pub silent: Arc<Gauge>,
    /// Turns at putting rules in force.
    pub applying: tokio::sync::Mutex<()>,
    /// Turns at reading pages from the store.
    pub pages: tokio::sync::Semaphore,
    /// The web.
    pub web: Web,
    /// What people want to have remembered.
    pub memories: Arc<Memories>,
    /// What is being taken in from archives.
    pub imports: crate::handlers::import::Imports,
    /// Whether only one session is active at a time.
    pub single_active: bool,
    /// Turns at becoming that one.
    pub focusing: tokio::sync::Mutex<()>,
    /// Runs git.
    pub git: Git,
    /// What is to be done when something is so.
    pub triggers: Triggers,
    /// The names of the addresses that these may call.
    pub webhooks: BTreeSet<String>,
    /// How long what was deleted can be had back.
    pub deleted: std::time::Duration,
    /// How long ended sessions stay.
    pub retention: vibes_core::sessions::Retention,
    /// Turns at worktrees.
    pub worktrees: tokio::sync::Mutex<()>,
    /// Cancelled when the daemon stops.
    pub stop: CancellationToken,
    /// Whether the agents are to be stopped too.
    pub stop_agents: AtomicBool,
}

/// Runs the daemon until it is told to stop. `ready` is called once clients are served.
pub async fn run(config: Config, ready: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let dir = config.dir.clone();
    let descriptors = Descriptors::raise();
    let connections = descriptors.connections(config.limits.connections);
    let place = paths::private_dir(dir.root())?;
    let _instance = Instance::take(&dir)?;
    points::hit(Point::LockTaken);
    paths::private_dir(&dir.runners())?;
    let state_id = paths::state_id(&dir)?;
    let opened = journal::open(&dir.store(), &host::boot_id(), clock::wall_ms())
        .context("the store cannot be opened")?;
    points::hit(Point::StoreOpened);
    // Lock, log, store: all of it lies where it was looked at; and once more before anybody is served.
    place.is_unchanged()?;
    let (epoch, fence, unclean, mut problems) =
        (opened.epoch, opened.fence, opened.unclean, opened.told.clone());
    problems.extend(paths::unfit(&dir));
    for problem in &problems {
        tracing::warn!("{problem}");
    }
    let writer = Writer::start(opened)?;
    let stop = CancellationToken::new();
    let (environment, path) = (environment(&config), config.path().cloned());
    let git = Git::new(config.own_env(""));
    let (agents, keeping) = (agent_state(&dir), config.keeping());
    let reader = Reader::new(&dir.store());
    let awake = reader.kept(AWAKE)?.and_then(|total| total.parse().ok());
    let awake = clock::Awake::after(awake.unwrap_or_default());
    let triggers = Triggers::read(&reader, writer.clone())?;
    let environment_of_calls = config.attention.environment.clone();
    let settings = Settings { webhooks: config.webhooks.clone(), environment: environment_of_calls };
    let (judge, told) = rules::judge(&config, &reader);
    problems.extend(told);
    let sessions = Sessions::new(Parts {
        writer: writer.clone(),
        reader,
        replay: config.replay(),
        judge: Arc::new(judge),
        prices: Arc::new(config.prices),
        budgets: Arc::new(config.budgets),
        forget: Arc::new(move |conversation| shell::forget(&agents, conversation)),
        blobs: Arc::new(Blobs::at(dir.blobs())),
        board: Arc::new(Board::default()),
        yard: Arc::new(Yard {
            dir: dir.runners(),
            runner: config.runner,
            state_id: state_id.clone(),
            descriptors: descriptors.given,
            floods: Arc::default(),
            spools: config.limits.spools(),
        }),
        epoch,
        fence,
        awake,
        environment: environment.clone(),
        // Sessions outlive the connections: they are let go after the last client.
        stop: CancellationToken::new(),
    });
    let clients = Clients::default();
    let recovered = sessions.recover()?;
    problems.extend(recovered.told);
    clients.remember(recovered.clients);
    place.is_unchanged()?;
    let search = Search::start(&dir.search(), sessions.reader().clone(), writer.clone(), epoch)?;
    let door = Door::bind(&dir.socket())?;
    points::hit(Point::BindDone);
    let server = Arc::new(Server {
        sessions,
        search,
        clients,
        path,
        agents: config.agents,
        environment: environment.clone(),
        web: Web::new(dir.root(), config.web.port, config.web.hosts),
        memories: Arc::new(Memories::at(dir.memory())),
        imports: Default::default(),
        single_active: config.sessions.single_active,
        focusing: tokio::sync::Mutex::default(),
        git,
        triggers,
        webhooks: settings.webhooks.keys().cloned().collect(),
        deleted: keeping.deleted,
        user: paths::user(),
        retention: keeping.retention,
        worktrees: tokio::sync::Mutex::default(),
        dir,
        state_id,
        started_at: clock::wall_ms() / 1000,
        problems: Mutex::new(problems),
        memory: Gauge::memory(),
        silent: Gauge::new(connections / 2),
        applying: tokio::sync::Mutex::default(),
        pages: tokio::sync::Semaphore::new(budget::PAGES),
        stop,
        stop_agents: AtomicBool::new(false),
    });
    ready()?;
    points::hit(Point::ReadySaid);
    tracing::info!(pid = std::process::id(), epoch, fence, "serving");
    let keeper = server.clone();
    tokio::spawn(async move { keeper.sessions.keep().await });
    let teller = server.clone();
    tokio::spawn(async move { teller.sessions.tell_the_past().await });
    let sweeper = server.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = sweeper.stop.cancelled() => {}
            () = sweeper.sessions.sweep(keeping) => {}
        }
    });
    let looker = server.clone();
    tokio::task::spawn_blocking(move || look_around(&looker, unclean));
    let (broken, stop) = (writer.clone(), server.stop.clone());
    tokio::spawn(async move {
        broken.broken().await;
        tracing::error!(
            "the disk failed to keep what was written: ending, so that the next start reads what is there"
        );
        stop.cancel();
    });
    if config.web.enabled || server.web.was_on() {
        tokio::spawn(serve_web(server.clone()));
    }
    tokio::spawn(crate::signals::watch(server.clone()));
    tokio::spawn(crate::attention::watch(server.clone(), config.attention));
    tokio::spawn(triggers::watch(server.clone(), settings));
    let (connections, door) = accept(&server, door, connections).await;

    tracing::info!("stopping");
    points::hit(Point::StopBegun);
    connections.close();
    let (said, ()) = tokio::join!(tokio::time::timeout(FAREWELL, connections.wait()), server.web.close());
    if said.is_err() {
        tracing::warn!("some connections did not take their goodbye");
    }
    if server.stop_agents.load(Ordering::Acquire) {
        server.sessions.stop_agents().await;
    }
    server.sessions.let_go().await;
    let search = server.clone();
    let _ = tokio::task::spawn_blocking(move || search.search.stop()).await;
    points::hit(Point::StopLetGo);
    let closed = writer.close().await;
    points::hit(Point::StopClosed);
    door.close();
    tracing::info!("stopped");
    closed.context("the last commit failed")
}

/// What need not be known before clients are served.
fn look_around(server: &Server, unclean: bool) {
    let mut found = server.sessions.reap_strangers();
    found.extend(worktree::astray(&server.dir, true, |session| server.sessions.worktree_of(session)));
    let store = server.dir.store();
    // A store this small is read through in a moment; doctor reads larger ones.
    let small = std::fs::metadata(&store).is_ok_and(|file| file.len() <= LOOKED_THROUGH);
    if unclean && small {
        match journal::check(&store) {
            Ok(faults) => found.extend(faults.first().map(|fault| {
                journal::note_damage(&store, fault);
                journal::StoreError::Damaged(fault.clone()).to_string()
            })),
            Err(error) => tracing::warn!(%error, "the store could not be looked through"),
        }
    }
    server.problems.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
}

/// Serves the web from the start on; that it cannot be is a problem to be told, not a reason to serve nobody.
async fn serve_web(server: Arc<Server>) {
    if let Err(error) = server.web.start(&server, None).await {
        tracing::warn!("{error:#}");
        let problem = format!("the web is not served: {error:#}");
        server.problems.lock().unwrap_or_else(PoisonError::into_inner).push(problem);
    }
}

/// Where the embedded agent keeps what outlives its processes.
fn agent_state(dir: &StateDir) -> PathBuf {
    dir.root().join("agents")
}

/// What agents get: the client's environment, or the daemon's own by the allow list where no client sent one; what the
/// configuration gives the agent; and the place of its own state. Nothing else of vibes reaches an agent.
fn environment(config: &Config) -> Environment {
    let config = config.clone();
    let place = agent_state(&config.dir).display().to_string();
    Arc::new(move |agent, client| {
        let own = config.own_env(agent);
        let mut env = client.filter(|env| !env.is_empty()).unwrap_or(&own).clone();
        for name in ["PATH", "HOME"] {
            if let (false, Some(value)) = (env.contains_key(name), own.get(name)) {
                env.insert(name.to_owned(), value.clone());
            }
        }
        env.retain(|name, _| !name.starts_with("VIBES_"));
        env.extend(config.agents.get(agent).map(|agent| agent.env.clone()).unwrap_or_default());
        env.insert("VIBES_AGENT_STATE".to_owned(), place.clone());
        env
    })
}

/// Serves clients until the daemon is told to stop.
async fn accept(server: &Arc<Server>, mut door: Door, most: usize) -> (TaskTracker, Door) {
    let connections = TaskTracker::new();
    let places = Arc::new(tokio::sync::Semaphore::new(most));
    let mut spare = spare();
    let (mut pause, mut full_since) = (Duration::ZERO, None);
    loop {
        let visitor = tokio::select! {
            () = server.stop.cancelled() => return (connections, door),
            () = tokio::time::sleep(LOOK_AT_DOOR) => {
                // Somebody may have removed the socket: without it nobody could ever ask this daemon to stop.
                if !door.is_in_place() {
                    tracing::warn!("the socket is gone: making a new one");
                    if let Err(error) = door.bind_again() {
                        tracing::error!("{error:#}");
                    }
                }
                continue;
            }
            visitor = async {
                tokio::time::sleep(pause).await;
                door.accept().await
            } => visitor,
        };
        match visitor {
            Ok(visitor) => {
                pause = Duration::ZERO;
                spare = spare.or_else(self::spare);
                // A crowd that leaves again waits in the socket's queue meanwhile; where nobody leaves, all hear why.
                let until = *full_since.get_or_insert_with(Instant::now) + budget::QUEUE;
                let place = tokio::time::timeout_at(until, places.clone().acquire_owned()).await;
                let Ok(Ok(place)) = place else {
                    visitor
                        .turn_away(&format!("{most} connections are open, which is the limit; close some"));
                    continue;
                };
                full_since = None;
                let server = server.clone();
                connections.spawn(async move {
                    connection::serve(server, visitor).await;
                    drop(place);
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: waiting is what helps, and a busy loop would not. The spare one
                // lets one client at a time in, to hear it.
                tracing::warn!(%error, ?pause, "a client could not be accepted");
                drop(spare.take());
                if let Ok(Ok(visitor)) = tokio::time::timeout(NOW, door.accept()).await {
                    visitor
                        .turn_away("the daemon has no file descriptors left; close some sessions or clients");
                }
                spare = self::spare();
                pause = (pause * 2).clamp(Duration::from_millis(5), Duration::from_secs(1));
            }
        }
    }
}

/// A descriptor to give up when there are no others.
fn spare() -> Option<std::fs::File> {
    std::fs::File::open("/dev/null").ok()
}
