//! What `/proc` knows about the processes of a test.
//!
//! Invariant: zombies are not alive; a process that vanishes while it is read was not there.

use rustix::process::{Pid, Signal, kill_process};
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

/// The living processes whose arguments, environment or working directory mention one of the words.
pub fn mentioning(words: &[&str]) -> Vec<Process> {
    let me = std::process::id() as i32;
    let entries = fs::read_dir("/proc").expect("there is /proc");
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| *pid != me && alive(*pid))
        .filter_map(|pid| {
            let read = |name: &str| fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            let command = String::from_utf8_lossy(&read("cmdline")).trim_end_matches('\0').replace('\0', " ");
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

/// Sends a signal to one process; one that is gone already is no fault.
pub fn signal(pid: i32, signal: Signal) {
    let pid = Pid::from_raw(pid).expect("0 is no process");
    match kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => panic!("process {pid:?} cannot be signalled: {error}"),
    }
}
