//! What turns took, as rows of their own, so that sums over all sessions are one statement.
//!
//! Invariant: the rows of a turn are replaced as a whole in the transaction that changes its row in the ledger, so a sum
//! tells what the ledger tells. They stay when a session is deleted, and without its
//! directory when it is purged: what was spent was spent.

use super::{RowChange, SessionNo, StoreError, erase::is_there};
use rusqlite::{Connection, params};
use vibes_protocol::model::{CostsBy, Usage};

/// One model's part of a turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Spend {
    /// The model; empty when nobody said.
    pub model: String,
    /// Tokens.
    pub usage: Usage,
    /// Money, in billionths.
    pub amount: u64,
    /// Of which currency.
    pub currency: String,
    /// Whether it was computed.
    pub estimated: bool,
}

/// Turns of one session.
#[derive(Debug, Clone, PartialEq)]
pub struct Spent {
    /// Its agent.
    pub agent: String,
    /// Its directory.
    pub cwd: String,
    /// Number, moment in milliseconds, and parts of each.
    pub turns: Vec<(u64, i64, Vec<Spend>)>,
}

/// A sum.
#[derive(Debug, Clone, PartialEq)]
pub struct Spending {
    /// Of what: a day, an agent, a session's id, …
    pub key: String,
    /// The session's name.
    pub name: Option<String>,
    /// How many turns.
    pub turns: u64,
    /// Their tokens.
    pub usage: Usage,
    /// What they cost, in billionths.
    pub amount: u64,
    /// Of this currency; empty when nobody said.
    pub currency: String,
    /// Whether any of it was computed.
    pub estimated: bool,
}

/// From when to when, in milliseconds; the second is outside.
pub type Span = (i64, i64);

/// Numbers of tokens beyond this are nonsense of an agent, and sums of what is below do not overflow.
const MOST: u64 = 1 << 50;

/// Replaces what is known of these turns.
pub(super) fn write(connection: &Connection, session: SessionNo, spent: &Spent) -> Result<(), StoreError> {
    connection
        .prepare_cached("INSERT OR IGNORE INTO payer (session, agent, cwd) VALUES (?1, ?2, ?3)")?
        .execute(params![session, spent.agent, spent.cwd])?;
    for (turn, at_ms, parts) in &spent.turns {
        let turn = *turn as i64;
        connection
            .prepare_cached("DELETE FROM spend WHERE session = ?1 AND turn = ?2")?
            .execute(params![session, turn])?;
        for (at, part) in parts.iter().enumerate() {
            let number = |number: u64| number.min(MOST) as i64;
            connection
                .prepare_cached(
                    "INSERT OR REPLACE INTO spend (session, turn, model, at_ms, input, output, cache_read, cache_write,
                                                   amount, currency, estimated, lead)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
                )?
                .execute(params![
                    session,
                    turn,
                    part.model,
                    at_ms,
                    number(part.usage.input_tokens),
                    number(part.usage.output_tokens),
                    number(part.usage.cache_read_tokens),
                    number(part.usage.cache_write_tokens),
                    number(part.amount),
                    part.currency,
                    part.estimated,
                    at == 0
                ])?;
        }
    }
    Ok(())
}

/// Adds rows of turns that are not known yet, and what these took.
pub(super) fn past(
    connection: &Connection,
    session: SessionNo,
    rows: &[RowChange],
    spent: &Spent,
) -> Result<(), StoreError> {
    if !is_there(connection, session)? {
        return Ok(());
    }
    let mut unknown = Spent { turns: Vec::new(), ..spent.clone() };
    for row in rows {
        let added = connection
            .prepare_cached("INSERT OR IGNORE INTO item (session, kind, key, value) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![session, row.kind as u8, row.key, row.value])?;
        let of_row = |turn: &&(u64, i64, Vec<Spend>)| turn.0.to_be_bytes()[..] == row.key[..];
        unknown.turns.extend(spent.turns.iter().filter(|_| added > 0).find(of_row).cloned());
    }
    write(connection, session, &unknown)
}

/// The moment that a word names: a day (`2026-11-01`), or so many hours, days or weeks ago (`12h`, `7d`, `4w`; days and
/// weeks from midnight). `after`: the end of it.
pub(super) fn moment(connection: &Connection, word: &str, after: bool) -> Result<Option<i64>, StoreError> {
    let ago = word.split_at_checked(word.len().saturating_sub(1));
    let ago = ago.and_then(|(number, unit)| Some((number.parse::<u32>().ok()?, unit)));
    let day = word.len() == 10 && word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let (select, word) = match ago {
        Some((hours, "h")) => ("SELECT unixepoch('now', ?1)", format!("-{hours} hours")),
        Some((days, "d")) => {
            ("SELECT unixepoch('now', 'localtime', 'start of day', ?1, 'utc')", format!("-{days} days"))
        }
        Some((weeks, "w")) => (
            "SELECT unixepoch('now', 'localtime', 'start of day', ?1, 'utc')",
            format!("-{} days", u64::from(weeks) * 7),
        ),
        _ if day && after => ("SELECT unixepoch(?1, '+1 day', 'utc')", word.to_owned()),
        _ if day => ("SELECT unixepoch(?1, 'utc')", word.to_owned()),
        _ => return Ok(None),
    };
    let seconds: Option<i64> = connection.query_row(select, [word], |row| row.get(0))?;
    Ok(seconds.map(|seconds| seconds * 1000))
}

/// Sums over all sessions: days in their order, all else by what it cost and took.
pub(super) fn sums(
    connection: &Connection,
    by: CostsBy,
    (since, until): Span,
    limit: u32,
) -> Result<Vec<Spending>, StoreError> {
    // Summed up by something small first: every time zone is made of quarters of an hour, and what is known of a session
    // is looked up once.
    let of_session = "session";
    let (small, key, name, join) = match by {
        CostsBy::Day => {
            ("at_ms / 900000", "strftime('%Y-%m-%d', k * 900, 'unixepoch', 'localtime')", "NULL", "")
        }
        CostsBy::Week => {
            ("at_ms / 900000", "strftime('%G-W%V', k * 900, 'unixepoch', 'localtime')", "NULL", "")
        }
        CostsBy::Model => ("model", "iif(k = '', 'unknown', k)", "NULL", ""),
        CostsBy::Agent => (of_session, "payer.agent", "NULL", "JOIN payer ON payer.session = k"),
        CostsBy::Directory => (
            of_session,
            "iif(payer.cwd = '', 'purged', payer.cwd)",
            "NULL",
            "JOIN payer ON payer.session = k",
        ),
        CostsBy::Session => {
            (of_session, "session.id", "session.name", "JOIN session ON session.no = k AND session.rest <= 2")
        }
    };
    let order = match by {
        CostsBy::Day | CostsBy::Week => "1",
        _ => "sum(part.amount) DESC, sum(part.output) DESC, 1",
    };
    // All of them are read faster in their own order than by the index.
    let at = if since == i64::MIN { "+at_ms" } else { "at_ms" };
    let select = format!(
        "WITH part AS (
             SELECT {small} AS k, currency, sum(lead) AS turns, sum(input) AS input, sum(output) AS output,
                    sum(cache_read) AS cache_read, sum(cache_write) AS cache_write, sum(amount) AS amount,
                    max(estimated) AS estimated
             FROM spend WHERE {at} >= ?1 AND {at} < ?2 GROUP BY 1, 2)
         SELECT {key}, {name}, part.currency, sum(part.turns), sum(part.input), sum(part.output),
                sum(part.cache_read), sum(part.cache_write), sum(part.amount), max(part.estimated)
         FROM part {join} GROUP BY 1, 3 ORDER BY {order} LIMIT ?3"
    );
    let mut select = connection.prepare_cached(&select)?;
    let rows = select.query_map(params![since, until, limit], |row| {
        let count = |at: usize| row.get::<_, i64>(at).map(|number| number.max(0) as u64);
        Ok(Spending {
            key: row.get(0)?,
            name: row.get(1)?,
            turns: count(3)?,
            usage: Usage {
                input_tokens: count(4)?,
                output_tokens: count(5)?,
                cache_read_tokens: count(6)?,
                cache_write_tokens: count(7)?,
            },
            amount: count(8)?,
            currency: row.get(2)?,
            estimated: count(9)? > 0,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// What was spent today or ever, in a directory and below it if one is named, by currency.
pub(super) fn total(
    connection: &Connection,
    today: bool,
    directory: Option<&str>,
) -> Result<Vec<(String, u64)>, StoreError> {
    let since = if today { moment(connection, "0d", false)?.unwrap_or(i64::MIN) } else { i64::MIN };
    // All of a directory's sessions are found first: they are few among many.
    let of = match directory {
        Some(_) => {
            "session IN (SELECT session FROM payer WHERE cwd = ?2 OR ?2 = '/'
                         OR substr(cwd, 1, length(?2) + 1) = ?2 || '/')"
        }
        None => "?2 IS NULL",
    };
    let select = format!(
        "SELECT currency, sum(amount) FROM spend WHERE at_ms >= ?1 AND currency <> '' AND {of} GROUP BY currency"
    );
    let mut select = connection.prepare_cached(&select)?;
    let rows = select
        .query_map(params![since, directory], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.max(0) as u64)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
