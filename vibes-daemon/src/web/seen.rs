//! Who is at the other end of a connection of the web, as far as the machine tells.
//!
//! Invariant: looked at before anything is done for it, and only when a token was shown: it is a walk through all
//! processes. Who has gone before it was looked at counts as inside an agent, and so does whoever hides under one. A
//! process of another user has no agent of ours around it.

use crate::server::Server;
use std::{net::SocketAddr, sync::Arc};
use tokio::sync::OnceCell;
use vibes_core::host::{self, Connected};

/// What was seen.
#[derive(Debug, Clone, Copy)]
pub struct Sight {
    /// Its process.
    pub pid: Option<i32>,
    /// Whether that runs inside one of our agents.
    pub inside: bool,
}

/// Looks once.
pub struct Seen {
    cell: OnceCell<Sight>,
    peer: SocketAddr,
    own: SocketAddr,
    state_id: String,
}

impl Seen {
    /// Nothing was looked at yet.
    pub fn new(server: &Server, peer: SocketAddr, own: SocketAddr) -> Arc<Self> {
        Arc::new(Self { cell: OnceCell::new(), peer, own, state_id: server.state_id.clone() })
    }

    /// What was seen; waits for it.
    pub async fn sight(&self) -> Sight {
        let look = || async {
            let (peer, own, state_id) = (self.peer, self.own, self.state_id.clone());
            let looked = tokio::task::spawn_blocking(move || sight(peer, own, &state_id)).await;
            looked.unwrap_or(Sight { pid: None, inside: true })
        };
        *self.cell.get_or_init(look).await
    }
}

fn sight(peer: SocketAddr, own: SocketAddr, state_id: &str) -> Sight {
    match host::connected(peer, own) {
        Connected::Process(pid) => {
            Sight { pid: Some(pid), inside: host::in_tree(pid, state_id).unwrap_or(true) }
        }
        Connected::OneOf(hidden) => {
            Sight { pid: None, inside: hidden.into_iter().any(|pid| host::is_under(pid, state_id)) }
        }
        Connected::Gone => Sight { pid: None, inside: true },
        Connected::Elsewhere => Sight { pid: None, inside: false },
    }
}
