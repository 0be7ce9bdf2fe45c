//! The ledger of a session's turns as a table.
//!
//! Invariant: pure; what an agent said is sanitised by the cells.

use super::list::money;
use super::table::{self, Cell};
use super::{age, keep_start};
use crate::ui::Paint;
use unicode_width::UnicodeWidthStr as _;
use vibes_protocol::model::{TurnInfo, TurnOutcome, Usage};

/// A number of tokens in few characters.
pub(crate) fn tokens(number: u64) -> String {
    match number {
        0..10_000 => number.to_string(),
        10_000..1_000_000 => format!("{}k", number / 1_000),
        _ => format!("{:.1}M", number as f64 / 1e6),
    }
}

/// All that a model read, from wherever it came.
pub(crate) fn read(usage: &Usage) -> u64 {
    let cached = usage.cache_read_tokens.saturating_add(usage.cache_write_tokens);
    usage.input_tokens.saturating_add(cached)
}

fn outcome(turn: &TurnInfo) -> Cell {
    match turn.outcome {
        None => Cell::painted("running", Paint::green),
        // A command's exit code says more than that it was run.
        Some(TurnOutcome::Finished) => match turn.exit_code {
            Some(code) if code != 0 => Cell::painted(format!("exit {code}"), Paint::red),
            _ => Cell::new("finished"),
        },
        Some(TurnOutcome::Interrupted) => Cell::painted("interrupted", Paint::dim),
        Some(TurnOutcome::Failed) => Cell::painted("failed", Paint::red),
        Some(TurnOutcome::Unknown) => Cell::painted("unknown", Paint::yellow),
    }
}

/// The turns, the oldest first. `before` is where the older ones are.
pub(crate) fn table(
    turns: &[TurnInfo],
    before: Option<u64>,
    width: usize,
    now_ms: i64,
    paint: Paint,
) -> Vec<String> {
    let mut headings = vec!["TURN", "AGE", "TOOK", "OUTCOME", "IN", "OUT", "COST", "FILES"];
    let mut rows: Vec<Vec<Cell>> = turns
        .iter()
        .map(|turn| {
            let of = |count: fn(&Usage) -> u64| {
                turn.usage.as_ref().map_or_else(|| "-".to_owned(), |usage| tokens(count(usage)))
            };
            let took = turn.ended_ms.unwrap_or(now_ms) - turn.started_ms;
            vec![
                Cell::painted(turn.turn.to_string(), Paint::bold),
                Cell::new(age((now_ms - turn.started_ms) / 1000)),
                Cell::new(age(took / 1000)),
                outcome(turn),
                Cell::new(of(read)),
                Cell::new(of(|usage| usage.output_tokens)),
                Cell::new(turn.cost.as_ref().map_or_else(|| "-".to_owned(), money)),
                Cell::new((turn.files.len() + turn.more_files as usize).to_string()),
            ]
        })
        .collect();
    let used = table::render(&headings, &rows, Paint::PLAIN).iter().map(|line| line.width()).max();
    let left = width.saturating_sub(used.unwrap_or(0) + 2).max(20);
    headings.push("PROMPT");
    for (row, turn) in rows.iter_mut().zip(turns) {
        // Why it failed is worth more than what was asked.
        let text = match &turn.error {
            Some(error) => format!("{} — {error}", keep_start(&turn.prompt, left / 3)),
            None => turn.prompt.clone(),
        };
        row.push(Cell::new(keep_start(&crate::sanitize::line(&text), left)));
    }
    let mut lines = table::render(&headings, &rows, paint);
    if let Some(before) = before {
        lines.push(paint.dim(&format!("older ones: --before {before}")));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn turns() -> Vec<TurnInfo> {
        let turns = json!([
            {"turn": 6, "prompt": "fix the\nbuild", "started_ms": 0, "ended_ms": 61_000, "outcome": "finished",
             "usage": {"input_tokens": 10, "cache_read_tokens": 12_000, "output_tokens": 5}, "files": ["/a", "/b"],
             "cost": {"amount": 0.5, "currency": "USD"}},
            {"turn": 7, "prompt": "again", "started_ms": 60_000, "ended_ms": 61_000, "outcome": "failed",
             "error": "overloaded \u{1b}[31m", "cost": {"amount": 0.25, "currency": "USD", "estimated": true}},
            {"turn": 8, "prompt": "make", "started_ms": 90_000, "ended_ms": 91_000, "outcome": "finished", "exit_code": 2},
            {"turn": 9, "prompt": "wait", "started_ms": 100_000}
        ]);
        serde_json::from_value(turns).expect("these are turns")
    }

    #[test]
    fn a_turn_is_one_line_with_what_it_took() {
        let lines = table(&turns(), Some(6), 90, 120_000, Paint::PLAIN);
        assert_eq!(
            lines,
            [
                "TURN  AGE  TOOK  OUTCOME   IN   OUT  COST    FILES  PROMPT",
                "6     2m   1m    finished  12k  5    $0.50   2      fix the␊build",
                "7     1m   1s    failed    -    -    ~$0.25  0      again — overloaded",
                "8     30s  1s    exit 2    -    -    -       0      make",
                "9     20s  20s   running   -    -    -       0      wait",
                "older ones: --before 6",
            ]
        );
    }

    #[test]
    fn tokens_are_short() {
        assert_eq!([0, 9_999, 10_000, 999_999, 1_250_000].map(tokens), ["0", "9999", "10k", "999k", "1.2M"]);
    }
}
