//! What a purged session leaves outside the store, and its being cleared away.
//!
//! Invariant: it is written down by the transaction that ends the session, and forgotten only when all of it is gone; so a
//! daemon that dies in between leaves it to the next one.

use super::state::State;
use crate::{
    agent::{launch::Yard, link},
    blobs::Blobs,
    journal::{SessionNo, Writer},
    points::{self, Point},
};
use serde::{Deserialize, Serialize};
use std::{io, sync::Arc};
use vibes_protocol::model::SessionId;

/// Removes what an embedded agent keeps of a conversation, given the conversation's id. Blocking.
pub type Forget = Arc<dyn Fn(&str) -> io::Result<()> + Send + Sync>;

/// What a session leaves.
#[derive(Debug, Serialize, Deserialize)]
pub struct Leavings {
    session: SessionId,
    /// What its agent calls the conversation.
    conversation: Option<String>,
}

impl Leavings {
    /// Of this session.
    pub fn of(state: &State) -> Self {
        Self { session: state.body.id, conversation: state.body.codec.conversation().map(str::to_owned) }
    }

    /// Of one that never had an agent.
    pub fn nothing() -> Self {
        Self { session: SessionId(uuid::Uuid::nil()), conversation: None }
    }

    /// As the store keeps it.
    pub fn encode(&self) -> String {
        // Our own type of strings: encoding it cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// From the store.
    pub fn read(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Clears it away, and then has the store erase the rest. What cannot be removed now is left to the next daemon.
    pub async fn clear(
        self,
        yard: &Arc<Yard>,
        forget: &Forget,
        blobs: &Arc<Blobs>,
        writer: &Writer,
        no: SessionNo,
    ) {
        let (yard, forget, blobs, session) = (yard.clone(), forget.clone(), blobs.clone(), self.session);
        let cleared = tokio::task::spawn_blocking(move || self.remove(&yard, &forget, &blobs)).await;
        match cleared {
            Ok(Ok(())) => {
                points::hit(Point::PurgeFiles);
                writer.erase(no).await;
            }
            Ok(Err(error)) => tracing::warn!(%session, %error, "files of a purged session are still there"),
            Err(error) => tracing::error!(%session, %error, "a purged session was not cleared away"),
        }
    }

    fn remove(&self, yard: &Yard, forget: &Forget, blobs: &Blobs) -> io::Result<()> {
        for generation in yard.generations_of(&self.session)? {
            link::end_runner(yard, &self.session, generation);
            match std::fs::remove_dir_all(yard.dir_of(&self.session, generation)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        blobs.forget(&self.session)?;
        self.conversation.as_deref().map_or(Ok(()), |conversation| forget(conversation))
    }
}
