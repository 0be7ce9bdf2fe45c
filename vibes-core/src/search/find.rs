//! Answers a search from the index: which documents, in which order, and the part of each that shows why.
//!
//! Invariant: only reads. The newest come first unless the best are wanted, and a page goes on where the last one ended,
//! whatever was added meanwhile. Whether a session may be seen is asked for each of them, once.

use super::{
    Query, Search,
    document::{Column, seq_in},
    index::WITHIN,
    snippet::{self, CLOSE, OPEN, Snippet},
};
use crate::journal::{SessionNo, StoreError};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;
use vibes_protocol::model::Seq;

/// Up to how many sessions the index itself is asked for their documents alone.
const FEW: usize = 300;

/// In which order hits come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The newest first.
    #[default]
    Newest,
    /// Those that fit best first.
    Best,
}

/// Whose a document is, as the index knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whose {
    /// The session's number.
    pub no: SessionNo,
    /// Its id.
    pub id: String,
    /// Its agent.
    pub agent: String,
    /// Its directory.
    pub cwd: String,
}

/// What is looked for.
pub struct Sought<'a> {
    /// The words.
    pub query: &'a Query,
    /// From when to when, in milliseconds; the second is outside.
    pub span: (i64, i64),
    /// In which order.
    pub order: Order,
    /// At most so many.
    pub limit: usize,
    /// Where the last page ended.
    pub cursor: Option<&'a str>,
    /// Which sessions may be seen by what never changes of them, if any of that is asked for.
    pub among: Option<&'a dyn Fn(&Whose) -> bool>,
}

/// Something that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// In which session.
    pub no: SessionNo,
    /// The record of the first match that is shown.
    pub seq: Seq,
    /// When its document began, in milliseconds.
    pub at_ms: i64,
    /// Where in it.
    pub column: Column,
    /// The part that shows it.
    pub snippet: Snippet,
}

/// A page of an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// What was found.
    pub hits: Vec<Hit>,
    /// Where the next page begins, if there may be one.
    pub cursor: Option<String>,
}

impl Search {
    /// Looks for documents of sessions that `fits` lets be seen. Blocking.
    pub fn find(
        &self,
        sought: &Sought<'_>,
        fits: &mut dyn FnMut(&Whose) -> bool,
    ) -> Result<Found, StoreError> {
        self.with(|connection| find(connection, sought, fits)).map(Option::unwrap_or_default)
    }
}

pub(super) fn find(
    connection: &Connection,
    sought: &Sought<'_>,
    fits: &mut dyn FnMut(&Whose) -> bool,
) -> Result<Found, StoreError> {
    let expression = match sought.among {
        Some(among) => match narrowed(connection, sought, among)? {
            Some(expression) => expression,
            None => return Ok(Found::default()),
        },
        None => sought.query.expression.clone(),
    };
    // One state of the index for all that follows.
    let _state = connection.unchecked_transaction()?;
    let bound = |ms: i64| ms.clamp(0, i64::MAX >> WITHIN) << WITHIN;
    let (first, mut last) = (bound(sought.span.0), bound(sought.span.1).saturating_sub(1));
    let mut skipped = 0;
    let order = match sought.order {
        Order::Newest => {
            if let Some(cursor) = sought.cursor.and_then(|cursor| cursor.parse::<i64>().ok()) {
                last = last.min(cursor.saturating_sub(1));
            }
            "rowid DESC"
        }
        Order::Best => {
            skipped = sought.cursor.and_then(|cursor| cursor.parse::<usize>().ok()).unwrap_or(0);
            "rank, rowid DESC"
        }
    };
    let mut select = connection.prepare_cached(&format!(
        "SELECT rowid FROM words WHERE words MATCH ?1 AND rowid BETWEEN ?2 AND ?3 ORDER BY {order}"
    ))?;
    let mut of = connection.prepare_cached("SELECT session, parts FROM doc WHERE id = ?1")?;
    let mut seen: HashMap<SessionNo, bool> = HashMap::new();
    let mut found = Found::default();
    let mut rows = select.query(params![expression, first, last])?;
    let mut passed = 0;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        let document = of.query_row([id], |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?))).optional()?;
        let Some((no, parts)) = document else { continue };
        let visible = match seen.get(&no) {
            Some(visible) => *visible,
            None => {
                let visible = whose(connection, no)?
                    .is_some_and(|whose| sought.among.is_none_or(|among| among(&whose)) && fits(&whose));
                seen.insert(no, visible);
                visible
            }
        };
        if !visible {
            continue;
        }
        passed += 1;
        if passed <= skipped {
            continue;
        }
        if found.hits.len() == sought.limit {
            // There is one more: the next page begins behind the last one of this.
            return Ok(found);
        }
        // By the words alone: whose it is would only be looked up once more.
        let words = &sought.query.expression;
        let Some(hit) = shown(connection, words, id, no, &parts)? else { continue };
        found.hits.push(hit);
        found.cursor = Some(match sought.order {
            Order::Newest => id.to_string(),
            Order::Best => passed.to_string(),
        });
    }
    found.cursor = None;
    Ok(found)
}

/// The same expression for the documents of the few sessions that fit; `None` when none do.
fn narrowed(
    connection: &Connection,
    sought: &Sought<'_>,
    among: &dyn Fn(&Whose) -> bool,
) -> Result<Option<String>, StoreError> {
    let mut select = connection.prepare_cached("SELECT no, id, agent, cwd FROM session WHERE leaving = 0")?;
    let mut rows = select.query([])?;
    let mut tags = Vec::new();
    while let Some(row) = rows.next()? {
        let whose = Whose { no: row.get(0)?, id: row.get(1)?, agent: row.get(2)?, cwd: row.get(3)? };
        if among(&whose) {
            tags.push(format!("\"s{}\"", whose.no));
        }
        if tags.len() > FEW {
            return Ok(Some(sought.query.expression.clone()));
        }
    }
    let expression = || format!("({}) AND ({{session}} : ({}))", sought.query.expression, tags.join(" OR "));
    Ok((!tags.is_empty()).then(expression))
}

fn whose(connection: &Connection, no: SessionNo) -> Result<Option<Whose>, StoreError> {
    let mut select =
        connection.prepare_cached("SELECT id, agent, cwd FROM session WHERE no = ?1 AND leaving = 0")?;
    let whose =
        select.query_row([no], |row| Ok(Whose { no, id: row.get(0)?, agent: row.get(1)?, cwd: row.get(2)? }));
    Ok(whose.optional()?)
}

/// The part of a document that shows why it was found.
fn shown(
    connection: &Connection,
    expression: &str,
    id: i64,
    no: SessionNo,
    parts: &[u8],
) -> Result<Option<Hit>, StoreError> {
    let marks: Vec<String> =
        (0..Column::ALL.len()).map(|at| format!("highlight(words, {at}, ?3, ?4)")).collect();
    let mut select = connection.prepare_cached(&format!(
        "SELECT {} FROM words WHERE words MATCH ?1 AND rowid = ?2",
        marks.join(", ")
    ))?;
    let mut rows = select.query(params![expression, id, OPEN.to_string(), CLOSE.to_string()])?;
    // It may have been written anew, with other words, since it was found.
    let Some(row) = rows.next()? else { return Ok(None) };
    let mut best: Option<(Column, Snippet)> = None;
    for (at, column) in Column::ALL.into_iter().enumerate() {
        let marked: Option<String> = row.get(at)?;
        let Some(snippet) = marked.as_deref().and_then(snippet::of) else { continue };
        if best.as_ref().is_none_or(|(_, best)| snippet.matches > best.matches) {
            best = Some((column, snippet));
        }
    }
    Ok(best.map(|(column, snippet)| {
        let seq = seq_in(parts, column, snippet.offset).unwrap_or_default();
        Hit { no, seq, at_ms: id >> WITHIN, column, snippet }
    }))
}
