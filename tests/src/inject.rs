//! Faults in the system calls of a living process: what a disk that fails, is full or is read only answers it.
//!
//! Invariant: the faults begin before the constructor returns and end when it is dropped; the process goes on.

use crate::{eventually, processes};
use rustix::process::Signal;
use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long strace may take to let go. When the process ended by itself it may wait for one of its threads for ever.
const LETS_GO: Duration = Duration::from_secs(5);

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
            (gone || is_traced(pid, tracer.id())).then_some(())
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
        let until = Instant::now() + LETS_GO;
        while self.0.try_wait().is_ok_and(|gone| gone.is_none()) && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether all threads of a process are: the first one is before the others.
fn is_traced(pid: i32, by: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut threads =
        threads.map(|thread| fs::read_to_string(thread.path().join("status")).unwrap_or_default());
    threads.all(|status| status.contains(&format!("TracerPid:\t{by}\n")))
}

#[expect(clippy::print_stderr, reason = "a test that cannot be made here says so")]
fn skip(why: &str) {
    eprintln!("SKIPPED: {why}");
}
