//! The daemon under test: start, find, kill.
//!
//! Invariant: "started" means that it answers, "killed" means that its process is gone.

use crate::{TestEnv, eventually, processes};
use rustix::process::Signal;
use std::os::unix::net::UnixStream;

/// A daemon that has answered.
#[derive(Debug, Clone, Copy)]
pub struct Daemon {
    /// Its process.
    pub pid: i32,
}

impl TestEnv {
    /// Starts the daemon if it does not run, and returns it when it serves.
    #[track_caller]
    pub fn daemon(&self) -> Daemon {
        self.vibes(&["daemon", "start"]).ok();
        self.running_daemon().expect("a daemon that was started tells its status")
    }

    /// The daemon, if one runs.
    #[track_caller]
    pub fn running_daemon(&self) -> Option<Daemon> {
        let ran = self.vibes(&["daemon", "status", "--json"]);
        let pid = (ran.code == 0).then(|| ran.json())?["pid"].as_i64()?;
        Some(Daemon { pid: i32::try_from(pid).expect("a process number fits") })
    }

    /// Whether somebody accepts at the socket.
    pub fn is_served(&self) -> bool {
        UnixStream::connect(self.state().socket()).is_ok()
    }
}

impl Daemon {
    /// Kills it and waits until it is gone.
    pub fn kill9(self) {
        processes::signal(self.pid, Signal::KILL);
        self.gone();
    }

    /// Asks it to end and waits until it has.
    pub fn terminate(self) {
        processes::signal(self.pid, Signal::TERM);
        self.gone();
    }

    /// Waits until it is gone.
    pub fn gone(self) {
        eventually("the daemon's process ends", || (!processes::alive(self.pid)).then_some(()));
    }
}
