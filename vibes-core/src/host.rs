//! What the machine tells of itself and its processes. Linux reads `/proc`; elsewhere the fallbacks below
//! say what little can be said.

pub use imp::*;
pub use ports::{Connected, connected, listening};

mod ports;

/// A process, told from a later one with the same number by its start time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// When it started, in ticks since boot.
    pub start_time: u64,
}

/// Kills every process that carries `marker` in its environment and gives back those that are still there after
/// `tries` rounds of 20 ms. Blocking.
pub fn sweep(marker: &str, tries: u32) -> Vec<i32> {
    let mut left = carrying(marker);
    for _ in 0..tries {
        if left.is_empty() {
            break;
        }
        for pid in &left {
            if let Some(pid) = rustix::process::Pid::from_raw(*pid) {
                // It may be gone already, which is what is wanted.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
        left = carrying(marker);
    }
    left
}

#[cfg(target_os = "linux")]
mod imp {
    use super::Process;
    use rustix::io::Errno;
    use std::{fs, io, sync::OnceLock};
    use vibes_protocol::paths::SESSION_MARKER_VAR;

    /// Names this boot of the machine.
    pub fn boot_id() -> String {
        // Read once: a daemon that has no descriptor left must not take every runner for one of another boot.
        static ID: OnceLock<String> = OnceLock::new();
        if let Some(id) = ID.get() {
            return id.clone();
        }
        match fs::read_to_string("/proc/sys/kernel/random/boot_id") {
            Ok(id) => ID.get_or_init(|| id.trim().to_owned()).clone(),
            Err(_) => String::new(),
        }
    }

    fn stat(pid: i32) -> Option<(i32, u64, char)> {
        fields(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn fields(stat: &str) -> Option<(i32, u64, char)> {
        // The name may hold anything, parentheses included: what follows its last one is fixed.
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let start = fields.nth(17)?.parse().ok()?;
        Some((parent, start, state))
    }

    /// The process with this number, if there is one that is not a zombie.
    pub fn process(pid: i32) -> Option<Process> {
        look(pid).ok().flatten()
    }

    /// The process with this number, if there is one that is not a zombie; an error when that cannot be told.
    pub fn look(pid: i32) -> io::Result<Option<Process>> {
        let stat = match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) => stat,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            // It ended while the file was read.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error),
        };
        let found = fields(&stat).filter(|(.., state)| *state != 'Z' && *state != 'X');
        Ok(found.map(|(_, start_time, _)| Process { pid, start_time }))
    }

    /// What a process runs.
    pub fn program(pid: i32) -> Option<String> {
        fs::read_link(format!("/proc/{pid}/exe")).ok().map(|path| path.to_string_lossy().into_owned())
    }

    /// The processes of this user whose environment holds `VIBES_SESSION=<marker>`, this one aside.
    pub fn carrying(marker: &str) -> Vec<i32> {
        let wanted = format!("{SESSION_MARKER_VAR}={marker}");
        let me = std::process::id() as i32;
        let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
            .filter(|pid| *pid != me && process(*pid).is_some())
            .filter(|pid| environment_has(*pid, |entry| entry == wanted.as_bytes()).unwrap_or(false))
            .collect()
    }

    fn environment_has(pid: i32, test: impl Fn(&[u8]) -> bool) -> Option<bool> {
        let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
        Some(environ.split(|byte| *byte == 0).any(test))
    }

    /// The session whose agent a process runs inside of, as its marker or the nearest ancestor's tells.
    pub fn session_of(pid: i32, state_id: &str) -> Option<String> {
        let marker = format!("{SESSION_MARKER_VAR}={state_id}:");
        let mut at = pid;
        for _ in 0..256 {
            let environ = fs::read(format!("/proc/{at}/environ")).unwrap_or_default();
            let marked =
                environ.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(marker.as_bytes()));
            if let Some(marked) = marked {
                let marked = String::from_utf8_lossy(marked).into_owned();
                return Some(marked.split('.').next().unwrap_or_default().to_owned());
            }
            at = stat(at).map(|(parent, ..)| parent).filter(|parent| *parent > 1)?;
        }
        None
    }

    /// Whether an ancestor of a process carries the marker, for one that does not let itself be looked at.
    pub fn is_under(pid: i32, state_id: &str) -> bool {
        let parent = stat(pid).map(|(parent, ..)| parent).filter(|parent| *parent > 1);
        parent.is_some_and(|parent| session_of(parent, state_id).is_some())
    }

    /// Whether a process runs inside an agent of the state directory `state_id`: it or an ancestor carries the
    /// marker. Runners carry it too, and adopt what their agents orphan, so that cleaning the environment or forking
    /// twice does not help. `None` when that cannot be read.
    pub fn in_tree(pid: i32, state_id: &str) -> Option<bool> {
        let marker = format!("{SESSION_MARKER_VAR}={state_id}:");
        let mut at = pid;
        // A cycle cannot be, but a limit costs nothing.
        for _ in 0..256 {
            let (parent, ..) = stat(at)?;
            // An ancestor of another user cannot be one of our agents: agents run as this user.
            match environment_has(at, |entry| entry.starts_with(marker.as_bytes())) {
                Some(true) => return Some(true),
                Some(false) => {}
                None if at == pid => return None,
                None => {}
            }
            if parent <= 1 {
                return Some(false);
            }
            at = parent;
        }
        None
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use super::Process;

    /// Unknown here: every start counts as the same boot.
    pub fn boot_id() -> String {
        String::new()
    }

    /// Whether the process answers to signal 0; its start time is unknown.
    pub fn process(pid: i32) -> Option<Process> {
        let raw = rustix::process::Pid::from_raw(pid)?;
        rustix::process::test_kill_process(raw).ok().map(|()| Process { pid, start_time: 0 })
    }

    /// As [`process`]: asking for it does not fail here.
    pub fn look(pid: i32) -> std::io::Result<Option<Process>> {
        Ok(process(pid))
    }

    /// Unknown here.
    pub fn program(_pid: i32) -> Option<String> {
        None
    }

    /// Unknown here.
    pub fn carrying(_marker: &str) -> Vec<i32> {
        Vec::new()
    }

    /// Unknown here.
    pub fn session_of(_pid: i32, _state_id: &str) -> Option<String> {
        None
    }

    /// Unknown here.
    pub fn is_under(_pid: i32, _state_id: &str) -> bool {
        false
    }

    /// Always out of the tree here: the seat belt is Linux's alone, and without it the product still has to work.
    pub fn in_tree(_pid: i32, _state_id: &str) -> Option<bool> {
        Some(false)
    }
}
