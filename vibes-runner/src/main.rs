//! The program: reads its arguments, takes its place, says `ready` and hands over to the loop.
//!
//! Invariant: whoever reads `ready` can connect; whoever does not gets a reason on standard error and exit code 1,
//! and no agent was started.

mod agent;
mod args;
mod control;
mod input;
mod orders;
mod output;
mod record;
mod runner;
#[cfg_attr(target_os = "linux", path = "linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "portable.rs")]
mod system;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::ExitCode;

use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getpid, getrlimit, getsid, getuid, setrlimit, setsid, umask};
use vibes_runner::points::{self, Point};
use vibes_runner::spool;

use crate::args::Args;
use crate::record::Identity;
use crate::runner::Runner;

fn main() -> ExitCode {
    close_inherited();
    match Args::parse(std::env::args_os().skip(1)).and_then(settle) {
        Ok(runner) => {
            runner.run();
            ExitCode::SUCCESS
        }
        Err(reason) => {
            // Nobody is left to tell when standard error is closed too.
            let _ = writeln!(io::stderr(), "vibes-runner: {reason}");
            ExitCode::from(1)
        }
    }
}

/// Everything up to `ready`. The directory becomes the working directory, so that the socket's path is short
/// however deep it lies and files are named without it.
fn settle(mut args: Args) -> Result<Runner, String> {
    let at = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    // Nothing made here is for others, whatever umask was inherited: that one is the agent's.
    let inherited = umask(Mode::from_raw_mode(0o177));
    args.umask.get_or_insert(inherited);
    if let Some(current) = args.descriptors {
        // The daemon took more than it was given, and its agents get what was given.
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        let current = Some(maximum.map_or(current, |most| current.min(most)));
        setrlimit(Resource::Nofile, Rlimit { current, maximum })
            .map_err(|error| format!("--descriptors: {error}"))?;
    }
    args.dir = std::path::absolute(&args.dir).map_err(at("--dir"))?;
    args.cwd = std::path::absolute(&args.cwd).map_err(at("--cwd"))?;
    std::env::set_current_dir(&args.dir).map_err(at("--dir"))?;
    let place = fs::metadata(".").map_err(at("--dir"))?;
    if place.uid() != getuid().as_raw() || place.mode() & 0o077 != 0 {
        return Err(format!("{} must belong to this user alone (mode 0700)", args.dir.display()));
    }
    // Out of the daemon's terminal, session and group: what ends those must not end this.
    if setsid().is_err() && getsid(None) != Ok(getpid()) {
        return Err("must not be started as the leader of a process group".to_owned());
    }
    system::adopt_orphans().map_err(|error| format!("cannot become a subreaper: {error}"))?;
    agent::settle_signals();
    // A directory is one generation's: both refuse to find an earlier one.
    let listener = UnixListener::bind(spool::SOCKET).map_err(at("socket"))?;
    points::hit(Point::RunnerBound);
    listener.set_nonblocking(true).map_err(at("socket"))?;
    let input = input::Input::create(Path::new(spool::IN_LOG)).map_err(at(spool::IN_LOG))?;
    let identity = Identity::of(&args);
    record::write_meta(&identity, 0).map_err(at(spool::META))?;
    // A parent that died meanwhile is no reason to fail: the next daemon says GO, or nobody does.
    let _ = io::stdout().write_all(b"ready\n").and_then(|()| io::stdout().flush());
    points::hit(Point::RunnerReady);
    let null = File::options().read(true).write(true).open("/dev/null").map_err(at("/dev/null"))?;
    rustix::stdio::dup2_stdin(&null)
        .and_then(|()| rustix::stdio::dup2_stdout(&null))
        .and_then(|()| rustix::stdio::dup2_stderr(&null))
        .map_err(|error| format!("/dev/null: {error}"))?;
    Ok(Runner::new(args, identity, listener, input))
}

/// Whatever the daemon's starter had open beyond its stdio (a pipe, a locked file) would be held for days here and
/// given to the agent.
fn close_inherited() {
    let listed = fs::read_dir("/dev/fd").into_iter().flatten().flatten();
    let open: Vec<i32> = listed.filter_map(|fd| fd.file_name().to_str()?.parse().ok()).collect();
    // The listing's own is closed by now, and gone.
    let still = |fd: &i32| *fd > 2 && fs::symlink_metadata(format!("/dev/fd/{fd}")).is_ok();
    for fd in open.into_iter().filter(still) {
        // SAFETY: this is the first thing the program does: no object of it owns a descriptor yet, and this one is
        // open.
        unsafe { rustix::io::close(fd) };
    }
}
