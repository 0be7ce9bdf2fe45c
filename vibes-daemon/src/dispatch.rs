//! The one table of requests: every transport goes through it, and the compiler points at what is missing.
//!
//! Invariant: every request is answered exactly once, with its id. What has to wait does so in a task of its own, so
//! that the next request is read; but whatever a session is asked is in its inbox, in order, before the next one is.

use crate::{
    connection::{Connection, Subscription},
    handlers::{
        archive, attachments, daemon, import, memory, ports, prompts, reading, room, rules, search, session,
        template, triggers, turns, web, worktree,
    },
    web::{access, audit},
};
use std::{pin::Pin, sync::Arc};
use tokio::sync::OwnedSemaphorePermit;
use vibes_core::session::{Command, event::QueueChange};
use vibes_protocol::{
    model::{AuditEntry, SessionId},
    wire::{Asked, CodedError, ErrorCode, Message, Request, request::WorktreeWish},
};

/// What a handler gives back. Made and taken apart once per request, so its size costs less than a box would.
#[allow(clippy::large_enum_variant)]
pub enum Answer {
    /// Here it is.
    Now(Message),
    /// It takes a while.
    Later(Pin<Box<dyn Future<Output = Said> + Send>>),
    /// None is due.
    None,
}

/// A message and the subscriptions that begin behind it.
pub struct Said {
    /// The answer.
    pub message: Message,
    /// What follows it.
    pub begin: Vec<Subscription>,
}

impl From<Message> for Said {
    fn from(message: Message) -> Self {
        Self { message, begin: Vec::new() }
    }
}

/// The longest message of an error, in bytes: some quote what was asked, which may be a megabyte.
const LONGEST_MESSAGE: usize = 2048;

/// The error as a message.
pub fn error(request_id: Option<String>, session_id: Option<SessionId>, error: CodedError) -> Message {
    let CodedError { code, mut message, version } = error;
    if message.len() > LONGEST_MESSAGE {
        message.truncate(message.floor_char_boundary(LONGEST_MESSAGE));
        message.push('…');
    }
    Message::Error { request_id, session_id, code, message, version }
}

/// Which session a request would change, if it changes anything: what a process inside an agent may not ask.
fn changes(request: &Request) -> Option<&str> {
    match request {
        Request::Hello(_)
        | Request::ListSessions(_)
        | Request::Unsubscribe(_)
        | Request::Who(_)
        | Request::GetSession(_)
        | Request::GetBlob(_)
        | Request::ReadRecords(_)
        | Request::ExportSession(_)
        | Request::ListAgents(_)
        | Request::GetDaemonStatus(_)
        | Request::GetRules(_)
        | Request::TestRules(_)
        | Request::ListApprovals(_)
        | Request::ListTurns(_)
        | Request::GetCosts(_)
        | Request::Search(_)
        | Request::ListTemplates(_)
        | Request::GetTemplate(_)
        | Request::SearchMemories(_)
        | Request::GetMemory(_)
        | Request::GetDigest(_)
        | Request::ListTriggers(_)
        | Request::GetDiskUsage(_)
        | Request::Ping(_)
        | Request::Pong(_) => None,
        // Joining to read changes nothing; joining to write would make an owner of it.
        Request::Subscribe(body) => match body.role {
            vibes_protocol::model::Role::Viewer if !body.reads => None,
            vibes_protocol::model::Role::Viewer => Some(body.session_ids.first().map_or("", String::as_str)),
            vibes_protocol::model::Role::Writer => Some(body.session_ids.first().map_or("", String::as_str)),
        },
        Request::WorktreeRequest(body) => match body.action {
            WorktreeWish::Diff => None,
            WorktreeWish::Merge | WorktreeWish::Drop => Some(&body.session_id),
        },
        Request::ListTokens(_) | Request::ListAudit(_) => None,
        // What asks for them to be told changes nothing.
        Request::MemoryCommand(body) => memory::changes(&body.text).then_some(""),
        Request::SaveTemplate(_)
        | Request::RemoveTemplate(_)
        | Request::AddMemory(_)
        | Request::EditMemory(_)
        | Request::RemoveMemories(_)
        | Request::ForkSession(_)
        | Request::Attach(_)
        | Request::ImportSession(_)
        | Request::CreateSession(_)
        | Request::Web(_)
        | Request::CreateToken(_)
        | Request::RevokeToken(_)
        | Request::StopDaemon(_)
        | Request::RebuildSearch(_)
        | Request::ApplyRules(_)
        | Request::RemoveTrigger(_) => Some(""),
        Request::Input(body) => Some(&body.session_id),
        Request::EditInput(body) => Some(&body.session_id),
        Request::MoveInput(body) => Some(&body.session_id),
        Request::RemoveInput(body) => Some(&body.session_id),
        Request::PermissionResponse(body) => Some(&body.session_id),
        Request::Interrupt(body) => Some(&body.session_id),
        Request::KillSession(body) => Some(&body.session_id),
        Request::SuspendSession(body) => Some(&body.session_id),
        Request::ResumeSession(body) => Some(&body.session_id),
        Request::FinishSession(body) => Some(&body.session_id),
        Request::DeleteSession(body) => Some(&body.session_id),
        Request::UndeleteSession(body) => Some(&body.session_id),
        Request::UpdateSession(body) => Some(&body.session_id),
        Request::TransferOwnership(body) => Some(&body.session_id),
        Request::TakeOwnership(body) => Some(&body.session_id),
        Request::SetOption(body) => Some(&body.session_id),
        Request::RemoveRule(body) => Some(&body.session_id),
        Request::MarkRead(body) => Some(&body.session_id),
        Request::AddTrigger(body) => Some(&body.session_id),
    }
}

/// Notes what somebody of the web did, and how it went.
fn note(connection: &Connection, noted: Option<AuditEntry>, answer: &Message) {
    if let Some(entry) = noted {
        tokio::task::block_in_place(|| connection.server.web.audit.note(entry, answer));
    }
}

/// Answers one request, now or later.
pub async fn dispatch(connection: &Arc<Connection>, asked: Asked, permit: OwnedSemaphorePermit) {
    let Asked { request_id, mut request } = asked;
    let mut noted = None;
    if let Some(guest) = &connection.guest {
        let changed = changes(&request);
        noted = changed.map(|session| audit::entry(&guest.token, request.type_name(), session));
        if let Err(why) =
            access::pass(&connection.server, guest, &mut request, |asked| changes(asked).is_some())
        {
            let message = error(request_id, None, why);
            note(connection, noted, &message);
            connection.answer(&message, Some(permit), Vec::new());
            return;
        }
    }
    if let Some(session_id) = changes(&request)
        && connection.is_in_tree().await
    {
        let kind = request.type_name();
        tracing::warn!(request = kind, pid = connection.caller().pid, "refused: asked from inside an agent");
        // What concerns no one session is told where it came from.
        let concerned = match session_id {
            "" => connection.session_of_peer().await.unwrap_or_default(),
            named => named.to_owned(),
        };
        if let Ok(handle) = connection.server.sessions.resolve(&concerned) {
            handle.tell(connection.caller(), Command::NoteRefused { request: kind }).await;
        }
        let message = "this process runs inside an agent of this daemon, which may look but not change anything; \
                       ask a person to do it from outside";
        let refusal = error(request_id, None, CodedError::new(ErrorCode::Forbidden, message));
        note(connection, noted, &refusal);
        connection.answer(&refusal, Some(permit), Vec::new());
        return;
    }
    let r = request_id;
    let answer = match request {
        Request::Hello(body) => daemon::hello(connection, r, body),
        Request::ListSessions(body) => session::list(connection, r, body),
        Request::CreateSession(body) => session::create(connection, r, body),
        Request::ForkSession(body) => session::fork(connection, r, body),
        Request::WorktreeRequest(body) => worktree::act(connection, r, body),
        Request::Subscribe(body) => session::subscribe(connection, r, body),
        Request::Unsubscribe(body) => session::unsubscribe(connection, r, body),
        Request::Input(body) => prompts::input(connection, r, body),
        Request::EditInput(body) => prompts::edit(connection, r, body),
        Request::Attach(body) => attachments::attach(connection, r, body),
        Request::GetBlob(body) => attachments::get(connection, r, body),
        Request::MoveInput(body) => {
            let change = QueueChange::Move(body.place);
            session::ask(connection, r, &body.session_id, Command::Queued(body.input_seq, change))
        }
        Request::RemoveInput(body) => {
            let change = QueueChange::Remove;
            session::ask(connection, r, &body.session_id, Command::Queued(body.input_seq, change))
        }
        Request::PermissionResponse(body) => {
            let answer = vibes_core::session::event::Answer {
                permission_id: body.permission_id,
                hash: body.hash,
                option_id: body.option_id,
                decision: body.decision,
                message: body.message,
                updated_input: body.updated_input,
                answers: body.answers,
            };
            let command = match body.for_session {
                Some(wide) => {
                    let widen = vibes_core::session::event::Widen { pattern: wide.pattern, path: wide.path };
                    Command::AllowForSession(Box::new(answer), widen)
                }
                None => Command::Answer(Box::new(answer)),
            };
            session::ask(connection, r, &body.session_id, command)
        }
        Request::Interrupt(body) => {
            session::ask(connection, r, &body.session_id, Command::Interrupt { turn: body.turn })
        }
        Request::KillSession(body) => session::ask(connection, r, &body.session_id, Command::Kill),
        Request::SuspendSession(body) => {
            session::ask(connection, r, &body.session_id, Command::Suspend { now: body.now })
        }
        Request::ResumeSession(body) => session::resume(connection, r, body),
        Request::FinishSession(body) => session::ask(connection, r, &body.session_id, Command::Finish),
        Request::DeleteSession(body) => session::delete(connection, r, &body.session_id, body.purge),
        Request::UndeleteSession(body) => session::ask(connection, r, &body.session_id, Command::Undelete),
        Request::UpdateSession(body) => session::update(connection, r, body),
        Request::TransferOwnership(body) => {
            session::ask(connection, r, &body.session_id, Command::Transfer(body.new_owner_id))
        }
        Request::TakeOwnership(body) => session::take(connection, r, &body.session_id),
        Request::SetOption(body) => {
            let command = Command::SetOption { option_id: body.option_id, value: body.value };
            session::ask(connection, r, &body.session_id, command)
        }
        Request::ApplyRules(body) => rules::apply(connection, r, body),
        Request::GetRules(body) => rules::get(connection, r, body),
        Request::TestRules(body) => rules::test(connection, r, body),
        Request::RemoveRule(body) => {
            session::ask(connection, r, &body.session_id, Command::ForgetRule(body.name))
        }
        Request::ListApprovals(body) => rules::log(connection, r, body),
        Request::ListTurns(body) => turns::list(connection, r, body),
        Request::GetCosts(body) => turns::costs(connection, r, body),
        Request::Search(body) => search::search(connection, r, body),
        Request::RebuildSearch(_) => search::rebuild(connection, r),
        Request::ListTemplates(_) => template::list(r),
        Request::GetTemplate(body) => template::get(r, body.name),
        Request::SaveTemplate(body) => template::save(connection, r, body),
        Request::RemoveTemplate(body) => template::remove(r, body.name),
        Request::AddMemory(body) => memory::add(connection, r, body),
        Request::SearchMemories(body) => memory::search(connection, r, body),
        Request::GetMemory(body) => memory::get(connection, r, &body),
        Request::EditMemory(body) => memory::edit(connection, r, body),
        Request::RemoveMemories(body) => memory::remove(connection, r, body),
        Request::MemoryCommand(body) => memory::command(connection, r, body),
        Request::MarkRead(body) => reading::mark(connection, r, body),
        Request::GetDiskUsage(body) => room::disk_usage(connection, r, body),
        Request::GetDigest(body) => reading::digest(connection, r, body),
        Request::AddTrigger(body) => triggers::add(connection, r, body),
        Request::ListTriggers(body) => triggers::list(connection, r, body),
        Request::RemoveTrigger(body) => triggers::remove(connection, r, body),
        Request::Who(body) => session::who(connection, r, &body.session_id),
        Request::GetSession(body) => ports::session(connection, r, body),
        Request::ReadRecords(body) => session::read(connection, r, body),
        Request::Web(body) => web::web(connection, r, body),
        Request::CreateToken(body) => web::create(connection, r, body),
        Request::ListTokens(_) => web::list(connection, r),
        Request::RevokeToken(body) => web::revoke(connection, r, body),
        Request::ListAudit(body) => web::audit(connection, r, body),
        Request::ExportSession(body) => archive::export(connection, r, body),
        Request::ImportSession(body) => import::step(connection, r, body),
        Request::ListAgents(body) => daemon::agents(connection, r, &body.env),
        Request::GetDaemonStatus(_) => daemon::status(connection, r),
        Request::StopDaemon(body) => daemon::stop(connection, r, &body),
        Request::Ping(_) => Answer::Now(Message::Pong { request_id: r }),
        Request::Pong(_) => Answer::None,
    };
    match answer {
        Answer::Now(message) => {
            note(connection, noted, &message);
            connection.answer(&message, Some(permit), Vec::new());
        }
        Answer::None => drop(permit),
        Answer::Later(later) => {
            let to = connection.clone();
            tokio::spawn(connection.clone().until_it_falls(async move {
                let Said { message, begin } = later.await;
                note(&to, noted, &message);
                to.answer(&message, Some(permit), begin);
            }));
        }
    }
}
