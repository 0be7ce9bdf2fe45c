//! Sessions that leave this store and come into it, as text.
//!
//! Invariant: an archive is a head line and the session's records as they are on the wire. Nothing of it is believed that
//! was not looked at, and a session comes in whole or not at all.

mod foreign;
mod intake;
mod out;

pub use foreign::{Foreign, Kind};
pub use intake::{CLOSING, Intake, Lines, Ready, Whole};
pub use out::{FORMAT, Wish, leave};
