//! The web: HTTP and WebSockets on the loopback, for browsers and scripts of this user.
//!
//! Invariant: nothing listens before it was asked for, and never beyond the loopback. Every request passes the wall
//! before it meets a route. Requests and sockets go through the same connection and the same table as those of the local
//! socket; what they may do is their token's word.

pub mod access;
pub mod agents;
pub mod archive;
pub mod assets;
pub mod audit;
pub mod auth;
pub mod blob;
pub mod events;
pub mod frames;
pub mod openapi;
pub mod pair;
pub mod problem;
pub mod prompt;
pub mod routes;
pub mod seen;
pub mod socket;
pub mod table;
pub mod tokens;
pub mod wall;

use crate::{budget, server::Server};
use anyhow::Context;
use axum::{
    body::Body,
    http::{HeaderValue, Request, Response, header},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use problem::Problem;
use seen::Seen;
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokens::Tokens;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wall::Names;

/// Where it is served unless somebody says otherwise.
const PORT: u16 = 7432;
/// How many ports after that one are tried, the first time.
const TRIED: u16 = 20;
/// How many connections there may be: a browser makes six and a WebSocket for each of its windows.
const CONNECTIONS: usize = 512;
/// How many of them may not have shown a token yet. More would be a flood, and a flood waits in the system's queue.
const STRANGERS: usize = 64;
/// How long the head of a request may take, and a connection may stand between two.
const HEAD: Duration = Duration::from_secs(15);
/// How long the web takes to say goodbye to its connections.
const FAREWELL: Duration = Duration::from_secs(2);

/// What is remembered of the web while no daemon runs.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Kept {
    /// Where it was served: its pages' memory is bound to it.
    port: Option<u16>,
    /// Whether it was served when the daemon ended.
    on: bool,
}

struct Running {
    port: u16,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// The web of one daemon.
pub struct Web {
    /// Who may come in.
    pub tokens: Tokens,
    /// What was done.
    pub audit: audit::Audit,
    /// Other names that it answers to.
    pub hosts: Vec<String>,
    port: Option<u16>,
    file: PathBuf,
    running: Mutex<Option<Running>>,
    turn: tokio::sync::Mutex<()>,
    places: Arc<Semaphore>,
    /// Connections that have not shown a token yet.
    pub strangers: Arc<Semaphore>,
}

/// What every request of one listener works with.
pub struct Door {
    /// The daemon.
    pub server: Arc<Server>,
    /// The names that it answers to.
    pub names: Names,
    /// Cancelled when the web is served no longer.
    pub closed: CancellationToken,
    /// Sockets that outlive their requests.
    pub tasks: TaskTracker,
}

impl Web {
    /// Nothing listens yet.
    pub fn new(root: &std::path::Path, port: Option<u16>, hosts: Vec<String>) -> Self {
        Self {
            tokens: Tokens::new(root.join("web-tokens.json")),
            audit: audit::Audit::new(root.join("web-audit.ndjson")),
            hosts,
            port,
            file: root.join("web.json"),
            running: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            places: Arc::new(Semaphore::new(CONNECTIONS)),
            strangers: Arc::new(Semaphore::new(STRANGERS)),
        }
    }

    /// Where it is served.
    pub fn port(&self) -> Option<u16> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|running| running.port)
    }

    /// Whether it was served when the last daemon ended.
    pub fn was_on(&self) -> bool {
        self.kept().on
    }

    fn kept(&self) -> Kept {
        fs::read(&self.file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    fn keep(&self, kept: Kept) -> anyhow::Result<()> {
        let (bytes, fresh) = (serde_json::to_vec(&kept)?, self.file.with_extension("new"));
        let written = fs::write(&fresh, bytes).and_then(|()| fs::rename(&fresh, &self.file));
        written.with_context(|| format!("cannot write {}", self.file.display()))
    }

    /// Serves the web, at this port if one is named. What is served already stays where it is.
    pub async fn start(&self, server: &Arc<Server>, port: Option<u16>) -> anyhow::Result<u16> {
        let _turn = self.turn.lock().await;
        if let Some(running) = self.port() {
            match port {
                Some(other) if other != 0 && other != running => anyhow::bail!(
                    "the web is served at port {running}: `vibes web --stop` first, to serve it at {other}"
                ),
                _ => return Ok(running),
            }
        }
        let kept = self.kept();
        let (listeners, port) = match port.or(self.port).or(kept.port) {
            Some(0) => bind(0).await.context("cannot serve the web at any port")?,
            Some(port) => bind(port).await.with_context(|| busy(port))?,
            None => first_free().await?,
        };
        self.keep(Kept { port: Some(port), on: true })?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let door = Arc::new(Door {
            server: server.clone(),
            names: Names::of(port, &self.hosts),
            closed: stop.clone(),
            tasks: tasks.clone(),
        });
        let router = routes::router(&door);
        for listener in listeners {
            tasks.spawn(accept(door.clone(), router.clone(), listener));
        }
        let running = Running { port, stop, tasks };
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
        tracing::info!(port, "the web is served");
        Ok(port)
    }

    /// Serves it no longer, and not after a restart either.
    pub async fn stop(&self) -> anyhow::Result<()> {
        let _turn = self.turn.lock().await;
        let kept = self.kept();
        self.keep(Kept { on: false, ..kept })?;
        self.close().await;
        Ok(())
    }

    /// The daemon ends: connections say goodbye.
    pub async fn close(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(running) = running else { return };
        running.stop.cancel();
        running.tasks.close();
        if tokio::time::timeout(FAREWELL, running.tasks.wait()).await.is_err() {
            tracing::warn!("some connections of the web did not take their goodbye");
        }
    }
}

fn busy(port: u16) -> String {
    format!(
        "cannot serve the web at port {port}; `vibes web --port N` takes another one (pages remember who they are by \
         the port, so each browser has to be let in again)"
    )
}

/// Both loopbacks, and their port; a machine without IPv6 has one. 0 is any port.
async fn bind(port: u16) -> io::Result<(Vec<TcpListener>, u16)> {
    let first = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let port = first.local_addr()?.port();
    let mut listeners = vec![first];
    match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
        Ok(second) => listeners.push(second),
        // Somebody else there would be taken for us.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(error),
        Err(_) => {}
    }
    Ok((listeners, port))
}

async fn first_free() -> anyhow::Result<(Vec<TcpListener>, u16)> {
    let mut why = None;
    for port in PORT..PORT + TRIED {
        match bind(port).await {
            Ok(bound) => return Ok(bound),
            Err(error) => why = Some(error),
        }
    }
    let why = why.map_or_else(String::new, |why| why.to_string());
    anyhow::bail!("no port from {PORT} to {} is free ({why}): name one with --port", PORT + TRIED - 1)
}

async fn accept(door: Arc<Door>, router: axum::Router, listener: TcpListener) {
    loop {
        let place = tokio::select! {
            () = door.closed.cancelled() => return,
            place = door.server.web.places.clone().acquire_owned() => place,
        };
        let accepted = tokio::select! {
            () = door.closed.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let (door, router) = (door.clone(), router.clone());
                door.tasks.clone().spawn(async move {
                    serve(door, router, stream, peer).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection to the web could not be accepted");
                tokio::time::sleep(budget::LOOK).await;
            }
        }
    }
}

/// Serves the requests of one connection.
async fn serve(door: Arc<Door>, router: axum::Router, stream: TcpStream, peer: SocketAddr) {
    let Ok(own) = stream.local_addr() else { return };
    let _ = stream.set_nodelay(true);
    let seen = Seen::new(&door.server, peer, own);
    let closed = door.closed.clone();
    let inner = hyper_util::service::TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        let (door, inner, seen) = (door.clone(), inner.clone(), seen.clone());
        async move { Ok::<_, std::convert::Infallible>(answer(&door, inner, seen, request).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(64 * 1024);
    let mut served = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let failed = tokio::select! {
        served = &mut served => served,
        () = closed.cancelled() => {
            served.as_mut().graceful_shutdown();
            tokio::time::timeout(FAREWELL, served).await.unwrap_or(Ok(()))
        }
    };
    // What a client did wrong is its own business, and its headers are nobody's.
    if failed.is_err() {
        tracing::debug!("a connection of the web ended early");
    }
}

/// The wall, and then the route.
async fn answer(
    door: &Arc<Door>,
    inner: hyper_util::service::TowerToHyperService<axum::Router>,
    seen: Arc<Seen>,
    request: Request<Incoming>,
) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    let passed = wall::check(&parts, &door.names);
    let host = passed.as_ref().ok().cloned();
    let mut response = match passed {
        Ok(_) => {
            parts.extensions.insert(seen);
            let request = Request::from_parts(parts, Body::new(body));
            match hyper::service::Service::call(&inner, request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        }
        Err(problem) => {
            // What it goes on sending is not read.
            let mut response = problem.response();
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            response
        }
    };
    assets::guard(response.headers_mut(), host.as_deref());
    response
}

/// A route that there is not.
pub fn no_route() -> Problem {
    use vibes_protocol::wire::ErrorCode;
    Problem::new(ErrorCode::UnknownType, "there is no such route; /v1/openapi.json lists them")
}
