//! What the files of a runner's directory tell of it and of its agent, and what is ended on their word.
//!
//! Invariant: a number is signalled only while it means the process that the files name. A file that says nothing
//! proves an end; one that cannot be read (a failing disk, no descriptors) proves nothing.

use super::launch::Yard;
use crate::host;
use std::{
    fs::File,
    io::{self, Read, Write},
    os::{fd::AsRawFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};
use vibes_protocol::model::SessionId;
use vibes_runner::{
    spool,
    wire::{Exit, Order},
};

/// How much of the standard error is kept with a failure, in bytes.
const STDERR_TAIL: usize = 8 * 1024;

/// One of the runner's JSON files, if it is there and whole.
fn json_file(dir: &Path, name: &str) -> Option<serde_json::Value> {
    read_json(dir, name).ok().flatten()
}

/// One of the runner's JSON files, if it is there and whole; an error when that cannot be told.
fn read_json(dir: &Path, name: &str) -> io::Result<Option<serde_json::Value>> {
    use io::ErrorKind::{NotADirectory, NotFound};
    match std::fs::read(dir.join(name)) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The agent's process, as far as its runner has told.
pub fn agent_pid(dir: &Path) -> Option<i32> {
    told_agent(&json_file(dir, spool::META)?)
}

fn told_agent(meta: &serde_json::Value) -> Option<i32> {
    i32::try_from(meta["agent_pid"].as_i64()?).ok().filter(|pid| *pid > 0)
}

/// Whether this runner was found by a daemon whose store did not know of it.
pub fn is_unknown(dir: &Path) -> bool {
    dir.join(spool::UNKNOWN).exists()
}

/// The runner's process, if `meta.json` names one that still runs.
pub fn runner_process(dir: &Path) -> Option<host::Process> {
    look(dir).ok().flatten()
}

/// The runner's process, if `meta.json` names one that still runs; an error when that cannot be told.
pub fn look(dir: &Path) -> io::Result<Option<host::Process>> {
    let Some(meta) = read_json(dir, spool::META)? else { return Ok(None) };
    let Some(pid) = meta["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()) else { return Ok(None) };
    let Some(process) = host::look(pid)? else { return Ok(None) };
    // A file that does not tell proves nothing.
    let same_boot = meta["boot_id"].as_str().is_some_and(|id| id == host::boot_id());
    let same_start = meta["start_time"].as_u64().is_some_and(|start| start == process.start_time);
    Ok((same_boot && same_start).then_some(process))
}

/// Why the agent of a directory has to wait, as far as the sizes of the files tell: its own spool's, and all that may
/// hold `most` bytes together.
pub fn crowded(dir: &Path, most: u64) -> Option<String> {
    let mib = |bytes: u64| bytes >> 20;
    let own = spool::length(dir);
    let all = dir.parent().map_or(own, spool::total);
    if own + spool::SEGMENT >= spool::BUDGET {
        let own = mib(own);
        return Some(format!(
            "its agent waits: {own} MiB of its output are not recorded yet, the most for one session"
        ));
    }
    (own + spool::LEAST >= most.saturating_sub(all)).then(|| {
        format!(
            "its agent waits: what agents wrote and is not recorded yet comes to {} MiB of {} (limits.spool_mib)",
            mib(all),
            mib(most)
        )
    })
}

/// Whether the runner of a directory answers, without becoming its daemon: an order from somebody who has not said
/// hello is refused, and that is an answer. Blocking, two seconds at most.
pub fn answers(dir: &Path) -> bool {
    const PATIENCE: Duration = Duration::from_secs(2);
    let ask = || -> io::Result<()> {
        let place = File::open(dir)?;
        let path = format!("/proc/self/fd/{}/{}", place.as_raw_fd(), spool::SOCKET);
        let path = if cfg!(target_os = "linux") { PathBuf::from(path) } else { dir.join(spool::SOCKET) };
        let mut stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(&Order::Stat.encode())?;
        stream.read_exact(&mut [0; 9])
    };
    ask().is_ok()
}

/// Where the spool ends, as its runner said when all of it was written.
pub(super) fn spool_end(dir: &Path) -> Option<u64> {
    json_file(dir, spool::EXIT)?["spool_end"].as_u64()
}

/// Kills the runner of a directory, if it is still the one that wrote there.
pub(super) fn kill_runner(dir: &Path) {
    if let Some(runner) = runner_process(dir)
        && let Some(pid) = rustix::process::Pid::from_raw(runner.pid)
    {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Ends a runner that nobody is linked to, with everything of its agent. Gives back what could not be ended. Blocking.
pub fn end_runner(yard: &Yard, session: &SessionId, generation: u64) -> Vec<i32> {
    kill_runner(&yard.dir_of(session, generation));
    host::sweep(&yard.marker_of(session, generation), 50)
}

/// Kills what is left of the agent's process group, if the number still means that group.
pub(super) fn kill_group(dir: &Path) {
    let Some(meta) = json_file(dir, spool::META) else { return };
    let Some(leader) = told_agent(&meta) else { return };
    let started = meta["agent_start_time"].as_u64();
    let same_boot = meta["boot_id"].as_str().is_some_and(|id| id == host::boot_id());
    // While the group lives, no new process gets its number; a living process of that number must be the agent itself.
    let stranger = host::process(leader).is_some_and(|process| Some(process.start_time) != started);
    if let Some(group) = rustix::process::Pid::from_raw(leader)
        && same_boot
        && !stranger
    {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

/// How the agent ended, as its runner wrote it down.
pub(super) fn exit_file(dir: &Path) -> Option<Exit> {
    let exit = json_file(dir, spool::EXIT)?;
    let number = |name: &str| exit[name].as_i64().map(|number| number as i32);
    Some(Exit {
        code: number("code")?,
        signal: number("signal").unwrap_or(0),
        start_errno: number("start_errno").unwrap_or(0),
    })
}

/// The end of what the agent wrote to its standard error.
pub(super) fn stderr_tail(dir: &Path) -> String {
    let mut tail = Vec::new();
    for name in [spool::ERR_OLD, spool::ERR_NEW] {
        if let Ok(bytes) = std::fs::read(dir.join(name)) {
            tail.extend_from_slice(&bytes);
        }
    }
    let cut = tail.len().saturating_sub(STDERR_TAIL);
    String::from_utf8_lossy(&tail[cut..]).trim().to_owned()
}
