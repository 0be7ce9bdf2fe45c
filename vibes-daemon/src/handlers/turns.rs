//! Requests about the ledger of turns and what they cost.
//!
//! Invariant: it is read from the store, a page at a time and in turn with everybody else; a session that rests is not
//! woken for it.

use crate::{
    connection::Connection,
    dispatch::{Answer, Said, error},
};
use std::sync::Arc;
use vibes_core::{prices, sessions::store_error};
use vibes_protocol::{
    model::{Cost, CostSum, SessionId, TurnInfo},
    wire::{
        CodedError, ErrorCode, Message,
        request::{GetCosts, ListTurns},
    },
};

/// How many turns are told unless a client says otherwise.
const USUAL: u32 = 50;
/// How many sums are told at most: a line of the daemon has 16 MiB, and a directory's name 4 KiB.
const SUMS: u32 = 2_000;
/// How many at most: a row has some kilobytes at most, and a line of the daemon 16 MiB.
const MOST: u32 = 500;

/// Tells the turns of a session.
pub fn list(connection: &Arc<Connection>, request_id: Option<String>, body: ListTurns) -> Answer {
    let server = connection.server.clone();
    Answer::Later(Box::pin(async move {
        let limit = body.limit.unwrap_or(USUAL).clamp(1, MOST) as usize;
        let found = match server.sessions.locate(&body.session_id) {
            Ok(found) => found,
            Err(why) => return Said::from(error(request_id, None, why)),
        };
        let _turn = server.pages.acquire().await;
        let reader = server.sessions.reader().clone();
        // One more tells whether there are more.
        let read = tokio::task::spawn_blocking(move || match reader.number(&found)? {
            Some(no) => reader.turns(no, body.before, limit + 1),
            None => Ok(Vec::new()),
        });
        match read.await {
            Ok(Ok(rows)) => page(request_id, found, &rows, limit).into(),
            Ok(Err(why)) => error(request_id, Some(found), store_error(&why)).into(),
            Err(_) => {
                let why = CodedError::new(ErrorCode::StoreFailed, "the store could not be read");
                error(request_id, Some(found), why).into()
            }
        }
    }))
}

fn page(request_id: Option<String>, session_id: SessionId, rows: &[Vec<u8>], limit: usize) -> Message {
    // A row that cannot be read would be a damaged store; the record of the turn is there all the same.
    let turns: Vec<TurnInfo> =
        rows.iter().take(limit).filter_map(|row| serde_json::from_slice(row).ok()).collect();
    let next_before = if rows.len() > limit { turns.last().map(|turn| turn.turn) } else { None };
    Message::Turns { request_id, session_id, turns, next_before }
}

/// Tells what was spent.
pub fn costs(connection: &Arc<Connection>, request_id: Option<String>, body: GetCosts) -> Answer {
    let server = connection.server.clone();
    Answer::Later(Box::pin(async move {
        let _turn = server.pages.acquire().await;
        let reader = server.sessions.reader().clone();
        let limit = body.limit.unwrap_or(SUMS).clamp(1, SUMS);
        let read = tokio::task::spawn_blocking(move || {
            reader.spent(body.by, body.since.as_deref(), body.until.as_deref(), limit)
        });
        let why = match read.await {
            Ok(Ok(Some(sums))) => {
                let costs = sums.into_iter().map(|sum| CostSum {
                    key: sum.key,
                    name: sum.name,
                    turns: sum.turns,
                    usage: sum.usage,
                    cost: (!sum.currency.is_empty()).then(|| Cost {
                        estimated: sum.estimated,
                        ..prices::told(sum.amount, &sum.currency)
                    }),
                });
                return Message::Costs { request_id, costs: costs.collect() }.into();
            }
            Ok(Ok(None)) => {
                let why = "since, until: a day such as 2026-11-01, or 12h, 7d, 4w ago";
                CodedError::new(ErrorCode::BadRequest, why)
            }
            Ok(Err(why)) => store_error(&why),
            Err(_) => CodedError::new(ErrorCode::StoreFailed, "the store could not be read"),
        };
        error(request_id, None, why).into()
    }))
}
