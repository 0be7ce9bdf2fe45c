//! Requests about standing rules and about what became of questions.
//!
//! Invariant: rules are in force only when they are on disk, and what was recorded is read a page at a time, in turn
//! with everybody else.

use crate::{
    connection::Connection,
    dispatch::{Answer, Said, error},
    rules::{self, KEPT, MOST_SETS},
    server::Server,
};
use std::{collections::HashMap, sync::Arc};
use vibes_core::{
    clock,
    journal::SessionNo,
    rules::{Applied, Judge, RuleSet, Scope, person_of},
    session::{Command, Reply},
    sessions::{Wanted, store_error},
};
use vibes_protocol::{
    model::{Fact, SessionInfo, Verdict, fact::PermissionRequested},
    wire::{
        CodedError, ErrorCode, Message,
        message::{AppliedRules, Approval, Record, Replayed},
        request::{ApplyRules, GetRules, ListApprovals, TestRules},
    },
};

type RequestId = Option<String>;

/// How many questions are told unless a client says otherwise.
const USUAL: u32 = 100;
/// How many are replayed unless a client says otherwise.
const REPLAYED: u32 = 10_000;
/// An answer ends near this size, in bytes: clients read lines of 16 MiB at most.
const ANSWER: usize = 8 * 1024 * 1024;
/// How many sessions are looked up at once.
const SESSIONS: usize = 256;
/// How much of the store is read in one turn, in bytes.
const PAGE: usize = 1024 * 1024;

fn later(
    answer: impl Future<Output = Result<Message, CodedError>> + Send + 'static,
    request_id: RequestId,
) -> Answer {
    Answer::Later(Box::pin(async move {
        match answer.await {
            Ok(message) => Said::from(message),
            Err(why) => error(request_id, None, why).into(),
        }
    }))
}

fn bad(why: String) -> CodedError {
    CodedError::new(ErrorCode::BadRequest, why)
}

fn told(applied: &Applied) -> AppliedRules {
    AppliedRules {
        person: applied.person.clone(),
        hash: applied.set.hash.clone(),
        scope: match applied.set.scope {
            Scope::Mine => "mine".to_owned(),
            Scope::All => "all".to_owned(),
        },
        rules: applied.set.len() as u32,
        applied_at: applied.at_ms / 1000,
        text: applied.text.clone(),
    }
}

/// The rules that a client sent as text.
fn set_of(judge: &Judge, text: &str) -> Result<RuleSet, CodedError> {
    rules::read(text, judge.home.as_deref()).map_err(|why| bad(format!("text: {why}")))
}

/// Puts a file in force, in place of the one that this person applied before.
pub fn apply(connection: &Arc<Connection>, request_id: RequestId, body: ApplyRules) -> Answer {
    let (server, caller) = (connection.server.clone(), connection.caller());
    let id = request_id.clone();
    let work = async move {
        let judge = server.sessions.judge().clone();
        let set = set_of(&judge, &body.text)?;
        let person = caller.identity.as_deref().map(|identity| person_of(identity).to_owned());
        let (at_ms, surface) = (clock::wall_ms(), caller.surface.as_deref().cloned());
        let new = Applied { person, text: body.text, set, at_ms, surface };
        if body.dry_run {
            return Ok(Message::Rules {
                request_id: id,
                applied: vec![told(&new)],
                session_rules: Vec::new(),
            });
        }
        let _turn = server.applying.lock().await;
        let mut all: Vec<Applied> =
            judge.applied().iter().filter(|applied| applied.person != new.person).cloned().collect();
        if all.len() >= MOST_SETS {
            let why = format!("{MOST_SETS} people have rules here already");
            return Err(CodedError::new(ErrorCode::LimitExceeded, why));
        }
        // A file without rules is how a person takes theirs away.
        if !new.set.is_empty() {
            all.push(new.clone());
        }
        let (reader, kept) = (server.sessions.reader().clone(), (all.clone(), new.clone()));
        let text = tokio::task::spawn_blocking(move || rules::keep(&reader, &kept.0, &kept.1)).await;
        let text =
            text.map_err(|_| CodedError::new(ErrorCode::StoreFailed, "the store could not be read"))?;
        server.sessions.writer().keep(KEPT, text).await.map_err(|why| store_error(&why))?;
        tracing::info!(person = ?new.person, hash = new.set.hash, rules = new.set.len(), "rules were applied");
        judge.put(all);
        Ok(Message::Rules { request_id: id, applied: vec![told(&new)], session_rules: Vec::new() })
    };
    later(work, request_id)
}

/// Tells the rules in force, or those of a session.
pub fn get(connection: &Arc<Connection>, request_id: RequestId, body: GetRules) -> Answer {
    let (server, caller) = (connection.server.clone(), connection.caller());
    let id = request_id.clone();
    let work = async move {
        let Some(session) = body.session_id else {
            let applied = server.sessions.judge().applied().iter().map(told).collect();
            return Ok(Message::Rules { request_id: id, applied, session_rules: Vec::new() });
        };
        let handle = server.sessions.resolve(&session)?;
        match handle.ask(&caller, Command::Look, None).await? {
            Reply::Looked(looked) => {
                Ok(Message::Rules { request_id: id, applied: Vec::new(), session_rules: looked.rules })
            }
            _ => Err(CodedError::new(ErrorCode::Internal, "the session did not tell about itself")),
        }
    };
    later(work, request_id)
}

/// Tells what became of questions.
pub fn log(connection: &Arc<Connection>, request_id: RequestId, body: ListApprovals) -> Answer {
    let server = connection.server.clone();
    let id = request_id.clone();
    let work = async move {
        let approvals = read(&server, body.session_ids.as_deref(), body.limit.unwrap_or(USUAL)).await?;
        let mut room = ANSWER;
        let fits = |approval: &Approval| {
            room = room.saturating_sub(serde_json::to_string(approval).map_or(0, |text| text.len()));
            room > 0
        };
        let approvals = approvals.into_iter().take_while(fits).collect();
        Ok(Message::Approvals { request_id: id, approvals })
    };
    later(work, request_id)
}

/// Replays recorded questions against a file that is not in force.
pub fn test(connection: &Arc<Connection>, request_id: RequestId, body: TestRules) -> Answer {
    let (server, caller) = (connection.server.clone(), connection.caller());
    let id = request_id.clone();
    let work = async move {
        let judge = server.sessions.judge().clone();
        let set = set_of(&judge, &body.text)?;
        let approvals = read(&server, body.session_ids.as_deref(), body.limit.unwrap_or(REPLAYED)).await?;
        let hash = set.hash.clone();
        let replayed = approvals.len() as u32;
        let judged = tokio::task::spawn_blocking(move || {
            let applied = judge.applied();
            let in_force: Vec<&RuleSet> = applied
                .iter()
                .filter(|applied| applied.is_for(caller.identity.as_deref()))
                .map(|applied| &applied.set)
                .collect();
            let others = applied.iter().filter(|applied| {
                applied.set.scope == Scope::All
                    && applied.person.as_deref() != caller.identity.as_deref().map(person_of)
            });
            let candidate: Vec<&RuleSet> = others.map(|applied| &applied.set).chain([&set]).collect();
            let (mut allowed, mut denied, mut changes, mut room) = (0, 0, Vec::new(), ANSWER);
            for approval in approvals {
                let (agent, permission) = (approval.agent.as_str(), &approval.permission);
                let now = judge.judge_by(in_force.iter().copied(), agent, &[], permission);
                let then = judge.judge_by(candidate.iter().copied(), agent, &[], permission);
                allowed += u32::from(then.verdict == Verdict::Allow);
                denied += u32::from(then.verdict == Verdict::Deny);
                room =
                    room.saturating_sub(serde_json::to_string(permission).map_or(0, |text| text.len()) + 500);
                if now.verdict != then.verdict && room > 0 {
                    changes.push(Replayed {
                        outside: judge.outside(agent, permission),
                        now: now.verdict,
                        now_rule: now.rule,
                        then: then.verdict,
                        then_rule: then.rule,
                        guarded: then.guarded,
                        approval,
                    });
                }
            }
            (allowed, denied, changes)
        });
        let (allowed, denied, changes) =
            judged.await.map_err(|_| CodedError::new(ErrorCode::Internal, "the rules could not be tried"))?;
        Ok(Message::RulesTested { request_id: id, hash, replayed, allowed, denied, changes })
    };
    later(work, request_id)
}

/// The newest questions of these sessions, or of all that are not deleted, and what became of them.
async fn read(
    server: &Arc<Server>,
    only: Option<&[String]>,
    limit: u32,
) -> Result<Vec<Approval>, CodedError> {
    let limit = limit as usize;
    let mut found = Vec::new();
    if let Some(ids) = only {
        for id in ids {
            let handle = server.sessions.resolve(id)?;
            found.extend(of_session(server, handle.no, &handle.info(), limit).await?);
        }
        newest(&mut found, limit);
        return Ok(found);
    }
    let mut after = None;
    loop {
        let listing = {
            let _turn = server.pages.acquire().await;
            let wanted = Wanted { ended: true, after: after.take(), limit: SESSIONS, fits: &|_| true };
            tokio::task::block_in_place(|| server.sessions.list(&wanted)).map_err(|why| store_error(&why))?
        };
        for info in &listing.sessions {
            // In the order of their last activity: what is left has nothing newer.
            let oldest = found.last().map_or(i64::MIN, |approval: &Approval| approval.asked_ms);
            if found.len() >= limit && info.last_activity_ms < oldest {
                return Ok(found);
            }
            let reader = server.sessions.reader();
            let no =
                tokio::task::block_in_place(|| reader.number(&info.id)).map_err(|why| store_error(&why))?;
            let Some(no) = no else { continue };
            found.extend(of_session(server, no, info, limit).await?);
            newest(&mut found, limit);
        }
        after = listing.sessions.last().map(|last| (last.last_activity_ms, last.id.to_string()));
        if !listing.more || after.is_none() {
            return Ok(found);
        }
    }
}

fn newest(found: &mut Vec<Approval>, limit: usize) {
    found.sort_by_key(|approval| std::cmp::Reverse(approval.asked_ms));
    found.truncate(limit);
}

/// The newest questions of one session.
async fn of_session(
    server: &Arc<Server>,
    no: SessionNo,
    info: &SessionInfo,
    limit: usize,
) -> Result<Vec<Approval>, CodedError> {
    let (mut after, mut found) = (0, Vec::<Approval>::new());
    let mut waiting: HashMap<String, usize> = HashMap::new();
    loop {
        let _turn = server.pages.acquire().await;
        let (reader, id) = (server.sessions.reader().clone(), info.id);
        let page = tokio::task::spawn_blocking(move || {
            let page = reader.page(no, &id, after, PAGE, usize::MAX)?;
            let lines = page.frames.bytes.split(|byte| *byte == b'\n').filter(|line| is_approval(line));
            let records: Vec<Record> = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
            Ok((page.last, records))
        })
        .await;
        let (last, records) = match page {
            Ok(Ok(page)) => page,
            Ok(Err(why)) => return Err(store_error(&why)),
            Err(_) => return Err(CodedError::new(ErrorCode::StoreFailed, "the store could not be read")),
        };
        if last == 0 {
            return Ok(found);
        }
        after = last;
        for record in records {
            match record.fact {
                Fact::PermissionRequested(PermissionRequested { permission }) => {
                    waiting.insert(permission.permission_id.clone(), found.len());
                    found.push(Approval {
                        session_id: info.id,
                        agent: info.agent.clone(),
                        session_name: info.name.clone(),
                        asked_ms: record.at_ms,
                        permission,
                        resolved_ms: None,
                        resolved: None,
                    });
                }
                Fact::PermissionResolved(resolved) => {
                    if let Some(at) = waiting.remove(&resolved.permission_id) {
                        found[at].resolved_ms = Some(record.at_ms);
                        found[at].resolved = Some(resolved);
                    }
                }
                _ => {}
            }
        }
        // Only the newest are wanted; what is resolved later among the old ones is of no interest any more.
        if found.len() > 2 * limit + 512 {
            let cut = found.len() - limit;
            found.drain(..cut);
            waiting.retain(|_, at| *at >= cut);
            waiting.values_mut().for_each(|at| *at -= cut);
        }
    }
}

/// Whether a frame is about a question: told by its head, without reading it.
fn is_approval(line: &[u8]) -> bool {
    const FACT: &[u8] = br#""fact":{"kind":"permission_"#;
    line[..line.len().min(300)].windows(FACT.len()).any(|window| window == FACT)
}
