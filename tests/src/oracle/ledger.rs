//! The ledger of turns against the journal: what a row says of a turn is what its records say.
//!
//! Invariant: only reads, page by page, so that paging is tried by every test.

use super::{kind, seq};
use crate::Wire;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// All turns of a session by number, as the ledger has them.
#[track_caller]
pub fn ledger(wire: &mut Wire, session: &str) -> BTreeMap<u64, Value> {
    let (mut turns, mut before) = (BTreeMap::new(), Value::Null);
    loop {
        let page = wire.ok("list_turns", json!({"session_id": session, "before": before, "limit": 3}));
        for turn in page["turns"].as_array().expect("a page has a list of turns") {
            let number = turn["turn"].as_u64().expect("a turn has a number");
            let last = turns.first_key_value().map(|(first, _)| *first);
            assert!(last.is_none_or(|last| number < last), "{session}: the newest come first: {turn}");
            turns.insert(number, turn.clone());
        }
        before = page["next_before"].clone();
        if before.is_null() {
            return turns;
        }
    }
}

/// Billionths, so that sums can be compared.
fn amount(cost: &Value) -> i64 {
    (cost["amount"].as_f64().unwrap_or(0.0) * 1e9).round() as i64
}

/// Every turn that began has a row, and every row of one that ended says what the record of its end says. Together they
/// cost what the session has cost.
#[track_caller]
pub fn check_ledger(wire: &mut Wire, session: &str, records: &[Value]) {
    if records.iter().any(|record| kind(record) == "records_lost") {
        return;
    }
    let turns = ledger(wire, session);
    let row = |record: &Value| {
        let number = record["fact"]["turn"].as_u64().expect("a turn has a number");
        turns.get(&number).unwrap_or_else(|| panic!("{session}: no row for {record}"))
    };
    for record in records {
        let fact = &record["fact"];
        match kind(record) {
            "turn_started" => {
                let row = row(record);
                assert_eq!(row["first_seq"], seq(record), "{session}: {row}");
                assert_eq!(
                    (&row["input_seq"], &row["started_ms"]),
                    (&fact["input_seq"], &record["at_ms"]),
                    "{row}"
                );
            }
            "turn_ended" => {
                let row = row(record);
                assert_eq!(row["last_seq"], seq(record), "{session}: {row}");
                for same in ["outcome", "stop_reason", "exit_code"] {
                    assert_eq!(row[same], fact[same], "{session}: {same} of {row} and {record}");
                }
                assert_eq!(row["error"].is_null(), fact["error"].is_null(), "{session}: {row} and {record}");
                assert!(amount(&row["cost"]) >= amount(&fact["cost"]), "{session}: {row} and {record}");
            }
            _ => {}
        }
    }
    let session_cost = amount(&wire.ok("get_session", json!({"session_id": session}))["session"]["cost"]);
    let costs: i64 = turns.values().map(|turn| amount(&turn["cost"])).sum();
    assert!(
        (session_cost - costs).abs() <= turns.len() as i64,
        "{session} has cost {session_cost}, its turns {costs}"
    );
}
