//! Starting the daemon when none serves.
//!
//! Invariant: a hundred racing clients start one daemon (they queue at the start lock and look again when they hold
//! it), and readiness is told by the daemon, never guessed from time passed.

use super::connection::Connection;
use crate::error::{Failure, Kind, Outcome};
use crate::place;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use vibes_protocol::paths::{STATE_DIR_VAR, StateDir};

/// A store may have to be upgraded first; past this, something is wrong and the person should hear of it.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How much of the daemon's last words is shown.
const LAST_WORDS: u64 = 16 * 1024;

/// Whether an error of `connect` means that no daemon serves, rather than that this one may not be reached.
/// A living daemon looks at its socket every two seconds.
const SOCKET_WITHIN: Duration = Duration::from_secs(5);

pub(crate) fn nobody_serves(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            // Of a directory on the way, which making the state directory tells of.
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

/// Connects, and starts the daemon first where that is needed.
pub(crate) fn connect_or_start(dir: &StateDir) -> Outcome<Connection> {
    match Connection::open(dir) {
        Ok(connection) => return Ok(connection),
        Err(error) if nobody_serves(&error) => {}
        Err(error) => return Err(unreachable(dir, &error)),
    }
    if let Some(session) = place::inside_agent_of(dir) {
        return Err(Failure::new(
            Kind::Unreachable,
            format!("the daemon is not running, and this process belongs to its session {session}: not starting it from inside"),
        )
        .hint("run `vibes daemon start` in a terminal outside the session"));
    }
    place::create(dir).map_err(|error| cannot_start(dir, &error))?;
    let lock = take_start_lock(dir).map_err(|error| cannot_start(dir, &error))?;
    // The one before us in the queue may have started it; and one that died just after its start is tried once more.
    let mut last = None;
    for _ in 0..2 {
        if let Some(connection) = connect_to_living(dir) {
            return Ok(connection);
        }
        start(dir)?;
        match Connection::open(dir) {
            Ok(connection) => return Ok(connection),
            Err(error) => last = Some(error),
        }
    }
    drop(lock);
    let error = last.unwrap_or_else(|| io::Error::other("no attempt was made"));
    Err(unreachable(dir, &error))
}

/// Connects, waiting a little for a daemon that lives and has no socket: it is about to make one, at its start or
/// because somebody removed the old one.
pub(crate) fn connect_to_living(dir: &StateDir) -> Option<Connection> {
    let started = Instant::now();
    loop {
        match Connection::open(dir) {
            Ok(connection) => return Some(connection),
            Err(_) if is_alive(dir) && started.elapsed() < SOCKET_WITHIN => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(_) => return None,
        }
    }
}

/// The failure of a command that needs the daemon and must not start it.
pub(crate) fn not_running(dir: &StateDir) -> Failure {
    Failure::new(
        Kind::NotRunning,
        format!("the daemon is not running (state directory {})", dir.root().display()),
    )
    .hint("`vibes daemon start` starts it; so does any command that needs it")
}

/// The failure to reach a daemon that may be there.
pub(crate) fn unreachable(dir: &StateDir, error: &io::Error) -> Failure {
    Failure::new(Kind::Unreachable, format!("cannot reach the daemon at {}: {error}", dir.socket().display()))
        .hint("`vibes daemon status` and `vibes daemon logs` tell more")
}

fn cannot_start(dir: &StateDir, error: &io::Error) -> Failure {
    Failure::new(
        Kind::Unreachable,
        format!("cannot prepare the state directory {}: {error}", dir.root().display()),
    )
    .hint(format!("{STATE_DIR_VAR} names another one"))
}

fn take_start_lock(dir: &StateDir) -> io::Result<File> {
    let path = dir.start_lock();
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.lock()?;
    Ok(file)
}

/// Where the daemon's program is: named for tests, beside this one, or on the search path.
pub(crate) fn daemon_program() -> Outcome<PathBuf> {
    if let Some(named) = place::variable("VIBESD") {
        return Ok(PathBuf::from(named));
    }
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name("vibesd"));
    beside.filter(|path| place::is_program(path)).or_else(|| place::find_program("vibesd")).ok_or_else(|| {
        Failure::new(Kind::Unreachable, "the program vibesd was found neither beside vibes nor on PATH")
            .hint("install both programs in one directory")
    })
}

/// A command for the daemon's program on this state directory.
pub(crate) fn daemon_command(dir: &StateDir) -> Outcome<Command> {
    let mut command = Command::new(daemon_program()?);
    command.env(STATE_DIR_VAR, dir.root());
    Ok(command)
}

/// Asks the daemon's program whether it would start with the present configuration.
pub(crate) fn check_configuration(dir: &StateDir) -> Outcome {
    let mut command = daemon_command(dir)?;
    let ran = command.args(["run", "--check"]).stdin(Stdio::null()).output();
    let ran = ran.map_err(|error| cannot_start(dir, &error))?;
    if ran.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&ran.stderr).into_owned();
    let why = crate::sanitize::text(words.trim());
    Err(Failure::new(Kind::Unreachable, format!("the daemon would not start again: {why}"))
        .hint("the running one was left alone"))
}

/// Starts the daemon and returns when it serves.
fn start(dir: &StateDir) -> Outcome {
    let mut command = daemon_command(dir)?;
    let program = PathBuf::from(command.get_program());
    // What this process was given besides (a script's lock, a pipe that somebody reads to its end) would be held for as
    // long as the daemon lives.
    close_fds::set_fds_cloexec(3, &[]);
    // It makes its own session; a process group made here would keep it from doing so.
    let spawned = command
        .args(["run", "--detach-ready"])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let child = spawned.map_err(|error| {
        Failure::new(Kind::Unreachable, format!("cannot start {}: {error}", program.display()))
    })?;
    await_ready(child)
}

fn await_ready(mut child: Child) -> Outcome {
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err(Failure::new(Kind::Unreachable, "vibesd was started without its pipes"));
    };
    // Read beside the wait, so that a talkative start cannot block on a full pipe. Both threads end with the pipes.
    let words = std::thread::spawn(move || {
        let mut text = Vec::new();
        let mut stderr = stderr;
        let _ = stderr.by_ref().take(LAST_WORDS).read_to_end(&mut text);
        // Read on without keeping it: a closed pipe would end the daemon at its next word.
        let _ = io::copy(&mut stderr, &mut io::sink());
        String::from_utf8_lossy(&text).trim().to_owned()
    });
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(stdout).take(1024).read_line(&mut line);
        let _ = tell.send(read.is_ok() && line.trim_end() == "ready");
    });
    match told.recv_timeout(READY_WITHIN) {
        Ok(true) => Ok(()),
        Ok(false) => {
            let status = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
            let reason = match words.join().unwrap_or_default() {
                reason if reason.is_empty() => format!("it ended without a word ({status})"),
                reason => reason,
            };
            Err(Failure::new(Kind::Unreachable, format!("the daemon could not start: {reason}"))
                .hint("`vibes daemon logs` and `vibes doctor` tell more"))
        }
        Err(_) => Err(Failure::new(
            Kind::Unreachable,
            format!("the daemon (process {}) is not ready after {} s", child.id(), READY_WITHIN.as_secs()),
        )
        .hint("`vibes daemon logs` tells what it is doing")),
    }
}

/// Waits until no daemon holds its lock; false when the time is over first.
pub(crate) fn wait_gone(dir: &StateDir, within: Duration) -> bool {
    let started = Instant::now();
    // The kernel offers no wait with a limit on a file lock, hence the short sleeps.
    while is_alive(dir) {
        if started.elapsed() > within {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

/// Whether a daemon holds its lock, which is the proof of life.
pub(crate) fn is_alive(dir: &StateDir) -> bool {
    let Ok(file) = File::open(dir.daemon_lock()) else { return false };
    // A shared lock is refused while the daemon holds its exclusive one, and disturbs no other looker.
    matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str) -> Outcome {
        let child = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        await_ready(child)
    }

    #[test]
    fn readiness_is_told_and_a_failed_start_gives_its_reason() {
        assert!(run("echo ready").is_ok());
        let failure = run("echo 'the store is damaged' >&2; exit 1").unwrap_err();
        assert_eq!(failure.kind, Kind::Unreachable);
        assert!(failure.message.contains("the store is damaged"), "{}", failure.message);
        let failure = run("exit 3").unwrap_err();
        assert!(failure.message.contains('3'), "{}", failure.message);
        assert!(run("yes words | head -c 200000 >&2; echo ready").is_ok(), "a talkative start is read along");
    }

    #[test]
    fn the_held_lock_is_the_proof_of_life() {
        let root = std::env::temp_dir().join(format!("vibes-lock-{}", uuid::Uuid::new_v4()));
        let dir = StateDir::new(&root);
        place::create(&dir).unwrap();
        assert!(!is_alive(&dir));
        let file = File::create(dir.daemon_lock()).unwrap();
        assert!(!is_alive(&dir), "the file alone proves nothing");
        file.lock().unwrap();
        assert!(is_alive(&dir));
        assert!(!wait_gone(&dir, Duration::from_millis(1)));
        drop(file);
        assert!(wait_gone(&dir, Duration::from_secs(5)));
        std::fs::remove_dir_all(root).unwrap();
    }
}
