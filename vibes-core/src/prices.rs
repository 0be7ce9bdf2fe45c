//! Money: what agents say they cost, and what tokens cost where an agent says only those.
//!
//! Invariant: amounts are whole billionths, so that sums are exact wherever they are stored; what was computed here is
//! marked as estimated, and so is every sum that it is part of.

use serde::Deserialize;
use std::collections::BTreeMap;
use vibes_protocol::model::{Cost, ModelUse, Usage};

const UNIT: f64 = 1e9;
const DOLLARS: &str = "USD";

/// An amount in billionths. What is no amount is nothing.
pub fn billionths(amount: f64) -> u64 {
    (amount * UNIT).round().clamp(0.0, 1e15) as u64
}

/// That many billionths of a currency, as an agent told them.
pub fn told(billionths: u64, currency: &str) -> Cost {
    Cost { amount: billionths as f64 / UNIT, currency: currency.to_owned(), estimated: false }
}

/// That many billionths of a dollar, as an agent told them.
pub fn dollars(amount: u64) -> Cost {
    told(amount, DOLLARS)
}

/// Adds to a sum. One of another currency begins anew: no rate is known.
pub fn add(sum: &mut Option<Cost>, more: &Cost) {
    *sum = Some(match sum.take() {
        Some(before) if before.currency == more.currency => Cost {
            estimated: before.estimated || more.estimated,
            ..told(billionths(before.amount) + billionths(more.amount), &more.currency)
        },
        _ => more.clone(),
    });
}

/// What a million tokens of a model cost, in dollars.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Read by the model.
    #[serde(rename = "in")]
    pub input: f64,
    /// Written by it.
    #[serde(rename = "out")]
    pub output: f64,
    /// Read from the cache; as much as any that are read, where nothing is said.
    pub cache_read: Option<f64>,
    /// Written to the cache; likewise.
    pub cache_write: Option<f64>,
}

impl Price {
    /// Whether all of it are prices.
    pub fn is_sound(&self) -> bool {
        let all = [Some(self.input), Some(self.output), self.cache_read, self.cache_write];
        all.into_iter().flatten().all(|price| (0.0..=1e6).contains(&price))
    }

    fn of(&self, usage: &Usage) -> u64 {
        let cost = |tokens: u64, price: f64| tokens as f64 * price / 1e6;
        billionths(
            cost(usage.input_tokens, self.input)
                + cost(usage.output_tokens, self.output)
                + cost(usage.cache_read_tokens, self.cache_read.unwrap_or(self.input))
                + cost(usage.cache_write_tokens, self.cache_write.unwrap_or(self.input)),
        )
    }
}

/// The price table: by a model's name, or by how names begin where a `*` ends it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Prices(pub BTreeMap<String, Price>);

impl Prices {
    /// The price of a model: its own, or that of the longest beginning.
    fn of(&self, model: &str) -> Option<&Price> {
        let begins = |name: &str| name.strip_suffix('*').is_some_and(|start| model.starts_with(start));
        let longest = || self.0.iter().filter(|(name, _)| begins(name)).max_by_key(|(name, _)| name.len());
        self.0.get(model).or_else(|| longest().map(|(_, price)| price))
    }

    /// What these models cost by their tokens, noted with each; nothing when no price is known.
    pub fn estimate(&self, models: &mut BTreeMap<String, ModelUse>) -> Option<Cost> {
        let mut sum = None;
        for (model, with) in models {
            if let Some(price) = self.of(model) {
                let cost = Cost { estimated: true, ..dollars(price.of(&with.usage)) };
                add(&mut sum, &cost);
                with.cost = Some(cost);
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(input: f64, output: f64) -> Price {
        Price { input, output, cache_read: Some(0.5), cache_write: None }
    }

    fn with(input_tokens: u64) -> ModelUse {
        let usage =
            Usage { input_tokens, output_tokens: 100, cache_read_tokens: 1_000, cache_write_tokens: 10 };
        ModelUse { usage, cost: None }
    }

    #[test]
    fn tokens_cost_what_their_model_costs() {
        let prices = Prices(BTreeMap::from([
            ("gpt-5.5".to_owned(), price(2.0, 10.0)),
            ("gpt-*".to_owned(), price(1.0, 1.0)),
            ("gpt-5*".to_owned(), price(3.0, 1.0)),
        ]));
        let mut models = BTreeMap::from([("gpt-5.5".to_owned(), with(1_000))]);
        let cost = prices.estimate(&mut models).expect("there is a price");
        // 1,000 and 10 at 2, 100 at 10, 1,000 at 0.5 dollars a million.
        assert_eq!((cost.amount, cost.estimated), (0.003_52, true));
        assert_eq!(models["gpt-5.5"].cost, Some(cost));
        let input = |model| prices.of(model).map(|price| price.input);
        assert_eq!([input("gpt-5.5-mini"), input("gpt-4"), input("o3")], [Some(3.0), Some(1.0), None]);
        assert_eq!(prices.estimate(&mut BTreeMap::from([("o3".to_owned(), with(1))])), None);
    }

    #[test]
    fn sums_are_exact_and_remember_what_was_estimated() {
        let mut sum = None;
        for _ in 0..1_000 {
            add(&mut sum, &dollars(100_000_000));
        }
        assert_eq!(sum, Some(dollars(100_000_000_000)));
        add(&mut sum, &Cost { estimated: true, ..dollars(1) });
        add(&mut sum, &dollars(1));
        assert_eq!(sum, Some(Cost { estimated: true, ..dollars(100_000_000_002) }));
        add(&mut sum, &told(5, "EUR"));
        assert_eq!(sum, Some(told(5, "EUR")));
        assert_eq!([-1.0, f64::NAN, f64::INFINITY].map(billionths), [0, 0, 1_000_000_000_000_000]);
    }
}
