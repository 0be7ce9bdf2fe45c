//! Faults in the system calls of a living process: what a disk that fails, is full or is read only answers it.
//!
//! Invariant: the faults begin before the constructor returns and end when it is dropped; the process goes on.

use crate::{eventually, processes};
use rustix::process::Signal;
use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

/// Faults in the system calls of a process, until it is dropped.
#[derive(Debug)]
pub struct Faults(Child);

impl Faults {
    /// Injects what strace calls so; `None` where processes cannot be traced.
    pub fn of(pid: i32, inject: &str) -> Option<Self> {
        Self::on(pid, inject, &[])
    }

    /// The same, in calls about these files only.
    pub fn on(pid: i32, inject: &str, files: &[&Path]) -> Option<Self> {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("inject={inject}")]);
        for file in files {
            strace.arg("-P").arg(file);
        }
        let tracer =
            strace.args(["-p", &pid.to_string()]).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let Ok(mut tracer) = tracer else {
            skip("strace is not installed");
            return None;
        };
        eventually("the process is traced, or cannot be", || {
            let gone = tracer.try_wait().ok().flatten().is_some();
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            (gone || status.contains(&format!("TracerPid:\t{}", tracer.id()))).then_some(())
        });
        if tracer.try_wait().ok().flatten().is_some() {
            skip("this process may not be traced");
            return None;
        }
        Some(Self(tracer))
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        // TERM, so that it lets go of what it traces.
        processes::signal(self.0.id() as i32, Signal::TERM);
        let _ = self.0.wait();
    }
}

#[expect(clippy::print_stderr, reason = "a test that cannot be made here says so")]
fn skip(why: &str) {
    eprintln!("SKIPPED: {why}");
}
