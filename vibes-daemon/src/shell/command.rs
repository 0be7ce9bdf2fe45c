//! One command: a process group, its output, its end.
//!
//! Invariant: the group's leader is reaped only after the last signal was sent, so a signal never reaches a stranger
//! that got the number again. The pump ends soon after the leader does, whoever still holds the pipe.

use super::{output::Output, processes};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid},
};
use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io::{self, PipeReader, PipeWriter, Read, Write},
    os::unix::{ffi::OsStringExt, fs::OpenOptionsExt, process::CommandExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// The variable that a command and all it starts carry, so that they are found wherever they went.
const MARKER: &str = "VIBES_SHELL_TURN";
/// How long after the leader's end silence means that all output has come.
const QUIET: Duration = Duration::from_millis(200);
/// How long after the leader's end output is read at most: something it left behind may talk for ever.
const DRAIN: Duration = Duration::from_secs(2);
/// How long a command may take to end well when it is stopped.
const GRACE: Duration = Duration::from_millis(500);

/// How a command ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended {
    /// The exit code, or 128 and the signal's number.
    pub(super) code: i32,
    pub(super) signal: Option<i32>,
}

/// A started command. Dropped without [`Running::pump`] it would leave a zombie, so the turn always pumps.
pub(super) struct Running {
    child: Child,
    output: PipeReader,
    wake: PipeReader,
    waiter: JoinHandle<()>,
    report: PathBuf,
    handle: Handle,
}

/// What another thread needs to stop a command.
#[derive(Clone)]
pub(super) struct Handle(Arc<Control>);

struct Control {
    leader: Pid,
    marker: String,
    /// Ends the pump's wait; what is written does not matter.
    wake: PipeWriter,
    exited: AtomicBool,
    /// Set while the command is being stopped: its end is not the end of what it left behind.
    stopping: AtomicBool,
    ladder: Mutex<Ladder>,
}

enum Ladder {
    /// Nobody asked to stop.
    Unused,
    /// Somebody did.
    Climbing(JoinHandle<()>),
    /// The leader is being reaped: no signal any more.
    Closed,
}

/// Single quotes around anything.
fn quoted(text: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for &byte in text {
        match byte {
            b'\'' => quoted.extend_from_slice(b"'\\''"),
            _ => quoted.push(byte),
        }
    }
    quoted.push(b'\'');
    quoted
}

/// The script for `sh -c`: the command, behind a trap that tells where it went. A trap and not a line after the
/// command, so that `exit` in the command does not skip it; a line before and not `eval`, so that `$1` means nothing
/// of ours.
fn script(command: &str, report: &Path) -> OsString {
    let mut trap = b"vibes_code=$?; command pwd -P 2>/dev/null >|".to_vec();
    trap.extend(quoted(report.as_os_str().as_encoded_bytes()));
    trap.extend_from_slice(b"; exit $vibes_code");
    let mut script = b"trap ".to_vec();
    script.extend(quoted(&trap));
    script.extend_from_slice(b" EXIT\n");
    script.extend_from_slice(command.as_bytes());
    OsString::from_vec(script)
}

impl Running {
    /// Starts a command in `cwd`. `turn` names it among all others; `report` is a file of ours for its last directory.
    pub(super) fn start(command: &str, cwd: &Path, turn: &str, report: PathBuf) -> io::Result<Self> {
        // Made by us, so that the mode does not depend on the command's umask.
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&report)?;
        let (output, writer) = io::pipe()?;
        let (wake, waker) = io::pipe()?;
        let child = Command::new("sh")
            .arg("-c")
            .arg(script(command, &report))
            .current_dir(cwd)
            .stdin(Stdio::null())
            .stdout(writer.try_clone()?)
            .stderr(writer)
            .env(MARKER, turn)
            // Ours, not the command's: it would mix up the state of an agent started inside.
            .env_remove(super::sessions::STATE_VAR)
            .process_group(0)
            .spawn()?;
        let leader = Pid::from_child(&child);
        let control = Control {
            leader,
            marker: format!("{MARKER}={turn}"),
            wake: waker,
            exited: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            ladder: Mutex::new(Ladder::Unused),
        };
        let handle = Handle(Arc::new(control));
        let waiting = handle.clone();
        let waiter = thread::Builder::new().name("wait".to_owned()).spawn(move || {
            // Not reaped here: the number must stay taken until nobody signals it any more.
            while let Err(rustix::io::Errno::INTR) =
                waitid(WaitId::Pid(leader), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT)
            {}
            waiting.0.exited.store(true, Ordering::Release);
            waiting.0.wake();
        });
        match waiter {
            Ok(waiter) => Ok(Self { child, output, wake, waiter, report, handle }),
            Err(error) => {
                let _ = kill_process_group(leader, Signal::KILL);
                let mut child = child;
                let _ = child.wait();
                Err(error)
            }
        }
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Reads the output to its end and reaps the command. Returns how it ended, the end of its output, and the
    /// directory it ended in, if it told.
    pub(super) fn pump(
        mut self,
        mut say: impl FnMut(String),
    ) -> io::Result<(Ended, String, Option<PathBuf>)> {
        let mut output = Output::new(Instant::now());
        let pumped = self.read_all(&mut output, &mut say);
        if pumped.is_err() {
            // Unreadable output is no reason to leave processes behind.
            self.handle.stop();
        }
        if let Some(text) = output.finish() {
            say(text);
        }
        let _ = self.waiter.join();
        self.handle.0.close();
        let status = self.child.wait()?;
        let report = fs::read(&self.report).unwrap_or_default();
        let _ = fs::remove_file(&self.report);
        let cwd = report.strip_suffix(b"\n").filter(|path| path.starts_with(b"/"));
        let cwd = cwd.map(|path| PathBuf::from(OsString::from_vec(path.to_vec())));
        pumped?;
        let signal = status.signal();
        let code = status.code().unwrap_or_else(|| 128 + signal.unwrap_or(0));
        Ok((Ended { code, signal }, output.close(), cwd))
    }

    fn read_all(&mut self, output: &mut Output, say: &mut impl FnMut(String)) -> io::Result<()> {
        let mut buffer = vec![0; super::output::CHUNK];
        let mut open = true;
        // When the leader's end was seen, and when output came last.
        let mut ended: Option<Instant> = None;
        let mut heard = Instant::now();
        loop {
            let now = Instant::now();
            if let Some(text) = output.take(now) {
                say(text);
                continue;
            }
            if ended.is_none() && self.handle.0.is_over() {
                ended = Some(now);
                heard = now;
            }
            let give_up = ended.map(|at| (heard + QUIET).min(at + DRAIN));
            if ended.is_some() && !open || give_up.is_some_and(|at| at <= now) {
                return Ok(());
            }
            let until = [output.due(now), give_up].into_iter().flatten().min();
            let timeout = until.and_then(|at| Timespec::try_from(at.saturating_duration_since(now)).ok());
            let mut fds = vec![PollFd::new(&self.wake, PollFlags::IN)];
            if open {
                fds.push(PollFd::new(&self.output, PollFlags::IN));
            }
            match poll(&mut fds, timeout.as_ref()) {
                Ok(_) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            let woken = !fds[0].revents().is_empty();
            let readable = fds.get(1).is_some_and(|fd| !fd.revents().is_empty());
            if woken {
                // Cannot block: there is a byte, or every writer is gone.
                let _ = self.wake.read(&mut [0; 16])?;
            }
            if readable {
                match self.output.read(&mut buffer) {
                    Ok(0) => open = false,
                    Ok(count) => {
                        output.push(&buffer[..count]);
                        heard = Instant::now();
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
    }
}

impl Handle {
    /// Begins to stop the command and all it started; the pump ends when that is through. Asked again, or too late,
    /// it does nothing.
    pub(super) fn stop(&self) {
        let mut ladder = self.0.lock_ladder();
        if !matches!(*ladder, Ladder::Unused) {
            return;
        }
        self.0.stopping.store(true, Ordering::Release);
        let control = self.0.clone();
        let spawned = thread::Builder::new().name("stop".to_owned()).spawn(move || {
            control.climb();
            control.stopping.store(false, Ordering::Release);
            control.wake();
        });
        match spawned {
            Ok(thread) => *ladder = Ladder::Climbing(thread),
            Err(_) => {
                // Without a thread there is no patience either.
                self.0.kill();
                self.0.stopping.store(false, Ordering::Release);
            }
        }
    }
}

impl Control {
    fn lock_ladder(&self) -> MutexGuard<'_, Ladder> {
        self.ladder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // A full pipe wakes just as well, and without a reader nobody sleeps.
        let _ = (&self.wake).write(b"!");
    }

    /// Whether the command has ended and nobody is stopping what it left.
    fn is_over(&self) -> bool {
        self.exited.load(Ordering::Acquire) && !self.stopping.load(Ordering::Acquire)
    }

    /// Forbids signals and waits for those under way.
    fn close(&self) {
        let ladder = std::mem::replace(&mut *self.lock_ladder(), Ladder::Closed);
        if let Ladder::Climbing(thread) = ladder {
            let _ = thread.join();
        }
    }

    fn signal(&self, signal: Signal) {
        // Errors mean that it is gone already.
        let _ = kill_process_group(self.leader, signal);
        for pid in processes::of_command(self.leader, &self.marker) {
            let _ = kill_process(pid, signal);
        }
    }

    fn climb(&self) {
        self.signal(Signal::TERM);
        let until = Instant::now() + GRACE;
        // There is nothing to wait on for a set of other people's children, so this looks again, for half a second.
        while Instant::now() < until {
            let left = processes::of_command(self.leader, &self.marker);
            if left.is_empty() && self.exited.load(Ordering::Acquire) && Path::new("/proc/self").exists() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        self.kill();
    }

    fn kill(&self) {
        // Twice, because a process may fork between the listing and the signal.
        self.signal(Signal::KILL);
        self.signal(Signal::KILL);
    }
}
