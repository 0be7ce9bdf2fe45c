//! Sums of what was spent: a table with bars, and comma-separated values.
//!
//! Invariant: pure. A bar is as long as its sum is large beside the largest of the same currency; where nothing has a
//! price, tokens are compared instead.

use super::list::money;
use super::runs::{read, tokens};
use super::table::{self, Cell};
use super::{keep_end, tilde};
use crate::ui::Paint;
use unicode_width::UnicodeWidthStr as _;
use vibes_protocol::model::CostsBy;
use vibes_protocol::model::{Cost, CostSum, Usage};

/// The longest bar, in columns.
const BAR: usize = 30;

/// A bar of so many eighths of a column.
fn bar(share: f64, width: usize) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * (width * 8) as f64).round() as usize;
    // What is there at all is seen.
    let eighths = if share > 0.0 { eighths.max(1) } else { 0 };
    format!("{}{}", "█".repeat(eighths / 8), PARTS[eighths % 8])
}

/// How large a sum is, for its bar.
fn size(sum: &CostSum, priced: bool) -> f64 {
    match &sum.cost {
        _ if !priced => read(&sum.usage).saturating_add(sum.usage.output_tokens) as f64,
        Some(cost) => cost.amount,
        None => 0.0,
    }
}

fn currency(sum: &CostSum) -> &str {
    sum.cost.as_ref().map_or("", |cost| cost.currency.as_str())
}

fn total(sums: &[CostSum], currency: &str) -> Option<Cost> {
    let mut costs = sums.iter().filter_map(|sum| sum.cost.as_ref()).filter(|cost| cost.currency == currency);
    let first = costs.next()?.clone();
    Some(costs.fold(first, |sum, cost| Cost {
        amount: sum.amount + cost.amount,
        currency: sum.currency,
        estimated: sum.estimated || cost.estimated,
    }))
}

/// The table.
pub(crate) fn table(
    sums: &[CostSum],
    by: CostsBy,
    home: Option<&str>,
    width: usize,
    paint: Paint,
) -> Vec<String> {
    let what = match by {
        CostsBy::Day => "DAY",
        CostsBy::Week => "WEEK",
        CostsBy::Agent => "AGENT",
        CostsBy::Model => "MODEL",
        CostsBy::Session => "SESSION",
        CostsBy::Directory => "DIRECTORY",
    };
    let key = |sum: &CostSum| match (by, &sum.name) {
        (CostsBy::Session, Some(name)) => name.clone(),
        (CostsBy::Session, None) => sum.key.chars().take(8).collect(),
        (CostsBy::Directory, _) => keep_end(&tilde(&sum.key, home), (width / 3).max(16)),
        _ => sum.key.clone(),
    };
    let mut headings = vec![what, "TURNS", "IN", "OUT", "COST"];
    let row = |name: Cell, turns: u64, usage: &Usage, cost: Option<&Cost>| {
        vec![
            name,
            Cell::new(turns.to_string()),
            Cell::new(tokens(read(usage))),
            Cell::new(tokens(usage.output_tokens)),
            Cell::new(cost.map_or_else(|| "-".to_owned(), money)),
        ]
    };
    let mut rows: Vec<Vec<Cell>> = sums
        .iter()
        .map(|sum| row(Cell::painted(key(sum), Paint::bold), sum.turns, &sum.usage, sum.cost.as_ref()))
        .collect();
    let mut currencies: Vec<&str> = Vec::new();
    for sum in sums {
        if !currencies.contains(&currency(sum)) {
            currencies.push(currency(sum));
        }
    }
    if sums.len() > 1 {
        for currency_of in &currencies {
            let of = || sums.iter().filter(|sum| currency(sum) == *currency_of);
            let usage = of().fold(Usage::default(), |all, sum| Usage {
                input_tokens: all.input_tokens.saturating_add(read(&sum.usage)),
                output_tokens: all.output_tokens.saturating_add(sum.usage.output_tokens),
                ..all
            });
            let turns = of().map(|sum| sum.turns).sum();
            rows.push(row(
                Cell::painted("all", Paint::dim),
                turns,
                &usage,
                total(sums, currency_of).as_ref(),
            ));
        }
    }
    let used = table::render(&headings, &rows, Paint::PLAIN).iter().map(|line| line.width()).max();
    let room = width.saturating_sub(used.unwrap_or(0) + 2).min(BAR);
    if room >= 5 {
        headings.push("");
        let priced = sums.iter().any(|sum| sum.cost.as_ref().is_some_and(|cost| cost.amount > 0.0));
        for (row, sum) in rows.iter_mut().zip(sums) {
            let like = sums.iter().filter(|other| currency(other) == currency(sum));
            let most = like.map(|other| size(other, priced)).fold(0.0, f64::max);
            let share = if most > 0.0 { size(sum, priced) / most } else { 0.0 };
            row.push(Cell::painted(bar(share, room), Paint::green));
        }
    }
    table::render(&headings, &rows, paint)
}

/// Comma-separated values, as RFC 4180 has them.
pub(crate) fn csv(sums: &[CostSum]) -> Vec<String> {
    let field = |text: &str| match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    };
    let heading = "key,name,turns,input_tokens,output_tokens,cache_read_tokens,cache_write_tokens,cost,currency,estimated";
    let line = |sum: &CostSum| {
        let Usage { input_tokens, output_tokens, cache_read_tokens, cache_write_tokens } = sum.usage;
        let (amount, currency, estimated) = sum.cost.as_ref().map_or_else(
            || (String::new(), "", ""),
            |cost| {
                (cost.amount.to_string(), cost.currency.as_str(), if cost.estimated { "yes" } else { "no" })
            },
        );
        format!(
            "{},{},{},{input_tokens},{output_tokens},{cache_read_tokens},{cache_write_tokens},{amount},{},{estimated}",
            field(&sum.key),
            field(sum.name.as_deref().unwrap_or_default()),
            sum.turns,
            field(currency),
        )
    };
    std::iter::once(heading.to_owned()).chain(sums.iter().map(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sums() -> Vec<CostSum> {
        let tokens = |output: u64| {
            json!({"turns": 2, "input_tokens": 1_000, "output_tokens": output,
            "cache_read_tokens": 20_000, "cache_write_tokens": 0})
        };
        let sum = |more: serde_json::Value, output: u64| {
            let mut sum = tokens(output);
            for (key, value) in more.as_object().expect("fields") {
                sum[key] = value.clone();
            }
            serde_json::from_value(sum).expect("a sum")
        };
        vec![
            sum(json!({"key": "2026-11-20", "cost": {"amount": 0.5, "currency": "USD"}}), 50),
            sum(
                json!({"key": "2026-11-21", "cost": {"amount": 2.0, "currency": "USD", "estimated": true}}),
                7,
            ),
            sum(json!({"key": "2026-11-21", "cost": null}), 1),
        ]
    }

    #[test]
    fn days_are_lines_with_bars_and_a_sum_for_each_currency() {
        assert_eq!(
            table(&sums(), CostsBy::Day, None, 60, Paint::PLAIN),
            [
                "DAY         TURNS  IN   OUT  COST",
                "2026-11-20  2      21k  50   $0.50   █████▊",
                "2026-11-21  2      21k  7    ~$2.00  ███████████████████████",
                "2026-11-21  2      21k  1    -",
                "all         4      42k  57   ~$2.50",
                "all         2      21k  1    -",
            ]
            .map(|line| line.to_owned())
        );
        let narrow = table(&sums(), CostsBy::Day, None, 30, Paint::PLAIN);
        assert!(narrow.iter().all(|line| !line.contains('█')), "{narrow:?}");
    }

    #[test]
    fn values_are_quoted_where_they_must_be() {
        let mut sums = sums();
        sums.truncate(1);
        sums[0].key = "/a, \"b\"".to_owned();
        assert_eq!(csv(&sums)[1], "\"/a, \"\"b\"\"\",,2,1000,50,20000,0,0.5,USD,no");
    }

    #[test]
    fn a_little_is_seen_and_nothing_is_not() {
        assert_eq!([bar(0.0, 10), bar(0.000_1, 10), bar(1.0, 3)], ["", "▏", "███"]);
    }
}
