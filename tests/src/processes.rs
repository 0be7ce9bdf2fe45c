//! What `/proc` knows about the processes of a test.
//!
//! Invariant: zombies are not alive; a process that vanishes while it is read was not there.

use crate::Wire;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::fs;

/// A living process.
#[derive(Debug, Clone)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its arguments, joined by spaces.
    pub command: String,
}

/// Whether a process lives.
pub fn alive(pid: i32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    !matches!(state, None | Some("Z" | "X"))
}

/// The TCP ports of IPv4 that a process listens on.
pub fn listens(pid: i32) -> Vec<u16> {
    let sockets: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok()?.to_str().map(str::to_owned))
        .collect();
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    let listening = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    // The local address, the state (0A listens) and the inode.
    let ours = listening.filter(|row| {
        row.get(3) == Some(&"0A")
            && row.get(9).is_some_and(|inode| sockets.contains(&format!("socket:[{inode}]")))
    });
    ours.filter_map(|row| u16::from_str_radix(row[1].rsplit(':').next()?, 16).ok()).collect()
}

/// When the process started, in the kernel's ticks after boot.
pub fn start_time(pid: i32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
    // Its name may hold anything; the state is what follows, and the start is 19 fields on.
    let start = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(19));
    start.and_then(|start| start.parse().ok()).expect("the kernel tells it")
}

/// The process of a live session's agent (`agent_pid`) or of its runner (`pid`).
#[track_caller]
pub fn of(wire: &mut Wire, session: &str, name: &str) -> i32 {
    let status = wire.ok("daemon_status", json!({}));
    let runners = status["runners"].as_array().into_iter().flatten();
    let pid =
        runners.filter(|runner| runner["session_id"] == session).find_map(|runner| runner[name].as_i64());
    i32::try_from(pid.expect("a live session's processes are known")).expect("a pid fits")
}

/// The living processes whose arguments, environment or working directory mention one of the words.
pub fn mentioning(words: &[&str]) -> Vec<Process> {
    let me = std::process::id() as i32;
    let entries = fs::read_dir("/proc").expect("there is /proc");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != me && alive(*pid))
        .filter_map(|pid| {
            let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            let command = command(pid).unwrap_or_default();
            let environ = read("environ");
            let environ = String::from_utf8_lossy(&environ);
            let cwd = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            let cwd = cwd.to_string_lossy();
            let mentions = words
                .iter()
                .any(|word| command.contains(word) || environ.contains(word) || cwd.contains(word));
            mentions.then_some(Process { pid, command })
        })
        .collect()
}

/// The living processes whose arguments contain a text.
pub fn running(text: &str) -> Vec<Process> {
    mentioning(&[text]).into_iter().filter(|process| process.command.contains(text)).collect()
}

/// The most memory a process has held since it began or since [`forget_peak`], in bytes.
pub fn peak_memory(pid: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a process has a peak");
    peak.trim().trim_end_matches(" kB").parse::<u64>().expect("it is a number") * 1024
}

/// Forgets the peak: it is what is held now.
pub fn forget_peak(pid: i32) {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").expect("the process is ours");
}

/// Sends a signal to one process; one that is gone already is no fault.
pub fn signal(pid: i32, signal: Signal) {
    let pid = Pid::from_raw(pid).expect("0 is no process");
    match kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => panic!("process {pid:?} cannot be signalled: {error}"),
    }
}

/// A process's arguments, joined by spaces.
pub fn command(pid: i32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    Some(String::from_utf8_lossy(&line).trim_end_matches('\0').replace('\0', " "))
}

/// What a process has open.
pub fn open_files(pid: i32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().filter_map(Result::ok);
    // One that is closed meanwhile was not open.
    let mut open: Vec<String> =
        entries.filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.display().to_string())).collect();
    open.sort();
    open
}

/// How many threads a process has.
pub fn threads(pid: i32) -> u64 {
    fs::read_dir(format!("/proc/{pid}/task")).map_or(0, |tasks| tasks.count() as u64)
}

/// The living children of a process.
pub fn children(pid: i32) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().filter_map(Result::ok);
    let lists = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// A line of a process's memory figures in KiB, such as `VmRSS:` and `RssAnon:`.
pub fn memory_kib(pid: i32, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
