//! One subscriber over all crashes: who it is, how far it has seen.
//!
//! Invariant: what it sees is dense and never changes: a record that comes again is the one that came before.

use super::{
    ground::{Abandoned, Ground},
    view::View,
};
use crate::{Wire, oracle};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long nothing at all may happen to who still waits for something.
const PATIENCE: Duration = Duration::from_secs(90);

pub(super) struct Client<'a> {
    pub(super) ground: &'a Ground<'a>,
    pub(super) session: &'a str,
    role: &'static str,
    identity: String,
    seat: Option<(String, String)>,
    /// Whether this seat is in the store: then the daemon must know us again.
    seated: bool,
    /// Fingerprints of all records, from the first on.
    pub(super) stream: Vec<u64>,
    /// The last record of this subscription.
    at: usize,
    epoch: Option<u64>,
    pub(super) view: View,
    /// Questions that were open when it subscribed.
    pub(super) pending: Vec<Value>,
    moved: Instant,
}

impl<'a> Client<'a> {
    pub(super) fn new(
        ground: &'a Ground<'a>,
        session: &'a str,
        role: &'static str,
        identity: String,
    ) -> Self {
        Self {
            ground,
            session,
            role,
            identity,
            seat: None,
            seated: false,
            stream: Vec::new(),
            at: 0,
            epoch: None,
            view: View::default(),
            pending: Vec::new(),
            moved: Instant::now(),
        }
    }

    /// Who the daemon says we are.
    pub(super) fn id(&self) -> &str {
        self.seat.as_ref().map_or("", |(id, _)| id)
    }

    /// Becomes somebody else, who has seen so many records.
    pub(super) fn forget(&mut self, after: usize) {
        (self.seat, self.seated, self.at) = (None, false, after);
    }

    /// Connects and subscribes, over as many daemons as it takes.
    pub(super) fn join(&mut self) -> Result<Wire, Abandoned> {
        loop {
            let mut wire = self.ground.connect()?;
            let mut hello = json!({
                "protocol": 1, "client": {"name": "torture", "version": "1", "kind": "script"},
                "identity": self.identity,
            });
            if let Some((id, token)) = &self.seat {
                (hello["client_id"], hello["resume_token"]) = (json!(id), json!(token));
            }
            let Some(welcome) = wire.try_request("hello", hello) else { continue };
            let text = |name: &str| welcome[name].as_str().unwrap_or_default().to_owned();
            if self.seated {
                assert_eq!(text("client_id"), self.id(), "{}: a seat was forgotten: {welcome}", self.session);
            }
            self.seat = Some((text("client_id"), text("resume_token")));
            let mut subscribe = json!({"session_ids": [self.session], "after": self.at, "role": self.role});
            if let Some(epoch) = self.epoch {
                subscribe["epoch"] = epoch.into();
            }
            let Some(mut answer) = wire.try_request("subscribe", subscribe) else { continue };
            assert_eq!(answer["type"], "subscribed", "{}: {answer}", self.session);
            let Value::Array(pending) = answer["sessions"][0]["pending_permissions"].take() else {
                panic!("a subscriber hears what is pending: {answer}")
            };
            (self.pending, self.seated) = (pending, true);
            return Ok(wire);
        }
    }

    /// Takes a message. Gives the fact when it is a record of this session that was not seen before.
    pub(super) fn see<'m>(&mut self, message: &'m Value) -> Option<&'m Value> {
        if message["session_id"] != self.session {
            return None;
        }
        assert_ne!(message["type"], "rewind", "a killed process loses nothing: {message}");
        assert_ne!(message["type"], "gap", "nothing removes records: {message}");
        if message["type"] != "record" {
            return None;
        }
        let seq = message["seq"].as_u64().expect("a record has a number");
        assert_eq!(seq, self.at as u64 + 1, "{}: a hole or a repeat", self.session);
        self.at += 1;
        self.epoch = message["epoch"].as_u64();
        self.moved = Instant::now();
        let print = oracle::fingerprint(message);
        if let Some(before) = self.stream.get(self.at - 1) {
            assert_eq!(
                *before, print,
                "{}: another record came under an old number: {message}",
                self.session
            );
            return None;
        }
        self.stream.push(print);
        self.view.take(seq, &message["fact"]);
        self.ground.moved();
        Some(&message["fact"])
    }

    /// Panics when nothing has happened for too long; ends when somebody else has failed.
    pub(super) fn check(&self, waits_for: impl FnOnce() -> String) -> Result<(), Abandoned> {
        self.ground.check()?;
        let view = &self.view;
        assert!(
            self.moved.elapsed() < PATIENCE,
            "{} never came to rest: {view:?}, {}",
            self.session,
            waits_for()
        );
        Ok(())
    }
}
