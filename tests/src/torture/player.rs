//! A writer: prompts, answers, interrupts, suspensions, the end, and all of it again when the daemon died.
//!
//! Invariant: one thing is asked at a time besides answers, so that the order of acceptance is the order of asking. A
//! prompt is repeated under its key until it is answered; what else was not answered is decided anew.

use super::{client::Client, ground::Abandoned, stage::Cast};
use crate::{Wire, dice::Dice};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::atomic::Ordering::{AcqRel, Acquire, Release},
    time::Duration,
};

/// Prompts that wait or run before a player waits, too.
const AHEAD: usize = 4;
/// How long a player listens before it looks at what the others do.
const LISTEN: Duration = Duration::from_millis(10);

/// What may be asked once and then not again by itself.
#[derive(Debug, Clone)]
enum Deed {
    Prompt,
    /// A prompt that was accepted under this number.
    Again {
        key: String,
        text: String,
        seq: u64,
    },
    Interrupt,
    Suspend,
    Resume,
    End(&'static str),
}

pub(super) struct Player<'a> {
    pub(super) client: Client<'a>,
    cast: &'a Cast<'a>,
    dice: Dice,
    /// The first one: resumes what is suspended and ends the session.
    leads: bool,
    /// Whether new prompts are still to come.
    acting: bool,
    /// The prompt that is not answered yet, and its key.
    owed: Option<(String, String)>,
    asked: Option<(String, Deed)>,
    /// What is to be done after so many records.
    plan: Option<(Deed, u64)>,
    answering: BTreeMap<String, Value>,
    choices: BTreeMap<String, &'static str>,
    pub(super) accepted: Vec<(u64, String)>,
    pub(super) refused: Vec<String>,
    /// Answers that were acknowledged.
    pub(super) decided: Vec<(String, &'static str)>,
}

impl<'a> Player<'a> {
    pub(super) fn new(client: Client<'a>, cast: &'a Cast<'a>, dice: Dice, leads: bool) -> Self {
        Self {
            client,
            cast,
            dice,
            leads,
            acting: true,
            owed: None,
            asked: None,
            plan: None,
            answering: BTreeMap::new(),
            choices: BTreeMap::new(),
            accepted: Vec::new(),
            refused: Vec::new(),
            decided: Vec::new(),
        }
    }

    /// Plays until the session's last record that matters was seen.
    pub(super) fn play(mut self) -> Result<Self, Abandoned> {
        loop {
            let mut wire = self.client.join()?;
            // Whatever was asked before is not known to have happened.
            self.asked = None;
            self.answering.clear();
            let pending = std::mem::take(&mut self.client.pending);
            if pending.iter().all(|permission| self.answer(&mut wire, permission)) {
                while self.act(&mut wire) {
                    if self.cast.is_over(&self.client) {
                        return Ok(self);
                    }
                    match wire.next_within(LISTEN) {
                        Some(message) if !self.heard(&mut wire, &message) => break,
                        Some(_) => {}
                        None if wire.is_closed() => break,
                        None => {
                            self.client.check(|| format!("owed {:?}, asked {:?}", self.owed, self.asked))?
                        }
                    }
                }
            }
        }
    }

    /// Does what is to be done next, if anything; `false` when the daemon is gone.
    fn act(&mut self, wire: &mut Wire) -> bool {
        if self.asked.is_some() {
            return true;
        }
        let session = self.client.session;
        let (ended, suspended) = (self.client.view.ended(), self.client.view.state == "suspended");
        let more = !ended && !self.client.ground.stopping();
        let busy = self.client.view.busy();
        let due = self.plan.take_if(|(deed, after)| {
            // A turn is interrupted while it runs.
            ended || *after == 0 && (busy || !matches!(deed, Deed::Interrupt))
        });
        let deed = if self.owed.is_some() {
            Deed::Prompt
        } else if let Some((deed, _)) = due {
            deed
        } else if suspended && self.leads {
            Deed::Resume
        } else if self.acting && more && self.client.view.open.len() >= AHEAD {
            return true;
        } else if self.acting && more && self.cast.take_prompt() {
            let number = self.accepted.len() + self.refused.len();
            let text =
                self.cast.prompt(&format!("{}{number}", if self.leads { "a" } else { "b" }), &mut self.dice);
            self.owed = Some((uuid::Uuid::new_v4().to_string(), text));
            Deed::Prompt
        } else if let Some(deed) = self.wind_up() {
            deed
        } else {
            return true;
        };
        let asked = match &deed {
            Deed::Prompt => {
                let (key, text) = self.owed.as_ref().expect("it is owed");
                wire.try_ask("input", json!({"session_id": session, "content": text, "idempotency_key": key}))
            }
            Deed::Again { key, text, .. } => {
                wire.try_ask("input", json!({"session_id": session, "content": text, "idempotency_key": key}))
            }
            Deed::Interrupt => wire.try_ask("interrupt", json!({"session_id": session})),
            Deed::Suspend => wire.try_ask("suspend_session", json!({"session_id": session, "now": true})),
            Deed::Resume => wire.try_ask("resume_session", json!({"session_id": session})),
            Deed::End(kind) => wire.try_ask(kind, json!({"session_id": session})),
        };
        let Ok(id) = asked else { return false };
        self.asked = Some((id, deed));
        true
    }

    /// No more prompts are to come from this player: the last one of all ends the session, or lets it rest.
    fn wind_up(&mut self) -> Option<Deed> {
        if std::mem::replace(&mut self.acting, false) {
            self.cast.acting.fetch_sub(1, AcqRel);
        }
        let seen = self.client.stream.len() as u64;
        let all = self.cast.acting.load(Acquire) == 0 && seen >= self.cast.last_input.load(Acquire);
        let view = &self.client.view;
        if !self.leads || !all || self.cast.until.load(Acquire) != u64::MAX {
            return None;
        }
        if view.ended() {
            self.cast.until.store(seen, Release);
            return None;
        }
        if !view.open.is_empty() {
            return None;
        }
        if self.client.ground.stopping() {
            self.cast.until.store(seen, Release);
            return None;
        }
        Some(Deed::End(if self.dice.one_in(2) { "kill_session" } else { "finish_session" }))
    }

    /// Takes a message; `false` when the connection is of no further use.
    fn heard(&mut self, wire: &mut Wire, message: &Value) -> bool {
        if let Some(fact) = self.client.see(message) {
            if let Some((_, after)) = &mut self.plan {
                *after = after.saturating_sub(1);
            }
            return fact["kind"] != "permission_requested" || self.answer(wire, &fact["permission"]);
        }
        if message["type"] == "closing" {
            return false;
        }
        let Some(id) = message["request_id"].as_str() else { return true };
        let error = (message["type"] == "error").then(|| message["code"].as_str().unwrap_or_default());
        if let Some(permission) = self.answering.remove(id) {
            return self.answered(wire, &permission, error, message);
        }
        let Some((_, deed)) = self.asked.take_if(|(asked, _)| asked == id) else { return true };
        match (deed, error) {
            (Deed::Prompt, None) => {
                let (key, text) = self.owed.take().expect("it was owed");
                let seq = message["seq"].as_u64().expect("an accepted prompt has a number");
                self.cast.last_input.fetch_max(seq, AcqRel);
                self.accepted.push((seq, text.clone()));
                if self.plan.is_none() {
                    self.plan = self.next_plan(Deed::Again { key, text, seq });
                }
            }
            (Deed::Prompt, Some("INVALID_STATE")) => {
                let (_, text) = self.owed.take().expect("it was owed");
                self.refused.push(text);
            }
            (Deed::Again { seq, .. }, None) => {
                assert_eq!(message["seq"], seq, "{}: a repeated prompt is the same one", self.client.session);
            }
            (Deed::Interrupt | Deed::Suspend | Deed::Resume | Deed::End(_), None) => {}
            (Deed::Prompt | Deed::Again { .. }, Some("BUSY" | "ADOPTING")) => {}
            // Another client was first, or the turn has ended meanwhile.
            (
                Deed::Interrupt | Deed::Suspend | Deed::Resume | Deed::End(_),
                Some("INVALID_STATE" | "ADOPTING"),
            ) => {}
            (deed, _) => panic!("{}: {deed:?} was answered with {message}", self.client.session),
        }
        true
    }

    /// What comes some records after a prompt was accepted.
    fn next_plan(&mut self, again: Deed) -> Option<(Deed, u64)> {
        let deed = match self.dice.roll(100) {
            0..20 => Deed::Interrupt,
            20..26 => Deed::Suspend,
            26..40 => again,
            _ => return None,
        };
        Some((deed, self.dice.roll(60)))
    }

    fn answer(&mut self, wire: &mut Wire, permission: &Value) -> bool {
        let id = permission["permission_id"].as_str().expect("a permission has an id").to_owned();
        let dice = &mut self.dice;
        // Once chosen it stays, so that a repeated answer is the same.
        let choice = self
            .choices
            .entry(id.clone())
            .or_insert_with(|| if dice.one_in(3) { "reject_once" } else { "allow_once" });
        let answer = json!({
            "session_id": self.client.session, "permission_id": id, "hash": permission["hash"], "decision": choice,
        });
        let Ok(asked) = wire.try_ask("permission_response", answer) else { return false };
        self.answering.insert(asked, permission.clone());
        true
    }

    fn answered(
        &mut self,
        wire: &mut Wire,
        permission: &Value,
        error: Option<&str>,
        message: &Value,
    ) -> bool {
        let id = permission["permission_id"].as_str().unwrap_or_default();
        match error {
            None => {
                self.decided.push((id.to_owned(), self.choices[id]));
                true
            }
            // Another client was first, or an earlier daemon of ours, or the turn was ended.
            Some("ALREADY_DECIDED" | "PERMISSION_NOT_PENDING") => true,
            Some("ADOPTING") => self.answer(wire, permission),
            Some(_) => panic!("{}: an answer was refused: {message}", self.client.session),
        }
    }
}
