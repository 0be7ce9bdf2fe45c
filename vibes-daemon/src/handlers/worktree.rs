//! Requests about the worktree of a session.
//!
//! Invariant: one at a time in all, because git locks what it works on; and nothing is merged or dropped under an agent that
//! works in it.

use crate::{
    connection::Connection,
    dispatch::{Answer, Said, error},
    worktree,
};
use std::sync::Arc;
use vibes_core::session::{Command, SessionHandle};
use vibes_protocol::{
    model::{
        SessionState,
        fact::{WorktreeAction, WorktreeFact},
    },
    wire::{
        CodedError, ErrorCode, Message,
        request::{WorktreeRequest, WorktreeWish},
    },
};

/// Compares, merges or drops.
pub fn act(connection: &Arc<Connection>, request_id: Option<String>, body: WorktreeRequest) -> Answer {
    let handle = match connection.server.sessions.resolve(&body.session_id) {
        Ok(handle) => handle,
        Err(why) => return Answer::Now(error(request_id, None, why)),
    };
    let connection = connection.clone();
    Answer::Later(Box::pin(async move {
        let id = handle.id;
        let said = match try_act(&connection, &handle, request_id.clone(), &body).await {
            Ok(message) => message,
            Err(why) => error(request_id, Some(id), why),
        };
        Said::from(said)
    }))
}

async fn try_act(
    connection: &Connection,
    handle: &SessionHandle,
    request_id: Option<String>,
    body: &WorktreeRequest,
) -> Result<Message, CodedError> {
    let server = &connection.server;
    let _turn = server.worktrees.lock().await;
    let info = handle.info();
    let (session_id, short) = (handle.id, &handle.id.to_string()[..8]);
    let refused = |why: String| CodedError::new(ErrorCode::InvalidState, why);
    let Some(worktree) = info.worktree.clone() else {
        return Err(refused(format!("session {short} has no worktree of its own")));
    };
    let (mut commit, mut saved) = (None, None);
    let action = match body.action {
        WorktreeWish::Diff => {
            let diff = worktree::diff(&server.git, &worktree).await?;
            let (diff, truncated) = (Some(diff.text), diff.cut);
            return Ok(Message::Worktree {
                request_id,
                session_id,
                worktree,
                diff,
                truncated,
                commit,
                saved,
            });
        }
        WorktreeWish::Merge => {
            if !(info.state.is_ended() || matches!(info.state, SessionState::Idle | SessionState::Suspended))
            {
                return Err(refused(format!("session {short} is at work: wait for it, or interrupt it")));
            }
            let (merged, before) = worktree::merge(&server.git, &session_id, &worktree).await?;
            (commit, saved) = (Some(merged), Some(before));
            WorktreeAction::Merged
        }
        WorktreeWish::Drop => {
            if !(info.state.is_ended() || info.state == SessionState::Suspended) {
                return Err(refused(format!(
                    "the agent of session {short} runs there: suspend or kill it first"
                )));
            }
            saved = worktree::drop(&server.git, &session_id, &worktree, body.force).await?;
            WorktreeAction::Dropped
        }
    };
    let done = WorktreeFact { action, worktree, commit, saved, by: None };
    let command = Command::Worktree(Box::new(done.clone()));
    handle.ask(&connection.caller(), command, None).await?;
    if action == WorktreeAction::Dropped {
        worktree::forget(&server.dir, &session_id);
    }
    let WorktreeFact { worktree, commit, saved, .. } = done;
    Ok(Message::Worktree { request_id, session_id, worktree, diff: None, truncated: false, commit, saved })
}
