//! A session's state as the store keeps it: one body and small rows.
//!
//! Invariant: `restore(save(state))` is the state, as far as it lasts. Rows are a projection: the state function knows
//! nothing of them, and what is written is the difference to what was written before.

use super::{
    event::Plan,
    ledger::{self, Ledger},
    shared::Shared,
    state::{Body, Pending, State},
};
use crate::{
    journal::{Place, Rest, RowChange, RowKind, Spend, Spent, StoredSession},
    ownership::Ownership,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use vibes_protocol::model::{ClientId, Epoch, Seq, SessionState, TurnInfo};

/// A body as stored: what lasts, and the preview along with it.
#[derive(Serialize, Deserialize)]
struct Stored<B> {
    body: B,
    #[serde(default)]
    preview: String,
}

/// What the store holds of a session.
#[derive(Debug, Clone)]
pub struct Saved {
    body: Shared<Body>,
    ownership: Shared<Ownership>,
    pending: Shared<BTreeMap<String, Pending>>,
    outbox: Shared<BTreeMap<u64, Vec<u8>>>,
    keys: Shared<BTreeMap<String, (Seq, i64)>>,
    ledger: Shared<Ledger>,
    place: Place,
}

/// Whether a session needs a task only when somebody asks for it: nothing happens in it by itself.
fn rest(state: &State) -> Rest {
    let body = &state.body;
    let quiet = !body.running && body.stopping.is_none() && state.ownership.seats.is_empty();
    match body.state {
        // What cannot be read must not be written either.
        _ if state.unreadable || !quiet => Rest::Awake,
        ended if ended.is_ended() => Rest::Ended,
        SessionState::Suspended if body.deleted_ms.is_some() => Rest::Hidden,
        _ => Rest::Awake,
    }
}

impl Saved {
    /// What the store holds when this state was just written.
    pub fn of(state: &State) -> Self {
        Self {
            body: state.body.clone(),
            ownership: state.ownership.clone(),
            pending: state.pending.clone(),
            outbox: state.outbox.clone(),
            keys: state.keys.clone(),
            ledger: state.ledger.clone(),
            place: Place {
                rest: rest(state),
                name: state.body.name.clone(),
                deleted_ms: state.body.deleted_ms,
            },
        }
    }

    /// What the store holds of a state that was read from it.
    pub fn read(state: &State, place: Place) -> Self {
        Self { place, ..Self::of(state) }
    }

    /// What it holds when this state was written after that.
    pub fn after(&self, state: &State) -> Self {
        if state.unreadable { Self::read(state, self.place.clone()) } else { Self::of(state) }
    }

    /// Whether the next daemon leaves it alone.
    pub fn rests(&self) -> bool {
        self.place.rest != Rest::Awake
    }

    /// Where it is found.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Where it is found, if that differs.
    pub fn place_change(&self, state: &State) -> Option<Place> {
        let (body, place) = (&state.body, &self.place);
        let differs =
            place.rest != rest(state) || place.name != body.name || place.deleted_ms != body.deleted_ms;
        (differs && !state.unreadable).then(|| Self::of(state).place)
    }

    /// The body to write, if it differs.
    pub fn body_change(&self, state: &State) -> Option<String> {
        (self.body != state.body).then(|| encode(state))
    }

    /// What turns took that took something new.
    pub fn spent_change(&self, state: &State) -> Option<Spent> {
        if self.ledger.is_same(&state.ledger) {
            return None;
        }
        let turns: Vec<_> = state.ledger.changed(&self.ledger).filter_map(turn_parts).collect();
        let Body { agent, cwd, .. } = &*state.body;
        (!turns.is_empty()).then(|| Spent { agent: agent.clone(), cwd: cwd.clone(), turns })
    }

    /// The rows to write.
    pub fn row_changes(&self, state: &State) -> Vec<RowChange> {
        let mut changes = Vec::new();
        let client_key = |client: &ClientId| client.0.as_bytes().to_vec();
        let text_key = |text: &String| text.as_bytes().to_vec();
        if !self.ownership.is_same(&state.ownership) {
            let (before, now) = (&self.ownership.seats, &state.ownership.seats);
            diff(&mut changes, RowKind::Member, before, now, client_key, json);
        }
        if !self.pending.is_same(&state.pending) {
            diff(&mut changes, RowKind::Pending, &self.pending, &state.pending, text_key, json);
        }
        if !self.keys.is_same(&state.keys) {
            diff(&mut changes, RowKind::Idempotency, &self.keys, &state.keys, text_key, json);
        }
        if !self.ledger.is_same(&state.ledger) {
            // What is in memory no more stays where it is: nothing is ever taken out of the ledger.
            changes.extend(state.ledger.changed(&self.ledger).map(turn_row));
        }
        let key = |generation: u64, number: u64| [generation.to_be_bytes(), number.to_be_bytes()].concat();
        let (before, generation) = (self.body.generation, state.body.generation);
        if before == generation {
            diff(
                &mut changes,
                RowKind::Outbox,
                &self.outbox,
                &state.outbox,
                |n| key(generation, *n),
                Vec::clone,
            );
        } else {
            // Frames belong to their generation: the old ones go, whatever numbers they share with the new.
            let none = BTreeMap::new();
            diff(&mut changes, RowKind::Outbox, &self.outbox, &none, |n| key(before, *n), Vec::clone);
            diff(&mut changes, RowKind::Outbox, &none, &state.outbox, |n| key(generation, *n), Vec::clone);
        }
        changes
    }
}

/// A turn as its row.
pub fn turn_row(turn: &TurnInfo) -> RowChange {
    RowChange { kind: RowKind::Turn, key: turn.turn.to_be_bytes().to_vec(), value: Some(json(turn)) }
}

/// What a turn took, for sums over all sessions; nothing when it took nothing.
pub fn turn_parts(turn: &TurnInfo) -> Option<(u64, i64, Vec<Spend>)> {
    let parts = ledger::parts(turn);
    (!parts.is_empty()).then(|| (turn.turn, turn.ended_ms.unwrap_or(turn.started_ms), parts))
}

fn json<T: Serialize>(value: &T) -> Vec<u8> {
    // Our own types of strings, numbers and JSON: encoding them cannot fail.
    serde_json::to_vec(value).unwrap_or_default()
}

fn diff<K: Ord, V: PartialEq>(
    changes: &mut Vec<RowChange>,
    kind: RowKind,
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
    key: impl Fn(&K) -> Vec<u8>,
    value: impl Fn(&V) -> Vec<u8>,
) {
    for (at, now) in new {
        if old.get(at) != Some(now) {
            changes.push(RowChange { kind, key: key(at), value: Some(value(now)) });
        }
    }
    for at in old.keys().filter(|at| !new.contains_key(at)) {
        changes.push(RowChange { kind, key: key(at), value: None });
    }
}

/// The body of a session, as stored.
pub fn encode(state: &State) -> String {
    let stored = Stored { body: &*state.body, preview: state.preview.clone() };
    serde_json::to_string(&stored).unwrap_or_default()
}

/// A session from the store.
pub fn restore(stored: &StoredSession, epoch: Epoch) -> Result<State, serde_json::Error> {
    let Stored { body, preview } = serde_json::from_str::<Stored<Body>>(&stored.body)?;
    let mut state = State::of(body, epoch, stored.last_ms);
    state.preview = preview;
    state.head = stored.head;
    state.spool = stored.spool;
    for (kind, key, value) in &stored.rows {
        match kind {
            RowKind::Member => {
                if let (Ok(client), Ok(seat)) = (uuid::Uuid::from_slice(key), serde_json::from_slice(value)) {
                    state.ownership.seats.insert(ClientId(client), seat);
                }
            }
            RowKind::Pending => {
                let pending: Pending = serde_json::from_slice(value)?;
                state.pending.insert(pending.permission.permission_id.clone(), pending);
            }
            RowKind::Idempotency => {
                if let Ok(at) = serde_json::from_slice(value) {
                    state.keys.insert(String::from_utf8_lossy(key).into_owned(), at);
                }
            }
            RowKind::Turn => {
                if let Ok(turn) = serde_json::from_slice::<TurnInfo>(value) {
                    state.ledger.restore(turn);
                }
            }
            RowKind::Outbox => {
                let (generation, number) = (key.first_chunk::<8>(), key.last_chunk::<8>());
                if let (Some(generation), Some(number)) = (generation, number)
                    && u64::from_be_bytes(*generation) == state.body.generation
                {
                    state.outbox.insert(u64::from_be_bytes(*number), value.clone());
                }
            }
        }
    }
    Ok(state)
}

/// A session whose state cannot be read: it has failed and says why, its records can be read, and what its body still
/// tells of itself is told. Its agent, if one lives, is not touched: nobody could speak with it.
pub fn quarantine(stored: &StoredSession, epoch: Epoch, why: &str) -> State {
    let body: serde_json::Value = serde_json::from_str(&stored.body).unwrap_or_default();
    let text = |name: &str| body["body"][name].as_str().map(str::to_owned);
    let plan = Plan {
        agent: text("agent").unwrap_or_else(|| "unknown".to_owned()),
        cwd: text("cwd").unwrap_or_else(|| "/".to_owned()),
        name: text("name"),
        ..Plan::default()
    };
    let mut state = State::new(stored.id, plan, epoch, stored.last_ms);
    state.head = stored.head;
    state.spool = stored.spool;
    // Not a start of its own: a runner of any generation is one that the store knows nothing of.
    state.body.state = SessionState::Failed;
    state.body.reason = Some(format!("its state in the store cannot be read: {why}"));
    state.unreadable = true;
    state
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tests::walk::Walk;

    /// Compares what lasts. A preview is written along with a body, so it may be older than the state.
    fn same(read: &State, of: &State, at: u64) {
        assert_eq!(read.body, of.body, "step {at}");
        assert_eq!((read.head, read.spool, read.epoch), (of.head, of.spool, of.epoch), "step {at}");
        assert_eq!(
            (&read.pending, &read.outbox, &read.keys),
            (&of.pending, &of.outbox, &of.keys),
            "step {at}"
        );
        // A process and an absence belong to the daemon that saw them.
        let mut lasting = of.ownership.clone();
        for seat in lasting.seats.values_mut() {
            (seat.pid, seat.away_until_ms) = (None, None);
        }
        assert_eq!(read.ownership, lasting, "step {at}");
        assert_eq!(read.ledger, of.ledger, "step {at}");
    }

    #[test]
    fn what_is_written_step_by_step_is_the_state() {
        for seed in 100..110 {
            let mut walk = Walk::new(seed, false);
            for at in 0..2_000 {
                walk.step();
                if at % 5 == 0 {
                    let state = &walk.case.state;
                    same(&walk.store.read(state), state, at);
                    let rows = state.ownership.seats.len()
                        + state.pending.len()
                        + state.outbox.len()
                        + state.keys.len();
                    assert_eq!(walk.store.rows(), rows, "step {at}: a row is left that nothing reads");
                }
            }
        }
    }

    #[test]
    fn an_unchanged_state_writes_nothing() {
        let mut walk = Walk::new(7, false);
        for _ in 0..500 {
            walk.step();
            let saved = Saved::of(&walk.case.state);
            assert_eq!(saved.body_change(&walk.case.state), None);
            assert_eq!(saved.row_changes(&walk.case.state), []);
        }
    }

    #[test]
    fn frames_of_an_earlier_generation_are_not_read_back() {
        let mut walk = Walk::new(3, false);
        walk.step();
        let state = walk.case.state.clone();
        let stale = [(state.body.generation + 1).to_be_bytes(), 1_u64.to_be_bytes()].concat();
        let stored = StoredSession {
            no: 1,
            id: state.body.id,
            head: state.head,
            spool: state.spool,
            last_ms: state.last_ms,
            active_ms: 0,
            place: Place::default(),
            body: encode(&state),
            rows: vec![(RowKind::Outbox, stale, b"{}".to_vec())],
        };
        assert!(restore(&stored, 1).expect("it is sound").outbox.is_empty());
    }

    #[test]
    fn a_body_that_is_no_body_is_an_error_not_a_session() {
        let walk = Walk::new(3, false);
        let body = encode(&walk.case.state);
        for cut in [0, 1, body.len() / 2, body.len() - 1] {
            let stored = StoredSession {
                no: 1,
                id: walk.case.state.body.id,
                head: 0,
                spool: Default::default(),
                last_ms: 0,
                active_ms: 0,
                place: Place::default(),
                body: body[..cut].to_owned(),
                rows: Vec::new(),
            };
            assert!(restore(&stored, 1).is_err(), "cut at {cut}");
        }
    }
}
