//! Taking sessions in from archives, step by step.
//!
//! Invariant: an import belongs to nobody but who knows its id, and nothing of it is kept when it is not heard of for a
//! while. As many go on at once as the daemon has memory for.

use crate::{
    connection::{Connection, lock},
    dispatch::{Answer, Said, error},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;
use vibes_core::sessions::{Arrival, Arriving, Begun};
use vibes_protocol::{
    model::{ImportOutcome, Seq, SessionId},
    wire::{
        CodedError, ErrorCode, Message,
        request::{ImportSession, ImportStep},
    },
};

/// How many imports go on at once: each may hold a line of 16 MiB and what is read of it.
const AT_ONCE: usize = 4;
/// How long one is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is on its way in.
#[derive(Default)]
pub struct Imports(Mutex<HashMap<String, Import>>);

struct Import {
    /// Nothing while a step is under way.
    arrival: Option<Arrival>,
    /// The last record, as the head told it; 0 when nobody knows.
    last: Seq,
    heard: Instant,
}

/// Does a step of an import.
pub fn step(connection: &Arc<Connection>, request_id: Option<String>, body: ImportSession) -> Answer {
    let connection = connection.clone();
    Answer::Later(Box::pin(async move {
        let done = match body.action {
            ImportStep::Begin => begin(&connection, body).await,
            ImportStep::Append => append(&connection, body).await,
            ImportStep::Commit => commit(&connection, body).await,
            ImportStep::Abort => abort(&connection, body).await,
        };
        Said::from(match done {
            Ok(Told { import_id, outcome, session_id, records, turns, why }) => {
                Message::Import { request_id, import_id, outcome, session_id, records, turns, why }
            }
            Err(why) => error(request_id, None, why),
        })
    }))
}

#[derive(Default)]
struct Told {
    import_id: Option<String>,
    outcome: Option<ImportOutcome>,
    session_id: Option<SessionId>,
    records: u64,
    turns: u64,
    why: Option<String>,
}

impl Told {
    /// There is nothing to do.
    fn known(id: SessionId, why: String) -> Self {
        let outcome = Some(ImportOutcome::Known);
        Self { outcome, session_id: Some(id), why: Some(why), ..Self::default() }
    }
}

fn bad(why: &str) -> CodedError {
    CodedError::new(ErrorCode::BadRequest, why)
}

async fn begin(connection: &Arc<Connection>, body: ImportSession) -> Result<Told, CodedError> {
    forget_old(connection).await;
    let server = &connection.server;
    if lock(&server.imports.0).len() >= AT_ONCE {
        let why = format!("{AT_ONCE} imports go on already; try again when one of them is done");
        return Err(CodedError::new(ErrorCode::Busy, why));
    }
    let (head, from, source) = (body.head, body.from.as_deref(), body.source);
    let last = head.as_ref().map_or(0, |head| head.last);
    let begun = {
        let _turn = server.pages.acquire().await;
        tokio::task::block_in_place(|| server.sessions.arrival(head.as_deref(), from, source))?
    };
    match begun {
        Begun::Known(id, why) => Ok(Told::known(id, why)),
        Begun::Wanted(arrival) => {
            let id = uuid::Uuid::new_v4().to_string();
            let import = Import { arrival: Some(arrival), last, heard: Instant::now() };
            lock(&server.imports.0).insert(id.clone(), import);
            tokio::spawn(watch(connection.clone(), id.clone()));
            Ok(Told { import_id: Some(id), ..Told::default() })
        }
    }
}

/// Takes what is on its way in while a step of it is done.
fn take(connection: &Connection, id: Option<&str>) -> Result<(String, Arrival, Seq), CodedError> {
    let id = id.ok_or_else(|| bad("import_id: which import?"))?;
    let mut imports = lock(&connection.server.imports.0);
    let unknown =
        || bad("import_id: no import goes on under this id; it may have waited for too long: begin again");
    let import = imports.get_mut(id).ok_or_else(unknown)?;
    import.heard = Instant::now();
    let busy = || {
        CodedError::new(ErrorCode::Busy, "import_id: a step of this import is under way; wait for its answer")
    };
    Ok((id.to_owned(), import.arrival.take().ok_or_else(busy)?, import.last))
}

async fn append(connection: &Arc<Connection>, body: ImportSession) -> Result<Told, CodedError> {
    let (id, arrival, _) = take(connection, body.import_id.as_deref())?;
    let arrived = connection.server.sessions.arrives(arrival, body.records.unwrap_or_default()).await;
    let mut imports = lock(&connection.server.imports.0);
    match arrived {
        Ok(Arriving::Known(session, why)) => {
            imports.remove(&id);
            Ok(Told::known(session, why))
        }
        Ok(Arriving::On(arrival)) => {
            if let Some(import) = imports.get_mut(&id) {
                (import.arrival, import.heard) = (Some(arrival), Instant::now());
            }
            Ok(Told { import_id: Some(id), ..Told::default() })
        }
        Err(why) => {
            imports.remove(&id);
            Err(why)
        }
    }
}

async fn commit(connection: &Arc<Connection>, body: ImportSession) -> Result<Told, CodedError> {
    let (id, arrival, last) = take(connection, body.import_id.as_deref())?;
    lock(&connection.server.imports.0).remove(&id);
    let arrived = connection.server.sessions.settles(arrival, last).await?;
    Ok(Told {
        import_id: None,
        outcome: Some(arrived.outcome),
        session_id: Some(arrived.id),
        records: arrived.records,
        turns: arrived.turns,
        why: arrived.why,
    })
}

async fn abort(connection: &Arc<Connection>, body: ImportSession) -> Result<Told, CodedError> {
    let (id, arrival, _) = take(connection, body.import_id.as_deref())?;
    lock(&connection.server.imports.0).remove(&id);
    connection.server.sessions.turns_back(arrival).await;
    Ok(Told::default())
}

/// Looks after one that may never be heard of again.
async fn watch(connection: Arc<Connection>, id: String) {
    while lock(&connection.server.imports.0).contains_key(&id) {
        tokio::select! {
            () = tokio::time::sleep(PATIENCE / 4) => forget_old(&connection).await,
            () = connection.server.stop.cancelled() => return,
        }
    }
}

/// Lets go of those that were not heard of for a while.
async fn forget_old(connection: &Connection) {
    let old: Vec<Arrival> = {
        let mut imports = lock(&connection.server.imports.0);
        let old =
            imports.extract_if(|_, import| import.arrival.is_some() && import.heard.elapsed() > PATIENCE);
        old.filter_map(|(_, import)| import.arrival).collect()
    };
    for arrival in old {
        connection.server.sessions.turns_back(arrival).await;
    }
}
