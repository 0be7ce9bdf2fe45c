//! Named places in the code where a test makes a program die, panic or stand still.
//!
//! Invariant: a program built without the feature `points` has nothing of this: [`hit`] is empty. With it, a point does
//! something only when the environment says so: `VIBES_POINTS=NAME=ACTION[@N],…`, where ACTION is `kill` (SIGKILL to
//! itself), `panic` or `hold`, at the N-th time this process comes by, or every time. A held program tells the socket
//! `VIBES_POINTS_SOCKET` where it stands (`NAME HIT PID`) and does what it hears: `go`, `kill` or `panic`.
//!
//! A test sets the wall clock through a file: `VIBES_CLOCK` names one that holds the milliseconds to add.

pub use armed::{clock_skew_ms, hand_on, hit, part, withhold};

/// What arms points.
pub const PLAN: &str = "VIBES_POINTS";
/// Where held programs report.
pub const SOCKET: &str = "VIBES_POINTS_SOCKET";
/// Names the file that sets the wall clock.
pub const CLOCK: &str = "VIBES_CLOCK";

macro_rules! points {
    ($($(#[$doc:meta])+ $point:ident = $name:literal,)+) => {
        /// A place in the code of the daemon or the runner.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Point { $($(#[$doc])+ $point,)+ }

        /// Every point there is.
        pub const ALL: &[Point] = &[$(Point::$point,)+];

        impl Point {
            /// As `VIBES_POINTS` calls it. Those of the runner begin with `runner.`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$point => $name,)+ }
            }
        }
    };
}

points! {
    /// The daemon's lock is held.
    LockTaken = "lock.taken",
    /// The tables of the store are made or changed, and that is not committed.
    Migrate = "migrate",
    /// The store is open, and this start's number is in it.
    StoreOpened = "store.opened",
    /// The socket listens.
    BindDone = "bind.done",
    /// Whoever started the daemon was told that it serves.
    ReadySaid = "ready.said",
    /// A runner of an earlier daemon has answered.
    AdoptUp = "adopt.up",
    /// Its spool is read as far as it reached then.
    AdoptDone = "adopt.done",
    /// Lines of an agent are read and nobody knows them yet.
    IngestRead = "ingest.read",
    /// A transaction has begun, of ingestion or of commands.
    CommitBegin = "commit.begin",
    /// Everything of the transaction is written and not committed.
    CommitApplied = "commit.applied",
    /// It is committed, and nobody was told.
    CommitDone = "commit.done",
    /// A session knows that what its agent wrote is committed.
    IngestCommitted = "ingest.committed",
    /// Subscribers were woken.
    IngestNotified = "ingest.notified",
    /// A whole segment of a spool is about to go.
    GcBeforeUnlink = "gc.before_unlink",
    /// It is gone.
    GcAfterUnlink = "gc.after_unlink",
    /// A session has taken commands from its inbox.
    CmdReceived = "cmd.received",
    /// What they change is committed.
    CmdCommitted = "cmd.committed",
    /// An answer is in the client's socket.
    CmdReplied = "cmd.replied",
    /// Half of an order is in the runner's socket.
    OutHalfFrame = "out.half_frame",
    /// All of it is.
    OutSent = "out.sent",
    /// The runner has logged a frame, and the session does not know.
    OutAcked = "out.acked",
    /// A question of the agent is committed.
    PermIngested = "perm.ingested",
    /// The answer to one is committed, and the agent was given nothing.
    PermCommitted = "perm.committed",
    /// A worktree is noted in the state directory, and git has made nothing.
    WorktreeNoted = "worktree.noted",
    /// Git has made it, and no session has it.
    WorktreeMade = "worktree.made",
    /// A ref holds what a merge or a drop could lose, and nothing is changed.
    WorktreeSaved = "worktree.saved",
    /// A worktree is removed, and its branch is not.
    WorktreeRemoved = "worktree.removed",
    /// A new session has its row and no task.
    NewRow = "new.row",
    /// A runner's process was started.
    NewRunnerSpawned = "new.runner_spawned",
    /// It said that it is ready, and nobody was told.
    NewRunnerReady = "new.runner_ready",
    /// The agent's first answers are committed: the session can be used.
    NewAcpInit = "new.acp_init",
    /// A stop is committed, and nobody was told to stop.
    CloseBegun = "close.begun",
    /// The agent and its runner are gone, and that is not committed.
    CloseGone = "close.gone",
    /// The runner's directory is removed.
    CloseDirRemoved = "close.dir_removed",
    /// A session that rests is out of the registry, and its task has not ended.
    Retired = "retired",
    /// A session that rested is read back, and nobody can find it yet.
    Woken = "woken",
    /// The store's log is copied, and that is not noted.
    Checkpoint = "checkpoint",
    /// Records are replaced by their packed form, and that is not committed.
    Pack = "pack",
    /// A session is purged, and nobody was told; its records are still there.
    Purged = "purged",
    /// Its files are removed.
    PurgeFiles = "purge.files",
    /// Some of its records are erased, and that is not committed.
    PurgeSlice = "purge.slice",
    /// All of them are, and what was left of them in the log; the store still names it.
    PurgeLog = "purge.log",
    /// Documents of the search index are made, and nothing of them is written.
    IndexBegin = "index.begin",
    /// They are written, and that is not committed.
    IndexWritten = "index.written",
    /// It is.
    IndexCommitted = "index.committed",
    /// Some documents of a session are forgotten, and that is not committed.
    IndexForgets = "index.forgets",
    /// Some of what is left of forgotten documents is removed.
    IndexScrubs = "index.scrubs",
    /// Some turns of a store that had no ledger are in it, and others are not.
    LedgerTold = "ledger.told",
    /// A piece of a session that is taken in is committed; the session is nobody's yet.
    Staged = "staged",
    /// A session was taken in, and nobody was told.
    Settled = "settled",
    /// The daemon has begun to stop.
    StopBegun = "stop.begun",
    /// It let go of its sessions.
    StopLetGo = "stop.let_go",
    /// The store is closed; the socket and the lock are still there.
    StopClosed = "stop.closed",
    /// The runner's socket listens.
    RunnerBound = "runner.bound",
    /// `meta.json` is written beside its name.
    RunnerMetaTmp = "runner.meta.tmp",
    /// It has its name.
    RunnerMetaRenamed = "runner.meta.renamed",
    /// The runner said that it is ready.
    RunnerReady = "runner.ready",
    /// It is told to go, and there is no agent yet.
    RunnerGo = "runner.go",
    /// The agent runs, and `meta.json` does not name it.
    RunnerSpawned = "runner.spawned",
    /// Output is read from the agent and nowhere else.
    RunnerRead = "runner.read",
    /// Half of it is in the spool.
    RunnerSpoolPartial = "runner.spool.partial",
    /// All of it is, and nobody was told.
    RunnerSpoolDone = "runner.spool.done",
    /// A frame is in the log, and the agent got nothing of it.
    RunnerInLogged = "runner.in.logged",
    /// The agent was written half of it.
    RunnerInPartial = "runner.in.partial",
    /// The agent was written all of it, and the daemon was not told.
    RunnerInDone = "runner.in.done",
    /// The agent's end is known to the runner alone.
    RunnerReaped = "runner.reaped",
    /// `exit.json` is written beside its name.
    RunnerExitTmp = "runner.exit.tmp",
    /// It has its name.
    RunnerExitRenamed = "runner.exit.renamed",
}

#[cfg(not(feature = "points"))]
mod armed {
    use super::Point;
    use std::process::Command;

    /// Nothing.
    #[inline(always)]
    pub fn hit(_point: Point) {}

    /// None.
    #[inline(always)]
    pub fn clock_skew_ms() -> i64 {
        0
    }

    /// All of it.
    #[inline(always)]
    pub fn part(_point: Point, whole: usize) -> usize {
        whole
    }

    /// Nothing.
    #[inline(always)]
    pub fn hand_on() -> impl Iterator<Item = (&'static str, String)> {
        std::iter::empty()
    }

    /// Nothing.
    #[inline(always)]
    pub fn withhold(_from: &mut Command) {}
}

#[cfg(feature = "points")]
mod armed {
    use super::{ALL, CLOCK, PLAN, Point, SOCKET};
    use std::{
        io::{BufRead, BufReader, Write},
        os::unix::net::UnixStream,
        path::PathBuf,
        process::Command,
        sync::{
            LazyLock,
            atomic::{AtomicU32, Ordering},
        },
    };

    #[derive(Clone, Copy)]
    enum Action {
        Kill,
        Panic,
        Hold,
    }

    impl Action {
        fn named(name: &str) -> Option<Self> {
            match name {
                "kill" => Some(Self::Kill),
                "panic" => Some(Self::Panic),
                "hold" => Some(Self::Hold),
                _ => None,
            }
        }
    }

    struct Armed {
        point: Point,
        action: Action,
        /// At which time; every time when there is none.
        at: Option<u32>,
        hits: AtomicU32,
    }

    static ARMED: LazyLock<Vec<Armed>> = LazyLock::new(|| {
        let plan = std::env::var(PLAN).unwrap_or_default();
        plan.split(',')
            .filter(|entry| !entry.is_empty())
            .map(|entry| parse(entry).unwrap_or_else(|| panic!("{PLAN}: {entry:?} is no NAME=ACTION[@N]")))
            .collect()
    });

    fn parse(entry: &str) -> Option<Armed> {
        let (name, action) = entry.split_once('=')?;
        let (action, at) = match action.split_once('@') {
            Some((action, at)) => (action, Some(at.parse().ok()?)),
            None => (action, None),
        };
        let point = *ALL.iter().find(|point| point.name() == name)?;
        Some(Armed { point, action: Action::named(action)?, at, hits: AtomicU32::new(0) })
    }

    /// What a test adds to the wall clock.
    pub fn clock_skew_ms() -> i64 {
        static FILE: LazyLock<Option<PathBuf>> = LazyLock::new(|| std::env::var_os(CLOCK).map(PathBuf::from));
        let Some(text) = FILE.as_ref().and_then(|file| std::fs::read_to_string(file).ok()) else { return 0 };
        text.trim().parse().unwrap_or_else(|_| panic!("{CLOCK}: {text:?} is no number of milliseconds"))
    }

    /// The program comes by here.
    pub fn hit(point: Point) {
        for armed in ARMED.iter().filter(|armed| armed.point == point) {
            let hit = armed.hits.fetch_add(1, Ordering::Relaxed) + 1;
            if armed.at.is_none_or(|at| at == hit) {
                act(armed.action, point, hit);
            }
        }
    }

    /// How much of a whole is done before the point is hit: half, rounded down, of what can be halved when the point
    /// is armed; else all, and the point is not hit.
    pub fn part(point: Point, whole: usize) -> usize {
        if whole > 1 && ARMED.iter().any(|armed| armed.point == point) { whole / 2 } else { whole }
    }

    fn act(action: Action, point: Point, hit: u32) {
        match action {
            Action::Kill => die(),
            Action::Panic => panic!("the point {} is reached for the {hit}. time", point.name()),
            // Nobody to ask means that the test is over: the program must not outlive it.
            Action::Hold => match ask(point, hit).as_deref().map(str::trim) {
                Some("go") => {}
                Some("panic") => act(Action::Panic, point, hit),
                _ => die(),
            },
        }
    }

    fn die() -> ! {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        // The signal is on its way; nothing may happen after it.
        loop {
            std::thread::park();
        }
    }

    fn ask(point: Point, hit: u32) -> Option<String> {
        let stream = UnixStream::connect(std::env::var_os(SOCKET)?).ok()?;
        writeln!(&stream, "{} {hit} {}", point.name(), std::process::id()).ok()?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).ok()?;
        Some(answer)
    }

    /// What a runner needs to have the same points armed: its environment is made from nothing.
    pub fn hand_on() -> impl Iterator<Item = (&'static str, String)> {
        [PLAN, SOCKET].into_iter().filter_map(|name| Some((name, std::env::var(name).ok()?)))
    }

    /// An agent has none.
    pub fn withhold(from: &mut Command) {
        from.env_remove(PLAN).env_remove(SOCKET);
    }
}
