//! One session, with the ports that its agent listens at.
//!
//! Invariant: looked for only when somebody asks, and in turn with other long answers: it reads files of every process.

use super::session::{get, later, own, refused, said, told};
use crate::{
    connection::Connection,
    dispatch::{Answer, error},
    ports,
};
use std::sync::Arc;
use vibes_core::session::{Command, Reply};
use vibes_protocol::wire::request::GetSession;

/// Reads one session, and where it listens if that is asked.
pub fn session(connection: &Arc<Connection>, request_id: Option<String>, body: GetSession) -> Answer {
    if !body.ports {
        return get(connection, request_id, &body.session_id);
    }
    let handle = match connection.server.sessions.resolve(&body.session_id) {
        Ok(handle) => handle,
        Err(why) => return refused(request_id, None, why),
    };
    let reply = handle.ask(&connection.caller(), Command::Look, None);
    let (server, connection) = (connection.server.clone(), connection.clone());
    later(async move {
        let looked = match reply.await {
            Ok(Reply::Looked(looked)) => own(&connection, *looked),
            Ok(other) => return said(request_id, handle.id, Ok(other)).into(),
            Err(why) => return error(request_id, Some(handle.id), why).into(),
        };
        let _turn = server.pages.acquire().await;
        let marker = server.sessions.yard().marker_of(&handle.id, looked.info.generation);
        let ports = tokio::task::spawn_blocking(move || ports::of(&marker)).await.unwrap_or_default();
        told(request_id, looked, ports).into()
    })
}
