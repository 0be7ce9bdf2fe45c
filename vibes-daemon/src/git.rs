//! Running git, so that nothing of a repository runs with it.
//!
//! Invariant: no hook, no file system monitor, no external diff, text conversion or merge driver, no editor, no pager and no
//! prompt; it ends within a minute. What a person hears of a failure are git's own words.

use std::{collections::BTreeMap, path::Path, process::Stdio, time::Duration};
use tokio::{io::AsyncReadExt, process::Command};

/// How long one command may take. A checkout of a large repository takes seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most of its output that is kept, in bytes.
const MOST: u64 = 2 * 1024 * 1024;

/// What keeps a repository from running programs of its own.
const HARMLESS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.editor=true",
    "core.pager=cat",
    "commit.gpgSign=false",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
];

/// The program, and the environment that it gets.
#[derive(Debug, Clone)]
pub struct Git {
    env: BTreeMap<String, String>,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    /// Its output.
    pub text: String,
    /// Whether there was more of it.
    pub cut: bool,
}

impl Git {
    /// With the variables of the daemon itself.
    pub fn new(mut env: BTreeMap<String, String>) -> Self {
        env.retain(|name, _| ["PATH", "HOME", "USER"].contains(&name.as_str()));
        let fixed = [("LC_ALL", "C.UTF-8"), ("GIT_TERMINAL_PROMPT", "0"), ("GIT_ADVICE", "0")];
        env.extend(fixed.map(|(name, value)| (name.to_owned(), value.to_owned())));
        Self { env }
    }

    /// The same with another index.
    pub fn with_index(&self, index: &Path) -> Self {
        let mut git = self.clone();
        git.env.insert("GIT_INDEX_FILE".to_owned(), index.display().to_string());
        git
    }

    /// Runs a command in a directory. The error is for people.
    pub async fn run(&self, dir: &Path, args: &[&str]) -> Result<Said, String> {
        let mut command = Command::new("git");
        command.arg("--no-pager");
        for setting in HARMLESS {
            command.args(["-c", setting]);
        }
        command.arg("-C").arg(dir).args(args).env_clear().envs(&self.env).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => "git is not installed, or not on the daemon's PATH".to_owned(),
            _ => format!("git could not be started: {error}"),
        })?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let done = async {
            let ((text, cut), (why, _)) = tokio::join!(read(stdout, MOST), read(stderr, 16 * 1024));
            (child.wait().await, text, cut, why)
        };
        let what = args.first().copied().unwrap_or_default();
        let Ok((status, text, cut, why)) = tokio::time::timeout(PATIENCE, done).await else {
            return Err(format!("git {what} did not end within {} s", PATIENCE.as_secs()));
        };
        match status {
            Ok(status) if status.success() => Ok(Said { text, cut }),
            Ok(status) => {
                let why = why.trim().strip_prefix("fatal: ").unwrap_or(why.trim());
                let why = if why.is_empty() { text.trim() } else { why };
                Err(if why.is_empty() {
                    format!("git {what}: {status}")
                } else {
                    format!("git {what}: {why}")
                })
            }
            Err(error) => Err(format!("git {what}: {error}")),
        }
    }

    /// The same, when one line is said.
    pub async fn line(&self, dir: &Path, args: &[&str]) -> Result<String, String> {
        Ok(self.run(dir, args).await?.text.trim_end_matches('\n').to_owned())
    }

    /// Whether a command ends well.
    pub async fn holds(&self, dir: &Path, args: &[&str]) -> bool {
        self.run(dir, args).await.is_ok()
    }
}

/// The beginning of a stream, whether there was more, and the rest read away.
async fn read(stream: Option<impl tokio::io::AsyncRead + Unpin>, most: u64) -> (String, bool) {
    let mut kept = Vec::new();
    let Some(mut stream) = stream else { return (String::new(), false) };
    // What cannot be read any more is the end of it.
    let _ = (&mut stream).take(most).read_to_end(&mut kept).await;
    let rest = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.unwrap_or(0);
    (String::from_utf8_lossy(&kept).into_owned(), rest > 0)
}
