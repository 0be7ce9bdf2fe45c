//! What a change is in the store: rows of a session, its records and its small rows.
//!
//! Invariant: within the transaction of whoever calls. A change says what it expects, and is refused where the store stands
//! elsewhere.

use crate::journal::{Change, SpoolOffset, StoreError, spend};
use rusqlite::{Connection, params};

pub(super) fn apply(connection: &Connection, change: &Change) -> Result<(), StoreError> {
    let (head, SpoolOffset { generation, offset }) = change.expect;
    let updated = connection
        .prepare_cached(
            "UPDATE session SET head = ?1, generation = ?2, spool = ?3, last_ms = ?4, body = coalesce(?5, body),
                 active_ms = ?10
             WHERE no = ?6 AND head = ?7 AND generation = ?8 AND spool = ?9",
        )?
        .execute(params![
            change.head as i64,
            change.spool.generation as i64,
            change.spool.offset as i64,
            change.last_ms,
            change.body,
            change.session,
            head as i64,
            generation as i64,
            offset as i64,
            change.active_ms,
        ])?;
    if updated != 1 {
        return Err(StoreError::Conflict { session: change.session });
    }
    if let Some(place) = &change.place {
        connection
            .prepare_cached("UPDATE session SET rest = ?1, name = ?2, deleted_ms = ?3 WHERE no = ?4")?
            .execute(params![place.rest as u8, place.name, place.deleted_ms, change.session])?;
    }
    if let Some(append) = &change.append {
        connection
            .prepare_cached(
                "INSERT INTO records (session, first, last, epoch, packed, body) VALUES (?1, ?2, ?3, ?4, 0, ?5)",
            )?
            .execute(params![
                change.session,
                append.first as i64,
                append.last as i64,
                append.epoch as i64,
                append.body
            ])?;
    }
    if let Some(spent) = &change.spent {
        spend::write(connection, change.session, spent)?;
    }
    for row in &change.rows {
        match &row.value {
            Some(value) => connection
                .prepare_cached(
                    "INSERT INTO item (session, kind, key, value) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (session, kind, key) DO UPDATE SET value = excluded.value",
                )?
                .execute(params![change.session, row.kind as u8, row.key, value])?,
            None => connection
                .prepare_cached("DELETE FROM item WHERE session = ?1 AND kind = ?2 AND key = ?3")?
                .execute(params![change.session, row.kind as u8, row.key])?,
        };
    }
    Ok(())
}
