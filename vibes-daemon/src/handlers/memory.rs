//! Requests about memories, and lines that are commands about them.
//!
//! Invariant: what a line does is decided by `vibes_protocol::remember` alone, so that every client does the same; what
//! would forget more than one is told and not done.

use crate::{
    connection::Connection,
    dispatch::{Answer, Said, error},
};
use std::sync::Arc;
use vibes_core::{
    clock,
    memory::{Change, Memories, MemoryError, New, Wanted},
    sessions::store_error,
};
use vibes_protocol::{
    model::{CodedError, ErrorCode, Memory, MemoryAction},
    remember::{self, Said as Line},
    wire::{
        Message,
        request::{AddMemory, EditMemory, GetMemory, MemoryCommand, RemoveMemories, SearchMemories},
    },
};

type RequestId = Option<String>;

/// How many are told in answer to a line.
const TOLD: u32 = 20;

fn coded(error: MemoryError) -> CodedError {
    match error {
        MemoryError::Bad(why) => CodedError::new(ErrorCode::BadRequest, why),
        MemoryError::NotFound(_) => CodedError::new(ErrorCode::NotFound, error.to_string()),
        MemoryError::Damaged { .. } => CodedError::new(ErrorCode::StoreFailed, error.to_string()),
        MemoryError::Store(error) => store_error(&error),
    }
}

/// Does something with the memories beside the tasks that must not wait for a disk.
fn later(
    connection: &Arc<Connection>,
    request_id: RequestId,
    act: impl FnOnce(&Memories) -> Result<Message, MemoryError> + Send + 'static,
) -> Answer {
    let server = connection.server.clone();
    Answer::Later(Box::pin(async move {
        // Everybody's in turn, as with other pages.
        let _turn = server.pages.acquire().await;
        let memories = server.memories.clone();
        match tokio::task::spawn_blocking(move || act(&memories)).await {
            Ok(Ok(message)) => Said::from(message),
            Ok(Err(why)) => error(request_id, None, coded(why)).into(),
            Err(_) => {
                let why = CodedError::new(ErrorCode::StoreFailed, "the memories could not be read");
                error(request_id, None, why).into()
            }
        }
    }))
}

/// What is to be remembered, with where and by whom it is said; a session that is named has to be there.
fn new(
    connection: &Connection,
    text: String,
    tags: Vec<String>,
    session_id: Option<&str>,
) -> Result<New, CodedError> {
    let session = session_id.map(|named| connection.server.sessions.locate(named)).transpose()?;
    Ok(New {
        text,
        category: None,
        tags,
        session: session.map(|id| id.to_string()),
        by: connection.caller().identity,
    })
}

/// Remembers something.
pub fn add(connection: &Arc<Connection>, request_id: RequestId, body: AddMemory) -> Answer {
    match new(connection, body.text, body.tags, body.session_id.as_deref()) {
        Ok(new) => later(connection, request_id.clone(), move |memories| {
            let memory = memories.add(&New { category: body.category, ..new }, clock::wall_ms())?;
            Ok(Message::Memory { request_id, memory })
        }),
        Err(why) => Answer::Now(error(request_id, None, why)),
    }
}

/// Finds memories.
pub fn search(connection: &Arc<Connection>, request_id: RequestId, body: SearchMemories) -> Answer {
    later(connection, request_id.clone(), move |memories| {
        let wanted = Wanted {
            query: body.query,
            loosely: false,
            category: body.category,
            tags: body.tags,
            limit: body.limit,
            offset: body.offset.unwrap_or(0),
        };
        let (memories, total) = memories.find(&wanted)?;
        Ok(Message::Memories { request_id, memories, total })
    })
}

/// Reads one.
pub fn get(connection: &Arc<Connection>, request_id: RequestId, body: &GetMemory) -> Answer {
    let id = body.id;
    later(connection, request_id.clone(), move |memories| {
        Ok(Message::Memory { request_id, memory: memories.get(id)? })
    })
}

/// Changes one.
pub fn edit(connection: &Arc<Connection>, request_id: RequestId, body: EditMemory) -> Answer {
    later(connection, request_id.clone(), move |memories| {
        let change = Change { text: body.text, category: body.category, tags: body.tags };
        Ok(Message::Memory { request_id, memory: memories.edit(body.id, &change, clock::wall_ms())? })
    })
}

/// Forgets some.
pub fn remove(connection: &Arc<Connection>, request_id: RequestId, body: RemoveMemories) -> Answer {
    later(connection, request_id.clone(), move |memories| {
        memories.remove(&body.ids)?;
        Ok(Message::Ok { request_id })
    })
}

/// Whether a line would change something.
pub fn changes(text: &str) -> bool {
    matches!(remember::read(text), Some(Line::Remember { .. } | Line::Forget(_) | Line::ForgetNumber(_)))
}

/// Does what a line says.
pub fn command(connection: &Arc<Connection>, request_id: RequestId, body: MemoryCommand) -> Answer {
    let Some(line) = remember::read(&body.text) else {
        let action = MemoryAction::NotACommand;
        return Answer::Now(Message::MemoryDone {
            request_id,
            action,
            memories: Vec::new(),
            message: String::new(),
        });
    };
    let new = match new(connection, String::new(), Vec::new(), body.session_id.as_deref()) {
        Ok(new) => new,
        Err(why) => return Answer::Now(error(request_id, None, why)),
    };
    later(connection, request_id.clone(), move |memories| {
        let (action, memories, message) = obey(memories, line, new)?;
        Ok(Message::MemoryDone { request_id, action, memories, message })
    })
}

type Done = (MemoryAction, Vec<Memory>, String);

fn obey(memories: &Memories, line: Line, new: New) -> Result<Done, MemoryError> {
    let told =
        |query: Option<String>| Wanted { query, loosely: true, limit: Some(TOLD), ..Wanted::default() };
    match line {
        Line::Remember { text, tags } => {
            let memory = memories.add(&New { text, tags, ..new }, clock::wall_ms())?;
            let message = format!("Remembered as {}.", memory.id);
            Ok((MemoryAction::Remembered, vec![memory], message))
        }
        Line::Recall(about) => {
            let (found, total) = memories.find(&told(Some(about.clone())))?;
            let message = match total {
                0 => format!("Nothing is remembered about {about}."),
                total => told_of(found.len(), total),
            };
            Ok((MemoryAction::Found, found, message))
        }
        Line::List => {
            let (found, total) = memories.find(&told(None))?;
            let message =
                if total == 0 { "Nothing is remembered yet.".into() } else { told_of(found.len(), total) };
            Ok((MemoryAction::Listed, found, message))
        }
        Line::ForgetNumber(id) => forget(memories, memories.get(id)?),
        Line::Forget(what) => {
            // All of the words: a loose fit is good enough to be told, not to be forgotten.
            let (mut found, total) = memories.find(&Wanted { loosely: false, ..told(Some(what)) })?;
            match (found.pop(), total) {
                // It may well be meant for the agent.
                (None, _) => Ok((MemoryAction::NotACommand, Vec::new(), String::new())),
                (Some(one), 1) => forget(memories, one),
                (Some(last), total) => {
                    found.push(last);
                    let message = format!("{total} fit, and none was forgotten: forget #NUMBER names one.");
                    Ok((MemoryAction::Unsure, found, message))
                }
            }
        }
    }
}

fn forget(memories: &Memories, one: Memory) -> Result<Done, MemoryError> {
    memories.remove(&[one.id])?;
    let message = format!("Forgot {}.", one.id);
    Ok((MemoryAction::Forgotten, vec![one], message))
}

fn told_of(shown: usize, total: u64) -> String {
    match total {
        1 => "One is remembered.".into(),
        total if shown as u64 == total => format!("{total} are remembered."),
        total => format!("{total} are remembered; these are the first {shown}."),
    }
}
