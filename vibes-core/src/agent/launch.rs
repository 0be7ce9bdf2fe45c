//! Starting a runner: its directory, its environment, its process.
//!
//! Invariant: environment values pass through memory only; what is written down is names. A runner is started
//! stopped and runs its agent only on `GO`, so that a crash between the two leaves nothing running.

use super::place;
use crate::points::{self, Point};
use std::{
    collections::{BTreeMap, HashMap},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};
use tokio::{io::AsyncReadExt, process::Command};
use vibes_protocol::{model::SessionId, paths::SESSION_MARKER_VAR};
use vibes_runner::spool;

/// Where runners live and what marks their agents.
#[derive(Debug, Clone)]
pub struct Yard {
    /// The directory that holds one directory per generation.
    pub dir: PathBuf,
    /// The runner's program.
    pub runner: PathBuf,
    /// The id of the state directory.
    pub state_id: String,
    /// How many descriptors an agent may have open: as many as whoever started the daemon, which takes more.
    pub descriptors: Option<u64>,
    /// How many agents write faster than they are read.
    pub floods: Arc<AtomicUsize>,
    /// What all spools may hold together, in bytes.
    pub spools: u64,
}

impl Yard {
    /// The directory of one generation.
    pub fn dir_of(&self, session: &SessionId, generation: u64) -> PathBuf {
        self.dir.join(format!("{session}.{generation}"))
    }

    /// What the agent's environment carries.
    pub fn marker_of(&self, session: &SessionId, generation: u64) -> String {
        format!("{}:{session}.{generation}", self.state_id)
    }

    /// Notes that the store does not know of this generation, if it has a directory: it is an older copy, and will count
    /// further than this number without ever having known its agent. Later daemons must not take it for an old one.
    pub fn note_unknown(&self, session: &SessionId, generation: u64) {
        let dir = self.dir_of(session, generation);
        if let Err(error) = std::fs::write(dir.join(spool::UNKNOWN), "")
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(dir = %dir.display(), %error, "an unknown runner could not be noted");
        }
    }

    /// The highest generation of each session that has a directory.
    pub fn newest(&self) -> HashMap<SessionId, u64> {
        let mut newest = HashMap::new();
        for (session, generation) in self.present().unwrap_or_default() {
            let seen = newest.entry(session).or_default();
            *seen = generation.max(*seen);
        }
        newest
    }

    /// The highest generation of one session that has a directory.
    pub fn newest_of(&self, session: &SessionId) -> Option<u64> {
        self.generations_of(session).unwrap_or_default().into_iter().max()
    }

    /// The generations of one session that have a directory.
    pub fn generations_of(&self, session: &SessionId) -> io::Result<Vec<u64>> {
        let begin = format!("{session}.");
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let generation = name.to_str().and_then(|name| name.strip_prefix(&begin)?.parse::<u64>().ok());
            found.extend(generation);
        }
        Ok(found)
    }

    /// The generations that have a directory.
    pub fn present(&self) -> io::Result<Vec<(SessionId, u64)>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            if let Some((session, generation)) = name.to_str().and_then(|name| name.split_once('.'))
                && let (Ok(session), Ok(generation)) = (session.parse(), generation.parse())
            {
                found.push((session, generation));
            }
        }
        Ok(found)
    }
}

/// What all spools may hold together unless the configuration says otherwise, in bytes.
pub const SPOOLS: u64 = spool::SHARED;

/// What to run.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Where.
    pub cwd: String,
    /// The environment, whole.
    pub env: BTreeMap<String, String>,
    /// The umask of whoever asked.
    pub umask: Option<u32>,
}

/// Why a runner could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The program of the agent is not on the PATH.
    #[error("{program:?} was not found on the PATH of the client; install it or give its full path")]
    NotFound {
        /// Which.
        program: String,
    },
    /// The program is there and may not be run.
    #[error(
        "{path:?} is there but cannot be executed; is it a program, and may this user run it (chmod +x)?"
    )]
    NotExecutable {
        /// Which.
        path: PathBuf,
    },
    /// The working directory cannot be used.
    #[error("the working directory {cwd:?} cannot be used: {why}")]
    Directory {
        /// Which.
        cwd: String,
        /// Why.
        why: String,
    },
    /// The runner itself failed.
    #[error("the runner {runner} could not be started: {why}")]
    Runner {
        /// Its program.
        runner: String,
        /// Why.
        why: String,
    },
}

/// How long a runner has to say that it is ready. It binds a socket and writes a file; a loaded machine may be slow.
const READY: Duration = Duration::from_secs(10);

/// Finds a program as the client's shell would.
pub fn find_program(program: &str, path: Option<&str>, cwd: &str) -> Result<PathBuf, LaunchError> {
    let runs = |candidate: &Path| {
        rustix::fs::access(candidate, rustix::fs::Access::EXEC_OK).is_ok() && candidate.is_file()
    };
    if program.contains('/') {
        let full = Path::new(cwd).join(program);
        return match full.exists() {
            true if runs(&full) => Ok(full),
            true => Err(LaunchError::NotExecutable { path: full }),
            false => Err(LaunchError::NotFound { program: program.to_owned() }),
        };
    }
    path.unwrap_or("/usr/local/bin:/usr/bin:/bin")
        .split(':')
        .filter(|dir| !dir.is_empty())
        .map(|dir| Path::new(dir).join(program))
        .find(|candidate| runs(candidate))
        .ok_or_else(|| LaunchError::NotFound { program: program.to_owned() })
}

/// Starts a runner and waits until it listens. The agent does not run yet.
pub async fn spawn(
    yard: &Yard,
    session: &SessionId,
    generation: u64,
    launch: &Launch,
) -> Result<(), LaunchError> {
    let failed = |why: String| LaunchError::Runner { runner: yard.runner.display().to_string(), why };
    let program = launch.argv.first().map(String::as_str).unwrap_or_default();
    if !Path::new(&launch.cwd).is_dir() {
        let why = "it does not exist or is not a directory".to_owned();
        return Err(LaunchError::Directory { cwd: launch.cwd.clone(), why });
    }
    let found = find_program(program, launch.env.get("PATH").map(String::as_str), &launch.cwd)?;
    let dir = yard.dir_of(session, generation);
    // A directory left by an attempt that never got `GO` holds nothing. What an agent said is not removed for a number.
    if spool::length(&dir) > 0 || (place::agent_pid(&dir).is_some() && place::runner_process(&dir).is_some())
    {
        return Err(failed(format!("{} holds another agent's output; try again", dir.display())));
    }
    let _ = std::fs::remove_dir_all(&dir);
    std::fs::DirBuilder::new().mode(0o700).create(&dir).map_err(|error| failed(error.to_string()))?;
    let mut command = Command::new(&yard.runner);
    command.arg("--dir").arg(&dir).args([
        "--session",
        &session.to_string(),
        "--gen",
        &generation.to_string(),
        "--cwd",
        &launch.cwd,
    ]);
    if let Some(umask) = launch.umask {
        command.args(["--umask", &format!("{umask:o}")]);
    }
    if let Some(descriptors) = yard.descriptors {
        command.args(["--descriptors", &descriptors.to_string()]);
    }
    command.args(["--shared", &yard.spools.to_string()]);
    command.arg("--").arg(&found).args(&launch.argv[1..]);
    command
        .env_clear()
        .envs(&launch.env)
        .env(SESSION_MARKER_VAR, yard.marker_of(session, generation))
        .envs(points::hand_on())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
    points::hit(Point::NewRunnerSpawned);
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    // Reaps the runner whenever it ends; its own files tell the rest.
    tokio::spawn(async move { child.wait().await });
    let ready = async {
        let mut word = Vec::new();
        if let Some(stdout) = &mut stdout {
            let _ = stdout.take(16).read_to_end(&mut word).await;
        }
        word == b"ready\n"
    };
    if tokio::time::timeout(READY, ready).await.unwrap_or(false) {
        points::hit(Point::NewRunnerReady);
        return Ok(());
    }
    let mut why = Vec::new();
    if let Some(stderr) = &mut stderr {
        let mut some = stderr.take(4096);
        let _ = tokio::time::timeout(Duration::from_secs(1), some.read_to_end(&mut why)).await;
    }
    let _ = std::fs::remove_dir_all(&dir);
    let why = String::from_utf8_lossy(&why).trim().to_owned();
    Err(failed(if why.is_empty() { "it ended before it was ready".to_owned() } else { why }))
}
