//! `vibes daemon …` and `vibes doctor`: about the daemon itself.
//!
//! Invariant: only `start`, `restart`, `run` and `socket` may start a daemon; `stop` returns when it is really gone,
//! which its lock proves.

use crate::args::DaemonVerb;
use crate::client::launch::{daemon_command, not_running, wait_gone};
use crate::client::{Daemon, Start};
use crate::commands;
use crate::error::{Failure, Kind, Outcome};
use crate::render::{count, sheet};
use crate::{place, sanitize, ui};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::time::Duration;
use vibes_protocol::paths::StateDir;
use vibes_protocol::wire::Message;
use vibes_protocol::wire::request::{GetDaemonStatus, StopDaemon};

/// Stopping ends with agents that ignore every polite signal: the whole ladder takes some seconds for each.
const GONE_WITHIN: Duration = Duration::from_secs(60);

pub(crate) fn run(verb: &DaemonVerb) -> Outcome {
    match verb {
        DaemonVerb::Start => start(),
        DaemonVerb::Stop { agents } => stop(*agents).map(|_| ()),
        DaemonVerb::Restart => restart(),
        DaemonVerb::Status(args) => status(args.json),
        DaemonVerb::Logs { follow, lines } => logs(*follow, *lines),
        DaemonVerb::Run => replace_by(&["run"]),
        DaemonVerb::Socket => {
            let mut daemon = Daemon::here(Start::Auto)?;
            daemon.connection()?;
            ui::data(&daemon.dir().socket().to_string_lossy())
        }
    }
}

/// `vibesd doctor` looks; it shares our terminal and gives our exit code.
pub(crate) fn doctor(reap: bool, fix: bool) -> Outcome {
    let mut words = vec!["doctor"];
    words.extend(reap.then_some("--reap"));
    words.extend(fix.then_some("--fix"));
    replace_by(&words)
}

/// Becomes the daemon's program.
fn replace_by(arguments: &[&str]) -> Outcome {
    let dir = place::state_dir()?;
    let mut command = daemon_command(&dir)?;
    let program = PathBuf::from(command.get_program());
    let error = command.args(arguments).exec();
    Err(Failure::new(Kind::Unreachable, format!("cannot run {}: {error}", program.display())))
}

fn ask_status(daemon: &mut Daemon) -> Outcome<sheet::Status> {
    match daemon.ask(GetDaemonStatus {})? {
        Message::DaemonStatus {
            pid,
            version,
            protocol,
            socket,
            epoch,
            sessions,
            runners,
            started_at,
            problems,
            ..
        } => Ok(sheet::Status {
            pid,
            version,
            protocol,
            socket,
            epoch,
            sessions,
            runners,
            started_at,
            problems,
        }),
        _ => Err(Failure::unexpected("daemon_status")),
    }
}

fn start() -> Outcome {
    let mut daemon = Daemon::here(Start::Auto)?;
    let status = ask_status(&mut daemon)?;
    ui::say(&format!("vibesd is running (process {})", status.pid));
    Ok(())
}

/// Stops the daemon; tells whether there was one.
fn stop(agents: bool) -> Outcome<bool> {
    let mut daemon = Daemon::here(Start::Never)?;
    let status = match ask_status(&mut daemon) {
        Ok(status) => status,
        // Nobody to stop is the state that was asked for.
        Err(failure) if failure.kind == Kind::NotRunning => {
            ui::say("vibesd is not running");
            return Ok(false);
        }
        Err(failure) => return Err(failure),
    };
    match daemon.ask(StopDaemon { agents }) {
        Ok(_) => {}
        // It may close before its answer is out.
        Err(failure) if failure.kind == Kind::Unreachable => {}
        Err(failure) => return Err(failure),
    }
    if !wait_gone(daemon.dir(), GONE_WITHIN) {
        let message =
            format!("vibesd (process {}) is still there after {} s", status.pid, GONE_WITHIN.as_secs());
        return Err(Failure::new(Kind::Failed, message).hint("`vibes daemon logs` tells what it waits for"));
    }
    let running = status.runners.len();
    if agents || running == 0 {
        ui::say("vibesd stopped");
    } else {
        let agents = count(running, "agent goes on under its runner", "agents go on under their runners");
        ui::say(&format!("vibesd stopped; {agents}"));
        ui::say(
            "`vibes daemon stop --agents` would have stopped them too; any vibes command starts vibesd again",
        );
    }
    Ok(true)
}

fn restart() -> Outcome {
    let mut daemon = Daemon::here(Start::Never)?;
    if let Some(session) = place::inside_agent_of(daemon.dir()) {
        // Stopping it and then not being allowed to start it would be the worst of both.
        return Err(Failure::new(
            Kind::Refused,
            format!("this process belongs to session {session} of this daemon"),
        )
        .hint("restart it from a terminal outside the session"));
    }
    // A configuration that the next daemon would refuse is found before this one is stopped.
    crate::client::launch::check_configuration(daemon.dir())?;
    let running = match ask_status(&mut daemon) {
        Ok(_) => {
            daemon
                .ask(StopDaemon { agents: false })
                .map(|_| ())
                .or_else(|failure| if failure.kind == Kind::Unreachable { Ok(()) } else { Err(failure) })?;
            wait_gone(daemon.dir(), GONE_WITHIN)
        }
        Err(failure) if failure.kind == Kind::NotRunning => true,
        Err(failure) => return Err(failure),
    };
    if !running {
        return Err(Failure::new(Kind::Failed, "the old daemon is still there")
            .hint("`vibes daemon logs` tells what it waits for"));
    }
    start()
}

fn status(json: bool) -> Outcome {
    let mut daemon = Daemon::here(Start::Never)?;
    let status = ask_status(&mut daemon)?;
    if json {
        return ui::json(&status);
    }
    ui::data(&sheet::status(&status, commands::now(), ui::Paint::stdout()).join("\n"))
}

/// The newest log: names carry dates, but the time of the last change tells surely.
fn newest_log(dir: &StateDir) -> Option<PathBuf> {
    let entries = std::fs::read_dir(dir.logs()).ok()?;
    entries
        .flatten()
        .filter_map(|entry| {
            let meta = entry.metadata().ok()?;
            meta.is_file().then(|| (meta.modified().ok(), entry.path()))
        })
        .max()
        .map(|(_, path)| path)
}

fn logs(follow: bool, lines: usize) -> Outcome {
    let dir = place::state_dir()?;
    let Some(mut path) = newest_log(&dir) else {
        return Err(Failure::new(Kind::Failed, format!("there is no log in {}", dir.logs().display()))
            .hint(not_running(&dir).message));
    };
    let open = |path: &PathBuf| {
        File::open(path)
            .map(BufReader::new)
            .map_err(|error| Failure::io(format_args!("cannot read {}", path.display()), &error))
    };
    let mut file = open(&path)?;
    let mut tail: VecDeque<String> = VecDeque::new();
    let mut line = Vec::new();
    while next_line(&mut file, &mut line) {
        tail.push_back(take_text(&mut line));
        if tail.len() > lines {
            tail.pop_front();
        }
    }
    tail.iter().try_for_each(|line| ui::raw(line))?;
    if !follow {
        return Ok(());
    }
    loop {
        if next_line(&mut file, &mut line) {
            ui::raw(&take_text(&mut line))?;
            continue;
        }
        // A file has no wait for its next line that works everywhere; a fifth of a second is not felt.
        std::thread::sleep(Duration::from_millis(200));
        if let Some(newer) = newest_log(&dir).filter(|newer| *newer != path) {
            file = open(&newer)?;
            path = newer;
        }
    }
}

/// Reads on until a line is whole; false at the end of what is written.
fn next_line(file: &mut BufReader<File>, line: &mut Vec<u8>) -> bool {
    matches!(file.read_until(b'\n', line), Ok(length) if length > 0) && line.ends_with(b"\n")
}

/// The line, fit for where it goes. Log lines quote agents.
fn take_text(line: &mut Vec<u8>) -> String {
    let text = String::from_utf8_lossy(&std::mem::take(line)).into_owned();
    if ui::stdout_is_terminal() { sanitize::text(&text).into_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_log_is_the_one_changed_last() {
        let root = std::env::temp_dir().join(format!("vibes-logs-{}", uuid::Uuid::new_v4()));
        let dir = StateDir::new(&root);
        assert!(newest_log(&dir).is_none());
        std::fs::create_dir_all(dir.logs()).unwrap();
        let old = std::time::SystemTime::now() - Duration::from_secs(60);
        std::fs::write(dir.logs().join("b"), "old").unwrap();
        File::options().write(true).open(dir.logs().join("b")).unwrap().set_modified(old).unwrap();
        std::fs::write(dir.logs().join("a"), "new").unwrap();
        assert_eq!(newest_log(&dir), Some(dir.logs().join("a")));
        std::fs::remove_dir_all(root).unwrap();
    }
}
