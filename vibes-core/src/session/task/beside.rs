//! What a session has looked up beside its task: what the rules say to a question, what was said so far.
//!
//! Invariant: what comes of it comes in through the door like any other request, and once; a store that refuses it is asked
//! again, because an agent or a prompt waits.

use super::{Caller, Command, ErrorCode, Request, STORE_RETRY, Task, oneshot};
use crate::{
    journal::{Reader, SessionNo, StoreError},
    rules::Judgement,
    session::{
        Fetched, persist,
        recall::{Digest, Recall},
    },
};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use vibes_protocol::model::{Permission, Seq, SessionId};

/// How long the rules may take before a person is asked instead.
const JUDGING: std::time::Duration = std::time::Duration::from_secs(5);
/// How many questions are looked at at once, in all sessions.
static LOOKING: Semaphore = Semaphore::const_new(8);
/// How many conversations, or prompts with attachments, are read at once.
static READING: Semaphore = Semaphore::const_new(2);

impl Task {
    /// Asks the rules: they look at files, and a file system may take its time.
    pub(super) fn ask_rules(&self, permission: Permission) {
        let (judge, door) = (self.at.judge.clone(), self.door.clone());
        let (agent, own) = (self.state.body.agent.clone(), self.state.body.rules.clone());
        let person = self.state.person().map(str::to_owned);
        let permission_id = permission.permission_id.clone();
        tokio::spawn(async move {
            let judged = async {
                // Held by whoever looks, however long: a file system that hangs takes these places and no more.
                let turn = LOOKING.acquire().await.ok()?;
                let look = move || {
                    let _turn = turn;
                    judge.judge(&agent, person.as_deref(), &own, &permission)
                };
                tokio::task::spawn_blocking(look).await.ok()
            };
            let judgement = match tokio::time::timeout(JUDGING, judged).await {
                Ok(Some(judgement)) => judgement,
                Ok(None) | Err(_) => Judgement::ask(),
            };
            bring(&door, Command::Judged { permission_id, judgement: Box::new(judgement) }).await;
        });
    }

    /// Reads what is attached to a prompt.
    pub(super) fn fetch(&self, of: Vec<Value>) {
        let (blobs, door, id) = (self.at.blobs.clone(), self.door.clone(), self.state.body.id);
        tokio::spawn(async move {
            let turn = READING.acquire().await;
            let content = of.clone();
            let read = tokio::task::spawn_blocking(move || Fetched::read(&blobs, &id, content)).await;
            drop(turn);
            let fetched = read.unwrap_or_else(|_| {
                Fetched::failed(of, "a defect of the daemon ended the reading of its attachments".to_owned())
            });
            bring(&door, Command::Fetched(Arc::new(fetched))).await;
        });
    }

    /// Counts what all sessions have spent. What cannot be counted keeps nobody from working.
    pub(super) fn count(&self) {
        let (reader, budgets, door) = (self.at.reader.clone(), self.at.budgets.clone(), self.door.clone());
        let (session, cwd) = (self.state.body.id, self.state.body.cwd.clone());
        tokio::spawn(async move {
            let turn = READING.acquire().await;
            let counted = tokio::task::spawn_blocking(move || budgets.spent(&reader, &cwd)).await;
            drop(turn);
            let spent = match counted {
                Ok(Ok(spent)) => spent,
                Ok(Err(error)) => {
                    tracing::warn!(%session, %error, "what was spent cannot be counted");
                    None
                }
                Err(error) => {
                    tracing::error!(%session, %error, "what was spent was not counted");
                    None
                }
            };
            bring(&door, Command::Counted(Box::new(spent))).await;
        });
    }

    /// Reads what is to be told again of the conversation.
    pub(super) fn recall(&self) {
        let (reader, door, no) = (self.at.reader.clone(), self.door.clone(), self.no);
        let body = &self.state.body;
        let (id, head, parent) = (body.id, self.state.head, body.parent.zip(body.forked_at));
        let budget = (self.at.replay)(&self.state.body.agent);
        tokio::spawn(async move {
            let turn = READING.acquire().await;
            let read =
                tokio::task::spawn_blocking(move || digest(&reader, (no, id, head), parent, budget)).await;
            drop(turn);
            let digest = match read {
                Ok(Ok(digest)) => digest,
                Ok(Err(error)) => Digest::failed(error.to_string()),
                Err(_) => Digest::failed("a defect of the daemon ended the reading of it".to_owned()),
            };
            bring(&door, Command::Recalled(Box::new(digest))).await;
        });
    }
}

/// Brings a command in, until it is taken or nobody serves the session any more.
async fn bring(door: &mpsc::WeakSender<Box<Request>>, command: Command) {
    loop {
        let Some(inbox) = door.upgrade() else { return };
        let (reply, answer) = oneshot::channel();
        let (caller, command) = (Caller::nobody(), command.clone());
        let _ = inbox.send(Box::new(Request { caller, command, env: None, reply })).await;
        drop(inbox);
        match answer.await {
            Ok(Err(error)) if matches!(error.code, ErrorCode::StoreFull | ErrorCode::StoreFailed) => {
                tokio::time::sleep(STORE_RETRY).await;
            }
            _ => return,
        }
    }
}

/// A record, as far as it matters here.
#[derive(Deserialize)]
struct Line<'a> {
    seq: Seq,
    #[serde(borrow)]
    fact: &'a RawValue,
}

/// The records of a session up to one of them, and before them those of the sessions that it goes on from, told again in so
/// many bytes; nothing where there is no room. Blocking.
fn digest(
    reader: &Reader,
    own: (SessionNo, SessionId, Seq),
    mut parent: Option<(SessionId, Seq)>,
    budget: usize,
) -> Result<Digest, StoreError> {
    /// How many sessions may go on from one another. More than this is told of the newest.
    const LINEAGE: usize = 64;
    let mut recall = Recall::new(budget);
    if budget == 0 {
        return Ok(recall.finish());
    }
    let mut sessions = vec![own];
    while let Some((id, at)) = parent.filter(|_| sessions.len() < LINEAGE) {
        let Some(stored) = reader.number(&id)?.map(|no| reader.session(no)).transpose()?.flatten() else {
            break;
        };
        sessions.push((stored.no, id, at));
        // One that cannot be read any more is where the telling begins.
        parent =
            persist::restore(&stored, 0).ok().and_then(|state| state.body.parent.zip(state.body.forked_at));
    }
    for (no, id, to) in sessions.into_iter().rev() {
        recall.begin_session();
        read(reader, &mut recall, no, &id, to)?;
    }
    Ok(recall.finish())
}

fn read(
    reader: &Reader,
    recall: &mut Recall,
    no: SessionNo,
    id: &SessionId,
    to: Seq,
) -> Result<(), StoreError> {
    /// How much is read at once, in bytes.
    const PAGE: usize = 1024 * 1024;
    let mut after = 0;
    while after < to {
        let page = reader.page(no, id, after, PAGE, usize::MAX)?;
        if page.last == 0 {
            break;
        }
        after = page.last;
        for line in page.frames.bytes.split(|byte| *byte == b'\n') {
            if let Ok(line) = serde_json::from_slice::<Line<'_>>(line)
                && line.seq <= to
            {
                recall.read(line.seq, line.fact.get());
            }
        }
    }
    Ok(())
}
