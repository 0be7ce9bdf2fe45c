//! A real runner in a directory of its own, and the daemon's side of its socket.
//!
//! Invariant: nothing waits for ever (every wait ends at the rig's deadline), and when a rig goes, every process
//! that carried its marker must be gone; a test that leaves one fails.
#![allow(dead_code, unreachable_pub, reason = "each test binary includes it and uses its share")]

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use vibes_runner::spool;
use vibes_runner::wire::{Order, Refusal, Report, Standing, take_frame};

const SESSION: &str = "6a0e4c3a-1b1c-4c7e-9f00-000000000001";
static COUNT: AtomicU32 = AtomicU32::new(0);
static WATCHDOG: Once = Once::new();

/// Until it holds, looking often; panics at the deadline.
pub fn eventually(until: Instant, what: &str, mut holds: impl FnMut() -> bool) {
    while !holds() {
        assert!(Instant::now() < until, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether the process runs: a zombie does not.
pub fn alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

pub struct Rig {
    pub dir: PathBuf,
    root: PathBuf,
    pub marker: String,
    pub child: Child,
    pub until: Instant,
}

/// How to start a runner.
pub struct Plan {
    options: Vec<String>,
    agent: Vec<String>,
    deep: bool,
    marker: Option<String>,
}

impl Plan {
    pub fn new(agent: &[&str]) -> Self {
        let agent = agent.iter().map(|word| (*word).to_owned()).collect();
        Self { options: vec!["--ttl".into(), "90".into()], agent, deep: false, marker: None }
    }

    pub fn sh(script: &str) -> Self {
        Self::new(&["sh", "-c", script])
    }

    pub fn with(mut self, option: &str, value: &str) -> Self {
        self.options.extend([option.to_owned(), value.to_owned()]);
        self
    }

    pub fn deep(mut self) -> Self {
        self.deep = true;
        self
    }

    pub fn marker(mut self, marker: &str) -> Self {
        self.marker = Some(marker.to_owned());
        self
    }

    pub fn start(self) -> Rig {
        WATCHDOG.call_once(|| {
            // Every wait has a deadline of its own; this is for the ones that nobody thought of.
            std::thread::spawn(|| {
                std::thread::sleep(Duration::from_secs(240));
                std::process::abort();
            });
        });
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let state = format!("t{}-{number}", std::process::id());
        let root = std::env::temp_dir().join(format!("vibes-runner-{state}"));
        let dir = if self.deep { root.join("d".repeat(120)).join("e".repeat(80)) } else { root.join("1") };
        fs::create_dir_all(&dir).expect("make the directory");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).expect("mode");
        let marker = self.marker.unwrap_or_else(|| format!("{state}:{SESSION}.1"));
        // A descriptor that somebody forgot to close, and that the runner must not keep.
        let mut command = Command::new("sh");
        command.args(["-c", r#"exec 7</dev/null; exec "$0" "$@""#, env!("CARGO_BIN_EXE_vibes-runner")]);
        command.args(["--session", SESSION, "--gen", "1", "--dir"]).arg(&dir).arg("--cwd").arg(&root);
        command.args(&self.options).arg("--").args(&self.agent);
        command.env("VIBES_SESSION", &marker).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("start the runner");
        let mut said = String::new();
        // To the end: it is also the proof that the runner lets go of its parent's pipe.
        child.stdout.take().expect("piped").read_to_string(&mut said).expect("read");
        let marker = format!("VIBES_SESSION={marker}");
        let rig = Rig { dir, root, marker, child, until: Instant::now() + Duration::from_secs(50) };
        assert_eq!(said, "ready\n");
        rig
    }

    /// Started, greeted with fence 1, and going.
    pub fn go(self) -> (Rig, Daemon) {
        let rig = self.start();
        let mut daemon = rig.connect();
        daemon.hello(1);
        daemon.send(&Order::Go);
        assert!(daemon.stat().going);
        (rig, daemon)
    }
}

impl Rig {
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Through the open directory: its path may be longer than a socket's may be.
    pub fn connect(&self) -> Daemon {
        let dir = fs::File::open(&self.dir).expect("open the directory");
        let path = format!("/proc/self/fd/{}/{}", dir.as_raw_fd(), spool::SOCKET);
        let stream = UnixStream::connect(path).expect("connect");
        stream.set_read_timeout(Some(Duration::from_millis(50))).expect("timeout");
        stream.set_write_timeout(Some(Duration::from_secs(20))).expect("timeout");
        Daemon { stream, inbox: Vec::new(), until: self.until }
    }

    pub fn segments(&self) -> Vec<(u64, PathBuf)> {
        spool::segments(&self.dir).unwrap_or_default()
    }

    /// Everything in the spool, which must have neither holes nor overlaps.
    pub fn spooled(&self) -> Vec<u8> {
        let mut all = Vec::new();
        for (offset, path) in self.segments() {
            assert_eq!(offset, all.len() as u64, "segments join");
            all.extend(fs::read(path).expect("read a segment"));
        }
        all
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.spooled()).into_owned()
    }

    pub fn eventually(&self, what: &str, holds: impl FnMut() -> bool) {
        eventually(self.until, what, holds);
    }

    pub fn wait_text(&self, part: &str) -> String {
        self.eventually(part, || self.text().contains(part));
        self.text()
    }

    pub fn file(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap_or_default()
    }

    pub fn wait_end(&mut self) -> ExitStatus {
        let mut status = None;
        let until = self.until;
        eventually(until, "the runner ends", || {
            status = self.child.try_wait().expect("wait");
            status.is_some()
        });
        status.expect("ended")
    }

    pub fn limit_files(&self, bytes: Option<u64>) {
        use rustix::process::{Pid, Resource, Rlimit, prlimit};
        let limit = Rlimit { current: bytes, maximum: None };
        prlimit(Pid::from_raw(self.pid()), Resource::Fsize, limit).expect("prlimit");
    }

    pub fn kill_runner(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The orderly way even after a failure: it finds what hides its environment as well.
    fn stop_anyhow(&mut self) {
        let Ok(dir) = fs::File::open(&self.dir) else { return };
        let path = format!("/proc/self/fd/{}/{}", dir.as_raw_fd(), spool::SOCKET);
        let Ok(mut stream) = UnixStream::connect(path) else { return };
        let hello = Order::Hello { protocol: 1, fence: u64::MAX };
        for order in [hello, Order::Stop { eof_ms: 0, term_ms: 0 }] {
            let _ = stream.write_all(&order.encode());
        }
        let until = Instant::now() + Duration::from_secs(5);
        while self.child.try_wait().is_ok_and(|status| status.is_none()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Who carries the marker, the runner aside.
    pub fn marked(&self) -> Vec<i32> {
        let pids = fs::read_dir("/proc").expect("proc").flatten();
        pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
            .filter(|&pid| pid != self.pid() && alive(pid))
            .filter(|pid| {
                let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                environment.split(|&byte| byte == 0).any(|entry| entry == self.marker.as_bytes())
            })
            .collect()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.stop_anyhow();
            self.kill_runner();
        }
        // PDEATHSIG needs a moment.
        let until = Instant::now() + Duration::from_secs(3);
        while !self.marked().is_empty() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        let left = self.marked();
        for pid in &left {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
        let _ = fs::remove_dir_all(&self.root);
        if !std::thread::panicking() {
            assert!(left.is_empty(), "processes left behind: {left:?}");
        }
    }
}

pub struct Daemon {
    pub stream: UnixStream,
    inbox: Vec<u8>,
    until: Instant,
}

impl Daemon {
    pub fn send(&mut self, order: &Order) {
        self.stream.write_all(&order.encode()).expect("send");
    }

    /// The next report, or `None` at the end of the connection.
    pub fn next(&mut self) -> Option<Report> {
        loop {
            if let Some(payload) = take_frame(&mut self.inbox).expect("frame") {
                return Some(Report::decode(&payload).expect("report"));
            }
            assert!(Instant::now() < self.until, "no report came");
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(count) => self.inbox.extend_from_slice(&chunk[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("read: {error}"),
            }
        }
    }

    /// Until the runner has closed the connection, whatever it still says.
    pub fn closed(&mut self) {
        while self.next().is_some() {}
    }

    /// The next report that `pick` takes; others are dropped.
    pub fn wait<T>(&mut self, pick: impl Fn(&Report) -> Option<T>) -> T {
        loop {
            let report = self.next().expect("the runner closed the connection");
            if let Some(found) = pick(&report) {
                return found;
            }
        }
    }

    pub fn hello(&mut self, fence: u64) -> Standing {
        self.send(&Order::Hello { protocol: 1, fence });
        self.wait(|report| match report {
            Report::Hello(standing) => Some(standing.clone()),
            _ => None,
        })
    }

    pub fn stat(&mut self) -> Standing {
        self.send(&Order::Stat);
        self.wait(|report| match report {
            Report::Stat(standing) => Some(standing.clone()),
            _ => None,
        })
    }

    pub fn write(&mut self, in_seq: u64, bytes: &[u8]) -> Result<(), Refusal> {
        // Any hash will do: the runner only compares.
        let mut hash = [0; 32];
        hash[..4].copy_from_slice(&crc32fast::hash(bytes).to_le_bytes());
        self.send(&Order::Write { in_seq, hash, bytes: bytes.to_vec() });
        self.answer(in_seq)
    }

    pub fn answer(&mut self, in_seq: u64) -> Result<(), Refusal> {
        self.wait(|report| match report {
            Report::Ack { in_seq: number } if *number == in_seq => Some(Ok(())),
            Report::Refused { in_seq: number, why } if *number == in_seq => Some(Err(*why)),
            _ => None,
        })
    }

    /// Asks for the ladder and waits for its end.
    pub fn stop(&mut self, eof_ms: u32, term_ms: u32) -> Vec<i32> {
        self.send(&Order::Stop { eof_ms, term_ms });
        self.stopped()
    }

    pub fn stopped(&mut self) -> Vec<i32> {
        self.wait(|report| match report {
            Report::Stopped { left } => Some(left.clone()),
            _ => None,
        })
    }
}

pub fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("metadata").permissions().mode() & 0o777
}

/// A process that is no descendant of any runner, and does not outlive the test.
pub struct Bystander(Child);

impl Bystander {
    pub fn start(marker: &str) -> Self {
        let mut command = Command::new("sleep");
        command.arg("1000").env("VIBES_SESSION", marker);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("spawn"))
    }

    pub fn alive(&self) -> bool {
        alive(self.0.id() as i32)
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
