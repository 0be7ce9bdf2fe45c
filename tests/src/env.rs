//! An environment of a test's own: directories, variables, binaries.
//!
//! Invariant: nothing of the machine's environment reaches the programs under test, and when the environment is
//! dropped no process that knew it is alive and its directory is gone.

use crate::{Wire, eventually, processes};
use rustix::process::Signal;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};
use vibes_protocol::paths::StateDir;

/// An environment. Its directory is short, because a socket's path must be.
#[derive(Debug)]
pub struct TestEnv {
    root: PathBuf,
    bins: PathBuf,
    variables: BTreeMap<String, String>,
    /// Whether the directory stays behind, for whoever looks at what went wrong.
    keep: AtomicBool,
}

/// The directory of the binaries: `VIBES_BIN_DIR`, or where Cargo put them beside the test's own directory.
fn bins() -> PathBuf {
    let bins = std::env::var_os("VIBES_BIN_DIR").map(PathBuf::from).unwrap_or_else(|| {
        let test = std::env::current_exe().expect("a running test has a path");
        let deps = test.parent().expect("a program lies in a directory");
        if deps.ends_with("deps") { deps.parent().unwrap_or(deps).to_owned() } else { deps.to_owned() }
    });
    for name in ["vibes", "vibesd", "vibes-runner", "fake-agent"] {
        let path = bins.join(name);
        assert!(path.exists(), "{} is missing: run `just build` first, or set VIBES_BIN_DIR", path.display());
    }
    bins
}

impl TestEnv {
    /// An environment without a daemon.
    #[expect(clippy::new_without_default, reason = "it makes directories, which a default should not")]
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// An environment without a daemon, with more variables.
    pub fn with(more: &[(&str, &str)]) -> Self {
        let bins = bins();
        let id = uuid::Uuid::new_v4().simple().to_string();
        let root = PathBuf::from(format!("/tmp/vt-{}", &id[..10]));
        for dir in ["home", "work", "s", "cfg", "data", "cache", "state"] {
            fs::create_dir_all(root.join(dir)).expect("a temporary directory can be made");
        }
        let path = |dir: &str| root.join(dir).to_str().expect("our own paths are UTF-8").to_owned();
        let fake = format!("{} --log {}", bins.join("fake-agent").display(), path("fake.log"));
        let mut variables = BTreeMap::from([
            ("HOME", path("home")),
            ("XDG_CONFIG_HOME", path("cfg")),
            ("XDG_DATA_HOME", path("data")),
            ("XDG_CACHE_HOME", path("cache")),
            ("XDG_STATE_HOME", path("state")),
            ("VIBES_STATE_DIR", path("s")),
            ("VIBES_AGENT_FAKE", fake),
            ("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", bins.display())),
            ("LANG", "C.UTF-8".to_owned()),
            ("TZ", "UTC".to_owned()),
            ("USER", "tester".to_owned()),
            ("SHELL", "/bin/sh".to_owned()),
            ("RUST_BACKTRACE", "1".to_owned()),
        ]);
        for (name, value) in more {
            variables.insert(name, (*value).to_owned());
        }
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value));
        let mut variables: BTreeMap<String, String> = variables.collect();
        // Coverage is measured in the programs, too.
        variables
            .extend(std::env::var("LLVM_PROFILE_FILE").map(|file| ("LLVM_PROFILE_FILE".to_owned(), file)));
        let keep = AtomicBool::new(std::env::var_os("VIBES_TEST_KEEP").is_some());
        Self { root, bins, variables, keep }
    }

    /// An environment with a daemon that serves.
    pub fn started() -> Self {
        let env = Self::new();
        env.daemon();
        env
    }

    /// Leaves the directory behind when the environment ends; its processes end all the same.
    pub fn keep(&self) {
        self.keep.store(true, Ordering::Release);
    }

    /// The directory of everything.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path below it, as text.
    pub fn path(&self, below: &str) -> String {
        self.root.join(below).to_str().expect("our own paths are UTF-8").to_owned()
    }

    /// A directory for sessions to work in.
    pub fn work(&self) -> String {
        self.path("work")
    }

    /// The layout of the state directory.
    pub fn state(&self) -> StateDir {
        StateDir::new(self.root.join("s"))
    }

    /// One of the binaries under test.
    pub fn binary(&self, name: &str) -> PathBuf {
        self.bins.join(name)
    }

    /// The variables of every program in this environment.
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// Puts a directory at the end of everybody's `PATH`. Before a daemon is started.
    pub fn add_to_path(&mut self, dir: &Path) {
        let path = self.variables.entry("PATH".to_owned()).or_default();
        path.push_str(&format!(":{}", dir.display()));
    }

    /// Sets a variable of every program in this environment. Before a daemon is started.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.insert(name.to_owned(), value.to_owned());
    }

    /// What a client sends as `env` with `create_session`.
    pub fn client_env(&self) -> serde_json::Value {
        let sent =
            |name: &&str| self.variables.get(*name).map(|value| ((*name).to_owned(), value.clone().into()));
        ["PATH", "HOME", "USER", "SHELL", "LANG", "TZ"]
            .iter()
            .filter_map(sent)
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    /// A raw connection to the daemon.
    pub fn connect(&self) -> Wire {
        Wire::connect(&self.state().socket())
    }

    /// A raw connection that has said hello, as a client with a name of its own.
    pub fn client(&self, name: &str) -> Wire {
        let mut wire = self.connect();
        wire.hello(serde_json::json!({"identity": name}));
        wire
    }

    /// What the fake agents of this environment heard.
    pub fn heard(&self) -> Vec<crate::fake::Entry> {
        crate::fake::heard(&self.root.join("fake.log"))
    }

    /// The living processes that know this environment.
    pub fn processes(&self) -> Vec<processes::Process> {
        let root = self.path("");
        let state_id = fs::read_to_string(self.state().state_id()).unwrap_or_default();
        let mut words = vec![root.as_str()];
        words.extend(Some(state_id.trim()).filter(|id| !id.is_empty()));
        processes::mentioning(&words)
    }

    /// The end of every log of the daemon.
    fn logs(&self) -> String {
        let mut files: Vec<PathBuf> = fs::read_dir(self.state().logs())
            .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
            .unwrap_or_default();
        files.sort();
        let mut text = String::new();
        for file in files {
            let log = String::from_utf8_lossy(&fs::read(&file).unwrap_or_default()).into_owned();
            let from = log.lines().count().saturating_sub(200);
            text.push_str(&format!("--- {}\n", file.display()));
            log.lines().skip(from).for_each(|line| text.push_str(&format!("{line}\n")));
        }
        text
    }
}

impl Drop for TestEnv {
    #[expect(clippy::print_stderr, reason = "a failed test shows what the daemon said")]
    fn drop(&mut self) {
        let panicking = std::thread::panicking();
        if panicking {
            eprintln!("{}", self.logs());
        }
        // The orderly end, which is under test as well: after it nothing may be left.
        let stopped = self.try_vibes(&["daemon", "stop", "--agents"]);
        let mut left = self.processes();
        if !panicking && stopped.is_ok() {
            let until = std::time::Instant::now() + std::time::Duration::from_secs(5);
            while !left.is_empty() && std::time::Instant::now() < until {
                std::thread::sleep(std::time::Duration::from_millis(5));
                left = self.processes();
            }
        }
        // Killed one by one, until none is found: what was forking meanwhile shows up in the next look.
        for _ in 0..100 {
            let living = self.processes();
            if living.is_empty() {
                break;
            }
            living.iter().for_each(|process| processes::signal(process.pid, Signal::KILL));
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        if self.keep.load(Ordering::Acquire) {
            eprintln!("kept: {}", self.root.display());
        } else {
            // A file that cannot be removed is no reason to hide what the test found.
            let _ = fs::remove_dir_all(&self.root);
        }
        if !panicking {
            if let Err(why) = stopped {
                panic!("`vibes daemon stop --agents` failed at the end of the test: {why}");
            }
            assert!(left.is_empty(), "processes were left behind: {left:#?}");
        }
    }
}

impl TestEnv {
    /// Waits until the session's directory under `run` is gone, with everything in it.
    pub fn runner_gone(&self, session: &str) {
        let runners = self.state().runners();
        eventually("the runner's directory is removed", || {
            let mut names =
                fs::read_dir(&runners).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            (!names.any(|name| name.starts_with(session))).then_some(())
        });
    }
}
