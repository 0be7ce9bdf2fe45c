//! What only Linux has: subreaper, death signal, pidfds, `/proc`. `portable.rs` stands in elsewhere.
//!
//! Invariant: nothing is killed that is not, at the moment of the signal, a descendant of this process or a carrier
//! of this generation's marker: a number that could have been reused is only reached through a pidfd.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;

use rustix::process::{Pid, PidfdFlags, Signal, getpid, getppid, getuid, kill_process, pidfd_open};

/// Makes what the agent leaves behind our child, however often it forked and whatever session it made.
pub(crate) fn adopt_orphans() -> rustix::io::Result<()> {
    rustix::process::set_child_subreaper(Some(getpid()))
}

/// Called in the agent before exec: if the runner dies, so does the agent, even if it died before this call.
pub(crate) fn die_with(runner: Pid) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() == Some(runner) { Ok(()) } else { Err(rustix::io::Errno::SRCH.into()) }
}

/// Something to poll that becomes readable when the child ends.
pub(crate) fn watch(child: Pid) -> Option<OwnedFd> {
    pidfd_open(child, PidfdFlags::empty()).ok()
}

/// Fewer wake-ups for a talkative agent. A user's allowance of big pipes may be used up: then not.
pub(crate) fn enlarge_pipe(pipe: impl AsFd) {
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, 1 << 20);
}

/// Whether the other end is this user.
pub(crate) fn is_ours(peer: &UnixStream) -> bool {
    rustix::net::sockopt::socket_peercred(peer).is_ok_and(|peer| peer.uid == getuid())
}

/// When a process began, in ticks since boot; 0 when unknown.
pub(crate) fn start_time(pid: i32) -> u64 {
    stat_field(pid, 22).unwrap_or(0)
}

/// Which boot this is.
pub(crate) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Field `number` of `/proc/PID/stat` as proc(5) counts; the name before the third may contain anything.
fn stat_field(pid: i32, number: usize) -> Option<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

/// Kills every descendant and, when there is none left, whatever else carries the marker. Says whom it found; call
/// it until it finds nobody, reaping meanwhile: a killed process hands its children to us.
pub(crate) fn sweep(marker: Option<&[u8]>) -> Vec<i32> {
    let mut found = descendants();
    if let (true, Some(marker)) = (found.is_empty(), marker) {
        found = carriers(marker);
    }
    for (_, pidfd) in &found {
        if let Some(pidfd) = pidfd {
            let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
        }
    }
    found.into_iter().map(|(pid, _)| pid.as_raw_nonzero().get()).collect()
}

fn descendants() -> Vec<(Pid, Option<OwnedFd>)> {
    let (me, mut found, mut parents) = (getpid(), Vec::new(), vec![getpid()]);
    while let Some(parent) = parents.pop() {
        for child in children(parent) {
            // First held, then proved: if the number changed hands in between, the proof fails or concerns a
            // descendant just as well.
            let pidfd = pidfd_open(child, PidfdFlags::empty()).ok();
            if parent == me {
                // Nobody but us reaps it: its number is safe, even where there are no pidfds to be had.
                let _ = kill_process(child, Signal::KILL);
            } else if stat_field(child.as_raw_nonzero().get(), 4)
                != Some(parent.as_raw_nonzero().get() as u64)
            {
                continue;
            }
            found.push((child, pidfd));
            parents.push(child);
        }
    }
    found
}

/// The children of all threads of a process.
fn children(parent: Pid) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{}/task", parent.as_raw_nonzero()));
    let lists = threads.into_iter().flatten().flatten().map(|thread| thread.path().join("children"));
    let text: String = lists.filter_map(|list| fs::read_to_string(list).ok()).collect();
    text.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

fn carriers(marker: &[u8]) -> Vec<(Pid, Option<OwnedFd>)> {
    let (me, uid) = (getpid(), getuid().as_raw());
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?));
    pids.filter(|&pid| pid != me)
        .filter_map(|pid| {
            let place = format!("/proc/{}", pid.as_raw_nonzero());
            fs::metadata(&place).ok().filter(|process| process.uid() == uid)?;
            let pidfd = pidfd_open(pid, PidfdFlags::empty()).ok();
            let environment = fs::read(format!("{place}/environ")).ok()?;
            environment.split(|&byte| byte == 0).any(|entry| entry == marker).then_some((pid, pidfd))
        })
        .collect()
}
