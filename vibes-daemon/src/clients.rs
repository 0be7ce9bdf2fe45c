//! Who is connected, and who may come back as whom.
//!
//! Invariant: a client id belongs to one connection at a time. Coming back takes the resume token, of which only the
//! hash is kept; the earlier connection is then closed without counting as a leave.

use sha2::{Digest, Sha256};
use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;
use vibes_protocol::model::ClientId;

/// How long a client that is away is remembered: longer than any grace, and than what a new daemon waits, so that it holds
/// no seat any more.
const REMEMBERED: Duration = Duration::from_secs(300);

/// The clients of one daemon.
#[derive(Default)]
pub struct Clients(Mutex<Map>);

#[derive(Default)]
struct Map {
    known: HashMap<ClientId, Known>,
    /// Who went away, and when, the first one first. Some have come back since.
    away: VecDeque<(Instant, ClientId)>,
}

impl Map {
    fn goes_away(&mut self, client: ClientId, now: Instant) {
        self.away.push_back((now, client));
        while let Some((since, client)) = self.away.front().copied()
            && now.duration_since(since) > REMEMBERED
        {
            self.away.pop_front();
            // It may have come back, and gone again since.
            if self.known.get(&client).is_some_and(|known| known.away == Some(since)) {
                self.known.remove(&client);
            }
        }
    }
}

struct Known {
    token_hash: String,
    /// Closes the present connection as replaced; `None` when there is none.
    present: Option<CancellationToken>,
    /// Since when there is none.
    away: Option<Instant>,
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
    fn map(&self) -> std::sync::MutexGuard<'_, Map> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers clients that hold seats since before this daemon.
    pub fn remember(&self, clients: Vec<(ClientId, String)>) {
        let (mut map, now) = (self.map(), Instant::now());
        for (client, token_hash) in clients {
            map.known.entry(client).or_insert(Known { token_hash, present: None, away: Some(now) });
            map.goes_away(client, now);
        }
    }

    /// A connection says who it is. With a good token it is that client again, and the earlier connection is closed;
    /// otherwise `false`.
    pub fn resume(&self, client: ClientId, token: &str, replaced: &CancellationToken) -> bool {
        let mut map = self.map();
        let Some(known) = map.known.get_mut(&client) else { return false };
        if known.token_hash != hash(token) {
            return false;
        }
        if let Some(earlier) = known.present.replace(replaced.clone()) {
            earlier.cancel();
        }
        known.away = None;
        true
    }

    /// A new client introduced itself.
    pub fn introduce(&self, client: ClientId, token_hash: String, replaced: &CancellationToken) {
        let known = Known { token_hash, present: Some(replaced.clone()), away: None };
        self.map().known.insert(client, known);
    }

    /// A connection ended. A client that holds no seat any more need not be remembered.
    pub fn gone(&self, client: ClientId, may_return: bool) {
        self.gone_at(client, may_return, Instant::now());
    }

    fn gone_at(&self, client: ClientId, may_return: bool, now: Instant) {
        let mut map = self.map();
        if !may_return {
            map.known.remove(&client);
        } else if let Some(known) = map.known.get_mut(&client) {
            (known.present, known.away) = (None, Some(now));
            map.goes_away(client, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stays_away_is_forgotten_and_who_comes_back_is_not() {
        let (clients, began, here) = (Clients::default(), Instant::now(), CancellationToken::new());
        let at = |seconds| began + Duration::from_secs(seconds);
        let [gone, back, other] = [(); 3].map(|()| ClientId::random());
        for client in [gone, back, other] {
            clients.introduce(client, hash("token"), &here);
        }
        clients.gone_at(gone, true, at(0));
        clients.gone_at(back, true, at(1));
        assert!(clients.resume(back, "token", &here));
        assert!(clients.resume(gone, "token", &here), "within its time");
        clients.gone_at(gone, true, at(2));
        clients.gone_at(other, true, at(400));
        assert!(!clients.resume(gone, "token", &here));
        assert!(clients.resume(back, "token", &here));
        assert!(clients.resume(other, "token", &here));
        assert_eq!(clients.map().away.len(), 1, "nobody else is waited for");
    }
}
