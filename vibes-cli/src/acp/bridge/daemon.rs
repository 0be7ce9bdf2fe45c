//! What the daemon says: answers find what they are for, records find their session.
//!
//! Invariant: an answer is used once; one that says "not now" is asked again; one that is missing is the business of the
//! next connection.

use super::session::{How, Opening, Session};
use super::{Ask, Bridge, TRIES, Then, words};
use crate::acp::rpc::{self, Refusal};
use crate::error::Failure;
use serde_json::{Value, json};
use vibes_protocol::model::SessionId;
use vibes_protocol::wire::request::GetSession;
use vibes_protocol::wire::{CodedError, ErrorCode, Message};

impl Bridge {
    /// Takes a message of the daemon.
    pub(super) fn message(&mut self, message: Message) {
        match message {
            Message::Record(record) => {
                self.with(record.session_id, |session, cx| session.record(record, cx));
            }
            Message::SessionUpdated { session: info } | Message::SessionNotification { session: info } => {
                self.with(info.id, |session, cx| session.changed(info, cx));
            }
            Message::Rewind { session_id, to } => {
                self.with(session_id, |session, cx| session.rewind(to, cx));
            }
            Message::Gap { session_id, from, to, reason } => {
                self.note(format!("session {session_id}: records {from} to {to} cannot be read: {reason}"));
            }
            Message::Error { request_id: None, code, message, .. } => {
                self.note(format!("{message} ({code})"));
            }
            message => {
                let asked =
                    message.request_id().and_then(|id| self.asked.iter().position(|(at, _)| at == id));
                if let Some(at) = asked {
                    let (_, ask) = self.asked.remove(at);
                    self.answered(ask, message);
                }
            }
        }
    }

    fn answered(&mut self, ask: Ask, answer: Message) {
        match answer {
            // It did nothing and is going: its successor is asked.
            Message::Error { code: ErrorCode::ShuttingDown, .. } => self.unsent.push_back(ask),
            Message::Error { code: ErrorCode::Adopting, .. } if ask.tries < TRIES => {
                self.again.push(Ask { tries: ask.tries + 1, ..ask });
            }
            Message::Error { code, message, .. } => {
                let failure = Failure::from(CodedError::new(code, message));
                self.failed(ask.then, failure.into());
            }
            answer => self.done(ask.then, answer),
        }
    }

    fn done(&mut self, then: Then, answer: Message) {
        match (then, answer) {
            (Then::Agents(rpc), Message::Agents { agents, .. }) => {
                match (self.choose(agents), &self.wanted.1) {
                    (Err(refusal), _) => self.introduce(&rpc, Err(refusal)),
                    (Ok(()), Some(named)) => {
                        let session_id = named.clone();
                        self.ask(GetSession { session_id, ports: false }, Then::Fixed(rpc));
                    }
                    (Ok(()), None) => self.introduce(&rpc, Ok(())),
                }
            }
            (Then::Fixed(rpc), Message::Session { session, .. }) => {
                self.fixed = Some(session);
                self.introduce(&rpc, Ok(()));
            }
            (Then::Created(rpc), Message::SessionCreated { session, .. }) => {
                let opening = Opening { rpc, how: How::New };
                let id = session.id;
                self.sessions.insert(id, Session::new(id));
                self.with(id, |session, cx| session.open(opening, cx));
            }
            (Then::Joined(id), Message::Subscribed { sessions, .. }) => {
                for joined in sessions {
                    self.with(id, |session, cx| session.joined(joined, cx));
                }
            }
            (Then::Accepted(id, prompt), Message::Accepted { seq, .. }) => {
                self.with(id, |session, cx| session.accepted(prompt, seq, cx));
            }
            (Then::Set { rpc, session, whole }, Message::Ok { .. }) => {
                let read = GetSession { session_id: session.to_string(), ports: false };
                self.ask(read, Then::Read { rpc, session, whole });
            }
            (Then::Read { rpc, session, whole }, Message::Session { session: info, .. }) => {
                self.with(session, |session, cx| session.changed(info, cx));
                self.tell_set(&rpc, session, whole);
            }
            (Then::Listed { rpc, cwd }, Message::SessionList { sessions, next_cursor, .. }) => {
                let fixed = self.fixed.as_ref().map(|session| session.id);
                let fits = |one: &SessionId, at: &str| {
                    fixed.is_none_or(|fixed| fixed == *one) && cwd.as_deref().is_none_or(|cwd| cwd == at)
                };
                let entries: Vec<Value> = sessions
                    .iter()
                    .filter(|session| fits(&session.id, &session.cwd))
                    .map(words::entry)
                    .collect();
                let answer = json!({"sessions": entries, "nextCursor": next_cursor});
                self.tell(rpc::answer(&rpc, Ok(answer)));
            }
            // The records say what came of it.
            (Then::Decided(..) | Then::Stopped(_), _) => {}
            (then, _) => self.failed(then, Failure::unexpected("a request").into()),
        }
    }

    /// An option is set: the answer is all of them, where the editor knows options.
    fn tell_set(&mut self, rpc: &Value, session: SessionId, whole: bool) {
        let config = self.sessions.get(&session).map(Session::config).unwrap_or_default();
        let answer = if whole { json!({"configOptions": config}) } else { json!({}) };
        self.tell(rpc::answer(rpc, Ok(answer)));
    }

    /// A request came to nothing: whoever waits for it hears why.
    pub(super) fn failed(&mut self, then: Then, refusal: Refusal) {
        match then {
            Then::Agents(rpc) | Then::Fixed(rpc) => self.introduce(&rpc, Err(refusal)),
            Then::Created(rpc) | Then::Set { rpc, .. } | Then::Listed { rpc, .. } => {
                self.tell(rpc::answer(&rpc, Err(refusal)))
            }
            // It is set; only reading it back failed.
            Then::Read { rpc, session, whole } => self.tell_set(&rpc, session, whole),
            Then::Joined(id) => {
                self.with(id, |session, cx| session.refused(&refusal, cx));
                self.sessions.remove(&id);
            }
            Then::Accepted(id, prompt) => {
                self.with(id, |session, cx| session.prompts.refused(prompt, refusal, cx));
            }
            Then::Decided(id, permission) => {
                self.with(id, |session, cx| session.questions.undecided(&permission, &refusal, cx));
            }
            // The turn ended by itself, or just began, most of all: the records say so.
            Then::Stopped(id) => self.note(format!("session {id}: {}", refusal.message)),
        }
    }
}
