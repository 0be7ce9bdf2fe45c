//! What stands in for `linux.rs` elsewhere: the same names, weaker promises.
//!
//! Invariant: nothing is claimed that the system does not give. Without a subreaper and a death signal, a process
//! that leaves the agent's group is not found, and an agent outlives a killed runner until its pipes break.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::process::Pid;

/// There is no subreaper.
pub(crate) fn adopt_orphans() -> rustix::io::Result<()> {
    Ok(())
}

/// There is no death signal.
pub(crate) fn die_with(_runner: Pid) -> io::Result<()> {
    Ok(())
}

/// There is no pidfd: the loop asks ten times a second.
pub(crate) fn watch(_child: Pid) -> Option<OwnedFd> {
    None
}

/// The size of a pipe is fixed.
pub(crate) fn enlarge_pipe(_pipe: impl AsFd) {}

/// The directory's mode has let nobody else in.
pub(crate) fn is_ours(_peer: &UnixStream) -> bool {
    true
}

/// Unknown.
pub(crate) fn start_time(_pid: i32) -> u64 {
    0
}

/// Unknown.
pub(crate) fn boot_id() -> String {
    String::new()
}

/// The group has been killed already; nobody else can be found.
pub(crate) fn sweep(_marker: Option<&[u8]>) -> Vec<i32> {
    Vec::new()
}
