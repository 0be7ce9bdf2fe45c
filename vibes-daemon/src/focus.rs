//! One session at a time, for who wants that: what begins or goes on pauses the one that is active.
//!
//! Invariant: off unless configured, and nothing is paused that a client has not agreed to. A turn that runs and a question that
//! waits come to their end first; what is queued stays queued.

use crate::server::Server;
use tokio::sync::MutexGuard;
use vibes_core::session::{Caller, Command};
use vibes_protocol::{
    model::{SessionId, SessionInfo, SessionState},
    wire::{CodedError, ErrorCode},
};

/// What becomes of an active session, in words.
fn words(info: &SessionInfo) -> String {
    let id = info.id.to_string();
    let name = info.name.as_deref().unwrap_or(&id[..8]);
    match info.state {
        SessionState::Processing => format!("{name} is at work and pauses when its turn is over"),
        SessionState::WaitingPermission => {
            format!("{name} needs approval and pauses when its turn is over")
        }
        _ => format!("{name} pauses now"),
    }
}

/// Makes room for one that begins or goes on. What is given back is held until that has an agent, so that two of them do not
/// miss each other.
pub async fn take<'a>(
    server: &'a Server,
    caller: &Caller,
    except: Option<SessionId>,
    agreed: bool,
) -> Result<Option<MutexGuard<'a, ()>>, CodedError> {
    if !server.single_active {
        return Ok(None);
    }
    let turn = server.focusing.lock().await;
    let mut active = server.sessions.running();
    active.retain(|(handle, _)| Some(handle.id) != except);
    if !active.is_empty() && !agreed {
        let all: Vec<String> = active.iter().map(|(_, info)| words(info)).collect();
        let why = format!("only one session is active at a time (single_active): {}", all.join("; "));
        return Err(CodedError::new(ErrorCode::InFocus, why));
    }
    for (handle, _) in active {
        handle.ask(caller, Command::Unfocus, None).await?;
    }
    Ok(Some(turn))
}

/// Why a prompt may not start the agent of a session that is suspended: nobody was asked whether the active one may pause.
pub fn keeps_from(server: &Server, session_id: &str) -> Option<(SessionId, CodedError)> {
    if !server.single_active {
        return None;
    }
    let handle = server.sessions.resolve(session_id).ok()?;
    if handle.info().state != SessionState::Suspended {
        return None;
    }
    let (_, active) = server.sessions.running().into_iter().find(|(active, _)| active.id != handle.id)?;
    let active = active.name.clone().unwrap_or_else(|| active.id.to_string()[..8].to_owned());
    let why =
        format!("only one session is active at a time, and {active} is: `vibes resume` brings this one back");
    Some((handle.id, CodedError::new(ErrorCode::InFocus, why)))
}
