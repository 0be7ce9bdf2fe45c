//! F2: how long an update takes from the agent's write to the subscriber's read, at 500 a second.

use super::{
    Plan, agent,
    drain::subscribe,
    relay,
    report::{Goal, Report, quantile},
    stage,
};
use serde_json::json;
use std::{
    io::{BufRead, BufReader, Read},
    os::unix::net::UnixStream,
    time::Duration,
};
use vibes_tests::{TestEnv, Wire};

const PER_SECOND: usize = 500;
/// How many updates the daemon and the relay get in each round.
const UPDATES: usize = 2_000;

/// Takes the figure.
pub fn measure(plan: &Plan, report: &mut Report) {
    let script = format!("pace {UPDATES} {PER_SECOND} 300");
    let (mut ours, mut floors) = (vec![Vec::new(); 3], vec![Vec::new(); 3]);
    const PARTS: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("max", 1.0)];
    for _ in 0..plan.rounds {
        for (through, rounds) in [(daemon as fn(&str) -> Vec<f64>, &mut ours), (bare, &mut floors)] {
            let took = through(&script);
            for (round, (_, part)) in rounds.iter_mut().zip(PARTS) {
                round.push(quantile(&took, part));
            }
        }
    }
    let goals = [Goal::AtMost(1.0), Goal::AtMost(10.0), Goal::None];
    for (((name, _), goal), (ours, floor)) in PARTS.into_iter().zip(goals).zip(ours.iter().zip(&floors)) {
        report.figure(&format!("F2.latency.{name}"), "ms", ours, Some(("the bare relay", floor)), goal);
    }
}

fn daemon(script: &str) -> Vec<f64> {
    let env = stage::started();
    let mut control = env.client("bench");
    let session = stage::sessions(&env, &mut control, 1).remove(0);
    ask(&env, &mut control, &session, script)
}

/// Milliseconds through a daemon that runs already, by a session that has ended afterwards.
pub fn through(env: &TestEnv) -> Vec<f64> {
    let mut control = env.client("bench");
    let session = stage::sessions(env, &mut control, 1).remove(0);
    let took = ask(env, &mut control, &session, &format!("pace {UPDATES} {PER_SECOND} 300"));
    control.ok("kill_session", json!({"session_id": session}));
    control.ok("delete_session", json!({"session_id": session}));
    took
}

fn ask(env: &TestEnv, control: &mut Wire, session: &str, script: &str) -> Vec<f64> {
    let (stream, read) = subscribe(&env.state().socket(), session, json!("end"));
    control.ask("input", json!({"session_id": session, "content": script}));
    delays(&read, stream)
}

fn bare(script: &str) -> Vec<f64> {
    let env = stage::empty();
    let (mut ends, relay) = relay::start(env.root(), script, 1);
    let took = delays(&[], ends.remove(0));
    relay.join().expect("the relay does not panic");
    took
}

/// Milliseconds from the stamp in each update to now, until all have come.
fn delays(read: &[u8], stream: UnixStream) -> Vec<f64> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout can be set");
    let mut reader = BufReader::new(read.chain(stream));
    let (mut took, mut line) = (Vec::new(), Vec::new());
    let key = format!(r#""text":"{}"#, agent::STAMP);
    while took.len() < UPDATES {
        line.clear();
        let count = reader.read_until(b'\n', &mut line).expect("updates come");
        assert!(count > 0, "the stream ended after {} updates", took.len());
        let now = agent::now_ns();
        let text = String::from_utf8_lossy(&line);
        let stamp = text.split_once(&key).and_then(|(_, rest)| rest.split(' ').next()?.parse::<u64>().ok());
        // The first prompt's record names the script, which has no stamp.
        took.extend(stamp.map(|stamp| now.saturating_sub(stamp) as f64 / 1e6));
    }
    took
}
