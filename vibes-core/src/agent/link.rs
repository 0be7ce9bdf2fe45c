//! The link to one runner: its reports, its spool, the orders for it.
//!
//! Invariant: the spool file is the truth and the socket only a wake-up: whatever happens to the runner, every whole
//! line it wrote is handed over before the link says that it is gone. The events channel is the back-pressure: a
//! session that cannot commit stops the reading, the spool grows to its budget, and the agent waits.

mod ending;
mod frames;

pub use super::place::{agent_pid, end_runner, is_unknown, runner_process};
use super::{
    launch::Yard,
    place,
    spool::{Chunk, Line, SpoolReader},
};
use crate::points::{self, Point};
use frames::{hello, next_report, write_some};
use std::{
    collections::VecDeque,
    io,
    path::PathBuf,
    pin::pin,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{io::AsyncReadExt, net::UnixStream, sync::mpsc, time::Instant};
use vibes_protocol::model::SessionId;
use vibes_runner::wire::{Exit, Order, Refusal, Report, Standing};

/// What a link tells its session.
#[derive(Debug)]
pub enum LinkEvent {
    /// The runner answers.
    Up(Standing),
    /// Lines of the agent.
    Lines(Chunk),
    /// Everything that was in the spool when the runner answered has been handed over.
    CaughtUp,
    /// Frames up to here are logged by the runner.
    Acked(u64),
    /// A frame was refused.
    Refused(u64, Refusal),
    /// Something stands between the daemon and the agent, in a sentence, or does no more.
    Hindered(Hindrance, Option<String>),
    /// The agent is stopped, and its runner waits for room on the disk for its last words; see [`Link::stopped`].
    StoppedEarly,
    /// It is over. The last event.
    Gone(Box<Gone>),
}

/// What can stand between the daemon and an agent that runs. It passes by itself, and nothing is lost by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hindrance {
    /// The runner does not answer.
    Silent,
    /// What the agent wrote cannot be read.
    Unread,
    /// The agent waits: the spool takes nothing more.
    Blocked,
    /// The runner takes nothing more for the agent.
    Untaken,
}

/// How a generation ended.
#[derive(Debug)]
pub struct Gone {
    /// How the agent ended, if anybody saw it.
    pub exit: Option<Exit>,
    /// Processes of it that are still alive.
    pub left: Vec<i32>,
    /// The last frame that reached the agent; `None` when the log cannot tell.
    pub last_in_seq: Option<u64>,
    /// The end of what it wrote to its standard error.
    pub stderr: String,
}

/// An order from the session.
#[derive(Debug)]
pub enum LinkOrder {
    /// Something for the runner.
    Runner(Order),
    /// Lines up to here are on disk: the segments before may go.
    Durable(u64),
}

/// A session's end of a link. Dropping it leaves the runner and its agent alone.
pub struct Link {
    /// Which start of the agent.
    pub generation: u64,
    /// Orders for the runner.
    pub orders: mpsc::UnboundedSender<LinkOrder>,
    /// What the link tells.
    pub events: mpsc::Receiver<LinkEvent>,
    /// Set once no process of the agent is left to stop, with those that cannot be. Beside the events, because a
    /// session that waits for room on the disk takes none, and whoever asked for the stop need not wait for that.
    pub stopped: Arc<OnceLock<Vec<i32>>>,
}

impl Link {
    /// Opens the link to a runner that was just started or is to be adopted, reading its spool from `offset`.
    pub fn open(yard: &Yard, session: &SessionId, generation: u64, offset: u64, fence: u64) -> Self {
        // One chunk under way and one ready: the reader is never more than a commit ahead.
        let (event_tx, events) = mpsc::channel(2);
        // Unbounded, but not without a bound: at most one order per frame of the session's outbox and state change,
        // both of which are bounded where they are made.
        let (orders, order_rx) = mpsc::unbounded_channel();
        let dir = yard.dir_of(session, generation);
        let worker = Worker {
            reader: SpoolReader::new(dir.clone(), offset, yard.floods.clone()),
            dir,
            spools: yard.spools,
            marker: yard.marker_of(session, generation),
            fence,
            events: event_tx,
            early: Vec::new(),
            stop_by: None,
            stopped: Arc::default(),
        };
        let stopped = worker.stopped.clone();
        tokio::spawn(worker.run(order_rx));
        Self { generation, orders, events, stopped }
    }

    /// Gives an order. An ended link takes none, and its `Gone` is on the way.
    pub fn order(&self, order: Order) {
        let _ = self.orders.send(LinkOrder::Runner(order));
    }
}

/// The session dropped its end: nobody is there to tell.
struct Unheard;

impl<T> From<mpsc::error::SendError<T>> for Unheard {
    fn from(_: mpsc::error::SendError<T>) -> Self {
        Self
    }
}

struct Worker {
    dir: PathBuf,
    /// What all spools may hold together, in bytes.
    spools: u64,
    marker: String,
    fence: u64,
    reader: SpoolReader,
    events: mpsc::Sender<LinkEvent>,
    /// Orders that came before the runner answered.
    early: Vec<Order>,
    /// Until when a stop has to be through; then the runner is killed, and the kernel kills the agent with it.
    stop_by: Option<Instant>,
    stopped: Arc<OnceLock<Vec<i32>>>,
}

/// How serving a runner ended.
enum Ending {
    /// The session let go of the link; the runner goes on.
    Detached,
    /// The runner closed the connection, having said how the agent ended or not.
    Over(Option<Exit>),
}

impl Worker {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<LinkOrder>) {
        let mut exit = None;
        while let Some((stream, standing)) = self.connect(&mut orders).await {
            match self.serve(stream, standing, &mut orders).await {
                Ok(Ending::Detached) | Err(Unheard) => return,
                Ok(Ending::Over(seen)) => exit = seen,
            }
            if exit.is_some() || !self.runner_lives_after(LINGER).await {
                break;
            }
            tracing::warn!(dir = %self.dir.display(), "the runner closed the connection and lives: connecting again");
        }
        // Nobody to hear it means the daemon is stopping; the next one reads the same files.
        let _ = self.conclude(exit).await;
    }

    /// Finds the runner: connects, says hello, reads the answer. `None` when it is not there.
    async fn connect(
        &mut self,
        orders: &mut mpsc::UnboundedReceiver<LinkOrder>,
    ) -> Option<(UnixStream, Standing)> {
        let mut told = false;
        let mut patience = Some(Instant::now() + WEDGED);
        loop {
            // No deadline on the answer itself: a runner that is stopped (SIGSTOP) is alive and answers later. What
            // is checked instead is whether it still lives.
            let attempt = tokio::select! {
                attempt = hello(&self.dir, self.fence) => attempt,
                () = self.runner_gone() => return None,
                () = overdue(self.stop_by) => {
                    self.kill_runner();
                    return None;
                }
                () = overdue(patience) => {
                    patience = None;
                    // A session that takes no events has worse to tell.
                    let _ = self.events.try_send(LinkEvent::Hindered(Hindrance::Silent, Some(NO_ANSWER.to_owned())));
                    continue;
                }
                order = orders.recv() => {
                    match order? {
                        LinkOrder::Runner(order) => {
                            note_stop(&mut self.stop_by, &order);
                            self.early.push(order);
                        }
                        LinkOrder::Durable(_) => {}
                    }
                    continue;
                }
            };
            match attempt {
                Ok(Ok(found)) => return Some(found),
                Ok(Err(Refusal::Fenced)) => {
                    // This daemon holds the lock, so whoever had the higher number is no more: only a store that was
                    // set back can be behind.
                    self.fence = self.fence.saturating_mul(2) + 1;
                }
                Ok(Err(why)) => {
                    tracing::error!(dir = %self.dir.display(), ?why, "the runner refuses this daemon");
                    return None;
                }
                Err(error) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::info!(dir = %self.dir.display(), %error, "the runner does not answer");
                    }
                    // Where nobody listens and no file tells of somebody, there is nobody.
                    let deserted =
                        matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound);
                    if !self.runner_lives_after(POLL).await || (deserted && place::look(&self.dir).is_err()) {
                        return None;
                    }
                }
            }
        }
    }

    async fn serve(
        &mut self,
        stream: UnixStream,
        standing: Standing,
        orders: &mut mpsc::UnboundedReceiver<LinkOrder>,
    ) -> Result<Ending, Unheard> {
        let (mut from, mut to) = stream.into_split();
        let mut buffer = Vec::with_capacity(4096);
        let (mut exit, mut spool_end) = (standing.exit, standing.spool_end);
        let catch_up = standing.spool_end;
        let mut caught_up = false;
        // What the session is to hear waits here, so that a session that cannot commit never keeps its orders (a stop
        // above all) from the runner. One entry per report, which are as many as the frames.
        let blocked = standing.blocked;
        let mut queue = VecDeque::from([LinkEvent::Up(standing)]);
        if blocked {
            queue.push_back(LinkEvent::Hindered(Hindrance::Blocked, Some(self.why_blocked())));
        }
        if catch_up < self.reader.position() {
            // Not the spool that was read so far. What comes from now on is taken in, and the rest is told.
            let why =
                format!("its spool ends at {catch_up}, and was read to {} before", self.reader.position());
            self.reader = self.reader.at(catch_up);
            queue.push_back(LinkEvent::Lines(Chunk {
                lines: vec![Line::Lost { from: catch_up, why }],
                to: catch_up,
            }));
        }
        // Orders that the runner has not taken yet. One that is stopped itself takes none for as long as that lasts:
        // nothing may wait for it here, and no order may be cut, or it would take the next one for the rest.
        let mut unsent: VecDeque<u8> =
            std::mem::take(&mut self.early).iter().flat_map(Order::encode).collect();
        let mut pulse = pin!(tokio::time::sleep(PULSE));
        let mut pulsed = Pulse::Heard;
        let (mut read_again, mut unread, mut untaken) = (None, false, false);
        loop {
            if !caught_up && self.reader.position() >= catch_up {
                caught_up = true;
                queue.push_back(LinkEvent::CaughtUp);
            }
            while let Some(report) = next_report(&mut buffer) {
                match report {
                    Report::Grown { spool_end: end } => spool_end = end,
                    Report::Exited(how, end) => (exit, spool_end) = (Some(how), end),
                    Report::Ack { in_seq } => {
                        points::hit(Point::OutAcked);
                        if std::mem::take(&mut untaken) {
                            queue.push_back(LinkEvent::Hindered(Hindrance::Untaken, None));
                        }
                        // An acknowledgement covers those before it: a session that is busy hears only the last.
                        match queue.back_mut() {
                            Some(LinkEvent::Acked(last)) => *last = in_seq.max(*last),
                            _ => queue.push_back(LinkEvent::Acked(in_seq)),
                        }
                    }
                    Report::Refused { in_seq, why } => {
                        queue.push_back(LinkEvent::Refused(in_seq, why));
                        if why == Refusal::DiskFull && !std::mem::replace(&mut untaken, true) {
                            let why =
                                "the disk takes no more input for its agent (in.log); what was sent waits";
                            queue.push_back(LinkEvent::Hindered(Hindrance::Untaken, Some(why.to_owned())));
                        }
                    }
                    Report::Blocked { blocked } => {
                        let why = blocked.then(|| self.why_blocked());
                        queue.push_back(LinkEvent::Hindered(Hindrance::Blocked, why));
                    }
                    Report::Stopped { left } => {
                        // The runner may stay for as long as the disk has no room for the agent's last words.
                        self.stop_by = None;
                        let _ = self.stopped.set(left);
                        if exit.is_none() {
                            queue.push_back(LinkEvent::StoppedEarly);
                        }
                    }
                    Report::Hello(_) | Report::Stat(_) => {}
                }
            }
            tokio::select! {
                read = from.read_buf(&mut buffer) => match read {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Ok(0) | Err(_) => return Ok(Ending::Over(exit)),
                    Ok(_) => {
                        if pulsed == Pulse::Silent {
                            queue.push_back(LinkEvent::Hindered(Hindrance::Silent, None));
                            pulse.as_mut().reset(Instant::now() + PULSE);
                        }
                        pulsed = Pulse::Heard;
                    }
                },
                () = &mut pulse, if pulsed != Pulse::Silent => {
                    let now = Instant::now();
                    pulsed = match pulsed {
                        Pulse::Heard => {
                            pulse.as_mut().reset(now + PULSE);
                            Pulse::Quiet
                        }
                        Pulse::Quiet => {
                            unsent.extend(Order::Stat.encode());
                            pulse.as_mut().reset(now + WEDGED);
                            Pulse::Asked
                        }
                        // A daemon that stood still itself finds the answer and the end of its patience together.
                        Pulse::Asked | Pulse::Silent => match from.try_read_buf(&mut buffer) {
                            Ok(count) if count > 0 => {
                                pulse.as_mut().reset(now + PULSE);
                                Pulse::Heard
                            }
                            _ => {
                                let why = Some(NO_ANSWER.to_owned());
                                queue.push_back(LinkEvent::Hindered(Hindrance::Silent, why));
                                Pulse::Silent
                            }
                        },
                    };
                }
                () = overdue(read_again) => read_again = None,
                order = orders.recv() => match order {
                    None => return Ok(Ending::Detached),
                    Some(LinkOrder::Durable(offset)) => {
                        if let Err(error) = self.reader.discard_before(offset) {
                            tracing::warn!(dir = %self.dir.display(), %error, "spool segments stay");
                        }
                    }
                    Some(LinkOrder::Runner(order)) => {
                        note_stop(&mut self.stop_by, &order);
                        unsent.extend(order.encode());
                    }
                },
                written = write_some(&mut to, &mut unsent), if !unsent.is_empty() => {
                    if written.is_err_and(|error| error.kind() != io::ErrorKind::Interrupted) {
                        // A runner that went away is noticed by the read side, which knows more.
                        unsent.clear();
                    }
                },
                () = overdue(self.stop_by) => {
                    self.kill_runner();
                    return Ok(Ending::Over(exit));
                }
                permit = self.events.reserve(), if !queue.is_empty()
                    || (self.reader.position() < spool_end && read_again.is_none()) => {
                    let permit = permit?;
                    if let Some(event) = queue.pop_front() {
                        permit.send(event);
                        continue;
                    }
                    let read = self.reader.read();
                    if read.is_ok() && std::mem::take(&mut unread) {
                        queue.push_back(LinkEvent::Hindered(Hindrance::Unread, None));
                    }
                    match read {
                        Ok(Some(chunk)) if chunk.lines.is_empty() => {}
                        Ok(Some(chunk)) => {
                            points::hit(Point::IngestRead);
                            permit.send(LinkEvent::Lines(chunk));
                        }
                        // What a runner reports is written before: it was there, and somebody removed it.
                        Ok(None) => {
                            if let Some(chunk) = self.reader.give_up_to(spool_end) {
                                permit.send(LinkEvent::Lines(chunk));
                            }
                        }
                        Err(error) => {
                            read_again = Some(Instant::now() + READ_AGAIN);
                            if !std::mem::replace(&mut unread, true) {
                                tracing::error!(dir = %self.dir.display(), %error, "the spool cannot be read");
                                let why = Some(format!("what its agent wrote cannot be read: {error}"));
                                queue.push_back(LinkEvent::Hindered(Hindrance::Unread, why));
                            }
                        }
                    }
                }
            }
        }
    }

    fn kill_runner(&self) {
        tracing::warn!(dir = %self.dir.display(), "the runner did not carry out the stop: killing it");
        place::kill_runner(&self.dir);
    }

    /// Why the agent has to wait.
    fn why_blocked(&self) -> String {
        let disk = || "its agent waits: the disk takes no more of its output".to_owned();
        place::crowded(&self.dir, self.spools).unwrap_or_else(disk)
    }

    /// Whether the runner lives, looked at again after a while if it does.
    async fn runner_lives_after(&self, pause: Duration) -> bool {
        if !self.runner_may_live() {
            return false;
        }
        tokio::time::sleep(pause).await;
        self.runner_may_live()
    }

    /// What cannot be told (a disk that fails, no descriptors) is no end: an agent would be killed for it.
    fn runner_may_live(&self) -> bool {
        !matches!(place::look(&self.dir), Ok(None))
    }

    async fn runner_gone(&self) {
        while self.runner_lives_after(POLL).await {}
    }
}

/// How long a runner may take for what takes it microseconds, before it counts as wedged.
const WEDGED: Duration = Duration::from_secs(3);
/// How long a runner may say nothing before it is asked how it stands. It looks around by itself as often.
const PULSE: Duration = Duration::from_secs(3);
/// How long to wait before what could not be read is read again.
const READ_AGAIN: Duration = Duration::from_secs(1);
/// How often that is done when the runner has ended, and nothing else is waited for.
const LAST_TRIES: u32 = 3;
/// What is said of a runner that is there and does not answer.
const NO_ANSWER: &str = "its runner does not answer (is it stopped?); `vibes kill` ends it";

/// What is known of a runner's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pulse {
    /// It said something since this was looked at.
    Heard,
    /// It said nothing.
    Quiet,
    /// It was asked.
    Asked,
    /// It gave no answer.
    Silent,
}

/// How often a runner that does not answer is looked at.
const POLL: Duration = Duration::from_millis(50);
/// How long a runner may take to end after it closed the connection.
const LINGER: Duration = Duration::from_millis(500);
/// How many rounds of 20 ms a sweep takes at most.
const SWEEPS: u32 = 100;

/// A stop has a deadline: the ladder's own times and some more.
fn note_stop(stop_by: &mut Option<Instant>, order: &Order) {
    if let Order::Stop { eof_ms, term_ms } = order {
        let ladder = Duration::from_millis(u64::from(*eof_ms) + u64::from(*term_ms));
        stop_by.get_or_insert(Instant::now() + ladder + WEDGED);
    }
}

/// Comes true when the moment, if there is one, has passed.
async fn overdue(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
