//! Who is connected, and who may come back as whom.
//!
//! Invariant: a client id belongs to one connection at a time. Coming back takes the resume token, of which only the
//! hash is kept; the earlier connection is then closed without counting as a leave.

use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};
use tokio_util::sync::CancellationToken;
use vibes_protocol::model::ClientId;

/// The clients of one daemon.
#[derive(Default)]
pub struct Clients(Mutex<HashMap<ClientId, Known>>);

struct Known {
    token_hash: String,
    /// Closes the present connection as replaced; `None` when there is none.
    present: Option<CancellationToken>,
}

/// A new resume token: 256 bits from the system, in hexadecimal.
pub fn new_token() -> String {
    // Two random UUIDs carry 244 random bits from the operating system.
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

/// The hash of a token, as it is stored.
pub fn hash(token: &str) -> String {
    vibes_core::agent::spool::hex(&Sha256::digest(token.as_bytes()))
}

impl Clients {
    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<ClientId, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers clients that hold seats since before this daemon.
    pub fn remember(&self, clients: Vec<(ClientId, String)>) {
        let mut map = self.map();
        for (client, token_hash) in clients {
            map.entry(client).or_insert(Known { token_hash, present: None });
        }
    }

    /// A connection says who it is. With a good token it is that client again, and the earlier connection is closed;
    /// otherwise `false`.
    pub fn resume(&self, client: ClientId, token: &str, replaced: &CancellationToken) -> bool {
        let mut map = self.map();
        let Some(known) = map.get_mut(&client) else { return false };
        if known.token_hash != hash(token) {
            return false;
        }
        if let Some(earlier) = known.present.replace(replaced.clone()) {
            earlier.cancel();
        }
        true
    }

    /// A new client introduced itself.
    pub fn introduce(&self, client: ClientId, token_hash: String, replaced: &CancellationToken) {
        self.map().insert(client, Known { token_hash, present: Some(replaced.clone()) });
    }

    /// A connection ended. A client that holds no seat any more need not be remembered.
    pub fn gone(&self, client: ClientId, may_return: bool) {
        let mut map = self.map();
        if may_return {
            if let Some(known) = map.get_mut(&client) {
                known.present = None;
            }
        } else {
            map.remove(&client);
        }
    }
}
