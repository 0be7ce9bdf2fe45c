//! The state function as tables of cases: no runtime, no files, no clock.

mod approvals;
mod budget;
pub(super) mod case;
mod clock;
mod commands;
mod context;
mod hostile;
mod ledger;
mod people;
mod permissions;
mod preview;
mod reading;

mod regressions;
mod stopping;
mod ttl;
mod turns;
pub(super) mod walk;
