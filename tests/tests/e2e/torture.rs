//! The kill loop: the daemon dies again and again, in the middle of everything, and the oracle looks afterwards.
//!
//! `VIBES_TORTURE_CYCLES` says how often (default: 500, or as many as fit into 45 seconds), `VIBES_TORTURE_SEED`
//! repeats a run. The client is what a good client is: it comes back, resumes from its cursor, repeats what was not
//! answered under the same idempotency key, and answers what is pending.

use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use vibes_tests::{TestEnv, Wire, oracle};

/// How long the default run may take.
const BUDGET: Duration = Duration::from_secs(45);
/// Chunks of one prompt.
const CHUNKS: u64 = 60;
/// Prompts that one client keeps under way.
const AHEAD: usize = 3;

/// A small generator: the same seed, the same run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % below
    }
}

/// A client that drives one session over all crashes.
struct Driver {
    socket: std::path::PathBuf,
    session: String,
    /// Everything ever seen, across connections.
    stream: Vec<Value>,
    epoch: Option<u64>,
    /// Prompts that were not accepted yet, with their keys.
    waiting: VecDeque<(String, String)>,
    accepted: Vec<(u64, String)>,
    ended: usize,
    made: usize,
    connections: usize,
}

impl Driver {
    fn new(env: &TestEnv, session: String) -> Self {
        Self {
            socket: env.state().socket(),
            session,
            stream: Vec::new(),
            epoch: None,
            waiting: VecDeque::new(),
            accepted: Vec::new(),
            ended: 0,
            made: 0,
            connections: 0,
        }
    }

    /// Runs until told to stop and everything that was asked is through.
    fn drive(mut self, stop: &AtomicBool) -> Self {
        let until = Instant::now() + Duration::from_secs(600);
        while !(stop.load(Ordering::Acquire) && self.is_through()) {
            assert!(Instant::now() < until, "{} never came to rest: {:?}", self.session, self.waiting);
            match Wire::try_connect(&self.socket) {
                Ok(wire) => self.serve(wire, stop),
                // Between two daemons. The next one announces itself by nothing but its socket.
                Err(_) => thread::sleep(Duration::from_millis(1)),
            }
        }
        self
    }

    fn is_through(&self) -> bool {
        self.waiting.is_empty() && self.ended == self.accepted.len()
    }

    fn fill(&mut self) {
        while self.accepted.len() + self.waiting.len() < self.ended + AHEAD {
            let tag = format!("p{}", self.made);
            let ask = if self.made % 4 == 3 { format!("ask {tag} ls\n") } else { String::new() };
            let prompt = format!("chunks {CHUNKS} 48 100 {tag}\n{ask}say end of {tag}");
            self.waiting.push_back((uuid::Uuid::new_v4().to_string(), prompt));
            self.made += 1;
        }
    }

    /// One connection, until it breaks or all is through.
    fn serve(&mut self, mut wire: Wire, stop: &AtomicBool) {
        self.connections += 1;
        let mut subscribe =
            json!({"session_ids": [self.session], "after": self.stream.len(), "role": "writer"});
        if let Some(epoch) = self.epoch {
            subscribe["epoch"] = epoch.into();
        }
        if wire.try_ask("subscribe", subscribe).is_err() {
            return;
        }
        // What was asked on this connection, by request id.
        let mut asked: BTreeMap<String, (String, String)> = BTreeMap::new();
        loop {
            if stop.load(Ordering::Acquire) {
                if self.is_through() {
                    return;
                }
            } else {
                self.fill();
            }
            // One at a time: the order of acceptance is the order of asking.
            if asked.is_empty()
                && let Some((key, prompt)) = self.waiting.front()
            {
                let input = json!({"session_id": self.session, "content": prompt, "idempotency_key": key});
                match wire.try_ask("input", input) {
                    Ok(id) => drop(asked.insert(id, (key.clone(), prompt.clone()))),
                    Err(_) => return,
                }
            }
            let Some(message) = wire.next_within(Duration::from_millis(20)) else {
                if wire.is_closed() {
                    return;
                }
                continue;
            };
            if !self.heard(&mut wire, &mut asked, &message) {
                return;
            }
        }
    }

    /// Takes one message; `false` when the connection is of no further use.
    fn heard(
        &mut self,
        wire: &mut Wire,
        asked: &mut BTreeMap<String, (String, String)>,
        message: &Value,
    ) -> bool {
        let mine = message["session_id"] == *self.session;
        match message["type"].as_str() {
            Some("record") if mine => {
                let seq = message["seq"].as_u64().expect("a record has a number");
                assert_eq!(seq, self.stream.len() as u64 + 1, "{}: a hole or a repeat", self.session);
                self.epoch = message["epoch"].as_u64();
                self.stream.push(message.clone());
                match message["fact"]["kind"].as_str() {
                    Some("turn_ended") => self.ended += 1,
                    Some("permission_requested") => {
                        return self.approve(wire, &message["fact"]["permission"]);
                    }
                    _ => {}
                }
                true
            }
            Some("rewind") if mine => panic!("a killed process loses nothing: {message}"),
            Some("subscribed") => {
                let pending =
                    message["sessions"][0]["pending_permissions"].as_array().cloned().unwrap_or_default();
                pending.iter().all(|permission| self.approve(wire, permission))
            }
            Some("accepted") => {
                let id = message["request_id"].as_str().unwrap_or_default();
                let (key, prompt) = asked.remove(id).expect("only what was asked is accepted");
                assert_eq!(self.waiting.pop_front().map(|(key, _)| key), Some(key), "accepted in order");
                self.accepted.push((message["seq"].as_u64().expect("a number"), prompt));
                true
            }
            Some("error") => {
                let id = message["request_id"].as_str().unwrap_or_default();
                let code = message["code"].as_str().unwrap_or_default();
                let again = asked.remove(id).is_some();
                let fine = match code {
                    // Asked again on the way to the agent, or by an earlier connection.
                    "ALREADY_DECIDED" | "PERMISSION_NOT_PENDING" => !again,
                    "ADOPTING" | "BUSY" | "SHUTTING_DOWN" => true,
                    _ => false,
                };
                assert!(fine, "{}: {message}", self.session);
                true
            }
            Some("closing") => false,
            _ => true,
        }
    }

    fn approve(&self, wire: &mut Wire, permission: &Value) -> bool {
        let answer = json!({
            "session_id": self.session, "permission_id": permission["permission_id"], "hash": permission["hash"],
            "decision": "allow_once",
        });
        wire.try_ask("permission_response", answer).is_ok()
    }
}

/// A number from the environment.
fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text:?}")))
}

#[test]
fn nothing_is_lost_or_doubled_however_often_the_daemon_is_killed() {
    let seed =
        variable("VIBES_TORTURE_SEED").unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0 >> 1).max(1);
    let wanted = variable("VIBES_TORTURE_CYCLES");
    println!("VIBES_TORTURE_SEED={seed}");
    let mut dice = Dice(seed);
    let env = TestEnv::started();
    let sessions: Vec<String> = (0..2).map(|_| env.client("torture").create(&env, json!({}))).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let drivers: Vec<_> = sessions
        .iter()
        .map(|session| {
            let (driver, stop) = (Driver::new(&env, session.clone()), stop.clone());
            thread::spawn(move || driver.drive(&stop))
        })
        .collect();
    let began = Instant::now();
    let mut cycles = 0;
    while cycles < wanted.unwrap_or(500) && (wanted.is_some() || began.elapsed() < BUDGET) {
        let daemon = env.daemon();
        // The random moment is the point of this test; it waits for nothing.
        thread::sleep(Duration::from_micros(dice.roll(60_000)));
        daemon.kill9();
        cycles += 1;
        if drivers.iter().any(thread::JoinHandle::is_finished) {
            break;
        }
    }
    env.daemon();
    stop.store(true, Ordering::Release);
    let drivers: Vec<Driver> = drivers
        .into_iter()
        .map(|driver| driver.join().unwrap_or_else(|_| panic!("a client failed; VIBES_TORTURE_SEED={seed}")))
        .collect();
    let journals = oracle::check(&env);
    let mut prompts = 0;
    for driver in &drivers {
        let records = &journals[&driver.session];
        oracle::check_stream(&driver.session, &driver.stream, records);
        oracle::check_accepted(&driver.session, records, &driver.accepted);
        for n in 0..driver.accepted.len() {
            let tag = format!("p{n}");
            assert_eq!(
                oracle::check_chunks(&driver.session, records, &tag),
                CHUNKS,
                "{tag} of {}",
                driver.session
            );
        }
        let kinds = records.iter().filter(|record| record["fact"]["kind"] == "turn_ended");
        assert!(kinds.into_iter().all(|record| record["fact"]["outcome"] == "finished"));
        prompts += driver.accepted.len();
    }
    let connections: usize = drivers.iter().map(|driver| driver.connections).sum();
    println!(
        "{cycles} kills in {:.1?}, {prompts} prompts, {connections} connections, {} records",
        began.elapsed(),
        journals.values().map(Vec::len).sum::<usize>()
    );
    assert!(prompts > 0, "a torture without prompts proves nothing");
}
