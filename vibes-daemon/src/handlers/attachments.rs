//! What is attached to prompts: kept when it comes in, given out to who asks.
//!
//! Invariant: before a prompt reaches its session, its attachments are on the disk and the session's own; files are read as
//! they are at that moment, whole, and never more of them than a prompt carries.

use crate::{
    connection::Connection,
    dispatch::{Answer, Said, error},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustix::fs::{Mode, OFlags};
use serde_json::Value;
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    sync::Arc,
};
use vibes_core::blobs::{Hash, blocks};
use vibes_protocol::{
    model::{
        SessionId,
        content::{MOST_ATTACHED, bytes},
    },
    wire::{
        CodedError, ErrorCode, Message,
        request::{Attach, Content, GetBlob},
    },
};

/// A prompt as its session takes it. Blocking where something is attached, so that what a client asks stays in order.
pub fn taken(
    connection: &Connection,
    session: &SessionId,
    content: Content,
) -> Result<Vec<Value>, CodedError> {
    let content = content.into_blocks();
    if !blocks::has_attachments(&content) {
        return Ok(content);
    }
    let blobs = connection.server.sessions.blobs();
    tokio::task::block_in_place(|| blocks::put_away(blobs, session, content))
}

/// Gives up what was kept for a session that was not made after all.
pub fn forget(connection: &Connection, session: &SessionId) {
    let blobs = connection.server.sessions.blobs();
    if let Err(error) = tokio::task::block_in_place(|| blobs.forget(session)) {
        tracing::warn!(%error, "attachments of a session that was not made are still there");
    }
}

/// Keeps a file for a prompt that follows.
pub fn attach(connection: &Arc<Connection>, request_id: Option<String>, body: Attach) -> Answer {
    let server = connection.server.clone();
    Answer::Later(Box::pin(async move {
        // One at a time with the pages of the store: each holds some megabytes.
        let _turn = server.pages.acquire().await;
        let blobs = server.sessions.blobs().clone();
        let put = move || {
            let file = read(&body.path)?;
            let hash = blobs.put(&file).map_err(|error| blocks::failed(&error))?;
            Ok((hash, file.len() as u64))
        };
        Said::from(match tokio::task::spawn_blocking(put).await {
            Ok(Ok((hash, size))) => Message::Attached { request_id, sha256: hash.to_string(), size },
            Ok(Err(why)) => error(request_id, None, why),
            Err(_) => error(request_id, None, CodedError::new(ErrorCode::Internal, "the file was not read")),
        })
    }))
}

/// A file, whole.
fn read(path: &str) -> Result<Vec<u8>, CodedError> {
    let bad = |why: String| CodedError::new(ErrorCode::BadRequest, format!("path: {path}: {why}"));
    if !Path::new(path).is_absolute() {
        return Err(bad("not an absolute path".to_owned()));
    }
    let open = || -> io::Result<(File, std::fs::Metadata)> {
        // A pipe that nobody writes to must not hold us up.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        let meta = file.metadata()?;
        Ok((file, meta))
    };
    let (file, meta) = open().map_err(|error| bad(error.to_string()))?;
    if !meta.is_file() {
        return Err(bad("not a file".to_owned()));
    }
    let mut found = Vec::with_capacity(meta.len().min(MOST_ATTACHED) as usize);
    // What it is now is what counts: somebody may be writing it.
    file.take(MOST_ATTACHED + 1).read_to_end(&mut found).map_err(|error| bad(error.to_string()))?;
    if found.len() as u64 > MOST_ATTACHED {
        let size = bytes(meta.len().max(found.len() as u64));
        return Err(bad(format!("{size} are more than fits: a prompt carries {}", bytes(MOST_ATTACHED))));
    }
    Ok(found)
}

/// Gives out what is attached to a prompt of a session.
pub fn get(connection: &Arc<Connection>, request_id: Option<String>, body: GetBlob) -> Answer {
    let server = connection.server.clone();
    Answer::Later(Box::pin(async move {
        let bad = |why: String| CodedError::new(ErrorCode::BadRequest, format!("sha256: {why}"));
        let (id, hash) = match (server.sessions.locate(&body.session_id), body.sha256.parse::<Hash>()) {
            (Err(why), _) => return Said::from(error(request_id, None, why)),
            (Ok(id), Err(why)) => return error(request_id, Some(id), bad(why)).into(),
            (Ok(id), Ok(hash)) => (id, hash),
        };
        let _turn = server.pages.acquire().await;
        let blobs = server.sessions.blobs().clone();
        let found = tokio::task::spawn_blocking(move || blobs.get(&id, &hash)).await;
        let why = match found.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(found) => {
                let (size, data) = (found.len() as u64, STANDARD.encode(found));
                let sha256 = body.sha256;
                return Message::Blob { request_id, session_id: id, sha256, size, data }.into();
            }
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                bad("nothing with it is attached to a prompt of this session".to_owned())
            }
            Err(why) => {
                CodedError::new(ErrorCode::StoreFailed, format!("an attachment cannot be read: {why}"))
            }
        };
        error(request_id, Some(id), why).into()
    }))
}
