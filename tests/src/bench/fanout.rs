//! F1: one agent flat out, many subscribers, beside the bare relay.

use super::{
    Plan, agent,
    drain::{Drain, finish, subscribe},
    relay,
    report::{Goal, Report},
    stage,
};
use serde_json::json;
use std::{fs, path::Path, time::Instant};

/// Subscribers, and how many updates the daemon and the relay get: about a second or two of work.
const LOADS: [(usize, u64, u64); 3] = [(1, 200_000, 500_000), (10, 150_000, 300_000), (100, 30_000, 50_000)];

/// Takes the figure.
pub fn measure(plan: &Plan, report: &mut Report) {
    for (readers, records, relayed) in LOADS {
        let (mut journaled, mut delivered, mut floor) = (Vec::new(), Vec::new(), Vec::new());
        let mut storeless = Vec::new();
        for _ in 0..plan.rounds {
            let (journal, frames, without) = daemon(readers, records);
            storeless.push(without);
            journaled.push(journal);
            delivered.push(frames);
            floor.push(bare(readers, relayed));
        }
        let fields = |what: &str| format!("F1.n{readers}.{what}");
        let per_reader: Vec<f64> = floor.iter().map(|rate| rate / readers as f64).collect();
        let goal = if readers == 100 { Goal::None } else { Goal::AtLeast(50_000.0) };
        let against = Some(("the bare relay", per_reader.as_slice()));
        report.figure(&fields("journaled"), "records/s", &journaled, against, goal);
        if readers < 100 {
            let against = Some(("the path without its store", storeless.as_slice()));
            report.figure(&fields("store"), "records/s", &journaled, against, Goal::RatioAtLeast(0.5));
        }
        let goal = if readers == 100 { Goal::RatioAtLeast(0.5) } else { Goal::None };
        report.figure(&fields("delivered"), "frames/s", &delivered, Some(("the bare relay", &floor)), goal);
    }
}

/// Records journaled and frames delivered per second; and the records if storing them cost nothing.
///
/// A session waits for its commit before it goes on, so what its store costs is the time that the store's thread works:
/// the same path without it takes the rest. A switch in the daemon that drops commits would measure another program.
fn daemon(readers: usize, records: u64) -> (f64, f64, f64) {
    let env = stage::started();
    let mut control = env.client("bench");
    let session = stage::sessions(&env, &mut control, 1).remove(0);
    let socket = env.state().socket();
    let join = |_| {
        let (stream, read) = subscribe(&socket, &session, json!("end"));
        Drain::new(stream, &read)
    };
    let mut drains: Vec<Drain> = (0..readers).map(join).collect();
    let daemon = env.running_daemon().expect("it was started").pid;
    let (began, before) = (Instant::now(), storing_s(daemon));
    control.ask("input", json!({"session_id": session, "content": format!("flood {records} 300")}));
    let ended = finish(&mut drains, records, r#""kind":"turn_ended""#);
    let storing = (storing_s(daemon) - before).max(0.0);
    let stamped = drains[0].stamped_ms().expect("records have a time").max(1.0) / 1e3;
    let without = (stamped - storing).max(stamped / 100.0);
    let delivered = (records * readers as u64) as f64 / (ended - began).as_secs_f64();
    (records as f64 / stamped, delivered, records as f64 / without)
}

/// Seconds that the store's thread of a daemon has worked.
fn storing_s(daemon: i32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{daemon}/task")).expect("our own process can be read");
    let of = |name: &str, dir: &Path| fs::read_to_string(dir.join(name)).unwrap_or_default();
    let writer = tasks.flatten().find(|task| of("comm", &task.path()).trim() == "store-writer");
    let ran = of("schedstat", &writer.expect("the store has a thread of its own").path());
    ran.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).expect("schedstat begins with a number") / 1e9
}

/// Frames per second of the bare relay.
fn bare(readers: usize, records: u64) -> f64 {
    let env = stage::empty();
    let began = Instant::now();
    let (ends, relay) = relay::start(env.root(), &format!("flood {records} 300"), readers);
    let mut drains: Vec<Drain> = ends.into_iter().map(|end| Drain::new(end, &[])).collect();
    let ended = finish(&mut drains, records, agent::LAST_LINE);
    relay.join().expect("the relay does not panic");
    (records * readers as u64) as f64 / (ended - began).as_secs_f64()
}
