//! What a session does when a budget is spent: it pauses between two turns, says so, and goes on when somebody wants it to.
//!
//! Invariant: a turn that runs is never cut short for money, and none begins while a budget is spent, unless a person has
//! resumed the session for that one. What waits in the queue waits on.

use super::{
    event::Effect,
    state::{Goal, State},
    step::Step,
};
use crate::prices;
use vibes_protocol::model::{BudgetScope, Cost, SuspendReason, fact::BudgetSpent};

impl State {
    /// What it may cost: its own budget, or the configuration's. 0 of its own is no budget.
    pub fn budget(&self) -> Option<f64> {
        self.body.budget.or(self.budgets.session).filter(|budget| *budget > 0.0)
    }

    /// Its own budget, when that is spent.
    fn overspent(&self) -> Option<BudgetSpent> {
        let (budget, spent) = (self.budget()?, self.body.cost.clone()?);
        let over = prices::billionths(spent.amount) >= prices::billionths(budget);
        over.then_some(BudgetSpent { scope: BudgetScope::Session, budget, spent, directory: None })
    }
}

impl Step<'_> {
    /// Whether a turn may begin as far as money goes. Stops the agent otherwise, which has nothing to do then.
    pub(super) fn may_spend(&mut self) -> bool {
        if self.s.body.waived {
            return true;
        }
        if let Some(spent) = self.s.overspent() {
            self.pause(spent);
            return false;
        }
        if !self.s.budgets.concern(&self.s.body.cwd) {
            return true;
        }
        if std::mem::take(&mut self.s.solvent) {
            return true;
        }
        if !std::mem::replace(&mut self.s.counting, true) {
            self.effect(Effect::Count);
        }
        false
    }

    /// What was spent by all sessions is known.
    pub(super) fn counted(&mut self, spent: Option<BudgetSpent>) {
        self.s.counting = false;
        let body = &self.s.body;
        let waits = body.turn.is_none() && body.stopping.is_none() && body.running && body.codec.is_ready();
        match spent {
            _ if !waits || body.waived => {}
            Some(spent) => self.pause(spent),
            // It may be spent by others before there is something to do.
            None if body.queue.is_empty() => {}
            None => {
                self.s.solvent = true;
                self.pump();
            }
        }
    }

    fn pause(&mut self, spent: BudgetSpent) {
        let reason = words(&spent);
        let seq = self.record(spent.clone());
        self.news(seq);
        self.s.body.over = Some(spent);
        self.begin_stop(Goal::Suspend(SuspendReason::Budget), Some(reason), None);
    }

    /// A person goes on on purpose: with a budget that was raised, or for one turn.
    pub(super) fn resume_spending(&mut self) {
        let others = self.s.body.over.take().is_some_and(|over| over.scope != BudgetScope::Session);
        self.s.body.waived = others || self.s.overspent().is_some();
        self.s.solvent = false;
    }

    /// How to go on with a session that a budget keeps from it.
    pub(super) fn how_to_spend(&self) -> String {
        let (why, name) = (self.s.body.over.as_ref().map(words), self.called());
        let why = why.unwrap_or_else(|| "a budget is spent".to_owned());
        let raise = match self.s.body.over.as_ref().map(|over| over.scope) {
            Some(BudgetScope::Session) => format!(", `vibes resume {name} --budget +5` with 5 more"),
            _ => String::new(),
        };
        format!("{why}: `vibes resume {name}` goes on for one turn{raise}")
    }
}

/// What is spent, for a person.
pub fn words(spent: &BudgetSpent) -> String {
    let money = |amount: f64, currency: &str| match currency {
        "USD" => format!("${amount:.2}"),
        other => format!("{amount:.2} {other}"),
    };
    let Cost { amount, currency, .. } = &spent.spent;
    let (budget, amount) = (money(spent.budget, currency), money(*amount, currency));
    let directory = spent.directory.as_deref().unwrap_or_default();
    let whose = match spent.scope {
        BudgetScope::Session => "its budget".to_owned(),
        BudgetScope::Day => "the budget of today".to_owned(),
        BudgetScope::DirectoryDay => format!("the budget of today for {directory}"),
        BudgetScope::Directory => format!("the budget for {directory}"),
    };
    format!("{whose} of {budget} is spent ({amount})")
}
