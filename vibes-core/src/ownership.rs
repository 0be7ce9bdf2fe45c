//! Who may drive: seats, the owner, and where ownership goes when the owner leaves.
//!
//! Invariant: the owner is always one of the seats and can write; with a seat that can write there is an owner.
//! The choice is by join order, never by hash order. A seat whose client is away keeps its place until its time is
//! up; a restart of the daemon makes every seat away, not gone.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use vibes_protocol::model::{ClientId, Role};

/// One subscriber.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// As what.
    pub role: Role,
    /// Its place in the join order.
    pub join: u64,
    /// For people.
    pub identity: Option<String>,
    /// SHA-256 of its resume token.
    pub token_hash: Option<String>,
    /// When it joined, in milliseconds.
    pub since_ms: i64,
    /// Whether a person reads there what comes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reads: bool,
    /// Who reads there, where that is not said by `identity`: a client of the web does not say it itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// Its process, while connected.
    #[serde(skip)]
    pub pid: Option<i32>,
    /// Until when it may come back, while it is away, in milliseconds.
    #[serde(skip)]
    pub away_until_ms: Option<i64>,
}

/// Who joins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joiner {
    /// The client.
    pub client: ClientId,
    /// As what.
    pub role: Role,
    /// For people.
    pub identity: Option<String>,
    /// SHA-256 of its resume token.
    pub token_hash: Option<String>,
    /// Its process.
    pub pid: Option<i32>,
    /// Whether a person reads there what comes.
    pub reads: bool,
    /// Who that is, where `identity` does not say it.
    pub person: Option<String>,
}

/// Ownership passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// To whom.
    pub owner: Option<ClientId>,
    /// `joined`, `left`, `transferred`, `taken`.
    pub cause: &'static str,
}

/// Why a change of ownership is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// Only the owner hands over.
    NotOwner,
    /// The one to become owner is not subscribed.
    NotSubscribed,
    /// The one to become owner, or the one who asks, is a viewer.
    Viewer,
}

/// The seats of one session.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ownership {
    /// By client.
    pub seats: BTreeMap<ClientId, Seat>,
    /// How many joins there were.
    pub joins: u64,
    /// The owner.
    pub owner: Option<ClientId>,
    /// Since when, in milliseconds.
    pub owned_since_ms: Option<i64>,
    /// Whether somebody ever joined: only then does leaving mean anything.
    pub armed: bool,
}

impl Ownership {
    /// Seats a client, or seats it again: a known client keeps its place.
    pub fn join(&mut self, joiner: Joiner, now_ms: i64) -> Option<Passed> {
        self.armed = true;
        let (join, since_ms) = match self.seats.get(&joiner.client) {
            Some(seat) => (seat.join, seat.since_ms),
            None => {
                self.joins += 1;
                (self.joins, now_ms)
            }
        };
        let seat = Seat {
            role: joiner.role,
            join,
            identity: joiner.identity,
            token_hash: joiner.token_hash,
            since_ms,
            reads: joiner.reads,
            person: joiner.person,
            pid: joiner.pid,
            away_until_ms: None,
        };
        self.seats.insert(joiner.client, seat);
        self.settle("joined", now_ms)
    }

    /// Removes a client. `None` when it had no seat or did not own.
    pub fn leave(&mut self, client: ClientId, now_ms: i64) -> Option<Passed> {
        self.seats.remove(&client)?;
        self.settle("left", now_ms)
    }

    /// The client's connection was lost; it may come back until then.
    pub fn away(&mut self, client: ClientId, until_ms: i64) {
        if let Some(seat) = self.seats.get_mut(&client) {
            seat.away_until_ms = Some(until_ms);
            seat.pid = None;
        }
    }

    /// Whoever was away too long.
    pub fn overdue(&self, now_ms: i64) -> Vec<ClientId> {
        let mut late: Vec<_> = self
            .seats
            .iter()
            .filter(|(_, seat)| seat.away_until_ms.is_some_and(|until| until <= now_ms))
            .map(|(client, seat)| (seat.join, *client))
            .collect();
        late.sort();
        late.into_iter().map(|(_, client)| client).collect()
    }

    /// When the next absence ends, in milliseconds.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.seats.values().filter_map(|seat| seat.away_until_ms).min()
    }

    /// The owner hands over.
    pub fn transfer(&mut self, by: ClientId, to: ClientId, now_ms: i64) -> Result<Option<Passed>, Denied> {
        if self.role(by) == Some(Role::Viewer) {
            return Err(Denied::Viewer);
        }
        if self.owner != Some(by) {
            return Err(Denied::NotOwner);
        }
        self.pass_to(to, "transferred", now_ms)
    }

    /// Somebody who may write takes over.
    pub fn take(&mut self, by: ClientId, now_ms: i64) -> Result<Option<Passed>, Denied> {
        self.pass_to(by, "taken", now_ms)
    }

    /// The role of a subscriber.
    pub fn role(&self, client: ClientId) -> Option<Role> {
        self.seats.get(&client).map(|seat| seat.role)
    }

    /// The seats in join order.
    pub fn in_order(&self) -> Vec<(ClientId, &Seat)> {
        let mut seats: Vec<_> = self.seats.iter().map(|(client, seat)| (*client, seat)).collect();
        seats.sort_by_key(|(_, seat)| seat.join);
        seats
    }

    fn pass_to(&mut self, to: ClientId, cause: &'static str, now_ms: i64) -> Result<Option<Passed>, Denied> {
        match self.role(to) {
            None => Err(Denied::NotSubscribed),
            Some(Role::Viewer) => Err(Denied::Viewer),
            Some(Role::Writer) if self.owner == Some(to) => Ok(None),
            Some(Role::Writer) => Ok(self.set_owner(Some(to), cause, now_ms)),
        }
    }

    /// Keeps the invariant: the owner stays if it can; else the longest-standing writer, present ones first.
    fn settle(&mut self, cause: &'static str, now_ms: i64) -> Option<Passed> {
        if self.owner.is_some_and(|owner| self.role(owner) == Some(Role::Writer)) {
            return None;
        }
        let next = self
            .seats
            .iter()
            .filter(|(_, seat)| seat.role == Role::Writer)
            .min_by_key(|(_, seat)| (seat.away_until_ms.is_some(), seat.join))
            .map(|(client, _)| *client);
        if next == self.owner { None } else { self.set_owner(next, cause, now_ms) }
    }

    fn set_owner(&mut self, owner: Option<ClientId>, cause: &'static str, now_ms: i64) -> Option<Passed> {
        self.owner = owner;
        self.owned_since_ms = owner.map(|_| now_ms);
        Some(Passed { owner, cause })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Role::{Viewer, Writer};

    fn id(number: u128) -> ClientId {
        ClientId(uuid::Uuid::from_u128(number))
    }

    fn join(ownership: &mut Ownership, client: u128, role: Role) -> Option<Passed> {
        let joiner = Joiner {
            client: id(client),
            role,
            identity: None,
            token_hash: None,
            pid: None,
            reads: false,
            person: None,
        };
        ownership.join(joiner, client as i64)
    }

    fn with(clients: &[(u128, Role)]) -> Ownership {
        let mut ownership = Ownership::default();
        for (client, role) in clients {
            join(&mut ownership, *client, *role);
        }
        ownership
    }

    /// Whatever happens, the invariant of the module holds.
    fn sound(ownership: &Ownership) {
        match ownership.owner {
            Some(owner) => assert_eq!(ownership.role(owner), Some(Writer)),
            None => assert!(ownership.seats.values().all(|seat| seat.role == Viewer)),
        }
    }

    #[test]
    fn the_first_writer_owns_and_viewers_never_do() {
        let mut ownership = with(&[(9, Viewer)]);
        assert_eq!(ownership.owner, None);
        assert_eq!(join(&mut ownership, 5, Writer), Some(Passed { owner: Some(id(5)), cause: "joined" }));
        assert_eq!(join(&mut ownership, 1, Writer), None);
        assert_eq!(ownership.leave(id(5), 0), Some(Passed { owner: Some(id(1)), cause: "left" }));
        assert_eq!(ownership.leave(id(1), 0), Some(Passed { owner: None, cause: "left" }));
        sound(&ownership);
    }

    #[test]
    fn ownership_goes_by_join_order_not_by_id_order() {
        let mut ownership = with(&[(50, Writer), (40, Viewer), (30, Writer), (2, Writer), (1, Writer)]);
        let mut order = Vec::new();
        while let Some(owner) = ownership.owner {
            order.push(owner.0.as_u128());
            ownership.leave(owner, 0);
            sound(&ownership);
        }
        assert_eq!(order, [50, 30, 2, 1]);
    }

    #[test]
    fn who_comes_back_in_time_keeps_its_place() {
        let mut ownership = with(&[(1, Writer), (2, Writer)]);
        ownership.away(id(1), 100);
        assert_eq!(ownership.owner, Some(id(1)), "away is not gone");
        assert_eq!(ownership.overdue(99), []);
        assert_eq!(join(&mut ownership, 1, Writer), None);
        assert_eq!(ownership.seats[&id(1)].join, 1);
        assert_eq!(ownership.overdue(1_000), [], "it is back");
        ownership.away(id(1), 100);
        for client in ownership.overdue(100) {
            ownership.leave(client, 100);
        }
        assert_eq!(ownership.owner, Some(id(2)));
    }

    #[test]
    fn those_present_come_before_those_away() {
        let mut ownership = with(&[(1, Writer), (2, Writer), (3, Writer)]);
        ownership.away(id(2), 100);
        ownership.leave(id(1), 0);
        assert_eq!(ownership.owner, Some(id(3)));
    }

    #[test]
    fn handing_over_and_taking() {
        let mut ownership = with(&[(1, Writer), (2, Writer), (3, Viewer)]);
        assert_eq!(ownership.transfer(id(2), id(2), 0), Err(Denied::NotOwner));
        assert_eq!(ownership.transfer(id(3), id(2), 0), Err(Denied::Viewer));
        assert_eq!(ownership.transfer(id(1), id(3), 0), Err(Denied::Viewer));
        assert_eq!(ownership.transfer(id(1), id(9), 0), Err(Denied::NotSubscribed));
        assert_eq!(ownership.transfer(id(1), id(1), 0), Ok(None));
        let passed = Ok(Some(Passed { owner: Some(id(2)), cause: "transferred" }));
        assert_eq!(ownership.transfer(id(1), id(2), 0), passed);
        assert_eq!(ownership.take(id(3), 0), Err(Denied::Viewer));
        assert_eq!(ownership.take(id(1), 0), Ok(Some(Passed { owner: Some(id(1)), cause: "taken" })));
        sound(&ownership);
    }

    #[test]
    fn an_owner_that_becomes_a_viewer_gives_up_ownership() {
        let mut ownership = with(&[(1, Writer), (2, Writer)]);
        assert_eq!(join(&mut ownership, 1, Viewer), Some(Passed { owner: Some(id(2)), cause: "joined" }));
        sound(&ownership);
    }

    #[test]
    fn any_interleaving_keeps_the_invariant() {
        // A small deterministic generator: every run tries the same ten thousand steps.
        let mut seed = 0x9e37_79b9_u64;
        let mut next = |bound: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % bound
        };
        let mut ownership = Ownership::default();
        for step in 0..10_000 {
            let (a, b) = (id(u128::from(next(6))), id(u128::from(next(6))));
            match next(6) {
                0 | 1 => {
                    join(&mut ownership, a.0.as_u128(), if next(3) == 0 { Viewer } else { Writer });
                }
                2 => {
                    ownership.leave(a, step);
                }
                3 => ownership.away(a, step + 3),
                4 => {
                    let _ = ownership.transfer(a, b, step);
                }
                _ => {
                    let _ = ownership.take(a, step);
                }
            }
            for late in ownership.overdue(step) {
                ownership.leave(late, step);
            }
            sound(&ownership);
        }
    }
}
