//! What may be spent: by a session, in a directory, on a day.
//!
//! Invariant: what was spent is asked of the store, which knows all sessions, and once the turn that spent it is in it. No rate
//! between currencies is known: each is held against a budget by itself.

use crate::{
    journal::{Reader, StoreError},
    prices,
};
use serde::Deserialize;
use vibes_protocol::model::{BudgetScope, fact::BudgetSpent};

/// What may be spent, as configured.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Budgets {
    /// By each session that has no budget of its own.
    pub session: Option<f64>,
    /// On a day, by all of them.
    pub day: Option<f64>,
    /// In directories.
    pub directory: Vec<DirectoryBudget>,
}

/// What may be spent in a directory, and below it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectoryBudget {
    /// Which.
    pub path: String,
    /// On a day.
    #[serde(default)]
    pub day: Option<f64>,
    /// At all.
    #[serde(default)]
    pub total: Option<f64>,
}

/// Whether an amount can be a budget.
pub fn is_sound(amount: f64) -> bool {
    (0.0..=1e6).contains(&amount)
}

impl DirectoryBudget {
    fn holds(&self, cwd: &str) -> bool {
        let path = self.path.trim_end_matches('/');
        cwd.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl Budgets {
    /// Whether any of them besides a session's own concerns sessions in this directory.
    pub fn concern(&self, cwd: &str) -> bool {
        self.day.is_some() || self.directory.iter().any(|directory| directory.holds(cwd))
    }

    /// The first of these that is spent. Blocking.
    pub fn spent(&self, reader: &Reader, cwd: &str) -> Result<Option<BudgetSpent>, StoreError> {
        let day = self.day.map(|budget| (BudgetScope::Day, budget, None));
        let directories = self.directory.iter().filter(|directory| directory.holds(cwd));
        let directories = directories.flat_map(|directory| {
            let path = directory.path.trim_end_matches('/');
            let path = if path.is_empty() { "/" } else { path };
            let day = directory.day.map(|budget| (BudgetScope::DirectoryDay, budget, Some(path)));
            let total = directory.total.map(|budget| (BudgetScope::Directory, budget, Some(path)));
            [day, total].into_iter().flatten()
        });
        for (scope, budget, directory) in day.into_iter().chain(directories) {
            let today = scope != BudgetScope::Directory;
            // The largest one: there is hardly ever another.
            let most = reader.spent_in(today, directory)?.into_iter().max_by_key(|(_, amount)| *amount);
            if let Some((currency, amount)) = most
                && amount >= prices::billionths(budget)
            {
                let (spent, directory) = (prices::told(amount, &currency), directory.map(str::to_owned));
                return Ok(Some(BudgetSpent { scope, budget, spent, directory }));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directorys_budget_is_for_what_lies_in_it() {
        let budgets = |path: &str| Budgets {
            directory: vec![DirectoryBudget { path: path.into(), day: Some(1.0), total: None }],
            ..Budgets::default()
        };
        for (path, cwd, holds) in [
            ("/a/b", "/a/b", true),
            ("/a/b/", "/a/b", true),
            ("/a/b", "/a/b/c", true),
            ("/a/b", "/a/bc", false),
            ("/a/b", "/a", false),
            ("/", "/a", true),
        ] {
            assert_eq!(budgets(path).concern(cwd), holds, "{path} {cwd}");
        }
        assert!(!Budgets::default().concern("/"));
        assert!(Budgets { day: Some(0.0), ..Budgets::default() }.concern("/"));
    }
}
