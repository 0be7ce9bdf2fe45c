//! Where this process stands: the state directory, the session used last, the person's seat, the environment that a
//! new agent inherits.
//!
//! Invariant: the only reader of the environment. Nothing is guessed: a missing home directory is an error that names
//! the variable to set, so that two homes never meet by a fallback.

use crate::error::{Failure, Kind, Outcome};
use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use vibes_protocol::model::SessionId;
use vibes_protocol::paths::{SESSION_MARKER_VAR, STATE_DIR_VAR, StateDir};
use vibes_protocol::seat;

/// The state directory of this process.
pub(crate) fn state_dir() -> Outcome<StateDir> {
    if let Some(named) = env::var_os(STATE_DIR_VAR).filter(|value| !value.is_empty()) {
        let path = PathBuf::from(named);
        // The daemon runs in `/`; a relative path would mean another directory there.
        let absolute = std::path::absolute(&path)
            .map_err(|error| Failure::io(format_args!("{STATE_DIR_VAR}={}", path.display()), &error))?;
        return Ok(StateDir::new(absolute));
    }
    let home_is_set = env::var_os("HOME").is_some_and(|value| !value.is_empty());
    let project = directories::ProjectDirs::from("", "", "vibes").filter(|_| home_is_set);
    let Some(project) = project else {
        return Err(Failure::new(Kind::Failed, "no home directory: HOME is not set")
            .hint(format!("set HOME, or name the state directory with {STATE_DIR_VAR}")));
    };
    Ok(StateDir::new(project.state_dir().unwrap_or_else(|| project.data_local_dir())))
}

/// Makes the state directory, its parents too, for this user alone.
pub(crate) fn create(dir: &StateDir) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir.root())
}

/// Whether this process runs inside an agent of this very state directory. Such a process must not start a daemon: it
/// would be the agent's child, and the daemon would refuse its wishes anyway.
pub(crate) fn inside_agent_of(dir: &StateDir) -> Option<String> {
    let marker = env::var(SESSION_MARKER_VAR).ok()?;
    let state_id = fs::read_to_string(dir.state_id()).ok()?;
    marker_session(&marker, &state_id)
}

/// The session a marker names, when the marker belongs to the state directory with this id.
fn marker_session(marker: &str, state_id: &str) -> Option<String> {
    let (owner, session) = marker.split_once(':')?;
    let state_id = state_id.trim();
    let ours = !state_id.is_empty() && owner == state_id;
    ours.then(|| session.rsplit_once('.').map_or(session, |(id, _)| id).to_owned())
}

/// What `-` stands for.
pub(crate) fn last_session(dir: &StateDir) -> Outcome<String> {
    let text = fs::read_to_string(dir.last_session()).unwrap_or_default();
    match text.trim() {
        "" => Err(Failure::new(Kind::NotFound, "`-` is the session used last, and none was used yet")
            .hint("`vibes ls` lists the sessions")),
        id => Ok(id.to_owned()),
    }
}

/// A session is gone: `-` stands for it no more. A failure leaves its id there, which leads nowhere.
pub(crate) fn forget_session(dir: &StateDir, id: SessionId) {
    if last_session(dir).is_ok_and(|last| last == id.to_string()) {
        let _ = fs::remove_file(dir.last_session());
    }
}

/// Remembers what `-` stands for. A failure costs a convenience only, so it is not told.
pub(crate) fn remember_session(dir: &StateDir, id: SessionId) {
    let target = dir.last_session();
    // Written aside and renamed: a reader never sees half an id.
    let aside = target.with_extension(format!("{}", std::process::id()));
    let written = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)
        .and_then(|mut file| writeln!(file, "{id}"))
        .and_then(|()| fs::rename(&aside, &target));
    if written.is_err() {
        let _ = fs::remove_file(&aside);
    }
}

/// The person's seat: `user@host:tty`, or `user@host` where no terminal is.
pub(crate) fn identity() -> String {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = seat::user(|name| env::var(name).ok(), rustix::process::getuid().as_raw(), &passwd);
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy();
    match terminal_name() {
        Some(tty) => format!("{user}@{host}:{tty}"),
        None => format!("{user}@{host}"),
    }
}

fn terminal_name() -> Option<String> {
    use rustix::termios::{isatty, ttyname};
    let name = |fd: rustix::fd::BorrowedFd<'_>| {
        isatty(fd).then(|| ttyname(fd, Vec::new()).ok()).flatten()?.into_string().ok()
    };
    let name = name(rustix::stdio::stdin())
        .or_else(|| name(rustix::stdio::stdout()))
        .or_else(|| name(rustix::stdio::stderr()))?;
    Some(name.strip_prefix("/dev/").unwrap_or(&name).to_owned())
}

/// The absolute path of a program, as this terminal would find it.
pub(crate) fn program(name: &str) -> Option<String> {
    use std::os::unix::fs::PermissionsExt as _;
    let runs = |path: &Path| {
        fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    let found = if name.contains('/') {
        std::path::absolute(name).ok().filter(|path| runs(path))
    } else {
        let path = env::var_os("PATH")?;
        env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_absolute() && runs(path))
    };
    found?.into_os_string().into_string().ok()
}

/// The environment of a new agent: what every program needs, and what was asked for with `--env NAME[=VALUE]`.
pub(crate) fn agent_environment(wanted: &[String]) -> Outcome<BTreeMap<String, String>> {
    let mut chosen = default_environment(env::vars_os());
    for entry in wanted {
        let (name, value) = match entry.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (entry.as_str(), env::var(entry).ok()),
        };
        match value {
            _ if name.is_empty() => {
                return Err(Failure::usage(format!("--env {entry}: a variable needs a name")));
            }
            Some(value) => {
                chosen.insert(name.to_owned(), value);
            }
            None => {
                return Err(Failure::usage(format!("--env {name}: not set here, or not UTF-8"))
                    .hint(format!("give its value: --env {name}=VALUE")));
            }
        }
    }
    Ok(chosen)
}

/// Adds what an agent is to be passed of this process's environment; what was asked for with `--env` stays.
pub(crate) fn pass_on(names: Vec<String>, chosen: &mut BTreeMap<String, String>) {
    for name in names {
        if let Ok(value) = env::var(&name) {
            chosen.entry(name).or_insert(value);
        }
    }
}

fn default_environment(all: impl Iterator<Item = (OsString, OsString)>) -> BTreeMap<String, String> {
    const DEFAULT: &[&str] = &["PATH", "HOME", "USER", "SHELL", "LANG", "TERM", "TZ", "SSH_AUTH_SOCK"];
    // What is not UTF-8 cannot travel in JSON; it is left out rather than changed.
    all.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| DEFAULT.contains(&name.as_str()) || name.starts_with("LC_"))
        .collect()
}

/// This process's umask, which is the agent's too. Read from the kernel's report: the system call could only tell by
/// changing it.
pub(crate) fn umask() -> Option<u32> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(line.trim(), 8).ok()
}

/// Whether a session's directory holds this state directory: then no rule answers there.
pub(crate) fn holds_state(dir: &StateDir, cwd: &str) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    real(dir.root()).starts_with(real(Path::new(cwd)))
}

/// The home directory, to shorten paths with.
pub(crate) fn home() -> Option<String> {
    env::var("HOME").ok().filter(|home| home.len() > 1)
}

/// A variable that only tests and odd installations set.
pub(crate) fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Whether a variable is set to something, as `NO_COLOR` wants to be read.
pub(crate) fn is_set(name: &str) -> bool {
    variable(name).is_some()
}

/// Finds a program on the search path.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    env::split_paths(&variable("PATH")?).map(|dir| dir.join(name)).find(|path| is_program(path))
}

/// Whether a path is a file that may be executed.
pub(crate) fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_marker_of_this_state_directory_counts() {
        assert_eq!(marker_session("abc:5e1f.3", "abc\n").as_deref(), Some("5e1f"));
        assert_eq!(marker_session("abc:5e1f.3", "other"), None);
        assert_eq!(marker_session("abc", "abc"), None);
        assert_eq!(marker_session(":5e1f.3", ""), None, "an empty id is nobody's");
    }

    #[test]
    fn agents_get_the_listed_variables_and_no_secret() {
        let all = [("PATH", "/bin"), ("LC_ALL", "C"), ("AWS_SECRET", "x"), ("TERM", "dumb"), ("LCX", "y")];
        let chosen = default_environment(all.iter().map(|(n, v)| (n.into(), v.into())));
        assert_eq!(chosen.keys().collect::<Vec<_>>(), ["LC_ALL", "PATH", "TERM"]);
    }

    #[test]
    fn asked_variables_carry_a_value_or_fail() {
        let env = agent_environment(&["A=b=c".to_owned(), "E=".to_owned()]).unwrap();
        assert_eq!((env["A"].as_str(), env["E"].as_str()), ("b=c", ""));
        for bad in ["VIBES_SURELY_NOT_SET", "=x"] {
            assert_eq!(agent_environment(&[bad.to_owned()]).unwrap_err().kind, Kind::Usage);
        }
    }

    #[test]
    fn the_session_used_last_comes_back() {
        let root = env::temp_dir().join(format!("vibes-place-{}", uuid::Uuid::new_v4()));
        let dir = StateDir::new(&root);
        create(&dir).unwrap();
        assert_eq!(last_session(&dir).unwrap_err().kind, Kind::NotFound);
        let id = SessionId::random();
        remember_session(&dir, id);
        assert_eq!(last_session(&dir).unwrap(), id.to_string());
        forget_session(&dir, SessionId::random());
        assert_eq!(last_session(&dir).unwrap(), id.to_string(), "another one");
        forget_session(&dir, id);
        assert_eq!(last_session(&dir).unwrap_err().kind, Kind::NotFound);
        remember_session(&dir, id);
        fs::remove_dir_all(root).unwrap();
    }
}
