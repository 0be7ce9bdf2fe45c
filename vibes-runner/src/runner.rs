//! The loop: one thread, one poll, everything else non-blocking.
//!
//! Invariant: poll only says that there is something to do; every round then tries everything, each for a bounded
//! amount, so that nobody (agent, daemon, disk) can keep the others from their turn. A phase only moves forward:
//! waiting → running → draining → sweeping → finishing → leaving.

use std::fs;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, WaitOptions, wait};
use vibes_runner::points::{self, Point};
use vibes_runner::spool::{self, ERR_NEW, ERR_OLD, IN_LOG, META, SOCKET};
use vibes_runner::wire::{Exit, Report};

use crate::agent::{self, Agent};
use crate::args::Args;
use crate::control::Connection;
use crate::input::Input;
use crate::output::{Output, Ring};
use crate::record::{self, Identity};
use crate::system;

/// How often the directory, the time to live and stray children are looked at.
const TICK: Duration = Duration::from_secs(2);
/// How long a grandchild may hold standard output open after the agent's exit.
const DRAIN: Duration = Duration::from_secs(2);
/// How long killed processes may take to disappear, and how soon to look again.
const SWEEP: (Duration, Duration) = (Duration::from_secs(2), Duration::from_millis(4));
/// How long the last reports may take to be read.
const FAREWELL: Duration = Duration::from_secs(1);
/// The ladder's rungs when no daemon is there to say.
const RUNGS: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(3));
/// How much output is spooled before the others have their turn, in bytes.
const TURN: u64 = 1 << 20;

#[derive(Debug, Clone, Copy)]
enum Phase {
    Waiting { until: Instant },
    Running,
    Draining { until: Instant },
    Sweeping { until: Instant },
    Finishing,
    Leaving { until: Instant },
}

/// Where a stop has come to: standard input is closed, or TERM was sent too (`termed`).
#[derive(Debug)]
struct Ladder {
    termed: bool,
    until: Instant,
    term: Duration,
}

/// The whole state.
#[derive(Debug)]
pub(crate) struct Runner {
    args: Args,
    pub(crate) who: Identity,
    phase: Phase,
    pub(crate) listener: UnixListener,
    /// Accepting failed (no descriptors): not tried again before the next tick.
    pub(crate) deaf: bool,
    pub(crate) connections: Vec<Connection>,
    pub(crate) fence: u64,
    pub(crate) agent: Option<Agent>,
    pub(crate) agent_pid: i32,
    pub(crate) going: bool,
    pub(crate) exit: Option<Exit>,
    pub(crate) input: Input,
    pub(crate) output: Output,
    errors: Ring,
    ladder: Option<Ladder>,
    /// Somebody waits for `Stopped`.
    pub(crate) stop_asked: bool,
    /// What outlived the sweep.
    left: Vec<i32>,
    /// `meta.json` does not name the agent yet.
    stale_meta: bool,
    /// Consecutive looks at a directory that is not ours any more.
    misses: u8,
    /// The directory is lost: kill and go, write nothing.
    abandoned: bool,
    tick: Instant,
    /// When a controller was last there.
    attended: Instant,
    /// What the controller knows of the spool.
    pub(crate) told: (u64, bool),
}

impl Runner {
    pub(crate) fn new(args: Args, who: Identity, listener: UnixListener, input: Input) -> Self {
        let now = Instant::now();
        Self {
            phase: Phase::Waiting { until: now + args.go_timeout },
            output: Output::new(args.budget, args.shared),
            args,
            who,
            listener,
            deaf: false,
            connections: Vec::new(),
            fence: 0,
            agent: None,
            agent_pid: 0,
            going: false,
            exit: None,
            input,
            errors: Ring::default(),
            ladder: None,
            stop_asked: false,
            left: Vec::new(),
            stale_meta: false,
            misses: 0,
            abandoned: false,
            tick: now + TICK,
            attended: now,
            told: (0, false),
        }
    }

    /// Until there is nothing left to do.
    pub(crate) fn run(mut self) {
        loop {
            let now = Instant::now();
            self.accept();
            self.serve(now);
            self.errors.pump();
            self.output.pump(TURN, now);
            self.input.pump();
            self.reap(now);
            self.look(now);
            let over = self.advance(now);
            self.tell();
            let said = !self.connections.iter().any(Connection::has_unsent);
            match self.phase {
                _ if over => return,
                Phase::Leaving { until } if said || now >= until => {
                    let _ = fs::remove_file(SOCKET);
                    return;
                }
                _ => self.sleep(),
            }
        }
    }

    fn sleep(&self) {
        let mut fds = Vec::with_capacity(12);
        if !self.deaf {
            fds.push(PollFd::new(&self.listener, PollFlags::IN));
        }
        fds.extend(self.connections.iter().map(|peer| PollFd::new(&peer.stream, peer.interest())));
        fds.extend(self.output.readable().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        fds.extend(self.errors.readable().map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        fds.extend(self.input.waiting().map(|pipe| PollFd::new(pipe, PollFlags::OUT)));
        let watch = self.agent.as_ref().map(|agent| agent.watch.as_ref());
        fds.extend(watch.flatten().map(|watch| PollFd::new(watch, PollFlags::IN)));
        let now = Instant::now();
        let phase = match self.phase {
            Phase::Waiting { until } | Phase::Draining { until } | Phase::Leaving { until } => Some(until),
            Phase::Sweeping { .. } => Some(now + SWEEP.1),
            Phase::Finishing => Some(now + FAREWELL),
            Phase::Running => None,
        };
        let ladder = self.ladder.as_ref().filter(|_| matches!(self.phase, Phase::Running)).map(|l| l.until);
        // Without a pidfd the agent's exit is asked for.
        let blind = matches!(watch, Some(None)).then(|| now + Duration::from_millis(100));
        let wake =
            [phase, ladder, self.output.retry, blind].into_iter().flatten().fold(self.tick, Instant::min);
        let pause = wake.saturating_duration_since(now);
        let pause = Timespec { tv_sec: pause.as_secs() as _, tv_nsec: pause.subsec_nanos() as _ };
        if let Err(error) = poll(&mut fds, Some(&pause))
            && error != rustix::io::Errno::INTR
        {
            // No memory, presumably: everything is tried anyway, only not in a spin.
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub(crate) fn go(&mut self) {
        if !matches!(self.phase, Phase::Waiting { .. }) {
            return;
        }
        self.going = true;
        points::hit(Point::RunnerGo);
        match agent::spawn(&self.args) {
            Ok((agent, (stdin, stdout, stderr))) => {
                self.agent_pid = agent.pid.as_raw_nonzero().get();
                self.agent = Some(agent);
                self.input.connect(stdin);
                self.output.connect(stdout);
                self.errors.connect(stderr);
                points::hit(Point::RunnerSpawned);
                self.stale_meta = record::write_meta(&self.who, self.agent_pid).is_err();
                self.phase = Phase::Running;
            }
            Err(start_errno) => self.end(Exit { code: -1, signal: 0, start_errno }),
        }
    }

    /// For an agent that never ran.
    fn end(&mut self, exit: Exit) {
        self.exit = Some(exit);
        self.phase = Phase::Finishing;
    }

    /// Begins the ladder, or shortens what is left of it.
    pub(crate) fn stop(&mut self, eof: Duration, term: Duration, now: Instant) {
        match (self.phase, &mut self.ladder) {
            (Phase::Waiting { .. }, _) => self.end(Exit { code: -1, signal: 0, start_errno: 0 }),
            (Phase::Running, None) => {
                self.input.close();
                self.ladder = Some(Ladder { termed: false, until: now + eof, term });
            }
            (Phase::Running, Some(ladder)) => {
                let rung = if ladder.termed { term } else { eof };
                ladder.until = ladder.until.min(now + rung);
                ladder.term = ladder.term.min(term);
            }
            (Phase::Draining { .. }, _) => self.phase = Phase::Sweeping { until: now + SWEEP.0 },
            (Phase::Sweeping { .. } | Phase::Finishing | Phase::Leaving { .. }, _) => {}
        }
    }

    /// Collects every dead child: the agent, and the orphans a subreaper inherits.
    fn reap(&mut self, now: Instant) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if self.agent.as_ref().is_none_or(|agent| agent.pid != pid) {
                continue;
            }
            self.agent = None;
            points::hit(Point::RunnerReaped);
            self.input.close();
            let (code, signal) = (status.exit_status(), status.terminating_signal());
            self.exit = Some(Exit { code: code.unwrap_or(-1), signal: signal.unwrap_or(0), start_errno: 0 });
            if matches!(self.phase, Phase::Running) {
                // On a stop nobody may go on writing; by itself, what it started may have a last word.
                let stopping = self.ladder.is_some();
                self.phase = if stopping {
                    Phase::Sweeping { until: now + SWEEP.0 }
                } else {
                    Phase::Draining { until: now + DRAIN }
                };
            }
        }
    }

    /// What is looked at every now and then.
    fn look(&mut self, now: Instant) {
        if self.connections.iter().any(|peer| peer.greeted) {
            self.attended = now;
        }
        if now < self.tick {
            return;
        }
        self.tick = now + TICK;
        self.deaf = false;
        self.misses = if self.who.holds(&self.args.dir) { 0 } else { self.misses.saturating_add(1) };
        if self.misses >= 2 && !self.abandoned {
            self.abandoned = true;
            self.kill(now);
        } else if self.stale_meta && self.misses == 0 {
            self.stale_meta = record::write_meta(&self.who, self.agent_pid).is_err();
        }
        if self.args.ttl.is_some_and(|ttl| now >= self.attended + ttl) && self.ladder.is_none() {
            self.stop(RUNGS.0, RUNGS.1, now);
        }
    }

    fn kill(&mut self, now: Instant) {
        if let Some(agent) = &self.agent {
            agent.signal(Signal::KILL);
        }
        self.phase = Phase::Sweeping { until: now + SWEEP.0 };
    }

    /// Moves through the phases as far as it goes; true when nothing is left to do or to say.
    fn advance(&mut self, now: Instant) -> bool {
        if let (Phase::Running, Some(ladder), Some(agent)) = (self.phase, &mut self.ladder, &self.agent)
            && now >= ladder.until
        {
            if ladder.termed {
                self.kill(now);
            } else {
                agent.signal(Signal::TERM);
                *ladder = Ladder { termed: true, until: now + ladder.term, term: ladder.term };
            }
        }
        match self.phase {
            Phase::Waiting { until } if now >= until => {
                self.vanish();
                return true;
            }
            Phase::Draining { until } if now >= until || !self.output.is_open() => {
                self.phase = Phase::Sweeping { until: now + SWEEP.0 };
            }
            _ => {}
        }
        if let Phase::Sweeping { until } = self.phase {
            self.left = system::sweep(self.who.marker.as_deref());
            if (self.left.is_empty() && self.agent.is_none()) || now >= until {
                self.exit.get_or_insert(Exit { code: -1, signal: Signal::KILL.as_raw(), start_errno: 0 });
                self.phase = Phase::Finishing;
            }
        }
        if let (Phase::Finishing, Some(exit)) = (self.phase, self.exit) {
            if self.abandoned {
                return true;
            }
            self.errors.pump();
            if self.output.finish(now) && record::write_exit(exit, self.output.end).is_ok() {
                self.say(&Report::Exited(exit, self.output.end));
                self.told.0 = self.output.end;
                self.phase = Phase::Leaving { until: now + FAREWELL };
            }
        }
        // A full disk keeps the runner, but not the person who stopped the agent.
        if matches!(self.phase, Phase::Finishing | Phase::Leaving { .. }) && self.stop_asked {
            self.stop_asked = false;
            let left = self.left.clone();
            self.say(&Report::Stopped { left });
        }
        false
    }

    /// Removes what this runner made, by name, and the directory if nothing else is in it: a wrong `--dir` costs
    /// nobody their files.
    fn vanish(&self) {
        if self.who.holds(&self.args.dir) {
            for name in [SOCKET, META, IN_LOG, ERR_NEW, ERR_OLD, spool::EXIT] {
                let _ = fs::remove_file(name);
            }
            let _ = fs::remove_dir(&self.args.dir);
        }
    }
}
