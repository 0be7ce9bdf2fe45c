//! Requests about the search index.
//!
//! Invariant: a search only reads, in turn with everybody else who reads pages; no session is woken for it. How far the
//! index is behind is in every answer.

use crate::{
    connection::Connection,
    dispatch::{Answer, Said, error},
};
use std::{sync::Arc, time::Duration};
use vibes_core::{
    search::{Hit, Order},
    sessions::{Seek, Sightings},
};
use vibes_protocol::{
    model::SessionInfo,
    wire::{
        CodedError, ErrorCode, Message,
        search::{Search, SearchHit, SearchOrder, Snippet},
    },
};

/// How many hits are told unless a client says otherwise, and at most.
const USUAL: u32 = 20;
const MOST: u32 = 200;
/// How long a search waits for what was recorded just now, when the index is nearly there.
const BRIEFLY: Duration = Duration::from_millis(50);
/// How long one waits at most that asks for it.
const LONGEST: Duration = Duration::from_secs(60);

/// Looks for words.
pub fn search(connection: &Arc<Connection>, request_id: Option<String>, body: Search) -> Answer {
    let server = connection.server.clone();
    Answer::Later(Box::pin(async move {
        let waiter = server.clone();
        let wait = body.wait_ms.map(|ms| Duration::from_millis(ms).min(LONGEST));
        let caught_up = tokio::task::spawn_blocking(move || {
            waiter.search.catch_up(wait.unwrap_or(BRIEFLY), wait.is_some());
        });
        let _ = caught_up.await;
        let _turn = server.pages.acquire().await;
        let searcher = server.clone();
        let sought =
            tokio::task::spawn_blocking(move || searcher.sessions.seek(&searcher.search, &seek(body)));
        match sought.await {
            Ok(Ok(Sightings { hits, cursor: next_cursor })) => {
                let progress = server.search.progress();
                let hits = hits.into_iter().map(|(hit, info)| told(hit, &info)).collect();
                let (indexed, behind) = (progress.indexed, progress.behind);
                Said::from(Message::SearchResults { request_id, hits, next_cursor, indexed, behind })
            }
            Ok(Err(why)) => error(request_id, None, why).into(),
            Err(_) => {
                let why = CodedError::new(ErrorCode::StoreFailed, "the search index could not be read");
                error(request_id, None, why).into()
            }
        }
    }))
}

fn seek(body: Search) -> Seek {
    Seek {
        query: body.query,
        agents: body.agents,
        modes: body.modes,
        states: body.states,
        sessions: body.session_ids,
        cwd: body.cwd,
        since: body.since,
        until: body.until,
        order: match body.order {
            SearchOrder::Newest => Order::Newest,
            SearchOrder::Rank => Order::Best,
        },
        limit: body.limit.unwrap_or(USUAL).clamp(1, MOST) as usize,
        cursor: body.cursor,
    }
}

fn told(hit: Hit, info: &SessionInfo) -> SearchHit {
    SearchHit {
        session_id: info.id,
        seq: hit.seq,
        at_ms: hit.at_ms,
        kind: hit.column.name().to_owned(),
        snippet: Snippet { text: hit.snippet.text, highlights: hit.snippet.ranges },
        matches: hit.snippet.matches,
        session_name: info.name.clone(),
        agent: info.agent.clone(),
        cwd: info.cwd.clone(),
        state: info.state,
    }
}

/// Makes the index anew.
pub fn rebuild(connection: &Arc<Connection>, request_id: Option<String>) -> Answer {
    connection.server.search.rebuild();
    Answer::Now(Message::Ok { request_id })
}
