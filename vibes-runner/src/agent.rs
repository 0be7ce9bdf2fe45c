//! Starting the agent and signalling its group.
//!
//! Invariant: a signal goes to the group only while its leader is our unreaped child, so that its number cannot have
//! become somebody else's.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{ChildStderr, ChildStdin, ChildStdout, Command, Stdio};

use rustix::fs::Mode;
use rustix::process::{Pid, Signal, getpid, kill_process_group, umask};

use vibes_runner::points;

use crate::args::Args;
use crate::system;

/// The agent while it is not reaped.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) pid: Pid,
    /// Readable once it has ended; `None` where the system has no such thing.
    pub(crate) watch: Option<OwnedFd>,
}

/// The runner's ends of the agent's stdio, none of which can block.
pub(crate) type Pipes = (ChildStdin, ChildStdout, ChildStderr);

/// Runs the program, or says with which errno that failed.
pub(crate) fn spawn(args: &Args) -> Result<(Agent, Pipes), i32> {
    let runner = getpid();
    let mask = args.umask.unwrap_or(Mode::from_raw_mode(0o077));
    let mut command = Command::new(&args.program);
    command.args(&args.arguments).current_dir(&args.cwd).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    points::withhold(&mut command);
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. These are three system calls and
    // signal(2); none allocates, locks or touches what another thread could have held (there is none).
    unsafe {
        command.pre_exec(move || {
            umask(mask);
            disposition(Signal::XFSZ, SIG_DFL);
            system::die_with(runner)
        });
    }
    let mut child = command.spawn().map_err(|error| errno(&error))?;
    let pid = Pid::from_child(&child);
    let agent = Agent { pid, watch: system::watch(pid) };
    let pipes = child.stdin.take().zip(child.stdout.take()).zip(child.stderr.take());
    let prepare = |((stdin, stdout), stderr)| -> io::Result<Pipes> {
        rustix::io::ioctl_fionbio(&stdin, true)?;
        rustix::io::ioctl_fionbio(&stdout, true)?;
        rustix::io::ioctl_fionbio(&stderr, true)?;
        system::enlarge_pipe(&stdout);
        Ok((stdin, stdout, stderr))
    };
    match pipes.ok_or(io::ErrorKind::BrokenPipe.into()).and_then(prepare) {
        Ok(pipes) => Ok((agent, pipes)),
        Err(error) => {
            agent.signal(Signal::KILL);
            Err(errno(&error))
        }
    }
}

impl Agent {
    /// To the whole group. That nobody is there to hear it is no error.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.pid.as_raw_nonzero().get() > 1 {
            let _ = kill_process_group(self.pid, signal);
        }
    }
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(rustix::io::Errno::IO.raw_os_error())
}

const SIG_DFL: usize = 0;
const SIG_IGN: usize = 1;

/// What the runner was started with must not decide how it lives: a file size limit is an error to handle and not a
/// death (the agent gets the default back), and an ignored SIGCHLD would swallow exit codes. SIGPIPE is ignored here
/// and default in the agent by the standard library.
pub(crate) fn settle_signals() {
    disposition(Signal::XFSZ, SIG_IGN);
    disposition(Signal::CHILD, SIG_DFL);
}

fn disposition(signal_: Signal, handler: usize) {
    unsafe extern "C" {
        fn signal(number: i32, handler: usize) -> usize;
    }
    // SAFETY: signal(2) of the C library std links already, in its C shape; the handlers passed are SIG_DFL and
    // SIG_IGN only, so no code of ours ever runs in a signal context.
    unsafe { signal(signal_.as_raw(), handler) };
}
