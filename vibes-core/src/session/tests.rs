//! The state function as tables of cases: no runtime, no files, no clock.

mod case;
mod commands;
mod people;
mod permissions;

mod regressions;
mod stopping;
mod turns;
pub(super) mod walk;
