//! What a token lets its holder do, before any request of the web reaches the table.
//!
//! Invariant: a token of one session learns nothing of another: not its name, not that there is one. A kind of request
//! that is not named here is nothing for such a token.

use super::tokens::Guest;
use crate::{handlers::reading::Eyes, server::Server};
use vibes_protocol::{
    model::{Access, Role, SessionId},
    wire::{CodedError, ErrorCode, Request},
};

/// What a request needs. `changes` is whether it changes anything.
fn needs(request: &Request, changes: bool) -> Access {
    match request {
        // A trigger runs whatever it names, and no rule and no person is asked then.
        Request::AddTrigger(_)
        | Request::RemoveTrigger(_)
        | Request::ApplyRules(_)
        | Request::StopDaemon(_)
        // It reads any file of this machine.
        | Request::Attach(_)
        | Request::Web(_)
        | Request::CreateToken(_)
        | Request::ListTokens(_)
        | Request::RevokeToken(_)
        | Request::ListAudit(_) => Access::Admin,
        _ if changes => Access::Edit,
        _ => Access::View,
    }
}

/// Lets a request pass, made smaller where that is meant, or says why not.
pub fn pass(
    server: &Server,
    guest: &Guest,
    request: &mut Request,
    changes: impl Fn(&Request) -> bool,
) -> Result<(), CodedError> {
    let role = guest.token.role;
    if let (Access::View, Request::Subscribe(body)) = (role, &mut *request) {
        // Who may only look joins as one who looks, and leaves no trace of it.
        (body.role, body.reads) = (Role::Viewer, false);
    }
    let needed = needs(request, changes(request));
    if role < needed {
        let code = if role == Access::View { ErrorCode::ReadOnly } else { ErrorCode::Forbidden };
        let why = format!(
            "this token is for {}, and {} needs one for {}",
            role.as_str(),
            request.type_name(),
            needed.as_str()
        );
        return Err(CodedError::new(code, why));
    }
    if guest.eyes(&server.user) == Eyes::Nobodys {
        match request {
            // What is shown there is read by nobody in particular.
            Request::Subscribe(body) => body.reads = false,
            Request::MarkRead(_) => {
                let why = "this token is for one session and nobody's in particular: what was read is kept for people, \
                           whose tokens are for all sessions";
                return Err(CodedError::new(ErrorCode::Forbidden, why));
            }
            _ => {}
        }
    }
    match guest.token.session_id {
        Some(only) => narrow(server, only, request),
        None => Ok(()),
    }
}

/// Makes a request one about this session alone.
fn narrow(server: &Server, only: SessionId, request: &mut Request) -> Result<(), CodedError> {
    let full = only.to_string();
    let one = |text: &mut String| {
        let named = || server.sessions.resolve(&full).ok().and_then(|handle| handle.info().name.clone());
        // Not looked for among all: what a prefix fits besides would be told.
        let fits = !text.is_empty() && full.starts_with(text.to_ascii_lowercase().as_str());
        if fits || named().as_deref() == Some(text.as_str()) {
            text.clone_from(&full);
            return Ok(());
        }
        Err(CodedError::new(ErrorCode::SessionNotFound, format!("no session is called {text:?}")))
    };
    match request {
        Request::Hello(_)
        | Request::ListSessions(_)
        | Request::ListAgents(_)
        | Request::Ping(_)
        | Request::Pong(_) => Ok(()),
        Request::Subscribe(body) => body.session_ids.iter_mut().try_for_each(one),
        Request::Unsubscribe(body) => body.session_ids.iter_mut().try_for_each(one),
        Request::ListApprovals(body) => {
            body.session_ids.get_or_insert_with(|| vec![full.clone()]).iter_mut().try_for_each(one)
        }
        Request::TestRules(body) => {
            body.session_ids.get_or_insert_with(|| vec![full.clone()]).iter_mut().try_for_each(one)
        }
        Request::Search(body) => {
            if body.session_ids.is_empty() {
                body.session_ids.push(full.clone());
            }
            body.session_ids.iter_mut().try_for_each(one)
        }
        Request::GetRules(body) => one(body.session_id.get_or_insert_with(|| full.clone())),
        Request::Input(body) => one(&mut body.session_id),
        Request::EditInput(body) => one(&mut body.session_id),
        Request::MoveInput(body) => one(&mut body.session_id),
        Request::RemoveInput(body) => one(&mut body.session_id),
        Request::PermissionResponse(body) => one(&mut body.session_id),
        Request::Interrupt(body) => one(&mut body.session_id),
        Request::KillSession(body) => one(&mut body.session_id),
        Request::SuspendSession(body) => one(&mut body.session_id),
        Request::ResumeSession(body) => one(&mut body.session_id),
        Request::FinishSession(body) => one(&mut body.session_id),
        Request::UpdateSession(body) => one(&mut body.session_id),
        Request::TransferOwnership(body) => one(&mut body.session_id),
        Request::TakeOwnership(body) => one(&mut body.session_id),
        Request::SetOption(body) => one(&mut body.session_id),
        Request::RemoveRule(body) => one(&mut body.session_id),
        Request::Who(body) => one(&mut body.session_id),
        Request::GetSession(body) => one(&mut body.session_id),
        Request::ReadRecords(body) => one(&mut body.session_id),
        Request::GetBlob(body) => one(&mut body.session_id),
        Request::ExportSession(body) => one(&mut body.session_id),
        Request::ListTurns(body) => one(&mut body.session_id),
        Request::GetDigest(body) => one(&mut body.session_id),
        Request::ListTriggers(body) => one(body.session_id.get_or_insert_with(|| full.clone())),
        other => {
            let why = format!("this token is for one session, and {} is about more", other.type_name());
            Err(CodedError::new(ErrorCode::Forbidden, why))
        }
    }
}
