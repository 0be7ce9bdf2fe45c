//! What the daemon holds at a moment, from outside; and what many such moments say.
//!
//! Invariant: only looks: at `/proc`, at the state directory, and at the store through a reader of its own.

use crate::{PATIENCE, TestEnv, processes};
use rusqlite::{Connection, OpenFlags};
use std::{
    fmt, fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// How much the daemon's memory may grow in an hour of churn, in KiB: nothing is kept of a session that has ended.
const PER_HOUR_KIB: f64 = 1024.0;
/// How much a look may be off, in KiB: what is at work at that moment, and what the allocator keeps of it.
const NOISE_KIB: f64 = 2048.0;
/// How much a run may grow that is too short to have a slope, in KiB: the board's ring fills up, buffers find their size.
const SLACK_KIB: f64 = 12.0 * 1024.0;
/// How many looks make one: the least of them. What is at work when the daemon is looked at comes and goes by many
/// megabytes; what is never given back is in the least as well.
const LEAST_OF: usize = 6;
/// How many such looks a slope takes.
const SLOPE: usize = 6;

/// One moment.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    seconds: u64,
    rss: u64,
    /// What is the daemon's own: the rest of `rss` is programs and the store's file, which the kernel takes back.
    own: u64,
    /// Descriptors, those of the store aside, of which readers keep a few.
    open: usize,
    store_open: usize,
    threads: u64,
    children: usize,
    runners: usize,
    /// Files and directories below the state directory.
    files: usize,
    store_kib: u64,
    log_kib: u64,
    sessions: i64,
    records: i64,
    /// Small rows.
    items: i64,
}

impl Sample {
    pub(super) const HEAD: &str = "    sec  rss KiB  own KiB  fds  store fds  threads  children  runners  files   db KiB  wal KiB  sessions   records   rows";

    /// Whether it holds no more than another. A first look may have met a descriptor on its way to be closed.
    fn is_back(&self, before: &Self) -> bool {
        let what = |sample: &Self| (sample.children, sample.runners, sample.files);
        self.open <= before.open && what(self) == what(before)
    }

    fn is_empty(&self) -> bool {
        (self.children, self.runners) == (0, 0)
    }
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:7} {:8} {:8} {:4} {:10} {:8} {:9} {:8} {:6} {:8} {:8} {:9} {:9} {:6}",
            self.seconds,
            self.rss,
            self.own,
            self.open,
            self.store_open,
            self.threads,
            self.children,
            self.runners,
            self.files,
            self.store_kib,
            self.log_kib,
            self.sessions,
            self.records,
            self.items
        )
    }
}

pub(super) struct Watch<'a> {
    env: &'a TestEnv,
    daemon: i32,
    began: Instant,
    next: Instant,
    samples: Vec<Sample>,
}

/// The log begins a new file at midnight, the command line notes what it used last, and what the shell agent keeps of a
/// session stays as long as the session can be undeleted.
fn count(dir: &Path) -> usize {
    let entries = fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    let stays = ["last-session", "log", "agents"];
    let entries = entries.filter(|entry| !stays.iter().any(|name| entry.file_name() == *name));
    entries.map(|entry| 1 + if entry.path().is_dir() { count(&entry.path()) } else { 0 }).sum()
}

impl<'a> Watch<'a> {
    /// How often the daemon is looked at.
    pub(super) const EVERY: Duration = Duration::from_secs(5);

    pub(super) fn new(env: &'a TestEnv) -> Self {
        let daemon = env.running_daemon().expect("it was started").pid;
        Self { env, daemon, began: Instant::now(), next: Instant::now(), samples: Vec::new() }
    }

    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    /// Looks, and keeps what it saw.
    pub(super) fn look(&mut self, show: bool) {
        self.next = Instant::now() + Self::EVERY;
        let sample = self.sample();
        if show {
            self.show(&sample);
        }
        self.samples.push(sample);
    }

    #[expect(clippy::print_stdout, reason = "the table is what it is for")]
    fn show(&self, sample: &Sample) {
        if self.samples.len().is_multiple_of(20) {
            println!("{}", Sample::HEAD);
        }
        println!("{sample}");
    }

    fn sample(&self) -> Sample {
        let kib = |path: &Path| fs::metadata(path).map_or(0, |file| file.len() / 1024);
        let (store, pid) = (self.env.state().store(), self.daemon);
        let reader = Connection::open_with_flags(&store, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("it opens");
        reader.busy_timeout(PATIENCE).expect("a timeout can be set");
        let (sessions, records) = reader
            .query_row("SELECT count(*), coalesce(sum(head), 0) FROM session", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .expect("the store is read");
        let items = reader.query_row("SELECT count(*) FROM item", [], |row| row.get(0)).expect("it is read");
        let open = processes::open_files(pid);
        let of_store = open.iter().filter(|file| file.contains("/vibes.db")).count();
        Sample {
            seconds: self.began.elapsed().as_secs(),
            rss: processes::memory_kib(pid, "VmRSS:"),
            own: processes::memory_kib(pid, "RssAnon:"),
            open: open.len() - of_store,
            store_open: of_store,
            threads: processes::threads(pid),
            children: processes::children(pid).len(),
            runners: count_runners(self.env),
            files: count(self.env.state().root()),
            store_kib: kib(&store),
            log_kib: kib(&store.with_file_name("vibes.db-wal")),
            sessions,
            records,
            items,
        }
    }

    /// Looks when all is at rest: nothing of the sessions is left, and, when `before` is given, all is as it was.
    #[track_caller]
    pub(super) fn settled(&self, before: Option<&Sample>) -> Sample {
        let until = Instant::now() + PATIENCE;
        loop {
            let now = self.sample();
            if before.map_or(now.is_empty(), |before| now.is_back(before)) {
                return now;
            }
            let before = before.map(Sample::to_string).unwrap_or_default();
            assert!(
                Instant::now() < until,
                "descriptors, children, runners and files do not return:\n{}\n{before}\n{now}\n{:#?}",
                Sample::HEAD,
                processes::open_files(self.daemon)
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Says what the samples mean. Panics when memory has grown with the churn.
    #[expect(clippy::print_stdout, reason = "the verdict is what it is for")]
    pub(super) fn verdict(&self, before: &Sample, after: &Sample, warmed: u64, sessions: u64) {
        let growth = after.own as f64 - before.own as f64;
        let each = growth / sessions.max(1) as f64;
        // What the allocator keeps levels off, and the board's ring is full then: what matters is how it goes on.
        let late = &self.samples[self.samples.len() / 3..];
        let late: Vec<&Sample> = late
            .chunks_exact(LEAST_OF)
            .filter_map(|some| some.iter().min_by_key(|sample| sample.own))
            .collect();
        let per_hour = slope(&late, |sample| sample.seconds as f64 / 3600.0);
        let per_session = slope(&late, |sample| sample.sessions as f64);
        println!(
            "soak: {sessions} sessions after {warmed} of warming up, {} records; own memory {growth:+.0} KiB, {each:.1} KiB \
             a session; after a third of the time {:+.1} MiB/h, {per_session:+.2} KiB a session",
            after.records,
            per_hour / 1024.0
        );
        let (growth, allowed) = match late[..] {
            [first, .., last] if late.len() >= SLOPE => {
                let hours = (last.seconds - first.seconds) as f64 / 3600.0;
                (per_hour * hours, NOISE_KIB + PER_HOUR_KIB * hours)
            }
            _ => (growth, SLACK_KIB),
        };
        assert!(growth <= allowed, "the daemon has grown by {growth:.0} KiB, {allowed:.0} are allowed");
    }
}

/// The slope of memory over something, by least squares; in KiB.
fn slope(samples: &[&Sample], over: impl Fn(&Sample) -> f64) -> f64 {
    let count = samples.len().max(1) as f64;
    let mean = |of: &dyn Fn(&Sample) -> f64| samples.iter().map(|sample| of(sample)).sum::<f64>() / count;
    let (x, y) = (mean(&over), mean(&|sample| sample.own as f64));
    let (mut both, mut square) = (0.0, 0.0);
    for sample in samples {
        let away = over(sample) - x;
        both += away * (sample.own as f64 - y);
        square += away * away;
    }
    if square > 0.0 { both / square } else { 0.0 }
}

fn count_runners(env: &TestEnv) -> usize {
    let entries = fs::read_dir(env.state().runners()).into_iter().flatten().filter_map(Result::ok);
    // Beside them lies the seal of the store.
    entries.filter(|entry| entry.path().is_dir()).count()
}
