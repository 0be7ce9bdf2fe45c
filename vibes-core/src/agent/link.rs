//! The link to one runner: its reports, its spool, the orders for it.
//!
//! Invariant: the spool file is the truth and the socket only a wake-up: whatever happens to the runner, every whole
//! line it wrote is handed over before the link says that it is gone. The events channel is the back-pressure: a
//! session that cannot commit stops the reading, the spool grows to its budget, and the agent waits.

use super::{
    launch::Yard,
    spool::{Chunk, Line, SpoolReader},
};
use crate::{
    host,
    points::{self, Point},
};
use std::{
    collections::VecDeque,
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixStream, unix::OwnedWriteHalf},
    sync::mpsc,
    time::Instant,
};
use vibes_protocol::model::SessionId;
use vibes_runner::{
    spool,
    wire::{Exit, FrameError, MAX_PAYLOAD, Order, RUNNER_PROTOCOL, Refusal, Report, Standing, take_frame},
};

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
    /// The agent waits because the spool cannot be written, or goes on.
    Blocked(bool),
    /// The agent is stopped, and its runner waits for room on the disk for its last words; see [`Link::stopped`].
    StoppedEarly,
    /// It is over. The last event.
    Gone(Box<Gone>),
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

/// How much of the standard error is kept with a failure, in bytes.
const STDERR_TAIL: usize = 8 * 1024;

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
                    if !self.runner_lives_after(POLL).await {
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
        let mut queue = VecDeque::from([LinkEvent::Up(standing)]);
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
                        // An acknowledgement covers those before it: a session that is busy hears only the last.
                        match queue.back_mut() {
                            Some(LinkEvent::Acked(last)) => *last = in_seq.max(*last),
                            _ => queue.push_back(LinkEvent::Acked(in_seq)),
                        }
                    }
                    Report::Refused { in_seq, why } => {
                        queue.push_back(LinkEvent::Refused(in_seq, why));
                    }
                    Report::Blocked { blocked } => queue.push_back(LinkEvent::Blocked(blocked)),
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
                    Ok(0) | Err(_) => return Ok(Ending::Over(exit)),
                    Ok(_) => {}
                },
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
                    if written.is_err() {
                        // A runner that went away is noticed by the read side, which knows more.
                        unsent.clear();
                    }
                },
                () = overdue(self.stop_by) => {
                    self.kill_runner();
                    return Ok(Ending::Over(exit));
                }
                permit = self.events.reserve(), if !queue.is_empty() || self.reader.position() < spool_end => {
                    let permit = permit?;
                    if let Some(event) = queue.pop_front() {
                        permit.send(event);
                        continue;
                    }
                    match self.reader.read() {
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
                            tracing::error!(dir = %self.dir.display(), %error, "the spool cannot be read");
                            spool_end = self.reader.position();
                        }
                    }
                }
            }
        }
    }

    /// The runner is no more: kills what it left, hands over the rest of the spool, tells how it ended.
    async fn conclude(&mut self, exit: Option<Exit>) -> Result<(), Unheard> {
        let (marker, dir) = (self.marker.clone(), self.dir.clone());
        let sweep = move || {
            kill_group(&dir);
            host::sweep(&marker, SWEEPS)
        };
        let left = tokio::task::spawn_blocking(sweep).await.unwrap_or_default();
        let _ = self.stopped.set(left.clone());
        loop {
            match self.reader.read() {
                Ok(Some(chunk)) if chunk.lines.is_empty() => {}
                Ok(Some(chunk)) => {
                    points::hit(Point::IngestRead);
                    self.events.send(LinkEvent::Lines(chunk)).await?;
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(dir = %self.dir.display(), %error, "the rest of the spool cannot be read");
                    break;
                }
            }
        }
        let end = json_file(&self.dir, spool::EXIT).and_then(|exit| exit["spool_end"].as_u64());
        let lost = self.reader.give_up_to(end.unwrap_or(0));
        for chunk in lost.into_iter().chain(self.reader.finish()) {
            self.events.send(LinkEvent::Lines(chunk)).await?;
        }
        let gone = Gone {
            exit: exit.or_else(|| exit_file(&self.dir)),
            left,
            last_in_seq: spool::last_logged_input(&self.dir).ok(),
            stderr: stderr_tail(&self.dir),
        };
        self.events.send(LinkEvent::Gone(Box::new(gone))).await?;
        Ok(())
    }

    fn kill_runner(&self) {
        tracing::warn!(dir = %self.dir.display(), "the runner did not carry out the stop: killing it");
        kill_runner(&self.dir);
    }

    /// Whether the runner lives, looked at again after a while if it does.
    async fn runner_lives_after(&self, pause: Duration) -> bool {
        if !runner_lives(&self.dir) {
            return false;
        }
        tokio::time::sleep(pause).await;
        runner_lives(&self.dir)
    }

    async fn runner_gone(&self) {
        while self.runner_lives_after(POLL).await {}
    }
}

/// How long a runner may take for what takes it microseconds, before it counts as wedged.
const WEDGED: Duration = Duration::from_secs(3);
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

/// Writes what the runner takes of the orders. Ended early, it has written nothing.
async fn write_some(to: &mut OwnedWriteHalf, unsent: &mut VecDeque<u8>) -> io::Result<()> {
    let front = unsent.as_slices().0;
    let part = points::part(Point::OutHalfFrame, front.len());
    let cut = part < front.len();
    let written = to.write(&front[..part]).await?;
    unsent.drain(..written);
    if cut {
        points::hit(Point::OutHalfFrame);
    }
    if unsent.is_empty() {
        points::hit(Point::OutSent);
    }
    Ok(())
}

async fn hello(dir: &Path, fence: u64) -> io::Result<Result<(UnixStream, Standing), Refusal>> {
    let mut stream = connect(dir).await?;
    stream.write_all(&Order::Hello { protocol: RUNNER_PROTOCOL, fence }.encode()).await?;
    let mut buffer = Vec::new();
    // The answer is the first frame, and nothing is sent after it unasked before it was read whole: what follows in
    // the same read would be lost, so exactly one frame's bytes are taken.
    loop {
        let missing = missing(&buffer).map_err(io::Error::other)?;
        if missing == 0 {
            break;
        }
        if (&mut stream).take(missing as u64).read_buf(&mut buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    match next_report(&mut buffer) {
        Some(Report::Hello(standing)) => Ok(Ok((stream, standing))),
        Some(Report::Refused { why, .. }) => Ok(Err(why)),
        other => Err(io::Error::other(format!("the runner answered hello with {other:?}"))),
    }
}

/// How many bytes are missing from the frame that `buffer` begins.
fn missing(buffer: &[u8]) -> Result<usize, FrameError> {
    let Some(length) = buffer.first_chunk::<4>() else { return Ok(8 - buffer.len()) };
    let length = u32::from_le_bytes(*length) as usize;
    if length > MAX_PAYLOAD {
        Err(FrameError::TooLong(length))
    } else {
        Ok((8 + length).saturating_sub(buffer.len()))
    }
}

/// The next whole report. A frame that cannot be read is skipped: the files hold everything that matters.
fn next_report(buffer: &mut Vec<u8>) -> Option<Report> {
    loop {
        match take_frame(buffer) {
            Ok(Some(payload)) => match Report::decode(&payload) {
                Ok(report) => return Some(report),
                Err(error) => tracing::warn!(%error, "a report of a runner is skipped"),
            },
            Ok(None) => return None,
            Err(error) => {
                tracing::error!(%error, "a runner's stream is broken");
                buffer.clear();
                return None;
            }
        }
    }
}

/// Connects to the socket in `dir`, however long its path is.
async fn connect(dir: &Path) -> io::Result<UnixStream> {
    let path = dir.join(spool::SOCKET);
    if path.as_os_str().len() <= 100 {
        return UnixStream::connect(path).await;
    }
    let dir = std::fs::File::open(dir)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{}", dir.as_raw_fd(), spool::SOCKET)).await
}

/// Who the runner says it is, checked against what runs.
fn runner_lives(dir: &Path) -> bool {
    runner_process(dir).is_some()
}

/// One of the runner's JSON files, if it is there and whole.
fn json_file(dir: &Path, name: &str) -> Option<serde_json::Value> {
    serde_json::from_slice(&std::fs::read(dir.join(name)).ok()?).ok()
}

/// The agent's process, as far as its runner has told.
pub fn agent_pid(dir: &Path) -> Option<i32> {
    told_agent(&json_file(dir, spool::META)?)
}

fn told_agent(meta: &serde_json::Value) -> Option<i32> {
    i32::try_from(meta["agent_pid"].as_i64()?).ok().filter(|pid| *pid > 0)
}

/// The runner's process, if `meta.json` names one that still runs.
pub fn runner_process(dir: &Path) -> Option<host::Process> {
    let meta = json_file(dir, spool::META)?;
    let process = host::process(i32::try_from(meta["pid"].as_i64()?).ok()?)?;
    // A file that does not tell proves nothing.
    let same_boot = meta["boot_id"].as_str().is_some_and(|id| id == host::boot_id());
    let same_start = meta["start_time"].as_u64().is_some_and(|start| start == process.start_time);
    (same_boot && same_start).then_some(process)
}

/// Kills the runner of a directory, if it is still the one that wrote there.
fn kill_runner(dir: &Path) {
    if let Some(runner) = runner_process(dir)
        && let Some(pid) = rustix::process::Pid::from_raw(runner.pid)
    {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
}

/// Ends a runner that nobody is linked to, with everything of its agent. Gives back what could not be ended. Blocking.
pub fn end_runner(yard: &Yard, session: &SessionId, generation: u64) -> Vec<i32> {
    kill_runner(&yard.dir_of(session, generation));
    host::sweep(&yard.marker_of(session, generation), 50)
}

/// Kills what is left of the agent's process group, if the number still means that group.
fn kill_group(dir: &Path) {
    let Some(meta) = json_file(dir, spool::META) else { return };
    let Some(leader) = told_agent(&meta) else { return };
    let started = meta["agent_start_time"].as_u64();
    let same_boot = meta["boot_id"].as_str().is_some_and(|id| id == host::boot_id());
    // While the group lives, no new process gets its number; a living process of that number must be the agent itself.
    let stranger = host::process(leader).is_some_and(|process| Some(process.start_time) != started);
    if let Some(group) = rustix::process::Pid::from_raw(leader)
        && same_boot
        && !stranger
    {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

fn exit_file(dir: &Path) -> Option<Exit> {
    let exit = json_file(dir, spool::EXIT)?;
    let number = |name: &str| exit[name].as_i64().map(|number| number as i32);
    Some(Exit {
        code: number("code")?,
        signal: number("signal").unwrap_or(0),
        start_errno: number("start_errno").unwrap_or(0),
    })
}

fn stderr_tail(dir: &Path) -> String {
    let mut tail = Vec::new();
    for name in [spool::ERR_OLD, spool::ERR_NEW] {
        if let Ok(bytes) = std::fs::read(dir.join(name)) {
            tail.extend_from_slice(&bytes);
        }
    }
    let cut = tail.len().saturating_sub(STDERR_TAIL);
    String::from_utf8_lossy(&tail[cut..]).trim().to_owned()
}
