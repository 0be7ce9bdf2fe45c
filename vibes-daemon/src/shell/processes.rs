//! What `/proc` knows about the processes of one command. Where there is no `/proc`, the group is all there is.
//!
//! Invariant: only processes that carry the command's marker, sit in its group or descend from its leader are named.

use rustix::process::{Pid, getpid};
use std::{fs, path::Path};

/// One line of `/proc/<pid>/stat`, as far as it matters.
struct Stat {
    pid: i32,
    parent: i32,
    group: i32,
    zombie: bool,
}

impl Stat {
    fn read(pid: i32) -> Option<Self> {
        let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name stands in parentheses and may hold anything, parentheses too.
        let mut fields = line.get(line.rfind(')')? + 1..)?.split_ascii_whitespace();
        let zombie = matches!(fields.next()?, "Z" | "X");
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        Some(Self { pid, parent, group, zombie })
    }
}

/// Whether the process was started with `name=value` in its environment.
fn carries(pid: i32, entry: &[u8]) -> bool {
    let environ = fs::read(Path::new("/proc").join(pid.to_string()).join("environ")).unwrap_or_default();
    environ.split(|byte| *byte == 0).any(|found| found == entry)
}

/// The living processes of the command whose group `leader` leads: members of the group, descendants that left it,
/// and those that even lost their parents but still carry the marker.
pub(super) fn of_command(leader: Pid, marker: &str) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let all: Vec<Stat> = entries
        .filter_map(|entry| Stat::read(entry.ok()?.file_name().to_str()?.parse().ok()?))
        .filter(|stat| stat.pid != getpid().as_raw_nonzero().get())
        .collect();
    let leader = leader.as_raw_nonzero().get();
    let mut found: Vec<i32> = all
        .iter()
        .filter(|stat| stat.group == leader || stat.pid == leader || carries(stat.pid, marker.as_bytes()))
        .map(|stat| stat.pid)
        .collect();
    // Children of what is found are found too, until nothing is added.
    let mut seen = 0;
    while seen < found.len() {
        seen = found.len();
        let more: Vec<i32> = all
            .iter()
            .filter(|stat| found.contains(&stat.parent) && !found.contains(&stat.pid))
            .map(|stat| stat.pid)
            .collect();
        found.extend(more);
    }
    all.iter()
        .filter(|stat| !stat.zombie && found.contains(&stat.pid))
        .filter_map(|stat| Pid::from_raw(stat.pid))
        .collect()
}
