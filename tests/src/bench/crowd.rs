//! F7: a thousand subscribers of one session, and what some that read nothing cost the others.

use super::{
    Plan, agent,
    drain::subscribe,
    memory::kib,
    report::{Goal, Report, quantile},
    stage,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use serde_json::json;
use std::{
    io::{ErrorKind, Read},
    os::{fd::AsFd, unix::net::UnixStream},
    time::{Duration, Instant},
};

const READERS: usize = 1000;
const PER_SECOND: usize = 100;
/// How many updates each reader gets, alone and beside the stalled ones.
const UPDATES: usize = 400;
/// Readers that subscribe from the start of a long session and read nothing.
const STALLED: usize = 10;
/// What there is for them to read: far more than any buffer holds.
const BEFORE: u64 = 50_000;
const PATIENCE: Duration = Duration::from_secs(60);

struct Reader {
    stream: UnixStream,
    /// The line under way.
    partial: Vec<u8>,
    seen: usize,
}

/// Takes the figure.
pub fn measure(_: &Plan, report: &mut Report) {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .expect("a limit can be raised to its bound");
    let env = stage::started();
    let daemon = env.running_daemon().expect("it was started").pid;
    let mut control = env.client("bench");
    let session = stage::filled(&env, &mut control, BEFORE);
    let socket = env.state().socket();
    let mut readers: Vec<Reader> = (0..READERS)
        .map(|_| {
            let (stream, read) = subscribe(&socket, &session, json!("end"));
            stream.set_nonblocking(true).expect("a socket can be non-blocking");
            Reader { stream, partial: read, seen: 0 }
        })
        .collect();
    let script = format!("pace {UPDATES} {PER_SECOND} 300");
    control.ask("input", json!({"session_id": session, "content": script}));
    let alone = delays(&mut readers, UPDATES);
    stage::until_idle(&mut control, Duration::from_millis(50), |_| {});
    let before = kib(daemon, "Rss:");
    let stalled: Vec<_> = (0..STALLED).map(|_| subscribe(&socket, &session, json!(0))).collect();
    control.ask("input", json!({"session_id": session, "content": script}));
    let beside = delays(&mut readers, UPDATES);
    let each = (kib(daemon, "Rss:") - before).max(0.0) / 1024.0 / STALLED as f64;
    drop(stalled);
    // Every reader has seen every update, or the figure could not have been taken.
    let lost = (READERS * UPDATES * 2 - alone.len() - beside.len()) as f64;
    report.figure("F7.lost", "frames", &[lost], None, Goal::AtMost(0.0));
    report.figure("F7.n1000.p50", "ms", &[quantile(&alone, 0.5)], None, Goal::None);
    let p99 = [quantile(&alone, 0.99)];
    report.figure("F7.n1000.p99", "ms", &p99, None, Goal::AtMost(250.0));
    let beside = [quantile(&beside, 0.99)];
    report.figure("F7.stalled.p99", "ms", &beside, Some(("without them", &p99)), Goal::AtMost(250.0));
    report.figure("F7.stalled.each", "MiB", &[each], None, Goal::AtMost(1.0));
}

/// Milliseconds from the stamp in each update to its reading, until every reader has this many more.
fn delays(readers: &mut [Reader], updates: usize) -> Vec<f64> {
    let key = format!(r#""text":"{}"#, agent::STAMP);
    let (until, mut took, mut buffer) = (Instant::now() + PATIENCE, Vec::new(), vec![0; 64 * 1024]);
    readers.iter_mut().for_each(|reader| reader.seen = 0);
    while took.len() < readers.len() * updates {
        let least = readers.iter().map(|reader| reader.seen).min().unwrap_or(0);
        assert!(Instant::now() < until, "a reader has {least} of {updates} updates after {PATIENCE:?}");
        let fds = readers.iter().map(|reader| PollFd::from_borrowed_fd(reader.stream.as_fd(), PollFlags::IN));
        let mut fds: Vec<PollFd<'_>> = fds.collect();
        let timeout = Timespec { tv_sec: 1, tv_nsec: 0 };
        if poll(&mut fds, Some(&timeout)).is_err() {
            continue;
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        for (reader, _) in readers.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
            match reader.stream.read(&mut buffer) {
                Ok(0) => panic!("the daemon closed a reader after {} updates", reader.seen),
                Ok(count) => reader.partial.extend_from_slice(&buffer[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    continue;
                }
                Err(error) => panic!("a reader broke: {error}"),
            }
            let now = agent::now_ns();
            let end = reader.partial.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let lines = String::from_utf8_lossy(&reader.partial[..end]);
            for line in lines.lines() {
                assert!(!line.starts_with(r#"{"type":"closing""#), "a reader was closed: {line}");
                let stamp =
                    line.split_once(&key).and_then(|(_, rest)| rest.split(' ').next()?.parse::<u64>().ok());
                if let Some(stamp) = stamp {
                    reader.seen += 1;
                    took.push(now.saturating_sub(stamp) as f64 / 1e6);
                }
            }
            drop(lines);
            reader.partial.drain(..end);
        }
    }
    took
}
