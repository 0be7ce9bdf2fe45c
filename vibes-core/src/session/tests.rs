//! The state function as a table of cases.
